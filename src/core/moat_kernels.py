"""The moats' numbers in compiled loops: samples of the hours, distances from their means, weights by age."""

from __future__ import annotations

import math
from typing import NamedTuple

from .compiled import compiled
from .types import FloatArray, IntArray

NO_DATA, STALE, ERROR, NEUTRAL, OK = range(5)
"""How a cell, a moat or a pair stands."""
NEVER = -(2**62)
ALWAYS = 2**62
"""Known at: of what nobody said, and of what is known at any time."""

# Columns of the sums of a cell that is sampled on every hour; a negative count: it did not begin yet.
COUNT, NEXT, TOTAL, SQUARES = range(4)
SUMS = 4


class Cells(NamedTuple):
    """What values are made of, (cells,): whether its history is long enough, moat, known at, z, weight of its age,
    part of the value, how it stands; 1 in `valued` where it is a part of its moat's value, 0 where it is only known."""

    ripe: IntArray
    moat: IntArray
    valued: IntArray
    known_at: IntArray
    z: FloatArray
    weight: FloatArray
    part: FloatArray
    state: IntArray


@compiled
def sample(ring: IntArray, sums: IntArray, numbers: IntArray) -> None:
    """One more hour: `numbers` (cells,) into the rings (cells, hours) and their sums (cells, SUMS)."""
    for cell in range(ring.shape[0]):
        if sums[cell, COUNT] < 0:
            continue
        place, new = sums[cell, NEXT], numbers[cell]
        old = ring[cell, place]
        ring[cell, place] = new
        sums[cell, TOTAL] += new - old
        sums[cell, SQUARES] += new * new - old * old
        sums[cell, COUNT] = min(sums[cell, COUNT] + 1, ring.shape[1])
        sums[cell, NEXT] = (place + 1) % ring.shape[1]


@compiled
def fill(ring: IntArray, sums: IntArray, numbers: IntArray) -> None:
    """One cell anew: `numbers` (n,) of its hours, at most as many as `ring` (hours,) holds; `sums` (SUMS,)."""
    ring[:] = 0
    sums[:] = 0
    for place in range(numbers.shape[0]):
        ring[place] = numbers[place]
        sums[TOTAL] += numbers[place]
        sums[SQUARES] += numbers[place] * numbers[place]
    sums[COUNT] = numbers.shape[0]
    sums[NEXT] = numbers.shape[0] % ring.shape[0]


@compiled
def score(sums: IntArray, number: int) -> float:
    """(number - mean) / standard deviation (population) of a cell's samples, exact sums; 0 where all are equal."""
    n, total = sums[COUNT], sums[TOTAL]
    spread = n * sums[SQUARES] - total * total
    return (n * number - total) / math.sqrt(spread) if n > 0 and spread > 0 else 0.0


@compiled
def judge(
    sums: IntArray, numbers: IntArray, ripe_hours: int, ripe: IntArray, moat: IntArray, known_at: IntArray,
    z: FloatArray, weight: FloatArray, part: FloatArray, state: IntArray, as_of: IntArray, half_life: FloatArray,
    rules: FloatArray,
) -> None:  # fmt: skip
    """Each cell: z clipped, times 0.5^(age / half-life); stale after so many half-lives, nothing before it is ripe.

    The first cells are those with hours. `rules`: half-lives until stale, clip, |z| from which it is not neutral.
    """
    stale, clip, neutral = rules[0], rules[1], rules[2]
    for cell in range(moat.shape[0]):
        if cell < sums.shape[0]:
            z[cell] = score(sums[cell], numbers[cell])
            ripe[cell] = 1 if sums[cell, COUNT] >= ripe_hours else 0
        age = float(max(0, as_of[moat[cell]] - known_at[cell]))
        life = half_life[moat[cell]]
        weight[cell] = part[cell] = 0.0
        if known_at[cell] == NEVER or ripe[cell] == 0:
            state[cell] = NO_DATA
        elif age > stale * life:
            state[cell] = STALE
        else:
            weight[cell] = 2.0 ** (-age / life)
            part[cell] = weight[cell] * min(max(z[cell], -clip), clip)
            state[cell] = OK if abs(part[cell]) >= neutral else NEUTRAL


@compiled
def gather(
    moat: IntArray, valued: IntArray, known_at: IntArray, weight: FloatArray, part: FloatArray, state: IntArray,
    cell_of: IntArray, failed_at: IntArray, enabled: IntArray, quality: FloatArray, total: IntArray,
    rules: FloatArray, values: FloatArray, states: IntArray,
) -> None:  # fmt: skip
    """Cells into moats: column 0 pair by pair (`cell_of`), the others the mean of their usable cells.

    `values` and `states` are (pairs, moats), the arrays from `failed_at` to `total` (moats,). What is only known
    changes neither value nor quality; where the value says nothing, the moat stands as that does.
    """
    for column in range(total.shape[0]):
        sum_, weights, used, parts, best, newest, beside = 0.0, 0.0, 0, 0, NO_DATA, NEVER, NO_DATA
        for cell in range(moat.shape[0]):
            if moat[cell] == column and enabled[column] == 1 and (column > 0 or known_at[cell] != NEVER):
                newest = max(newest, known_at[cell])
                if valued[cell] == 0:
                    beside = max(beside, state[cell])
                    continue
                parts += 1
                best = max(best, state[cell])
                if state[cell] >= NEUTRAL:
                    sum_, weights, used = sum_ + part[cell], weights + weight[cell], used + 1
        mean = sum_ / used if used > 0 else 0.0
        quality[column] = weights / parts if parts > 0 else 0.0
        if column > 0 and used > 0:
            best = OK if abs(mean) >= rules[2] else NEUTRAL
        whole = best if best >= NEUTRAL else max(best, beside)
        total[column] = ERROR if failed_at[column] > newest else whole
        for pair in range(values.shape[0]):
            if column > 0:
                values[pair, column], states[pair, column] = mean, best
            else:
                cell = cell_of[pair]
                values[pair, 0] = part[cell] if enabled[0] == 1 else 0.0
                states[pair, 0] = state[cell] if enabled[0] == 1 else NO_DATA


@compiled
def weigh(
    sums: IntArray, numbers: IntArray, ripe_hours: int, ripe: IntArray, moat: IntArray, valued: IntArray,
    known_at: IntArray, z: FloatArray, weight: FloatArray, part: FloatArray, state: IntArray, as_of: IntArray,
    half_life: FloatArray, rules: FloatArray, cell_of: IntArray, failed_at: IntArray, enabled: IntArray,
    quality: FloatArray, total: IntArray, values: FloatArray, states: IntArray,
) -> None:  # fmt: skip
    """`judge`, then `gather`, in one call from outside."""
    judge(sums, numbers, ripe_hours, ripe, moat, known_at, z, weight, part, state, as_of, half_life, rules)
    gather(
        moat, valued, known_at, weight, part, state, cell_of, failed_at, enabled, quality, total, rules, values, states
    )  # fmt: skip


@compiled
def remember(values: FloatArray, states: IntArray, recent: FloatArray, readings: IntArray) -> None:
    """One more |z| of each moat that speaks, the mean over the pairs it speaks of; the oldest leaves."""
    for column in range(recent.shape[0]):
        sum_, used = 0.0, 0
        for pair in range(values.shape[0]):
            if states[pair, column] >= NEUTRAL:
                sum_, used = sum_ + abs(values[pair, column]), used + 1
        if used == 0:
            readings[column] = 0
            continue
        for place in range(recent.shape[1] - 1):
            recent[column, place] = recent[column, place + 1]
        recent[column, recent.shape[1] - 1] = sum_ / used
        readings[column] = min(readings[column] + 1, recent.shape[1])
