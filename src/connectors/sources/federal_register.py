"""What the agencies publish, asked from the Federal Register."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.clock import Timer, from_iso, iso
from ...core.config import Moats
from ...core.errors import Malformed
from ...core.timeframes import DAY_MS
from ...core.types import Observation
from .http import Getter

MOAT = "government"
PATH = "/api/v1/documents.json"
_FIELDS = ["document_number", "publication_date", "type", "agencies"]
_OUT_BY_MS = DAY_MS // 2
"""An issue is out at 6 a.m. in Washington, which is 10:00 or 11:00 UTC: by noon in every season."""


class _Agency(msgspec.Struct):
    slug: str | None = None  # agencies that the Register has only by name carry none


class _Document(msgspec.Struct):
    document_number: str
    publication_date: str
    type: str
    agencies: list[_Agency]


class _Answer(msgspec.Struct):
    count: int
    results: list[_Document] = []  # absent when nothing was found


class FederalRegisterSource:
    """Documents of the listed agencies: `federal_register`, each once, values `type TYPE` = 1.

    Its subject is the first of the listed agencies that signed it; every other one is a value `agency SLUG` = 1.
    """

    name, moat, simulated = "federal_register", MOAT, False

    def __init__(self, settings: Moats, timer: Timer) -> None:
        self.interval_seconds = settings.pace.government.interval_seconds
        self._settings = settings.federal_register
        self._notices: list[str] = []
        self._getter = Getter(self._settings.base_url, settings.http, timer)

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """Documents of the look-back; raises what `Getter.json` raises."""
        since = iso(now_ms - round(self._settings.lookback_days * DAY_MS))[: len("2026-01-01")]
        said: list[Observation] = []
        page, pages, most = 1, 1, self._settings.max_pages
        while page <= min(pages, most):
            answer = self._getter.json(PATH, _Answer, self._question(since, page), now_ms)
            for document in answer.results:
                said += self._observation(document, now_ms)
            pages = -(-answer.count // self._settings.page_rows)
            page += 1
        self._notices = (
            [f"Federal Register: {pages} pages, {most} were read; shorten lookback_days"] if pages > most else []
        )
        return said

    def notices(self) -> Sequence[str]:
        """That the look-back holds more than is read."""
        return tuple(self._notices)

    def close(self) -> None:
        """Give back the connections."""
        self._getter.close()

    def _question(self, since: str, page: int) -> dict[str, str | int | list[str]]:
        return {
            "conditions[agencies][]": list(self._settings.agencies),
            "conditions[publication_date][gte]": since,
            "fields[]": _FIELDS,
            "per_page": self._settings.page_rows,
            "page": page,
            "order": "newest",
        }

    def _observation(self, document: _Document, now_ms: int) -> list[Observation]:
        try:
            day = from_iso(document.publication_date)
        except ValueError:
            shown = document.publication_date[:40]
            raise Malformed(f"Federal Register {document.document_number}: {shown!r} is no date") from None
        at = day + _OUT_BY_MS if day > now_ms else min(day + _OUT_BY_MS, now_ms)
        slugs = {agency.slug for agency in document.agencies}
        first, *others = [agency for agency in self._settings.agencies if agency in slugs] or [""]
        values = {f"type {document.type}": 1.0} | {f"agency {agency}": 1.0 for agency in others}
        return [Observation(self.name, MOAT, document.document_number, first, at, at, values)] if first else []
