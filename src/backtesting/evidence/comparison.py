"""Says of an arm and what it is held against whether it is better, by how much, how surely, and what could be seen.

The answer is that of a paired test on daily returns. Two things more are asked before an arm is called better: that
it earns something itself, because who trades less than a loser only loses less, and that a placebo did not do as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np

from ...core.config import StatisticsSettings
from ...core.inference import Interval, mean_interval, student_quantile
from ...core.metrics import ANNUAL_DAYS
from ...core.randomness import generator_for
from ...core.types import FloatArray, Trade

SUPPORTED, NOT_SUPPORTED, CANNOT_TELL = "supported", "not supported", "cannot tell"

POWER = 0.80
"""With which the smallest effect that would have been found is stated; the convention of the field (Cohen, 1988)."""
RELEVANT_SHARPE = 1.0
"""Annual Sharpe ratio of a difference from which it matters; a test that could not see it cannot rule it out."""

_NORMAL = NormalDist()


class Trades(msgspec.Struct, frozen=True):
    """How often each side traded: who never did has differed from a loser all the same."""

    arm: int
    reference: int
    placebo: int


class Question(msgspec.Struct, frozen=True):
    """Whether `arm` is better than `reference`; daily returns (days,) of the same days, as is that of the placebo."""

    name: str
    arm: FloatArray
    reference: FloatArray
    placebo: FloatArray | None
    says: str
    trades: Trades


class Paired(msgspec.Struct, frozen=True):
    """The daily difference of two returns; None where there are too few days or nothing ever differed."""

    interval: Interval | None
    why: str


def paired(first: FloatArray, second: FloatArray, rule: StatisticsSettings, seed: int, name: str) -> Paired:
    """Mean daily difference of `first` less `second`, both (days,), with its block-bootstrap interval."""
    difference, least = first - second, rule.min_blocks * rule.block_days
    if len(difference) < least:
        return Paired(None, f"{len(difference)} days are fewer than {least}")
    if not difference.any():
        return Paired(None, "both came to the same on every day")
    random = generator_for(seed, f"comparison:{name}")
    return Paired(mean_interval(difference, rule.block_days, rule.draws, rule.confidence_ratio, random), "")


def least_found(interval: Interval, block: int, confidence: float) -> float:
    """The smallest true mean that would have been found with a chance of `POWER`.

    (t(1 - alpha / 2) + z(power)) standard errors, t with as many degrees of freedom as there are whole blocks, less
    one. Source: the usual formula of the detectable effect, e.g. Bloom (1995), "Minimum detectable effects".
    """
    t = student_quantile(0.5 + 0.5 * confidence, interval.size // block - 1)
    return (t + _NORMAL.inv_cdf(POWER)) * interval.error


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected so that any false finding among all has a chance of at most the level. Source: Holm (1979).

    >>> [round(one, 3) for one in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order, corrected, highest = sorted(range(len(p)), key=lambda place: p[place]), [1.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = highest
    return corrected


def judged(questions: Sequence[Question], rule: StatisticsSettings, seed: int, trials: int) -> list[dict[str, Any]]:
    """The answer to each question in plain JSON types; None where a figure is not defined, with the reason.

    The family of the correction is all `trials`, also those that could not be answered and those tried before:
    nobody shall choose the questions after the answers. Figures are daily, but those called annual.
    """
    found = [paired(one.arm, one.reference, rule, seed, one.name) for one in questions]
    p = [1.0 if pair.interval is None else pair.interval.p for pair in found]
    corrected = holm(p + [1.0] * (trials - len(p)))
    return [
        _answer(one, pair, adjusted, rule, seed)
        for one, pair, adjusted in zip(questions, found, corrected, strict=False)
    ]


def _answer(
    one: Question, pair: Paired, adjusted: float, rule: StatisticsSettings, seed: int
) -> dict[str, Any]:  # fmt: skip
    interval = pair.interval
    told = {
        "name": one.name, "days": len(one.arm), "arm_trades": one.trades.arm, "reference_trades": one.trades.reference,
        "arm_mean": _mean(one.arm), "reference_mean": _mean(one.reference),
    }  # fmt: skip
    if interval is None:
        undefined = dict.fromkeys(("difference", "low", "high", "p", "p_family", "effect_size", "least_found"))
        says = f"{one.says}: it cannot be told, {pair.why} ({_traded(one.trades)})."
        return {**told, **undefined, "annual": None, "placebo": None, "verdict": CANNOT_TELL, "says": says}
    spread = float((one.arm - one.reference).std(ddof=1))
    least = least_found(interval, rule.block_days, rule.confidence_ratio)
    placebo = _placebo(one, rule, seed)
    figures = {
        "difference": interval.estimate, "low": interval.low, "high": interval.high, "p": interval.p,
        "p_family": adjusted, "effect_size": interval.estimate / spread, "least_found": least,
        "annual": _annual(interval, least, spread),
    }  # fmt: skip
    verdict, why = _verdict(told, figures, placebo, 1.0 - rule.confidence_ratio)
    return {**told, **figures, "placebo": placebo, "verdict": verdict, "says": _sentence(one, figures, why)}


def _annual(interval: Interval, least: float, spread: float) -> dict[str, float]:
    """The difference a year, and as Sharpe ratios what was found and what would have been."""
    root = math.sqrt(ANNUAL_DAYS)
    return {
        "difference": ANNUAL_DAYS * interval.estimate,
        "sharpe": root * interval.estimate / spread,
        "least_found_sharpe": root * least / spread,
    }


def _placebo(one: Question, rule: StatisticsSettings, seed: int) -> dict[str, Any] | None:
    """The placebo against the reference, and the arm against the placebo; `improves`: so would nothing have."""
    if one.placebo is None:
        return None
    against = paired(one.placebo, one.reference, rule, seed, f"{one.name}:placebo").interval
    beaten = paired(one.arm, one.placebo, rule, seed, f"{one.name}:beaten").interval
    return {
        "mean": _mean(one.placebo),
        "trades": one.trades.placebo,
        "difference": None if against is None else against.estimate,
        "improves": against is not None and against.low > 0.0,
        "arm_difference": None if beaten is None else beaten.estimate,
        "beaten": beaten is not None and beaten.low > 0.0,
    }


def _verdict(
    told: Mapping[str, Any], figures: Mapping[str, Any], placebo: Mapping[str, Any] | None, level: float
) -> tuple[str, str]:
    """The verdict and why."""
    if not told["arm_trades"]:
        return CANNOT_TELL, "it cannot be told, because it never traded"
    if placebo is not None and placebo["improves"]:
        silent = "" if placebo["trades"] else " by never trading"
        return CANNOT_TELL, f"it cannot be told, because a placebo improves on it as well{silent}"
    if figures["low"] > 0.0 and told["arm_mean"] <= 0.0:
        return NOT_SUPPORTED, "not supported: it only loses less, its own mean is not above zero"
    if figures["high"] < 0.0:
        silent = "" if told["reference_trades"] else " than one that never traded"
        return NOT_SUPPORTED, f"not supported: it does worse{silent}"
    if figures["low"] > 0.0:
        return _found(figures, placebo, level)
    if figures["annual"]["least_found_sharpe"] <= RELEVANT_SHARPE:
        return NOT_SUPPORTED, "not supported: an effect worth having would have been found"
    return CANNOT_TELL, "it cannot be told: an effect worth having could have been missed"


def _found(figures: Mapping[str, Any], placebo: Mapping[str, Any] | None, level: float) -> tuple[str, str]:
    if figures["p_family"] > level:
        return CANNOT_TELL, "it cannot be told: among so many comparisons one like this comes by chance"
    if placebo is None:
        return CANNOT_TELL, "it cannot be told: there is no placebo beside it"
    if not placebo["beaten"]:
        return CANNOT_TELL, "it cannot be told: it is not surely better than the placebo"
    return SUPPORTED, "supported"


def _sentence(one: Question, figures: Mapping[str, Any], why: str) -> str:
    shown, low, high, least = (100 * figures[name] for name in ("difference", "low", "high", "least_found"))
    power = f"{least:.4f} % a day would have been found with {POWER:.0%}; {_traded(one.trades)}"
    return (
        f"{one.says}: {why} ({shown:+.4f} % a day, interval [{low:+.4f}, {high:+.4f}], family p "
        f"{figures['p_family']:.3f}; {power})."
    )


def _traded(trades: Trades) -> str:
    return f"{trades.arm:,} trades against {trades.reference:,}, placebo {trades.placebo:,}"


def _mean(returns: FloatArray) -> float | None:
    return float(returns.mean()) if len(returns) else None


def thinned(trades: Sequence[Trade], count: int, seed: int, name: str) -> list[Trade]:
    """`count` of the trades drawn at random without replacement, in their order: the placebo of every filter.

    Source of the fault it guards against: a filter of a losing book improves it whatever it filters by.
    """
    random = generator_for(seed, f"comparison:thinned:{name}")
    kept = random.choice(len(trades), min(count, len(trades)), replace=False) if trades else np.empty(0, np.int64)
    return [trades[place] for place in sorted(kept.tolist())]
