"""Venues that lie, forget or repeat, each so that whoever trusts it acts as if it had one certain bug."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ...core.ports import Ledger, Row
from ...core.types import Order, OrderKind, Pair, Side
from ...core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    Lost,
    OrderState,
    Place,
    Refused,
    Venue,
    VenueEvent,
    VenueId,
    VenueOrder,
)
from .invariants import INTENT
from .process import Seams
from .seams import OneByOne

MINE = 1_000_000_000
"""Numbers of questions from here on are the bug's own."""
FOR_EVER_MS = 600_000
FRESH_MS = 10_000
ATTEMPTS = 4


class PlantedVenue:
    """A venue with nothing wrong; each bug changes one thing. One object lives as long as the run."""

    simulated = True
    name = "kraken"

    def __init__(self) -> None:
        self.inner: Venue
        self.now: Callable[[], int] = lambda: 0

    def enter(self, seams: Seams) -> None:
        """A new life begins."""
        self.inner, self.now = seams.venue, seams.clock

    def place(self, place: Place) -> None:
        """Pass it on."""
        self.inner.place(place)

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Pass it on."""
        self.inner.cancel(number, client_id, venue_id, pair)

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Pass it on."""
        self.inner.ask(number, ask, client_ids, since)

    def events(self) -> Sequence[VenueEvent]:
        """Each as the bug sees it."""
        return OneByOne(self.inner.events(), self.seen)

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """One event as the bug sees it."""
        return (event,)

    def close(self) -> None:
        """Nothing to give back."""


class NoDeadline(PlantedVenue):
    """Orders may arrive whenever they like."""

    def place(self, place: Place) -> None:
        """With a deadline far away."""
        self.inner.place(msgspec.structs.replace(place, deadline=place.deadline + FOR_EVER_MS))


class OpenOnly(PlantedVenue):
    """Looks among open orders, and nowhere else."""

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """Closed orders and executions are never asked for."""
        if isinstance(event, Answered) and event.ask in (Ask.CLOSED_ORDERS, Ask.EXECUTIONS):
            return (msgspec.structs.replace(event, orders=(), executions=()),)
        return (event,)


class Looking(PlantedVenue):
    """After a lost answer looks once, by a question of its own, and concludes."""

    asks: tuple[Ask, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[ClientId, Place] = {}
        self._asked: dict[int, ClientId] = {}
        self._found: dict[ClientId, list[bool]] = {}
        self._number = MINE

    def place(self, place: Place) -> None:
        """Remember it."""
        self._places[place.client_id] = place
        self.inner.place(place)

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """A lost answer is looked into."""
        if isinstance(event, Lost):
            self._found[event.client_id] = []
            for ask in self.asks:
                self._number += 1
                self._asked[self._number] = event.client_id
                self.inner.ask(self._number, ask)
        if isinstance(event, Answered) and event.number in self._asked:
            return self._look(event, self._asked[event.number])
        return () if getattr(event, "number", 0) > MINE else (event,)

    def _look(self, event: Answered, client_id: ClientId) -> Sequence[VenueEvent]:
        found = self._found[client_id]
        found.append(any(order.client_id == client_id for order in event.orders))
        return self.conclude(self._places[client_id]) if len(found) == len(self.asks) and not any(found) else ()

    def conclude(self, place: Place) -> Sequence[VenueEvent]:
        """It was not found."""
        return ()


class AtOnce(Looking):
    """What is not found is absent, whatever may still be under way."""

    asks = (Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS)

    def conclude(self, place: Place) -> Sequence[VenueEvent]:
        """As if the exchange had refused it."""
        return (Refused(place.client_id, "absent", "not found", self.now()),)


class Retry(Looking):
    """What is not among the open orders is sent again."""

    asks = (Ask.OPEN_ORDERS,)

    def __init__(self) -> None:
        super().__init__()
        self._attempts: dict[ClientId, int] = {}

    def conclude(self, place: Place) -> Sequence[VenueEvent]:
        """Once more, with a fresh deadline."""
        attempts = self._attempts[place.client_id] = self._attempts.get(place.client_id, 0) + 1
        if attempts < ATTEMPTS:
            self.place(msgspec.structs.replace(place, deadline=self.now() + FRESH_MS))
        return ()


class NoOffset(PlantedVenue):
    """Believes that both clocks show the same."""

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """The exchange's time is taken for ours."""
        if isinstance(event, Answered) and event.venue_now is not None:
            return (msgspec.structs.replace(event, venue_now=event.at),)
        return (event,)


class Twice(PlantedVenue):
    """An execution that comes again is another one."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """Every copy has an id of its own."""
        if isinstance(event, Executed):
            return (self._named(event),)
        if isinstance(event, Answered):
            return (msgspec.structs.replace(event, executions=tuple(map(self._named, event.executions))),)
        return (event,)

    def _named(self, one: Executed) -> Executed:
        name = one.execution_id
        while name in self._known:
            name += "'"
        self._known.add(name)
        return msgspec.structs.replace(one, execution_id=name)


class StiffStop(PlantedVenue):
    """A protective stop keeps the size it had first, whatever is sold later."""

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[tuple[Pair, Any], Order] = {}

    def place(self, place: Place) -> None:
        """Of the first size."""
        order = place.approved.order
        if order.side is Side.SELL and order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT):
            first = self._first.setdefault((order.pair, order.trigger), order)
            order = msgspec.structs.replace(order, amount=first.amount)
            place = msgspec.structs.replace(place, approved=msgspec.structs.replace(place.approved, order=order))
        self.inner.place(place)


class Resend(PlantedVenue):
    """Sends again after a restart what it had sent last before."""

    def __init__(self) -> None:
        super().__init__()
        self._last: Place | None = None

    def enter(self, seams: Seams) -> None:
        """With a fresh deadline."""
        super().enter(seams)
        if self._last is not None:
            self.inner.place(msgspec.structs.replace(self._last, deadline=self.now() + FRESH_MS))

    def place(self, place: Place) -> None:
        """Remember it."""
        self._last = place
        self.inner.place(place)


class Dropping(PlantedVenue):
    """Forgets executions for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._dropped: set[str] = set()

    def drops(self, one: Executed) -> bool:
        """Whether this one is forgotten."""
        return False

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """Nothing that was dropped comes back by another way."""
        if isinstance(event, Executed):
            if event.execution_id in self._dropped or self.drops(event):
                self._dropped.add(event.execution_id)
                return ()
        elif isinstance(event, Answered):
            kept = tuple(one for one in event.executions if one.execution_id not in self._dropped)
            return (msgspec.structs.replace(event, executions=kept),)
        return (event,)


class UnackedFill(Dropping):
    """An execution before the acknowledgement belongs to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self._acked: set[ClientId] = set()

    def drops(self, one: Executed) -> bool:
        """Before its order is known."""
        return one.client_id not in self._acked

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """Learn of acknowledgements."""
        if isinstance(event, Acknowledged):
            self._acked.add(event.client_id)
        if isinstance(event, Answered):
            self._acked.update(order.client_id for order in event.orders)
        return super().seen(event)


class CancelledIsEmpty(Dropping):
    """What was asked to be cancelled is held to be cancelled, and not filled."""

    def __init__(self) -> None:
        super().__init__()
        self._cancelled: set[ClientId] = set()

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """From here on nothing is believed of it."""
        self._cancelled.add(client_id)
        super().cancel(number, client_id, venue_id, pair)

    def drops(self, one: Executed) -> bool:
        """What was filled on the way."""
        return one.client_id in self._cancelled

    def seen(self, event: VenueEvent) -> Sequence[VenueEvent]:
        """Its end says that nothing was filled."""
        if isinstance(event, Ended) and event.client_id in self._cancelled:
            event = msgspec.structs.replace(event, state=OrderState.CANCELLED, filled=event.filled * 0)
        if isinstance(event, Answered):
            event = msgspec.structs.replace(event, orders=tuple(map(self._emptied, event.orders)))
        return super().seen(event)

    def _emptied(self, order: VenueOrder) -> VenueOrder:
        if order.client_id not in self._cancelled or order.state is OrderState.OPEN:
            return order
        return msgspec.structs.replace(order, state=OrderState.CANCELLED, filled=order.filled * 0)


class _Nothing:
    """A receipt of what was not written."""

    def wait(self, timeout: float | None = None) -> None:
        """At once."""


class LateLedger:
    """Holds an intent back until the order has left."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: list[Row] = []

    def append(self, rows: Sequence[Row], durable: bool) -> Any:
        """Write all but intents."""
        self._held.extend(row for row in rows if row.kind == INTENT)
        rest = [row for row in rows if row.kind != INTENT]
        return self._ledger.append(rest, durable) if rest else _Nothing()

    def release(self) -> None:
        """The order has left: now it is written down."""
        held, self._held = self._held, []
        if held:
            self._ledger.append(held, True).wait()

    def checkpoint(self, at: int, state: bytes) -> None:
        """Pass it on."""
        self._ledger.checkpoint(at, state)

    def close(self) -> None:
        """Pass it on."""
        self._ledger.close()


class SendFirst(PlantedVenue):
    """Sends, then records."""

    def enter(self, seams: Seams) -> None:
        """With a ledger of its own."""
        super().enter(seams)
        self.ledger = LateLedger(seams.ledger)

    def place(self, place: Place) -> None:
        """The order leaves first."""
        self.inner.place(place)
        self.ledger.release()
