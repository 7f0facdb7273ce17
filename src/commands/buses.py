"""Which bus a run gets: in process, a server of its own, or one's own server by URL."""

from __future__ import annotations

import os

import msgspec

from ..connectors.embedded_valkey import EmbeddedValkey
from ..connectors.redaction import shown_url
from ..connectors.redis_bus import RedisBus
from ..core.bus import LocalBus
from ..core.clock import Timer, wall_ms
from ..core.config import BusSettings
from ..core.errors import UsageError
from ..core.ports import Bus, Clock


class OpenBus(msgspec.Struct, frozen=True):
    """A bus, and the server behind it where it is our own. `url` may hold a password: it is for connecting alone."""

    bus: Bus
    server: EmbeddedValkey | None
    url: str

    def close(self) -> None:
        """Give back the bus, then its server."""
        self.bus.close()
        if self.server is not None:
            self.server.close()


def open_bus(name: str, clock: Clock, settings: BusSettings, port: int | None = None) -> OpenBus:
    """`local`, `embedded` (on `port`, None: the configured one) or `redis://...`; UsageError for anything else."""
    if name == "local":
        return OpenBus(LocalBus(clock, settings), None, "")
    if name == "embedded":
        server = EmbeddedValkey(settings.port if port is None else port, settings.connect_timeout_seconds)
        return OpenBus(_redis(server.url, clock, settings), server, server.url)
    if name.startswith(("redis://", "rediss://", "unix://")):
        return OpenBus(_redis(name, clock, settings), None, name)
    raise UsageError(f"--bus {shown_url(name)!r}: write local, embedded or redis://HOST:PORT")


def _redis(url: str, clock: Clock, settings: BusSettings) -> RedisBus:
    producer = f"mycelial-{os.getpid()}"
    return RedisBus(url, clock, settings, producer=producer, epoch=wall_ms(), timer=Timer())
