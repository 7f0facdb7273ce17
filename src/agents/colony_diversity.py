"""How alike the learners have become, because a swarm of one mind is one learner with many votes."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ..core.types import FloatArray, IntArray
from .colony_layout import compiled


class Likeness(msgspec.Struct, frozen=True):
    """How alike a set of policies is.

    `contagion`: share of the learners that have learnt anything (a policy that is not all zero) whose policy points
    the way of one of them, the `medoid` (its place); both None where too few have. `members` are their places.
    `diversity`: mean cosine distance over all pairs of policies, in [0, 2]; NaN with fewer than two.
    """

    contagion: float | None
    diversity: float
    medoid: int | None
    members: tuple[int, ...]


def likeness(policies: FloatArray, similarity: float, least: int) -> Likeness:
    """The largest group of `policies` (learners, features) around one of them, by cosine of at least `similarity`.

    The group of a learner is everybody as near to it as that, itself included, so no chain of small steps makes one
    group of two ends; among equals the first is the medoid. Below `least` learners that have learnt anything the
    contagion is not known (None). No BLAS: sums run in the order of the features.
    """
    units, places = _directions(policies)
    if places.size < least or places.size == 0:
        return Likeness(None, _diversity(units), None, ())
    medoid = int(np.argmax(_neighbours(units, similarity)))
    members = tuple(places[_cosines_with(units, medoid) >= similarity].tolist())
    return Likeness(len(members) / places.size, _diversity(units), int(places[medoid]), members)


def diversity(policies: FloatArray) -> float:
    """Mean cosine distance over all pairs of policies that are not zero; NaN with fewer than two.

    From |sum of directions|^2 = n + 2 sum of cosines, so that it costs n steps, not n^2.
    """
    return _diversity(_directions(policies)[0])


def _diversity(units: FloatArray) -> float:
    count = int(units.shape[0])
    if count < 2:
        return math.nan
    square: float = _square_of_sum(units)
    return 1.0 - (square - count) / (count * (count - 1))


def distances(policies: FloatArray) -> FloatArray:
    """Cosine distances (learners, learners), 0 with itself; 1 where either has learnt nothing."""
    units, places = _directions(policies)
    result = np.ones((policies.shape[0], policies.shape[0]))
    _write_distances(units, places, result)
    np.fill_diagonal(result, 0.0)
    return result


def _directions(policies: FloatArray) -> tuple[FloatArray, IntArray]:
    """Policies of length one, and their places; those that are zero or not finite are left out."""
    lengths = _lengths(np.ascontiguousarray(policies))
    places = np.flatnonzero(np.isfinite(lengths) & (lengths > 0.0))
    return policies[places] / lengths[places, None], places


@compiled
def _lengths(policies: FloatArray) -> FloatArray:
    lengths = np.zeros(policies.shape[0])
    for row in range(policies.shape[0]):
        for index in range(policies.shape[1]):
            lengths[row] += policies[row, index] * policies[row, index]
        lengths[row] = math.sqrt(lengths[row])
    return lengths


@compiled
def _cosines_from(columns: FloatArray, row: int, first: int, sums: FloatArray) -> None:
    """Cosines of `row` with itself and all from `first` on, one feature after the other, into `sums` (learners,).

    They add up side by side, each sum in one order. `columns` (features, learners) are the directions.
    """
    tail = sums[first:]
    tail[:] = 0.0
    for index in range(columns.shape[0]):
        factor, others = columns[index, row], columns[index, first:]
        for other in range(tail.shape[0]):
            tail[other] += factor * others[other]


@compiled
def _cosines_with(units: FloatArray, row: int) -> FloatArray:
    """Cosines of one with all, (learners,)."""
    sums = np.empty(units.shape[0])
    _cosines_from(units.T.copy(), row, 0, sums)
    return sums


@compiled
def _neighbours(units: FloatArray, similarity: float) -> IntArray:
    """How many are as near to each as that, (learners,); a cosine is the same from both sides and made once.

    The cosines themselves are not kept: all of them together would drive everything else out of the cache.
    """
    columns = units.T.copy()
    near, sums = np.zeros(units.shape[0], np.int64), np.empty(units.shape[0])
    for row in range(units.shape[0]):
        _cosines_from(columns, row, row, sums)
        after, counts, near_row = sums[row + 1 :], near[row + 1 :], 0
        for other in range(after.shape[0]):
            is_near = 1 if after[other] >= similarity else 0
            counts[other] += is_near
            near_row += is_near
        near[row] += near_row + (1 if sums[row] >= similarity else 0)
    return near


@compiled
def _write_distances(units: FloatArray, places: IntArray, result: FloatArray) -> None:
    """1 - cosine of each two, at their `places`."""
    columns, sums = units.T.copy(), np.empty(units.shape[0])
    for row in range(units.shape[0]):
        _cosines_from(columns, row, row, sums)
        for other in range(row, units.shape[0]):
            result[places[row], places[other]] = result[places[other], places[row]] = 1.0 - sums[other]


@compiled
def _square_of_sum(units: FloatArray) -> float:
    square = 0.0
    for index in range(units.shape[1]):
        total = 0.0
        for row in range(units.shape[0]):
            total += units[row, index]
        square += total * total
    return square
