"""A run's folder as evidence: trades on the grid of closes, returns by day and by trade, what was said when."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from src.backtesting.closes import CLOSES, Closes, read, write
from src.backtesting.evidence.record import (
    Record,
    book_returns,
    candidates,
    entries,
    hold_returns,
    opinions,
    purge_days,
    trade_returns,
)
from src.backtesting.recorder import Curve
from src.backtesting.runs import Run
from src.core.clock import iso
from src.core.errors import DataError, UsageError
from src.core.timeframes import DAY_MS
from src.core.types import Pair, Stream, Trade

HOUR = 3_600_000
START = 1_609_459_200_000
DAYS = np.arange(START // DAY_MS, START // DAY_MS + 4)
GRID = Closes(START + HOUR * np.arange(1, 97, dtype=np.int64), ("BTC/USD", "ETH/USD"), np.full((96, 2), 5.0))


def trade(entry: int, exit_: int, profit: str, pair: str = "ETH/USD") -> Trade:
    """Filled in the bars that close so many hours after the start."""
    money = dict.fromkeys(("amount", "entry_price", "exit_price", "fees", "slippage", "profit_ratio"), Decimal(1))
    return Trade(id="t", stream=Stream.SYNTHESIZED, pair=Pair(pair), entry_at=START + HOUR * entry,
                 exit_at=START + HOUR * exit_, profit=Decimal(profit), exit_reason="horizon", **money)  # fmt: skip


def record(*trades: Trade, folder: Path = Path("nowhere")) -> Record:
    """Four days of a run with these trades in its book."""
    nothing = np.empty(0, np.int64)
    result = {"account": {"start_equity": 1000.0}, "timeframe": "1h", "streams": {"synthesized": {}, "baseline": {}}}
    horizons = [{"intervals": 3, "name": "HFT"}, {"intervals": 30, "name": "Swing"}]
    leaves = {"costs.fee_ratio": "0.001", "costs.slippage_ratio": "0.0005", "learners.horizons": horizons}
    run = Run(result, {"synthesized": list(trades)} if trades else {}, Curve(nothing, nothing, nothing))
    return Record(folder, run, {"settings": leaves}, DAYS, np.zeros(4))


def test_a_fill_at_an_open_stands_for_the_close_before_it() -> None:
    found = entries(record(trade(5, 8, "1"), trade(7, 7, "1", "BTC/USD")), GRID)
    assert found is not None
    assert (found.pairs.tolist(), found.rows.tolist(), found.held.tolist()) == ([1, 0], [3, 5], [3, 1])
    assert GRID.at[found.rows[0]] == START + HOUR * 4
    assert found.cost == pytest.approx(0.003)


def test_trades_outside_the_closes_are_left_out() -> None:
    outside = (trade(1, 4, "1"), trade(90, 98, "1"), trade(5, 8, "1", "SOL/USD"))
    found = entries(record(*outside), GRID)
    assert found is not None
    assert len(found.rows) == 0
    assert entries(record(*outside), None) is None


def test_a_trade_counts_against_the_equity_before_it() -> None:
    found = record(trade(5, 30, "100"), trade(2, 10, "-500"))
    assert trade_returns(found).tolist() == pytest.approx([-0.5, 0.2])
    assert book_returns(found, "synthesized").tolist() == pytest.approx([-0.5, 0.2, 0.0, 0.0])
    assert book_returns(found, "baseline").tolist() == [0.0] * 4
    assert trade_returns(record()).tolist() == []


def test_a_book_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="there is account, baseline, synthesized"):
        book_returns(record(), "ridge")


def test_the_longest_horizon_is_purged() -> None:
    assert purge_days(record()) == 2


def test_candidates_stand_side_by_side() -> None:
    found = candidates([record(trade(2, 10, "-500")), record()], "synthesized")
    assert found.tolist() == [[-0.5, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]


def test_holding_starts_at_the_first_close(tmp_path: Path) -> None:
    rows = [
        f"{iso(START)},ETH/USD,10.0,0",
        *(f"{iso((d + 1) * DAY_MS)},ETH/USD,{c},24" for d, c in zip(DAYS, (11.0, 5.5, 5.5, 11.0), strict=True)),
    ]
    (tmp_path / "market.csv").write_text("\n".join(["at,pair,close,bars", *rows, ""]))
    found = hold_returns(record(folder=tmp_path))
    assert found is not None
    assert found.tolist() == pytest.approx([0.1, -0.5, 0.0, 1.0])
    assert hold_returns(record(folder=tmp_path / "empty")) is None


def test_ideas_are_opinions_with_a_sign(tmp_path: Path) -> None:
    def line(hour: int, pair: str, side: str, rest: str, kind: str = "idea", source: str = "mycelial") -> str:
        at = iso(START + HOUR * hour)
        return f'{{"at":"{at}",{rest}"kind":"{kind}","pair":"{pair}","side":"{side}","source":"{source}"}}'

    lines = [
        line(2, "ETH/USD", "buy", '"edge":0.02,"score":0.9,'),
        line(3, "ETH/USD", "sell", '"edge":-0.01,'),
        line(4, "BTC/USD", "sell", '"score":0.5,'),
        line(5, "BTC/USD", "buy", ""),
        line(6, "BTC/USD", "buy", "", "intent"),
        line(6, "BTC/USD", "buy", "", source="baseline"),
        line(6, "SOL/USD", "buy", ""),
    ]
    (tmp_path / "decisions.jsonl").write_text("\n".join([*lines, ""]))
    said = opinions(record(folder=tmp_path), GRID, "mycelial")
    assert said[:6, 0].tolist() == [0.0, 0.0, 0.0, -0.5, 1.0, 0.0]
    assert said[:6, 1].tolist() == [0.0, 0.02, -0.01, 0.0, 0.0, 0.0]
    assert np.count_nonzero(said) == 4
    (tmp_path / "decisions.jsonl").write_text('{"kind":"idea"\n')
    with pytest.raises(DataError, match=r"decisions.jsonl:1: not a decision"):
        opinions(record(folder=tmp_path), GRID, "mycelial")


def test_closes_come_back_as_they_were_and_with_the_same_bytes(tmp_path: Path) -> None:
    gap = Closes(GRID.at, GRID.pairs, np.where(np.arange(192).reshape(96, 2) % 7, GRID.close, np.nan))
    write(tmp_path, gap)
    first = (tmp_path / CLOSES).read_bytes()
    found = read(tmp_path)
    assert found is not None
    assert (found.at.tolist(), found.pairs) == (gap.at.tolist(), gap.pairs)
    assert np.array_equal(found.close, gap.close, equal_nan=True)
    write(tmp_path, gap)
    assert (tmp_path / CLOSES).read_bytes() == first
    assert read(tmp_path / "nowhere") is None
    with pytest.raises(UsageError, match="can be written"):
        write(tmp_path / "nowhere", gap)
