"""How much of a Sharpe ratio is luck: of a short history, of fat tails, and of having tried many strategies."""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec
import numpy as np

from ...core.types import FloatArray

_NORMAL = NormalDist()
_EULER = 0.57721566490153286
_FEWEST = 3


class Sharpe(msgspec.Struct, frozen=True):
    """A Sharpe ratio for one period (not annualised) with what its error depends on.

    `skew` and `kurtosis` are the standardised third and fourth moments, 0 and 3 for a normal distribution.
    """

    ratio: float
    observations: int
    skew: float
    kurtosis: float

    @property
    def error(self) -> float:
        """Its standard error, sqrt((1 - skew SR + (kurtosis - 1) / 4 SR^2) / (n - 1)).

        Source: Mertens (2002); Bailey and Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier.
        """
        spread = 1.0 - self.skew * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio**2
        return math.sqrt(max(spread, 0.0) / (self.observations - 1))


def measured(returns: FloatArray) -> Sharpe | None:
    """The Sharpe ratio of returns (n,) and its moments; None with fewer than three or without deviation.

    >>> measured(np.array([0.0, 0.0, 0.0])) is None
    True
    """
    if returns.shape[0] < _FEWEST:
        return None
    centred = returns - returns.mean()
    variance = float((centred**2).mean())
    if variance <= np.finfo(np.float64).tiny or math.sqrt(variance) < 8 * np.finfo(np.float64).eps:
        return None
    deviation = math.sqrt(variance)
    return Sharpe(
        ratio=float(returns.mean()) / float(returns.std(ddof=1)),
        observations=int(returns.shape[0]),
        skew=float((centred**3).mean()) / deviation**3,
        kurtosis=float((centred**4).mean()) / variance**2,
    )


def probabilistic(found: Sharpe, benchmark: float = 0.0) -> float:
    """Probability that the true ratio exceeds `benchmark` (for one period), given length, skew and tails.

    Source: Bailey and Lopez de Prado (2012).

    >>> round(probabilistic(Sharpe(0.1, 401, 0.0, 3.0)), 4)
    0.977
    """
    error = found.error
    if error == 0.0:
        return 1.0 if found.ratio > benchmark else 0.0
    return _NORMAL.cdf((found.ratio - benchmark) / error)


def expected_maximum(trials: int, deviation: float) -> float:
    """The largest Sharpe ratio to be expected of `trials` strategies without skill.

    `deviation` is that of the trials' ratios. deviation x ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), g Euler's constant;
    0 for one trial. Source: Bailey and Lopez de Prado (2014), The Deflated Sharpe Ratio.

    >>> expected_maximum(1, 0.5), round(expected_maximum(100, 1.0), 3)
    (0.0, 2.531)
    """
    if trials <= 1:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return deviation * ((1.0 - _EULER) * first + _EULER * second)


def deflated(found: Sharpe, trials: int, deviation: float | None = None) -> float:
    """Probability that the ratio exceeds what the best of `trials` strategies without skill would show.

    `deviation` of the trials' ratios; None: that of an estimate without skill, 1 / sqrt(n - 1), where the trials
    themselves were not kept. Source: Bailey and Lopez de Prado (2014).
    """
    spread = 1.0 / math.sqrt(found.observations - 1) if deviation is None else deviation
    return probabilistic(found, expected_maximum(trials, spread))


def least_observations(found: Sharpe, confidence: float, benchmark: float = 0.0) -> float | None:
    """How many periods are needed to hold the ratio for greater than `benchmark` at `confidence`; None where never.

    Source: the minimum track record length of Bailey and Lopez de Prado (2012).
    """
    if found.ratio <= benchmark:
        return None
    spread = 1.0 - found.skew * found.ratio + (found.kurtosis - 1.0) / 4.0 * found.ratio**2
    return 1.0 + max(spread, 0.0) * (_NORMAL.inv_cdf(confidence) / (found.ratio - benchmark)) ** 2
