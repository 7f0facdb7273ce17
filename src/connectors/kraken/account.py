"""One account at Kraken as it is traded on: REST, private stream and public statuses as one venue that opens itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from threading import Event, Thread

from ...core.config_venues import KrakenSettings
from ...core.errors import MycelialError
from ...core.ports import Clock
from ...core.randomness import generator_for
from ...core.types import MONEY_STEP, Pair
from ...core.venue import Answered, Ask, ClientId, Place, StatusChanged, VenueEvent, VenueId, VenueStatus
from .attempts import Attempts
from .budget import Budget
from .private import KrakenAccount
from .streams import Ports
from .venue import Guard, KrakenVenue

_REFRESHES = 3
"""So often the dead man's switch is set anew in its time: two of them may be lost."""
Statuses = Callable[[], Sequence[tuple[Pair | None, VenueStatus]]]
"""What the public stream heard of opening and closing since the last call."""


class TradedAccount:
    """A `Venue`. `begin` opens it on a thread of its own, again and again until that works; nothing else waits.

    `stands` is whether it was opened and the private stream has missed nothing: before that nothing may be asked.
    `events` tells a change of status once, and as connected only while the private stream can be relied on.
    `balances` by asset as of the last look, `tail`: the end of the key's name.
    """

    name = "kraken"
    simulated = False

    def __init__(
        self,
        rest: KrakenVenue,
        account: KrakenAccount,
        statuses: Statuses,
        settings: KrakenSettings,
        clock: Clock,
        ports: Ports,
        tail: str,
    ) -> None:
        self.trouble = "not opened yet"
        self.tail = tail
        self.balances: Mapping[str, Decimal] = {}
        self._rest, self._account, self._statuses = rest, account, statuses
        self._settings, self._clock, self._timer, self._say = settings, clock, ports.timer, ports.alert
        self._attempts = Attempts(settings.streams.connection, generator_for(ports.seed, "kraken:account"))
        self._status: VenueStatus | None = None
        self._told: tuple[VenueStatus, bool] | None = None
        self._interrupted = False
        self._held: deque[VenueEvent] = deque()
        self._armed, self._armed_at_s = False, 0.0
        self._closing, self._opened = Event(), Event()
        self._thread: Thread | None = None

    # --- opening -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open now; ConfigError for a key that must not be used, SourceError where nobody answers."""
        try:
            self._account.open()
        except MycelialError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        self._opened.set()

    def begin(self) -> None:
        """Go on trying to open, beside everything else; nothing to do where it is open."""
        if not self._opened.is_set() and self._thread is None:
            self._thread = Thread(target=self._try, name="kraken-account", daemon=True)
            self._thread.start()

    def _try(self) -> None:
        while not self._closing.is_set():
            if (pause_s := self._rest.pause_s()) > 0.0:
                self._timer.wait(self._closing, pause_s)
                continue
            try:
                self.open()
            except MycelialError:
                self._wait()
            else:
                return

    def _wait(self) -> None:
        now_s, connection = self._timer.seconds(), self._settings.streams.connection
        self._attempts.went_down(now_s)
        if (away_s := self._attempts.alarm(now_s)) is not None:
            self._say(f"kraken account: not open for {away_s:.0f} s: {self.trouble}; trying on, nothing is sent")
        self._timer.wait(self._closing, max(self._attempts.pause_s(), connection.retry_seconds))

    @property
    def opened(self) -> bool:
        """Whether key, pairs and status were seen."""
        return self._opened.is_set()

    def troubles(self) -> Sequence[str]:
        """Why nothing may be sent now; empty when something may."""
        return self._account.private.troubles() if self.opened else (f"kraken account: {self.trouble}",)

    @property
    def stands(self) -> bool:
        """Whether questions and orders make sense now. What comes meanwhile is kept for `events`."""
        if not self.opened:
            return False
        self.hear()
        return not self.troubles()

    def hear(self) -> None:
        """Keep what came for `events`, and let those who wait for an answer of their own have it."""
        if self.opened:
            self._held.extend(self._heard())

    @property
    def budget(self) -> Budget:
        """The counters of the key's calls."""
        return self._rest.budget

    def guarded_by(self, guard: Guard) -> None:
        """Whoever says stop is asked by the thread that sends."""
        self._rest.guard = guard

    def trades(self, pairs: Sequence[Pair]) -> None:
        """The pairs of the run, before it is opened: what is theirs is known even when they are listed no more."""
        self._rest.pairs = pairs

    def tick(self, pair: Pair) -> Decimal:
        """The step of a pair's prices; the finest there is where it is listed no more: no order leaves for it then."""
        row = self._rest.listings.rows.get(pair)
        return MONEY_STEP if row is None else row.tick

    # --- Venue ---------------------------------------------------------------------------------------------------

    def place(self, place: Place) -> None:
        """Send an order once."""
        self._account.place(place)

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Ask for an order to be cancelled."""
        self._account.cancel(number, client_id, venue_id, pair)

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Ask a question."""
        self._account.ask(number, ask, client_ids, since)

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call, and first how the venue stands where that changed."""
        if not self.opened:
            return ()
        found = (*self._held, *self._heard())
        self._held.clear()
        self._keep_alive()
        return (*self._standing(), *found)

    def close(self) -> None:
        """Leave."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        if self._armed and (why := self._rest.dead_man_off()):
            self._say(f"kraken account: the dead man's switch may be on still, all orders go with it: {why}")
        self._account.close()

    # --- inside --------------------------------------------------------------------------------------------------

    def _heard(self) -> list[VenueEvent]:
        """Everything but how the whole venue stands, which is remembered."""
        found: list[VenueEvent] = []
        for pair, status in self._statuses():
            if pair is None:
                self._rest.hear_status(status)
            else:
                found.append(StatusChanged(status, True, self._clock.now_ms(), pair))
        for event in self._account.events():
            if isinstance(event, StatusChanged) and event.pair is None:
                self._status = event.status
                self._interrupted |= not event.connected
                continue
            if isinstance(event, Answered) and event.ask is Ask.BALANCES:
                self.balances = dict(event.balances)
            found.append(event)
        return found

    def _keep_alive(self) -> None:
        """Set the dead man's switch anew in time; before a maintenance it is turned off, for nobody is heard then."""
        seconds, now_s = self._settings.dead_man_seconds, self._timer.seconds()
        if seconds is None or self._status is None:
            return
        if self._status is VenueStatus.MAINTENANCE:
            if self._armed:
                self._armed = False
                self._rest.dead_man(0)
        elif not self._armed or now_s >= self._armed_at_s + seconds / _REFRESHES:
            self._armed, self._armed_at_s = True, now_s
            self._rest.dead_man(seconds)

    def _standing(self) -> Sequence[VenueEvent]:
        """How the venue stands where that changed, and a cut that was over before anybody looked."""
        if self._status is None:
            return ()
        at, before, now = self._clock.now_ms(), self._told, (self._status, not self.troubles())
        interrupted, self._interrupted = self._interrupted and before is not None and before[1] and now[1], False
        if now == before and not interrupted:
            return ()
        self._told = now
        cut = (StatusChanged(self._status, False, at),) if interrupted else ()
        return (*cut, StatusChanged(*now, at))
