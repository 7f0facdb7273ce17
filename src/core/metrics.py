"""Measures of returns and trades: what a run is worth, defined once, for reports and for tests alike.

Money is summed exactly in Decimal, ratios are floats. A measure that is not defined is None, never 0 and never NaN.
None of these figures is read by a decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate

import msgspec
import numpy as np

from .timeframes import DAY_MS
from .types import FloatArray, IntArray, Trade

ANNUAL_DAYS = 365
"""Crypto markets trade every day, so daily figures are annualised with 365 (a definition, not a setting)."""

_ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""A deviation of ratios below this is the rounding of divisions, not risk."""


class TradeStats(msgspec.Struct, frozen=True):
    """Closed trades summed up. `profit`, `fees` and `slippage` in quote currency, exact.

    `profit_ratio` is of the start equity, `mean_profit_ratio` the mean of the trades' own net ratios. A draw is a
    trade with a profit of exactly 0; `win_ratio` counts it among the trades. None: not defined, as without trades.
    """

    trades: int
    wins: int
    draws: int
    losses: int
    profit: Decimal
    profit_ratio: float
    mean_profit_ratio: float | None
    mean_duration_ms: float | None
    win_ratio: float | None
    profit_factor: float | None
    fees: Decimal
    slippage: Decimal


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall from a peak: `ratio` in [0, 1] of the peak, `peak` and `trough` as positions in the curve."""

    ratio: float
    peak: int
    trough: int


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum of money; 0 of nothing.

    >>> total([Decimal("0.1"), Decimal("0.2")])
    Decimal('0.3')
    """
    return sum(amounts, Decimal(0))


def profit_factor(profits: Sequence[Decimal]) -> float | None:
    """Gross profit / gross loss of trades; None where nothing was lost (there is no finite factor).

    >>> profit_factor([Decimal(3), Decimal(-2)])
    1.5
    """
    lost = total(p for p in profits if p < 0)
    return float(total(p for p in profits if p > 0) / -lost) if lost else None


def trade_stats(trades: Sequence[Trade], start: Decimal) -> TradeStats:
    """Sum up closed trades against a start equity `start` > 0 (quote currency).

    >>> trade_stats([], Decimal(100)).profit_ratio
    0.0
    """
    profits = [trade.profit for trade in trades]
    wins, losses = sum(p > 0 for p in profits), sum(p < 0 for p in profits)
    profit = total(profits)
    return TradeStats(
        trades=len(trades),
        wins=wins,
        draws=len(trades) - wins - losses,
        losses=losses,
        profit=profit,
        profit_ratio=float(profit / start),
        mean_profit_ratio=float(total(t.profit_ratio for t in trades) / len(trades)) if trades else None,
        mean_duration_ms=mean([float(trade.exit_at - trade.entry_at) for trade in trades]),
        win_ratio=wins / len(trades) if trades else None,
        profit_factor=profit_factor(profits),
        fees=total(trade.fees for trade in trades),
        slippage=total(trade.slippage for trade in trades),
    )


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean of finite numbers, correctly rounded sum; None of nothing.

    >>> mean([1.0, 2.0]), mean([])
    (1.5, None)
    """
    return math.fsum(values) / len(values) if values else None


def streaks(profits: Sequence[Decimal]) -> tuple[int, int]:
    """The longest unbroken runs of (wins, losses), in the order given; a draw breaks both.

    >>> streaks([Decimal(1), Decimal(2), Decimal(-1)])
    (2, 1)
    """
    wins = max(accumulate(profits, lambda run, p: run + 1 if p > 0 else 0, initial=0))
    losses = max(accumulate(profits, lambda run, p: run + 1 if p < 0 else 0, initial=0))
    return wins, losses


def system_quality(profits: Sequence[Decimal]) -> float | None:
    """System quality number, sqrt(n) * mean / sample deviation of trade profits (Van Tharp).

    None with fewer than two trades or where all profits are equal.

    >>> system_quality([Decimal(1), Decimal(3)])
    2.0
    """
    if len(profits) < 2 or len(set(profits)) == 1:
        return None
    values = np.array([float(p) for p in profits])
    return float(math.sqrt(len(values)) * values.mean() / values.std(ddof=1))


def closed_equity(trades: Sequence[Trade], start: Decimal) -> tuple[IntArray, FloatArray]:
    """Start equity plus cumulative closed profit: times (n,) UTC ms in order of exit, values (n,) quote currency.

    >>> closed_equity([], Decimal(100))[1].tolist()
    []
    """
    ordered = sorted(trades, key=lambda trade: trade.exit_at)
    values = list(accumulate((trade.profit for trade in ordered), initial=start))[1:]
    times = np.array([trade.exit_at for trade in ordered], np.int64)
    return times, np.array([float(value) for value in values], np.float64)


def max_drawdown(equity: FloatArray) -> Drawdown:
    """Deepest fall of a curve (n,), n >= 1, of positive finite values: max over t of (peak_t - equity_t) / peak_t.

    The first of equal falls counts, and the last of equal peaks before it; a curve that never falls has ratio 0 at
    position 0.

    >>> max_drawdown(np.array([100.0, 120.0, 90.0, 130.0]))
    Drawdown(ratio=0.25, peak=1, trough=2)
    """
    peaks = np.maximum.accumulate(equity)
    trough = int(np.argmax(1.0 - equity / peaks))
    peak = trough - int(np.argmax(equity[trough::-1]))
    return Drawdown(float((equity[peak] - equity[trough]) / equity[peak]), peak, trough)


def day_of(at: int) -> int:
    """The UTC day (days since 1970) that an instant closes: midnight still belongs to the day before.

    A bar is known at its close, so the last bar of a day is known at midnight.

    >>> day_of(86_400_000), day_of(86_400_001)
    (0, 1)
    """
    return (at - 1) // DAY_MS


def daily_last(times: IntArray, values: FloatArray, first_day: int, last_day: int, start: float) -> FloatArray:
    """The last value of each day, shape (last_day - first_day + 1,); a day without a value keeps the one before.

    `times` (n,) UTC ms rising, `values` (n,). Days as `day_of` counts them. Before the first value stands `start`.

    >>> daily_last(np.array([86_400_000, 90_000_000]), np.array([5.0, 7.0]), 0, 2, 1.0).tolist()
    [5.0, 7.0, 7.0]
    """
    ends = (np.arange(first_day, last_day + 1, dtype=np.int64) + 1) * DAY_MS
    places = np.searchsorted(times, ends, side="right")
    return np.concatenate(([start], values))[places]


def daily_returns(daily: FloatArray, start: float) -> FloatArray:
    """Simple returns of daily values (n,), the first against `start`; shape (n,). Values must be positive.

    >>> daily_returns(np.array([110.0, 99.0]), 100.0).round(12).tolist()
    [0.1, -0.1]
    """
    before = np.concatenate(([start], daily[:-1]))
    return daily / before - 1.0


def sharpe(returns: FloatArray) -> float | None:
    """Annualised Sharpe ratio of daily returns (n,), risk-free rate 0: mean / sample deviation * sqrt(365).

    None with fewer than two days or without deviation. Source: Sharpe (1994), "The Sharpe Ratio".

    >>> round(sharpe(np.array([0.01, 0.03])), 6)
    27.018512
    """
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(ANNUAL_DAYS) if deviation > _ROUNDING else None


def sortino(returns: FloatArray) -> float | None:
    """Annualised Sortino ratio of daily returns (n,), target 0: mean / sqrt(mean(min(r, 0)^2)) * sqrt(365).

    None with fewer than two days or without a losing day. Source: Sortino and Price (1994).

    >>> round(sortino(np.array([0.02, -0.01])), 6)
    13.509256
    """
    if len(returns) < 2:
        return None
    downside = math.sqrt(float((np.minimum(returns, 0.0) ** 2).mean()))
    return float(returns.mean()) / downside * math.sqrt(ANNUAL_DAYS) if downside > _ROUNDING else None


def growth_per_year(start: float, end: float, days: float) -> float | None:
    """Compound annual growth rate (end / start) ** (365 / days) - 1.

    None for less than one day, or where it is too large for a float.

    >>> round(growth_per_year(100.0, 121.0, 730.0), 12)
    0.1
    """
    if days < 1 or end < 0:
        return None
    try:
        return float((end / start) ** (ANNUAL_DAYS / days) - 1.0)
    except OverflowError:
        return None


def calmar(growth: float | None, drawdown: float) -> float | None:
    """Annual growth / greatest drawdown; None where either is missing. Source: Young (1991).

    >>> calmar(0.2, 0.1)
    2.0
    """
    return growth / drawdown if growth is not None and drawdown > 0 else None


def buy_and_hold(first: FloatArray, closes: FloatArray) -> FloatArray:
    """Growth of equal stakes bought at each pair's first close and held, before costs.

    `first` (pairs,), `closes` (n, pairs); result (n,), 1 is the start. A stake waits as cash while its pair's close
    is NaN; a pair whose first close is NaN never had one and is left out. All ones where no pair ever had one.

    >>> buy_and_hold(np.array([10.0, 5.0]), np.array([[10.0, np.nan], [12.0, 5.0]])).tolist()
    [1.0, 1.1]
    """
    known = ~np.isnan(first)
    if not known.any():
        return np.ones(len(closes))
    growth = closes[:, known] / first[known]
    return np.where(np.isnan(growth), 1.0, growth).mean(axis=1)


def market_change(first: FloatArray, last: FloatArray) -> float | None:
    """Mean over pairs of last / first close - 1; shapes (pairs,). None where no pair ever had a close.

    >>> round(market_change(np.array([10.0, 5.0]), np.array([11.0, 4.0])), 12)
    -0.05
    """
    known = ~np.isnan(first)
    return float((last[known] / first[known] - 1.0).mean()) if known.any() else None
