"""What the spine writes down and announces: one function for each kind of line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from . import records
from .clock import iso
from .messages import Control, Hibernation, SynthesizedTrade, TradeConfirmation
from .model import short
from .ports import DeadLetter
from .timeframes import DAY_MS
from .types import Command, Decision, Denied, Fill, Idea, Order, Pair, Stage, Stream, Transition

ENGINE = "engine"
"""The name under which the spine speaks."""


def confirmation(fill: Fill, now: int) -> TradeConfirmation:
    """What the bus is told of a fill, at `now` (UTC ms) the latest: the clock of an exchange may be ahead of ours."""
    at = min(fill.at, now)
    return TradeConfirmation(
        source=ENGINE,
        at=at,
        known_at=at,
        pair=fill.pair,
        side=fill.side,
        stream=Stream.SYNTHESIZED,
        order_id=fill.order_id,
        amount=records.plain(fill.amount),
        price=records.plain(fill.price),
        fee=records.plain(fill.fee),
        slippage=records.plain(fill.slippage),
        reason=fill.reason,
    )


def control(command: Command, at: int) -> Control:
    """What the bus is told of a command that takes effect."""
    return Control(source=ENGINE, at=at, known_at=at, command=command.kind, reason=command.reason, group=command.group)


def idea_line(stream: Stream, idea: Idea) -> Decision:
    """An idea that passed the rule of its stream."""
    detail: dict[str, Any] = {"score": idea.score, "voters": list(idea.voters)}
    if idea.edge is not None:
        detail["edge"] = idea.edge
    if idea.horizon is not None:
        detail["horizon"] = idea.horizon
    return Decision(idea.at, records.IDEA, idea.pair, idea.side, None, str(stream), detail)


def meeting_line(message: SynthesizedTrade) -> Decision:
    """Two ideas that met: an intent, a refusal or a conflict."""
    kind = message.outcome if message.outcome == "conflict" else ("refusal" if message.refused else "intent")
    detail: dict[str, Any] = {
        "edge": message.edge,
        "baseline_confidence": message.baseline_confidence,
        "mycelial_score": message.mycelial_score,
        "analysts": list(message.analysts),
        "learners": list(message.learners),
    }
    if message.advice:
        detail |= {"advice": message.advice, "advice_reason": short(message.advice_reason)}
        detail["memories"] = [short(name) for name in message.memories]
    return Decision(message.at, kind, message.pair, message.side, message.refused or None, message.source, detail)


def barred_line(command: Command, at: int) -> Decision:
    """An order that was asked for while halted, in a slice in which the halt was lifted as well."""
    return Decision(at, "refusal", command.pair, command.side, "halted", command.source, {"order": command.id})


def refusal_line(denied: Denied) -> Decision:
    """An order the gate denied."""
    order = denied.order
    detail: dict[str, Any] = {"order": order.id}
    if denied.value:
        detail |= {"value": short(denied.value), "limit": short(denied.limit)}
    return Decision(denied.at, "refusal", order.pair, order.side, denied.reason, "gate", detail)


def order_line(order: Order) -> Decision:
    """An order the gate approved."""
    detail: dict[str, Any] = {"order": order.id, "amount": records.plain(order.amount)}
    return Decision(order.at, "order", order.pair, order.side, order.reason, "supervisor", detail)


def fill_line(fill: Fill) -> Decision:
    """An execution."""
    detail: dict[str, Any] = {
        "order": fill.order_id,
        "amount": records.plain(fill.amount),
        "price": records.plain(fill.price),
        "fee": records.plain(fill.fee),
        "slippage": records.plain(fill.slippage),
    }
    return Decision(fill.at, "fill", fill.pair, fill.side, fill.reason, "broker", detail)


def command_line(command: Command, at: int) -> Decision:
    """A command that took effect."""
    kind = command.kind.value
    detail: dict[str, Any] = {} if command.amount is None else {"amount": records.plain(command.amount)}
    if command.level:
        detail["level"] = command.level
    return Decision(at, kind, command.pair, command.side, command.reason, command.source, detail)


def stage_line(change: Transition) -> Decision:
    """An asset came to another stage of its life."""
    detail: dict[str, Any] = {"profit_ratio": records.plain(change.profit_ratio)}
    if change.before is not None:
        detail["before"] = change.before.value
    return Decision(change.at, "lifecycle", change.pair, None, change.after.value, "lifecycle", detail)


def hibernation(change: Transition) -> Hibernation:
    """What the bus is told when an asset hibernates, or is delisted."""
    delisted = change.after is Stage.DELISTED
    return Hibernation(
        source=ENGINE,
        at=change.at,
        known_at=change.at,
        pair=change.pair,
        reason="delisted: it has no bars any more" if delisted else f"lost {-change.profit_ratio:.2%} over its trades",
        profit_ratio=float(change.profit_ratio),
        probation_days=change.probation_ms / DAY_MS,
    )


def stale_line(at: int, pair: Pair, mark: Decimal, marked_at: int) -> Decision:
    """A held pair has no bars: its exits wait for one, and it counts at its last price."""
    detail: dict[str, Any] = {"mark": records.plain(mark), "marked_at": iso(marked_at)}
    return Decision(at, "notice", pair, None, "stale_data", ENGINE, detail)


def letter_line(at: int, letter: DeadLetter) -> Decision:
    """A message that was refused."""
    return Decision(at, "dead_letter", reason=short(letter.reason), source=short(letter.channel))
