"""The order path as the simulation plays it: the real gate, coordinator and driver over what the simulation gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np

from ..backtesting.simulation.process import Build, Process, Seams
from ..core.config import Settings
from ..core.portfolio import ZERO, Portfolio
from ..core.ports import Row, SpineState
from ..core.types import Approved, Denied, Fill, Order, Pair, Position, Side, Slice, Snapshot
from ..services.gate import RiskGate
from ..services.supervisor.actions import Alarm, Halt
from ..services.supervisor.coordinator import Coordinator
from ..services.supervisor.driver import Driver
from ..services.supervisor.register import replay

NAMESPACE = UUID(int=7)
INTERVAL_MS = 1_000
"""Nothing is measured by it: prices are always of this moment."""
_NO_BARS = Slice(at=0, bars=None)


def life(settings: Settings) -> Build:
    """Builds one life of the order path after the other."""
    return lambda seams: Life(settings, seams)


class Life(Process):
    """One life: coordinator, driver, gate and portfolio, recalled from the ledger's rows."""

    def __init__(self, settings: Settings, seams: Seams) -> None:
        self._seams = seams
        self._gate = RiskGate(settings.risk, settings.costs)
        self.coordinator = Coordinator(
            settings.execution, seams.may_send, NAMESPACE, self._gate.reduce, simulated=True, tick=seams.tick
        )
        self.coordinator.recall(seams.rows)
        self.alarms: list[Alarm] = []
        self.halts: list[Halt] = []
        now, alarmed, halted = seams.clock, self.alarms.append, self.halts.append
        self._driver = Driver(self.coordinator, seams.venue, seams.ledger, seams.may_send, now, alarmed, halted)
        self._send = self._driver.submit
        self._portfolio = Portfolio(seams.start_quote)
        self._fills: list[Fill] = []
        self._peak = seams.start_quote
        self._driver.restore({"delivered": 0})

    @property
    def ready(self) -> bool:
        """As the coordinator says."""
        return self.coordinator.ready

    def halted(self, pair: Pair) -> bool:
        """By the coordinator."""
        return pair in self.coordinator.halted or None in self.coordinator.halted

    def start(self, now: int) -> None:
        """Ask what became of the last life."""
        self._driver.start()
        self._book()

    def step(self, now: int) -> None:
        """Take what came, do what is due."""
        self._book()

    def _book(self) -> None:
        for fill in self._driver.fills(_NO_BARS):
            self._portfolio.apply(fill)
            self._fills.append(fill)

    def take(self, order: Order, now: int) -> str:
        """Through the gate, then to the coordinator."""
        verdict = self._review(order, now)
        if isinstance(verdict, Denied):
            return verdict.reason
        self._send(verdict)
        return ""

    def withdraw(self, pair: Pair, side: Side | None, now: int) -> None:
        """Cancel."""
        self._driver.cancel(pair, side)

    def positions(self) -> Mapping[Pair, Decimal]:
        """By the coordinator's executions."""
        return {pair: position.amount for pair, position in self._portfolio.positions.items()}

    def fills(self) -> Sequence[Fill]:
        """What the portfolio was given."""
        return self._fills

    def unknown(self) -> Sequence[Order]:
        """Orders about which nobody knows."""
        return self.coordinator.unknown_orders()

    def open_orders(self) -> Sequence[Order]:
        """Orders on their way or open."""
        return self.coordinator.open_orders()

    def cash(self) -> Decimal:
        """Of the portfolio."""
        return self._portfolio.cash

    def equity(self, marks: Mapping[Pair, Decimal]) -> Decimal:
        """Of the portfolio."""
        return self._portfolio.equity(marks)

    def state(self) -> dict[str, Any]:
        """The coordinator's."""
        return self.coordinator.state()

    def replayed(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The coordinator's, from rows alone."""
        return replay(rows).state()

    # What the gate looks at.

    def _review(self, order: Order, now: int) -> Approved | Denied:
        return self._gate.review(order, self._state(order.pair, now))

    def _state(self, pair: Pair, now: int) -> SpineState:
        open_ = self.coordinator.open_orders()
        reserved = sum((one.amount * one.reference for one in open_ if one.side is Side.BUY), ZERO)
        held = self.coordinator.positions()  # the portfolio learns of an execution only after its row is durable
        positions = {name: self._position(name, amount, now) for name, amount in held.items()}
        worth = sum((amount * self._seams.price(name) for name, amount in held.items()), ZERO)
        equity = self._portfolio.cash + worth
        self._peak = max(self._peak, equity)
        return SpineState(
            _snapshot(pair, now // INTERVAL_MS * INTERVAL_MS),
            positions,
            open_,
            self._portfolio.cash,
            equity,
            self._peak,
            "",
            True,
            reserved,
        )

    def _position(self, pair: Pair, amount: Decimal, now: int) -> Position:
        price = self._seams.price(pair)
        return Position(pair, amount, price, amount * price, now)


@cache
def _nothing(shape: tuple[int, ...]) -> Any:
    return np.full(shape, np.nan)


def _snapshot(pair: Pair, at: int) -> Snapshot:
    """Of one pair that has a price now."""
    fresh, one = np.ones(1, dtype=np.bool_), _nothing((1,))
    table = _nothing((1, 1))
    return Snapshot(at, INTERVAL_MS, 0, (pair,), fresh, one, table, table, one, None, True)
