"""Which opinions of the learners are worth remembering, and how interesting a learner is.

A pattern is what a learner saw when it spoke strongly, kept until its outcome is known; the newest such is the
learner's pattern. Rejected is whatever carries no information or comes from a learner that knows nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator

import msgspec
import numpy as np

from ..core.config import PatternSettings
from ..core.types import BoolArray, FloatArray, Side
from . import colony_layout as k
from .colony import Colony
from .colony_diversity import distances
from .colony_sharing import skill

_FEWEST_FEATURES = 3
"""With fewer features that say anything it is a single indicator, not a pattern."""


class Candidate(msgspec.Struct, frozen=True):
    """A pattern that may go into memory.

    `features` (features,) as clipped when seen, zero where the learner is blind; read-only. `side` and `conviction` are
    what the learner said; `move` the log return over `horizon` intervals, the outcome, which is no part of the vector.
    `seen` and `known` are grid points: of the opinion and of its outcome. `value` in [0, 100].
    """

    learner: str
    pair_index: int
    moat: int
    horizon: int
    side: Side
    score: float
    conviction: float
    move: float
    seen: int
    known: int
    value: float
    features: FloatArray


class Archive(msgspec.Struct, frozen=True):
    """One look at all learners: the candidates in the order of names, and how many were rejected for what.

    Reasons: `none` (no pattern with an outcome, or that one is archived), `faulty`, `low_value`, `no_information`
    (features at their default of zero or constant), `no_skill` (too few outcomes, or base rates not beaten).
    """

    candidates: tuple[Candidate, ...]
    rejected: dict[str, int]


def decay(age_intervals: float, lifetime_intervals: float) -> float:
    """What is left of a pattern's worth `age_intervals` after it was last seen: 1 at once, falling evenly to 0.

    >>> [decay(age, 200) for age in (0, 10, 20, 60, 100, 200, 300)]
    [1.0, 0.95, 0.9, 0.7, 0.5, 0.0, 0.0]
    """
    return max(0.0, 1.0 - age_intervals / lifetime_intervals)


def patterns(colony: Colony, settings: PatternSettings, now: int, among: Collection[str] | None = None) -> Archive:
    """The patterns worth archiving at grid `now`, at most one a learner; what is returned counts as archived.

    Of all learners, or of those named `among` alone. No pattern is archived twice. Value = 100 x score x decay(age
    since seen). Call it every `archive_every_intervals`.
    """
    gain, varied = skill(colony, settings.min_outcomes), _varied(colony.past)
    candidates, rejected = [], Counter[str]()
    for name, row, has_new in _newest(colony):
        if among is not None and name not in among:
            continue
        found = _candidate(colony, name, row, settings, now) if has_new else None
        reason = _refusal(colony, row, found, settings, gain, varied)
        if reason:
            rejected[reason] += 1
        elif found:
            colony.rows.counts[row, k.ARCHIVED_AT] = found.seen
            candidates.append(found)
    return Archive(tuple(candidates), dict(sorted(rejected.items())))


def _newest(colony: Colony) -> Iterator[tuple[str, int, bool]]:
    """Every living learner by name: its row, and whether it has a pattern with an outcome that is not archived yet."""
    order = colony.order
    numbers, counts = colony.rows.numbers[order], colony.rows.counts[order]
    seen = counts[:, k.PATTERN_AT]
    new = (seen != k.EMPTY) & (seen != counts[:, k.ARCHIVED_AT]) & (numbers[:, k.PATTERN_SAID] != 0.0)
    return zip(colony.names, order.tolist(), new.tolist(), strict=True)


def _candidate(colony: Colony, name: str, row: int, settings: PatternSettings, now: int) -> Candidate:
    numbers, counts = colony.rows.numbers[row].tolist(), colony.rows.counts[row].tolist()
    seen = counts[k.PATTERN_AT]
    features = colony.rows.pattern[row, k.SETTLED].copy()
    features.flags.writeable = False
    score = numbers[k.PATTERN_SCORE]
    return Candidate(
        learner=name,
        pair_index=counts[k.PAIR],
        moat=counts[k.MOAT],
        horizon=counts[k.HORIZON],
        side=Side.BUY if numbers[k.PATTERN_SAID] > 0.0 else Side.SELL,
        score=score,
        conviction=numbers[k.PATTERN_SAID],
        move=numbers[k.PATTERN_MOVE],
        seen=seen,
        known=seen + counts[k.HORIZON],
        value=100.0 * score * decay(now - seen, settings.lifetime_intervals),
        features=features,
    )


def _refusal(
    colony: Colony, row: int, found: Candidate | None, settings: PatternSettings, gain: FloatArray, varied: BoolArray
) -> str:
    if colony.rows.counts[row, k.FAULTY]:
        return "faulty"
    if found is None:
        return "none"
    if found.value < settings.min_value:
        return "low_value"
    telling = np.count_nonzero((found.features != 0.0) & varied[found.pair_index])
    if telling < _FEWEST_FEATURES:
        return "no_information"
    return "" if gain[row] > 0.0 else "no_skill"  # NaN is no skill


def _varied(past: k.Past) -> BoolArray:
    """Whether each pair's features took more than one value of late; (pairs, features)."""
    known = np.isfinite(past.features)
    low = np.where(known, past.features, math.inf).min(axis=0)
    high = np.where(known, past.features, -math.inf).max(axis=0)
    return np.asarray(low < high)


class Interest(msgspec.Struct, frozen=True):
    """What makes a learner interesting, five times 0 to 20.

    `novelty`: cosine distance to the policy most like its own. `performance`: the trust its calibration earned,
    1 - min_t2 / t2, 0 where it is reversed or not significant. `diversity`: mean cosine distance to all others.
    `evolution`: generation over `novel_generations`. `sharing`: share of its neighbours that took from it in the last
    round. Each is that quantity within [0, 1], times 20.
    """

    novelty: float
    performance: float
    diversity: float
    evolution: float
    sharing: float

    @property
    def total(self) -> float:
        """The sum, 0 to 100."""
        return self.novelty + self.performance + self.diversity + self.evolution + self.sharing


def interestingness(colony: Colony, settings: PatternSettings, min_t2: float) -> dict[str, Interest]:
    """Of every living learner, by name."""
    policies, names = colony.policy_vectors(), colony.names
    apart = distances(policies)
    learnt = np.any(policies != 0.0, axis=1) & (len(names) > 1)
    mean = apart.sum(axis=1) / max(len(names) - 1, 1)
    np.fill_diagonal(apart, math.inf)
    nearest = apart.min(axis=1, initial=math.inf)
    numbers, generation = colony.rows.numbers[colony.order], colony.rows.counts[colony.order, k.GENERATION]
    trusted = (numbers[:, k.BETA] > 0.0) & (numbers[:, k.T2] > min_t2)
    trust = 1.0 - np.divide(min_t2, numbers[:, k.T2], out=np.ones(len(names)), where=trusted)
    marks = (
        np.where(learnt, nearest, 0.0), trust, np.where(learnt, mean, 0.0), generation / settings.novel_generations,
        numbers[:, k.GAVE],
    )  # fmt: skip
    rows = zip(*[_points(ratios) for ratios in marks], strict=True)
    return {name: Interest(*row) for name, row in zip(names, rows, strict=True)}


def _points(ratios: FloatArray) -> list[float]:
    """0 to 20 for 0 to 1; what is not known (NaN) gives none."""
    points: list[float] = (20.0 * np.where(ratios > 0.0, np.minimum(ratios, 1.0), 0.0)).tolist()
    return points
