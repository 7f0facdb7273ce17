"""The first test that counted: one tape, one collision, one order, one trade, on both buses, to the last digit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.memory_ledger import MemoryLedger
from src.connectors.redis_bus import RedisBus
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.engine import Report
from src.core.history import HistoryFeed
from src.core.ports import Bus
from src.core.types import Side
from src.wiring import House, Plan, build
from tests.golden import tape
from tests.worlds import settings


@pytest.fixture(params=["local", "embedded"])
def run(request: pytest.FixtureRequest) -> Iterator[tuple[House, list[Report]]]:
    """The tape, walked through the whole house."""
    clock = SimClock()
    tree = settings()
    server = EmbeddedValkey(0, tree.bus.connect_timeout_seconds) if request.param == "embedded" else None
    bus: Bus = (
        LocalBus(clock, tree.bus)
        if server is None
        else RedisBus(server.url, clock, tree.bus, producer="tape", epoch=1, timer=Timer())
    )
    history = tape.history()
    plan = Plan(history.pairs, tape.HOUR, seed=7, kinds=tape.kinds())
    house = build(tree, plan, clock, bus, MemoryLedger(tree.ledger), history)
    yield house, [house.engine.on_slice(slice_) for slice_ in HistoryFeed(history)]
    house.close()
    if server is not None:
        server.close()


def test_one_tape_one_trade(run: tuple[House, list[Report]]) -> None:
    house, reports = run
    engine = house.engine
    assert engine.counts == {"collisions": 1}
    assert engine.refusals == {}

    entries = [order for report in reports for order in report.orders if order.side is Side.BUY]
    exits = [order for report in reports for order in report.orders if order.side is Side.SELL]
    assert [order.at for order in entries] == [tape.closed_at(45)]
    assert [(order.at, order.reason) for order in exits] == [(tape.closed_at(51), "horizon")]

    fills = [fill for report in reports for fill in report.fills]
    assert [(fill.side, fill.at, fill.price) for fill in fills] == [
        (Side.BUY, tape.closed_at(46), Decimal("92.5")),
        (Side.SELL, tape.closed_at(52), Decimal("93.61")),
    ]
    assert fills[0].amount == Decimal("10.81081081")


def test_the_ledger_holds_the_trade_to_the_last_digit(run: tuple[House, list[Report]]) -> None:
    house, reports = run
    ledger = house.ledger
    assert isinstance(ledger, MemoryLedger)
    trades = [json.loads(row.body) for row in ledger.rows("trade")]
    own = [trade for trade in trades if trade["stream"] == "synthesized"]
    assert len(own) == 1
    # in: 10.81081081 * 92.5 = 999.999999925, booked half even as 999.99999992; fee 2.6, slippage 1
    # out: 10.81081081 * 93.61 = 1011.9999999241, booked as 1011.99999992; fee 2.6312, slippage 1.012
    assert own[0]["profit"] == "4.75680000"
    assert own[0]["fees"] == "5.23120000"
    assert own[0]["slippage"] == "2.01200000"
    assert (own[0]["entry_at"], own[0]["exit_at"]) == (tape.closed_at(46), tape.closed_at(52))
    assert house.desk.portfolio.cash == Decimal(10_000) + Decimal(own[0]["profit"])
    assert reports[-1].equity == house.desk.portfolio.cash
    orders = [json.loads(row.body) for row in ledger.rows("order")]
    assert [order["side"] for order in orders if "side" in order] == ["buy", "sell"]
    assert [order["state"] for order in orders if "state" in order].count("filled") == 2
    assert len(ledger.rows("fill")) == 2
