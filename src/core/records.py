"""How decisions, orders, fills and trades are written down: one plain form for files and hashes, one for the ledger.

In files times are ISO-8601 UTC with milliseconds, money decimal strings without exponent; a field that does not
apply is absent. Ledger rows carry the structs of `core.types` in canonical JSON, times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from .canonical import encode, encode_lines
from .clock import iso
from .memory import MemoryRecord
from .ports import Row
from .types import Decision, Fill, Order, Trade
from .words import is_clean

stamp = lru_cache(maxsize=4096)(iso)

IDEA = "idea"
"""The kind of decisions that ideas are."""


def plain(amount: Decimal) -> str:
    """A Decimal without exponent and without trailing zeros.

    >>> plain(Decimal("0E-8")), plain(Decimal("100.50000000"))
    ('0', '100.5')
    """
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def decision_fields(decision: Decision) -> dict[str, Any]:
    """One line of `decisions.jsonl`."""
    fields: dict[str, Any] = {"at": stamp(decision.at), "kind": decision.kind, **decision.detail}
    if decision.pair is not None:
        fields["pair"] = decision.pair
    if decision.side is not None:
        fields["side"] = decision.side
    if decision.reason is not None:
        fields["reason"] = decision.reason
    if decision.source is not None:
        fields["source"] = decision.source
    return fields


def order_fields(order: Order) -> dict[str, Any]:
    """An order as it was approved."""
    return _present(
        {
            "id": order.id,
            "pair": order.pair,
            "side": order.side,
            "amount": plain(order.amount),
            "kind": order.kind,
            "at": stamp(order.at),
            "reference": plain(order.reference),
            "reason": order.reason,
            "stop": None if order.stop is None else plain(order.stop),
            "leave_at": None if order.leave_at is None else stamp(order.leave_at),
            "limit": None if order.limit is None else plain(order.limit),
            "trigger": None if order.trigger is None else plain(order.trigger),
        }
    )


def fill_fields(fill: Fill) -> dict[str, Any]:
    """An execution."""
    return {
        "id": fill.id,
        "order_id": fill.order_id,
        "pair": fill.pair,
        "side": fill.side,
        "amount": plain(fill.amount),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "slippage": plain(fill.slippage),
        "at": stamp(fill.at),
        "reason": fill.reason,
        "final": fill.final,
        "simulated": fill.simulated,
    }


def trade_fields(trade: Trade) -> dict[str, Any]:
    """A closed round trip."""
    return _present(
        {
            "id": trade.id,
            "stream": trade.stream,
            "pair": trade.pair,
            "amount": plain(trade.amount),
            "entry_at": stamp(trade.entry_at),
            "exit_at": stamp(trade.exit_at),
            "entry_price": plain(trade.entry_price),
            "exit_price": plain(trade.exit_price),
            "fees": plain(trade.fees),
            "slippage": plain(trade.slippage),
            "profit": plain(trade.profit),
            "profit_ratio": plain(trade.profit_ratio),
            "exit_reason": trade.exit_reason,
            "score": trade.score,
            "leave_at": None if trade.leave_at is None else stamp(trade.leave_at),
        }
    )


def state_row(order_id: str, pair: str, state: str, at: int) -> Row:
    """What became of an order: open, filled, cancelled, rejected, reduced."""
    return row(at, "order", f"{order_id}:{state}:{at}", {"id": order_id, "pair": pair, "state": state})


ROW_BYTES = 262_144
"""Lines of one slice go into as many rows as needed, each about this large: far below what a ledger takes."""


def decision_lines(decisions: Sequence[Decision]) -> tuple[bytes, ...]:
    """Decisions as they stand in `decisions.jsonl` and in the ledger, without the ends of the lines."""
    return tuple(encode_lines([_line(decision) for decision in decisions], is_clean)) if decisions else ()


class _IdeaLine(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of an idea: most lines are ideas, and a struct is encoded in half of the time of a dict.

    What is None is left out, but for the two that every idea has.
    """

    at: str | None = None
    edge: Any = None
    horizon: Any = None
    kind: str | None = None
    pair: str | None = None
    score: Any = ""
    side: str | None = None
    source: str | None = None
    voters: Any = ""


def _line(decision: Decision) -> dict[str, Any] | _IdeaLine:
    """`decision_fields`, or what is written down as the same bytes."""
    detail = decision.detail
    if decision.kind != IDEA or decision.reason is not None or "score" not in detail or "voters" not in detail:
        return decision_fields(decision)
    edge, horizon = detail.get("edge"), detail.get("horizon")
    if len(detail) != 2 + (edge is not None) + (horizon is not None):
        return decision_fields(decision)  # it says something else, too
    return _IdeaLine(
        stamp(decision.at), edge, horizon, IDEA, decision.pair, detail["score"], decision.side, decision.source,
        detail["voters"],
    )  # fmt: skip


def decision_rows(at: int, lines: Sequence[bytes]) -> list[Row]:
    """The decisions of a slice in order, in rows of kind `decisions`: one, unless they are very long."""
    if sum(map(len, lines)) <= ROW_BYTES:
        return [_decisions(at, 0, lines)] if lines else []
    rows: list[Row] = []
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) > ROW_BYTES:
            rows.append(_decisions(at, len(rows), held))
            held, size = [], 0
        held.append(line)
        size += len(line)
    return [*rows, _decisions(at, len(rows), held)]


def _decisions(at: int, number: int, lines: Sequence[bytes]) -> Row:
    key = f"decisions:{at}" if number == 0 else f"decisions:{at}:{number}"
    return Row(at, "decisions", key, b'{"lines":[' + b",".join(lines) + b"]}")


MEMORY = "memory"
"""The kind of rows that memories are."""


def memory_row(at: int, record: MemoryRecord) -> Row:
    """What was remembered in the slice of `at` (UTC ms); every version of an id has a key of its own."""
    return row(at, MEMORY, f"{record.id}:{record.known_at}", record)


def trade_row(at: int, trade: Trade) -> Row:
    """A trade that closed; most have something that does not apply, so that its text is never clean."""
    return Row(at, "trade", f"trade:{trade.id}", encode(trade))


def row(at: int, kind: str, key: str, body: Any) -> Row:
    """A ledger row with a canonical body: a struct of `core.types` as it stands, or plain fields."""
    return Row(at, kind, f"{kind}:{key}", encode(body, is_clean))
