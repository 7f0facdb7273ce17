"""The exchange's own side of a simulated venue: takes, refuses, matches, ends and remembers orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ...core.config import Costs
from ...core.portfolio import ZERO, floor_amount
from ...core.timeframes import DAY_MS
from ...core.types import Order, OrderKind, Pair, Side
from ...core.venue import Ask, ClientId, Ended, Executed, OrderState, Place, VenueId, VenueOrder, VenueStatus
from .accepted import Accepted, Purse, accepted
from .matching import Span, affordable, bill, met, within
from .rules import DUPLICATE, UNAVAILABLE, Counter, VenueRules, cancel_cost

TAKING = (OrderKind.MARKET, OrderKind.STOP)
NOBODY = ClientId("")
HISTORY_CALL = 4
"""Points of a question about executions on the REST counter, the worse of the two documented figures."""


class Told(msgspec.Struct, frozen=True):
    """What the exchange knows in answer to a question; `balances` name the base of a pair, or the pair's quote."""

    orders: tuple[VenueOrder, ...] = ()
    executions: tuple[Executed, ...] = ()
    balances: tuple[tuple[str, Decimal], ...] = ()
    error: str = ""


class _Gone(msgspec.Struct, frozen=True):
    """How many orders and executions are told no more, as of a day (counted from 1970): numbers go on behind them."""

    day: int = 0
    orders: int = 0
    executions: int = 0


class VenueServer:
    """One account at an exchange in the exchange's own time (UTC ms, never falling).

    It does what is asked or says why not in the vendor's words; it raises nothing. Client ids are unique over open
    orders only. A market order without room waits; one that the balance does not cover is cut and its rest cancelled.
    """

    def __init__(self, rules: VenueRules, costs: Costs, quote: Decimal) -> None:
        self._rules = rules
        self._costs = costs
        self.purse = Purse(quote)
        self.status = VenueStatus.ONLINE
        self.orders: dict[VenueId, Accepted] = {}
        self.executions: list[Executed] = []
        self._open: dict[VenueId, Accepted] = {}
        self._names: dict[ClientId, list[Accepted]] = {}
        self._pushed: list[Executed | Ended] = []
        self._counters = {pair: Counter(rules.decay) for pair in rules.pairs}
        self._calls = Counter(rules.calls_decay)
        self._last: dict[Pair, Span] = {}
        self._fires_at: int | None = None
        self._gone = _Gone()

    def pushed(self) -> list[Executed | Ended]:
        """What the private stream has to say since the last call, in order."""
        gone, self._pushed = self._pushed, []
        return gone

    def open_orders(self) -> Sequence[Accepted]:
        """Open orders in order of acceptance."""
        return list(self._open.values())

    def named(self, client_id: ClientId) -> Sequence[Accepted]:
        """Every order that ever carried this id: an id is free again when its order ended."""
        return self._names.get(client_id, ())

    def takes(self, pair: Pair, amount: Decimal) -> bool:
        """Whether an amount is enough for an order of a pair at the last price; less is dust."""
        demands, last = self._rules.pairs[pair], self._last.get(pair)
        return last is not None and amount >= demands.order_min and amount * last.opening >= demands.cost_min

    def add(self, place: Place, now: int) -> tuple[VenueId | None, str]:
        """(the exchange's id, "") of an order that was taken, else (None, the error text)."""
        self.tick(now)
        return self._add(place.client_id, place.approved.order, place.deadline, place.expires_at, now)

    def by_hand(self, order: Order, now: int) -> tuple[VenueId | None, str]:
        """An order that a human, or another program, sends to the same account."""
        self.tick(now)
        return self._add(NOBODY, order, now, None, now)

    def _add(
        self, client_id: ClientId, order: Order, deadline: int, expires_at: int | None, now: int
    ) -> tuple[VenueId | None, str]:
        error = self._refusal(client_id, order, deadline, now)
        if error:
            return None, error
        new = accepted(self._gone.orders + len(self.orders) + 1, client_id, order, expires_at, now, ZERO)
        self.purse.hold(new, self._needs(order))
        self.orders[new.venue_id] = self._open[new.venue_id] = new
        if client_id:
            self._names.setdefault(client_id, []).append(new)
        span = self._last.get(new.pair)
        if span is not None and self._rules.instant:
            self._meet(new, span, now)
        return new.venue_id, ""

    def _refusal(self, client_id: ClientId, order: Order, deadline: int, now: int) -> str:
        if self.status is VenueStatus.MAINTENANCE:
            return UNAVAILABLE
        counter = self._counters.get(order.pair)
        if counter is None:
            return "EQuery:Unknown asset pair"
        counter.add(1, now)
        if counter.level(now) > self._rules.threshold:
            return "EOrder:Rate limit exceeded"
        if now > deadline:
            return "EService:Deadline elapsed"
        if any(one.state is OrderState.OPEN for one in self.named(client_id)):
            return DUPLICATE
        return self._closed_to(order) or self._malformed(order) or self._unaffordable(order)

    def _closed_to(self, order: Order) -> str:
        if self.status is VenueStatus.CANCEL_ONLY:
            return "EService:Market in cancel_only mode"
        if self.status is VenueStatus.POST_ONLY:
            if order.kind in TAKING:
                return "EService:Market in post_only mode"
            last = self._last.get(order.pair)
            if order.kind is OrderKind.LIMIT and last is not None and within(order.side, order.limit or ZERO, last.low):
                return "EOrder:Post only order"
        return ""

    def _malformed(self, order: Order) -> str:
        demands = self._rules.pairs[order.pair]
        prices = [price for price in (order.limit, order.trigger) if price is not None]
        missing = (order.limit is None and order.kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT)) or (
            order.trigger is None and order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)
        )
        if missing or any(price <= 0 for price in prices):
            return "EOrder:Invalid price"
        if any(price % demands.tick for price in prices):
            return "EOrder:Tick size check failed"
        if order.amount < demands.order_min:
            return "EOrder:Order minimum not met"
        return "EOrder:Cost minimum not met" if order.amount * self._worth(order) < demands.cost_min else ""

    def _unaffordable(self, order: Order) -> str:
        if len(self._open) >= self._rules.max_open:
            return "EOrder:Orders limit exceeded"
        lacking = self._needs(order) > self.purse.free(order.side, order.pair)
        return "EOrder:Insufficient funds" if lacking else ""

    def _worth(self, order: Order) -> Decimal:
        """The price at which an order is measured before it meets one."""
        if order.limit is not None or order.trigger is not None:
            return order.limit or order.trigger or ZERO
        last = self._last.get(order.pair)
        return order.reference if last is None else last.opening

    def _needs(self, order: Order) -> Decimal:
        if order.side is Side.SELL:
            return order.amount
        return order.amount * self._worth(order) * (1 + self._costs.per_side)

    def cancel(self, client_id: ClientId, venue_id: VenueId | None, now: int) -> str:
        """Cancel one open order, by the exchange's id or by ours; the error text, "" when it was done."""
        self.tick(now)
        if self.status is VenueStatus.MAINTENANCE:
            return UNAVAILABLE
        found = self._open.get(venue_id) if venue_id is not None else None
        if found is None and client_id:
            found = next((one for one in self.named(client_id) if one.state is OrderState.OPEN), None)
        if found is None:
            return "EOrder:Unknown order"
        self._counters[found.pair].add(cancel_cost(now - found.at), now)
        self._end(found, OrderState.CANCELLED, now, "asked")
        return ""

    def cancel_all_after(self, timeout_ms: int, now: int) -> None:
        """The dead-man timer: all orders of the account are cancelled unless this is said again; 0 switches it off."""
        self.tick(now)
        self._fires_at = now + timeout_ms if timeout_ms else None

    def tick(self, now: int) -> None:
        """Let time do what it does: expire orders, fire the dead-man timer."""
        if self._fires_at is not None and now >= self._fires_at:
            self._fires_at = None
            for order in list(self._open.values()):
                self._end(order, OrderState.CANCELLED, now, "cancel_all_after")
        for order in list(self._open.values()):
            if order.expires_at is not None and now >= order.expires_at:
                self._end(order, OrderState.EXPIRED, now, "expired")
        if self._rules.keep_days and now // DAY_MS > self._gone.day:
            self._forget(now // DAY_MS)

    def _forget(self, day: int) -> None:
        """With each day, let go what was over before the days that are kept."""
        before = (day - self._rules.keep_days) * DAY_MS
        over = [one for one in self.orders.values() if one.state is not OrderState.OPEN and one.ended_at < before]
        for one in over:
            del self.orders[one.venue_id]
            if one.client_id:
                self._names[one.client_id].remove(one)
                if not self._names[one.client_id]:
                    del self._names[one.client_id]
        told = [one for one in self.executions if one.at >= before]
        gone = self._gone
        self._gone = _Gone(day, gone.orders + len(over), gone.executions + len(self.executions) - len(told))
        self.executions = told

    def trade(self, span: Span, now: int, meets: Callable[[Accepted], bool] | None = None) -> Decimal:
        """The market moved: meet its orders, those that take the market first, each kind in order of acceptance.

        `meets`: which of its orders; without it those that were taken before the span opened. Returns what is left of
        the room.
        """
        self.tick(now)
        self._last[span.pair] = span
        own = [order for order in self._open.values() if order.pair == span.pair]
        for order in sorted(own, key=lambda order: order.kind is not OrderKind.MARKET):
            eligible = order.at <= span.opened if meets is None else meets(order)
            if eligible and order.state is OrderState.OPEN:
                self._meet(order, self._last[span.pair], now)
        return self._last[span.pair].room

    def forget_prices(self) -> None:
        """Let orders be measured by the price that they were decided on, until the market moves again."""
        self._last.clear()

    def _meet(self, order: Accepted, span: Span, now: int) -> None:
        price, order.awake = met(order.kind, order.side, order.limit, order.trigger, order.awake, span)
        if price is None:
            return
        amount = floor_amount(min(order.left, span.room), self._rules.decimals)
        affordable = self._affordable(order, amount, price)
        if affordable > 0:
            self._last[order.pair] = msgspec.structs.replace(span, room=span.room - affordable)
            self._execute(order, affordable, price, now)
        if affordable < amount:
            self._end(order, OrderState.CANCELLED, now, "insufficient_funds")

    def _affordable(self, order: Accepted, amount: Decimal, price: Decimal) -> Decimal:
        """The amount that the balance allows; what other orders hold back is theirs."""
        free = self.purse.free(order.side, order.pair) + order.held
        if order.side is Side.SELL:
            return min(amount, free)
        if sum(bill(amount, price, self._costs)) <= free:
            return amount
        return affordable(free, price, self._costs, self._rules.decimals)

    def _execute(self, order: Accepted, amount: Decimal, price: Decimal, now: int) -> None:
        notional, fee, slippage = bill(amount, price, self._costs)
        rest = order.left - amount
        self.purse.hold(order, rest if order.side is Side.SELL else order.held * rest / order.left)
        self.purse.book(order.side, order.pair, amount, notional, fee + slippage)
        order.left = rest
        order.fills += 1
        execution = Executed(
            f"T{self._gone.executions + len(self.executions) + 1:05d}-SIMUL-{order.fills:06d}",
            order.venue_id,
            order.client_id,
            order.pair,
            order.side,
            amount,
            price,
            fee,
            now,
            order.left <= 0,
            slippage,
        )
        self.executions.append(execution)
        self._pushed.append(execution)
        if order.left <= 0:
            self._end(order, OrderState.FILLED, now, "")

    def _end(self, order: Accepted, state: OrderState, now: int, reason: str) -> None:
        if order.state is not OrderState.OPEN:
            return
        self.purse.hold(order, ZERO)
        order.state, order.ended_at, order.reason = state, now, reason
        del self._open[order.venue_id]
        self._pushed.append(Ended(order.venue_id, order.client_id, order.pair, state, order.filled, now, reason))

    def answer(self, ask: Ask, client_ids: Sequence[ClientId], since: int | None, now: int) -> Told:
        """What is known about some orders by our ids, else about all since a time of the exchange (UTC ms)."""
        self.tick(now)
        if self.status is VenueStatus.MAINTENANCE and ask is not Ask.TIME:
            return Told(error=UNAVAILABLE)
        if ask is Ask.TIME:
            return Told()
        cost = HISTORY_CALL if ask is Ask.EXECUTIONS else 1
        if self._calls.level(now) + cost > self._rules.calls:  # what is turned away does not count
            return Told(error="EAPI:Rate limit exceeded")
        self._calls.add(cost, now)
        if ask is Ask.EXECUTIONS:
            return Told(executions=tuple(one for one in self.executions if _asked(one, client_ids, one.at, since)))
        if ask is Ask.BALANCES:
            return Told(balances=self._balances())
        if ask is Ask.OPEN_ORDERS:
            found = [one for one in self._open.values() if _asked(one, client_ids, one.at, None)]
        else:
            closed = [one for one in self.orders.values() if one.state is not OrderState.OPEN]
            found = [one for one in closed if _asked(one, client_ids, one.ended_at, since)]
        return Told(orders=tuple(one.told() for one in found))

    def _balances(self) -> tuple[tuple[str, Decimal], ...]:
        quotes = {pair.partition("/")[2] for pair in self._rules.pairs}
        held: dict[str, Decimal] = {}  # two pairs may have one asset
        for pair, amount in self.purse.base.items():
            asset = pair.partition("/")[0]
            held[asset] = held.get(asset, ZERO) + amount
        return (*((quote, self.purse.quote) for quote in sorted(quotes)), *sorted(held.items()))

    def state(self) -> dict[str, Any]:
        """Orders, executions and balances as plain data; counters fade by themselves and are left out."""
        plain = {
            "orders": list(self.orders.values()),
            "executions": self.executions,
            "quote": self.purse.quote,
            "base": self.purse.base,
            "status": self.status,
            "gone": self._gone,
        }
        return {name: msgspec.to_builtins(value) for name, value in plain.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        orders = msgspec.convert(state["orders"], list[Accepted])
        self.purse = Purse(Decimal(state["quote"]))
        self.purse.base = msgspec.convert(state["base"], dict[Pair, Decimal])
        self.status = VenueStatus(state["status"])
        self._gone = msgspec.convert(state.get("gone", {}), _Gone)
        self.executions = msgspec.convert(state["executions"], list[Executed])
        self.orders = {order.venue_id: order for order in orders}
        self._open = {name: order for name, order in self.orders.items() if order.state is OrderState.OPEN}
        self._names, self._pushed = {}, []
        for order in orders:
            if order.client_id:
                self._names.setdefault(order.client_id, []).append(order)
        for order in self._open.values():
            held, order.held = order.held, ZERO
            self.purse.hold(order, held)


def _asked(one: Accepted | Executed, client_ids: Sequence[ClientId], at: int, since: int | None) -> bool:
    return (not client_ids or one.client_id in client_ids) and (since is None or at >= since)
