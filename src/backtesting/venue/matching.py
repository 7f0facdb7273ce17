"""The matching core: at what price an order of any kind is taken, what that costs, and how much a balance allows."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ...core.config import Costs
from ...core.portfolio import ZERO, floor_amount, side_costs
from ...core.types import MONEY_STEP, OrderKind, Pair, Side

Bill = tuple[Decimal, Decimal, Decimal]
"""Notional, fee and slippage of an execution, in quote currency."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """What a market did between two looks: a bar, or a single print, of which all three prices are the same.

    `room`: the amount (base units) that all orders of the pair together may take of it. `opened` in UTC ms.
    """

    pair: Pair
    opened: int
    opening: Decimal
    high: Decimal
    low: Decimal
    room: Decimal


def touched(side: Side, trigger: Decimal, span: Span) -> bool:
    """Whether a resting stop wakes: one that sells as the price falls to it, one that buys as it rises to it."""
    return span.low <= trigger if side is Side.SELL else span.high >= trigger


def stopped_at(side: Side, trigger: Decimal, opening: Decimal) -> Decimal:
    """The price at which a woken stop meets the market: its trigger, or the open where the market gapped over it."""
    return min(opening, trigger) if side is Side.SELL else max(opening, trigger)


def limited_at(side: Side, limit: Decimal, span: Span) -> Decimal | None:
    """The price a limit order gets, never worse than its limit; None where the market does not come to it."""
    if side is Side.BUY:
        return None if span.low > limit else min(span.opening, limit)
    return None if span.high < limit else max(span.opening, limit)


def within(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether a price is no worse than a limit."""
    return price <= limit if side is Side.BUY else price >= limit


def met(
    kind: OrderKind, side: Side, limit: Decimal | None, trigger: Decimal | None, awake: bool, span: Span
) -> tuple[Decimal | None, bool]:
    """(price or None, awake afterwards) of an order in a span.

    A market order takes the open. A stop that wakes takes its trigger or a worse open; a stop-limit order that wakes
    beyond its limit rests as a limit order from the next span on. What is awake stays awake.
    """
    if kind is OrderKind.MARKET or trigger is None or awake:
        resting = kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT) and limit is not None
        return (limited_at(side, limit, span) if resting and limit is not None else span.opening), True
    if not touched(side, trigger, span):
        return None, False
    price = stopped_at(side, trigger, span.opening)
    beyond = kind is OrderKind.STOP_LIMIT and limit is not None and not within(side, limit, price)
    return (None if beyond else price), True


def bill(amount: Decimal, price: Decimal, costs: Costs) -> Bill:
    """(notional, fee, slippage), each booked to `MONEY_STEP`."""
    gross = amount * price
    return gross.quantize(MONEY_STEP), *side_costs(gross, costs)


def affordable(cash: Decimal, price: Decimal, costs: Costs, decimals: int) -> Decimal:
    """The largest amount of so many decimals that cash buys at a price, costs included."""
    spare = max(cash - 2 * MONEY_STEP, ZERO)  # notional, fee and slippage may round up by half a step each
    return floor_amount(spare / (price * (1 + costs.per_side)), decimals)
