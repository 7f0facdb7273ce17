"""Runs made up for reports: a tape of five trades whose every figure can be worked out by hand, and odd ones."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from src.backtesting.recorder import Recorder
from src.backtesting.result import EDGE_TESTED, RunFacts, build, to_json
from src.core.engine import Report
from src.core.portfolio import Portfolio
from src.core.records import decision_lines
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import BarBlock, Decision, Pair, Side, Snapshot, Stream, Trade

BEGIN = 19_723 * DAY_MS  # 2024-01-01
PROFITS = ("50", "-21", "102.9", "-113.19", "0")
"""Of 1000: the account stands at 1050, 1029, 1131.9, 1018.71 and 1018.71 at the ends of five days."""
RETURNS = (0.05, -0.02, 0.1, -0.1, 0.0)
CLOSES = (102.0, 99.0, 104.0, 101.0, 110.0)
BTC = Pair("BTC/USDT")
CONDITIONS = {
    "code_sha256": "e" * 64,
    "config_sha256": "c" * 64,
    "settings": {"costs.fee_ratio": "0.001", "costs.slippage_ratio": "0.0005", "learners.team": 3},
}


def end(day: int) -> int:
    """When the day of this number is over."""
    return BEGIN + (day + 1) * DAY_MS


def trade(
    day: int, profit: str, pair: Pair = BTC, stream: Stream = Stream.SYNTHESIZED, reason: str = "horizon"
) -> Trade:
    """One unit bought for 100 at noon and sold at midnight."""
    return Trade(
        id=f"{stream.value}-{day + 1}",
        stream=stream,
        pair=pair,
        amount=Decimal(1),
        entry_at=end(day) - 12 * HOUR_MS,
        exit_at=end(day),
        entry_price=Decimal(100),
        exit_price=Decimal(100) + Decimal(profit) / 10,
        fees=Decimal("0.2"),
        slippage=Decimal("0.1"),
        profit=Decimal(profit),
        profit_ratio=Decimal(profit) / 100,
        exit_reason=reason,
        score=0.75,
        leave_at=end(day),
    )


def five() -> list[Trade]:
    return [trade(day, profit) for day, profit in enumerate(PROFITS)]


def report(
    at: int,
    equity: Decimal,
    closes: Sequence[float],
    pairs: tuple[Pair, ...] = (BTC,),
    decisions: tuple[Decision, ...] = (),
    simulated: bool = False,
) -> Report:
    close = np.array(closes, np.float64)
    fresh = ~np.isnan(close)
    bars = BarBlock(pairs, at - DAY_MS, close, close, close, close, np.ones(len(pairs)), fresh)
    empty = np.empty((len(pairs), 0))
    shot = Snapshot(at, DAY_MS, 0, pairs, fresh, close, empty, empty, close, bars, simulated)
    return Report(
        at=at,
        slices=1,
        bars=int(fresh.sum()),
        decisions=decisions,
        written=decision_lines(decisions),
        orders=(),
        fills=(),
        trades=(),
        equity=equity,
        cash=equity,
        halted="",
        bus_up=True,
        stopping=False,
        simulated=simulated,
        snapshot=shot,
    )


def behind(traded: Trade, agents: Sequence[str], edge: float = 0.02) -> Decision:
    """The idea or intent a trade came from, said six hours before its entry, with a horizon that fits its end."""
    said = traded.entry_at - 6 * HOUR_MS
    if traded.stream is Stream.SYNTHESIZED:
        return Decision(said, "intent", traded.pair, Side.BUY, source="trader", detail={"analysts": list(agents)})
    detail = {"voters": list(agents), "edge": edge, "horizon": 1}
    return Decision(said, "idea", traded.pair, Side.BUY, source=traded.stream.value, detail=detail)


def facts(trades: Sequence[Trade], pairs: tuple[Pair, ...] = (BTC,), **changes: object) -> RunFacts:
    books: dict[str, list[Trade]] = {"baseline": [], "mycelial": [], EDGE_TESTED: [], "synthesized": []}
    for one in trades:
        books[one.stream.value].append(one)
    given: dict[str, object] = {
        "run_id": "tape",
        "mode": "backtest",
        "seed": 7,
        "pairs": pairs,
        "interval_ms": DAY_MS,
        "wall_s": 2.0,
        "data_sha256": "d" * 64,
        "config_sha256": "c" * 64,
        "census": {"trader": 1, "total": 1},
        "trades": books,
        "portfolio": Portfolio(Decimal(1000)),
        "counts": {"collisions": 5, "conflicts": 1},
        "refusals": {"edge_below_cost": 2, "position_open": 1},
        "messages": {"market-data:{pair}": 5},
    }
    return RunFacts(**{**given, **changes})  # type: ignore[arg-type]


def stored(
    folder: Path,
    trades: Sequence[Trade],
    reports: Sequence[Report],
    pairs: tuple[Pair, ...] = (BTC,),
    conditions: dict[str, object] | None = None,
    **changes: object,
) -> Path:
    """The folder a run leaves behind."""
    with Recorder(folder) as recorder:
        for each in reports:
            recorder.take(each)
        given = facts(trades, pairs, **{"run_id": folder.name, **changes})
        result = to_json(build(recorder.recorded(), given))
        recorder.save(result, given.trades, CONDITIONS if conditions is None else conditions)
    return folder


def tape(folder: Path, profits: Sequence[str] = PROFITS, **changes: object) -> Path:
    """The tape of five trades as a folder; other profits make another tape on the same data."""
    trades = [trade(day, profit) for day, profit in enumerate(profits)]
    equity, reports = Decimal(1000), []
    for day, one in enumerate(trades):
        equity += one.profit
        spoken = (behind(one, ("analyst-BTC/USDT-1", "learner-code-2")),)
        reports.append(report(end(day), equity, (CLOSES[day % len(CLOSES)],), decisions=spoken))
    return stored(folder, trades, reports, **changes)  # type: ignore[arg-type]
