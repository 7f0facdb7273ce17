"""What is held and wanted, what the gate said of it, what was refused and why, and how much of each limit is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import charts, parts, theme
from dashboard.columns import COLUMNS
from dashboard.data import Door, at_of

Fields = Mapping[str, Any]


def show() -> None:
    """The page."""
    parts.title(
        "Positions and orders", "What is held, what was ordered and refused, and how much of each limit is left?"
    )
    parts.live(_body)
    parts.meanings("positions", "exposure", "drawdown", "refusals", "gate", "limit", "risk")


def _body() -> None:
    found = parts.door()
    parts.places(lambda: _held(found), lambda: _bounds(found), lambda: _gate(found), lambda: _orders(found))


def _held(found: Door) -> None:
    status = parts.running(found)
    if status is not None:
        _figures(status.fields)
        _positions(status.fields)


def _bounds(found: Door) -> None:
    status, (left, right) = found.engine.status().fields, st.columns(2)
    with left:
        _refusals(found, status)
    with right:
        _limits(status)


def _figures(status: Fields) -> None:
    risk = status.get("risk", {})
    parts.figures(
        ("equity", theme.number(status.get("equity"))),
        ("cash", theme.number(status.get("cash"))),
        ("positions", len(status.get("positions", {}))),
        ("exposure", theme.percent(risk.get("exposure_ratio"))),
        ("drawdown", theme.percent(risk.get("drawdown_ratio"))),
        ("risk", theme.number(risk.get("value_at_risk"), 4), "value at risk"),
    )


def _positions(status: Fields) -> None:
    parts.heading("positions")
    held = status.get("positions", {})
    if not held:
        parts.empty(
            "Nothing is held: the account trades only where both agree and it pays.", "mycelial why-not BTC/USD"
        )
        return
    marked, zone = status.get("marked_at", {}), parts.zone()
    rows = [
        {"pair": pair, "amount": float(amount), "marked": theme.moment(at_of(marked.get(pair)), zone)}
        for pair, amount in held.items()
    ]
    parts.table(rows, "positions")


def _refusals(found: Door, status: Fields) -> None:
    parts.heading("refusals")
    counts = dict(status.get("refusals") or found.ledger.refusals)
    if counts:
        largest = dict(sorted(counts.items(), key=lambda item: -item[1])[:14])
        parts.chart(charts.bars(largest, parts.colours()), "refusals")
    else:
        parts.empty("Nothing was refused.", "mycelial status")


def _limits(status: Fields) -> None:
    parts.heading("limit")
    limits = status.get("limits", {})
    if not limits:
        parts.empty("Only a running process knows what is left of its limits.", "mycelial run")
        return
    rows = [
        {
            "limit": name,
            "used": one["used"] or "-",
            "at most": one["limit"],
            "left": one["left"] or "-",
            "share": share(one),
        }
        for name, one in limits.items()
    ]
    bar = st.column_config.ProgressColumn("used", help=COLUMNS["share"], min_value=0.0, max_value=1.0, format="percent")
    parts.table(rows, "limits", 420, share=bar)


def share(one: Mapping[str, str | None]) -> float | None:
    """Which part of a limit is used, in [0, 1]; None for one that nothing uses up.

    >>> share({"limit": "0.05", "used": "0.01", "left": "0.04"}), share({"limit": "5", "used": None, "left": None})
    (0.2, None)
    """
    try:
        used, most = float(str(one["used"])), float(str(one["limit"]))
    except ValueError:
        return None
    if one["left"] == "0" and used > 0:
        return 1.0
    return min(1.0, max(0.0, used / most)) if most > 0 else None


def _gate(found: Door) -> None:
    parts.heading("gate")
    reviews = list(found.ledger.reviews)[-60:]
    if not reviews:
        parts.empty("No order has reached the gate in what was read of the ledger.", "mycelial order BTC/USD buy 0.01")
        return
    parts.table([review_row(one, parts.zone()) for one in reversed(reviews)], "gate", 300)


def review_row(one: Fields, zone: str) -> dict[str, Any]:
    """One decision of the gate."""
    order, looked = one.get("order", {}), one.get("looked", {})
    return {
        "time": theme.moment(one.get("ms"), zone),
        "verdict": f"refused: {one['denied']}" if one.get("denied") else "approved",
        "pair": order.get("pair"),
        "side": order.get("side"),
        "amount": order.get("amount"),
        "why": order.get("reason"),
        "equity": looked.get("equity"),
        "cash": looked.get("cash"),
        "bar age ms": looked.get("age_ms"),
        "halted": looked.get("halted"),
        "order": order.get("id"),
    }


def _orders(found: Door) -> None:
    parts.heading("trades", "Orders and fills")
    zone = parts.zone()
    orders = found.ledger.rows("SELECT * FROM orders ORDER BY rowid DESC LIMIT 100")
    if not orders:
        parts.empty("No order was made yet.", "mycelial order BTC/USD buy 0.01")
        return
    names = ("id", "pair", "side", "amount", "kind", "reference", "stop", "reason", "state")
    parts.table(
        [{"time": theme.moment(one["at"], zone), **{n: one[n] for n in names}} for one in orders], "orders", 300
    )
    fills = found.ledger.rows("SELECT * FROM fills ORDER BY rowid DESC LIMIT 100")
    told = ("order_id", "pair", "side", "amount", "price", "fee", "slippage", "reason")
    parts.table([{"time": theme.moment(one["at"], zone), **{n: one[n] for n in told}} for one in fills], "fills", 260)
