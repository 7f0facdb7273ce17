"""Walks a history through the whole house and keeps what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from src.agents import KINDS, Kind
from src.backtesting.recorder import Recorder
from src.connectors.memory_ledger import MemoryLedger
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.config import Settings
from src.core.engine import Report
from src.core.history import History, HistoryFeed
from src.core.ports import Bus
from src.wiring import House, Plan, build


class Replay(msgspec.Struct, frozen=True):
    """A finished walk."""

    house: House
    reports: list[Report]
    recorder: Recorder

    @property
    def hashes(self) -> tuple[str, str]:
        """(orders_sha256, decisions_sha256)."""
        return self.recorder.orders_sha256, self.recorder.decisions_sha256


def replay(
    history: History,
    settings: Settings,
    seed: int = 7,
    kinds: Sequence[Kind] = KINDS,
    bus: Bus | None = None,
    clock: SimClock | None = None,
    streamed: bool = False,
) -> Replay:
    """Every slice of `history`; `streamed` computes features bar by bar as a live run does."""
    clock = clock or SimClock()
    bus = bus or LocalBus(clock, settings.bus)
    plan = Plan(history.pairs, history.interval_ms, seed, kinds)
    house = build(settings, plan, clock, bus, MemoryLedger(settings.ledger), None if streamed else history)
    recorder = Recorder()
    reports = []
    for slice_ in HistoryFeed(history):
        report = house.engine.on_slice(slice_)
        recorder.take(report)
        reports.append(report)
    return Replay(house, reports, recorder)
