"""The controls: the ridge against exact algebra and a planted edge, the noise against its own emptiness."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from src.agents.colony_votes import SwarmIdea
from src.agents.control_kernels import ridge, trust_of
from src.agents.controls import Control, NoiseLearner, PooledRidge
from src.core.errors import DataError
from src.core.types import Side, Snapshot
from tests.agents import worlds as w
from tests.worlds import settings


def control(kind: type[Control], **changes: object) -> Control:
    tree = settings(**changes)
    return kind(tree.controls, tree.learners, w.FEATURES, w.PAIRS, 5)


def walk(one: Control, slices: list[Snapshot]) -> list[tuple[Snapshot, SwarmIdea]]:
    return [(each, idea) for each in slices for idea in one.step(each)]


def test_ridge_by_hand() -> None:
    moments, products = np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([2.0, 5.0])
    # (5, 2; 2, 4) w = (2, 5): determinant 16, w = (8 - 10, 25 - 4) / 16.
    assert ridge(moments, products, 1.0).tolist() == pytest.approx([float(Fraction(-2, 16)), float(Fraction(21, 16))])


def test_ridge_solves_larger_systems() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 23)), rng.normal(size=200)
    found = ridge(x.T @ x, x.T @ y, 3.0)
    assert (x.T @ x + 3.0 * np.eye(23)) @ found == pytest.approx(x.T @ y, rel=1e-9, abs=1e-9)


def test_trust_is_what_plain_python_makes_of_it() -> None:
    rng = np.random.default_rng(3)
    raised = 0
    for sxx, sxy, syy, weight in (rng.random((5000, 4)) * (1.0, 1.0, 1.0, 3000.0)).tolist():
        explained, freedom = min(sxy**2 / (sxx * syy), 1.0 - 2.0**-52), weight / 3.0 - 1.0
        t2 = freedom * explained / (1.0 - explained)
        expected = sxy / sxx * (1.0 - 6.0 / t2) if freedom > 0.0 and t2 > 6.0 else 0.0
        assert trust_of(np.array([sxx, sxy, syy, weight]), 3.0, 6.0, 2.0) == expected
        raised += sxy**2 != sxy * sxy
    assert raised > 0  # libm's power is not a product, to the bit


def ideas_of(seed: int, kind: type[Control], strength: float) -> list[tuple[Snapshot, SwarmIdea]]:
    return walk(control(kind), w.world(seed, 1500, strength=strength))


def test_the_ridge_finds_a_planted_edge() -> None:
    slices = w.world(w.TUNING_SEEDS[0], 1500, strength=0.2)
    one = control(PooledRidge)
    said = [idea for idea in walk(one, slices) if idea[0].grid > 800]
    signal = w.signal_of(np.array([each.features for each in slices]), w.TUNING_SEEDS[0])
    right = [(signal[each.grid, idea.pair_index] > 0) == (idea.side is Side.BUY) for each, idea in said]
    assert len(right) > 1000
    assert np.mean(right) > 0.95
    assert all((idea.edge > 0) == (idea.side is Side.BUY) for _, idea in said)
    assert {idea.horizon for _, idea in said} <= {3, 6}
    assert {idea.learners for _, idea in said} == {("control-ridge",)}


def test_noise_speaks_and_is_not_believed() -> None:
    said = [idea for each, idea in ideas_of(1, NoiseLearner, 0.2) if each.grid > 300]
    # A fifth of the predictions at each of two horizons: 36 % of the pairs at a time.
    assert len(said) / (1199 * w.PAIRS) == pytest.approx(0.36, abs=0.02)
    assert np.mean([abs(idea.edge) > 0.0072 for idea in said]) < 0.01
    assert np.mean([idea.side is Side.BUY for idea in said]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", [PooledRidge, NoiseLearner])
def test_the_future_changes_nothing_and_a_restart_goes_on(kind: type[Control]) -> None:
    slices = w.world(1, 400, strength=0.2)
    changed = slices[:300] + w.world(2, 400)[300:]
    small = {"controls__min_outcomes": 100.0, "learners__rank_warmup": 20}
    straight, other, resumed = (control(kind, **small) for _ in range(3))
    first = [straight.step(each) for each in slices[:300]]
    state = straight.state()
    assert first == [other.step(each) for each in changed[:300]]
    assert any(first)
    resumed.restore(state)
    assert [straight.step(each) for each in slices[300:]] == [resumed.step(each) for each in slices[300:]]
    del state["ranks"]
    with pytest.raises(DataError, match="ranks"):
        resumed.restore(state)


def test_no_data_is_no_opinion() -> None:
    one = control(NoiseLearner, learners__rank_warmup=1, learners__entry_score=0.0)
    for each in w.world(1, 60)[50:]:
        blind = each.features.copy()
        blind[0, 3] = math.nan
        volatility = each.volatility.copy()
        volatility[1] = math.nan
        fresh = each.fresh.copy()
        fresh[2] = False
        seen = Snapshot(each.at, 1, each.grid, each.pairs, fresh, each.close, blind, blind, volatility, each.bars, True)
        said = {idea.pair_index for idea in one.step(seen)}
        assert not said & {0, 1, 2}
    assert said == set(range(3, w.PAIRS))
