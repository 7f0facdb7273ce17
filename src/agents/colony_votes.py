"""How the learners' opinions become the swarm's ideas: a rule of its own, apart from how a learner learns.

Learners are counted in the order of their names, so that no bit of a sum depends on the rows they live in.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ..core.types import FloatArray, IntArray, Side
from .colony_layout import ENTRY, HORIZON, PAIR, SILENCED, compiled

BUYING, SELLING = range(2)
_SIDES = (Side.BUY, Side.SELL)
_NOBODY = -1


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
        self._scores, self._edges = np.zeros((2, *sides))
        self._spoken = np.zeros(n_pairs, dtype=np.int64)  # the side that has it, or nobody
        self._members = np.zeros((*sides, 0), dtype=np.int64)  # the supporters' places, as many as there are votes

    def ideas(
        self,
        names: tuple[str, ...],
        order: IntArray,
        counts: IntArray,
        numbers: FloatArray,
        said: tuple[FloatArray, FloatArray, FloatArray],
    ) -> list[SwarmIdea]:
        """At most one idea a pair, in the order of pairs; the rule is described at `Colony.ideas`.

        `names` of the living, and `order` (learners,), the rows of the colony's `counts` and `numbers` they live in;
        `said`: conviction, score and edge, (capacity,) each.
        """
        if self._members.shape[2] < order.size:
            self._members = np.zeros((*self._votes.shape, order.size), dtype=np.int64)
        votes, best, scores, edges, members = self._votes, self._best, self._scores, self._edges, self._members
        count(counts, numbers, order, *said, self._least, votes, best, scores, edges, members, self._spoken)
        ideas = []
        for pair, side in enumerate(self._spoken.tolist()):
            if side != _NOBODY:
                supporters = members[pair, side, : votes[pair, side]].tolist()
                idea = SwarmIdea(
                    pair,
                    _SIDES[side],
                    scores.item(pair, side) / len(supporters),
                    edges.item(pair, side) / len(supporters),
                    counts.item(order[best[pair, side]], HORIZON),
                    tuple([names[place] for place in supporters]),
                )
                ideas.append(idea)
        return ideas


@compiled
def count(
    counts: IntArray,
    numbers: FloatArray,
    order: IntArray,
    conviction: FloatArray,
    score: FloatArray,
    edge: FloatArray,
    least: int,
    votes: IntArray,
    best: IntArray,
    scores: FloatArray,
    edges: FloatArray,
    members: IntArray,
    spoken: IntArray,
) -> None:
    """Votes, sums of scores and edges, supporters and the best of them, by pair and side; which side has it."""
    votes[:], scores[:], edges[:], best[:] = 0, 0.0, 0.0, _NOBODY
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
        scores[home, side] += score[row]
        edges[home, side] += edge[row]
    for pair in range(votes.shape[0]):
        buying, selling = votes[pair, BUYING], votes[pair, SELLING]
        spoken[pair] = _NOBODY
        if max(buying, selling) >= least and buying != selling:
            spoken[pair] = BUYING if buying > selling else SELLING
