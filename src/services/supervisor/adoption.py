"""Takes in what the venue tells of orders and executions, whoever's they are, in any order and any number of times."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from uuid import UUID

from ...core.types import Fill, OrderKind, Pair, Side
from ...core.venue import (
    Acknowledged,
    ClientId,
    Ended,
    Executed,
    Lost,
    OrderState,
    Refused,
    VenueId,
    VenueOrder,
)
from .actions import Filled
from .bench import Bench
from .order_records import Booked, Protects, Quarantined, Stranger, Terms, terms_of
from .order_states import DONE, ENDED, GONE, IN_FLIGHT, WORKING, Progress, Tracked
from .register import ZERO

DEADLINE = "deadline"
"""The one refusal that is not taken at its word: the venue is asked once more."""
OURS = 5
"""Version of the UUIDs that our names of orders are."""


class Adoption:
    """Turns the venue's words into records. `parked`: executions that may belong to an order not yet found."""

    def __init__(self, bench: Bench, tick: Callable[[Pair], Decimal]) -> None:
        self._bench = bench
        self._tick = tick
        self._register = bench.register
        self.parked: dict[str, Executed] = {}

    def acknowledged(self, event: Acknowledged) -> None:
        """The venue has an order of ours."""
        tracked = self._register.find(event.client_id, None)
        if tracked is None:
            self._unknown(f"ack:{event.venue_id}", f"an acknowledgement of {event.client_id}, which is no order here")
        elif self._is_one(tracked, event.venue_id):
            self._at_venue(tracked, event.venue_id)

    def refused(self, event: Refused) -> None:
        """The venue does not have an order of ours."""
        tracked = self._register.find(event.client_id, None)
        if tracked is None or tracked.progress not in IN_FLIGHT:
            return
        if event.reason == DEADLINE:
            self.unknown(tracked, event.reason)
        else:
            self._bench.move(tracked, Progress.REJECTED, event.reason)

    def lost(self, event: Lost) -> None:
        """Nobody knows."""
        tracked = self._register.find(event.client_id, None)
        if tracked is not None and tracked.progress in IN_FLIGHT:
            self.unknown(tracked, event.why)

    def unknown(self, tracked: Tracked, why: str) -> None:
        """An order's outcome is not known from here on."""
        if tracked.progress is not Progress.UNKNOWN:
            self._bench.move(tracked, Progress.UNKNOWN, why)

    def ended(self, event: Ended) -> None:
        """An order is open no more."""
        tracked = self._register.find(event.client_id, event.venue_id)
        if tracked is not None:
            self._end(tracked, event.venue_id, event.state, event.filled, event.reason)
        elif event.venue_id in self._register.books.strangers:
            self.left(event.venue_id)
        elif ours(event.client_id):
            text = f"the end of {event.client_id} ({event.venue_id}), which is no order here"
            self._unknown(f"end:{event.venue_id}", text, event.pair)

    def order(self, order: VenueOrder) -> None:
        """An order as the venue lists it."""
        tracked = self._register.find(order.client_id, order.venue_id)
        if not _sound(order):
            text = f"{order.venue_id}: the venue lists {order.filled} filled of {order.amount}"
            self._quarantine(f"order:{order.venue_id}", text, order.pair, *_pair_of(tracked))
        elif tracked is None:
            self._strange(order)
        elif order.pair != tracked.order.pair or order.side is not tracked.order.side:
            text = f"{order.venue_id}: the venue lists {tracked.order.id} as {order.side} of {order.pair}"
            self._quarantine(f"order:{order.venue_id}", text, order.pair, tracked.order.pair)
        elif order.state is OrderState.OPEN:
            if self._is_one(tracked, order.venue_id) and tracked.progress not in DONE:
                self._at_venue(tracked, order.venue_id)
        else:
            self._end(tracked, order.venue_id, order.state, order.filled, order.reason)

    def executed(self, event: Executed) -> None:
        """An execution, perhaps once more."""
        books = self._register.books
        key = f"execution:{event.execution_id}"
        known = books.executions.get(event.execution_id)
        if event.at < books.forgotten:
            return  # it was told before, and is in the ledger
        if known is not None or key in books.quarantined:
            if known is not None and not _same(known, event):
                self._quarantine(f"again:{event.execution_id}", f"{key} came again with other words", event.pair)
            return
        reason = _unsound(event)
        tracked = self._register.find(event.client_id, event.venue_id)
        if reason:
            self._quarantine(key, f"{key}: {reason}", event.pair, *_pair_of(tracked), execution=event)
        elif tracked is None:
            self._foreign(event, key)
        else:
            self._ours(tracked, event, key)

    def unpark(self, covered: frozenset[ClientId]) -> None:
        """Look again at executions that waited for an order's name; `covered` orders were asked about since."""
        waiting, self.parked = self.parked, {}
        for event in waiting.values():
            known = self._register.find(event.client_id, event.venue_id) is not None
            if not known and self._could_be_ours(event, covered):
                self.parked[event.execution_id] = event
            elif known or event.execution_id in self._register.books.executions:
                self.executed(event)
            else:
                self._book_foreign(event)

    def left(self, venue_id: VenueId) -> None:
        """Somebody else's order is open no more."""
        self._bench.stranger(Stranger(self._bench.now, self._register.books.strangers[venue_id], open=False))

    # Orders.

    def _is_one(self, tracked: Tracked, venue_id: VenueId) -> bool:
        """Whether this name at the venue is the only one of an order; a second one is what must never be."""
        if tracked.venue_id in (None, venue_id) and self._register.books.names.get(venue_id) in (
            None,
            tracked.client_id,
        ):
            return True
        text = f"order {tracked.order.id} stands at the venue twice: {tracked.venue_id} and {venue_id}"
        self._quarantine(f"twice:{venue_id}", text, tracked.order.pair)
        return False

    def _at_venue(self, tracked: Tracked, venue_id: VenueId | None) -> None:
        if tracked.progress in GONE:
            self._shows_up(tracked, venue_id)
        elif tracked.progress in IN_FLIGHT:
            self._bench.move(tracked, Progress.ACKED, "", venue_id)
            self._protect_as(tracked)
        elif tracked.progress is not Progress.NEW:
            self._bench.learn(tracked, venue_id)

    def _shows_up(self, tracked: Tracked, venue_id: VenueId | None) -> None:
        """What was held to be absent is there: it is withdrawn, and nothing more is sent until a person looked."""
        bench, order = self._bench, tracked.order
        text = f"order {order.id} shows up at the venue though it was held to be {tracked.progress}"
        bench.move(tracked, Progress.ACKED, "shows_up", venue_id)
        bench.wish(tracked, "shows_up")
        bench.halt(None, text)
        bench.alarm("shows_up", text, order.pair, tracked.client_id)

    def _protect_as(self, tracked: Tracked) -> None:
        """A stop that rests is how its position is protected from now on."""
        order = tracked.order
        terms = terms_of(order) if tracked.is_stop else None
        if terms is not None and self._register.books.terms.get(order.pair) != terms:
            self._bench.note(Protects(self._bench.now, order.pair, terms))

    def _end(self, tracked: Tracked, venue_id: VenueId, state: OrderState, filled: Decimal, reason: str) -> None:
        if not self._is_one(tracked, venue_id):
            return
        if not filled.is_finite() or not 0 <= filled <= tracked.amount:
            text = f"order {tracked.order.id}: the venue says {filled} were filled of {tracked.amount}"
            self._quarantine(f"end:{venue_id}:{filled}", text, tracked.order.pair)
            return
        if tracked.progress in GONE:
            self._shows_up(tracked, venue_id)
        if tracked.progress in IN_FLIGHT or tracked.progress in WORKING:
            after = ENDED.get(state, Progress.CANCELLED)
            if tracked.progress in IN_FLIGHT and state is OrderState.REJECTED and not (filled or tracked.filled):
                after = Progress.REJECTED
            self._bench.move(tracked, after, reason, None if tracked.venue_id else venue_id, filled)
        elif tracked.progress in DONE:
            self._bench.learn(tracked, venue_id, filled)

    def _strange(self, order: VenueOrder) -> None:
        books, bench = self._register.books, self._bench
        if order.state is not OrderState.OPEN and order.opened_at < books.forgotten:
            return
        if ours(order.client_id):
            text = f"{order.venue_id} carries {order.client_id}, a name as ours, and is no order here"
            record = Quarantined(bench.now, f"order:{order.venue_id}", text, order=order)
            bench.quarantine(record, (order.pair,))
        if order.state is OrderState.OPEN and books.strangers.get(order.venue_id) != order:
            bench.stranger(Stranger(bench.now, order, open=True))
            text = f"somebody else's order {order.venue_id}: {order.side} {order.amount} of {order.pair}"
            bench.alarm("external_order", text, order.pair, order.venue_id)
        elif order.state is not OrderState.OPEN and order.venue_id in books.strangers:
            self.left(order.venue_id)

    # Executions.

    def _ours(self, tracked: Tracked, event: Executed, key: str) -> None:
        order = tracked.order
        if event.pair != order.pair or event.side is not order.side:
            text = f"{key}: {event.side} of {event.pair} for order {order.id}, a {order.side} of {order.pair}"
            self._quarantine(key, text, event.pair, order.pair, execution=event)
            return
        if tracked.progress is Progress.NEW or event.amount > tracked.left:
            text = f"{key}: {event.amount} for order {order.id}, of which {tracked.left} are left"
            self._quarantine(key, text, order.pair, execution=event)
            return
        if not self._is_one(tracked, event.venue_id):
            return
        if tracked.progress in GONE:
            self._shows_up(tracked, event.venue_id)
        self._bench.learn(tracked, event.venue_id)
        self._fill(tracked, event)

    def _fill(self, tracked: Tracked, event: Executed) -> None:
        bench, order = self._bench, tracked.order
        fill = Fill(
            id=event.execution_id,
            order_id=order.id,
            pair=order.pair,
            side=order.side,
            amount=event.amount,
            price=event.price,
            fee=event.fee,
            slippage=event.slippage,
            at=event.at,
            reason=order.reason,
            final=event.amount == tracked.left,
            simulated=bench.simulated,
        )
        index = self._register.filled
        bench.note(Booked(bench.now, event, fill, tracked.client_id))
        if fill.final and tracked.progress is not Progress.FILLED:
            bench.move(tracked, Progress.FILLED)
        elif tracked.progress in IN_FLIGHT or tracked.progress is Progress.ACKED:
            bench.move(tracked, Progress.PARTIAL)
        self._protect_entry(tracked, event)
        bench.act(Filled(fill, index))

    def _protect_entry(self, tracked: Tracked, event: Executed) -> None:
        """What was bought is protected by the stop that its order named, from its first execution on."""
        order, terms = tracked.order, self._register.books.terms
        if tracked.is_stop:
            self._protect_as_long_as_held(tracked)
        elif order.side is Side.BUY and order.stop is not None and order.pair not in terms:
            tick = self._tick(order.pair)
            steps = (event.price * (1 - order.stop) / tick).to_integral_value(ROUND_CEILING)
            stop = Terms(OrderKind.STOP, steps * tick)
            self._bench.note(Protects(self._bench.now, order.pair, stop))

    def _protect_as_long_as_held(self, tracked: Tracked) -> None:
        if self._register.position(tracked.order.pair) > 0:
            self._protect_as(tracked)

    def _foreign(self, event: Executed, key: str) -> None:
        if ours(event.client_id):
            text = f"{key} is of {event.client_id} ({event.venue_id}), which is no order here"
            self._quarantine(key, text, event.pair, execution=event)
        elif self._could_be_ours(event, frozenset()):
            self.parked[event.execution_id] = event
        else:
            self._book_foreign(event)

    def _could_be_ours(self, event: Executed, covered: frozenset[ClientId]) -> bool:
        """Whether an execution without a name of ours may belong to an order whose name at the venue is not known."""
        if event.client_id or event.venue_id in self._register.books.strangers:
            return False
        return any(
            tracked.venue_id is None and tracked.progress in IN_FLIGHT and tracked.client_id not in covered
            for tracked in self._register.live(event.pair)
        )

    def _book_foreign(self, event: Executed) -> None:
        self._bench.note(Booked(self._bench.now, event))
        text = f"somebody else's execution {event.execution_id}: {event.side} {event.amount} of {event.pair}"
        self._bench.alarm("external_execution", text, event.pair, event.venue_id)

    # What cannot be believed.

    def _quarantine(self, key: str, text: str, *pairs: Pair, execution: Executed | None = None) -> None:
        record = Quarantined(self._bench.now, key, text, execution if _finite(execution) else None)
        self._bench.quarantine(record, tuple(dict.fromkeys(pairs)))

    def _unknown(self, key: str, text: str, *pairs: Pair) -> None:
        self._quarantine(key, text, *pairs)


def ours(client_id: ClientId) -> bool:
    """Whether a name has the form of ours; another program on the same account may use the form, too."""
    try:
        return UUID(client_id).version == OURS
    except ValueError:
        return False


def _same(one: Executed, other: Executed) -> bool:
    return (one.pair, one.side, one.amount, one.price) == (other.pair, other.side, other.amount, other.price)


def _finite(event: Executed | None) -> bool:
    return event is not None and all(
        number.is_finite() for number in (event.amount, event.price, event.fee, event.slippage)
    )


def _sound(order: VenueOrder) -> bool:
    numbers = (order.amount, order.filled, order.price or ZERO, order.trigger or ZERO)
    return all(number.is_finite() for number in numbers) and 0 <= order.filled <= order.amount


def _unsound(event: Executed) -> str:
    if not _finite(event):
        return "not a finite number"
    return "" if event.amount > 0 and event.price > 0 else "amount and price must be above 0"


def _pair_of(tracked: Tracked | None) -> tuple[Pair, ...]:
    return () if tracked is None else (tracked.order.pair,)
