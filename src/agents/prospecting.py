"""The eight-point score: what makes a pair worth a team, measured from bars and moats alone.

Volume 0-2, volatility 0-2, liquidity 0-1, trend 0-1, cross-moat 0-2; confidence is points / 8. A metric that
cannot be known is NO_DATA (NaN here) and the explorer abstains; it is never replaced by a neutral number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from ..core.config import Prospecting
from ..core.moats import MOATS, SPEAKING
from ..core.timeframes import DAY_MS, HOUR_MS
from ..core.types import STATUSES, BoolArray, FloatArray, IntArray, MoatView, Pair, Snapshot

POINTS = 8
VOLUME, VOLATILITY, SPREAD, TREND = range(4)
"""Columns of measures: turnover of a day in quote units, (highest - lowest) / close, spread, |trend|; NaN: NO_DATA.

The spread is the quoted one, and estimated from bars where nobody quotes.
"""

_HIGH, _LOW, _CLOSE, _TURNOVER, _PRODUCT = range(5)
_COLUMNS = 5
_NEVER = -(2**62)
_SPEAKS = np.array([status in SPEAKING for status in STATUSES])


class Window(NamedTuple):
    """Of one member: intervals of the day's window, steps of the trend, what scales the window's turnover to a day."""

    intervals: int
    trend: int
    day: float


class BarMemory:
    """The last bars of every pair on the grid of time, so that windows count time and never bars.

    The trend asks for closes of many days ago; they are kept to the hour (to the bar, where that is longer).
    """

    def __init__(self, pairs: int, interval_ms: int, settings: Prospecting) -> None:
        self._settings, self._interval_ms = settings, interval_ms
        self._step_ms = max(HOUR_MS, interval_ms)
        self.windows = tuple(self._window(factor) for factor in settings.lookback_factors)
        depth = max(window.intervals for window in self.windows) + 1
        self._bars = np.full((depth, _COLUMNS, pairs), np.nan)
        self._grids = np.full(depth, _NEVER, dtype=np.int64)
        steps = max(window.trend for window in self.windows) + 1
        self._closes = np.full((steps, pairs), np.nan)
        self._steps = np.full(steps, _NEVER, dtype=np.int64)

    def _window(self, factor: float) -> Window:
        intervals = _intervals(self._settings.window_hours * factor, self._interval_ms)
        trend = max(1, round(self._settings.trend_days * DAY_MS * factor / self._step_ms))
        return Window(intervals, trend, DAY_MS / (intervals * self._interval_ms))

    def push(self, snapshot: Snapshot) -> None:
        """Remember the bars of this slice."""
        bars = snapshot.bars
        if bars is not None:
            step = snapshot.at // self._step_ms
            columns = (bars.high, bars.low, bars.close, bars.volume, bars.present)
            _remember(self._bars, self._grids, self._closes, self._steps, snapshot.grid, step, *columns)

    def measures(self, snapshot: Snapshot, member: int) -> FloatArray:
        """The criteria of every pair as this member sees them, (pairs, 4)."""
        window = self.windows[member]
        out = np.full((snapshot.close.shape[0], 4), np.nan)
        least = self._settings.min_bars_ratio * window.intervals
        _measure(self._bars, self._grids, snapshot.grid, window.intervals, least, window.day, out)
        if snapshot.spreads is not None:
            out[:, SPREAD] = np.where(np.isnan(snapshot.spreads), out[:, SPREAD], snapshot.spreads)
        then = snapshot.at // self._step_ms - window.trend
        slot = then % self._steps.shape[0]
        if self._steps[slot] == then:
            out[:, TREND] = np.abs(snapshot.close / self._closes[slot] - 1.0)
        return out

    def state(self) -> dict[str, Any]:
        """The arrays."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for name, array in self._arrays().items():
            array[:] = state[name]

    def _arrays(self) -> dict[str, Any]:
        return {"bars": self._bars, "grids": self._grids, "closes": self._closes, "steps": self._steps}


def _intervals(hours: float, interval_ms: int) -> int:
    return max(1, math.ceil(hours * HOUR_MS / interval_ms))


@numba.njit(cache=True)
def _remember(
    memory: FloatArray,
    grids: IntArray,
    closes: FloatArray,
    steps: IntArray,
    grid: int,
    step: int,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    present: BoolArray,
) -> None:
    """One slice; what stood in its places from a round earlier is forgotten first.

    The product is that of Abdi and Ranaldo for this bar and the one before it, from ratios of prices, so that it does
    not depend on their unit; NaN where there is no bar before it.
    """
    slot, before = grid % memory.shape[0], (grid - 1) % memory.shape[0]
    if grids[slot] != grid:
        grids[slot] = grid
        memory[slot] = math.nan
    place = step % closes.shape[0]
    if steps[place] != step:
        steps[place] = step
        closes[place] = math.nan
    for p in range(present.shape[0]):
        if not present[p]:
            continue
        memory[slot, 0, p], memory[slot, 1, p], memory[slot, 2, p] = high[p], low[p], close[p]
        memory[slot, 3, p] = close[p] * volume[p]
        closes[place, p] = close[p]
        last = memory[before, 2, p] if grids[before] == grid - 1 else math.nan
        if last > 0.0:
            own = math.log(last / memory[before, 0, p]) + math.log(last / memory[before, 1, p])
            memory[slot, 4, p] = 0.25 * own * (math.log(last / high[p]) + math.log(last / low[p]))


@numba.njit(cache=True)
def _measure(
    memory: FloatArray, grids: IntArray, now: int, window: int, least: float, day: float, out: FloatArray
) -> None:
    """Turnover of a day, volatility and spread into `out` (pairs, 4); untouched with fewer than `least` bars.

    Volatility is (highest - lowest) / last close. Spread after Abdi and Ranaldo (2017): 2 sqrt(max(0, mean product))
    of the two-bar products of the window: an estimate from bars, for where nobody quotes.
    """
    depth = memory.shape[0]
    for p in range(out.shape[0]):
        count, products = 0, 0
        turnover, total, highest, lowest, last = 0.0, 0.0, -math.inf, math.inf, math.nan
        for back in range(window - 1, -1, -1):
            slot = (now - back) % depth
            if grids[slot] != now - back or not memory[slot, 2, p] > 0.0:
                continue
            count += 1
            turnover += memory[slot, 3, p]
            highest, lowest = max(highest, memory[slot, 0, p]), min(lowest, memory[slot, 1, p])
            last = memory[slot, 2, p]
            if back < window - 1 and memory[slot, 4, p] == memory[slot, 4, p]:
                total += memory[slot, 4, p]
                products += 1
        if count == 0 or count < least:
            continue
        out[p, 0] = turnover * day
        out[p, 1] = (highest - lowest) / last
        if products > 0:
            out[p, 2] = 2.0 * math.sqrt(max(0.0, total / products))


def base_points(measures: FloatArray, factor: float, settings: Prospecting) -> IntArray:
    """Points by criterion without the moats, (pairs, 4), thresholds times `factor`; -1 in a row that is NO_DATA.

    A measure exactly at its threshold gives no point: every criterion asks for more.
    """
    limits = (*settings.volume_quote, *settings.volatility_ratio, settings.spread_ratio, settings.trend_ratio)
    out = np.empty(measures.shape, dtype=np.int64)
    _give(measures, np.array([limit * factor for limit in limits]), out)
    return out


@numba.njit(cache=True)
def _give(measures: FloatArray, limits: FloatArray, out: IntArray) -> None:
    """The points of `base_points`; `limits`: two of volume, two of volatility, spread, trend."""
    for p in range(measures.shape[0]):
        volume, volatility, spread, trend = measures[p, 0], measures[p, 1], measures[p, 2], measures[p, 3]
        if not math.isfinite(volume + volatility + spread + trend):
            out[p] = -1
            continue
        out[p, VOLUME] = (1 if volume > limits[0] else 0) + (1 if volume > limits[1] else 0)
        out[p, VOLATILITY] = (1 if volatility > limits[2] else 0) + (1 if volatility > limits[3] else 0)
        out[p, SPREAD] = 1 if spread < limits[4] else 0
        out[p, TREND] = 1 if trend > limits[5] else 0


def moat_points(weights: FloatArray, settings: Prospecting) -> IntArray:
    """0, 1 or 2 points for sums of team weights: one from `cross_moat_one` on, two from `cross_moat_two` on."""
    return (weights >= settings.cross_moat_one).astype(np.int64) + (weights >= settings.cross_moat_two)


def known_assets(pairs: Sequence[Pair], settings: Prospecting) -> BoolArray:
    """Which moats speak of which pair's base asset at all, (pairs, moats)."""
    assets: dict[str, tuple[str, ...]] = dict(settings.moat_assets.items())
    bases = [pair.partition("/")[0] for pair in pairs]
    return np.array([[base in assets.get(moat, ()) for moat in MOATS] for base in bases], dtype=np.bool_)


def speaking(moats: MoatView, known: BoolArray, settings: Prospecting) -> BoolArray:
    """The moats whose fresh, real value of a pair is `moat_min_z` or more from its mean and that know it."""
    voices: BoolArray = known & _SPEAKS[moats.states] & (np.abs(moats.values) >= settings.moat_min_z)
    return voices


def team_weights(settings: Prospecting) -> FloatArray:
    """What each moat is worth to each team, (moats, teams)."""
    rows: list[dict[str, float]] = [dict(team.weights.items()) for team in settings.teams]
    return np.array([[row.get(moat, 0.0) for row in rows] for moat in MOATS])
