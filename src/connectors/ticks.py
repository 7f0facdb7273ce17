"""Replays recorded trades as bars with the trades that made them, so that a recording is a feed like any other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.errors import NotFound
from ..core.history import BarColumns, History, SliceDigest, align
from ..core.timeframes import timeframe_name
from ..core.types import IntArray, Pair, Slice, Tick
from .trade_files import Trades, read_trades

__all__ = ["TickFeed", "Trades", "bars_of_trades", "read_trades"]


def bars_of_trades(trades: Trades, interval_ms: int) -> History:
    """Bars of the trades with open <= time < open + interval; an interval without a trade has no bar.

    Only intervals that were recorded from beginning to end count: that of the first trade is left out unless the
    trade came in its first millisecond, and that of the last trade always. NotFound when nothing remains.
    """
    opens = trades.at - trades.at % interval_ms
    begun = int(opens[0]) if trades.at[0] == opens[0] else int(opens[0]) + interval_ms
    whole = (opens >= begun) & (opens < opens[-1])
    bars = {}
    for place, pair in enumerate(trades.pairs):
        mine = whole & (trades.pair == place)
        if mine.any():
            bars[pair] = _columns(trades, np.flatnonzero(mine), opens[mine])
    if not bars:
        seconds = (int(trades.at[-1]) - int(trades.at[0])) / 1000
        raise NotFound(
            f"the recording holds no whole {timeframe_name(interval_ms)} bar: it is {seconds:.0f} s long; "
            f"choose a shorter timeframe"
        )
    return align(bars, interval_ms)


def _columns(trades: Trades, rows: IntArray, opens: IntArray) -> BarColumns:
    price, amount = trades.price[rows], trades.amount[rows]
    opened, first = np.unique(opens, return_index=True)
    last = np.append(first[1:], len(rows)) - 1
    return BarColumns(
        opened,
        price[first],
        np.maximum.reduceat(price, first),
        np.minimum.reduceat(price, first),
        price[last],
        np.add.reduceat(amount, first),
    )


class TickFeed:
    """A Feed over recorded trades: at every close of a bar a slice with the trades since the slice before.

    A trade in the very millisecond of a close belongs to the next bar and slice. Trades before the first whole bar
    come with its slice; the replay ends with the last whole bar. With `since` it goes on after that time.
    """

    simulated = False

    def __init__(self, trades: Trades, interval_ms: int, since: int | None = None) -> None:
        self.trades = trades
        self.interval_ms = interval_ms
        self.since = since
        self.history = bars_of_trades(trades, interval_ms)
        self.pairs: tuple[Pair, ...] = self.history.pairs

    def start_after(self, at: int) -> TickFeed:
        """The same feed from the first slice later than `at` on."""
        return TickFeed(self.trades, self.interval_ms, at)

    def __iter__(self) -> Iterator[Slice]:
        times = self.history.times
        first = 0 if self.since is None else int(np.searchsorted(times, self.since, side="right"))
        ends = np.searchsorted(self.trades.at, times).tolist()
        done = 0 if self.since is None else int(np.searchsorted(self.trades.at, self.since))
        for (at, bars), end in zip(self.history.blocks(first), ends[first:], strict=True):
            yield Slice(at, bars, (), self._ticks(done, end))
            done = end

    def _ticks(self, first: int, last: int) -> tuple[Tick, ...]:
        trades, part = self.trades, slice(first, last)
        columns = (trades.pair[part], trades.at[part], trades.price[part], trades.amount[part])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return tuple(Tick(trades.pairs[place], at, price, amount) for place, at, price, amount in rows)

    @property
    def data_sha256(self) -> str:
        """The hash of everything this feed yields."""
        digest = SliceDigest(self.pairs, self.interval_ms)
        for slice_ in self:
            digest.update(slice_)
        return digest.hexdigest()
