"""A line to a server that can be slowed down, made deaf, cut or reset: the network's faults over real sockets."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self


class Chaos:
    """Passes bytes on to `port`. `mode` holds from now on, for connections that stand and new ones.

    pass: as they are. half: nothing comes back, though the connection stands. black: nothing goes either way.
    slow: an answer's bytes one by one. cut: half of the next answer, then a reset. reset: every connection, at once.
    """

    def __init__(self, port: int) -> None:
        self._port, self.mode = port, "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock, self._closing, self._sockets = Lock(), Event(), list[socket.socket]()
        self._threads = [Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        for thread in self._threads:
            thread.join(5)

    def reset(self) -> None:
        """Every connection ends, without a word."""
        with self._lock:
            gone, self._sockets = self._sockets, []
        for one in gone:
            _drop(one)
            one.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port), 5)
            except OSError:
                continue
            with self._lock:
                self._sockets += [near, far]
            for source, sink, back in ((near, far, False), (far, near, True)):
                self._threads.append(Thread(target=self._pump, args=(source, sink, back)))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.mode == "reset" or (self.mode == "cut" and back):
                    sink.sendall(data[: len(data) // 2])
                    self.mode = "pass"
                    break
                if self.mode == "black" or (self.mode == "half" and back):
                    continue
                for part in [data[at : at + 1] for at in range(len(data))] if self.mode == "slow" and back else [data]:
                    sink.sendall(part)
        for one in (source, sink):
            _drop(one)


def _drop(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
