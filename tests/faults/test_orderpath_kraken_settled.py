"""The whole order path at the local Kraken: coordinator, driver and ledger over REST, with answers that do not come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from src.connectors.sqlite_ledger import SqliteSink
from src.core.clock import Timer
from src.core.names import OrderId, Pair
from src.core.orders import Approved, Denied, Order, OrderKind
from src.core.types import Side
from src.services.supervisor.actions import Alarm, Halt
from src.services.supervisor.coordinator import Coordinator
from src.services.supervisor.driver import Driver
from src.services.supervisor.order_states import Progress
from src.services.writer import Writer
from tests.faults.test_orderpath_kraken_rest import AFTER, BEFORE
from tests.kraken.desk import BTC, SECONDS, START, Desk
from tests.services.supervisor.world import NAMESPACE
from tests.settings.leaves import tree


class Trading:
    """A driver at a desk; time passes only where the test says so, answers come when they come.

    Kraken's call counter is out of the way: how it stretches a search is a matter of its tier, not of the order path.
    """

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder, budget__calls_decay_second=1000.0)
        self.desk.state.counters.rest.most = 1e9
        settings = tree()
        self.writer = Writer(
            SqliteSink(folder / "ledger", settings.ledger, mode="live", ledger_id="one"), settings.ledger
        )
        self.alarms: list[Alarm] = []
        self.halts: list[Halt] = []
        self.coordinator = Coordinator(settings.execution, lambda one: "", NAMESPACE, self.approve, simulated=False)
        self.driver = Driver(
            *(self.coordinator, self.desk.venue, self.writer, lambda one: "", self.desk.clock.now_ms),
            *(self.alarms.append, self.halts.append),
        )
        self.desk.venue.open()
        self.driver.start()
        self.until(lambda: self.coordinator.ready)

    @staticmethod
    def approve(one: Order, at: int) -> Approved | Denied:
        return Approved(one, at)

    def until(self, is_so: Callable[[], bool], step_ms: int = 0) -> None:
        """Step until it is so; `step_ms` pass whenever there is no news and no call under way."""
        timer = Timer()
        deadline = timer.seconds() + SECONDS
        while not is_so():
            assert timer.seconds() < deadline, (self.alarms, self.halts, self.coordinator.unknown_orders())
            if not self.desk.venue.queue.wait(0.01) and not self.desk.venue.depth():
                self.desk.pass_ms(step_ms)
            self.driver.step()

    def buy(self, kind: OrderKind = OrderKind.MARKET, limit: str | None = None) -> Order:
        price = None if limit is None else Decimal(limit)
        one = Order(
            OrderId("o-1"),
            BTC,
            Side.BUY,
            Decimal("0.01"),
            kind,
            self.desk.clock.at,
            Decimal(50_000),
            "test",
            limit=price,
        )
        self.driver.submit(Approved(one, self.desk.clock.at))
        return one

    def progress(self, one: Order) -> Progress | None:
        return self.coordinator.progress(self.coordinator.client_id(one))

    def close(self) -> None:
        self.desk.close()
        self.writer.close()


@pytest.fixture
def trading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trading]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    one = Trading(tmp_path)
    yield one
    one.close()


def held(trading: Trading, pair: Pair = BTC) -> Decimal:
    return trading.coordinator.positions().get(pair, Decimal(0))


def test_an_order_over_real_sockets_fills_once(trading: Trading) -> None:
    one = trading.buy()
    trading.until(lambda: trading.progress(one) is Progress.FILLED, step_ms=1_000)
    trading.until(lambda: held(trading) == Decimal("0.01"), step_ms=500)
    assert len(trading.desk.state.fills) == 1
    assert len(trading.desk.server.calls("AddOrder")) == 1
    assert trading.halts == []


@pytest.mark.parametrize("manner", AFTER)
def test_x01_x02_x05_x13_an_order_that_filled_without_an_answer_is_adopted(manner: str, trading: Trading) -> None:
    trading.desk.fault("AddOrder", manner)
    one = trading.buy()
    trading.until(lambda: trading.progress(one) is Progress.FILLED, step_ms=500)
    trading.until(lambda: held(trading) == Decimal("0.01"), step_ms=500)
    assert len(trading.desk.state.orders) == 1
    assert len(trading.desk.server.calls("AddOrder")) == 1
    assert trading.desk.clock.at - START <= 10_000  # deadline and five seconds


@pytest.mark.parametrize("manner", BEFORE)
def test_x01_x03_an_order_that_never_arrived_is_absent_only_after_its_deadline(manner: str, trading: Trading) -> None:
    trading.desk.fault("AddOrder", manner)
    one = trading.buy()
    trading.until(lambda: trading.progress(one) is Progress.ABSENT, step_ms=500)
    passed = trading.desk.clock.at - START
    assert 7_000 < passed <= 10_000  # deadline and margin; deadline and five seconds
    assert (held(trading), trading.desk.state.orders, trading.coordinator.unknown_orders()) == (0, {}, [])
    assert len(trading.desk.server.calls("AddOrder")) == 1


def test_x03_an_order_that_arrives_after_that_is_refused_by_its_deadline(trading: Trading) -> None:
    trading.desk.fault("AddOrder", "late")
    one = trading.buy()
    trading.until(lambda: trading.progress(one) is Progress.ABSENT, step_ms=500)
    (answer,) = trading.desk.server.deliver()
    assert b"EService:Deadline elapsed" in answer
    assert trading.desk.state.orders == {}


def test_x07_a_cancellation_that_crosses_a_fill_tells_the_fill(trading: Trading) -> None:
    one = trading.buy(OrderKind.LIMIT, "40000.0")
    trading.until(lambda: trading.progress(one) is Progress.ACKED)
    (txid,) = trading.desk.state.orders
    trading.desk.state.fill(txid, Decimal("0.004"), Decimal("40000.0"))
    trading.driver.cancel(BTC)
    trading.until(lambda: trading.progress(one) is Progress.CANCELLED, step_ms=500)
    trading.until(lambda: held(trading) == Decimal("0.004"), step_ms=500)
    assert trading.desk.state.orders[txid].status == "canceled"
