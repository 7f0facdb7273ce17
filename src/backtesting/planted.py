"""A market with a known effect in it, so that what learns can be measured against the truth.

The effect: the volume of a bar leans up before the price rises and down before it falls. Its strength is the
only dial; the rest is fixed here, so that nobody tunes the instrument to the one who is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from ..core.errors import UsageError
from ..core.history import History
from ..core.randomness import generator_for
from ..core.types import FloatArray, Pair

# The fixed design of the instrument, deliberately no settings.
CARRIER_PERSISTENCE = 0.9
"""Of the part of the carrier that says nothing, from bar to bar; the part that says something persists alike."""
CARRIER_GAIN = 0.5
"""Log volume for one standard deviation of the carrier."""
BAR_VOLATILITY = 0.012
"""Standard deviation of a bar's log return: six bars move 3 %, which can pay for a round trip."""
START_PRICE = 100.0
VOLUME = 50_000.0
"""Median volume of a bar in base units: stationary in the unit that is read, whatever the price does."""


@njit(cache=True)
def carrier(shocks: FloatArray, noise: FloatArray, last: FloatArray, strength: float, horizon: int) -> FloatArray:
    """What the volume leans by, (n, P) of unit variance, from `shocks` (n + horizon, P) and `noise` (n, P).

    s(t) = strength * sum(shocks(t+1) .. shocks(t+horizon)) / sqrt(horizon) + sqrt(1 - strength^2) * q(t), with q an
    AR(1) of unit variance whose last value is kept in `last` (P,). With independent shocks its correlation with
    the next `horizon` bars is `strength`, with this bar and everything before exactly zero.
    """
    rows, pairs = noise.shape
    result = np.empty((rows, pairs))
    fresh = math.sqrt(1.0 - CARRIER_PERSISTENCE * CARRIER_PERSISTENCE)
    ahead, blind = strength / math.sqrt(horizon), math.sqrt(1.0 - strength * strength)
    for t in range(rows):
        for p in range(pairs):
            last[p] = CARRIER_PERSISTENCE * last[p] + fresh * noise[t, p]
            coming = 0.0
            for k in range(1, horizon + 1):
                coming += shocks[t + k, p]
            result[t, p] = ahead * coming + blind * last[p]
    return result


def linear_strength(rank_correlation: float) -> float:
    """The linear correlation of two normal variables with this rank correlation: 2 sin(pi r / 6) (Pearson 1907).

    >>> round(linear_strength(0.4), 4)
    0.4158
    """
    return 2.0 * math.sin(math.pi * rank_correlation / 6.0)


@njit(cache=True)
def ohlc(opened: float, move: float, volatility: float, up: float, down: float) -> tuple[float, float, float]:
    """High, low and close of a bar that goes by `move` (log), from two uniform numbers in (0, 1].

    The extremes are those of a Brownian bridge: max = (r + sqrt(r^2 - 2 v^2 ln U)) / 2, the minimum mirrored.
    """
    close = opened * math.exp(move)
    spread = 2.0 * volatility * volatility
    top = 0.5 * (move + math.sqrt(move * move - spread * math.log(up)))
    bottom = 0.5 * (move - math.sqrt(move * move - spread * math.log(down)))
    high = max(opened * math.exp(top), opened, close)
    low = min(opened * math.exp(bottom), opened, close)
    return high, low, close


def planted_history(
    pairs: Sequence[str], bars: int, correlation: float, horizon: int, seed: int, interval_ms: int, start_ms: int
) -> History:
    """`bars` bars of every pair whose log volume has rank correlation `correlation` with the next `horizon` bars' move.

    Independent normal log returns of constant volatility without drift: nothing else can be learnt. The same law
    holds in every pair. Zero correlation gives the twin without the effect: the same prices, volume that says
    nothing. UsageError when the correlation is outside [0, 1) or `start_ms` off the grid.
    """
    if not 0.0 <= correlation < 1.0 or horizon < 1 or bars < 1 or not pairs:
        raise UsageError("a planted market needs pairs, bars, a horizon from 1 on and a correlation in [0, 1)")
    if start_ms % interval_ms:
        raise UsageError(f"start {start_ms} is off the grid of {interval_ms} ms")
    names = tuple(sorted(Pair(pair) for pair in pairs))
    random = generator_for(seed, "planted-history")
    shape = (bars, len(names))
    shocks = random.standard_normal((bars + horizon, len(names)))
    noise, edges = random.standard_normal(shape), 1.0 - random.random((2, *shape))
    last = random.standard_normal(len(names))
    lean = carrier(shocks, noise, last, linear_strength(correlation), horizon)
    open_, high, low, close, volume = _planted_bars(shocks, lean, edges)
    times = start_ms + interval_ms * np.arange(1, bars + 1, dtype=np.int64)
    return History(names, interval_ms, times, open_, high, low, close, volume, np.ones(shape, np.bool_), True)


@njit(cache=True)
def _planted_bars(
    shocks: FloatArray, lean: FloatArray, edges: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    rows, pairs = lean.shape
    open_, high, low = np.empty((rows, pairs)), np.empty((rows, pairs)), np.empty((rows, pairs))
    close, volume = np.empty((rows, pairs)), np.empty((rows, pairs))
    drift = -0.5 * BAR_VOLATILITY * BAR_VOLATILITY  # the expected price stays where it is
    for p in range(pairs):
        price = START_PRICE
        for t in range(rows):
            move = drift + BAR_VOLATILITY * shocks[t, p]
            open_[t, p] = price
            high[t, p], low[t, p], price = ohlc(price, move, BAR_VOLATILITY, edges[0, t, p], edges[1, t, p])
            close[t, p] = price
            volume[t, p] = VOLUME * math.exp(CARRIER_GAIN * lean[t, p])
    return open_, high, low, close, volume
