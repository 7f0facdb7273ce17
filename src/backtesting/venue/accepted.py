"""An order that an exchange took, from there to its end."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ...core.portfolio import ZERO
from ...core.types import Order, OrderKind, Pair, Side
from ...core.venue import ClientId, OrderState, VenueId, VenueOrder

STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)


class Accepted(msgspec.Struct):
    """Whose it is, what is left of it, and what it holds back: quote currency of a buy, base of a sell.

    `client_id` and `decision` are empty for an order that somebody else sent. Times in UTC ms of the exchange.
    """

    venue_id: VenueId
    client_id: ClientId
    decision: str
    pair: Pair
    side: Side
    kind: OrderKind
    amount: Decimal
    left: Decimal
    limit: Decimal | None
    trigger: Decimal | None
    at: int
    expires_at: int | None
    held: Decimal
    awake: bool = False
    fills: int = 0
    state: OrderState = OrderState.OPEN
    ended_at: int = 0
    reason: str = ""

    @property
    def filled(self) -> Decimal:
        """What was executed of it."""
        return self.amount - self.left

    @property
    def takes(self) -> bool:
        """Whether it takes the market at whatever price there is."""
        return self.kind is OrderKind.MARKET or (self.kind is OrderKind.STOP and self.awake)

    def told(self) -> VenueOrder:
        """The order as the exchange tells it."""
        return VenueOrder(
            self.venue_id,
            self.client_id,
            self.pair,
            self.side,
            self.kind,
            self.amount,
            self.filled,
            self.state,
            self.at,
            self.limit,
            self.trigger,
            self.reason,
        )


def accepted(
    number: int, client_id: ClientId, order: Order, expires_at: int | None, at: int, held: Decimal
) -> Accepted:
    """A fresh order; its id has the vendor's form of 6-5-6 characters."""
    name = VenueId(f"O{number:05d}-SIMUL-{at % 1_000_000:06d}")
    decision = str(order.id) if client_id else ""
    return Accepted(
        name,
        client_id,
        decision,
        order.pair,
        order.side,
        order.kind,
        order.amount,
        order.amount,
        order.limit,
        order.trigger,
        at,
        expires_at,
        held,
    )


class Purse:
    """The balances of an account; what open orders hold back is theirs until they end."""

    def __init__(self, quote: Decimal) -> None:
        self.quote = quote
        self.base: dict[Pair, Decimal] = {}
        self._held_quote = ZERO
        self._held_base: dict[Pair, Decimal] = {}

    def free(self, side: Side, pair: Pair) -> Decimal:
        """What a new order may use: quote currency for a buy, base of the pair for a sell."""
        if side is Side.BUY:
            return self.quote - self._held_quote
        return self.base.get(pair, ZERO) - self._held_base.get(pair, ZERO)

    def hold(self, order: Accepted, amount: Decimal) -> None:
        """Change what an order holds back to `amount`."""
        change = amount - order.held
        if order.side is Side.BUY:
            self._held_quote += change
        else:
            self._held_base[order.pair] = self._held_base.get(order.pair, ZERO) + change
        order.held = amount

    def book(self, side: Side, pair: Pair, amount: Decimal, notional: Decimal, costs: Decimal) -> None:
        """An execution."""
        sign = 1 if side is Side.BUY else -1
        self.quote -= sign * notional + costs
        self.base[pair] = self.base.get(pair, ZERO) + sign * amount
        if not self.base[pair]:
            del self.base[pair]
