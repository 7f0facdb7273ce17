"""`mycelial why ORDER` and `why-not PAIR --at TIME`: the answers of the record, as a page or as one object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..services.explain import why as explain
from ..services.explain_not import why_not as explain_not
from . import common
from .stories import story_of


def why(order: str, run: str | None, state: Path | None, json: bool) -> None:
    """Print why an order is what it is."""
    found = explain(story_of(run, state), order)
    if json:
        common.out_json(found)
    else:
        common.out("\n".join(_order_page(found)))


def why_not(pair: str, at: str, run: str | None, state: Path | None, json: bool) -> None:
    """Print what stopped a pair at a time."""
    found = explain_not(story_of(run, state), pair, at)
    if json:
        common.out_json(found)
    else:
        common.out("\n".join(_silence_page(found)))


def _order_page(found: dict[str, Any]) -> Iterator[str]:
    order, size = found["order"], found["size"]
    yield f"order {order['id']}"
    yield f"  {order['side']} {order['amount']} {order['pair']} at {order['at']}, {order['reason']}"
    if size["multiplier"] is not None or size["stage"] is not None:
        yield f"  size x {size['multiplier'] or '-'}, stage of life: {size['stage'] or 'not aged yet'}"
    if (intent := found.get("intent")) is not None:
        expected = f"edge {intent['edge']:g} over {intent['horizon']} bars, score {intent['score']:g}"
        yield f"intent: {intent['side']}, {expected}"
    yield from _exit_lines(found.get("exit"), found.get("command"))
    for stop in found.get("stops", ()):
        told = f"{stop['amount']} at {stop['trigger']}, {stop['state'] or 'on its way'}"
        yield f"protected from {stop['at']} by {stop['order']}: {told}"
    yield from _baseline_lines(found.get("baseline"))
    yield from _swarm_lines(found.get("swarm"))
    if "replay" in found:
        needed = ", ".join(found["replay"]["decisive"]) or "nobody"
        yield f"decided again from the messages: the same; decisive: {needed}"
    yield from _data_lines(found.get("data"))
    yield "gates:"
    yield from (_gate_line(one) for one in found["gates"])
    yield from _outcome_lines(found["outcome"])


def _exit_lines(left: dict[str, Any] | None, command: dict[str, Any] | None) -> Iterator[str]:
    if left is not None:
        told = ", ".join(f"{name} {value}" for name, value in left.items() if name not in ("reason", "command"))
        yield f"exit: {left['reason']} ({told})"
        command = left.get("command") or command
    if command is not None:
        yield f"asked by {command['source']}: {command['kind']}, {command['reason']}"


def _message(one: dict[str, Any]) -> str:
    told = one["message"]
    return f"message {told['producer']}/{told['epoch']}/{told['seq']} on {told['channel']}, age {one['age_ms']} ms"


def _mark(decisive: bool) -> str:
    return "  <- decisive" if decisive else ""


def _baseline_lines(baseline: dict[str, Any] | None) -> Iterator[str]:
    if baseline is None:
        return
    yield f"baseline: {baseline.get('side', 'no side')} ({_message(baseline)})"
    for vote in baseline["votes"]:
        said = f"{vote['side']:4} {vote['confidence']:.4f} {vote['signal']}"
        yield f"  {vote['analyst']:24} {said}{_mark(vote['decisive'])}"


def _swarm_lines(swarm: dict[str, Any] | None) -> Iterator[str]:
    if swarm is None:
        return
    figures = f"score {swarm['score']:g}, edge {swarm['edge']:g}, horizon {swarm['horizon']}"
    yield f"swarm: {swarm['side']}, {figures} ({_message(swarm)})"
    yield from (f"  {one['learner']}{_mark(one['decisive'])}" for one in swarm["learners"])


def _data_lines(data: dict[str, Any] | None) -> Iterator[str]:
    if data is None:
        return
    yield f"data: close {data.get('close', '-')}, bar known for {data.get('bar_age_ms', '-')} ms"
    for name, moat in data.get("moats", {}).items():
        age = "no age" if moat.get("age_ms") is None else f"{moat['age_ms'] / 3_600_000:.1f} h old"
        yield f"  {name:12} {moat['status']:8} {age}, value {moat['value']:g}, quality {moat['quality']:.3f}"
        if known := moat.get("figures"):
            yield f"  {'':12} {', '.join(f'{figure} {value:g}' for figure, value in known.items())}"


def _gate_line(one: dict[str, Any]) -> str:
    word = {True: "passed", False: "STOPPED", None: "not asked"}[one["passed"]]
    if "says" in one:
        return f"  {one['gate']:18} {word:9} {one['says']}"
    limit = "" if one["limit"] in (None, "") else f" (limit {one['limit']})"
    return f"  {one['gate']:18} {word:9} {'' if one['figure'] is None else one['figure']}{limit}"


def _outcome_lines(outcome: dict[str, Any]) -> Iterator[str]:
    if outcome["refused"]:
        yield f"outcome: refused, {outcome['refused']}"
        return
    states = ", ".join(f"{one['state']} {one['at']}" for one in outcome["states"])
    yield f"outcome: {states or ('filled' if outcome['fills'] else 'nothing known yet')}"
    for fill in outcome["fills"]:
        costs = f"fee {fill['fee']}, slippage {fill['slippage']}"
        yield f"  fill  {fill['at']} {fill['side']} {fill['amount']} at {fill['price']}, {costs}"
    for trade in outcome["trades"]:
        came = f"profit {trade['profit']} ({float(trade['profit_ratio']):.3%})"
        yield f"  trade {trade['entry_at']} to {trade['exit_at']}, {trade['exit_reason']}: {came}"


def _silence_page(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['pair']} at {found['at']}: {found['says']}"
    if found["stopped_by"] is not None:
        yield f"stopped by: {found['stopped_by']}"
    yield from (_gate_line(one) for one in found["gates"])
    for one in found["gates"]:
        yield from _details(one)
    if found["halted"]:
        yield f"entries were halted then: {found['halted']}"
    if found["moats"]:
        yield "moats: " + ", ".join(f"{name} {status}" for name, status in found["moats"].items())
    for word in ("before", "after"):
        near = found[word]
        told = "nothing" if near is None else " ".join(str(value) for value in near.values() if value is not None)
        yield f"{word}: {told}"


def _details(one: dict[str, Any]) -> Iterator[str]:
    """The votes behind a gate of silence."""
    for vote in one.get("votes", ()):
        said = "abstains" if vote["side"] is None else f"{vote['side']} {vote['confidence']:g} {vote['signal']}"
        yield f"  {vote['analyst']:24} {said}"
    for team, seen in one.get("explorers", {}).items():
        yield f"  {team:24} {', '.join(seen[1:])} ({seen[0]})"
