"""Every leaf of costs, consensus, prospecting, learners, life cycle and risk changes what is decided somewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest

from src.core.config import Settings
from tests.settings import discovering, learning, losing
from tests.settings.leaves import leaves, tree

SECTIONS = ("costs", "consensus", "prospecting", "learners", "lifecycle", "risk")


class World(NamedTuple):
    """Settings under which much happens, and the hash of what is decided under them."""

    settings: dict[str, object]
    decided: Callable[[Settings], str]


WORLDS = {
    "discovering": World(discovering.WORLD, discovering.decided),
    "learning": World(learning.WORLD, learning.decided),
    "losing": World(losing.WORLD, losing.decided),
}

DISCOVERING: dict[str, object] = {
    "consensus.required_votes": 3,
    "consensus.min_confidence_ratio": 0.6,
    "consensus.window_seconds": 10_800.0,
    "prospecting.scan_seconds": 7200.0,
    "prospecting.lookback_factors.0": 0.75,
    "prospecting.lookback_factors.1": 1.25,
    "prospecting.lookback_factors.2": 1.5,
    "prospecting.threshold_factors.0": 0.7,
    "prospecting.threshold_factors.1": 1.1,
    "prospecting.threshold_factors.2": 1.4,
    "prospecting.propose_points": 5,
    "prospecting.window_hours": 10.0,
    "prospecting.trend_days": 0.25,
    "prospecting.min_bars_ratio": 0.95,
    "prospecting.volume_quote.0": 25e6,
    "prospecting.volume_quote.1": 50e6,
    "prospecting.volatility_ratio.0": 0.05,
    "prospecting.volatility_ratio.1": 0.1,
    "prospecting.spread_ratio": 0.005,
    "prospecting.trend_ratio": 0.05,
    "prospecting.moat_min_z": 2.0,
    "prospecting.cross_moat_one": 0.8,
    "prospecting.cross_moat_two": 1.6,
    **{f"prospecting.teams.{team}.name": "Other" for team in range(3)},
    **{
        f"prospecting.teams.{team}.weights.{moat}": 2.0
        for team in range(3)
        for moat in ("code", "corporate", "government", "logistics")
    },
    "prospecting.teams.2.weights.government": 0.2,
    "prospecting.teams.2.weights.logistics": 0.2,
    **{f"prospecting.moat_assets.{moat}": ["FIL"] for moat in ("code", "corporate", "government", "logistics")},
}
LEARNING: dict[str, object] = {
    "costs.fee_ratio": 0.001,
    "costs.slippage_ratio": 0.002,
    **{f"learners.standard.{moat}": 4 for moat in ("market", "code", "government", "logistics", "corporate")},
    "learners.team": 5,
    **{f"learners.horizons.{place}.name": "Other" for place in range(3)},
    **{f"learners.horizons.{place}.intervals": 3 for place in range(3)},
    "learners.learning_rate": 0.04,
    "learners.learning_rate_spread": 0.5,
    "learners.learning_rate_floor": 0.9,
    "learners.learning_rate_halving": 10.0,
    "learners.feature_mask_ratio": 0.7,
    "learners.feature_clip": 2.0,
    "learners.flat_min": 0.8,
    "learners.flat_max": 0.3,
    "learners.rank_window": 25,
    "learners.rank_warmup": 20,
    "learners.entry_score": 0.6,
    "learners.entry_score_spread": 0.1,
    "learners.calibration_memory": 0.99,
    "learners.calibration_min_t2": 4.0,
    "learners.min_learners": 3,
    "learners.silence_profit_ratio": -0.2,
    "learners.silence_min_trades": 30,
    "learners.voice_profit_ratio": -0.2,
    "learners.book_trades": 3,
}
LOSING: dict[str, object] = {
    "lifecycle.probation_ratio": -0.06,
    "lifecycle.deep_probation_ratio": -0.12,
    "lifecycle.hibernation_ratio": -0.25,
    "lifecycle.hibernation_days": 30.0,
    "lifecycle.lift_ratio": -0.02,
    "lifecycle.deep_lift_ratio": -0.06,
    "lifecycle.lift_after_intervals": 15,
    "lifecycle.probation_size": 0.6,
    "lifecycle.deep_probation_size": 0.3,
    "lifecycle.delisted_days": 0.05,
    "risk.max_drawdown_ratio": 0.01,
    "risk.max_positions": 1,
    "risk.max_data_age_intervals": 1,
}
CHANGES = {
    leaf: (world, value)
    for world, changes in (("discovering", DISCOVERING), ("learning", LEARNING), ("losing", LOSING))
    for leaf, value in changes.items()
}
"""For each leaf the world in which it matters, and another value."""


@cache
def unchanged(world: str) -> str:
    return WORLDS[world].decided(tree(WORLDS[world].settings))


def test_every_leaf_has_its_line() -> None:
    """A new setting of these sections fails here until there is a world in which it decides something."""
    shipped = tree()
    assert {leaf for section in SECTIONS for leaf in leaves(getattr(shipped, section), section)} == CHANGES.keys()


@pytest.mark.parametrize("world", WORLDS)
def test_equal_settings_decide_alike(world: str) -> None:
    assert WORLDS[world].decided(tree(WORLDS[world].settings)) == unchanged(world)


@pytest.mark.parametrize("leaf", CHANGES)
def test_another_value_is_another_decision(leaf: str) -> None:
    world, value = CHANGES[leaf]
    assert WORLDS[world].decided(tree(WORLDS[world].settings, {leaf: value})) != unchanged(world)
