"""Two simple learners that the swarm has to beat: one ridge over all pairs at once, and one that knows nothing.

Both speak as the swarm does, in ideas with a score and a calibrated edge, so that the same gate and the same books can
judge them. They see what the learners see and take part in nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.config import Controls, Learners
from ..core.errors import DataError, InvariantError
from ..core.randomness import generator_for
from ..core.types import FloatArray, Idea, Side, Snapshot
from .colony_layout import EMPTY
from .colony_votes import SwarmIdea
from .control_kernels import SUMS, noise_step, ridge_step

_SIDES = (Side.SELL, Side.BUY)
_Opinion = tuple[int, Side, float, float, int]
"""Place of a pair, side, score, edge, horizon."""
_SQUARE = 2.0
"""As `control_kernels.trust_of` takes it: a formula's, not a tunable."""
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
        self._chosen = (np.empty(n_pairs, dtype=np.int64), np.empty(n_pairs), np.empty(n_pairs))  # made anew a slice
        depth, kinds = max(settings.horizons) + 1, len(settings.horizons)
        self._kept: dict[str, Any] = {
            "at": np.full(depth, EMPTY, dtype=np.int64),
            "features": np.full((depth, n_pairs, n_features), np.nan),
            "close": np.full((depth, n_pairs), np.nan),
            "volatility": np.full((depth, n_pairs), np.nan),
            "said": np.full((depth, n_pairs, kinds), np.nan),
            "sums": np.zeros((kinds, SUMS)),
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
        """What it says of a slice, once that is judged and learnt from."""
        raise NotImplementedError

    def _worded(self, said: FloatArray) -> list[_Opinion]:
        """What was chosen, in words; `said` is negative where the price is to fall."""
        horizons, (place, score, edge) = self._settings.horizons, self._chosen
        return [
            (pair, _SIDES[said.item(pair, best) > 0.0], score.item(pair), edge.item(pair), horizons[best])
            for pair, best in enumerate(place.tolist())
            if best >= 0
        ]

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

    def _opinions(self, snapshot: Snapshot) -> list[_Opinion]:
        """In one call, for that is most of what a slice costs here."""
        kept, rule, learners = self._kept, self._settings, self._learners
        ridge_step(
            snapshot.fresh, snapshot.close, snapshot.volatility, snapshot.features, snapshot.grid, self._horizons,
            learners.feature_clip, self._fade, kept["at"], kept["close"], kept["volatility"], kept["features"],
            kept["said"], kept["sums"], kept["judged"], kept["moments"], kept["products"], kept["outcomes"],
            kept["weights"], kept["solved"], rule.ridge_every_intervals, rule.min_outcomes, rule.ridge_penalty,
            kept["ranks"], kept["ranked"], learners.rank_warmup, learners.entry_score, *self._chosen,
        )  # fmt: skip
        return self._worded(kept["said"][snapshot.grid % kept["at"].size])


class NoiseLearner(Control):
    """Normal numbers, a stream for each block of intervals: what the pipeline makes of an opinion without content."""

    name = "control-noise"
    _block = EMPTY
    _drawn: FloatArray = np.empty(0)

    def _draw(self, grid: int) -> FloatArray:
        """The block of noise that `grid` lies in."""
        block = grid // _BLOCK
        if block != self._block:
            shape = (_BLOCK, self._n_pairs, len(self._settings.horizons))
            self._drawn = generator_for(self._seed, f"{self.name}:{block}").standard_normal(shape)
            self._block = block
        return self._drawn

    def _opinions(self, snapshot: Snapshot) -> list[_Opinion]:
        """In one call, as the ridge has it; there is nothing to learn."""
        kept, grid, learners = self._kept, snapshot.grid, self._learners
        noise_step(
            snapshot.fresh, snapshot.close, snapshot.volatility, snapshot.features, grid, self._horizons,
            learners.feature_clip, self._fade, kept["at"], kept["close"], kept["volatility"], kept["features"],
            kept["said"], kept["sums"], kept["judged"], self._draw(grid), grid % _BLOCK, learners.calibration_min_t2,
            _SQUARE, kept["ranks"], kept["ranked"], learners.rank_warmup, learners.entry_score, *self._chosen,
        )  # fmt: skip
        return self._worded(kept["said"][grid % kept["at"].size])
