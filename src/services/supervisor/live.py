"""Live trading: the driver between the desk and an exchange that answers late, and the start-up order before it.

What a slice decided leaves only when the slice's checkpoint is on disk. So a slice that is walked again after a crash
finds everything as it was, and what it decides then is not sent: an order is never sent by two lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from ...core.ports import Ledger
from ...core.records import plain
from ...core.standing import Standing
from ...core.types import Approved, Decision, Fill, Order, OrderKind, Outcome, Pair, Side, Slice
from ...core.venue import Venue
from .actions import Alarm, Halt
from .coordinator import Coordinator
from .driver import Driver
from .notices import Notices

_KEPT = 20
"""Answers to reconciliations that were asked for."""


class Account(Venue, Protocol):
    """An account at an exchange that opens itself."""

    @property
    def stands(self) -> bool:
        """Whether it is open and its private stream has missed nothing."""
        ...

    def begin(self) -> None:
        """Begin to open."""
        ...

    def troubles(self) -> Sequence[str]:
        """Why nothing may be sent now."""
        ...


class Phase(StrEnum):
    """How far the start-up has come."""

    WALKING = "walking what was recorded"
    OPENING = "opening the account"
    ASKING = "reconciling with the exchange"
    TRADING = "trading"


class LiveBroker(Driver):
    """The broker of a live account. The spine's thread alone calls it, but for `shown` and `phase`.

    `beat` is called often between slices and says whether there is something for a slice to tell. `guard` says why
    an order may not leave now (the kill switch, data that are too old), `thrown` whether buying is halted for a pair.
    `changed` is told each new phase, `say` tells people.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        venue: Account,
        ledger: Ledger,
        standing: Standing,
        now: Callable[[], int],
        say: Callable[[str], None],
        changed: Callable[[Phase], None],
    ) -> None:
        self.guard: Callable[[Order], str] = lambda order: "not_ready"
        self.thrown: Callable[[Pair], bool] = lambda pair: False
        self._notices = Notices(standing, now, say)
        super().__init__(
            coordinator, venue, ledger, self._withheld, now,
            self._notices.alarmed, self._notices.halted,
        )  # fmt: skip
        self.phase, self.ending = Phase.WALKING, False
        self._account, self._changed = venue, changed
        self._waiting: list[Approved] = []
        self._left_behind: list[Order] = []
        self._asked: list[str] = []
        self.reconciled: Mapping[str, list[str]] = {}
        self.shown: dict[str, Any] = {"ready": False}

    # --- start-up ------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """What was recorded is walked: begin to open the account."""
        if self.phase is Phase.WALKING:
            for order in self._left_behind:
                self._outcomes.append(Outcome(order.id, order.pair, "withheld", self._now(), "restarted"))
            self._left_behind = []
            self._account.begin()
            self._go(Phase.OPENING)

    def _go(self, phase: Phase) -> None:
        self.phase = phase
        self._changed(phase)

    def _withheld(self, order: Order) -> str:
        """Why an order must not leave at this moment: whoever ends begins nothing, and protects what there is."""
        return "ending" if self.ending and order.side is Side.BUY else self.guard(order)

    @property
    def ready(self) -> bool:
        """Whether orders can leave: reconciled, connected, nothing from before open, the ledger takes rows."""
        return self.phase is Phase.TRADING and self.coordinator.ready and not self.failure

    # --- between slices ------------------------------------------------------------------------------------------

    def beat(self) -> bool:
        """Do what is due; whether a slice would have something to tell."""
        if self.phase is Phase.OPENING and self._account.stands:
            self.start()
            self._go(Phase.ASKING)
        if self._begun:
            self.step()
            self._stop_buying()
            if self.phase is Phase.ASKING and self.coordinator.ready:
                self._go(Phase.TRADING)
        self._show()
        return self._answer() or bool(self._fills or self._outcomes or self._notices.waiting)

    def release(self) -> None:
        """Send what the slice decided; its checkpoint is on disk."""
        waiting, self._waiting = self._waiting, []
        for approved in waiting:
            self._do(self.coordinator.submit(approved, self._now()))

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way at the exchange, as far as it was begun; an open order that rests is not."""
        return not self._begun or (self.coordinator.at_rest and not self._pending)

    def left(self) -> list[str]:
        """What stays at the exchange when this process ends, in words."""
        if not self._begun:
            return []
        unknown = {order.id for order in self.coordinator.unknown_orders()}
        return [
            f"{order.side.value} {plain(order.amount)} {order.pair} ({order.kind.value}): "
            + ("nobody knows yet what became of it, the next start asks" if order.id in unknown else "rests there")
            for order in self.coordinator.open_orders()
        ]

    def account_of_rows(self) -> tuple[int, dict[str, Any]] | None:
        """How many records there are and what they add up to; None while one of them is not handed to the ledger."""
        return None if self._pending else (self.coordinator.records, self.coordinator.state())

    def doubted(self, text: str) -> None:
        """An audit found what must not be: nothing is sent until a person has looked."""
        self._notices.alarmed(Alarm("audit", text))
        self._notices.halted(Halt(None, f"audit: {text}"))

    @property
    def _begun(self) -> bool:
        return self.phase in (Phase.ASKING, Phase.TRADING)

    def _stop_buying(self) -> None:
        """Whoever is halted buys no more; what was begun is withdrawn now and not with the next slice."""
        stops = (OrderKind.STOP, OrderKind.STOP_LIMIT)
        buying = {o.pair for o in self.coordinator.open_orders() if o.side is Side.BUY and o.kind not in stops}
        for pair in sorted(pair for pair in buying if self.thrown(pair)):
            super().cancel(pair, Side.BUY)

    # --- the broker ----------------------------------------------------------------------------------------------

    def submit(self, approved: Approved) -> None:
        """Keep an order until `release`; it counts as open from now on."""
        self._waiting.append(approved)

    def cancel(self, pair: Pair, side: Side | None = None) -> Sequence[Order]:
        """Ask for what is open to be cancelled; what has not left yet never does."""
        kept = [one for one in self._waiting if one.order.pair == pair and side in (None, one.order.side)]
        for approved in kept:
            self._waiting.remove(approved)
            self._outcomes.append(Outcome(approved.order.id, pair, "withheld", self._now(), "cancelled"))
        resting = super().cancel(pair, side) if self._begun else ()
        return [*(approved.order for approved in kept), *resting]

    def fills(self, slice_: Slice) -> Sequence[Fill]:
        """Executions since the last call, in order of arrival."""
        if self._begun:
            self.step()
        fills, self._fills = self._fills, []
        self._delivered += len(fills)
        return fills

    def open_orders(self) -> Sequence[Order]:
        """Orders that wait, are on their way or rest, stops included, with what is left of each."""
        return [*self.coordinator.open_orders(), *(approved.order for approved in self._waiting)]

    # --- the order path ------------------------------------------------------------------------------------------

    def clear(self, pair: Pair | None, reason: str) -> None:
        """A person lifted the halt of a pair, or of everything (None)."""
        self._do(self.coordinator.clear(pair, reason, self._now()))

    def reconcile(self, name: str) -> None:
        """Ask the exchange about everything now; what does not agree is found in `reconciled` by that name, later."""
        self._asked.append(name)
        if self._begun:
            self._do(self.coordinator.reconcile(self._now()))

    def _answer(self) -> bool:
        """Whether a reconciliation that was asked for has come to its end."""
        if not self._asked or not self.coordinator.ready or self.coordinator.looking:
            return False
        newest = list(self.reconciled.items())[-_KEPT:]
        self.reconciled = {**dict(newest), **dict.fromkeys(self._asked, self.coordinator.doubts)}
        self._asked = []
        return True

    def doubts(self) -> list[str]:
        """What does not agree with the exchange, as far as it was asked."""
        return self.coordinator.doubts

    def notices(self, at: int) -> Sequence[Decision]:
        """Lines for the record of the slice of `at` (UTC ms): halts, alarms, orders that came to nothing."""
        return self._notices.take(at, self._outcomes)

    def _show(self) -> None:
        coordinator = self.coordinator
        self.shown = {
            "ready": self.ready,
            "phase": self.phase.value,
            "troubles": [*self._account.troubles(), *([self.failure] if self.failure else [])],
            "open": len(coordinator.open_orders()),
            "unknown": len(coordinator.unknown_orders()),
            "doubts": coordinator.doubts,
            "external": {pair: str(amount) for pair, amount in coordinator.exposure().items()},
            "clock_offset_ms": coordinator.clock_offset,
            "alarms": list(self._notices.alarms),
        }

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """How many fills the portfolio has, and the orders that leave next; all else stands in the ledger's rows."""
        return {**super().state(), "waiting": [msgspec.to_builtins(one.order) for one in self._waiting]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after the fills that the portfolio has; orders that had not left yet stay behind."""
        super().restore(state)
        waiting = msgspec.convert(state["waiting"], list[Order])
        known = self.coordinator.progress
        self._left_behind = [order for order in waiting if known(self.coordinator.client_id(order)) is None]
