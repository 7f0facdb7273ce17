"""The arithmetic of the learners' colony in compiled loops, because it decides and has to be bit-equal everywhere.

numba without fastmath and without parallel reductions; exp, log and sqrt are those of libm. No row reads
another row, so a result depends neither on the population nor on the capacity of the arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from numba import njit

from ..core.types import BoolArray, FloatArray, IntArray

DOWN, FLAT, UP = range(3)
CLASSES = 3
SMALLEST = 2.0**-1022  # keeps the loss of an impossible outcome finite
EMPTY = -(2**62)  # a grid point that no run reaches
NO_ORDER, ENTER, LEAVE = range(3)

# Columns of Rows.numbers.
(
    RATE,  # own learning rate
    ENTRY,  # score from which it speaks
    BIAS,  # of the flat class, the only one
    BETA,  # realised on predicted move
    T2,  # squared t of beta
    SXX,  # exponentially weighted sums of the calibration
    SXY,
    SYY,
    WEIGHT,  # sum of those weights
    LOSS,  # weighted sum of log losses, recorded when predicted
    BASE_LOSS,  # the same for the class frequencies known when predicted
    SEEN,  # weighted counts of outcomes: down, flat, up
    SEEN_FLAT,
    SEEN_UP,
    BOOK_PRICE,  # entry price of the open simulated trade
    BOOK_TOTAL,  # sum of all profit ratios
    BOOK_RECENT,  # sum of the last ones
    SAID,  # conviction, score and edge of the newest step
    SAID_SCORE,
    SAID_EDGE,
) = range(20)
NUMBERS = 20

# Columns of Rows.counts.
(
    ALIVE,
    PAIR,
    HORIZON,
    FEATURES,  # length of the used part of Rows.mask
    LEARNT,  # outcomes learnt from
    LEARNT_AT,  # grid of the last one
    PREDICTED,
    DROPPED,  # predictions whose outcome never came
    FAULTY,
    SILENCED,
    BOOK_ORDER,
    BOOK_SINCE,  # grid of the entry's bar, EMPTY when flat
    TRADES,
    WINS,
    GENERATION,
) = range(15)
COUNTS = 15

# Columns of Rows.guesses: probabilities, base rates and the predicted move (log return).
GUESS_BASE, GUESS_MOVE, GUESS_WIDTH = 3, 6, 7


class Rows(NamedTuple):
    """The learners, one a row; `depth` is the longest horizon + 1, a guess of grid g lies at g % depth."""

    numbers: FloatArray  # (rows, NUMBERS)
    counts: IntArray  # (rows, COUNTS)
    weights: FloatArray  # (rows, CLASSES, features); zero where masked out
    mask: IntArray  # (rows, features): indices of the features in use, ascending
    guesses: FloatArray  # (rows, depth, GUESS_WIDTH)
    guessed_at: IntArray  # (rows, depth): grid of the guess, EMPTY where none waits
    ranks: FloatArray  # (rows, rank_window): last |conviction|
    book: FloatArray  # (rows, book_trades): last profit ratios


class Past(NamedTuple):
    """What was known at the last `depth` grid points; features clipped, NaN where not finite."""

    features: FloatArray  # (depth, pairs, features)
    close: FloatArray  # (depth, pairs)
    volatility: FloatArray  # (depth, pairs)


class Now(NamedTuple):
    """One slice; `last` is the grid of the step before."""

    grid: int
    last: int
    fresh: BoolArray
    close: FloatArray
    open: FloatArray
    volatility: FloatArray
    features: FloatArray


class Out(NamedTuple):
    """What a step says, (rows,) each; arrives filled with NaN, NaN, 0 and True."""

    conviction: FloatArray
    score: FloatArray
    edge: FloatArray
    abstained: BoolArray


class Knobs(NamedTuple):
    """The settings the loops need."""

    clip: float
    flat_min: float
    flat_max: float
    round_trip: float
    side_cost: float
    rate_floor: float
    rate_halving: float
    rank_warmup: int
    memory: float
    min_t2: float
    silence_profit: float
    silence_trades: int
    voice_profit: float


def compiled[F: Callable[..., Any]](function: F) -> F:
    """numba's njit, cached on disk, with the type of the plain function."""
    return cast(F, njit(cache=True, error_model="numpy")(function))


@compiled
def _record(past: Past, now: Now, clip: float) -> None:
    slot = now.grid % past.close.shape[0]
    for pair in range(now.fresh.shape[0]):
        if not now.fresh[pair]:
            continue
        past.close[slot, pair] = now.close[pair]
        past.volatility[slot, pair] = now.volatility[pair]
        for index in range(now.features.shape[1]):
            value = now.features[pair, index]
            past.features[slot, pair, index] = min(max(value, -clip), clip) if math.isfinite(value) else math.nan


@compiled
def _drop_overdue(rows: Rows, row: int, now: Now) -> None:
    """Forget the guesses that were due before this grid point: their outcome was never seen."""
    counts = rows.counts[row]
    depth = rows.guessed_at.shape[1]
    for due in range(now.last, min(now.grid, now.last + depth)):
        slot = (due - counts[HORIZON]) % depth
        if rows.guessed_at[row, slot] == due - counts[HORIZON]:
            rows.guessed_at[row, slot] = EMPTY
            counts[DROPPED] += 1


@compiled
def _softmax(rows: Rows, row: int, features: FloatArray) -> tuple[float, float, float]:
    """Probabilities of down, flat and up; NaN when a weight is not finite."""
    down, flat, up = 0.0, rows.numbers[row, BIAS], 0.0
    for place in range(rows.counts[row, FEATURES]):
        index = rows.mask[row, place]
        value = features[index]
        down += rows.weights[row, DOWN, index] * value
        flat += rows.weights[row, FLAT, index] * value
        up += rows.weights[row, UP, index] * value
    if not math.isfinite(down + flat + up):
        return math.nan, math.nan, math.nan
    top = max(down, flat, up)
    down, flat, up = math.exp(down - top), math.exp(flat - top), math.exp(up - top)
    total = down + flat + up
    return down / total, flat / total, up / total


@compiled
def _descend(rows: Rows, row: int, features: FloatArray, outcome: int, knobs: Knobs) -> bool:
    """One step of gradient descent on the log loss; False when the weights are not finite."""
    numbers = rows.numbers[row]
    down, flat, up = _softmax(rows, row, features)
    if not math.isfinite(flat):
        return False
    decay = max(knobs.rate_floor, 1.0 / (1.0 + rows.counts[row, LEARNT] / knobs.rate_halving))
    rate = numbers[RATE] * decay
    pull_down = rate * (down - (1.0 if outcome == DOWN else 0.0))
    pull_flat = rate * (flat - (1.0 if outcome == FLAT else 0.0))
    pull_up = rate * (up - (1.0 if outcome == UP else 0.0))
    for place in range(rows.counts[row, FEATURES]):
        index = rows.mask[row, place]
        rows.weights[row, DOWN, index] -= pull_down * features[index]
        rows.weights[row, FLAT, index] -= pull_flat * features[index]
        rows.weights[row, UP, index] -= pull_up * features[index]
    numbers[BIAS] -= pull_flat
    return True


@compiled
def _forget(numbers: FloatArray, counts: IntArray, grid: int, memory: float) -> None:
    """Let all weighted sums fade by the time since the last outcome; windows count time, not bars."""
    if counts[LEARNT] == 0:
        return
    kept = memory ** (grid - counts[LEARNT_AT])
    for column in range(SXX, SEEN_UP + 1):
        numbers[column] *= kept


@compiled
def _calibrate(numbers: FloatArray, horizon: int, predicted: float, realised: float) -> None:
    """Regression through zero of realised on predicted; t^2 = (n/h - 1) r^2 / (1 - r^2), outcomes overlap h-fold."""
    numbers[SXX] += predicted * predicted
    numbers[SXY] += predicted * realised
    numbers[SYY] += realised * realised
    freedom = numbers[WEIGHT] / horizon - 1.0
    numbers[BETA] = numbers[SXY] / numbers[SXX] if numbers[SXX] > 0.0 else 0.0
    if freedom <= 0.0 or numbers[SXX] <= 0.0 or numbers[SYY] <= 0.0:
        numbers[T2] = 0.0
        return
    explained = numbers[BETA] * numbers[SXY] / numbers[SYY]
    # The unit roundoff keeps a perfect fit finite.
    numbers[T2] = freedom * explained / max(1.0 - explained, 2.0**-52)


@compiled
def _outcome(realised: float, sigma: float, knobs: Knobs) -> int:
    """The class of a move: flat inside the round-trip cost, held between flat_min and flat_max sigmas."""
    band = min(max(knobs.round_trip / sigma, knobs.flat_min), knobs.flat_max)
    scaled = realised / sigma
    if abs(scaled) < band:
        return FLAT
    return UP if scaled > 0.0 else DOWN


@compiled
def _mature(rows: Rows, past: Past, row: int, now: Now, knobs: Knobs) -> None:
    """Learn from the guess that is due now, judged by what was said then."""
    numbers, counts = rows.numbers[row], rows.counts[row]
    pair, horizon = counts[PAIR], counts[HORIZON]
    slot = (now.grid - horizon) % rows.guessed_at.shape[1]
    if rows.guessed_at[row, slot] != now.grid - horizon:
        return
    if not (math.isfinite(now.close[pair]) and now.close[pair] > 0.0):
        return
    rows.guessed_at[row, slot] = EMPTY
    guess = rows.guesses[row, slot]
    realised = math.log(now.close[pair] / past.close[slot, pair])
    outcome = _outcome(realised, past.volatility[slot, pair] * math.sqrt(horizon), knobs)
    _forget(numbers, counts, now.grid, knobs.memory)
    numbers[WEIGHT] += 1.0
    numbers[LOSS] -= math.log(max(guess[outcome], SMALLEST))
    numbers[BASE_LOSS] -= math.log(guess[GUESS_BASE + outcome])
    numbers[SEEN + outcome] += 1.0
    _calibrate(numbers, horizon, guess[GUESS_MOVE], realised)
    if not _descend(rows, row, past.features[slot, pair], outcome, knobs):
        counts[FAULTY] = 1
    counts[LEARNT] += 1
    counts[LEARNT_AT] = now.grid


@compiled
def _mid_rank(past: FloatArray, filled: int, value: float) -> float:
    """Share of the remembered values below `value`, ties counted half."""
    below, equal = 0, 0
    for index in range(filled):
        below += past[index] < value
        equal += past[index] == value
    return (below + 0.5 * equal) / filled


@compiled
def _can_see(rows: Rows, past: Past, row: int, slot: int) -> bool:
    """Whether all that this learner needs of its pair is there."""
    pair = rows.counts[row, PAIR]
    close, volatility = past.close[slot, pair], past.volatility[slot, pair]
    if not (math.isfinite(close) and close > 0.0 and math.isfinite(volatility) and volatility > 0.0):
        return False
    for place in range(rows.counts[row, FEATURES]):
        if math.isnan(past.features[slot, pair, rows.mask[row, place]]):
            return False
    return True


@compiled
def _remember(rows: Rows, row: int, slot: int, grid: int, guess: tuple[float, float, float, float]) -> None:
    """Keep a guess until its outcome comes; base rates after Laplace's rule of succession."""
    numbers = rows.numbers[row]
    kept = rows.guesses[row, slot]
    total = numbers[SEEN] + numbers[SEEN_FLAT] + numbers[SEEN_UP] + CLASSES
    for index in range(CLASSES):
        kept[index] = guess[index]
        kept[GUESS_BASE + index] = (numbers[SEEN + index] + 1.0) / total
    kept[GUESS_MOVE] = guess[CLASSES]
    rows.guessed_at[row, slot] = grid


@compiled
def _predict(rows: Rows, past: Past, row: int, grid: int, knobs: Knobs, out: Out) -> None:
    """Say what comes, or abstain; an edge counts only when the calibration is significant and not reversed."""
    numbers, counts = rows.numbers[row], rows.counts[row]
    slot = grid % rows.guessed_at.shape[1]
    if counts[FAULTY] or not _can_see(rows, past, row, slot):
        return
    down, flat, up = _softmax(rows, row, past.features[slot, counts[PAIR]])
    if not math.isfinite(flat):
        counts[FAULTY] = 1
        return
    conviction = up - down
    move = conviction * past.volatility[slot, counts[PAIR]] * math.sqrt(counts[HORIZON])
    _remember(rows, row, slot, grid, (down, flat, up, move))
    window = rows.ranks.shape[1]
    filled = min(counts[PREDICTED], window)
    out.conviction[row] = conviction
    if filled >= knobs.rank_warmup:
        out.abstained[row] = False
        out.score[row] = _mid_rank(rows.ranks[row], filled, abs(conviction))
        if numbers[T2] > knobs.min_t2 and numbers[BETA] > 0.0:
            out.edge[row] = numbers[BETA] * (1.0 - knobs.min_t2 / numbers[T2]) * move
    rows.ranks[row, counts[PREDICTED] % window] = abs(conviction)
    counts[PREDICTED] += 1


@compiled
def _settle(rows: Rows, row: int, price: float, knobs: Knobs) -> None:
    """Close the simulated trade at `price`, both sides' costs paid, and let the book decide who may speak."""
    numbers, counts, book = rows.numbers[row], rows.counts[row], rows.book[row]
    cost = knobs.side_cost
    profit = price / numbers[BOOK_PRICE] * (1.0 - cost) / (1.0 + cost) - 1.0
    book[counts[TRADES] % book.shape[0]] = profit
    counts[TRADES] += 1
    counts[WINS] += profit > 0.0
    numbers[BOOK_TOTAL] += profit
    recent = 0.0
    for index in range(min(counts[TRADES], book.shape[0])):
        recent += book[index]
    numbers[BOOK_RECENT] = recent
    if counts[SILENCED] == 0:
        counts[SILENCED] = recent <= knobs.silence_profit and counts[TRADES] > knobs.silence_trades
    elif recent > knobs.voice_profit:
        counts[SILENCED] = 0


@compiled
def _fill(rows: Rows, row: int, now: Now, knobs: Knobs) -> None:
    """Fill what was decided before at the open of this bar, the first after the decision."""
    counts = rows.counts[row]
    price = now.open[counts[PAIR]]
    if counts[BOOK_ORDER] == NO_ORDER or not (math.isfinite(price) and price > 0.0):
        return
    if counts[BOOK_ORDER] == ENTER:
        rows.numbers[row, BOOK_PRICE] = price
        counts[BOOK_SINCE] = now.grid
    else:
        _settle(rows, row, price, knobs)
        counts[BOOK_SINCE] = EMPTY
    counts[BOOK_ORDER] = NO_ORDER


@compiled
def _decide(rows: Rows, row: int, grid: int, score: float, conviction: float) -> None:
    """Long only: enter on an own strong buy opinion, leave on a strong sell opinion or after the horizon."""
    counts = rows.counts[row]
    if counts[BOOK_ORDER] != NO_ORDER:
        return
    strong = score >= rows.numbers[row, ENTRY]  # False while NaN
    if counts[BOOK_SINCE] == EMPTY:
        if strong and conviction > 0.0:
            counts[BOOK_ORDER] = ENTER
    elif grid - counts[BOOK_SINCE] + 1 >= counts[HORIZON] or (strong and conviction < 0.0):
        counts[BOOK_ORDER] = LEAVE


@compiled
def step_rows(rows: Rows, past: Past, now: Now, knobs: Knobs, out: Out) -> None:
    """One slice for all rows: fill, learn from what is due, predict, decide. Writes rows, past and out."""
    _record(past, now, knobs.clip)
    for row in range(rows.counts.shape[0]):
        counts = rows.counts[row]
        if not counts[ALIVE]:
            continue
        _drop_overdue(rows, row, now)
        if now.fresh[counts[PAIR]]:
            _fill(rows, row, now, knobs)
            _mature(rows, past, row, now, knobs)
            _predict(rows, past, row, now.grid, knobs, out)
            _decide(rows, row, now.grid, out.score[row], out.conviction[row])
        rows.numbers[row, SAID] = out.conviction[row]
        rows.numbers[row, SAID_SCORE] = out.score[row]
        rows.numbers[row, SAID_EDGE] = out.edge[row]
