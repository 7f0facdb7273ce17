"""Cuts time into parts to choose on and parts to judge by, with a gap where a label could reach across the cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import msgspec
import numpy as np

from ...core.errors import UsageError
from ...core.timeframes import DAY_MS
from ...core.types import IntArray

_FEWEST_FOLDS = 2


class Split(msgspec.Struct, frozen=True):
    """One cut: positions to choose on, rising (n,), and the parts to judge by, each rising and unbroken."""

    train: IntArray
    tests: tuple[IntArray, ...]


class Purged(msgspec.Struct, frozen=True):
    """All cuts of a combinatorial cross-validation.

    `paths` (n_paths, n_folds) names the split whose test part stands for a fold in a path: every path is one whole
    history that was nowhere seen before it was judged.
    """

    splits: tuple[Split, ...]
    folds: tuple[IntArray, ...]
    paths: IntArray


def horizon_days(intervals: int, interval_ms: int) -> int:
    """How many days a horizon reaches across, a begun one counted: what is to be purged where rows are days.

    >>> horizon_days(24, 3_600_000), horizon_days(25, 3_600_000)
    (1, 2)
    """
    return -(-intervals * interval_ms // DAY_MS)


def walk_forward(size: int, train: int, test: int, purge: int = 0, anchored: bool = False) -> list[Split]:
    """Choose on `train` positions, leave `purge` out, judge the next `test`; then move on by `test`.

    `anchored`: each train part begins at 0 and grows. Only whole test parts are given. UsageError when not even one
    fits, or a length is not positive.

    >>> [(s.train.tolist(), s.tests[0].tolist()) for s in walk_forward(7, train=3, test=2)]
    [([0, 1, 2], [3, 4]), ([2, 3, 4], [5, 6])]
    """
    if train < 1 or test < 1 or purge < 0:
        raise UsageError(f"walk-forward: train {train}, test {test}, purge {purge}: lengths must be positive")
    if train + purge + test > size:
        raise UsageError(
            f"walk-forward: {train} to choose on, {purge} left out and {test} to judge by need "
            f"{train + purge + test} rows, there are {size}; take a longer range or shorter parts"
        )
    starts = range(0, size - train - purge - test + 1, test)
    return [
        Split(
            np.arange(0 if anchored else start, start + train, dtype=np.int64),
            (np.arange(start + train + purge, start + train + purge + test, dtype=np.int64),),
        )
        for start in starts
    ]


def combinatorial(size: int, folds: int = 10, test_folds: int = 2, purge: int = 0, embargo: int = 0) -> Purged:
    """Every choice of `test_folds` out of `folds` as the part to judge by, the rest to choose on.

    `purge` positions before and after every test part and `embargo` more after it are left out of the train part:
    what is labelled by the future of its own row would otherwise be chosen and judged by the same bars. The rows
    that do not divide evenly belong to the last fold. Gives comb(folds, test_folds) splits and comb(folds - 1,
    test_folds - 1) paths. UsageError when a fold would be eaten up.

    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, chapters 7 and 12.

    >>> cut = combinatorial(12, folds=3, test_folds=1, purge=1)
    >>> cut.splits[1].train.tolist(), cut.splits[1].tests[0].tolist()
    ([0, 1, 2, 9, 10, 11], [4, 5, 6, 7])
    """
    _refuse_small(size, folds, test_folds, purge + embargo)
    width = size // folds
    fold_of = np.minimum(np.arange(size) // width, folds - 1)
    parts = tuple(np.flatnonzero(fold_of == fold) for fold in range(folds))
    chosen = list(combinations(range(folds), test_folds))
    splits = tuple(Split(_train(fold_of, test, purge, embargo), tuple(parts[fold] for fold in test)) for test in chosen)
    return Purged(splits, parts, _paths(chosen, folds, test_folds))


def _refuse_small(size: int, folds: int, test_folds: int, gap: int) -> None:
    if folds < _FEWEST_FOLDS or not 1 <= test_folds < folds or gap < 0:
        raise UsageError(f"cross-validation: {test_folds} of {folds} folds to judge by, gap {gap}: cannot be")
    if gap >= size // folds - 1:
        raise UsageError(
            f"cross-validation: a gap of {gap} rows leaves nothing of folds of {size // folds}; "
            "take a longer range, fewer folds or a shorter horizon"
        )


def _train(fold_of: IntArray, test: Sequence[int], purge: int, embargo: int) -> IntArray:
    judged = np.isin(fold_of, test)
    left_out = judged.copy()
    edges = np.flatnonzero(np.diff(judged.astype(np.int8)))
    for edge in edges.tolist():
        if judged[edge + 1]:
            left_out[max(0, edge + 1 - purge) : edge + 1] = True
        else:
            left_out[edge + 1 : edge + 1 + purge + embargo] = True
    return np.flatnonzero(~left_out)


def _paths(chosen: Sequence[tuple[int, ...]], folds: int, test_folds: int) -> IntArray:
    """The p-th path takes, for each fold, the p-th split that judges it."""
    count = comb(folds - 1, test_folds - 1)
    paths = np.empty((count, folds), dtype=np.int64)
    for fold in range(folds):
        paths[:, fold] = [number for number, test in enumerate(chosen) if fold in test]
    return paths
