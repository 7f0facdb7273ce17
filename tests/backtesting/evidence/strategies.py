"""Strategies on simulated hours: some of pure noise, one that knows a little of what comes, as the gate sees them."""

from __future__ import annotations

import msgspec
import numpy as np

from src.backtesting.evidence.examination import Entries, Evidence
from src.backtesting.simulated_market import SimulatedMarket
from src.core.timeframes import DAY_MS
from src.core.types import FloatArray, IntArray
from tests.worlds import settings

DAYS, HOURS = 240, 24
ROWS = DAYS * HOURS
STAKE = 0.2
"""Of the equity, in each trade."""
PAIRS = 6


class Traded(msgspec.Struct, frozen=True):
    """A strategy's trades on the grid, what each earned of the equity, and the account day by day."""

    pairs: IntArray
    rows: IntArray
    held: IntArray
    trades: FloatArray
    days: FloatArray


def closes(seed: int) -> FloatArray:
    """Closes (ROWS + 1, PAIRS) of the simulated market, hour by hour."""
    tree = settings().simulated
    market = SimulatedMarket(tree.model_copy(update={"pairs": tree.pairs[:PAIRS], "timeframe": "1h"}), seed)
    market.end_ms = market.start_ms + (DAYS + 1) * DAY_MS
    return np.concatenate([block.close for block in market.blocks()])[: ROWS + 1]


def noise(prices: FloatArray, seed: int, cost: float) -> Traded:
    """Enters a random pair at random hours and stays for a random while."""
    random = np.random.default_rng(seed)
    count = int(random.integers(60, 240))
    held = random.integers(1, 49, count)
    rows = random.integers(0, ROWS - held)
    return traded(prices, random.integers(0, prices.shape[1], count), rows, held, cost)


def skilled(prices: FloatArray, seed: int, cost: float, skill: float, count: int = 240) -> Traded:
    """The same, but of two random moments it takes the one that turned out better as often as `skill` says."""
    random = np.random.default_rng(seed)
    held = random.integers(6, 49, count)
    rows = random.integers(0, ROWS - held, (2, count))
    pairs = random.integers(0, prices.shape[1], count)
    gains = prices[rows + held, pairs] / prices[rows, pairs]
    better = np.argmax(gains, axis=0)
    chosen = np.where(random.random(count) < skill, better, 1 - better)
    return traded(prices, pairs, rows[chosen, np.arange(count)], held, cost)


def traded(prices: FloatArray, pairs: IntArray, rows: IntArray, held: IntArray, cost: float) -> Traded:
    """Marks every trade at every hour, half of the cost at either end, each a stake of one fixed equity."""
    hourly = np.zeros(ROWS + 1)
    for pair, row, length in zip(pairs.tolist(), rows.tolist(), held.tolist(), strict=True):
        span = prices[row : row + length + 1, pair] / prices[row, pair]
        hourly[row + 1 : row + length + 1] += STAKE * np.diff(span)
        hourly[row + 1] -= STAKE * cost / 2
        hourly[row + length] -= STAKE * cost / 2
    order = np.argsort(rows + held, kind="stable")
    earned = STAKE * (prices[rows + held, pairs] / prices[rows, pairs] - 1.0 - cost)
    return Traded(pairs, rows, held, earned[order], hourly[1:].reshape(DAYS, HOURS).sum(axis=1))


def hold(prices: FloatArray) -> FloatArray:
    """Daily returns of equal stakes."""
    growth = (prices / prices[0]).mean(axis=1)[::HOURS]
    return growth[1:] / growth[:-1] - 1.0


def evidence(prices: FloatArray, own: Traded, others: list[Traded], cost: float, trials: int | None = None) -> Evidence:
    """As the gate sees a strategy among others that were tried; the baseline does nothing."""
    return Evidence(
        returns=own.days,
        trades=own.trades,
        entries=Entries(prices, own.pairs, own.rows, own.held, cost),
        rivals={"baseline": np.zeros(DAYS), "buy_and_hold": hold(prices)},
        candidates=np.stack([own.days, *[one.days for one in others]], axis=1),
        trials=trials or 1 + len(others),
        purge_days=2,
        seed=7,
    )
