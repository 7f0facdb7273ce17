"""More faults of the order path that other tests let pass: each found a bug that was planted on purpose."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from src.core.messages import Message
from src.core.ports import Broker, Row
from src.core.types import Fill, OrderKind, Side, Slice
from src.core.venue import ClientId, Ended, Executed, Lost, OrderState, VenueId
from src.services.supervisor.actions import Happened, Question, Write
from src.services.supervisor.inquiry import ASKS, Purpose
from src.services.supervisor.order_records import Moved, record_of
from src.services.supervisor.order_states import Progress
from tests.services.supervisor.scripted import Cancel
from tests.services.supervisor.world import BTC, ETH, SETTINGS, World, order
from tests.walked import Walk


def hidden(world: World) -> list[Executed]:
    """What the venue executed so far is told by nobody until it is put back."""
    world.venue.back = [event for event in world.venue.back if not isinstance(event, Executed)]
    told, world.venue.executions = world.venue.executions, []
    return told


def test_x07_an_end_that_is_told_again_with_more_filled_is_looked_into() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    venue_id = world.at(client_id).venue_id
    world.venue.fill(venue_id, "0.4")
    (told,) = hidden(world)
    world.tell(Ended(venue_id, client_id, BTC, OrderState.CANCELLED, Decimal(0), world.now, ""))
    assert world.progress(client_id) is Progress.CANCELLED
    world.venue.executions = [told]
    world.tell(Ended(venue_id, client_id, BTC, OrderState.CANCELLED, Decimal("0.4"), world.now, ""))
    world.wait(3)
    assert world.coordinator.positions() == {BTC: Decimal("0.4")}


def test_x15_an_execution_without_a_name_is_somebody_elses_once_our_order_was_asked_about() -> None:
    """Our order may still come, but it was not there when the venue executed that."""
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.wire.clear()
    world.tell(Lost(client_id, "timeout", world.now))
    stranger = world.venue.strange(BTC, Side.BUY, "2")
    executed = msgspec.structs.replace(world.venue.fill(stranger, "2"), client_id=ClientId(""))
    world.venue.back.clear()
    world.venue.orders.clear()
    world.venue.executions = [executed]
    world.tell(executed)
    assert world.coordinator.exposure() == {}
    world.run()
    assert world.progress(client_id) is Progress.UNKNOWN, "not late enough to be absent"
    assert world.coordinator.exposure() == {BTC: Decimal(2)}
    assert world.coordinator.positions() == {}


def test_b_f03_buying_more_does_not_lower_the_stop_that_was_raised_since() -> None:
    world = World()
    world.buy(stop="0.05")
    world.submit(order("raised", Side.SELL, kind=OrderKind.STOP, trigger="97"))
    world.run()
    world.buy("more", stop="0.05")
    assert [(stop.amount, stop.trigger) for stop in world.stops()] == [(Decimal(2), Decimal(97))]
    world.quiet()


def test_x03_the_end_of_an_order_that_was_absent_halts_everything() -> None:
    """It was there after all: what else is not known cannot be known."""
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.wire.clear()
    world.tell(Lost(client_id, "timeout", world.now))
    world.wait(12)
    assert world.progress(client_id) is Progress.ABSENT
    venue_id = world.venue.strange(BTC, Side.BUY, "1", client_id)
    world.tell(Ended(venue_id, client_id, BTC, OrderState.CANCELLED, Decimal(0), world.now, ""))
    assert None in world.coordinator.halted
    assert "shows_up" in world.codes()
    assert world.progress(client_id) is Progress.CANCELLED


def test_x07_executions_that_come_to_light_after_minutes_are_still_asked_for() -> None:
    """The venue said what was filled; whatever was asked since, the questions go back to the order's own time."""
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    world.venue.fill(world.at(client_id).venue_id, "1")
    told = hidden(world)
    world.run()
    assert world.progress(client_id) is not Progress.ACKED
    world.wait(5 * SETTINGS.overlap_seconds, step=2)
    assert world.coordinator.positions() == {}
    world.venue.executions = told
    world.wait(2 * SETTINGS.open_orders_seconds)
    assert world.coordinator.positions() == {BTC: Decimal(1)}


def test_n06_a_part_that_was_filled_without_a_word_is_found_by_what_is_open_and_halts_nothing() -> None:
    world = World()
    client_id = world.submit(order("entry", kind=OrderKind.LIMIT, limit="99"))
    world.run()
    world.venue.fill(world.at(client_id).venue_id, "0.4")
    world.venue.back.clear()
    world.wait(SETTINGS.open_orders_seconds + SETTINGS.recheck_seconds + 2)
    assert world.coordinator.positions() == {BTC: Decimal("0.4")}
    assert (dict(world.coordinator.halted), world.halts) == ({}, [])
    asked = [action for action in world.trace if isinstance(action, Question)]
    assert len(asked) < 20


def test_n01_a_cut_in_the_middle_of_the_start_up_begins_it_again() -> None:
    """What was asked before the cut may have changed while nobody listened."""
    world = World(begin=False)
    world.do(world.coordinator.start(world.now))
    world.hear()
    for _ in range(3):
        world.venue.arrive()
        world.hear()
    every = list(ASKS[Purpose.START])
    assert world.asks() == every[:4]
    world.venue.connect(connected=False)
    world.venue.connect()
    world.hear()
    world.run()
    assert world.coordinator.ready
    assert world.asks()[4:] == every


def test_x15_an_order_of_somebody_else_that_is_open_no_more_is_forgotten_without_a_word() -> None:
    world = World()
    venue_id = world.venue.strange(ETH, Side.BUY, "2")
    world.wait(SETTINGS.open_orders_seconds + 1)
    assert world.coordinator.exposure() == {ETH: Decimal(2)}
    world.venue.end(venue_id)
    world.venue.back.clear()
    world.wait(SETTINGS.open_orders_seconds + 1)
    assert world.coordinator.exposure() == {}
    assert world.halts == []


def test_i02_what_became_of_an_order_is_on_disk_before_anybody_is_told() -> None:
    """Of each outcome that is told, the step that led to it stands in a row that a crash cannot take back."""
    world = World()
    world.venue.refuse[world.coordinator.client_id(order("refused"))] = ("funds", "not enough")
    for one in (order("refused"), order("entry", kind=OrderKind.LIMIT, limit="99"), order("lost", pair=ETH)):
        world.submit(one)
        world.run()
    world.venue.end(world.at(world.coordinator.client_id(order("entry"))).venue_id)
    world.tell(Lost(world.coordinator.client_id(order("lost")), "timeout", world.now))
    world.run()
    soft: list[Row] = []
    told = 0
    for action in world.trace:
        if isinstance(action, Write):
            soft = [] if action.durable else [*soft, *action.rows]
        elif isinstance(action, Happened):
            steps = [record for record in map(record_of, (row.body for row in soft)) if isinstance(record, Moved)]
            assert [step for step in steps if step.after is not Progress.SENT] == []
            told += 1
    assert told == len(world.outcomes) >= 4


def test_k04_what_waits_for_its_turn_when_its_pair_is_halted_never_leaves() -> None:
    world = World()
    world.submit(order("flying"))
    waiting = world.submit(order("waiting", Side.SELL))
    assert world.progress(waiting) is Progress.NEW
    nobody = world.coordinator.client_id(order("nobody"))
    stranger = Executed("F", VenueId("Z"), nobody, BTC, Side.BUY, Decimal(1), Decimal(100), Decimal(0), world.now)
    world.tell(stranger)
    assert BTC in world.coordinator.halted
    assert world.progress(waiting) is Progress.REJECTED
    assert any(state == "rejected" and reason == "halted" for state, reason in world.reasons())
    world.do(world.coordinator.clear(BTC, "looked", world.now))
    world.run()
    assert [place.approved.order.id for place in world.sent()] == ["flying"]


class AheadBroker:
    """Passes everything on to the exchange, whose clock is a little ahead."""

    def __init__(self, inner: Broker, ahead_ms: int) -> None:
        self._inner, self._ahead_ms = inner, ahead_ms

    def fills(self, slice_: Slice) -> list[Fill]:
        late = slice_.at + self._ahead_ms
        return [msgspec.structs.replace(fill, at=late) for fill in self._inner.fills(slice_)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_x04_an_execution_that_the_exchange_dates_ahead_of_our_clock_ends_nothing() -> None:
    """A fill heard while a slice begins, or from a clock within what is allowed, is known no later than the slice."""
    walk = Walk()
    walk.house.desk.broker = AheadBroker(walk.house.desk.broker, 40)  # type: ignore[assignment]
    heard: list[Message] = []
    walk.bus.subscribe("trade-confirmations", heard.append, "listener")
    walk.all()
    fills = [msgspec.json.decode(row.body, type=Fill) for row in walk.ledger.rows("fill")]
    assert len(walk.reports) == len(walk.history.times)
    assert len(fills) == len(heard) == 2
    assert [message.known_at + 40 for message in heard] == [fill.at for fill in fills], "the fact stays as it was told"
    assert [message.at for message in heard] == [message.known_at for message in heard]


@pytest.mark.parametrize("change", [{"price": Decimal(101)}, {"amount": Decimal("0.4")}, {"side": Side.SELL}])
def test_x08_an_execution_that_comes_again_with_other_words_is_not_believed(change: dict[str, Any]) -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    told = world.venue.fill(world.at(client_id).venue_id, "0.5")
    world.run()
    world.tell(told)
    assert world.codes() == []
    world.tell(msgspec.structs.replace(told, **change))
    assert (world.codes(), BTC in world.coordinator.halted) == (["quarantine"], True)
    assert world.coordinator.positions() == {BTC: Decimal("0.5")}


def test_x07_an_order_that_ended_without_a_word_is_looked_for_when_its_cancellation_gets_no_answer() -> None:
    world = World()
    client_id = world.submit(order("entry", kind=OrderKind.LIMIT, limit="99"))
    world.run()
    world.venue.end(world.at(client_id).venue_id)
    world.venue.back.clear()
    world.do(world.coordinator.cancel(BTC, Side.BUY, world.now))
    for _ in range(round(3 * SETTINGS.cancel_again_seconds)):
        world.wait(1, step=1, travel=False)
        world.venue.wire = [request for request in world.venue.wire if not isinstance(request, Cancel)]
        world.run()
    assert 3 * SETTINGS.cancel_again_seconds < SETTINGS.open_orders_seconds
    assert world.progress(client_id) is Progress.CANCELLED


def test_a_stop_that_rests_makes_the_next_failure_the_first_one() -> None:
    """Pauses between tries to protect a position grow with failures in a row, not with those of a whole life."""
    world = World()
    world.buy(stop="0.05")

    def gone() -> None:
        world.venue.end(world.stops()[0].venue_id)
        world.run()

    world.venue.refuse_all = ("funds", "not enough")
    gone()
    world.wait(3.5 * SETTINGS.protect_again_seconds)
    assert world.stops() == []
    world.venue.refuse_all = None
    world.wait(4 * SETTINGS.protect_again_seconds)
    assert len(world.stops()) == 1
    world.venue.refuse_all = ("funds", "not enough")
    gone()
    assert world.stops() == []
    world.venue.refuse_all = None
    world.wait(SETTINGS.protect_again_seconds + 1)
    assert len(world.stops()) == 1
