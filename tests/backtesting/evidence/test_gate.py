"""The gate refuses what luck alone could have done, and lets pass what has an edge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
import pytest

from src.backtesting.evidence.entries import across_pairs
from src.backtesting.evidence.examination import Evidence, Rules, examined
from src.backtesting.evidence.gate import Criterion, exceptions_p, judged
from src.backtesting.evidence.var_exceptions import Exceptions
from src.core.types import FloatArray
from tests.worlds import settings

from . import strategies
from .strategies import DAYS, Traded

COST = 0.004
TREE = settings()
RULES = Rules(TREE.gate, TREE.validation, TREE.statistics)
QUICK = msgspec.structs.replace(RULES, statistics=TREE.statistics.model_copy(update={"draws": 400}))


@cache
def prices(seed: int) -> FloatArray:
    return strategies.closes(seed)


def judge(evidence: Evidence, rules: Rules = QUICK) -> dict[str, Criterion]:
    return {one.name: one for one in judged(evidence, examined(evidence, rules), rules.gate)}


def passes(evidence: Evidence, rules: Rules = QUICK) -> bool:
    return all(one.met for one in judge(evidence, rules).values())


def evidence(own: Traded | None = None, others: Sequence[Traded] = (), **changes: object) -> Evidence:
    """Of a strategy with an edge, with single parts replaced."""
    own = own or strategies.skilled(prices(3), 1, COST, 0.95, count=600)
    return msgspec.structs.replace(strategies.evidence(prices(3), own, list(others), COST), **changes)


def refused(count: int, cost: float, seed: int, rules: Rules) -> int:
    """How many of so many strategies of pure noise that were tried on one market do not pass."""
    market = prices(seed)
    tried = [strategies.noise(market, 1000 * seed + number, cost) for number in range(count)]
    return sum(
        not passes(strategies.evidence(market, own, [one for one in tried if one is not own], cost), rules)
        for own in tried
    )


def test_strategies_of_pure_noise_are_refused() -> None:
    assert refused(20, 0.0, 3, QUICK) >= 19


@pytest.mark.long
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("cost", [0.0, COST])
def test_of_a_hundred_strategies_of_pure_noise_ninety_five_are_refused(cost: float, seed: int) -> None:
    assert refused(100, cost, seed, RULES) >= 95


@pytest.mark.long
def test_noise_that_hides_what_else_was_tried_and_pays_nothing_is_refused_as_well() -> None:
    """The hardest case: one trial is admitted, and trading is free."""
    found = 0
    for seed in range(5):
        for number in range(20):
            own = strategies.noise(prices(seed), 1000 * seed + number, 0.0)
            found += not passes(strategies.evidence(prices(seed), own, [], 0.0), RULES)
    assert found >= 95


def test_a_planted_edge_passes_among_noise() -> None:
    noise = [strategies.noise(prices(3), number, COST) for number in range(9)]
    found = judge(evidence(others=noise, trials=100))
    assert [one.name for one in found.values() if not one.met] == []
    assert found["overfitting"].value == 0.0
    assert found["random_entries"].value == pytest.approx(1 / 401)


def test_a_single_trial_has_nothing_to_choose_from_but_more_trials_must_be_kept() -> None:
    assert judge(evidence())["overfitting"].state == "not applicable"
    found = judge(evidence(trials=50))["overfitting"]
    assert (found.state, found.met) == ("not enough data", False)
    assert found.reason is not None
    assert "50 were tried and one is known" in found.reason


def test_more_trials_make_the_same_ratio_worth_less() -> None:
    weak = strategies.skilled(prices(3), 5, 0.0, 0.7)
    values = [judge(evidence(weak, trials=trials))["deflated_sharpe"].value for trials in (1, 10, 1000)]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert values[0] != values[2]


def test_too_little_history_is_not_enough_data_and_no_pass() -> None:
    own = strategies.skilled(prices(3), 1, COST, 0.9)
    short = evidence(own, returns=own.days[:30], candidates=own.days[:30, None])
    found = judge(short)
    assert found["days"].state == "failed"
    assert found["walk_forward"].state == found["value_at_risk"].state == "not enough data"
    assert "take a longer range" in str(found["walk_forward"].reason)
    assert "value at risk: 30 days, needs 80" in str(found["value_at_risk"].reason)
    assert found["paths"].state == "not enough data" or found["paths"].value is not None


def test_a_run_without_a_trade_is_refused_with_reasons_and_no_nan() -> None:
    still = np.zeros(DAYS)
    found = judge(evidence(returns=still, trades=np.empty(0), entries=None, candidates=still[:, None]))
    known = {"days": "passed", "trades": "failed", "overfitting": "not applicable"}
    assert {name: found[name].state for name in known} == known
    for name in found.keys() - known.keys():
        assert (found[name].state, found[name].value) == ("not enough data", None), name
        assert found[name].reason


def test_a_number_that_is_none_is_null_with_a_reason() -> None:
    own = strategies.skilled(prices(3), 1, COST, 0.9)
    broken = own.days.copy()
    broken[50] = np.nan
    found = judge(evidence(own, returns=broken, candidates=broken[:, None]))
    assert all(one.value is None or np.isfinite(one.value) for one in found.values())
    assert not all(one.met for one in found.values())


def test_who_only_equals_a_rival_does_not_beat_him() -> None:
    own = evidence()
    found = judge(msgspec.structs.replace(own, rivals={"himself": own.returns}))["beats_himself"]
    assert (found.value, found.limit, found.must, found.state) == (0.0, 0.0, "above", "failed")


@pytest.mark.parametrize(("days", "trades"), [(0.1, 0.2), (0.2, 0.1)])
def test_the_deeper_of_both_drawdowns_counts(days: float, trades: float) -> None:
    own = evidence()
    seen = examined(own, QUICK)
    assert seen.days is not None
    changed = msgspec.structs.replace(
        seen,
        days=msgspec.structs.replace(seen.days, drawdown=(0.0, 0.0, days)),
        trades=msgspec.structs.replace(seen.days, drawdown=(0.0, 0.0, trades)),
    )
    found = {one.name: one for one in judged(own, changed, QUICK.gate)}["drawdown"]
    assert (found.value, found.state) == (0.2, "passed")


def test_constant_prices_show_no_skill() -> None:
    own = evidence()
    assert own.entries is not None
    flat = msgspec.structs.replace(own.entries, closes=np.full_like(prices(3), 5.0))
    found = judge(msgspec.structs.replace(own, entries=flat))
    assert (found["random_entries"].state, found["random_entries"].value) == ("failed", 1.0)


def test_every_trade_is_held_against_its_own_pair() -> None:
    flat, rising = np.ones(50), 1.01 ** np.arange(50)
    rows, held = np.array([5, 5]), np.array([1, 2])
    skill = across_pairs(
        np.stack((flat, rising), axis=1), np.array([0, 1]), rows, held, 0.001, 100, np.random.default_rng(1)
    )
    assert skill.mean == pytest.approx((0.0 + 1.01**2 - 1.0) / 2 - 0.001)
    assert skill.random_mean == pytest.approx(skill.mean)
    other = across_pairs(
        np.stack((flat, rising), axis=1), np.array([1, 0]), rows, held, 0.0, 100, np.random.default_rng(1)
    )
    assert other.mean == pytest.approx(0.01 / 2)


def test_one_pair_is_enough() -> None:
    one = prices(3)[:, :1]
    own = strategies.skilled(one, 1, COST, 0.95)
    assert judge(strategies.evidence(one, own, [], COST))["random_entries"].state == "passed"


@pytest.mark.parametrize(
    ("exceptions", "coverage", "independence", "p"),
    [(9, 0.001, 0.5, 0.001), (2, 0.001, 0.5, 0.5), (9, 0.4, 0.002, 0.002), (0, 0.001, None, 1.0)],
)
def test_too_few_losses_beyond_the_value_at_risk_are_no_fault(
    exceptions: int, coverage: float, independence: float | None, p: float
) -> None:
    assert exceptions_p(Exceptions(exceptions, 100, 0.05, coverage, independence, None)) == p


def test_an_unjudged_value_at_risk_has_no_p() -> None:
    assert exceptions_p(None) is None
    assert exceptions_p(Exceptions(0, 0, 0.05, None, None, None)) is None
