"""Where an order of ours stands, and which steps lead from there: anything else stops the run.

    NEW -> INTENT -> SENT -> ACKED -> PARTIAL -> FILLED | CANCELLED | EXPIRED
                      |-> REJECTED  on a definitive refusal alone
                      |-> UNKNOWN -> resolved -> ACKED | ... | ABSENT

An execution is a fact: it leads to PARTIAL or FILLED from wherever the order stands. What was held to be absent or
refused and shows up nevertheless goes on from ACKED.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from ...core.errors import InvariantError
from ...core.types import Approved, Order, OrderKind, Side
from ...core.venue import ClientId, OrderState, VenueId


class Progress(StrEnum):
    """Where an order of ours stands."""

    NEW = "new"
    INTENT = "intent"
    SENT = "sent"
    ACKED = "acked"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    ABSENT = "absent"


_P = Progress
IN_FLIGHT = frozenset({_P.INTENT, _P.SENT, _P.UNKNOWN})
"""Nobody has said yet whether the venue has it."""
WORKING = frozenset({_P.ACKED, _P.PARTIAL})
"""It is at the venue and open."""
DONE = frozenset({_P.FILLED, _P.CANCELLED, _P.EXPIRED})
"""It was at the venue and is open no more."""
GONE = frozenset({_P.REJECTED, _P.ABSENT})
"""It never was at the venue, as far as anybody could tell."""

_ENDS = {_P.PARTIAL, _P.FILLED, _P.CANCELLED, _P.EXPIRED}
LEGAL: dict[Progress, frozenset[Progress]] = {
    _P.NEW: frozenset({_P.INTENT, _P.REJECTED}),
    _P.INTENT: frozenset({_P.SENT, _P.UNKNOWN, _P.ACKED, _P.REJECTED} | _ENDS),
    _P.SENT: frozenset({_P.UNKNOWN, _P.ACKED, _P.REJECTED} | _ENDS),
    _P.UNKNOWN: frozenset({_P.ACKED, _P.REJECTED, _P.ABSENT} | _ENDS),
    _P.ACKED: frozenset(_ENDS),
    _P.PARTIAL: frozenset(_ENDS - {_P.PARTIAL}),
    _P.CANCELLED: frozenset({_P.FILLED}),
    _P.EXPIRED: frozenset({_P.FILLED}),
    _P.FILLED: frozenset(),
    _P.REJECTED: frozenset({_P.ACKED}),
    _P.ABSENT: frozenset({_P.ACKED}),
}

ENDED = {
    OrderState.FILLED: _P.FILLED,
    OrderState.CANCELLED: _P.CANCELLED,
    OrderState.EXPIRED: _P.EXPIRED,
    OrderState.REJECTED: _P.CANCELLED,
}
"""What the venue's end of an order that it had is called here."""


class Tracked(msgspec.Struct):
    """An order of ours on its way. `amount` is what was sent, `filled` what executions add up to, base units.

    `told`: what the venue says was filled in all, None while it is open; `deadline` UTC ms of the venue's clock;
    `cancel`: somebody wants it withdrawn; `fence` numbers the executor's actions of its pair.
    """

    client_id: ClientId
    approved: Approved
    amount: Decimal
    at: int
    moved_at: int
    progress: Progress = Progress.NEW
    fence: int = 0
    deadline: int = 0
    venue_id: VenueId | None = None
    filled: Decimal = Decimal(0)
    told: Decimal | None = None
    cancel: bool = False

    @property
    def order(self) -> Order:
        """What was decided."""
        return self.approved.order

    @property
    def left(self) -> Decimal:
        """What is not executed yet, base units."""
        return self.amount - self.filled

    @property
    def is_stop(self) -> bool:
        """Whether it is a protective stop."""
        return self.order.side is Side.SELL and self.order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)

    @property
    def settled(self) -> bool:
        """Whether all executions that the venue tells of are known."""
        return self.told is None or self.filled >= self.told


def check_step(tracked: Tracked, before: Progress, after: Progress) -> None:
    """InvariantError unless the order stands at `before` and may go to `after`."""
    if tracked.progress is not before or after not in LEGAL[before]:
        raise InvariantError(
            f"order {tracked.order.id} stands at {tracked.progress}: no step leads from {before} to {after}"
        )
