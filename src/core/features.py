"""The scale-free features in compiled loops, so that a backtest and a live run share every rounding.

numba without fastmath and without parallel reductions: multiply all prices by a power of two and divide all
volumes by it, and every feature keeps every bit. The stream (`advance_all`) goes bar by bar over tuples of arrays;
the batch takes plain arrays and one loop over all bars of a pair for each thing with a memory, because counting
references for every bar would cost more than the arithmetic. The arithmetic itself is the same inlined functions.
They stand in one file: numba compiles a stored loop again when its own file changes, not when another one does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from numba import njit

from .compiled import compiled
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


def inlined[F: Callable[..., Any]](function: F) -> F:
    """njit copied into every caller: a call would count references of its arrays. With the type of the plain one."""
    return cast(F, njit(inline="always", error_model="numpy")(function))


@compiled
def clock_features(at: int, out: FloatArray) -> None:
    """Hour and weekday of `at` (UTC ms) as sine and cosine into `out` (4,)."""
    hours = at // HOUR_MS
    hour = 2.0 * math.pi * (hours % HOURS) / HOURS
    weekday = 2.0 * math.pi * ((hours // HOURS + EPOCH_WEEKDAY) % WEEKDAYS) / WEEKDAYS
    out[0], out[1] = math.sin(hour), math.cos(hour)
    out[2], out[3] = math.sin(weekday), math.cos(weekday)


@inlined
def _over(difference: float, unit: float, price: float) -> float:
    """`difference` in units of `unit`; NaN where the unit is rounding noise of the price, or not known."""
    return difference / unit if unit > FLAT * price else math.nan


@inlined
def _write_price_features(
    out: FloatArray, row: int, close: float, past_1: float, past_5: float, past_24: float, atr: float, rsi: float,
    macd: float, upper: float, middle: float, ema_fast: float, ema_slow: float, adx: float,
) -> None:  # fmt: skip
    """The features RETURN_1 to ADX of one bar into a row of `out`; `past_n` is the close n bars before."""
    moved = 1.0 if atr > FLAT * close else math.nan
    out[row, RETURN_1] = _over(close - past_1, atr, close)
    out[row, RETURN_5] = _over(close - past_5, atr, close)
    out[row, RETURN_24] = _over(close - past_24, atr, close) / math.sqrt(24.0)
    out[row, RSI] = moved * (rsi - 50.0) / 50.0
    out[row, MACD] = _over(macd, atr, close)
    out[row, BAND] = _over(close - middle, upper - middle, close)
    out[row, EMA] = _over(ema_fast - ema_slow, atr, close)
    out[row, ADX] = moved * adx / 50.0


@inlined
def _volume_score(volumes: FloatArray, seen: int, volume: float) -> float:
    """z-score in two passes; NaN until the window is full and where all its volumes are equal."""
    score = math.nan
    if seen >= volumes.shape[0]:
        total = 0.0
        for value in volumes:
            total += value
        mean = total / volumes.shape[0]
        square = 0.0
        for value in volumes:
            square += (value - mean) * (value - mean)
        score = _over(volume - mean, math.sqrt(square / volumes.shape[0]), mean)
    return score


@inlined
def _centred_rank(values: FloatArray, seen: int, value: float) -> float:
    """Mid-rank of `value`, which is one of `values`, from -1 to 1; NaN until the window is full."""
    rank = math.nan
    if seen >= values.shape[0]:
        below = 0
        for other in values:
            below += (2 if other < value else 0) + (1 if other == value else 0)
        rank = below / values.shape[0] - 1.0
    return rank


@inlined
def _square_step(close: float, before: float, intervals: int) -> float:
    """The squared log return, shared out over the intervals it spans."""
    step = math.log(close / before)
    return step * step / intervals


@inlined
def _past(closes: FloatArray, newest: int, bars: int) -> float:
    """The close `bars` before the newest of a ring; NaN where there is none."""
    return closes[(newest - bars) % CLOSES] if newest >= bars else math.nan


@compiled
def _remember(memory: Memory, knobs: Knobs, pair: int, close: float, volume: float, grid: int) -> None:
    """The bar enters the rings, its return the weighted sums."""
    counts = memory.counts[pair]
    if counts[BARS] > 0:
        before = memory.closes[pair, (counts[BARS] - 1) % CLOSES]
        square = _square_step(close, before, grid - counts[GRID])
        keep = knobs.volatility_memory
        memory.sums[pair, SQUARES] = keep * memory.sums[pair, SQUARES] + square
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
    counts, closes, atr = memory.counts[pair], memory.closes[pair], raw[shared.atr]
    newest = counts[BARS] - 1
    _write_price_features(
        out, pair, close, _past(closes, newest, 1), _past(closes, newest, 5), _past(closes, newest, 24), atr,
        raw[shared.rsi], raw[shared.macd], raw[shared.upper], raw[shared.middle],
        raw[shared.ema_fast], raw[shared.ema_slow], raw[shared.adx],
    )  # fmt: skip
    out[pair, VOLUME] = _volume_score(memory.volumes[pair], counts[BARS], volume)
    ratio, ratios = atr / close, memory.atr_ratios[pair]
    if not math.isnan(atr):
        ratios[counts[ATRS] % ratios.shape[0]] = ratio
        counts[ATRS] += 1
    out[pair, ATR_RANK] = _centred_rank(ratios, counts[ATRS], ratio) if atr > FLAT * close else math.nan


@compiled
def _volatility(memory: Memory, pair: int, warmup: int) -> float:
    if memory.counts[pair, BARS] <= warmup:
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
            _remember(memory, knobs, pair, close[pair], volume[pair], grid)
            _write_features(memory, knobs.shared, pair, close[pair], volume[pair], raw[pair], row.features)
            row.features[pair, HOUR_SIN : WEEKDAY_COS + 1] = clock
            _write_indicators(memory, knobs, pair, raw[pair], row.indicators[pair])
            row.close[pair] = close[pair]
            row.volatility[pair] = _volatility(memory, pair, knobs.volatility_warmup)


@compiled
def clock_table(times: IntArray, out: FloatArray) -> None:
    """`clock_features` of every time into `out` (times, 4)."""
    for index in range(times.shape[0]):
        clock_features(times[index], out[index])


@compiled
def volume_scores(volumes: FloatArray, ring: FloatArray, out: FloatArray) -> None:
    """VOLUME of every bar of a pair, (bars,). `ring` has the length of the window: sums run in its order."""
    for bar in range(volumes.shape[0]):
        ring[bar % ring.shape[0]] = volumes[bar]
        out[bar] = _volume_score(ring, bar + 1, volumes[bar])


@compiled
def atr_ranks(atr: FloatArray, close: FloatArray, ring: FloatArray, out: FloatArray) -> None:
    """ATR_RANK of every bar of a pair, (bars,). `ring` has the length of the window."""
    seen = 0
    for bar in range(atr.shape[0]):
        ratio = atr[bar] / close[bar]
        if not math.isnan(atr[bar]):
            ring[seen % ring.shape[0]] = ratio
            seen += 1
        out[bar] = _centred_rank(ring, seen, ratio) if atr[bar] > FLAT * close[bar] else math.nan


@compiled
def volatilities(close: FloatArray, grids: IntArray, memory: float, warmup: int, out: FloatArray) -> None:
    """The volatility after every bar of a pair, (bars,); NaN up to `warmup` bars."""
    squares = weights = 0.0
    for bar in range(close.shape[0]):
        if bar > 0:
            squares = memory * squares + _square_step(close[bar], close[bar - 1], grids[bar] - grids[bar - 1])
            weights = memory * weights + 1.0
        out[bar] = math.sqrt(squares / weights) if bar >= warmup else math.nan


@inlined
def _before(close: FloatArray, bar: int, bars: int) -> float:
    """The close `bars` before `bar`; NaN where there is none."""
    return close[bar - bars] if bar >= bars else math.nan


@compiled
def write_features(
    shared: Shared, present: BoolArray, close: FloatArray, raw: FloatArray, scores: FloatArray, ranks: FloatArray,
    clock: FloatArray, pair: int, table: FloatArray,
) -> None:  # fmt: skip
    """The features of one pair into `table` (times, pairs, features); without a bar the row before stands.

    `present` and `clock` have one row for every time, the others one for every present bar; `raw` (columns, bars).
    """
    bar, out = -1, table[:, pair]
    for time in range(present.shape[0]):
        if present[time]:
            bar += 1
            _write_price_features(
                out, time, close[bar], _before(close, bar, 1), _before(close, bar, 5), _before(close, bar, 24),
                raw[shared.atr, bar], raw[shared.rsi, bar], raw[shared.macd, bar],
                raw[shared.upper, bar], raw[shared.middle, bar],
                raw[shared.ema_fast, bar], raw[shared.ema_slow, bar], raw[shared.adx, bar],
            )  # fmt: skip
            out[time, VOLUME] = scores[bar]
            out[time, ATR_RANK] = ranks[bar]
            for index in range(clock.shape[1]):
                out[time, HOUR_SIN + index] = clock[time, index]
        else:
            for index in range(out.shape[1]):
                out[time, index] = out[time - 1, index] if time > 0 else math.nan


@compiled
def write_indicators(
    take: IntArray, lagged: BoolArray, present: BoolArray, raw: FloatArray, pair: int, table: FloatArray
) -> None:
    """As `write_features`, the indicators of one pair into `table` (times, pairs, indicators)."""
    bar, out = -1, table[:, pair]
    for time in range(present.shape[0]):
        if present[time]:
            bar += 1
        for index in range(out.shape[1]):
            place = bar - 1 if lagged[index] else bar
            out[time, index] = raw[take[index], place] if place >= 0 else math.nan


@compiled
def write_standing(present: BoolArray, values: FloatArray, pair: int, table: FloatArray) -> None:
    """As `write_features`, one value for every present bar of one pair into `table` (times, pairs)."""
    bar, out = -1, table[:, pair]
    for time in range(present.shape[0]):
        if present[time]:
            bar += 1
        out[time] = values[bar] if bar >= 0 else math.nan


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
