"""Bugs planted at the seams of an order path, to prove that the simulation sees them; production code knows of none.

A planted process is the real one behind a venue, a ledger or a switch that makes it act as if it had the bug.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ...core.types import Order
from .planted_venues import (
    AtOnce,
    CancelledIsEmpty,
    NoDeadline,
    NoOffset,
    OpenOnly,
    PlantedVenue,
    Resend,
    Retry,
    SendFirst,
    StiffStop,
    Twice,
    UnackedFill,
)
from .process import Build, Process, Seams


def _first_answer(may_send: Callable[[Order], str]) -> Callable[[Order], str]:
    """Looks at the kill switch once an order, before the write, and not again before the send."""
    said: dict[str, str] = {}
    return lambda order: said.setdefault(order.id, may_send(order))


class Bug(msgspec.Struct, frozen=True):
    """A bug: the venue that has it, and the faults under which it shows.

    `always`: kinds of faults that are on in every schedule. `skew_ms`: of the exchange's clock, where it matters;
    `lenient`: no difference of clocks stops anything.
    """

    venue: type[PlantedVenue] = PlantedVenue
    always: frozenset[str] = frozenset()
    skew_ms: int | None = None
    lenient: bool = False
    switch_once: bool = False


_LOSSES = frozenset({"lost_reply", "error_after", "late"})
PLANTED = {
    "send_then_record": Bug(SendFirst, frozenset({"crash"})),
    "retry_after_open_only": Bug(Retry, _LOSSES),
    "query_open_only": Bug(OpenOnly, _LOSSES),
    "no_deadline": Bug(NoDeadline, frozenset({"late"})),
    "decide_at_once": Bug(AtOnce, frozenset({"late"})),
    "margin_too_small": Bug(NoOffset, frozenset({"late"}), skew_ms=-8_000, lenient=True),
    "duplicate_counted_twice": Bug(Twice, frozenset({"twice"})),
    "kill_checked_before_write_only": Bug(always=frozenset({"kill", "slow_disk"}), switch_once=True),
    "stop_not_resized": Bug(StiffStop, frozenset({"thin"})),
    "resend_after_restart": Bug(Resend, frozenset({"crash"})),
    "fill_before_ack_dropped": Bug(UnackedFill),
    "cancel_taken_as_not_filled": Bug(CancelledIsEmpty, frozenset({"late"})),
}
"""By name; the first six are what order paths in use do."""


def plant(bug: Bug, build: Build) -> Callable[[], Build]:
    """Makes, for each run, a builder of processes that have the bug."""

    def fresh() -> Build:
        venue = bug.venue()

        def planted(seams: Seams) -> Process:
            venue.enter(seams)
            ledger = getattr(venue, "ledger", seams.ledger)
            may_send = _first_answer(seams.may_send) if bug.switch_once else seams.may_send
            return build(msgspec.structs.replace(seams, venue=venue, ledger=ledger, may_send=may_send))

        return planted

    return fresh
