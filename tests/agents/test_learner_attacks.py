"""Attacks on the learners: leaks from the future, other units, holes, frozen and broken prices, other orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents.colony import Colony, SwarmIdea
from src.agents.colony_sharing import links_of, share_when_due
from src.core.types import FloatArray, Snapshot
from tests.agents import swarms as sw
from tests.agents import worlds as w
from tests.agents.test_sharing_worlds import Record, note
from tests.worlds import settings

SEED = w.TUNING_SEEDS[0]
STRONG = 0.2
VICTIM = 4
"""The pair that is attacked."""


class Walked(NamedTuple):
    """`said` (bars, PAIRS, PER_PAIR, 3): conviction, score, edge; the ideas of each bar; the colony at the end."""

    said: FloatArray
    ideas: list[list[SwarmIdea]]
    colony: Colony


def walk(slices: list[Snapshot], places: Sequence[int] = tuple(range(w.PAIRS))) -> Walked:
    """The sharing swarm, everything that it says kept."""
    tree = settings()
    colony = sw.colony_of(tree, SEED, places=places)
    links, said, ideas = links_of(colony, sw.edges()), [], []
    for each in slices:
        step = colony.step(each)
        said.append(np.stack([step.conviction, step.score, step.edge], axis=-1)[: sw.LEARNERS])
        ideas.append(colony.ideas(step, each))
        share_when_due(colony, links, tree.sharing, tree.haven)
    return Walked(np.array(said).reshape(len(slices), w.PAIRS, w.PER_PAIR, 3), ideas, colony)


def same(one: FloatArray, other: FloatArray) -> bool:
    return one.tobytes() == np.ascontiguousarray(other).tobytes()


def with_closes(slices: list[Snapshot], close: FloatArray) -> list[Snapshot]:
    """The same world with other prices, (bars, PAIRS), and what can be known of their volatility."""
    moves = np.diff(np.log(close), axis=0, prepend=np.log(close[:1]))
    known = w.estimated(moves)
    rows = zip(slices, close, np.concatenate((close[:1], close[:-1])), known, strict=True)
    return [w.snapshot(each.grid, now, before, each.features, sigma) for each, now, before, sigma in rows]


def closes(slices: list[Snapshot]) -> FloatArray:
    return np.array([each.close for each in slices])


# The future


def test_bars_that_come_later_change_nothing_said_before() -> None:
    slices = w.world(SEED, 700, strength=STRONG)
    features, close = sw.features_of(slices)[::-1].copy(), closes(slices)[::-1].copy() * 3.0
    changed = slices[:400] + with_closes(sw.with_features(slices, features), close)[400:]
    one, other = walk(slices), walk(changed)
    assert same(one.said[:400], other.said[:400])
    assert one.ideas[:400] == other.ideas[:400]
    assert not same(one.said[400:], other.said[400:])


def planted_feature(slices: list[Snapshot], ahead: int) -> list[Snapshot]:
    """Feature 0 shows the move of one bar, `ahead` bars from now (1: the next one), in standard deviations."""
    features, moves = sw.features_of(slices), np.diff(np.log(closes(slices)), axis=0, prepend=0.0)
    moves[0] = 0.0
    features[:, :, 0] = np.roll(moves, -ahead, axis=0) / moves.std()
    return sw.with_features(slices, features)


def test_the_move_of_the_bar_itself_is_worth_nothing_and_that_of_the_next_bar_everything() -> None:
    """Outcomes begin after the bar that was seen; one that took in that bar would make its own move an oracle."""
    slices = w.world(SEED, 1200, strength=0.0)
    own, leak = (planted_feature(slices, ahead) for ahead in (0, 1))
    assert abs(sw.skill(own, sw.hear(own, SEED).mean, 600)) < 0.1
    assert sw.skill(leak, sw.hear(leak, SEED).mean, 600) > 0.2
    assert sw.hear(own, SEED, ideas=True).ideas <= 0.0002


# A twin with shuffled labels


def twin(slices: list[Snapshot]) -> list[Snapshot]:
    """The same features and the same prices, and no bar has its own: features come half the world later."""
    return sw.with_features(slices, np.roll(sw.features_of(slices), len(slices) // 2, axis=0))


def skills_of_twins(seeds: tuple[int, ...], strength: float) -> FloatArray:
    """Skill in each world and in its twin, one row a world."""
    found = []
    for seed in seeds:
        slices = w.world(seed, strength=strength)
        found.append([sw.skill(each, sw.hear(each, seed).mean) for each in (slices, twin(slices))])
    return np.array(found)


def test_a_sample_of_shuffled_labels() -> None:
    true, shuffled = skills_of_twins(w.SAMPLE_SEEDS[:1], STRONG)[0]
    assert true > 0.2
    assert abs(shuffled) < 0.1


@pytest.mark.long
def test_shuffled_labels_leave_no_skill_in_twenty_worlds(record_property: Record) -> None:
    skills = skills_of_twins(w.TEST_SEEDS, w.STRENGTH)
    shuffled, half = note(record_property, "shuffled twin", skills[:, 1])
    gain, width = note(record_property, "sharing less shuffled twin", skills[:, 0] - skills[:, 1])
    assert shuffled - half <= 0.0 <= shuffled + half, skills.tolist()
    assert gain - width > 0.0, skills.tolist()


# Units and orders


@pytest.mark.parametrize("power", [10, -10])
def test_prices_in_another_unit_change_no_bit(power: int) -> None:
    slices = w.world(SEED, 400, strength=STRONG)
    scaled = [msgspec.structs.replace(each, close=each.close * 2.0**power) for each in slices]
    one, other = walk(slices), walk(scaled)
    assert same(one.said, other.said)
    assert one.ideas == other.ideas
    assert any(one.ideas)


def test_the_order_of_pairs_changes_nothing() -> None:
    slices = w.world(SEED, 400, strength=STRONG)
    order = np.random.default_rng(1).permutation(w.PAIRS)
    moved = []
    for each in slices:
        close, opened = each.close[order], each.bars.open[order] if each.bars else each.close[order]
        moved.append(w.snapshot(each.grid, close, opened, each.features[order], each.volatility[order]))
    assert same(walk(slices).said, walk(moved, np.argsort(order).tolist()).said)


# Holes


def test_a_feature_that_one_pair_lacks_is_missing_there_alone() -> None:
    slices = w.world(SEED, 600, strength=STRONG)
    features = sw.features_of(slices)
    features[:, VICTIM, 7] = np.nan
    walked = walk(sw.with_features(slices, features))
    mask, counts = walked.colony.rows.mask, walked.colony.rows.counts
    spoke = np.isfinite(walked.said[-1, :, :, 0])
    for pair in range(w.PAIRS):
        rows = [walked.colony.row_of(sw.name_of(pair, number)) for number in range(w.PER_PAIR)]
        sees = [7 in mask[row, : counts[row, k.FEATURES]] for row in rows]
        assert spoke[pair].tolist() == [not (pair == VICTIM and one) for one in sees]
    assert 0 < np.count_nonzero(spoke[VICTIM]) < w.PER_PAIR
    assert np.isfinite(walked.colony.rows.weights).all()
    assert not walked.colony.rows.counts[:, k.FAULTY].any()


def test_a_third_of_the_bars_missing_leaves_the_edge_to_be_found() -> None:
    slices = w.world(SEED, strength=STRONG)
    rng = np.random.default_rng(2)
    holed = [msgspec.structs.replace(each, fresh=rng.random(w.PAIRS) < 2 / 3) for each in slices]
    heard = sw.hear(holed, SEED)
    spoke = np.isfinite(heard.conviction[w.VOLATILITY_WARMUP :])
    assert np.mean(spoke) == pytest.approx(2 / 3, abs=0.01)
    assert sw.skill(holed, heard.mean) > 0.5 * sw.skill(slices, sw.hear(slices, SEED).mean) > 0.1


# Prices that stand still, and prices that are wrong


def test_a_market_that_stands_still_has_no_opinion() -> None:
    slices = w.world(SEED, 300)
    walked = walk(with_closes(slices, np.full((300, w.PAIRS), 100.0)))
    assert np.isnan(walked.said[..., 0]).all()
    assert not any(walked.ideas)


def test_a_pair_that_stands_still_for_long_is_believed_nothing_and_learns_again() -> None:
    """Its volatility fades to almost nothing meanwhile, and the first move after it is thousands of them."""
    slices = w.world(SEED, 1800, strength=STRONG)
    moves = np.diff(np.log(closes(slices)), axis=0, prepend=np.log(closes(slices)[:1]))
    moves[600:1000, VICTIM] = 0.0
    walked = walk(with_closes(slices, np.exp(np.cumsum(moves, axis=0))))
    still, after = walked.said[650:1000, VICTIM], walked.said[-300:, VICTIM]
    assert np.abs(still[..., 2]).max() < sw.ROUND_TRIP
    assert np.count_nonzero(after[..., 2]) > 0.2 * after[..., 2].size
    signal = w.signal_of(sw.features_of(slices), SEED)[-300:, VICTIM]
    assert w.rank_correlation(after[..., 0].mean(axis=1), signal) > 0.5


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_one_wrong_price_neither_makes_a_believer_nor_silences_the_pair(factor: float) -> None:
    slices = w.world(SEED, 1800, strength=STRONG)
    close = closes(slices)
    close[1200, VICTIM] *= factor
    # What is known of the volatility stays: the worst case, for a wild one would hide the blow.
    wrong = [msgspec.structs.replace(each, close=now) for each, now in zip(slices, close, strict=True)]
    walked, untouched = walk(wrong), walk(slices)
    after, before = (one.said[1400:, VICTIM, :, 2] for one in (walked, untouched))
    assert np.count_nonzero(after) > 0.7 * np.count_nonzero(before) > 0
    assert np.abs(after).max() < 2.0 * np.abs(before).max()
    strangers = [pair for pair in range(w.PAIRS) if pair != VICTIM]
    assert np.count_nonzero(walked.said[1400:, strangers, :, 2]) > 0.9 * np.count_nonzero(
        untouched.said[1400:, strangers, :, 2]
    )


def test_a_feature_out_of_all_bounds_leaves_every_weight_finite() -> None:
    slices = w.world(SEED, 600, strength=STRONG)
    features = sw.features_of(slices)
    features[300:, VICTIM, 3] = 1e300
    features[350:, VICTIM, 5] = -np.inf
    walked = walk(sw.with_features(slices, features))
    weights = walked.colony.rows.weights
    assert np.isfinite(weights).all()
    assert np.abs(weights).max() < 10.0
    assert not walked.colony.rows.counts[:, k.FAULTY].any()
