"""Whether anything may be sent at all: one state for everything and one for each pair, and the strictest wins."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from .names import Pair, Side
from .orders import Command, CommandKind, Order, OrderKind


class Level(StrEnum):
    """What may leave: everything; what reduces risk; stops and what a person asks for to get out."""

    ACTIVE = "active"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"


_STRICTNESS = {level: place for place, level in enumerate(Level)}
_STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)
BY_HAND = ("flatten", "manual")
"""Reasons of orders that a person asked for."""


class Throw(msgspec.Struct, frozen=True):
    """Somebody said stop: how strictly, why, and who."""

    level: Level
    reason: str
    source: str


class Standing:
    """The states in force. `None` stands for everything, a pair for that pair.

    A milder throw does not soften a stricter one; only `clear` does.
    """

    def __init__(self) -> None:
        self._thrown: dict[Pair | None, Throw] = {}

    def throw(self, level: Level, reason: str, source: str, pair: Pair | None = None) -> None:
        """Be at least so strict from now on; of equally strict throws the newest gives the reason."""
        before = self._thrown.get(pair)
        if before is None or _STRICTNESS[level] >= _STRICTNESS[before.level]:
            self._thrown = {**self._thrown, pair: Throw(level, reason or level.value, source)}

    def clear(self, pair: Pair | None = None) -> None:
        """Lift the state of a pair, or that of everything; the others stay."""
        self._thrown = {scope: throw for scope, throw in self._thrown.items() if scope != pair}

    def of(self, pair: Pair | None = None) -> Throw | None:
        """The strictest throw that holds for a pair (or for everything); None where it is active."""
        thrown = self._thrown
        if not thrown:
            return None
        found = [throw for throw in (thrown.get(None), None if pair is None else thrown.get(pair)) if throw is not None]
        return max(found, key=lambda throw: _STRICTNESS[throw.level], default=None)

    def bars(self, command: Command) -> bool:
        """Whether a person asks to buy what may not be bought now; to be let go on later is no leave for that."""
        if command.kind is not CommandKind.ORDER or command.side is not Side.BUY:
            return False
        throw = self.of(command.pair)
        return throw is not None and throw.level is not Level.ACTIVE

    @property
    def reason(self) -> str:
        """Why everything is reduced or halted; empty where it is not."""
        throw = self._thrown.get(None)
        return "" if throw is None else throw.reason

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Pairs with a state of their own, in order."""
        return tuple(sorted(pair for pair in self._thrown if pair is not None)) if self._thrown else ()

    def shown(self) -> Mapping[str, Mapping[str, str]]:
        """State by scope (`all` or the pair), for people."""
        return {
            scope or "all": {"state": throw.level.value, "reason": throw.reason, "source": throw.source}
            for scope, throw in self._thrown.items()
        }

    def state(self) -> list[Any]:
        """Everything in force."""
        return [[scope, throw.level.value, throw.reason, throw.source] for scope, throw in self._thrown.items()]

    def restore(self, state: list[Any] | None) -> None:
        """Go on from `state`; where nobody can tell how it stood (None), everything is halted."""
        if state is None:
            self.throw(Level.HALTED, "how it stood before the restart is not known", "restart")
            return
        self._thrown = {
            None if scope is None else Pair(scope): Throw(Level(level), reason, source)
            for scope, level, reason, source in state
        }


def withheld(order: Order, throw: Throw | None) -> str:
    """Why an order may not leave under this throw; empty when it may.

    Reduced: what buys may not. Halted: nothing but protective stops, and what a person asks for to get out.
    """
    if throw is None or throw.level is Level.ACTIVE:
        return ""
    if order.side is Side.SELL and (
        throw.level is Level.REDUCE_ONLY or order.kind in _STOPS or order.reason in BY_HAND
    ):
        return ""
    return f"{throw.level.value}: {throw.reason}"
