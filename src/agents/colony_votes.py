"""How the learners' opinions become the swarm's ideas: a rule of its own, apart from how a learner learns.

Learners are counted in the order of their names, so that no bit of a sum depends on the rows they live in.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

import msgspec
import numpy as np

from ..core.types import FloatArray, IntArray, Side
from .colony_layout import ENTRY, HORIZON, PAIR, SILENCED, compiled

BUYING, SELLING = range(2)
_SIDES = (Side.BUY, Side.SELL)
_NOBODY = -1
_FACTS = 4  # of an idea: pair, side, votes, horizon
_SCORE, _EDGE = range(2)
_MARKS = 2


class SwarmIdea(msgspec.Struct, frozen=True, gc=False):
    """One side of one pair that enough distinct learners support.

    `score` in [0, 1]; `edge` the expected log return over `horizon` intervals before costs, negative for a sell
    idea; `learners` the supporters, sorted.
    """

    pair_index: int
    side: Side
    score: float
    edge: float
    horizon: int
    learners: tuple[str, ...]


class Ballot:
    """Counts the votes of a step; keeps its arrays, because making them costs more than counting does."""

    def __init__(self, n_pairs: int, least: int) -> None:
        self._least = least
        sides = (n_pairs, len(_SIDES))
        self._votes, self._best = np.zeros((2, *sides), dtype=np.int64)  # best: place of the largest |edge|
        self._sums = np.zeros((*sides, _MARKS))
        self._members = np.zeros((*sides, 0), dtype=np.int64)  # the supporters' places, as many as there are votes
        self._spoken = np.zeros((n_pairs, _FACTS), dtype=np.int64)
        self._marks = np.zeros((n_pairs, _MARKS))
        self._supporters = np.zeros(0, dtype=np.int64)  # of all ideas, one after the other
        self._rows = np.zeros(0, dtype=np.int64)  # theirs
        self._newest: tuple[SwarmIdea, ...] = ()
        self._population, self._voices = _NOBODY, 0

    def ideas(
        self,
        names: tuple[str, ...],
        order: IntArray,
        counts: IntArray,
        numbers: FloatArray,
        said: tuple[FloatArray, FloatArray, FloatArray],
        population: int,
    ) -> list[SwarmIdea]:
        """At most one idea a pair, in the order of pairs; the rule is described at `Colony.ideas`.

        `names` of the living, and `order` (learners,), the rows of the colony's `counts` and `numbers` they live in;
        `said`: conviction, score and edge, (capacity,) each; `population` is that of the colony.
        """
        if self._supporters.size < order.size:
            self._members = np.zeros((*self._votes.shape, order.size), dtype=np.int64)
            self._supporters, self._rows = np.zeros((2, order.size), dtype=np.int64)
        spoken, marks, supporters = self._spoken, self._marks, self._supporters
        found, voices = poll(
            counts, numbers, order, *said, self._least, self._votes, self._best, self._sums, self._members, spoken,
            marks, supporters, self._rows,
        )  # fmt: skip
        ideas, begin, places = [], 0, supporters[:voices].tolist()
        for (pair, side, size, horizon), (score, edge) in zip(
            spoken[:found].tolist(), marks[:found].tolist(), strict=True
        ):
            learners = tuple([names[place] for place in places[begin : begin + size]])
            ideas.append(SwarmIdea(pair, _SIDES[side], score, edge, horizon, learners))
            begin += size
        self._newest, self._population, self._voices = tuple(ideas), population, voices
        return ideas

    def rows_behind(self, ideas: Sequence[SwarmIdea], population: int) -> IntArray | None:
        """The rows of the supporters of the newest ideas, one idea after the other; None for any others."""
        newest = population == self._population and len(ideas) == len(self._newest)
        known = newest and all(map(is_, ideas, self._newest))
        return self._rows[: self._voices] if known else None


@compiled
def poll(
    counts: IntArray, numbers: FloatArray, order: IntArray, conviction: FloatArray, score: FloatArray,
    edge: FloatArray, least: int, votes: IntArray, best: IntArray, sums: FloatArray, members: IntArray,
    spoken: IntArray, marks: FloatArray, supporters: IntArray, rows: IntArray,
) -> tuple[int, int]:  # fmt: skip
    """`_count` the votes, then `_tally` them, in one call."""
    _count(counts, numbers, order, conviction, score, edge, votes, best, sums, members)
    return _tally(counts, order, least, votes, best, sums, members, spoken, marks, supporters, rows)


@compiled
def _count(
    counts: IntArray,
    numbers: FloatArray,
    order: IntArray,
    conviction: FloatArray,
    score: FloatArray,
    edge: FloatArray,
    votes: IntArray,
    best: IntArray,
    sums: FloatArray,
    members: IntArray,
) -> None:
    """Votes, sums of scores and edges, supporters and the best of them, by pair and side."""
    votes[:], sums[:], best[:] = 0, 0.0, _NOBODY
    for place in range(order.shape[0]):
        row = order[place]
        # A score that is NaN is below every threshold.
        if counts[row, SILENCED] or not score[row] >= numbers[row, ENTRY] or conviction[row] == 0.0:
            continue
        home, side = counts[row, PAIR], BUYING if conviction[row] > 0.0 else SELLING
        if best[home, side] == _NOBODY or abs(edge[row]) > abs(edge[order[best[home, side]]]):
            best[home, side] = place
        members[home, side, votes[home, side]] = place
        votes[home, side] += 1
        sums[home, side, _SCORE] += score[row]
        sums[home, side, _EDGE] += edge[row]


@compiled
def _tally(
    counts: IntArray,
    order: IntArray,
    least: int,
    votes: IntArray,
    best: IntArray,
    sums: FloatArray,
    members: IntArray,
    spoken: IntArray,
    marks: FloatArray,
    supporters: IntArray,
    rows: IntArray,
) -> tuple[int, int]:
    """Which side has each pair: pair, side, votes and horizon of each idea into `spoken`, its means into `marks`.

    Also the supporters of all ideas one after the other, and the rows they live in; how many there are of both.
    """
    found, voices = 0, 0
    for pair in range(votes.shape[0]):
        buying, selling = votes[pair, BUYING], votes[pair, SELLING]
        if max(buying, selling) < least or buying == selling:
            continue
        side = BUYING if buying > selling else SELLING
        size = votes[pair, side]
        spoken[found, 0], spoken[found, 1], spoken[found, 2] = pair, side, size
        spoken[found, 3] = counts[order[best[pair, side]], HORIZON]
        for mark in range(_MARKS):
            marks[found, mark] = sums[pair, side, mark] / size
        for place in range(size):
            supporters[voices + place] = members[pair, side, place]
            rows[voices + place] = order[members[pair, side, place]]
        found, voices = found + 1, voices + size
    return found, voices
