"""Notes why a pair's analysts or learners say nothing, when that changes: the record of what did not happen.

Both watches cost a pass over small arrays a slice and leave rows of numbers; `core.traces` says what they mean.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ..core.model import MycelialModel
from ..core.traces import (
    BASELINE,
    CANCELLED,
    MUTE,
    NO_BAR,
    NO_TEAM,
    NOBODY,
    PARTS,
    SILENCED,
    SPOKEN,
    SWARM,
    TOO_FEW,
    UNHEARD,
    WARMING,
    WATCHED,
)
from ..core.types import BoolArray, FloatArray, IntArray
from . import colony_layout as k
from .colony import Colony, ColonyStep

_UNKNOWN = -1


class BaselineWatch:
    """Remembers how the analysts of each pair stood, and leaves a row for each pair of which that changed."""

    name = "silence-of-the-baseline"

    def __init__(self, model: MycelialModel, pairs: int) -> None:
        self._model = model
        self.last = np.full((pairs, len(BASELINE) - 2), _UNKNOWN, dtype=np.int64)
        self.out = np.empty((pairs, len(BASELINE)), dtype=np.int64)
        model.keep(self)

    def note(self, changed: int) -> None:
        """Leave so many rows that `baseline_changes` found with `last` and `out`."""
        if changed:
            self._model.outbox.silences["baseline"] = self.out[:changed].tolist()

    def state(self) -> dict[str, Any]:
        """How they stood."""
        return {"last": self.last.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.last[:] = state["last"]


class SwarmWatch:
    """Remembers how the learners of each pair stood; `least`: how many have to agree."""

    name = "silence-of-the-swarm"

    def __init__(self, model: MycelialModel, pairs: int, least: int) -> None:
        self._model, self._least = model, least
        self._last = np.full(pairs, _UNKNOWN, dtype=np.int64)
        self._tally = np.empty((pairs, len(SWARM)))
        self._out = np.empty((pairs, len(SWARM)), dtype=np.int64)
        model.keep(self)

    def look(self, colony: Colony, step: ColonyStep, heard: BoolArray) -> None:
        """What all learners said in this slice; `heard` (pairs,): which pairs were announced."""
        rows = colony.rows
        said = (step.conviction, step.score, step.edge)
        changed = _swarm(
            rows.counts, rows.numbers[:, k.ENTRY], *said, heard, self._least, self._last, self._tally, self._out
        )
        if changed:
            self._model.outbox.silences["swarm"] = self._out[:changed].tolist()

    def state(self) -> dict[str, Any]:
        """How they stood."""
        return {"last": self._last.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._last[:] = state["last"]


@numba.njit(cache=True)
def baseline_changes(
    living: IntArray,
    heard: BoolArray,
    sides: IntArray,
    reasons: IntArray,
    confidences: FloatArray,
    last: IntArray,
    out: IntArray,
) -> int:
    """Rows of `BASELINE` into `out`; how many. Confidences count only together with a signal.

    `living`, `sides`, `reasons` and `confidences` (pairs, 3), `heard` (pairs,) of one slice.
    """
    changed = 0
    for p in range(living.shape[0]):
        alive = living[p, 0] + living[p, 1] + living[p, 2]
        state = NO_TEAM if alive == 0 else (WATCHED if heard[p] else NO_BAR)
        moved = last[p, 0] != state
        last[p, 0] = state
        for team in range(3):
            signal = sides[p, team] * reasons[p, team] if state == WATCHED else 0
            moved |= last[p, 1 + team] != signal
            last[p, 1 + team] = signal
        if moved:
            out[changed, 0], out[changed, 1] = p, state
            for team in range(3):
                out[changed, 2 + team] = last[p, 1 + team]
                confidence = confidences[p, team] if last[p, 1 + team] != 0 else 0.0
                out[changed, 5 + team] = round(PARTS * confidence)
            changed += 1
    return changed


@k.compiled
def _swarm(
    counts: IntArray,
    entry: FloatArray,
    conviction: FloatArray,
    score: FloatArray,
    edge: FloatArray,
    heard: BoolArray,
    least: int,
    last: IntArray,
    tally: FloatArray,
    out: IntArray,
) -> int:
    """Rows of `SWARM` into `out`; how many. The rule is that of `colony_votes`."""
    tally[:] = 0.0
    muted = np.zeros((tally.shape[0], 2), dtype=np.int64)
    for row in range(counts.shape[0]):
        if counts[row, k.ALIVE] == 0:
            continue
        p = counts[row, k.PAIR]
        tally[p, 6] += 1.0
        if not score[row] >= 0.0:
            tally[p, 5] += 1.0
            continue
        tally[p, 7] = max(tally[p, 7], score[row])
        if abs(edge[row]) > abs(tally[p, 8]):
            tally[p, 8] = edge[row]
        if score[row] >= entry[row] and conviction[row] != 0.0:
            side = 0 if conviction[row] > 0.0 else 1
            if counts[row, k.SILENCED]:
                tally[p, 4] += 1.0
                muted[p, side] += 1
            else:
                tally[p, 2 + side] += 1.0
    changed = 0
    for p in range(tally.shape[0]):
        most, muted_too = max(tally[p, 2], tally[p, 3]), max(tally[p, 2] + muted[p, 0], tally[p, 3] + muted[p, 1])
        if tally[p, 6] == 0.0:
            state = NOBODY
        elif not heard[p]:
            state = UNHEARD
        elif most >= least:
            state = CANCELLED if tally[p, 2] == tally[p, 3] else SPOKEN
        elif tally[p, 5] == tally[p, 6]:
            state = WARMING
        elif muted_too >= least:
            state = SILENCED
        else:
            state = TOO_FEW if most > 0.0 else MUTE
        if state != last[p]:
            last[p] = state
            for column in range(tally.shape[1]):
                out[changed, column] = round(tally[p, column] * (1 if column < 7 else PARTS))
            out[changed, 0], out[changed, 1] = p, state
            changed += 1
    return changed
