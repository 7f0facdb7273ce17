"""The simulated exchange: the broker of backtests and of paper trading, one object for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ..core.config import Account, Costs, Exchange
from ..core.errors import BrokerError
from ..core.leaving import STOPPED
from ..core.portfolio import ZERO, floor_amount, money, price_in
from ..core.types import (
    Approved,
    BarBlock,
    Fill,
    Order,
    OrderId,
    OrderKind,
    Outcome,
    Pair,
    Side,
    Slice,
)
from .venue.matching import Bill, Span, affordable, bill, met

_STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)
CLEARLY = 1.000_001
"""What is so many times above a stop is above it after rounding, too; nearer prices are compared exactly."""


class _Working(msgspec.Struct, eq=False):
    """An order that waits or rests, and what is left of it. `trigger` is the price of an armed stop.

    `woken`: its trigger was touched, and it waits for its limit.
    """

    order: Order
    left: Decimal
    fills: int = 0
    trigger: Decimal | None = None
    woken: bool = False


class SimulatedExchange:
    """Fills market orders at the open of a bar that opened at or after the decision, stops inside a bar.

    A stop that is sent by itself takes the place of the one there is. One with a limit sells at no worse price: what
    a gap leaves below the limit waits for a later bar that reaches it.

    A gap fills a stop at the open. The orders of a pair together take at most `max_volume_ratio` of a bar's
    volume; the rest waits for the next bar. A pair without a bar fills nothing. Long only: buys are cut to the
    cash, sells to the holding. What would buy again after a sell or a stop is withdrawn.
    """

    def __init__(self, costs: Costs, account: Account, exchange: Exchange) -> None:
        self._costs = costs
        self._account = account
        self._max_volume_ratio = exchange.max_volume_ratio
        self._cash = account.start_quote
        self._base: dict[Pair, Decimal] = {}
        self._market: dict[Pair, list[_Working]] = {}
        self._stops: dict[Pair, _Working] = {}
        self._near: dict[Pair, float] = {}  # of each stop: nothing happens as long as lows stay above
        self._open: list[Order] | None = None  # what `open_orders` said last, None since something changed
        self._pairs: tuple[Pair, ...] = ()
        self._places: dict[Pair, int] = {}
        self._outcomes: list[Outcome] = []
        self._at = 0

    def submit(self, approved: Approved) -> None:
        """Queue an order for the next bar; BrokerError for an amount below the step or an id that waits already."""
        order = approved.order
        decimals = self._account.amount_decimals
        amount = floor_amount(order.amount, decimals) if order.amount.is_finite() else ZERO
        if amount <= 0:
            raise BrokerError(f"order {order.id}: amount {order.amount} is below the step of {decimals} decimals")
        if order.kind in _STOPS:
            self._take_stop(order, amount)
            return
        waiting = self._market.get(order.pair)
        if waiting and any(working.order.id == order.id for working in waiting):
            raise BrokerError(f"order {order.id} waits already: give every order an id of its own")
        if waiting and order.side is Side.SELL:
            self._withdraw(order.pair, Side.BUY, "sell_follows")
        self._market.setdefault(order.pair, []).append(_Working(order, amount))
        self._open = None
        self._say(order, "open", order.at, "")

    def _take_stop(self, order: Order, amount: Decimal) -> None:
        """Let a stop rest in the place of the one there is; one that would protect nothing is refused."""
        held = self._base.get(order.pair, ZERO)
        if order.side is not Side.SELL or order.trigger is None or held < amount:
            raise BrokerError(f"order {order.id}: a stop of {amount} with {held} held has nothing to protect")
        before = self._unarm(order.pair)
        if before is not None:
            self._say(before.order, "cancelled", order.at, "replaced")
        self._rest_stop(_Working(order, amount, trigger=order.trigger))
        self._open = None
        self._say(order, "open", order.at, "")

    def cancel(self, pair: Pair, side: Side | None = None) -> Sequence[Order]:
        """Cancel everything that waits or rests for a pair; with a `side` only what waits on it."""
        self._open = None
        if side is not None:
            waiting = [_rest(working) for working in self._market.get(pair, ()) if working.order.side is side]
            self._withdraw(pair, side, "asked")
            return waiting
        gone = self._market.pop(pair, [])
        stop = self._unarm(pair)
        if stop is not None:
            gone.append(stop)
        for working in gone:
            self._say(working.order, "cancelled", self._at, "asked")
        return [working.order for working in gone]

    def open_orders(self) -> Sequence[Order]:
        """Waiting orders, then resting stops, by pair."""
        if self._open is None:
            waiting = [_rest(w) for pair in sorted(self._market) for w in self._market[pair]]
            self._open = waiting + [_rest(self._stops[pair]) for pair in sorted(self._stops)]
        return self._open

    def outcomes(self) -> Sequence[Outcome]:
        """What became of orders since the last call, fills apart."""
        if not self._outcomes:
            return []
        gone, self._outcomes = self._outcomes, []
        return gone

    def fills(self, slice_: Slice) -> Sequence[Fill]:
        """Executions inside the bars of this slice, by pair; within a pair market orders before stops."""
        self._at, block = slice_.at, slice_.bars
        if block is None or not (self._market or self._stops):
            return ()
        touched = self._touched(block)
        if not touched:
            return ()
        self._open = None
        fills: list[Fill] = []
        for index in touched:
            if block.present.item(index):
                self._fill_pair(block, index, fills)
        return fills

    def _touched(self, block: BarBlock) -> list[int]:
        """The pairs in which something may happen: all but those whose sound prices stay clearly above their stop."""
        if block.pairs is not self._pairs:
            self._pairs, self._places = block.pairs, {pair: index for index, pair in enumerate(block.pairs)}
        places = self._places
        found = [places[pair] for pair in self._market if pair in places] if self._market else []
        if self._near:
            opening, low = block.open.tolist(), block.low.tolist()
            for pair, near in self._near.items():
                index = places.get(pair)
                if index is not None and not (near < low[index] < math.inf and 0.0 < opening[index] < math.inf):
                    found.append(index)
        return sorted(set(found)) if found else found

    def _fill_pair(self, block: BarBlock, index: int, fills: list[Fill]) -> None:
        pair, low, volume = block.pairs[index], block.low.item(index), block.volume.item(index)
        room = money(volume) * self._max_volume_ratio if volume > 0 else ZERO
        opening = price_in(pair, block.opened, "open", block.open.item(index))
        if not 0.0 < low < math.inf:
            price_in(pair, block.opened, "low", low)
        for working in list(self._market.get(pair, ())):
            if block.opened < working.order.at or working.left <= 0:
                continue
            fill = self._execute(working, opening, room)
            if fill is not None:
                room -= fill.amount
                fills.append(fill)
        stop = self._stops.get(pair)
        if stop is None:
            return
        high = price_in(pair, block.opened, "high", block.high.item(index)) if stop.woken else opening
        price = self._stop_price(stop, Span(pair, block.opened, opening, high, money(low), room))
        if price is not None:
            self._fill_stop(stop, price, room, fills)

    def _stop_price(self, stop: _Working, span: Span) -> Decimal | None:
        """What a stop sells at in a bar, None where it does not; a gap below its limit wakes it and no more."""
        limit = stop.order.limit
        kind = OrderKind.STOP if limit is None else OrderKind.STOP_LIMIT
        price, woken = met(kind, Side.SELL, limit, stop.trigger, stop.woken, span)
        if price is None and woken and not stop.woken:
            self._wake(stop)
        return price

    def _wake(self, stop: _Working) -> None:
        stop.woken = True
        self._rest_stop(stop)

    def _fill_stop(self, stop: _Working, price: Decimal, room: Decimal, fills: list[Fill]) -> None:
        pair = stop.order.pair
        self._unarm(pair)
        self._withdraw(pair, Side.BUY, "stopped")
        fill = self._execute(stop, price, room)
        if fill is not None:
            fills.append(fill)
        if stop.left > 0 and stop.order.limit is not None:
            self._wake(stop)
        elif stop.left > 0:  # triggered: what the bar had no volume for goes on as a market order
            stop.order, stop.trigger = msgspec.structs.replace(stop.order, kind=OrderKind.MARKET), None
            self._market.setdefault(pair, []).append(stop)

    def _execute(self, working: _Working, price: Decimal, room: Decimal) -> Fill | None:
        order, left = working.order, working.left
        amount = left if left <= room else floor_amount(room, self._account.amount_decimals)
        due = bill(amount, price, self._costs)
        if not self._can_pay(order, amount, due):
            amount = working.left = self._affordable(order, price)
            due = bill(amount, price, self._costs)
            self._drop(working)
            self._say(order, "rejected" if amount <= 0 else "reduced", self._at, "insufficient_funds")
        if amount <= 0:
            return None
        working.left -= amount
        working.fills += 1
        fill = self._fill(working, amount, price, due)
        self._book(fill, due)
        self._after_fill(working, fill)
        return fill

    def _can_pay(self, order: Order, amount: Decimal, due: Bill) -> bool:
        """Whether cash or holding allow the amount."""
        if order.side is Side.SELL:
            return amount <= self._base.get(order.pair, ZERO)
        notional, fee, slippage = due
        return notional + fee + slippage <= self._cash

    def _affordable(self, order: Order, price: Decimal) -> Decimal:
        """The amount that cash or holding allow where the order has to be cut."""
        if order.side is Side.SELL:
            return self._base.get(order.pair, ZERO)
        return affordable(self._cash, price, self._costs, self._account.amount_decimals)

    def _fill(self, working: _Working, amount: Decimal, price: Decimal, due: Bill) -> Fill:
        order, (_, fee, slippage) = working.order, due
        return Fill(
            id=f"{order.id}-{working.fills}",
            order_id=order.id,
            pair=order.pair,
            side=order.side,
            amount=amount,
            price=price,
            fee=fee,
            slippage=slippage,
            at=self._at,
            reason=order.reason,
            final=working.left <= 0,
        )

    def _book(self, fill: Fill, due: Bill) -> None:
        notional, fee, slippage = due
        held = self._base.get(fill.pair, ZERO)
        if fill.side is Side.BUY:
            self._cash -= notional + fee + slippage
            held += fill.amount
        else:
            self._cash += notional - fee - slippage
            held -= fill.amount
        if held:
            self._base[fill.pair] = held
        else:
            del self._base[fill.pair]

    def _after_fill(self, working: _Working, fill: Fill) -> None:
        if working.left <= 0:
            self._drop(working)
        if fill.side is Side.BUY:
            self._arm(working.order, fill)
        else:
            self._after_sale(fill.pair)

    def _arm(self, order: Order, fill: Fill) -> None:
        """The protective stop rests from the moment of the entry's fill, for what was filled."""
        if order.stop is None:
            return
        stop = self._stops.get(fill.pair)
        if stop is not None:
            stop.left += fill.amount
            return
        protective = Order(
            id=OrderId(f"{order.id}-stop"),
            pair=order.pair,
            side=Side.SELL,
            amount=fill.amount,
            kind=OrderKind.STOP,
            at=fill.at,
            reference=fill.price,
            reason=STOPPED,
        )
        self._rest_stop(_Working(protective, fill.amount, trigger=fill.price * (1 - order.stop)))

    def _rest_stop(self, stop: _Working) -> None:
        pair, trigger = stop.order.pair, stop.trigger
        self._stops[pair] = stop
        self._near[pair] = math.inf if trigger is None or stop.woken else float(trigger) * CLEARLY

    def _unarm(self, pair: Pair) -> _Working | None:
        """Take the stop of a pair away."""
        self._near.pop(pair, None)
        return self._stops.pop(pair, None)

    def _after_sale(self, pair: Pair) -> None:
        """The stop shrinks with the holding; where nothing is held any more, no sell may outlive it."""
        held = self._base.get(pair, ZERO)
        stop = self._stops.get(pair)
        if stop is not None:
            stop.left = min(stop.left, held)
        if held > 0:
            return
        self._withdraw(pair, Side.SELL, "position_closed")
        if stop is not None:
            self._unarm(pair)
            self._say(stop.order, "cancelled", self._at, "position_closed")

    def _withdraw(self, pair: Pair, side: Side, reason: str) -> None:
        for working in tuple(self._market.get(pair, ())):
            if working.order.side is side:
                working.left = ZERO
                self._drop(working)
                self._say(working.order, "cancelled", self._at, reason)

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
        self._open = None
        self._cash = Decimal(state["cash"])
        self._base = {Pair(pair): Decimal(amount) for pair, amount in state["base"].items()}
        self._market, self._stops, self._near = {}, {}, {}
        for working in msgspec.convert(state["market"], list[_Working]):
            self._market.setdefault(working.order.pair, []).append(working)
        for stop in msgspec.convert(state["stops"], list[_Working]):
            self._rest_stop(stop)


def _rest(working: _Working) -> Order:
    """The order with what is left of it."""
    order = working.order
    return order if working.left == order.amount else msgspec.structs.replace(order, amount=working.left)
