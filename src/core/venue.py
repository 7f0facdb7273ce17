"""What crosses between the coordinator and an exchange: requests go out, events come back, later and perhaps never.

Times are UTC milliseconds of this machine unless they say `venue`, money is Decimal. A venue answers by events alone;
an order about which no event came back has an unknown outcome, and no code may take that for a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NewType, Protocol

import msgspec

from .names import Pair, Side
from .orders import Approved, OrderKind

ClientId = NewType("ClientId", str)
"""Ours, sent with the order (`cl_ord_id`): derived from the decision, so that it can be asked for after a crash."""
VenueId = NewType("VenueId", str)
"""The exchange's name of an order (`txid`)."""


class VenueStatus(StrEnum):
    """What an exchange lets anybody do now."""

    ONLINE = "online"
    CANCEL_ONLY = "cancel_only"
    POST_ONLY = "post_only"
    MAINTENANCE = "maintenance"


class OrderState(StrEnum):
    """Where an order stands at the exchange."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Place(msgspec.Struct, frozen=True):
    """Send one order, once. The venue refuses it after `deadline` (venue time); it lives until `expires_at`."""

    client_id: ClientId
    approved: Approved
    deadline: int
    expires_at: int | None = None


class Ask(StrEnum):
    """What can be asked again and again without harm."""

    OPEN_ORDERS = "open_orders"
    CLOSED_ORDERS = "closed_orders"
    EXECUTIONS = "executions"
    BALANCES = "balances"
    TIME = "time"


class VenueOrder(msgspec.Struct, frozen=True):
    """An order as the exchange tells it. `client_id` is empty for one that carries none: somebody else's."""

    venue_id: VenueId
    client_id: ClientId
    pair: Pair
    side: Side
    kind: OrderKind
    amount: Decimal
    filled: Decimal
    state: OrderState
    opened_at: int
    price: Decimal | None = None
    trigger: Decimal | None = None
    reason: str = ""


class Acknowledged(msgspec.Struct, frozen=True):
    """The exchange has the order."""

    client_id: ClientId
    venue_id: VenueId
    at: int


class Refused(msgspec.Struct, frozen=True):
    """The exchange certainly does not have the order, and never will; `reason` is a code of ours, `text` theirs."""

    client_id: ClientId
    reason: str
    text: str
    at: int


class Lost(msgspec.Struct, frozen=True):
    """No answer, or one that says nothing: whether the order is there is unknown."""

    client_id: ClientId
    why: str
    at: int


class Executed(msgspec.Struct, frozen=True):
    """One execution, known by `execution_id`; it may come twice, by two ways, and before the acknowledgement.

    `fee` in quote currency. `closes` where the exchange says with it that the order is done. `slippage`: what a
    simulated venue charges beside a price that does not slip (quote currency); a real one has it in the price.
    """

    execution_id: str
    venue_id: VenueId
    client_id: ClientId
    pair: Pair
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    at: int
    closes: bool = False
    slippage: Decimal = Decimal(0)


class Ended(msgspec.Struct, frozen=True):
    """An order is open no more: filled, cancelled or expired, with what was filled of it in all."""

    venue_id: VenueId
    client_id: ClientId
    pair: Pair
    state: OrderState
    filled: Decimal
    at: int
    reason: str = ""


class Answered(msgspec.Struct, frozen=True):
    """The answer to a question: everything asked for, as it was at the venue at `at`.

    `balances` by asset are whole: what open orders hold included. `venue_now` is the venue's clock (UTC ms).
    """

    ask: Ask
    number: int
    at: int
    orders: tuple[VenueOrder, ...] = ()
    executions: tuple[Executed, ...] = ()
    balances: tuple[tuple[str, Decimal], ...] = ()
    venue_now: int | None = None


class NotAnswered(msgspec.Struct, frozen=True):
    """A question, or a cancellation, that got no answer; it may be asked again."""

    ask: Ask | None
    number: int
    client_id: ClientId
    why: str
    at: int


class StatusChanged(msgspec.Struct, frozen=True):
    """The exchange, or one pair of it, opened or closed; `connected` is whether its private stream is alive.

    The first one comes when the connection is made: until then nothing is sent.
    """

    status: VenueStatus
    connected: bool
    at: int
    pair: Pair | None = None


VenueEvent = Acknowledged | Refused | Lost | Executed | Ended | Answered | NotAnswered | StatusChanged


class Venue(Protocol):
    """An exchange, as the coordinator sees it: no method waits for an answer, none raises for what the venue says."""

    name: str
    simulated: bool

    def place(self, place: Place) -> None:
        """Send an order once; never again, whatever happens."""
        ...

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Ask for an order to be cancelled; by our id where the venue's is not known."""
        ...

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Ask a question: about some of our orders, or about all since a time (UTC ms). The answer has its number."""
        ...

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call, in order of arrival."""
        ...

    def close(self) -> None:
        """Give back connections and threads; what rests at the venue goes on resting."""
        ...
