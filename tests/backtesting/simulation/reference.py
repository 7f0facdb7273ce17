"""The smallest order path that keeps the rules: it proves that the simulation passes what is right, whoever wrote it.

Intent first, send once with a deadline, look among open and closed orders, absent only after deadline and margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from src.backtesting.simulation.process import Seams
from src.core.canonical import encode
from src.core.ports import Row
from src.core.types import Approved, Fill, Order, OrderKind, Pair, Side
from src.core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    NotAnswered,
    OrderState,
    Place,
    Refused,
    StatusChanged,
    VenueEvent,
    VenueId,
    VenueOrder,
    VenueStatus,
)

DEADLINE, MARGIN, AGAIN, LIFETIME, MAX_OFFSET = 10_000, 4_000, 1_500, 40_000, 1_000
ASKS = (Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS, Ask.EXECUTIONS, Ask.TIME)
ZERO = Decimal(0)


class Known(msgspec.Struct):
    """One order. `state`: intent, open, done, refused or absent; `told`: how much was filled in all, once it ended."""

    order: Order
    deadline: int
    state: str = "intent"
    venue_id: str = ""
    filled: Decimal = ZERO
    told: Decimal | None = None


class Reference:
    """A `Process`."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._orders: dict[str, Known] = {}
        self._fills: list[Fill] = []
        self._rows = 0
        self._status, self._connected = VenueStatus.MAINTENANCE, False
        self._answered: dict[Ask, int] = {}
        self._asked: dict[int, tuple[Ask, int]] = {}
        self._due, self._offset = 0, 0
        for row in seams.rows:
            self._apply(row)
        self._before = {order.id for order in self.unknown()}

    # What it remembers: rows, nothing else.

    def _write(self, kind: str, key: str, body: Any) -> None:
        row = Row(self._seams.clock(), kind, f"{kind}:{key}", encode(body))
        self._seams.ledger.append([row], True).wait()
        self._apply(row)

    def _apply(self, row: Row) -> None:
        self._rows += 1
        if row.kind == "intent":
            known = msgspec.json.decode(row.body, type=Known)
            self._orders[known.order.id] = known
        elif row.kind == "state":
            name, state, venue_id, told = msgspec.json.decode(row.body)
            known = self._orders[name]
            known.state = state
            known.venue_id = venue_id or known.venue_id
            known.told = Decimal(told) if told else known.told
        else:
            fill = msgspec.json.decode(row.body, type=Fill)
            self._fills.append(fill)
            self._orders[fill.order_id].filled += fill.amount

    def _move(self, name: str, state: str, venue_id: str = "", told: Decimal | None = None) -> None:
        known = self._orders[name]
        if (known.state, known.told) == (state, told) or known.state == "done":
            return
        self._write("state", str(self._rows), [name, state, venue_id, "" if told is None else str(told)])

    # The process.

    @property
    def ready(self) -> bool:
        fit = self._connected and abs(self._offset) <= MAX_OFFSET
        return fit and len(self._answered) == len(ASKS) and not self._before & {one.id for one in self.unknown()}

    def halted(self, pair: Pair) -> bool:
        return False

    def start(self, now: int) -> None:
        self._ask_all(now)

    def take(self, order: Order, now: int) -> str:
        held = self.positions().get(order.pair, ZERO)
        busy = any(one.order.pair == order.pair for one in self._orders.values() if _live(one))
        wrong = held > 0 if order.side is Side.BUY else order.amount > held
        closed = not self.ready or self._status is not VenueStatus.ONLINE
        stops = order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)  # it places none
        if stops or order.id in self._orders or busy or wrong or closed or self._seams.may_send(order):
            return "refused"
        expires = None if order.kind is OrderKind.MARKET else now + LIFETIME
        known = Known(order, now + DEADLINE)
        self._write("intent", order.id, known)
        if self._seams.may_send(order) or self._seams.clock() > known.deadline:
            self._move(order.id, "refused")
            return "withheld"
        self._seams.venue.place(Place(ClientId(order.id), Approved(order, now), known.deadline, expires))
        return ""

    def withdraw(self, pair: Pair, side: Side | None, now: int) -> None:
        for known in list(self._orders.values()):
            if known.order.pair == pair and known.state == "open" and side in (None, known.order.side):
                venue_id = VenueId(known.venue_id) if known.venue_id else None
                self._seams.venue.cancel(0, ClientId(known.order.id), venue_id, pair)

    def step(self, now: int) -> None:
        for event in self._seams.venue.events():
            self._on(event)
        if now >= self._due:
            self._ask_all(now)

    def _ask_all(self, now: int) -> None:
        self._due = now + AGAIN * (1 if self.unknown() or len(self._answered) < len(ASKS) else 6)
        for ask in ASKS:
            number = len(self._asked) + 1
            self._asked[number] = (ask, now)
            self._seams.venue.ask(number, ask)

    def _on(self, event: VenueEvent) -> None:
        match event:
            case Acknowledged():
                self._open(event.client_id, event.venue_id)
            case Refused() if event.client_id in self._orders:
                self._move(event.client_id, "refused")
            case Executed():
                self._book(event)
            case Ended() if event.client_id in self._orders:
                self._move(event.client_id, "done", event.venue_id, event.filled)
            case Answered():
                self._answer(event)
            case StatusChanged():
                self._status, self._connected = event.status, event.connected
                self._due = 0
            case NotAnswered():
                self._due = min(self._due, self._seams.clock() + AGAIN)

    def _open(self, client_id: str, venue_id: str) -> None:
        if client_id in self._orders and self._orders[client_id].state in ("intent", "absent"):
            self._move(client_id, "open", venue_id)

    def _book(self, one: Executed) -> None:
        known = self._orders.get(one.client_id)
        if known is None or any(fill.id == one.execution_id for fill in self._fills):
            return
        final = known.filled + one.amount >= known.order.amount
        order = known.order
        money = (one.amount, one.price, one.fee, one.slippage, one.at)
        self._write(
            "fill", one.execution_id, Fill(one.execution_id, order.id, order.pair, order.side, *money, "", final)
        )

    def _answer(self, event: Answered) -> None:
        asked_at = self._asked[event.number][1]
        self._answered[event.ask] = max(asked_at, self._answered.get(event.ask, 0))
        if event.venue_now is not None and event.ask is Ask.TIME:
            self._offset = event.venue_now - event.at
        for one in event.executions:
            self._book(one)
        for order in event.orders:
            self._adopt(order)
        margin = MARGIN + 2 * abs(self._offset)
        looked = min(self._answered.get(Ask.OPEN_ORDERS, 0), self._answered.get(Ask.CLOSED_ORDERS, 0))
        for name, known in list(self._orders.items()):
            if known.state == "intent" and looked > known.deadline + margin:
                self._move(name, "absent")

    def _adopt(self, order: VenueOrder) -> None:
        if order.client_id in self._orders:
            if order.state is OrderState.OPEN:
                self._open(order.client_id, order.venue_id)
            else:
                self._move(order.client_id, "done", order.venue_id, order.filled)

    # What is asked of it.

    def positions(self) -> Mapping[Pair, Decimal]:
        held: dict[Pair, Decimal] = {}
        for fill in self._fills:
            held[fill.pair] = held.get(fill.pair, ZERO) + (fill.amount if fill.side is Side.BUY else -fill.amount)
        return held

    def fills(self) -> Sequence[Fill]:
        return self._fills

    def unknown(self) -> Sequence[Order]:
        return [known.order for known in self._orders.values() if known.state == "intent"]

    def open_orders(self) -> Sequence[Order]:
        return [
            msgspec.structs.replace(known.order, amount=known.order.amount - known.filled)
            for known in self._orders.values()
            if known.state in ("intent", "open")
        ]

    def cash(self) -> Decimal:
        paid = ((fill.notional if fill.side is Side.BUY else -fill.notional) for fill in self._fills)
        costs = (fill.fee + fill.slippage for fill in self._fills)
        return self._seams.start_quote - sum(paid, ZERO) - sum(costs, ZERO)

    def equity(self, marks: Mapping[Pair, Decimal]) -> Decimal:
        return self.cash() + sum((amount * marks[pair] for pair, amount in self.positions().items() if amount), ZERO)

    def state(self) -> dict[str, Any]:
        return {"orders": msgspec.to_builtins(self._orders), "fills": msgspec.to_builtins(self._fills)}

    def replayed(self, rows: Sequence[Row]) -> dict[str, Any]:
        return Reference(msgspec.structs.replace(self._seams, rows=tuple(rows))).state()


def _live(known: Known) -> bool:
    """Whether it may still be filled, or has been and the executions are not all known."""
    return known.state in ("intent", "open") or (known.told is not None and known.filled < known.told)
