"""A made-up market that never ends, for machines with neither data nor network; every slice says that it is made up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit

from ..core import config
from ..core.clock import from_iso
from ..core.errors import ConfigError, UsageError
from ..core.history import History
from ..core.randomness import generator_for
from ..core.timeframes import DAY_MS, timeframe_ms
from ..core.types import FloatArray, Pair, Slice
from .planted import CARRIER_GAIN, carrier, linear_strength, ohlc

BLOCK_BARS = 1024
"""Bars that share one random generator: part of the definition of the market, not a tunable."""
MEAN_ABS_NORMAL = math.sqrt(2.0 / math.pi)


class _Draws(NamedTuple):
    """The random numbers of a block: (BLOCK_BARS, P); `moods` (BLOCK_BARS,), `edges` (4, BLOCK_BARS, P) in (0, 1]."""

    shocks: FloatArray
    moods: FloatArray
    edges: FloatArray
    noise: FloatArray


class _Law(NamedTuple):
    """What the kernel needs to know, per bar."""

    volatility: float
    persistence: float
    mood_shock: float
    mood_variance: float
    switch: float
    drift: float
    planted: bool


class _State(NamedTuple):
    """What goes over from block to block: `mood` (1,) log volatility; (P,) price, regime in {-1, 0, 1}, carrier."""

    price: FloatArray
    mood: FloatArray
    regime: FloatArray
    carried: FloatArray


class SimulatedMarket:
    """Correlated prices with regimes, fat tails and clustered volatility, a Feed.

    Student-t shocks share a common factor (pairwise correlation `correlation`); the log volatility of the whole
    market is an AR(1); the drift of a pair is up, none or down and drawn anew on average every `regime_days`.
    Turnover grows with volatility and with the size of the move. With `plant_correlation` > 0 the volume carries
    instead a signal of that rank correlation with the sum of the next `plant_horizon` normal shocks; fat tails and
    changing volatility leave about five sixths of it in the moves.

    The market is a function of (settings, seed, start_ms): where one begins to look (`since`) and how one iterates
    changes no number. Without `end_ms` it never ends. Bars open at `start_ms` <= open < `end_ms`.
    """

    simulated = True

    def __init__(
        self,
        settings: config.SimulatedMarket,
        seed: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
        since: int | None = None,
    ) -> None:
        self.interval_ms = timeframe_ms(settings.timeframe)
        self.pairs = tuple(sorted(Pair(pair) for pair in settings.pairs))
        self.seed = seed
        self.start_ms = _start(settings) if start_ms is None else start_ms
        self.end_ms = end_ms
        self.since = since
        if self.start_ms % self.interval_ms:
            raise UsageError(f"start {self.start_ms} is off the grid of {settings.timeframe} bars")
        if settings.plant_horizon > BLOCK_BARS:
            raise ConfigError(f"simulated.plant_horizon: at most {BLOCK_BARS}")
        self._settings = settings
        self._law = _law(settings, self.interval_ms)
        self._prices = np.array([_start_price(settings, pair) for pair in self.pairs])
        self._turnover = _turnover(settings, self.pairs)

    def start_after(self, at: int) -> SimulatedMarket:
        """The same market from the first slice later than `at` on."""
        return SimulatedMarket(self._settings, self.seed, self.start_ms, self.end_ms, at)

    def __iter__(self) -> Iterator[Slice]:
        for history in self.blocks():
            for at, bars in history.blocks():
                yield Slice(at, bars, (), (), True)

    def blocks(self) -> Iterator[History]:
        """The market in blocks of at most BLOCK_BARS bars; what lies before `since` is made, but not handed out."""
        state, index, draws = self._begin(), 0, self._draws(0)
        while self.end_ms is None or self._opened(index) < self.end_ms:
            coming = self._draws(index + 1)
            block = self._block(index, state, draws, coming)
            if self.since is not None:
                block = block.rows(int(np.searchsorted(block.times, self.since, side="right")), BLOCK_BARS)
            if self.end_ms is not None:
                block = block.cut(self.end_ms - 1 + self.interval_ms)
            if len(block.times):
                yield block
            draws, index = coming, index + 1

    def _opened(self, index: int) -> int:
        return self.start_ms + index * BLOCK_BARS * self.interval_ms

    def _begin(self) -> _State:
        random = generator_for(self.seed, "simulated-market:start")
        count = len(self.pairs)
        mood = math.sqrt(self._law.mood_variance) * random.standard_normal(1)
        regime = random.integers(-1, 2, count).astype(np.float64)
        return _State(self._prices.copy(), mood, regime, random.standard_normal(count))

    def _draws(self, index: int) -> _Draws:
        random = generator_for(self.seed, f"simulated-market:{index}")
        shape = (BLOCK_BARS, len(self.pairs))
        freedom = self._settings.tail_degrees
        scale = math.sqrt((freedom - 2.0) / freedom)  # unit variance
        shared = math.sqrt(self._settings.correlation)
        own = math.sqrt(1.0 - self._settings.correlation)
        common, single = random.standard_t(freedom, (BLOCK_BARS, 1)), random.standard_t(freedom, shape)
        shocks = scale * (shared * common + own * single)
        moods = random.standard_normal(BLOCK_BARS)
        return _Draws(shocks, moods, 1.0 - random.random((4, *shape)), random.standard_normal(shape))

    def _block(self, index: int, state: _State, draws: _Draws, coming: _Draws) -> History:
        shape = (BLOCK_BARS, len(self.pairs))
        lean = np.zeros(shape)
        if self._law.planted:
            horizon = self._settings.plant_horizon
            ahead = np.concatenate([draws.shocks, coming.shocks[:horizon]])
            strength = linear_strength(self._settings.plant_correlation)
            lean = carrier(ahead, draws.noise, state.carried, strength, horizon)
        columns = _bars(self._law, state, draws.shocks, draws.moods, draws.edges, lean, self._turnover, self._prices)
        opened = self._opened(index)
        times = opened + self.interval_ms * np.arange(1, BLOCK_BARS + 1, dtype=np.int64)
        return History(self.pairs, self.interval_ms, times, *columns, np.ones(shape, np.bool_), True)


@njit(cache=True)
def _bars(
    law: _Law,
    state: _State,
    shocks: FloatArray,
    moods: FloatArray,
    edges: FloatArray,
    lean: FloatArray,
    turnover: FloatArray,
    first: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Open, high, low, close, volume (n, P); `state` goes on with the block; `first` (P,) are the start prices."""
    shape = shocks.shape
    open_, high, low, close, volume = (
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
    )
    for t in range(shape[0]):
        mood = state.mood[0]
        # Scaled so that the mean variance is the one that was asked for: E exp(2x) = exp(2 var x).
        volatility = law.volatility * math.exp(mood - law.mood_variance)
        for p in range(shape[1]):
            if edges[0, t, p] <= law.switch:
                state.regime[p] = math.ceil(3.0 * edges[1, t, p]) - 2.0
            shock = shocks[t, p]
            # Less half the variance, so that without a regime the expected price stays where it is.
            move = law.drift * state.regime[p] + volatility * shock - 0.5 * volatility * volatility
            open_[t, p] = state.price[p]
            high[t, p], low[t, p], close[t, p] = ohlc(state.price[p], move, volatility, edges[2, t, p], edges[3, t, p])
            state.price[p] = close[t, p]
            per_unit = first[p] if law.planted else close[t, p]
            volume[t, p] = turnover[p] * _busy(law, mood, shock, lean[t, p]) / per_unit
        state.mood[0] = law.persistence * mood + law.mood_shock * moods[t]
    return open_, high, low, close, volume


@njit(cache=True)
def _busy(law: _Law, mood: float, shock: float, lean: float) -> float:
    """Turnover of a bar as a multiple of the pair's mean."""
    if law.planted:
        return math.exp(CARRIER_GAIN * lean - 0.5 * CARRIER_GAIN * CARRIER_GAIN)
    return math.exp(mood - 0.5 * law.mood_variance) * (1.0 + abs(shock)) / (1.0 + MEAN_ABS_NORMAL)


def _law(settings: config.SimulatedMarket, interval_ms: int) -> _Law:
    days = interval_ms / DAY_MS
    persistence, shock = settings.volatility_persistence, settings.volatility_shock
    return _Law(
        volatility=settings.volatility_day_ratio * math.sqrt(days),
        persistence=persistence,
        mood_shock=shock,
        mood_variance=shock * shock / (1.0 - persistence * persistence),
        switch=min(1.0, days / settings.regime_days),
        drift=settings.regime_drift_day_ratio * days,
        planted=settings.plant_correlation > 0.0,
    )


def _start(settings: config.SimulatedMarket) -> int:
    try:
        return from_iso(settings.start)
    except ValueError:
        raise ConfigError(f"simulated.start: {settings.start!r} is no date; write 2024-01-01") from None


def _start_price(settings: config.SimulatedMarket, pair: Pair) -> float:
    base, slash, _ = pair.partition("/")
    if not slash:
        raise ConfigError(f"simulated.pairs: {pair!r} is not BASE/QUOTE")
    if base not in settings.start_prices:
        raise ConfigError(f"simulated.start_prices: no price for {base}; add one")
    return settings.start_prices[base]


def _turnover(settings: config.SimulatedMarket, pairs: tuple[Pair, ...]) -> FloatArray:
    """Mean turnover (P,) of a bar: falls as 1 / rank in the order of the settings, `volume_quote` on average."""
    ranks = {Pair(pair): place + 1 for place, pair in enumerate(settings.pairs)}
    weights = np.array([1.0 / ranks[pair] for pair in pairs])
    return np.asarray(settings.volume_quote * weights * (len(pairs) / weights.sum()), np.float64)
