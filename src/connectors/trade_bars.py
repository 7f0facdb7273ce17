"""Makes bars of single trades, block after block, so that an archive larger than the memory can be read."""

from __future__ import annotations

import numpy as np

from ..core.history import BarColumns
from ..core.types import FloatArray, IntArray


class TradeBars:
    """Collects trades in order of time into bars; an interval without a trade has no bar.

    The last interval of a block stays open until the next block comes, or `bars` is asked for.
    """

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._done: list[BarColumns] = []
        self._last_ms = -1
        self._open = _columns(np.empty(0, np.int64), np.empty(0), np.empty(0), interval_ms)

    def add(self, times_ms: IntArray, prices: FloatArray, volumes: FloatArray) -> None:
        """Take trades (UTC ms, quote currency, base units; all of one length); ValueError when time runs backwards."""
        if not len(times_ms):
            return
        if times_ms[0] < self._last_ms or (np.diff(times_ms) < 0).any():
            raise ValueError("the trades are not in order of time")
        self._last_ms = int(times_ms[-1])
        fresh = _joined(self._open, _columns(times_ms, prices, volumes, self._interval_ms))
        self._done.append(_slice(fresh, slice(None, -1)))
        self._open = _slice(fresh, slice(-1, None))

    def bars(self) -> BarColumns:
        """All bars so far, in order of time; the last one may still grow."""
        parts = [*self._done, self._open]
        opened = np.concatenate([part.opened for part in parts])
        values = zip(*(part.values() for part in parts), strict=True)
        return BarColumns(opened, *(np.concatenate(column) for column in values))


def _columns(times_ms: IntArray, prices: FloatArray, volumes: FloatArray, interval_ms: int) -> BarColumns:
    opened = times_ms - times_ms % interval_ms
    starts = np.flatnonzero(np.diff(opened, prepend=-1))
    ends = np.append(starts[1:], len(opened)) - 1
    if not len(starts):
        empty = np.empty(0)
        return BarColumns(opened, empty, empty, empty, empty, empty)
    high, low = np.maximum.reduceat(prices, starts), np.minimum.reduceat(prices, starts)
    return BarColumns(opened[starts], prices[starts], high, low, prices[ends], np.add.reduceat(volumes, starts))


def _joined(open_: BarColumns, fresh: BarColumns) -> BarColumns:
    """`fresh` behind the bar that was open; where its first bar is the same interval, both become one."""
    if not len(open_.opened):
        return fresh
    if open_.opened[-1] != fresh.opened[0]:
        pairs = zip(open_.values(), fresh.values(), strict=True)
        opened = np.concatenate([open_.opened, fresh.opened])
        return BarColumns(opened, *(np.concatenate(pair) for pair in pairs))
    fresh.open[0] = open_.open[0]
    fresh.high[0] = max(open_.high[0], fresh.high[0])
    fresh.low[0] = min(open_.low[0], fresh.low[0])
    fresh.volume[0] += open_.volume[0]
    return fresh


def _slice(bars: BarColumns, part: slice) -> BarColumns:
    return BarColumns(bars.opened[part], *(column[part] for column in bars.values()))
