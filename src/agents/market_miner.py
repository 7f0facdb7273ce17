"""The market miner: announces that a bar of its pair closed, with the numbers everybody sees in the Snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

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
    """One a pair. Publishes RSI (standard team), ATR and momentum (5 bars, in ATR) with the close."""

    kind: ClassVar[str] = "market_miner"

    def __init__(self, model: MycelialModel, pair: Pair, index: int, max_age_ms: int) -> None:
        super().__init__(model, f"market-miner-{pair}", max_age_ms)
        self.pair = pair
        self._index = index

    def fetch(self, snapshot: Snapshot) -> Reading | None:
        """The pair's bar of this slice; None when it has none."""
        i = self._index
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
        return f"market-data:{self.pair}", message


def populate(world: World) -> None:
    """One miner for each pair; a team bears one where its pair has none."""
    max_age_ms = world.settings.risk.max_data_age_intervals * world.model.interval_ms

    def deploy(pair: Pair) -> Iterator[MycelialAgent]:
        if not any(isinstance(one, MarketMiner) and one.pair == pair for one in world.model.members()):
            yield MarketMiner(world.model, pair, world.pairs.index(pair), max_age_ms)

    for index, pair in enumerate(world.pairs):
        MarketMiner(world.model, pair, index, max_age_ms)
    world.nursery.teach(deploy)
