"""The simulated exchange: the broker of backtests and of paper trading, one object for both."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ..core.config import Account, Costs, Exchange
from ..core.errors import BrokerError
from ..core.portfolio import ZERO, floor_amount, money, side_costs
from ..core.types import (
    Approved,
    Bar,
    Fill,
    Order,
    OrderId,
    OrderKind,
    Outcome,
    Pair,
    Side,
    Slice,
)


class _Working(msgspec.Struct):
    """An order that waits or rests, and what is left of it. `trigger` is the price of an armed stop."""

    order: Order
    left: Decimal
    fills: int = 0
    trigger: Decimal | None = None


class SimulatedExchange:
    """Fills market orders at the open of a bar that opened at or after the decision, stops inside a bar.

    A gap fills a stop at the open. One order takes at most `max_volume_ratio` of a bar's volume; the rest
    waits for the next bar. A pair without a bar fills nothing. Long only: buys are cut to the cash, sells to
    the holding.
    """

    def __init__(self, costs: Costs, account: Account, exchange: Exchange) -> None:
        self._costs = costs
        self._account = account
        self._max_volume_ratio = exchange.max_volume_ratio
        self._cash = account.start_quote
        self._base: dict[Pair, Decimal] = {}
        self._market: dict[Pair, list[_Working]] = {}
        self._stops: dict[Pair, _Working] = {}
        self._outcomes: list[Outcome] = []

    def submit(self, approved: Approved) -> None:
        """Queue an order for the next bar; BrokerError for an amount that is not positive."""
        order = approved.order
        if order.amount <= 0:
            raise BrokerError(f"order {order.id}: amount {order.amount} is not positive")
        self._market.setdefault(order.pair, []).append(_Working(order, order.amount))
        self._say(order, "open", order.at, "")

    def cancel(self, pair: Pair) -> Sequence[Order]:
        """Cancel everything that waits or rests for a pair."""
        gone = self._market.pop(pair, [])
        stop = self._stops.pop(pair, None)
        if stop is not None:
            gone.append(stop)
        for working in gone:
            self._say(working.order, "cancelled", working.order.at, "asked")
        return [working.order for working in gone]

    def open_orders(self) -> Sequence[Order]:
        """Waiting orders, then resting stops, by pair."""
        waiting = [w.order for pair in sorted(self._market) for w in self._market[pair]]
        return waiting + [self._stops[pair].order for pair in sorted(self._stops)]

    def outcomes(self) -> Sequence[Outcome]:
        """What became of orders since the last call, fills apart."""
        gone, self._outcomes = self._outcomes, []
        return gone

    def fills(self, slice_: Slice) -> Sequence[Fill]:
        """Executions inside the bars of this slice, by pair; within a pair market orders before stops."""
        if slice_.bars is None or not (self._market or self._stops):
            return ()
        block = slice_.bars
        fills: list[Fill] = []
        for index, pair in enumerate(block.pairs):
            if (pair in self._market or pair in self._stops) and (bar := block.bar(index)) is not None:
                self._fill_pair(bar, slice_, fills)
        return fills

    def _fill_pair(self, bar: Bar, slice_: Slice, fills: list[Fill]) -> None:
        room = money(bar.volume) * self._max_volume_ratio
        opening = money(bar.open)
        for working in list(self._market.get(bar.pair, ())):
            if bar.opened < working.order.at:
                continue
            fill = self._execute(working, opening, room, slice_)
            if fill is None:
                continue
            room -= fill.amount
            fills.append(fill)
            self._after_fill(working, fill)
        stop = self._stops.get(bar.pair)
        if stop is not None and stop.trigger is not None and money(bar.low) <= stop.trigger:
            self._fill_stop(stop, min(opening, stop.trigger), room, slice_, fills)

    def _fill_stop(
        self, stop: _Working, price: Decimal, room: Decimal, slice_: Slice, fills: list[Fill]
    ) -> None:
        del self._stops[stop.order.pair]
        fill = self._execute(stop, price, room, slice_)
        if fill is not None:
            fills.append(fill)
        if stop.left > 0:  # triggered: what the bar had no volume for goes on as a market order
            self._market.setdefault(stop.order.pair, []).append(stop)

    def _execute(self, working: _Working, price: Decimal, room: Decimal, slice_: Slice) -> Fill | None:
        order = working.order
        amount = floor_amount(min(working.left, room), self._account.amount_decimals)
        amount, cut = self._affordable(order, amount, price)
        if cut:
            self._drop(working)
            self._say(order, "rejected" if amount <= 0 else "reduced", slice_.at, "insufficient_funds")
        if amount <= 0:
            return None
        working.left = ZERO if cut else working.left - amount
        working.fills += 1
        fill = self._fill(working, amount, price, slice_)
        self._book(fill)
        return fill

    def _affordable(self, order: Order, amount: Decimal, price: Decimal) -> tuple[Decimal, bool]:
        """The amount that cash or holding allow, and whether the order had to be cut."""
        if order.side is Side.SELL:
            held = self._base.get(order.pair, ZERO)
            return (held, True) if amount > held else (amount, False)
        most = floor_amount(self._cash / (price * (1 + self._costs.per_side)), self._account.amount_decimals)
        return (most, True) if amount > most else (amount, False)

    def _fill(self, working: _Working, amount: Decimal, price: Decimal, slice_: Slice) -> Fill:
        order = working.order
        fee, slippage = side_costs(amount * price, self._costs)
        return Fill(
            id=f"{order.id}-{working.fills}",
            order_id=order.id,
            pair=order.pair,
            side=order.side,
            amount=amount,
            price=price,
            fee=fee,
            slippage=slippage,
            at=slice_.at,
            reason=order.reason,
            final=working.left <= 0,
        )

    def _book(self, fill: Fill) -> None:
        sign = 1 if fill.side is Side.BUY else -1
        self._cash -= sign * fill.notional + fill.fee + fill.slippage
        self._base[fill.pair] = self._base.get(fill.pair, ZERO) + sign * fill.amount
        if self._base[fill.pair] == 0:
            del self._base[fill.pair]

    def _after_fill(self, working: _Working, fill: Fill) -> None:
        if working.left <= 0:
            self._drop(working)
        if fill.side is Side.BUY:
            self._arm(working.order, fill)
        else:
            self._disarm(fill)

    def _arm(self, order: Order, fill: Fill) -> None:
        """The protective stop rests from the moment of the entry's fill, for what was filled."""
        if order.stop is None:
            return
        stop = self._stops.get(fill.pair)
        if stop is not None:
            stop.left += fill.amount
            stop.order = msgspec.structs.replace(stop.order, amount=stop.left)
            return
        protective = Order(
            id=OrderId(f"{order.id}-stop"),
            pair=order.pair,
            side=Side.SELL,
            amount=fill.amount,
            kind=OrderKind.STOP,
            at=fill.at,
            reference=fill.price,
            reason="stop",
        )
        self._stops[fill.pair] = _Working(protective, fill.amount, trigger=fill.price * (1 - order.stop))

    def _disarm(self, fill: Fill) -> None:
        stop = self._stops.get(fill.pair)
        if stop is None:
            return
        stop.left = min(stop.left, self._base.get(fill.pair, ZERO))
        if stop.left <= 0:
            del self._stops[fill.pair]
            self._say(stop.order, "cancelled", fill.at, "position_closed")

    def _drop(self, working: _Working) -> None:
        queue = self._market.get(working.order.pair, [])
        if working in queue:
            queue.remove(working)
        if not queue:
            self._market.pop(working.order.pair, None)

    def _say(self, order: Order, state: str, at: int, reason: str) -> None:
        self._outcomes.append(Outcome(order.id, order.pair, state, at, reason))

    def state(self) -> dict[str, Any]:
        """Balances and working orders as plain data."""
        working = [w for queue in self._market.values() for w in queue]
        return {
            "cash": str(self._cash),
            "base": {pair: str(amount) for pair, amount in self._base.items()},
            "market": msgspec.to_builtins(working),
            "stops": msgspec.to_builtins(list(self._stops.values())),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._cash = Decimal(state["cash"])
        self._base = {Pair(pair): Decimal(amount) for pair, amount in state["base"].items()}
        self._market, self._stops = {}, {}
        for working in msgspec.convert(state["market"], list[_Working]):
            self._market.setdefault(working.order.pair, []).append(working)
        for stop in msgspec.convert(state["stops"], list[_Working]):
            self._stops[stop.order.pair] = stop
