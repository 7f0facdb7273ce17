"""The newest candles of a running process, for whoever draws them; the ledger keeps no prices of bars."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ..core.engine import Report
from ..core.errors import NotFound, UsageError
from ..core.types import BarBlock

MOST = 1000
"""Of the protocol: an answer has no more candles."""
_COLUMNS = ("open", "high", "low", "close", "volume")


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

        At most the last `newest` slices of `fields` are looked at, 1 to 1000 and all of them unless said: what nobody
        draws would be read from the walk's own processor time. NotFound for a pair that this run does not trade,
        UsageError for another number.
        """
        newest = _newest(fields.get("newest", MOST))
        blocks = tuple(self._kept)[-newest:]
        pair = str(fields.get("pair"))
        if blocks and pair not in blocks[-1].pairs:
            raise NotFound(f"candles: this run has no pair {pair[:40]!r}; it trades {', '.join(blocks[-1].pairs)}")
        held = _held(blocks, pair)
        columns = {name: [getattr(block, name).item(place) for block, place in held] for name in _COLUMNS}
        return {"pair": pair, "opened": [block.opened for block, _ in held], **columns}


def _newest(said: object) -> int:
    if isinstance(said, bool) or not isinstance(said, int) or not 1 <= said <= MOST:
        raise UsageError(f"candles: newest is {str(said)[:40]!r}; it is a whole number from 1 to {MOST}")
    return said


def _held(blocks: Iterable[BarBlock], pair: str) -> list[tuple[BarBlock, int]]:
    """The blocks that have a bar of the pair, and where in them; looked for once while the pairs are the same."""
    known: tuple[str, ...] = ()
    place, held = 0, []
    for block in blocks:
        if block.pairs is not known:
            known, place = block.pairs, block.pairs.index(pair)
        if block.present.item(place):
            held.append((block, place))
    return held
