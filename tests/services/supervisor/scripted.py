"""A venue that does what a test says: requests arrive, answers travel, and any of them may be late, twice or lost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from src.core.types import OrderKind, Pair, Side
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


class Asked(msgspec.Struct, frozen=True):
    """A question on its way."""

    number: int
    ask: Ask
    client_ids: tuple[ClientId, ...]
    since: int | None


class Cancel(msgspec.Struct, frozen=True):
    """A cancellation on its way."""

    number: int
    client_id: ClientId
    venue_id: VenueId | None
    pair: Pair


Request = Place | Asked | Cancel


class ScriptedVenue:
    """Implements the Venue port. `wire` holds requests that have not arrived, `back` events that have not."""

    name = "scripted"
    simulated = True

    def __init__(self, now: int) -> None:
        self.now = now
        self.skew = 0
        self.wire: list[Request] = []
        self.back: list[VenueEvent] = []
        self.orders: dict[VenueId, VenueOrder] = {}
        self.executions: list[Executed] = []
        self.placed: list[Place] = []
        self.refuse: dict[ClientId, tuple[str, str]] = {}
        self.refuse_all: tuple[str, str] | None = None
        self.balances: dict[str, Decimal] | None = None
        self.connect()

    # The port.

    def place(self, place: Place) -> None:
        self.placed.append(place)
        self.wire.append(place)

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        self.wire.append(Cancel(number, client_id, venue_id, pair))

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        self.wire.append(Asked(number, ask, tuple(client_ids), since))

    def events(self) -> Sequence[VenueEvent]:
        told, self.back = self.back, []
        return told

    def close(self) -> None:
        self.wire, self.back = [], []

    # What happens at the venue.

    def connect(self, status: VenueStatus = VenueStatus.ONLINE, connected: bool = True) -> None:
        self.back.append(StatusChanged(status, connected, self.now))

    def arrive(self, index: int = 0) -> None:
        """One request comes in and is answered."""
        request = self.wire.pop(index)
        match request:
            case Place():
                self.back.extend(self._take(request))
            case Cancel():
                self.back.append(self._cancelled(request))
            case Asked():
                self.back.append(self._answer(request))

    def _take(self, place: Place) -> list[VenueEvent]:
        order, client_id = place.approved.order, place.client_id
        refusal = self.refuse_all or self.refuse.get(client_id)
        if refusal is not None:
            return [Refused(client_id, *refusal, self.now)]
        if self.now + self.skew > place.deadline:
            return [Refused(client_id, "deadline", "EService:Deadline elapsed", self.now)]
        if any(o.client_id == client_id and o.state is OrderState.OPEN for o in self.orders.values()):
            return [Refused(client_id, "duplicate", "EOrder:cl_ord_id not unique", self.now)]
        venue_id = VenueId(f"O{len(self.orders) + 1}")
        self.orders[venue_id] = VenueOrder(
            *(venue_id, client_id, order.pair, order.side, order.kind, order.amount, Decimal(0), OrderState.OPEN),
            *(self.now, order.limit, order.trigger),
        )
        return [Acknowledged(client_id, venue_id, self.now)]

    def strange(self, pair: Pair, side: Side, amount: str, client_id: str = "") -> VenueId:
        """Somebody else places an order."""
        venue_id = VenueId(f"H{len(self.orders) + 1}")
        self.orders[venue_id] = VenueOrder(
            *(venue_id, ClientId(client_id), pair, side, OrderKind.LIMIT, Decimal(amount), Decimal(0)),
            *(OrderState.OPEN, self.now),
        )
        return venue_id

    def find(self, client_id: ClientId) -> VenueOrder | None:
        return next((o for o in self.orders.values() if o.client_id == client_id), None)

    def open(self) -> list[VenueOrder]:
        return [order for order in self.orders.values() if order.state is OrderState.OPEN]

    def fill(self, venue_id: VenueId, amount: str | Decimal, price: str = "100") -> Executed:
        """Execute a part of an order; the events travel as all others."""
        order = self.orders[venue_id]
        part = Decimal(amount)
        assert order.state is OrderState.OPEN
        assert part <= order.amount - order.filled
        filled = order.filled + part
        whole = filled == order.amount
        state = OrderState.FILLED if whole else OrderState.OPEN
        self.orders[venue_id] = msgspec.structs.replace(order, filled=filled, state=state)
        executed = Executed(
            *(f"T{len(self.executions) + 1}", venue_id, order.client_id, order.pair, order.side, part),
            *(Decimal(price), part * Decimal(price) * Decimal("0.0026"), self.now, whole),
        )
        self.executions.append(executed)
        self.back.append(executed)
        if whole:
            self._end(venue_id)
        return executed

    def end(self, venue_id: VenueId, state: OrderState = OrderState.CANCELLED, reason: str = "") -> None:
        """The venue ends an order."""
        self.orders[venue_id] = msgspec.structs.replace(self.orders[venue_id], state=state, reason=reason)
        self._end(venue_id)

    def _end(self, venue_id: VenueId) -> None:
        order = self.orders[venue_id]
        self.back.append(
            Ended(venue_id, order.client_id, order.pair, order.state, order.filled, self.now, order.reason)
        )

    def _cancelled(self, request: Cancel) -> VenueEvent:
        order = self.orders.get(request.venue_id) if request.venue_id else self.find(request.client_id)
        if order is None or order.state is not OrderState.OPEN:
            return NotAnswered(None, request.number, request.client_id, "unknown_order", self.now)
        self.end(order.venue_id)
        return self.back.pop()

    def _answer(self, asked: Asked) -> VenueEvent:
        orders: tuple[VenueOrder, ...] = ()
        executions: tuple[Executed, ...] = ()
        if asked.ask is Ask.OPEN_ORDERS:
            orders = tuple(self.open())
        elif asked.ask is Ask.CLOSED_ORDERS:
            closed = (o for o in self.orders.values() if o.state is not OrderState.OPEN)
            orders = tuple(o for o in closed if not asked.client_ids or o.client_id in asked.client_ids)
        elif asked.ask is Ask.EXECUTIONS:
            executions = tuple(e for e in self.executions if asked.since is None or e.at >= asked.since)
        balances = tuple(self.assets().items()) if asked.ask is Ask.BALANCES else ()
        venue_now = self.now + self.skew if asked.ask is Ask.TIME else None
        return Answered(asked.ask, asked.number, self.now, orders, executions, balances, venue_now)

    def assets(self) -> dict[str, Decimal]:
        """Base assets by what was executed, unless the test says what they are."""
        if self.balances is not None:
            return self.balances
        held: dict[str, Decimal] = {}
        for e in self.executions:
            base = e.pair.partition("/")[0]
            held[base] = held.get(base, Decimal(0)) + (e.amount if e.side is Side.BUY else -e.amount)
        return held
