"""The scripted tape: 60 hourly bars of one pair, made by hand, and what the swarm says about them.

Fixed for ever. A calm market falls for six bars from bar 40 on, so that the fast and the standard analyst see an
oversold pair; the swarm's voice speaks once.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from src.agents import KINDS, Kind, World
from src.agents.builder import Builder
from src.core.history import BarColumns, History, align
from src.core.messages import MycelialIdea
from src.core.model import MycelialAgent, MycelialModel
from src.core.types import Pair, Side, Snapshot

HOUR = 3_600_000
START = 1_609_459_200_000
PAIR = Pair("BTC/USDT")
BARS = 60
SPOKEN_AT_BAR = 45
HORIZON = 6
EDGE = 0.02
SPEAKERS = ("learner-a", "learner-b", "learner-c")


def closes() -> np.ndarray:
    """100 +- 0.5 in turns, six falls of 1.25, three bars at the low, then rises of 0.37."""
    calm = [100.0 + (0.5 if bar % 2 else 0.0) for bar in range(40)]
    falling = [100.0 - 1.25 * step for step in range(1, 7)]
    rising = [92.5] * 3 + [92.5 + 0.37 * step for step in range(1, BARS - 48)]
    return np.array(calm + falling + rising)


def history() -> History:
    """The tape as bars: each opens at the last close, wicks of 0.25 on both sides, volume 1000."""
    close = closes()
    opening = np.concatenate([[100.0], close[:-1]])
    opened = START + HOUR * np.arange(BARS, dtype=np.int64)
    high, low = np.maximum(opening, close) + 0.25, np.minimum(opening, close) - 0.25
    return align({PAIR: BarColumns(opened, opening, high, low, close, np.full(BARS, 1000.0))}, HOUR)


def closed_at(bar: int) -> int:
    """When bar number `bar` became known."""
    return START + HOUR * (bar + 1)


class ScriptedVoice(MycelialAgent):
    """Three learners' idea, said once."""

    kind: ClassVar[str] = "pattern_learner"
    phase: ClassVar[str] = "opine"

    def __init__(self, model: MycelialModel) -> None:
        super().__init__(model, "scripted-voice")

    def act(self, snapshot: Snapshot) -> None:
        if snapshot.at == closed_at(SPOKEN_AT_BAR):
            self.say(
                "mycelial-trade-ideas",
                MycelialIdea(
                    source=SPEAKERS[0],
                    at=snapshot.at,
                    known_at=snapshot.at,
                    pair=PAIR,
                    price=float(snapshot.close[0]),
                    side=Side.BUY,
                    score=0.9,
                    edge=EDGE,
                    horizon=HORIZON,
                    learners=SPEAKERS,
                ),
            )


def _voice(world: World) -> None:
    ScriptedVoice(world.model)


def _staff(world: World) -> None:
    for pair in world.pairs:
        world.nursery.deploy(pair)


def kinds() -> tuple[Kind, ...]:
    """The real swarm with the scripted voice in the learners' place; the pair has its team, nobody looks for others."""
    voice = Kind("pattern_learner", ScriptedVoice, _voice, ("mycelial-trade-ideas",), ())
    staff = Kind("builder", Builder, _staff, (), ())
    replaced = {"pattern_learner": voice, "builder": staff}
    return tuple(replaced.get(kind.name, kind) for kind in KINDS if kind.name != "market_explorer")
