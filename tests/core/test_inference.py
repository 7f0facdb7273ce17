"""Intervals that hold what they promise, and false discoveries that stay as rare as they promise."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core import inference
from src.core.errors import InvariantError
from src.core.inference import block_means, discoveries, mean_interval, student_quantile, two_sided


def after_one_another(random: np.random.Generator, size: int, share: float) -> np.ndarray:
    """Each value keeps `share` of the one before; mean 0."""
    values = random.standard_normal(size + 50)
    for place in range(1, len(values)):
        values[place] += share * values[place - 1]
    return values[50:]


def test_blocks_of_the_whole_length_are_the_sample_itself() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    assert block_means(values, 4, 50, np.random.default_rng(1)) == pytest.approx(np.full(50, 4.0))


def test_blocks_are_neighbours_around_the_end() -> None:
    values = np.array([1.0, 10.0, 100.0])
    # Blocks of two and a rest of one: (1+10 | 10+100 | 100+1) + (1 | 10 | 100), each start equally likely.
    possible = {(pair + one) / 3.0 for pair in (11.0, 110.0, 101.0) for one in (1.0, 10.0, 100.0)}
    drawn = block_means(values, 2, 2000, np.random.default_rng(1))
    assert {round(mean, 9) for mean in drawn.tolist()} == {round(mean, 9) for mean in possible}
    assert drawn.mean() == pytest.approx(37.0, abs=1.0)


@given(st.integers(2, 60), st.data())
def test_every_mean_is_of_as_many_values(size: int, data: st.DataObject) -> None:
    block = data.draw(st.integers(1, size))
    assert block_means(np.full(size, 3.5), block, 20, np.random.default_rng(0)) == pytest.approx(np.full(20, 3.5))


@pytest.mark.parametrize("block", [0, 5])
def test_a_block_has_to_fit(block: int) -> None:
    with pytest.raises(InvariantError, match=f"blocks of {block} out of 4 values"):
        block_means(np.ones(4), block, 1, np.random.default_rng(1))


def coverage(make: Callable[[np.random.Generator], np.ndarray], block: int, worlds: int) -> tuple[float, float]:
    """How often the interval holds the true mean 0, and how often p is below 0.05."""
    held = rejected = 0
    for seed in range(worlds):
        random = np.random.default_rng(seed)
        found = mean_interval(make(random), block, 400, 0.95, random)
        assert found is not None
        held += found.low <= 0.0 <= found.high
        rejected += found.p < 0.05
    return held / worlds, rejected / worlds


WORLDS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], int, float]] = {
    "independent": (lambda random: random.standard_normal(364), 7, 0.94),
    "eight blocks": (lambda random: random.standard_normal(56), 7, 0.94),
    "depends on yesterday": (lambda random: after_one_another(random, 364, 0.3), 7, 0.92),
    "mostly nothing, skewed": (
        lambda random: (random.random(364) < 0.1) * (random.exponential(size=364) - 1.0), 7, 0.91,
    ),
}  # fmt: skip


@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_holds_the_mean_as_often_as_it_says(world: str) -> None:
    make, block, least = WORLDS[world]
    held, rejected = coverage(make, block, 400)
    # The standard error of 400 worlds is 1.1 points.
    assert least - 0.02 <= held <= 0.985
    assert 0.015 <= rejected <= 1.0 - least + 0.025


@pytest.mark.long
@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_holds_the_mean_in_many_worlds(world: str) -> None:
    make, block, least = WORLDS[world]
    held, _ = coverage(make, block, 4000)
    assert least - 0.01 <= held <= 0.975


def test_single_days_would_promise_too_much() -> None:
    """The reason for blocks: with neighbours alike, blocks of one leave the mean outside far more often."""
    held, _ = coverage(lambda random: after_one_another(random, 364, 0.6), 1, 200)
    assert held < 0.75


def test_the_interval_moves_and_stretches_with_the_values() -> None:
    values = np.random.default_rng(3).standard_normal(100)
    plain, other = (
        mean_interval(each, 5, 300, 0.9, np.random.default_rng(1)) for each in (values, 10.0 * values + 7.0)
    )
    assert plain is not None
    assert other is not None
    assert other.estimate == pytest.approx(10.0 * plain.estimate + 7.0)
    assert (other.low, other.high) == pytest.approx((10.0 * plain.low + 7.0, 10.0 * plain.high + 7.0))
    assert other.error == pytest.approx(10.0 * plain.error)
    assert plain.low < plain.estimate < plain.high
    assert plain.size == 100


def test_nothing_to_draw_is_no_interval() -> None:
    assert mean_interval(np.ones(13), 7, 100, 0.95, np.random.default_rng(1)) is None
    assert mean_interval(np.empty(0), 7, 100, 0.95, np.random.default_rng(1)) is None


def test_no_change_at_all_is_certain() -> None:
    zero = mean_interval(np.zeros(20), 2, 100, 0.95, np.random.default_rng(1))
    one = mean_interval(np.ones(20), 2, 100, 0.95, np.random.default_rng(1))
    assert zero is not None
    assert one is not None
    assert (zero.p, zero.excludes_zero) == (1.0, False)
    assert (one.p, one.excludes_zero, one.low, one.high) == (0.0, True, 1.0, 1.0)


@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(3.182, 3, 0.05), (2.262, 9, 0.05), (4.781, 9, 0.001), (1.96, 1e6, 0.05)]
)
def test_students_tail_by_the_tables(t: float, freedom: float, p: float) -> None:
    assert two_sided(t, freedom) == pytest.approx(p, rel=0.06)


@given(st.floats(0.5, 0.9999), st.integers(2, 500))
def test_the_quantile_is_the_inverse_of_the_tail(probability: float, freedom: int) -> None:
    assert two_sided(student_quantile(probability, freedom), freedom) == pytest.approx(2.0 - 2.0 * probability)


def test_benjamini_and_hochbergs_own_example() -> None:
    # Table in section 4 of the paper of 1995: at 0.05 the four smallest of fifteen are rejected.
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    assert discoveries(p, 0.05) == [True] * 4 + [False] * 11
    assert discoveries([], 0.05) == []


@given(st.lists(st.floats(0.0, 1.0), max_size=30), st.floats(0.001, 0.5))
def test_what_is_believed_has_the_smallest_p(p: list[float], ratio: float) -> None:
    believed = discoveries(p, ratio)
    accepted = [value for value, kept in zip(p, believed, strict=True) if kept]
    refused = [value for value, kept in zip(p, believed, strict=True) if not kept]
    assert max(accepted, default=0.0) <= min(refused, default=1.0)
    assert all(value <= ratio * len(accepted) / len(p) for value in accepted)


def test_of_nothing_at_all_little_is_believed() -> None:
    random = np.random.default_rng(5)
    wrong = sum(any(discoveries(random.random(40).tolist(), 0.05)) for _ in range(1000))
    assert 0.03 <= wrong / 1000 <= 0.07


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(inference).failed == 0
    assert math.isclose(two_sided(0.0, 5), 1.0)
