"""What a learner keeps of a strong opinion until its outcome is known, so that memory can hold both together.

The steps of one row, inlined into the loop over all of them.
"""

from __future__ import annotations

from ..core.types import FloatArray
from .colony_layout import (
    EMPTY,
    ENTRY,
    FEATURES,
    HORIZON,
    PATTERN_AT,
    PATTERN_MOVE,
    PATTERN_SAID,
    PATTERN_SCORE,
    SETTLED,
    SIGHTED,
    SIGHTED_AT,
    SIGHTED_SAID,
    SIGHTED_SCORE,
    Rows,
    inlined,
)


@inlined
def settle_pattern(rows: Rows, row: int, seen: bool, move: float, grid: int) -> None:
    """A pattern whose outcome came becomes the learner's newest pattern; one whose outcome was missed is lost."""
    numbers, counts, pattern = rows.numbers, rows.counts, rows.pattern
    if counts[row, SIGHTED_AT] != EMPTY and counts[row, SIGHTED_AT] + counts[row, HORIZON] <= grid:
        if counts[row, SIGHTED_AT] + counts[row, HORIZON] < grid:
            counts[row, SIGHTED_AT] = EMPTY
        elif seen:
            counts[row, PATTERN_AT] = counts[row, SIGHTED_AT]
            numbers[row, PATTERN_SCORE] = numbers[row, SIGHTED_SCORE]
            numbers[row, PATTERN_SAID] = numbers[row, SIGHTED_SAID]
            numbers[row, PATTERN_MOVE] = move
            for index in range(pattern.shape[2]):
                pattern[row, SETTLED, index] = pattern[row, SIGHTED, index]
            counts[row, SIGHTED_AT] = EMPTY


@inlined
def sight_pattern(rows: Rows, row: int, conviction: float, score: float, features: FloatArray, grid: int) -> None:
    """Keep what is seen with a strong score, unless the outcome of an earlier sighting is still awaited."""
    numbers, counts, mask, pattern = rows.numbers, rows.counts, rows.mask, rows.pattern
    if score >= numbers[row, ENTRY] and counts[row, SIGHTED_AT] == EMPTY:  # the first is False while NaN
        counts[row, SIGHTED_AT] = grid
        numbers[row, SIGHTED_SCORE], numbers[row, SIGHTED_SAID] = score, conviction
        for place in range(counts[row, FEATURES]):
            index = mask[row, place]
            pattern[row, SIGHTED, index] = features[index]
