"""What a run could as well have come to: its trades in another order, its days in other blocks."""

from __future__ import annotations

import msgspec
import numpy as np

from ...core.errors import UsageError
from ...core.types import FloatArray, IntArray

_QUANTILES = (0.05, 0.5, 0.95)


class Outcomes(msgspec.Struct, frozen=True):
    """Simulated final growth and greatest drawdown at the 5th, 50th and 95th percentile, and the share that lost.

    `growth` is the final equity over the start, `drawdown` a ratio of the peak. `rank` in [0, 1]: the share of
    simulated drawdowns below that of the run as it was: near 0 the order of its trades was lucky.
    """

    growth: tuple[float, float, float]
    drawdown: tuple[float, float, float]
    loss_ratio: float
    rank: float
    draws: int


def trades_shuffled(returns: FloatArray, draws: int, rng: np.random.Generator) -> Outcomes:
    """The trades (n,) as ratios of equity, in `draws` random orders: growth stays, the drawdown does not.

    UsageError for fewer than two trades.
    """
    _refuse_few(returns, 2, "trades")
    return _outcomes(np.array([rng.permutation(returns) for _ in range(draws)]), returns)


def blocks_drawn(returns: FloatArray, block: int, draws: int, rng: np.random.Generator) -> Outcomes:
    """Periods' returns (n,) put together anew from blocks of `block` rows drawn with replacement, around the end.

    Source: circular block bootstrap, Politis and Romano (1992). UsageError for fewer than two blocks.
    """
    _refuse_few(returns, 2 * block, "rows")
    return _outcomes(returns[block_positions(len(returns), block, draws, rng)], returns)


def block_positions(size: int, block: int, draws: int, rng: np.random.Generator) -> IntArray:
    """Positions (draws, size) of circular blocks of `block` rows drawn with replacement."""
    starts = rng.integers(0, size, (draws, -(-size // block)))
    positions: IntArray = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :size] % size
    return positions


def _refuse_few(returns: FloatArray, least: int, of_what: str) -> None:
    if len(returns) < least:
        raise UsageError(f"Monte Carlo: {len(returns)} {of_what}, needs at least {least}; take a longer range")


def _outcomes(drawn: FloatArray, returns: FloatArray) -> Outcomes:
    growth, falls = _walked(drawn)
    own = float(_walked(returns[None, :])[1][0])
    return Outcomes(
        growth=_quantiles(growth),
        drawdown=_quantiles(falls),
        loss_ratio=float((growth < 1.0).mean()),
        rank=float((falls < own).mean()),
        draws=len(drawn),
    )


def _walked(drawn: FloatArray) -> tuple[FloatArray, FloatArray]:
    equity = np.cumprod(1.0 + drawn, axis=1)
    peaks = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    return equity[:, -1], (1.0 - equity / peaks).max(axis=1)


def _quantiles(values: FloatArray) -> tuple[float, float, float]:
    low, middle, high = (float(value) for value in np.quantile(values, _QUANTILES))
    return low, middle, high
