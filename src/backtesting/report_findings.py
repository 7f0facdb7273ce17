"""The tables of a report about the swarm itself: discovery, strategy types, moats, and what was found between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from .findings import pattern_ends
from .result import CONTROLS, EDGE_TESTED, quote_of
from .runs import Run
from .table import coloured, new_table
from .text import NOTHING, duration, money, number, percent

BOOKS = {
    EDGE_TESTED: "mycelial, edge above cost",
    CONTROLS["ridge"]: "control: pooled ridge",
    CONTROLS["noise"]: "control: noise",
}
"""How people call the books that are not called as their stream."""


def swarm_table(run: Run) -> Table:
    """DISCOVERY: of each team of explorers its consensus and how often two of its members voted alike."""
    result = run.result
    made = result["deployments"]
    told = f"{made.get('deployed', 0)} of {made.get('attempted', 0)} deployments made" if made else "no deployments"
    shown = new_table(f"DISCOVERY ({told})", ("Team", "Consensus", "Equal votes of two %"))
    for team in sorted({*result["consensus"], *result["agreement"]}):
        alike = result["agreement"].get(team)
        shown.add_row(team, str(result["consensus"].get(team, 0)), percent(alike, 1))
    return shown


def tool_table(run: Run) -> Table | None:
    """TOOL REQUESTS: what learners asked the builder for, and what it answered; None where nobody asked."""
    made = run.result["deployments"].get("requests", {})
    if not made.get("asked"):
        return None
    shown = new_table("TOOL REQUESTS", ("Answer", "Count"))
    for answer, count in {"asked": made["asked"], "asked again at once": made["repeated"], **made["answered"]}.items():
        shown.add_row(answer, str(count))
    return shown


def pattern_table(run: Run) -> Table | None:
    """PATTERNS: what became of those that learners put before the researchers; None where there was none."""
    learning = run.result.get("learning", {})
    ends = pattern_ends(learning)
    if not ends:
        return None
    (*judged, waiting), asked = ends.items(), sum(ends.values())
    shown = new_table(f"PATTERNS ({asked} put before the researchers)", ("Outcome", "Count", "%"))
    reasons = [(f"undecided, {why}", count) for why, count in learning.get("undecided", {}).items()]
    for name, count in (*judged, *reasons, waiting):
        shown.add_row(name, str(count), percent(count / asked, 1))
    return shown


def strategy_table(run: Run) -> Table:
    """STRATEGY TYPES: closed trades by book and by the horizon of the idea behind them; types without trades apart."""
    quote = quote_of(run.result["pairs"])
    columns = ("Book", "Type", "Trades", "Win %", "Avg Profit %", f"Tot Profit {quote}".rstrip(), "Avg Duration")
    shown = new_table("STRATEGY TYPES (closed trades, net of costs)", columns, words=2)
    silent: dict[str, list[str]] = {}
    for book, types in run.result.get("strategy_types", {}).items():
        for name, sums in types.items():
            if not sums["trades"]:
                silent.setdefault(book, []).append(name)
                continue
            figures = (percent(sums["win_ratio"], 1), percent(sums["mean_profit_ratio"]))
            profit = coloured(money(sums["profit"]), sums["profit"])
            lasted = duration(sums["mean_duration_ms"])
            shown.add_row(BOOKS.get(book, book), name, str(sums["trades"]), *figures, profit, lasted)
    shown.add_section()
    for book, names in silent.items():
        shown.add_row(BOOKS.get(book, book), ", ".join(names), "0", *[NOTHING] * 4)
    return shown


def moat_table(run: Run) -> Table:
    """MOATS: how each stands at the end, how strongly, how often it abstained."""
    columns = ("Moat", "Status", "Grade", "Strength", "Quality", "Age", "Abstentions", "Source")
    shown = new_table(f"MOATS (at the end; {_together(run.result.get('synthesis', {}))})", columns, words=3)
    for name, one in run.result.get("moats", {}).items():
        shown.add_row(
            name,
            one["status"],
            one["grade"] or NOTHING,
            NOTHING if one["strength"] is None else f"{one['strength']:.0f}",
            number(one["quality"]),
            duration(one["age_ms"]),
            str(one["abstentions"]),
            "simulated" if one["simulated"] else "real",
        )
    return shown


def _together(synthesis: Mapping[str, Any]) -> str:
    if not synthesis:
        return "nothing known"
    silent = f", no data from {', '.join(synthesis['no_data'])}" if synthesis["no_data"] else ""
    return f"together {synthesis['verdict']}: {len(synthesis['strong'])} strong{silent}"


def effect_table(run: Run) -> Table:
    """WHAT MOATS SAID OF LATER MOVES: one sentence a moat."""
    effects = run.result.get("effects", {})
    lags = ", ".join(str(lag) for lag in effects.get("lags", ()))
    told = f" (moves of {effects['horizon']} bars, {lags} bars later; {effects['tests']} tests)" if effects else ""
    shown = new_table("WHAT MOATS SAID OF LATER MOVES", (f"Finding{told}",))
    for one in effects.get("moats", {}).values():
        shown.add_row(one["says"])
    return shown


def discovery_table(run: Run) -> Table:
    """PATTERN DISCOVERY: what was found between moats and market, beside what chance would have shown."""
    found = run.result.get("discovery", {})
    columns = ("Kind", "Tested", "Found", "By chance", "False %")
    told = f"windows of {found['window_samples']} samples of {found['sample_hours']} h" if found else "nothing known"
    shown = new_table(f"PATTERN DISCOVERY ({told})", columns)
    for kind, symbol in (("anomalies", "z"), ("correlations", "r")) if found else ():
        one = found[kind]
        shown.add_row(
            f"{kind}, {symbol} beyond {one['threshold']:g}",
            str(one["tested"]),
            str(one["found"]),
            f"{one['expected']:.1f}",
            percent(one["false_ratio"], 0),
        )
    return shown


def strongest_table(run: Run) -> Table:
    """STRONGEST FINDINGS: the largest anomalies, one a series, and correlations, those of chance among them."""
    found = run.result.get("discovery", {})
    shown = new_table("STRONGEST FINDINGS", ("Series", "From", "To", "Strength", "p"), words=3)
    for one in found["anomalies"]["largest"] if found else ():
        shown.add_row(one["series"], one["at"], NOTHING, f"z {one['z']:+.1f}", NOTHING)
    for one in found["correlations"]["strongest"] if found else ():
        series = f"{one['moat']} and {one['market']}"
        shown.add_row(series, one["first"], one["last"], f"r {one['r']:+.2f}", f"{one['p']:.2g}")
    return shown


def rival_sentences(run: Run) -> list[Text]:
    """Whether the swarm beat the simple learners, a sentence each."""
    return [Text(one["swarm_against"]["says"]) for one in run.result.get("controls", {}).values()]
