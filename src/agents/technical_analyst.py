"""Technical analysts: three parameter sets a pair, whose votes on one side make the baseline idea."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numba
import numpy as np

from ..core.analyst_signals import rules_of, strongest
from ..core.indicators import INDICATOR_INDEX
from ..core.messages import BaselineIdea
from ..core.model import MycelialAgent, MycelialModel
from ..core.traces import SIGNALS
from ..core.types import BoolArray, FloatArray, IntArray, Pair, Side, Snapshot, Vote
from .heard import Heard
from .silence import BaselineWatch, baseline_changes
from .world import World

TEAM = 3
_COLUMNS = np.array(
    [
        [INDICATOR_INDEX[f"{name}_{team}"] for name in ("rsi", "macd_hist", "macd_hist_prev", "bb_lower", "bb_upper")]
        for team in range(1, TEAM + 1)
    ],
    dtype=np.int64,
)
"""(3, 5): RSI, MACD histogram, its previous value, lower and upper band of each team."""
_ATR = INDICATOR_INDEX["atr"]
_SIDES = (Side.BUY, Side.BUY, Side.SELL)
"""By sign: +1 and, from the end, -1."""


class TechnicalAnalyst(MycelialAgent):
    """One of a pair's three. It is a named view: its signal is computed for all analysts at once."""

    kind: ClassVar[str] = "technical_analyst"

    def __init__(self, model: MycelialModel, pair: Pair, team_id: int, teams: AnalystTeams) -> None:
        super().__init__(model, f"analyst-{pair}-{team_id}")
        self.pair = pair
        self.team_id = team_id
        self._teams = teams

    def remove(self) -> None:
        """Leave the swarm; its voice is silent from now on."""
        self._teams.silence(self.pair, self.team_id)
        super().remove()


class AnalystTeams:
    """All analysts' arrays: one numba call a slice, one message a pair whose analysts see something."""

    phase = "opine"
    name = "technical-analysts"

    def __init__(self, world: World) -> None:
        self._model = world.model
        self._pairs = world.pairs
        self._heard = Heard(world.pairs)
        self._members = [[f"analyst-{pair}-{team}" for team in range(1, TEAM + 1)] for pair in world.pairs]
        self._channels = [f"baseline-trade-ideas:{pair}" for pair in world.pairs]
        self._living = np.zeros((len(world.pairs), TEAM), dtype=np.int64)
        self._sides, self._reasons = np.zeros((2, len(world.pairs), TEAM), dtype=np.int64)
        self._confidences = np.zeros((len(world.pairs), TEAM))
        self._rules = np.array(rules_of(world.settings.analysts))
        world.model.bus.subscribe("market-data:*", self._heard.on_market_data, self.name)
        world.model.add_actor(self)
        self._watch = BaselineWatch(world.model, len(world.pairs))
        world.nursery.teach(self.deploy)

    def deploy(self, pair: Pair) -> Iterator[MycelialAgent]:
        """The analysts of a pair's team; from now on they are heard."""
        for team_id in range(1, TEAM + 1):
            analyst = TechnicalAnalyst(self._model, pair, team_id, self)
            self._living[self._pairs.index(pair), team_id - 1] = 1
            yield analyst

    def act(self, snapshot: Snapshot) -> None:
        """Read the indicators of every announced pair; publish the votes of those that see a signal."""
        heard = self._heard.take(snapshot)
        living, sides, confidences, reasons = self._living, self._sides, self._confidences, self._reasons
        speaks, changed = _looked(
            snapshot.indicators, snapshot.close, heard, self._rules, living, sides, confidences, reasons,
            self._watch.last, self._watch.out,
        )  # fmt: skip
        self._watch.note(changed)
        if not speaks:
            return
        said = sides.tolist(), confidences.tolist(), reasons.tolist()
        for index, (own, sure, why) in enumerate(zip(*said, strict=True)):
            if any(own):
                self._publish(index, snapshot, own, sure, why)

    def silence(self, pair: Pair, team_id: int) -> None:
        """Count this analyst's signals no more: it left."""
        self._living[self._pairs.index(pair), team_id - 1] = 0

    def _publish(
        self, index: int, snapshot: Snapshot, sides: list[int], confidences: list[float], reasons: list[int]
    ) -> None:
        said, at = zip(self._members[index], sides, confidences, reasons, strict=True), snapshot.at
        votes = tuple(
            [Vote(name, _SIDES[side], confidence, SIGNALS[reason]) for name, side, confidence, reason in said if side]
        )
        idea = BaselineIdea(votes[0].voter, at, at, self._pairs[index], snapshot.close.item(index), votes)
        self._model.bus.publish(self._channels[index], idea)


@numba.njit(cache=True)
def _looked(
    indicators: FloatArray, close: FloatArray, heard: BoolArray, rules: FloatArray, living: IntArray,
    sides: IntArray, confidences: FloatArray, reasons: IntArray, last: IntArray, out: IntArray,
) -> tuple[bool, int]:  # fmt: skip
    """`signals` and `baseline_changes` of them in one call, because the way into compiled code is the dearer part."""
    speaks = signals(indicators, close, heard, rules, living, sides, confidences, reasons)
    return speaks, baseline_changes(living, heard, sides, reasons, confidences, last, out)


@numba.njit(cache=True)
def signals(
    indicators: FloatArray, close: FloatArray, heard: BoolArray, rules: FloatArray, living: IntArray,
    sides: IntArray, confidences: FloatArray, reasons: IntArray,
) -> bool:  # fmt: skip
    """The strongest signal of each living analyst; whether there is any.

    `indicators` (pairs, indicators) and `close` (pairs,) of a Snapshot, `heard` (pairs,). Writes sides (+1 buy, -1
    sell, 0 none), confidences in [0, 1] and reasons (index into SIGNALS), each (pairs, 3); see `strongest`.
    """
    speaks = False
    for p in range(indicators.shape[0]):
        row, atr = indicators[p], indicators[p, _ATR]
        for team in range(3):
            sides[p, team], confidences[p, team], reasons[p, team] = 0, 0.0, 0
            if not heard[p] or living[p, team] == 0:
                continue
            of = _COLUMNS[team]
            found = strongest(row[of[0]], row[of[1]], row[of[2]], row[of[3]], row[of[4]], atr, close[p], rules)
            sides[p, team], confidences[p, team], reasons[p, team] = found
            speaks |= sides[p, team] != 0
    return speaks


def populate(world: World) -> None:
    """The arrays that act for all analysts; three are born when a pair gets its team."""
    AnalystTeams(world)
