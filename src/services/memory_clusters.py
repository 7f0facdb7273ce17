"""Groups of memories that lie together, for sharing: k-means on the sphere, the same for the same records and seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.compiled import compiled
from ..core.memory import Cluster, MemoryRecord, judged
from ..core.randomness import generator_for
from ..core.types import FloatArray, IntArray

STREAM = "memory-clusters"
"""Name of the random stream of the first centres."""


@compiled
def _to_length_one(rows: FloatArray) -> None:
    """Scale each row in place; a row of zeros stays."""
    for row in rows:
        square = 0.0
        for value in row:
            square += value * value
        if square > 0.0:
            row /= math.sqrt(square)


@compiled
def _distance(left: FloatArray, right: FloatArray) -> float:
    """1 - cosine of two vectors of length 1, not below 0."""
    total = 0.0
    for index in range(left.shape[0]):
        total += left[index] * right[index]
    return max(0.0, 1.0 - total)


@compiled
def _seeds(rows: FloatArray, draws: FloatArray) -> FloatArray:
    """k-means++ (Arthur and Vassilvitskii, 2007): one draw in [0, 1) a centre; fewer where all rows are taken."""
    centres = np.empty((draws.shape[0], rows.shape[1]))
    centres[0] = rows[int(draws[0] * rows.shape[0])]
    nearest = np.full(rows.shape[0], math.inf)
    for count in range(1, draws.shape[0]):
        total = 0.0
        for row in range(rows.shape[0]):
            nearest[row] = min(nearest[row], _distance(rows[row], centres[count - 1]))
            total += nearest[row]
        if total <= 0.0:
            return centres[:count]
        left, chosen = draws[count] * total, 0
        for row in range(rows.shape[0]):
            if nearest[row] > 0.0:
                chosen = row
                left -= nearest[row]
                if left < 0.0:
                    break
        centres[count] = rows[chosen]
    return centres


@compiled
def _assign(rows: FloatArray, centres: FloatArray, labels: IntArray) -> bool:
    """Each row to its nearest centre, the first of equals; whether any label changed."""
    changed = False
    for row in range(rows.shape[0]):
        best, label = math.inf, 0
        for centre in range(centres.shape[0]):
            distance = _distance(rows[row], centres[centre])
            if distance < best:
                best, label = distance, centre
        changed |= labels[row] != label
        labels[row] = label
    return changed


@compiled
def _move(rows: FloatArray, labels: IntArray, centres: FloatArray) -> None:
    """Each centre to the mean direction of its rows; one without rows stays."""
    sums = np.zeros_like(centres)
    for row in range(rows.shape[0]):
        sums[labels[row]] += rows[row]
    _to_length_one(sums)
    for centre in range(centres.shape[0]):
        if sums[centre].any():
            centres[centre] = sums[centre]


def cluster(records: Sequence[MemoryRecord], count: int, rounds: int, seed: int) -> list[Cluster]:
    """At most `count` groups by cosine, the largest first, equally large ones by their first id.

    Fewer where fewer vectors differ. The order of `records` does not matter. At most `rounds` rounds of Lloyd's
    algorithm (spherical k-means: Dhillon and Modha, 2001).
    """
    if not records:
        return []
    ordered = sorted(records, key=lambda record: record.id)
    rows = np.array([record.vector for record in ordered])
    _to_length_one(rows)
    centres = _seeds(rows, generator_for(seed, STREAM).random(count))
    labels = np.full(len(ordered), -1, np.int64)
    for _ in range(rounds):
        if not _assign(rows, centres, labels):
            break
        _move(rows, labels, centres)
    groups = (_group(ordered, np.flatnonzero(labels == label), centres[label]) for label in range(len(centres)))
    return sorted((group for group in groups if group.records), key=lambda g: (-len(g.records), g.records[0].id))


def _group(ordered: Sequence[MemoryRecord], members: IntArray, centre: FloatArray) -> Cluster:
    records = tuple(ordered[row] for row in members.tolist())
    return Cluster(centre, records, *judged(records))
