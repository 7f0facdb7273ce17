"""Carries out what the coordinator wants, in order: the broker of paper and live trading.

A row that is not durable yet stops everything behind it: an order leaves only after its intent is on disk, however
long the disk takes. Then its time is over, and it does not leave at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ...core.errors import LedgerError
from ...core.ports import Ledger, Receipt
from ...core.types import Approved, Fill, Order, OrderKind, Outcome, Pair, Side, Slice
from ...core.venue import Venue
from .actions import Action, Alarm, Filled, Halt, Happened, Question, Send, Withdraw, Write
from .coordinator import Coordinator

LATE = "too_late"
"""Why an order did not leave: its deadline had passed before its intent was durable."""


class Driver:
    """Implements the Broker port over a coordinator and a venue. One thread at a time.

    `now` tells UTC ms. `may_send` is asked once more right before an order leaves. `alarmed` and `halted` take what
    is for people and for the kill switch. `failure` says why the ledger holds everything up, "" while it does not.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        venue: Venue,
        ledger: Ledger,
        may_send: Callable[[Order], str],
        now: Callable[[], int],
        alarmed: Callable[[Alarm], None],
        halted: Callable[[Halt], None],
    ) -> None:
        self.coordinator = coordinator
        self.failure = ""
        self._venue = venue
        self._ledger = ledger
        self._may_send = may_send
        self._now = now
        self._alarmed = alarmed
        self._halted = halted
        self._pending: deque[Action] = deque()
        self._receipt: Receipt | None = None
        self._fills: list[Fill] = []
        self._outcomes: list[Outcome] = []
        self._delivered = 0
        self._seen = 0

    def start(self) -> None:
        """Begin a life: ask the venue what became of the last one. `step` until the coordinator is ready."""
        self._do(self.coordinator.start(self._now()))

    def step(self) -> None:
        """Take what the venue told, do what is due."""
        self._do(())
        if self._pending:
            return  # what the venue tells waits, too: it could not be written down
        for event in self._venue.events():
            self._do(self.coordinator.on_event(event, self._now()))
        self._do(self.coordinator.on_time(self._now()))

    def _do(self, actions: Sequence[Action]) -> None:
        self._pending.extend(actions)
        while self._pending and self._done(self._pending[0]):
            self._pending.popleft()

    def _done(self, action: Action) -> bool:
        """Carry out one action; False where it, and all behind it, have to wait."""
        match action:
            case Write():
                return self._written(action)
            case Send():
                self._send(action)
            case Withdraw():
                self._venue.cancel(action.number, action.client_id, action.venue_id, action.pair)
            case Question():
                self._venue.ask(action.number, action.ask, action.client_ids, action.since)
            case Filled():
                self._filled(action)
            case Happened():
                self._outcomes.append(action.outcome)
            case Alarm():
                self._alarmed(action)
            case Halt():
                self._halted(action)
        return True

    def _written(self, action: Write) -> bool:
        """Whether the rows are safe; they are queued once, however often this is asked."""
        try:
            if self._receipt is None:
                self._receipt = self._ledger.append(action.rows, action.durable)
            if action.durable:
                self._receipt.wait()
        except LedgerError as error:
            self.failure = str(error)
            return False
        self.failure, self._receipt = "", None
        return True

    def _send(self, action: Send) -> None:
        place, now = action.place, self._now()
        order = place.approved.order
        reason = LATE if now >= place.deadline else self.coordinator.may_leave(order) or self._may_send(order)
        if reason:
            self._pending.extend(self.coordinator.withheld(place, reason, now))
        else:
            self._venue.place(place)

    def _filled(self, action: Filled) -> None:
        """Every fill reaches the portfolio once, whatever a checkpoint knew of it already."""
        if action.index >= self._seen:
            self._fills.append(action.fill)
            self._seen = action.index + 1

    # The broker.

    def submit(self, approved: Approved) -> None:
        """Send an order, or let it wait for its turn; what it comes to is told by fills and outcomes."""
        self._do(self.coordinator.submit(approved, self._now()))

    def cancel(self, pair: Pair, side: Side | None = None) -> Sequence[Order]:
        """Ask for what is open to be cancelled; returns what it was. It is gone when its outcome says so."""
        stops = (OrderKind.STOP, OrderKind.STOP_LIMIT)
        before = [order for order in self.coordinator.open_orders() if order.pair == pair]
        if side is not None:
            before = [order for order in before if order.side is side and order.kind not in stops]
        self._do(self.coordinator.cancel(pair, side, self._now()))
        return before

    def fills(self, slice_: Slice) -> Sequence[Fill]:
        """Executions since the last call, in order of arrival."""
        self.step()
        fills, self._fills = self._fills, []
        self._delivered += len(fills)
        return fills

    def open_orders(self) -> Sequence[Order]:
        """Orders that wait, are on their way or rest, stops included, with what is left of each."""
        return self.coordinator.open_orders()

    def outcomes(self) -> Sequence[Outcome]:
        """What became of orders since the last call, fills apart."""
        gone, self._outcomes = self._outcomes, []
        return gone

    def state(self) -> dict[str, Any]:
        """How many fills the portfolio has: what is known of orders stands in the ledger's rows."""
        return {"delivered": self._delivered}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after the fills that the portfolio has; the coordinator has been restored before."""
        self._delivered = int(state["delivered"])
        self._fills = list(self.coordinator.fills(self._delivered))
        self._seen = self._delivered + len(self._fills)
