"""Policies decide and the coordinator carries out: what is sold, how the stop rises, and that they never meet twice."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from src.core.ports import SpineState
from src.core.types import Order, OrderKind, Position, Side, Snapshot
from src.services.supervisor.policy_supervisor import PolicySupervisor
from tests.policies import only
from tests.services.supervisor.world import BTC, NAMESPACE, START, World

MINUTE = 60_000


class Trading:
    """Ten bought at 100 with a stop at 95, so that R is 5; a cycle a minute."""

    def __init__(self, **states: str) -> None:
        config = only(**states)
        self.world = World()
        self.supervisor = PolicySupervisor(config.policies, config.account, NAMESPACE)
        self.world.buy(amount="10")

    def cycle(self, price: float) -> list[Order]:
        """Orders of one cycle, submitted but not carried yet."""
        world = self.world
        world.wait(60, step=30)
        held = world.coordinator.positions()
        positions = {pair: Position(pair, amount, Decimal(100), amount * 100, START) for pair, amount in held.items()}
        money = Decimal(10_000)
        state = SpineState(
            self._snapshot(price), positions, world.coordinator.open_orders(), money, money, money, "", True, Decimal(0)
        )
        orders = list(self.supervisor.plan((), (), (), state))
        for order in orders:
            world.submit(order)
        return orders

    def settle(self) -> None:
        """Everything arrives, market sells are filled, and all is quiet."""
        self.world.run()
        for order in self.world.venue.open():
            if order.kind is OrderKind.MARKET and order.side is Side.SELL:
                self.world.venue.fill(order.venue_id, order.amount - order.filled)
        self.world.run()
        self.world.quiet()

    def resting(self) -> list[tuple[Decimal, Decimal | None]]:
        return [(o.amount - o.filled, o.trigger) for o in self.world.venue.open() if o.trigger is not None]

    def _snapshot(self, price: float) -> Snapshot:
        at, one = self.world.now, np.ones(1)
        return Snapshot(
            at=at, interval_ms=MINUTE, grid=at // MINUTE, pairs=(BTC,), fresh=np.array([True]), close=price * one,
            features=np.empty((1, 0)), indicators=np.empty((1, 0)), volatility=0.0001 * one, bars=None, simulated=True,
            seen_at=np.array([at]),
        )  # fmt: skip


def test_the_ladder_from_the_entry_to_the_last_sale() -> None:
    trading = Trading(stop_loss="on", profit_ladder="on")
    assert trading.resting() == [(10, 95)]
    told = []
    for price in (104.9, 105.0, 107.5, 110.0, 110.0, 115.0, 115.0, 120.0):
        orders = trading.cycle(price)
        trading.settle()
        told.append(([(order.kind.value, order.amount) for order in orders], trading.resting()))
    stop, market = "stop_limit", "market"
    assert told == [
        ([], [(10, 95)]),
        ([(stop, 10)], [(10, 100)]),
        ([(stop, 10)], [(10, Decimal("102.5"))]),
        ([(market, 5)], [(5, Decimal("102.5"))]),
        ([(stop, 5)], [(5, 105)]),
        ([(market, Decimal("2.5"))], [(Decimal("2.5"), 105)]),
        ([(stop, Decimal("2.5"))], [(Decimal("2.5"), Decimal("107.5"))]),
        ([(market, Decimal("2.5"))], []),
    ]
    assert trading.world.coordinator.positions() == {}


def test_a_cycle_while_an_order_travels_sends_nothing_more() -> None:
    trading = Trading(stop_loss="on", partial_profit="on", trailing="on")
    trading.world.venue.back.clear()
    trading.cycle(110.0)
    sent = len(trading.world.sent())
    for _ in range(3):
        trading.world.run()
        trading.cycle(110.0)
        trading.world.check()
    trading.settle()
    trading.cycle(110.0)
    trading.settle()
    assert trading.world.coordinator.positions() == {BTC: Decimal(5)}
    assert trading.resting() == [(5, 105)]
    assert len(trading.world.sent()) >= sent


def test_a_stop_that_somebody_cancelled_is_back_and_no_second_one_beside_it() -> None:
    trading = Trading(stop_loss="on")
    (stop,) = [order for order in trading.world.venue.open() if order.trigger is not None]
    trading.world.venue.cancel(99, stop.client_id, stop.venue_id, BTC)
    trading.world.run()
    trading.cycle(101.0)
    trading.settle()
    assert trading.resting() == [(10, 95)]
    assert trading.cycle(101.0) == []
