"""A small world in which explorers score pairs that moats speak of, and the builder answers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from src.agents import World, builder, market_explorer, technical_analyst
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.config import Settings
from src.core.market import FEATURES
from src.core.model import MycelialModel
from src.core.types import STATUSES, BarBlock, Decision, MoatParts, MoatView, Pair, Snapshot, Status
from src.services.memory import PatternMemory
from tests.agents.made import ACCOUNT, HOUR, START

SLICES = 80
PAIRS = tuple(
    Pair(f"{base}/{quote}") for base in ("AAVE", "BTC", "ETH", "FIL", "LTC") for quote in ("EUR", "GBP", "USD")
)
WORLD: dict[str, object] = {
    "builder.bootstrap_pairs": ["NONE/USD"],
    "builder.bootstrap_days": 1000.0,
    "builder.max_active": 100,
    "prospecting.scan_seconds": 3600.0,
    "prospecting.window_hours": 8.0,
    "prospecting.trend_days": 0.5,
    "prospecting.min_bars_ratio": 0.8,
    "prospecting.volume_quote": [20e6, 40e6],
    "prospecting.volatility_ratio": [0.04, 0.08],
    "prospecting.spread_ratio": 0.01,
    "prospecting.trend_ratio": 0.03,
    "prospecting.cross_moat_two": 1.0,
}
"""Windows of hours, and thresholds in the middle of what the walk does."""


@cache
def snapshots() -> tuple[Snapshot, ...]:
    """Hours of walks with missing bars, and moats that speak now and then."""
    return tuple(_walk())


def _walk() -> Iterator[Snapshot]:
    rng = np.random.default_rng(11)
    count = len(PAIRS)
    nothing: Any = np.empty(0)
    parts = MoatParts((), *[nothing] * 9)
    empty = np.zeros((count, 1))
    close = np.full(count, 100.0)
    for number in range(SLICES):
        opened, close = close, close * np.exp(rng.normal(0.0, 0.012, count))
        high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.004, count)))
        low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.004, count)))
        volume = rng.lognormal(9.2, 0.5, count)
        there = rng.random(count) > 0.12
        at = START + HOUR * (number + 1)
        bars = BarBlock(PAIRS, at - HOUR, opened, *(np.where(there, v, np.nan) for v in (high, low, close)),
                        np.where(there, volume, 0.0), there)  # fmt: skip
        values = rng.normal(0.0, 1.2, (count, 4))
        states = np.full((count, 4), STATUSES.index(Status.OK))
        moats = MoatView(values, states, (Status.OK,) * 4, (at,) * 4, (False,) * 4, parts)
        yield Snapshot(at, HOUR, at // HOUR, PAIRS, there, close, empty, empty, empty[:, 0], bars, True, (), moats)


def decided(tree: Settings) -> str:
    """The hash of every line that explorers and builder wrote."""
    return sha256(repr(lines(tree)).encode()).hexdigest()


def lines(tree: Settings) -> list[Decision]:
    """Every line that explorers and builder wrote."""
    model = MycelialModel(LocalBus(SimClock(START), tree.bus), 7, HOUR, tree.agents)
    world = World(model, tree, PAIRS, PatternMemory(tree.memory, len(FEATURES), 7))
    for kind in (technical_analyst, market_explorer, builder):
        kind.populate(world)
    written: list[Decision] = []
    for snapshot in snapshots():
        model.bus._clock.reach(snapshot.at)  # type: ignore[attr-defined]
        assert model.on_snapshot(snapshot, ACCOUNT)
        written += model.outbox.drain()[1]
    assert not model.faults
    return written
