"""A server with a durable stream of ticks, its producers and consumers, for the tests of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.tick_stream import TickReader, TickWriter
from src.core.types import Pair, Tick

STREAM, GROUP = "ticks:test", "desk"
SECONDS = 5.0


def ticks(first: int, count: int) -> list[Tick]:
    """So many, told apart by their times."""
    return [Tick(Pair("BTC/USD"), number, 100.0 + number, 0.5) for number in range(first, first + count)]


def taken(one: TickReader) -> tuple[list[int], bool]:
    """What is there, dealt with: times of ticks, and whether there was a gap."""
    batch = one.read()
    one.done([name for name, _ in batch.ticks])
    return [tick.at for _, tick in batch.ticks], batch.gap


class Rig:
    """Makes producers and consumers at one server, or at another `url`."""

    def __init__(self, server: EmbeddedValkey, client: Any) -> None:
        self.server, self.client = server, client
        self._made: list[TickWriter | TickReader] = []

    def writer(self, epoch: int = 1, keep: int = 100, url: str = "", seconds: float = SECONDS) -> TickWriter:
        """A producer."""
        made = TickWriter(url or self.server.url, STREAM, epoch, keep, seconds)
        self._made.append(made)
        return made

    def reader(self, consumer: str = "one", url: str = "", **changes: Any) -> TickReader:
        """A consumer that takes over at once what another one left."""
        values: dict[str, Any] = {"idle_ms": 0, "deliveries": 5, "batch": 1_000, "keep": 1_000}
        values |= {"timeout_seconds": SECONDS} | changes
        made = TickReader(url or self.server.url, STREAM, GROUP, consumer, **values)
        self._made.append(made)
        return made

    def close(self) -> None:
        """Give everything back."""
        for one in self._made:
            one.close()


@contextmanager
def rigged() -> Iterator[Rig]:
    """A rig at a server of its own."""
    server = EmbeddedValkey(0, 10.0)
    with redis.Redis(port=server.port) as client:
        rig = Rig(server, client)
        yield rig
        rig.close()
    server.kill()
