"""Writes our orders as Alpaca's, and reads its orders and fills as ours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ...core.errors import Malformed
from ...core.names import MONEY_STEP, Side
from ...core.orders import OrderKind
from ...core.types import Pair
from ...core.venue import ClientId, Executed, OrderState, Place, VenueId, VenueOrder
from ..venues.text import digits, plain, price_digits
from .numbers import decimal, price_of
from .rest import moment

CRYPTO = "crypto"
OURS = "mycelial-"
"""Begins every id of ours there: Alpaca gives orders that were made by hand an id, too."""
_KINDS: Mapping[str, OrderKind] = {
    "market": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "stop": OrderKind.STOP,
    "trailing_stop": OrderKind.STOP,
    "stop_limit": OrderKind.STOP_LIMIT,
}
_STATES: Mapping[str, OrderState] = {
    **dict.fromkeys(
        ("new", "accepted", "pending_new", "partially_filled", "held", "accepted_for_bidding", "stopped", "suspended",
         "pending_cancel", "pending_replace", "calculated", "done_for_day"),
        OrderState.OPEN,
    ),
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "replaced": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}  # fmt: skip
"""An order that is held, or being cancelled, is open until its end was said."""


class Listed(msgspec.Struct, frozen=True):
    """A symbol and its rules; `step` of amounts and `least` amount in base units, `tick` of prices, zero: none said."""

    symbol: str
    crypto: bool
    tradable: bool
    step: Decimal
    least: Decimal
    tick: Decimal


def listed(row: Mapping[str, Any]) -> Listed:
    """A row of assets."""
    return Listed(
        str(row.get("symbol")),
        row.get("class") == CRYPTO,
        row.get("tradable") is True and row.get("status") == "active",
        *(decimal(row.get(name) or 0, name) for name in ("min_trade_increment", "min_order_size", "price_increment")),
    )


def objection(place: Place, one: Listed) -> str:
    """Why an order would be refused, as a code; empty when nothing speaks against sending it."""
    order = place.approved.order
    if not one.tradable:
        return "not_tradable"
    if one.crypto and order.kind is OrderKind.STOP:
        return "stop_without_limit_not_offered"
    if order.amount < one.least:
        return "order_minimum"
    if one.step and order.amount % one.step:
        return "amount_step"
    prices = [price for price in (order.limit, order.trigger) if price is not None]
    return "price_tick" if one.tick and any(price % one.tick for price in prices) else ""


def parameters(place: Place, one: Listed) -> dict[str, str]:
    """The body of an order. A market order with a worst price goes as a limit order that rests not for a moment."""
    order = place.approved.order
    said = {
        "symbol": one.symbol,
        "side": order.side.value,
        "qty": digits(order.amount),
        "client_order_id": OURS + place.client_id,
        "time_in_force": "gtc",
    }
    match order.kind:
        case OrderKind.MARKET if order.limit is None:
            return said | {"type": "market", "time_in_force": "gtc" if one.crypto else "day"}
        case OrderKind.MARKET:
            return said | {"type": "limit", "limit_price": price_digits(order.limit), "time_in_force": "ioc"}
        case OrderKind.LIMIT:
            return said | {"type": "limit", "limit_price": price_digits(order.limit)}
        case OrderKind.STOP:
            return said | {"type": "stop", "stop_price": price_digits(order.trigger)}
        case OrderKind.STOP_LIMIT:
            prices = {"stop_price": price_digits(order.trigger), "limit_price": price_digits(order.limit)}
            return said | {"type": "stop_limit"} | prices


def order_of(row: Mapping[str, Any], pairs: Mapping[str, Pair]) -> VenueOrder:
    """An order as Alpaca tells it; a symbol that we do not trade keeps Alpaca's name."""
    symbol, state = str(row.get("symbol")), _STATES.get(str(row.get("status")))
    if state is None:
        raise Malformed(f"alpaca: {plain(row.get('status'))!r} is no status of an order")
    return VenueOrder(
        VenueId(_id(row.get("id"))),
        _client_id(row.get("client_order_id")),
        pairs.get(symbol, Pair(plain(symbol))),
        _side(row.get("side")),
        _KINDS.get(str(row.get("type")), OrderKind.LIMIT),
        amount=decimal(row.get("qty") or 0, "qty"),
        filled=decimal(row.get("filled_qty") or 0, "filled_qty"),
        state=state,
        opened_at=moment(row.get("created_at"), "created_at"),
        price=price_of(row.get("limit_price") or 0, "limit_price"),
        trigger=price_of(row.get("stop_price") or 0, "stop_price"),
    )


def ended_at(row: Mapping[str, Any], unknown: int) -> int:
    """When an order ended, UTC ms; `unknown` where nothing says it."""
    names = ("filled_at", "canceled_at", "expired_at", "failed_at", "replaced_at")
    return max((moment(row[name], name) for name in names if row.get(name)), default=unknown)


def execution_of(
    row: Mapping[str, Any], pairs: Mapping[str, Pair], client_id: ClientId, fees: Mapping[Pair, Decimal]
) -> Executed:
    """A fill; it does not say whose order it was, nor what it costs: Alpaca books fees of crypto a day later."""
    symbol = str(row.get("symbol"))
    pair = pairs.get(symbol, Pair(plain(symbol)))
    amount, price = decimal(row.get("qty"), "qty"), decimal(row.get("price"), "price")
    return Executed(
        execution_id=_id(row.get("id")),
        venue_id=VenueId(_id(row.get("order_id"))),
        client_id=client_id,
        pair=pair,
        side=_side(row.get("side")),
        amount=amount,
        price=price,
        fee=(amount * price * fees.get(pair, Decimal(0))).quantize(MONEY_STEP),
        at=moment(row.get("transaction_time"), "transaction_time"),
        closes=row.get("type") == "fill",
    )


def _client_id(value: object) -> ClientId:
    """Our id; empty for somebody else's order."""
    return ClientId(value.removeprefix(OURS)) if isinstance(value, str) and value.startswith(OURS) else ClientId("")


def _id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Malformed("alpaca: a row without its id")
    return value


def _side(text: object) -> Side:
    if text not in ("buy", "sell"):
        raise Malformed(f"alpaca: {plain(text)!r} is no side")
    return Side(str(text))
