"""The places at which a run is disturbed: every call of the process to the world passes here, before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, overload

from ...core.types import Order, Pair, Side
from ...core.venue import Ask, ClientId, Place, Venue, VenueEvent, VenueId


class Crashed(BaseException):
    """The process died here. No handler of the process may survive it."""


class Switch:
    """The kill switch of a run: durable, and thrown at any moment."""

    def __init__(self) -> None:
        self.state = "active"

    def may_send(self, order: Order) -> str:
        """Why an order may not leave, "" where it may."""
        if self.state == "halted":
            return "halted"
        return "reduce_only" if self.state == "reduce_only" and order.side is Side.BUY else ""


class Calls:
    """Counts calls; at the n-th from now the process crashes, or somebody throws the switch."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._crash_in = 0
        self._throws: list[tuple[int, str]] = []
        self.blocked: Callable[[str], None] | None = None

    def crash_in(self, calls: int) -> None:
        """Crash at the n-th call."""
        self._crash_in = calls

    def throw_in(self, calls: int, state: str) -> None:
        """Throw the switch at the n-th call."""
        self._throws.append((calls, state))

    def __call__(self, name: str) -> None:
        if self._throws and name != "place":  # between the last look at the switch and the send nobody gets in
            self._count()
        if self._crash_in:
            self._crash_in -= 1
            if not self._crash_in:
                raise Crashed(name)
        if self.blocked is not None:
            self.blocked(name)

    def _count(self) -> None:
        counted = [(calls - 1, state) for calls, state in self._throws]
        for calls, state in counted:
            if not calls:
                self._switch.state = state
        self._throws = [one for one in counted if one[0]]


class OneByOne(Sequence[VenueEvent]):
    """Events that somebody looks at, or changes, in the moment in which the process takes each."""

    def __init__(self, events: Sequence[VenueEvent], look: Callable[[VenueEvent], Sequence[VenueEvent]]) -> None:
        self._events = events
        self._look = look

    def __iter__(self) -> Iterator[VenueEvent]:
        for event in self._events:
            yield from self._look(event)

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> VenueEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[VenueEvent]: ...
    def __getitem__(self, index: int | slice) -> VenueEvent | Sequence[VenueEvent]:
        return list(self)[index]


class Watcher(Protocol):
    """Who looks at what passes."""

    def on_send(self, place: Place) -> None:
        """An order leaves."""
        ...

    def on_event(self, event: VenueEvent) -> None:
        """The process learns something."""
        ...


class WatchedVenue:
    """A `Venue` that tells a watcher and may crash on both sides of a call."""

    def __init__(self, venue: Venue, called: Callable[[str], None], watcher: Watcher) -> None:
        self._venue = venue
        self._called = called
        self._watcher = watcher
        self.name = venue.name
        self.simulated = True

    def place(self, place: Place) -> None:
        """Send an order."""
        self._called("place")
        self._watcher.on_send(place)
        self._venue.place(place)
        self._called("placed")

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Cancel an order."""
        self._called("cancel")
        self._venue.cancel(number, client_id, venue_id, pair)
        self._called("cancelled")

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Ask a question."""
        self._called("ask")
        self._venue.ask(number, ask, client_ids, since)
        self._called("asked")

    def events(self) -> Sequence[VenueEvent]:
        """What came."""
        events = self._venue.events()
        if events:
            self._called("events")
        return OneByOne(events, self._look)

    def _look(self, event: VenueEvent) -> Sequence[VenueEvent]:
        self._watcher.on_event(event)
        return (event,)

    def close(self) -> None:
        """Give back what is held."""
        self._venue.close()
