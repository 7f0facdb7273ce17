"""The scale-free features in compiled loops, one bar at a time, so that a backtest and a live run share every rounding.

numba without fastmath and without parallel reductions: multiply all prices by a power of two and divide all
volumes by it, and every feature keeps every bit. The batch and the stream call the same function for each bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from numba import njit

from .types import BoolArray, FloatArray, IntArray

HOUR_MS = 3_600_000
HOURS = 24
WEEKDAYS = 7
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
FLAT = 2.0**-40  # below this share of the price, differences of prices are rounding noise: the price is flat
CLOSES = 25  # closes kept: the longest return spans 24 bars
NEVER = -(2**62)  # the grid point of a pair without a bar


class Feature(NamedTuple):
    """One column of `Snapshot.features`."""

    name: str
    meaning: str


MARKET_FEATURES = (
    Feature("return_1", "close minus the close one bar before, over ATR"),
    Feature("return_5", "close minus the close 5 bars before, over ATR"),
    Feature("return_24", "close minus the close 24 bars before, over ATR times the root of 24"),
    Feature("rsi", "(Wilder's RSI - 50) / 50, in [-1, 1]"),
    Feature("macd", "MACD histogram over ATR"),
    Feature("band", "(close - middle) / (upper - middle) of the Bollinger band: 1 at the upper, -1 at the lower edge"),
    Feature("ema", "fast EMA minus slow EMA, over ATR"),
    Feature("adx", "ADX / 50, in [0, 2]"),
    Feature("volume", "volume minus its mean over its standard deviation (population), both over the window"),
    Feature("atr_rank", "2 x mid-rank of ATR / close among its last values, itself included, - 1: in (-1, 1)"),
    Feature("hour_sin", "sine of the hour (UTC) in which the bar closed"),
    Feature("hour_cos", "cosine of that hour"),
    Feature("weekday_sin", "sine of the weekday (UTC, Monday 0) on which the bar closed"),
    Feature("weekday_cos", "cosine of that weekday"),
)
(
    RETURN_1,
    RETURN_5,
    RETURN_24,
    RSI,
    MACD,
    BAND,
    EMA,
    ADX,
    VOLUME,
    ATR_RANK,
    HOUR_SIN,
    HOUR_COS,
    WEEKDAY_SIN,
    WEEKDAY_COS,
) = range(len(MARKET_FEATURES))

# Columns of Memory.counts: bars and ATR values seen, grid point of the last bar.
BARS, ATRS, GRID = range(3)
COUNTS = 3
# Columns of Memory.sums: weighted sum of squared returns an interval, sum of those weights.
SQUARES, WEIGHTS = range(2)
SUMS = 2


class Shared(NamedTuple):
    """Columns of the raw TA-Lib values that the features read."""

    rsi: int
    macd: int
    upper: int
    middle: int
    ema_fast: int
    ema_slow: int
    adx: int
    atr: int


class Knobs(NamedTuple):
    """The settings the loops need.

    `take` says which raw column each indicator is, `lagged` whether it is that of the bar before.
    """

    shared: Shared
    take: IntArray
    lagged: BoolArray
    volatility_memory: float
    volatility_warmup: int


class Memory(NamedTuple):
    """What the features remember of each pair, (pairs, ...): rings of the last bars and running sums."""

    closes: FloatArray  # (pairs, CLOSES)
    volumes: FloatArray  # (pairs, volume window)
    atr_ratios: FloatArray  # (pairs, rank window), ATR / close
    raw: FloatArray  # (pairs, raw columns), of the last bar
    sums: FloatArray  # (pairs, SUMS)
    counts: IntArray  # (pairs, COUNTS)


class Row(NamedTuple):
    """What is known of each pair after its last bar: (pairs,), (pairs, features), (pairs, indicators), (pairs,)."""

    close: FloatArray
    features: FloatArray
    indicators: FloatArray
    volatility: FloatArray


def compiled[F: Callable[..., Any]](function: F) -> F:
    """numba's njit, cached on disk, with the type of the plain function."""
    return cast(F, njit(cache=True, error_model="numpy")(function))


@compiled
def clock_features(at: int, out: FloatArray) -> None:
    """Hour and weekday of `at` (UTC ms) as sine and cosine into `out` (4,)."""
    hours = at // HOUR_MS
    hour = 2.0 * math.pi * (hours % HOURS) / HOURS
    weekday = 2.0 * math.pi * ((hours // HOURS + EPOCH_WEEKDAY) % WEEKDAYS) / WEEKDAYS
    out[0], out[1] = math.sin(hour), math.cos(hour)
    out[2], out[3] = math.sin(weekday), math.cos(weekday)


@compiled
def _over(difference: float, unit: float, price: float) -> float:
    """`difference` in units of `unit`; NaN where the unit is rounding noise of the price, or not known."""
    return difference / unit if unit > FLAT * price else math.nan


@compiled
def _past(memory: Memory, pair: int, bars: int) -> float:
    """The close `bars` before the newest; NaN where there is none."""
    newest = memory.counts[pair, BARS] - 1
    return memory.closes[pair, (newest - bars) % CLOSES] if newest >= bars else math.nan


@compiled
def _volume_score(volumes: FloatArray, seen: int, volume: float) -> float:
    """z-score in two passes; NaN until the window is full and where all its volumes are equal."""
    if seen < volumes.shape[0]:
        return math.nan
    total = 0.0
    for value in volumes:
        total += value
    mean = total / volumes.shape[0]
    square = 0.0
    for value in volumes:
        square += (value - mean) * (value - mean)
    return _over(volume - mean, math.sqrt(square / volumes.shape[0]), mean)


@compiled
def _centred_rank(values: FloatArray, seen: int, value: float) -> float:
    """Mid-rank of `value`, which is one of `values`, from -1 to 1; NaN until the window is full."""
    if seen < values.shape[0]:
        return math.nan
    below = 0
    for other in values:
        below += (2 if other < value else 0) + (1 if other == value else 0)
    rank: float = below / values.shape[0] - 1.0
    return rank


@compiled
def _remember(memory: Memory, knobs: Knobs, pair: int, close: float, volume: float, grid: int) -> None:
    """The bar enters the rings; its return, shared out over the intervals it spans, the weighted sums."""
    counts = memory.counts[pair]
    if counts[BARS] > 0:
        step = math.log(close / memory.closes[pair, (counts[BARS] - 1) % CLOSES])
        keep = knobs.volatility_memory
        memory.sums[pair, SQUARES] = keep * memory.sums[pair, SQUARES] + step * step / (grid - counts[GRID])
        memory.sums[pair, WEIGHTS] = keep * memory.sums[pair, WEIGHTS] + 1.0
    memory.closes[pair, counts[BARS] % CLOSES] = close
    memory.volumes[pair, counts[BARS] % memory.volumes.shape[1]] = volume
    counts[BARS] += 1
    counts[GRID] = grid


@compiled
def _write_indicators(memory: Memory, knobs: Knobs, pair: int, raw: FloatArray, out: FloatArray) -> None:
    for index in range(out.shape[0]):
        column = knobs.take[index]
        out[index] = memory.raw[pair, column] if knobs.lagged[index] else raw[column]
    memory.raw[pair] = raw


@compiled
def _write_features(
    memory: Memory, shared: Shared, pair: int, close: float, volume: float, raw: FloatArray, out: FloatArray
) -> None:
    counts, atr = memory.counts[pair], raw[shared.atr]
    moved = 1.0 if atr > FLAT * close else math.nan
    out[RETURN_1] = _over(close - _past(memory, pair, 1), atr, close)
    out[RETURN_5] = _over(close - _past(memory, pair, 5), atr, close)
    out[RETURN_24] = _over(close - _past(memory, pair, 24), atr, close) / math.sqrt(24.0)
    out[RSI] = moved * (raw[shared.rsi] - 50.0) / 50.0
    out[MACD] = _over(raw[shared.macd], atr, close)
    out[BAND] = _over(close - raw[shared.middle], raw[shared.upper] - raw[shared.middle], close)
    out[EMA] = _over(raw[shared.ema_fast] - raw[shared.ema_slow], atr, close)
    out[ADX] = moved * raw[shared.adx] / 50.0
    out[VOLUME] = _volume_score(memory.volumes[pair], counts[BARS], volume)
    if not math.isnan(atr):
        memory.atr_ratios[pair, counts[ATRS] % memory.atr_ratios.shape[1]] = atr / close
        counts[ATRS] += 1
    out[ATR_RANK] = moved * _centred_rank(memory.atr_ratios[pair], counts[ATRS], atr / close)


@compiled
def _advance(
    memory: Memory, knobs: Knobs, pair: int, close: float, volume: float, grid: int, raw: FloatArray,
    clock: FloatArray, features: FloatArray, indicators: FloatArray,
) -> float:  # fmt: skip
    """One bar of one pair into its rows of features and indicators; returns its volatility."""
    _remember(memory, knobs, pair, close, volume, grid)
    _write_features(memory, knobs.shared, pair, close, volume, raw, features)
    features[HOUR_SIN : WEEKDAY_COS + 1] = clock
    _write_indicators(memory, knobs, pair, raw, indicators)
    if memory.counts[pair, BARS] <= knobs.volatility_warmup:
        return math.nan
    return math.sqrt(memory.sums[pair, SQUARES] / memory.sums[pair, WEIGHTS])


@compiled
def advance_all(
    memory: Memory, knobs: Knobs, present: BoolArray, close: FloatArray, volume: FloatArray, grid: int,
    raw: FloatArray, clock: FloatArray, row: Row,
) -> None:  # fmt: skip
    """One bar of every present pair into `row`, in place; the others keep what they have. `raw` (pairs, columns)."""
    for pair in range(present.shape[0]):
        if present[pair]:
            row.close[pair] = close[pair]
            row.volatility[pair] = _advance(
                memory, knobs, pair, close[pair], volume[pair], grid, raw[pair],
                clock, row.features[pair], row.indicators[pair],
            )  # fmt: skip


@compiled
def _stand(table: Row, time: int, pair: int) -> None:
    """The row before stands; before the first bar nothing is known."""
    if time > 0:
        table.close[time, pair] = table.close[time - 1, pair]
        table.volatility[time, pair] = table.volatility[time - 1, pair]
        table.features[time, pair] = table.features[time - 1, pair]
        table.indicators[time, pair] = table.indicators[time - 1, pair]
    else:
        table.close[time, pair] = table.volatility[time, pair] = math.nan
        table.features[time, pair] = math.nan
        table.indicators[time, pair] = math.nan


@compiled
def fill_pair(
    memory: Memory, knobs: Knobs, pair: int, present: BoolArray, close: FloatArray, volume: FloatArray,
    grids: IntArray, raw: FloatArray, clock: FloatArray, table: Row,
) -> None:  # fmt: skip
    """All bars of one pair into its column of `table`, whose arrays are (times, pairs, ...).

    `present`, `close`, `volume`, `grids` and `clock` have one entry for every time, `raw` one row for every
    present bar; where there is no bar the row before stands. `memory` has one pair.
    """
    bar = 0
    for time in range(present.shape[0]):
        if present[time]:
            table.close[time, pair] = close[time]
            table.volatility[time, pair] = _advance(
                memory, knobs, 0, close[time], volume[time], grids[time], raw[bar],
                clock[time], table.features[time, pair], table.indicators[time, pair],
            )  # fmt: skip
            bar += 1
        else:
            _stand(table, time, pair)


@compiled
def clock_table(times: IntArray, out: FloatArray) -> None:
    """`clock_features` of every time into `out` (times, 4)."""
    for index in range(times.shape[0]):
        clock_features(times[index], out[index])


@compiled
def first_bad(present: BoolArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray) -> int:
    """The first place of flat arrays whose bar cannot be believed, -1 when there is none.

    A price must be finite and above zero, a volume finite and not negative; a missing bar is not looked at.
    """
    for index in range(present.shape[0]):
        if present[index] and not (
            0.0 < low[index] < math.inf
            and 0.0 < high[index] < math.inf
            and 0.0 < close[index] < math.inf
            and 0.0 <= volume[index] < math.inf
        ):
            return index
    return -1


@compiled
def first_difference(present: BoolArray, close: FloatArray, other_present: BoolArray, other_close: FloatArray) -> int:
    """The first pair whose bar differs between two rows, -1 when there is none."""
    for pair in range(present.shape[0]):
        if present[pair] != other_present[pair] or (present[pair] and close[pair] != other_close[pair]):
            return pair
    return -1
