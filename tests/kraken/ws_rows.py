"""How the local Kraken writes orders, fills and pairs on its WebSocket."""

from __future__ import annotations

from decimal import Decimal

from src.core.clock import iso
from tests.kraken.exchange_state import ExchangeState, FillRow, OrderRow
from tests.kraken.listed import Listed
from tests.kraken.ws_books import ENCODE, Row


def order_row(order: OrderRow, kind: str) -> Row:
    """An order as the executions channel tells all of it."""
    status = "pending_new" if kind == "pending_new" else "partially_filled" if order.filled else "new"
    row: Row = {
        "exec_type": kind, "order_status": status, "order_id": order.txid, "symbol": order.symbol,
        "side": order.side, "order_type": order.ordertype, "order_qty": order.qty, "cum_qty": order.filled,
        "cum_cost": order.cost, "avg_price": order.average, "time_in_force": order.timeinforce,
        "timestamp": iso(order.opened), "fee_usd_equiv": order.fee, "order_userref": order.userref,
    }  # fmt: skip
    row |= {"cl_ord_id": order.cl_ord_id} if order.cl_ord_id else {}
    return row | ({"limit_price": order.price} if order.price is not None else {})


def fill_row(state: ExchangeState, fill: FillRow) -> Row:
    """An execution. As the real one: the last execution of an order says partially_filled, too."""
    order, quote = state.orders[fill.txid], fill.symbol.partition("/")[2]
    row: Row = {
        "exec_type": "trade", "order_status": "partially_filled", "order_id": fill.txid, "exec_id": fill.trade_id,
        "symbol": fill.symbol, "side": fill.side, "order_type": fill.ordertype, "last_qty": fill.qty,
        "last_price": fill.price, "cost": fill.cost, "fees": [{"asset": quote, "qty": fill.fee}],
        "fee_usd_equiv": fill.fee, "liquidity_ind": "m" if fill.maker else "t", "trade_id": fill.number,
        "cum_qty": order.filled, "timestamp": iso(fill.at),
    }  # fmt: skip
    return row | ({"cl_ord_id": order.cl_ord_id} if order.cl_ord_id else {})


def instruments(state: ExchangeState, foreign: str) -> bytes:
    """The list of all pairs; BTC/USD under a `foreign` name where somebody renamed it."""
    assets = [{"id": "USD", "status": "enabled", "precision": 4, "precision_display": 2}]
    pairs = [_pair(one, foreign) for one in state.pairs.values()]
    return ENCODE({"channel": "instrument", "type": "snapshot", "data": {"assets": assets, "pairs": pairs}})


def _pair(one: Listed, foreign: str) -> Row:
    base, _, quote = one.symbol.partition("/")
    return {
        "symbol": foreign if foreign and one.symbol == "BTC/USD" else one.symbol,
        "base": base, "quote": quote, "status": one.status, "marginable": False, "has_index": True,
        "qty_precision": one.lot_decimals, "qty_increment": Decimal(1).scaleb(-one.lot_decimals),
        "price_precision": one.price_decimals, "price_increment": one.tick, "tick_size": one.tick,
        "cost_precision": one.cost_decimals, "cost_min": one.cost_min, "qty_min": one.order_min,
    }  # fmt: skip
