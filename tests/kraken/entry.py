"""How the local Kraken takes an order or a cancellation, whichever way it comes; parameters as REST writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from src.core.clock import from_iso
from tests.kraken.exchange_state import ExchangeState, OrderRow, Rejected
from tests.kraken.listed import Listed

_CLIENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|[ -~]{1,18}")
_PRICES = {"market": 0, "limit": 1, "stop-loss": 1, "take-profit": 1, "stop-loss-limit": 2, "take-profit-limit": 2}


def add_order(state: ExchangeState, said: Mapping[str, str]) -> OrderRow | None:
    """A new order, or None where it was to be checked alone; Rejected with the exchange's string.

    The engine's counter rises even for an order that is refused.
    """
    with state.lock:
        pair = state.pair(said.get("pair", ""))
        counted = state.counters.engine(pair.symbol).add(1.0)
        _check_status(state, pair, said)
        if not counted:
            raise Rejected("EOrder:Rate limit exceeded")
        order = _read(state, pair, said)
        _check(state, pair, order, said)
        if said.get("validate") == "true":
            return None
        order.txid = state.next_txid()
        return state.accept(order)


def _check_status(state: ExchangeState, pair: Listed, said: Mapping[str, str]) -> None:
    if state.status == "maintenance":
        raise Rejected("EService:Unavailable")
    if "cancel_only" in (state.status, pair.status):
        raise Rejected("EService:Market in cancel_only mode")
    if "post_only" in (state.status, pair.status) and "post" not in said.get("oflags", ""):
        raise Rejected("EService:Market in post_only mode")
    if "deadline" in said and state.now() > from_iso(said["deadline"]):
        raise Rejected("EService:Deadline elapsed")


def _read(state: ExchangeState, pair: Listed, said: Mapping[str, str]) -> OrderRow:
    kind, side = said.get("ordertype", ""), said.get("type", "")
    if kind not in _PRICES or side not in ("buy", "sell"):
        raise Rejected("EGeneral:Invalid arguments:ordertype" if side else "EGeneral:Invalid arguments:type")
    numbers = [_number(said, name) for name in ("price", "price2")[: _PRICES[kind]]]
    stop = kind not in ("market", "limit")
    limit = numbers[-1] if numbers and kind not in ("stop-loss", "take-profit") else None
    expires = said.get("expiretm", "0")
    at = state.now()
    return OrderRow(
        "",
        pair.symbol,
        side,
        kind,
        _number(said, "volume"),
        limit,
        numbers[0] if stop else None,
        at,
        cl_ord_id=said.get("cl_ord_id", ""),
        userref=int(said.get("userref", "0")),
        expires=None if expires == "0" else at + int(expires[1:]) * 1000 if expires[:1] == "+" else int(expires) * 1000,
        oflags=said.get("oflags", "fciq"),
        timeinforce=said.get("timeinforce", "GTC"),
        stptype=said.get("stptype", "cancel-newest"),
    )


def _number(said: Mapping[str, str], name: str) -> Decimal:
    text = said.get(name, "")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not Decimal(text):
        raise Rejected(f"EGeneral:Invalid arguments:{name}")
    return Decimal(text)


def _check(state: ExchangeState, pair: Listed, order: OrderRow, said: Mapping[str, str]) -> None:
    book = state.books[pair.symbol]
    best = book.ask if order.side == "buy" else book.bid
    price = order.price or order.trigger or best or book.last
    if order.cl_ord_id and not _CLIENT_ID.fullmatch(order.cl_ord_id):
        raise Rejected("EGeneral:Invalid arguments:cl_ord_id")
    if order.cl_ord_id and ("userref" in said or state.find(cl_ord_id=order.cl_ord_id) is not None):
        raise Rejected("EOrder:Duplicate client order id" if "userref" not in said else "EGeneral:Invalid arguments")
    if order.qty % Decimal(1).scaleb(-pair.lot_decimals) or order.qty < pair.order_min:
        raise Rejected("EOrder:Order minimum not met")
    if any(one is not None and one % pair.tick for one in (order.price, order.trigger)):
        raise Rejected("EOrder:Tick size check failed")
    if order.qty * price < pair.cost_min:
        raise Rejected("EOrder:Cost minimum not met")
    asset, needed = (pair.quote, order.qty * price) if order.side == "buy" else (pair.base, order.qty)
    if state.balances.get(asset, Decimal(0)) < needed:
        raise Rejected("EOrder:Insufficient funds")
    crosses = best is not None and order.price is not None and (
        order.price >= best if order.side == "buy" else order.price <= best
    )  # fmt: skip
    if "post" in order.oflags and crosses:
        raise Rejected("EOrder:Post only order")
