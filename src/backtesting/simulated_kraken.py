"""Kraken's manners over the one matching core: the venue of simulation and of paper trading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from ..core.types import Order, Pair, Slice
from ..core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Lost,
    NotAnswered,
    Place,
    Refused,
    StatusChanged,
    VenueEvent,
    VenueId,
    VenueStatus,
)
from .venue.accepted import STOPS, Accepted
from .venue.bars import spans
from .venue.matching import Span
from .venue.rules import CERTAIN
from .venue.server import VenueServer

Arrive = Callable[[int], VenueEvent]
"""What the exchange does with a request that arrives at a time of ours (UTC ms), and what it answers."""
Unknown = Callable[[str, int], VenueEvent]
"""What is left to say, and when, about a request that got no answer, and why."""


class Link(Protocol):
    """What lies between us and the exchange: it carries requests there, and answers and the stream back, or not."""

    def request(self, channel: str, arrive: Arrive, unknown: Unknown) -> None:
        """Carry a request of a channel (place, cancel, ask) and its answer."""
        ...

    def stream(self, events: Sequence[VenueEvent]) -> None:
        """Carry what the exchange says by itself, in order."""
        ...

    def arrived(self) -> Sequence[VenueEvent]:
        """Everything that arrived here since the last call, in order."""
        ...


class DirectLink:
    """A link on which nothing takes time and nothing is lost."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._arrived: list[VenueEvent] = []

    def request(self, channel: str, arrive: Arrive, unknown: Unknown) -> None:
        """There and back at once."""
        self._arrived.append(arrive(self._clock()))

    def stream(self, events: Sequence[VenueEvent]) -> None:
        """Here at once."""
        self._arrived.extend(events)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be heard."""
        return not self._arrived

    def arrived(self) -> Sequence[VenueEvent]:
        """Answers and stream in the order in which they were given."""
        gone, self._arrived = self._arrived, []
        return gone


class SimulatedKraken:
    """A `Venue`. Requests go over a link, answers are events; the caller moves the market by `trade`.

    `skew_ms`: how far the exchange's clock is ahead of ours. `opened_at` of orders and `at` of executions are the
    exchange's, `at` of all other events is when they were given, on our clock.
    """

    name = "kraken"
    simulated = True

    def __init__(self, server: VenueServer, link: Link, clock: Callable[[], int], skew_ms: int = 0) -> None:
        self.server = server
        self._link = link
        self._clock = clock
        self.skew_ms = skew_ms

    def place(self, place: Place) -> None:
        """Send an order."""

        def arrive(now: int) -> VenueEvent:
            venue_id, error = self.server.add(place, now + self.skew_ms)
            if venue_id is not None:
                return Acknowledged(place.client_id, venue_id, now)
            code = CERTAIN.get(error)
            if code is None:
                return Lost(place.client_id, error, now)
            return Refused(place.client_id, code, error, now)

        self._link.request("place", self._then_push(arrive), lambda why, at: Lost(place.client_id, why, at))

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Ask for a cancellation; done, it comes back as the order's end, by the stream and as an answer.

        An order that is not open any more, or never was, is "EOrder:Unknown order" of the number.
        """

        def arrive(now: int) -> VenueEvent:
            error = self.server.cancel(client_id, venue_id, now + self.skew_ms)
            ended = self._ended(client_id, venue_id, now)
            return ended if not error and ended is not None else NotAnswered(None, number, client_id, error, now)

        self._link.request(
            "cancel", self._then_push(arrive), lambda why, at: NotAnswered(None, number, client_id, why, at)
        )

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Ask a question."""

        def arrive(now: int) -> VenueEvent:
            there = now + self.skew_ms
            told = self.server.answer(ask, client_ids, since, there)
            if told.error:
                return NotAnswered(ask, number, ClientId(""), told.error, now)
            return Answered(ask, number, now, told.orders, told.executions, told.balances, there)

        self._link.request(
            "ask", self._then_push(arrive), lambda why, at: NotAnswered(ask, number, ClientId(""), why, at)
        )

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call."""
        return self._link.arrived()

    def close(self) -> None:
        """Nothing to give back: what rests at the exchange goes on resting."""

    def connect(self) -> None:
        """The private stream is alive from here on: the first thing it says is how the exchange stands."""
        self.change(self.server.status)

    def trade(self, span: Span) -> None:
        """The market moved."""
        self.server.trade(span, self._clock() + self.skew_ms)
        self._push()

    def tick(self) -> None:
        """Time went by."""
        self.server.tick(self._clock() + self.skew_ms)
        self._push()

    def by_hand(self, order: Order) -> VenueId | None:
        """A human trades on the same account; the exchange's id, None where it refused."""
        venue_id, _ = self.server.by_hand(order, self._clock() + self.skew_ms)
        self._push()
        return venue_id

    def cancel_all_after(self, timeout_ms: int) -> None:
        """Set the dead-man timer, or switch it off with 0."""
        self.server.cancel_all_after(timeout_ms, self._clock() + self.skew_ms)
        self._push()

    def change(self, status: VenueStatus) -> None:
        """The exchange opens or closes, and says so."""
        self.server.status = status
        self._link.stream([StatusChanged(status, True, self._clock())])

    def _push(self) -> None:
        pushed = self.server.pushed()
        if pushed:
            self._link.stream(pushed)

    def _then_push(self, arrive: Arrive) -> Arrive:
        """The request, then whatever the stream says because of it: a fill may be here before the answer is."""

        def both(now: int) -> VenueEvent:
            event = arrive(now)
            self._push()
            return event

        return both

    def _ended(self, client_id: ClientId, venue_id: VenueId | None, now: int) -> Ended | None:
        found = self.server.orders.get(venue_id) if venue_id is not None else None
        if found is None:
            found = next(reversed(self.server.named(client_id)), None)
        if found is None:
            return None
        return Ended(found.venue_id, found.client_id, found.pair, found.state, found.filled, now, found.reason)


class PaperKraken(SimulatedKraken):
    """The simulated exchange of paper trading: the market moves by the bars that a feed yields, nothing is lost.

    A bar is walked in two spans, `opens` and `ranges`, so that a stop which is placed because of a fill at the open
    protects within the same bar. What takes the market meets the first bar that opened at or after it was placed, at
    its open; all else meets what the bar did then. Orders are measured by the price that they were decided on.
    """

    def __init__(self, server: VenueServer, clock: Callable[[], int], max_volume_ratio: Decimal) -> None:
        self._direct = DirectLink(clock)
        super().__init__(server, self._direct, clock)
        self._max_volume_ratio = max_volume_ratio
        self._rooms: dict[Pair, Decimal] = {}
        self.connect()

    @property
    def quiet(self) -> bool:
        """Whether nothing has been said that nobody has heard."""
        return self._direct.quiet

    def on_slice(self, slice_: Slice) -> None:
        """What the slice's bars do to the orders that are there before it."""
        self.opens(slice_)
        self.ranges(slice_)

    def opens(self, slice_: Slice) -> None:
        """Time passed, and the bars opened: the market is taken."""
        self.tick()
        self._rooms = {}
        for span in self._spans(slice_):
            first = msgspec.structs.replace(span, high=span.opening, low=span.opening)

            def meets(order: Accepted, opened: int = span.opened) -> bool:
                return order.takes and order.at <= opened

            self._rooms[span.pair] = self.server.trade(first, self._clock(), meets)
        self._push()

    def ranges(self, slice_: Slice) -> None:
        """What the bars did from their opens on: stops and limits, also stops that were placed since the open."""
        for span in self._spans(slice_):
            rest = msgspec.structs.replace(span, room=self._rooms.get(span.pair, span.room))

            def meets(order: Accepted, opened: int = span.opened) -> bool:
                return not order.takes and (order.at <= opened or order.kind in STOPS)

            self.server.trade(rest, self._clock(), meets)
        self._rooms = {}
        self.server.forget_prices()
        self._push()

    def _spans(self, slice_: Slice) -> Iterator[Span]:
        """Of the pairs that have orders: nobody else meets the market."""
        pairs = {order.pair for order in self.server.open_orders()}
        return iter(()) if slice_.bars is None or not pairs else spans(slice_.bars, self._max_volume_ratio, pairs)

    def state(self) -> dict[str, Any]:
        """The exchange's side, for a checkpoint."""
        return self.server.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; what was said before is not said again."""
        self.server.restore(state)
        self.events()
