"""`mycelial bench`: builds the parts that the benchmarks measure and prints what they found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

from rich.table import Table

from ..agents import Kind
from ..agents.colony import Colony
from ..agents.colony_sharing import links_of, share_when_due
from ..backtesting import bench, report
from ..backtesting.bench import rule
from ..backtesting.sweep_kernel import sweep
from ..backtesting.text import NOTHING
from ..connectors.embedded_valkey import EmbeddedValkey
from ..connectors.memory_ledger import MemoryLedger
from ..connectors.redis_bus import RedisBus
from ..connectors.sqlite_ledger import SqliteSink
from ..core.bus import LocalBus
from ..core.clock import SimClock, Timer
from ..core.config import Settings
from ..core.history import History, HistoryFeed
from ..core.market import FEATURES
from ..core.ports import Bus, Clock, Ledger
from ..core.types import Slice, Snapshot, Stream, Trade
from ..services.memory import PatternMemory
from ..services.writer import Writer
from ..wiring import Plan, build
from . import common, workers
from .arms import Arm, walk_arms
from .bench_cycle import cycle
from .bench_ticks import BenchStream
from .heap import spared

SEED = 7
"""Of the houses and colonies that are measured; part of the instrument, as is their market."""
PEERS = "MYCELIAL_PEERS"
"""Names the folder in which each peer has an environment of its own."""
COMPILED_ON = 2_000
"""Bars over which loops are run once before anything is measured."""
SMALL_PAIRS = 3
"""Of a small run."""
HELP = (sys.executable, "-m", "src.main", "--help")


def run(only: str | None, json: bool) -> None:
    """Measure all benchmarks, or the one of that name, and print them."""
    names = bench.choose(only)
    machine = bench.machine()
    with ExitStack() as stack:
        parts = parts_of(common.settings(None, None, ()).settings, stack)
        stack.enter_context(spared())  # as runs and backtests walk
        entries: list[bench.Entry] = []
        for name in names:
            if not json:
                common.say(f"{name} ...")
            entries += bench.measure([name], parts, bench.Sizes())
    if json:
        common.out_json({"machine": machine, "benchmarks": entries})
    else:
        _print(machine, entries)


def parts_of(settings: Settings, stack: ExitStack) -> bench.Parts:
    """The parts of the house; `stack` gives back the server where one was started."""
    server = _server(settings, stack)
    return bench.Parts(
        settings=settings,
        timer=Timer(),
        walk=lambda history, bus, clock: _engine_step(settings, history, bus, clock),
        server=server,
        connect=lambda clock: RedisBus(server(), clock, settings.bus, producer="bench", epoch=1, timer=Timer()),
        writer=lambda path: _writer(path, settings),
        colony=lambda pairs, learners: _colony_step(settings, pairs, learners),
        memory=lambda dimensions: PatternMemory(settings.memory, dimensions, SEED),
        swarm_peak_mb=_swarm_peak_mb,
        help_command=HELP,
        rule_walk=lambda history, stake, folder: rule_walk(settings, history, stake, folder),
        sweep_extra_mb=_sweep_extra_mb,
        runs=_runs,
        cycle=lambda positions: cycle(settings, positions),
        stream=lambda url, pairs: BenchStream(settings, url, pairs, Timer()),
        peers=Path(folder) if (folder := os.environ.get(PEERS)) else None,
    )


def _server(settings: Settings, stack: ExitStack) -> Callable[[], str]:
    """Gives the address of one server for all, started when it is first asked for, by the main thread."""
    started: list[EmbeddedValkey] = []

    def address() -> str:
        if not started:
            started.append(EmbeddedValkey(0, settings.bus.connect_timeout_seconds))
            stack.callback(started[0].close)
        return started[0].url

    return address


def _engine_step(settings: Settings, history: History, bus: Bus, clock: Clock) -> Callable[[Slice], object]:
    """Every pair has its team from the start, so that the population is the same at every bar."""
    teams = settings.builder.model_copy(update={"bootstrap_pairs": tuple(history.pairs)})
    settings = settings.model_copy(update={"builder": teams})
    plan = Plan(history.pairs, history.interval_ms, SEED)
    return build(settings, plan, clock, bus, MemoryLedger(settings.ledger), history).engine.on_slice


def _writer(path: Path, settings: Settings) -> Ledger:
    return Writer(SqliteSink(path, settings.ledger, mode="backtest", ledger_id="bench"), settings.ledger)


def _colony_step(settings: Settings, pairs: int, learners: int) -> Callable[[Snapshot], object]:
    """As many learners as asked for, spread over pairs and horizons as in a run, who share as in a run."""
    colony = Colony(settings.learners, settings.costs, len(FEATURES), pairs, SEED)
    horizons = settings.learners.horizons
    for number in range(learners):
        colony.born(f"learner-{number}", number % pairs, horizons[number // pairs % len(horizons)].intervals)
    links = links_of(colony, _neighbours(settings, pairs, learners))

    def step(snapshot: Snapshot) -> None:
        colony.step(snapshot)
        share_when_due(colony, links, settings.sharing, settings.haven)

    return step


def _neighbours(settings: Settings, pairs: int, learners: int) -> Iterator[tuple[str, str]]:
    """As many for each as in a run: the next ones of its pair and horizon, and of its horizon on other pairs."""
    horizons, sharing = len(settings.learners.horizons), settings.sharing
    for number in range(learners):
        inside = [number + pairs * horizons * step for step in range(1, sharing.inside_neighbours // 2 + 1)]
        home = number - number % pairs
        across = [home + (number + step) % pairs for step in range(1, sharing.across_neighbours // 2 + 1)]
        for other in (*inside, *across):
            yield f"learner-{number}", f"learner-{other % learners}"


def _swarm_peak_mb(sizes: bench.Sizes) -> float:
    """In a process of its own: this one carries the memory of everything that was measured before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(walk_and_weigh, sizes.pairs, sizes.bars).result()


def walk_and_weigh(pairs: int, bars: int) -> float:
    """Peak memory in MB of this process after a walk over the planted market; called in a fresh one."""
    with ExitStack() as stack:
        parts = parts_of(common.settings(None, None, ()).settings, stack)
        bench.walk(parts, bench.planted(pairs, bars))
    return bench.own_peak_mb()


def rule_walk(settings: Settings, history: History, stake: Decimal, folder: Path) -> Sequence[Trade]:
    """The rule of the comparison through the engine as `backtest` runs it; the account's trades."""
    settings, horizon = rule.terms(settings, stake), len(history.times)
    kind = Kind("rule_analyst", rule.RuleAnalyst, lambda world: rule.populate(world, horizon), (), ())
    plan = Plan(history.pairs, history.interval_ms, SEED, (kind,))
    sink = SqliteSink(folder / "ledger.sqlite", settings.ledger, mode="backtest", ledger_id="bench")
    clock = SimClock()
    ledger = Writer(sink, settings.ledger, wait_durable=False)
    house = build(settings, plan, clock, LocalBus(clock, settings.bus), ledger, history)
    with closing(house):
        for slice_ in HistoryFeed(history):
            house.engine.on_slice(slice_)
    return house.tracker.trades[Stream.SYNTHESIZED.value]


def _sweep_extra_mb(bars: int) -> float:
    """In a process of its own, like `_swarm_peak_mb`."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(sweep_and_weigh, bars).result()


def sweep_and_weigh(bars: int) -> float:
    """MB by which this process grows while it sweeps one row, compiled before; called in a fresh one."""
    settings = rule.terms(common.settings(None, None, ()).settings, rule.ONE_UNIT)
    history, arm = rule.market(bars), rule.arm(settings, bars)
    sweep(history.rows(0, min(bars, COMPILED_ON)), [arm])
    return bench.growth_mb(lambda: sweep(history, [arm]))


def _runs(count: int, bars: int, jobs: int) -> int:
    """From a fresh process, so that imports and kernels count as they do for whoever starts it."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=workers.prepare, initargs=(jobs,)) as fresh:
        return fresh.submit(run_many, count, bars, jobs).result()


def run_many(count: int, bars: int, jobs: int) -> int:
    """So many small runs of different seeds, `jobs` at once; called in a fresh process."""
    settings, feed = common.settings(None, None, ()).settings, HistoryFeed(bench.planted(SMALL_PAIRS, bars))
    return len(walk_arms([Arm(f"run {seed}", settings, seed) for seed in range(count)], feed, jobs))


def _print(machine: bench.Machine, entries: Sequence[bench.Entry]) -> None:
    load = ", ".join(f"{figure:.2f}" for figure in machine.load_average)
    common.out(f"{machine.processor}, {machine.cores} cores, {machine.python}, {machine.platform}; load {load}")
    table = Table(title="BENCHMARKS (medians; ratio: how many times better than the peer)")
    for column in ("Name", "Value", "Range", "Unit", "Peer", "Peer value", "Ratio", "Goal", "Met"):
        table.add_column(column, justify="left" if column in ("Name", "Unit", "Peer") else "right")
    for one in entries:
        table.add_row(*_cells(one))
    report.terminal(sys.stdout).print(table)


def _cells(one: bench.Entry) -> tuple[str, ...]:
    met = NOTHING if one.met is None else "yes" if one.met else "NO"
    sign = ">=" if one.peer is not None or one.better == "higher" else "<="
    goal = NOTHING if one.goal is None else f"{sign} {_figure(one.goal)}"
    extremes = f"{_figure(one.least)} .. {_figure(one.most)}"
    ratio, peer_value = _figure(one.ratio), _figure(one.peer_value)
    return one.name, _figure(one.value), extremes, one.unit, one.peer or NOTHING, peer_value, ratio, goal, met


def _figure(value: float | None) -> str:
    """Three significant digits, whole from a hundred on; a dash for what does not apply."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
