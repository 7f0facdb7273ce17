"""The compiled loops of the simple learners: outcomes judged in time, sums that fade, ranks, and what is chosen."""

from __future__ import annotations

import math

import numpy as np

from ..core.types import BoolArray, FloatArray, IntArray
from .colony_layout import EMPTY, compiled

SUMS = 4
"""Of a calibration, a row each."""
_SXX, _SXY, _SYY, _WEIGHT = range(SUMS)


def ridge(moments: FloatArray, products: FloatArray, penalty: float) -> FloatArray:
    """Weights w with (moments + penalty I) w = products, by Cholesky in one fixed order of sums. `penalty` > 0.

    Of the symmetric `moments` only the lower triangle is read.
    """
    return np.asarray(_solved(np.ascontiguousarray(moments), np.ascontiguousarray(products), penalty))


@compiled
def _solved(moments: FloatArray, products: FloatArray, penalty: float) -> FloatArray:
    size = products.shape[0]
    low, found = np.zeros((size, size)), products.copy()
    for row in range(size):
        for column in range(row + 1):
            rest = moments[row, column] + (penalty if row == column else 0.0)
            for index in range(column):
                rest -= low[row, index] * low[column, index]
            low[row, column] = math.sqrt(rest) if row == column else rest / low[column, column]
    for row in range(size):
        for index in range(row):
            found[row] -= low[row, index] * found[index]
        found[row] /= low[row, row]
    for row in range(size - 1, -1, -1):
        for index in range(row + 1, size):
            found[row] -= low[index, row] * found[index]
        found[row] /= low[row, row]
    return found


@compiled
def watch(
    fresh: BoolArray, close: FloatArray, volatility: FloatArray, features: FloatArray, grid: int, horizons: IntArray,
    clip: float, memory: float, at: IntArray, kept_close: FloatArray, kept_volatility: FloatArray,
    kept_features: FloatArray, said: FloatArray, sums: FloatArray, judged: IntArray,
) -> tuple[FloatArray, IntArray, BoolArray]:  # fmt: skip
    """`_judge` what is due, then `_look`, in one call."""
    targets, elapsed = _judge(
        fresh, close, grid, horizons, at, kept_close, kept_volatility, said, sums, judged, memory,
    )  # fmt: skip
    slot = grid % at.size
    sound = _look(
        fresh, close, volatility, features, clip, kept_features[slot], kept_close[slot], kept_volatility[slot]
    )
    return targets, elapsed, sound


@compiled
def beta_of(sums: FloatArray) -> float:
    """beta of a calibration, between 0 and 1: how far the ridge is trusted.

    Without the learners' t-test: what all pairs have in common is too weak for it at these lengths, and a rival that
    never speaks is no rival.
    """
    return min(1.0, max(0.0, sums[_SXY] / sums[_SXX])) if sums[_SXX] > 0.0 else 0.0


@compiled
def trust_of(sums: FloatArray, horizon: float, least: float, square: float) -> float:
    """beta (1 - least / t^2) of a calibration, 0 where reversed or not significant.

    `square` is 2.0: as an argument it is raised to by libm, as Python's `**` does, and not multiplied out.
    """
    sxx, sxy, syy, freedom = sums[_SXX], sums[_SXY], sums[_SYY], sums[_WEIGHT] / horizon - 1.0
    if freedom <= 0.0 or sxx <= 0.0 or syy <= 0.0 or sxy <= 0.0:
        return 0.0
    explained = min(math.pow(sxy, square) / (sxx * syy), 1.0 - 2.0**-52)
    t2 = freedom * explained / (1.0 - explained)
    return sxy / sxx * (1.0 - least / t2) if t2 > least else 0.0


@compiled
def ridge_step(
    fresh: BoolArray, close: FloatArray, volatility: FloatArray, features: FloatArray, grid: int, horizons: IntArray,
    clip: float, memory: float, at: IntArray, kept_close: FloatArray, kept_volatility: FloatArray,
    kept_features: FloatArray, kept_said: FloatArray, sums: FloatArray, judged: IntArray, moments: FloatArray,
    products: FloatArray, outcomes: FloatArray, weights: FloatArray, solved: IntArray, every: int, least: float,
    penalty: float, ranks: FloatArray, ranked: IntArray, warmup: int, entry: float, place_of: IntArray,
    score: FloatArray, edge: FloatArray,
) -> None:  # fmt: skip
    """A slice of `PooledRidge`: what it expects into `kept_said`, and of each pair what `chosen` says."""
    targets, elapsed, sound = watch(
        fresh, close, volatility, features, grid, horizons, clip, memory, at, kept_close, kept_volatility,
        kept_features, kept_said, sums, judged,
    )  # fmt: skip
    trusts = np.empty(horizons.size)
    for place in range(horizons.size):
        if elapsed[place]:
            fade, then = math.pow(memory, float(elapsed[place])), (grid - horizons[place]) % at.size
            known = add_outcomes(moments[place], products[place], kept_features[then], targets[place], fade)
            outcomes[place] = outcomes[place] * fade + known
        trusts[place] = beta_of(sums[place])
    for place in range(horizons.size):
        if solved[place] // every != grid // every and outcomes[place] >= least:
            weights[place] = _solved(moments[place], products[place], penalty)
            solved[place] = grid
    slot = grid % at.size
    said = products_of(kept_features[slot], sound, weights)
    at[slot], kept_said[slot] = grid, said
    chosen(ranks, ranked, said, volatility, horizons, trusts, warmup, entry, place_of, score, edge)


@compiled
def noise_step(
    fresh: BoolArray, close: FloatArray, volatility: FloatArray, features: FloatArray, grid: int, horizons: IntArray,
    clip: float, memory: float, at: IntArray, kept_close: FloatArray, kept_volatility: FloatArray,
    kept_features: FloatArray, kept_said: FloatArray, sums: FloatArray, judged: IntArray, drawn: FloatArray, row: int,
    least: float, square: float, ranks: FloatArray, ranked: IntArray, warmup: int, entry: float, place_of: IntArray,
    score: FloatArray, edge: FloatArray,
) -> None:  # fmt: skip
    """A slice of `NoiseLearner`, judged in time as any other: what it expects into `kept_said`, then as `chosen`."""
    _, _, sound = watch(
        fresh, close, volatility, features, grid, horizons, clip, memory, at, kept_close, kept_volatility,
        kept_features, kept_said, sums, judged,
    )  # fmt: skip
    said, slot = masked(drawn, row, sound), grid % at.size
    at[slot], kept_said[slot] = grid, said
    trusts = np.empty(horizons.size)
    for place in range(horizons.size):
        trusts[place] = trust_of(sums[place], float(horizons[place]), least, square)
    chosen(ranks, ranked, said, volatility, horizons, trusts, warmup, entry, place_of, score, edge)


@compiled
def _judge(
    fresh: BoolArray, close: FloatArray, grid: int, horizons: IntArray, at: IntArray, then: FloatArray,
    volatility: FloatArray, said: FloatArray, sums: FloatArray, judged: IntArray, memory: float,
) -> tuple[FloatArray, IntArray]:  # fmt: skip
    """Moves (horizons, pairs) in volatilities that are known now, NaN for none, into the calibration of what was said.

    Also the intervals since the last outcome of each horizon, 0 where none is known now: windows count time, not bars.
    """
    targets, elapsed = np.full((horizons.size, fresh.size), math.nan), np.zeros_like(horizons)
    for place in range(horizons.size):
        made = grid - horizons[place]
        slot = made % at.size
        if at[slot] != made:
            continue
        target, root, known = targets[place], math.sqrt(float(horizons[place])), 0
        for pair in range(fresh.size):
            if fresh[pair] and then[slot, pair] > 0.0 and close[pair] > 0.0 and volatility[slot, pair] > 0.0:
                move = math.log(close[pair] / then[slot, pair]) / (volatility[slot, pair] * root)
                if math.isfinite(move):
                    target[pair] = move
                    known += 1
        if known > 0:
            elapsed[place] = 1 if judged[place] == EMPTY else grid - judged[place]
            judged[place] = grid
            _calibrate(sums[place], said[slot, :, place], target, math.pow(memory, float(elapsed[place])))
    return targets, elapsed


@compiled
def _look(
    fresh: BoolArray, close: FloatArray, volatility: FloatArray, features: FloatArray, clip: float,
    kept_features: FloatArray, kept_close: FloatArray, kept_volatility: FloatArray,
) -> BoolArray:  # fmt: skip
    """Keep what is predicted on, clipped, NaN where it is not finite; the pairs (pairs,) of which all is known."""
    sound = np.empty(fresh.size, np.bool_)
    for pair in range(fresh.size):
        good = fresh[pair] and math.isfinite(close[pair]) and close[pair] > 0.0 and volatility[pair] > 0.0
        for index in range(features.shape[1]):
            value = features[pair, index]
            if math.isfinite(value):
                kept_features[pair, index] = min(max(value, -clip), clip)
            else:
                kept_features[pair, index], good = math.nan, False
        sound[pair] = good
        kept_close[pair] = close[pair] if good else math.nan
        kept_volatility[pair] = volatility[pair] if good else math.nan
    return sound


@compiled
def chosen(
    ranks: FloatArray, ranked: IntArray, said: FloatArray, volatility: FloatArray, horizons: IntArray,
    trusts: FloatArray, warmup: int, entry: float, place: IntArray, score: FloatArray, edge: FloatArray,
) -> None:  # fmt: skip
    """The place of each pair's horizon of the largest |edge|, the first of equals, -1 for silence; score and edge."""
    scores = _ranked(ranks, ranked, said, warmup)
    place[:], score[:], edge[:] = -1, 0.0, 0.0
    for pair in range(said.shape[0]):
        for kind in range(said.shape[1]):
            if not scores[pair, kind] >= entry or said[pair, kind] == 0.0:
                continue
            own = trusts[kind] * (said[pair, kind] * volatility[pair] * math.sqrt(float(horizons[kind])))
            if place[pair] < 0 or abs(own) > abs(edge[pair]):
                place[pair], score[pair], edge[pair] = kind, scores[pair, kind], own


@compiled
def _calibrate(sums: FloatArray, said: FloatArray, target: FloatArray, memory: float) -> None:
    sums *= memory
    together = 0
    for pair in range(said.shape[0]):
        together += math.isfinite(said[pair]) and math.isfinite(target[pair])
    for pair in range(said.shape[0]):
        if math.isfinite(said[pair]) and math.isfinite(target[pair]):
            sums[_SXX] += said[pair] * said[pair] / together
            sums[_SXY] += said[pair] * target[pair] / together
            sums[_SYY] += target[pair] * target[pair] / together
    sums[_WEIGHT] += together > 0


@compiled
def _ranked(ranks: FloatArray, ranked: IntArray, said: FloatArray, warmup: int) -> FloatArray:
    """Mid-rank of |said| among a pair's predictions before it, NaN during the warm-up; then keep it."""
    window = ranks.shape[2]
    scores = np.full(said.shape, math.nan)
    for pair in range(said.shape[0]):
        for place in range(said.shape[1]):
            value, own, filled = abs(said[pair, place]), ranks[pair, place], min(ranked[pair, place], window)
            if not math.isfinite(value):
                continue
            if filled >= warmup:
                twice = 0
                for index in range(filled):
                    twice += int(own[index] < value) + int(own[index] <= value)
                scores[pair, place] = 0.5 * twice / filled
            own[ranked[pair, place] % window] = value
            ranked[pair, place] += 1
    return scores


@compiled
def add_outcomes(
    moments: FloatArray, products: FloatArray, features: FloatArray, target: FloatArray, memory: float
) -> int:
    """Fade and add; of the moments the lower triangle, which is all that `ridge` reads. How many targets there are."""
    known = 0
    for row in range(products.size):
        products[row] *= memory
        for column in range(row + 1):
            moments[row, column] *= memory
    for pair in range(target.shape[0]):
        if not math.isfinite(target[pair]):
            continue
        known += 1
        own = features[pair]
        for row in range(own.size):
            value = own[row]
            products[row] += value * target[pair]
            for column in range(row + 1):
                moments[row, column] += value * own[column]
    return known


@compiled
def products_of(features: FloatArray, sound: BoolArray, weights: FloatArray) -> FloatArray:
    result = np.full((features.shape[0], weights.shape[0]), math.nan)
    for pair in range(features.shape[0]):
        if sound[pair]:
            for place in range(weights.shape[0]):
                total = 0.0
                for index in range(features.shape[1]):
                    total += features[pair, index] * weights[place, index]
                result[pair, place] = total
    return result


@compiled
def masked(drawn: FloatArray, row: int, sound: BoolArray) -> FloatArray:
    """A row of what was drawn, NaN where a pair is not `sound`."""
    result: FloatArray = drawn[row].copy()
    for pair in range(sound.size):
        if not sound[pair]:
            result[pair] = math.nan
    return result
