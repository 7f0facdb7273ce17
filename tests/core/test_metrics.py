"""Measures against figures worked out by hand on a tape of five trades."""

import doctest
import math
import statistics
from decimal import Decimal

import numpy as np
import pytest

from src.core import metrics
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import Pair, Stream, Trade

START = Decimal(1000)
# exit (ms), held (ms), profit, profit ratio, fees, slippage
TAPE = (
    (DAY_MS // 2, 2 * HOUR_MS, "10", "0.1", "0.26", "0.10"),
    (DAY_MS, 4 * HOUR_MS, "-5", "-0.05", "0.25", "0.11"),  # midnight: still the first day
    (2 * DAY_MS + 1, 1 * HOUR_MS, "0", "0", "0.24", "0.12"),
    (2 * DAY_MS + 2, 3 * HOUR_MS, "20", "0.2", "0.23", "0.13"),
    (4 * DAY_MS, 5 * HOUR_MS, "-10", "-0.1", "0.22", "0.14"),
)
DAILY_RETURNS = [5 / 1000, 0.0, 20 / 1005, -10 / 1025]


def trade(exit_at: int, held: int, profit: str, ratio: str, fees: str, slippage: str) -> Trade:
    return Trade(
        id=f"synthesized-{exit_at}",
        stream=Stream.SYNTHESIZED,
        pair=Pair("BTC/USDT"),
        amount=Decimal(1),
        entry_at=exit_at - held,
        exit_at=exit_at,
        entry_price=Decimal(100),
        exit_price=Decimal(100),
        fees=Decimal(fees),
        slippage=Decimal(slippage),
        profit=Decimal(profit),
        profit_ratio=Decimal(ratio),
        exit_reason="signal",
    )


@pytest.fixture
def tape() -> list[Trade]:
    return [trade(*row) for row in TAPE]


def profits(tape: list[Trade]) -> list[Decimal]:
    return [closed.profit for closed in tape]


def test_stats_of_the_tape(tape: list[Trade]) -> None:
    assert metrics.trade_stats(tape, START) == metrics.TradeStats(
        trades=5,
        wins=2,
        draws=1,
        losses=2,
        profit=Decimal(15),
        profit_ratio=0.015,
        mean_profit_ratio=0.03,
        mean_duration_ms=3.0 * HOUR_MS,
        win_ratio=0.4,
        profit_factor=2.0,
        fees=Decimal("1.20"),
        slippage=Decimal("0.60"),
    )


def test_without_trades_only_sums_are_defined() -> None:
    stats = metrics.trade_stats([], START)
    assert (stats.trades, stats.profit, stats.profit_ratio) == (0, 0, 0.0)
    assert (stats.win_ratio, stats.profit_factor, stats.mean_profit_ratio, stats.mean_duration_ms) == (None,) * 4


def test_money_is_summed_exactly() -> None:
    assert metrics.total([Decimal("1000000000000000"), Decimal("0.00000001")]) == Decimal("1000000000000000.00000001")


def test_no_loss_means_no_profit_factor(tape: list[Trade]) -> None:
    assert metrics.profit_factor([Decimal(3), Decimal(0)]) is None
    assert metrics.profit_factor([Decimal(0), Decimal(-3)]) == 0.0


def test_streaks_are_broken_by_a_draw() -> None:
    signs = [1, 1, 0, 1, -1, -1, -1, 1]
    assert metrics.streaks([Decimal(s) for s in signs]) == (2, 3)
    assert metrics.streaks([]) == (0, 0)


def test_closed_equity_and_its_drawdown(tape: list[Trade]) -> None:
    times, equity = metrics.closed_equity(list(reversed(tape)), START)
    assert times.tolist() == [row[0] for row in TAPE]
    assert equity.tolist() == [1010.0, 1005.0, 1005.0, 1025.0, 1015.0]
    assert metrics.max_drawdown(equity) == metrics.Drawdown(10 / 1025, 3, 4)


def test_a_deep_fall_counts_more_than_a_long_one_in_money() -> None:
    equity = np.array([100.0, 50.0, 1000.0, 900.0])
    assert metrics.max_drawdown(equity) == metrics.Drawdown(0.5, 0, 1)
    assert metrics.max_drawdown(np.array([1.0, 2.0])) == metrics.Drawdown(0.0, 0, 0)


def test_a_fall_begins_where_the_peak_was_left() -> None:
    assert metrics.max_drawdown(np.array([8.0, 8.0, 8.0, 6.0, 6.0])) == metrics.Drawdown(0.25, 2, 3)


def test_daily_returns_of_the_tape(tape: list[Trade]) -> None:
    daily = metrics.daily_last(*metrics.closed_equity(tape, START), 0, 3, 1000.0)
    assert daily.tolist() == [1005.0, 1005.0, 1025.0, 1015.0]
    assert metrics.daily_returns(daily, 1000.0) == pytest.approx(DAILY_RETURNS, abs=1e-15)


def test_sharpe_and_sortino_of_the_tape() -> None:
    returns = np.array(DAILY_RETURNS)
    mean = statistics.mean(DAILY_RETURNS)
    assert metrics.sharpe(returns) == pytest.approx(mean / statistics.stdev(DAILY_RETURNS) * math.sqrt(365), rel=1e-12)
    assert metrics.sortino(returns) == pytest.approx(mean / ((10 / 1025) / 2) * math.sqrt(365), rel=1e-12)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [0.01, 0.01]])
def test_no_risk_means_no_sharpe(returns: list[float]) -> None:
    assert metrics.sharpe(np.array(returns)) is None
    assert metrics.sortino(np.array(returns)) is None


def test_steady_growth_is_not_divided_by_rounding() -> None:
    daily = 1000.0 * 1.01 ** np.arange(1, 200)
    assert metrics.sharpe(metrics.daily_returns(daily, 1000.0)) is None


def test_system_quality_of_the_tape(tape: list[Trade]) -> None:
    values = [10.0, -5.0, 0.0, 20.0, -10.0]
    expected = math.sqrt(5) * statistics.mean(values) / statistics.stdev(values)
    assert metrics.system_quality(profits(tape)) == pytest.approx(expected, rel=1e-12)
    assert metrics.system_quality([Decimal(1)] * 3) is None


def test_growth_per_year() -> None:
    assert metrics.growth_per_year(100.0, 110.0, 365.0) == pytest.approx(0.1, rel=1e-12)
    assert metrics.growth_per_year(100.0, 110.0, 0.5) is None
    assert metrics.growth_per_year(1.0, 1000.0, 1.0) is None  # 1000 ** 365 is no float
    assert metrics.growth_per_year(100.0, 0.0, 30.0) == -1.0
    assert metrics.calmar(0.1, 0.0) is None


def test_market_change_is_a_mean_over_pairs() -> None:
    first, last = np.array([100.0, 10.0, np.nan]), np.array([110.0, 8.0, np.nan])
    assert metrics.market_change(first, last) == pytest.approx(-0.05, rel=1e-12)
    assert metrics.market_change(np.array([np.nan]), np.array([np.nan])) is None


def test_buy_and_hold_ends_at_the_market_change() -> None:
    first = np.array([100.0, 10.0, np.nan])
    closes = np.array([[100.0, np.nan, np.nan], [120.0, 10.0, np.nan], [110.0, 8.0, np.nan]])
    held = metrics.buy_and_hold(first, closes)
    assert held == pytest.approx([1.0, 1.1, 0.95], rel=1e-12)
    assert held[-1] - 1 == pytest.approx(metrics.market_change(first, closes[-1]))


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(metrics).failed == 0
