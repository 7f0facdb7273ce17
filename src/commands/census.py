"""`mycelial census`: who lives in the running process, or would live in a run with these settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..connectors.memory_ledger import MemoryLedger
from ..core.bus import LocalBus
from ..core.clock import SimClock
from ..core.config import Settings
from ..core.errors import NotRunning
from ..core.timeframes import timeframe_ms
from ..core.types import Pair
from ..wiring import Plan, build
from . import common
from .control import answer_of


def run(
    state: Path | None, pairs: str | None, config: Path | None, env: str | None, sets: Sequence[str], json: bool
) -> None:
    """Print the population by class, and by pair where the process is not running."""
    found = _running(state) if pairs is None else None
    if found is None:
        found = _planned(common.settings(config, env, sets).settings, common.split(pairs))
    if json:
        common.out_json(found)
        return
    common.out(f"census of {found['of']}")
    for name, count in found["census"].items():
        common.out(f"{name:20} {count:6}")


def _running(state: Path | None) -> dict[str, Any] | None:
    try:
        answer = answer_of(state, "status")
    except NotRunning:
        return None
    return {"of": "the running process", "census": answer["census"], "pairs": answer["pairs"]}


def _planned(settings: Settings, pairs: list[str] | None) -> dict[str, Any]:
    chosen = tuple(sorted(Pair(pair) for pair in pairs or settings.simulated.pairs))
    clock = SimClock()
    plan = Plan(chosen, timeframe_ms(settings.simulated.timeframe), seed=0)
    house = build(settings, plan, clock, LocalBus(clock, settings.bus), MemoryLedger(settings.ledger))
    return {"of": "a run with these settings", "census": house.model.census(), "pairs": list(chosen)}
