"""Paper trading through the one order path: gate, coordinator and driver over a simulated exchange, bar by bar.

On paper an answer comes at once and time passes by slices alone. After each step everything is carried out until
nobody has anything to say, so that a slice that is walked again leads to the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ...core.errors import InvariantError, LedgerError
from ...core.ports import Ledger
from ...core.standing import Standing, withheld
from ...core.types import Approved, Decision, Fill, Order, Outcome, Pair, Side, Slice
from ...core.venue import Venue
from .coordinator import Coordinator
from .driver import Driver
from .notices import Notices

_ROUNDS = 1000
"""Of questions and answers in one step; more would never end."""
_KEPT = 20
"""Answers to reconciliations that are kept for whoever asks."""


class PaperVenue(Venue, Protocol):
    """A simulated exchange whose market moves by bars, each in two spans."""

    @property
    def quiet(self) -> bool:
        """Whether nothing has been said that nobody has heard."""
        ...

    def opens(self, slice_: Slice) -> None:
        """Time passed, and the bars opened."""
        ...

    def ranges(self, slice_: Slice) -> None:
        """What the bars did from their opens on."""
        ...

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        ...


class PaperBroker(Driver):
    """The broker of a paper account. The spine's thread alone calls it, but for `open_orders` and `shown`.

    What may be sent is what the engine's standing lets through: the kill switch itself is asked by whoever calls
    `submit`, in the same critical section. LedgerError where a row cannot be written: paper trading ends there.
    """

    def __init__(
        self, coordinator: Coordinator, venue: PaperVenue, ledger: Ledger, standing: Standing, now: Callable[[], int]
    ) -> None:
        self._notices = Notices(standing, now, lambda text: None)
        super().__init__(
            coordinator, venue, ledger, lambda order: withheld(order, standing.of(order.pair)), now,
            self._notices.alarmed, self._notices.halted,
        )  # fmt: skip
        self._market = venue
        self._begun = False
        self._resting: tuple[Order, ...] = ()
        self._known = -1
        self.shown: dict[str, Any] = {"ready": False}
        self.reconciled: Mapping[str, list[str]] = {}

    # The broker.

    def fills(self, slice_: Slice) -> Sequence[Fill]:
        """Walk the slice's bars: their opens, what follows from fills there, then their ranges."""
        self._begin()
        self._settle()
        for walk in (self._market.opens, self._market.ranges):
            walk(slice_)
            if not self._market.quiet:
                self._settle()
        fills, self._fills = self._fills, []
        self._delivered += len(fills)
        return fills

    def submit(self, approved: Approved) -> None:
        """Send an order and hear what became of it."""
        self._begin()
        self._do(self.coordinator.submit(approved, self._now()))
        self._settle()

    def cancel(self, pair: Pair, side: Side | None = None) -> Sequence[Order]:
        """Have what is open cancelled; it is gone when this returns."""
        before = super().cancel(pair, side)
        self._settle()
        return before

    def open_orders(self) -> Sequence[Order]:
        """Orders that wait, are on their way or rest, as they were after the last step."""
        return self._resting

    # The order path.

    def clear(self, pair: Pair | None, reason: str) -> None:
        """A person lifted the halt of a pair, or of everything (None)."""
        self._do(self.coordinator.clear(pair, reason, self._now()))
        self._settle()

    def reconcile(self, name: str) -> None:
        """Ask the exchange about everything now; what does not agree is found in `reconciled` by that name."""
        self._begin()
        self._do(self.coordinator.reconcile(self._now()))
        self._settle()
        self._look()
        newest = list(self.reconciled.items())[1 - _KEPT :]
        self.reconciled = {**dict(newest), name: self.coordinator.doubts}

    def notices(self, at: int) -> Sequence[Decision]:
        """Lines for the record of the slice of `at` (UTC ms): halts, alarms, orders that came to nothing."""
        return self._notices.take(at, self._outcomes)

    # Steps.

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.start()
            self._settle()

    def _settle(self) -> None:
        """Carry out and hear everything until all is quiet."""
        for _ in range(_ROUNDS):
            self.step()
            if self.failure:
                raise LedgerError(self.failure)
            if self._market.quiet:
                break
        else:
            raise InvariantError(f"the order path does not come to rest in {_ROUNDS} rounds")
        if self.coordinator.records != self._known:
            self._look()

    def _look(self) -> None:
        """What others may read at any time, after something happened."""
        self._known = self.coordinator.records
        self._resting = tuple(self.coordinator.open_orders())
        self._show()

    def _show(self) -> None:
        coordinator = self.coordinator
        self.shown = {
            "ready": coordinator.ready,
            "open": len(self._resting),
            "unknown": len(coordinator.unknown_orders()),
            "doubts": coordinator.doubts,
            "external": {pair: str(amount) for pair, amount in coordinator.exposure().items()},
            "alarms": list(self._notices.alarms),
        }

    # State.

    def state(self) -> dict[str, Any]:
        """Both sides, and what was told and not yet taken: the same slices lead to the same rows."""
        return {
            **super().state(),
            "begun": self._begun,
            "coordinator": self.coordinator.state(),
            "moment": self.coordinator.moment(),
            "venue": self._market.state(),
            "outcomes": msgspec.to_builtins(self._outcomes),
            "alarms": list(self._notices.alarms),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on in the middle; LedgerError for the state of a version that sent orders in another way."""
        if "moment" not in state:
            raise LedgerError("this state is of a version without the order path: begin anew in another --state")
        self._begun = bool(state["begun"])
        self._outcomes = msgspec.convert(state["outcomes"], list[Outcome])
        self._notices.alarms.extend(state["alarms"])
        if self._begun:
            self.coordinator.restore(state["coordinator"])
            self.coordinator.go_on(state["moment"])
            self._market.restore(state["venue"])
        super().restore(state)
        self._look()
