"""Whether losses beyond the value at risk come as often, and as unconnected, as it promises."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ...core.types import BoolArray, FloatArray


class Exceptions(msgspec.Struct, frozen=True):
    """Losses beyond the value at risk: how many of how many, the share expected, and p values of three tests.

    `coverage_p` (Kupiec): are there as many as promised; `independence_p` (Christoffersen): does one follow another
    more often than chance; `conditional_p`: both at once. None where a test has nothing to judge.
    """

    exceptions: int
    observations: int
    expected_ratio: float
    coverage_p: float | None
    independence_p: float | None
    conditional_p: float | None


def value_at_risk(returns: FloatArray, tail: float) -> float:
    """The historical value at risk: minus the `tail` quantile of returns (n,), lower of two neighbours.

    >>> value_at_risk(np.array([-0.03, 0.01, 0.02, 0.0]), 0.25)
    0.03
    """
    ordered = np.sort(returns)
    return -float(ordered[max(0, math.ceil(tail * len(ordered)) - 1)])


def rolling_exceptions(returns: FloatArray, window: int, tail: float) -> BoolArray:
    """Which returns after the first `window` fell below the quantile of the `window` before them; (n - window,)."""
    return np.array(
        [returns[at] < -value_at_risk(returns[at - window : at], tail) for at in range(window, len(returns))],
        dtype=np.bool_,
    )


def judged(hits: BoolArray, tail: float) -> Exceptions:
    """Judge exceptions (n,) in order of time against the promised share `tail` in (0, 1).

    Sources: Kupiec (1995), likelihood ratio of unconditional coverage, chi-squared with one degree of freedom;
    Christoffersen (1998), independence (one degree) and conditional coverage (two).
    """
    count, total = int(hits.sum()), int(hits.shape[0])
    coverage = _coverage(count, total, tail) if total else None
    independence = _independence(hits)
    both = None if coverage is None or independence is None else coverage + independence
    return Exceptions(
        exceptions=count,
        observations=total,
        expected_ratio=tail,
        coverage_p=None if coverage is None else chi_squared_one(coverage),
        independence_p=None if independence is None else chi_squared_one(independence),
        conditional_p=None if both is None else math.exp(-max(both, 0.0) / 2.0),
    )


def chi_squared_one(statistic: float) -> float:
    """Probability of at least `statistic` under chi-squared with one degree of freedom: erfc(sqrt(x / 2)).

    >>> round(chi_squared_one(3.841458820694124), 6)
    0.05
    """
    return math.erfc(math.sqrt(max(statistic, 0.0) / 2.0))


def _log_likelihood(hits: int, total: int, share: float) -> float:
    """Of `hits` of `total` at probability `share`, with 0 log 0 = 0; -inf where it cannot happen."""
    if (hits and share <= 0.0) or (total > hits and share >= 1.0):
        return -math.inf
    return (hits * math.log(share) if hits else 0.0) + ((total - hits) * math.log1p(-share) if total > hits else 0.0)


def _coverage(hits: int, total: int, tail: float) -> float:
    return -2.0 * (_log_likelihood(hits, total, tail) - _log_likelihood(hits, total, hits / total))


def _independence(hits: BoolArray) -> float | None:
    """None unless something follows an exception and something follows none."""
    before, after = hits[:-1], hits[1:]
    follows, calm = int(before.sum()), int((~before).sum())
    if not follows or not calm or not hits.any():
        return None
    one, zero = int(after[before].sum()), int(after[~before].sum())
    apart = _log_likelihood(one, follows, one / follows) + _log_likelihood(zero, calm, zero / calm)
    together = _log_likelihood(one + zero, follows + calm, (one + zero) / (follows + calm))
    return -2.0 * (together - apart)
