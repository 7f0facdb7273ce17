"""A real HTTP server on loopback that answers as it was told and remembers what it was asked."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml

from src.connectors.config_files import load
from src.core.config import Moats


class Asked(NamedTuple):
    """One request as it arrived; header names in lower case."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class Answer(NamedTuple):
    """What goes out. `cut` closes the connection after so many bytes, `drop` before any, `hang` never answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    cut: int | None = None
    drop: bool = False
    hang: bool = False


Reply = Callable[[Asked], Answer]


def of(value: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer; `retry_after="5"` is the header Retry-After."""
    return Answer(json.dumps(value).encode(), status, _named(headers))


def raw(body: bytes | str, status: int = 200, **headers: str) -> Answer:
    """An answer of any bytes."""
    return Answer(body.encode() if isinstance(body, str) else body, status, _named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


HTML = b"<!DOCTYPE html><html><body>Request Rate Threshold nothing of the kind</body></html>"


class Served:
    """The server. `routes` maps a path to an answer, a list of answers (the last stays) or a function."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer | list[Answer] | Reply] = {}
        self.default: Answer = of({"message": "Not Found"}, 404)
        self.asked: list[Asked] = []
        self.release = Event()
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

    def reply(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        route = self.routes.get(asked.path, self.default)
        if isinstance(route, list):
            return route.pop(0) if len(route) > 1 else route[0]
        return route(asked) if callable(route) else route

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = served.reply(Asked(parts.path, parse_qs(parts.query), headers))
            if answer.hang:
                served.release.wait(30)
            if answer.hang or answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut])
            self.close_connection = answer.cut is not None

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output belongs to the test."""

    return Handler


def zipped(body: bytes) -> Answer:
    """A gzip body."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return Answer(packer.compress(body) + packer.flush(), 200, {"Content-Encoding": "gzip"})


def moats(url: str, *sets: str) -> Moats:
    """The shipped settings with every address at `url`; `github.max_commits=5` among `sets` changes one of them."""
    tree = _shipped().model_dump()
    places = ("github.base_url", "edgar.base_url", "federal_register.base_url", "network.charts_url")
    places += ("network.mempool_url", "daily_prices.base_url")
    for text in (*(f"{place}={url}" for place in places), "http.timeout_seconds=5", *sets):
        name, _, value = text.partition("=")
        section, key = name.split(".")
        assert key in tree[section]
        tree[section][key] = yaml.safe_load(value)
    return Moats.model_validate(tree)


@cache
def _shipped() -> Moats:
    return load(None, None, {}, []).settings.moats
