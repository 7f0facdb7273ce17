"""Turns what became known at one instant into the one snapshot that every agent sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from .config import Settings
from .errors import InvariantError
from .features import MARKET_FEATURES, Feature
from .indicators import IndicatorSource, StreamSource, unknown
from .types import BoolArray, Pair, Slice, Snapshot

MOAT_FEATURES: tuple[Feature, ...] = ()
"""Columns from other sources than the bars, after those of the market."""
FEATURE_TABLE = (*MARKET_FEATURES, *MOAT_FEATURES)
FEATURES: tuple[str, ...] = tuple(feature.name for feature in FEATURE_TABLE)
"""Names of the columns of `Snapshot.features`, in order."""
FEATURE_INDEX = {name: index for index, name in enumerate(FEATURES)}


class Market:
    """Keeps the last known values of every pair and hands them on, read-only.

    `source` computes them; without one the bars are taken as they come (`StreamSource`).
    """

    def __init__(
        self, pairs: tuple[Pair, ...], interval_ms: int, settings: Settings, source: IndicatorSource | None = None
    ) -> None:
        self.pairs, self.interval_ms = pairs, interval_ms
        self._source = source or StreamSource(pairs, interval_ms, settings.indicators, settings.analysts)
        self._nothing_fresh = _read_only(np.zeros(len(pairs), np.bool_))
        self._row = unknown(len(pairs))
        for array in self._row:
            array.flags.writeable = False

    def push(self, slice_: Slice) -> Snapshot:
        """The snapshot of this slice. A slice without bars leaves every value as it stood and nothing fresh.

        Raises InvariantError when the bars are of other pairs or out of order, DataError when one cannot be
        believed.
        """
        fresh = self._nothing_fresh
        if slice_.bars is not None:
            self._refuse_other_pairs(slice_)
            self._row = self._source.advance(slice_.bars)
            fresh = _read_only(slice_.bars.present)
        row = self._row
        return Snapshot(
            at=slice_.at,
            interval_ms=self.interval_ms,
            grid=slice_.at // self.interval_ms,
            pairs=self.pairs,
            fresh=fresh,
            close=row.close,
            features=row.features,
            indicators=row.indicators,
            volatility=row.volatility,
            bars=slice_.bars,
            simulated=slice_.simulated,
        )

    def state(self) -> dict[str, Any]:
        """Everything a restart needs."""
        return {"source": self._source.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the next snapshot follows the last one before it was stored."""
        self._row = self._source.restore(state["source"])

    def _refuse_other_pairs(self, slice_: Slice) -> None:
        bars = slice_.bars
        if bars is not None and bars.pairs is not self.pairs and bars.pairs != self.pairs:
            raise InvariantError(f"market: bars of {', '.join(bars.pairs)}, but the run has {', '.join(self.pairs)}")


def _read_only(array: BoolArray) -> BoolArray:
    """The array itself where nobody may write it, else a copy that nobody may."""
    if not array.flags.writeable:
        return array
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen
