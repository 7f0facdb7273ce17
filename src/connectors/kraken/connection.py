"""One connection of the vendor's kit, wrapped: it reconnects never by itself, rounds no number, fills no memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import kraken.spot.websocket.connectors as vendor
from kraken.spot import SpotWSClient
from websockets.exceptions import ConnectionClosed

from ...core.errors import MycelialError, Unavailable

API_VERSION = "/v2"
"""What the kit appends to an address."""
BURST = 100
"""Messages handled in one go before the kit may look at its ping; part of the technique, changes no result."""
NOTHING = "{}"
"""What the kit gets to read instead: it would turn numbers into floats, and has nothing to do with what they say."""

Hear = Callable[[bytes], None]
Ended = Callable[[], None]
Token = Callable[[], str]


def quiet_logs() -> None:
    """The kit logs tokens at DEBUG and INFO; nothing below a warning may pass."""
    for name in ("kraken", "websockets", "aiohttp"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))


class _Wire:
    """The kit's socket as the kit sees it: every message goes to `hear` as it was sent, and to nobody else."""

    def __init__(self, socket: Any, hear: Hear, ended: Callable[[], None]) -> None:
        self._socket, self._hear, self._ended = socket, hear, ended

    async def recv(self) -> str:
        """Handle some messages; the kit asks again, and cancels the wait when it wants to ping."""
        try:
            for _ in range(BURST):
                self._hear(await self._socket.recv(decode=False))
        except ConnectionClosed:
            self._ended()  # and the kit's loop is over: with an exception it would connect again
        return NOTHING

    async def send(self, text: str) -> None:
        """One message."""
        await self._socket.send(text)

    async def close(self, seconds: float) -> None:
        """Say good-bye, and hang up where nobody answers in time."""
        try:
            await asyncio.wait_for(self._socket.close(), seconds)
        except TimeoutError:
            self._socket.transport.abort()


class _Connection(vendor.ConnectSpotWebsocket):
    """The kit's connection for one life: whoever uses it decides whether and when there is another."""

    MAX_RECONNECT_NUM = 2
    """The kit counts the first connect as a reconnect, and gives up when it reaches this number."""

    def __init__(self, client: Client, endpoint: str, hear: Hear, ended: Ended, private: bool, received: int) -> None:
        self._hear, self._ended, self._received = hear, ended, received
        self._wire: _Wire | None = None
        self.opened = asyncio.Event()
        super().__init__(client, endpoint, _ignore, is_auth=private)

    @property
    def socket(self) -> _Wire | None:
        """What the kit reads from and writes to."""
        return self._wire

    @socket.setter
    def socket(self, socket: Any) -> None:
        if socket is None:
            return
        # The kit opens its sockets with an unbounded queue: above this bound the other side has to wait.
        socket.recv_messages.high, socket.recv_messages.low = self._received, self._received // 4
        self._wire = _Wire(socket, self._hear, self._end)
        self.opened.set()

    def _end(self) -> None:
        self.keep_alive = False
        self._ended()

    def _manage_subscriptions(self, message: Any) -> None:
        """Nothing: what is wanted is known elsewhere, and compared with what was promised."""

    async def _recover_subscriptions(self, event: asyncio.Event) -> None:
        """Nothing: a connection lives once."""

    def _ConnectSpotWebsocketBase__get_reconnect_wait(self, attempts: int) -> float:
        """The kit waits a random second or two before it connects; pauses are decided outside."""
        return 0.0


class Client(SpotWSClient):
    """The kit's client with one connection, public, or private with a token of its own; built anew for each life."""

    def __init__(self, url: str, hear: Hear, ended: Ended, received: int, token: Token | None) -> None:
        quiet_logs()
        super().__init__("", "", _ignore, no_public=True)
        private = token is not None
        self._token, self._is_auth = token, private
        self.trouble = "no connection was possible"
        self.connection = _Connection(self, url + API_VERSION, hear, ended, private, received)
        self._pub_conn, self._priv_conn = (None, self.connection) if private else (self.connection, None)

    async def get_ws_token(self) -> dict[str, str]:
        """A fresh token by our own REST client, whose nonces nobody else may use; never on this thread."""
        if self._token is None:
            raise Unavailable("kraken: no token for a private connection: give the stream one")
        try:
            return {"token": await asyncio.to_thread(self._token)}
        except MycelialError as error:
            self.trouble = f"no token: {error}"
            raise

    async def open(self, seconds: float) -> None:
        """Connect once; Unavailable when that fails or takes too long."""
        await self.connection.start()
        opened = asyncio.create_task(self.connection.opened.wait())
        try:
            done, _ = await asyncio.wait(
                (opened, self.connection.task), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            opened.cancel()
        if opened not in done:
            raise Unavailable(f"kraken: {self.trouble if done else 'no connection in time'}")

    @property
    def alive(self) -> bool:
        """Whether the connection is still served."""
        return self.connection.opened.is_set() and not self.connection.task.done() and self.connection.keep_alive

    async def leave(self, seconds: float) -> None:
        """Give everything back at once; the kit's own way takes ten seconds for each connection."""
        self.connection.keep_alive = False
        if self.connection.socket is not None:
            await self.connection.socket.close(seconds)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # what the kit has started and does not end itself: this loop is its own
        if hasattr(self.connection, "task"):
            await asyncio.wait((self.connection.task,), timeout=seconds)
        self._pub_conn = self._priv_conn = None
        await self.close()


async def _ignore(message: Any) -> None:
    """What the kit reports itself: the end of its task says the same."""
