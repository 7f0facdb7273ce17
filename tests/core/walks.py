"""Small histories for tests of the market: random walks with missing bars, and single series by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from src.core.config import Settings
from src.core.features import Row
from src.core.history import History
from src.core.indicators import BatchSource, StreamSource
from src.core.types import FloatArray, Pair, Slice
from tests.worlds import settings

HOUR = 3_600_000
MONDAY = 1_672_617_600_000  # 2023-01-02T00:00:00Z
SETTINGS = settings()
SHORT = settings(indicators__volume_window=6, indicators__atr_rank_window=10, indicators__volatility_warmup=5)
"""The shipped settings with windows so short that a small walk fills them."""


def walk(random: Generator, bars: int, pairs: int = 2, missing: float = 0.1, step: float = 0.01) -> History:
    """A geometric walk on hours; some returns are exactly zero and some volumes, too."""
    moves = random.normal(0.0, step, (bars, pairs)) * (random.random((bars, pairs)) > 0.1)
    close = 100.0 * np.exp(np.cumsum(moves, axis=0))
    high = close * (1.0 + np.abs(random.normal(0.0, step, close.shape)))
    low = close * (1.0 - np.abs(random.normal(0.0, step, close.shape)).clip(0, 0.5))
    volume = random.lognormal(3.0, 1.0, close.shape) * (random.random(close.shape) > 0.05)
    present = random.random(close.shape) >= missing
    present[0, 0] = True
    return history(high, low, close, volume, present)


def history(high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray, present: object) -> History:
    """A History on hours from a Monday on; rows without any bar are left out, missing bars blanked."""
    there = np.asarray(present, np.bool_)
    times = MONDAY + HOUR * (1 + np.arange(len(close)))
    rows = there.any(axis=1)
    prices = [np.where(there, price, np.nan)[rows] for price in (close, high, low, close)]
    pairs = tuple(Pair(f"P{index}/USD") for index in range(there.shape[1]))
    return History(pairs, HOUR, times[rows], *prices, np.where(there, volume, 0.0)[rows], there[rows])


def series(closes: Sequence[float], volumes: Sequence[float] | None = None, spread: float = 0.0) -> History:
    """One pair without gaps; high and low lie `spread` above and below the close."""
    close = np.array(closes, np.float64)[:, None]
    volume = np.ones_like(close) if volumes is None else np.array(volumes, np.float64)[:, None]
    return history(close + spread, close - spread, close, volume, np.ones(close.shape, np.bool_))


def with_gaps(closes: Sequence[float | None]) -> History:
    """One pair beside another that always trades, so that every hour has a row; None is a missing bar."""
    own = np.array([np.nan if value is None else value for value in closes], np.float64)
    close = np.stack([own, np.full(len(own), 50.0)], axis=1)
    return history(close * 1.01, close * 0.99, close, np.ones_like(close), ~np.isnan(close))


def batch(history_: History, tree: Settings = SETTINGS) -> BatchSource:
    """The batch over a history."""
    return BatchSource(history_, tree.indicators, tree.analysts)


def streams(history_: History, tree: Settings = SETTINGS) -> StreamSource:
    """Fresh streams for the pairs of a history."""
    return StreamSource(history_.pairs, HOUR, tree.indicators, tree.analysts)


def rows(source: BatchSource | StreamSource, history_: History) -> Row:
    """Every row the source gives, stacked: (times, pairs, ...)."""
    given = [source.advance(block) for _, block in history_.blocks()]
    return Row(*(np.stack(arrays) for arrays in zip(*given, strict=True)))


def slices(history_: History) -> list[Slice]:
    """The slices of a history."""
    return [Slice(at=at, bars=block) for at, block in history_.blocks()]


def same(left: Row, right: Row) -> bool:
    """Equal to the last bit, NaN where NaN."""
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(left, right, strict=True))
