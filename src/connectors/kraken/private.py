"""The private stream of one account, and the venue that joins it with the REST half."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from threading import Condition
from typing import Protocol

from ...core.config_streams import KrakenStreams
from ...core.errors import Unavailable
from ...core.ports import Clock
from ...core.types import Pair
from ...core.venue import Answered, Ask, ClientId, Executed, NotAnswered, Place, Venue, VenueEvent, VenueId
from .connection import Token
from .executions import BackFill, Executions
from .streams import Ports, Stream
from .subscriptions import Subscriptions


class PrivateStream:
    """Executions as they happen. `back_fill` and `token` may block; each has a thread."""

    def __init__(
        self,
        settings: KrakenStreams,
        clock: Clock,
        ports: Ports,
        token: Token,
        back_fill: BackFill,
        since: int,
        known: Sequence[str] = (),
        owner: Callable[[VenueId], ClientId | None] = lambda _: None,
    ) -> None:
        wanted = Subscriptions(settings.connection)
        self.executions = Executions(settings, clock, ports.timer, wanted, back_fill, since, known, owner)
        self.stream = Stream(
            "private", settings.private_url, settings.connection, self.executions, wanted, ports, token
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self.stream.start()

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call."""
        return self.executions.events()

    def troubles(self) -> Sequence[str]:
        """Why orders must not be sent now; empty when they may."""
        troubles = list(self.stream.troubles())
        return troubles if self.executions.reconciled else [*troubles, "private stream: not reconciled"]

    def whole(self, since: int) -> Sequence[Executed] | None:
        """All executions since a time (UTC ms), as far as the stream can be relied on for that; see `Executions`."""
        return None if self.troubles() else self.executions.whole(since)

    def close(self) -> None:
        """Leave."""
        self.stream.close()


class Asking:
    """A back-fill by the questions of a venue: asks, and waits until whoever drains its events lets us `hear`."""

    def __init__(self, ask: Callable[[int, Ask, Sequence[ClientId], int | None], None], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        # Below zero, so that no number of the coordinator's is among them.
        self._numbers = count(-1, -1)
        self._waiting: dict[int, Answered | NotAnswered | None] = {}
        self._heard = Condition()

    def __call__(self, since: int) -> Sequence[Executed]:
        """All executions since a time (UTC ms); Unavailable when no answer came in time."""
        with self._heard:
            number = next(self._numbers)
            self._waiting[number] = None
        self._ask(number, Ask.EXECUTIONS, (), since)
        with self._heard:
            self._heard.wait_for(lambda: self._waiting[number] is not None, self._seconds)
            answer = self._waiting.pop(number)
        if not isinstance(answer, Answered):
            raise Unavailable(f"kraken: no executions since {since}: {'no answer' if answer is None else answer.why}")
        return answer.executions

    def hear(self, event: VenueEvent) -> bool:
        """Whether an event was for us alone."""
        if not isinstance(event, Answered | NotAnswered) or event.number >= 0:
            return False
        with self._heard:
            if event.number in self._waiting:
                self._waiting[event.number] = event
                self._heard.notify_all()
        return True


class Rest(Venue, Protocol):
    """The half that asks and places."""

    def open(self) -> None:
        """Check key, pairs and status."""
        ...


class KrakenAccount:
    """A Venue: orders and questions go by REST, what happens is heard by the private stream besides.

    Executions that the stream has just told whole are not asked for a second time. `now` tells UTC ms.
    """

    simulated = False

    def __init__(self, rest: Rest, asking: Asking, private: PrivateStream, now: Callable[[], int]) -> None:
        self.name = rest.name
        self._rest, self._asking, self.private, self._now = rest, asking, private, now
        self._told: deque[VenueEvent] = deque()

    def open(self) -> None:
        """Open the REST half, then begin to listen."""
        self._rest.open()
        self.private.start()

    def place(self, place: Place) -> None:
        """Send an order once."""
        self.private.executions.outdated()
        self._rest.place(place)

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Ask for an order to be cancelled."""
        self._rest.cancel(number, client_id, venue_id, pair)

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Ask a question."""
        everything = ask is Ask.EXECUTIONS and not client_ids
        found = self.private.whole(since) if everything and since is not None else None
        if found is None:
            self._rest.ask(number, ask, client_ids, since)
        else:
            self._told.append(Answered(ask, number, self._now(), executions=tuple(found)))

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call by either way; the stream's word before an answer that came no earlier."""
        asked = [event for event in self._rest.events() if not self._asking.hear(event)]
        told = [self._told.popleft() for _ in range(len(self._told))]
        return (*self.private.events(), *told, *asked)

    def close(self) -> None:
        """Stop listening, then give back the rest."""
        self.private.close()
        self._rest.close()


def private_account(
    rest: Rest,
    settings: KrakenStreams,
    clock: Clock,
    ports: Ports,
    token: Token,
    since: int,
    known: Sequence[str] = (),
    owner: Callable[[VenueId], ClientId | None] = lambda _: None,
) -> KrakenAccount:
    """Both halves of one account, the stream's back-fills asked for by the venue's own questions."""
    asking = Asking(rest.ask, settings.back_fill_seconds)
    private = PrivateStream(settings, clock, ports, token, asking, since, known, owner)
    return KrakenAccount(rest, asking, private, clock.now_ms)
