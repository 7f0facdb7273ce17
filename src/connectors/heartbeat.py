"""The sign of life: whoever stops seeing it knows that nobody trades here any more, whatever else is down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import httpx2

from ..core.clock import Timer, iso, wall_ms
from ..core.config_monitoring import HeartbeatSettings
from ..core.errors import ConfigError
from .private_file import Secret

FILE = "heartbeat"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def ping_address(secret: Secret) -> Secret:
    """An address that may be called: https, or http on this machine; ConfigError for another, which is not repeated."""
    try:
        url = httpx2.URL(secret.text)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if not url.host or not (url.scheme == "https" or (url.scheme == "http" and url.host in _LOOPBACK)):
        raise ConfigError("monitoring.heartbeat.url_file: its line is no address that begins with https://")
    return secret


class Heartbeat:
    """Writes the time into a file and calls an address, again and again, as long as `silent` has nothing to say.

    `silent` says why there is no sign of life, empty while there is one. `beat_ms` is when the last one was (UTC),
    None before the first; `failure` what is wrong with telling it, empty when nothing is.
    """

    def __init__(
        self,
        path: Path,
        url: Secret | None,
        settings: HeartbeatSettings,
        silent: Callable[[], str],
        timer: Timer,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.beat_ms: int | None = None
        self.failure = ""
        self._path, self._url, self._settings, self._silent = path, url, settings, silent
        self._timer, self._now_ms = timer, now_ms
        self._closing = Event()
        self._client = None if url is None else httpx2.Client(timeout=settings.timeout_seconds, follow_redirects=False)
        self._thread = Thread(target=self._serve, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop; the file stays and grows old."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(2 * self._settings.timeout_seconds)
        if self._client is not None:
            self._client.close()

    def beat(self) -> bool:
        """One sign of life, or none; whether there was one."""
        why = self._silent()
        if why:
            self.failure = why
            return False
        now_ms = self._now_ms()
        self.failure = self._write(now_ms) or self._call()
        self.beat_ms = now_ms
        return True

    def _serve(self) -> None:
        while not self._closing.is_set():
            self.beat()
            self._timer.wait(self._closing, self._settings.every_seconds)

    def _write(self, now_ms: int) -> str:
        try:
            self._path.write_text(iso(now_ms) + "\n")
        except OSError as error:
            return f"the file {self._path.name} cannot be written ({error.strerror})"
        return ""

    def _call(self) -> str:
        if self._client is None or self._url is None:
            return ""
        try:
            with self._client.stream("GET", self._url.text) as answer:
                return "" if answer.is_success else f"the address of the heartbeat answers {answer.status_code}"
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return f"the address of the heartbeat cannot be reached ({type(error).__name__})"
