"""A second, simpler set of books beside the account's own, so that what the account says can be held against it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ...core.engine import Report
from ...core.leaving import STOPPED
from ...core.portfolio import ZERO, money
from ...core.types import MONEY_STEP, Fill, Order, OrderId, Pair, Side, Slice


class Armed(msgspec.Struct):
    """A stop: below which price it leaves, and whether it was touched already."""

    trigger: Decimal
    touched: bool = False


class StopFill(msgspec.Struct, frozen=True):
    """A stop's execution and the price at which it had to leave."""

    fill: Fill
    due: Decimal


class Books:
    """Cash, holdings, stops and last closes, from orders, fills and bars alone; money exact."""

    def __init__(self, cash: Decimal) -> None:
        self.cash = cash
        self.peak = cash
        self.held: dict[Pair, Decimal] = {}
        self.closes: dict[Pair, Decimal] = {}
        self.seen_at: dict[Pair, int] = {}
        self.stops: dict[Pair, Armed] = {}
        self.orders: dict[OrderId, Order] = {}
        self.stop_fills: list[StopFill] = []
        self.missed: list[Pair] = []

    def take(self, slice_: Slice, report: Report, step: Decimal, share: Decimal) -> None:
        """One slice: fills first, then marks, then what was ordered; `share` of a bar's volume may be taken."""
        self.stop_fills, self.missed = [], []
        for fill in report.fills:
            self._book(fill, slice_)
        self._look_at_bars(slice_, report.fills, step, share)
        self.orders |= {order.id: order for order in report.orders}
        self.peak = max(self.peak, self.equity)

    @property
    def equity(self) -> Decimal:
        """Cash and holdings at their last closes."""
        return self.cash + sum(((n * self.closes[p]).quantize(MONEY_STEP) for p, n in self.held.items()), ZERO)

    @property
    def drawdown(self) -> Decimal:
        """Loss from the highest equity so far, in [0, 1]."""
        return ZERO if self.peak <= 0 else 1 - self.equity / self.peak

    def _book(self, fill: Fill, slice_: Slice) -> None:
        sign = 1 if fill.side is Side.BUY else -1
        if fill.reason == STOPPED:
            self._left(fill, slice_)
        self.cash -= sign * fill.notional + fill.fee + fill.slippage
        self.held[fill.pair] = self.held.get(fill.pair, ZERO) + sign * fill.amount
        order = self.orders.get(fill.order_id)
        if fill.side is Side.BUY and order is not None and order.stop is not None and fill.pair not in self.stops:
            self.stops[fill.pair] = Armed(fill.price * (1 - order.stop))
        if self.held[fill.pair] == 0:
            del self.held[fill.pair]
            self.stops.pop(fill.pair, None)

    def _left(self, fill: Fill, slice_: Slice) -> None:
        stop, opening = self.stops.get(fill.pair), _price(slice_, fill.pair, "open")
        if stop is None or opening is None:
            return
        self.stop_fills.append(StopFill(fill, opening if stop.touched else min(opening, stop.trigger)))
        stop.touched = True

    def _look_at_bars(self, slice_: Slice, fills: Sequence[Fill], step: Decimal, share: Decimal) -> None:
        bars = slice_.bars
        if bars is None:
            return
        sold = {fill.pair for fill in fills if fill.side is Side.SELL}
        for place, pair in enumerate(bars.pairs):
            if not bars.present[place]:
                continue
            self.closes[pair], self.seen_at[pair] = money(float(bars.close[place])), slice_.at
            stop = self.stops.get(pair)
            if stop is not None and not stop.touched and money(float(bars.low[place])) <= stop.trigger:
                stop.touched = True
                if pair not in sold and money(float(bars.volume[place])) * share >= step:
                    self.missed.append(pair)


def _price(slice_: Slice, pair: Pair, name: str) -> Decimal | None:
    bars = slice_.bars
    if bars is None:
        return None
    place = bars.pairs.index(pair)
    return money(float(getattr(bars, name)[place])) if bars.present[place] else None
