"""Stops that are sent by themselves to the simulated exchange: one a position, with a limit, replacing another."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from src.backtesting.exchange import SimulatedExchange
from src.core.checkpoint import dump, load
from src.core.errors import BrokerError
from src.core.types import Fill, Order, OrderId, OrderKind, Side
from tests.money import BTC, SHIPPED, Ohlcv, approve, exchange, flat, order, slice_of
from tests.money import closed_at as at

D = Decimal


class Stage:
    """An exchange that holds ten bought at 100, with the stop that came with them at 95."""

    def __init__(self) -> None:
        self.exchange = exchange(SHIPPED)
        self.bar = 0
        self.send(order(Side.BUY, "10", name="entry", stop="0.05"))
        self.on(flat(100.0))
        self.exchange.outcomes()

    def send(self, wanted: Order) -> None:
        self.exchange.submit(approve(wanted, SHIPPED))

    def on(self, bar: Ohlcv) -> list[tuple[str, Decimal, Decimal]]:
        self.bar += 1
        fills: list[Fill] = list(self.exchange.fills(slice_of(self.bar, {BTC: bar})))
        return [(fill.reason, fill.amount, fill.price) for fill in fills]

    def resting(self) -> list[tuple[str, Decimal, Decimal | None]]:
        return [(one.id, one.amount, one.trigger) for one in self.exchange.open_orders()]


def stop(trigger: str, limit: str | None = None, amount: str = "10", name: str = "raised") -> Order:
    kind = OrderKind.STOP if limit is None else OrderKind.STOP_LIMIT
    return Order(
        OrderId(name), BTC, Side.SELL, D(amount), kind, at(1), D(100), "trailing", trigger=D(trigger),
        limit=None if limit is None else D(limit),
    )  # fmt: skip


def test_a_stop_takes_the_place_of_the_one_there_is() -> None:
    stage = Stage()
    stage.send(stop("98", "96"))
    assert stage.resting() == [("raised", 10, 98)]
    assert [(one.order_id, one.state, one.reason) for one in stage.exchange.outcomes()] == [
        ("entry-stop", "cancelled", "replaced"), ("raised", "open", ""),
    ]  # fmt: skip
    assert stage.on((100.0, 100.0, 98.1, 99.0, 1e6)) == []
    assert stage.on((99.0, 99.0, 97.0, 98.5, 1e6)) == [("trailing", 10, 98)]
    assert stage.resting() == []


def test_a_gap_above_the_limit_fills_at_the_open_and_one_below_it_waits() -> None:
    stage = Stage()
    stage.send(stop("98", "96"))
    assert stage.on((96.0, 97.0, 95.0, 96.5, 1e6)) == [("trailing", 10, 96)]
    stage = Stage()
    stage.send(stop("98", "96"))
    assert stage.on((90.0, 97.0, 89.0, 91.0, 1e6)) == []
    assert stage.resting() == [("raised", 10, 98)]
    assert stage.on((91.0, 95.99, 90.0, 95.0, 1e6)) == []
    assert stage.on((95.0, 96.0, 94.0, 95.0, 1e6)) == [("trailing", 10, 96)]
    stage = Stage()
    stage.send(stop("98", "96"))
    stage.on((90.0, 90.0, 90.0, 90.0, 1e6))
    assert stage.on((97.0, 97.0, 97.0, 97.0, 1e6)) == [("trailing", 10, 97)]


def test_what_a_bar_has_no_volume_for_waits_at_the_limit() -> None:
    stage = Stage()
    stage.send(stop("98", "96"))
    assert stage.on((97.5, 97.5, 97.5, 97.5, 40.0)) == [("trailing", 4, D("97.5"))]
    assert stage.resting() == [("raised", 6, 98)]
    assert stage.on(flat(95.0)) == []
    assert stage.on(flat(96.5)) == [("trailing", 6, D("96.5"))]


def test_a_stop_without_a_limit_sells_at_any_price() -> None:
    stage = Stage()
    stage.send(stop("98"))
    assert stage.on((80.0, 81.0, 79.0, 80.0, 1e6)) == [("trailing", 10, 80)]


def test_a_stop_is_never_larger_than_what_is_held_and_shrinks_with_it() -> None:
    stage = Stage()
    stage.send(stop("98", "96", "10"))
    stage.send(order(Side.SELL, "4", name="part", at=at(1)))
    assert stage.on(flat(100.0)) == [("exit", 4, 100)]
    assert stage.resting() == [("raised", 6, 98)]
    stage.send(order(Side.SELL, "6", name="all", at=at(2)))
    assert stage.on(flat(100.0)) == [("exit", 6, 100)]
    assert stage.resting() == []


@pytest.mark.parametrize("wrong", [stop("98", amount="11"), msgspec.structs.replace(stop("98"), trigger=None)])
def test_a_stop_that_cannot_rest_is_refused_and_the_old_one_stays(wrong: Order) -> None:
    stage = Stage()
    with pytest.raises(BrokerError, match="stop"):
        stage.send(wrong)
    assert stage.resting()[0][0] == "entry-stop"


def test_a_stop_without_a_position_is_refused() -> None:
    empty = exchange(SHIPPED)
    with pytest.raises(BrokerError, match="nothing to protect"):
        empty.submit(approve(stop("98"), SHIPPED))


def test_a_woken_stop_survives_a_restart() -> None:
    stage = Stage()
    stage.send(stop("98", "96"))
    stage.on(flat(90.0))
    again: SimulatedExchange = exchange(SHIPPED)
    again.restore(load(dump(stage.exchange.state())))
    stage.exchange = again
    assert stage.on(flat(95.0)) == []
    assert stage.on(flat(97.0)) == [("trailing", 10, 97)]
