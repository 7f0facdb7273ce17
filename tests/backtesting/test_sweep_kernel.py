"""The sweep kernel makes the trades of the engine, to the last digit, on every market that can be thought of."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
import talib

from src.agents import KINDS
from src.backtesting import sweep_book as book
from src.backtesting import sweep_kernel as kernel
from src.backtesting.bench.worlds import snapshots_of
from src.backtesting.exchange import SimulatedExchange
from src.backtesting.sweep_indicators import histogram
from src.backtesting.sweep_kernel import arm_of, sweep, trades_of, walked
from src.connectors.history import load_history
from src.connectors.memory_ledger import MemoryLedger
from src.core import metrics
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.config import Settings
from src.core.desk import Desk
from src.core.errors import DataError, UsageError
from src.core.history import History, HistoryFeed
from src.core.portfolio import Portfolio
from src.core.timeframes import parse_timerange
from src.core.types import Idea, Pair, Side, Stream, Trade
from src.services.gate import RiskGate
from src.services.pnl_tracker import PnLTracker
from src.services.supervisor import FixedSupervisor
from src.wiring import Plan, build, namespace
from tests.recorded import RECORDED, needs_recorded
from tests.worlds import settings

HOUR, START = 3_600_000, 1_609_459_200_000
TECHNICAL = [kind for kind in KINDS if kind.name in ("market_miner", "technical_analyst", "trader", "builder")]


def walk(seed: int, pairs: int, bars: int, decimals: int | None = 2, missing: float = 0.0) -> History:
    """Random walks with jumps, gaps between close and open, volumes that bind, and bars that are not there."""
    random = np.random.default_rng(seed)
    shape = (bars, pairs)
    shocks = 0.012 * random.standard_normal(shape) + 0.06 * random.standard_normal(shape) * (
        random.random(shape) < 0.02
    )
    close = np.exp(random.uniform(0.0, 9.0, pairs) + np.cumsum(shocks, axis=0))
    before = np.vstack((close[:1], close[:-1]))
    open_ = before * np.exp(0.02 * random.standard_normal(shape) * (random.random(shape) < 0.1))
    high = np.maximum(open_, close) * np.exp(0.004 * random.random(shape))
    low = np.minimum(open_, close) * np.exp(-0.004 * random.random(shape))
    volume = random.lognormal(3.0, 2.0, shape) * 2_000.0 / close
    if decimals is not None:
        open_, high, low, close = (
            np.maximum(np.round(x, decimals), 10.0**-decimals) for x in (open_, high, low, close)
        )
        volume = np.round(volume, 3)
    return made(open_, high, low, close, volume, random.random(shape) >= missing)


def made(*columns: Any) -> History:
    """A history of hourly bars; rows without any bar are left out."""
    *prices, present = columns
    names = tuple(Pair(f"P{number:02}/USDT") for number in range(present.shape[1]))
    kept = present.any(axis=1)
    times = (START + HOUR * np.arange(1, len(present) + 1))[kept]
    prices = [np.where(present, x, np.nan)[kept] for x in prices]
    prices[4] = np.nan_to_num(prices[4])
    return History(names, HOUR, times, *(np.ascontiguousarray(x) for x in prices), np.ascontiguousarray(present[kept]))


def engine_trades(tree: Settings, history: History) -> list[Trade]:
    """The baseline book of a run with nobody but the analysts."""
    teams = tree.builder.model_copy(update={"bootstrap_pairs": tuple(history.pairs)})
    controls = tree.controls.model_copy(update={"enabled": False})
    tree = tree.model_copy(update={"builder": teams, "controls": controls})
    clock = SimClock()
    with closing(LocalBus(clock, tree.bus)) as bus:
        plan = Plan(history.pairs, history.interval_ms, 7, TECHNICAL)
        house = build(tree, plan, clock, bus, MemoryLedger(tree.ledger), history)
        for slice_ in HistoryFeed(history):
            house.engine.on_slice(slice_)
    return house.tracker.trades[Stream.BASELINE.value]


def agree(tree: Settings, history: History) -> int:
    """Both sides' trades are equal in every field; how many there are."""
    arm = arm_of(tree)
    (swept,) = sweep(history, [arm])
    theirs, ours = engine_trades(tree, history), trades_of(swept, arm, history)
    assert ours == theirs
    assert swept.trades == len(theirs)
    stats = metrics.trade_stats(theirs, tree.account.start_quote)
    assert (swept.profit, swept.fees, swept.slippage) == (stats.profit, stats.fees, stats.slippage)
    assert (swept.profit_ratio, swept.win_ratio) == (stats.profit_ratio, stats.win_ratio)
    assert swept.profit_factor == (None if stats.profit_factor is None else pytest.approx(stats.profit_factor))
    return len(theirs)


@pytest.mark.parametrize(
    ("seed", "decimals", "missing", "changes"),
    [
        (1, 2, 0.0, {}),
        (2, None, 0.0, {}),
        (3, 6, 0.05, {"risk__max_positions": 2}),
        (4, None, 0.3, {"account__entry_equity_ratio": 0.5}),
        (5, 2, 0.0, {"exchange__max_volume_ratio": 0.003, "account__amount_decimals": 3}),
        (6, 2, 0.0, {"consensus__required_votes": 1, "account__entry_equity_ratio": 0.996}),
        (7, 3, 0.02, {"account__stop_ratio": 0.003, "costs__fee_ratio": 0.00255}),
    ],
)
def test_the_kernel_makes_the_trades_of_the_engine(
    seed: int, decimals: int | None, missing: float, changes: dict[str, object]
) -> None:
    assert agree(settings(**changes), walk(seed, 4, 1_500, decimals, missing)) > 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20, 28))
def test_the_kernel_makes_the_trades_of_the_engine_at_length(seed: int) -> None:
    assert agree(settings(), walk(seed, 10, 12_000, (2, None, 5, 0)[seed % 4], 0.02 * (seed % 3))) > 300


def desk(tree: Settings) -> Desk:
    """An account of the house on its own."""
    return Desk(
        Portfolio(tree.account.start_quote, Stream.BASELINE, "baseline"),
        SimulatedExchange(tree.costs, tree.account, tree.exchange),
        FixedSupervisor(tree.account, namespace(7, "baseline")),
        RiskGate(tree.risk.model_copy(update={"max_drawdown_ratio": 1.0}), tree.costs),
    )


def follow(tree: Settings, history: History, sides: np.ndarray, horizon: int | None) -> tuple[list[Trade], list[float]]:
    """The house's account told these ideas: its trades, and its equity after each slice."""
    account = desk(tree)
    tracker = PnLTracker({"baseline": (Stream.BASELINE, account, None)})
    equity = []
    for row, (slice_, seen) in enumerate(zip(HistoryFeed(history), snapshots_of(history, tree), strict=True)):
        ideas = [
            (Stream.BASELINE, Idea(pair, Side.BUY if side > 0 else Side.SELL, slice_.at, 1.0, (), None, horizon))
            for pair, side in zip(history.pairs, sides[row].tolist(), strict=True)
            if side
        ]
        tracker.on_slice(slice_, seen, ideas)
        equity.append(float(account.equity))
    return tracker.trades["baseline"], equity


@pytest.mark.parametrize("seed", range(12))
def test_any_ideas_with_any_horizon_lead_to_the_trades_of_the_account(seed: int) -> None:
    """Ideas at random, also about pairs that are silent, with horizons, little volume, little cash."""
    random = np.random.default_rng(100 + seed)
    history = walk(50 + seed, 5, 700, (2, None, 4)[seed % 3], 0.1 * (seed % 3))
    tree = settings(
        account__entry_equity_ratio=(0.1, 0.4, 0.996)[seed % 3],
        account__stop_ratio=(0.05, 0.01)[seed % 2],
        account__amount_decimals=(8, 2, 5, 0)[seed % 4],
        exchange__max_volume_ratio=(0.1, 0.002, 1)[seed % 3],
        risk__max_positions=(15, 3)[seed % 2],
    )
    sides = random.choice(np.array([0, 1, -1], np.int8), history.present.shape, p=[0.9, 0.06, 0.04])
    sides *= history.present
    horizon = (None, 1, 7)[seed % 3]
    arm = msgspec.structs.replace(arm_of(tree), horizon=horizon)
    swept = walked(history, kernel.tape_of(history), arm, sides)
    trades, equity = follow(tree, history, sides, horizon)
    assert trades_of(swept, arm, history) == trades
    assert len(trades) > 15
    assert swept.equity == pytest.approx(equity, rel=1e-11)


def test_prices_that_do_not_move_say_nothing() -> None:
    flat = np.full((400, 2), 100.0)
    history = made(flat, flat, flat, flat, np.full((400, 2), 1e6), np.ones((400, 2), np.bool_))
    (swept,) = sweep(history, [arm_of(settings())])
    assert (swept.trades, swept.win_ratio, swept.profit_factor, swept.sharpe) == (0, None, None, None)
    assert (swept.cash, swept.max_drawdown_ratio) == (Decimal(10_000), 0.0)
    assert engine_trades(settings(), history) == []


def test_who_is_delisted_is_not_traded_again() -> None:
    history = walk(9, 3, 2_000)
    present = history.present.copy()
    present[700:1_000, 1] = False  # 12.5 days
    present[700:867, 2] = False  # an hour less than seven days, and it is back
    gone = made(*(column.copy() for column in history.columns()), present)
    assert agree(settings(), gone) > 20
    (swept,) = sweep(gone, [arm_of(settings())])
    ended = swept.table[swept.table[:, book.ENTRY_AT] > START + HOUR * 1_100]
    assert set(ended[:, book.PAIR].tolist()) == {0, 2}


def test_too_little_history_gives_no_trades() -> None:
    assert agree(settings(), walk(3, 2, 10)) == 0


def test_many_rows_are_each_what_they_are_alone_and_share_their_indicators(monkeypatch: pytest.MonkeyPatch) -> None:
    history = walk(11, 3, 900)
    trees = [settings(account__stop_ratio=stop, analysts__rsi_oversold_points=low)
             for stop in (0.02, 0.05) for low in (25, 30, 35)]  # fmt: skip
    arms = [arm_of(tree) for tree in trees]
    alone = [sweep(history, [arm])[0] for arm in arms]
    asked = []
    real = kernel.values_of

    def counted(call: Any, *columns: Any) -> Any:
        asked.append(call)
        return real(call, *columns)

    monkeypatch.setattr(kernel, "values_of", counted)
    together = sweep(history, arms)
    assert [one.table.tolist() for one in together] == [one.table.tolist() for one in alone]
    assert len({str(one.table.tolist()) for one in together}) == len(arms)
    assert len(asked) == 10 * len(history.pairs)


@needs_recorded
def test_the_kernel_agrees_on_recorded_hours() -> None:
    hours = load_history(RECORDED, "binance", "1h", None, parse_timerange("20210415-20210615"))
    assert agree(settings(), hours) > 100


@needs_recorded
@pytest.mark.long
def test_the_kernel_agrees_on_a_recorded_year() -> None:
    hours = load_history(RECORDED, "binance", "1h", None, parse_timerange("20210101-20220101"))
    assert agree(settings(), hours) > 500


def test_bad_input_is_named() -> None:
    history = walk(1, 2, 50)
    with pytest.raises(UsageError, match="at least one row"):
        sweep(history, [])
    with pytest.raises(UsageError, match="a history with bars"):
        sweep(history.rows(0, 0), [arm_of(settings())])
    opens = history.open.copy()
    opens[7, 1] = -1.0
    with pytest.raises(DataError, match=r"open -1.0 of P01/USDT in row 7 is no price"):
        sweep(msgspec.structs.replace(history, open=opens), [arm_of(settings())])
    with pytest.raises(UsageError, match=r"account.start_quote 10000000000000000: a sweep takes at most"):
        sweep(history, [arm_of(settings(account__start_quote=10**16))])


def test_a_price_without_a_decimal_that_fits_is_refused() -> None:
    history = walk(2, 2, 600, None)
    tiny = [np.where(history.present, column * 1e-12, np.nan) for column in history.columns()[:4]]
    small = made(*tiny, history.volume * 1e12, history.present)
    with pytest.raises(DataError, match="more digits than exact money can carry"):
        sweep(small, [arm_of(settings(account__amount_decimals=2))])


@pytest.mark.parametrize(("fast", "slow", "signal"), [(12, 26, 9), (8, 17, 9), (2, 3, 1), (5, 40, 30)])
def test_the_histogram_is_that_of_talib_to_the_last_bit(fast: int, slow: int, signal: int) -> None:
    close = np.ascontiguousarray(walk(4, 1, 3_000, None).close[:, 0])
    for bars in (1, slow + signal - 2, slow + signal - 1, slow + signal, 3_000):
        theirs = talib.MACD(close[:bars], fast, slow, signal)[2]
        assert np.array_equal(histogram(close[:bars], fast, slow, signal), theirs, equal_nan=True)
