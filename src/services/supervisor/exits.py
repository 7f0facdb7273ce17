"""When a position leaves, the stop apart (it rests at the exchange): pure rules, one function each.

The same rules say when an entry that still waits is no longer wanted.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...core.types import Idea, Order, Pair, Position, Side


def horizon_passed(position: Position | Order, at: int) -> bool:
    """Whether the horizon of the idea behind it is over; never, where there is none."""
    return position.leave_at is not None and at >= position.leave_at


def opposed(position: Position | Order, ideas: Iterable[Idea]) -> bool:
    """Whether an idea of this slice wants to be out of the pair."""
    return any(idea.pair == position.pair and idea.side is Side.SELL for idea in ideas)


def exit_reason(position: Position | Order, ideas: Iterable[Idea], at: int, flatten: set[Pair]) -> str:
    """The first reason to leave, or an empty string."""
    if position.pair in flatten:
        return "flatten"
    if opposed(position, ideas):
        return "opposite_idea"
    return "horizon" if horizon_passed(position, at) else ""
