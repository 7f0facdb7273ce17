"""Shows a finished run in the terminal, in the blocks and columns that users of trading bots compare by eye."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core import metrics, records
from ..core.clock import from_iso
from ..core.errors import UsageError
from ..core.metrics import TradeStats
from ..core.timeframes import DAY_MS
from ..core.types import STREAMS, Stream, Trade
from .report_findings import (
    BOOKS,
    discovery_table,
    effect_table,
    moat_table,
    pattern_table,
    rival_sentences,
    strategy_table,
    strongest_table,
    swarm_table,
    tool_table,
)
from .result import CONTROLS, EDGE_TESTED, quote_of
from .runs import Run
from .summary import Row, summary_groups
from .table import coloured, new_table
from .text import NOTHING, duration, money, number, percent

ADVICE = "ADVICE ONLY: no order of this run was sent; what it wanted stands in the record as advice."
SIMULATED = "SIMULATED DATA: the market of this run was made up; it says nothing about any real market."
BREAKDOWNS = ("day", "week", "month", "year", "weekday")
"""What `--breakdown` offers."""

_PLAIN_WIDTH = 160
"""Columns of plain text: wide enough for the widest table, so that no cell is cut in a pipe or file."""

_WEEKDAYS = ("1 Mon", "2 Tue", "3 Wed", "4 Thu", "5 Fri", "6 Sat", "7 Sun")
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday, three days after the Monday that begins a week."""

Block = Table | Text


def show(
    run: Run,
    console: Console,
    breakdown: str | None = None,
    entered: Mapping[str, str] | None = None,
    evidence: Sequence[Row] = (),
) -> None:
    """Print all blocks; `breakdown` is one of `BREAKDOWNS`, `entered` who was behind each trade's entry by its id.

    `evidence`: rows of what has been shown about the run beside its own figures.
    """
    for block in blocks(run, breakdown, entered, evidence):
        console.print(block)


def text(run: Run, breakdown: str | None = None) -> str:
    """All blocks as plain text without colours."""
    console = terminal(io.StringIO())
    show(run, console, breakdown)
    file = console.file
    return file.getvalue() if isinstance(file, io.StringIO) else ""


def terminal(file: TextIO) -> Console:
    """A console for `file`: coloured and as wide as the terminal, or plain and wide where there is none.

    Nothing in the data is read as markup.
    """
    if file.isatty():
        return Console(file=file, markup=False, emoji=False, highlight=False)
    return Console(
        file=file,
        markup=False,
        emoji=False,
        highlight=False,
        width=_PLAIN_WIDTH,
        color_system=None,
        force_terminal=False,
        safe_box=True,
    )


def blocks(
    run: Run,
    breakdown: str | None = None,
    entered: Mapping[str, str] | None = None,
    evidence: Sequence[Row] = (),
) -> list[Block]:
    """Everything the report shows, in order; UsageError for an unknown breakdown."""
    shown: list[Block] = []
    if run.result["mode"] == "advise":
        shown.append(Text(ADVICE, style="bold yellow"))
    if run.result["simulated"]:
        shown.append(Text(SIMULATED, style="bold yellow"))
    shown += [pair_table(run), open_table(run)]
    if entered:
        shown.append(enter_table(run, entered))
    shown += [exit_table(run), stream_table(run), *rival_sentences(run)]
    shown += [strategy_table(run), refusal_table(run), swarm_table(run)]
    shown += [table for table in (tool_table(run), pattern_table(run)) if table is not None]
    shown += [moat_table(run), effect_table(run)]
    shown += [discovery_table(run), strongest_table(run)]
    if breakdown is not None:
        shown.append(breakdown_table(run, breakdown))
    shown += [summary_table(run, evidence), _verdict(run.result)]
    return shown


def pair_table(run: Run) -> Table:
    """BACKTESTING REPORT: closed trades of the account by pair, best first, then TOTAL."""
    table = _stats_table("BACKTESTING REPORT", "Pair", "Trades", run)
    rows = _by_profit(_grouped(account_trades(run), lambda trade: trade.pair, run))
    return _filled(table, rows, metrics.trade_stats(account_trades(run), start(run)))


def enter_table(run: Run, entered: Mapping[str, str]) -> Table:
    """ENTER TAG STATS: closed trades of the account by the kinds of agents that agreed on the entry."""
    table = _stats_table("ENTER TAG STATS (kinds of agents behind the entry)", "Enter Tag", "Entries", run)
    rows = _by_profit(_grouped(account_trades(run), lambda trade: entered.get(trade.id, "unknown"), run))
    return _filled(table, rows, metrics.trade_stats(account_trades(run), start(run)))


def exit_table(run: Run) -> Table:
    """EXIT REASON STATS: closed trades of the account by what closed them."""
    table = _stats_table("EXIT REASON STATS", "Exit Reason", "Exits", run)
    rows = _by_profit(_grouped(account_trades(run), lambda trade: trade.exit_reason, run))
    return _filled(table, rows, metrics.trade_stats(account_trades(run), start(run)))


def breakdown_table(run: Run, unit: str) -> Table:
    """DAY, WEEK, MONTH, YEAR or WEEKDAY BREAKDOWN: closed trades of the account by the period of their exit."""
    if unit not in BREAKDOWNS:
        raise UsageError(f"breakdown {unit!r}: choose {', '.join(BREAKDOWNS)}")
    table = _stats_table(f"{unit.upper()} BREAKDOWN", unit.capitalize(), "Trades", run)
    rows = _grouped(account_trades(run), lambda trade: period(trade.exit_at, unit), run)
    return _filled(table, sorted(rows.items()), metrics.trade_stats(account_trades(run), start(run)))


def open_table(run: Run) -> Table:
    """LEFT OPEN TRADES REPORT: what is still held, marked to the last close, before the costs of leaving."""
    table = _stats_table("LEFT OPEN TRADES REPORT (at the last close, before exit costs)", "Pair", "Trades", run)
    positions: Sequence[Mapping[str, Any]] = run.result["open_positions"]
    rows = [(str(held["pair"]), _open_stats([held], run)) for held in positions]
    return _filled(table, rows, _open_stats(positions, run))


def stream_table(run: Run) -> Table:
    """STREAMS: the three books, the edge-tested one, the simple learners, and holding the market, side by side."""
    quote = quote_of(run.result["pairs"])
    table = new_table(
        "STREAMS (closed trades on the same start equity; Sharpe of daily equity)",
        (
            "Stream",
            "Ideas",
            "Trades",
            "Win %",
            "Tot Profit %",
            "Max Drawdown %",
            "Profit Factor",
            "Sharpe",
            _of("Fees", quote),
        ),
    )
    result = run.result
    for name in STREAMS:
        table.add_row(*_stream_row(name.value, result["streams"][name.value], result["ideas"].get(name.value)))
    table.add_row(*_stream_row(BOOKS[EDGE_TESTED], result[EDGE_TESTED], None))
    for control, figures in result.get("controls", {}).items():
        table.add_row(*_stream_row(BOOKS[CONTROLS[control]], figures, figures["ideas"]))
    table.add_section()
    table.add_row(*_stream_row("buy and hold (equal stakes, no costs)", result["buy_and_hold"], None))
    return table


def _stream_row(name: str, figures: Mapping[str, Any], ideas: int | None) -> list[str | Text]:
    return [
        name,
        NOTHING if ideas is None else str(ideas),
        str(figures.get("trades", NOTHING)),
        percent(figures.get("win_ratio"), 1),
        coloured(percent(figures["total_profit_ratio"]), figures["total_profit_ratio"]),
        percent(figures["max_drawdown_ratio"]),
        number(figures.get("profit_factor")),
        number(figures["sharpe"]),
        money(figures["fees"]) if "fees" in figures else NOTHING,
    ]


def refusal_table(run: Run) -> Table:
    """REFUSALS: why ideas and orders were turned away, most often first, and who abstained."""
    table = new_table("REFUSALS", ("Reason", "Count"))
    refusals: Mapping[str, int] = run.result["refusals"]
    for reason, count in sorted(refusals.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(reason, str(count))
    table.add_section()
    table.add_row("TOTAL", str(sum(refusals.values())))
    return table


def summary_table(run: Run, evidence: Sequence[Row] = ()) -> Table:
    """SUMMARY METRICS: two columns, groups separated by an empty row."""
    table = new_table("SUMMARY METRICS", ("Metric", "Value"))
    groups = [*summary_groups(run), *([list(evidence)] if evidence else [])]
    for place, group in enumerate(groups):
        if place:
            table.add_row("", "")
        for name, value in group:
            table.add_row(name, value)
    return table


def comparison_table(runs: Sequence[Run]) -> Table:
    """STRATEGY SUMMARY: the accounts of several runs, a row each."""
    table = new_table("STRATEGY SUMMARY", (*_columns("Run", "Trades", ""), "Drawdown %", "Market %", "Data"))
    for run in runs:
        stats = metrics.trade_stats(account_trades(run), start(run))
        account = run.result["account"]
        table.add_row(
            *_stats_cells(str(run.result["run_id"]), stats),
            percent(account["max_drawdown_ratio"]),
            percent(run.result["market_change_ratio"]),
            "simulated" if run.result["simulated"] else "recorded",
        )
    return table


def pairs_csv(run: Run) -> str:
    """The rows of the first table as CSV with raw numbers; empty where a figure is not defined."""
    file = io.StringIO()
    names = TradeStats.__struct_fields__
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["pair", *names])
    for pair, stats in _by_profit(_grouped(account_trades(run), lambda trade: trade.pair, run)):
        values = (getattr(stats, name) for name in names)
        rows.writerow([pair, *(records.plain(value) if isinstance(value, Decimal) else value for value in values)])
    return file.getvalue()


def account_trades(run: Run) -> list[Trade]:
    """Closed trades of the account, in order of exit."""
    return sorted(run.trades.get(Stream.SYNTHESIZED.value, []), key=lambda trade: trade.exit_at)


def start(run: Run) -> Decimal:
    """The start equity."""
    return Decimal(repr(run.result["account"]["start_equity"]))


def period(at: int, unit: str) -> str:
    """The day, week (named by its Monday), month, year or weekday that an instant closes.

    Midnight belongs to the day before.

    >>> period(from_iso("2024-01-08"), "day"), period(from_iso("2024-01-08"), "week")
    ('2024-01-07', '2024-01-01')
    """
    day = metrics.day_of(at)
    if unit == "week":
        day -= (day + _EPOCH_WEEKDAY) % 7
    if unit == "weekday":
        return _WEEKDAYS[(day + _EPOCH_WEEKDAY) % 7]
    code = {"month": "M", "year": "Y"}.get(unit, "D")
    return str(np.datetime64(day * DAY_MS, "ms").astype(f"datetime64[{code}]"))


def _grouped(trades: Iterable[Trade], key: Callable[[Trade], str], run: Run) -> dict[str, TradeStats]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return {name: metrics.trade_stats(group, start(run)) for name, group in groups.items()}


def _by_profit(rows: Mapping[str, TradeStats]) -> list[tuple[str, TradeStats]]:
    return sorted(rows.items(), key=lambda item: (-item[1].profit, item[0]))


def _open_stats(positions: Sequence[Mapping[str, Any]], run: Run) -> TradeStats:
    profits = [Decimal(repr(held["profit"])) for held in positions]
    end = from_iso(run.result["timerange"][1]) if positions else 0
    profit = metrics.total(profits)
    wins, losses = sum(p > 0 for p in profits), sum(p < 0 for p in profits)
    return TradeStats(
        trades=len(profits),
        wins=wins,
        draws=len(profits) - wins - losses,
        losses=losses,
        profit=profit,
        profit_ratio=float(profit / start(run)),
        mean_profit_ratio=metrics.mean([held["profit"] / held["cost"] for held in positions]),
        mean_duration_ms=metrics.mean([float(end - from_iso(held["opened_at"])) for held in positions]),
        win_ratio=wins / len(profits) if profits else None,
        profit_factor=metrics.profit_factor(profits),
        fees=Decimal(0),
        slippage=Decimal(0),
    )


def _columns(name: str, count: str, quote: str) -> tuple[str, ...]:
    return (
        name,
        count,
        "Avg Profit %",
        _of("Tot Profit", quote),
        "Tot Profit %",
        "Avg Duration",
        "Win  Draw  Loss  Win%",
    )


def _of(name: str, quote: str) -> str:
    return f"{name} {quote}".rstrip()


def _stats_table(title: str, name: str, count: str, run: Run) -> Table:
    return new_table(title, _columns(name, count, quote_of(run.result["pairs"])))


def _filled(table: Table, rows: Iterable[tuple[str, TradeStats]], total: TradeStats) -> Table:
    for name, stats in rows:
        table.add_row(*_stats_cells(name, stats))
    table.add_section()
    table.add_row(*_stats_cells("TOTAL", total))
    return table


def _stats_cells(name: str, stats: TradeStats) -> list[str | Text]:
    share = percent(stats.win_ratio, 1)
    return [
        name,
        str(stats.trades),
        percent(stats.mean_profit_ratio),
        coloured(money(stats.profit), stats.profit),
        percent(stats.profit_ratio),
        duration(stats.mean_duration_ms),
        f"{stats.wins:>4}  {stats.draws:>4}  {stats.losses:>4} {share:>5}",
    ]


def _verdict(result: Mapping[str, Any]) -> Text:
    account = result["account"]
    lost = account["end_equity"] < account["start_equity"]
    return Text(result["verdict"], style="bold red" if lost else "bold")
