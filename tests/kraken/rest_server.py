"""The local Kraken's REST half: HTTP on loopback with signatures, nonces, counters and faults on demand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.kraken.exchange_state import ApiKey, ExchangeState, Rejected
from tests.kraken.rest_private import Endpoint, PrivateSide
from tests.kraken.rest_public import PublicSide

HTML = b"<!DOCTYPE html><html><title>502 Bad Gateway</title><body>cloudflare</body></html>"
MAX_WRONG_KEYS = 5


@dataclass
class Fault:
    """What goes wrong with the next `times` calls of an endpoint.

    before the exchange heard of it: `error` (answers `text`), `refuse` (HTTP `status`), `swallow` (no answer), `reset`
    after it did: `lost` (no answer), `status` (HTTP `status`), `html`, `empty`, `bare` (no result fields), `warn`,
    `cut` (half the body), `drip` (a byte at a time), `body` (answers `text` as it is), `big`
    and `late`: nothing is answered, the exchange hears of it when the test says `deliver()`.
    """

    endpoint: str
    kind: str
    text: str = ""
    status: int = 502
    times: int = 1


@dataclass(frozen=True)
class Heard:
    """One request as it arrived."""

    endpoint: str
    said: Mapping[str, str]
    key: str = ""


@dataclass
class Reply:
    """What goes out."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    manner: str = ""


class _Quiet(ThreadingHTTPServer):
    """A client that leaves early is no news; any other fault of a handler is."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class RestServer:
    """Serves one `ExchangeState`. `heard` is every request, `faults` what shall go wrong; `url` is for the SDK."""

    def __init__(self, state: ExchangeState) -> None:
        self.state = state
        self.public, self.private = PublicSide(state), PrivateSide(state)
        self.faults: list[Fault] = []
        self.heard: list[Heard] = []
        self.parked: list[Heard] = []
        self.release = Event()
        self._wrong_keys = 0
        self._lock = Lock()
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """No thread is left."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def calls(self, endpoint: str) -> list[Heard]:
        """The requests to one endpoint."""
        return [one for one in self.heard if one.endpoint == endpoint]

    def deliver(self) -> list[bytes]:
        """The requests that were on their way so long arrive now."""
        parked, self.parked = self.parked, []
        return [self._do(one.endpoint, one.said, self.state.keys[one.key]) for one in parked]

    def answer(self, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What a request gets."""
        with self._lock:
            return self._answer(path, query, headers, body)

    def _answer(self, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
        endpoint = path.rpartition("/")[2]
        said = dict(parse_qsl(body.decode() if body else query))
        self.heard.append(Heard(endpoint, said, headers.get("api-key", "")))
        fault = next((one for one in self.faults if one.endpoint == endpoint and one.times > 0), None)
        if fault is not None:
            fault.times -= 1
            before = _before(fault)
            if before is not None:
                return before
        try:
            if path.startswith("/0/public/"):
                done = _good(self._public(endpoint, said))
            else:
                key = self._signed(path, said, headers, body)
                if fault is not None and fault.kind == "late":
                    self.parked.append(Heard(endpoint, said, key.key))
                    return Reply(b"", manner="hang")
                done = self._do(endpoint, said, key)
        except Rejected as no:
            done = _bad(str(no))
        return Reply(done) if fault is None else _after(fault, done)

    def _public(self, endpoint: str, said: Mapping[str, str]) -> dict[str, Any]:
        if endpoint not in self.public.endpoints:
            raise Rejected("EGeneral:Unknown method")
        return self.public.endpoints[endpoint](said)

    def _signed(self, path: str, said: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> ApiKey:
        key = self.state.keys.get(headers.get("api-key", ""))
        if key is None or self._wrong_keys >= MAX_WRONG_KEYS:
            self._wrong_keys += 1
            locked = self._wrong_keys > MAX_WRONG_KEYS
            raise Rejected("EGeneral:Temporary lockout" if locked else "EAPI:Invalid key")
        nonce = said.get("nonce", "")
        digest = hashlib.sha256(nonce.encode() + body).digest()
        wanted = hmac.new(base64.b64decode(key.secret), path.encode() + digest, hashlib.sha512).digest()
        if headers.get("api-sign", "") != base64.b64encode(wanted).decode():
            raise Rejected("EAPI:Invalid signature")
        if not nonce.isdigit() or int(nonce) <= key.nonce:
            raise Rejected("EAPI:Invalid nonce")
        key.nonce = int(nonce)
        return key

    def _do(self, endpoint: str, said: Mapping[str, str], key: ApiKey) -> bytes:
        found: Endpoint | None = self.private.endpoints.get(endpoint)
        try:
            if found is None:
                raise Rejected("EGeneral:Unknown method")
            if found.rights and not found.rights & key.rights:
                raise Rejected("EGeneral:Permission denied")
            if not self.state.counters.rest.add(found.cost):
                raise Rejected("EAPI:Rate limit exceeded")
            return _good(found.do(key, said))
        except Rejected as no:
            return _bad(str(no))


def _before(fault: Fault) -> Reply | None:
    match fault.kind:
        case "error":
            return Reply(_bad(fault.text))
        case "refuse":
            return Reply(HTML, fault.status, {"Retry-After": fault.text} if fault.text else {})
        case "swallow":
            return Reply(b"", manner="hang")
        case "reset":
            return Reply(b"", manner="reset")
        case "redirect":
            return Reply(b"", 307, {"Location": fault.text})
    return None


def _after(fault: Fault, done: bytes) -> Reply:
    match fault.kind:
        case "lost":
            return Reply(done, manner="hang")
        case "lost_reset":
            return Reply(done, manner="reset")
        case "status":
            return Reply(HTML, fault.status)
        case "html":
            return Reply(HTML)
        case "empty":
            return Reply(b"{}")
        case "bare":
            return Reply(b'{"error":[],"result":{}}')
        case "warn":
            return Reply(json.dumps({**json.loads(done), "error": [fault.text]}).encode())
        case "cut":
            return Reply(done, manner="cut")
        case "drip":
            return Reply(done, manner="drip")
        case "body":
            return Reply(fault.text.encode())
        case "big":
            return Reply(b'{"error":[],"result":{"x":"' + b"x" * 20_000_000 + b'"}}')
    raise AssertionError(f"no fault is called {fault.kind}")


def _good(result: dict[str, Any]) -> bytes:
    return json.dumps({"error": [], "result": result}).encode()


def _bad(*errors: str) -> bytes:
    return json.dumps({"error": list(errors)}).encode()


def _handler(server: RestServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        def _reply(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.answer(parts.path, parts.query, headers, body)
            if reply.manner in ("hang", "reset"):
                self.close_connection = True
                if reply.manner == "hang":
                    server.release.wait(30)
                else:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self._body(reply)

        def _body(self, reply: Reply) -> None:
            if reply.manner == "drip":
                self.close_connection = True
                for byte in reply.body:
                    if server.release.wait(0.05):
                        return
                    self.wfile.write(bytes((byte,)))
                return
            self.close_connection = reply.manner == "cut"
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.manner == "cut" else reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output belongs to the test."""

    return Handler
