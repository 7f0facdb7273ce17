"""The last step of a slice: approved orders are written down, and leave unless somebody has said stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from . import lines, records
from .desk import Desk
from .errors import BrokerError
from .ports import Ledger, Row
from .types import Approved, Decision, Denied, Order

WITHHELD = "withheld"
"""The state of an order that was approved and never left, because the kill switch was thrown meanwhile."""

ADVISED = "advised"
"""The state of an order that was approved in a run that sends nothing."""


class SendGuard(Protocol):
    """The kill switch, asked in the same critical section in which an order leaves."""

    def send(self, order: Order, action: Callable[[], None]) -> str:
        """Do `action`, which sends the order; or say why it may not leave, and do nothing."""
        ...


class Outbound:
    """Sends the orders of a slice. Without `sends` they are written down only.

    `guard` is the kill switch, asked in the critical section of each send; `withheld` are the orders that it kept
    back in an earlier life and why, so that a slice that is walked again sends no more than it did.
    """

    def __init__(self, desk: Desk, ledger: Ledger, sends: bool) -> None:
        self.guard: SendGuard | None = None
        self.withheld: Mapping[str, str] = {}
        self._desk, self._ledger, self._sends = desk, ledger, sends

    def send(
        self, at: int, approved: Sequence[Approved], decisions: list[Decision], refusals: Counter[str]
    ) -> list[Order]:
        """Written down first, then sent, then the outcome is written; the orders that arrived."""
        sent: list[Order] = []
        if not approved:
            return sent
        rows = [records.row(at, "order", verdict.order.id, verdict.order) for verdict in approved]
        if not self._sends:
            rows += [records.state_row(v.order.id, v.order.pair, ADVISED, at) for v in approved]
        self._ledger.append(rows, durable=True).wait()
        failed: list[Row] = []
        for verdict in approved if self._sends else ():
            state, denied = self._one(verdict, at)
            if denied is None:
                sent.append(verdict.order)
                continue
            refusals[denied.reason] += 1
            failed.append(records.state_row(verdict.order.id, verdict.order.pair, state, at))
            decisions.append(lines.refusal_line(denied))
        if failed:
            self._ledger.append(failed, durable=True).wait()
        return sent

    def _one(self, verdict: Approved, at: int) -> tuple[str, Denied | None]:
        """The state of an order that did not leave, and why; None when it did."""
        try:
            why = self._guarded(verdict)
        except BrokerError as error:
            return "rejected", Denied(verdict.order, at, "broker_refused", str(error))
        return (WITHHELD, Denied(verdict.order, at, "kill_switch", value=why)) if why else ("", None)

    def _guarded(self, verdict: Approved) -> str:
        if verdict.order.id in self.withheld:
            return self.withheld[verdict.order.id]
        if self.guard is not None:
            return self.guard.send(verdict.order, lambda: self._desk.send(verdict))
        self._desk.send(verdict)
        return ""
