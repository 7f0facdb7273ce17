"""A small world in which one asset loses and recovers, others are only held, and a hand buys what has no new bar."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import ClassVar

import numpy as np

from src.agents import KINDS, Kind, World
from src.backtesting.recorder import Recorder
from src.connectors.memory_ledger import MemoryLedger
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.config import Settings
from src.core.history import BarColumns, History, HistoryFeed, align
from src.core.messages import BaselineIdea, MycelialIdea
from src.core.model import MycelialAgent, MycelialModel
from src.core.types import Command, CommandKind, Pair, Side, Snapshot, Vote
from src.wiring import Plan, build
from tests.agents.made import HOUR, START

LOSER, HELD, GAPPED = Pair("AAA/USD"), Pair("BBB/USD"), Pair("CCC/USD")
MOVES = (-0.08, 0.03, -0.08, -0.02, 0.05, -0.08, -0.08, 0.01)
"""What the loser does within the second bar after each call: a stop, a gain, ..., asleep after the last stop."""
EVERY, HORIZON = 10, 4
BARS = EVERY * (len(MOVES) + 2)
MISSING = range(35, 37)
"""Bars that the gapped pair does not have; in the last of them a hand wants to buy it."""
WORLD: dict[str, object] = {
    "account.entry_equity_ratio": 0.2,
    "builder.bootstrap_pairs": [LOSER, HELD, GAPPED],
    "lifecycle.hibernation_days": 0.5,
    "memory.enabled": False,
    "lifecycle.lift_after_intervals": 3,
    "risk.max_drawdown_ratio": 1.0,
    "risk.max_positions": 3,
}


class Caller(MycelialAgent):
    """Says what two analysts and three learners would say of the loser at every call, of the held one at the first."""

    kind: ClassVar[str] = "caller"
    phase: ClassVar[str] = "opine"

    def __init__(self, model: MycelialModel) -> None:
        super().__init__(model, "caller")

    def act(self, snapshot: Snapshot) -> None:
        bar = (snapshot.at - START) // HOUR - 1
        if bar == EVERY - 5:
            self._call(HELD, snapshot, 24)
        if bar % EVERY == 0 and 0 < bar // EVERY <= len(MOVES):
            self._call(LOSER, snapshot, HORIZON)

    def _call(self, pair: Pair, snapshot: Snapshot, horizon: int) -> None:
        times = {"source": self.name, "at": snapshot.at, "known_at": snapshot.at}
        price = float(snapshot.close[snapshot.pairs.index(pair)])
        votes = (Vote("a-1", Side.BUY, 0.8), Vote("a-2", Side.BUY, 0.8))
        self.say(f"baseline-trade-ideas:{pair}", BaselineIdea(**times, pair=pair, price=price, votes=votes))
        idea = MycelialIdea(**times, pair=pair, price=price, side=Side.BUY, score=0.9, edge=0.05, horizon=horizon,
                            learners=("l-1", "l-2", "l-3"))  # fmt: skip
        self.say("mycelial-trade-ideas", idea)


def _populate(world: World) -> None:
    Caller(world.model)


def _kinds() -> list[Kind]:
    silent = ("technical_analyst", "pattern_learner", "market_explorer")
    return [Kind("caller", Caller, _populate, (), ()), *(kind for kind in KINDS if kind.name not in silent)]


@cache
def history() -> History:
    """Three calm pairs; the loser moves after each call."""
    level = np.full(BARS, 100.0)
    for number, move in enumerate(MOVES):
        level[EVERY * (number + 1) + 2 :] *= 1.0 + move
    calm = 100.0 + 0.1 * (np.arange(BARS) % 2)
    columns = {LOSER: _bars(level), HELD: _bars(calm), GAPPED: _bars(calm, MISSING)}
    return align(columns, HOUR)


def _bars(close: np.ndarray, missing: range = range(0)) -> BarColumns:
    opening = np.concatenate([[close[0]], close[:-1]])
    high, low = np.maximum(opening, close) * 1.001, np.minimum(opening, close) * 0.999
    opened = START + HOUR * np.arange(BARS, dtype=np.int64)
    kept = np.setdiff1d(np.arange(BARS), missing)
    columns = (opened, opening, high, low, close, np.full(BARS, 1e6))
    return BarColumns(*(column[kept] for column in columns))


def decided(tree: Settings) -> str:
    """The hash of all decisions of the whole house."""
    clock, past = SimClock(), history()
    plan = Plan(past.pairs, HOUR, 7, _kinds())
    house = build(tree, plan, clock, LocalBus(clock, tree.bus), MemoryLedger(tree.ledger), past)
    recorder = Recorder()
    for slice_ in HistoryFeed(past):
        if slice_.at == START + HOUR * (MISSING[-1] + 1):
            order = Command(CommandKind.ORDER, "by hand", "test", GAPPED, Side.BUY, Decimal(1))
            house.engine.inbox.put(order)
        recorder.take(house.engine.on_slice(slice_))
    assert not house.model.faults
    return recorder.decisions_sha256
