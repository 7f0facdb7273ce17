"""`--feed kraken`: what was seen before, out of the ledger, then the gap, then the market as it happens.

The feed of an exchange cannot be repeated. Each slice is durable before it is walked, so that a restart, `replay` and
`parity` see the same bars.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from threading import Event

import msgspec

from ..connectors.config_files import DEFAULT_FILE
from ..connectors.kraken.attempts import Attempts, ConnectionBudget
from ..connectors.kraken.feed import KrakenFeed, live_feed
from ..connectors.kraken.streams import Ports
from ..connectors.recorded_slices import recorded_slices, slice_row
from ..connectors.sources.joined import MarketAndSources, with_real_sources
from ..connectors.sources.standing import SourceHealth
from ..core.clock import Timer, WallClock, iso
from ..core.config import LedgerSettings, Settings
from ..core.config_venues import KrakenSettings
from ..core.errors import SourceError, UsageError
from ..core.moats import FAILED
from ..core.names import pair_of
from ..core.ports import Clock, Ledger
from ..core.randomness import generator_for
from ..core.timeframes import timeframe_ms
from ..core.types import Pair, Slice, Tick
from . import common
from .options import ProcessOptions

KRAKEN = "kraken"
CANDLES = 720
"""So many finished candles Kraken serves at most; they are the warm-up."""
DEFAULT_TIMEFRAME = "1h"
_OF_OTHERS = ("venue", "timerange", "data", "speed")


class RecordedExchange:
    """A Feed: the slices that a run wrote into its ledger, for whoever walks them again."""

    simulated = False

    def __init__(self, path: Path, settings: LedgerSettings, pairs: Sequence[Pair], interval_ms: int) -> None:
        self.pairs, self.interval_ms = tuple(pairs), interval_ms
        self._path, self._settings = path, settings
        self._after: int | None = None

    def start_after(self, at: int) -> RecordedExchange:
        """The same from the first slice later than `at` on."""
        self._after = at
        return self

    def __iter__(self) -> Iterator[Slice]:
        return recorded_slices(self._path, self._settings, self.pairs, self._after)


class ExchangeFeed:
    """A Feed over the exchange, its journal and the real sources: `attach`, walk what is `recorded`, then iterate.

    `closing` ends the iteration. Without an answer at the first start it raises a SourceError, unless it is `patient`
    or has been live before: then it says so and tries on. `meanwhile` is called between slices, on the thread that
    iterates, also while nobody answers; where it says True a slice without bars comes at once. `tap` gets every trade,
    `note` what the log should have.
    """

    simulated = False
    name = KRAKEN

    def __init__(
        self,
        pairs: Sequence[Pair],
        interval_ms: int,
        settings: Settings,
        seed: int,
        config_folder: Path,
        clock: Clock | None = None,
        timer: Timer | None = None,
    ) -> None:
        self.pairs, self.interval_ms = tuple(sorted(pairs)), interval_ms
        self.closing = Event()
        self.patient = False
        self.meanwhile: Callable[[], bool] = lambda: False
        self.market: KrakenFeed | None = None
        self.tap: Callable[[Tick], None] | None = None
        self.note: Callable[[str], None] = lambda text: None
        self.trouble = "not asked yet"
        self.clock, self.timer = clock or WallClock(), timer or Timer()
        self.budget = ConnectionBudget(settings.kraken.streams.connection)
        self._settings, self._seed, self._config_folder = settings, seed, config_folder
        self._ledger: Ledger | None = None
        self._path = Path()
        self._newest: int | None = None
        now = self.clock.now_ms()
        self._history_ends = now - now % interval_ms
        self._sources = self._joined() if settings.moats.board.enabled else None

    # --- how it stands; any thread -------------------------------------------------------------------------------

    @property
    def history_ends(self) -> int:
        """Up to here (UTC ms) slices are of the past: nothing is sent in them."""
        return self._history_ends if self.market is None else self.market.history_ends

    @property
    def state_of_sources(self) -> MarketAndSources | None:
        """To be carried with the checkpoint (`MycelialModel.keep`); None without sources."""
        return self._sources

    def health(self) -> Sequence[SourceHealth]:
        """How every source stands."""
        return () if self._sources is None else self._sources.health()

    def troubles(self) -> Sequence[str]:
        """Why the market must not be relied on now; empty when it may."""
        return (self.trouble,) if self.market is None else self.market.troubles()

    def late(self, at: int) -> str:
        """Why nothing may be sent that was decided at a slice of that time, as a code; empty where it may."""
        if at <= self.history_ends:
            return "catching_up"
        return "late" if self.clock.now_ms() >= at + self.interval_ms else ""

    # --- Feed ----------------------------------------------------------------------------------------------------

    def attach(self, ledger: Ledger, path: Path) -> None:
        """Where slices are written down, and where those of earlier lives stand."""
        self._ledger, self._path = ledger, path

    def recorded(self, after: int | None) -> Iterator[Slice]:
        """The slices of earlier lives later than `after` (UTC ms); what is new follows them."""
        self._newest = after
        for seen in recorded_slices(self._path, self._settings.ledger, self.pairs, after):
            self._newest = seen.at
            self._say_no_more(seen)
            yield seen

    def refuse_clock(self) -> None:
        """UsageError for a clock so far behind the newest slice that prices were old before it has caught up."""
        behind_ms = self._behind_ms()
        if behind_ms > self._settings.risk.max_data_age_intervals * self.interval_ms:
            raise UsageError(
                f"{self._path}: its newest slice is of {iso(self._newest or 0)}, and the clock says "
                f"{iso(self.clock.now_ms())}: set the clock by a time server, or wait, or use another --state"
            )

    def _behind_ms(self) -> int:
        return 0 if self._newest is None else max(0, self._newest - self.clock.now_ms())

    def __iter__(self) -> Iterator[Slice]:
        for slice_ in self._new() if self._sources is None else self._sources:
            plain = msgspec.structs.replace(slice_, ticks=())  # decides nothing, and would not be there again
            if self._ledger is not None:
                self._ledger.append([slice_row(plain)], durable=True).wait()
            self._newest = plain.at
            yield plain

    def close(self) -> None:
        """Leave the exchange, and stop asking sources."""
        self.closing.set()
        if self.market is not None:
            self.market.close()
        if self._sources is not None:
            self._sources.close()

    # --- inside --------------------------------------------------------------------------------------------------

    def _joined(self) -> MarketAndSources:
        return with_real_sources(
            _New(self, self._new), self._settings.moats, os.environ, self._config_folder, self.clock, self.timer
        )

    def _say_no_more(self, seen: Slice) -> None:
        """What was said in a slice after the checkpoint is not said again."""
        if self._sources is None or not seen.observations:
            return
        state = self._sources.state()
        state["passed"] = [*state["passed"], *([o.moat, o.subject, o.id] for o in seen.observations)]
        state["told"] |= {o.moat: bool(o.values[FAILED]) for o in seen.observations if FAILED in o.values}
        self._sources.restore(state)

    def _new(self) -> Iterator[Slice]:
        """The gap and what follows it; what goes wrong before the first slice is tried again."""
        connection = self._settings.kraken.streams.connection
        attempts = Attempts(connection, generator_for(self._seed, "kraken:start"))
        while not self.closing.is_set():
            try:
                yield from self._live()
            except SourceError as error:
                self.trouble = str(error)
                if not self.patient and self._newest is None:
                    raise
                self._rest(attempts)
            else:
                return

    def _live(self) -> Iterator[Slice]:
        settings, history_ms = self._settings.kraken, CANDLES * self.interval_ms
        feed = live_feed(
            self.pairs, self.interval_ms, history_ms, settings, self.clock, self.ports(), self.closing,
            self._newest is not None,
        )  # fmt: skip
        feed.since, feed.meanwhile = self._newest, self.meanwhile
        feed.public.market.tap = self.tap
        self._tell_gap(feed.history_ends)
        self._tell_unlisted(feed.public.unlisted)
        self.market = feed
        try:
            yield from feed
        except SourceError:
            self._history_ends, self.market = feed.history_ends, None
            feed.leave()
            raise

    def _tell_gap(self, until: int) -> None:
        if self._newest is None:
            common.say(f"{CANDLES} candles of {len(self.pairs)} pairs up to {iso(until)}, then live")
            return
        if behind_ms := self._behind_ms():
            behind = f"the clock is {behind_ms / 1000:.0f} s behind the record"
            common.say(f"{behind}: what is new begins after {iso(self._newest)}")
            return
        missing = (until - self._newest) // self.interval_ms
        lost = max(0, missing - CANDLES)
        said = f"; {lost} more are served no longer, they stay a gap" if lost else ""
        common.say(f"the exchange's candles fill the gap since {iso(self._newest)}: {missing - lost}{said}")

    def _tell_unlisted(self, pairs: Collection[Pair]) -> None:
        for pair in sorted(pairs):
            text = f"{pair} is not listed at {KRAKEN} any more: no bars and no orders; what is held of it stays"
            common.say(text)
            self.note(text)

    def _rest(self, attempts: Attempts) -> None:
        """Until the next attempt; whoever has to do something meanwhile does it."""
        now_s = self.timer.seconds()
        attempts.went_down(now_s)
        if (away_s := attempts.alarm(now_s)) is not None:
            common.say(f"kraken: no market for {away_s:.0f} s: {self.trouble}; trying on, nothing is sent")
        until_s = now_s + max(attempts.pause_s(), self._settings.kraken.streams.connection.retry_seconds)
        while not self.closing.is_set() and (left_s := until_s - self.timer.seconds()) > 0.0:
            self.meanwhile()
            self.timer.wait(self.closing, min(left_s, self._settings.kraken.streams.connection.check_seconds))

    def ports(self) -> Ports:
        """What a stream needs; all of the process share one budget of connections."""
        return Ports(self.timer, self.budget, self._seed, common.say)


class _New:
    """What is not in the ledger yet, as the market that the real sources join."""

    simulated = False

    def __init__(self, of: ExchangeFeed, slices: Callable[[], Iterator[Slice]]) -> None:
        self.pairs, self.interval_ms, self._slices = of.pairs, of.interval_ms, slices

    def __iter__(self) -> Iterator[Slice]:
        return self._slices()


def open_exchange(options: ProcessOptions, settings: Settings) -> ExchangeFeed | RecordedExchange:
    """The feed of a run; nothing is asked yet. With `data` a ledger, the slices that it holds."""
    names = pairs_of(options.pairs, settings.kraken)
    interval_ms = timeframe_ms(options.timeframe or DEFAULT_TIMEFRAME)
    if options.data is not None and options.data.is_file():
        return RecordedExchange(options.data, settings.ledger, names, interval_ms)
    for flag in _OF_OTHERS:
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag} does not belong to --feed kraken: it has its own days and its own pace")
    folder = (options.config or DEFAULT_FILE).parent
    return ExchangeFeed(names, interval_ms, settings, options.seed, folder)


def pairs_of(given: str | None, settings: KrakenSettings) -> list[Pair]:
    """The pairs that are asked for, else those of the settings, in order of name; UsageError for what is none."""
    names = common.split(given) or settings.pairs
    return sorted(set(map(pair_of, names)))
