"""Learners take from their neighbours without a centre, because a pair alone has too few bars to learn from.

Who is worth listening to is judged on losses recorded before learning: on a learner's own recent bars its neighbours
would always look worse, for it has learnt those bars and they have not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from ..core.config import Haven, Sharing
from ..core.errors import InvariantError
from ..core.randomness import generator_for
from ..core.types import BoolArray, FloatArray, IntArray
from . import colony_layout as k
from .colony import Colony

_NOBODY = -1

_UNIT_SPREAD = math.sqrt(12.0)
"""Turns a uniform number of width one into one of unit variance."""


class Links(msgspec.Struct, frozen=True):
    """Who is whose neighbour, for one population: those of row r are `to[start[r]:start[r + 1]]`, by name.

    `names` has one entry a row, empty where nobody lives.
    """

    population: int
    names: tuple[str, ...]
    start: IntArray
    to: IntArray


class Shared(msgspec.Struct, frozen=True):
    """One round of sharing: `took` (one entry a link) and `parent` (one row a row, -1 for none)."""

    grid: int
    links: Links
    took: BoolArray
    parent: IntArray

    def taken(self) -> list[tuple[str, str]]:
        """Everybody who took, with whom from, in the order of rows and names."""
        names, links = self.links.names, self.links
        taker = np.repeat(np.arange(len(names)), np.diff(links.start))
        places = np.flatnonzero(self.took).tolist()
        return [(names[taker[place]], names[links.to[place]]) for place in places]

    def parents(self) -> dict[str, str]:
        """Child to parent: the best of those it took from, where that one was better than itself."""
        name, rows = self.links.names.__getitem__, np.flatnonzero(self.parent >= 0)
        return dict(zip(map(name, rows.tolist()), map(name, self.parent[rows].tolist()), strict=True))


def links_of(colony: Colony, edges: Iterable[tuple[str, str]]) -> Links:
    """The network's edges as arrays; they hold both ways, edges of the dead are left out, doubles count once."""
    names = [""] * colony.capacity
    row_of = dict(zip(colony.names, colony.order.tolist(), strict=True))
    around: dict[str, set[str]] = {name: set() for name in row_of}
    for one, other in edges:
        if one in around and other in around and one != other:
            around[one].add(other)
            around[other].add(one)
    lists: list[list[int]] = [[] for _ in names]
    for name, row in row_of.items():
        names[row] = name
        lists[row] = [row_of[other] for other in sorted(around[name])]
    start = np.concatenate(([0], np.cumsum([len(each) for each in lists], dtype=np.int64)))
    to = np.array([row for each in lists for row in each], dtype=np.int64)
    return Links(colony.population, tuple(names), start, to)


def mark_toxic(colony: Colony, ratio: float) -> tuple[str, ...]:
    """Flag about `ratio` of the living as toxic, each by a stream of its own, and name them.

    A toxic learner throws its weights away at every round of sharing and draws random ones; nobody is told.
    """
    toxic = tuple(name for name in colony.names if generator_for(colony.seed, f"toxic:{name}").random() < ratio)
    colony.rows.counts[:, k.TOXIC] = 0
    colony.rows.counts[[colony.row_of(name) for name in toxic], k.TOXIC] = 1
    return toxic


def share_when_due(colony: Colony, links: Links, settings: Sharing, haven: Haven) -> Shared | None:
    """Let all learners whose round has come look at their neighbours; None where nobody's has.

    Rounds begin at the multiples of `every_intervals` on the grid; after a gap one round makes up for all, and the
    newly born look at once. Raises InvariantError as `share_now` does.
    """
    counts, every = colony.rows.counts, settings.every_intervals
    if colony.grid is None or not _is_due(counts, colony.grid, every):
        return None
    return _share(colony, links, settings, haven, counts[:, k.SHARED_AT] // every != colony.grid // every)


def share_now(colony: Colony, links: Links, settings: Sharing, haven: Haven, among: Iterable[str]) -> Shared:
    """Let the named learners look at their neighbours at once, whatever the round (FORCE_SHARE).

    A learner takes from a neighbour that has `min_outcomes` behind it, whose weights are finite and whose `standing`
    is not worse than its own by more than `margin_nats`; one without `min_outcomes` stands at 0.

    Taking half and half, one neighbour after the other, would make the last one count most. So a weight becomes the
    mean over all orders: with n neighbours to take from it keeps (1 - blend)^n of itself, and the rest is their plain
    mean. Only features that both see are taken, never the bias of the flat class, which belongs to the pair; then
    noise of `mutation_ratio` times the root mean square of the learner's weights, from its own stream. All read the
    weights of before the round, so no order of rows or births changes a bit.

    Who took from a better one gets the best of them as its parent (the first name among equals), and a generation of
    at least the parent's plus one. Raises InvariantError for links of another population or before the first step,
    NotFound for an unknown name.
    """
    asked = np.zeros(colony.capacity, dtype=np.bool_)
    asked[[colony.row_of(name) for name in among]] = True
    return _share(colony, links, settings, haven, asked)


def skill(colony: Colony, min_outcomes: float) -> FloatArray:
    """Nats by which each row beats its class frequencies, both as recorded with the prediction, (capacity,).

    NaN below `min_outcomes` faded outcomes.
    """
    numbers, known = colony.rows.numbers, _judged(colony, min_outcomes)
    gain = numbers[:, k.BASE_LOSS] - numbers[:, k.LOSS]
    return np.asarray(np.divide(gain, numbers[:, k.WEIGHT], out=np.full(gain.shape, np.nan), where=known))


def standing(colony: Colony, min_outcomes: float) -> FloatArray:
    """What neighbours compare, (capacity,): entropy of the outcomes seen less the mean recorded loss, in nats.

    The entropy is what knowing the class frequencies beforehand would have lost: it takes out how hard a pair is and
    adds none of the noise of learning the frequencies. NaN below `min_outcomes` faded outcomes.
    """
    return np.asarray(_standings(colony.rows.numbers, _judged(colony, min_outcomes)))


def _judged(colony: Colony, min_outcomes: float) -> BoolArray:
    numbers, counts = colony.rows.numbers, colony.rows.counts
    return np.asarray((counts[:, k.ALIVE] == 1) & (numbers[:, k.WEIGHT] > 0.0) & (numbers[:, k.WEIGHT] >= min_outcomes))


def _share(colony: Colony, links: Links, settings: Sharing, haven: Haven, asked: BoolArray) -> Shared:
    if links.population != colony.population or colony.grid is None:
        raise InvariantError("sharing: links belong to the present population, after its first step")
    rows, size = colony.rows, colony.capacity
    took, parent = np.zeros(links.to.size, dtype=np.bool_), np.full(size, _NOBODY, dtype=np.int64)
    knobs = (settings.margin_nats, settings.blend_ratio, settings.mutation_ratio, haven.toxic_weight)
    known = standing(colony, settings.min_outcomes)
    arguments: list[Any] = [
        rows.numbers,
        rows.counts,
        rows.weights,
        rows.mask,
        rows.stream,
        known,
        asked,
        colony.grid,
        *knobs,
    ]
    arguments += [links.start, links.to, took, parent]
    _share_rows(*arguments)
    shared = Shared(colony.grid, links, took, parent)
    colony.adopt_rows(parent)
    return shared


@k.compiled
def _is_due(counts: IntArray, grid: int, every: int) -> bool:
    for row in range(counts.shape[0]):
        if counts[row, k.ALIVE] and counts[row, k.SHARED_AT] // every != grid // every:
            return True
    return False


@k.compiled
def _standings(numbers: FloatArray, judged: BoolArray) -> FloatArray:
    result = np.full(numbers.shape[0], math.nan)
    for row in range(numbers.shape[0]):
        if not judged[row]:
            continue
        result[row] = -numbers[row, k.LOSS] / numbers[row, k.WEIGHT]
        for kind in range(k.CLASSES):
            share = numbers[row, k.SEEN + kind] / numbers[row, k.WEIGHT]
            if share > 0.0:
                result[row] -= share * math.log(share)
    return result


@k.compiled
def _choose(
    counts: IntArray,
    sound: BoolArray,
    known: FloatArray,
    asked: BoolArray,
    grid: int,
    margin: float,
    start: IntArray,
    to: IntArray,
    took: BoolArray,
    parent: IntArray,
) -> None:
    """Who takes from whom, and what that means for the lineage."""
    generations = counts[:, k.GENERATION].copy()
    for row in range(counts.shape[0]):
        if not asked[row] or not counts[row, k.ALIVE]:
            continue
        counts[row, k.SHARED_AT] = grid
        if not sound[row] or counts[row, k.TOXIC]:
            continue
        own = known[row] if math.isfinite(known[row]) else 0.0
        best = own
        for place in range(start[row], start[row + 1]):
            other = to[place]
            took[place] = sound[other] and known[other] >= own - margin  # False while NaN
            if took[place] and known[other] > best:
                best, parent[row] = known[other], other
        if parent[row] >= 0:
            counts[row, k.GENERATION] = max(generations[row], generations[parent[row]] + 1)


@k.compiled
def _sound(counts: IntArray, weights: FloatArray) -> BoolArray:
    """Which rows have something sound to give."""
    sound = np.zeros(counts.shape[0], dtype=np.bool_)
    for row in range(counts.shape[0]):
        if counts[row, k.ALIVE] and not counts[row, k.FAULTY]:
            down, flat, up = 0.0, 0.0, 0.0  # three sums side by side: each waits for itself alone
            for index in range(weights.shape[2]):
                down += abs(weights[row, k.DOWN, index])
                flat += abs(weights[row, k.FLAT, index])
                up += abs(weights[row, k.UP, index])
            sound[row] = math.isfinite(down + flat + up)
    return sound


@k.compiled
def _seen(counts: IntArray, mask: IntArray) -> FloatArray:
    """1 where a row sees a feature, else 0."""
    seen = np.zeros(mask.shape)
    for row in range(mask.shape[0]):
        for place in range(counts[row, k.FEATURES]):
            seen[row, mask[row, place]] = 1.0
    return seen


@k.compiled
def _blend(
    weights: FloatArray, seen: FloatArray, start: IntArray, to: IntArray, took: BoolArray, blend: float
) -> FloatArray:
    """Blend all rows from what they were before; returns the root mean square of each row that took, else 0."""
    size, kinds, features = weights.shape
    before = weights.copy().reshape(size, kinds * features)
    total, givers, spread = np.empty(kinds * features), np.empty(features), np.zeros(size)
    powers = np.ones(1 + np.max(start[1:] - start[:-1]))
    for count in range(1, powers.shape[0]):
        powers[count] = (1.0 - blend) * powers[count - 1]
    for row in range(size):
        total[:], givers[:] = 0.0, 0.0
        for place in range(start[row], start[row + 1]):
            other = to[place]
            if not took[place]:
                continue
            for index in range(features):
                givers[index] += seen[other, index]
            for index in range(kinds * features):  # a giver's weights are zero where it is blind
                total[index] += before[other, index]
            spread[row] = 1.0
        squares, places = 0.0, 0.0
        for index in range(features):
            if seen[row, index] == 0.0 or spread[row] == 0.0:
                continue
            places += kinds
            kept = powers[int(givers[index])]
            for kind in range(kinds):
                if givers[index] > 0.0:
                    mean = total[kind * features + index] / givers[index]
                    weights[row, kind, index] = kept * weights[row, kind, index] + (1.0 - kept) * mean
                squares += weights[row, kind, index] ** 2
        spread[row] = math.sqrt(squares / places) if places > 0.0 else 0.0
    return spread


@k.compiled
def _mutate(weights: FloatArray, counts: IntArray, seen: FloatArray, stream: k.StreamArray, spread: FloatArray) -> None:
    """Even noise of standard deviation `spread` on each row's weights; where toxic, in their place."""
    for row in range(spread.shape[0]):
        if spread[row] == 0.0:
            continue
        kept = 0.0 if counts[row, k.TOXIC] else 1.0
        state, size = stream[row], spread[row] * _UNIT_SPREAD
        for kind in range(weights.shape[1]):
            for index in range(weights.shape[2]):
                state += _GOLDEN
                noise = size * (_mixed(state) - 0.5)
                weights[row, kind, index] = seen[row, index] * (kept * weights[row, kind, index] + noise)
        stream[row] = state


@k.compiled
def _share_rows(
    numbers: FloatArray,
    counts: IntArray,
    weights: FloatArray,
    mask: IntArray,
    stream: k.StreamArray,
    known: FloatArray,
    asked: BoolArray,
    grid: int,
    margin: float,
    blend: float,
    mutation: float,
    toxic_weight: float,
    start: IntArray,
    to: IntArray,
    took: BoolArray,
    parent: IntArray,
) -> None:
    seen = _seen(counts, mask)
    _choose(counts, _sound(counts, weights), known, asked, grid, margin, start, to, took, parent)
    spread = mutation * _blend(weights, seen, start, to, took, blend)
    for row in range(counts.shape[0]):
        if asked[row] and counts[row, k.ALIVE] and counts[row, k.TOXIC]:
            spread[row] = toxic_weight
    _mutate(weights, counts, seen, stream, spread)
    _note_givers(numbers, asked, start, to, took)


_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@k.compiled
def _mixed(state: np.uint64) -> float:
    """SplitMix64 (Steele, Lea, Flood 2014): a stream's state as a number in [0, 1).

    The learner's generator gives the first state. From there a stream is one word that lies with the learner's row,
    survives a restart with it and moves nobody else's.
    """
    state = (state ^ (state >> _S30)) * _FIRST
    state = (state ^ (state >> _S27)) * _SECOND
    return float((state ^ (state >> _S31)) >> _S11) * 2.0**-53


@k.compiled
def _note_givers(numbers: FloatArray, asked: BoolArray, start: IntArray, to: IntArray, took: BoolArray) -> None:
    """Which share of those neighbours that looked took from it; who was not looked at keeps its last figure."""
    looked, given = np.zeros(numbers.shape[0]), np.zeros(numbers.shape[0])
    for row in range(start.shape[0] - 1):
        for place in range(start[row], start[row + 1]):
            looked[to[place]] += asked[row]
            given[to[place]] += took[place]
    for row in range(numbers.shape[0]):
        if looked[row] > 0.0:
            numbers[row, k.GAVE] = given[row] / looked[row]
