"""Which pairs were announced in this slice: collectives decide on nothing that no miner told them of."""

from __future__ import annotations

import numpy as np

from ..core.messages import MarketData, Message
from ..core.types import BoolArray, Pair, Snapshot


class Heard:
    """A set of pairs as an array of flags, filled by `market-data:*` and emptied once a slice."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self._index = {pair: index for index, pair in enumerate(pairs)}
        self._flags = np.zeros(len(pairs), dtype=np.bool_)

    def on_market_data(self, message: Message) -> None:
        """Remember that the pair was announced."""
        if isinstance(message, MarketData):
            index = self._index.get(message.pair)
            if index is not None:
                self._flags[index] = True

    def take(self, snapshot: Snapshot) -> BoolArray:
        """The pairs that have a bar in this slice and were announced; forgets them."""
        flags = self._flags & snapshot.fresh
        self._flags[:] = False
        return flags
