"""What a learner keeps of a strong opinion until its outcome is known, so that memory can hold both together."""

from __future__ import annotations

from .colony_layout import (
    EMPTY,
    ENTRY,
    FEATURES,
    HORIZON,
    NOWHERE,
    PAIR,
    PATTERN_AT,
    PATTERN_MOVE,
    PATTERN_SAID,
    PATTERN_SCORE,
    SETTLED,
    SIGHTED,
    SIGHTED_AT,
    SIGHTED_SAID,
    SIGHTED_SCORE,
    Out,
    Past,
    Rows,
    Work,
    compiled,
)


@compiled
def settle_patterns(rows: Rows, work: Work, grid: int) -> None:
    """A pattern whose outcome came becomes the learner's newest pattern; one whose outcome was missed is lost."""
    numbers, counts, pattern = rows.numbers, rows.counts, rows.pattern
    for row in range(counts.shape[0]):
        due = counts[row, SIGHTED_AT] + counts[row, HORIZON]
        if counts[row, SIGHTED_AT] == EMPTY or due > grid:
            continue
        if due == grid and work.slot[row] != NOWHERE:
            counts[row, PATTERN_AT] = counts[row, SIGHTED_AT]
            numbers[row, PATTERN_SCORE] = numbers[row, SIGHTED_SCORE]
            numbers[row, PATTERN_SAID] = numbers[row, SIGHTED_SAID]
            numbers[row, PATTERN_MOVE] = work.moved[work.slot[row], counts[row, PAIR]]
            for index in range(pattern.shape[2]):
                pattern[row, SETTLED, index] = pattern[row, SIGHTED, index]
            counts[row, SIGHTED_AT] = EMPTY
        elif due < grid:
            counts[row, SIGHTED_AT] = EMPTY


@compiled
def sight_patterns(rows: Rows, past: Past, work: Work, grid: int, out: Out) -> None:
    """Keep what is seen with a strong score, unless the outcome of an earlier sighting is still awaited."""
    numbers, counts, pattern = rows.numbers, rows.counts, rows.pattern
    for row in range(counts.shape[0]):
        strong = out.score[row] >= numbers[row, ENTRY]  # False while NaN
        if not strong or counts[row, SIGHTED_AT] != EMPTY:
            continue
        counts[row, SIGHTED_AT] = grid
        numbers[row, SIGHTED_SCORE], numbers[row, SIGHTED_SAID] = out.score[row], out.conviction[row]
        for place in range(counts[row, FEATURES]):
            index = rows.mask[row, place]
            pattern[row, SIGHTED, index] = past.features[work.slot[row], counts[row, PAIR], index]
