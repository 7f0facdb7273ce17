"""What the coordinator wants done: plain data, so that it can be tested, crashed between and replayed without I/O."""

from __future__ import annotations

import msgspec

from ...core.ports import Row
from ...core.types import Fill, Outcome, Pair
from ...core.venue import Ask, ClientId, Place, VenueId


class Write(msgspec.Struct, frozen=True):
    """Rows that go into the ledger in one transaction; `durable` ones are on disk before the next action runs."""

    rows: tuple[Row, ...]
    durable: bool = True


class Send(msgspec.Struct, frozen=True):
    """Hand one order to the venue, once, if that is still allowed.

    Where not, `Coordinator.withheld` is told, and what it wants goes behind all actions that are there already.
    """

    place: Place


class Withdraw(msgspec.Struct, frozen=True):
    """Ask the venue to cancel; may be repeated. The fields are the arguments of `Venue.cancel`."""

    number: int
    client_id: ClientId
    venue_id: VenueId | None
    pair: Pair


class Question(msgspec.Struct, frozen=True):
    """Ask the venue; may be repeated. The fields are the arguments of `Venue.ask`."""

    number: int
    ask: Ask
    client_ids: tuple[ClientId, ...] = ()
    since: int | None = None


class Filled(msgspec.Struct, frozen=True):
    """An execution for the portfolio; its row is durable already. `index` counts all of them from 0, without gaps."""

    fill: Fill
    index: int


class Happened(msgspec.Struct, frozen=True):
    """What became of an order, fills apart."""

    outcome: Outcome


class Alarm(msgspec.Struct, frozen=True):
    """Something a person has to look at; `code` is machine-readable."""

    code: str
    text: str
    pair: Pair | None = None


class Halt(msgspec.Struct, frozen=True):
    """Nothing more may be sent for a pair, or for all (None), until somebody clears it with a reason."""

    pair: Pair | None
    reason: str


Action = Write | Send | Withdraw | Question | Filled | Happened | Alarm | Halt
