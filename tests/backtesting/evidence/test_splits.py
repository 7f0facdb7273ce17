"""Splits: nothing is chosen and judged by the same rows, and the paths are whole."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.backtesting.evidence.splits import combinatorial, walk_forward
from src.core.errors import UsageError


def test_walk_forward_gives_whole_test_parts_only() -> None:
    cuts = walk_forward(11, train=4, test=3, purge=1)
    assert [(cut.train.tolist(), cut.tests[0].tolist()) for cut in cuts] == [
        ([0, 1, 2, 3], [5, 6, 7]),
        ([3, 4, 5, 6], [8, 9, 10]),
    ]


def test_an_anchored_walk_keeps_its_beginning() -> None:
    cuts = walk_forward(10, train=4, test=3, anchored=True)
    assert [cut.train.tolist() for cut in cuts] == [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6]]


def test_six_folds_two_of_them_judged_are_fifteen_splits_and_five_paths() -> None:
    cut = combinatorial(600, folds=6, test_folds=2, purge=5, embargo=3)
    assert (len(cut.splits), cut.paths.shape) == (15, (5, 6))


PARITY = {
    (0, 1): [13, 14, 15, 16, 17, 18, 19, 20, 21, 22],
    (0, 2): [18, 19, 20, 21, 22],
    (0, 3): [8, 9, 10, 11, 12],
    (1, 2): [0, 1, 2, 18, 19, 20, 21, 22],
    (1, 3): [0, 1, 2],
    (2, 3): [0, 1, 2, 3, 4, 5, 6, 7],
}
"""What skfolio 1.12 gives for CombinatorialPurgedCV(n_folds=4, n_test_folds=2, purged_size=2, embargo_size=1)."""


def test_splits_and_paths_are_those_of_skfolio() -> None:
    found = combinatorial(23, folds=4, test_folds=2, purge=2, embargo=1)
    assert [split.train.tolist() for split in found.splits] == list(PARITY.values())
    assert found.paths.T.tolist() == [[0, 1, 2], [0, 3, 4], [1, 3, 5], [2, 4, 5]]


@given(
    size=st.integers(60, 300),
    folds=st.integers(3, 6),
    test_folds=st.integers(1, 2),
    purge=st.integers(0, 3),
    embargo=st.integers(0, 3),
)
def test_no_row_is_near_enough_to_leak(size: int, folds: int, test_folds: int, purge: int, embargo: int) -> None:
    cut = combinatorial(size, folds, test_folds, purge, embargo)
    assert len(cut.splits) == comb(folds, test_folds)
    for split in cut.splits:
        judged = np.concatenate(split.tests)
        train = set(split.train.tolist())
        for row in judged.tolist():
            assert not train & set(range(row - purge, row + purge + 1))
        after = {
            row + gap for part in split.tests for row in part.tolist()[-1:] for gap in range(1, purge + embargo + 1)
        }
        assert not train & after


@given(folds=st.integers(3, 7), test_folds=st.integers(1, 2))
def test_every_path_is_one_whole_history_judged_by_splits_that_did_not_see_it(folds: int, test_folds: int) -> None:
    cut = combinatorial(20 * folds, folds, test_folds)
    for path in cut.paths:
        for fold, number in enumerate(path.tolist()):
            assert any(np.array_equal(part, cut.folds[fold]) for part in cut.splits[number].tests)
    used = np.sort(cut.paths.ravel())
    assert np.array_equal(np.unique(used, return_counts=True)[1], np.full(len(cut.splits), test_folds))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: walk_forward(10, train=8, test=3), "there are 10"),
        (lambda: walk_forward(10, train=0, test=3), "must be positive"),
        (lambda: combinatorial(20, folds=10, test_folds=2, purge=1), "leaves nothing"),
        (lambda: combinatorial(20, folds=3, test_folds=3), "cannot be"),
    ],
)
def test_what_cannot_be_cut_is_said(call: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()  # type: ignore[operator]
