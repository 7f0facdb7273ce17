"""What the simulated books of an idea's learners did so far, read from the arrays when the idea is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..core.types import FloatArray, IntArray
from . import colony_layout as k
from .colony import Colony
from .homes import HOMES


class TrackRecord(NamedTuple):
    """Of some learners, as `MycelialIdea` describes its fields of the same names."""

    simulated_pnl: float
    total_pnl: float
    win_rate: float
    trade_count: int
    agent_generation: int
    product_focus: str


def track_record(colony: Colony, learners: Sequence[str]) -> TrackRecord:
    """Of these living learners, at least one; NotFound where one of them is not."""
    rows, places = colony.rows, colony.rows_of(learners)
    recent, total, wins, trades, generation, moat = _summed(rows.numbers, rows.counts, places, len(HOMES))
    size = len(learners)
    return TrackRecord(recent / size, total / size, wins / trades if trades else 0.0, trades, generation, HOMES[moat])


@k.compiled
def _summed(
    numbers: FloatArray, counts: IntArray, places: IntArray, moats: int
) -> tuple[float, float, int, int, int, int]:
    """Sums of both profits, wins and trades; the highest generation; the moat with the most, the first among equals."""
    recent, total, wins, trades, generation = 0.0, 0.0, 0, 0, 0
    living = np.zeros(moats, np.int64)
    for place in places:
        recent += numbers[place, k.BOOK_RECENT]
        total += numbers[place, k.BOOK_TOTAL]
        wins += counts[place, k.WINS]
        trades += counts[place, k.TRADES]
        generation = max(generation, counts[place, k.GENERATION])
        living[counts[place, k.MOAT]] += 1
    return recent, total, wins, trades, generation, int(living.argmax())
