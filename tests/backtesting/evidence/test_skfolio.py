"""The splits, live against the library that others use for them."""

from __future__ import annotations

import numpy as np
import pytest

from src.backtesting.evidence.splits import combinatorial, walk_forward

skfolio = pytest.importorskip(
    "skfolio.model_selection", reason="skfolio is of the research packages, which are not installed",
    exc_type=ImportError,
)  # fmt: skip


@pytest.mark.parametrize(
    ("size", "folds", "test_folds", "purge", "embargo"),
    [(23, 4, 2, 2, 1), (60, 6, 2, 0, 0), (101, 5, 2, 3, 2), (120, 8, 3, 1, 4)],
)
def test_combinatorial_splits_and_paths(size: int, folds: int, test_folds: int, purge: int, embargo: int) -> None:
    theirs = skfolio.CombinatorialPurgedCV(
        n_folds=folds, n_test_folds=test_folds, purged_size=purge, embargo_size=embargo
    )
    ours = combinatorial(size, folds, test_folds, purge, embargo)
    found = list(theirs.split(np.zeros((size, 1))))
    assert len(found) == len(ours.splits)
    for split, (train, tests) in zip(ours.splits, found, strict=True):
        assert split.train.tolist() == list(train)
        assert [part.tolist() for part in split.tests] == [list(part) for part in tests]
    assert theirs.n_test_paths == len(ours.paths)


@pytest.mark.parametrize(("size", "train", "test", "purge"), [(11, 4, 3, 1), (100, 30, 10, 0), (97, 20, 7, 3)])
def test_walk_forward_windows(size: int, train: int, test: int, purge: int) -> None:
    theirs = skfolio.WalkForward(train_size=train, test_size=test, purged_size=purge)
    found = [(list(one), list(other)) for one, other in theirs.split(np.zeros((size, 1)))]
    assert [(cut.train.tolist(), cut.tests[0].tolist()) for cut in walk_forward(size, train, test, purge)] == found
