"""Planted worlds: sharing finds an edge better than isolation does, believes no noise, relearns, and bears poison.

Sizes, lags and seeds are fixed in `worlds.py`. The ordinary run takes a sample of the worlds; `-m long` takes all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents.colony import Colony
from src.agents.colony_sharing import links_of, mark_toxic, share_when_due
from src.core.config import Settings
from src.core.types import FloatArray, Snapshot
from tests.agents import worlds as w
from tests.worlds import settings

LEARNERS = w.PAIRS * w.PER_PAIR
ROUND_TRIP = 0.0072
MOST_BELIEVED = 0.0005
"""Share of pair-bars on noise at which the swarm may promise more than the cost; a strong edge gives 200 times as many.
"""
STRONG = 0.2
MOST_LOST_TO_POISON = 0.02
"""Rank correlation that a toxic tenth may cost."""


class Heard(NamedTuple):
    """What was said: `conviction` (bars, PAIRS, PER_PAIR), toxic learners NaN; `paying`, the share of pair-bars from
    JUDGED_FROM on at which there was an idea whose edge exceeds the cost.
    """

    conviction: FloatArray
    paying: float


def name_of(pair: int, number: int) -> str:
    return f"learner-{pair:02}-{number:02}"


def edges() -> list[tuple[str, str]]:
    """Each learner to the next of its horizon in a ring on which pairs take turns: half of its neighbours."""
    found = []
    for horizon in range(len(w.HORIZONS)):
        numbers = range(horizon, w.PER_PAIR, len(w.HORIZONS))
        ring = [(pair, number) for number in numbers for pair in range(w.PAIRS)]
        for place, (pair, number) in enumerate(ring):
            rest = ring[place + 1 :] + ring[:place]
            inside = [one for one in rest if one[0] == pair][: w.INSIDE // 2]
            across = [one for one in rest if one[0] != pair][: w.ACROSS // 2]
            found += [(name_of(pair, number), name_of(*other)) for other in inside + across]
    return found


def colony_of(tree: Settings, seed: int) -> Colony:
    colony = Colony(tree.learners, tree.costs, w.FEATURES, w.PAIRS, seed)
    for pair in range(w.PAIRS):
        for number in range(w.PER_PAIR):
            colony.born(name_of(pair, number), pair, w.HORIZONS[number % len(w.HORIZONS)])
    return colony


def hear(slices: list[Snapshot], seed: int, sharing: bool, toxic_ratio: float = 0.0, ideas: bool = False) -> Heard:
    tree = settings()
    colony = colony_of(tree, seed)
    links = links_of(colony, edges())
    mark_toxic(colony, toxic_ratio)
    conviction, paying = np.empty((len(slices), LEARNERS)), 0
    for index, each in enumerate(slices):
        step = colony.step(each)
        conviction[index] = step.conviction[:LEARNERS]
        if ideas and index >= w.JUDGED_FROM:
            paying += sum(abs(idea.edge) > ROUND_TRIP for idea in colony.ideas(step, each))
        if sharing:
            share_when_due(colony, links, tree.sharing, tree.haven)
    toxic = colony.rows.counts[:LEARNERS, k.TOXIC] == 1
    conviction[:, toxic] = np.nan
    pair_bars = w.PAIRS * (len(slices) - w.JUDGED_FROM)
    return Heard(conviction.reshape(len(slices), w.PAIRS, w.PER_PAIR), paying / pair_bars)


def skill(slices: list[Snapshot], heard: Heard, start: int) -> float:
    """Rank correlation of the pair's mean prediction with its next LAG bars' move, from bar `start` on."""
    return w.rank_correlation(np.nanmean(heard.conviction[start:], axis=2), w.moves_ahead(slices)[start:])


def alone_and_together(seeds: tuple[int, ...], bars: int, start: int, flip: int = 0, toxic: float = 0.0) -> FloatArray:
    """Skill of the isolated, of the sharing and, with `toxic`, of the poisoned swarm in each world; one row a world."""
    found = []
    for seed in seeds:
        slices = w.world(seed, bars, flip=flip)
        swarms = [hear(slices, seed, sharing=False), hear(slices, seed, sharing=True)]
        if toxic:
            swarms.append(hear(slices, seed, sharing=True, toxic_ratio=toxic))
        found.append([skill(slices, heard, start) for heard in swarms])
    return np.array(found)


def believed(seeds: tuple[int, ...], strength: float = 0.0) -> float:
    """Share of pair-bars from JUDGED_FROM on at which the sharing swarm's idea promises more than the cost."""
    worlds = [(w.world(seed, strength=strength), seed) for seed in seeds]
    return float(np.mean([hear(slices, seed, sharing=True, ideas=True).paying for slices, seed in worlds]))


def told(title: str, skills: FloatArray) -> str:
    return f"{title}: mean {np.round(skills.mean(axis=0), 4)}, worlds {np.round(skills, 3).tolist()}"


def test_a_sample_of_the_planted_worlds() -> None:
    skills = alone_and_together(w.SAMPLE_SEEDS[:3], w.BARS, w.JUDGED_FROM)
    alone, together = skills.T
    assert together.mean() > 0.05, told("sharing", skills)
    assert np.mean(together - alone) > 0.01, told("gain", skills)


def test_a_sample_of_poison() -> None:
    skills = alone_and_together(w.SAMPLE_SEEDS[3:], w.BARS, w.JUDGED_FROM, toxic=w.TOXIC_RATIO)
    assert np.mean(skills[:, 1] - skills[:, 2]) < MOST_LOST_TO_POISON, told("poison", skills)


def test_a_sample_of_noise() -> None:
    assert believed(w.SAMPLE_SEEDS[:1]) <= MOST_BELIEVED
    assert believed(w.SAMPLE_SEEDS[:1], STRONG) > 100 * MOST_BELIEVED


def test_a_sample_of_a_flip() -> None:
    seed = w.SAMPLE_SEEDS[0]
    slices = w.world(seed, w.FLIP_BARS, flip=w.FLIP_AT)
    assert skill(slices, hear(slices, seed, sharing=True), w.FLIP_JUDGED_FROM) > 0.0


@pytest.mark.long
def test_sharing_beats_isolation_in_twenty_worlds() -> None:
    skills = alone_and_together(w.TEST_SEEDS, w.BARS, w.JUDGED_FROM)
    gain, half = w.mean_and_half_width(skills[:, 1] - skills[:, 0])
    assert gain - half > 0.0, told(f"gain {gain:.4f} +- {half:.4f}", skills)
    found, width = w.mean_and_half_width(skills[:, 1])
    assert found - width > 0.0, told("sharing", skills)


@pytest.mark.long
def test_noise_is_not_believed_in_twenty_worlds() -> None:
    assert believed(w.TEST_SEEDS) <= MOST_BELIEVED


@pytest.mark.long
def test_a_flip_is_relearnt_in_twenty_worlds() -> None:
    skills = alone_and_together(w.TEST_SEEDS, w.FLIP_BARS, w.FLIP_JUDGED_FROM, w.FLIP_AT)
    found, half = w.mean_and_half_width(skills[:, 1])
    assert found - half > 0.0, told("after the flip", skills)
    gain, width = w.mean_and_half_width(skills[:, 1] - skills[:, 0])
    assert gain - width > 0.0, told("gain after the flip", skills)


@pytest.mark.long
def test_a_toxic_tenth_costs_a_bounded_loss_in_twenty_worlds() -> None:
    skills = alone_and_together(w.TEST_SEEDS, w.BARS, w.JUDGED_FROM, toxic=w.TOXIC_RATIO)
    lost, half = w.mean_and_half_width(skills[:, 1] - skills[:, 2])
    assert lost + half < MOST_LOST_TO_POISON, told(f"lost {lost:.4f} +- {half:.4f}", skills)
    gain, width = w.mean_and_half_width(skills[:, 2] - skills[:, 0])
    assert gain - width > 0.0, told("poisoned against isolated", skills)
