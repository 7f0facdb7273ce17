"""The filings of listed companies, asked from the submissions of SEC EDGAR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ...core.clock import Timer, from_iso
from ...core.config import Company, Moats
from ...core.errors import Malformed, Unconfigured
from ...core.timeframes import DAY_MS
from ...core.types import Observation
from .http import Getter
from .rounds import Rounds

MOAT = "corporate"
_TOO_FAST = b"Request Rate Threshold Exceeded"
"""In the page that EDGAR shows, with status 403, to who asks too often."""


class _Recent(msgspec.Struct):
    """Columns of the newest filings, all of one length."""

    accessionNumber: list[str]
    acceptanceDateTime: list[str]
    form: list[str]
    items: list[str]
    size: list[float]


class _Filings(msgspec.Struct):
    recent: _Recent


class _Submissions(msgspec.Struct):
    name: str
    tickers: list[str]
    filings: _Filings


class EdgarSource:
    """Filings, known when they were accepted: `sec_filings`, one series a ticker, values as in recordings."""

    name, moat, simulated = "edgar", MOAT, False

    def __init__(self, settings: Moats, environ: Mapping[str, str], timer: Timer) -> None:
        self.interval_seconds = settings.pace.corporate.interval_seconds
        self._settings = settings.edgar
        self._rounds = Rounds(self._settings.companies)
        identity = environ.get(self._settings.identity_env, "").strip()
        self._getter = None
        if identity:
            self._getter = Getter(
                self._settings.base_url, settings.http, timer, identity, lambda body: _TOO_FAST in body
            )

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """Filings of the look-back of all companies.

        Unconfigured without an identity, else raises what `Rounds.ask` raises.
        """
        if self._getter is None:
            raise Unconfigured(
                f"the SEC asks who is asking; set the variable {self._settings.identity_env} to NAME MAIL"
            )
        getter = self._getter
        return self._rounds.ask(lambda company: self._company(getter, company, now_ms))

    def notices(self) -> Sequence[str]:
        """Companies that could not be read, or whose number belongs to another ticker."""
        return tuple(self._rounds.notices)

    def close(self) -> None:
        """Give back the connections."""
        if self._getter is not None:
            self._getter.close()

    def _company(self, getter: Getter, company: Company, now_ms: int) -> list[Observation]:
        path = f"/submissions/CIK{company.cik:010d}.json"
        said = getter.json(path, _Submissions, {}, now_ms)
        if company.ticker not in said.tickers:
            known = ", ".join(said.tickers) or "no ticker"
            self._rounds.notices.append(f"EDGAR: CIK {company.cik} is {said.name} ({known}), not {company.ticker}")
        since = now_ms - round(self._settings.lookback_days * DAY_MS)
        return [item for item in _filings(said.filings.recent, company, path) if item.at >= since]


def _filings(recent: _Recent, company: Company, where: str) -> Iterator[Observation]:
    columns = (recent.accessionNumber, recent.acceptanceDateTime, recent.form, recent.items, recent.size)
    if len({len(column) for column in columns}) != 1:
        raise Malformed(f"EDGAR {where}: columns of unequal length; nothing of it is believed")
    for number, accepted, form, items, size in zip(*columns, strict=True):
        try:
            at = from_iso(accepted)
        except ValueError:
            raise Malformed(f"EDGAR {where}: {number} was accepted at {accepted[:40]!r}, which is no time") from None
        values = {"size": size, f"form {form}": 1.0}
        values |= {f"item {item}": 1.0 for item in items.split(",") if item}
        yield Observation("sec_filings", MOAT, number, company.ticker, at, at, values)
