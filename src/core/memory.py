"""What is remembered and what memory advises: records that say when they became known, a rule over wins and losses.

The vector of a record is built from scale-free features alone. What became of it is metadata, never part of the
vector: a query made before the outcome could not hold it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numba import njit

from .canonical import encode
from .config import MemorySettings
from .errors import DataError
from .types import FloatArray, Pair, Scalar, Side


class Namespace(StrEnum):
    """The collections of the memory."""

    TRADING = "trading_patterns"
    FAILED = "failed_patterns"
    KNOWLEDGE = "agent_knowledge"


PATTERNS = (Namespace.TRADING, Namespace.FAILED)
"""Where a recommendation looks: with the failed ones left out, every success ratio would be 100 %."""


INTEGER_LIMIT = 2**63
"""Numbers of metadata lie below it, as the stores want them; NaN does not."""


class MemoryRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One memory. `vector` (dimensions,) is finite and not all zeros; `score` in [0, 1]; times in UTC ms.

    `outcome` is the net profit as a ratio of what was paid (0.01 is 1 %), None until it is known. A record of a
    known `id` with a later `known_at` replaces the one before from then on; so does the outcome, once it is known.
    `meta` holds strings, finite numbers and booleans; what is not known is left out. DataError otherwise.
    """

    id: str
    namespace: Namespace
    vector: tuple[float, ...]
    pair: Pair
    moat: str
    direction: Side
    score: float
    seen_at: int
    known_at: int
    outcome: float | None = None
    meta: dict[str, Scalar] = {}

    def __post_init__(self) -> None:
        if not self.id or self.known_at < self.seen_at:
            raise DataError(
                f"memory {self.id!r}: no id, or known at {self.known_at} before it was seen at {self.seen_at}"
            )
        if not 0.0 < math.hypot(*self.vector) < math.inf:
            raise DataError(f"memory {self.id}: its vector must be finite and not all zeros")
        if not (0.0 <= self.score <= 1.0 and (self.outcome is None or math.isfinite(self.outcome))):
            raise DataError(f"memory {self.id}: score {self.score}, outcome {self.outcome}: not a score or a ratio")
        if self.meta:
            _refuse_unfit(self.id, self.meta)


_SCALARS, _NUMBERS = (str, int, float, bool), (int, float)  # a union would be made anew with every look


def _refuse_unfit(name: str, meta: dict[str, Scalar]) -> None:
    for key, value in meta.items():
        if not isinstance(value, _SCALARS) or not isinstance(key, str):
            raise DataError(f"memory {name}: meta {key!r} is {type(value).__name__}; leave out what is not known")
        if isinstance(value, _NUMBERS) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
            raise DataError(f"memory {name}: meta {key!r} is {value}, beyond 64 bits; leave out what is not known")


def present(**fields: Scalar | None) -> dict[str, Scalar]:
    """Metadata of what is known: the fields that are not None.

    >>> present(learner="a1", parent=None)
    {'learner': 'a1'}
    """
    return {name: value for name, value in fields.items() if value is not None}


_decoder = msgspec.json.Decoder(MemoryRecord)


def encoded(record: MemoryRecord) -> bytes:
    """The record as the ledger keeps it: canonical JSON, absent fields left out."""
    return encode(record)


def decoded(body: bytes) -> MemoryRecord:
    """The record of a ledger body; DataError when it is none."""
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise DataError(f"not a memory record: {error}") from error


def embed(features: FloatArray, clip: float, min_known_ratio: float) -> FloatArray | None:
    """The vector of a moment: `features` (n,) of a snapshot, clipped at +-`clip`; a new array (n,).

    A feature that is not known (NaN) becomes 0 and so adds nothing to a cosine. None where less than
    `min_known_ratio` of the features are known or all of them are 0: such a moment resembles nothing. There is no
    argument for an outcome, a price or an account.
    """
    vector = np.empty(features.shape[0])
    known, some = _clip(features, clip, vector)
    return vector if some and known >= min_known_ratio * features.shape[0] else None


@njit(cache=True)
def _clip(features: FloatArray, clip: float, vector: FloatArray) -> tuple[int, bool]:
    """Fills the vector; how many features are known, and whether any of them says something."""
    known, some = 0, False
    for index in range(features.shape[0]):
        value = features[index]
        if not math.isfinite(value):
            vector[index] = 0.0
            continue
        vector[index] = clip if value > clip else -clip if value < -clip else value
        known += 1
        some |= vector[index] != 0.0
    return known, some


class Where(NamedTuple):
    """A filter on metadata: a record passes when each field that is not empty names its value."""

    namespaces: tuple[Namespace, ...] = ()
    pairs: tuple[Pair, ...] = ()
    moats: tuple[str, ...] = ()
    directions: tuple[Side, ...] = ()
    with_outcome: bool = False


ANYWHERE = Where()


class Similar(msgspec.Struct, frozen=True, gc=False):
    """A record and its cosine similarity with the query, in [-1, 1]."""

    record: MemoryRecord
    similarity: float


class Cluster(NamedTuple):
    """Records that lie together. `centre` (dimensions,) has length 1; `mean_pnl` and `success_ratio` are None
    where no outcome is known."""

    centre: FloatArray
    records: tuple[MemoryRecord, ...]
    success_ratio: float | None
    mean_pnl: float | None


class Action(StrEnum):
    """What memory advises."""

    BUY = "BUY"
    BUY_SMALL = "BUY_SMALL"
    AVOID = "AVOID"
    OBSERVE = "OBSERVE"


class Recommendation(msgspec.Struct, frozen=True):
    """Advice from `similar` records with a known outcome, nearest first.

    `success_ratio` is the share of them that made money, `mean_pnl` their mean net profit as a ratio; None where
    there are none. `confidence` in [0, 1] is the share that agrees with the advice, shrunk towards one half by one
    imagined outcome of either kind (Laplace's rule of succession); 0 for OBSERVE.
    """

    action: Action
    confidence: float
    similar: tuple[str, ...]
    success_ratio: float | None
    mean_pnl: float | None
    reason: str


def judged(records: Sequence[MemoryRecord]) -> tuple[float | None, float | None]:
    """Success ratio and mean profit of the records whose outcome is known, None and None where there are none.

    A record succeeded when its outcome is above zero. The sum is exact (`math.fsum`): the order does not matter.
    """
    outcomes = [record.outcome for record in records if record.outcome is not None]
    if not outcomes:
        return None, None
    won = len([outcome for outcome in outcomes if outcome > 0.0])
    return won / len(outcomes), math.fsum(outcomes) / len(outcomes)


def recommend(found: Sequence[Similar], rule: MemorySettings) -> Recommendation:
    """Advice over wins and losses together; a record without an outcome, or less similar than the rule asks, is
    not counted.

    In this order: enough similar records, success and profit give BUY; fewer, with more wins than losses,
    BUY_SMALL; a mean loss or rare success AVOID; everything else OBSERVE. All comparisons of ratios are strict.
    """
    least = rule.min_similarity
    near = [one.record for one in found if one.similarity >= least and one.record.outcome is not None]
    success, mean = judged(near)
    ids = tuple([record.id for record in near])
    if success is None or mean is None:
        return Recommendation(Action.OBSERVE, 0.0, ids, None, None, "nothing similar with a known outcome")
    action = _action(len(near), success, mean, rule)
    reason = f"{len(near)} similar, {success:.0%} won, mean {mean:+.2%}"
    return Recommendation(action, _confidence(action, len(near), success), ids, success, mean, reason)


def _action(count: int, success: float, mean: float, rule: MemorySettings) -> Action:
    if count >= rule.buy_min_similar and success > rule.buy_min_success and mean > rule.buy_min_profit_ratio:
        return Action.BUY
    if count >= rule.small_min_similar and success > rule.small_min_success:
        return Action.BUY_SMALL
    if mean < rule.avoid_profit_ratio or success < rule.avoid_success:
        return Action.AVOID
    return Action.OBSERVE


def _confidence(action: Action, count: int, success: float) -> float:
    if action is Action.OBSERVE:
        return 0.0
    agree = round(success * count)
    return ((count - agree if action is Action.AVOID else agree) + 1) / (count + 2)
