"""Daily closes of listed shares and funds: dry-bulk freight and the miners' basket, asked as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence

from ...core.clock import Timer, from_iso, iso
from ...core.config import Moats
from ...core.errors import Gone, Malformed, RateLimited, SourceError, Unconfigured
from ...core.timeframes import DAY_MS, HOUR_MS
from ...core.types import Observation
from .http import Getter
from .rounds import Rounds

MOAT = "corporate"
SERIES = "equities_daily"
"""Moat and series of the recordings, freight (BDRY) included."""
_PATH = "/q/d/l/"
_COLUMNS = ("Open", "High", "Low", "Close", "Volume")
_KNOWN_AFTER_MS = 22 * HOUR_MS
"""The close in New York is at 20:00 or 21:00 UTC; by 22:00 it is out in every season."""


class DailyPricesSource:
    """Finished days of `equities_daily`, one series a symbol, values open, high, low, close, volume."""

    name, moat, simulated = "daily_prices", MOAT, False

    def __init__(self, settings: Moats, timer: Timer) -> None:
        self.interval_seconds = settings.pace.corporate.interval_seconds
        self._settings = settings.daily_prices
        self._rounds = Rounds(self._settings.symbols)
        base = self._settings.base_url
        self._getter = None if base is None else Getter(base, settings.http, timer)

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """The days of the look-back of all symbols.

        Unconfigured without an address, else raises what `Rounds.ask` raises.
        """
        if self._getter is None:
            raise Unconfigured("daily prices have no address; set moats.daily_prices.base_url")
        getter = self._getter
        return self._rounds.ask(lambda symbol: self._symbol(getter, symbol, now_ms))

    def notices(self) -> Sequence[str]:
        """Symbols that could not be read."""
        return tuple(self._rounds.notices)

    def close(self) -> None:
        """Give back the connections."""
        if self._getter is not None:
            self._getter.close()

    def _symbol(self, getter: Getter, symbol: str, now_ms: int) -> list[Observation]:
        since = now_ms - round(self._settings.lookback_days * DAY_MS)
        question = {"s": f"{symbol.lower()}{self._settings.suffix}", "i": "d", "d1": _date(since), "d2": _date(now_ms)}
        text = getter.text(_PATH, question, now_ms)
        return [
            Observation(SERIES, MOAT, f"{symbol}@{at}", symbol, at, at + _KNOWN_AFTER_MS, values)
            for at, values in _rows(text, symbol)
            if since <= at and not at <= now_ms < at + _KNOWN_AFTER_MS
        ]


def _date(at: int) -> str:
    return iso(at)[: len("2026-01-01")].replace("-", "")


def _rows(text: str, symbol: str) -> Iterator[tuple[int, dict[str, float]]]:
    """(beginning of the day, values) of each line; columns that are not prices are ignored, all must be there."""
    lines = csv.DictReader(text.splitlines(), strict=True)
    try:
        header = tuple(lines.fieldnames or ())
        if not {"Date", *_COLUMNS} <= set(header):
            raise _no_table(text, symbol)
        for line in lines:
            yield _row(line, symbol, lines.line_num)
    except csv.Error as error:
        raise Malformed(f"daily prices of {symbol} after line {lines.line_num}: {error}") from None


def _row(line: dict[str, str], symbol: str, number: int) -> tuple[int, dict[str, float]]:
    try:
        values = {name.lower(): float(line[name]) for name in _COLUMNS}
        at = from_iso(line["Date"])
    except (ValueError, TypeError):
        raise Malformed(f"daily prices of {symbol} line {number}: not a date and five numbers") from None
    if not all(map(math.isfinite, values.values())):
        raise Malformed(f"daily prices of {symbol} line {number}: a number that is not finite")
    return at, values


def _no_table(text: str, symbol: str) -> SourceError:
    """Servers of this kind say what is wrong in words, with status 200."""
    if "exceeded" in text[:200].lower():
        return RateLimited(f"daily prices of {symbol}: the day's allowance is spent")
    if text.strip().lower().startswith(("no data", "brak danych")):
        return Gone(f"daily prices: no data for {symbol}; check moats.daily_prices.symbols")
    return Malformed(f"daily prices of {symbol}: not a table with {', '.join(('Date', *_COLUMNS))}")
