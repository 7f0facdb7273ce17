"""Validated patterns are handed on: whoever is newly born studies those that lie with the patterns of its pair."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.memory import Cluster, MemoryRecord, Namespace, Where
from ..core.types import FloatArray, IntArray, Pair, Side
from . import colony_layout as k
from .colony import Colony
from .world import World

JUDGED_BY = "researchers"
"""The metadata by which a pattern that researchers agreed on is told from what became of a trade."""


class Lessons:
    """Offers newborn learners what researchers validated: the patterns of the cluster in which their pair's lie."""

    def __init__(self, world: World, colony: Colony) -> None:
        self._world, self._colony = world, colony

    def offer(self, names: Sequence[str], at: int) -> None:
        """Let each study at most `patterns.lessons` patterns of its own horizon, the newest ones, oldest first.

        A pair's cluster is the one that holds most of its patterns, the larger one among equals; patterns of other
        pairs in it are offered too. A pair without a validated pattern is offered nothing.
        """
        most = self._world.settings.patterns.lessons
        if not names or not most:
            return
        clusters = self._world.memory.clusters(at, Where(namespaces=(Namespace.TRADING,)))
        found: dict[tuple[int, int], list[MemoryRecord]] = {}
        for name in names if clusters else ():
            counts = self._colony.rows.counts[self._colony.row_of(name)]
            place = (int(counts[k.PAIR]), int(counts[k.HORIZON]))
            if place not in found:
                found[place] = lessons_of(clusters, self._world.pairs[place[0]], place[1])[-most:]
            self._world.figures.society["lessons"] += len(found[place])
            study(self._colony, name, found[place])


def lessons_of(clusters: Sequence[Cluster], pair: Pair, horizon: int) -> list[MemoryRecord]:
    """The validated patterns of `horizon` in the cluster that holds most patterns of `pair`, oldest first."""
    judged = [[one for one in each.records if JUDGED_BY in one.meta] for each in clusters]
    held = [sum(one.pair == pair for one in each) for each in judged]
    most = max(held, default=0)
    if most == 0:
        return []
    fit = [one for one in judged[held.index(most)] if one.meta.get("horizon") == horizon]
    return sorted(fit, key=lambda one: (one.known_at, one.id))


def study(colony: Colony, name: str, records: Sequence[MemoryRecord]) -> None:
    """One step of gradient descent for each record, as if its moment had come out the way it says.

    The learner's own rate, features and mask; neither its bias nor any count or loss is touched, for it has seen
    nothing itself.
    """
    if not records:
        return
    rows, row = colony.rows, colony.row_of(name)
    vectors = np.array([one.vector for one in records])
    classes = np.array([k.UP if one.direction is Side.BUY else k.DOWN for one in records])
    seen = rows.mask[row, : rows.counts[row, k.FEATURES]]
    _study(
        rows.weights[row], seen, float(rows.numbers[row, k.BIAS]), float(rows.numbers[row, k.RATE]), vectors, classes
    )


@k.compiled
def _study(
    weights: FloatArray, mask: IntArray, bias: float, rate: float, vectors: FloatArray, classes: IntArray
) -> None:
    chance = np.empty(k.CLASSES)
    for place in range(classes.shape[0]):
        chance[:] = 0.0
        chance[k.FLAT] = bias
        for index in mask:
            for kind in range(k.CLASSES):
                chance[kind] += weights[kind, index] * vectors[place, index]
        top = max(chance[k.DOWN], chance[k.FLAT], chance[k.UP])
        total = 0.0
        for kind in range(k.CLASSES):
            chance[kind] = math.exp(chance[kind] - top)
            total += chance[kind]
        for kind in range(k.CLASSES):
            step = rate * (chance[kind] / total - (1.0 if kind == classes[place] else 0.0))
            for index in mask:
                weights[kind, index] -= step * vectors[place, index]
