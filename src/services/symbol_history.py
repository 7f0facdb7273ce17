"""What happened to one symbol in its last hours, out of the record alone: decisions, orders, results, policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..core import records
from ..core.clock import from_iso, iso
from ..core.errors import UsageError
from ..core.story import Story
from ..core.types import Order, Pair
from .supervisor.shadow import PlanLine, PolicyLine, SaidLine

HOUR_MS = 3_600_000
_TOLD_BY_ORDERS = ("order", "fill")
"""Kinds of decisions that are told with their orders."""


def history_of(story: Story, symbol: str, hours: float, policies: Iterable[PolicyLine] = ()) -> dict[str, Any]:
    """Everything about a symbol in the last `hours` of a record, as plain JSON; times are ISO-8601, money strings.

    An order belongs there when it was made, changed or filled in that time. NotFound for a symbol that the run does not
    have, UsageError for hours that are none.
    """
    if not 0 < hours < float("inf"):
        raise UsageError(f"--hours {hours}: write a number above 0")
    pair, until = story.pair(symbol), story.last
    since = until - round(min(hours * HOUR_MS, until))  # nothing was before 1970
    lines = [line for line in story.lines if line.get("pair") == pair and _within(from_iso(line["at"]), since, until)]
    return {
        "pair": pair,
        "from": iso(since),
        "to": iso(until),
        "decisions": [line for line in lines if line["kind"] not in _TOLD_BY_ORDERS],
        "orders": list(_orders(story, pair, since, until)),
        "trades": [
            records.trade_fields(trade)
            for trade in story.trades
            if trade.pair == pair and _within(trade.exit_at, since, until)
        ],
        "policies": [policy_fields(line) for line in policies if line.pair == pair and _within(line.at, since, until)],
    }


def _within(at: int, since: int, until: int) -> bool:
    return since <= at <= until


def _orders(story: Story, pair: Pair, since: int, until: int) -> Iterator[dict[str, Any]]:
    """Orders of that time, those that were refused and stops that came with an entry among them, by time."""
    made: dict[str, Order] = {
        order.id: order
        for order in (*(one.order for _, one in story.reviews.values()), *story.orders.values())
        if order.pair == pair
    }
    states = [one for one in story.states if one.pair == pair]
    fills = [one for one in story.fills if one.pair == pair]
    ids = dict.fromkeys([*made, *(one.id for one in states), *(str(one.order_id) for one in fills)])
    found = []
    for name in ids:
        order = made.get(name)
        mine = [one for one in states if one.id == name]
        executed = [one for one in fills if one.order_id == name]
        times = [one.at for one in mine] + [one.at for one in executed] + ([] if order is None else [order.at])
        if not any(_within(at, since, until) for at in times):
            continue
        refused = story.reviews[name][1].denied if name in story.reviews else ""
        fields: dict[str, Any] = {"id": name} if order is None else records.order_fields(order)
        fields["refused"] = refused
        fields["states"] = [{"at": iso(one.at), "state": one.state} for one in mine]
        fields["fills"] = [records.fill_fields(one) for one in executed]
        found.append((min(times), name, fields))
    return (fields for _, _, fields in sorted(found, key=lambda one: one[:2]))


def policy_fields(line: PolicyLine) -> dict[str, Any]:
    """A line of the policies as plain JSON."""
    fields: dict[str, Any] = {"at": iso(line.at), "said": [_said(one) for one in line.said]}
    if line.price is not None:
        fields["price"] = records.plain(line.price)
    if line.multiple:
        fields["multiple"] = line.multiple
    for name, plan in (("plan", line.plan), ("would", line.would)):
        if plan is not None:
            fields[name] = _plan(plan)
    if line.thought is not None:
        fields["thought"] = list(line.thought.steps)
    if line.faults:
        fields["faults"] = [{"policy": policy, "error": error} for policy, error in line.faults]
    return fields


def _said(one: SaidLine) -> dict[str, Any]:
    fields: dict[str, Any] = {"policy": one.policy, "action": one.action, "outcome": one.outcome, "reason": one.reason}
    if one.amount is not None:
        fields["amount"] = records.plain(one.amount)
    if one.stop is not None:
        fields["stop"] = records.plain(one.stop)
    return fields


def _plan(plan: PlanLine) -> dict[str, Any]:
    fields: dict[str, Any] = {"action": plan.action, "reason": plan.reason, "policies": list(plan.policies)}
    fields["amount"] = records.plain(plan.amount)
    if plan.stop is not None:
        fields["stop"] = records.plain(plan.stop)
    if plan.id:
        fields |= {"id": plan.id, "orders": list(plan.orders)}
    return fields
