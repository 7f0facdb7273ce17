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
from ..core.types import BoolArray, FloatArray, IntArray, Side, Snapshot
from .colony_layout import EMPTY, compiled
from .colony_votes import SwarmIdea

_SXX, _SXY, _SYY, _WEIGHT, _SUMS = range(5)


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
        self._settings, self._learners = settings, learners
        self._n_features, self._n_pairs, self._seed = n_features, n_pairs, seed
        depth, kinds = max(settings.horizons) + 1, len(settings.horizons)
        self._kept: dict[str, Any] = {
            "at": np.full(depth, EMPTY, dtype=np.int64),
            "features": np.full((depth, n_pairs, n_features), np.nan),
            "close": np.full((depth, n_pairs), np.nan),
            "volatility": np.full((depth, n_pairs), np.nan),
            "said": np.full((depth, n_pairs, kinds), np.nan),
            "sums": np.zeros((kinds, _SUMS)),
            "judged": np.full(kinds, EMPTY, dtype=np.int64),
            "ranks": np.full((learners.rank_window, n_pairs, kinds), np.nan),
            "ranked": np.zeros((n_pairs, kinds), dtype=np.int64),
        }

    def step(self, snapshot: Snapshot) -> list[SwarmIdea]:
        """Judge and learn what is due, predict, and speak: at most one idea a pair, that of the larger |edge|.

        An idea needs a score of at least `learners.entry_score` after `rank_warmup` predictions of the pair. Pairs
        without a bar, volatility or all features abstain.
        """
        kept, grid = self._kept, snapshot.grid
        clip = self._learners.feature_clip
        features = np.clip(np.where(np.isfinite(snapshot.features), snapshot.features, np.nan), -clip, clip)
        for place, horizon in enumerate(self._settings.horizons):
            self._judge(snapshot, place, horizon)
        sound = snapshot.fresh & np.isfinite(snapshot.close) & (snapshot.close > 0.0) & (snapshot.volatility > 0.0)
        sound &= ~np.isnan(features).any(axis=1)
        said = self.predict(features, sound, grid)
        slot = grid % kept["at"].size
        kept["at"][slot], kept["features"][slot], kept["said"][slot] = grid, features, said
        kept["close"][slot] = np.where(sound, snapshot.close, np.nan)
        kept["volatility"][slot] = np.where(sound, snapshot.volatility, np.nan)
        return self._speak(said, snapshot)

    def predict(self, features: FloatArray, sound: BoolArray, grid: int) -> FloatArray:
        """Expected moves in volatilities, (pairs, horizons); NaN where `sound` is False or nothing is known yet."""
        raise NotImplementedError

    def learn(self, features: FloatArray, target: FloatArray, place: int, elapsed: int) -> None:
        """Outcomes of one interval, `elapsed` intervals after the last ones: `features` (pairs, features) as predicted
        on, `target` (pairs,) in volatilities, NaN for none.
        """

    def _judge(self, snapshot: Snapshot, place: int, horizon: int) -> None:
        kept, made = self._kept, snapshot.grid - horizon
        slot = made % kept["at"].size
        if kept["at"][slot] != made:
            return
        now = np.where(snapshot.fresh, snapshot.close, np.nan)
        target = _targets(kept["close"][slot], now, kept["volatility"][slot], float(horizon))
        if not np.isfinite(target).any():
            return
        # Windows count time, not bars.
        elapsed = 1 if kept["judged"][place] == EMPTY else snapshot.grid - int(kept["judged"][place])
        kept["judged"][place] = snapshot.grid
        faded = math.pow(self._learners.calibration_memory, elapsed)
        _calibrate(kept["sums"][place], kept["said"][slot, :, place], target, faded)
        self.learn(kept["features"][slot], target, place, elapsed)

    def _speak(self, said: FloatArray, snapshot: Snapshot) -> list[SwarmIdea]:
        kept, learners, ideas = self._kept, self._learners, []
        scores = _ranked(kept["ranks"], kept["ranked"], said, learners.rank_warmup)
        for pair in np.flatnonzero(np.any(scores >= learners.entry_score, axis=1)).tolist():
            options = []
            for place, horizon in enumerate(self._settings.horizons):
                if scores[pair, place] >= learners.entry_score and said[pair, place] != 0.0:
                    move = said[pair, place] * snapshot.volatility[pair] * math.sqrt(horizon)
                    options.append((self.trust(place, horizon) * move, float(scores[pair, place]), move, horizon))
            if options:
                edge, score, move, horizon = max(options, key=lambda option: abs(option[0]))
                side = Side.BUY if move > 0.0 else Side.SELL
                ideas.append(SwarmIdea(pair, side, score, float(edge), horizon, (self.name,)))
        return ideas

    def trust(self, place: int, horizon: int) -> float:
        """beta (1 - min_t2 / t^2) of a horizon's calibration, 0 where reversed or not significant."""
        sums, least = self._kept["sums"][place], self._learners.calibration_min_t2
        freedom = sums[_WEIGHT] / horizon - 1.0
        if freedom <= 0.0 or sums[_SXX] <= 0.0 or sums[_SYY] <= 0.0 or sums[_SXY] <= 0.0:
            return 0.0
        explained = min(sums[_SXY] ** 2 / (sums[_SXX] * sums[_SYY]), 1.0 - 2.0**-52)
        t2 = freedom * explained / (1.0 - explained)
        return float(sums[_SXY] / sums[_SXX] * (1.0 - least / t2)) if t2 > least else 0.0

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
        kinds = len(settings.horizons)
        self._kept |= {
            "moments": np.zeros((kinds, n_features, n_features)),
            "products": np.zeros((kinds, n_features)),
            "outcomes": np.zeros(kinds),
            "weights": np.full((kinds, n_features), np.nan),
            "solved": np.full(kinds, EMPTY, dtype=np.int64),
        }

    def learn(self, features: FloatArray, target: FloatArray, place: int, elapsed: int) -> None:
        """Add one interval's outcomes to the sums, which fade by `ridge_memory` an interval."""
        kept = self._kept
        memory = math.pow(self._settings.ridge_memory, elapsed)
        kept["outcomes"][place] = kept["outcomes"][place] * memory + float(np.count_nonzero(np.isfinite(target)))
        _add_outcomes(kept["moments"][place], kept["products"][place], features, target, memory)

    def predict(self, features: FloatArray, sound: BoolArray, grid: int) -> FloatArray:
        """The newest solution's."""
        kept, every = self._kept, self._settings.ridge_every_intervals
        for place in range(len(self._settings.horizons)):
            due = kept["solved"][place] // every != grid // every
            if due and kept["outcomes"][place] >= self._settings.min_outcomes:
                penalty = self._settings.ridge_penalty
                kept["weights"][place] = ridge(kept["moments"][place], kept["products"][place], penalty)
                kept["solved"][place] = grid
        return np.asarray(_products(features, sound, kept["weights"]))


class NoiseLearner(Control):
    """Normal numbers, a stream for each interval: what the pipeline makes of an opinion without content."""

    name = "control-noise"

    def predict(self, features: FloatArray, sound: BoolArray, grid: int) -> FloatArray:
        """Of unit variance; the same at the same grid in any run of this seed."""
        shape = (sound.size, len(self._settings.horizons))
        drawn = generator_for(self._seed, f"{self.name}:{grid}").standard_normal(shape)
        return np.asarray(np.where(sound[:, None], drawn, np.nan))


def ridge(moments: FloatArray, products: FloatArray, penalty: float) -> FloatArray:
    """Weights w with (moments + penalty I) w = products, by Cholesky in one fixed order of sums. `penalty` > 0."""
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
def _targets(then: FloatArray, now: FloatArray, volatility: FloatArray, horizon: float) -> FloatArray:
    target = np.full(then.shape[0], math.nan)
    for pair in range(then.shape[0]):
        if then[pair] > 0.0 and now[pair] > 0.0 and volatility[pair] > 0.0:
            target[pair] = math.log(now[pair] / then[pair]) / (volatility[pair] * math.sqrt(horizon))
    return target


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
    window = ranks.shape[0]
    scores = np.full(said.shape, math.nan)
    for pair in range(said.shape[0]):
        for place in range(said.shape[1]):
            value, filled = abs(said[pair, place]), min(ranked[pair, place], window)
            if not math.isfinite(value):
                continue
            if filled >= warmup:
                twice = 0
                for index in range(filled):
                    twice += (ranks[index, pair, place] < value) + (ranks[index, pair, place] <= value)
                scores[pair, place] = 0.5 * twice / filled
            ranks[ranked[pair, place] % window, pair, place] = value
            ranked[pair, place] += 1
    return scores


@compiled
def _add_outcomes(
    moments: FloatArray, products: FloatArray, features: FloatArray, target: FloatArray, memory: float
) -> None:
    moments *= memory
    products *= memory
    for pair in range(target.shape[0]):
        if not math.isfinite(target[pair]):
            continue
        for row in range(features.shape[1]):
            products[row] += features[pair, row] * target[pair]
            for column in range(features.shape[1]):
                moments[row, column] += features[pair, row] * features[pair, column]


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
