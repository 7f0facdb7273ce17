"""`mycelial stress`: days that went wrong, recorded or laid over any history, and whether every promise held."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..backtesting.report import terminal
from ..backtesting.stress.overlays import OVERLAYS, Scenario, World
from ..backtesting.stress.recorded import RECORDED, RecordedDays, check
from ..backtesting.table import new_table
from ..backtesting.text import percent
from ..connectors.history import load_history, only_venue
from ..core.config import Settings
from ..core.errors import CheckFailed, MycelialError, NotFound, UsageError
from ..core.history import HistoryFeed
from ..core.timeframes import DAY_MS
from . import common, feeds
from .finite import simulated_feed
from .options import RunOptions
from .stressed import Stressed, Walk, stressed

_COLUMNS = ("scenario", "slices", "return %", "drawdown %", "trades", "stops", "halts", "refused", "invariants")


class StressOptions(RunOptions, frozen=True, kw_only=True):
    """Arguments of `stress`; without `scenarios` all of them."""

    scenarios: tuple[str, ...] = ()


class _Left(msgspec.Struct, frozen=True):
    """A scenario that was not walked, and why."""

    scenario: str
    why: str


def run(options: StressOptions) -> None:
    """Print a line a scenario; CheckFailed (exit 6) when a promise was broken in one of them."""
    names = _chosen(options.scenarios)
    settings = common.settings(options.config, options.env, options.sets).settings
    found: list[Stressed] = []
    left: list[_Left] = []
    for walk in _walks(options, settings, names):
        if isinstance(walk, _Left):
            left.append(walk)
            continue
        common.say(f"{walk.name}: {walk.says}")
        found.append(stressed(walk, options.seed))
    _print(found, left, options.json)
    broken = [one for one in found if not one.ok]
    if broken:
        raise CheckFailed("\n".join(f"{one.scenario}: {_first(one)}" for one in broken))


def _chosen(asked: Sequence[str]) -> tuple[str, ...]:
    known = (*(one.name for one in OVERLAYS), *(one.name for one in RECORDED))
    for name in asked:
        if name not in known:
            raise NotFound(f"no scenario {name!r}; there are {', '.join(known)}")
    return tuple(asked) or known


def _walks(options: StressOptions, settings: Settings, names: Sequence[str]) -> Iterator[Walk | _Left]:
    overlays = [one for one in OVERLAYS if one.name in names]
    if overlays:
        world = _world(options, settings)
        yield from (_laid(one, world, options.seed) for one in overlays)
    for days in RECORDED:
        if days.name in names:
            yield _recorded(days, options, settings)


def _laid(one: Scenario, world: World, seed: int) -> Walk:
    return Walk(one.name, one.says, one.lay(world, world.settings.stress, seed))


def _world(options: StressOptions, settings: Settings) -> World:
    """The history that everything is laid over: recorded days, or the simulated market."""
    if options.data is None:
        for flag in ("venue", "timeframe", "pairs", "timerange"):
            if getattr(options, flag) is not None:
                raise UsageError(f"--{flag} belongs to recorded data: give --data as well")
        return simulated(settings, options.seed)
    feed = feeds.recorded(options, settings)
    if not isinstance(feed, HistoryFeed):
        raise UsageError(f"--data {options.data}: scenarios need a data folder with bars, these are recorded trades")
    history = feed.history
    if options.timerange is None:
        since = int(history.times[-1]) - settings.stress.days * DAY_MS
        history = history.rows(int(np.searchsorted(history.times, since, side="right")), len(history.times))
    return World(history, feed.observations, settings)


def simulated(settings: Settings, seed: int) -> World:
    """The first days of the simulated market, with what its moats say."""
    feed = simulated_feed(settings, seed, settings.stress.days)
    return World(feed.history, feed.observations, settings)


def _recorded(days: RecordedDays, options: StressOptions, settings: Settings) -> Walk | _Left:
    try:
        folder = common.data_folder(options.data)
        timeframe = options.timeframe or feeds.DEFAULT_TIMEFRAME
        pairs = common.split(options.pairs)
        history = load_history(folder, options.venue or _venue(folder), timeframe, pairs, days.timerange)
    except (NotFound, UsageError) as error:
        return _Left(days.name, str(error))
    facts = check(days, history)
    world = World(history, feeds.observations(folder, history, settings), settings)
    return Walk(days.name, days.says, world, facts)


def _venue(folder: Path) -> str:
    """Of the known events, unless another is named."""
    return "binance" if (folder / "ohlcv" / "binance").is_dir() else only_venue(folder)


def _first(one: Stressed) -> str:
    first = one.violations[0]
    more = f" (and {len(one.violations) - 1} more)" if len(one.violations) > 1 else ""
    return f"{first.invariant} at {first.at}: {first.says}{more}"


def _print(found: Sequence[Stressed], left: Sequence[_Left], json: bool) -> None:
    if json:
        scenarios: list[dict[str, Any]] = [msgspec.to_builtins(one) | {"ok": one.ok} for one in found]
        common.out_json({"scenarios": scenarios, "left_out": msgspec.to_builtins(left), "ok": all(o.ok for o in found)})
        return
    table = new_table("Stress", _COLUMNS)
    for one in found:
        held = f"{one.invariants} ok" if one.ok else f"BROKEN {one.violations[0].invariant} {one.violations[0].at}"
        figures = (one.slices, percent(one.return_ratio), percent(-one.max_drawdown_ratio), one.trades, one.stops)
        table.add_row(one.scenario, *map(str, figures), str(one.halts), str(sum(one.refusals.values())), held)
    try:
        terminal(sys.stdout).print(table)
    except OSError as error:
        raise MycelialError(f"the result cannot be written to stdout: {error.strerror}") from error
    for one_left in left:
        common.out(f"left out: {one_left.scenario}: {one_left.why}")
