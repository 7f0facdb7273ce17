"""The newest candles of a running process, for whoever draws them; the ledger keeps no prices of bars."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..core.engine import Report
from ..core.errors import NotFound
from ..core.types import BarBlock

MOST = 1000
"""Of the protocol: an answer has no more candles."""


class Candles:
    """An observer that keeps the newest bars of all pairs; `told` may be asked from any thread."""

    def __init__(self) -> None:
        self._kept: deque[BarBlock] = deque(maxlen=MOST)

    def take(self, report: Report) -> None:
        """Keep what one slice brought."""
        if report.snapshot.bars is not None:
            self._kept.append(report.snapshot.bars)

    def told(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Candles of the pair in `fields`, oldest first: open times in UTC ms, prices, volume in base units.

        NotFound for a pair that this run does not trade.
        """
        blocks = tuple(self._kept)
        pair = str(fields.get("pair"))
        if blocks and pair not in blocks[-1].pairs:
            raise NotFound(f"candles: this run has no pair {pair[:40]!r}; it trades {', '.join(blocks[-1].pairs)}")
        bars = [bar for block in blocks if (bar := block.bar(block.pairs.index(pair))) is not None]
        names = ("opened", "open", "high", "low", "close", "volume")
        return {"pair": pair, **{name: [getattr(bar, name) for bar in bars] for name in names}}
