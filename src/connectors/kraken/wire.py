"""Sends one request through python-kraken-sdk and brings back status and bytes, within one total time, once.

The SDK's client signs and keeps the session; nonce, time limits, size limit and the reading of answers are ours:
its own nonces collide, its timeout is per read, and its error handling hands out unknown errors as data.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...core.clock import Timer
from ...core.config_venues import KrakenRest
from ..venues.keys import ApiKey
from ..venues.text import plain

if TYPE_CHECKING:
    import requests
    from kraken.base_api import SpotClient

_LOGGERS = ("kraken", "urllib3", "requests", "websockets", "aiohttp")
_PIECE = 65_536
_Hold = Callable[[socket.socket], None]


class NoAnswer(Exception):
    """Nothing, or nothing whole, came back; whether the request arrived is unknown."""


class Raw(msgspec.Struct, frozen=True):
    """An answer as it came."""

    status: int
    body: bytes


def quiet_loggers() -> None:
    """The libraries log requests and tokens at INFO and DEBUG: nothing below WARNING leaves them."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.WARNING, logger.level))


class Wire:
    """One session; calls wait for each other, so that nonces arrive in their order."""

    def __init__(self, settings: KrakenRest, key: ApiKey | None, nonce: Callable[[], int], timer: Timer) -> None:
        quiet_loggers()
        self._settings, self._timer = settings, timer
        self._watch = _Watch()
        self._client = _client(settings.url, key, nonce, self._watch.hold)
        self._lock = Lock()

    def ask(self, method: str, path: str, params: Mapping[str, str], signed: bool) -> Raw:
        """Send it once. NoAnswer when nothing whole came within `total_seconds`; nothing is repeated or redirected.

        What the nonce cannot be kept for is not sent: that error of `nonce` goes through.
        """
        import requests
        import urllib3

        with self._lock, self._watch.within(self._timer, self._settings.total_seconds) as over:
            try:
                return self._send(method, path, dict(params), signed)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if over.is_set() or isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
                    raise NoAnswer("no answer in time") from None
                raise NoAnswer(f"no whole answer ({type(error).__name__})") from None

    def _send(self, method: str, path: str, params: dict[str, str], signed: bool) -> Raw:
        # The SDK takes whole seconds by its types only; requests takes what it is given.
        wait = cast("int", self._settings.wait_seconds)
        found = self._client.request(method, path, params=params, timeout=wait, auth=signed)
        response = cast("requests.Response", found)
        with response:
            pieces, size = [], 0
            for piece in response.iter_content(_PIECE):
                size += len(piece)
                if size > self._settings.max_answer_bytes:
                    raise NoAnswer(f"an answer of more than {self._settings.max_answer_bytes} bytes")
                pieces.append(piece)
            return Raw(response.status_code, b"".join(pieces))

    def close(self) -> None:
        """Give back the connection."""
        self._watch.close()
        _session(self._client).close()


class _Watch:
    """Cuts the connection that is in use when a call has lasted too long: read timeouts begin anew with each byte."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._lock = Lock()

    def hold(self, used: socket.socket) -> None:
        """The connection that calls go over from now on."""
        with self._lock:
            self._socket = used

    def within(self, timer: Timer, seconds: float) -> _Limit:
        """A limit for one call."""
        return _Limit(self, timer, seconds)

    def close(self) -> None:
        """End what is going on."""
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Limit:
    """Within it a call lives so long; `over` says that it was cut."""

    def __init__(self, watch: _Watch, timer: Timer, seconds: float) -> None:
        self._watch, self._timer, self._seconds = watch, timer, seconds
        self._done, self._over = Event(), Event()
        self._thread = Thread(target=self._run, name="kraken-limit", daemon=True)

    def __enter__(self) -> Event:
        self._thread.start()
        return self._over

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        if not self._timer.wait(self._done, self._seconds):
            self._over.set()
            self._watch.close()


def error_text(body: bytes) -> str:
    """The beginning of a foreign body, printable."""
    return plain(body[:80].decode("utf-8", "replace"))


def _session(client: SpotClient) -> Any:
    """The SDK's session, which it keeps private; `_client` and its test rest on the name."""
    return client._SpotClient__session  # type: ignore[attr-defined]


def _client(url: str, key: ApiKey | None, nonce: Callable[[], int], hold: _Hold) -> SpotClient:
    """The SDK's client with our nonce and our session; imported here, because it takes half a second."""
    from kraken.base_api import SpotClient

    class Client(SpotClient):
        def get_nonce(self) -> str:
            return str(nonce())

        def _SpotClient__create_new_session(self) -> None:
            super()._SpotClient__create_new_session()  # type: ignore[misc]
            _prepare(_session(self), hold)

    # Without its own exceptions it hands out the answer as it came.
    key_text, secret = (key.key, key.secret) if key else ("", "")
    return Client(key=key_text, secret=secret, url=url, use_custom_exceptions=False)


def _prepare(session: requests.Session, hold: _Hold) -> None:
    """No redirects (an order would be sent again, to somebody else), bodies read by us, connections known to us."""
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            hold(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            hold(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
            super().init_poolmanager(*arguments, **named)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    session.stream = True
    session.max_redirects = 0
    session.mount("http://", Adapter())
    session.mount("https://", Adapter())
