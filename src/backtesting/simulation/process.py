"""What the simulation needs of an order path: a process that is built anew in every life from what its ledger kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from ...core.ports import Ledger, Row
from ...core.types import Fill, Order, Pair, Side
from ...core.venue import Venue

MaySend = Callable[[Order], str]
"""The kill switch: why an order may not leave now, "" where it may."""


class Process(Protocol):
    """One life of an order path. A call may end in a crash; then the object is thrown away."""

    def start(self, now: int) -> None:
        """Begin: read what the ledger kept, ask, resolve."""
        ...

    def step(self, now: int) -> None:
        """Take what came from the venue, do what is due."""
        ...

    def take(self, order: Order, now: int) -> str:
        """A wish: through the gate, then to the venue; the reason where it was refused before it was sent."""
        ...

    def withdraw(self, pair: Pair, side: Side | None, now: int) -> None:
        """Cancel what is open for a pair, or what waits on one side of it."""
        ...

    @property
    def ready(self) -> bool:
        """Start-up is finished and nothing is known to be wrong."""
        ...

    def halted(self, pair: Pair) -> bool:
        """Whether the process itself stopped trading a pair, because of something that a person has to look at."""
        ...

    def positions(self) -> Mapping[Pair, Decimal]:
        """Base units by pair, of our own executions; pairs without any may be left out."""
        ...

    def fills(self) -> Sequence[Fill]:
        """Every execution booked so far, earlier lives included, each once; `id` is the venue's execution id."""
        ...

    def unknown(self) -> Sequence[Order]:
        """Orders whose outcome nobody knows yet."""
        ...

    def open_orders(self) -> Sequence[Order]:
        """Orders that rest or wait, or are unknown, with what is left of each."""
        ...

    def cash(self) -> Decimal:
        """Quote currency by our own executions."""
        ...

    def equity(self, marks: Mapping[Pair, Decimal]) -> Decimal:
        """Cash and positions at these prices."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything durable, as plain data."""
        ...

    def replayed(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The same, made of the ledger's rows alone."""
        ...


class Seams(msgspec.Struct, frozen=True):
    """What a process is built over: the only ways by which it touches the world.

    `rows`: what the ledger kept of earlier lives. `price`: the last one of a pair (quote currency).
    `tick`: the step of its prices.
    """

    venue: Venue
    ledger: Ledger
    rows: tuple[Row, ...]
    may_send: MaySend
    seed: int
    start_quote: Decimal
    clock: Callable[[], int]
    price: Callable[[Pair], Decimal]
    tick: Callable[[Pair], Decimal]


Build = Callable[[Seams], Process]
"""Makes the process of one life."""
