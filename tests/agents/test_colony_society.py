"""Likeness, succession, patterns worth keeping and interest: exact figures and every reason to refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents.colony import Colony
from src.agents.colony_diversity import distances, diversity, likeness
from src.agents.colony_evolution import bear, replacements
from src.agents.colony_patterns import Archive, decay, interestingness, patterns
from src.agents.colony_sharing import links_of, share_now
from src.core.config import Settings
from src.core.errors import InvariantError
from src.core.types import FloatArray, Side, Snapshot
from tests.agents.worlds import snapshot
from tests.worlds import settings

FEATURES = 5


def colony_of(tree: Settings, names: str = "", moats: str = "", seed: int = 3) -> Colony:
    colony = Colony(tree.learners, tree.costs, FEATURES, 2, seed)
    for place, name in enumerate(names):
        moat = int(moats[place]) if moats else 0
        colony.born(name, 0, (3, 6)[place % 2], always_in=range(FEATURES), moat=moat)
    return colony


def teach(colony: Colony, name: str, ahead: float, outcomes: float = 1000.0) -> None:
    """Give a learner a record that beats its class frequencies by `ahead` nats."""
    numbers = colony.rows.numbers[colony.row_of(name)]
    numbers[[k.WEIGHT, k.BASE_LOSS, k.LOSS]] = outcomes, outcomes, outcomes * (1.0 - ahead)


# Likeness


def test_the_largest_group_around_one() -> None:
    policies = np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.2], [1.0, 0.3], [0.0, 5.0]])
    # Angles 0, 5.7, 16.7 and 90 degrees; within 12 degrees of the second lie the first three.
    found = likeness(policies, math.cos(math.radians(12.0)), 1)
    assert (found.contagion, found.medoid, found.members) == (0.75, 2, (0, 2, 3))
    assert likeness(policies, math.cos(math.radians(10.0)), 1).contagion == 0.5
    assert likeness(policies, 0.9, 5).contagion is None
    nobody = likeness(np.zeros((3, 2)), 0.9, 0)
    assert (nobody.contagion, nobody.medoid, nobody.members) == (None, None, ())
    assert likeness(np.zeros((0, 2)), 0.9, 0).contagion is None


def test_a_chain_of_small_steps_is_no_group() -> None:
    angles = np.radians(np.arange(0.0, 91.0, 10.0))
    policies = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    assert likeness(policies, math.cos(math.radians(10.5)), 1).contagion == 0.3


def test_diversity_is_the_mean_distance() -> None:
    policies = np.random.default_rng(1).normal(size=(20, 6))
    policies[7] = 0.0
    units = np.delete(policies, 7, axis=0)
    units /= np.linalg.norm(units, axis=1)[:, None]
    expected = 1.0 - (units @ units.T)[np.triu_indices(19, 1)].mean()
    assert diversity(policies) == pytest.approx(expected, rel=1e-12)
    assert distances(policies)[0, 1] == pytest.approx(1.0 - units[0] @ units[1], rel=1e-12)
    assert (distances(policies)[7, 3], distances(policies)[7, 7]) == (1.0, 0.0)
    assert diversity(np.ones((3, 2))) == pytest.approx(0.0, abs=1e-15)
    assert math.isnan(diversity(np.ones((1, 2))))


# Evolution


def test_the_worst_go_inside_their_moat() -> None:
    tree = settings(evolution__replaced_ratio=0.34)
    colony = colony_of(tree, "abcdefgh", "00000011")
    for name, ahead in zip("abcdefgh", (0.1, 0.2, -0.3, -0.2, 0.0, 0.3, -0.9, 0.9), strict=True):
        teach(colony, name, ahead)
    teach(colony, "e", -5.0, outcomes=tree.evolution.min_outcomes - 1)
    # Two of six may go, none of two. "c" is of horizon 3 like "a", "d" of 6 like "b" and "f"; "e" is not judged yet.
    assert replacements(colony, tree.evolution) == [("c", "a"), ("d", "f")]
    colony.rows.counts[colony.row_of("f"), k.FAULTY] = 1
    assert replacements(colony, tree.evolution) == [("f", "b"), ("c", "a")]


def test_nobody_goes_for_somebody_no_better() -> None:
    tree = settings(evolution__replaced_ratio=0.5)
    colony = colony_of(tree, "abcd")
    for name in "abcd":
        teach(colony, name, 0.1)
    assert replacements(colony, tree.evolution) == []
    assert replacements(colony_of(tree), tree.evolution) == []


def test_a_child_inherits_what_its_parent_knows_and_not_its_record() -> None:
    tree = settings(evolution__mutation_ratio=0.1)
    colony = colony_of(tree, "ab", "33")
    above = colony.row_of("a")
    colony.rows.mask[above, :3], colony.rows.counts[above, k.FEATURES] = (0, 2, 3), 3
    colony.rows.weights[above] = 0.0
    colony.rows.weights[above][:, [0, 2, 3]] = 4.0
    colony.rows.numbers[above, [k.RATE, k.BIAS]] = 0.01, 0.7
    teach(colony, "a", 0.2)
    row = bear(colony, "child", 1, 6, "a", tree.evolution, always_in=(4,))
    view = colony.view(row)
    assert (view["pair"], view["horizon"], view["moat"], view["generation"], view["features"]) == (1, 6, 3, 1, 4)
    assert (view["t"], view["loss"], view["trades"], view["predicted"]) == (0, None, 0, 0)
    assert colony.parent_of("child") == "a"
    assert colony.rows.mask[row, :4].tolist() == [0, 2, 3, 4]
    size = 4.0 * math.sqrt(3.0 / 4.0)
    noise = (colony.rows.weights[row] - colony.rows.weights[above])[:, [0, 2, 3, 4]] / size
    assert 0.0 < np.abs(noise).min() < np.abs(noise).max() <= 0.1 * math.sqrt(3.0)
    assert not colony.rows.weights[row][:, 1].any()
    assert colony.rows.numbers[row, k.BIAS] == 0.7
    assert 0.01 * math.exp(-0.2) <= colony.rows.numbers[row, k.RATE] <= 0.01 * math.exp(0.2)
    again = colony_of(tree, "zxyab", "33333")
    copy = again.row_of("a")
    for ours, theirs in zip(again.rows, colony.rows, strict=True):
        ours[copy] = theirs[above]
    other = bear(again, "child", 1, 6, "a", tree.evolution, always_in=(4,))
    assert again.rows.weights[other].tobytes() == colony.rows.weights[row].tobytes()
    colony.rows.weights[above, 0, 0] = math.nan
    with pytest.raises(InvariantError, match="not finite"):
        bear(colony, "orphan", 1, 6, "a", tree.evolution)


# Patterns


def test_m_f33_decay_is_counted_from_the_last_sight() -> None:
    ages = (0, 10, 20, 60, 100, 200, 300)
    assert [decay(age, 200) for age in ages] == [1.0, 0.95, 0.9, 0.7, 0.5, 0.0, 0.0]


def slices(count: int, constant: bool = False) -> list[Snapshot]:
    rng = np.random.default_rng(2)
    closes = 100.0 * np.exp(np.cumsum(0.01 * rng.normal(size=(count, 2)), axis=0))
    seen = rng.normal(size=(count, 2, FEATURES))
    if constant:
        seen[:] = [0.0, 0.0, 0.5, 0.5, 0.0]
    return [snapshot(t, closes[t], closes[t], seen[t], np.full(2, 0.01)) for t in range(count)]


def speaking(tree: Settings, names: str = "ab") -> Colony:
    colony = colony_of(tree, names)
    for name in names:
        colony.rows.weights[colony.row_of(name), k.UP] = 0.5
    return colony


def archived(tree: Settings, bars: int, constant: bool = False) -> tuple[Archive, Colony, list[Snapshot]]:
    colony, walked = speaking(tree), slices(bars, constant)
    for each in walked:
        colony.step(each)
    for name in colony.names:
        teach(colony, name, 0.1)
    return patterns(colony, tree.patterns, bars - 1), colony, walked


EAGER = {"learners__rank_warmup": 1, "learners__entry_score": 0.5, "learners__entry_score_spread": 0.0}


def test_a_pattern_is_what_was_seen_and_what_came_of_it() -> None:
    tree = settings(**EAGER)
    found, _, walked = archived(tree, 60)
    assert found.rejected == {}
    assert [each.learner for each in found.candidates] == ["a", "b"]
    for each in found.candidates:
        assert each.horizon == {"a": 3, "b": 6}[each.learner]
        assert each.known == each.seen + each.horizon <= 59
        assert each.known > 59 - 30
        np.testing.assert_array_equal(each.features, walked[each.seen].features[0].clip(-4, 4))
        came = math.log(walked[each.known].close[0] / walked[each.seen].close[0])
        assert each.move == pytest.approx(came, rel=1e-12)
        assert each.side is (Side.BUY if each.conviction > 0 else Side.SELL)
        assert each.value == 100.0 * each.score * decay(59 - each.seen, 200)
        assert each.score >= 0.5
        assert not each.features.flags.writeable


def test_a_pattern_is_archived_once() -> None:
    tree = settings(**EAGER)
    _, colony, _ = archived(tree, 60)
    again = patterns(colony, tree.patterns, 61)
    assert (again.candidates, again.rejected) == ((), {"none": 2})


def test_m_f34_every_reason_to_refuse_is_counted() -> None:
    tree = settings(**EAGER)
    late, *_ = archived(settings(**EAGER, patterns__min_value=99.9), 60)
    assert late.rejected == {"low_value": 2}
    constant, *_ = archived(tree, 60, constant=True)
    assert constant.candidates == ()
    assert set(constant.rejected) <= {"no_information", "none"}
    assert constant.rejected.get("no_information", 0) > 0
    _, colony, _ = archived(settings(**EAGER, patterns__min_value=99.9), 60)
    teach(colony, "a", -0.1)
    teach(colony, "b", 0.1, outcomes=tree.patterns.min_outcomes - 1)
    assert patterns(colony, tree.patterns, 59).rejected == {"no_skill": 2}
    colony.rows.counts[colony.row_of("b"), k.FAULTY] = 1
    assert patterns(colony, tree.patterns, 59).rejected == {"faulty": 1, "no_skill": 1}
    assert patterns(colony, tree.patterns, 259).rejected == {"faulty": 1, "low_value": 1}


def test_a_sighting_whose_outcome_is_missed_is_no_pattern() -> None:
    tree = settings(**EAGER)
    colony, walked = speaking(tree, "a"), slices(40)
    row = colony.row_of("a")
    colony.step(walked[0])
    colony.step(walked[1])
    while colony.rows.counts[row, k.SIGHTED_AT] == k.EMPTY:
        colony.step(walked[(colony.grid or 0) + 1])
    seen = int(colony.rows.counts[row, k.SIGHTED_AT])
    colony.step(walked[seen + 1])
    colony.step(walked[seen + 2])
    before = int(colony.rows.counts[row, k.LEARNT])
    colony.step(walked[seen + 4])
    # The outcome of the guess after the sighting came, that of the sighting itself was missed.
    assert colony.rows.counts[row, k.LEARNT] == before + 1
    assert colony.rows.counts[row, k.SIGHTED_AT] in (k.EMPTY, seen + 4)
    assert colony.rows.counts[row, k.PATTERN_AT] == k.EMPTY


# Interest


def test_interest_is_five_times_twenty_of_real_quantities() -> None:
    tree = settings(sharing__mutation_ratio=0.0)
    colony = colony_of(tree, "abcd")
    colony.step(slices(1)[0])
    policy(colony, "a", [1.0, 0.0])
    policy(colony, "b", [0.0, 1.0])
    policy(colony, "c", [3.0, 4.0])
    numbers, counts = colony.rows.numbers, colony.rows.counts
    for name in "abc":
        numbers[colony.row_of(name), k.WEIGHT] = 100.0
    share_now(colony, links_of(colony, [("a", "b"), ("a", "d")]), tree.sharing, tree.haven, "d")
    policy(colony, "d", [0.0, 0.0])
    numbers[colony.row_of("a"), [k.BETA, k.T2]] = 1.0, 16.0
    numbers[colony.row_of("b"), [k.BETA, k.T2]] = -1.0, 16.0
    counts[[colony.row_of("a"), colony.row_of("c")], k.GENERATION] = 4, 40
    found = interestingness(colony, tree.patterns, 4.0)
    # Distances: a-b 1, a-c 0.4, b-c 0.2; d has learnt nothing and is as far as can be.
    assert [found["a"].novelty, found["b"].novelty] == pytest.approx([8.0, 4.0], rel=1e-12)
    assert [found[name].performance for name in "abc"] == [15.0, 0.0, 0.0]
    assert [found["a"].diversity, found["c"].diversity] == pytest.approx([16.0, 20.0 * 1.6 / 3.0], rel=1e-12)
    assert [found[name].evolution for name in "abc"] == [8.0, 0.0, 20.0]
    assert [found[name].sharing for name in "abc"] == [20.0, 0.0, 0.0]
    assert (found["d"].novelty, found["d"].diversity) == (0.0, 0.0)
    assert found["a"].total == pytest.approx(8 + 15 + 16 + 8 + 20, rel=1e-12)


def policy(colony: Colony, name: str, direction: list[float]) -> FloatArray:
    weights = colony.rows.weights[colony.row_of(name)]
    weights[:] = 0.0
    weights[k.UP, : len(direction)] = direction
    return weights
