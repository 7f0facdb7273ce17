"""The technical analysts of a sweep: thousands of settings through the compiled kernel, the best again in the engine.

The kernel's analysts watch every pair from its first bar and trade at full size; in a run they are deployed by the
swarm, asset by asset, and sized by its life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..agents import KINDS
from ..backtesting import closes
from ..backtesting import result as results
from ..backtesting import sweep_book as book
from ..backtesting.recorder import Recorder
from ..backtesting.series import Series
from ..backtesting.sweep_kernel import KNOWN, Arm, Swept, arm_of, sweep, trades_of
from ..connectors.config_files import Loaded
from ..connectors.unkept_ledger import UnkeptLedger
from ..core import metrics
from ..core.bus import LocalBus
from ..core.clock import SimClock, Timer
from ..core.config import Settings
from ..core.errors import UsageError
from ..core.history import History, SliceDigest
from ..core.types import FloatArray, IntArray, Stream, Trade
from ..services.runner import Pace, Runner
from ..wiring import Plan, build
from . import workers
from .arms import AnyFeed, book_returns
from .common import say
from .feeds import digested
from .outcome import conditions, result_of
from .sweep_journal import daily_of, figures_of
from .sweep_space import Axis

TECHNICAL = "technical"
"""The book of the analysts alone."""

_LIVING = ("market_miner", "technical_analyst", "trader", "builder")
_ROWS_AT_ONCE = 1 << 21  # bars x settings whose curves lie in memory at once; nothing of a result depends on it
_MOST_AT_ONCE = 128  # settings between two looks at the disk and two lines of progress

Figures = dict[str, Any]


def refuse_unknown(found: Sequence[Axis]) -> None:
    """UsageError for a setting that does not reach the analysts."""
    for axis in found:
        if not is_known(axis.leaf):
            raise UsageError(
                f"--grid {axis.leaf}: the technical analysts alone do not depend on it, but on {', '.join(KNOWN)}; "
                f"for the whole swarm give --book baseline"
            )


def is_known(leaf: str) -> bool:
    """Whether the kernel reads a setting, or an element of it."""
    return any(leaf == known or leaf.startswith((f"{known}.", f"{known}[")) for known in KNOWN)


def walk_technical(
    settings: Sequence[Settings], feed: AnyFeed, jobs: int, done: Callable[[int, Sequence[Figures]], None]
) -> None:
    """Walk all of them; `done` hears of the figures of several that follow each other, and the first one's number."""
    size = max(1, min(_MOST_AT_ONCE, _ROWS_AT_ONCE // len(feed.history.times), -(-len(settings) // jobs)))
    starts = range(0, len(settings), size)
    batches = [tuple(map(arm_of, settings[start : start + size])) for start in starts]
    jobs = min(jobs, len(batches))
    say(f"{len(settings)} sets of settings through the compiled kernel, {jobs} at once")
    timer, ready = Timer(), 0
    started = timer.seconds()
    for number, figures in _each(batches, feed.history, jobs):
        done(starts[number], figures)
        ready += len(figures)
        if len(batches) > 1:
            say(f"{ready:,} of {len(settings):,} sets after {timer.seconds() - started:.1f} s")


def _each(batches: Sequence[tuple[Arm, ...]], history: History, jobs: int) -> Iterable[tuple[int, list[Figures]]]:
    if jobs == 1:
        return ((number, walk_batch(batch, history)) for number, batch in enumerate(batches))
    return workers.spread(walk_batch, batches, history, jobs, lambda number: f"batch {number} of the grid")


def walk_batch(arms: Sequence[Arm], history: History) -> list[Figures]:
    """The figures of each arm, equal to those of the engine's trades."""
    return [figures_of_table(swept, arm, history) for swept, arm in zip(sweep(history, arms), arms, strict=True)]


def figures_of_table(swept: Swept, arm: Arm, history: History) -> Figures:
    """What `figures_of` makes of the trades, from whole numbers: of thousands of trades nobody wants to see each."""
    profits = swept.table[:, book.RECEIVED] - swept.table[:, book.PAID]
    order = np.argsort(swept.table[:, book.EXIT_AT], kind="stable")
    start, unit = int(arm.account.start_quote.scaleb(book.MONEY_PLACES)), 10**book.MONEY_PLACES
    curve = np.array([worth / unit for worth in [start, *(start + np.cumsum(profits[order])).tolist()]])
    returns = _returns(swept.table[order, book.EXIT_AT], curve, history)
    return {
        "trades": swept.trades,
        "win_ratio": swept.win_ratio,
        "profit": swept.profit_ratio,
        "drawdown": metrics.max_drawdown(curve).ratio,
        "factor": _factor(profits),
        "sharpe": metrics.sharpe(returns),
        "fees": float(swept.fees),
        "daily": daily_of(returns),
    }


def _returns(times: IntArray, curve: FloatArray, history: History) -> FloatArray:
    """Daily returns of start equity plus closed profit; `curve` (n + 1,) with the start before the first trade."""
    first, last = _days(history)[[0, -1]].tolist()
    start = float(curve[0])
    return metrics.daily_returns(metrics.daily_last(times, curve[1:], first, last, start), start)


def _days(history: History) -> IntArray:
    """First and last day of the bars."""
    return np.array([metrics.day_of(int(history.times[0])), metrics.day_of(int(history.times[-1]))], np.int64)


def _factor(profits: IntArray) -> float | None:
    won, lost = int(profits[profits > 0].sum()), -int(profits[profits < 0].sum())
    return float(Decimal(won) / Decimal(lost)) if lost else None


# The engine


class Checked(msgspec.Struct, frozen=True):
    """A set of settings that the engine walked as well; `difference`: the first, None where all is the same."""

    set: dict[str, str]
    trades: int
    folder: str
    difference: str | None


def engine_sets(feed: AnyFeed) -> tuple[str, ...]:
    """With these settings the engine does what the kernel does: a team for every pair, and no other book."""
    return (f"builder.bootstrap_pairs=[{', '.join(feed.pairs)}]", "controls.enabled=false")


def checked(loaded: Loaded, point: dict[str, str], row: Figures, feed: AnyFeed, seed: int, out: Path) -> Checked:
    """Walk a set of settings through the engine, keep the run in `out`, and hold trades and figures to the kernel's."""
    arm = arm_of(loaded.settings)
    theirs = walk_in_engine(loaded, feed, seed, out)
    (swept,) = sweep(feed.history, [arm])
    difference = first_difference(trades_of(swept, arm, feed.history), theirs)
    if difference is None:
        start = arm.account.start_quote
        difference = _other_figures(row, figures_of(theirs, book_returns(theirs, start, _days(feed.history)), start))
    return Checked(point, len(theirs), str(out), difference)


def walk_in_engine(loaded: Loaded, feed: AnyFeed, seed: int, out: Path | None) -> list[Trade]:
    """The baseline book of a run in which nobody lives but the analysts; `out` is a run that reports can read."""
    settings, clock, timer = loaded.settings, SimClock(), Timer()
    kinds = [kind for kind in KINDS if kind.name in _LIVING]
    with closing(LocalBus(clock, settings.bus)) as bus, Recorder(out) as recorder:
        plan = Plan(feed.pairs, feed.interval_ms, seed, kinds)
        house = build(settings, plan, clock, bus, UnkeptLedger(), feed.history)
        digest, series = SliceDigest(feed.pairs, feed.interval_ms), Series(settings.statistics.kept_intervals)
        observers, started = (recorder.take, series.take), timer.seconds()
        Runner(house.engine, house.ledger, timer, Pace(None, timer), observers, None).run(digested(feed, digest))
        wall, name = timer.seconds() - started, TECHNICAL if out is None else out.name
        result = result_of(house, recorder, name, "backtest", wall, digest.hexdigest())
        if out is not None and (seen := series.closes()) is not None:
            closes.write(out, seen)
        recorder.save(results.to_json(result), house.tracker.trades, conditions(loaded))
    return list(house.tracker.trades[Stream.BASELINE.value])


def first_difference(ours: Sequence[Trade], theirs: Sequence[Trade]) -> str | None:
    """The first field of the first trade that is not the same, in words."""
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=False), 1):
        for field in Trade.__struct_fields__:
            if (kernel := getattr(mine, field)) != (engine := getattr(other, field)):
                return f"trade {number} of {other.pair}: {field} is {kernel} in the kernel and {engine} in the engine"
    if len(ours) != len(theirs):
        return f"{len(ours)} trades in the kernel and {len(theirs)} in the engine, equal as far as they go"
    return None


def _other_figures(kept: Figures, engine: Figures) -> str | None:
    for name, value in engine.items():
        if kept.get(name) != value:
            return f"{name} is {kept.get(name)} in the trial that is kept and {value} in the engine"
    return None
