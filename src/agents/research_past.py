"""The last bars of all pairs as researchers look at them, and the one loop in which patterns are held against them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.compiled import compiled
from ..core.types import FloatArray, IntArray, Snapshot
from .world import World

NAME = "research-past"
_NEVER = -(2**62)

FoundArray = npt.NDArray[np.float32]


class Findings(NamedTuple):
    """What a window says of each case, (cases,) each.

    `moments` resembled the pattern, `known` are all whose move is known; sums are of signed moves in units of the
    pair's own volatility over the horizon; `squares` of those that resembled.
    """

    moments: IntArray
    total: FloatArray
    squares: FloatArray
    known: IntArray
    base: FloatArray


class ResearchPast:
    """A ring of the last `depth` intervals of all pairs; shared by the researchers, so that nobody keeps it twice.

    It takes a slice in after the researchers have acted: they judge windows that are over on what came before.
    Features are kept in 32 bits, which is plenty for cosines.
    """

    phase = "opine"
    name = NAME

    def __init__(self, depth: int, n_features: int, n_pairs: int) -> None:
        self._features = np.full((depth, n_pairs, n_features), np.nan, dtype=np.float32)
        self._close = np.full((depth, n_pairs), np.nan)
        self._volatility = np.full((depth, n_pairs), np.nan)
        self._grid: int | None = None

    def act(self, snapshot: Snapshot) -> None:
        """Take in the pairs that have a bar; intervals without any are blank."""
        if snapshot.bars is None:
            return
        slot, fresh = snapshot.grid % self._close.shape[0], snapshot.fresh
        if self._grid is None or snapshot.grid > self._grid:
            self._skip(snapshot.grid)
            self._features[slot], self._volatility[slot] = snapshot.features, snapshot.volatility
            self._close[slot] = np.where(fresh, snapshot.close, np.nan)
            return
        self._features[slot, fresh], self._close[slot, fresh] = snapshot.features[fresh], snapshot.close[fresh]
        self._volatility[slot, fresh] = snapshot.volatility[fresh]

    def _skip(self, grid: int) -> None:
        """Intervals without a bar have no close, and without one the rest is not looked at."""
        if self._grid is not None and grid > self._grid + 1:
            depth = self._close.shape[0]
            self._close[[one % depth for one in range(max(self._grid + 1, grid - depth + 1), grid)]] = np.nan
        self._grid = grid

    def judge(
        self, first: int, last: int, horizons: IntArray, signs: FloatArray, vectors: FloatArray, similarity: float
    ) -> Findings:
        """Hold `vectors` (cases, features) against the grid points `first` to `last`.

        A moment counts where both it and the end of its move lie in that window. It resembles a pattern when their
        cosine, over the features that the pattern has (not zero), is at least `similarity`; a moment that lacks one
        of them (NaN) resembles nothing. `signs` (cases,) are 1 for an up pattern, -1 for a down one. What lies
        further back than the ring is not seen.
        """
        newest = _NEVER if self._grid is None else self._grid
        first, last = max(first, newest - self._close.shape[0] + 1), min(last, newest)
        cases = len(horizons)
        found = Findings(
            np.zeros(cases, np.int64), np.zeros(cases), np.zeros(cases), np.zeros(cases, np.int64), np.zeros(cases)
        )
        if cases and last > first:
            columns = self._features.reshape(-1, self._features.shape[2]).T.copy()
            arguments: list[Any] = [columns, self._close, self._volatility, first, last, horizons, signs]
            arguments += [vectors.astype(np.float32), similarity, *found]
            _judge(*arguments)
        return found

    def state(self) -> dict[str, Any]:
        """The ring."""
        arrays = {"features": self._features.copy(), "close": self._close.copy(), "volatility": self._volatility.copy()}
        return {"grid": self._grid, **arrays}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._grid = state["grid"]
        for name in ("features", "close", "volatility"):
            getattr(self, f"_{name}")[:] = state[name]


@compiled
def _moves(close: FloatArray, volatility: FloatArray, first: int, last: int, horizon: int, moves: FloatArray) -> None:
    """Log moves over `horizon` in units of the volatility known at their start times its root; NaN where unknown."""
    depth = close.shape[0]
    scale = math.sqrt(horizon)
    moves[:] = math.nan
    for grid in range(first, last - horizon + 1):
        here, there = grid % depth, (grid + horizon) % depth
        for pair in range(close.shape[1]):
            before, after, sigma = close[here, pair], close[there, pair], volatility[here, pair]
            if before > 0.0 and after > 0.0 and sigma > 0.0:
                moves[here, pair] = math.log(after / before) / (sigma * scale)


@compiled
def _judge(
    features: FoundArray,
    close: FloatArray,
    volatility: FloatArray,
    first: int,
    last: int,
    horizons: IntArray,
    signs: FloatArray,
    vectors: FoundArray,
    similarity: float,
    moments: IntArray,
    total: FloatArray,
    squares: FloatArray,
    known: IntArray,
    base: FloatArray,
) -> None:
    """All cases of one window; `features` (features, moments): many moments are summed side by side."""
    moves = np.empty(close.shape)
    flat = moves.reshape(moves.size)
    dots, lengths = np.empty(moves.size, np.float32), np.empty(moves.size, np.float32)
    horizon = 0
    for case in range(horizons.shape[0]):
        if horizons[case] != horizon:
            horizon = horizons[case]
            _moves(close, volatility, first, last, horizon, moves)
        dots[:], lengths[:] = np.float32(0.0), np.float32(0.0)
        length = 0.0
        for index in range(vectors.shape[1]):
            weight = vectors[case, index]
            if weight == 0.0:
                continue
            length += float(weight) * float(weight)
            column = features[index]
            for place in range(column.shape[0]):
                value = column[place]
                dots[place] += weight * value
                lengths[place] += value * value
        least = similarity * math.sqrt(length)
        for place in range(flat.shape[0]):
            move = signs[case] * flat[place]
            if math.isnan(move):
                continue
            known[case] += 1
            base[case] += move
            size = float(lengths[place])
            if size > 0.0 and float(dots[place]) >= least * math.sqrt(size):  # False while NaN
                moments[case] += 1
                total[case] += move
                squares[case] += move * move


def past_of(world: World, n_features: int) -> ResearchPast:
    """The ring of a run, kept over a restart."""
    past = ResearchPast(world.settings.research.window_intervals, n_features, len(world.pairs))
    world.model.keep(past)
    return past
