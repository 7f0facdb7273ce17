"""A network on which requests and answers are lost, late or lied about, and a private stream that is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.venue import StatusChanged, VenueEvent, VenueStatus
from ..simulated_kraken import Arrive, Unknown
from .draws import Draws
from .schedule import MESSAGES, Fault
from .world import World

TIMEOUT_MS = 3_000
"""After so long a caller gives an answer up; shorter than any deadline of an order."""
FAST_MS, SLOW_MS = 20, 200
"""How long a message takes when nothing is wrong."""
ECHO_MS = 3_000
"""How much later something told twice is told again."""


class FaultyLink:
    """A `Link`. Answers belong to the life of the process that asked; what was sent arrives whoever has died since.

    The n-th message of a channel meets the fault that names it. The stream keeps its order; what is said while it is
    cut is lost. `wake` is called when something arrived.
    """

    def __init__(self, world: World, faults: Sequence[Fault], draws: Draws, wake: Callable[[], None]) -> None:
        self._world = world
        self._draws = draws
        self._wake = wake
        self._hit = {(one.channel, one.at): one for one in faults if one.kind in MESSAGES}
        self._sent: dict[str, int] = {}
        self._arrived: list[VenueEvent] = []
        self._life = 0
        self._streamed_at = 0
        self.connected = True
        self.twice = False
        self.calm = False

    def begin_life(self, status: VenueStatus) -> None:
        """A process connects; what was on its way to an earlier one is gone."""
        self._life += 1
        self._arrived.clear()
        if self.connected:
            self.stream([StatusChanged(status, True, self._world.now)])

    def cut(self, connected: bool, status: VenueStatus) -> None:
        """The private stream breaks, or is there again; the connector notices and says so."""
        self.connected = connected
        self._deliver_later(StatusChanged(status, connected, self._world.now), self._wait())

    def request(self, channel: str, arrive: Arrive, unknown: Unknown) -> None:
        """Send one message, with whatever happens to it."""
        number = self._sent.get(channel, 0)
        self._sent[channel] = number + 1
        fault = None if self.calm else self._hit.get((channel, number))
        call = _Call(self, self._world, self._life, arrive, unknown)
        self._world.after(TIMEOUT_MS, call.give_up)
        up, down = self._wait(), self._wait()
        if fault is None:
            self._world.after(up, lambda: call.arrive(down))
            return
        self._fail(fault, call, up, down)

    def _fail(self, fault: Fault, call: _Call, up: int, down: int) -> None:
        if fault.kind == "lost_reply":
            self._world.after(up, lambda: call.arrive(None))
        elif fault.kind == "late":
            self._world.after(fault.size, lambda: call.arrive(down))
        elif fault.kind == "error_after":
            self._world.after(up, lambda: call.arrive(down, "HTTP 502"))
        elif fault.kind == "error_before":
            self._world.after(up + down, lambda: call.fail("HTTP 503"))

    def stream(self, events: Sequence[VenueEvent]) -> None:
        """Say something by the private stream, where it is alive."""
        if not self.connected:
            return
        for event in events:
            self._streamed_at = max(self._streamed_at, self._world.now + self._wait())
            self._deliver_later(event, self._streamed_at - self._world.now)
            if self.twice:
                self._deliver_later(event, self._streamed_at - self._world.now + self._draws.whole(0, ECHO_MS))

    def arrived(self) -> Sequence[VenueEvent]:
        """What the process has not read yet."""
        gone, self._arrived = self._arrived, []
        return gone

    def deliver(self, event: VenueEvent, life: int) -> None:
        """Something reaches the process, unless it is another one by now."""
        if life == self._life:
            self._arrived.append(event)
            self._wake()

    def _deliver_later(self, event: VenueEvent, wait: int) -> None:
        life = self._life
        self._world.after(wait, lambda: self.deliver(event, life))

    def _wait(self) -> int:
        return self._draws.whole(FAST_MS, SLOW_MS)


class _Call:
    """One request on its way; it ends once, by an answer or by being given up."""

    __slots__ = ("_arrive", "_done", "_life", "_link", "_unknown", "_world")

    def __init__(self, link: FaultyLink, world: World, life: int, arrive: Arrive, unknown: Unknown) -> None:
        self._link = link
        self._world = world
        self._life = life
        self._arrive = arrive
        self._unknown = unknown
        self._done = False

    def arrive(self, down: int | None, error: str = "") -> None:
        """It reaches the exchange, which acts; the answer comes back after `down` ms, as an error, or never (None)."""
        event = self._arrive(self._world.now)
        if down is not None:
            self._world.after(down, lambda: self.fail(error) if error else self._end(event))

    def fail(self, why: str) -> None:
        """An answer that says nothing about the request."""
        self._end(self._unknown(why, self._world.now))

    def give_up(self) -> None:
        """Nobody waits any longer."""
        self.fail("timeout")

    def _end(self, event: VenueEvent) -> None:
        if not self._done:
            self._done = True
            self._link.deliver(event, self._life)
