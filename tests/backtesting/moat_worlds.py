"""Simulated markets whose moats say something, or nothing, of later moves, kept as a run keeps them."""

from __future__ import annotations

from itertools import islice

from src.backtesting.series import Aligned, Series
from src.backtesting.simulated_market import SimulatedMarket
from src.backtesting.simulated_moats import MoatsBesides
from src.core.config import Settings
from src.core.market import Market
from tests.worlds import settings

PAIRS = ["ADA/USD", "BTC/USD", "ETH/USD", "SOL/USD"]


def tree(**changes: object) -> Settings:
    """Four pairs, hourly."""
    return settings(**{"simulated__pairs": PAIRS, "simulated__timeframe": "1h", **changes})


def walked(world: Settings, seed: int, bars: int, kept: int = 100_000) -> Aligned:
    """What is kept of the first `bars` bars, through the market that the swarm sees."""
    feed = MoatsBesides(SimulatedMarket(world.simulated, seed), world)
    market, series = Market(feed.pairs, feed.interval_ms, world, None, True), Series(kept)
    for slice_ in islice(feed, bars):
        series.see(market.push(slice_))
    aligned = series.aligned()
    assert aligned is not None
    return aligned
