"""The process's own socket: commands and questions reach a run without passing over the bus."""

from __future__ import annotations

import difflib
import logging
import os
import selectors
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..core.clock import Timer
from ..core.errors import MycelialError, NotRunning, TimeoutExceeded, UsageError

Handler = Callable[[dict[str, Any]], dict[str, Any]]

MAX_REQUEST_BYTES = 64 * 1024  # of the protocol: one line, its end not counted
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # of the protocol: a client reads no further
MAX_CONNECTIONS = 16  # of the protocol: a newcomer takes the place of the one that has been silent longest
BACKLOG = 16
READ_BYTES = 64 * 1024
NO_DESCRIPTOR_SECONDS = 0.1
"""Pause where the machine has no file descriptor left to greet a client with."""

_log = logging.getLogger(__name__)


class _Talk:
    """One connection: what came in and is not answered yet, what is answered and not gone out yet."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.ending = False


class ControlServer:
    """Answers one JSON line with one JSON line, on a unix socket only its own user can use.

    Handlers run one after the other in the server's thread, in the order of the requests, and get the request
    without `command`. What they return goes out with `"ok": true`; what they raise as
    `{"ok": false, "error": ..., "exit_code": n}`, and the server goes on. UsageError when the socket cannot be made.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self._handlers = dict(handlers)
        self._talks: dict[socket.socket, _Talk] = {}  # the one that has been silent longest comes first
        self._listener = _listen(path)
        self._bell, self._button = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        """Hang up and remove the socket; waits at most `seconds` for a handler that is at work (None: until it ends).

        Calling it again does nothing.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self.path.unlink(missing_ok=True)
        self._button.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._greet()
                elif key.fileobj in self._talks:
                    self._go_on(self._talks[key.fileobj])
        for talk in list(self._talks.values()):
            self._drop(talk)
        self._selector.close()
        self._listener.close()
        self._bell.close()

    def _greet(self) -> None:
        try:
            link, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.warning("control socket %s: %s", self.path, error)
            self._drop_the_silent(0)
            self._closing.wait(NO_DESCRIPTOR_SECONDS)
            return
        link.setblocking(False)
        self._drop_the_silent(MAX_CONNECTIONS - 1)
        talk = self._talks[link] = _Talk(link)
        self._selector.register(link, selectors.EVENT_READ)
        if not _is_own_user(link):
            self._end(talk, "this process belongs to another user; run the command as that user")

    def _drop_the_silent(self, keep: int) -> None:
        while len(self._talks) > keep:
            self._drop(next(iter(self._talks.values())))

    def _go_on(self, talk: _Talk) -> None:
        self._talks[talk.link] = self._talks.pop(talk.link)
        try:
            if not talk.outbox:
                talk.inbox += _received(talk.link)
            self._answer_lines(talk)
        except BlockingIOError:
            pass  # the client has no room for more of its answer, or nothing to say
        except OSError:
            self._drop(talk)  # the client is gone, and its answer with it
        if talk.link in self._talks:
            self._selector.modify(talk.link, selectors.EVENT_WRITE if talk.outbox else selectors.EVENT_READ)

    def _answer_lines(self, talk: _Talk) -> None:
        """Answer what is whole; a line waits until the answer before it has gone out."""
        while True:
            while talk.outbox:
                del talk.outbox[: talk.link.send(talk.outbox)]
            if talk.ending:
                return self._drop(talk)
            end = talk.inbox.find(b"\n")
            if (end if end >= 0 else len(talk.inbox)) > MAX_REQUEST_BYTES:
                return self._end(talk, f"a request has at most {MAX_REQUEST_BYTES} bytes")
            if end < 0:
                return None
            line = bytes(talk.inbox[:end])
            del talk.inbox[: end + 1]
            talk.outbox += self._answer(line)

    def _end(self, talk: _Talk, message: str) -> None:
        talk.ending = True
        talk.outbox += _refusal(UsageError(message))
        self._go_on(talk)

    def _drop(self, talk: _Talk) -> None:
        if self._talks.pop(talk.link, None) is not None:
            self._selector.unregister(talk.link)
            talk.link.close()

    def _answer(self, line: bytes) -> bytes:
        try:
            command, fields = _request(line)
            handler = self._handlers.get(command)
            if handler is None:
                raise UsageError(_unknown(command, self._handlers))
            return msgspec.json.encode({**handler(fields), "ok": True}) + b"\n"
        except MycelialError as error:
            return _refusal(error)
        except Exception as error:  # noqa: BLE001 - one failing handler must not take the socket from the others
            _log.error("control request failed", exc_info=error)
            return _refusal(MycelialError(f"internal error: {type(error).__name__}: {error}"))


def ask(path: Path, command: str, timeout: float, /, **fields: Any) -> dict[str, Any]:
    """Ask the process behind the socket `path`; its answer, `ok` true or false. `timeout` in seconds, for all of it.

    NotRunning when nobody answers there, TimeoutExceeded when the answer is not there in time (what was asked for
    may happen all the same), UsageError when the question cannot be sent.
    """
    request = _encode(command, fields)
    timer = Timer()
    deadline = timer.seconds() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.settimeout(timeout)
            _reach(link, path)
            link.sendall(request)
            return _read_answer(link, path, deadline, timer)
        except (TimeoutError, BlockingIOError) as error:
            raise TimeoutExceeded(
                f"{path}: no answer within {timeout:g} s; `{command}` may take effect all the same: "
                "see `mycelial status`"
            ) from error
        except ConnectionError as error:
            raise NotRunning(f"{path}: the process ended before it answered `{command}`") from error


def _encode(command: str, fields: Mapping[str, Any]) -> bytes:
    try:
        request = msgspec.json.encode({**fields, "command": command})
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"{command}: cannot be sent: {error}") from error
    if len(request) > MAX_REQUEST_BYTES:
        raise UsageError(f"{command}: {len(request)} bytes; a request has at most {MAX_REQUEST_BYTES}")
    return request + b"\n"


def _reach(link: socket.socket, path: Path) -> None:
    try:
        link.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise NotRunning(f"{path}: no process answers here; start one with `mycelial run`") from error
    except (TimeoutError, BlockingIOError):
        raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; check the path and whose process it is") from error


def _read_answer(link: socket.socket, path: Path, deadline: float, timer: Timer) -> dict[str, Any]:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        left = deadline - timer.seconds()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        answer += _received(link)
        if len(answer) > MAX_ANSWER_BYTES:
            raise MycelialError(
                f"{path}: an answer of more than {MAX_ANSWER_BYTES} bytes; another program answers here"
            )
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise MycelialError(f"{path}: the answer is no JSON object ({error}); another program answers here") from error


def _listen(path: Path) -> socket.socket:
    """A listening socket for this user alone: its rights are set before anybody can connect."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"{path}: no control socket can be made here ({error.strerror or error}); choose another --state"
        ) from error
    return listener


def _received(link: socket.socket) -> bytes:
    """What a client sent; ConnectionResetError when it hung up."""
    data = link.recv(READ_BYTES)
    if not data:
        raise ConnectionResetError
    return data


def _is_own_user(link: socket.socket) -> bool:
    """Whether the other end runs as this user; elsewhere than on Linux the rights of the socket alone say so."""
    if sys.platform != "linux":
        return True
    _, uid, _ = struct.unpack("iII", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII")))
    return bool(uid == os.geteuid())


def _request(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise UsageError(f"a request is one JSON object a line: {error}") from error
    command = fields.pop("command", None)
    if not isinstance(command, str):
        raise UsageError('a request names its command: {"command": "status"}')
    return command, fields


def _unknown(command: str, known: Mapping[str, Handler]) -> str:
    near = difflib.get_close_matches(command, known, 1)
    return f"unknown command {command[:40]!r}, " + (
        f"did you mean {near[0]!r}?" if near else f"use one of {sorted(known)}"
    )


def _refusal(error: MycelialError) -> bytes:
    text = str(error).encode(errors="replace").decode()  # a lone surrogate of a file name has no UTF-8
    return msgspec.json.encode({"ok": False, "error": text, "exit_code": error.exit_code}) + b"\n"
