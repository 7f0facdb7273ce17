"""Makes bars of the base interval from trades, and holds them against the exchange's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from ...core.types import Bar, BarBlock, Pair
from .said import CandleSaid, TradeSaid

WHOLE_VOLUME = 1e-6
"""By what ratio the volumes of two bars of the same trades may differ: sums in another order, rounded by the venue."""


class _Growing(msgspec.Struct):
    """A bar that is not over."""

    open: float
    high: float
    low: float
    close: float
    volume: float

    def grow(self, price: float, amount: float) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += amount


class Bars:
    """Growing bars by the start of their interval and pair; closed ones are handed out once, in order.

    `late` counts trades of intervals that were closed already, `disagreements` bars that differ from the exchange's
    although no trade was missed, `lent` bars taken from the exchange because one was.
    """

    def __init__(self, pairs: Sequence[Pair], interval_ms: int) -> None:
        self.pairs, self.interval_ms = tuple(pairs), interval_ms
        self._growing: dict[int, dict[Pair, _Growing]] = {}
        self._candles: dict[int, dict[Pair, CandleSaid]] = {}
        self._closed_to = 0
        self.late = self.disagreements = self.lent = 0

    def add(self, pair: Pair, trade: TradeSaid) -> None:
        """A trade that counts."""
        opened = trade.at - trade.at % self.interval_ms
        if opened < self._closed_to:
            self.late += not trade.snapshot
            return
        price, amount = float(trade.price), float(trade.amount)
        row = self._growing.setdefault(opened, {})
        if pair in row:
            row[pair].grow(price, amount)
        else:
            row[pair] = _Growing(price, price, price, price, amount)

    def candle(self, pair: Pair, candle: CandleSaid) -> None:
        """The exchange's own bar, the newest word of it; only those of this interval are kept."""
        if candle.minutes * 60_000 == self.interval_ms and candle.opened >= self._closed_to:
            self._candles.setdefault(candle.opened, {})[pair] = candle

    def close(self, opened: int, covered: Mapping[Pair, bool]) -> dict[Pair, Bar]:
        """The bars of an interval that is over. `covered`: of which pairs no trade of it is missing.

        A pair that is not covered gets the exchange's own bar where there is one, else none. Older intervals that
        were never asked for are forgotten.
        """
        rows, candles = self._growing.get(opened, {}), self._candles.get(opened, {})
        bars = {}
        for pair in self.pairs:
            own, theirs = rows.get(pair), candles.get(pair)
            if covered.get(pair, False) and own is not None:
                self.disagreements += theirs is not None and _differ(own, theirs)
                bars[pair] = Bar(pair, opened, own.open, own.high, own.low, own.close, own.volume)
            elif not covered.get(pair, False) and theirs is not None and theirs.amount:
                self.lent += 1
                bars[pair] = bar_of(pair, theirs)
        self._forget(opened + self.interval_ms)
        return bars

    def _forget(self, closed_to: int) -> None:
        self._closed_to = closed_to
        for store in (self._growing, self._candles):
            for opened in [one for one in store if one < closed_to]:
                del store[opened]


def bar_of(pair: Pair, candle: CandleSaid) -> Bar:
    """The exchange's own bar as ours."""
    figures = (candle.open, candle.high, candle.low, candle.close, candle.amount)
    return Bar(pair, candle.opened, *map(float, figures))


def block_of(pairs: Sequence[Pair], opened: int, bars: Mapping[Pair, Bar]) -> BarBlock | None:
    """Bars of one interval as arrays in the order of the pairs; None where there is no bar at all."""
    if not bars:
        return None
    table = np.full((5, len(pairs)), np.nan)
    table[4] = 0.0
    for place, pair in enumerate(pairs):
        bar = bars.get(pair)
        if bar is not None:
            table[:, place] = bar.open, bar.high, bar.low, bar.close, bar.volume
    present = np.array([pair in bars for pair in pairs])
    for array in (table, present):
        array.flags.writeable = False
    open_, high, low, close, volume = table
    return BarBlock(tuple(pairs), opened, open_, high, low, close, volume, present)


def _differ(own: _Growing, theirs: CandleSaid) -> bool:
    prices = (own.open, own.high, own.low, own.close)
    same = prices == tuple(map(float, (theirs.open, theirs.high, theirs.low, theirs.close)))
    return not same or not math.isclose(own.volume, float(theirs.amount), rel_tol=WHOLE_VOLUME)
