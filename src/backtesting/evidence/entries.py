"""Whether the moments of entry were better than random moments, held as long and at the same cost."""

from __future__ import annotations

import msgspec
import numpy as np

from ...core.errors import UsageError
from ...core.types import FloatArray, IntArray


class EntrySkill(msgspec.Struct, frozen=True):
    """The mean net return of the entries, of random ones (mean of means), and how often random did as well.

    `p` = (1 + random draws at least as good) / (1 + draws), so it is never 0.
    """

    mean: float
    random_mean: float
    p: float
    entries: int
    draws: int


def across_pairs(
    closes: FloatArray, pairs: IntArray, entries: IntArray, held: IntArray, cost: float, draws: int,
    rng: np.random.Generator,
) -> EntrySkill:  # fmt: skip
    """Entries at rows `entries` (n,) held for `held` (n,) rows, of the `pairs` (n,) that are columns of `closes`
    (rows, all pairs), against the same entries at other times; `cost` a round trip.

    Each draw moves all entries by one random number of rows around the range, so that their spacing, their clustering
    in time and what the pairs have in common stay as they are: single random entries would forget that trades come in
    bunches. Rows without a close (NaN) take the last one known. UsageError without entries, or for one that begins or
    ends beyond the range.
    """
    if len(entries) == 0:
        raise UsageError("random entries: no trade to judge")
    if entries.min() < 0 or (entries + held).max() >= len(closes) or held.min() < 1:
        raise UsageError("random entries: a trade begins or ends outside the range")
    known = np.full(closes.shape, np.nan)
    for pair in np.unique(pairs).tolist():
        known[:, pair] = _filled(closes[:, pair])
    own = float(_net(known, pairs, entries, held, cost).mean())
    room = len(known) - int(held.max())
    means = np.array([
        float(_net(known, pairs, (entries + shift) % room, held, cost).mean())
        for shift in rng.integers(0, room, draws).tolist()
    ])  # fmt: skip
    return EntrySkill(
        mean=own,
        random_mean=float(means.mean()),
        p=(1.0 + float((means >= own).sum())) / (1.0 + draws),
        entries=len(entries),
        draws=draws,
    )


def _net(closes: FloatArray, pairs: IntArray, entries: IntArray, held: IntArray, cost: float) -> FloatArray:
    net: FloatArray = closes[entries + held, pairs] / closes[entries, pairs] - 1.0 - cost
    return net


def _filled(closes: FloatArray) -> FloatArray:
    known = np.isfinite(closes)
    if not known.any():
        raise UsageError("random entries: the pair has no close in the range")
    last = np.maximum.accumulate(np.where(known, np.arange(len(closes)), 0))
    first = int(np.argmax(known))
    return closes[np.maximum(last, first)]
