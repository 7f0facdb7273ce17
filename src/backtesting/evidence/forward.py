"""What choosing on one span of days was worth on the next: walk-forward windows and the paths of a cross-validation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ...core import metrics
from ...core.errors import UsageError
from ...core.types import FloatArray, IntArray
from .splits import Purged, Split

_ROUNDING = 8 * float(np.finfo(np.float64).eps)
_QUANTILES = (0.05, 0.5, 0.95)


class Window(msgspec.Struct, frozen=True):
    """One window: first and last position of both parts, the column chosen, its Sharpe ratio a year in each part.

    None where the chosen one did not move: it made no trade there.
    """

    train: tuple[int, int]
    test: tuple[int, int]
    chosen: int
    inside: float | None
    outside: float | None


class Forward(msgspec.Struct, frozen=True):
    """All windows; `returns` (n,) of the judged days one after the other.

    `sharpe` a year of these returns and `growth` of the start; `efficiency`: their mean over the mean of the chosen
    in the train parts, None where those did not gain. `silent`: windows without a movement in the judged part.
    """

    windows: tuple[Window, ...]
    returns: FloatArray
    sharpe: float | None
    growth: float
    efficiency: float | None
    silent: int


class Paths(msgspec.Struct, frozen=True):
    """Sharpe ratio a year of every path, each a whole history of days that had no part in the choice.

    `quantiles`: 5th, 50th and 95th percentile over the paths that moved, None where none did. `folds` (folds,): that
    of the most often chosen column in each fold, None where it did not move. `chosen`: how often each column was.
    """

    sharpes: tuple[float | None, ...]
    quantiles: tuple[float, float, float] | None
    losing: int
    folds: tuple[float | None, ...]
    chosen: tuple[int, ...]
    splits: int

    @property
    def median(self) -> float | None:
        """Of the paths that moved."""
        return None if self.quantiles is None else self.quantiles[1]


def yearly(returns: FloatArray) -> FloatArray:
    """Sharpe ratio a year of each column of daily `returns` (rows, n); 0 where it did not move.

    >>> yearly(np.array([[0.01, 0.0], [0.03, 0.0]])).round(6).tolist()
    [27.018512, 0.0]
    """
    if len(returns) < 2:
        return np.zeros(returns.shape[1])
    mean, deviation = returns.mean(axis=0), returns.std(axis=0, ddof=1)
    moved = deviation > _ROUNDING
    ratio: FloatArray = np.divide(mean, deviation, out=np.zeros_like(mean), where=moved)
    return ratio * math.sqrt(metrics.ANNUAL_DAYS)


def walked_forward(returns: FloatArray, splits: Sequence[Split]) -> Forward:
    """In each split choose the column of daily `returns` (days, n) with the best Sharpe ratio, judge it on the test.

    The first of equals is chosen. UsageError for splits whose parts overlap, or where there is none.
    Source of the efficiency: Pardo (2008), The Evaluation and Optimization of Trading Strategies.
    """
    if not splits:
        raise UsageError("walk-forward: no window")
    windows, inside, outside = [], [], []
    for split in splits:
        (test,) = split.tests
        refuse_overlap(split.train, test)
        best = int(np.argmax(yearly(returns[split.train])))
        taken, judged = returns[split.train, best], returns[test, best]
        ends = (int(split.train[0]), int(split.train[-1])), (int(test[0]), int(test[-1]))
        windows.append(Window(*ends, best, metrics.sharpe(taken), metrics.sharpe(judged)))
        inside.append(taken)
        outside.append(judged)
    together, chosen = np.concatenate(outside), float(np.concatenate(inside).mean())
    return Forward(
        windows=tuple(windows),
        returns=together,
        sharpe=metrics.sharpe(together),
        growth=float(np.prod(1.0 + together)),
        efficiency=float(together.mean()) / chosen if chosen > 0.0 else None,
        silent=sum(not judged.any() for judged in outside),
    )


def refuse_overlap(train: IntArray, test: IntArray) -> None:
    """UsageError where days are chosen on and judged by."""
    both = np.intersect1d(train, test)
    if len(both):
        raise UsageError(
            f"train and test overlap in {len(both)} days; what was chosen on them cannot be judged by them"
        )


def crossed(returns: FloatArray, cut: Purged) -> Paths:
    """In each split choose the column of daily `returns` (days, n) with the best Sharpe ratio; join the judged folds.

    With one column nothing is chosen and all paths are that column.
    """
    best = [int(np.argmax(yearly(returns[split.train]))) for split in cut.splits]
    ratios = []
    for path in cut.paths:
        parts = [returns[cut.folds[fold], best[split]] for fold, split in enumerate(path.tolist())]
        ratios.append(metrics.sharpe(np.concatenate(parts)))
    moved = np.array([ratio for ratio in ratios if ratio is not None])
    counts = np.bincount(best, minlength=returns.shape[1])
    usual = int(np.argmax(counts))
    low, middle, high = np.quantile(moved, _QUANTILES).tolist() if len(moved) else (0.0, 0.0, 0.0)
    return Paths(
        sharpes=tuple(ratios),
        quantiles=(low, middle, high) if len(moved) else None,
        losing=int((moved < 0.0).sum()),
        folds=tuple(metrics.sharpe(returns[fold, usual]) for fold in cut.folds),
        chosen=tuple(counts.tolist()),
        splits=len(cut.splits),
    )
