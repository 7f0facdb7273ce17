"""Everything the coordinator remembers, as rows of the ledger: its state is what these rows add up to, nothing else."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ...core.errors import LedgerError
from ...core.ports import Row
from ...core.records import row
from ...core.types import Approved, Fill, Order, OrderId, OrderKind, Pair
from ...core.venue import ClientId, Executed, VenueId, VenueOrder
from .order_states import Progress


class Began(msgspec.Struct, frozen=True, tag=True):
    """A life of the coordinator began; `epoch` counts them."""

    at: int
    epoch: int


class Accepted(msgspec.Struct, frozen=True, tag=True):
    """An approved order waits for its turn."""

    at: int
    client_id: ClientId
    approved: Approved


class Declined(msgspec.Struct, frozen=True, tag=True):
    """An approved order was not taken, and never left."""

    at: int
    order_id: OrderId
    pair: Pair
    reason: str


class Intended(msgspec.Struct, frozen=True, tag=True):
    """An order is about to be sent, once: whoever reads this row and no later one has to ask the venue."""

    at: int
    client_id: ClientId
    fence: int
    amount: Decimal
    deadline: int


class Moved(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An order came from one state to the next."""

    at: int
    client_id: ClientId
    before: Progress
    after: Progress
    reason: str = ""
    venue_id: VenueId | None = None
    told: Decimal | None = None


class Learned(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The venue's name of an order, or what it says was filled of it, became known without a change of state."""

    at: int
    client_id: ClientId
    venue_id: VenueId | None = None
    told: Decimal | None = None


class Wished(msgspec.Struct, frozen=True, tag=True):
    """An order is to be withdrawn."""

    at: int
    client_id: ClientId
    reason: str


class Withdrawn(msgspec.Struct, frozen=True, tag=True):
    """The venue is asked to cancel an order: an action of the pair's executor."""

    at: int
    client_id: ClientId
    fence: int


class Booked(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An execution counts: one of ours with its fill, or somebody else's without."""

    at: int
    execution: Executed
    fill: Fill | None = None
    client_id: ClientId | None = None


class Terms(msgspec.Struct, frozen=True):
    """How a position is protected: prices in quote currency."""

    kind: OrderKind
    trigger: Decimal
    limit: Decimal | None = None


class Protects(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A position is to be protected so, or no more."""

    at: int
    pair: Pair
    terms: Terms | None = None


class Stranger(msgspec.Struct, frozen=True, tag=True):
    """Somebody else's order, as it stands at the venue."""

    at: int
    order: VenueOrder
    open: bool


class Quarantined(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Something the venue told that cannot be believed and does not count; `key` names it once."""

    at: int
    key: str
    reason: str
    execution: Executed | None = None
    order: VenueOrder | None = None


class Alarmed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Somebody was called; once for a `key`."""

    at: int
    code: str
    text: str
    key: str
    pair: Pair | None = None


class Halted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A pair, or all (None), may send nothing more."""

    at: int
    reason: str
    pair: Pair | None = None


class Cleared(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A person lifted a halt."""

    at: int
    reason: str
    pair: Pair | None = None


class Checked(msgspec.Struct, frozen=True, tag=True):
    """All executions up to a time (UTC ms) were asked for, and are known."""

    at: int
    until: int


class Forgotten(msgspec.Struct, frozen=True, tag=True):
    """What was over before that time (UTC ms) is in the ledger and in memory no more."""

    at: int
    before: int


Record = (
    Began
    | Accepted
    | Declined
    | Intended
    | Moved
    | Learned
    | Wished
    | Withdrawn
    | Booked
    | Protects
    | Stranger
    | Quarantined
    | Alarmed
    | Halted
    | Cleared
    | Checked
    | Forgotten
)

KINDS: dict[type, str] = {
    Began: "coordinator",
    Accepted: "order_state",
    Declined: "order_state",
    Intended: "intent",
    Moved: "order_state",
    Learned: "order_state",
    Wished: "cancel",
    Withdrawn: "cancel",
    Booked: "execution",
    Protects: "protection",
    Stranger: "external",
    Quarantined: "quarantine",
    Alarmed: "alarm",
    Halted: "halt",
    Cleared: "halt",
    Checked: "coordinator",
    Forgotten: "coordinator",
}
"""The kind of row of each record; other rows of the ledger are none of the coordinator's."""

_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def row_of(record: Record, epoch: int, number: int) -> Row:
    """The row of a record: an intent and an execution can stand in a ledger only once."""
    kind = KINDS[type(record)]
    if isinstance(record, Intended):
        return row(record.at, kind, record.client_id, record)
    if isinstance(record, Booked):
        return row(record.at, kind, record.execution.execution_id, record)
    return row(record.at, kind, f"{epoch}:{number}", record)


def record_of(body: bytes) -> Record:
    """The record in a row's body; LedgerError when it is none."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LedgerError(f"a row of the order path cannot be read: {error}") from error


def terms_of(order: Order) -> Terms | None:
    """What a stop order would protect with; None without a trigger."""
    return None if order.trigger is None else Terms(order.kind, order.trigger, order.limit)
