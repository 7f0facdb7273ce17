"""The head of a page: what kind of run it is, what it came to in a few figures, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ...core import metrics
from ...core.clock import from_iso
from ...core.timeframes import timeframe_ms
from ...core.types import Stream
from ..result import quote_of
from ..runs import Run
from ..text import NOTHING, money, number, percent
from ..undefined import NO_CLOSE, NO_TRADES, reasons
from .folder import Beside, Market
from .parts import Grid, Note, Part, grid

BADGES = {
    "in_sample": ("IN-SAMPLE BACKTEST", "settings may have been chosen knowing this stretch of history"),
    "walk_forward": ("WALK-FORWARD", "judged on stretches that nothing was chosen on"),
    "advise": ("ADVICE ONLY", "no orders were made"),
    "paper": ("PAPER", "orders were filled by a simulated venue at live prices"),
    "live": ("LIVE", "orders were sent to a venue"),
}
"""What kind of evidence a run is, in capitals, and what that means."""


_LEFT_OUT = ("says", "placebo_arm", "placebo_kind", "seed", "id")
"""Of the files of other commands: what is said in the other columns, too, or needs a page of its own."""

_JUDGED = ("name", "verdict", "days", "difference", "low", "high", "p_family", "effect_size", "least_found")
"""Of a comparison that was judged: figures are daily returns, `least_found` the least difference it would have seen."""


class Tile(msgspec.Struct, frozen=True):
    """One figure at the head: `tone` is gain, loss or empty."""

    name: str
    value: str
    note: str
    tone: str = ""


def badge(result: Mapping[str, Any]) -> tuple[str, str]:
    """What kind of evidence a run is: what it says itself (`sample`), else by its mode; a backtest is in-sample."""
    told = str(result.get("sample") or result["mode"])
    return BADGES.get(told.replace("-", "_"), BADGES["in_sample"])


def tiles(run: Run) -> list[Tile]:
    """The figures people look for first; each that is not defined says why."""
    result = run.result
    account, quote = result["account"], quote_of(result["pairs"])
    gained = account["end_equity"] - account["start_equity"]
    ratio = gained / account["start_equity"]
    held = result["buy_and_hold"]["total_profit_ratio"]
    own = result["streams"][Stream.SYNTHESIZED.value]
    why = reasons(result)
    costs = account["fees"] + account["slippage"]
    return [
        Tile("Account", _signed(ratio), f"{money(gained)} {quote}".rstrip(), _tone(ratio)),
        Tile("Buy and hold", _signed(held), "before costs" if held is not None else NO_CLOSE, _tone(held)),
        Tile("Deepest drawdown", f"{percent(account['max_drawdown_ratio'])} %", "of the marked account"),
        Tile("Sharpe", number(account["sharpe"]), why.get("account.sharpe", f"daily, x sqrt({metrics.ANNUAL_DAYS})")),
        Tile("Closed trades", f"{own['trades']:,}", _won(own)),
        Tile(
            "Profit factor",
            number(own["profit_factor"]),
            why.get("streams.synthesized.profit_factor", "gains / losses"),
        ),
        Tile("Costs paid", f"{money(costs)} {quote}".rstrip(), f"{money(account['fees'])} fees, rest slippage"),
    ]


def _won(own: Mapping[str, Any]) -> str:
    return NO_TRADES if own["win_ratio"] is None else f"{percent(own['win_ratio'], 1)} % won"


def _signed(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{round(100 * ratio, 2) + 0.0:+.2f} %"


def _tone(ratio: float | None) -> str:
    return "" if not ratio else "loss" if ratio < 0 else "gain"


def run_card(run: Run, beside: Beside) -> Grid:
    """Everything that is needed to make the same run again, and what was missing in its data."""
    result = run.result
    first, last = result["timerange"]
    rows: list[tuple[str, str]] = [
        ("Run", str(result["run_id"])),
        ("Mode", str(result["mode"])),
        ("Period (UTC)", f"{first or NOTHING} to {last or NOTHING}" + ("" if first else " (no slice was seen)")),
        ("Timeframe", str(result["timeframe"])),
        ("Pairs", f"{len(result['pairs'])}: {', '.join(map(str, result['pairs']))}"),
        ("Data", "SIMULATED" if result["simulated"] else "recorded"),
        ("Seed", str(result["seed"])),
        ("Costs in force, each side", costs(beside.conditions)),
        ("Gaps in the data", gaps(run, beside.market)),
        ("Agents", str(result["census"].get("total", 0))),
        *[(f"{name} sha256", str(result[f"{name}_sha256"])) for name in ("data", "config", "orders", "decisions")],
        ("code sha256", str((beside.conditions or {}).get("code_sha256", f"{NOTHING} (this run did not keep it)"))),
    ]
    return grid("What it takes to make this run again", ("What", "Value"), rows, 2)


def costs(conditions: Mapping[str, Any] | None) -> str:
    """Fee and slippage ratios of a run, as percentages."""
    settings = (conditions or {}).get("settings", {})
    try:
        fee, slippage = (float(settings[f"costs.{name}_ratio"]) for name in ("fee", "slippage"))
    except (KeyError, TypeError, ValueError):
        return f"{NOTHING} (this run did not keep its settings)"
    return f"fee {_exact(fee)} %, slippage {_exact(slippage)} %, both sides together {_exact(2 * (fee + slippage))} %"


def _exact(ratio: float) -> str:
    return f"{round(100 * ratio, 6):g}"


def gaps(run: Run, market: Market | None) -> str:
    """How many bars were missing between the first and the last slice, and whose."""
    if market is None or None in run.result["timerange"]:
        return f"{NOTHING} (this run did not count them)"
    begin, end = (from_iso(at) for at in run.result["timerange"])
    each = (end - begin) // timeframe_ms(run.result["timeframe"])
    missing = np.maximum(each - market.bars.sum(axis=0), 0)
    if not missing.any():
        return f"none: every pair has all {each:,} bars"
    worst, total, lost = int(np.argmax(missing)), each * len(market.pairs), int(missing.sum())
    return (
        f"{lost:,} of {total:,} bars missing ({percent(lost / total)} %) in {int((missing > 0).sum())} of "
        f"{len(market.pairs)} pairs, most in {market.pairs[worst]} ({int(missing[worst]):,})"
    )


def not_defined(result: Mapping[str, Any]) -> tuple[Part, ...]:
    """Each figure of the page that is not defined, with the reason."""
    shown = ("streams.", "mycelial_edge_tested.", "controls.", "account.", "buy_and_hold.", "market_change_ratio")
    rows = [(place, reason) for place, reason in reasons(result).items() if place.startswith(shown)]
    if not rows:
        return (Note("Every figure of the account, the streams and the market is defined."),)
    return (grid("A dash is no zero", ("Figure", "Why it is not defined"), rows, 2),)


def ab_parts(ab: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[Part, ...]:
    """An A/B comparison: its verdict, whether it is of this run's data, then what it compared, a row each."""
    parts: list[Part] = [Note(ab[name]) for name in ("verdict", "says") if isinstance(ab.get(name), str)]
    if any(name in ab and ab[name] != result[name] for name in ("pairs", "timerange", "timeframe")):
        parts.append(Note("It was made with other pairs, another range or another timeframe than this run."))
    tables = [(name.replace("_", " "), rows) for name, value in ab.items() if (rows := _objects(value))]
    tables.sort(key=lambda table: "verdict" not in table[1][0])
    parts += [_table_of(name, rows) for name, rows in tables]
    return tuple(parts) or (Note("The A/B file says nothing this page can show."),)


def gate_parts(gate: Mapping[str, Any], doubt: str | None) -> tuple[Part, ...]:
    """The verdict of the promotion gate and its criteria, a row each; `doubt` says why it is not to be believed."""
    if doubt is not None:
        return (Note(f"NOT VALID: gate.json {doubt}."),)
    told = (
        "PASSED: this run may be promoted." if gate.get("passed") is True else "REFUSED: this run may not be promoted."
    )
    rows = _objects(gate.get("criteria"))
    return (Note(told), _table_of("criteria", rows)) if rows else (Note(told),)


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, Mapping):
        value = [{"name": name, **one} for name, one in value.items() if isinstance(one, Mapping)]
    return [one for one in value if isinstance(one, dict)] if isinstance(value, Sequence) else []


def _table_of(title: str, rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Name, other words, figures; of a table that is too wide the columns people ask for, no hashes."""
    plain = {name: value for row in rows for name, value in row.items() if not isinstance(value, (dict, list))}
    names = [name for name in plain if not name.endswith("sha256") and name not in _LEFT_OUT]
    if "verdict" in plain:
        names = [name for name in names if name in _JUDGED]
    words = [name for name in names if any(isinstance(row.get(name), str) for row in rows)]
    words.sort(key=lambda name: name != "name")
    names = [*words, *(name for name in names if name not in words)]
    cells = [[_plain(row.get(name)) for name in names] for row in rows]
    return grid(title, [name.replace("_", " ") for name in names], cells, len(words))


def _plain(value: Any) -> str:
    if value is None:
        return f"{NOTHING} (not defined)"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
