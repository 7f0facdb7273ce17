"""A local Alpaca: the trading endpoints on loopback with the real shapes, an account, and faults on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, RLock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from src.core.clock import from_iso, iso

KEY, SECRET = "PKTEST", "c2VjcmV0"
FAULTS = ("drop", "hang_after", "error_after", "html_after", "empty_after", "html", "error", "limited", "refused")
"""What can happen to the next request: nothing arrives, or it is done and the answer is lost in some way."""

Handler = Callable[[dict[str, str], dict[str, Any]], tuple[int, Any]]


class Exchange:
    """Account, orders and fills; `now` is what its clock says (UTC ms)."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.cash = Decimal(100_000)
        self.held: dict[str, Decimal] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.fills: list[dict[str, Any]] = []
        self.prices = {"BTC/USD": Decimal(100), "AAPL": Decimal(50)}
        self.account_status = "ACTIVE"
        self.filling = True
        self.cancelling = True
        self.asked: list[str] = []
        self.fault = ""
        self.fault_on = ""
        self.release = Event()
        self.lock = RLock()

    def strike(self, fault: str, on: str = "POST /v2/orders") -> None:
        """The next request that begins with `on` meets this fault."""
        assert fault in FAULTS
        self.fault, self.fault_on = fault, on

    # --- what a human or the market does ----------------------------------------------------------------------------

    def add(self, body: dict[str, Any]) -> dict[str, Any]:
        """An order, as it stands in the body of a request."""
        number = len(self.orders) + 1
        stamp = iso(self.now)
        row: dict[str, Any] = {
            "id": f"order-{number:04d}",
            "client_order_id": body.get("client_order_id", f"by-hand-{number}"),
            "created_at": stamp,
            "submitted_at": stamp,
            "symbol": body["symbol"],
            "qty": body["qty"],
            "filled_qty": "0",
            "side": body["side"],
            "type": body["type"],
            "time_in_force": body["time_in_force"],
            "limit_price": body.get("limit_price"),
            "stop_price": body.get("stop_price"),
            "status": "new",
        }
        self.orders[row["id"]] = row
        if self.filling and row["type"] == "market":
            self.fill(row["id"])
        return row

    def fill(self, order_id: str, amount: str | None = None, price: str | None = None) -> None:
        """Execute an order, all that is left of it or so much."""
        row = self.orders[order_id]
        left = Decimal(row["qty"]) - Decimal(row["filled_qty"])
        done = min(left, Decimal(amount)) if amount else left
        at = Decimal(price) if price else self.prices[row["symbol"]]
        sign = 1 if row["side"] == "buy" else -1
        self.cash -= sign * done * at
        self.held[row["symbol"]] = self.held.get(row["symbol"], Decimal(0)) + sign * done
        row["filled_qty"] = str(Decimal(row["filled_qty"]) + done)
        whole = Decimal(row["filled_qty"]) == Decimal(row["qty"])
        row["status"] = "filled" if whole else "partially_filled"
        if whole:
            row["filled_at"] = iso(self.now)
        self.fills.append(
            {
                "activity_type": "FILL",
                "id": f"fill-{len(self.fills) + 1:04d}",
                "order_id": order_id,
                "price": str(at),
                "qty": str(done),
                "side": row["side"],
                "symbol": row["symbol"],
                "transaction_time": iso(self.now),
                "type": "fill" if whole else "partial_fill",
            }
        )

    # --- endpoints --------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body of a request."""
        route = path.removeprefix("/v2/")
        kind, _, name = route.partition("/")
        if method == "POST" and route == "orders":
            return self._post(body)
        if route == "orders:by_client_order_id":
            found = [row for row in self.orders.values() if row["client_order_id"] == query["client_order_id"]]
            return (200, found[-1]) if found else (404, {"code": 40410000, "message": "order not found"})
        if kind == "orders" and name:
            return self._order(method, name)
        if route == "orders":
            return 200, self._listed(query)
        if route == "account/activities/FILL":
            return 200, self._activities(query)
        return self._facts(kind, name)

    def _facts(self, kind: str, name: str) -> tuple[int, Any]:
        match kind:
            case "account":
                return 200, {"status": self.account_status, "cash": str(self.cash), "trading_blocked": False}
            case "positions":
                held = {symbol: amount for symbol, amount in self.held.items() if amount}
                return 200, [{"symbol": symbol.replace("/", ""), "qty": str(qty)} for symbol, qty in held.items()]
            case "clock":
                return 200, {"timestamp": iso(self.now), "is_open": True}
            case "assets" if name in self.prices:
                crypto = "/" in name
                rules = {"min_trade_increment": "0.0001", "min_order_size": "0.001", "price_increment": "0.01"}
                row = {"symbol": name, "class": "crypto" if crypto else "us_equity", "status": "active"}
                return 200, row | {"tradable": True} | (rules if crypto else {})
        return 404, {"code": 40410000, "message": f"asset not found for {name}"}

    def _post(self, body: dict[str, Any]) -> tuple[int, Any]:
        if any(row["client_order_id"] == body["client_order_id"] for row in self.orders.values()):
            return 422, {"code": 40010001, "message": "client_order_id must be unique"}
        price = Decimal(body.get("limit_price") or self.prices[body["symbol"]])
        if body["side"] == "buy" and Decimal(body["qty"]) * price > self.cash:
            return 403, {"code": 40310000, "message": "insufficient balance for USD"}
        return 200, self.add(body)

    def _order(self, method: str, name: str) -> tuple[int, Any]:
        row = self.orders.get(name)
        if row is None:
            return 404, {"code": 40410000, "message": f"order not found for {name}"}
        if method != "DELETE":
            return 200, row
        if row["status"] not in ("new", "partially_filled"):
            return 422, {"code": 42210000, "message": f'order is already in "{row["status"]}" state'}
        if not self.cancelling:
            row["status"] = "pending_cancel"
            return 204, None
        row["status"], row["canceled_at"] = "canceled", iso(self.now)
        return 204, None

    def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        open_ = query["status"] == "open"
        found = [
            row
            for row in self.orders.values()
            if (row["status"] in ("new", "partially_filled", "pending_cancel")) is open_
            and from_iso(row["submitted_at"]) > from_iso(query["after"])
        ]
        return found[: int(query["limit"])]

    def _activities(self, query: dict[str, str]) -> list[dict[str, Any]]:
        token = query.get("page_token", "")
        after = from_iso(query["after"])
        found = [row for row in self.fills if from_iso(row["transaction_time"]) > after and row["id"] > token]
        return found[: int(query["page_size"])]


class LocalAlpaca:
    """The exchange behind HTTP."""

    def __init__(self, now: int) -> None:
        self.exchange = Exchange(now)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.exchange))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.exchange.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(exchange: Exchange) -> type[BaseHTTPRequestHandler]:
    class Alpaca(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            split = urlsplit(self.path)
            path = unquote(split.path)
            query = {name: values[0] for name, values in parse_qs(split.query).items()}
            asked = f"{self.command} {path}"
            with exchange.lock:
                exchange.asked.append(asked)
                fault = exchange.fault if exchange.fault and asked.startswith(exchange.fault_on) else ""
                if fault:
                    exchange.fault = ""
                if self._refused_before(fault):
                    return
                if (self.headers["APCA-API-KEY-ID"], self.headers["APCA-API-SECRET-KEY"]) != (KEY, SECRET):
                    self._say(401, {"code": 40110000, "message": "request is not authorized"})
                    return
                status, answer = exchange.answer(self.command, path, query, body)
            self._lost_after(fault) or self._say(status, answer)

        def _refused_before(self, fault: str) -> bool:
            match fault:
                case "drop":
                    self.close_connection = True
                case "html":
                    self._raw(200, b"<html>maintenance</html>")
                case "error":
                    self._say(500, {"message": "internal server error"})
                case "limited":
                    self._say(429, {"code": 42910000, "message": "rate limit exceeded"})
                case "refused":
                    self._say(422, {"code": 42210000, "message": "some rule nobody told us about"})
                case _:
                    return False
            return True

        def _lost_after(self, fault: str) -> bool:
            match fault:
                case "hang_after":
                    exchange.release.wait(30)
                    self.close_connection = True
                case "error_after":
                    self._say(502, {"message": "bad gateway"})
                case "html_after":
                    self._raw(200, b"<html>ok</html>")
                case "empty_after":
                    self._raw(200, b"{}")
                case _:
                    return False
            return True

        def _say(self, status: int, answer: Any) -> None:
            self._raw(status, b"" if answer is None else json.dumps(answer).encode())

        def _raw(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve

    return Alpaca
