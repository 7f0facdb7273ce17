"""What Kraken's WebSocket v2 can say, as frozen structures; numbers are Decimals with every digit that was sent."""

from __future__ import annotations

from decimal import Decimal

import msgspec

Level = tuple[Decimal, Decimal]
"""Price and quantity of one level; a quantity of 0 removes it."""


class SystemSaid(msgspec.Struct, frozen=True):
    """The state of the exchange: sent on connect and on change."""

    system: str


class HeartbeatSaid(msgspec.Struct, frozen=True):
    """The connection lives; says nothing about any price."""


class AnswerSaid(msgspec.Struct, frozen=True):
    """The answer to a request of ours; subscriptions are answered once for each symbol."""

    method: str
    success: bool
    number: int | None
    channel: str
    symbol: str
    error: str


class BookSaid(msgspec.Struct, frozen=True):
    """Levels of one book in order of application; `checksum` after all of them, `at` UTC ms where it was sent."""

    symbol: str
    snapshot: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    checksum: int
    at: int | None


class TradeSaid(msgspec.Struct, frozen=True):
    """One trade of the market. `at` UTC ms; `snapshot`: it was before the subscription."""

    symbol: str
    number: int
    at: int
    price: Decimal
    amount: Decimal
    snapshot: bool


class TickerSaid(msgspec.Struct, frozen=True):
    """Best prices and the last trade's."""

    symbol: str
    bid: Decimal
    ask: Decimal
    last: Decimal


class CandleSaid(msgspec.Struct, frozen=True):
    """The exchange's own bar of the interval that began at `opened` (UTC ms); grows until that is over."""

    symbol: str
    minutes: int
    opened: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    amount: Decimal


class InstrumentSaid(msgspec.Struct, frozen=True):
    """One pair: what it is called, whether it is traded, and how its numbers are written."""

    symbol: str
    base: str
    quote: str
    status: str
    price_decimals: int
    amount_decimals: int
    price_step: Decimal
    amount_step: Decimal
    least_amount: Decimal
    least_cost: Decimal


class InstrumentsSaid(msgspec.Struct, frozen=True):
    """Pairs; all there are in a snapshot, those that changed otherwise."""

    snapshot: bool
    pairs: tuple[InstrumentSaid, ...]


class ReportSaid(msgspec.Struct, frozen=True):
    """One line of the private executions: what it did not carry is None, and stands as it was said before."""

    kind: str
    order: str
    at: int
    client: str | None = None
    symbol: str | None = None
    side: str | None = None
    order_type: str | None = None
    status: str | None = None
    amount: Decimal | None = None
    limit: Decimal | None = None
    filled: Decimal | None = None
    execution: str | None = None
    last_amount: Decimal | None = None
    last_price: Decimal | None = None
    fees: tuple[tuple[str, Decimal], ...] = ()
    fee_usd: Decimal | None = None
    reason: str = ""


class ReportsSaid(msgspec.Struct, frozen=True):
    """Executions in order; `sequence` rises by one with every message of a subscription."""

    snapshot: bool
    sequence: int
    reports: tuple[ReportSaid, ...]


class Broken(msgspec.Struct, frozen=True):
    """A message that cannot be believed: what it was about, as far as that can be told, and the cause."""

    channel: str
    symbols: tuple[str, ...]
    cause: str


Said = (
    SystemSaid
    | HeartbeatSaid
    | AnswerSaid
    | BookSaid
    | TradeSaid
    | TickerSaid
    | CandleSaid
    | InstrumentsSaid
    | ReportsSaid
    | Broken
)
