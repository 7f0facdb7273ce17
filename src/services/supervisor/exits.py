"""When a position leaves, the stop apart (it rests at the exchange): pure rules, one function each.

The same rules say when an entry that still waits is no longer wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from ...core.leaving import OPPOSED, OVER
from ...core.types import Idea, Order, Pair, Position, Side


def horizon_passed(position: Position | Order, at: int) -> bool:
    """Whether the horizon of the idea behind it is over; never, where there is none."""
    return position.leave_at is not None and at >= position.leave_at


def opposed(ideas: Iterable[Idea]) -> set[Pair]:
    """The pairs of which an idea of this slice wants to be out."""
    return {idea.pair for idea in ideas if idea.side is Side.SELL}


def exit_reason(position: Position | Order, out_of: Set[Pair], at: int, flatten: Set[Pair]) -> str:
    """The first reason to leave, or an empty string; `out_of` are the pairs that are `opposed`."""
    if position.pair in flatten:
        return "flatten"
    if position.pair in out_of:
        return OPPOSED
    return OVER if horizon_passed(position, at) else ""
