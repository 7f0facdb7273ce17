"""Writes our orders as Kraken's parameters, and reads its rows of orders and trades as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...core.clock import iso
from ...core.config_venues import KrakenOrders
from ...core.errors import Malformed
from ...core.names import Side
from ...core.orders import OrderKind
from ...core.types import Pair
from ...core.venue import ClientId, Executed, OrderState, Place, VenueId, VenueOrder
from ..venues.text import digits, plain, price_digits
from .numbers import decimal, milliseconds, price_of
from .symbols import Names, Symbols

_CLIENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[\x21-\x7e]{1,18}")
"""What Kraken takes as cl_ord_id: a UUID with or without dashes, or up to 18 characters."""
_KINDS: Mapping[str, OrderKind] = {
    "market": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "iceberg": OrderKind.LIMIT,
    "stop-loss": OrderKind.STOP,
    "take-profit": OrderKind.STOP,
    "trailing-stop": OrderKind.STOP,
    "stop-loss-limit": OrderKind.STOP_LIMIT,
    "take-profit-limit": OrderKind.STOP_LIMIT,
    "trailing-stop-limit": OrderKind.STOP_LIMIT,
    "settle-position": OrderKind.MARKET,
}
_STATES: Mapping[str, OrderState] = {
    "pending": OrderState.OPEN,
    "open": OrderState.OPEN,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
}


def is_client_id(text: str) -> bool:
    """Whether Kraken takes it."""
    return _CLIENT_ID.fullmatch(text) is not None


def parameters(place: Place, names: Names, settings: KrakenOrders) -> dict[str, str]:
    """AddOrder of `place`. A market order with a worst price goes as a limit order that rests not even for a moment."""
    order = place.approved.order
    said = {
        "pair": names.altname,
        "type": order.side.value,
        "volume": digits(order.amount),
        "cl_ord_id": place.client_id,
        "deadline": iso(place.deadline),
        "stptype": settings.self_trade,
        "oflags": ",".join(settings.flags),
        **_kind(place),
    }
    if place.expires_at is not None and order.kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT):
        said |= {"timeinforce": "GTD", "expiretm": str(place.expires_at // 1000)}
    return said


def _kind(place: Place) -> dict[str, str]:
    order = place.approved.order
    match order.kind:
        case OrderKind.MARKET if order.limit is None:
            return {"ordertype": "market"}
        case OrderKind.MARKET:
            return {"ordertype": "limit", "price": price_digits(order.limit), "timeinforce": "IOC"}
        case OrderKind.LIMIT:
            return {"ordertype": "limit", "price": price_digits(order.limit)}
        case OrderKind.STOP:
            return {"ordertype": "stop-loss", "price": price_digits(order.trigger)}
        case OrderKind.STOP_LIMIT:
            return {
                "ordertype": "stop-loss-limit",
                "price": price_digits(order.trigger),
                "price2": price_digits(order.limit),
            }


def order_of(txid: str, row: Mapping[str, Any], symbols: Symbols) -> VenueOrder:
    """A row of OpenOrders or ClosedOrders; Malformed for one of ours that cannot be read.

    An order without our id may be of a pair or kind that we do not know: its pair is then Kraken's own name of it.
    """
    said = row.get("descr")
    if not isinstance(said, dict):
        raise Malformed(f"kraken: order {plain(txid)} without a description")
    client_id = row.get("cl_ord_id") or ""
    kind = _KINDS.get(str(said.get("ordertype")), OrderKind.LIMIT)
    first, second = price_of(said.get("price", 0), "price"), price_of(said.get("price2", 0), "price2")
    stop = kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)
    return VenueOrder(
        VenueId(txid),
        ClientId(str(client_id)),
        _pair(str(said.get("pair")), symbols, ours=bool(client_id)),
        _side(said.get("type")),
        kind,
        amount=decimal(row.get("vol"), "vol"),
        filled=decimal(row.get("vol_exec"), "vol_exec"),
        state=_state(row.get("status")),
        opened_at=milliseconds(row.get("opentm"), "opentm"),
        price=second if kind is OrderKind.STOP_LIMIT else None if stop else first,
        trigger=first if stop else None,
        reason=plain(row.get("reason") or ""),
    )


def ended_at(row: Mapping[str, Any]) -> int | None:
    """When a closed order closed, UTC ms."""
    return milliseconds(row["closetm"], "closetm") if row.get("closetm") else None


def execution_of(trade_id: str, row: Mapping[str, Any], symbols: Symbols, client_id: ClientId) -> Executed:
    """A row of TradesHistory; it does not say whose order it was, `client_id` comes from what we know of its order."""
    return Executed(
        execution_id=trade_id,
        venue_id=VenueId(str(row.get("ordertxid"))),
        client_id=client_id,
        pair=_pair(str(row.get("pair")), symbols, ours=bool(client_id)),
        side=_side(row.get("type")),
        amount=decimal(row.get("vol"), "vol"),
        price=decimal(row.get("price"), "price"),
        fee=decimal(row.get("fee"), "fee"),
        at=milliseconds(row.get("time"), "time"),
    )


def _pair(name: str, symbols: Symbols, ours: bool) -> Pair:
    try:
        return symbols.pair(name)
    except Malformed:
        if ours:
            raise
        return Pair(plain(name))


def _side(text: object) -> Side:
    if text not in ("buy", "sell"):
        raise Malformed(f"kraken: {plain(text)!r} is no side")
    return Side(str(text))


def _state(text: object) -> OrderState:
    found = _STATES.get(str(text))
    if found is None:
        raise Malformed(f"kraken: {plain(text)!r} is no status of an order")
    return found
