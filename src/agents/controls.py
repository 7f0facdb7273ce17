"""Two simple learners that the swarm has to beat: one ridge over all pairs at once, and one that knows nothing.

Both speak as the swarm does, in ideas with a score and a calibrated edge, so that the same gate and the same books can
judge them. They see what the learners see and take part in nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.config import Controls, Learners
from ..core.errors import DataError, InvariantError
from ..core.randomness import generator_for
from ..core.types import BoolArray, FloatArray, Idea, IntArray, Side, Snapshot
from .colony_layout import EMPTY, compiled
from .colony_votes import SwarmIdea

_SXX, _SXY, _SYY, _WEIGHT = range(4)
_SUMS = 4
_SIDES = (Side.SELL, Side.BUY)
_Opinion = tuple[int, Side, float, float, int]
"""Place of a pair, side, score, edge, horizon."""
_BLOCK = 256
"""Intervals that share a stream of noise: the layout of a derivation, not a tunable."""


class Control:
    """What both have: a prediction a pair and horizon, its outcome in time, a calibration, a rank, ideas.

    Predictions are in units of the pair's own volatility over the horizon. The calibration is one for all pairs of a
    horizon: an exponentially weighted regression through zero as the learners have it, where the outcomes of all pairs
    of one interval count as one, because pairs move together.
    """

    name = "control"

    def __init__(self, settings: Controls, learners: Learners, n_features: int, n_pairs: int, seed: int) -> None:
        if any(horizon < 1 for horizon in settings.horizons):
            raise InvariantError("controls.horizons: each must be at least 1")
        self._fade = learners.calibration_memory
        self._settings, self._learners = settings, learners
        self._n_features, self._n_pairs, self._seed = n_features, n_pairs, seed
        self._horizons = np.array(settings.horizons, dtype=np.int64)
        depth, kinds = max(settings.horizons) + 1, len(settings.horizons)
        self._kept: dict[str, Any] = {
            "at": np.full(depth, EMPTY, dtype=np.int64),
            "features": np.full((depth, n_pairs, n_features), np.nan),
            "close": np.full((depth, n_pairs), np.nan),
            "volatility": np.full((depth, n_pairs), np.nan),
            "said": np.full((depth, n_pairs, kinds), np.nan),
            "sums": np.zeros((kinds, _SUMS)),
            "judged": np.full(kinds, EMPTY, dtype=np.int64),
            "ranks": np.full((n_pairs, kinds, learners.rank_window), np.nan),
            "ranked": np.zeros((n_pairs, kinds), dtype=np.int64),
        }

    def step(self, snapshot: Snapshot) -> list[SwarmIdea]:
        """Judge and learn what is due, predict, and speak: at most one idea a pair, that of the larger |edge|.

        An idea needs a score of at least `learners.entry_score` after `rank_warmup` predictions of the pair. Pairs
        without a bar, volatility or all features abstain.
        """
        speakers = (self.name,)
        return [
            SwarmIdea(pair, side, score, edge, horizon, speakers)
            for pair, side, score, edge, horizon in self._opinions(snapshot)
        ]

    def ideas(self, snapshot: Snapshot) -> list[Idea]:
        """`step` in the words of a book: the edge of a sell idea is what it says the price will fall by."""
        pairs, at, speakers = snapshot.pairs, snapshot.at, (self.name,)
        return [
            Idea(pairs[pair], side, at, score, speakers, abs(edge), horizon)
            for pair, side, score, edge, horizon in self._opinions(snapshot)
        ]

    def _opinions(self, snapshot: Snapshot) -> list[_Opinion]:
        kept, grid = self._kept, snapshot.grid
        targets, elapsed, sound = _watch(
            snapshot.fresh, snapshot.close, snapshot.volatility, snapshot.features, grid, self._horizons,
            self._learners.feature_clip, self._fade, kept["at"], kept["close"], kept["volatility"], kept["features"],
            kept["said"], kept["sums"], kept["judged"],
        )  # fmt: skip
        at, features = kept["at"], kept["features"]
        for place, since in enumerate(elapsed.tolist()):
            if since:
                self.learn(features[(grid - self._settings.horizons[place]) % at.size], targets[place], place, since)
        slot = grid % at.size
        said = self.predict(features[slot], sound, grid)
        at[slot], kept["said"][slot] = grid, said
        return self._speak(said, snapshot)

    def predict(self, features: FloatArray, sound: BoolArray, grid: int) -> FloatArray:
        """Expected moves in volatilities, (pairs, horizons); NaN where `sound` is False or nothing is known yet."""
        raise NotImplementedError

    def learn(self, features: FloatArray, target: FloatArray, place: int, elapsed: int) -> None:
        """Outcomes of one interval, `elapsed` intervals after the last ones: `features` (pairs, features) as predicted
        on, `target` (pairs,) in volatilities, NaN for none.
        """

    def _speak(self, said: FloatArray, snapshot: Snapshot) -> list[_Opinion]:
        kept, learners, horizons = self._kept, self._learners, self._settings.horizons
        trusts = np.array([self.trust(place, horizon) for place, horizon in enumerate(horizons)])
        place, score, edge = _chosen(
            kept["ranks"], kept["ranked"], said, snapshot.volatility, self._horizons, trusts, learners.rank_warmup,
            learners.entry_score,
        )  # fmt: skip
        return [
            (pair, _SIDES[said.item(pair, best) > 0.0], score.item(pair), edge.item(pair), horizons[best])
            for pair, best in enumerate(place.tolist())
            if best >= 0
        ]

    def trust(self, place: int, horizon: int) -> float:
        """beta (1 - min_t2 / t^2) of a horizon's calibration, 0 where reversed or not significant."""
        sxx, sxy, syy, weight = self._kept["sums"][place].tolist()
        least, freedom = self._learners.calibration_min_t2, weight / horizon - 1.0
        if freedom <= 0.0 or sxx <= 0.0 or syy <= 0.0 or sxy <= 0.0:
            return 0.0
        explained = min(sxy**2 / (sxx * syy), 1.0 - 2.0**-52)
        t2 = freedom * explained / (1.0 - explained)
        return float(sxy / sxx * (1.0 - least / t2)) if t2 > least else 0.0

    def state(self) -> dict[str, Any]:
        """A copy of everything that the next steps depend on."""
        return {name: array.copy() for name, array in self._kept.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state` was taken. Raises DataError when it is of other settings."""
        for name, array in self._kept.items():
            found = state.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                raise DataError(f"{self.name} state: {name} does not fit the settings; start with a fresh state")
        self._kept = {name: np.array(state[name], order="C") for name in self._kept}


class PooledRidge(Control):
    """One ridge regression a horizon over all pairs, solved anew every `ridge_every_intervals` by its own Cholesky."""

    name = "control-ridge"

    def __init__(self, settings: Controls, learners: Learners, n_features: int, n_pairs: int, seed: int) -> None:
        super().__init__(settings, learners, n_features, n_pairs, seed)
        self._fade = settings.ridge_memory
        kinds = len(settings.horizons)
        self._kept |= {
            "moments": np.zeros((kinds, n_features, n_features)),
            "products": np.zeros((kinds, n_features)),
            "outcomes": np.zeros(kinds),
            "weights": np.full((kinds, n_features), np.nan),
            "solved": np.full(kinds, EMPTY, dtype=np.int64),
        }

    def trust(self, place: int, horizon: int) -> float:
        """beta of its predictions, between 0 and 1, over as long a memory as its own sums have.

        Without the learners' t-test: what all pairs have in common is too weak for it at these lengths, and a rival
        that never speaks is no rival.
        """
        sums = self._kept["sums"]
        sxx, sxy = sums.item(place, _SXX), sums.item(place, _SXY)
        return min(1.0, max(0.0, sxy / sxx)) if sxx > 0.0 else 0.0

    def learn(self, features: FloatArray, target: FloatArray, place: int, elapsed: int) -> None:
        """Add one interval's outcomes to the sums, which fade by `ridge_memory` an interval."""
        kept = self._kept
        memory = math.pow(self._settings.ridge_memory, elapsed)
        known = _add_outcomes(kept["moments"][place], kept["products"][place], features, target, memory)
        kept["outcomes"][place] = kept["outcomes"][place] * memory + known

    def predict(self, features: FloatArray, sound: BoolArray, grid: int) -> FloatArray:
        """The newest solution's."""
        kept, every = self._kept, self._settings.ridge_every_intervals
        for place, solved in enumerate(kept["solved"].tolist()):
            if solved // every != grid // every and kept["outcomes"][place] >= self._settings.min_outcomes:
                penalty = self._settings.ridge_penalty
                kept["weights"][place] = ridge(kept["moments"][place], kept["products"][place], penalty)
                kept["solved"][place] = grid
        return np.asarray(_products(features, sound, kept["weights"]))


class NoiseLearner(Control):
    """Normal numbers, a stream for each block of intervals: what the pipeline makes of an opinion without content."""

    name = "control-noise"
    _block = EMPTY
    _drawn: FloatArray = np.empty(0)

    def predict(self, features: FloatArray, sound: BoolArray, grid: int) -> FloatArray:
        """Of unit variance; the same at the same grid in any run of this seed."""
        block, row = divmod(grid, _BLOCK)
        if block != self._block:
            shape = (_BLOCK, sound.size, len(self._settings.horizons))
            self._drawn = generator_for(self._seed, f"{self.name}:{block}").standard_normal(shape)
            self._block = block
        return np.asarray(_masked(self._drawn, row, sound))


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
def _watch(
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
def _chosen(
    ranks: FloatArray, ranked: IntArray, said: FloatArray, volatility: FloatArray, horizons: IntArray,
    trusts: FloatArray, warmup: int, entry: float,
) -> tuple[IntArray, FloatArray, FloatArray]:  # fmt: skip
    """The place of each pair's horizon of the largest |edge|, the first of equals, -1 for silence; score and edge."""
    scores = _ranked(ranks, ranked, said, warmup)
    place, score, edge = np.full(said.shape[0], -1), np.zeros(said.shape[0]), np.zeros(said.shape[0])
    for pair in range(said.shape[0]):
        for kind in range(said.shape[1]):
            if not scores[pair, kind] >= entry or said[pair, kind] == 0.0:
                continue
            own = trusts[kind] * (said[pair, kind] * volatility[pair] * math.sqrt(float(horizons[kind])))
            if place[pair] < 0 or abs(own) > abs(edge[pair]):
                place[pair], score[pair], edge[pair] = kind, scores[pair, kind], own
    return place, score, edge


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
def _add_outcomes(
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
def _products(features: FloatArray, sound: BoolArray, weights: FloatArray) -> FloatArray:
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
def _masked(drawn: FloatArray, row: int, sound: BoolArray) -> FloatArray:
    """A row of what was drawn, NaN where a pair is not `sound`."""
    result: FloatArray = drawn[row].copy()
    for pair in range(sound.size):
        if not sound[pair]:
            result[pair] = math.nan
    return result
