"""A long walk over the simulated market on a server's bus, with every gauge by which a leak would show."""

from __future__ import annotations

import gc
import threading
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from redis import Redis

from src.backtesting.footprint import rss_mb
from src.backtesting.simulated_market import SimulatedMarket
from src.backtesting.simulated_moats import MoatsBesides
from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.redis_bus import RedisBus
from src.connectors.sqlite_ledger import SqliteSink
from src.core.clock import SimClock, Timer
from src.core.types import Slice
from src.services.writer import Writer
from src.wiring import House, Plan, build
from tests.worlds import settings

SEED = 7
PAIRS = ["BTC/USD", "ETH/USD"]
TREE = settings(
    simulated__pairs=PAIRS,
    simulated__timeframe="1m",
    simulated__moats__commits_day=24.0,
    builder__bootstrap_pairs=PAIRS,
    # So that what is remembered is full long before half of the walk is over.
    memory__keep_days=5,
    moats__board__window_days=20,
)


MOST_WAITS, WAIT_SECONDS = 1_000, 0.02


class Gauges(NamedTuple):
    """What a process holds; `held` are the entries of containers that the house reaches, by the way to them."""

    rss_mb: float
    threads: int
    descriptors: int
    subscriptions: int
    keys: int
    clients: int
    held: Mapping[str, int]


@contextmanager
def walked(folder: Path) -> Iterator[tuple[House, Iterator[Slice], Redis]]:
    """A house on a server's bus with a ledger on disk, the slices it will walk, and the server."""
    clock, timer = SimClock(), Timer()
    server = EmbeddedValkey(0, TREE.bus.connect_timeout_seconds)
    market = SimulatedMarket(TREE.simulated, SEED)
    bus = RedisBus(server.url, clock, TREE.bus, producer="soak", epoch=1, timer=timer)
    sink = SqliteSink(folder / "ledger.sqlite", TREE.ledger, mode="paper", ledger_id="soak")
    ledger = Writer(sink, TREE.ledger, wait_durable=False)
    plan = Plan(market.pairs, market.interval_ms, SEED, simulation=True)
    house = build(TREE, plan, clock, bus, ledger)
    client = Redis.from_url(server.url)
    client.ping()  # it connects when it is first asked for something
    try:
        yield house, iter(MoatsBesides(market, TREE)), client
    finally:
        client.close()
        house.close()
        house.memory.close()
        server.close()


def walk(house: House, slices: Iterator[Slice], intervals: int) -> None:
    """So many slices with bars, and what lies between them."""
    step = house.engine.on_slice
    for slice_ in islice(slices, intervals):
        step(slice_)


def gauges(house: House, client: Redis) -> Gauges:
    """Everything, once what nobody holds is gone and the ledger rests; while it writes it opens files of its own."""
    for _ in range(MOST_WAITS):
        if not house.ledger.backlog:  # type: ignore[attr-defined]
            break
        Timer().wait(threading.Event(), WAIT_SECONDS)
    gc.collect()
    return Gauges(
        rss_mb=rss_mb() or 0.0,
        threads=threading.active_count(),
        descriptors=len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0,
        subscriptions=len(house.bus._subscriptions),  # type: ignore[attr-defined]
        keys=int(client.dbsize()),  # type: ignore[arg-type]
        clients=len(client.client_list()),  # type: ignore[arg-type]
        held=held(house),
    )


def held(root: object) -> Counter[str]:
    """Entries of every container that can be reached from `root`, summed by the attributes that lead to it."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: deque[tuple[str, object]] = deque([(type(root).__name__, root)])
    while waiting:
        path, one = waiting.popleft()
        if id(one) in seen or isinstance(one, str | bytes | int | float | type | None):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray | array):
            found[path] += len(one) if np.ndim(one) else 0
        elif isinstance(one, dict):
            found[path] += len(one)
            waiting.extend((f"{path}[]", value) for value in one.values())
        elif isinstance(one, list | tuple | set | frozenset | deque):
            found[path] += len(one)
            waiting.extend((f"{path}[]", value) for value in one)
        else:
            waiting.extend((f"{path}.{name}", value) for name, value in _attributes(one))
    return found


def _attributes(one: object) -> Iterator[tuple[str, Any]]:
    if not type(one).__module__.startswith(("src.", "mesa.")):
        return
    if isinstance(one, msgspec.Struct):
        yield from ((name, getattr(one, name)) for name in one.__struct_fields__)
        return
    yield from getattr(one, "__dict__", {}).items()
    for base in type(one).__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from ((name, getattr(one, name)) for name in slots if hasattr(one, name))


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much each kind of container has more entries than before."""
    return {path: after[path] - before.get(path, 0) for path in after if after[path] > before.get(path, 0)}
