"""What the coordinator knows for certain: grown from records alone, so that a replay of the rows gives it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from ...core.errors import InvariantError, LedgerError
from ...core.types import Fill, Pair, Side
from ...core.venue import ClientId, Executed, VenueId, VenueOrder
from .order_records import (
    KINDS,
    Accepted,
    Alarmed,
    Began,
    Booked,
    Checked,
    Cleared,
    Declined,
    Forgotten,
    Halted,
    Intended,
    Learned,
    Moved,
    Protects,
    Quarantined,
    Record,
    Stranger,
    Terms,
    Wished,
    Withdrawn,
    record_of,
)
from .order_states import DONE, IN_FLIGHT, WORKING, Progress, Tracked, check_step

ZERO = Decimal(0)
EVERYTHING = Pair("")
"""The key of a halt of all pairs."""


class Books(msgspec.Struct):
    """The fields of a register, as they go into a checkpoint. Amounts in base units, times UTC ms."""

    number: int = 0
    epoch: int = 0
    since: int = 0
    checked: int = 0
    orders: dict[ClientId, Tracked] = {}
    names: dict[VenueId, ClientId] = {}
    executions: dict[str, Executed] = {}
    fills: list[Fill] = []
    positions: dict[Pair, Decimal] = {}
    foreign: dict[Pair, Decimal] = {}
    strangers: dict[VenueId, VenueOrder] = {}
    fences: dict[Pair, int] = {}
    terms: dict[Pair, Terms] = {}
    halted: dict[Pair, str] = {}
    quarantined: dict[str, str] = {}
    alarms: dict[str, int] = {}
    forgotten: int = 0
    fills_forgotten: int = 0


class Line(Protocol):
    """A row, written or read back."""

    @property
    def kind(self) -> str:
        """Whose row it is."""
        ...

    @property
    def body(self) -> bytes:
        """Canonical JSON."""
        ...


class Register:
    """The books, and the only way to change them: `apply`."""

    def __init__(self) -> None:
        self.books = Books()
        self._live: dict[Pair, dict[ClientId, Tracked]] = {}
        self._absent: dict[ClientId, Tracked] = {}

    def apply(self, record: Record) -> None:
        """Take one record; InvariantError when it contradicts what is known."""
        self.books.number += 1
        match record:
            case Began():
                self._begin(record)
            case Accepted():
                self._accept(record)
            case Intended():
                self._intend(record)
            case Moved():
                self._move(record)
            case Learned():
                self._learn(self._order(record.client_id), record.venue_id, record.told)
            case Wished():
                self._order(record.client_id).cancel = True
            case Withdrawn():
                self.books.fences[self._order(record.client_id).order.pair] = record.fence
            case Booked():
                self._book(record)
            case Checked():
                self.books.checked = max(self.books.checked, record.until)
            case Forgotten():
                self._forget(record.before)
            case Declined():
                pass
            case _:
                self._rest(record)

    def _rest(self, record: Protects | Stranger | Quarantined | Alarmed | Halted | Cleared) -> None:
        books = self.books
        match record:
            case Protects():
                books.terms.pop(record.pair, None)
                if record.terms is not None:
                    books.terms[record.pair] = record.terms
            case Stranger(order=order, open=True):
                books.strangers[order.venue_id] = order
            case Stranger(order=order):
                books.strangers.pop(order.venue_id, None)
            case Quarantined():
                books.quarantined[record.key] = record.reason
            case Alarmed():
                books.alarms[record.key] = record.at
            case Halted():
                books.halted[record.pair or EVERYTHING] = record.reason
            case Cleared():
                books.halted.pop(record.pair or EVERYTHING, None)

    def _begin(self, record: Began) -> None:
        if record.epoch <= self.books.epoch:
            raise InvariantError(f"the coordinator's life {record.epoch} follows life {self.books.epoch}")
        if not self.books.epoch:
            self.books.since = record.at
        self.books.epoch = record.epoch

    def _accept(self, record: Accepted) -> None:
        order = record.approved.order
        if record.client_id in self.books.orders:
            raise InvariantError(f"order {order.id} was accepted already")
        tracked = Tracked(record.client_id, record.approved, order.amount, record.at, record.at)
        self.books.orders[record.client_id] = tracked
        self._live.setdefault(order.pair, {})[record.client_id] = tracked

    def _intend(self, record: Intended) -> None:
        tracked = self._order(record.client_id)
        if record.fence <= self.books.fences.get(tracked.order.pair, 0):
            raise InvariantError(f"{tracked.order.pair}: the fence {record.fence} is behind its pair's")
        self._step(tracked, Progress.NEW, Progress.INTENT, record.at)
        tracked.fence, tracked.amount, tracked.deadline = record.fence, record.amount, record.deadline
        self.books.fences[tracked.order.pair] = record.fence

    def _move(self, record: Moved) -> None:
        tracked = self._order(record.client_id)
        self._step(tracked, record.before, record.after, record.at)
        self._learn(tracked, record.venue_id, record.told)

    def _step(self, tracked: Tracked, before: Progress, after: Progress, at: int) -> None:
        check_step(tracked, before, after)
        tracked.progress, tracked.moved_at = after, at
        self._file(tracked)

    def _file(self, tracked: Tracked) -> None:
        """Keep orders that need attention at hand, and drop the others from there."""
        if tracked.progress is Progress.ABSENT:
            self._absent[tracked.client_id] = tracked
        mine = self._live.setdefault(tracked.order.pair, {})
        if needs_attention(tracked):
            mine[tracked.client_id] = tracked
        else:
            mine.pop(tracked.client_id, None)
            if not mine:
                del self._live[tracked.order.pair]

    def _learn(self, tracked: Tracked, venue_id: VenueId | None, told: Decimal | None) -> None:
        if venue_id is not None:
            if tracked.venue_id not in (None, venue_id) or self.books.names.get(venue_id) not in (
                None,
                tracked.client_id,
            ):
                raise InvariantError(f"order {tracked.order.id} stands at the venue twice, as {venue_id} too")
            tracked.venue_id = venue_id
            self.books.names[venue_id] = tracked.client_id
        if told is not None:
            tracked.told = told
        self._file(tracked)

    def _book(self, record: Booked) -> None:
        executed, books = record.execution, self.books
        if executed.execution_id in books.executions:
            raise InvariantError(f"the execution {executed.execution_id} counts already")
        books.executions[executed.execution_id] = executed
        signed = executed.amount if executed.side is Side.BUY else -executed.amount
        if record.fill is None or record.client_id is None:
            books.foreign[executed.pair] = books.foreign.get(executed.pair, ZERO) + signed
            return
        tracked = self._order(record.client_id)
        if executed.amount > tracked.left:
            raise InvariantError(f"order {tracked.order.id} would be filled beyond its amount")
        tracked.filled += executed.amount
        books.fills.append(record.fill)
        position = books.positions.get(executed.pair, ZERO) + signed
        books.positions[executed.pair] = position
        if not position:
            del books.positions[executed.pair]
            books.terms.pop(executed.pair, None)
        self._file(tracked)

    def _forget(self, before: int) -> None:
        """Drop what is over: orders, their executions and fills, alarms. What is not, stays with its executions."""
        books, live = self.books, {tracked.client_id for tracked in self.live()}
        gone = {t.client_id for t in books.orders.values() if t.moved_at < before and t.client_id not in live}
        books.orders = {name: t for name, t in books.orders.items() if name not in gone}
        books.names = {name: client_id for name, client_id in books.names.items() if client_id not in gone}
        books.executions = {name: e for name, e in books.executions.items() if e.at >= before}
        late = next((i for i, fill in enumerate(books.fills) if fill.at >= before), len(books.fills))
        books.fills, books.fills_forgotten = books.fills[late:], books.fills_forgotten + late
        books.alarms = {key: at for key, at in books.alarms.items() if at >= before}
        books.forgotten = max(books.forgotten, before)

    def _order(self, client_id: ClientId) -> Tracked:
        tracked = self.books.orders.get(client_id)
        if tracked is None:
            raise InvariantError(f"there is no order {client_id}")
        return tracked

    # What is asked of it.

    def find(self, client_id: ClientId, venue_id: VenueId | None) -> Tracked | None:
        """An order of ours by either name."""
        found = self.books.orders.get(client_id)
        if found is None and venue_id is not None and venue_id in self.books.names:
            found = self.books.orders[self.books.names[venue_id]]
        return found

    def pairs(self) -> list[Pair]:
        """Pairs with orders that need attention, or with a protected position."""
        return sorted({*self._live, *self.books.terms})

    def live(self, pair: Pair | None = None) -> list[Tracked]:
        """Orders that wait, are on their way, open, or whose executions are not all known; oldest first."""
        if pair is not None:
            return list(self._live.get(pair, {}).values())
        return [tracked for one in sorted(self._live) for tracked in self._live[one].values()]

    def unresolved(self) -> Iterator[Tracked]:
        """Orders about which the venue has to be asked."""
        for tracked in self.live():
            if tracked.progress in IN_FLIGHT or (tracked.progress in DONE and not tracked.settled):
                yield tracked

    def watched(self, oldest: int) -> Iterator[Tracked]:
        """Orders that never came, held to be absent since `oldest` (UTC ms) or later: one may still show up."""
        for client_id, tracked in list(self._absent.items()):
            if tracked.progress is Progress.ABSENT and tracked.moved_at >= oldest:
                yield tracked
            else:
                del self._absent[client_id]

    def position(self, pair: Pair) -> Decimal:
        """What is held of a pair by our own executions, base units."""
        return self.books.positions.get(pair, ZERO)

    def fills(self, index: int) -> list[Fill]:
        """Fills from that one on; LedgerError where some of them are in the ledger alone."""
        start = index - self.books.fills_forgotten
        if start < 0:
            raise LedgerError(f"fill {index} is older than what is kept in memory: rebuild the portfolio from its rows")
        return self.books.fills[start:]

    @property
    def filled(self) -> int:
        """How many fills there were."""
        return self.books.fills_forgotten + len(self.books.fills)

    def state(self) -> dict[str, Any]:
        """The books as plain data; equal for a register grown from the same rows."""
        plain = msgspec.to_builtins(self.books)
        if not isinstance(plain, dict):
            raise InvariantError("the books are not a mapping")
        return plain

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.books, self._live, self._absent = msgspec.convert(state, Books), {}, {}
        for tracked in self.books.orders.values():
            if tracked.progress is Progress.ABSENT:
                self._absent[tracked.client_id] = tracked
            if needs_attention(tracked):
                self._live.setdefault(tracked.order.pair, {})[tracked.client_id] = tracked


def needs_attention(tracked: Tracked) -> bool:
    """Whether something may still have to be done about an order."""
    open_ = tracked.progress is Progress.NEW or tracked.progress in IN_FLIGHT or tracked.progress in WORKING
    return open_ or (tracked.progress in DONE and not tracked.settled)


def replay(rows: Iterable[Line], until: int | None = None) -> Register:
    """The register that rows of a ledger add up to, or their first `until`; rows of other kinds are passed over."""
    register, kinds = Register(), frozenset(KINDS.values())
    for line in rows:
        if register.books.number == until:
            break
        if line.kind in kinds:
            register.apply(record_of(line.body))
    return register
