"""Taking from neighbours: the arithmetic by hand, nobody's order matters, lineage, poison, a restart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents.colony import Colony
from src.agents.colony_sharing import (
    Shared,
    links_of,
    mark_toxic,
    share_now,
    share_when_due,
    skill,
    standing,
)
from src.core.config import Settings
from src.core.errors import InvariantError, NotFound
from src.core.types import FloatArray, Snapshot
from tests.agents.worlds import snapshot
from tests.worlds import settings

FEATURES = 5
OUTCOMES = 100.0


def tree_of(**changes: object) -> Settings:
    return settings(**({"sharing__mutation_ratio": 0.0} | changes))


def colony_of(names: str, tree: Settings, seed: int = 3) -> Colony:
    """Learners of pair 0 that see all features and stand equal, after one step."""
    colony = Colony(tree.learners, tree.costs, FEATURES, 1, seed)
    for name in names:
        colony.born(name, 0, 6, always_in=range(FEATURES))
    colony.step(slice_at(0))
    for place, name in enumerate(names):
        teach(colony, name, 0.0)
        colony.rows.weights[colony.row_of(name)] = 1.0 + place
    return colony


def slice_at(grid: int, seed: int = 0) -> Snapshot:
    rng = np.random.default_rng([seed, grid])
    close = np.array([100.0 * math.exp(0.01 * rng.normal())])
    return snapshot(grid, close, close, rng.normal(size=(1, FEATURES)), np.array([0.01]))


def teach(colony: Colony, name: str, ahead: float) -> None:
    """Give a learner a record that beats the class frequencies by `ahead` nats."""
    numbers = colony.rows.numbers[colony.row_of(name)]
    numbers[k.WEIGHT], numbers[[k.SEEN, k.SEEN_FLAT, k.SEEN_UP]] = OUTCOMES, (50.0, 0.0, 50.0)
    numbers[k.BASE_LOSS] = OUTCOMES * 0.7
    numbers[k.LOSS] = OUTCOMES * (math.log(2.0) - ahead)


def weight(colony: Colony, name: str) -> float:
    return float(colony.rows.weights[colony.row_of(name), k.UP, 0])


def force(colony: Colony, tree: Settings, edges: list[tuple[str, str]], among: str) -> Shared:
    return share_now(colony, links_of(colony, edges), tree.sharing, tree.haven, among)


def test_a_mean_over_all_orders_of_half_and_half() -> None:
    tree = tree_of()
    colony = colony_of("abcd", tree)
    shared = force(colony, tree, [("a", "b"), ("c", "a")], "a")
    # One after the other: b then c gives ((1 + 2)/2 + 3)/2 = 2.25, c then b ((1 + 3)/2 + 2)/2 = 2; the mean is 2.125.
    assert weight(colony, "a") == pytest.approx(2.125, rel=1e-15)
    assert [weight(colony, name) for name in "bcd"] == [2.0, 3.0, 4.0]
    assert shared.taken() == [("a", "b"), ("a", "c")]
    assert shared.parents() == {}
    assert colony.parent_of("a") is None
    assert [float(colony.rows.numbers[colony.row_of(name), k.GAVE]) for name in "abcd"] == [0.0, 1.0, 1.0, 0.0]


def test_all_read_what_was_before_the_round() -> None:
    tree = tree_of()
    colony = colony_of("ab", tree)
    force(colony, tree, [("a", "b")], "ab")
    assert weight(colony, "a") == weight(colony, "b") == 1.5


def test_only_features_that_both_see_and_never_the_bias() -> None:
    tree = tree_of()
    colony = colony_of("ab", tree)
    row, other = colony.row_of("a"), colony.row_of("b")
    colony.rows.mask[other, :3], colony.rows.counts[other, k.FEATURES] = (0, 1, 4), 3
    colony.rows.weights[other][:, 2:4] = 0.0
    colony.rows.numbers[[row, other], k.BIAS] = 0.25, 0.5
    force(colony, tree, [("a", "b")], "ab")
    assert colony.rows.weights[row, k.UP].tolist() == [1.5, 1.5, 1.0, 1.0, 1.5]
    assert colony.rows.weights[other, k.DOWN].tolist() == [1.5, 1.5, 0.0, 0.0, 1.5]
    assert colony.rows.numbers[[row, other], k.BIAS].tolist() == [0.25, 0.5]


@pytest.mark.parametrize(("ahead", "taken"), [(-0.019, True), (-0.021, False), (0.5, True)])
def test_a_neighbour_may_be_worse_by_the_margin(ahead: float, taken: bool) -> None:
    tree = tree_of()
    colony = colony_of("ab", tree)
    teach(colony, "b", ahead)
    shared = force(colony, tree, [("a", "b")], "a")
    assert shared.taken() == ([("a", "b")] if taken else [])
    assert weight(colony, "a") == (1.5 if taken else 1.0)


def test_how_hard_a_pair_is_makes_nobody_worse() -> None:
    tree = tree_of()
    colony = colony_of("ab", tree)
    numbers = colony.rows.numbers[colony.row_of("b")]
    numbers[[k.SEEN, k.SEEN_FLAT, k.SEEN_UP]] = 30.0, 40.0, 30.0
    numbers[k.LOSS] = OUTCOMES * (0.6 * math.log(1 / 0.3) + 0.4 * math.log(1 / 0.4) - 0.01)
    assert standing(colony, 50.0)[:2] == pytest.approx([0.0, 0.01], abs=1e-12)
    assert skill(colony, 50.0)[0] == pytest.approx(0.7 - math.log(2.0), rel=1e-12)
    assert force(colony, tree, [("a", "b")], "a").parents() == {"a": "b"}


def test_who_is_not_worth_listening_to() -> None:
    tree = tree_of()
    colony = colony_of("abcd", tree)
    colony.rows.numbers[colony.row_of("b"), k.WEIGHT] = tree.sharing.min_outcomes - 1
    colony.rows.counts[colony.row_of("c"), k.FAULTY] = 1
    colony.rows.weights[colony.row_of("d"), k.FLAT, 1] = math.inf
    assert force(colony, tree, [("a", "b"), ("a", "c"), ("a", "d")], "abcd").taken() == [("b", "a")]
    assert weight(colony, "a") == 1.0


def test_lineage_follows_the_best_of_those_that_are_better() -> None:
    tree = tree_of()
    colony = colony_of("abcd", tree)
    for name, ahead in zip("abcd", (0.0, 0.1, 0.1, 0.05), strict=True):
        teach(colony, name, ahead)
    colony.rows.counts[colony.row_of("b"), k.GENERATION] = 4
    shared = force(colony, tree, [("a", "d"), ("c", "a"), ("a", "b"), ("d", "b")], "abcd")
    assert shared.parents() == {"a": "b", "d": "b"}
    assert (colony.parent_of("a"), colony.parent_of("d"), colony.parent_of("b")) == ("b", "b", None)
    assert [colony.view(colony.row_of(name))["generation"] for name in "abcd"] == [5, 4, 0, 5]


def test_mutation_is_a_share_of_the_weights_and_ones_own() -> None:
    tree = tree_of(sharing__mutation_ratio=0.02)
    found = []
    for names in ("ab", "abxyz"):
        colony = colony_of(names, tree)
        for name in "ab":
            colony.rows.weights[colony.row_of(name)] = 2.0
        force(colony, tree, [("a", "b")], names)
        found.append(colony.rows.weights[[colony.row_of(name) for name in "ab"]].copy())
    assert found[0].tobytes() == found[1].tobytes()
    noise = found[0] - 2.0
    assert np.abs(noise).max() <= 2.0 * 0.02 * math.sqrt(3.0)
    assert noise.std() == pytest.approx(0.04, rel=0.35)
    assert not np.array_equal(found[0][0], found[0][1])


def test_uniform_numbers_are_uniform() -> None:
    tree = tree_of(haven__toxic_weight=1.0)
    colony = colony_of("abcdefgh", tree)
    mark_toxic(colony, 1.0)
    drawn = []
    for _ in range(100):
        force(colony, tree, [], "abcdefgh")
        drawn.append(colony.rows.weights[:8].copy())
    values = np.array(drawn).ravel()
    assert values.std() == pytest.approx(1.0, abs=0.02)
    assert values.mean() == pytest.approx(0.0, abs=0.03)
    assert np.unique(values).size == values.size


def test_toxic_learners_take_from_nobody_and_are_chosen_by_name() -> None:
    tree = tree_of(haven__toxic_weight=0.3)
    colony = colony_of("ab", tree)
    mark_toxic(colony, 0.0)
    colony.rows.counts[colony.row_of("a"), k.TOXIC] = 1
    shared = force(colony, tree, [("a", "b")], "ab")
    assert shared.taken() == [("b", "a")]
    assert weight(colony, "b") == 1.5
    assert 0 < abs(weight(colony, "a")) < 0.3 * math.sqrt(3.0)
    names = [f"learner-{number}" for number in range(300)]
    few, many = (Colony(tree.learners, tree.costs, FEATURES, 1, 5) for _ in range(2))
    for name in names:
        many.born(name, 0, 6)
    for name in names[::2]:
        few.born(name, 0, 6)
    chosen = mark_toxic(many, 0.1)
    assert 15 <= len(chosen) <= 45
    assert set(mark_toxic(few, 0.1)) == set(chosen) & set(names[::2])


def test_rounds_begin_on_the_grid_and_a_gap_makes_one_round() -> None:
    tree = tree_of()
    colony = colony_of("ab", tree)
    links = links_of(colony, [("a", "b")])
    shared = [share_when_due(colony, links, tree.sharing, tree.haven) is not None]
    for grid in (1, 11, 12, 13, 40, 41, 48):
        colony.step(slice_at(grid))
        shared.append(share_when_due(colony, links, tree.sharing, tree.haven) is not None)
    assert shared == [True, False, False, True, False, True, False, True]


def test_a_faulty_learner_does_not_hold_up_the_rounds() -> None:
    tree = tree_of()
    colony = colony_of("abc", tree)
    colony.rows.counts[colony.row_of("c"), k.FAULTY] = 1
    links = links_of(colony, [("a", "b"), ("c", "a")])
    assert share_when_due(colony, links, tree.sharing, tree.haven) is not None
    assert share_when_due(colony, links, tree.sharing, tree.haven) is None
    # "c" looked as well and took nothing, so half of those that looked at "a" took from it.
    assert colony.rows.numbers[colony.row_of("a"), k.GAVE] == 0.5
    share_now(colony, links, tree.sharing, tree.haven, ["a"])
    assert colony.rows.numbers[colony.row_of("a"), k.GAVE] == 0.5


def test_links_hold_both_ways_and_belong_to_a_population() -> None:
    tree = tree_of()
    colony = colony_of("dcba", tree)
    links = links_of(colony, [("a", "c"), ("c", "a"), ("a", "a"), ("b", "a"), ("a", "dead")])
    rows = {name: colony.row_of(name) for name in "abcd"}
    around = {
        name: [links.names[row] for row in links.to[links.start[rows[name]] : links.start[rows[name] + 1]]]
        for name in "abcd"
    }
    assert around == {"a": ["b", "c"], "b": ["a"], "c": ["a"], "d": []}
    colony.born("e", 0, 6)
    with pytest.raises(InvariantError, match="present population"):
        share_now(colony, links, tree.sharing, tree.haven, ["a"])
    with pytest.raises(NotFound, match="'x'"):
        share_now(colony, links_of(colony, []), tree.sharing, tree.haven, ["x"])


def grown(order: list[str], tree: Settings, bars: int, extra: bool = False) -> Colony:
    colony = Colony(tree.learners, tree.costs, FEATURES, 1, 3)
    for name in order:
        colony.born(name, 0, 3)
    edges = [(order_free, other) for order_free in sorted(order) for other in sorted(order) if order_free < other]
    if extra:
        colony.born("stranger", 0, 3)
    walk(colony, tree, edges, range(bars))
    return colony


def walk(colony: Colony, tree: Settings, edges: list[tuple[str, str]], grids: range) -> None:
    links = links_of(colony, edges)
    for grid in grids:
        colony.step(slice_at(grid))
        share_when_due(colony, links, tree.sharing, tree.haven)


def weights_by_name(colony: Colony, names: list[str]) -> FloatArray:
    return colony.rows.weights[[colony.row_of(name) for name in names]]


def test_neither_order_of_births_nor_strangers_move_a_bit() -> None:
    tree = settings(sharing__min_outcomes=5.0)
    names = [f"learner-{number}" for number in range(7)]
    first = grown(names, tree, 150)
    assert np.abs(weights_by_name(first, names)).max() > 0.0
    assert any(first.parent_of(name) for name in names)
    for other in (grown(names[::-1], tree, 150), grown(names, tree, 150, extra=True)):
        assert weights_by_name(first, names).tobytes() == weights_by_name(other, names).tobytes()
        assert [first.parent_of(name) for name in names] == [other.parent_of(name) for name in names]


def test_a_restart_shares_on_bit_for_bit() -> None:
    tree = settings(sharing__min_outcomes=5.0)
    names = [f"learner-{number}" for number in range(7)]
    edges = [(one, other) for one in names for other in names if one < other]
    straight = grown(names, tree, 100)
    resumed = Colony(tree.learners, tree.costs, FEATURES, 1, 3)
    resumed.restore(straight.state())
    for colony in (straight, resumed):
        walk(colony, tree, edges, range(100, 200))
    end, same = straight.state(), resumed.state()
    assert (end.names, end.parents) == (same.names, same.parents)
    assert all(end.arrays[name].tobytes() == same.arrays[name].tobytes() for name in end.arrays)
