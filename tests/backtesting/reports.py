"""Reports of a small run worked out by hand: two pairs, five bars, one closed trade, one left open."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from src.backtesting.recorder import Recorder
from src.backtesting.result import EDGE_TESTED, RunFacts
from src.core.engine import Report
from src.core.portfolio import Portfolio
from src.core.records import decision_lines
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import (
    BarBlock,
    Decision,
    Fill,
    FloatArray,
    Order,
    OrderId,
    OrderKind,
    Pair,
    Side,
    Snapshot,
    Stream,
    Trade,
)

PAIRS = (Pair("BTC/USDT"), Pair("ETH/USDT"))
BEGIN = 19_723 * DAY_MS  # 2024-01-01
CLOSES = ((100.0, np.nan), (104.0, 10.0), (102.0, 11.0), (90.0, 12.0), (110.0, 9.0))
STEP = 6 * HOUR_MS
"""Six-hour bars: the fourth closes at midnight, the fifth belongs to the second day."""


def at(slice_: int) -> int:
    """When the slice of this number is known."""
    return BEGIN + (slice_ + 1) * STEP


def snapshot(slice_: int, closes: tuple[float, ...]) -> Snapshot:
    close: FloatArray = np.array(closes)
    fresh = ~np.isnan(close)
    bars = BarBlock(PAIRS, at(slice_) - STEP, close, close, close, close, np.ones(2), fresh)
    empty: FloatArray = np.empty((2, 0))
    return Snapshot(at(slice_), STEP, slice_, PAIRS, fresh, close, empty, empty, close, bars, False)


def report(
    slice_: int,
    equity: str = "1000",
    cash: str = "1000",
    decisions: tuple[Decision, ...] = (),
    orders: tuple[Order, ...] = (),
    fills: tuple[Fill, ...] = (),
    simulated: bool = False,
) -> Report:
    shot = snapshot(slice_, CLOSES[slice_])
    return Report(
        at=at(slice_),
        slices=slice_ + 1,
        bars=int(shot.fresh.sum()),
        decisions=decisions,
        written=decision_lines(decisions),
        orders=orders,
        fills=fills,
        trades=(),
        equity=Decimal(equity),
        cash=Decimal(cash),
        halted="",
        bus_up=True,
        stopping=False,
        simulated=simulated,
        snapshot=shot,
    )


def order(slice_: int, pair: Pair, side: Side, name: str) -> Order:
    return Order(OrderId(name), pair, side, Decimal(1), OrderKind.MARKET, at(slice_), Decimal(100), "collision")


def fill(slice_: int, pair: Pair, side: Side, name: str, price: str) -> Fill:
    return Fill(
        id=f"{name}-1",
        order_id=OrderId(name),
        pair=pair,
        side=side,
        amount=Decimal(1),
        price=Decimal(price),
        fee=Decimal("0.26"),
        slippage=Decimal("0.10"),
        at=at(slice_),
        reason="horizon" if side is Side.SELL else "collision",
    )


FILLS = (
    fill(1, PAIRS[0], Side.BUY, "b-order", "104"),
    fill(3, PAIRS[0], Side.SELL, "c-order", "90"),
    fill(3, PAIRS[1], Side.BUY, "a-order", "12"),
)
DECISIONS = (
    Decision(at(0), "idea", PAIRS[0], Side.BUY, source="baseline", detail={"score": 0.75, "voters": ["a", "b"]}),
    Decision(at(0), "idea", PAIRS[0], Side.BUY, source="mycelial", detail={"score": 0.9, "edge": 0.01}),
    Decision(at(1), "abstention", reason="NO_DATA", source="code_miner_1", detail={"moat": "code"}),
    Decision(at(1), "abstention", reason="STALE", source="corporate_miner_1"),
    Decision(at(2), "fault", reason="act: ValueError: no", source="learner-7"),
    Decision(at(2), "idea", PAIRS[1], Side.BUY, source="baseline", detail={"score": 0.8, "voters": []}),
)


def run_reports() -> list[Report]:
    """1000 - 104 - 0.36 + 90 - 0.36 - 12 - 0.36 + 9: the account ends at 981.92 and lost 18.08."""
    return [
        report(0, decisions=DECISIONS[:2], orders=(order(0, PAIRS[0], Side.BUY, "b-order"),)),
        report(1, "999.64", "895.64", DECISIONS[2:4], fills=FILLS[:1]),
        report(
            2,
            "997.64",
            "895.64",
            DECISIONS[4:],
            orders=(order(2, PAIRS[1], Side.BUY, "a-order"), order(2, PAIRS[0], Side.SELL, "c-order")),
        ),
        report(3, "984.92", "972.92", fills=FILLS[1:]),
        report(4, "981.92", "972.92"),
    ]


def portfolio() -> tuple[Portfolio, list[Trade]]:
    """The books after the fills of the run."""
    books = Portfolio(Decimal(1000))
    trades = [trade for done in FILLS if (trade := books.apply(done)) is not None]
    return books, trades


def shadow_trade(stream: Stream, profit: str) -> Trade:
    return Trade(
        id=f"{stream.value}-1",
        stream=stream,
        pair=PAIRS[0],
        amount=Decimal(1),
        entry_at=at(1),
        exit_at=at(3),
        entry_price=Decimal(100),
        exit_price=Decimal("100.125"),
        fees=Decimal("0.52"),
        slippage=Decimal("0.2"),
        profit=Decimal(profit),
        profit_ratio=Decimal(profit) / 100,
        exit_reason="horizon",
        score=0.875,
    )


def facts(**changes: object) -> RunFacts:
    books, trades = portfolio()
    given: dict[str, object] = {
        "run_id": "run-1",
        "mode": "backtest",
        "seed": 7,
        "pairs": PAIRS,
        "interval_ms": STEP,
        "wall_s": 2.0,
        "data_sha256": "d" * 64,
        "config_sha256": "c" * 64,
        "census": {"Trader": 1, "total": 1},
        "trades": {
            "baseline": [],
            "mycelial": [shadow_trade(Stream.MYCELIAL, "5"), shadow_trade(Stream.MYCELIAL, "-4")],
            EDGE_TESTED: [shadow_trade(Stream.MYCELIAL, "5")],
            "synthesized": trades,
        },
        "portfolio": books,
        "counts": {"collisions": 3, "conflicts": 1},
        "refusals": {"edge_below_cost": 2, "NO_DATA": 1},
        "messages": {"market-data:{pair}": 9},
    }
    return RunFacts(**{**given, **changes})  # type: ignore[arg-type]


def record(recorder: Recorder) -> Recorder:
    for each in run_reports():
        recorder.take(each)
    return recorder
