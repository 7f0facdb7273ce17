"""What the learners of an idea have to show for themselves, read from the arrays when the idea is published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..core.types import FloatArray, IntArray
from . import colony_layout as k
from .colony import Colony, SwarmIdea
from .homes import HOMES


class TrackRecord(NamedTuple):
    """Of some learners, as `MycelialIdea` describes its fields of the same names."""

    interestingness: float
    simulated_pnl: float
    total_pnl: float
    win_rate: float
    trade_count: int
    agent_generation: int
    product_focus: str


def track_records(colony: Colony, ideas: Sequence[SwarmIdea], interests: FloatArray) -> list[TrackRecord]:
    """Of the supporters of each idea, all of them living; NotFound where one of them is not.

    `interests` (capacity,): how interesting the learner of each row is. All ideas in one call: what an idea costs here
    is mostly the call.
    """
    rows, places = colony.rows, colony.rows_behind(ideas)
    sizes = np.array([len(idea.learners) for idea in ideas], np.int64)
    marks, facts = _summed(rows.numbers, rows.counts, interests, places, sizes, len(HOMES))
    return [
        TrackRecord(interest, recent, total, won, trades, generation, HOMES[moat])
        for (interest, recent, total, won), (trades, generation, moat) in zip(
            marks.tolist(), facts.tolist(), strict=True
        )
    ]


@k.compiled
def _summed(
    numbers: FloatArray, counts: IntArray, interest: FloatArray, places: IntArray, sizes: IntArray, moats: int
) -> tuple[FloatArray, IntArray]:
    """Of each group: means of interest and of both profits, and the share of trades won, (groups, 4); (groups, 3):
    trades, the highest generation, and the moat with the most, the first among equals.
    """
    marks, facts = np.empty((sizes.size, 4)), np.empty((sizes.size, 3), np.int64)
    begin = 0
    for group in range(sizes.size):
        own = places[begin : begin + sizes[group]]
        recent, total, wins, trades, generation = 0.0, 0.0, 0, 0, 0
        living = np.zeros(moats, np.int64)
        for place in own:
            recent += numbers[place, k.BOOK_RECENT]
            total += numbers[place, k.BOOK_TOTAL]
            wins += counts[place, k.WINS]
            trades += counts[place, k.TRADES]
            generation = max(generation, counts[place, k.GENERATION])
            living[counts[place, k.MOAT]] += 1
        marks[group, 0], marks[group, 1] = _sum(interest, own) / own.size, recent / own.size
        marks[group, 2], marks[group, 3] = total / own.size, wins / trades if trades else 0.0
        facts[group, 0], facts[group, 1], facts[group, 2] = trades, generation, living.argmax()
        begin += own.size
    return marks, facts


@k.compiled
def _sum(values: FloatArray, places: IntArray) -> float:
    """Neumaier's compensated sum of `values[places]`, bit for bit what Python's `sum` makes of them."""
    total, lost = 0.0, 0.0
    for place in places:
        value = values[place]
        raised = total + value
        lost += (total - raised) + value if abs(total) >= abs(value) else (value - raised) + total
        total = raised
    return total + lost if lost != 0.0 and math.isfinite(lost) else total
