"""Snapshots and small worlds made by hand, so that a test can say exactly what an agent saw."""

from __future__ import annotations

from typing import Any

import numpy as np

from src.agents import World
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.indicators import INDICATOR_INDEX, INDICATORS
from src.core.market import FEATURES
from src.core.messages import Message
from src.core.model import MycelialModel
from src.core.types import AccountView, BarBlock, Pair, Snapshot
from src.services.memory import PatternMemory
from tests.worlds import settings

HOUR = 3_600_000
START = 1_609_459_200_000
BTC, ETH = Pair("BTC/USDT"), Pair("ETH/USDT")
ACCOUNT = AccountView(10_000.0, 10_000.0, 10_000.0, frozenset())


def world(pairs: tuple[Pair, ...] = (BTC,), interval_ms: int = HOUR, seed: int = 7, **changes: object) -> World:
    """An empty world on a LocalBus."""
    tree = settings(**changes)
    model = MycelialModel(LocalBus(SimClock(START), tree.bus), seed, interval_ms, tree.agents)
    return World(model, tree, pairs, PatternMemory(tree.memory, len(FEATURES), seed))


def staffed(here: World) -> World:
    """The same world; every pair has its team now."""
    for pair in here.pairs:
        here.nursery.deploy(pair)
    return here


def record(world_: World, pattern: str) -> list[Any]:
    """Everything that is delivered on `pattern` from now on."""
    got: list[Any] = []
    world_.model.bus.subscribe(pattern, got.append, "a listener of the test")
    return got


def snapshot(
    world_: World, at: int = START, closes: tuple[float, ...] = (), fresh: tuple[bool, ...] = (), **indicators: float
) -> Snapshot:
    """One slice; indicators as named apply to every pair, the others are NaN; features are 0."""
    pairs = world_.pairs
    close = np.array(closes or (100.0,) * len(pairs))
    present = np.array(fresh or (True,) * len(pairs))
    table = np.full((len(pairs), len(INDICATORS)), np.nan)
    for name, value in indicators.items():
        table[:, INDICATOR_INDEX[name]] = value
    interval = world_.model.interval_ms
    bars = BarBlock(pairs, at - interval, close, close + 1.0, close - 1.0, close, np.ones(len(pairs)), present)
    features = np.zeros((len(pairs), len(FEATURES)))
    volatility = np.full(len(pairs), 0.01)
    return Snapshot(at, interval, at // interval, pairs, present, close, features, table, volatility, bars, True)


def see(
    world_: World, seen: Snapshot, account: AccountView = ACCOUNT, said: tuple[tuple[str, Message], ...] = ()
) -> None:
    """Let the swarm see one slice; `said` was published by others just before."""
    clock = world_.model.bus._clock  # type: ignore[attr-defined]
    clock.reach(seen.at)
    for channel, message in said:
        world_.model.bus.publish(channel, message)
    assert world_.model.on_snapshot(seen, account)
