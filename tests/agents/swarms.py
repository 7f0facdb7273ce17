"""Walks swarms of learners, and the ridge that they have to beat, through planted worlds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from src.agents import colony_layout as k
from src.agents.colony import Colony
from src.agents.colony_sharing import links_of, mark_toxic, share_when_due
from src.agents.controls import PooledRidge
from src.core.config import Settings
from src.core.types import FloatArray, Snapshot
from tests.agents import worlds as w
from tests.worlds import settings

LEARNERS = w.PAIRS * w.PER_PAIR
ROUND_TRIP = 0.0072
MOATS = {1: 19, 2: 20, 3: 21, 4: 22}
"""The feature of each moat that is not the market's."""
PER_MOAT = 2
"""Learners of a pair that live in each of them."""


class Heard(NamedTuple):
    """What was said: `conviction` (bars, PAIRS, PER_PAIR), toxic learners NaN; from JUDGED_FROM on the shares of
    learner-bars (`learners`), of pair-bars with three learners (`threes`) and with an idea (`ideas`) over the cost.
    """

    conviction: FloatArray
    learners: float
    threes: float
    ideas: float

    @property
    def mean(self) -> FloatArray:
        """The swarm's word on each pair, (bars, PAIRS)."""
        known = np.isfinite(self.conviction)
        total = np.where(known, self.conviction, 0.0).sum(axis=2)
        return np.asarray(
            np.divide(total, known.sum(axis=2), out=np.full(total.shape, np.nan), where=known.any(axis=2))
        )


def name_of(pair: int, number: int) -> str:
    return f"learner-{pair:02}-{number:02}"


def edges() -> list[tuple[str, str]]:
    """Each learner to the next of its horizon in a ring on which pairs take turns: half of its neighbours."""
    found = []
    for horizon in range(len(w.HORIZONS)):
        numbers = range(horizon, w.PER_PAIR, len(w.HORIZONS))
        ring = [(pair, number) for number in numbers for pair in range(w.PAIRS)]
        for place, (pair, number) in enumerate(ring):
            rest = ring[place + 1 :] + ring[:place]
            inside = [one for one in rest if one[0] == pair][: w.INSIDE // 2]
            across = [one for one in rest if one[0] != pair][: w.ACROSS // 2]
            found += [(name_of(pair, number), name_of(*other)) for other in inside + across]
    return found


def colony_of(tree: Settings, seed: int, moats: bool = False, places: Sequence[int] = tuple(range(w.PAIRS))) -> Colony:
    """The prototype's 300; with `moats` the last of each pair live in them. `places`: where each pair stands."""
    colony = Colony(tree.learners, tree.costs, w.FEATURES, w.PAIRS, seed)
    first = w.PER_PAIR - PER_MOAT * len(MOATS)
    for pair in range(w.PAIRS):
        for number in range(w.PER_PAIR):
            moat = 1 + (number - first) // PER_MOAT if moats and number >= first else 0
            always_in = [MOATS[moat]] if moat else []
            horizon = w.HORIZONS[number % len(w.HORIZONS)]
            colony.born(name_of(pair, number), places[pair], horizon, always_in, moat=moat)
    return colony


def hear(
    slices: list[Snapshot],
    seed: int,
    sharing: bool = True,
    toxic_ratio: float = 0.0,
    ideas: bool = False,
    moats: bool = False,
    tree: Settings | None = None,
) -> Heard:
    """One swarm in one world; `ideas` also counts those that are worth their cost."""
    tree = tree or settings()
    colony = colony_of(tree, seed, moats)
    links = links_of(colony, edges())
    mark_toxic(colony, toxic_ratio)
    conviction, paying = np.empty((len(slices), LEARNERS)), np.zeros(3)
    for index, each in enumerate(slices):
        step = colony.step(each)
        conviction[index] = step.conviction[:LEARNERS]
        if ideas and index >= w.JUDGED_FROM:
            over = (np.abs(step.edge[:LEARNERS]) > ROUND_TRIP).reshape(w.PAIRS, w.PER_PAIR).sum(axis=1)
            said = sum(abs(idea.edge) > ROUND_TRIP for idea in colony.ideas(step, each))
            paying += [over.sum() / w.PER_PAIR, np.count_nonzero(over >= tree.learners.min_learners), said]
        if sharing:
            share_when_due(colony, links, tree.sharing, tree.haven)
    toxic = colony.rows.counts[:LEARNERS, k.TOXIC] == 1
    conviction[:, toxic] = np.nan
    shares = paying / (w.PAIRS * max(len(slices) - w.JUDGED_FROM, 1))
    return Heard(conviction.reshape(len(slices), w.PAIRS, w.PER_PAIR), *shares.tolist())


def ridge_says(slices: list[Snapshot]) -> FloatArray:
    """What the pooled ridge predicts for the next LAG bars, (bars, PAIRS); it goes on learning as the swarm does."""
    tree = settings()
    ridge = PooledRidge(tree.controls, tree.learners, w.FEATURES, w.PAIRS, 0)
    place, said = list(tree.controls.horizons).index(w.LAG), np.full((len(slices), w.PAIRS), np.nan)
    for index, each in enumerate(slices):
        ridge.step(each)
        clip = tree.learners.feature_clip
        said[index] = ridge.predict(np.clip(each.features, -clip, clip), each.volatility > 0.0, each.grid)[:, place]
    return said


def skill(slices: list[Snapshot], said: FloatArray, start: int = w.JUDGED_FROM) -> float:
    """Rank correlation of what was said of a pair with its next LAG bars' move, from bar `start` on."""
    return w.rank_correlation(said[start:], w.moves_ahead(slices)[start:])


def with_features(slices: list[Snapshot], features: FloatArray) -> list[Snapshot]:
    """The same prices under other features, (bars, PAIRS, FEATURES)."""
    pairs = zip(slices, features, strict=True)
    return [msgspec.structs.replace(each, features=now, indicators=now) for each, now in pairs]


def features_of(slices: list[Snapshot]) -> FloatArray:
    return np.array([each.features for each in slices])


def relearnt_after(slices: list[Snapshot], heard: Heard, seed: int, flip: int, block: int) -> int:
    """Bars from `flip` until the swarm agrees with the true signal in two blocks on end; all that are left if never."""
    signal = -w.signal_of(features_of(slices), seed)
    said, starts = heard.mean, range(flip, len(slices) - block + 1, block)
    agrees = [w.rank_correlation(said[at : at + block], signal[at : at + block]) > 0.0 for at in starts]
    for place, (now, then) in enumerate(pairwise(agrees)):
        if now and then:
            return place * block
    return len(slices) - flip
