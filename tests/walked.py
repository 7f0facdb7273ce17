"""The tape walked through the whole house step by step, with single parts replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np

from src.agents import Kind
from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.config import LedgerSettings
from src.core.engine import Report
from src.core.history import BarColumns, History, align
from src.core.ports import Bus
from src.core.records import decision_fields
from src.core.types import Command, Decision, Observation, Slice
from src.services.memory import from_rows
from src.wiring import House, Plan, build
from tests.golden import tape
from tests.worlds import settings


class Walk:
    """One house over one history. Bars are counted as on the tape."""

    def __init__(
        self,
        history: History | None = None,
        kinds: Sequence[Kind] | None = None,
        make_bus: Callable[[SimClock], Bus] | None = None,
        seed: int = 7,
        make_ledger: Callable[[LedgerSettings], MemoryLedger] = MemoryLedger,
        observations: Sequence[Observation] = (),
        **changes: object,
    ) -> None:
        self.tree = settings(**changes)
        self.clock = SimClock()
        self.history = tape.history() if history is None else history
        self.bus: Bus = LocalBus(self.clock, self.tree.bus) if make_bus is None else make_bus(self.clock)
        self.ledger = make_ledger(self.tree.ledger)
        plan = Plan(self.history.pairs, tape.HOUR, seed, tape.kinds() if kinds is None else kinds)
        self.house: House = build(self.tree, plan, self.clock, self.bus, self.ledger, self.history)
        self.reports: list[Report] = []
        self.amount = Decimal("0.5")
        self.observations = list(observations)
        self._next = 0

    def until(self, bar: int, first: int | None = None) -> Report:
        """Walk through the bars up to `bar`; the last report."""
        for row in range(self._next if first is None else first, bar + 1):
            at = int(self.history.times[row])
            known = tuple(seen for seen in self.observations if seen.known_at <= at)
            self.observations = [seen for seen in self.observations if seen.known_at > at]
            self.see(Slice(at, self.history.block(row), known))
        self._next = bar + 1
        return self.reports[-1]

    def see(self, slice_: Slice) -> Report:
        """One slice of any kind."""
        self.reports.append(self.house.engine.on_slice(slice_))
        return self.reports[-1]

    def all(self) -> Walk:
        """The rest of the history."""
        self.until(len(self.history.times) - 1)
        return self

    def put(self, command: Command) -> None:
        """Ask the spine for something."""
        self.house.engine.inbox.put(command)

    def decided(self, bar: int, kind: str) -> list[Decision]:
        """The lines of a kind that bar number `bar` led to."""
        at = tape.closed_at(bar)
        return [line for report in self.reports if report.at == at for line in report.decisions if line.kind == kind]

    def lines(self) -> list[dict[str, object]]:
        """All decisions as they are written down."""
        return [decision_fields(line) for report in self.reports for line in report.decisions]

    def saved(self) -> bytes:
        """The state of the engine as a checkpoint holds it."""
        return checkpoint.dump(self.house.engine.state())

    def restore(self, raw: bytes, ledger: MemoryLedger | None = None) -> None:
        """Go on from a checkpoint, and what the ledger of then says was remembered."""
        state, memory = checkpoint.load(raw), self.house.memory
        if ledger is not None:
            rows = ((row.at, row.body) for row in ledger.rows("memory"))
            memory.rebuild(from_rows(rows, memory.index.dimensions), state["at"])
        self.house.engine.restore(state)


def crashing() -> Walk:
    """The tape with a crash to 40 at bar 47; the whole equity goes in, no stop, and the exit is its horizon."""
    close = tape.closes()
    close[47:] = 40.0 + 0.5 * (np.arange(tape.BARS - 47) % 2)
    opening = np.concatenate([[100.0], close[:-1]])
    opened = tape.START + tape.HOUR * np.arange(tape.BARS, dtype=np.int64)
    high, low = np.maximum(opening, close) + 0.25, np.minimum(opening, close) - 0.25
    bars = BarColumns(opened, opening, high, low, close, np.full(tape.BARS, 100_000.0))
    return Walk(align({tape.PAIR: bars}, tape.HOUR), account__entry_equity_ratio=0.9, account__stop_ratio=0.99)
