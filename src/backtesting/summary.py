"""The SUMMARY METRICS of a run: names and values in groups, ready to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from ..core import metrics, records
from ..core.clock import from_iso
from ..core.timeframes import DAY_MS
from ..core.types import FloatArray, IntArray, Stream, Trade
from . import figures
from .result import NOTHING_TO_CLOSE, quote_of, refused_ideas
from .runs import Run
from .text import NOTHING, duration, money, number, percent
from .undefined import FEW_DAYS, NO_CHANGE, NO_CLOSE, NO_LOSS, NO_TRADES

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
        self.falls = figures.falls(self.curve)
        self.lasting = figures.longest_fall(self.falls, self._times()) if len(self.at) else None

    def _daily(self) -> FloatArray:
        if not len(self.at):
            return np.empty(0)
        first, last = metrics.day_of(int(self.at[0])), metrics.day_of(int(self.at[-1]))
        return metrics.daily_last(self.at, self.curve[1:], first, last, self.begin)

    def _times(self) -> IntArray:
        """When each point of the curve was; the start equity stands at the first slice."""
        return np.concatenate((self.at[:1], self.at))

    def spans(self) -> list[tuple[int, int]]:
        """Entry and exit of every closed trade, entry and end of the run of what is still open."""
        end = int(self.at[-1]) if len(self.at) else 0
        held = [(from_iso(one["opened_at"]), end) for one in self.result["open_positions"]]
        return [*((trade.entry_at, trade.exit_at) for trade in self.trades), *held]

    def exposure(self) -> float | None:
        """Share of the run in which something was held."""
        return figures.covered(self.spans(), int(self.at[0]), int(self.at[-1])) if len(self.at) else None

    def amount(self, value: float | Decimal | None) -> str:
        return f"{money(value)} {self.quote}".rstrip() if value is not None else NOTHING

    def when(self, place: int) -> str:
        """The time of a point of the curve; the start equity stands at the first slice."""
        return records.stamp(int(self.at[max(0, place - 1)])) if len(self.at) else NOTHING


def _told(shown: str, reason: str) -> str:
    """A figure, or the dash with the reason why there is none."""
    return f"{NOTHING} ({reason})" if shown == NOTHING else shown


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
    return [
        ("Total/Daily Avg Trades", f"{stats.trades} / {daily}"),
        ("Max trades open at once", str(figures.at_once(sums.spans()))),
        ("Long / Short trades", f"{stats.trades} / 0"),
        ("Exposure % (time with a position)", _told(percent(sums.exposure(), 1), "no time passed")),
        ("Starting balance", sums.amount(account["start_equity"])),
        ("Final balance", sums.amount(account["end_equity"])),
        ("Absolute profit", sums.amount(gained)),
        ("Total profit %", percent(gained / account["start_equity"])),
        *_ratios(sums),
        *_by_trade(sums),
    ]


def _ratios(sums: _Sums) -> list[Row]:
    """Of the account's marked equity."""
    factor = f"daily equity, x sqrt({metrics.ANNUAL_DAYS})"
    why = FEW_DAYS if len(sums.returns) < 2 else NO_CHANGE
    no_loss = FEW_DAYS if len(sums.returns) < 2 else "no losing day"
    yearly = "less than one day, or too large" if sums.growth is None else "never below its start"
    sharpe, sortino = metrics.sharpe(sums.returns), metrics.sortino(sums.returns)
    return [
        ("CAGR %", _told(percent(sums.growth), yearly)),
        (f"Volatility % ({factor})", _told(percent(figures.volatility(sums.returns)), FEW_DAYS)),
        (f"Sharpe ({factor})", _told(number(sharpe), why)),
        (f"Sortino ({factor})", _told(number(sortino), no_loss)),
        ("Calmar", _told(number(metrics.calmar(sums.growth, sums.fall.ratio)), yearly)),
    ]


def _by_trade(sums: _Sums) -> list[Row]:
    stats = sums.stats
    volumes = [trade.amount * (trade.entry_price + trade.exit_price) for trade in sums.trades]
    stakes = [float(trade.amount * trade.entry_price) for trade in sums.trades]
    no_loss = NO_LOSS if sums.trades else NO_TRADES
    alike = NO_TRADES if not sums.trades else "one trade, or all profits alike"
    ratio = number(figures.expectancy_ratio(sums.profits))
    expected = sums.amount(stats.profit / stats.trades if stats.trades else None)
    kelly = figures.kelly([trade.profit_ratio for trade in sums.trades])
    return [
        ("SQN", _told(number(metrics.system_quality(sums.profits)), alike)),
        ("Profit factor", _told(number(stats.profit_factor), no_loss)),
        ("Expectancy (Ratio)", _told(expected if expected == NOTHING else f"{expected} ({ratio})", NO_TRADES)),
        ("Kelly fraction", _told(number(kelly), "needs a winning and a losing trade")),
        ("Avg. stake", _told(sums.amount(metrics.mean(stakes)), NO_TRADES)),
        ("Total volume", sums.amount(metrics.total(volumes))),
    ]


def _extremes(sums: _Sums) -> list[Row]:
    changes = np.diff(np.concatenate(([sums.begin], sums.daily)))
    wins = [trade for trade in sums.trades if trade.profit > 0]
    losses = [trade for trade in sums.trades if trade.profit < 0]
    best, worst = _pairs(sums)
    trade_best, trade_worst = _trades(sums)
    no_day = "no slice was seen"
    return [
        ("Best Pair", _told(best, NO_TRADES)),
        ("Worst Pair", _told(worst, NO_TRADES)),
        ("Best trade", _told(trade_best, NO_TRADES)),
        ("Worst trade", _told(trade_worst, NO_TRADES)),
        ("Best day", _told(sums.amount(float(changes.max())) if len(changes) else NOTHING, no_day)),
        ("Worst day", _told(sums.amount(float(changes.min())) if len(changes) else NOTHING, no_day)),
        ("Days win/draw/lose", f"{(changes > 0).sum()} / {(changes == 0).sum()} / {(changes < 0).sum()}"),
        ("Avg. Duration Winners", _told(duration(_lasting(wins)), "no winning trade")),
        ("Avg. Duration Losers", _told(duration(_lasting(losses)), NO_LOSS)),
        ("Max Consecutive Wins / Loss", "{} / {}".format(*metrics.streaks(sums.profits))),
        ("Rejected entry signals", str(_rejected(sums.result["refusals"]))),
    ]


def _rejected(refusals: Mapping[str, int]) -> int:
    return sum(refused_ideas(refusals).values()) - refusals.get(NOTHING_TO_CLOSE, 0)


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
    change, dry = sums.result["market_change_ratio"], "equity never fell below a peak"
    return [
        ("Min balance", sums.amount(float(curve.min()))),
        ("Max balance", sums.amount(float(curve.max()))),
        ("Max % underwater", percent(fall.ratio)),
        ("Absolute Drawdown", sums.amount(float(curve[fall.peak] - curve[fall.trough]))),
        ("Drawdown high", sums.amount(float(curve[fall.peak]))),
        ("Drawdown low", sums.amount(float(curve[fall.trough]))),
        ("Drawdown Start", _told(sums.when(fall.peak) if fall.ratio else NOTHING, dry)),
        ("Drawdown End", _told(sums.when(fall.trough) if fall.ratio else NOTHING, dry)),
        ("Avg. Drawdown %", _told(percent(figures.mean_fall(sums.falls)), dry)),
        ("Longest Drawdown (peak to recovery)", _told(duration(sums.lasting), dry)),
        ("Market change % (mean over pairs)", _told(percent(change), NO_CLOSE)),
        ("Buy & hold % (equal stakes)", _told(percent(sums.result["buy_and_hold"]["total_profit_ratio"]), NO_CLOSE)),
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
    speed, slope = result["bars_per_s"], result.get("rss_slope_mb_per_100k_bars")
    return [
        ("Run", str(result["run_id"])),
        *hashes,
        ("Pair-bars", f"{result['bars']:,}"),
        ("Wall time s / pair-bars per s", f"{result['wall_s']:.2f} / {NOTHING if speed is None else f'{speed:,.0f}'}"),
        ("Peak memory MB", f"{result['peak_rss_mb']:.0f}"),
        ("Growth of memory MB per 100,000 pair-bars", NOTHING if slope is None else f"{slope:+.2f}"),
    ]
