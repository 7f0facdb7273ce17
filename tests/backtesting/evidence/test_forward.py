"""Walk-forward and the paths of a cross-validation, against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from src.backtesting.evidence.forward import crossed, refuse_overlap, walked_forward, yearly
from src.backtesting.evidence.splits import Split, combinatorial, horizon_days, walk_forward
from src.core.errors import UsageError
from src.core.metrics import sharpe

UP = np.array([0.02, 0.01] * 6)
DOWN = -UP


def test_the_best_of_the_train_part_is_judged_on_the_next_days() -> None:
    first, second = np.concatenate((UP, DOWN)), np.concatenate((DOWN, UP))
    found = walked_forward(np.stack((first, second), axis=1), walk_forward(24, train=6, test=6))
    assert [one.chosen for one in found.windows] == [0, 0, 1]
    assert [(one.train, one.test) for one in found.windows] == [
        ((0, 5), (6, 11)),
        ((6, 11), (12, 17)),
        ((12, 17), (18, 23)),
    ]
    assert found.returns.tolist() == [*UP[:6], *DOWN[:6], *UP[:6]]
    assert found.windows[0].outside == sharpe(UP[:6])
    assert found.windows[1].outside == sharpe(DOWN[:6])
    assert found.efficiency == pytest.approx((2 - 1) / 3)
    assert found.growth == pytest.approx(np.prod(1 + UP[:6]) ** 2 * np.prod(1 + DOWN[:6]))
    assert found.sharpe == sharpe(found.returns)


def test_a_window_without_a_trade_is_counted_and_has_no_ratio() -> None:
    found = walked_forward(np.concatenate((UP, np.zeros(6)))[:, None], walk_forward(18, train=6, test=6))
    assert (found.silent, found.windows[1].outside) == (1, None)
    nothing = walked_forward(np.zeros((18, 2)), walk_forward(18, train=6, test=6))
    assert (nothing.sharpe, nothing.efficiency, nothing.growth, nothing.silent) == (None, None, 1.0, 2)


def test_doing_nothing_is_chosen_over_losing() -> None:
    found = walked_forward(np.stack((DOWN, np.zeros(12)), axis=1), walk_forward(12, train=6, test=6))
    assert found.windows[0].chosen == 1


def test_days_that_are_chosen_on_cannot_be_judged_by() -> None:
    overlapping = Split(np.arange(6), (np.arange(5, 9),))
    with pytest.raises(UsageError, match="overlap in 1 days"):
        walked_forward(UP[:, None], [overlapping])
    refuse_overlap(np.arange(5), np.arange(5, 9))
    with pytest.raises(UsageError, match="no window"):
        walked_forward(UP[:, None], [])


def test_all_paths_of_one_strategy_are_that_strategy() -> None:
    returns = np.random.default_rng(2).normal(0.001, 0.01, 60)
    found = crossed(returns[:, None], combinatorial(60, folds=6, test_folds=2, purge=1))
    assert found.sharpes == (sharpe(returns),) * 5
    assert found.median == sharpe(returns)
    assert found.folds == tuple(sharpe(returns[10 * fold : 10 * fold + 10]) for fold in range(6))
    assert (found.chosen, found.splits) == ((15,), 15)


def test_a_path_takes_in_each_fold_what_was_chosen_without_it() -> None:
    """Each of two strategies is good in one half: whoever chooses on one half is wrong in the other."""
    first, second = np.concatenate((UP, DOWN)), np.concatenate((DOWN, UP))
    returns = np.stack((first, second), axis=1)
    found = crossed(returns, combinatorial(24, folds=2, test_folds=1))
    assert found.sharpes == (sharpe(np.concatenate((DOWN, DOWN))),)
    assert (found.losing, found.chosen) == (1, (1, 1))


def test_folds_without_a_trade_have_no_ratio() -> None:
    found = crossed(np.zeros((20, 1)), combinatorial(20, folds=4, test_folds=2))
    assert (found.sharpes, found.quantiles, found.median, found.losing) == ((None,) * 3, None, None, 0)


def test_yearly_ratios_are_those_of_the_metrics() -> None:
    returns = np.random.default_rng(1).normal(0.0, 0.01, (50, 3))
    assert yearly(returns).tolist() == pytest.approx([sharpe(column) for column in returns.T])
    assert yearly(np.full((9, 1), 0.01)).tolist() == [0.0]
    assert yearly(np.ones((1, 2))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("intervals", "hours", "days"), [(24, 1, 1), (25, 1, 2), (6, 4, 1), (1, 24, 1), (3, 24, 3)])
def test_a_begun_day_of_a_horizon_is_purged_as_well(intervals: int, hours: int, days: int) -> None:
    assert horizon_days(intervals, hours * 3_600_000) == days == math.ceil(intervals * hours / 24)
