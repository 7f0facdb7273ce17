"""How long a trade of the exchange takes from the socket of the other side to a signal, at ten thousand a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ...core.clock import Timer, iso, wall_ms
from ...core.errors import TimeoutExceeded
from ...core.types import FloatArray, Pair
from .measure import MILLISECONDS, Measured, Parts, Sizes, TickStream, alternated, percentile

PAIRS = tuple(Pair(f"{base}/USD") for base in ("AAVE", "BTC", "COMP", "DOGE", "ETH", "LTC", "SOL", "UNI"))
RATE = 10_000
"""Trades a second."""
BURST = 50
"""Trades that are sent together: a timer of finer grain would measure itself."""
PATIENCE_SECONDS = 30.0
P99 = 99.0


class TickSource:
    """An exchange on loopback that speaks WebSocket v2 as far as trades go; a thread with a loop of its own."""

    def __init__(self, timer: Timer) -> None:
        self.url = ""
        self.sent: FloatArray = np.zeros(0)
        self._timer = timer
        self._loop = asyncio.new_event_loop()
        self._peer: ServerConnection | None = None
        self._listening, self._halt = Event(), asyncio.Event()
        self._number = 0
        self._thread = Thread(target=self._serve, name="bench-exchange", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(PATIENCE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._halt.set)
        self._thread.join(PATIENCE_SECONDS)

    def flow(self, count: int) -> None:
        """Begin to send so many trades at RATE; `sent` gets the second at which each left. Returns at once."""
        self.sent = np.zeros(count)
        self._loop.call_soon_threadsafe(lambda: self._burst(0, self._loop.time()))

    def _burst(self, first: int, begun: float) -> None:
        last, at, peer = min(first + BURST, len(self.sent)), iso(wall_ms()), self._peer
        if peer is None:
            return
        for place in range(first, last):
            self._number += 1
            peer.protocol.send_text(_trade(place, self._number, at))
        self.sent[first:last] = self._timer.seconds()
        peer.send_data()
        if last < len(self.sent):
            self._loop.call_at(begun + last / RATE, self._burst, last, begun)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        async with serve(self._connection, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            self._listening.set()
            await self._halt.wait()

    async def _connection(self, socket: ServerConnection) -> None:
        self._peer = socket
        try:
            async for message in socket:
                for answer in _answers(msgspec.json.decode(message)):
                    await socket.send(answer)
        except ConnectionClosed:
            self._peer = None


def _answers(asked: dict[str, Any]) -> list[str]:
    """Every subscription is granted, one answer a symbol."""
    if asked["method"] == "ping":
        return ['{"method":"pong"}']
    params = asked["params"]
    symbols = params.get("symbol") or [""]
    results = [{"channel": params["channel"], "symbol": symbol} for symbol in symbols]
    head = {"method": asked["method"], "success": True, "req_id": asked["req_id"]}
    return [msgspec.json.encode(head | {"result": result}).decode() for result in results]


def _trade(place: int, number: int, at: str) -> bytes:
    """One message as Kraken sends it; the amount says which trade of the round it is."""
    pair = PAIRS[place % len(PAIRS)]
    row = f'"symbol":"{pair}","side":"buy","price":{1000 + place % 5}.5,"qty":{place + 1},"ord_type":"market"'
    return f'{{"channel":"trade","type":"update","data":[{{{row},"trade_id":{number},"timestamp":"{at}"}}]}}'.encode()


def tick_to_signal(parts: Parts, sizes: Sizes) -> Measured:
    """Milliseconds from the sending of a trade to the moment a signal of it, or of a later one of its pair, stands.

    99th percentile of all trades of a round. The signal is the distance from the pair's running mean; both sides
    share this process.
    """
    with TickSource(parts.timer) as source, closing(parts.stream(source.url, PAIRS)) as stream:
        _until(parts.timer, stream.ready, stream)
        (found,) = alternated(sizes.runs, lambda: _round(source, stream, parts.timer, sizes.ticks))
    return Measured(found)


def _round(source: TickSource, stream: TickStream, timer: Timer, count: int) -> float:
    signalled, done, means = np.zeros(count), dict.fromkeys(PAIRS, -1), dict.fromkeys(PAIRS, 0.0)
    lasts = {PAIRS[place % len(PAIRS)]: place for place in range(count)}
    source.flow(count)

    def step() -> bool:
        for pair, tick in stream.newest().items():
            means[pair] += 0.01 * (tick.price - means[pair])
            place = int(tick.amount) - 1
            _mark(signalled, pair, done[pair], place, timer.seconds())
            done[pair] = place
        return done == lasts

    _until(timer, step, stream)
    return MILLISECONDS * percentile((signalled - source.sent).tolist(), P99)


def _mark(signalled: FloatArray, pair: Pair, before: int, place: int, now_s: float) -> None:
    """All trades of the pair after the one before, up to this one, are signalled now."""
    first = PAIRS.index(pair) if before < 0 else before + len(PAIRS)
    signalled[first : place + 1 : len(PAIRS)] = now_s


def _until(timer: Timer, over: Callable[[], bool], stream: TickStream) -> None:
    deadline = timer.seconds() + PATIENCE_SECONDS
    while not over():
        if timer.seconds() > deadline:
            raise TimeoutExceeded("bench: the trades did not all arrive; run it again on a machine with room")
        stream.wait(0.05)
