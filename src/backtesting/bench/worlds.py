"""The market that all benchmarks walk through: planted, so that the swarm has something to say and to trade."""

from __future__ import annotations

from ...core.config import Settings
from ...core.history import History, HistoryFeed
from ...core.indicators import BatchSource
from ...core.market import Market
from ...core.types import Pair, Slice, Snapshot
from ..planted import planted_history

# The fixed design of the instrument, deliberately no settings.
CORRELATION, HORIZON, SEED = 0.4, 6, 7
HOUR_MS, START_MS = 3_600_000, 1_609_459_200_000


def planted(pairs: int, bars: int) -> History:
    """`bars` hourly bars of so many pairs."""
    names = [Pair(f"P{number:02}/USDT") for number in range(pairs)]
    return planted_history(names, bars, CORRELATION, HORIZON, SEED, HOUR_MS, START_MS)


def slices_of(history: History) -> list[Slice]:
    """Its slices, made beforehand so that making them is not measured."""
    return list(HistoryFeed(history))


def snapshots_of(history: History, settings: Settings) -> list[Snapshot]:
    """What agents see of each slice."""
    source = BatchSource(history, settings.indicators, settings.analysts)
    market = Market(history.pairs, history.interval_ms, settings, source)
    return [market.push(slice_) for slice_ in slices_of(history)]
