"""One walk of the model over a feed as a value, and many of them side by side: what all evidence is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from ..backtesting.footprint import rss_mb
from ..backtesting.recorder import Recorded, Recorder
from ..backtesting.result import CONTROLS
from ..connectors.ticks import TickFeed
from ..connectors.unkept_ledger import UnkeptLedger
from ..core import metrics
from ..core.bus import LocalBus
from ..core.clock import SimClock, Timer
from ..core.config import Settings
from ..core.history import HistoryFeed, SliceDigest
from ..core.indicators import INDICATORS
from ..core.market import FEATURES
from ..core.timeframes import DAY_MS
from ..core.types import FloatArray, IntArray, Trade
from ..services.runner import Pace, Runner
from ..wiring import House, Plan, build
from . import workers
from .common import say
from .feeds import digested
from .outcome import result_of

AnyFeed = HistoryFeed | TickFeed
"""Feeds that end and whose bars are known beforehand."""

BUY_AND_HOLD = "buy_and_hold"
WALL_FIELDS = ("wall_s", "bars_per_s", "peak_rss_mb", "rss_slope_mb_per_100k_bars", "undefined")
"""What a result says of the machine and not of the model."""

_BYTES_PER_MB = 1024 * 1024
_FLOAT_BYTES = 8
_COLUMNS = 8  # of a bar as it is remembered: prices, volume, and what features keep besides


class Arm(msgspec.Struct, frozen=True):
    """One walk that is to be made: what it is called, under which settings, with which seed."""

    name: str
    settings: Settings
    seed: int


class Walked(msgspec.Struct, frozen=True):
    """What became of an arm; can be pickled.

    `result` as `backtest --json` prints it, its `run_id` being the arm's name; nothing was looked for between moats
    and market. `days` (d,) consecutive epoch days as `metrics.day_of` counts; `returns` (d,) daily returns by book, of
    start equity plus closed profit, and of `buy_and_hold`; `trades` by book.
    """

    name: str
    result: dict[str, Any]
    days: IntArray
    returns: dict[str, FloatArray]
    trades: dict[str, list[Trade]]
    orders_sha256: str
    decisions_sha256: str


def walk_arm(arm: Arm, feed: AnyFeed) -> Walked:
    """Walk it in this process, without a file; the hashes are those of a backtest of the same settings and seed."""
    clock, timer = SimClock(), Timer()
    with closing(LocalBus(clock, arm.settings.bus)) as bus, Recorder(None) as recorder:
        plan = Plan(feed.pairs, feed.interval_ms, arm.seed)
        house = build(arm.settings, plan, clock, bus, UnkeptLedger(), feed.history)
        digest, started = SliceDigest(feed.pairs, feed.interval_ms), timer.seconds()
        runner = Runner(house.engine, house.ledger, timer, Pace(None, timer), (recorder.take,), None)
        runner.run(digested(feed, digest))
        wall = timer.seconds() - started
        result = result_of(house, recorder, arm.name, "backtest", wall, digest.hexdigest())
        return _walked(arm, house, recorder.recorded(), result)


def walk_arms(
    arms: Sequence[Arm],
    feed: AnyFeed,
    jobs: int,
    done: Callable[[int, Walked], None] | None = None,
    walk: Callable[[Any, AnyFeed], Walked] = walk_arm,
) -> list[Walked]:
    """Walk all of them over one feed, `jobs` at once on processes of this machine, in the order of `arms`.

    What comes out does not depend on `jobs`, but for `WALL_FIELDS`. `done` hears of each by its number when it is
    ready, whatever becomes of the others. A worker that is killed loses nothing: its arm is walked again. Raises
    MycelialError when one arm has ended its worker `workers.ATTEMPTS` times; what an arm raises is raised here. Arms of
    a kind of their own bring the function of a module that walks them.
    """
    jobs = max(1, min(jobs, len(arms)))
    say(f"{len(arms)} runs, {jobs} at once: about {estimate_mb(feed, jobs):,.0f} MB of memory")
    found: dict[int, Walked] = {}
    for number, walked in _each(arms, feed, jobs, walk):
        found[number] = walked
        if done is not None:
            done(number, walked)
    return [found[number] for number in range(len(arms))]


def _each(
    arms: Sequence[Arm], feed: AnyFeed, jobs: int, walk: Callable[[Any, AnyFeed], Walked]
) -> Iterable[tuple[int, Walked]]:
    if jobs == 1:
        return ((number, walk(arm, feed)) for number, arm in enumerate(arms))
    return workers.spread(walk, arms, feed, jobs, lambda number: f"run {arms[number].name!r}")


def estimate_mb(feed: AnyFeed, jobs: int) -> float:
    """What so many walks at once will take, in MiB: this process as it is, once more for each, and their tables.

    A walk computes features and indicators of the whole history at once; bars themselves are shared.
    """
    cells = len(feed.history.times) * len(feed.pairs)
    table = cells * (len(FEATURES) + len(INDICATORS) + _COLUMNS) * _FLOAT_BYTES / _BYTES_PER_MB
    own = rss_mb() or 0.0
    return own + table if jobs == 1 else own + jobs * (own + table)


def _walked(arm: Arm, house: House, recorded: Recorded, result: dict[str, Any]) -> Walked:
    trades, start = house.tracker.trades, house.desk.portfolio.start
    returns = {_shown(book): book_returns(closed, start, recorded.days) for book, closed in trades.items()}
    growth = metrics.buy_and_hold(recorded.first_closes, recorded.daily_closes)
    returns[BUY_AND_HOLD] = _daily((recorded.days + 1) * DAY_MS, growth, recorded.days, 1.0)
    return Walked(
        name=arm.name,
        result=result,
        days=_span(recorded.days),
        returns=returns,
        trades={_shown(book): list(closed) for book, closed in trades.items()},
        orders_sha256=recorded.orders_sha256,
        decisions_sha256=recorded.decisions_sha256,
    )


def _shown(book: str) -> str:
    """Controls by how the result calls them."""
    return next((name for name, own in CONTROLS.items() if own == book), book)


def book_returns(trades: Sequence[Trade], start: Decimal, days: IntArray) -> FloatArray:
    """Daily returns of `start` plus closed profit over the days from the first to the last of `days`."""
    times, equity = metrics.closed_equity(trades, start)
    return _daily(times, equity, days, float(start))


def book_curve(trades: Sequence[Trade], start: Decimal) -> FloatArray:
    """`start` and start plus closed profit after each trade, (n + 1,)."""
    _, equity = metrics.closed_equity(trades, start)
    return np.concatenate(([float(start)], equity))


def _span(days: IntArray) -> IntArray:
    return np.arange(days[0], days[-1] + 1, dtype=np.int64) if len(days) else days


def _daily(times: IntArray, values: FloatArray, days: IntArray, start: float) -> FloatArray:
    if len(days) == 0:
        return np.empty(0)
    return metrics.daily_returns(metrics.daily_last(times, values, int(days[0]), int(days[-1]), start), start)


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what it says of the machine."""
    return {name: value for name, value in result.items() if name not in WALL_FIELDS}
