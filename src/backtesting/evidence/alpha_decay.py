"""How fast an opinion loses its worth: its rank correlation with the move from each later moment on."""

from __future__ import annotations

import msgspec
import numpy as np

from ...core.inference import mid_ranks
from ...core.types import FloatArray

_FEWEST = 3


class Decay(msgspec.Struct, frozen=True):
    """Rank correlation (delays,) of opinions with the move that begins `delays` rows later; NaN where undefined.

    `half_life`: rows after which half of the first correlation is gone, by the first delay at or below it; None where
    it never is, or the first is not positive.
    """

    delays: tuple[int, ...]
    correlation: FloatArray
    half_life: int | None


def alpha_decay(opinions: FloatArray, closes: FloatArray, horizon: int, delays: tuple[int, ...]) -> Decay:
    """`opinions` and `closes` (rows, pairs); the move is log(close[t + d + horizon] / close[t + d]).

    Rows without opinion (NaN or 0) or close are left out. All pairs are ranked together.
    """
    found = np.array([_correlation(opinions, closes, horizon, delay) for delay in delays])
    return Decay(delays, found, _half_life(delays, found))


def rank_correlation(one: FloatArray, other: FloatArray) -> float:
    """Spearman's rho of two series (n,) by mid-ranks; NaN with fewer than three rows or where one is constant.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0]))
    1.0
    """
    if len(one) < _FEWEST:
        return float("nan")
    first, second = mid_ranks(one), mid_ranks(other)
    first, second = first - first.mean(), second - second.mean()
    power = float((first**2).sum() * (second**2).sum())
    return float((first * second).sum()) / power**0.5 if power > 0.0 else float("nan")


def _correlation(opinions: FloatArray, closes: FloatArray, horizon: int, delay: int) -> float:
    rows = len(closes) - horizon - delay
    if rows < 1:
        return float("nan")
    said = opinions[:rows]
    begin, end = closes[delay : delay + rows], closes[delay + horizon : delay + horizon + rows]
    known = np.isfinite(said) & (said != 0.0) & np.isfinite(begin) & np.isfinite(end)
    return rank_correlation(said[known], np.log(end[known] / begin[known]))


def _half_life(delays: tuple[int, ...], found: FloatArray) -> int | None:
    if not len(found) or not found[0] > 0.0:
        return None
    return next((delay for delay, value in zip(delays, found, strict=True) if value <= found[0] / 2.0), None)
