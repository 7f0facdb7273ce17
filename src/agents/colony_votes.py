"""How the learners' opinions become the swarm's ideas: a rule of its own, apart from how a learner learns.

Learners are counted in the order of their names, so that no bit of a sum depends on the rows they live in.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from ..core.types import FloatArray, IntArray, Side
from .colony_layout import compiled

BUYING, SELLING = range(2)
_SIDES = (Side.BUY, Side.SELL)
_NOBODY = -1


class SwarmIdea(msgspec.Struct, frozen=True):
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


class Voters(NamedTuple):
    """The living learners in the order of their names; arrays of shape (learners,)."""

    names: tuple[str, ...]
    pair: IntArray
    horizon: IntArray
    silenced: IntArray
    entry: FloatArray


class _Tally(NamedTuple):
    votes: IntArray  # (pairs, 2)
    score: FloatArray  # (pairs, 2)
    edge: FloatArray  # (pairs, 2)
    best: IntArray  # (pairs, 2): place of the supporter with the largest |edge|
    members: IntArray  # (pairs, 2, learners): the supporters' places, as many as there are votes


@compiled
def _count(
    pair: IntArray,
    silenced: IntArray,
    entry: FloatArray,
    conviction: FloatArray,
    score: FloatArray,
    edge: FloatArray,
    tally: _Tally,
) -> None:
    for place in range(pair.shape[0]):
        # A score that is NaN is below every threshold.
        if silenced[place] or not score[place] >= entry[place] or conviction[place] == 0.0:
            continue
        home, side = pair[place], BUYING if conviction[place] > 0.0 else SELLING
        best = tally.best[home, side]
        if best == _NOBODY or abs(edge[place]) > abs(edge[best]):
            tally.best[home, side] = place
        tally.members[home, side, tally.votes[home, side]] = place
        tally.votes[home, side] += 1
        tally.score[home, side] += score[place]
        tally.edge[home, side] += edge[place]


def swarm_ideas(
    voters: Voters, conviction: FloatArray, score: FloatArray, edge: FloatArray, n_pairs: int, least: int
) -> list[SwarmIdea]:
    """At most one idea a pair, in the order of pairs; the rule is described at `Colony.ideas`."""
    shape = (n_pairs, len(_SIDES))
    tally = _Tally(
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape),
        np.zeros(shape),
        np.full(shape, _NOBODY, dtype=np.int64),
        np.empty((*shape, len(voters.names)), dtype=np.int64),
    )
    _count(voters.pair, voters.silenced, voters.entry, conviction, score, edge, tally)
    ideas = []
    for pair in np.flatnonzero(tally.votes.max(axis=1) >= least).tolist():
        buying, selling = tally.votes[pair].tolist()
        if buying != selling:
            ideas.append(_idea(voters, tally, pair, BUYING if buying > selling else SELLING))
    return ideas


def _idea(voters: Voters, tally: _Tally, pair: int, side: int) -> SwarmIdea:
    votes = int(tally.votes[pair, side])
    return SwarmIdea(
        pair_index=pair,
        side=_SIDES[side],
        score=float(tally.score[pair, side]) / votes,
        edge=float(tally.edge[pair, side]) / votes,
        horizon=int(voters.horizon[tally.best[pair, side]]),
        learners=tuple(voters.names[place] for place in tally.members[pair, side, :votes].tolist()),
    )
