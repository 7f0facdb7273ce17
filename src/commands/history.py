"""`mycelial history SYMBOL --hours N`: decisions, orders and results of a symbol, out of the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..services.symbol_history import history_of
from . import common
from .policy_lines import lines_of, reader_of
from .stories import story_of


def run(symbol: str, hours: float, name: str | None, state: Path | None, json: bool) -> None:
    """Print what happened to a symbol."""
    story = story_of(name, state)
    found = history_of(story, symbol, hours, lines_of(reader_of(name, state)))
    if json:
        common.out_json(found)
    else:
        common.out("\n".join(_page(found)))


def _page(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['pair']} from {found['from']} to {found['to']}"
    events = [(one["at"], f"decision {_decision(one)}") for one in found["decisions"]]
    events += [(one["at"], f"policies {_policies(one)}") for one in found["policies"]]
    for order in found["orders"]:
        events += _order_events(order)
    for trade in found["trades"]:
        came = f"{trade['amount']}, {trade['exit_reason']}, profit {trade['profit']}"
        events.append((trade["exit_at"], f"trade    {came} ({float(trade['profit_ratio']):.3%})"))
    yield from (f"{at}  {told}" for at, told in sorted(events, key=lambda event: event[0]))
    if not events:
        yield "nothing was written down about it in that time"


def _decision(one: dict[str, Any]) -> str:
    return " ".join(str(one[name]) for name in ("kind", "side", "reason", "source") if one.get(name) is not None)


def _order_events(order: dict[str, Any]) -> list[tuple[str, str]]:
    events = []
    if "side" in order:
        told = f"{order['side']} {order['amount']} {order['kind']}, {order['reason']}"
        refused = f": refused, {order['refused']}" if order["refused"] else ""
        events.append((order["at"], f"order    {order['id']} {told}{refused}"))
    events += [(one["at"], f"         {order['id']} {one['state']}") for one in order["states"]]
    return events + [
        (one["at"], f"fill     {one['side']} {one['amount']} at {one['price']}, fee {one['fee']}")
        for one in order["fills"]
    ]


def _policies(one: dict[str, Any]) -> str:
    said = ", ".join(f"{each['policy']} {each['action']} ({each['outcome']})" for each in one["said"])
    plan = one.get("plan")
    done = f" -> {plan['action']} {plan['amount']}, {plan['reason']}" if plan is not None else ""
    faults = "".join(f" FAILED {each['policy'] or 'symbol'}: {each['error']}" for each in one.get("faults", ()))
    return f"{said}{done}{faults}"
