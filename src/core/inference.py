"""How sure a mean is whose neighbours in time depend on each other, and what is left of many tests.

None of these figures is read by a decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np

from .errors import InvariantError
from .types import FloatArray

_NORMAL = NormalDist()


class Interval(msgspec.Struct, frozen=True):
    """A mean and where it may lie. `error` is its standard error, `p` of a mean of 0, two-sided; `size` values."""

    estimate: float
    low: float
    high: float
    error: float
    p: float
    size: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0.0 or self.high < 0.0


def mid_ranks(values: FloatArray) -> FloatArray:
    """Ranks 1 .. n of finite values (n,); equal ones share the mean of theirs.

    >>> mid_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - 0.5 * (counts - 1))[places])


def block_means(values: FloatArray, block: int, draws: int, random: np.random.Generator) -> FloatArray:
    """Means (draws,) of `values` (n,) put together anew from blocks of `block` neighbours, around the end.

    Blocks are drawn with replacement, the last one cut so that each mean is of n values. `values` finite, n >= block.
    Source: circular block bootstrap, Politis and Romano (1992).
    """
    size = len(values)
    if not 1 <= block <= size:
        raise InvariantError(f"blocks of {block} out of {size} values")
    whole, rest = divmod(size, block)
    sums = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[:block])))))
    drawn = random.integers(0, size, (draws, whole))
    total = (sums[drawn + block] - sums[drawn]).sum(axis=1)
    if rest:
        last = random.integers(0, size, draws)
        total += sums[last + rest] - sums[last]
    return np.asarray(total / size)


def mean_interval(
    values: FloatArray, block: int, draws: int, confidence: float, random: np.random.Generator
) -> Interval | None:
    """The mean of `values` (n,), finite, and its interval by `block_means`; None with fewer than two whole blocks.

    For paired comparisons give differences. Blocks must be longer than neighbours depend on each other. With k =
    n // block blocks the drawn deviations are widened by sqrt(k / (k - 1)), because they are around the mean of the
    sample and not the true one, and by Student's quantile for k - 1 degrees over the normal one, because few blocks
    do not know their own spread.
    """
    blocks = len(values) // block
    if blocks < 2:
        return None
    mean = float(values.mean())
    widened = math.sqrt(blocks / (blocks - 1))
    deviations = (block_means(values, block, draws, random) - mean) * widened
    error = float(deviations.std())
    upper = 0.5 + 0.5 * confidence
    stretch = student_quantile(upper, blocks - 1) / _NORMAL.inv_cdf(upper)
    below, above = np.quantile(deviations, [1.0 - upper, upper]).tolist()
    p = two_sided(mean / error, blocks - 1) if error > 0.0 else float(mean == 0.0)
    return Interval(mean, mean - stretch * above, mean - stretch * below, error, p, len(values))


def two_sided(t: float, freedom: float) -> float:
    """How often Student's t of so many degrees of freedom is further from 0 than `t`.

    By the normal distribution at (8 f + 1) / (8 f + 3) sqrt(f ln(1 + t^2 / f)); error below 0.003 from 3 degrees on.
    Source: Wallace (1959), "Bounds on normal approximations to Student's and the chi-square distributions".

    >>> round(two_sided(2.228, 10), 3)
    0.05
    """
    return math.erfc(_shrink(freedom) * math.sqrt(0.5 * freedom * math.log1p(t * t / freedom)))


def student_quantile(probability: float, freedom: float) -> float:
    """The value below which Student's t stays with `probability` in [0.5, 1); the inverse of `two_sided`.

    >>> round(student_quantile(0.975, 10), 2)
    2.23
    """
    normal = _NORMAL.inv_cdf(probability) / _shrink(freedom)
    return math.sqrt(freedom * math.expm1(normal * normal / freedom))


def _shrink(freedom: float) -> float:
    return (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)


def discoveries(p: Sequence[float], ratio: float) -> list[bool]:
    """Which of many tests to believe, so that at most `ratio` of those believed are expected to be false.

    The largest i with p(i) <= i ratio / n, and all that are not larger. Holds for independent and for positively
    dependent tests; where nothing is there at all, a single false discovery has a chance of at most `ratio`.
    Source: Benjamini and Hochberg (1995); dependence: Benjamini and Yekutieli (2001).

    >>> discoveries([0.01, 0.04, 0.03, 0.9], 0.05)
    [True, False, False, False]
    """
    ordered = sorted(p)
    passed = [value for rank, value in enumerate(ordered, 1) if value <= rank * ratio / len(ordered)]
    bar = max(passed, default=-1.0)
    return [value <= bar for value in p]
