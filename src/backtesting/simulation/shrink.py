"""Cuts a failing schedule down to what it takes to fail: fewer kinds of faults, fewer faults, then fewer wishes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .schedule import Fault, Schedule

Fails = Callable[[Schedule], bool]


def shrink(schedule: Schedule, fails: Fails) -> Schedule:
    """The smallest schedule found that still fails; the same one every time. The given one must fail."""
    for kind in sorted({fault.kind for fault in schedule.faults}):
        without = schedule.without(frozenset({kind}))
        if fails(without):
            schedule = without
    faults = _fewest(schedule.faults, lambda kept: fails(msgspec.structs.replace(schedule, faults=kept)))
    cut = msgspec.structs.replace(schedule, faults=faults)
    wishes = _fewest(cut.wishes, lambda kept: fails(msgspec.structs.replace(cut, wishes=kept)))
    return msgspec.structs.replace(cut, wishes=wishes)


def _fewest[T](things: tuple[T, ...], still: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Leave out halves, then quarters, down to single ones, as long as what is left still fails."""
    size = (len(things) + 1) // 2
    while size:
        start = 0
        while start < len(things):
            kept = (*things[:start], *things[start + size :])
            if still(kept):
                things = kept
            else:
                start += size
        size = size // 2
    return things


def told(schedule: Schedule) -> str:
    """A schedule in one line: its seed, what goes wrong, what is wished."""
    faults = ", ".join(map(_fault, schedule.faults))
    wishes = ", ".join(f"{one.kind} {one.pair} at {one.at} ms" for one in schedule.wishes)
    return f"seed {schedule.seed}; faults: {faults or 'none'}; wishes: {wishes or 'none'}"


def _fault(fault: Fault) -> str:
    where = f"message {fault.at} of {fault.channel}" if fault.channel else f"at {fault.at} ms"
    size = f" ({fault.size})" if fault.size else ""
    return f"{fault.kind} {fault.what} {where}{size}".replace("  ", " ")
