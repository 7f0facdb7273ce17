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
        return Likeness(None, diversity(policies), None, ())
    near = _cosines(units) >= similarity
    medoid = int(np.argmax(near.sum(axis=1)))
    members = tuple(places[near[medoid]].tolist())
    return Likeness(len(members) / places.size, diversity(policies), int(places[medoid]), members)


def diversity(policies: FloatArray) -> float:
    """Mean cosine distance over all pairs of policies that are not zero; NaN with fewer than two.

    From |sum of directions|^2 = n + 2 sum of cosines, so that it costs n steps, not n^2.
    """
    units, _ = _directions(policies)
    count = int(units.shape[0])
    if count < 2:
        return math.nan
    square: float = _square_of_sum(units)
    return 1.0 - (square - count) / (count * (count - 1))


def distances(policies: FloatArray) -> FloatArray:
    """Cosine distances (learners, learners), 0 with itself; 1 where either has learnt nothing."""
    units, places = _directions(policies)
    result = np.ones((policies.shape[0], policies.shape[0]))
    result[np.ix_(places, places)] = 1.0 - _cosines(units)
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
def _cosines(units: FloatArray) -> FloatArray:
    """All cosines at once, one feature after the other: whole rows add up side by side, each sum in one order."""
    count, features = units.shape
    columns = units.T.copy()
    result = np.zeros((count, count))
    for row in range(count):
        for index in range(features):
            factor = columns[index, row]
            for other in range(count):
                result[row, other] += factor * columns[index, other]
    return result


@compiled
def _square_of_sum(units: FloatArray) -> float:
    square = 0.0
    for index in range(units.shape[1]):
        total = 0.0
        for row in range(units.shape[0]):
            total += units[row, index]
        square += total * total
    return square
