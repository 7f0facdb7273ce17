"""The exchange as a feed: history first, then a slice at the end of every interval, made of the trades that came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from threading import Event

import numpy as np

from ...core.clock import Timer, iso
from ...core.config_streams import KrakenStreams
from ...core.config_venues import KrakenSettings
from ...core.errors import Gone, MycelialError, NotFound, SourceError, UsageError
from ...core.history import BarColumns, History, align
from ...core.ports import Clock
from ...core.types import Bar, FloatArray, Pair, Slice
from ...core.venue import VenueStatus
from .bars import block_of
from .market import Market
from .rest import KrakenRest
from .streams import Ports, Stream
from .subscriptions import Subscriptions
from .symbols import Symbols

MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
"""The bars that the exchange makes itself; a base interval must be one of them."""
MINUTE_MS = 60_000
BarsOf = Callable[[Pair, int, int], Sequence[Bar]]
"""Closed bars of a pair and interval (ms) that open at or after a time (UTC ms), in order; a SourceError otherwise."""


def _refuse_interval(interval_ms: int) -> None:
    if interval_ms % MINUTE_MS or interval_ms // MINUTE_MS not in MINUTES:
        raise UsageError(f"--feed kraken: no bars of {interval_ms // 1000} s there; choose 1m, 5m, 15m, 30m or 1h")


class PublicStream:
    """The market data of some pairs over one connection; the `unlisted` of them are subscribed to nowhere."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        interval_ms: int,
        settings: KrakenStreams,
        clock: Clock,
        ports: Ports,
        unlisted: Collection[Pair] = (),
    ) -> None:
        _refuse_interval(interval_ms)
        wanted = Subscriptions(settings.connection)
        self.interval_ms, self.unlisted = interval_ms, frozenset(unlisted)
        self.market = Market(sorted(pairs), interval_ms, settings, clock, wanted, self.unlisted)
        self.stream = Stream("public", settings.url, settings.connection, self.market, wanted, ports)

    def start(self) -> None:
        """Begin; returns at once."""
        self.stream.start()

    def troubles(self) -> Sequence[str]:
        """Why the market must not be relied on now; empty when it may."""
        return [*self.stream.troubles(), *(f"{pair}: {why}" for pair, why in sorted(self.market.troubles().items()))]

    def statuses(self) -> Sequence[tuple[Pair | None, VenueStatus]]:
        """What opened or closed since the last call."""
        return self.market.statuses()

    def close(self) -> None:
        """Leave."""
        self.stream.close()


class KrakenFeed:
    """A Feed of live bars: `history_ends` (UTC ms) is where the warm-up from REST ends and the stream begins.

    The slice of an interval comes `grace_seconds` after its end by `clock`, with the trades that came since the slice
    before; its spreads are those quoted last before the interval ended, never later. A bar of whose trades one is
    missing is the exchange's own; where that is not known either, it is asked for by `bars_of`; failing that the pair
    has no bar. `missing` counts those; of an unlisted pair no bar is missed. Iterating starts the stream; `close`
    ends the iteration. No slice is of a time that is not later than `since`: a clock that was set back is waited for.
    """

    simulated = False
    name = "kraken"

    def __init__(
        self,
        public: PublicStream,
        settings: KrakenStreams,
        bars_of: BarsOf,
        clock: Clock,
        timer: Timer,
        history_ms: int,
        since: int | None = None,
        also_close: Callable[[], None] = lambda: None,
        closing: Event | None = None,
    ) -> None:
        self.meanwhile: Callable[[], bool] = lambda: False
        self._also_close = also_close
        self.public, self.pairs, self.interval_ms = public, public.market.pairs, public.interval_ms
        self.since = since
        self.missing = 0
        self._settings, self._bars_of, self._clock, self._timer = settings, bars_of, clock, timer
        self._closing = closing or Event()
        now = clock.now_ms()
        self.history_ends = now - now % self.interval_ms
        self._history_from = self.history_ends - history_ms
        self._spreads: FloatArray | None = None
        self._quoted_at = 0

    def start_after(self, at: int) -> KrakenFeed:
        """The same feed from the first slice later than `at` on; before the first iteration."""
        self.since = at
        return self

    def __iter__(self) -> Iterator[Slice]:
        self.public.start()
        yield from self._warm_up()
        opened = max(self.history_ends, self._since - self._since % self.interval_ms)
        while not self._closing.is_set():
            yield from self._between(opened, opened + self.interval_ms)
            if not self._closing.is_set():
                yield self._slice(opened)
            opened += self.interval_ms

    @property
    def _since(self) -> int:
        return 0 if self.since is None else self.since

    def troubles(self) -> Sequence[str]:
        """Why the market must not be relied on now."""
        return self.public.troubles()

    def close(self) -> None:
        """Leave the stream and end the iteration; from any thread."""
        self._closing.set()
        self.leave()

    def leave(self) -> None:
        """Give back the connections alone; whoever shares `closing` goes on."""
        self.public.close()
        self._also_close()

    def _warm_up(self) -> Iterator[Slice]:
        """The bars before the stream; NotFound when the exchange has none of any pair."""
        listed = [pair for pair in self.pairs if pair not in self.public.unlisted]
        found = {pair: self._bars_of(pair, self.interval_ms, self._history_from) for pair in listed}
        found |= dict.fromkeys(self.public.unlisted, ())
        closed = {pair: [bar for bar in bars if bar.opened < self.history_ends] for pair, bars in found.items()}
        if not any(closed.values()):
            raise NotFound(f"kraken: no bars of {', '.join(self.pairs)} since {iso(self._history_from)}")
        for pair, bars in closed.items():
            if bars:
                self.public.market.seed(pair, Decimal(str(bars[-1].close)))
        for at, block in history_of(closed, self.interval_ms).blocks():
            if self.since is None or at > self.since:
                yield Slice(at, block)

    def _between(self, opened: int, closes: int) -> Iterator[Slice]:
        """Wait until an interval is over and its last trades are there, or the feed was closed."""
        self._spreads = None
        newest, due = max(opened, self._since), closes + round(1000 * self._settings.grace_seconds)
        while not self._closing.is_set():
            wanted, now = self.meanwhile(), self._clock.now_ms()  # what it did lies before the slice that tells of it
            if now <= closes:  # what is quoted later was not known at the slice's time
                self._spreads, self._quoted_at = self.public.market.spreads(), now
            if now >= due:
                return
            at = min(now, closes - 1)
            if wanted and at > newest:
                newest = at
                yield Slice(at, None)
            else:
                self._timer.wait(self._closing, min((due - now) / 1000, self._settings.connection.check_seconds))

    def _slice(self, opened: int) -> Slice:
        market, at = self.public.market, opened + self.interval_ms
        bars, unsure = market.close_bars(opened)
        for pair in (one for one in unsure if one not in self.public.unlisted):
            asked = self._asked(pair, opened)
            if asked is not None:
                bars[pair] = asked
        return Slice(at, block_of(self.pairs, opened, bars), (), market.ticks(at), spreads=self._quoted(at))

    def _quoted(self, at: int) -> FloatArray | None:
        """The spreads quoted last before `at`; None where that is long ago, or there are none."""
        spreads, age_ms = self._spreads, at - self._quoted_at
        if spreads is None or age_ms > 1000 * self._settings.belief.quote_age_seconds or np.isnan(spreads).all():
            return None
        return spreads

    def _asked(self, pair: Pair, opened: int) -> Bar | None:
        try:
            found = self._bars_of(pair, self.interval_ms, opened)
        except SourceError:
            self.missing += 1
            return None
        bar = next((bar for bar in found if bar.opened == opened), None)
        self.missing += bar is None
        return bar if bar is not None and bar.volume > 0 else None


def history_of(bars: Mapping[Pair, Sequence[Bar]], interval_ms: int) -> History:
    """Bars of pairs on one grid, pairs in order of name; intervals without a trade have no bar."""
    return align({pair: _columns([bar for bar in mine if bar.volume > 0]) for pair, mine in bars.items()}, interval_ms)


def _columns(bars: Sequence[Bar]) -> BarColumns:
    names = ("open", "high", "low", "close", "volume")
    opened = np.array([bar.opened for bar in bars], np.int64)
    return BarColumns(opened, *(np.array([getattr(bar, name) for bar in bars], np.float64) for name in names))


def bars_of_rest(rest: KrakenRest, symbols: Symbols, timer: Timer, interval_seconds: float) -> BarsOf:
    """The exchange's own bars by REST, at most 720 of them, no two calls nearer than so many seconds.

    `rest` must be the feed's alone, and needs no key. What it raises is a SourceError.
    """
    nobody, asked_s = Event(), float("-inf")

    def bars(pair: Pair, interval_ms: int, since: int) -> Sequence[Bar]:
        nonlocal asked_s
        timer.wait(nobody, asked_s + interval_seconds - timer.seconds())
        asked_s = timer.seconds()
        candles = rest.candles(symbols.names(pair).key, interval_ms // MINUTE_MS)
        rows = [one for one in candles if one.opened >= since]
        return [
            Bar(pair, one.opened, *map(float, (one.open, one.high, one.low, one.close, one.volume))) for one in rows
        ]

    return bars


def live_feed(
    pairs: Sequence[Pair],
    interval_ms: int,
    history_ms: int,
    settings: KrakenSettings,
    clock: Clock,
    ports: Ports,
    closing: Event | None = None,
    gone_on: bool = False,
) -> KrakenFeed:
    """The feed of `--feed kraken`: public data alone, no key. `clock` is the wall's.

    UsageError for an interval or a pair that the exchange does not have, a SourceError when it does not answer. A run
    that is `gone_on` with had its pairs: those that are listed no more are `public.unlisted`, and have no bars.
    """
    _refuse_interval(interval_ms)
    rest = KrakenRest(settings.rest, ports.timer, None, None)
    try:
        symbols = rest.listings().symbols
        strange = sorted(set(pairs) - set(symbols.pairs()))
        if strange and not gone_on:
            raise UsageError(f"--feed kraken: not listed there: {', '.join(strange)}; pairs are written BTC/USD")
        if len(strange) == len(set(pairs)):
            raise Gone(f"kraken AssetPairs: none of {', '.join(strange)} is listed there any more")
        public = PublicStream(pairs, interval_ms, settings.streams, clock, ports, strange)
    except MycelialError:
        rest.close()
        raise
    bars_of = bars_of_rest(rest, symbols, ports.timer, settings.budget.public_interval_seconds)
    return KrakenFeed(public, settings.streams, bars_of, clock, ports.timer, history_ms, None, rest.close, closing)
