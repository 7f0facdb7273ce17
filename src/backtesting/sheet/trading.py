"""The sections of a page that are about trades: prices with fills, who stood behind them, refusals, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from ...core import records
from ...core.clock import from_iso
from ...core.types import Stream, Trade
from .. import figures
from ..backing import Contribution, Tied, by_agent
from ..recorder import DECISIONS, TRADES
from ..report import refusal_table
from ..report_findings import BOOKS
from ..runs import Run
from ..text import NOTHING, money, number, percent
from .charts import HALF, Mark, Point, Said, bars, calibration_chart, price_chart
from .folder import Prices
from .parts import Figure, Grid, Note, Part, Section, from_terminal, grid

MOST_TRADES = 200
"""Trades the page lists: the newest; all of them are in `trades.csv`."""
_MOST_PAIRS = 6
_MOST_MARKED = 60
_MOST_BARS = 15
_MOST_AGENTS = 8
_BINS = 10

Backed = Mapping[str, Sequence[Tied]]


def sections(run: Run, prices: Prices | None, found: Backed | None) -> list[Section]:
    """All sections of this module in order; `found` by book: trades with what stood behind them, None: not known."""
    return [
        Section("fills", "Prices and fills", _fills(run, prices)),
        Section("agents", "Who stood behind the trades", _agents(run, found)),
        Section("calibration", "Calibration: what was expected and what came", (_calibration(found),)),
        Section("refusals", "Refusals", _refusals(run), half=True),
        Section("abstentions", "Abstentions", _abstentions(run), half=True),
    ]


def of_book(run: Run, book: str) -> list[Trade]:
    """Closed trades of a book in order of exit."""
    return sorted(run.trades.get(book, ()), key=lambda trade: (trade.exit_at, trade.id))


def trade_list(run: Run) -> Section:
    """The newest trades of the account; of the mycelial book where the account has none."""
    book = Stream.SYNTHESIZED.value
    notes: list[Part] = []
    if not run.trades.get(book):
        book = Stream.MYCELIAL.value
        notes.append(Note("The account closed no trade; these are the trades of the mycelial book."))
    trades = of_book(run, book)
    if not trades:
        return Section("trades", "Trades", (Note("Neither the account nor the mycelial book closed a trade."),))
    left = len(trades) - MOST_TRADES
    if left > 0:
        notes.append(
            Note(f"{left:,} earlier trades are left out here; all {len(trades):,} are in {TRADES} of the run.")
        )
    rows = tuple(_trade_row(trade) for trade in reversed(trades[-MOST_TRADES:]))
    names = ("Pair", "Entry", "Exit", "Exit reason", "Amount", "Entry price", "Exit price", "Fees", "Slippage")
    table = Grid(f"Trades: {BOOKS.get(book, book)}, newest first", (*names, "Profit", "Profit %", "Score"), rows, 4)
    return Section("trades", "Trades", (*notes, table))


def _trade_row(trade: Trade) -> tuple[str, ...]:
    return (
        trade.pair[:40],
        _minute(trade.entry_at),
        _minute(trade.exit_at),
        trade.exit_reason[:40],
        f"{float(trade.amount):.6g}",
        _price(trade.entry_price),
        _price(trade.exit_price),
        money(trade.fees),
        money(trade.slippage),
        money(trade.profit),
        percent(float(trade.profit_ratio)),
        number(trade.score),
    )


def _minute(at: int) -> str:
    return records.stamp(at)[:16].replace("T", " ")


def _price(price: Decimal) -> str:
    return f"{float(price):,.6g}"


def _fills(run: Run, prices: Prices | None) -> tuple[Part, ...]:
    trades = of_book(run, Stream.SYNTHESIZED.value)
    counts: dict[str, int] = {}
    for trade in trades:
        counts[trade.pair] = counts.get(trade.pair, 0) + 1
    for held in run.result["open_positions"]:
        counts.setdefault(str(held["pair"]), 0)
    if not counts:
        return (Note("The account made no trade and holds nothing: there is no fill to show."),)
    most = sorted(counts, key=lambda pair: (-counts[pair], pair))
    parts: list[Part] = [_fill_chart(run, pair, trades, prices, place) for place, pair in enumerate(most[:_MOST_PAIRS])]
    if len(most) > _MOST_PAIRS:
        parts.append(Note(f"{len(most) - _MOST_PAIRS} more pairs with fewer trades are left out; see {TRADES}."))
    if prices is None:
        parts.append(Note("The folder holds no prices.csv: only the fills are drawn."))
    return tuple(parts)


def _fill_chart(run: Run, pair: str, trades: Sequence[Trade], prices: Prices | None, place: int) -> Part:
    own = [trade for trade in trades if trade.pair == pair]
    marks = [mark for trade in own[-_MOST_MARKED:] for mark in _marks(trade)]
    marks += [
        Mark(
            from_iso(held["opened_at"]),
            float(held["entry_price"]),
            True,
            f"still open: entry at {held['entry_price']:.6g}",
        )
        for held in run.result["open_positions"]
        if held["pair"] == pair
    ]
    line = None if prices is None else prices.of(pair)
    at = np.empty(0, np.int64) if prices is None or line is None else prices.at
    profit = sum((trade.profit for trade in own), Decimal(0))
    drawn = f" (the newest {_MOST_MARKED} drawn)" if len(own) > _MOST_MARKED else ""
    text = f"{len(own)} closed trades{drawn} came to {money(profit)}"
    drawing = price_chart(
        Said(f"fills-{place}", f"Price of {pair} with fills", text),
        at,
        np.empty(0) if line is None else line,
        marks,
        _grouped,
    )
    return Figure(drawing, f"{pair}: {text}. A triangle pointing up is an entry, one pointing down an exit.")


def _grouped(value: float) -> str:
    return f"{value:,.6g}"


def _marks(trade: Trade) -> tuple[Mark, Mark]:
    came = f"{percent(float(trade.profit_ratio))} %, {trade.exit_reason[:40]}"
    return (
        Mark(
            trade.entry_at,
            float(trade.entry_price),
            True,
            f"entry {_minute(trade.entry_at)} at {_price(trade.entry_price)}",
        ),
        Mark(trade.exit_at, float(trade.exit_price), False, f"exit {_minute(trade.exit_at)}: {came}"),
    )


def _agents(run: Run, found: Backed | None) -> tuple[Part, ...]:
    if found is None:
        return (Note(f"The folder holds no {DECISIONS}: who stood behind the trades is not known."),)
    parts: list[Part] = []
    for book in (Stream.SYNTHESIZED.value, Stream.MYCELIAL.value, Stream.BASELINE.value):
        parts += _book_agents(run, book, found.get(book, ()))
    return tuple(parts)


def _book_agents(run: Run, book: str, pairs: Sequence[Tied]) -> list[Part]:
    name = "the account" if book == Stream.SYNTHESIZED.value else f"the {BOOKS.get(book, book)} book"
    if not pairs:
        return [Note(f"No trade of {name} has an idea on record.")]
    kinds = by_agent(pairs, grouped=True)
    rows = [(one.name, float(one.share)) for one in _ends(kinds, _MOST_BARS)]
    missing = len(run.trades.get(book, ())) - len(pairs)
    told = f"; {missing} trades have none on record" if missing else ""
    caption = (
        f"Profit of {name} by kind of agent, {len(pairs):,} trades{told}. Each trade is divided equally among the "
        "agents that stood behind its entry: the shares add up to the profit, they do not say what an agent caused."
    )
    text = "; ".join(f"{one} {money(share)}" for one, share in rows)
    drawing = bars(Said(f"agents-{book}", f"Profit of {name} by kind of agent", text), rows, money)
    return [Figure(drawing, caption, (), _agent_table(f"Single agents of {name}: best and worst", pairs))]


def _agent_table(title: str, pairs: Sequence[Tied]) -> Grid:
    found = by_agent(pairs, grouped=False)
    rows = [
        (one.name, str(one.trades), percent(one.wins / one.trades, 1), money(one.profit), money(one.share))
        for one in _ends(found, 2 * _MOST_AGENTS)
    ]
    names = ("Agent", "Trades", "Win %", "Profit of these trades", "Its share")
    return grid(f"{title} of {len(found)}", names, rows)


def _ends(found: Sequence[Contribution], most: int) -> list[Contribution]:
    """The best and the worst where there are too many."""
    if len(found) <= most:
        return list(found)
    best = (most + 1) // 2
    return [*found[:best], *found[best - most :]]


def _calibration(found: Backed | None) -> Part:
    if found is None:
        return Note(f"The folder holds no {DECISIONS}: what was expected of the trades is not known.")
    known = [(trade, behind.edge) for trade, behind in found.get(Stream.MYCELIAL.value, ()) if behind.edge is not None]
    if not known:
        return Note("No trade of the mycelial book has an expected return on record: there is nothing to compare.")
    predicted = np.array([edge for _, edge in known])
    realised = np.array([math.log(trade.exit_price / trade.entry_price) for trade, _ in known])
    bins = figures.calibration(predicted, realised, _BINS)
    points = [
        Point(one.predicted, one.realised, None if one.error is None else 2 * one.error, str(one.count)) for one in bins
    ]
    text = (
        f"{len(known):,} trades of the mycelial book: {percent(float(predicted.mean()), 3)} % expected, "
        f"{percent(float(realised.mean()), 3)} % came, both before costs"
    )
    drawing = calibration_chart(
        Said("calibration-chart", "Expected log return and what came, in groups of trades", text),
        points,
        lambda v: f"{100 * v:.2f} %",
    )
    caption = (
        f"{text}. Trades stand in groups by what was expected of them (dashed line, figures below); dots are what "
        "came, with the number of trades and two standard errors, which are too short where trades overlap in time."
    )
    rows = [(percent(one.predicted, 3), percent(one.realised, 3), _error(one.error), str(one.count)) for one in bins]
    return Figure(
        drawing, caption, (), grid("Calibration", ("Expected %", "Came %", "Standard error %", "Trades"), rows, 0)
    )


def _error(error: float | None) -> str:
    return f"{NOTHING} (one trade)" if error is None else percent(error, 3)


def _refusals(run: Run) -> tuple[Part, ...]:
    refusals: Mapping[str, int] = run.result["refusals"]
    if not refusals:
        return (Note("Nothing was refused."),)
    table = from_terminal(refusal_table(run))
    return (_counted("refusals-chart", "Refusals by reason", refusals, table),)


def _abstentions(run: Run) -> tuple[Part, ...]:
    missing: Mapping[str, int] = run.result["abstentions"]
    if not missing:
        return (Note("Nobody abstained for want of data."),)
    rows = sorted(missing.items(), key=lambda item: (-item[1], item[0]))
    table = grid("Abstentions", ("Moat", "Count"), [(name, str(count)) for name, count in rows])
    return (_counted("abstentions-chart", "Abstentions by moat", missing, table),)


def _counted(name: str, title: str, counts: Mapping[str, int], table: Grid) -> Figure:
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_BARS]
    text = "; ".join(f"{reason} {count}" for reason, count in rows)
    total = f"{title}, {sum(counts.values()):,} together."
    drawing = bars(
        Said(name, title, text, HALF), [(reason, float(count)) for reason, count in rows], lambda v: f"{v:,.0f}"
    )
    return Figure(drawing, total, (), table)
