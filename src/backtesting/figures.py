"""Figures of a report that no decision reads: drawdowns one by one, months, years, rolling risk, calibration.

Ratios are of 1; a figure that is not defined is None or NaN as said, never 0. Formulas: docs/formulas.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec
import numpy as np

from ..core.metrics import ANNUAL_DAYS
from ..core.types import FloatArray, IntArray, Trade

_ROUNDING = 8 * float(np.finfo(np.float64).eps)


class Fall(msgspec.Struct, frozen=True):
    """A drawdown: `ratio` below the peak, positions of peak, trough and recovery in the curve; None: not recovered."""

    ratio: float
    peak: int
    trough: int
    recovery: int | None


class Bin(msgspec.Struct, frozen=True):
    """One point of a calibration curve: mean predicted and realised log return of `count` trades.

    `error`: standard error of the realised mean, None with fewer than two trades.
    """

    predicted: float
    realised: float
    count: int
    error: float | None


def falls(curve: FloatArray) -> list[Fall]:
    """Every drawdown of a curve (n,) of positive values, deepest first; equal ones in order of time.

    A drawdown begins at the last point of a peak, ends at the first point that is not below it.

    >>> falls(np.array([4.0, 3.0, 4.0, 2.0]))
    [Fall(ratio=0.5, peak=2, trough=3, recovery=None), Fall(ratio=0.25, peak=0, trough=1, recovery=2)]
    """
    if not len(curve):
        return []
    below = np.concatenate(([False], curve < np.maximum.accumulate(curve), [False]))
    turns = np.flatnonzero(np.diff(below.astype(np.int8)))
    found = []
    for begin, end in zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True):
        trough = begin + int(np.argmin(curve[begin:end]))
        peak = float(curve[begin - 1])
        ratio = (peak - float(curve[trough])) / peak
        found.append(Fall(ratio, begin - 1, trough, end if end < len(curve) else None))
    return sorted(found, key=lambda fall: (-fall.ratio, fall.peak))


def underwater(curve: FloatArray) -> FloatArray:
    """How far each point of a positive curve (n,) is below the highest so far, in [-1, 0]."""
    return curve / np.maximum.accumulate(curve) - 1.0


def by_period(days: IntArray, returns: FloatArray, unit: str) -> dict[str, float]:
    """Compounded daily returns by month (`M`) or year (`Y`): prod(1 + r) - 1; days since 1970, both (n,).

    >>> {k: round(v, 6) for k, v in by_period(np.array([30, 31]), np.array([0.1, 0.2]), "M").items()}
    {'1970-01': 0.1, '1970-02': 0.2}
    """
    names = days.astype("datetime64[D]").astype(f"datetime64[{unit}]").astype(str).tolist()
    growth: dict[str, float] = {}
    for name, change in zip(names, returns.tolist(), strict=True):
        growth[name] = growth.get(name, 1.0) * (1.0 + change)
    return {name: value - 1.0 for name, value in growth.items()}


def rolling_sharpe(returns: FloatArray, window: int) -> FloatArray:
    """Annualised Sharpe ratio of the last `window` daily returns, (n,); NaN before that many and without deviation."""
    rolled = np.full(len(returns), np.nan)
    if len(returns) < window or window < 2:
        return rolled
    views = np.lib.stride_tricks.sliding_window_view(returns, window)
    deviation = views.std(axis=1, ddof=1)
    known = deviation > _ROUNDING
    rolled[window - 1 :][known] = views.mean(axis=1)[known] / deviation[known] * math.sqrt(ANNUAL_DAYS)
    return rolled


def volatility(returns: FloatArray) -> float | None:
    """Annualised sample deviation of daily returns (n,): std * sqrt(365); None with fewer than two days.

    >>> round(volatility(np.array([0.01, 0.03])), 6)
    0.270185
    """
    return float(returns.std(ddof=1)) * math.sqrt(ANNUAL_DAYS) if len(returns) > 1 else None


def mean_fall(found: Sequence[Fall]) -> float | None:
    """Mean depth of all drawdowns; None without any."""
    return math.fsum(fall.ratio for fall in found) / len(found) if found else None


def longest_fall(found: Iterable[Fall], at: IntArray) -> int | None:
    """The longest time (ms) from a peak to its recovery, or to the end where there is none; None without drawdowns.

    `at` (n,) UTC ms: when each point of the curve was.
    """
    times = [int(at[len(at) - 1 if fall.recovery is None else fall.recovery] - at[fall.peak]) for fall in found]
    return max(times, default=None)


def exposure(trades: Sequence[Trade], begin: int, end: int) -> float | None:
    """Share of the time from `begin` to `end` (UTC ms) in which at least one of the trades was open; None of no time.

    Positions still open at the end must be given as (entry, end) by the caller. Overlaps count once.
    """
    return covered([(trade.entry_at, trade.exit_at) for trade in trades], begin, end)


def covered(spans: Iterable[tuple[int, int]], begin: int, end: int) -> float | None:
    """Share of [begin, end] that the spans cover together.

    >>> covered([(0, 4), (2, 6), (8, 12)], 0, 10)
    0.8
    """
    if end <= begin:
        return None
    total, reached = 0, begin
    for first, last in sorted(spans):
        first, last = max(first, reached), min(last, end)
        if last > first:
            total, reached = total + last - first, last
    return total / (end - begin)


def at_once(spans: Iterable[tuple[int, int]]) -> int:
    """The most spans that were open at once; one that ends where another begins does not count with it.

    >>> at_once([(0, 4), (2, 6), (4, 8)])
    2
    """
    steps = sorted(step for first, last in spans for step in ((first, 1), (last, -1)))
    most = now = 0
    for _, change in steps:
        now += change
        most = max(most, now)
    return most


def kelly(profit_ratios: Sequence[Decimal]) -> float | None:
    """Kelly fraction W - (1 - W) / (mean win / mean loss) of trades' net returns; draws count in neither mean.

    None without a winning or without a losing trade. Source: Kelly (1956), in the form for trades.

    >>> kelly([Decimal("0.02"), Decimal("-0.01")])
    0.25
    """
    wins = [float(ratio) for ratio in profit_ratios if ratio > 0]
    losses = [-float(ratio) for ratio in profit_ratios if ratio < 0]
    if not wins or not losses:
        return None
    share = len(wins) / len(profit_ratios)
    payoff = (math.fsum(wins) / len(wins)) / (math.fsum(losses) / len(losses))
    return share - (1.0 - share) / payoff


def expectancy_ratio(profits: Sequence[Decimal]) -> float | None:
    """(1 + mean win / mean loss) * win rate - 1, the expectancy for each unit that is lost in a losing trade.

    A draw is no win and no loss. None without trades or without a losing one. Source: Freqtrade's definition.

    >>> expectancy_ratio([Decimal(2), Decimal(-1)])
    0.5
    """
    wins = [float(profit) for profit in profits if profit > 0]
    losses = [-float(profit) for profit in profits if profit < 0]
    if not losses:
        return None
    payoff = (math.fsum(wins) / len(wins) if wins else 0.0) / (math.fsum(losses) / len(losses))
    return (1.0 + payoff) * len(wins) / len(profits) - 1.0


def histogram(values: FloatArray, bins: int) -> tuple[FloatArray, IntArray]:
    """Edges (k + 1,) and counts (k,) of finite values over their own range, 0 being an edge where it lies inside."""
    low, high = float(values.min()), float(values.max())
    if high - low <= _ROUNDING:
        return np.array([low - 0.0005, low + 0.0005]), np.array([len(values)], np.int64)
    width = (high - low) / bins
    edges: FloatArray = np.arange(math.floor(low / width), math.ceil(high / width) + 1, dtype=np.float64) * width
    edges[-1] = max(edges[-1], high)
    edges[0] = min(edges[0], low)
    return edges, np.histogram(values, edges)[0].astype(np.int64)


def calibration(predicted: FloatArray, realised: FloatArray, bins: int) -> list[Bin]:
    """Trades in order of prediction, cut into at most `bins` groups of equal size; log returns, both (n,).

    A group's point is the mean of what was predicted against the mean of what came. Source: reliability diagram,
    Murphy and Winkler (1977), for means instead of frequencies.
    """
    order = np.argsort(predicted, kind="stable")
    groups = np.array_split(order, min(bins, len(order))) if len(order) else []
    found = []
    for group in groups:
        came = realised[group]
        error = float(came.std(ddof=1)) / math.sqrt(len(group)) if len(group) > 1 else None
        found.append(Bin(float(predicted[group].mean()), float(came.mean()), len(group), error))
    return found


def days_of(first_day: int, count: int) -> IntArray:
    """Consecutive days since 1970, (count,)."""
    return np.arange(first_day, first_day + count, dtype=np.int64)
