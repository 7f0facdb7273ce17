"""What the coordinator's parts share: the register, the time of now, and the order of rows and actions.

Every change is a record: it is applied at once and its row written before the next action is carried out.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID, uuid5

from ...core.config_execution import Execution
from ...core.ports import Row
from ...core.types import OrderId, Outcome, Pair
from ...core.venue import ClientId, VenueId
from .actions import Action, Alarm, Halt, Happened, Write
from .order_records import (
    Alarmed,
    Halted,
    Learned,
    Moved,
    Quarantined,
    Record,
    Stranger,
    Wished,
    Withdrawn,
    row_of,
)
from .order_states import Progress, Tracked
from .register import EVERYTHING, Register

_TOLD = {
    Progress.ACKED: "open",
    Progress.CANCELLED: "cancelled",
    Progress.EXPIRED: "expired",
    Progress.REJECTED: "rejected",
    Progress.UNKNOWN: "unknown",
    Progress.ABSENT: "absent",
}
"""What an order's states are called in outcomes; fills tell the others."""


class Bench:
    """Collects rows and actions of one call, in order."""

    def __init__(self, settings: Execution, namespace: UUID, *, simulated: bool) -> None:
        self.settings = settings
        self.simulated = simulated
        self.register = Register()
        self.now = 0
        self.halted_anew = False
        self._namespace = namespace
        self._rows: list[Row] = []
        self._durable = False
        self._actions: list[Action] = []

    def client_id(self, order_id: OrderId) -> ClientId:
        """Our name of an order at the venue: the same for the same order, whoever asks and whenever."""
        return ClientId(str(uuid5(self._namespace, order_id)))

    def note(self, record: Record, *, durable: bool = True) -> None:
        """Apply a record and put its row into the next write."""
        self.register.apply(record)
        books = self.register.books
        self._rows.append(row_of(record, books.epoch, books.number))
        self._durable = self._durable or durable

    def act(self, action: Action) -> None:
        """Queue an action behind the rows noted so far."""
        self._flush()
        self._actions.append(action)

    def halted(self, pair: Pair) -> bool:
        """Whether a pair, or all, is halted here."""
        halted = self.register.books.halted
        return EVERYTHING in halted or pair in halted

    def take(self) -> list[Action]:
        """All that was collected."""
        self._flush()
        taken, self._actions = self._actions, []
        return taken

    def _flush(self) -> None:
        if self._rows:
            self._actions.append(Write(tuple(self._rows), self._durable))
            self._rows, self._durable = [], False

    def move(
        self,
        tracked: Tracked,
        after: Progress,
        reason: str = "",
        venue_id: VenueId | None = None,
        told: Decimal | None = None,
    ) -> None:
        """Take an order one step on, and say so."""
        before = tracked.progress
        durable = after is not Progress.SENT
        self.note(Moved(self.now, tracked.client_id, before, after, reason, venue_id, told), durable=durable)
        if after in _TOLD:
            order = tracked.order
            self.act(Happened(Outcome(order.id, order.pair, _TOLD[after], self.now, reason)))

    def learn(self, tracked: Tracked, venue_id: VenueId | None, told: Decimal | None = None) -> None:
        """Note what the venue calls an order, or says was filled of it, where that is news."""
        name = venue_id if tracked.venue_id is None else None
        more = told if told is not None and (tracked.told is None or told > tracked.told) else None
        if name is not None or more is not None:
            self.note(Learned(self.now, tracked.client_id, name, more))

    def wish(self, tracked: Tracked, reason: str) -> None:
        """Note that an order is to be withdrawn; no disk may hold that up."""
        if not tracked.cancel:
            self.note(Wished(self.now, tracked.client_id, reason), durable=False)

    def alarm(self, code: str, text: str, pair: Pair | None, key: str) -> None:
        """Call somebody, once for a `key`."""
        key = f"{code}:{key}"
        if key not in self.register.books.alarms:
            self.note(Alarmed(self.now, code, text, key, pair))
            self.act(Alarm(code, text, pair))

    def halt(self, pair: Pair | None, reason: str) -> None:
        """Let a pair (None: all) send nothing more; enough halted pairs halt all."""
        halted = self.register.books.halted
        if (pair or EVERYTHING) in halted:
            return
        self.halted_anew = True
        self.note(Halted(self.now, reason, pair))
        self.act(Halt(pair, reason))
        if pair is not None and len(halted) >= self.settings.halted_pairs and EVERYTHING not in halted:
            self.halt(None, f"{len(halted)} pairs are halted: {', '.join(sorted(halted))}")

    def quarantine(self, record: Quarantined, pairs: tuple[Pair, ...]) -> None:
        """Let something not count that cannot be believed, halt its pairs and call somebody; once for its key."""
        if record.key in self.register.books.quarantined:
            return
        self.note(record)
        for pair in pairs:
            self.halt(pair, record.reason)
        self.alarm("quarantine", record.reason, pairs[0] if pairs else None, record.key)

    def withdrawn(self, tracked: Tracked, fence: int) -> None:
        """Note that the venue is asked to cancel."""
        self.note(Withdrawn(self.now, tracked.client_id, fence), durable=False)

    def stranger(self, record: Stranger) -> None:
        """Note how somebody else's order stands."""
        self.note(record, durable=False)
