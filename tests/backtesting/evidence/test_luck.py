"""Tests of luck against published figures, an independent library, and worlds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from src.backtesting.evidence.alpha_decay import _half_life, alpha_decay, rank_correlation
from src.backtesting.evidence.entries import EntrySkill, across_pairs
from src.backtesting.evidence.monte_carlo import block_positions, blocks_drawn, trades_shuffled
from src.backtesting.evidence.overfitting import probability_of_overfitting
from src.backtesting.evidence.sharpe_tests import (
    Sharpe,
    deflated,
    expected_maximum,
    least_observations,
    measured,
    probabilistic,
)
from src.backtesting.evidence.var_exceptions import judged, rolling_exceptions, value_at_risk
from src.core.errors import UsageError
from src.core.inference import mid_ranks

PUBLISHED = Sharpe(ratio=2.5 / math.sqrt(250), observations=1250, skew=-3.0, kurtosis=10.0)
"""The example of Bailey and Lopez de Prado (2014): annual ratio 2.5 over five years of days, one of 100 trials whose
annual ratios have a variance of 0.5."""


def test_the_published_example_of_the_deflated_ratio() -> None:
    deviation = math.sqrt(0.5 / 250)
    assert expected_maximum(100, deviation) == pytest.approx(0.1132, abs=5e-5)
    assert deflated(PUBLISHED, 100, deviation) == pytest.approx(0.9004, abs=5e-4)
    assert deflated(PUBLISHED, 46, deviation) == pytest.approx(0.9505, abs=5e-4)


def test_one_trial_is_not_deflated() -> None:
    assert deflated(PUBLISHED, 1) == probabilistic(PUBLISHED)


def test_moments_are_those_of_scipy() -> None:
    returns = np.random.default_rng(3).standard_t(4, 400) / 100 + 0.001
    found = measured(returns)
    assert found is not None
    assert found.skew == pytest.approx(stats.skew(returns), rel=1e-12)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-12)


@pytest.mark.parametrize("returns", [np.zeros(9), np.full(9, 0.01), np.array([0.1, 0.2])])
def test_no_deviation_and_no_length_have_no_ratio(returns: np.ndarray) -> None:
    assert measured(returns) is None


def test_the_least_length_is_where_the_probability_reaches_the_confidence() -> None:
    found = Sharpe(0.1, 100, -0.5, 5.0)
    least = least_observations(found, 0.95)
    assert least is not None
    assert probabilistic(Sharpe(0.1, math.ceil(least), -0.5, 5.0)) >= 0.95
    assert probabilistic(Sharpe(0.1, math.floor(least) - 1, -0.5, 5.0)) < 0.95
    assert least_observations(Sharpe(-0.1, 100, 0.0, 3.0), 0.95) is None


def test_choosing_among_noise_is_overfitting_half_of_the_time() -> None:
    found = [
        probability_of_overfitting(np.random.default_rng(seed).standard_normal((480, 20)), 8).probability
        for seed in range(30)
    ]
    assert 0.4 < float(np.mean(found)) < 0.6


def test_choosing_the_one_with_skill_is_not() -> None:
    returns = np.random.default_rng(1).standard_normal((480, 20))
    returns[:, 3] += 0.4
    found = probability_of_overfitting(returns, 8)
    assert found.probability < 0.01
    assert found.loss == 0.0
    assert found.splits == 70


def test_ranks_of_a_tape_by_hand() -> None:
    """Two strategies, two blocks: what leads in one half trails in the other, so the winner is always the loser."""
    first, second = [1.0, 1.1, -1.0, -1.1], [-1.0, -1.1, 1.0, 1.1]
    found = probability_of_overfitting(np.array([first, second]).T, 2)
    assert found.probability == 1.0
    assert found.logits == pytest.approx([math.log(0.5)] * 2)
    assert found.loss == 1.0


def test_choosing_among_equals_is_no_better_than_the_median() -> None:
    """Exactly at the median counts as overfitted: the choice was worth nothing."""
    tape = np.array([1.0, 1.1, -1.0, -1.1])
    found = probability_of_overfitting(np.array([tape, tape]).T, 2)
    assert found.logits.tolist() == [0.0, 0.0]
    assert found.probability == 1.0


@pytest.mark.parametrize(("shape", "blocks"), [((100, 1), 8), ((15, 5), 8), ((100, 5), 7), ((100, 5), 18)])
def test_too_little_to_judge_overfitting_is_said(shape: tuple[int, int], blocks: int) -> None:
    with pytest.raises(UsageError, match="overfitting"):
        probability_of_overfitting(np.ones(shape), blocks)


def test_exceptions_against_scipy_and_kupiec() -> None:
    """255 days, 10 exceptions at 1 %: Kupiec's statistic is 12.955..., far in the tail."""
    hits = np.zeros(255, dtype=np.bool_)
    hits[::26] = True
    found = judged(hits, 0.01)
    share = 10 / 255
    ratio = 2 * (10 * math.log(share / 0.01) + 245 * math.log((1 - share) / 0.99))
    assert found.exceptions == 10
    assert found.coverage_p == pytest.approx(stats.chi2.sf(ratio, 1), rel=1e-9)
    assert found.conditional_p is not None
    assert found.independence_p is not None
    joint = ratio + stats.chi2.isf(found.independence_p, 1)
    assert found.conditional_p == pytest.approx(stats.chi2.sf(joint, 2), rel=1e-9)


def test_exceptions_that_come_together_are_not_independent() -> None:
    hits = np.zeros(500, dtype=np.bool_)
    hits[100:125] = True
    found = judged(hits, 0.05)
    assert found.coverage_p == pytest.approx(1.0)
    assert found.independence_p is not None
    assert found.independence_p < 1e-9


def test_rates_of_false_alarms_are_as_promised() -> None:
    rng = np.random.default_rng(5)
    alarms = [judged(rng.random(500) < 0.05, 0.05).coverage_p for _ in range(400)]
    assert 0.02 < float(np.mean([p is not None and p < 0.05 for p in alarms])) < 0.09


def test_without_exceptions_independence_has_nothing_to_judge() -> None:
    found = judged(np.zeros(100, dtype=np.bool_), 0.05)
    assert found.independence_p is None
    assert found.coverage_p == pytest.approx(stats.chi2.sf(-200 * math.log(0.95), 1))
    assert judged(np.zeros(0, dtype=np.bool_), 0.05).coverage_p is None


def test_value_at_risk_and_its_exceptions_look_back_only() -> None:
    returns = np.array([-0.05, 0.01, 0.02, 0.01, -0.06, 0.0, -0.04])
    assert value_at_risk(returns[:4], 0.25) == 0.05
    assert rolling_exceptions(returns, 4, 0.25).tolist() == [True, False, False]


def test_the_order_of_trades_moves_the_drawdown_and_not_the_growth() -> None:
    returns = np.array([0.1, -0.1, 0.2, -0.05, 0.03])
    found = trades_shuffled(returns, 500, np.random.default_rng(2))
    assert found.growth == pytest.approx((float(np.prod(1 + returns)),) * 3)
    assert found.drawdown[0] < found.drawdown[2]


def test_a_fall_from_the_start_is_a_drawdown() -> None:
    found = trades_shuffled(np.array([-0.5, -0.5]), 3, np.random.default_rng(1))
    assert found.drawdown == pytest.approx((0.75, 0.75, 0.75), abs=1e-15)


def test_a_lucky_order_is_named() -> None:
    """All losses alone between gains: hardly any order falls less."""
    returns = np.array([0.05, -0.04] * 20)
    assert trades_shuffled(returns, 500, np.random.default_rng(2)).rank < 0.01


def test_blocks_keep_neighbours_together_and_go_around_the_end() -> None:
    positions = block_positions(10, 4, 50, np.random.default_rng(0))
    steps = np.diff(positions, axis=1) % 10
    inside = np.arange(9) % 4 != 3
    assert positions.shape == (50, 10)
    assert (steps[:, inside] == 1).all()


def test_a_losing_run_loses_in_most_blocks() -> None:
    returns = np.random.default_rng(4).normal(-0.002, 0.01, 400)
    found = blocks_drawn(returns, 7, 300, np.random.default_rng(4))
    assert found.loss_ratio > 0.95
    with pytest.raises(UsageError, match="rows"):
        blocks_drawn(returns[:10], 7, 10, np.random.default_rng(4))


def against_random(
    closes: np.ndarray, entries: np.ndarray, held: np.ndarray, cost: float, draws: int, rng: np.random.Generator
) -> EntrySkill:
    """Entries of one pair."""
    return across_pairs(closes[:, None], np.zeros(len(entries), np.int64), entries, held, cost, draws, rng)


def test_entries_before_every_jump_beat_random_ones_and_any_other_moment_does_not() -> None:
    rng = np.random.default_rng(6)
    moves = rng.normal(0, 0.004, 2000)
    entries = np.sort(rng.choice(1900, 60, replace=False))
    moves[entries + 1] += 0.01
    closes = 100 * np.exp(np.cumsum(moves))
    held = np.full(60, 3)
    assert against_random(closes, entries, held, 0.0, 400, rng).p < 0.01
    assert against_random(closes, entries + 40, held, 0.0, 400, rng).p > 0.05


def test_random_entries_are_rarely_significant() -> None:
    rng = np.random.default_rng(7)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 800)))
    ps = [
        against_random(closes, np.sort(rng.choice(700, 30, replace=False)), np.full(30, 5), 0.0, 99, rng).p
        for _ in range(100)
    ]
    assert float(np.mean(np.array(ps) <= 0.05)) < 0.12


@pytest.mark.parametrize(
    ("closes", "entries", "held", "said"),
    [
        (np.ones(10), [], [], "no trade"),
        (np.ones(10), [8], [3], "outside"),
        (np.ones(10), [2], [0], "outside"),
        (np.full(10, np.nan), [2], [3], "no close"),
    ],
)
def test_entries_that_cannot_be_judged(closes: np.ndarray, entries: list[int], held: list[int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        against_random(closes, np.array(entries, int), np.array(held, int), 0.0, 9, np.random.default_rng(0))


def test_rank_correlation_is_that_of_scipy_with_equal_values_too() -> None:
    rng = np.random.default_rng(8)
    one, other = rng.integers(0, 9, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic, rel=1e-12)
    assert mid_ranks(one).tolist() == stats.rankdata(one).tolist()
    assert math.isnan(rank_correlation(np.ones(5), one[:5]))


def test_an_opinion_that_holds_for_six_rows_decays_over_six() -> None:
    rng = np.random.default_rng(9)
    moves = rng.normal(0, 0.01, (4000, 3))
    closes = np.exp(np.cumsum(moves, axis=0))
    opinions = np.full((4000, 3), np.nan)
    opinions[:-6] = np.log(closes[6:] / closes[:-6])
    found = alpha_decay(opinions, closes, 6, (0, 1, 2, 3, 4, 5, 6, 12))
    assert found.correlation[0] == pytest.approx(1.0)
    assert np.all(np.diff(found.correlation[:6]) < 0)
    assert abs(found.correlation[6]) < 0.05
    assert found.half_life in (3, 4)


@pytest.mark.parametrize(("later", "half_life"), [(0.25, 3), (0.2500001, 6), (-0.5, 3)])
def test_half_is_gone_at_the_first_delay_at_or_below_half(later: float, half_life: int) -> None:
    assert _half_life((0, 3, 6), np.array([0.5, later, 0.1])) == half_life


def test_no_opinion_has_no_decay() -> None:
    found = alpha_decay(np.full((50, 2), np.nan), np.ones((50, 2)), 3, (0, 60))
    assert np.isnan(found.correlation).all()
    assert found.half_life is None
