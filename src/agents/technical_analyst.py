"""Technical analysts: three parameter sets a pair, whose votes on one side make the baseline idea."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numba
import numpy as np

from ..core.config import Analysts
from ..core.features import FLAT
from ..core.indicators import INDICATOR_INDEX
from ..core.messages import BaselineIdea
from ..core.model import MycelialAgent, MycelialModel
from ..core.traces import SIGNALS
from ..core.types import BoolArray, FloatArray, IntArray, Pair, Side, Snapshot, Vote
from .heard import Heard
from .silence import BaselineWatch
from .world import World

TEAM = 3
_COLUMNS = np.array(
    [
        [INDICATOR_INDEX[f"{name}_{team}"] for name in ("rsi", "macd_hist", "macd_hist_prev", "bb_lower", "bb_upper")]
        for team in range(1, TEAM + 1)
    ],
    dtype=np.int64,
)
_ATR = INDICATOR_INDEX["atr"]


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
        self._living = np.zeros((len(world.pairs), TEAM), dtype=np.int64)
        self._rules = rules_of(world.settings.analysts)
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
        heard = self._heard.take(snapshot) & self._living.any(axis=1)
        sides, confidences, reasons = signals(snapshot.indicators, snapshot.close, heard, _COLUMNS, _ATR, self._rules)
        sides *= self._living
        self._watch.look(self._living, heard, sides, reasons, confidences)
        spoken = np.flatnonzero(sides.any(axis=1))
        said = (sides[spoken].tolist(), confidences[spoken].tolist(), reasons[spoken].tolist())
        for index, *votes in zip(spoken.tolist(), *said, strict=True):
            self._publish(index, snapshot, *votes)

    def silence(self, pair: Pair, team_id: int) -> None:
        """Count this analyst's signals no more: it left."""
        self._living[self._pairs.index(pair), team_id - 1] = 0

    def _publish(
        self, index: int, snapshot: Snapshot, sides: list[int], confidences: list[float], reasons: list[int]
    ) -> None:
        votes = tuple(
            [
                Vote(name, Side.BUY if side > 0 else Side.SELL, confidence, SIGNALS[reason])
                for name, side, confidence, reason in zip(
                    self._members[index], sides, confidences, reasons, strict=True
                )
                if side
            ]
        )
        pair = self._pairs[index]
        idea = BaselineIdea(
            source=votes[0].voter,
            at=snapshot.at,
            known_at=snapshot.at,
            pair=pair,
            price=snapshot.close.item(index),
            votes=votes,
        )
        self._model.bus.publish(f"baseline-trade-ideas:{pair}", idea)


def rules_of(settings: Analysts) -> FloatArray:
    """The thresholds of the signals in the order that `signals` reads them."""
    return np.array(
        [
            settings.rsi_oversold_points,
            settings.rsi_overbought_points,
            settings.rsi_max_confidence,
            settings.macd_gain,
            settings.macd_min_confidence,
            settings.macd_max_confidence,
            settings.band_confidence,
            settings.band_close_confidence,
            settings.band_close_ratio,
        ]
    )


@numba.njit(cache=True)
def signals(
    indicators: FloatArray, close: FloatArray, heard: BoolArray, columns: IntArray, atr_column: int, rules: FloatArray
) -> Any:
    """The strongest signal of each analyst.

    `indicators` (pairs, indicators) and `close` (pairs,) of a Snapshot, `heard` (pairs,), `columns` (3, 5): RSI,
    MACD histogram, its previous value, lower and upper band of each team. Returns sides (+1 buy, -1 sell, 0
    none), confidences in [0, 1] and reasons (index into SIGNALS), each (pairs, 3). A NaN indicator gives no
    signal; a price that does not move gives none either, for its RSI (TA-Lib: 0) and its band mean nothing.
    Confidences: RSI min(max, (30 - RSI)/30) and (RSI - 70)/30; MACD cross clip(gain x |histogram|/ATR,
    min, max); a close at or beyond a band has a fixed one, larger where it is still close to the band. Ties go to
    the first in this order.
    """
    pairs = indicators.shape[0]
    sides = np.zeros((pairs, 3), dtype=np.int64)
    confidences = np.zeros((pairs, 3))
    reasons = np.zeros((pairs, 3), dtype=np.int64)
    for p in range(pairs):
        if not heard[p]:
            continue
        for team in range(3):
            lower, upper = indicators[p, columns[team, 3]], indicators[p, columns[team, 4]]
            if upper - lower <= FLAT * close[p]:
                continue
            best = 0.0
            rsi = indicators[p, columns[team, 0]]
            if rsi < rules[0]:
                best = min(rules[2], (rules[0] - rsi) / rules[0])
                sides[p, team], reasons[p, team] = 1, 1
            elif rsi > rules[1]:
                best = min(rules[2], (rsi - rules[1]) / (100.0 - rules[1]))
                sides[p, team], reasons[p, team] = -1, 1
            histogram = indicators[p, columns[team, 1]]
            previous = indicators[p, columns[team, 2]]
            atr = indicators[p, atr_column]
            if atr > 0.0 and ((previous <= 0.0 < histogram) or (previous >= 0.0 > histogram)):
                confidence = min(rules[5], max(rules[4], rules[3] * abs(histogram) / atr))
                if confidence > best:
                    best = confidence
                    sides[p, team], reasons[p, team] = (1 if histogram > 0.0 else -1), 2
            price = close[p]
            near = rules[8] * price
            for band, side in ((lower, 1), (upper, -1)):
                beyond = price <= band if side > 0 else price >= band
                touch = (rules[7] if abs(price - band) <= near else rules[6]) if beyond else 0.0
                if touch > best:
                    best = touch
                    sides[p, team], reasons[p, team] = side, 3
            confidences[p, team] = best
    return sides, confidences, reasons


def populate(world: World) -> None:
    """The arrays that act for all analysts; three are born when a pair gets its team."""
    AnalystTeams(world)
