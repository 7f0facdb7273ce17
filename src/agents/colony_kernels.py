"""The arithmetic of the learners' colony in compiled loops, because it decides and has to be bit-equal everywhere.

numba without fastmath or parallel reductions; exp and log are those of libm. No row reads another, so a result depends
neither on population nor on capacity. Every kernel is one loop over all rows: a call for each row would cost more in
reference counts of the arrays than the arithmetic does.
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
    NOWHERE,
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
    compiled,
)
from .colony_sightings import settle_patterns, sight_patterns


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
def _drop_overdue(counts: IntArray, guessed_at: IntArray, last: int, grid: int) -> None:
    """Forget the guesses that were due before this grid point: their outcome was never seen."""
    depth = guessed_at.shape[1]
    for row in range(counts.shape[0]):
        for due in range(last, min(grid, last + depth)):
            made = due - counts[row, HORIZON]
            if guessed_at[row, made % depth] == made:
                guessed_at[row, made % depth] = EMPTY
                counts[row, DROPPED] += 1


@compiled
def _find_due(rows: Rows, now: Now, work: Work) -> None:
    """Note the slot of each guess whose outcome is seen now; the guess no longer waits."""
    counts, guessed_at, slots = rows.counts, rows.guessed_at, work.slot
    depth = guessed_at.shape[1]
    for row in range(counts.shape[0]):
        slots[row] = NOWHERE
        close = now.close[counts[row, PAIR]]
        made = now.grid - counts[row, HORIZON]
        slot = made % depth
        seen = now.fresh[counts[row, PAIR]] and math.isfinite(close) and close > 0.0
        if seen and guessed_at[row, slot] == made:
            guessed_at[row, slot] = EMPTY
            slots[row] = slot


@compiled
def _forget(numbers: FloatArray, counts: IntArray, slots: IntArray, grid: int, memory: float) -> None:
    """Let all weighted sums fade by the time since the last outcome; windows count time, not bars."""
    for row in range(counts.shape[0]):
        if slots[row] == NOWHERE or counts[row, LEARNT] == 0:
            continue
        elapsed = float(grid - counts[row, LEARNT_AT])
        kept = memory if elapsed == 1.0 else math.pow(memory, elapsed)
        for column in range(SXX, SEEN_UP + 1):
            numbers[row, column] *= kept


@compiled
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
        return
    explained = numbers[row, BETA] * numbers[row, SXY] / numbers[row, SYY]
    numbers[row, T2] = freedom * explained / max(1.0 - explained, 2.0**-52)  # finite even for a perfect fit


@compiled
def _outcome(realised: float, sigma: float, round_trip: float, flat_min: float, flat_max: float) -> int:
    """The class of a move: flat inside the round-trip cost, held between flat_min and flat_max sigmas."""
    band = min(max(round_trip / sigma, flat_min), flat_max)
    scaled = realised / sigma
    if abs(scaled) < band:
        return FLAT
    return UP if scaled > 0.0 else DOWN


@compiled
def _judge(rows: Rows, past: Past, now: Now, knobs: Knobs, work: Work) -> None:
    """Hold what was said against what came: losses, base rates and the calibration, all before learning."""
    numbers, counts, guesses, slots, moved = rows.numbers, rows.counts, rows.guesses, work.slot, work.moved
    moved[:] = math.nan
    for row in range(counts.shape[0]):
        slot, pair, horizon = slots[row], counts[row, PAIR], counts[row, HORIZON]
        if slot == NOWHERE:
            continue
        if math.isnan(moved[slot, pair]):  # the same for all learners of a pair and horizon, and a logarithm is dear
            moved[slot, pair] = math.log(now.close[pair] / past.close[slot, pair])
        realised = moved[slot, pair]
        sigma = past.volatility[slot, pair] * math.sqrt(horizon)
        outcome = _outcome(realised, sigma, knobs.round_trip, knobs.flat_min, knobs.flat_max)
        work.outcome[row] = outcome
        numbers[row, WEIGHT] += 1.0
        numbers[row, LOSS] -= math.log(max(guesses[row, slot, outcome], SMALLEST))
        numbers[row, BASE_LOSS] -= math.log(guesses[row, slot, GUESS_BASE + outcome])
        numbers[row, SEEN + outcome] += 1.0
        came = min(max(realised / sigma, -knobs.clip), knobs.clip)
        _calibrate(numbers, row, horizon, guesses[row, slot, GUESS_MOVE] / sigma, came)


@compiled
def _power(one: float, top: float) -> float:
    """e^(one - top); one of three is the top itself, and exp is dear."""
    return 1.0 if one == top else math.exp(one - top)


@compiled
def _softmax(rows: Rows, past: Past, work: Work) -> None:
    """Probabilities of down, flat and up with the features at each row's slot; NaN where a weight is not finite."""
    counts, weights, features, mask, chance = rows.counts, rows.weights, past.features, rows.mask, work.chance
    for row in range(counts.shape[0]):
        slot, pair = work.slot[row], counts[row, PAIR]
        if slot == NOWHERE:
            continue
        down, flat, up = 0.0, rows.numbers[row, BIAS], 0.0
        for place in range(counts[row, FEATURES]):
            index = mask[row, place]
            value = features[slot, pair, index]
            down += weights[row, DOWN, index] * value
            flat += weights[row, FLAT, index] * value
            up += weights[row, UP, index] * value
        top = max(down, flat, up) if math.isfinite(down + flat + up) else math.nan
        down, flat, up = _power(down, top), _power(flat, top), _power(up, top)
        total = down + flat + up
        chance[row, DOWN], chance[row, FLAT], chance[row, UP] = down / total, flat / total, up / total


@compiled
def _descend(rows: Rows, past: Past, now: Now, knobs: Knobs, work: Work) -> None:
    """One step of gradient descent on the log loss of each matured guess."""
    numbers, counts, weights, features, mask = rows.numbers, rows.counts, rows.weights, past.features, rows.mask
    for row in range(counts.shape[0]):
        slot, pair, outcome = work.slot[row], counts[row, PAIR], work.outcome[row]
        if slot == NOWHERE:
            continue
        decay = max(knobs.rate_floor, 1.0 / (1.0 + counts[row, LEARNT] / knobs.rate_halving))
        rate = numbers[row, RATE] * decay
        down = rate * (work.chance[row, DOWN] - (1.0 if outcome == DOWN else 0.0))
        flat = rate * (work.chance[row, FLAT] - (1.0 if outcome == FLAT else 0.0))
        up = rate * (work.chance[row, UP] - (1.0 if outcome == UP else 0.0))
        for place in range(counts[row, FEATURES]):
            index = mask[row, place]
            value = features[slot, pair, index]
            weights[row, DOWN, index] -= down * value
            weights[row, FLAT, index] -= flat * value
            weights[row, UP, index] -= up * value
        numbers[row, BIAS] -= flat
        counts[row, LEARNT] += 1
        counts[row, LEARNT_AT] = now.grid


@compiled
def _find_able(rows: Rows, past: Past, now: Now, work: Work) -> None:
    """Note the slot of this slice for each row that has all it needs of its pair."""
    counts, mask, slots = rows.counts, rows.mask, work.slot
    slot = now.grid % rows.guessed_at.shape[1]
    features = past.features[slot]
    whole = _known(now, past.close[slot], past.volatility[slot], features)
    for row in range(counts.shape[0]):
        pair = counts[row, PAIR]
        able = counts[row, ALIVE] == 1 and counts[row, FAULTY] == 0 and whole[pair] != UNKNOWN
        if able and whole[pair] == IN_PART:
            for place in range(counts[row, FEATURES]):
                able = able and not math.isnan(features[pair, mask[row, place]])
        slots[row] = slot if able else NOWHERE


UNKNOWN, IN_PART, WHOLE = range(3)


@compiled
def _known(now: Now, close: FloatArray, volatility: FloatArray, features: FloatArray) -> IntArray:
    """What is known of each pair in this slice: nothing that helps, some features, or all that is asked for."""
    known = np.full(close.shape[0], UNKNOWN)
    for pair in range(close.shape[0]):
        sound = now.fresh[pair] and math.isfinite(close[pair]) and close[pair] > 0.0
        if not (sound and math.isfinite(volatility[pair]) and volatility[pair] > 0.0):
            continue
        known[pair] = WHOLE
        for index in range(features.shape[1]):
            if math.isnan(features[pair, index]):
                known[pair] = IN_PART
    return known


@compiled
def _remember(rows: Rows, past: Past, now: Now, work: Work, out: Out) -> None:
    """Keep each guess until its outcome comes; base rates after Laplace's rule of succession."""
    numbers, counts, guesses = rows.numbers, rows.counts, rows.guesses
    for row in range(counts.shape[0]):
        slot = work.slot[row]
        if slot == NOWHERE:
            continue
        conviction = work.chance[row, UP] - work.chance[row, DOWN]
        if not math.isfinite(conviction):
            counts[row, FAULTY] = 1
            work.slot[row] = NOWHERE
            continue
        total = numbers[row, SEEN] + numbers[row, SEEN_FLAT] + numbers[row, SEEN_UP] + CLASSES
        for index in range(CLASSES):
            guesses[row, slot, index] = work.chance[row, index]
            guesses[row, slot, GUESS_BASE + index] = (numbers[row, SEEN + index] + 1.0) / total
        sigma = past.volatility[slot, counts[row, PAIR]] * math.sqrt(counts[row, HORIZON])
        guesses[row, slot, GUESS_MOVE] = conviction * sigma
        rows.guessed_at[row, slot] = now.grid
        out.conviction[row] = conviction


@compiled
def _rank(counts: IntArray, ranks: NarrowArray, slots: IntArray, warmup: int, out: Out) -> None:
    """Mid-rank of |conviction| among those before it (ties count half), then keep it for the next."""
    window = ranks.shape[1]
    for row in range(counts.shape[0]):
        if slots[row] == NOWHERE:
            continue
        value = NARROW(abs(out.conviction[row]) * RANK_UNIT)
        filled = min(counts[row, PREDICTED], window)
        if filled >= warmup:
            below, upto = NARROW(0), NARROW(0)  # as narrow as the ranks: many more comparisons at once
            for index in range(filled):
                below = NARROW(below + NARROW(ranks[row, index] < value))
                upto = NARROW(upto + NARROW(ranks[row, index] <= value))
            out.score[row] = 0.5 * (int(below) + int(upto)) / filled
            out.abstained[row] = False
        ranks[row, counts[row, PREDICTED] % window] = value
        counts[row, PREDICTED] += 1


@compiled
def _say(rows: Rows, work: Work, min_t2: float, out: Out) -> None:
    """The edge counts only where the calibration is significant and not reversed; the row keeps what it said."""
    numbers = rows.numbers
    for row in range(numbers.shape[0]):
        beta, t2 = numbers[row, BETA], numbers[row, T2]
        if not out.abstained[row] and t2 > min_t2 and beta > 0.0:
            out.edge[row] = beta * (1.0 - min_t2 / t2) * rows.guesses[row, work.slot[row], GUESS_MOVE]
        numbers[row, SAID] = out.conviction[row]
        numbers[row, SAID_SCORE] = out.score[row]
        numbers[row, SAID_EDGE] = out.edge[row]


@compiled
def _blank(out: Out) -> None:
    for row in range(out.score.shape[0]):
        out.conviction[row], out.score[row], out.edge[row] = math.nan, math.nan, 0.0
        out.abstained[row] = True


@compiled
def _step(rows: Rows, past: Past, now: Now, knobs: Knobs, work: Work, out: Out) -> None:
    _blank(out)
    _record(past, now, knobs.clip)
    _drop_overdue(rows.counts, rows.guessed_at, now.last, now.grid)
    fill(rows.numbers, rows.counts, rows.book, now, knobs)
    _find_due(rows, now, work)
    _forget(rows.numbers, rows.counts, work.slot, now.grid, knobs.memory)
    _judge(rows, past, now, knobs, work)
    settle_patterns(rows, work, now.grid)
    _softmax(rows, past, work)
    _descend(rows, past, now, knobs, work)
    _find_able(rows, past, now, work)
    _softmax(rows, past, work)
    _remember(rows, past, now, work, out)
    _rank(rows.counts, rows.ranks, work.slot, knobs.rank_warmup, out)
    _say(rows, work, knobs.min_t2, out)
    sight_patterns(rows, past, work, now.grid, out)
    decide(rows.numbers, rows.counts, now, out)


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
    knobs: FloatArray,
    slot: IntArray,
    outcome: IntArray,
    moved: FloatArray,
    chance: FloatArray,
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

    The arrays come one by one, in the order of Rows, Past, Knobs, Work, Now and Out: numba takes four times as long
    to unpack the same arrays from tuples as to take them.
    """
    rows = Rows(numbers, counts, weights, mask, guesses, guessed_at, ranks, book, pattern, stream)
    past = Past(past_features, past_close, past_volatility)
    now = Now(grid, last, fresh, close, opened, volatility, features)
    work, out = Work(slot, outcome, moved, chance), Out(conviction, score, edge, abstained)
    _step(rows, past, now, _unpacked(knobs), work, out)


@compiled
def _unpacked(knobs: FloatArray) -> Knobs:
    return Knobs(
        knobs[0], knobs[1], knobs[2], knobs[3], knobs[4], knobs[5], knobs[6],
        int(knobs[7]), knobs[8], knobs[9], knobs[10], int(knobs[11]), knobs[12],
    )  # fmt: skip
