"""What was announced: collectives decide on nothing that no miner told them of."""

from __future__ import annotations

import msgspec
import numpy as np

from ..core.market import MOAT_COLUMNS
from ..core.messages import MarketData, Message, MoatData
from ..core.moats import MOATS
from ..core.ports import Handler
from ..core.types import BoolArray, MoatView, Pair, Snapshot


class Heard:
    """A set of pairs as an array of flags, filled by `market-data:*` and emptied once a slice."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self._pairs = pairs
        self._said: list[Message] = []
        self.on_market_data: Handler = self._said.append  # once a pair and slice: a list takes it quicker than a method

    def take(self, snapshot: Snapshot) -> BoolArray:
        """The pairs that have a bar in this slice and were announced; forgets them."""
        said = [message.pair for message in self._said if isinstance(message, MarketData)]
        self._said.clear()
        if len(said) == len(self._pairs) and tuple(said) == self._pairs:
            return snapshot.fresh
        announced = set(said)
        return snapshot.fresh & np.array([pair in announced for pair in self._pairs], dtype=np.bool_)


MOAT_PATTERNS = ("code-data:*", "govt-data:*", "logistics-data:*", "corp-data:*")


class HeardMoats:
    """When each moat was heard last, filled by `MOAT_PATTERNS`; who missed its newest message sees nothing of it."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.count: dict[str, int] = {}
        self._looked: tuple[MoatView | None, list[int]] = (None, [])  # mostly nothing is new for many slices

    def on_moat_data(self, message: Message) -> None:
        """Remember that the moat was heard."""
        if isinstance(message, MoatData):
            self.last[message.moat] = max(message.at, self.last.get(message.moat, message.at))
            self.count[message.moat] = self.count.get(message.moat, 0) + 1
            self._looked = (None, [])

    def missing(self, snapshot: Snapshot) -> list[int]:
        """The columns of moats that have a value, though their newest message was not heard."""
        moats = snapshot.moats
        if moats is None:
            return []
        if moats is not self._looked[0]:
            unheard = [
                column
                for column, (name, news) in enumerate(zip(MOATS, moats.news_at, strict=True))
                if news is not None and self.last.get(name, -1) < news
            ]
            self._looked = (moats, [column for column in unheard if moats.values[:, column].any()])
        return self._looked[1]

    def without_missing(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with 0 in the columns of moats that were not heard; itself where all were."""
        missing = self.missing(snapshot)
        if not missing:
            return snapshot
        features = snapshot.features.copy()
        features[:, [MOAT_COLUMNS.start + column for column in missing]] = 0.0
        features.flags.writeable = False
        return msgspec.structs.replace(snapshot, features=features)
