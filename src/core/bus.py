"""What both buses share - subscriptions, generations, delivery, refusal - and the bus inside one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .config import BusSettings
from .envelopes import Envelope, decode, encode, finiteness, validate
from .errors import AgentFault, BusError, InvariantError
from .inbox import Inbox
from .messages import CHANNELS, AnyMessage, Message, channel_of
from .ports import Clock, DeadLetter, Failure, Foreign, Handler, Origin

LOCAL_EPOCH = 1
"""Inside one process there is one life only."""

BARRIER_CHANNEL = "system-barrier"

Target = tuple[str, Handler]


class Route:
    """A channel name with what publishing and delivering on it needs, resolved once."""

    __slots__ = ("channel", "plausible", "published", "struct", "targets", "template")

    def __init__(self, channel: str) -> None:
        row = channel_of(channel)
        if channel == BARRIER_CHANNEL:
            raise BusError(f"{channel} belongs to the bus itself")
        self.channel = channel
        self.template = row.template
        self.struct = row.struct
        self.plausible = finiteness(row.struct)
        self.targets: list[Target] | None = None
        self.published = 0


Queued = tuple[Route, Message, "int | Foreign"]
"""What waits: where it goes, what it says, and its number, or the foreign message that it is."""


class FanOut:
    """Subscriptions, the queue and its generations: everything of a bus but the wire.

    Single-threaded: all methods belong to the thread of the spine.
    """

    def __init__(self, clock: Clock, settings: BusSettings, producer: str, epoch: int, wired: bool) -> None:
        self.producer = producer
        self.epoch = epoch
        self._clock = clock
        self._latest = clock.now_ms()  # what the clock was seen to show; it never goes back
        self._wired = wired
        self._max_generations = settings.max_generations
        self._max_of_source = settings.max_messages_per_owner
        self._inbox = Inbox(clock, settings)
        self._routes: dict[str, Route] = {}
        self._subscriptions: list[tuple[str, Target]] = []
        self._joining: list[tuple[str, Target]] = []
        self._stale = False
        self._delivering = False
        self._closed = False
        self._queue: list[Queued] = []
        self._sent_of: dict[str, int] = {}
        self._failures: list[Failure] = []
        self._seq = 0
        self._current: Queued | None = None

    # --- subscriptions -------------------------------------------------------------------------------------------

    def subscribe(self, pattern: str, handler: Handler, owner: str) -> None:
        """Deliver messages of `pattern`, a channel name or `prefix:*`, to `handler`; BusError when none can come.

        During `settle` it takes part from the next generation on. The same handler of the same owner gets a
        message once, however many of its patterns match. Handlers are called in the order of subscription.
        """
        _check_pattern(pattern)
        where = self._joining if self._delivering else self._subscriptions
        where.append((pattern, (owner, handler)))
        self._stale = True

    def unsubscribe(self, owner: str) -> None:
        """Remove every subscription of `owner`; nothing reaches it any more, not even the rest of this generation."""
        self._subscriptions = [row for row in self._subscriptions if row[1][0] != owner]
        self._joining = [row for row in self._joining if row[1][0] != owner]
        for route in self._routes.values():
            # In place, because a list may be walked right now.
            targets = route.targets or []
            for index, target in enumerate(targets):
                if target[0] == owner:
                    targets[index] = (owner, _deaf)
        self._stale = True

    def _resolve(self, route: Route) -> list[Target]:
        matching = (target for pattern, target in self._subscriptions if _matches(pattern, route.channel))
        route.targets = list(dict.fromkeys(matching))
        return route.targets

    def _admit(self) -> None:
        """Between generations: let newcomers in and forget what was resolved for others."""
        if self._stale:
            self._subscriptions += self._joining
            self._joining = []
            for route in self._routes.values():
                route.targets = None
            self._stale = False

    # --- publishing ----------------------------------------------------------------------------------------------

    def publish(self, channel: str, message: Message) -> None:
        """Queue `message`; no handler is called.

        Raises BusError when it does not belong on the channel or is not finite, AgentFault when its source floods,
        InvariantError when it is from the future.
        """
        route = self._routes.get(channel) or self._open_route(channel)
        try:
            if type(message) is not route.struct or not route.plausible(message):
                validate(message, channel)
        except (TypeError, AttributeError, OverflowError):
            validate(message, channel)
        if message.known_at > self._latest:
            self._refuse_the_future(channel, message)
        source = message.source
        sent = self._sent_of[source] = self._sent_of.get(source, 0) + 1
        if sent > self._max_of_source:
            raise AgentFault(f"{source} floods {channel}: more than {self._max_of_source} messages in one phase")
        if self._wired:
            message = self._through_wire(route, message)
        else:
            self._seq += 1
        route.published += 1
        self._queue.append((route, message, self._seq))

    def _refuse_the_future(self, channel: str, message: Message) -> None:
        """Look at the clock: of the messages of one instant, only the first one comes here."""
        self._latest = self._clock.now_ms()
        if message.known_at > self._latest:
            raise InvariantError(
                f"{message.source} published on {channel} what is known at {message.known_at} only; "
                f"it is {self._latest}"
            )

    def _open_route(self, channel: str) -> Route:
        if self._closed:
            raise BusError(f"the bus is closed; nothing can go out on {channel}")
        route = self._routes[channel] = Route(channel)
        return route

    def _through_wire(self, route: Route, message: Message) -> Message:
        """`message` as it comes out of its wire form; BusError when it has none. A number is used on success only."""
        # `publish` has made sure that it is the struct of a channel.
        body: AnyMessage = message  # type: ignore[assignment]
        raw = encode(Envelope(self.producer, self.epoch, self._seq + 1, body))
        arrived = decode(raw, route.channel).body
        self._seq += 1
        self._send(route, raw)
        return arrived

    def _send(self, route: Route, raw: bytes) -> None:
        """Hand `raw` to the wire, where there is one."""

    def counts(self) -> Mapping[str, int]:
        """Messages published so far, by channel template; channels that were not used are absent."""
        counts: dict[str, int] = {}
        for route in self._routes.values():
            if route.published:
                counts[route.template] = counts.get(route.template, 0) + route.published
        return counts

    # --- delivering ----------------------------------------------------------------------------------------------

    def quiet(self) -> bool:
        """Whether `settle` would deliver nothing, ask nobody and return True."""
        return not self._queue

    def settle(self) -> bool:
        """Deliver until all is quiet, generation by generation.

        Returns False when a server did not answer in time; everything was delivered from the own queue then.
        Raises InvariantError when handlers still publish after the last generation that is allowed.
        """
        if self._delivering:
            raise InvariantError("settle was called by a handler")
        if not self._queue:
            self._sent_of.clear()
            return True
        self._delivering = True
        try:
            self._run_generations()
        finally:
            self._delivering = False
            self._sent_of.clear()
        return True

    def _run_generations(self) -> None:
        for _ in range(self._max_generations):
            if not self._queue:
                return
            self._admit()
            batch, self._queue = self._queue, []
            self._carry()
            self._deliver(batch)
        if self._queue:
            self._refuse_restlessness()

    def _carry(self) -> None:
        """Bring the generation over the wire, where there is one, before it is delivered."""

    def _deliver(self, batch: list[Queued]) -> None:
        for queued in batch:
            route, message, _ = self._current = queued
            targets = route.targets
            if targets is None:
                targets = self._resolve(route)
            for owner, handler in targets:
                try:
                    handler(message)
                except InvariantError:
                    raise
                except Exception as error:  # noqa: BLE001 - one failing handler must not silence the others
                    self._failures.append(Failure(owner, route.channel, repr(error)))
        self._current = None

    def origin(self) -> Origin:
        """Which message is being delivered; InvariantError outside a delivery."""
        if self._current is None:
            raise InvariantError("no message is being delivered")
        route, _, number = self._current
        if isinstance(number, Foreign):
            return Origin(route.channel, number.producer, number.epoch, number.seq)
        return Origin(route.channel, self.producer, self.epoch, number)

    def said(self) -> int:
        """The number of the newest message of this life."""
        return self._seq

    def go_on(self, said: int) -> None:
        """Continue the numbers of an earlier life: inside one process there is one epoch only."""
        self._seq = said

    def _refuse_restlessness(self) -> None:
        names = ", ".join(sorted({route.channel for route, _, _ in self._queue}))
        raise InvariantError(f"handlers still publish after {self._max_generations} generations on: {names}")

    def drain_failures(self) -> Sequence[Failure]:
        """Handlers that raised since the last call."""
        failures, self._failures = self._failures, []
        return failures

    # --- strangers -----------------------------------------------------------------------------------------------

    def receive(self, channel: str, raw: bytes) -> None:
        """Take raw bytes that came from outside: they wait for `drain_foreign` or become a dead letter."""
        envelope = self._inbox.open(channel, raw)
        if envelope is None:
            return
        if (envelope.producer, envelope.epoch) == (self.producer, self.epoch):
            self._receive_own(channel, envelope, raw)
        else:
            self._inbox.accept(channel, envelope, raw)

    def _receive_own(self, channel: str, envelope: Envelope, raw: bytes) -> None:
        self._inbox.refuse(channel, f"a stranger calls itself {envelope.producer!r}, epoch {envelope.epoch}", raw)

    @property
    def gaps(self) -> Mapping[str, int]:
        """Messages known to be missing, by producer."""
        return self._inbox.gaps

    def drain_foreign(self) -> Sequence[Foreign]:
        """Valid messages of other producers since the last call, in order of arrival."""
        return self._inbox.drain()

    def deliver_foreign(self, foreign: Foreign) -> None:
        """Queue a foreign message for local handlers; `settle` delivers it. Nothing goes out again."""
        validate(foreign.message, foreign.channel)
        route = self._routes.get(foreign.channel) or self._open_route(foreign.channel)
        self._queue.append((route, foreign.message, foreign))

    def drain_dead_letters(self) -> Sequence[DeadLetter]:
        """Refused messages since the last call; when more came than are kept, the last one says how many."""
        return self._inbox.drain_dead()

    # --- life ----------------------------------------------------------------------------------------------------

    def ping(self) -> bool:
        """Whether messages can pass now."""
        return not self._closed

    def close(self) -> None:
        """Nothing can be published any more; what was queued is forgotten."""
        self._closed = True
        self._queue = []
        self._routes = {}


class LocalBus(FanOut):
    """The bus of one process: deterministic and fast. With `validate` every message takes its wire form and back."""

    def __init__(self, clock: Clock, settings: BusSettings, producer: str = "local", validate: bool = False) -> None:
        super().__init__(clock, settings, producer, LOCAL_EPOCH, wired=validate)


def _deaf(message: Message) -> None:
    """Stands in for a handler that was unsubscribed while a generation was being delivered."""


def _check_pattern(pattern: str) -> None:
    if not any(pattern == channel.pattern for channel in CHANNELS):
        channel_of(pattern)
    if pattern == BARRIER_CHANNEL:
        raise BusError(f"{pattern} belongs to the bus itself")


def _matches(pattern: str, channel: str) -> bool:
    return channel.startswith(pattern[:-1]) if pattern.endswith(":*") else channel == pattern
