"""What is asked for and what came of it: orders, fills, trades, commands, stages of life, lines of the record.

Times are UTC milliseconds (int), money is Decimal. Everybody takes these from `core.types`.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from .names import MONEY_STEP, OrderId, Pair, Scalar, Side, Stream


class OrderKind(StrEnum):
    """How an order wants to be filled."""

    MARKET = "market"
    STOP = "stop"
    LIMIT = "limit"
    STOP_LIMIT = "stop_limit"


class Order(msgspec.Struct, frozen=True):
    """An order somebody wants to send. It cannot be sent: only `Approved` can.

    `amount` in base units, `reference` the close it was decided on, `stop` the protective stop that is armed
    with the entry's fill, as a ratio below the entry price, `leave_at` when the idea behind it is over. `limit` is
    the worst price that is taken, `trigger` the price at which a resting stop wakes.
    """

    id: OrderId
    pair: Pair
    side: Side
    amount: Decimal
    kind: OrderKind
    at: int
    reference: Decimal
    reason: str
    stop: Decimal | None = None
    leave_at: int | None = None
    limit: Decimal | None = None
    trigger: Decimal | None = None


class Approved(msgspec.Struct, frozen=True):
    """An order that passed the gate. Constructed in `services/gate.py` and nowhere else; a test holds that."""

    order: Order
    at: int


class Denied(msgspec.Struct, frozen=True):
    """An order that did not pass, the machine-readable reason, what was seen and the limit that it was held against."""

    order: Order
    at: int
    reason: str
    detail: str = ""
    value: str = ""
    limit: str = ""


class Fill(msgspec.Struct, frozen=True):
    """One execution. Money in quote currency, booked to `MONEY_STEP`.

    `price` is the market's price without slippage; fee and slippage are costs on this side's own notional, so
    that both sides together cost (1 + r)(1 - c) / (1 + c) - 1. `final` says that the order is done.
    """

    id: str
    order_id: OrderId
    pair: Pair
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    slippage: Decimal
    at: int
    reason: str
    final: bool = True
    simulated: bool = True

    @property
    def notional(self) -> Decimal:
        """Amount times price, before costs."""
        return (self.amount * self.price).quantize(MONEY_STEP)


class Position(msgspec.Struct, frozen=True):
    """A holding of one pair. `cost` is what was paid for `amount`, costs included; `entry` the mean fill price."""

    pair: Pair
    amount: Decimal
    entry: Decimal
    cost: Decimal
    opened_at: int
    leave_at: int | None = None


class Trade(msgspec.Struct, frozen=True):
    """A closed round trip of one stream. `profit` in quote currency, `profit_ratio` net of both sides' costs.

    `leave_at`: when the horizon of the idea behind it ended (UTC ms), None where it had none.
    """

    id: str
    stream: Stream
    pair: Pair
    amount: Decimal
    entry_at: int
    exit_at: int
    entry_price: Decimal
    exit_price: Decimal
    fees: Decimal
    slippage: Decimal
    profit: Decimal
    profit_ratio: Decimal
    exit_reason: str
    score: float | None = None
    leave_at: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of an order other than a fill: sent, cancelled, rejected, expired, unknown."""

    order_id: OrderId
    pair: Pair
    state: str
    at: int
    reason: str = ""


class CommandKind(StrEnum):
    """What may be asked of a running process; takes effect at the next slice."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    ORDER = "order"
    STOP = "stop"
    EMERGENCY_SHUTDOWN = "emergency_shutdown"
    FORCE_SHARE = "force_share"
    POLICY = "policy"
    RECONCILE = "reconcile"


class Command(msgspec.Struct, frozen=True):
    """A wish from outside or from the risk guardian; journaled with the slice it takes effect in.

    `id` ties it to the row that acknowledged it; empty where nobody waits for an acknowledgement. `group` names the
    learners that are to share, `level` how strict a halt is (a `standing.Level`; empty: it reduces only), `policy` the
    policy of the supervisor that is to have a `state`: off, shadow or on.
    """

    kind: CommandKind
    reason: str
    source: str
    pair: Pair | None = None
    side: Side | None = None
    amount: Decimal | None = None
    id: str = ""
    group: str = ""
    policy: str = ""
    state: str = ""
    level: str = ""


class Stage(StrEnum):
    """Where an asset stands in its life, once it had a team of agents."""

    ACTIVE = "active"
    PROBATION = "probation_1"
    DEEP_PROBATION = "probation_2"
    HIBERNATED = "hibernated"
    DELISTED = "delisted"
    REVIVED = "revived"


class Transition(msgspec.Struct, frozen=True):
    """An asset came from one stage to another; `profit_ratio` is the sum of its trades' net returns then.

    `probation_ms`: how long it had been on probation without a break.
    """

    at: int
    pair: Pair
    before: Stage | None
    after: Stage
    profit_ratio: Decimal
    probation_ms: int = 0


class Decision(msgspec.Struct, frozen=True):
    """One line of the record of decisions. Fields that do not apply are None and are left out of the file."""

    at: int
    kind: str
    pair: Pair | None = None
    side: Side | None = None
    reason: str | None = None
    source: str | None = None
    detail: dict[str, Scalar | list[str]] = {}
