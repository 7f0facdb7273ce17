"""The local Kraken's WebSocket v2, public and private on one loopback port, with the faults that a test switches on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from threading import Condition, Event, Thread
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from src.core.clock import iso
from tests.kraken.exchange_state import ExchangeState, Happening
from tests.kraken.ws_books import ENCODE, Row, ServerBook, ServerTrades
from tests.kraken.ws_peers import Faults, Peer
from tests.kraken.ws_rows import fill_row, instruments, order_row

TOKEN_MS = 15 * 60_000
SNAPSHOT_FILLS = 50
MESSAGE = msgspec.json.Decoder(dict[str, Any])


class KrakenSockets:
    """Serves an `ExchangeState`. What tests call may be called from any thread; `bell` rings at each event."""

    def __init__(self, state: ExchangeState, heartbeat_seconds: float = 0.1) -> None:
        self.state, self.faults = state, Faults()
        self.books = {symbol: ServerBook(listed, state.books[symbol].last) for symbol, listed in state.pairs.items()}
        self.trades = {symbol: ServerTrades(symbol) for symbol in state.pairs}
        self.candles: dict[str, Row] = {}
        self.first_lines: dict[str, bytes] = {}
        self.bell = Condition()
        self.opened = 0
        self.on_open: Callable[[], object] = lambda: None
        self.subscriptions: list[tuple[int, str, str, str]] = []
        self.tokens: list[str] = []
        self._peers: list[Peer] = []
        self._heartbeat_s = heartbeat_seconds
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._ready, self._port = Event(), 0
        self._server: Server | None = None
        self._tls: Server | None = None
        self._tls_port = 0
        self._thread = Thread(target=self._serve, name="kraken-sockets", daemon=True)

    # --- for tests -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        self._forget = self.state.subscribe(self._happened)
        self.state.status_listeners.append(self._status_changed)
        return self

    def __exit__(self, *error: object) -> None:
        self._forget()
        self.state.status_listeners.remove(self._status_changed)
        self._loop.call_soon_threadsafe(self._halt.set)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """For both kinds of connection; the kit appends /v2."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def private_url(self) -> str:
        """The private half."""
        return f"{self.url}/auth"

    def wait(self, seen: Callable[[], object], seconds: float = 10.0) -> None:
        """Until something is so; AssertionError when it is not in time."""
        with self.bell:
            assert self.bell.wait_for(seen, seconds), "did not happen in time"

    def peers(self, private: bool = False) -> list[Peer]:
        """Connections that stand."""
        return [peer for peer in self._peers if peer.private is private]

    def subscribed(self, channel: str, symbol: str = "") -> bool:
        """Whether anybody listens there now."""
        return any((channel, symbol) in peer.subscribed for peer in self._peers)

    def cut(self) -> None:
        """All connections break off without a good-bye."""
        self._call(self._abort)

    def stop_listening(self) -> None:
        """The exchange is away: nobody can connect, and all connections break off."""
        self._call(self._close_server)
        self.cut()

    def listen_again(self) -> None:
        """It is back, under the same address."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def serve_tls(self, context: ssl.SSLContext) -> None:
        """Listen on a second port as well, with a certificate."""
        asyncio.run_coroutine_threadsafe(self._listen_tls(context), self._loop).result(10)

    @property
    def tls_url(self) -> str:
        """Of the second port."""
        return f"wss://127.0.0.1:{self._tls_port}"

    def trade(self, symbol: str, price: str, amount: str = "0.1", at: int | None = None) -> None:
        """A trade happens, and is told."""
        row = self.trades[symbol].trade(Decimal(price), Decimal(amount), self.state.now() if at is None else at)
        self.send(ENCODE({"channel": "trade", "type": "update", "data": [self._named(row)]}), "trade", symbol)

    def lose_trade(self, symbol: str, price: str, amount: str = "0.1", at: int | None = None) -> None:
        """A trade happens, and the message of it is lost."""
        self.trades[symbol].trade(Decimal(price), Decimal(amount), self.state.now() if at is None else at)

    def level(self, symbol: str, *changes: tuple[str, str, str], flip: bool = False) -> None:
        """Levels change, and it is told; with `flip` the message carries an amount that is not in the book."""
        plain = [(side, Decimal(price), Decimal(amount)) for side, price, amount in changes]
        message = self.books[symbol].update(plain, self.state.now())
        if flip:
            right = MESSAGE.decode(message)
            for row in right["data"][0]["bids"] + right["data"][0]["asks"]:
                row["qty"] += 1
            message = ENCODE(right)
        self.send(message, "book", symbol)

    def candle(self, symbol: str, begin: int, minutes: int, prices: tuple[str, str, str, str], volume: str) -> None:
        """The exchange's own bar of an interval, as far as it has come."""
        names = ("open", "high", "low", "close")
        figures = {name: Decimal(price) for name, price in zip(names, prices, strict=True)}
        row: Row = {"symbol": symbol, **figures, "vwap": figures["close"], "trades": 1, "volume": Decimal(volume)}
        row |= {"interval": minutes, "interval_begin": iso(begin), "timestamp": iso(begin + minutes * 60_000)}
        self.candles[symbol] = row
        self.send(ENCODE({"channel": "ohlc", "type": "update", "data": [row]}), "ohlc", symbol)

    def instruments(self) -> None:
        """The pairs changed: everybody is told the new list."""
        self.send(instruments(self.state, self.faults.foreign_symbol), "instrument", "")

    def send(self, message: bytes, channel: str = "", symbol: str = "") -> None:
        """Any bytes, to those who subscribed that channel and symbol; to all connections without one."""
        self._call(lambda: self._send(message, channel, symbol))

    def run(self, work: Callable[[], object]) -> None:
        """Do something on the server's own thread; for a flood of messages."""
        self._call(work)

    def deliver(self, messages: Sequence[bytes], channel: str, symbol: str) -> None:
        """Send many in one go to those who subscribed there; on the server's own thread alone."""
        for peer in self._peers:
            if (channel, symbol) in peer.subscribed:
                for message in messages:
                    peer.socket.protocol.send_text(message)
                peer.socket.send_data()

    def later(self, at_s: float, work: Callable[[], object]) -> None:
        """Do something at a second of the server's own clock; on its own thread alone."""
        self._loop.call_at(at_s, work)

    def now_s(self) -> float:
        """The server's own clock."""
        return self._loop.time()

    # --- the server's thread -------------------------------------------------------------------------------------

    def _call(self, work: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(work)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        self._halt = asyncio.Event()
        await self._listen()
        self._ready.set()
        beats = asyncio.create_task(self._heartbeats())
        await self._halt.wait()
        beats.cancel()
        self._abort()
        for server in (self._server, self._tls):
            if server is not None:
                server.close()
                await server.wait_closed()

    async def _listen(self) -> None:
        self._server = await serve(
            self._connection, "127.0.0.1", self._port, ping_interval=None, close_timeout=0.2, compression=None
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def _listen_tls(self, context: ssl.SSLContext) -> None:
        self._tls = await serve(self._connection, "127.0.0.1", 0, ssl=context, close_timeout=0.2)
        self._tls_port = next(iter(self._tls.sockets)).getsockname()[1]

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close(close_connections=False)

    def _abort(self) -> None:
        for peer in self._peers:
            peer.socket.transport.abort()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.wait((asyncio.ensure_future(self._halt.wait()),), timeout=self._heartbeat_s)
            self.state.pass_time()
            if not self.faults.silent:
                for peer in self._peers:
                    if peer.subscribed:
                        self._write(peer, b'{"channel":"heartbeat"}')

    async def _connection(self, socket: ServerConnection) -> None:
        path = socket.request.path if socket.request is not None else ""
        peer = Peer(socket, path.startswith("/auth"), next(self._numbers))
        self._peers.append(peer)
        self.opened += 1
        self.on_open()
        self.ring()
        try:
            if self.faults.closings > 0:
                self.faults.closings -= 1
                return
            if not self.faults.silent:
                self._write(peer, self._status())
            async for message in socket:
                self._heard(peer, MESSAGE.decode(message))
                self.ring()
        except ConnectionClosed:
            pass
        finally:
            self._peers.remove(peer)
            self.ring()

    def _heard(self, peer: Peer, message: dict[str, Any]) -> None:
        method, params = message.get("method", ""), message.get("params", {})
        if self.faults.silent:
            return
        if method == "ping":
            peer.pings += 1
            self._answer(peer, message, "pong")
            return
        channel = params.get("channel", "")
        for symbol in params.get("symbol") or [""]:
            self.subscriptions.append((peer.number, method, channel, symbol))
            if method == "unsubscribe":
                peer.subscribed.pop((channel, symbol), None)
                self._answer(peer, message, method, {"channel": channel, "symbol": symbol})
            elif channel not in self.faults.unanswered:
                self._subscribe(peer, message, channel, symbol, params)

    def _subscribe(
        self, peer: Peer, message: dict[str, Any], channel: str, symbol: str, params: dict[str, Any]
    ) -> None:
        refusal = self._refusal(peer, channel, symbol, params)
        if refusal:
            self._answer(peer, message, "subscribe", error=refusal, symbol=symbol)
            return
        result = {name: value for name, value in params.items() if name not in ("token", "symbol")}
        if symbol:
            result["symbol"] = symbol
        self._answer(peer, message, "subscribe", result)
        peer.subscribed[channel, symbol] = params
        for first in self._first(peer, channel, symbol, params):
            self._write(peer, first)

    def _refusal(self, peer: Peer, channel: str, symbol: str, params: dict[str, Any]) -> str:
        if (channel, symbol) in self.faults.refuse:
            return f"Currency pair not supported {symbol}" if symbol else "Subscription not possible"
        if symbol and symbol not in self.state.pairs and symbol != self.faults.foreign_symbol:
            return f"Currency pair not supported {symbol}"
        if channel != "executions":
            return ""
        token = params.get("token", "")
        made = self.state.tokens.get(token)
        reused = self.faults.one_use_tokens and token in self.tokens and token != peer.token
        if not peer.private or made is None or self.state.now() - made > TOKEN_MS or reused:
            return "EAuth:Invalid session"
        if token not in self.tokens:
            self.tokens.append(token)
        peer.token = token
        return ""

    def _first(self, peer: Peer, channel: str, symbol: str, params: dict[str, Any]) -> list[bytes]:
        """What a new subscriber is told at once."""
        if self.faults.heartbeats_only:
            return []
        if channel == "book":
            return [self.first_lines.get(symbol) or self.books[symbol].snapshot(params.get("depth", 10))]
        if channel == "trade":
            rows = [self._named(row) for row in self.trades[symbol].kept] if params.get("snapshot") else []
            return [ENCODE({"channel": "trade", "type": "snapshot", "data": rows[::-1]})] if rows else []
        if channel == "ohlc" and symbol in self.candles:
            return [ENCODE({"channel": "ohlc", "type": "snapshot", "data": [self.candles[symbol]]})]
        if channel == "instrument":
            return [instruments(self.state, self.faults.foreign_symbol)]
        return [self._executions(peer, params)] if channel == "executions" else []

    def _executions(self, peer: Peer, params: dict[str, Any]) -> bytes:
        with self.state.lock:
            orders = [order_row(order, "new") for order in self.state.open_orders()]
            fills = [fill_row(self.state, fill) for fill in self.state.fills[-SNAPSHOT_FILLS:]]
        rows = (orders if params.get("snap_orders", True) else []) + (fills if params.get("snap_trades") else [])
        peer.sequence = 1
        return ENCODE({"channel": "executions", "type": "snapshot", "data": rows, "sequence": 1})

    def _happened(self, happening: Happening) -> None:
        """Render at once, while the order is as it is; send from our own thread."""
        if happening.fill is not None:
            row = fill_row(self.state, happening.fill)
        elif happening.exec_type in ("pending_new", "new"):
            row = order_row(happening.order, happening.exec_type)
        else:
            order = happening.order
            row = {"exec_type": happening.exec_type, "order_id": order.txid, "timestamp": iso(happening.at)}
            row |= {"order_status": happening.exec_type, "cum_qty": order.filled, "cum_cost": order.cost}
            row |= {"reason": order.reason} if order.reason else {}
        self._call(lambda: self._report(row))

    def _report(self, row: Row) -> None:
        for peer in self._peers:
            if ("executions", "") in peer.subscribed:
                peer.sequence += 1
                if self.faults.drop_reports > 0:
                    self.faults.drop_reports -= 1
                    continue
                message = {"channel": "executions", "type": "update", "data": [row], "sequence": peer.sequence}
                self._write(peer, ENCODE(message))

    def _named(self, row: Row) -> Row:
        if self.faults.foreign_symbol and row["symbol"] == "BTC/USD":
            return row | {"symbol": self.faults.foreign_symbol}
        return row

    def _status(self) -> bytes:
        row = {"version": "2.0.10", "system": self.state.status, "api_version": "v2", "connection_id": 1}
        return ENCODE({"channel": "status", "type": "update", "data": [row]})

    def _status_changed(self, status: str) -> None:
        self.send(self._status())

    def _answer(
        self,
        peer: Peer,
        asked: dict[str, Any],
        method: str,
        result: Row | None = None,
        error: str = "",
        symbol: str = "",
    ) -> None:
        now = iso(self.state.now())
        answer: Row = {"method": method, "success": not error, "time_in": now, "time_out": now}
        answer |= {"req_id": asked["req_id"]} if "req_id" in asked else {}
        answer |= {"result": result} if result is not None else {}
        answer |= {"error": error} if error else {}
        answer |= {"symbol": symbol} if symbol else {}
        self._write(peer, ENCODE(answer))

    def _send(self, message: bytes, channel: str, symbol: str) -> None:
        if self.faults.silent or (self.faults.heartbeats_only and channel):
            return
        for peer in self._peers:
            if not channel or (channel, symbol) in peer.subscribed:
                self._write(peer, message)

    def _write(self, peer: Peer, message: bytes) -> None:
        """Without waiting: order is kept, a full buffer is the other side's business."""
        if peer.socket.state.name == "OPEN":
            peer.socket.protocol.send_text(message)
            peer.socket.send_data()

    def ring(self) -> None:
        """Whoever waits looks again."""
        with self.bell:
            self.bell.notify_all()
