"""From a finished run to its result: the facts only the built house knows, and how it is printed."""

from __future__ import annotations

import secrets
from typing import Any

from ..backtesting import findings
from ..backtesting import result as results
from ..backtesting.code_hash import code_sha256
from ..backtesting.discovery import discover
from ..backtesting.effects import effects
from ..backtesting.recorder import Recorder
from ..backtesting.series import Series
from ..connectors.config_files import Loaded, config_sha256, describe
from ..core.clock import iso, wall_ms
from ..wiring import House


def new_run_id() -> str:
    """A name for a run: when it began (UTC) and four random digits; never part of a hash."""
    moment = iso(wall_ms())[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{moment}-{secrets.token_hex(2)}"


def conditions(loaded: Loaded) -> dict[str, Any]:
    """Under which conditions a run was made: every setting in force, secrets hidden, and the hash of the code."""
    leaves = {name: value for name, value, _ in describe(loaded)}
    return {"code_sha256": code_sha256(), "config_sha256": config_sha256(loaded.settings), "settings": leaves}


def result_of(
    house: House,
    recorder: Recorder,
    run_id: str,
    mode: str,
    wall_s: float,
    data_sha256: str,
    series: Series | None = None,
) -> dict[str, Any]:
    """The object of `backtest --json` and of `run` at its end; without a `series` nothing is looked for in it."""
    settings, aligned = house.settings, None if series is None else series.aligned()
    moats = findings.moats(None if aligned is None else aligned.view, settings.moats.board.strength)
    facts = results.RunFacts(
        run_id=run_id,
        mode=mode,
        seed=house.seed,
        pairs=house.market.pairs,
        interval_ms=house.market.interval_ms,
        wall_s=wall_s,
        data_sha256=data_sha256,
        config_sha256=config_sha256(house.settings),
        census=house.model.census(),
        trades=house.tracker.trades,
        portfolio=house.desk.portfolio,
        equity=house.desk.equity,
        counts=house.engine.counts,
        refusals=house.engine.refusals,
        messages=house.bus.counts(),
        consensus=dict(sorted(house.world.figures.consensus.items())),
        deployments=house.world.figures.deployments(),
        lifecycle=house.life.counts(),
        agreement=dict(house.world.figures.agreement),
        learning=house.world.figures.learning(),
        haven=house.world.figures.watched(),
        rivals_ideas={book: (house.tracker.said[book], house.tracker.believed[book]) for book in house.tracker.said},
        horizons={one.name: one.intervals for one in settings.learners.horizons},
        statistics=settings.statistics,
        moats=moats,
        synthesis=findings.synthesis(moats),
        discovery=discover(aligned, settings.statistics),
        effects=effects(aligned, settings.statistics, house.seed),
        marked_at=dict(house.desk.marked_at),
    )
    return results.build(recorder.recorded(), facts)
