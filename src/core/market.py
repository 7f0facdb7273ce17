"""Turns what became known at one instant into the one snapshot that every agent sees."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .config import Settings
from .errors import DataError, InvariantError
from .features import MARKET_FEATURES
from .indicators import IndicatorSource, StreamSource, joined, unknown
from .moats import MOAT_FEATURES, MoatBoard
from .types import NEVER, BarBlock, BoolArray, FloatArray, IntArray, Pair, Slice, Snapshot

FEATURE_TABLE = (*MARKET_FEATURES, *MOAT_FEATURES)
"""Those of the bars, then one column for each moat."""
FEATURES: tuple[str, ...] = tuple(feature.name for feature in FEATURE_TABLE)
"""Names of the columns of `Snapshot.features`, in order."""
FEATURE_INDEX = {name: index for index, name in enumerate(FEATURES)}
MOAT_COLUMNS = slice(len(MARKET_FEATURES), len(FEATURES))
"""Where the moats stand in `Snapshot.features`; they are never NaN."""


class Market:
    """Keeps the last known values of every pair and of the moats and hands them on, read-only.

    `source` computes those of the bars; without one the bars are taken as they come (`StreamSource`). In a
    `simulation` moats that somebody invents count, too.
    """

    def __init__(
        self,
        pairs: tuple[Pair, ...],
        interval_ms: int,
        settings: Settings,
        source: IndicatorSource | None = None,
        simulation: bool = False,
    ) -> None:
        self.pairs, self.interval_ms = pairs, interval_ms
        self._source = source or StreamSource(pairs, interval_ms, settings.indicators, settings.analysts)
        self._nothing_fresh = _read_only(np.zeros(len(pairs), np.bool_))
        self._seen_at = _at(NEVER, self._nothing_fresh, np.full(len(pairs), NEVER))
        self._board = MoatBoard(pairs, settings.moats, simulation)
        self._row = unknown(len(pairs))
        for array in self._row:
            array.flags.writeable = False
        self._features = joined(self._row.features, self._board.view.values)

    def push(self, slice_: Slice) -> Snapshot:
        """The snapshot of this slice. One without bars leaves what bars said as it stood and nothing fresh.

        Raises InvariantError when the bars are of other pairs or out of order, DataError when one cannot be
        believed.
        """
        fresh, at, bars = self._nothing_fresh, slice_.at, slice_.bars
        if bars is not None:
            if bars.pairs is not self.pairs:
                self._refuse_other_pairs(bars)
            self._row = self._source.advance(bars)
            fresh = _read_only(bars.present)
            self._seen_at = self._all_at(at) if bars.count() == len(bars.pairs) else _at(at, fresh, self._seen_at)
        before = self._board.view.values
        moats = self._board.push(at, slice_.observations)
        if bars is not None:
            self._features = self._source.beside(moats.values)
        elif moats.values is not before:
            self._features = joined(self._row.features, moats.values)
        row = self._row
        return Snapshot(
            at,
            self.interval_ms,
            at // self.interval_ms,
            self.pairs,
            fresh,
            row.close,
            self._features,
            row.indicators,
            row.volatility,
            bars,
            slice_.simulated,
            slice_.observations,
            moats,
            self._seen_at,
            None if slice_.spreads is None else self._believed(slice_.spreads),
        )

    def state(self) -> dict[str, Any]:
        """Everything a restart needs."""
        return {"source": self._source.state(), "moats": self._board.state(), "seen_at": self._seen_at}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the next snapshot follows the last one before it was stored."""
        self._row = self._source.restore(state["source"])
        self._board.restore(state["moats"])
        self._seen_at = _at(NEVER, self._nothing_fresh, state["seen_at"])
        self._features = joined(self._row.features, self._board.view.values)

    def _believed(self, spreads: FloatArray) -> FloatArray:
        """Quoted spreads, read-only; DataError for what cannot be one."""
        known = spreads[~np.isnan(spreads)]
        if spreads.shape != (len(self.pairs),) or not (np.isfinite(known) & (known > 0.0)).all():
            raise DataError(f"quoted spreads {spreads.tolist()}: each pair has one above 0, or NaN where nobody quotes")
        return _read_only(spreads)

    def _all_at(self, at: int) -> IntArray:
        """All pairs were seen now, read-only."""
        return np.frombuffer(at.to_bytes(8, sys.byteorder, signed=True) * len(self.pairs), np.int64)

    def _refuse_other_pairs(self, bars: BarBlock) -> None:
        if bars.pairs != self.pairs:
            raise InvariantError(f"market: bars of {', '.join(bars.pairs)}, but the run has {', '.join(self.pairs)}")


def _at(now: int, fresh: BoolArray, before: IntArray) -> IntArray:
    """When each pair was last seen, read-only."""
    seen = np.where(fresh, now, before)
    seen.flags.writeable = False
    return seen


def _read_only[Array: (BoolArray, FloatArray)](array: Array) -> Array:
    """The array itself where nobody may write it, else a copy that nobody may."""
    if not array.flags.writeable:
        return array
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen
