"""Makes of a source one that says the same things at the wrong time, so that nothing it says can help."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import numpy as np

from ...core.randomness import generator_for
from ...core.timeframes import DAY_MS
from ...core.types import IntArray, Observation

WEEK_MS = 7 * DAY_MS
MARK = "placebo:"
"""Begins the id of every observation that was moved."""


def shuffled(
    observations: Sequence[Observation], moats: Collection[str], seed: int, until: int | None = None
) -> tuple[Observation, ...]:  # fmt: skip
    """The observations with those of `moats` moved by whole weeks, each week to the place of another.

    Hour of day, day of week, neighbours within a week, number and values stay; only when they were said does not; of
    what was announced long before, as dates of a calendar are, when it takes place does not. All of these moats are
    moved by one cyclic permutation of the weeks from the first to the last such time, not after `until` (UTC ms, None:
    no limit), so that no week stays where it was (Sattolo's algorithm); what lies beyond the last whole week does. The
    order is that of the given ones. Unchanged where there are fewer than two weeks.
    """
    times = [_when(seen) for seen in observations if seen.moat in moats]
    times = [at for at in times if until is None or at <= until]
    weeks = (max(times) + 1 - min(times)) // WEEK_MS if times else 0
    if weeks < 2:
        return tuple(observations)
    moved, first = _moves(weeks, seed), min(times)
    return tuple(_placed(seen, first, moved) if seen.moat in moats else seen for seen in observations)


def _when(seen: Observation) -> int:
    """When it mattered first: as soon as it was known, or when what was known before took place."""
    return max(seen.at, seen.known_at)


def _moves(weeks: int, seed: int) -> IntArray:
    """By how many weeks each week is moved."""
    random, order = generator_for(seed, "placebo:weeks"), np.arange(weeks)
    for place in range(weeks - 1, 0, -1):
        other = int(random.integers(0, place))
        order[[place, other]] = order[[other, place]]
    return order - np.arange(weeks)


def _placed(seen: Observation, first: int, moves: IntArray) -> Observation:
    week = (_when(seen) - first) // WEEK_MS
    if week >= len(moves):
        return seen
    at = seen.at + int(moves[week]) * WEEK_MS
    known_at = min(seen.known_at, at) if seen.known_at < seen.at else seen.known_at + at - seen.at
    return msgspec.structs.replace(seen, id=f"{MARK}{seen.id}", at=at, known_at=known_at)
