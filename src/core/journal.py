"""What the ledger gets of a slice: rows made from what the spine, the desk, the memory and the swarm left."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from . import records
from .canonical import encode
from .desk import Desk, Review
from .model import MycelialModel
from .ports import Bus, Life, Memory, Row
from .traces import Traces
from .types import Fill, Pair, Snapshot, Trade


class Journal:
    """Makes the rows; the spine writes them. Remembers only how the moats stood (see `Traces`)."""

    def __init__(self, bus: Bus, model: MycelialModel, desk: Desk, life: Life | None, memory: Memory | None) -> None:
        self._bus, self._model, self._desk, self._life, self._memory = bus, model, desk, life, memory
        self._traces = Traces()
        self._changes = -1  # as of which the account's cash and positions are `_words`
        self._words: list[bytes] = [b"", b""]

    def of_fills(self, at: int, fills: Sequence[Fill]) -> list[Row]:
        """Executions, the orders that are done by them, and the account after them."""
        rows = [records.row(at, "fill", fill.id, fill) for fill in fills]
        rows += [records.state_row(fill.order_id, fill.pair, "filled", fill.at) for fill in fills if fill.final]
        return [*rows, self._mark(at)]

    def of_slice(
        self, snapshot: Snapshot, written: Sequence[bytes], trades: Sequence[Trade], filled: bool
    ) -> list[Row]:
        """Trades, what became of orders, memories, decisions as `written`, and what explains them.

        With positions also the account, unless it is written already because something was `filled`.
        """
        at, traces = snapshot.at, self._explain(snapshot)
        rows = [records.trade_row(at, trade) for trade in trades] if trades else []
        outcomes = self._desk.outcomes()
        if outcomes:
            rows += [records.state_row(o.order_id, o.pair, o.state, o.at) for o in outcomes]
        if self._memory is not None:
            rows += [records.memory_row(at, record) for record in self._memory.fresh()]
        if written:
            rows += records.decision_rows(at, written)
        rows += traces
        if self._desk.portfolio.positions and not filled:
            rows.append(self._mark(at))
        return rows

    def _explain(self, snapshot: Snapshot) -> Sequence[Row]:
        """The messages behind meetings, what the gate looked at, and what changed of why nobody spoke."""
        meetings, silences = self._model.outbox.drain_traces()
        reviews = self._desk.reviews or ()
        if not (meetings or silences or reviews) and self._traces.is_told(snapshot.moats):
            return ()
        multipliers = self._multipliers(reviews) if reviews else {}
        epoch = f"{self._bus.producer}:{self._bus.epoch}" if meetings else ""
        return self._traces.rows(snapshot, meetings, silences, reviews, multipliers, epoch)

    def _multipliers(self, reviews: Sequence[Review]) -> dict[Pair, Decimal]:
        """By what the sizes of the reviewed entries were multiplied."""
        pairs, life = [review.verdict.order.pair for review in reviews], self._life
        return {pair: Decimal(1) if life is None else life.multiplier(pair) for pair in pairs}

    def _mark(self, at: int) -> Row:
        book = self._desk.portfolio
        if book.changes != self._changes:
            held = {pair: records.plain(position.amount) for pair, position in book.positions.items()}
            words = ({"cash": records.plain(book.cash)}, {"positions": held})
            self._changes, self._words = book.changes, [encode(fields)[1:-1] for fields in words]
        cash, positions = self._words
        # Canonical JSON of at, cash, equity and positions: the two that seldom change are encoded once.
        body = b'{"at":%d,%b,"equity":"%b",%b}' % (at, cash, records.plain(self._desk.equity).encode(), positions)
        return Row(at, "mark", f"mark:{at}", body)

    def state(self) -> dict[str, Any]:
        """What the traces remember."""
        return self._traces.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._traces.restore(state)
