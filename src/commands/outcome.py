"""From a finished run to its result: the facts only the built house knows, and how it is printed."""

from __future__ import annotations

import secrets
from typing import Any

from ..backtesting import result as results
from ..backtesting.recorder import Recorder
from ..connectors.config_files import config_sha256
from ..core.clock import iso, wall_ms
from ..wiring import House


def new_run_id() -> str:
    """A name for a run: when it began (UTC) and four random digits; never part of a hash."""
    moment = iso(wall_ms())[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{moment}-{secrets.token_hex(2)}"


def result_of(
    house: House, recorder: Recorder, run_id: str, mode: str, wall_s: float, data_sha256: str
) -> dict[str, Any]:
    """The object of `backtest --json` and of `run` at its end."""
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
    )
    return results.build(recorder.recorded(), facts)
