"""Two connections to a Redis or Valkey server, one speaking and one listening, with every wait bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Protocol

from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from ..core.clock import Timer
from ..core.errors import BusError
from .redaction import shown_url

WIRE_ERRORS = (RedisError, OSError)
"""Everything the vendor raises while a message is carried."""

RESP = 2
"""Published messages arrive as plain lists in this version of the protocol."""


PROBE_CHANNEL = "bus-probe"
"""Nobody listens here: a publish tells whether publishing is allowed at all."""


def escape_glob(text: str) -> str:
    """`text` as a subscription pattern that matches nothing but itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)


class Connection(Protocol):
    """What is used of the vendor's connection."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def send_command(self, *words: str | bytes) -> None: ...
    def send_packed_command(self, command: list[bytes]) -> None: ...
    def read_response(self, disable_decoding: bool, *, timeout: float, disconnect_on_error: bool) -> Any: ...


def open_connection(url: str, connect_seconds: float, send_seconds: float) -> Connection:
    """A connection that is never retried by the vendor's code; BusError when the URL cannot be used."""
    try:
        pool = ConnectionPool.from_url(
            url,
            protocol=RESP,
            socket_timeout=send_seconds,
            socket_connect_timeout=connect_seconds,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        made: Any = pool.make_connection()
    except (ValueError, TypeError) as error:
        said = type(error).__name__ if "@" in url else error  # whose words may repeat a part of the password
        raise BusError(
            f"bus address {shown_url(url)} cannot be used: {said}; write redis://HOST:PORT or "
            "redis://:PASSWORD@HOST:PORT, and %2F for a / in a password"
        ) from None
    connection: Connection = made
    connection.connect()
    return connection


def listen(connection: Connection, patterns: Iterable[str], seconds: Callable[[], float]) -> None:
    """Subscribe to `patterns` and wait for the server's word on each, at most `seconds()` each."""
    wanted = list(patterns)
    connection.send_command("PSUBSCRIBE", *wanted)
    for _ in wanted:
        connection.read_response(True, timeout=seconds(), disconnect_on_error=False)


def next_message(connection: Connection, seconds: float) -> tuple[str, bytes] | None:
    """The next published (channel, payload); None when none came within `seconds`."""
    try:
        frame: Any = connection.read_response(True, timeout=seconds, disconnect_on_error=False)
    except RedisTimeoutError:
        return None
    if not isinstance(frame, list) or frame[0] != b"pmessage":
        raise RedisConnectionError(f"unexpected answer of the server: {frame!r}")
    return frame[2].decode(errors="replace"), frame[3]


class Wire:
    """A pair of connections. Waits end at a deadline on the scale of `timer.seconds()`, sending after `send_seconds`.

    Once it stands the server does not answer PUBLISH any more: the barrier that comes back is the answer. A first
    publish is answered, so that a missing permission is told and not waited for.
    """

    def __init__(self, url: str, patterns: Iterable[str], timer: Timer, deadline: float, send_seconds: float) -> None:
        self._timer = timer
        with ExitStack() as undo:
            self._listener = open_connection(url, self._left(deadline), send_seconds)
            undo.callback(self._listener.disconnect)
            self._speaker = open_connection(url, self._left(deadline), send_seconds)
            undo.callback(self._speaker.disconnect)
            self._ask("PUBLISH", PROBE_CHANNEL, "", deadline=deadline)
            self._speaker.send_command("CLIENT", "REPLY", "OFF")
            listen(self._listener, patterns, lambda: self._left(deadline))
            undo.pop_all()

    def _ask(self, *words: str, deadline: float) -> None:
        self._speaker.send_command(*words)
        self._speaker.read_response(True, timeout=self._left(deadline), disconnect_on_error=False)

    def send(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish all of `messages` in order, in as few packets as possible."""
        commands: Iterable[Any] = (("PUBLISH", channel, raw) for channel, raw in messages)
        self._speaker.send_packed_command([b"".join(map(pack_command, commands))])

    def receive(self, deadline: float) -> tuple[str, bytes] | None:
        """The next (channel, payload) from the server; None when none came in time."""
        return next_message(self._listener, self._left(deadline))

    def close(self) -> None:
        """Give back both connections."""
        self._speaker.disconnect()
        self._listener.disconnect()

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - self._timer.seconds())
