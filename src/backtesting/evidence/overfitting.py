"""The probability that choosing the best of many strategies chose noise."""

from __future__ import annotations

import math
from itertools import combinations

import msgspec
import numpy as np

from ...core.errors import UsageError
from ...core.types import FloatArray

_MOST_SPLITS = 20_000


class Overfitting(msgspec.Struct, frozen=True):
    """What choosing by past performance was worth.

    `probability` in [0, 1]: how often the best in sample was no better than the median out of sample. `logits`
    (splits,) of its relative rank out of sample; below 0 is below the median. `degradation` is the slope of its
    performance out of sample on that in sample, None where all were equal; `loss` how often it lost out of sample.
    """

    probability: float
    logits: FloatArray
    degradation: float | None
    loss: float
    splits: int


def probability_of_overfitting(returns: FloatArray, blocks: int = 16) -> Overfitting:
    """Combinatorially symmetric cross-validation over `returns` (rows, strategies), Sharpe ratio as performance.

    Rows are cut into `blocks` (even) equal parts, what is left over at the beginning is not used; each half of the
    parts chooses a strategy that the other half judges. UsageError for fewer than two strategies, an odd number of
    blocks, or blocks of fewer than two rows.

    Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), The Probability of Backtest Overfitting.
    """
    rows, strategies = returns.shape
    if blocks < 2 or blocks % 2 or math.comb(blocks, blocks // 2) > _MOST_SPLITS:
        raise UsageError(f"overfitting: {blocks} blocks: take an even number from 2 to 16")
    if strategies < 2 or rows < 2 * blocks:
        raise UsageError(f"overfitting: {strategies} strategies over {rows} rows: needs two, and {2 * blocks} rows")
    width = rows // blocks
    parts = returns[rows - width * blocks :].reshape(blocks, width, strategies)
    sums, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    judged = [_judged(sums, squares, np.array(chosen), width) for chosen in combinations(range(blocks), blocks // 2)]
    logits = np.array([logit for logit, _, _ in judged])
    inside, outside = np.array([i for _, i, _ in judged]), np.array([o for _, _, o in judged])
    return Overfitting(
        probability=float((logits <= 0.0).mean()),
        logits=logits,
        degradation=_slope(inside, outside),
        loss=float((outside < 0.0).mean()),
        splits=len(judged),
    )


def _judged(sums: FloatArray, squares: FloatArray, chosen: np.ndarray, width: int) -> tuple[float, float, float]:
    """Logit of the winner's rank outside, and its performance inside and outside."""
    rest = np.setdiff1d(np.arange(sums.shape[0]), chosen)
    inside = _performance(sums[chosen].sum(axis=0), squares[chosen].sum(axis=0), width * len(chosen))
    outside = _performance(sums[rest].sum(axis=0), squares[rest].sum(axis=0), width * len(rest))
    best = int(np.argmax(inside))
    below = float((outside < outside[best]).sum()) + 0.5 * float((outside == outside[best]).sum() - 1)
    rank = (below + 1.0) / (outside.shape[0] + 1.0)
    return math.log(rank / (1.0 - rank)), float(inside[best]), float(outside[best])


def _performance(total: FloatArray, squares: FloatArray, count: int) -> FloatArray:
    """Sharpe ratio of each strategy; 0 where it never moved."""
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    ratio: FloatArray = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0.0)
    return ratio


def _slope(inside: FloatArray, outside: FloatArray) -> float | None:
    spread = inside - inside.mean()
    power = float((spread**2).sum())
    return float((spread * outside).sum()) / power if power > 0.0 else None
