"""Noise is not believed: what of it passes the cost, in calm and in wild worlds, and what an edge needs to pass.

How much proof an edge needs (`learners.calibration_min_t2`) was chosen on NOISE_TUNING_SEEDS, 1 to 200, and is judged
on FRESH_SEEDS, 2001 to 2020. In this order: a limit of 0.02 % of pair-bars had been written down and was missed with
0.0203 % on TEST_SEEDS; the fresh seeds were written down; 4, 6 and 9 were walked through the tuning seeds, and 6 is the
smallest that brings learner-bars over the cost down to the 0.001 % that the design asks for; the fresh worlds were
walked once, under the limits of before. The figures are in docs/evidence/learning.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from src.core.types import FloatArray
from tests.agents import swarms as sw
from tests.agents import worlds as w
from tests.agents.test_sharing_worlds import Record

MOST_BELIEVED = 0.0002
"""Share of learner-bars, and of pair-bars with an idea, at which noise may promise more than the cost."""
STRONG = 0.2


def believed(
    seeds: tuple[int, ...], sharing: bool = True, strength: float = 0.0, spread: float = w.VOLATILITY_SPREAD
) -> FloatArray:
    """Shares over the cost, one row a world: of learner-bars, of pair-bars with three, of pair-bars with an idea."""
    found = []
    for seed in seeds:
        heard = sw.hear(w.world(seed, strength=strength, spread=spread), seed, sharing, ideas=True)
        found.append([heard.learners, heard.threes, heard.ideas])
    return np.array(found)


def note(record: Record, name: str, shares: FloatArray) -> None:
    text = ", ".join(f"{100 * share:.5f} %" for share in shares.mean(axis=0))
    worlds = int(np.count_nonzero(shares[:, 2]))
    record(name, f"learner-bars, three of a pair, ideas: {text}; an idea in {worlds} of {len(shares)} worlds")


def test_a_sample_of_noise() -> None:
    learners, threes, ideas = believed(w.SAMPLE_SEEDS[:1])[0]
    assert max(learners, ideas) <= MOST_BELIEVED
    assert threes == 0.0
    assert believed(w.SAMPLE_SEEDS[:1], strength=STRONG)[0, 2] > 100 * MOST_BELIEVED


def test_a_sample_of_wild_noise() -> None:
    """Where volatility changes wildly, wild days must not pass for proof: calibrated in log
    returns, the learners of twenty such tuning worlds believed 0.1 %.
    """
    learners, threes, ideas = believed(w.TUNING_SEEDS[:2], spread=w.WILD_SPREAD).mean(axis=0)
    assert max(learners, ideas) <= MOST_BELIEVED
    assert threes == 0.0


@pytest.mark.long
def test_noise_is_not_believed_in_twenty_fresh_worlds(record_property: Record) -> None:
    shares = believed(w.FRESH_SEEDS)
    note(record_property, "fresh noise, sharing", shares)
    note(record_property, "fresh noise, isolated", believed(w.FRESH_SEEDS, sharing=False))
    learners, threes, ideas = shares.mean(axis=0)
    assert learners <= MOST_BELIEVED, shares.tolist()
    assert threes == 0.0, shares.tolist()
    assert ideas <= MOST_BELIEVED, shares.tolist()


@pytest.mark.long
def test_wild_noise_is_not_believed_in_twenty_fresh_worlds(record_property: Record) -> None:
    shares = believed(w.FRESH_SEEDS, spread=w.WILD_SPREAD)
    note(record_property, "fresh wild noise, sharing", shares)
    assert shares.mean(axis=0).max() <= MOST_BELIEVED, shares.tolist()


@pytest.mark.long
def test_noise_in_the_worlds_that_had_been_seen(record_property: Record) -> None:
    """Those in which the limit had been missed: shown, and held to the same limit."""
    shares = believed(w.TEST_SEEDS)
    note(record_property, "noise seen before, sharing", shares)
    assert shares[:, [0, 2]].mean(axis=0).max() <= MOST_BELIEVED, shares.tolist()
