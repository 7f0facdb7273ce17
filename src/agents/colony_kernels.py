"""The arithmetic of the learners' colony in one compiled loop, because it decides and has to be bit-equal everywhere.

numba without fastmath or parallel reductions; exp and log are those of libm. No row reads another, so a result depends
neither on population nor on capacity. One loop takes a row through the whole slice, so that what belongs to a learner
is fetched once; the steps of a row are inlined into it, since a call would cost more in reference counts of the arrays
than the arithmetic does.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.types import BoolArray, FloatArray, IntArray
from .colony_book import decide, fill
from .colony_layout import (
    ALIVE,
    BASE_LOSS,
    BETA,
    BIAS,
    CLASSES,
    DOWN,
    DROPPED,
    EMPTY,
    FAULTY,
    FEATURES,
    FLAT,
    GUESS_BASE,
    GUESS_MOVE,
    HORIZON,
    LEARNT,
    LEARNT_AT,
    LOSS,
    NARROW,
    PAIR,
    PREDICTED,
    RANK_UNIT,
    RATE,
    SAID,
    SAID_EDGE,
    SAID_SCORE,
    SEEN,
    SEEN_FLAT,
    SEEN_UP,
    SMALLEST,
    SXX,
    SXY,
    SYY,
    T2,
    UP,
    WEIGHT,
    Knobs,
    NarrowArray,
    Now,
    Out,
    Past,
    Rows,
    StreamArray,
    Work,
    borrowed,
    compiled,
    inlined,
)
from .colony_sightings import settle_pattern, sight_pattern


@compiled
def _record(past: Past, seen_at: IntArray, now: Now, clip: float) -> None:
    slot = now.grid % past.close.shape[0]
    for pair in range(now.fresh.shape[0]):
        if not now.fresh[pair]:
            continue
        seen_at[pair] = now.grid
        past.close[slot, pair] = now.close[pair]
        past.volatility[slot, pair] = now.volatility[pair]
        for index in range(now.features.shape[1]):
            value = now.features[pair, index]
            past.features[slot, pair, index] = min(max(value, -clip), clip) if math.isfinite(value) else math.nan


@inlined
def _drop_overdue(counts: IntArray, guessed_at: IntArray, row: int, last: int, grid: int) -> None:
    """Forget the guesses that were due before this grid point: their outcome was never seen."""
    depth = guessed_at.shape[0]
    for due in range(last, min(grid, last + depth)):
        made = due - counts[row, HORIZON]
        if guessed_at[made % depth, row] == made:
            guessed_at[made % depth, row] = EMPTY
            counts[row, DROPPED] += 1


@inlined
def _forget(numbers: FloatArray, counts: IntArray, row: int, grid: int, memory: float) -> None:
    """Let all weighted sums fade by the time since the last outcome; windows count time, not bars."""
    if counts[row, LEARNT] > 0:
        elapsed = float(grid - counts[row, LEARNT_AT])
        kept = memory if elapsed == 1.0 else math.pow(memory, elapsed)
        for column in range(SXX, SEEN_UP + 1):
            numbers[row, column] *= kept


@inlined
def _calibrate(numbers: FloatArray, row: int, horizon: int, predicted: float, realised: float) -> None:
    """Regression through zero of realised on predicted; t^2 = (n/h - 1) r^2 / (1 - r^2), outcomes overlap h-fold.

    Both in volatilities at the time of the guess, the outcome clipped as features are: in log returns the wild days
    would weigh most and make t^2 several times too large on noise, and one bad price would silence a pair for months.
    """
    numbers[row, SXX] += predicted * predicted
    numbers[row, SXY] += predicted * realised
    numbers[row, SYY] += realised * realised
    freedom = numbers[row, WEIGHT] / horizon - 1.0
    numbers[row, BETA] = numbers[row, SXY] / numbers[row, SXX] if numbers[row, SXX] > 0.0 else 0.0
    if freedom <= 0.0 or numbers[row, SXX] <= 0.0 or numbers[row, SYY] <= 0.0:
        numbers[row, T2] = 0.0
    else:
        explained = numbers[row, BETA] * numbers[row, SXY] / numbers[row, SYY]
        numbers[row, T2] = freedom * explained / max(1.0 - explained, 2.0**-52)  # finite even for a perfect fit


@inlined
def _outcome(realised: float, sigma: float, round_trip: float, flat_min: float, flat_max: float) -> int:
    """The class of a move: flat inside the round-trip cost, held between flat_min and flat_max sigmas."""
    band = min(max(round_trip / sigma, flat_min), flat_max)
    scaled = realised / sigma
    return FLAT if abs(scaled) < band else (UP if scaled > 0.0 else DOWN)


@inlined
def _judge(
    numbers: FloatArray, guesses: FloatArray, row: int, slot: int, outcome: int, horizon: int, realised: float,
    sigma: float, clip: float,
) -> None:  # fmt: skip
    """Hold what was said against what came: losses, base rates and the calibration, all before learning."""
    numbers[row, WEIGHT] += 1.0
    numbers[row, LOSS] -= math.log(max(guesses[slot, row, outcome], SMALLEST))
    numbers[row, BASE_LOSS] -= math.log(guesses[slot, row, GUESS_BASE + outcome])
    numbers[row, SEEN + outcome] += 1.0
    came = min(max(realised / sigma, -clip), clip)
    _calibrate(numbers, row, horizon, guesses[slot, row, GUESS_MOVE] / sigma, came)


@inlined
def _softmax(
    weights: FloatArray, bias: float, mask: IntArray, row: int, size: int, seen: FloatArray
) -> tuple[float, float, float]:
    """Probabilities of down, flat and up with the features `seen`; NaN where a weight is not finite."""
    down, flat, up = 0.0, bias, 0.0
    for place in range(size):
        index = np.uint64(mask[row, place])  # what has no sign is not looked at for counting from the end
        value = seen[index]
        down += weights[row, DOWN, index] * value
        flat += weights[row, FLAT, index] * value
        up += weights[row, UP, index] * value
    top = max(down, flat, up) if math.isfinite(down + flat + up) else math.nan
    # One of three is the top itself and exp is dear; which one is chosen, not branched on, since nobody can foresee it.
    lowest, highest = down == top, up == top and down != top
    one, two = math.exp((flat if lowest else down) - top), math.exp((flat if highest else up) - top)
    down, flat, up = 1.0 if lowest else one, one if lowest else (two if highest else 1.0), 1.0 if highest else two
    total = down + flat + up
    return down / total, flat / total, up / total


@inlined
def _descend(
    rows: Rows, row: int, seen: FloatArray, rate: float, outcome: int, down: float, flat: float, up: float
) -> None:
    """One step of gradient descent on the log loss of a matured guess, whose chances with today's weights are given."""
    weights, mask = rows.weights, rows.mask
    lower = rate * (down - (1.0 if outcome == DOWN else 0.0))
    level = rate * (flat - (1.0 if outcome == FLAT else 0.0))
    upper = rate * (up - (1.0 if outcome == UP else 0.0))
    for place in range(rows.counts[row, FEATURES]):
        index = np.uint64(mask[row, place])
        value = seen[index]
        weights[row, DOWN, index] -= lower * value
        weights[row, FLAT, index] -= level * value
        weights[row, UP, index] -= upper * value
    rows.numbers[row, BIAS] -= level


UNKNOWN, IN_PART, WHOLE = range(3)


@compiled
def _look(past: Past, now: Now, known: IntArray) -> None:
    """What is known of each pair in this slice: nothing that helps, some features, or all that is asked for."""
    slot = now.grid % past.close.shape[0]
    close, volatility, features = past.close[slot], past.volatility[slot], past.features[slot]
    for pair in range(close.shape[0]):
        known[pair] = UNKNOWN
        sound = now.fresh[pair] and math.isfinite(close[pair]) and close[pair] > 0.0
        if not (sound and math.isfinite(volatility[pair]) and volatility[pair] > 0.0):
            continue
        known[pair] = WHOLE
        for index in range(features.shape[1]):
            if math.isnan(features[pair, index]):
                known[pair] = IN_PART


@inlined
def _is_able(counts: IntArray, mask: IntArray, row: int, known: int, seen: FloatArray) -> bool:
    """Whether a row has all it needs of its pair in this slice."""
    able = counts[row, ALIVE] == 1 and counts[row, FAULTY] == 0 and known != UNKNOWN
    if able and known == IN_PART:
        for place in range(counts[row, FEATURES]):
            able = able and not math.isnan(seen[mask[row, place]])
    return able


@inlined
def _remember(
    numbers: FloatArray, guesses: FloatArray, row: int, slot: int, down: float, flat: float, up: float, sigma: float
) -> None:
    """Keep a guess until its outcome comes; base rates after Laplace's rule of succession."""
    total = numbers[row, SEEN] + numbers[row, SEEN_FLAT] + numbers[row, SEEN_UP] + CLASSES
    guesses[slot, row, DOWN], guesses[slot, row, FLAT], guesses[slot, row, UP] = down, flat, up
    for index in range(CLASSES):
        guesses[slot, row, GUESS_BASE + index] = (numbers[row, SEEN + index] + 1.0) / total
    guesses[slot, row, GUESS_MOVE] = (up - down) * sigma


@compiled
def _rank(counts: IntArray, ranks: NarrowArray, conviction: FloatArray, warmup: int, score: FloatArray) -> None:
    """Mid-rank of |conviction| among those before it (ties count half), then keep it for the next.

    A loop of its own, because the compiler counts many ranks at once only where nothing else is going on.
    """
    window = ranks.shape[1]
    for row in range(counts.shape[0]):
        score[row] = math.nan
        if math.isnan(conviction[row]):
            continue
        value = NARROW(abs(conviction[row]) * RANK_UNIT)
        filled = min(counts[row, PREDICTED], window)
        if filled >= warmup:
            below, upto = NARROW(0), NARROW(0)  # as narrow as the ranks: many more comparisons at once
            for index in range(filled):
                below = NARROW(below + NARROW(ranks[row, index] < value))
                upto = NARROW(upto + NARROW(ranks[row, index] <= value))
            score[row] = 0.5 * (int(below) + int(upto)) / filled
        ranks[row, counts[row, PREDICTED] % window] = value
        counts[row, PREDICTED] += 1


@inlined
def _learn(rows: Rows, past: Past, now: Now, knobs: Knobs, moved: FloatArray, row: int) -> None:
    """Judge the guess whose outcome is seen now, if there is one, and go one step down the gradient of its loss."""
    numbers, counts, guesses = rows.numbers, rows.counts, rows.guesses
    pair, horizon = counts[row, PAIR], counts[row, HORIZON]
    made = now.grid - horizon
    slot = made % moved.shape[0]
    due = rows.guessed_at[slot, row] == made and now.fresh[pair]
    due = due and math.isfinite(now.close[pair]) and now.close[pair] > 0.0
    outcome = FLAT
    if due:
        rows.guessed_at[slot, row] = EMPTY
        _forget(numbers, counts, row, now.grid, knobs.memory)
        if math.isnan(moved[slot, pair]):  # the same for all learners of a pair and horizon, and a logarithm is dear
            moved[slot, pair] = math.log(now.close[pair] / past.close[slot, pair])
        realised, sigma = moved[slot, pair], past.volatility[slot, pair] * math.sqrt(horizon)
        outcome = _outcome(realised, sigma, knobs.round_trip, knobs.flat_min, knobs.flat_max)
        _judge(numbers, guesses, row, slot, outcome, horizon, realised, sigma, knobs.clip)
    settle_pattern(rows, row, due, moved[slot, pair], now.grid)
    if due:
        seen = past.features[slot, pair]
        down, flat, up = _softmax(rows.weights, numbers[row, BIAS], rows.mask, row, counts[row, FEATURES], seen)
        decay = max(knobs.rate_floor, 1.0 / (1.0 + counts[row, LEARNT] / knobs.rate_halving))
        _descend(rows, row, seen, numbers[row, RATE] * decay, outcome, down, flat, up)
        counts[row, LEARNT] += 1
        counts[row, LEARNT_AT] = now.grid


@inlined
def _predict(rows: Rows, past: Past, now: Now, known: IntArray, row: int, out: Out) -> None:
    """Say what is expected of the pair, where all is known that the row looks at; NaN elsewhere."""
    numbers, counts, here = rows.numbers, rows.counts, now.grid % past.close.shape[0]
    pair = counts[row, PAIR]
    seen = past.features[here, pair]
    out.conviction[row] = math.nan
    if _is_able(counts, rows.mask, row, known[pair], seen):
        down, flat, up = _softmax(rows.weights, numbers[row, BIAS], rows.mask, row, counts[row, FEATURES], seen)
        if math.isfinite(up - down):
            out.conviction[row] = up - down
            sigma = past.volatility[here, pair] * math.sqrt(counts[row, HORIZON])
            _remember(numbers, rows.guesses, row, here, down, flat, up, sigma)
            rows.guessed_at[here, row] = now.grid
        else:
            counts[row, FAULTY] = 1


@inlined
def _say(rows: Rows, past: Past, now: Now, min_t2: float, row: int, out: Out) -> None:
    """The edge counts only where the calibration is significant and not reversed; the row keeps what it said."""
    numbers, here, worth = rows.numbers, now.grid % past.close.shape[0], 0.0
    pair, said, score = rows.counts[row, PAIR], out.conviction[row], out.score[row]
    beta, t2 = numbers[row, BETA], numbers[row, T2]
    out.abstained[row] = math.isnan(score)
    if not out.abstained[row] and t2 > min_t2 and beta > 0.0:
        worth = beta * (1.0 - min_t2 / t2) * rows.guesses[here, row, GUESS_MOVE]
    out.edge[row] = worth
    numbers[row, SAID], numbers[row, SAID_SCORE], numbers[row, SAID_EDGE] = said, score, worth
    sight_pattern(rows, row, said, score, past.features[here, pair], now.grid)
    decide(numbers, rows.counts, row, now.fresh[pair], said, score, now.grid)


@compiled
def step_rows(
    numbers: FloatArray,
    counts: IntArray,
    weights: FloatArray,
    mask: IntArray,
    guesses: FloatArray,
    guessed_at: IntArray,
    ranks: NarrowArray,
    book: FloatArray,
    pattern: FloatArray,
    stream: StreamArray,
    past_features: FloatArray,
    past_close: FloatArray,
    past_volatility: FloatArray,
    seen_at: IntArray,
    knobs: FloatArray,
    moved: FloatArray,
    known: IntArray,
    grid: int,
    last: int,
    fresh: BoolArray,
    close: FloatArray,
    opened: FloatArray,
    volatility: FloatArray,
    features: FloatArray,
    conviction: FloatArray,
    score: FloatArray,
    edge: FloatArray,
    abstained: BoolArray,
) -> None:
    """One slice for all rows: fill, judge and learn what is due, predict, decide. Writes rows, past and out.

    The arrays come one by one, in the order of Rows, Past, `seen_at`, Knobs, Work, Now and Out: numba takes four times
    as long to unpack the same arrays from tuples as to take them.
    """
    rows = Rows(
        borrowed(numbers), borrowed(counts), borrowed(weights), borrowed(mask), borrowed(guesses), borrowed(guessed_at),
        borrowed(ranks), borrowed(book), borrowed(pattern), borrowed(stream),
    )  # fmt: skip
    past = Past(borrowed(past_features), borrowed(past_close), borrowed(past_volatility))
    now = Now(grid, last, borrowed(fresh), borrowed(close), borrowed(opened), borrowed(volatility), borrowed(features))
    out = Out(borrowed(conviction), borrowed(score), borrowed(edge), borrowed(abstained))
    _step(rows, past, borrowed(seen_at), now, _unpacked(knobs), Work(borrowed(moved), borrowed(known)), out)


@inlined
def _step(rows: Rows, past: Past, seen_at: IntArray, now: Now, knobs: Knobs, work: Work, out: Out) -> None:
    _record(past, seen_at, now, knobs.clip)
    _look(past, now, work.known)
    work.moved[:] = math.nan
    for row in range(rows.counts.shape[0]):
        _drop_overdue(rows.counts, rows.guessed_at, row, now.last, now.grid)
        fill(rows, now, knobs, row)
        _learn(rows, past, now, knobs, work.moved, row)
        _predict(rows, past, now, work.known, row, out)
    _rank(rows.counts, rows.ranks, out.conviction, knobs.rank_warmup, out.score)
    for row in range(rows.counts.shape[0]):
        _say(rows, past, now, knobs.min_t2, row, out)


@compiled
def _unpacked(knobs: FloatArray) -> Knobs:
    return Knobs(
        knobs[0], knobs[1], knobs[2], knobs[3], knobs[4], knobs[5], knobs[6],
        int(knobs[7]), knobs[8], knobs[9], knobs[10], int(knobs[11]), knobs[12],
    )  # fmt: skip
