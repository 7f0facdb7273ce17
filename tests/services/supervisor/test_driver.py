"""The driver over a real ledger: rows before orders, slow and full disks, fills once, the Broker port."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from src.connectors.sqlite_ledger import LedgerReader, SqliteSink
from src.core.clock import Timer
from src.core.errors import LedgerError
from src.core.ports import Broker, Row
from src.core.types import Approved, Denied, Order, Pair, Side, Slice
from src.services.supervisor.actions import Alarm, Halt
from src.services.supervisor.coordinator import Coordinator
from src.services.supervisor.driver import Driver
from src.services.supervisor.order_states import Progress
from src.services.supervisor.register import replay
from src.services.writer import Writer
from tests.services.supervisor.scripted import ScriptedVenue
from tests.services.supervisor.world import BTC, NAMESPACE, SETTINGS, START, order
from tests.settings.leaves import tree

LEDGER = tree().ledger


class Disk:
    """A real file that is full when the test says so."""

    def __init__(self, path: Path) -> None:
        self.sink = SqliteSink(path, LEDGER, mode="paper", ledger_id="one")
        self.full = False

    def write(self, rows: Sequence[Row]) -> dict[int, str]:
        if self.full:
            raise LedgerError("disk full")
        return self.sink.write(rows)

    def checkpoint(self, at: int, state: bytes) -> None:
        self.sink.checkpoint(at, state)

    def close(self) -> None:
        self.sink.close()


class Trading:
    """A driver with all that belongs to it."""

    def __init__(self, path: Path, venue: ScriptedVenue | None = None) -> None:
        self.path = path
        self.disk = Disk(path)
        settings = LEDGER.model_copy(update={"durable_timeout_seconds": 0.05, "retry_seconds": 0.01})
        self.writer = Writer(self.disk, settings, Timer())
        self.venue = venue or ScriptedVenue(START)
        self.kill = ""
        self.alarms: list[Alarm] = []
        self.halts: list[Halt] = []
        self.coordinator = Coordinator(SETTINGS, lambda one: "", NAMESPACE, self.approve, simulated=True)
        self.driver = Driver(
            *(self.coordinator, self.venue, self.writer, lambda one: self.kill, lambda: self.venue.now),
            *(self.alarms.append, self.halts.append),
        )

    @staticmethod
    def approve(one: Order, at: int) -> Approved | Denied:
        return Approved(one, at)

    def run(self) -> None:
        self.driver.step()
        while self.venue.wire:
            self.venue.arrive()
            self.driver.step()

    def submit(self, one: Order) -> None:
        self.driver.submit(Approved(one, self.venue.now))

    def progress(self, one: Order) -> Progress | None:
        return self.coordinator.progress(self.coordinator.client_id(one))

    def slice_(self) -> Slice:
        return Slice(self.venue.now, None)


@pytest.fixture
def trading(tmp_path: Path) -> Trading:
    one = Trading(tmp_path / "ledger.sqlite")
    one.driver.start()
    one.run()
    assert one.coordinator.ready
    return one


def test_it_is_a_broker(trading: Trading) -> None:
    broker: Broker = trading.driver
    broker.submit(Approved(order("entry", stop="0.05"), START))
    trading.run()
    assert [(o.id, o.amount) for o in broker.open_orders()] == [("entry", Decimal(1))]
    trading.venue.fill(trading.venue.open()[0].venue_id, "1")
    fills = broker.fills(trading.slice_())
    assert [(f.id, f.order_id, f.final) for f in fills] == [("T1", "entry", True)]
    trading.run()
    assert broker.fills(trading.slice_()) == []
    assert next((o.order_id, o.state) for o in broker.outcomes()) == ("entry", "open")
    assert broker.outcomes() == []
    assert broker.cancel(BTC, Side.SELL) == []
    assert [o.reason for o in broker.cancel(BTC)] == ["stop"]
    trading.run()
    assert broker.open_orders() == []
    trading.writer.close()


def test_an_intent_is_on_disk_before_the_order_leaves(trading: Trading) -> None:
    rows_then: list[str] = []
    place = trading.venue.place

    def watched(one: object) -> None:
        rows_then.extend(row.kind for row in LedgerReader(trading.path, LEDGER).rows())
        place(one)  # type: ignore[arg-type]

    trading.venue.place = watched  # type: ignore[method-assign]
    trading.submit(order("entry"))
    assert rows_then.count("intent") == 1
    trading.writer.close()


def test_d02_while_the_disk_is_full_no_order_leaves_and_afterwards_it_is_too_late(trading: Trading) -> None:
    trading.disk.full = True
    one = order("entry")
    trading.submit(one)
    assert trading.venue.placed == []
    assert "disk full" in trading.driver.failure
    trading.venue.now += 6000
    trading.driver.step()
    assert trading.venue.placed == []
    trading.disk.full = False
    while trading.driver.failure:
        trading.driver.step()
    trading.run()
    assert trading.venue.placed == []
    assert trading.progress(one) is Progress.REJECTED
    assert [(o.state, o.reason) for o in trading.driver.outcomes()] == [("rejected", "too_late")]
    trading.submit(order("second"))
    trading.run()
    assert len(trading.venue.placed) == 1
    trading.writer.close()


def test_d04_a_slow_disk_delays_an_order_and_doubles_nothing(trading: Trading) -> None:
    trading.disk.full = True
    trading.submit(order("entry"))
    trading.submit(order("entry"))
    trading.driver.step()
    trading.disk.full = False
    while trading.driver.failure:
        trading.driver.step()
    trading.run()
    assert len(trading.venue.placed) == 1
    trading.writer.close()
    rows = list(LedgerReader(trading.path, LEDGER).rows())
    assert replay(rows).state() == trading.coordinator.state()


def test_k01_the_kill_switch_is_asked_right_before_the_order_leaves(trading: Trading) -> None:
    trading.kill = "halted: by hand"
    trading.submit(order("entry"))
    assert trading.venue.placed == []
    assert [(o.state, o.reason) for o in trading.driver.outcomes()] == [("rejected", "halted: by hand")]
    trading.writer.close()
    rows = list(LedgerReader(trading.path, LEDGER).rows())
    assert replay(rows).state() == trading.coordinator.state()


def test_a_restart_goes_on_from_the_ledger_and_delivers_the_fills_that_the_portfolio_has_not(
    trading: Trading, tmp_path: Path
) -> None:
    trading.submit(order("entry", amount="2"))
    trading.run()
    trading.venue.fill(trading.venue.open()[0].venue_id, "0.5")
    assert len(trading.driver.fills(trading.slice_())) == 1
    state = trading.driver.state()
    trading.venue.fill(trading.venue.open()[0].venue_id, "1.5")
    trading.run()  # booked, and not given to the portfolio
    trading.writer.close()
    rows = list(LedgerReader(trading.path, LEDGER).rows())
    again = Trading(trading.path, trading.venue)
    again.coordinator.recall(rows)
    again.driver.restore(state)
    trading.venue.connect()
    again.driver.start()
    again.run()
    assert again.coordinator.ready
    assert [(f.id, f.amount) for f in again.driver.fills(again.slice_())] == [("T2", Decimal("1.5"))]
    assert again.driver.fills(again.slice_()) == []
    assert again.coordinator.positions() == {BTC: Decimal(2)}
    again.writer.close()


def test_alarms_and_halts_reach_those_who_are_to_know(trading: Trading) -> None:
    trading.venue.strange(Pair("ETH/USD"), Side.BUY, "1", "8a6ff90b-73a5-5a1e-9f5c-1f6e1c5f2a10")
    trading.venue.now += 30_000
    trading.run()
    assert [alarm.code for alarm in trading.alarms] == ["quarantine", "external_order"]
    assert [halt.pair for halt in trading.halts] == ["ETH/USD"]
    trading.writer.close()
