"""Which market a run sees: the simulated one, or recorded days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..backtesting.simulated_market import SimulatedMarket
from ..backtesting.simulated_moats import MoatsBesides
from ..connectors.history import load_history, only_venue
from ..connectors.observations import load_observations
from ..connectors.sources.standing import SourceHealth
from ..connectors.ticks import TickFeed
from ..connectors.trade_files import read_trades, recordings
from ..core.clock import iso
from ..core.config import Settings
from ..core.errors import UsageError
from ..core.history import History, HistoryFeed, SliceDigest
from ..core.moats import MOATS, history_ms
from ..core.timeframes import DAY_MS, TimeRange, parse_timerange, timeframe_ms, timeframe_name
from ..core.types import Observation, Pair, Slice
from . import common
from .options import ProcessOptions, RunOptions

if TYPE_CHECKING:
    from .exchange_feed import ExchangeFeed, RecordedExchange

DEFAULT_TIMEFRAME = "1h"


class Source(msgspec.Struct, frozen=True):
    """A feed with what a run must know of it. Up to `history_ends` (UTC ms) it passes at full speed.

    `health` tells how the real sources joined to it stand; None where there are none. `exchange`: the feed where it is
    one that nobody can repeat.
    """

    feed: SimulatedMarket | MoatsBesides | HistoryFeed | TickFeed | ExchangeFeed | RecordedExchange
    name: str
    history_ends: int
    health: Callable[[], Sequence[SourceHealth]] | None = None
    exchange: ExchangeFeed | None = None

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs in their order."""
        return self.feed.pairs

    @property
    def interval_ms(self) -> int:
        """The base interval."""
        return self.feed.interval_ms

    @property
    def timeframe(self) -> str:
        """The base interval as people write it."""
        return timeframe_name(self.feed.interval_ms)

    def after(self, at: int | None) -> Iterable[Slice]:
        """The slices after `at`, all of them where it is None; of an exchange those that are new."""
        feed = self.feed
        return feed if at is None or self.exchange is not None else feed.start_after(at)  # type: ignore[union-attr]


def open_source(options: ProcessOptions, settings: Settings) -> Source:
    """The simulated market, or a replay of recorded days; UsageError where neither fits."""
    name = options.feed or ("simulated" if options.data is None else "replay")
    if name == "simulated":
        return _simulated(options, settings)
    if name == "replay":
        return Source(recorded(options, settings), "replay", 0)
    if name == "kraken":
        return _exchange(options, settings)
    raise UsageError(f"--feed {name!r}: write simulated, replay or kraken")


def _exchange(options: ProcessOptions, settings: Settings) -> Source:
    """The exchange's kit takes a moment to import, and no other feed needs it."""
    from .exchange_feed import ExchangeFeed, open_exchange

    feed = open_exchange(options, settings)
    if not isinstance(feed, ExchangeFeed):
        return Source(feed, "kraken", 0)
    return Source(feed, "kraken", feed.history_ends, feed.health, feed)


def _simulated(options: ProcessOptions, settings: Settings) -> Source:
    refuse_recorded(options)
    market = SimulatedMarket(settings.simulated, options.seed)
    feed = MoatsBesides(market, settings) if settings.simulated.moats.enabled else market
    return Source(feed, "simulated", market.start_ms + settings.simulated.history_days * DAY_MS)


def refuse_recorded(options: RunOptions) -> None:
    """UsageError where something is asked of the simulated market that only recorded days have."""
    for flag in ("data", "venue", "timeframe", "pairs", "timerange"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag} belongs to recorded data; the simulated market is set by --set simulated.*")


def recorded(options: RunOptions, settings: Settings) -> HistoryFeed | TickFeed:
    """Recorded days: bars and observations of a data folder, or recorded trades made into bars."""
    folder = common.data_folder(options.data)
    timeframe = options.timeframe or DEFAULT_TIMEFRAME
    if folder.is_file() or (folder.is_dir() and not (folder / "ohlcv").exists() and any(folder.iterdir())):
        return _ticks(folder, timeframe, options)
    timerange = TimeRange() if options.timerange is None else parse_timerange(options.timerange)
    venue = options.venue or only_venue(folder)
    history = load_history(folder, venue, timeframe, common.split(options.pairs), timerange)
    covered = history.timerange
    common.say(
        f"{venue} {timeframe}: {len(history.pairs)} pairs, {history.bars:,} bars, "
        f"{iso(covered.start_ms or 0)} to {iso(covered.end_ms or 0)}"
    )
    if history.left_out:
        common.say(f"no bars in this time range: {', '.join(history.left_out)}")
    return HistoryFeed(history, observations(folder, history, settings))


def observations(folder: Path, history: History, settings: Settings) -> tuple[Observation, ...]:
    """What the moats said up to the last bar, from as far back as it matters to the first."""
    if not settings.moats.board.enabled:
        return ()
    loaded = load_observations(folder, MOATS, until_ms=int(history.times[-1]) + 1)
    for unknown in loaded.unknown:
        common.say(f"not read: {unknown.path}: {unknown.reason}")
    since = int(history.times[0]) - history_ms(settings.moats.board)
    kept = tuple(seen for seen in loaded.items if max(seen.at, seen.known_at) >= since)
    common.say(f"observations: {len(kept):,}" if kept else f"no observations: {folder} has no observations/")
    return kept


def _ticks(path: Path, timeframe: str, options: RunOptions) -> TickFeed:
    """Recorded trades choose their own pairs and days."""
    for flag in ("venue", "pairs", "timerange"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag} belongs to a data folder; {path} is one file, whose trades are all taken")
    trades = read_trades([path] if path.is_file() else recordings(path))
    common.say(f"{path}: {trades.report}")
    return TickFeed(trades, timeframe_ms(timeframe))


def digested(slices: Iterable[Slice], digest: SliceDigest) -> Iterator[Slice]:
    """The same slices, each added to the hash of what was yielded."""
    for slice_ in slices:
        digest.update(slice_)
        yield slice_


def speed_of(text: str) -> float | None:
    """`60x` as 60.0, `max` as None; UsageError otherwise.

    >>> speed_of("60x"), speed_of("max")
    (60.0, None)
    """
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed {text!r}: write 1x, 60x or max")
    return speed
