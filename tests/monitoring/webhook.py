"""A real HTTP server on loopback that stands for Discord: answers as it was told and keeps what was posted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from types import MappingProxyType
from typing import Any, NamedTuple

SECONDS = 20.0
"""How long a test waits for anything."""


class Reply(NamedTuple):
    """What goes out; `hang` waits for the end of the test."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    hang: bool = False


class Posted(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    body: dict[str, Any]


class Webhook:
    """`replies` go out in order, then 204 for ever."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.replies: list[Reply] = []
        self.release = Event()
        self._came = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, posted: Posted) -> Reply:
        with self._came:
            self.posted.append(posted)
            self._came.notify_all()
            return self.replies.pop(0) if self.replies else Reply()

    def texts(self, count: int) -> list[str]:
        """What was posted, once there is so much of it."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.posted) >= count, SECONDS), self.posted
            return [posted.body["content"] for posted in self.posted if posted.method == "POST"]


def _handler(hook: Webhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self._serve("POST")

        def do_GET(self) -> None:
            self._serve("GET")

        def _serve(self, method: str) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            reply = hook.take(Posted(method, self.path, json.loads(raw) if raw else {}))
            if reply.hang:
                hook.release.wait(SECONDS)
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output belongs to the test."""

    return Handler
