"""Scheduled events of governments, read from a file of the project: their times are known long before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from ...core.clock import from_iso, iso
from ...core.config import Moats
from ...core.errors import Malformed, Unconfigured
from ...core.timeframes import DAY_MS
from ...core.types import Observation

MOAT = "government"
KNOWN_FROM_THE_START = 0
"""A scheduled date is known before any run begins; only what comes of it is not."""


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    at: str


class CalendarSource:
    """The dates of the file: `calendar`, one series an event, values {"scheduled": 1}, known from the start."""

    name, moat, simulated = "calendar", MOAT, False

    def __init__(self, settings: Moats, folder: Path) -> None:
        self.interval_seconds = settings.pace.government.interval_seconds
        self._file = folder / settings.calendar.file
        self._warn_ms = round(settings.calendar.warn_days * DAY_MS)
        self._notices: list[str] = []

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """All events of the file, past ones too; Unconfigured where it is absent, Malformed where it is wrong."""
        last: dict[str, int] = {}
        said = []
        for number, event in enumerate(self._events(), 1):
            at = self._time(event, number)
            last[event.event] = max(at, last.get(event.event, at))
            id_ = f"{event.event}@{iso(at)[: len('2026-01-01')]}"
            values = {"scheduled": 1.0}
            said.append(Observation(self.name, MOAT, id_, event.event, at, KNOWN_FROM_THE_START, values))
        self._notices = [
            f"{self._file.name}: the last {name} is at {iso(at)}; add the next dates"
            for name, at in sorted(last.items())
            if at < now_ms + self._warn_ms
        ]
        return said

    def notices(self) -> Sequence[str]:
        """Events whose dates run out."""
        return tuple(self._notices)

    def close(self) -> None:
        """Nothing is open."""

    def _events(self) -> list[_Event]:
        try:
            return msgspec.convert(yaml.safe_load(self._file.read_text(encoding="utf-8")), list[_Event])
        except FileNotFoundError:
            raise Unconfigured(
                f"{self._file.name} is missing beside the settings; moats.calendar.file names it"
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
            shown = " ".join(str(error).split())
            raise Malformed(
                f'{self._file.name}: {shown}; write lines like {{event: CPI, at: "2026-01-13T13:30Z"}}'
            ) from None

    def _time(self, event: _Event, number: int) -> int:
        try:
            return from_iso(event.at)
        except ValueError:
            raise Malformed(f"{self._file.name} event {number}: {event.at!r} is no time") from None
