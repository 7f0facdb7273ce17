"""The market miner: announces that a bar of its pair closed, with the numbers everybody sees in the Snapshot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from ..core.indicators import INDICATOR_INDEX
from ..core.market import FEATURE_INDEX
from ..core.messages import MarketData, Message
from ..core.model import MycelialAgent, MycelialModel
from ..core.types import Pair, Snapshot
from .data_engineer import DataEngineerBase, Reading
from .world import World

_RSI = INDICATOR_INDEX["rsi_2"]
_ATR = INDICATOR_INDEX["atr"]
_MOM = FEATURE_INDEX["return_5"]


class MarketMiner(DataEngineerBase):
    """One a pair. Publishes RSI (standard team), ATR and momentum (5 bars, in ATR) with the close.

    `MarketMiners` acts for all of them, and asks a miner itself only about what is not wholly known.
    """

    kind: ClassVar[str] = "market_miner"
    phase: ClassVar[str] = ""

    def __init__(self, model: MycelialModel, pair: Pair, index: int, max_age_ms: int, miners: MarketMiners) -> None:
        super().__init__(model, f"market-miner-{pair}", max_age_ms)
        self.pair = pair
        self.index = index
        self.channel = f"market-data:{pair}"
        self.told: MarketData | None = None  # what was announced for it since it acted itself
        self._miners = miners
        miners.join(self)

    def fetch(self, snapshot: Snapshot) -> Reading | None:
        """The pair's bar of this slice; None when it has none."""
        i = self.index
        if snapshot.bars is None or not snapshot.fresh[i]:
            return None
        values = {
            "close": snapshot.close.item(i),
            "high": snapshot.bars.high.item(i),
            "low": snapshot.bars.low.item(i),
            "RSI": snapshot.indicators.item(i, _RSI),
            "ATR": snapshot.indicators.item(i, _ATR),
            "MOM": snapshot.features.item(i, _MOM),
        }
        return Reading(snapshot.at, values)

    def announce(self, reading: Reading, snapshot: Snapshot) -> tuple[str, Message]:
        """`market-data:{pair}`."""
        features = dict(reading.values)
        message = MarketData(
            source=self.name,
            at=snapshot.at,
            known_at=reading.known_at,
            pair=self.pair,
            close=features.pop("close"),
            high=features.pop("high"),
            low=features.pop("low"),
            features=features,
            simulated=snapshot.simulated,
        )
        return self.channel, message

    def act(self, snapshot: Snapshot) -> None:
        """Fetch, keep, publish what is new."""
        self.told = None
        super().act(snapshot)

    def reading(self) -> Reading | None:
        """The newest one."""
        told = self.told
        if told is None:
            return super().reading()
        return Reading(told.known_at, {"close": told.close, "high": told.high, "low": told.low, **told.features})

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the cached reading."""
        self.told = None
        super().restore(state)

    def remove(self) -> None:
        """Leave the swarm; nothing is announced for it any more."""
        self._miners.leave(self)
        super().remove()


class MarketMiners:
    """Announces the bars of all miners: one read of each array a slice, one message a pair."""

    phase = "sense"
    name = "market-miners"

    def __init__(self, model: MycelialModel) -> None:
        self._model = model
        self._members: list[MarketMiner] = []
        model.add_actor(self)

    def join(self, miner: MarketMiner) -> None:
        """Announce for it from now on."""
        self._members.append(miner)

    def leave(self, miner: MarketMiner) -> None:
        """Announce for it no more."""
        self._members.remove(miner)

    def act(self, snapshot: Snapshot) -> None:
        """Tell of every bar of the slice."""
        bars, at = snapshot.bars, snapshot.at
        if bars is None:
            return
        indicators, publish, simulated = snapshot.indicators, self._model.bus.publish, snapshot.simulated
        columns = (
            snapshot.close, bars.high, bars.low, indicators[:, _RSI], indicators[:, _ATR], snapshot.features[:, _MOM]
        )  # fmt: skip
        told = [column.tolist() for column in columns]
        all_known = math.isfinite(sum(map(sum, told)))  # one look for all pairs, of nearly every slice
        rows, fresh = list(zip(*told, strict=True)), snapshot.fresh.tolist()
        for miner in self._members:
            if not fresh[miner.index]:
                continue
            close, high, low, rsi, atr, momentum = rows[miner.index]
            if not (all_known or math.isfinite(close + high + low + rsi + atr + momentum)):
                miner.act(snapshot)
                continue
            features = {"RSI": rsi, "ATR": atr, "MOM": momentum}
            message = MarketData(miner.name, at, at, miner.pair, close, high, low, features, simulated)
            miner.told = message
            publish(miner.channel, message)


def populate(world: World) -> None:
    """One miner for each pair; a team bears one where its pair has none."""
    max_age_ms = world.settings.risk.max_data_age_intervals * world.model.interval_ms
    miners = MarketMiners(world.model)

    def deploy(pair: Pair) -> Iterator[MycelialAgent]:
        if not any(isinstance(one, MarketMiner) and one.pair == pair for one in world.model.members()):
            yield MarketMiner(world.model, pair, world.pairs.index(pair), max_age_ms, miners)

    for index, pair in enumerate(world.pairs):
        MarketMiner(world.model, pair, index, max_age_ms, miners)
    world.nursery.teach(deploy)
