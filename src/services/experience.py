"""Turns closed trades into memories: the moment in which each was decided, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..core.config import MemorySettings
from ..core.memory import MemoryRecord, Namespace, embed, present
from ..core.ports import Experience, Memory
from ..core.types import Intent, Order, Pair, Side, Snapshot, Trade

MOAT = "swarm"
"""Under which a trade is remembered: the learners behind it were of several moats."""
ENTRY = "entry"
"""The reason of an order that follows an intent; everything else that buys is somebody's hand."""


class Moment(msgspec.Struct, frozen=True):
    """The moment an entry was decided in: `vector` (dimensions,) of its pair, and what the swarm said of it."""

    at: int
    vector: tuple[float, ...]
    score: float
    edge: float | None = None
    horizon: int | None = None


class TradeExperience(Experience):
    """Keeps the moment of each entry of the books that are learnt from until its trade closes.

    The net profit ratio of the trade is the outcome of the moment: known at its exit, above zero a trading pattern,
    else a failed one. A moment counts once, in the first book that bought in it. What a hand bought tells nothing,
    nor does a moment of which too little was known.
    """

    def __init__(self, memory: Memory, settings: MemorySettings, clip: float) -> None:
        self._memory = memory
        self._settings = settings
        self._clip = clip
        self._moments: dict[str, dict[Pair, Moment]] = {book: {} for book in settings.books}

    def learns_from(self, book: str) -> bool:
        """Whether `book` is one of the books of the settings."""
        return book in self._moments

    def on_entries(self, book: str, orders: Sequence[Order], intents: Sequence[Intent], snapshot: Snapshot) -> None:
        """Keep the moments of the entries that `book` sent in this slice, if it is one that is learnt from."""
        moments = self._moments.get(book)
        if moments is None:
            return
        for order in orders:
            if order.side is Side.BUY:
                own = [one for one in intents if one.pair == order.pair and one.side is Side.BUY]
                self._keep(moments, order.pair, own[0] if own and order.reason == ENTRY else None, snapshot)

    def on_intents(self, book: str, intents: Sequence[Intent], snapshot: Snapshot) -> None:
        """Keep the moments in which these intents became entries of `book`."""
        moments = self._moments.get(book)
        if moments is not None:
            for intent in intents:
                self._keep(moments, intent.pair, intent, snapshot)

    def on_trades(self, at: int, trades: Sequence[Trade]) -> None:
        """Remember what became of the moments whose trades closed."""
        for trade in trades:
            moments = self._moments.get(book_of(trade))
            moment = None if moments is None else moments.pop(trade.pair, None)
            if moment is not None:
                self._memory.remember([_record(trade, moment, at)])

    def _keep(self, moments: dict[Pair, Moment], pair: Pair, intent: Intent | None, snapshot: Snapshot) -> None:
        """What was bought of a pair follows this intent, if any; a moment in which another book bought is known."""
        moments.pop(pair, None)
        if intent is None or self._is_known(pair, snapshot.at):
            return
        features = snapshot.features[snapshot.pairs.index(pair)]
        vector = embed(features, self._clip, self._settings.min_known_ratio)
        if vector is not None:
            moments[pair] = Moment(snapshot.at, tuple(vector.tolist()), intent.score, intent.edge, intent.horizon)

    def _is_known(self, pair: Pair, at: int) -> bool:
        """Whether another book bought in the same moment."""
        return any(pair in moments and moments[pair].at == at for moments in self._moments.values())

    def state(self) -> dict[str, Any]:
        """The moments whose trades are open, by book and pair; what they came to is in the ledger."""
        return {
            book: {pair: msgspec.to_builtins(moment) for pair, moment in moments.items()}
            for book, moments in self._moments.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; books that are no longer learnt from are left out."""
        for book, moments in self._moments.items():
            moments.clear()
            for pair, moment in state.get(book, {}).items():
                moments[Pair(pair)] = msgspec.convert(moment, Moment)


def book_of(trade: Trade) -> str:
    """The book that a trade is of: the beginning of its id."""
    return trade.id.rpartition("-")[0]


def _record(trade: Trade, moment: Moment, at: int) -> MemoryRecord:
    outcome = float(trade.profit_ratio)
    return MemoryRecord(
        id=f"trade:{trade.pair}:{moment.at}",
        namespace=Namespace.TRADING if outcome > 0.0 else Namespace.FAILED,
        vector=moment.vector,
        pair=trade.pair,
        moat=MOAT,
        direction=Side.BUY,
        score=moment.score,
        seen_at=moment.at,
        known_at=at,
        outcome=outcome,
        meta=present(trade=trade.id, exit_reason=trade.exit_reason, edge=moment.edge, horizon=moment.horizon),
    )
