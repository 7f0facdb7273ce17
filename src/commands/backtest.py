"""`mycelial backtest`: history through the same model, with the files and the object that others rely on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..agents.population import members, society
from ..backtesting import closes
from ..backtesting import result as results
from ..backtesting.recorder import Recorder
from ..backtesting.report import BREAKDOWNS
from ..backtesting.series import Series
from ..connectors.sqlite_ledger import SqliteSink
from ..connectors.ticks import TickFeed
from ..core import records
from ..core.clock import SimClock, Timer
from ..core.errors import UsageError
from ..core.history import HistoryFeed, SliceDigest
from ..core.inputs import history_rows
from ..core.traces import census_row
from ..services.runner import Observer, Pace, Runner
from ..services.writer import Writer
from ..wiring import House, Plan, build
from . import buses, common
from .feeds import digested, recorded
from .given import REPLAY, given_row
from .heap import spared
from .options import BacktestOptions
from .outcome import conditions, new_run_id, result_of
from .progress import Progress

LEDGER = "ledger.sqlite"


def run(options: BacktestOptions) -> None:
    """Run it, write the folder, print the result."""
    loaded = common.settings(options.config, options.env, options.sets)
    settings = loaded.settings
    _refuse_unknown(options.breakdown)
    if options.html is not None and not options.html.parent.is_dir():
        raise UsageError(f"--html {options.html}: {options.html.parent} is no folder; name a file that can be written")
    feed = recorded(options, settings)
    run_id = new_run_id()
    out = options.out or common.RUNS / run_id
    clock, timer = SimClock(), Timer()
    bus = buses.open_bus(_bus_name(options.bus), clock, settings.bus, port=0)
    try:
        with Recorder(out) as recorder:
            ledger = _ledger(out, settings, run_id)
            plan = Plan(feed.pairs, feed.interval_ms, options.seed)
            house = build(settings, plan, clock, bus.bus, ledger, feed.history)
            ledger.append([given_row(options, settings, REPLAY, feed.pairs, feed.interval_ms)], durable=False)
            common.say_experiment(settings)
            digest = SliceDigest(feed.pairs, feed.interval_ms)
            series = Series(settings.statistics.kept_intervals)
            started = timer.seconds()
            with spared():
                _walk(house, feed, digest, (recorder.take, series.take), timer, quiet=options.json)
            who = census_row(house.clock.now_ms(), run_id, members(house.world), society(house.world))
            ledger.append([who], durable=True)
            ledger.close()
            wall = timer.seconds() - started
            result = result_of(house, recorder, run_id, "backtest", wall, digest.hexdigest(), series)
            if (seen := series.closes()) is not None:
                closes.write(out, seen)
            recorder.save(results.to_json(result), house.tracker.trades, conditions(loaded))
    finally:
        bus.close()
    _print(result, out, options)
    if options.html is not None:
        from .report import tear_sheet

        tear_sheet(out, options.html)


def _walk(
    house: House, feed: HistoryFeed | TickFeed, digest: SliceDigest, takers: Sequence[Observer], timer: Timer,
    quiet: bool,
) -> None:  # fmt: skip
    start = {"cash": records.plain(house.desk.portfolio.cash), "seed": house.seed, "pairs": list(feed.pairs)}
    house.ledger.append([records.row(0, "start", "0", start)], durable=True)
    seen = feed.observations if isinstance(feed, HistoryFeed) else ()
    for row in history_rows(feed.history, seen):
        house.ledger.append([row], durable=False)
    span = (int(feed.history.times[0]), int(feed.history.times[-1]))
    with Progress(house.engine, timer, span, feed.simulated, quiet) as progress:
        progress.phase = "backtest"
        observers: Sequence[Observer] = (*takers, progress)
        Runner(house.engine, house.ledger, timer, Pace(None, timer), observers, None).run(digested(feed, digest))


def _ledger(out: Path, settings: Any, run_id: str) -> Writer:
    path = out / LEDGER
    try:
        for old in (path, *out.glob(f"{LEDGER}-*")):
            old.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; name a folder that can be written") from error
    sink = SqliteSink(path, settings.ledger, mode="backtest", ledger_id=run_id)
    return Writer(sink, settings.ledger, wait_durable=False)


def _refuse_unknown(breakdown: str | None) -> None:
    """Before the run: an hour of it is a high price for a typing error."""
    if breakdown is not None and breakdown not in BREAKDOWNS:
        raise UsageError(f"--breakdown {breakdown!r}: choose {', '.join(BREAKDOWNS)}")


def _bus_name(name: str) -> str:
    if name not in ("local", "embedded"):
        raise UsageError(f"--bus {name!r}: a backtest takes local, or embedded for a server of its own")
    return name


def _print(result: dict[str, Any], out: Path, options: BacktestOptions) -> None:
    if options.json:
        common.out_json(result)
        return
    from .report import show

    show(out, options.breakdown)
    common.say(f"written to {out}")
