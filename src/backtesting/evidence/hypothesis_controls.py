"""Positive controls: does the market move, as everybody knows it does, in the hours of scheduled events?"""

from __future__ import annotations

import msgspec
import numpy as np

from ...core.errors import DataError
from ...core.timeframes import HOUR_MS
from ...core.types import FloatArray, IntArray
from .hypothesis_claim import Claim
from .hypothesis_series import WEEK_HOURS, Inputs, moves

_DAY_HOURS = 24


class Fired(msgspec.Struct, frozen=True):
    """How many medians of the days around the pair moves in hours of an event, and in the same hours of other weeks.

    `p`: how often as many of those other hours, drawn at random, moved as much.
    """

    event: str
    events: int
    ratio: float
    elsewhere: float
    p: float


def fired(claim: Claim, inputs: Inputs, first: int, last: int, random: np.random.Generator) -> tuple[Fired, ...]:
    """Every event kind of the positive control over the rows `first` .. `last`; none where the claim has none.

    DataError where an event is not in the calendar, or the pair has no bar in its hours.
    """
    control = claim.positive_control
    if control is None or inputs.control is None:
        return ()
    strength = np.abs(moves(inputs.control[:, None])[:, 0])
    strength[:first] = np.nan
    strength[last:] = np.nan
    around = control.around_days * _DAY_HOURS
    return tuple(
        _one(event, _rows(inputs, inputs.events.get(event)), strength, around, claim.judging.permutations, random)
        for event in control.events
    )


def _rows(inputs: Inputs, times: IntArray | None) -> IntArray:
    """The row whose bar each event falls into."""
    rows = (np.empty(0, np.int64) if times is None else times - (inputs.first_ms - HOUR_MS)) // HOUR_MS
    return np.asarray(np.unique(rows[(rows >= 0) & (rows < len(inputs.close))]))


def _one(
    event: str, rows: IntArray, strength: FloatArray, around: int, permutations: int, random: np.random.Generator
) -> Fired:
    rows = rows[np.isfinite(strength[rows])]
    if not len(rows):
        raise DataError(f"positive control {event}: no such event, or no bar in its hours; leave it out of the claim")
    others = [_others(int(row), rows, strength) for row in rows]
    drawn = np.zeros(permutations)
    elsewhere = 0.0
    for pool in others:
        ratios = _ratios(pool, strength, around)
        elsewhere += float(ratios.mean()) / len(rows)
        drawn += random.choice(ratios, permutations) / len(rows)
    ratio = float(_ratios(rows, strength, around).mean())
    return Fired(event, len(rows), ratio, elsewhere, (1.0 + float((drawn >= ratio).sum())) / (1.0 + permutations))


def _others(row: int, rows: IntArray, strength: FloatArray) -> IntArray:
    """The rows of the same hour of the week without such an event."""
    same = np.arange(row % WEEK_HOURS, len(strength), WEEK_HOURS)
    pool = same[np.isfinite(strength[same]) & ~np.isin(same, rows)]
    if not len(pool):
        raise DataError("positive control: no other week to compare with; too little history")
    return np.asarray(pool)


def _ratios(rows: IntArray, strength: FloatArray, around: int) -> FloatArray:
    """Moves in medians of the `around` hours that surround each."""
    made = []
    for row in rows.tolist():
        near = strength[max(row - around // 2, 0) : row + around // 2 + 1]
        middle = float(np.median(near[np.isfinite(near)]))
        made.append(strength[row] / middle if middle > 0.0 else np.nan)
    ratios = np.array(made)
    if not np.isfinite(ratios).any():
        raise DataError("positive control: its prices do not move")
    return np.asarray(ratios[np.isfinite(ratios)])
