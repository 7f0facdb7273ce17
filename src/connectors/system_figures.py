"""Figures of the machine, the bus's server and the files, asked by whoever reads the metrics and never by the spine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ..core.clock import Timer

_ANSWER_SECONDS = 1.0
"""For the bus's server: a scrape must end long before its reader gives up."""


class SystemFigures:
    """`read` gives figures by the name of their measure; what cannot be told is absent.

    The bus's server is asked every `server_seconds` at most. Safe from any thread.
    """

    def __init__(self, bus_url: str, ledger: Path, server_seconds: float, timer: Timer) -> None:
        self._ledger, self._every, self._timer = ledger, server_seconds, timer
        self._process = psutil.Process()
        self._server: Any = None if not bus_url else _client(bus_url)
        self._asked_s: float | None = None
        self._told: Mapping[str, float] = {}
        self._lock = Lock()
        psutil.cpu_percent(interval=None)  # the first answer is of the time since this call

    def read(self) -> dict[str, float]:
        """All figures now."""
        with self._lock:
            found = {
                "system_cpu_percent": float(psutil.cpu_percent(interval=None)),
                "system_memory_percent": float(psutil.virtual_memory().percent),
                "system_memory_bytes": float(self._process.memory_info().rss),
                "database_size_bytes": float(sum(map(_size, (self._ledger, Path(f"{self._ledger}-wal"))))),
            }
            return found | dict(self._bus())

    def close(self) -> None:
        """Give back the connection."""
        if self._server is not None:
            self._server.close()

    def _bus(self) -> Mapping[str, float]:
        now_s = self._timer.seconds()
        if self._server is not None and (self._asked_s is None or now_s - self._asked_s >= self._every):
            self._asked_s, self._told = now_s, _asked(self._server)
        return self._told


def _client(url: str) -> Any:
    return Redis.from_url(
        url,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        client_name="mycelial-metrics",
    )


def _asked(server: Any) -> Mapping[str, float]:
    try:
        said = server.info()
        return {
            "redis_connection_status": 1.0,
            "redis_used_memory_bytes": float(said["used_memory"]),
            "redis_connected_clients": float(said["connected_clients"]),
            "redis_total_keys": float(server.dbsize()),
        }
    except (RedisError, OSError, KeyError):
        return {"redis_connection_status": 0.0}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
