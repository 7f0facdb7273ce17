"""Every figure of a report on a tape of five trades worked out by hand, and against an independent library."""

import doctest
import math
import re
from pathlib import Path

import numpy as np
import pytest

from src.backtesting import backing, comparison, figures, result
from src.backtesting.report import blocks
from src.backtesting.runs import load_run
from src.backtesting.sheet import curves, scales, words
from src.backtesting.summary import summary_groups
from src.core import metrics
from src.core.timeframes import DAY_MS
from tests.worlds import ROOT

from .tapes import RETURNS, end, five, tape

PAGE = (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run = load_run(tape(tmp_path_factory.mktemp("runs") / "tape"))
    return {name: value for group in summary_groups(run) for name, value in group}


BY_HAND = {
    "Total/Daily Avg Trades": "5 / 1.00",
    "Max trades open at once": "1",
    "Long / Short trades": "5 / 0",
    # four of the five holding times of half a day lie between the first and the last slice, four days apart
    "Exposure % (time with a position)": "50.0",
    "Starting balance": "1,000.00 USDT",
    "Final balance": "1,018.71 USDT",
    "Absolute profit": "18.71 USDT",
    "Total profit %": "1.87",
    "CAGR %": f"{100 * (1.01871 ** (365 / 4) - 1):.2f}",
    # mean 0.03 / 5; sum of squares 0.0025 + 0.0004 + 0.01 + 0.01 = 0.0229; less 5 * 0.006^2, by 4: 0.00568
    "Volatility % (daily equity, x sqrt(365))": f"{100 * math.sqrt(0.00568 * 365):.2f}",
    "Sharpe (daily equity, x sqrt(365))": f"{0.006 / math.sqrt(0.00568) * math.sqrt(365):.2f}",
    # (0.0004 + 0.01) / 5
    "Sortino (daily equity, x sqrt(365))": f"{0.006 / math.sqrt(0.00208) * math.sqrt(365):.2f}",
    "Calmar": f"{(1.01871 ** (365 / 4) - 1) / 0.1:.2f}",
    # squares 2500 + 441 + 10588.41 + 12811.9761 = 26341.3861, less 5 * 3.742^2, by 4
    "SQN": f"{math.sqrt(5) * 3.742 / math.sqrt((26341.3861 - 5 * 3.742**2) / 4):.2f}",
    "Profit factor": f"{152.9 / 134.19:.2f}",
    "Expectancy (Ratio)": f"3.74 USDT ({(1 + 76.45 / 67.095) * 0.4 - 1:.2f})",
    "Kelly fraction": f"{0.4 - 0.6 / (0.7645 / 0.67095):.2f}",
    "Avg. stake": "100.00 USDT",
    "Total volume": "1,001.87 USDT",  # five times 100, and 105, 97.9, 110.29, 88.681, 100
    "Best Pair": "BTC/USDT 18.71 USDT",
    "Worst Pair": "BTC/USDT 18.71 USDT",
    "Best trade": "BTC/USDT 102.90 %",
    "Worst trade": "BTC/USDT -113.19 %",
    "Best day": "102.90 USDT",
    "Worst day": "-113.19 USDT",
    "Days win/draw/lose": "2 / 1 / 2",
    "Avg. Duration Winners": "12:00",
    "Avg. Duration Losers": "12:00",
    "Max Consecutive Wins / Loss": "1 / 1",
    "Rejected entry signals": "3",
    "Min balance": "1,000.00 USDT",
    "Max balance": "1,131.90 USDT",
    "Max % underwater": "10.00",
    "Absolute Drawdown": "113.19 USDT",
    "Drawdown high": "1,131.90 USDT",
    "Drawdown low": "1,018.71 USDT",
    "Drawdown Start": "2024-01-04T00:00:00.000Z",
    "Drawdown End": "2024-01-05T00:00:00.000Z",
    "Avg. Drawdown %": "6.00",  # 2 % and 10 %
    "Longest Drawdown (peak to recovery)": "2 days, 0:00",
    "Market change % (mean over pairs)": f"{100 * (110 / 102 - 1):.2f}",
    "Buy & hold % (equal stakes)": f"{100 * (110 / 102 - 1):.2f}",
    "Total fees": "0.00 USDT",
    "Open positions": "0",
    "Pair-bars": "5",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_tape_of_five_trades(shown: dict[str, str], name: str) -> None:
    assert shown[name] == BY_HAND[name]


def test_the_result_of_the_tape(tmp_path: Path) -> None:
    made = load_run(tape(tmp_path / "tape")).result
    own = made["streams"]["synthesized"]
    assert own["win_ratio"] == 0.4
    assert own["total_profit_ratio"] == pytest.approx(0.01871, rel=1e-12)
    assert own["max_drawdown_ratio"] == pytest.approx(0.1, rel=1e-12)
    assert own["profit_factor"] == pytest.approx(152.9 / 134.19, rel=1e-12)
    assert own["sharpe"] == pytest.approx(0.006 / math.sqrt(0.00568) * math.sqrt(365), rel=1e-9)
    assert own["fees"] == 1.0
    assert made["account"]["sharpe"] == own["sharpe"]
    # 102, 99, 104, 101, 110 from 102: deepest from 102 to 99
    assert made["buy_and_hold"]["max_drawdown_ratio"] == pytest.approx(3 / 102, rel=1e-12)


def test_the_curves_of_the_tape(tmp_path: Path) -> None:
    run = load_run(tape(tmp_path / "tape"))
    made = curves.Curves(run, None)
    assert made.account.returns == pytest.approx(RETURNS, abs=1e-12)
    assert made.book("synthesized") == pytest.approx(RETURNS, abs=1e-12)
    assert figures.underwater(made.equity) == pytest.approx([0, 0, -0.02, 0, -0.1, -0.1], abs=1e-12)
    deepest, other = figures.falls(made.equity)
    assert (deepest.peak, deepest.trough, deepest.recovery) == (3, 4, None)
    assert (other.peak, other.trough, other.recovery) == (1, 2, 3)
    assert figures.by_period(made.days, made.account.returns, "M") == {"2024-01": pytest.approx(0.01871, rel=1e-9)}
    edges, counts = figures.histogram(made.account.returns, 4)
    assert edges == pytest.approx([-0.1, -0.05, 0.0, 0.05, 0.1])
    assert (counts.sum(), counts[0]) == (5, 1)


def test_a_drawdown_of_equal_peaks_begins_at_the_last() -> None:
    (fall,) = figures.falls(np.array([5.0, 5.0, 4.0, 4.0, 5.0]))
    assert (fall.peak, fall.trough, fall.recovery) == (1, 2, 4)
    assert figures.falls(np.array([1.0, 1.0, 2.0])) == []
    assert figures.falls(np.empty(0)) == []


def test_the_longest_drawdown_counts_until_the_end_where_it_does_not_recover() -> None:
    at = np.array([0, 1, 2, 9]) * DAY_MS
    assert figures.longest_fall(figures.falls(np.array([2.0, 1.0, 3.0, 2.5])), at) == 7 * DAY_MS
    assert figures.longest_fall([], at) is None


def test_exposure_counts_overlaps_once() -> None:
    assert figures.exposure(five(), end(0), end(4)) == 0.5
    assert figures.exposure([], 5, 5) is None
    assert figures.covered([(0, 10), (2, 3), (9, 12)], 0, 20) == 0.6


def test_calibration_keeps_every_trade_in_order() -> None:
    predicted, realised = np.array([0.4, 0.1, 0.3, 0.2, 0.0]), np.array([4.0, 1.0, 3.0, 2.0, 0.0])
    low, high = figures.calibration(predicted, realised, 2)
    assert (low.predicted, low.realised, low.count) == (pytest.approx(0.1), 1.0, 3)
    assert low.error == pytest.approx(1.0 / math.sqrt(3))
    assert (high.predicted, high.realised, high.count) == (pytest.approx(0.35), 3.5, 2)
    assert figures.calibration(np.array([0.1]), np.array([0.2]), 9)[0].error is None
    assert figures.calibration(np.empty(0), np.empty(0), 9) == []


# Values of empyrical-reloaded 0.7.1 and quantstats 0.0.86 for the same daily returns, 365 days a year.
TAPE_SHARPE, TAPE_SORTINO, TAPE_VOLATILITY = 1.5209800398723647, 2.513425489706765, 1.4398611044125056
LONG = {
    "sharpe": 1.8755725847071176,
    "sortino": 2.830573115240069,
    "fall": 0.16343117665031362,
    "risk": 0.3685320518020282,
}
ROLLING = {59: -0.1881673309270313, 60: -0.29009133467935094, 200: 0.35479119456829467, 399: 1.9007631269134218}
MONTHS = {"2023-01": -0.04626016574247205, "2023-06": 0.18525400030154482, "2024-02": 0.05940999248106427}
YEARS = {"2023": 0.8309818358748788, "2024": 0.08100991993979978}


def test_the_tape_against_an_independent_library() -> None:
    returns = np.array(RETURNS)
    assert metrics.sharpe(returns) == pytest.approx(TAPE_SHARPE, rel=1e-12)
    assert metrics.sortino(returns) == pytest.approx(TAPE_SORTINO, rel=1e-12)
    assert figures.volatility(returns) == pytest.approx(TAPE_VOLATILITY, rel=1e-12)


def test_four_hundred_days_against_an_independent_library() -> None:
    returns = np.random.default_rng(11).normal(0.001, 0.02, 400)
    assert returns[0] == pytest.approx(0.0016838553450636835, rel=1e-12)
    curve = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    assert metrics.sharpe(returns) == pytest.approx(LONG["sharpe"], rel=1e-10)
    assert metrics.sortino(returns) == pytest.approx(LONG["sortino"], rel=1e-10)
    assert figures.volatility(returns) == pytest.approx(LONG["risk"], rel=1e-10)
    assert metrics.max_drawdown(curve).ratio == pytest.approx(LONG["fall"], rel=1e-10)
    first, second, third = (fall.ratio for fall in figures.falls(curve)[:3])
    assert (first, second, third) == pytest.approx((0.16343118, 0.14649824, 0.1062941), rel=1e-6)
    days = figures.days_of(19_358, 400)  # 2023-01-01
    months = figures.by_period(days, returns, "M")
    assert {name: months[name] for name in MONTHS} == pytest.approx(MONTHS, rel=1e-10)
    assert figures.by_period(days, returns, "Y") == pytest.approx(YEARS, rel=1e-10)


def test_rolling_sharpe_against_an_independent_library() -> None:
    rolled = figures.rolling_sharpe(np.random.default_rng(11).normal(0.001, 0.02, 400), 60)
    assert np.isnan(rolled).sum() == 59
    assert {place: rolled[place] for place in ROLLING} == pytest.approx(ROLLING, rel=1e-9)
    assert np.isnan(figures.rolling_sharpe(np.full(80, 0.001), 60)).all()
    assert np.isnan(figures.rolling_sharpe(np.zeros(10), 60)).all()


def names_on(page: str) -> set[str]:
    """The first cells of all tables, those of several names apart."""
    cells = re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)
    return {name for cell in cells for name in (cell, *cell.split(", "))}


def test_every_metric_of_the_summary_stands_on_the_page(shown: dict[str, str]) -> None:
    assert set(shown) - names_on(PAGE) == set()


@pytest.mark.parametrize(
    "field", ["win_ratio", "total_profit_ratio", "max_drawdown_ratio", "profit_factor", "sharpe", "start_equity",
              "end_equity", "market_change_ratio", "buy_and_hold", "mean_profit_ratio", "mean_duration_ms", "timerange",
              "simulated", "seed", "bars", "census", "ideas", "collisions", "abstentions", "faults", "messages",
              "run_id"]
)  # fmt: skip
def test_every_figure_of_the_result_stands_on_the_page(field: str) -> None:
    assert f"`{field}`" in PAGE


def test_every_drawing_and_table_stands_on_the_page(tmp_path: Path) -> None:
    run = load_run(tape(tmp_path / "tape"))
    shown_titles = {section.title.split(",")[0].split(":")[0] for section in curves.sections(run, None)}
    known = {"Equity", "Drawdown", "Returns by month", "Returns by year", "Distribution of daily returns"}
    assert shown_titles - known == {"Rolling Sharpe ratio"}
    for title in (known - {"Drawdown"}) | {"Rolling Sharpe ratio", "Worst drawdowns", "Calibration"}:
        assert title in PAGE
    tables = [block for block in blocks(run) if hasattr(block, "columns")]
    for name in ("Avg Profit %", "Tot Profit %", "Avg Duration"):
        assert any(name in str(column.header) for table in tables for column in table.columns)
        assert name in names_on(PAGE)


def test_no_row_of_the_page_lacks_a_cell() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in rows} == {7}


@pytest.mark.parametrize("module", [figures, backing, scales, words, comparison, result])
def test_examples_in_the_text_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
