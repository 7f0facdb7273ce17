"""What a policy may look at: one symbol with its position, orders, market and account, frozen, each part with its age.

Times are UTC milliseconds, money is Decimal in quote currency, amounts in base units.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum

import msgspec

from ...core.errors import DataError
from ...core.types import Order, OrderKind, Pair, Position, Side, Stage
from .risk_units import RiskUnits

ZERO = Decimal(0)

LIVE = frozenset(
    {
        *("new", "accepted", "pending_new", "held", "open", "partially_filled", "accepted_for_bidding"),
        *("pending_cancel", "pending_replace", "stopped", "suspended", "calculated", "done_for_day"),
    }
)
"""Statuses of an order that still binds its amount, as venues name them (of the protocol). One that is about to be
cancelled or replaced is there until the venue says otherwise; one that is held waits for its parent."""
ENDED = frozenset({"filled", "canceled", "cancelled", "expired", "replaced", "rejected"})
"""Statuses of an order that is over."""

PROTECTIVE = (OrderKind.STOP, OrderKind.STOP_LIMIT)


class Working(msgspec.Struct, frozen=True):
    """An order at the venue and the status it has there."""

    order: Order
    status: str = "open"

    @property
    def live(self) -> bool:
        """Whether it still binds its amount; DataError for a status that nobody knows, which is never guessed."""
        if self.status in LIVE:
            return True
        if self.status in ENDED:
            return False
        raise DataError(f"order {self.order.id} of {self.order.pair}: unknown status {self.status!r}; ask the venue")


class LadderStage(IntEnum):
    """How far a position's profit is protected; it only goes forward."""

    INITIAL_RISK = 0
    BREAKEVEN_PROTECTED = 1
    PARTIAL_PROFIT_TAKEN = 2
    ADVANCED_PROFIT_TAKEN = 3
    FINAL = 4


class PositionProgress(msgspec.Struct, frozen=True):
    """What a position has been through. `original`: all that was ever bought of it; `best`: its best price so far.

    `size`: the multiplier that the asset's life gave it at its entry. `tight`: the most protective stop there ever was.
    """

    opened_at: int
    entry: Decimal
    initial_stop: Decimal
    original: Decimal
    amount: Decimal
    best: Decimal
    tight: Decimal
    size: Decimal
    stage: LadderStage = LadderStage.INITIAL_RISK

    @property
    def sold(self) -> Decimal:
        """What was sold of it, in base units."""
        return self.original - self.amount

    @property
    def units(self) -> RiskUnits:
        """R, by the initial stop."""
        return RiskUnits(Side.BUY, self.entry, self.initial_stop)


class Ages(msgspec.Struct, frozen=True):
    """How old each part of a context is, in ms: the position since it was opened, the newest order, the price, moats.

    None where there is no such part.
    """

    position: int
    orders: int | None
    price: int | None
    moats: Mapping[str, int | None] = {}


class Crowd(msgspec.Struct, frozen=True):
    """Assets that move alike, all of them held: their share of equity, and which of them are to leave together."""

    pairs: tuple[Pair, ...]
    ratio: Decimal
    leaving: tuple[Pair, ...]


class AccountFacts(msgspec.Struct, frozen=True):
    """The account as it stands. `day_loss_ratio`: lost since the beginning of the UTC day, negative for a gain."""

    equity: Decimal
    peak_equity: Decimal
    cash: Decimal
    day_loss_ratio: Decimal


class SymbolContext(msgspec.Struct, frozen=True):
    """Everything about one held symbol. `stops`: live protective stops, the most protective first.

    `leaving`: what other live sells will take. `price` is the last close, None without one; `volatility` the standard
    deviation of the move over the time of the settings, `trend` ADX in points: None where not known. `allowed`: the
    size multiplier of the asset's life now.
    """

    pair: Pair
    at: int
    position: Position
    progress: PositionProgress
    stops: tuple[Working, ...]
    leaving: Decimal
    price: Decimal | None
    volatility: float | None
    trend: float | None
    opposed: bool
    asked_out: bool
    allowed: Decimal
    life: Stage | None
    account: AccountFacts
    crowd: Crowd | None
    fresh: bool
    ages: Ages
    stop_ratio: Decimal

    @property
    def units(self) -> RiskUnits:
        """R, by the initial stop."""
        return self.progress.units

    @property
    def staying(self) -> Decimal:
        """What nobody sells yet, stops apart."""
        return self.position.amount - self.leaving

    @property
    def protected(self) -> Decimal:
        """What live stops would sell."""
        return sum((one.order.amount for one in self.stops), ZERO)

    @property
    def stop(self) -> Decimal | None:
        """The price of the most protective live stop."""
        return stop_price(self.stops[0].order, self.stop_ratio) if self.stops else None

    @property
    def multiple(self) -> Decimal | None:
        """Profit at the last price in R."""
        return None if self.price is None else self.units.multiple(self.price)


def stop_price(order: Order, stop_ratio: Decimal) -> Decimal:
    """Where a protective stop wakes; one that came with an entry may say it by its ratio below the fill alone."""
    return order.reference * (1 - stop_ratio) if order.trigger is None else order.trigger
