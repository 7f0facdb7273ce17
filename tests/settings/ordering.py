"""The order path at work with everything that its settings are for: late answers, refusals, halts, repetitions."""

from __future__ import annotations

from pathlib import Path

from src.core.types import OrderKind, Side
from src.core.venue import ClientId, NotAnswered
from tests.services.supervisor.scripted import Asked
from tests.services.supervisor.world import BTC, ETH, World, order
from tests.settings.leaves import tree
from tests.settings.watched import Watch


def ordering(watch: Watch, folder: Path) -> None:
    """A coordinator through refusals, lost requests, partial fills, quiet minutes and halts."""
    world = World(watch.over(tree().execution, "execution"))
    world.submit(order("limit", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.do(world.coordinator.cancel(BTC, None, world.now))
    world.venue.wire.clear()
    world.wait(3)
    world.submit(order("lost"))
    world.venue.wire.clear()
    world.wait(10)
    world.buy("held", pair=ETH)
    world.submit(order("sell", Side.SELL, pair=ETH))
    world.venue.wire.clear()
    world.wait(1, travel=False)
    entry = world.submit(order("entry", amount="2", stop="0.05"))
    world.run()
    world.venue.refuse_all = ("invalid_price", "EOrder:Invalid price")
    world.venue.fill(world.at(entry).venue_id, "1")
    world.run()
    world.wait(60)
    world.venue.balances = {}
    world.wait(130)
    for pair in (BTC, ETH):
        world.coordinator._bench.halt(pair, "for the test")
        world.do(world.coordinator._bench.take())
    world.do(world.coordinator.on_event(_failed(world), world.now))


def _failed(world: World) -> NotAnswered:
    world.wait(29.5)
    while not world.venue.wire:
        world.wait(0.5, travel=False)
    asked = world.venue.wire.pop()
    assert isinstance(asked, Asked)
    return NotAnswered(asked.ask, asked.number, ClientId(""), "timeout", world.now)
