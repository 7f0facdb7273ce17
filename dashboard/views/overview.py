"""Is it alive, in what mode, what are the three streams worth, and what happened last?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard import charts, parts, theme
from dashboard.data import Door, at_of
from src.core.types import STREAMS, Stream

_LAST = 40


def show() -> None:
    """The page."""
    parts.title("Overview", "Is it alive, in what mode, what is it worth, and what happened last?")
    parts.live(_body)
    parts.meanings("equity", "cash", "baseline", "mycelial", "synthesized", "market_time", "collisions", "conflicts")


def _body() -> None:
    found = parts.door()
    status = found.engine.status()
    if not found.ledger.header and not status.alive:
        parts.empty("Nothing has run in this state folder yet.", parts.words("run", "--state", found.state))
        return
    parts.places(
        lambda: _figures(status.fields) if status.alive else None,
        lambda: _streams(found),
        lambda: _events(found),
    )


def _figures(status: dict[str, Any]) -> None:
    counts = status.get("counts", {})
    at = theme.moment(at_of(status.get("at")), parts.zone())
    parts.figures(
        ("equity", theme.number(status.get("equity"))),
        ("cash", theme.number(status.get("cash"))),
        ("positions", len(status.get("positions", {}))),
        ("collisions", f"{counts.get('collisions', 0):,}"),
        ("conflicts", f"{counts.get('conflicts', 0):,}"),
        ("market_time", f"{at:%H:%M}" if at else "-", f"{at:%Y-%m-%d} {parts.zone()}" if at else ""),
    )


def curves_of(found: Door) -> dict[str, tuple[list[Any], list[float]]]:
    """Equity of the three streams over time; of the account the marks, of the books their closed trades."""
    start, ledger, zone = float(found.ledger.start.get("cash", 0) or 0), found.ledger, parts.zone()
    lines: dict[str, tuple[list[Any], list[float]]] = {}
    for stream in STREAMS:
        times: Sequence[int] = ledger.marks[0]
        values: Sequence[float] = ledger.marks[1]
        if stream != Stream.SYNTHESIZED or not times:
            times, profits = ledger.streams.get(stream.value, ((), ()))
            values = [start + profit for profit in profits]
        if stream == Stream.SYNTHESIZED and not times and ledger.streams:  # it never held anything
            times = (min(at[0] for at, _ in ledger.streams.values()), ledger.at)
            values = [start, start]
        at, equity = charts.thinned(times, values)
        lines[stream.value] = ([theme.moment(one, zone) for one in at], equity)
    return lines


def _streams(found: Door) -> None:
    parts.heading("synthesized", "Equity of the three streams")
    lines = {name: line for name, line in curves_of(found).items() if line[0]}
    start = theme.number(found.ledger.start.get("cash"))
    parts.figures(*((name, theme.number(lines[name][1][-1]) if name in lines else start) for name in _NAMES))
    if lines:
        parts.chart(charts.curves(lines, parts.colours()), "equity_curves")
    else:
        parts.empty(
            "No trade was closed and nothing is held yet; silence is the usual answer.", "mycelial why-not BTC/USD"
        )


_NAMES = tuple(stream.value for stream in STREAMS)


def _events(found: Door) -> None:
    parts.heading("messages", "What happened last")
    newest = list(found.ledger.events)[-_LAST:]
    if not newest:
        parts.empty("The ledger tells of nothing yet.", parts.words("run", "--state", found.state))
        return
    parts.table([event_row(event, parts.zone()) for event in reversed(newest)], "events", 420)


def event_row(event: dict[str, Any], zone: str) -> dict[str, Any]:
    """One line of what happened."""
    more = event.get("profit") or event.get("what") or event.get("exit_reason") or ""
    return {
        "time": theme.moment(event.get("ms"), zone),
        "what": str(event.get("kind", "")),
        "pair": str(event.get("pair") or ""),
        "side": str(event.get("side") or ""),
        "reason": str(event.get("reason") or event.get("exit_reason") or ""),
        "by": str(event.get("source") or event.get("stream") or ""),
        "more": str(more),
    }
