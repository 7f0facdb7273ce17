"""The signed endpoints of the local Kraken, with the rights and the counter each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from tests.kraken.counters import HISTORY
from tests.kraken.entry import add_order
from tests.kraken.exchange_state import ApiKey, ExchangeState, FillRow, OrderRow, Rejected

Said = Mapping[str, str]
PAGE = 50


class Endpoint(NamedTuple):
    """Which of `rights` suffices (none: any key), what a call costs, and what it does."""

    rights: frozenset[str]
    cost: float
    do: Callable[[ApiKey, Said], dict[str, Any]]


class PrivateSide:
    """What the owner of a key may ask."""

    def __init__(self, state: ExchangeState) -> None:
        self.state = state
        trade, query = frozenset({"modify-trades"}), frozenset({"query-open-trades"})
        close = frozenset({"close-trades", "modify-trades"})
        self.endpoints: dict[str, Endpoint] = {
            "AddOrder": Endpoint(trade, 0.0, self.add_order),
            "CancelOrder": Endpoint(close, 0.0, self.cancel_order),
            "CancelAllOrdersAfter": Endpoint(close, 1.0, self.cancel_all_after),
            "OpenOrders": Endpoint(query, 1.0, self.open_orders),
            "ClosedOrders": Endpoint(frozenset({"query-closed-trades"}), 1.0, self.closed_orders),
            "QueryOrders": Endpoint(query, 1.0, self.query_orders),
            "TradesHistory": Endpoint(frozenset({"query-closed-trades"}), HISTORY, self.trades_history),
            "Balance": Endpoint(frozenset({"query-funds"}), 1.0, self.balance),
            "GetWebSocketsToken": Endpoint(frozenset({"access-websockets"}), 1.0, self.token),
            "GetApiKeyInfo": Endpoint(frozenset(), 1.0, self.key_info),
        }

    def add_order(self, key: ApiKey, said: Said) -> dict[str, Any]:
        order = add_order(self.state, said)
        text = f"{said['type']} {Decimal(said['volume']):.8f} {said['pair']} @ {said['ordertype']}"
        descr = {"order": f"{text} {said['price']}" if "price" in said else text}
        return {"descr": descr} if order is None else {"descr": descr, "txid": [order.txid]}

    def cancel_order(self, key: ApiKey, said: Said) -> dict[str, Any]:
        if self.state.status == "maintenance":
            raise Rejected("EService:Unavailable")
        self.state.cancel(said.get("txid", ""), said.get("cl_ord_id", ""))
        return {"count": 1}

    def cancel_all_after(self, key: ApiKey, said: Said) -> dict[str, Any]:
        at = self.state.cancel_all_after(int(said["timeout"]))
        return {"currentTime": str(self.state.now()), "triggerTime": "0" if at is None else str(at)}

    def open_orders(self, key: ApiKey, said: Said) -> dict[str, Any]:
        rows = _asked(self.state.open_orders(), said)
        return {"open": {one.txid: self.row(one) for one in rows}}

    def closed_orders(self, key: ApiKey, said: Said) -> dict[str, Any]:
        rows = [one for one in _asked(self.state.closed_orders(), said) if one.closed >= _start(said)]
        return {"closed": {one.txid: self.row(one) for one in _page(rows, said)}, "count": len(rows)}

    def query_orders(self, key: ApiKey, said: Said) -> dict[str, Any]:
        wanted = said.get("txid", "").split(",")
        if len(wanted) > PAGE or not all(one in self.state.orders for one in wanted):
            raise Rejected("EOrder:Unknown order")
        return {one: self.row(self.state.orders[one]) for one in wanted}

    def trades_history(self, key: ApiKey, said: Said) -> dict[str, Any]:
        rows = [one for one in reversed(self.state.fills) if one.at >= _start(said)]
        return {"trades": {one.trade_id: self.trade(one) for one in _page(rows, said)}, "count": len(rows)}

    def balance(self, key: ApiKey, said: Said) -> dict[str, Any]:
        return {code: f"{amount:.10f}" for code, amount in self.state.balances.items()}

    def token(self, key: ApiKey, said: Said) -> dict[str, Any]:
        return {"token": self.state.new_token(), "expires": 900}

    def key_info(self, key: ApiKey, said: Said) -> dict[str, Any]:
        return {
            "apiKeyName": "desk",
            "apiKey": key.key,
            "nonce": str(key.nonce),
            "nonceWindow": 0,
            "permissions": sorted(key.rights),
            "validUntil": "0",
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "1772542900",
            "modifiedTime": "1772543095",
            "ipAllowlist": [],
            "lastUsed": "1772627061",
        }

    def row(self, one: OrderRow) -> dict[str, Any]:
        """An order as REST tells it; some numbers come as text and some as numbers."""
        price = one.trigger if one.trigger is not None else one.price
        second = one.price if one.trigger is not None else None
        pair = self.state.named(one.symbol)
        found: dict[str, Any] = {
            "refid": None,
            "userref": one.userref,
            "status": one.status,
            "opentm": one.opened / 1000,
            "starttm": 0,
            "expiretm": 0 if one.expires is None else one.expires // 1000,
            "descr": {
                "pair": pair.altname if pair else one.symbol,
                "type": one.side,
                "ordertype": one.ordertype,
                "price": str(price or 0),
                "price2": str(second or 0),
                "leverage": "none",
                "order": f"{one.side} {one.qty:.8f}",
                "close": "",
            },
            "vol": f"{one.qty:.8f}",
            "vol_exec": f"{one.filled:.8f}",
            "cost": f"{one.cost:.5f}",
            "fee": f"{one.fee:.5f}",
            "price": f"{one.average:.5f}",
            "stopprice": "0.00000",
            "limitprice": "0.00000",
            "misc": "",
            "oflags": one.oflags,
            "trades": list(one.trades),
        }
        if one.cl_ord_id:
            found["cl_ord_id"] = one.cl_ord_id
        if one.status != "open":
            found |= {"closetm": one.closed / 1000, "reason": one.reason or None}
        return found

    def trade(self, one: FillRow) -> dict[str, Any]:
        """An execution as TradesHistory tells it."""
        pair = self.state.named(one.symbol)
        return {
            "ordertxid": one.txid,
            "postxid": "TKH2SE-M7IF5-CFI7LT",
            "pair": pair.key if pair else one.symbol,
            "time": one.at / 1000,
            "type": one.side,
            "ordertype": one.ordertype,
            "price": f"{one.price:.5f}",
            "cost": f"{one.cost:.5f}",
            "fee": f"{one.fee:.5f}",
            "vol": f"{one.qty:.8f}",
            "margin": "0.00000",
            "leverage": "0",
            "misc": "",
            "trade_id": one.number,
            "maker": one.maker,
            "ledgers": [],
        }


def _asked(rows: Iterable[OrderRow], said: Said) -> list[OrderRow]:
    wanted = said.get("cl_ord_id")
    return [one for one in rows if wanted is None or one.cl_ord_id == wanted]


def _start(said: Said) -> float:
    return float(said.get("start", "0")) * 1000


def _page[T](rows: list[T], said: Said) -> list[T]:
    first = int(said.get("ofs", "0"))
    return rows[first : first + PAGE]
