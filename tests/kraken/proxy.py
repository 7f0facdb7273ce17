"""A line between a stream and the local Kraken that can be cut, slowed down, made deaf, or made to flip a bit."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self
from urllib.parse import urlsplit


class Line:
    """Passes bytes on. `mode` says how those of the exchange are treated from now on.

    pass: as they are. cut: half of the next bytes, then a reset. slow: 100 bytes a second. deaf: not at all, while the
    connection stands. flip: one bit of the next amount, then pass.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url).hostname or "", urlsplit(url).port or 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.mode = "pass"
        self._closing = Event()
        self._sockets: list[socket.socket] = []
        self._lock = Lock()
        self._threads = [Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Where the stream connects to."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def _drop(self) -> None:
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(self._target, 5)
            except OSError:
                continue
            with self._lock:
                self._sockets += [inner, outer]
            for source, sink, ours in ((inner, outer, False), (outer, inner, True)):
                self._threads.append(Thread(target=self._pump, args=(source, sink, ours), daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, theirs: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not theirs or not self._spoil(data, sink):
                    sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _spoil(self, data: bytes, sink: socket.socket) -> bool:
        """Whether the bytes were dealt with."""
        if self.mode == "deaf":
            return True
        if self.mode == "slow":
            for at in range(0, len(data), 10):
                sink.sendall(data[at : at + 10])
                if self._closing.wait(0.1) or self.mode != "slow":
                    sink.sendall(data[at + 10 :])
                    return True
            return True
        if self.mode == "cut" and len(data) > 40:
            self.mode = "pass"
            sink.sendall(data[: len(data) // 2])
            raise OSError("cut")
        place = data.find(b'"qty":') + 6
        if self.mode == "flip" and b'"book"' in data and place > 5:
            self.mode = "pass"
            sink.sendall(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            return True
        return False
