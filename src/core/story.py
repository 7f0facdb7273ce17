"""What a finished or running run wrote down, read back: the material of every explanation."""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import InvariantError, NotFound
from .traces import Reviewed, Rules, Told
from .types import Fill, Order, Pair, Trade

Line = dict[str, Any]
"""A line of `decisions.jsonl`."""


class State(msgspec.Struct, frozen=True):
    """What became of an order, fills apart."""

    id: str
    pair: str
    state: str
    at: int


class Silence(msgspec.Struct, frozen=True):
    """A slice in which the reasons for silence changed; rows as `traces` names their columns."""

    at: int
    baseline: tuple[tuple[int, ...], ...] = ()
    swarm: tuple[tuple[int, ...], ...] = ()
    moats: tuple[int, ...] = ()


class Story(msgspec.Struct, frozen=True):
    """A ledger's rows by kind, each list in the order in which it was written.

    `rules`, `told` and `reviews` (by order) with the number of their row, which tells the rules in force. `first` and
    `last`: the slices (UTC ms) between which something was written down.
    """

    name: str
    lines: list[Line]
    rules: list[tuple[int, Rules]]
    told: list[tuple[int, Told]]
    reviews: dict[str, tuple[int, Reviewed]]
    orders: dict[str, Order]
    states: list[State]
    fills: list[Fill]
    trades: list[Trade]
    silences: list[Silence]
    members: list[dict[str, Any]]
    first: int
    last: int
    society: dict[str, Any] = {}

    def rules_at(self, seq: int) -> Rules:
        """The rules that were in force when row `seq` was written; InvariantError where none were written down."""
        before = [rules for number, rules in self.rules if number < seq]
        if not before:
            raise InvariantError(f"{self.name}: the rules of this run are not in the record; it is of an older version")
        return before[-1]

    @property
    def newest_rules(self) -> Rules:
        """The rules of the newest life of the run."""
        return self.rules_at(self.rules[-1][0] + 1 if self.rules else 0)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of the run, in its order."""
        return self.newest_rules.trader.pairs

    def pair(self, name: str) -> Pair:
        """The pair of this run that is called so; NotFound names those there are."""
        wanted = Pair(name.strip().upper())
        if wanted not in self.pairs:
            raise NotFound(f"{self.name}: no pair {name!r}; there are {', '.join(self.pairs)}")
        return wanted
