"""The process dies between any two actions of a story, three times in a row: nothing is doubled, orphaned or lost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from src.core.types import OrderKind, Side
from src.core.venue import OrderState
from tests.services.supervisor.world import BTC, Crash, World, order

Step = Callable[[World], None]


def _fill(part: str) -> Step:
    def fill(world: World) -> None:
        for one in world.venue.open():
            if one.trigger is None and one.filled < Decimal(part):
                world.venue.fill(one.venue_id, Decimal(part) - one.filled)

    return fill


def _submit(name: str, side: Side, amount: str, trigger: str | None = None) -> Step:
    kind = OrderKind.MARKET if trigger is None else OrderKind.STOP
    stop = "0.05" if side is Side.BUY else None
    one = order(name, side, amount, kind=kind, trigger=trigger, stop=stop)
    return lambda world: void(world.submit(one))


def void(_: object) -> None:
    """Steps return nothing."""


def _cancel(world: World) -> None:
    world.do(world.coordinator.cancel(BTC, None, world.now))


def _stopped_out(world: World) -> None:
    for stop in world.stops():
        world.venue.fill(stop.venue_id, stop.amount - stop.filled, "94")


def _answers_lost(world: World) -> None:
    while world.venue.wire:
        world.venue.arrive()
    world.venue.back.clear()
    world.venue.connect()


BUY = (_submit("entry", Side.BUY, "2"), World.run, _fill("0.5"), World.run, _fill("2"), World.run)
STORIES: dict[str, tuple[Step, ...]] = {
    "entry": BUY,
    "sold in parts": (
        *(*BUY, _submit("half", Side.SELL, "1"), World.run, _fill("1"), World.run),
        *(_submit("rest", Side.SELL, "1"), World.run, _fill("1"), World.run),
    ),
    "stop raised": (
        *(*BUY, _submit("higher", Side.SELL, "2", "98"), World.run),
        *(_submit("more", Side.SELL, "2", "99"), World.run),
    ),
    "stopped out while selling": (*BUY, _submit("all", Side.SELL, "2"), _stopped_out, World.run),
    "all cancelled": (*BUY, _cancel, World.run),
    "answers lost": (_submit("entry", Side.BUY, "2"), _answers_lost, lambda w: w.wait(10), _fill("2"), World.run),
    "requests lost": (_submit("entry", Side.BUY, "2"), lambda w: w.venue.wire.clear(), lambda w: w.wait(10)),
}


def play(story: tuple[Step, ...], die_at: int | None, lives: int, keep: int) -> World:
    """Play a story; where the process died the story goes on with the next step, as the world does."""
    world = World()
    world.crash_in = die_at
    for step in story:
        try:
            step(world)
        except Crash:
            for _ in range(lives - 1):  # and again while it recovers
                world.crash(keep)
                world.crash_in = 3
                with pytest.raises(Crash):
                    world.begin()
            world.again(keep)
        world.check()
    world.crash_in = None
    world.run()
    world.wait(20)
    return world


@pytest.mark.parametrize("name", STORIES)
def test_p02_p03_a_death_between_any_two_actions_doubles_and_orphans_nothing(name: str) -> None:
    story = STORIES[name]
    whole = play(story, None, 1, 0)
    whole.quiet()
    actions = len(whole.trace)
    for die_at in range(actions):
        for lives, keep in ((1, 0), (1, 9), (3, 0)):
            world = play(story, die_at, lives, keep)
            assert world.coordinator.ready
            world.quiet()
            assert (world.codes(), world.halts) == ([], [])
    assert actions > 10


def test_what_was_durable_before_a_death_is_there_after_it() -> None:
    world = World()
    world.buy(amount="2")
    before = (world.coordinator.positions(), world.fills, world.coordinator.fills(0))
    world.crash()
    assert (world.coordinator.positions(), world.fills, world.coordinator.fills(0)) == before


def test_what_waited_for_its_turn_when_the_process_died_never_left() -> None:
    world = World()
    world.buy()
    sell = world.submit(order("sell", Side.SELL))
    world.again()
    assert ("rejected", "restarted") in world.reasons()
    assert sell not in [place.client_id for place in world.sent()]
    assert world.at(world.stops()[0].client_id).state is OrderState.OPEN
    world.quiet()
