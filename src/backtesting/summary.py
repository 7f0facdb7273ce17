"""The SUMMARY METRICS of a run: names and values in groups, ready to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from ..core import metrics, records
from ..core.timeframes import DAY_MS
from ..core.types import FloatArray, Stream, Trade
from .result import quote_of
from .runs import Run
from .text import NOTHING, duration, money, number, percent

Row = tuple[str, str]
_HASH_SHOWN = 16


class _Sums:
    """What several groups read, computed once."""

    def __init__(self, run: Run) -> None:
        result = run.result
        self.result: Mapping[str, Any] = result
        self.account: Mapping[str, Any] = result["account"]
        self.quote = quote_of(result["pairs"])
        self.trades = sorted(run.trades.get(Stream.SYNTHESIZED.value, []), key=lambda trade: trade.exit_at)
        self.profits = [trade.profit for trade in self.trades]
        self.begin = float(self.account["start_equity"])
        self.stats = metrics.trade_stats(self.trades, Decimal(repr(self.account["start_equity"])))
        self.at = run.curve.at
        self.curve = np.concatenate(([self.begin], run.curve.equity_quote()))
        self.days = (int(self.at[-1]) - int(self.at[0])) / DAY_MS if len(self.at) else 0.0
        self.daily = self._daily()
        self.returns = metrics.daily_returns(self.daily, self.begin)
        self.growth = metrics.growth_per_year(self.begin, float(self.curve[-1]), self.days)
        self.fall = metrics.max_drawdown(self.curve)

    def _daily(self) -> FloatArray:
        if not len(self.at):
            return np.empty(0)
        first, last = metrics.day_of(int(self.at[0])), metrics.day_of(int(self.at[-1]))
        return metrics.daily_last(self.at, self.curve[1:], first, last, self.begin)

    def amount(self, value: float | Decimal | None) -> str:
        return f"{money(value)} {self.quote}".rstrip() if value is not None else NOTHING

    def when(self, place: int) -> str:
        """The time of a point of the curve; the start equity stands at the first slice."""
        return records.stamp(int(self.at[max(0, place - 1)])) if len(self.at) else NOTHING


def summary_groups(run: Run) -> list[list[Row]]:
    """Groups of (metric, value)."""
    sums = _Sums(run)
    return [_identity(sums), _returns(sums), _extremes(sums), _balance(sums), _costs(sums), _swarm(sums), _hashes(sums)]


def _identity(sums: _Sums) -> list[Row]:
    result = sums.result
    first, last = result["timerange"]
    return [
        ("Backtesting from", first or NOTHING),
        ("Backtesting to", last or NOTHING),
        ("Mode", str(result["mode"])),
        ("Data", "simulated" if result["simulated"] else "recorded"),
        ("Timeframe", str(result["timeframe"])),
        ("Pairs", str(len(result["pairs"]))),
        ("Seed", str(result["seed"])),
    ]


def _returns(sums: _Sums) -> list[Row]:
    account, stats = sums.account, sums.stats
    gained = account["end_equity"] - account["start_equity"]
    daily = f"{stats.trades / len(sums.daily):.2f}" if len(sums.daily) else NOTHING
    volumes = [trade.amount * (trade.entry_price + trade.exit_price) for trade in sums.trades]
    stakes = [float(trade.amount * trade.entry_price) for trade in sums.trades]
    factor = f"daily equity, x sqrt({metrics.ANNUAL_DAYS})"
    return [
        ("Total/Daily Avg Trades", f"{stats.trades} / {daily}"),
        ("Starting balance", sums.amount(account["start_equity"])),
        ("Final balance", sums.amount(account["end_equity"])),
        ("Absolute profit", sums.amount(gained)),
        ("Total profit %", percent(gained / account["start_equity"])),
        ("CAGR %", percent(sums.growth)),
        (f"Sharpe ({factor})", number(metrics.sharpe(sums.returns))),
        (f"Sortino ({factor})", number(metrics.sortino(sums.returns))),
        ("Calmar", number(metrics.calmar(sums.growth, sums.fall.ratio))),
        ("SQN", number(metrics.system_quality(sums.profits))),
        ("Profit factor", number(stats.profit_factor)),
        ("Expectancy", sums.amount(stats.profit / stats.trades if stats.trades else None)),
        ("Avg. stake", sums.amount(metrics.mean(stakes))),
        ("Total volume", sums.amount(metrics.total(volumes))),
    ]


def _extremes(sums: _Sums) -> list[Row]:
    changes = np.diff(np.concatenate(([sums.begin], sums.daily)))
    wins = [trade for trade in sums.trades if trade.profit > 0]
    losses = [trade for trade in sums.trades if trade.profit < 0]
    best, worst = _pairs(sums)
    trade_best, trade_worst = _trades(sums)
    return [
        ("Best Pair", best),
        ("Worst Pair", worst),
        ("Best trade", trade_best),
        ("Worst trade", trade_worst),
        ("Best day", sums.amount(float(changes.max())) if len(changes) else NOTHING),
        ("Worst day", sums.amount(float(changes.min())) if len(changes) else NOTHING),
        ("Days win/draw/lose", f"{(changes > 0).sum()} / {(changes == 0).sum()} / {(changes < 0).sum()}"),
        ("Avg. Duration Winners", duration(_lasting(wins))),
        ("Avg. Duration Losers", duration(_lasting(losses))),
        ("Max Consecutive Wins / Loss", "{} / {}".format(*metrics.streaks(sums.profits))),
        ("Rejected entry signals", str(sum(sums.result["refusals"].values()))),
    ]


def _lasting(trades: Sequence[Trade]) -> float | None:
    return metrics.mean([float(trade.exit_at - trade.entry_at) for trade in trades])


def _pairs(sums: _Sums) -> tuple[str, str]:
    profits: dict[str, Decimal] = {}
    for trade in sums.trades:
        profits[trade.pair] = profits.get(trade.pair, Decimal(0)) + trade.profit
    return _ends(profits, lambda pair: profits[pair], lambda pair: f"{pair} {sums.amount(profits[pair])}")


def _trades(sums: _Sums) -> tuple[str, str]:
    return _ends(
        sums.trades,
        lambda trade: trade.profit_ratio,
        lambda trade: f"{trade.pair} {percent(float(trade.profit_ratio))} %",
    )


def _ends[T](items: Iterable[T], worth: Callable[[T], Decimal], name: Callable[[T], str]) -> tuple[str, str]:
    """The names of the best and the worst; the first of equals."""
    known = list(items)
    return (name(max(known, key=worth)), name(min(known, key=worth))) if known else (NOTHING, NOTHING)


def _balance(sums: _Sums) -> list[Row]:
    fall, curve = sums.fall, sums.curve
    change = sums.result["market_change_ratio"]
    return [
        ("Min balance", sums.amount(float(curve.min()))),
        ("Max balance", sums.amount(float(curve.max()))),
        ("Max % underwater", percent(fall.ratio)),
        ("Absolute Drawdown", sums.amount(float(curve[fall.peak] - curve[fall.trough]))),
        ("Drawdown high", sums.amount(float(curve[fall.peak]))),
        ("Drawdown low", sums.amount(float(curve[fall.trough]))),
        ("Drawdown Start", sums.when(fall.peak) if fall.ratio else NOTHING),
        ("Drawdown End", sums.when(fall.trough) if fall.ratio else NOTHING),
        ("Market change % (mean over pairs)", percent(change)),
    ]


def _costs(sums: _Sums) -> list[Row]:
    return [
        ("Total fees", sums.amount(sums.account["fees"])),
        ("Total slippage", sums.amount(sums.account["slippage"])),
        ("Open positions", str(len(sums.result["open_positions"]))),
    ]


def _swarm(sums: _Sums) -> list[Row]:
    result = sums.result
    ideas, missing = result["ideas"], result["abstentions"]
    return [
        ("Agents", str(result["census"].get("total", 0))),
        ("Ideas baseline / mycelial", f"{ideas['baseline']} / {ideas['mycelial']}"),
        ("Collisions / conflicts", f"{result['collisions']} / {result['conflicts']}"),
        ("Abstentions", ", ".join(f"{moat} {count}" for moat, count in sorted(missing.items())) or "0"),
        ("Faults of agents", str(sum(result["faults"].values()))),
        ("Messages", str(sum(result["messages"].values()))),
    ]


def _hashes(sums: _Sums) -> list[Row]:
    result = sums.result
    hashes = [
        (f"{name} sha256", str(result[f"{name}_sha256"])[:_HASH_SHOWN])
        for name in ("data", "config", "orders", "decisions")
    ]
    speed = result["bars_per_s"]
    return [
        ("Run", str(result["run_id"])),
        *hashes,
        ("Pair-bars", f"{result['bars']:,}"),
        ("Wall time s / pair-bars per s", f"{result['wall_s']:.2f} / {NOTHING if speed is None else f'{speed:,.0f}'}"),
        ("Peak memory MB", f"{result['peak_rss_mb']:.0f}"),
    ]
