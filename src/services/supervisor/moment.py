"""What the coordinator has under way beside its books, so that a process can go on in the middle of its life.

A restart at a real exchange begins a new life and asks everything anew. Paper trading walks the same slices again and
has to come to the same rows, so it goes on where the checkpoint was taken.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...core.types import Pair
from ...core.venue import Executed, VenueStatus
from .adoption import Adoption
from .executor import Executor, Steps
from .inquiry import Inquiry, Purpose
from .reconciliation import Findings, Reconciliation


class Link(msgspec.Struct, frozen=True):
    """How the venue stands, and how many requests were numbered."""

    numbers: int
    connected: bool
    status: VenueStatus | None
    pair_status: dict[Pair, VenueStatus]


class _Moment(msgspec.Struct, frozen=True):
    """`due`: when what is asked next (UTC ms); `offset` and `clock_doubt` as the inquiry has them (ms)."""

    link: Link
    due: dict[Purpose, int]
    offset: int | None
    clock_doubt: int
    findings: Findings
    steps: Steps
    parked: dict[str, Executed]


def moment_of(
    link: Link, inquiry: Inquiry, reconciliation: Reconciliation, executor: Executor, adoption: Adoption
) -> dict[str, Any]:
    """Everything under way, as plain data."""
    moment = _Moment(
        link,
        inquiry.schedule(),
        inquiry.offset,
        inquiry.doubt,
        reconciliation.findings(),
        executor.steps(),
        dict(adoption.parked),
    )
    return dict(msgspec.to_builtins(moment))


def go_on(
    moment: dict[str, Any],
    inquiry: Inquiry,
    reconciliation: Reconciliation,
    executor: Executor,
    adoption: Adoption,
) -> Link:
    """Put it back; returns what the coordinator itself keeps."""
    taken = msgspec.convert(moment, _Moment)
    inquiry.round, inquiry.due = None, taken.due
    inquiry.offset, inquiry.doubt = taken.offset, taken.clock_doubt
    reconciliation.go_on(taken.findings)
    executor.go_on(taken.steps)
    adoption.parked = taken.parked
    return taken.link
