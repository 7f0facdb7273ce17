"""The bus of several processes: the phases of LocalBus, every message over a Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from ..core.bus import BARRIER_CHANNEL, FanOut, Route
from ..core.clock import Timer
from ..core.config import BusSettings
from ..core.envelopes import Envelope, encode
from ..core.errors import BusError
from ..core.messages import CHANNELS, Barrier
from ..core.ports import Clock, Foreign
from .redaction import shown_url
from .redis_wire import WIRE_ERRORS, Wire, escape_glob, listen, next_message, open_connection

POLL_SECONDS = 0.2
"""How soon a tap notices that it shall stop; nothing that is decided depends on it."""
ALREADY_OVER = 0.0
"""A deadline that does not wait: only what has arrived is read."""
TAP_SECONDS = 5.0
"""How long a tap waits for the server to answer; nothing that is decided depends on it."""


class RedisBus(FanOut):
    """Publishes and listens over one pair of connections; local fan-out, order and content equal to LocalBus.

    A generation is sent in one go, followed by a barrier. What comes back before the barrier is compared with
    what was sent, byte by byte, so that no stranger can slip in; handlers get what the wire form says. What does
    not come back in time is delivered from the own queue, `settle` says False, and the connections are built anew
    after a growing pause. All methods belong to the thread of the spine; foreign messages are read by `settle`,
    `drain_foreign` and `ping`.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        settings: BusSettings,
        producer: str,
        epoch: int,
        timer: Timer,
        channel_prefix: str = "",
    ) -> None:
        super().__init__(clock, settings, producer, epoch, wired=True)
        self._url = url
        self._settings = settings
        self._timer = timer
        self._prefix = channel_prefix
        self._patterns = [escape_glob(channel_prefix) + channel.pattern for channel in CHANNELS]
        self._outgoing: list[tuple[str, bytes]] = []
        self._barriers = 0
        self._deadline = 0.0
        self._rest = 0.0
        self._pause = settings.backoff_first_seconds
        self._attempt_at = 0.0
        self._whole = True
        self.trouble = ""
        self.late = 0
        self._wire: Wire | None = None
        self._start()

    def _start(self) -> None:
        self._allow_waiting(self._settings.connect_timeout_seconds)
        self._connect()
        if self._wire is None:
            raise BusError(
                f"no bus at {shown_url(self._url)}: {self.trouble}; start a server there, "
                "or use `--bus embedded` for a server of the run's own"
            )

    # --- phases --------------------------------------------------------------------------------------------------

    def quiet(self) -> bool:
        """Never: the server is looked at, and come back to, in `settle`."""
        return False

    def settle(self) -> bool:
        """As LocalBus; within `settle_timeout_seconds` whatever the server does, plus what the handlers take."""
        self._whole = True
        self._allow_waiting(self._settings.settle_timeout_seconds)
        self._reconnect_if_due()
        self._keep_rest()
        super().settle()
        return self._whole and self._wire is not None

    def go_on(self, said: int) -> None:
        """Nothing: each life of a process has an epoch of its own, whose numbers begin at 1."""

    def _send(self, route: Route, raw: bytes) -> None:
        self._outgoing.append((self._prefix + route.channel, raw))

    def _carry(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        # Raw bytes are unique: they contain the number of the message.
        missing = {raw for _, raw in outgoing}
        if self._wire is not None and outgoing:
            self._allow_waiting(self._rest)
            self._pass_barrier(self._wire, outgoing, missing)
            self._keep_rest()
        if missing:
            self._whole = False
            self._inbox.note_gap(self.producer, len(missing))

    def _pass_barrier(self, wire: Wire, outgoing: list[tuple[str, bytes]], missing: set[bytes]) -> None:
        """Send `outgoing` and a barrier; read until it is back, striking what arrives off `missing`."""
        barrier = self._barrier()
        try:
            wire.send([*outgoing, barrier])
            while (arrived := wire.receive(self._deadline)) is not None:
                if arrived == barrier:
                    return
                if arrived[1] in missing:
                    missing.remove(arrived[1])
                else:
                    self.receive(arrived[0].removeprefix(self._prefix), arrived[1])
            self._fall("the barrier did not come back in time")
        except WIRE_ERRORS as error:
            self._fall(str(error))

    def _allow_waiting(self, seconds: float) -> None:
        self._deadline = self._timer.seconds() + seconds

    def _keep_rest(self) -> None:
        """What is left for the other generations of this phase; the time of the handlers does not count."""
        self._rest = self._deadline - self._timer.seconds()

    def _barrier(self) -> tuple[str, bytes]:
        self._barriers += 1
        self._seq += 1
        now = self._clock.now_ms()
        body = Barrier(source=self.producer, at=now, known_at=now, number=self._barriers)
        return self._prefix + BARRIER_CHANNEL, encode(Envelope(self.producer, self.epoch, self._seq, body))

    # --- strangers -----------------------------------------------------------------------------------------------

    def _receive_own(self, channel: str, envelope: Envelope, raw: bytes) -> None:
        """An own number comes a second time, or after its phase was finished without it: it was delivered already."""
        if envelope.seq <= self._seq:
            self.late += 1
        else:
            super()._receive_own(channel, envelope, raw)

    def drain_foreign(self) -> Sequence[Foreign]:
        """Valid messages of other producers since the last call, in order of arrival; does not wait for any."""
        self._allow_waiting(self._settings.settle_timeout_seconds)
        wire = self._wire
        try:
            while wire and self._timer.seconds() < self._deadline:
                arrived = wire.receive(ALREADY_OVER)
                if arrived is None:
                    break
                self.receive(arrived[0].removeprefix(self._prefix), arrived[1])
        except WIRE_ERRORS as error:
            self._fall(str(error))
        return super().drain_foreign()

    # --- life ----------------------------------------------------------------------------------------------------

    def reconnect_due(self, now: float) -> bool:
        """Whether the connections are down and the pause is over at `now`, in seconds of the timer."""
        return self._wire is None and not self._closed and now >= self._attempt_at

    def ping(self) -> bool:
        """Whether a barrier comes back now; reconnects first where that is due."""
        self._allow_waiting(self._settings.settle_timeout_seconds)
        self._reconnect_if_due()
        if self._wire is not None:
            self._pass_barrier(self._wire, [], set())
        return self._wire is not None

    def close(self) -> None:
        """Give back the connections; what was queued is forgotten."""
        super().close()
        self._outgoing = []
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _reconnect_if_due(self) -> None:
        if self.reconnect_due(self._timer.seconds()):
            self._connect()

    def _connect(self) -> None:
        """Build the connections and see a first barrier through; on failure the next pause is twice as long."""
        seconds = self._settings.settle_timeout_seconds
        try:
            wire = Wire(self._url, self._patterns, self._timer, self._deadline, seconds)
        except WIRE_ERRORS as error:
            return self._fall(str(error))
        self._wire = wire
        self._pass_barrier(wire, [], set())
        if self._wire is not None:
            self._pause = self._settings.backoff_first_seconds
            self.trouble = ""
        return None

    def _fall(self, reason: str) -> None:
        """Go on without a server: the next attempt is due after the pause, which doubles up to its cap."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self.trouble = reason
        self._attempt_at = self._timer.seconds() + self._pause
        self._pause = min(self._settings.backoff_cap_seconds, 2 * self._pause)


def tap(url: str, pattern: str, on_message: Callable[[str, bytes], None], stop: Event) -> None:
    """Hand every message of `pattern` (Redis glob) to `on_message(channel, JSON)` until `stop` is set.

    Uses a connection of its own and takes no part in the run. BusError when the server is not there or goes away.
    """
    try:
        connection = open_connection(url, TAP_SECONDS, TAP_SECONDS)
        try:
            listen(connection, [pattern], lambda: TAP_SECONDS)
            while not stop.is_set():
                arrived = next_message(connection, POLL_SECONDS)
                if arrived is not None:
                    on_message(*arrived)
        finally:
            connection.disconnect()
    except WIRE_ERRORS as error:
        raise BusError(f"no bus at {shown_url(url)}: {error}; is the run still up?") from error
