"""Faults of the order path that the coordinator has to survive, each under its name in the fault matrix."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from src.connectors.sqlite_ledger import LedgerReader, SqliteSink
from src.core.config import LedgerSettings
from src.core.types import Approved, OrderKind, Pair, Side
from src.core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    Lost,
    OrderState,
    Place,
    StatusChanged,
    VenueId,
    VenueStatus,
)
from src.services.supervisor.actions import Question, Send, Withdraw, Write
from src.services.supervisor.coordinator import Coordinator
from src.services.supervisor.order_states import Progress
from src.services.supervisor.register import replay
from src.services.writer import Writer
from tests.services.supervisor.world import BTC, ETH, NAMESPACE, SETTINGS, SOL, START, World, order
from tests.settings.leaves import tree


def forged(execution_id: str, venue_id: str, client_id: str = "", pair: Pair = BTC, amount: str = "1") -> Executed:
    """An execution that no exchange should tell of."""
    return Executed(
        *(execution_id, VenueId(venue_id), ClientId(client_id), pair, Side.BUY),
        *(Decimal(amount), Decimal(100), Decimal(0), START),
    )


# Manners of the exchange.


def test_x01_a_timeout_of_an_order_that_was_accepted_is_resolved_and_adopted() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.back.clear()
    world.tell(Lost(client_id, "timeout", world.now))
    assert world.progress(client_id) is Progress.UNKNOWN
    assert [o.id for o in world.coordinator.unknown_orders()] == ["entry"]
    world.submit(order("other"))
    assert world.reasons()[-1] == ("rejected", "unknown_order")
    world.run()
    assert world.progress(client_id) is Progress.ACKED
    assert len(world.sent()) == len(world.venue.orders) == 1
    world.quiet()


def test_x01_without_any_word_an_order_is_unknown_after_two_seconds() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.back.clear()
    world.wait(1.5, travel=False)
    assert world.progress(client_id) is Progress.SENT
    world.wait(0.5, travel=False)
    assert world.progress(client_id) is Progress.UNKNOWN
    world.run()
    assert world.progress(client_id) is Progress.ACKED
    world.quiet()


def test_x02_an_error_after_the_order_was_accepted_sends_nothing_again() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.back[:] = [Lost(client_id, "http_502", world.now)]
    world.run()
    world.wait(30)
    assert world.progress(client_id) is Progress.ACKED
    assert len(world.sent()) == 1
    world.quiet()


@pytest.mark.parametrize("skew", [-1000, 0, 1000])
def test_x03_an_order_that_is_delivered_late_is_refused_and_absent_only_after_deadline_and_margin(skew: int) -> None:
    world = World(begin=False)
    world.venue.skew = skew
    world.begin()
    client_id = world.submit(order("entry"))
    late = world.venue.wire.pop()
    since = world.now
    while world.progress(client_id) is not Progress.ABSENT:
        assert world.now - since < 12_000
        world.wait(0.5)
    margin = 2000 + 2 * abs(skew)
    assert 5000 + margin < world.now - since <= 5000 + margin + 2500  # the aim: settled within deadline + 5 s
    world.now += 40_000
    world.venue.now = world.now
    world.venue.wire.append(late)
    world.venue.arrive()
    world.run()
    assert world.venue.orders == {}
    assert world.progress(client_id) is Progress.ABSENT
    assert (world.codes(), world.halts) == ([], [])
    world.quiet()


def test_x03_an_absent_order_that_shows_up_is_cancelled_adopted_and_halts_everything() -> None:
    world = World()
    client_id = world.submit(order("entry", amount="2"))
    late = world.venue.wire.pop()
    world.wait(10)
    assert world.progress(client_id) is Progress.ABSENT
    assert isinstance(late, Place)
    world.venue.wire.append(msgspec.structs.replace(late, deadline=2**62))  # a venue that does not keep its word
    world.venue.arrive()
    world.venue.fill(world.at(client_id).venue_id, "0.5")
    world.run()
    assert world.at(client_id).state is OrderState.CANCELLED
    assert world.coordinator.positions() == {BTC: Decimal("0.5")}
    assert world.codes() == ["shows_up"]
    assert [halt.pair for halt in world.halts] == [None]
    world.submit(order("more", pair=ETH))
    assert world.reasons()[-1] == ("rejected", "halted")
    world.quiet()


def test_x03_an_absent_sell_that_shows_up_is_cancelled_and_the_position_protected() -> None:
    world = World()
    world.buy(stop="0.05")
    sell = world.submit(order("sell", Side.SELL))
    world.venue.arrive()
    world.hear()
    late = next(one for one in world.venue.wire if isinstance(one, Place))
    world.venue.wire.remove(late)
    world.wait(12)
    assert (world.progress(sell), len(world.stops())) == (Progress.ABSENT, 1)
    world.venue.wire.append(msgspec.structs.replace(late, deadline=2**62))
    world.venue.arrive()
    world.run()
    world.wait(3)
    assert world.at(sell).state is OrderState.CANCELLED
    assert [stop.amount for stop in world.stops()] == [Decimal(1)]
    world.quiet()


def test_x03_a_watched_order_is_found_by_looking() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    late = world.venue.wire.pop()
    world.wait(10)
    assert isinstance(late, Place)
    world.venue.wire.append(msgspec.structs.replace(late, deadline=2**62))
    world.venue.arrive()
    world.venue.back.clear()
    world.wait(30)
    assert world.at(client_id).state is OrderState.CANCELLED
    assert world.codes() == ["shows_up"]


@pytest.mark.parametrize(("skew", "sent"), [(1000, 1), (1001, 0), (-1000, 1), (-5000, 0)])
def test_x04_with_clocks_that_differ_by_more_than_a_second_nothing_is_sent(skew: int, sent: int) -> None:
    world = World(begin=False)
    world.venue.skew = skew
    world.begin()
    world.submit(order("entry"))
    world.run()
    assert (len(world.sent()), world.codes()) == (sent, [] if sent else ["clock"])
    world.quiet()


def test_x05_an_order_that_filled_and_went_before_anybody_asked_is_found_among_the_closed() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.fill(world.at(client_id).venue_id, "1")
    world.venue.back[:] = [Lost(client_id, "reset", world.now)]
    world.run()
    assert world.progress(client_id) is Progress.FILLED
    assert world.coordinator.positions() == {BTC: Decimal(1)}
    world.quiet()


def test_x05_an_order_that_closes_between_the_two_questions_is_seen_by_one_of_them() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.back[:] = [Lost(client_id, "reset", world.now)]
    world.hear()
    assert [action.ask for action in world.trace if isinstance(action, Question)][-1] is Ask.OPEN_ORDERS
    world.venue.fill(world.at(client_id).venue_id, "1")
    world.venue.back.clear()
    world.now += 60_000  # long after the deadline
    world.venue.now = world.now
    world.run()
    assert world.progress(client_id) is Progress.FILLED
    world.quiet()


def test_x07_a_fill_may_come_before_the_acknowledgement() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.fill(world.at(client_id).venue_id, "1")
    world.venue.back.reverse()
    world.run()
    assert world.progress(client_id) is Progress.FILLED
    world.quiet()


@pytest.mark.parametrize("later", [False, True])
def test_x07_a_cancellation_and_a_fill_may_cross(later: bool) -> None:
    world = World()
    client_id = world.submit(order("entry", amount="2", kind=OrderKind.LIMIT, limit="99"))
    world.run()
    venue_id = world.at(client_id).venue_id
    world.do(world.coordinator.cancel(BTC, Side.BUY, world.now))
    world.venue.fill(venue_id, "0.5")
    world.venue.arrive()
    if later:
        world.venue.back.reverse()
    world.run()
    assert world.progress(client_id) is Progress.CANCELLED
    assert world.coordinator.positions() == {BTC: Decimal("0.5")}
    world.quiet()


def test_x07_a_fill_after_the_end_counts_and_never_goes_beyond_the_amount() -> None:
    world = World()
    client_id = world.submit(order("entry", amount="2"))
    world.run()
    venue_id = world.at(client_id).venue_id
    world.tell(Ended(venue_id, client_id, BTC, OrderState.CANCELLED, Decimal(0), world.now))
    for execution_id, amount in (("T1", "1.5"), ("T2", "0.5")):
        world.tell(forged(execution_id, venue_id, client_id, amount=amount))
    assert world.progress(client_id) is Progress.FILLED
    assert world.coordinator.positions() == {BTC: Decimal(2)}


def test_x07_a_told_end_waits_for_its_executions_before_anything_else_is_done() -> None:
    world = World()
    client_id = world.submit(order("entry", amount="2", stop="0.05"))
    world.run()
    world.venue.fill(world.at(client_id).venue_id, "2")
    executed = world.venue.back.pop(0)
    world.run()
    assert world.progress(client_id) is Progress.FILLED
    assert (world.coordinator.positions(), world.stops()) == ({}, [])
    world.wait(2)
    assert world.coordinator.positions() == {BTC: Decimal(2)}
    assert len(world.stops()) == 1
    world.tell(executed)
    world.quiet()


def test_x08_the_same_fill_by_two_ways_counts_once() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    executed = world.venue.fill(world.at(client_id).venue_id, "1")
    world.run()
    world.tell(executed, executed)
    world.wait(120)  # and among the executions that are asked for
    assert world.coordinator.positions() == {BTC: Decimal(1)}
    assert len(world.fills) == 1
    world.tell(msgspec.structs.replace(executed, amount=Decimal("0.5")))
    assert world.codes() == ["quarantine"]
    assert world.coordinator.positions() == {BTC: Decimal(1)}


def test_x09_an_over_fill_is_quarantined_and_halts_its_pair() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    venue_id = world.at(client_id).venue_id
    world.tell(forged("T1", venue_id, client_id, amount="0.75"), forged("T2", venue_id, client_id, amount="0.5"))
    assert world.coordinator.positions() == {BTC: Decimal("0.75")}
    assert ([halt.pair for halt in world.halts], world.codes()) == ([BTC], ["quarantine"])
    world.tell(forged("T2", venue_id, client_id, amount="0.5"))
    assert (len(world.halts), len(world.alarms)) == (1, 1)
    world.submit(order("more"))
    assert world.reasons()[-1] == ("rejected", "halted")


@pytest.mark.parametrize(
    "event",
    [
        forged("T1", "O9", "8a6ff90b-73a5-5a1e-9f5c-1f6e1c5f2a10"),
        Ended(
            *(VenueId("O9"), ClientId("8a6ff90b-73a5-5a1e-9f5c-1f6e1c5f2a10"), BTC, OrderState.FILLED, Decimal(1)),
            START,
        ),
        forged("T1", "O1", "", ETH),
        forged("T1", "O1", "", Pair("NO/SUCH")),
        msgspec.structs.replace(forged("T1", "O1"), amount=Decimal(-1)),
        msgspec.structs.replace(forged("T1", "O1"), price=Decimal("NaN")),
        msgspec.structs.replace(forged("T1", "O1"), side=Side.SELL),
    ],
)
def test_x09_what_belongs_to_no_order_is_quarantined_and_halts_its_pair(event: Executed | Ended) -> None:
    world = World()
    world.submit(order("entry"))
    world.run()
    world.tell(event)
    assert event.pair in [halt.pair for halt in world.halts]
    assert "quarantine" in world.codes()
    assert world.coordinator.positions() == {}
    world.check()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1", "1e30"])
def test_x09_numbers_that_are_none_neither_count_nor_stop_the_coordinator(number: str) -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    bad, listed = Decimal(number), world.at(client_id)
    world.tell(Ended(listed.venue_id, client_id, BTC, OrderState.CANCELLED, bad, world.now))
    for change in ({"filled": bad}, {"price": bad} if number in ("NaN", "Infinity") else {"filled": bad}):
        forged_order = msgspec.structs.replace(listed, **change)
        world.tell(Answered(Ask.OPEN_ORDERS, 99, world.now, orders=(forged_order,)))
    world.venue.balances = {"BTC": bad, "USD": bad}
    world.wait(120)
    assert world.progress(client_id) is Progress.CANCELLED  # what is halted buys no more
    assert world.coordinator.positions() == {}
    assert ([halt.pair for halt in world.halts], set(world.codes())) == ([BTC], {"quarantine"})
    world.check()


def test_x09_an_acknowledgement_of_nothing_calls_somebody() -> None:
    world = World()
    world.tell(Acknowledged(ClientId("8a6ff90b-73a5-5a1e-9f5c-1f6e1c5f2a10"), VenueId("O9"), world.now))
    assert world.codes() == ["quarantine"]


def test_x09_one_order_twice_at_the_venue_is_what_must_never_be() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    world.tell(Acknowledged(client_id, VenueId("O77"), world.now))
    assert ([halt.pair for halt in world.halts], world.codes()) == ([BTC], ["quarantine"])


@pytest.mark.parametrize("status", [VenueStatus.CANCEL_ONLY, VenueStatus.POST_ONLY, VenueStatus.MAINTENANCE])
def test_x14_a_venue_that_is_not_online_gets_cancellations_and_nothing_else(status: VenueStatus) -> None:
    world = World()
    world.buy()
    world.tell(StatusChanged(status, True, world.now))
    sent = len(world.sent())
    world.submit(order("sell", Side.SELL))
    world.do(world.coordinator.cancel(BTC, None, world.now))
    world.run()
    world.wait(30)
    assert (len(world.sent()), world.venue.open()) == (sent, [])


def test_x15_a_person_who_trades_on_the_same_account_is_recognised_and_left_alone() -> None:
    world = World()
    world.buy()
    theirs = world.venue.strange(BTC, Side.BUY, "3")
    named = world.venue.strange(ETH, Side.SELL, "2", "my-order-1")
    world.wait(30)
    assert world.coordinator.exposure() == {BTC: Decimal(3), ETH: Decimal(-2)}
    assert world.codes() == ["external_order", "external_order"]
    world.venue.fill(theirs, "1")
    world.run()
    world.wait(120)
    assert world.coordinator.exposure() == {BTC: Decimal(3), ETH: Decimal(-2)}
    assert world.codes() == ["external_order", "external_order", "external_execution"]
    assert world.coordinator.positions() == {BTC: Decimal(1)}
    assert {theirs, named} <= {o.venue_id for o in world.venue.open()}
    assert not any(isinstance(action, Withdraw) for action in world.trace)
    world.venue.end(theirs)
    world.run()
    assert world.coordinator.exposure() == {BTC: Decimal(1), ETH: Decimal(-2)}
    assert world.halts == []
    world.quiet()


def test_x15_an_execution_without_a_name_waits_while_it_may_be_of_an_order_not_found_yet() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.venue.arrive()
    world.venue.fill(world.at(client_id).venue_id, "1")
    nameless = msgspec.structs.replace(world.venue.executions[0], client_id=ClientId(""))
    world.venue.executions[0] = nameless
    world.venue.back.clear()
    world.tell(nameless)
    assert (world.coordinator.positions(), world.codes()) == ({}, [])
    world.wait(4)
    assert world.coordinator.positions() == {BTC: Decimal(1)}
    assert (world.coordinator.exposure(), world.codes()) == ({}, [])


def test_x18_when_the_dead_man_of_the_exchange_cancels_all_stops_come_back_and_entries_do_not() -> None:
    world = World()
    world.buy()
    world.submit(order("resting", pair=ETH, kind=OrderKind.LIMIT, limit="90"))
    world.run()
    sent = len(world.sent())
    for one in world.venue.open():
        world.venue.end(one.venue_id, OrderState.CANCELLED, "cancel_all_orders_after")
    world.run()
    assert [place.approved.order.kind for place in world.sent()[sent:]] == [OrderKind.STOP]
    assert world.coordinator.open_orders()[0].pair == BTC
    world.quiet()


@pytest.mark.parametrize("kind", [OrderKind.MARKET, OrderKind.LIMIT])
def test_x19_no_two_orders_of_ours_on_opposite_sides_meet(kind: OrderKind) -> None:
    world = World()
    world.buy(amount="2")
    world.submit(order("profit", Side.SELL, "1", kind=OrderKind.LIMIT, limit="110"))
    world.run()
    world.submit(order("more", kind=kind, limit="120" if kind is OrderKind.LIMIT else None))
    world.run()
    assert world.reasons()[-1] == ("rejected", "opposite_order")
    world.submit(order("second", pair=ETH, kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.venue.fill(world.venue.open()[-1].venue_id, "0.5", "90")
    world.run()
    sell = world.submit(order("out", Side.SELL, "0.5", pair=ETH))
    world.run()
    assert [o.client_id for o in world.venue.open() if o.pair == ETH] == [sell]


# Faults of the earlier attempt.


def test_b_f04_a_stop_that_fills_while_it_is_cancelled_leaves_nothing_to_sell() -> None:
    world = World()
    world.buy(amount="2")
    sell = world.submit(order("all", Side.SELL, "2"))
    world.venue.fill(world.stops()[0].venue_id, "2", "94")
    world.run()
    assert world.progress(sell) is Progress.REJECTED
    assert world.reasons()[-1] == ("rejected", "nothing_left")
    assert world.coordinator.positions() == {}
    assert sell not in [place.client_id for place in world.sent()]
    world.quiet()


def test_b_f04_what_the_stop_sold_meanwhile_is_not_sold_again() -> None:
    world = World()
    world.buy(amount="2")
    sell = world.submit(order("all", Side.SELL, "2"))
    world.venue.fill(world.stops()[0].venue_id, "1.25", "94")
    world.run()
    assert world.at(sell).amount == Decimal("0.75")
    world.quiet()


def test_b_f04_a_sell_waits_until_all_that_the_stop_sold_is_known() -> None:
    world = World()
    world.buy(amount="2")
    sell = world.submit(order("all", Side.SELL, "2"))
    world.venue.fill(world.stops()[0].venue_id, "1.25", "94")
    executed = world.venue.back.pop()
    world.run()
    assert world.progress(sell) is Progress.NEW
    world.tell(executed)
    world.run()
    assert world.at(sell).amount == Decimal("0.75")
    world.quiet()


def test_b_f05_a_second_cycle_over_an_unchanged_state_sends_nothing() -> None:
    world = World()
    world.buy()
    raise_stop = order("raise", Side.SELL, "1", kind=OrderKind.STOP, trigger="97")
    world.submit(raise_stop)
    world.run()
    sent, rows = len(world.sent()), len(world.rows)
    for name in ("raise", "raise again", "and again"):
        world.submit(msgspec.structs.replace(raise_stop, id=order(name).id))
        world.run()
    assert len(world.sent()) == sent
    assert not [row for row in world.rows[rows:] if row.kind == "intent"]
    assert world.reasons()[-2:] == [("rejected", "unchanged")] * 2
    world.quiet()


def test_b_f09_after_every_partial_fill_the_stop_is_as_large_as_what_is_left() -> None:
    world = World()
    world.buy(amount="4")
    profit = world.submit(order("profit", Side.SELL, "2", kind=OrderKind.LIMIT, limit="110"))
    world.run()
    for part in ("0.5", "0.25", "1.25"):
        world.venue.fill(world.at(profit).venue_id, part, "110")
        world.run()
        world.quiet()
    assert [stop.amount for stop in world.stops()] == [Decimal(2)]
    assert world.coordinator.positions()[BTC] == 2
    second = world.submit(order("second", Side.SELL, "1", kind=OrderKind.LIMIT, limit="120"))
    world.run()
    world.venue.fill(world.at(second).venue_id, "0.5", "120")
    world.venue.end(world.at(second).venue_id, OrderState.EXPIRED)
    world.run()
    assert [stop.amount for stop in world.stops()] == [Decimal("1.5")]
    world.quiet()


def test_b_f11_one_pair_in_trouble_stops_no_other_and_locks_do_not_pile_up() -> None:
    world = World()
    stuck = world.submit(order("stuck"))
    world.venue.wire.clear()
    for number in range(20):
        client_id = world.buy(f"eth {number}", pair=ETH, stop=None)
        sell = world.submit(order(f"out {number}", Side.SELL, pair=ETH))
        world.run()
        world.venue.fill(world.at(sell).venue_id, "1")
        world.run()
        assert world.progress(client_id) is Progress.FILLED
    assert world.progress(stuck) is Progress.SENT
    world.wait(12)
    assert world.progress(stuck) is Progress.ABSENT
    assert world.coordinator.under_way() == {}
    assert world.coordinator._executor._cancels == {}
    assert world.coordinator._register._live == {}
    world.quiet()


# Agents, kill switch, replay.


def test_l03_the_order_of_an_agent_that_sleeps_is_resolved_and_its_position_stays_protected() -> None:
    """Orders belong to the coordinator from the moment they are sent: whoever wanted them may be gone."""
    world = World()
    client_id = world.submit(order("entry", stop="0.05"))
    world.venue.arrive()
    world.venue.fill(world.at(client_id).venue_id, "1")
    world.venue.back[:] = [Lost(client_id, "timeout", world.now)]
    world.run()
    assert len(world.stops()) == 1
    world.venue.end(world.stops()[0].venue_id)
    world.run()
    assert [stop.amount for stop in world.stops()] == [Decimal(1)]
    world.quiet()


def test_k01_the_kill_switch_is_obeyed_at_every_step_of_an_order() -> None:
    steps = 0
    while True:
        world = World()
        world.buy()
        sent = len(world.sent())
        actions = deque(world.coordinator.submit(Approved(order("eth", pair=ETH), world.now), world.now))
        steps += 1
        for _ in range(steps - 1):
            if actions:
                world.do([actions.popleft()])
        done = not actions
        before = len(world.sent())
        world.kill = "halted: by hand"
        world.do(actions)
        world.submit(order("sol", pair=SOL))
        world.run()
        world.wait(10)
        assert len(world.sent()) == before <= sent + 1
        assert world.coordinator.unknown_orders() == []
        world.quiet()
        if done:
            break
    assert steps == 4  # before the intent, before the send, after it, after all


def test_k01_cancellations_pass_while_the_kill_switch_is_on() -> None:
    world = World()
    world.submit(order("entry", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.kill = "halted: by hand"
    world.do(world.coordinator.cancel(BTC, Side.BUY, world.now))
    world.run()
    assert world.venue.open() == []


def test_k04_orders_at_once_for_one_pair_are_one_after_the_other_with_rising_fences() -> None:
    world = World()
    fences = []
    for number in range(6):
        world.submit(order(f"flood {number}", Side.BUY if number % 2 else Side.SELL))
        world.check()
        fences.append(world.coordinator.under_way().get(BTC))
        world.run()
    taken = [fence for fence in fences if fence is not None]
    assert taken == sorted(set(taken))
    assert len(taken) >= 3


def test_i13_the_rows_of_a_real_ledger_add_up_to_the_live_state(tmp_path: Path) -> None:
    settings: LedgerSettings = tree().ledger
    path = tmp_path / "ledger.sqlite"
    world = World(begin=False)
    writer = Writer(SqliteSink(path, settings, mode="paper", ledger_id="one"), settings)
    world.begin()
    world.buy(amount="2")
    world.submit(order("half", Side.SELL, "0.5"))
    world.venue.strange(ETH, Side.BUY, "1")
    world.wait(30)
    world.tell(forged("T9", "O9", "8a6ff90b-73a5-5a1e-9f5c-1f6e1c5f2a10"))
    for action in world.trace:
        if isinstance(action, Write):
            writer.append(action.rows, action.durable).wait()
    writer.close()
    rows = list(LedgerReader(path, settings).rows())
    assert len(rows) == len(world.rows) + len(world.soft)
    assert replay(rows).state() == world.coordinator.state()
    again = Coordinator(SETTINGS, lambda one: "", NAMESPACE, lambda one, at: Approved(one, at), simulated=True)
    again.recall(rows)
    assert again.state() == world.coordinator.state()


def test_i12_applying_everything_twice_changes_nothing() -> None:
    world = World()
    client_id = world.submit(order("entry", stop="0.05"))
    world.venue.arrive()
    world.venue.fill(world.at(client_id).venue_id, "1")
    events = list(world.venue.back)
    world.hear()
    world.run()
    before = world.coordinator.state()
    actions = [action for event in events for action in world.coordinator.on_event(event, world.now)]
    assert world.coordinator.state() == before
    assert [action for action in actions if isinstance(action, Send | Withdraw)] == []


def test_x03_a_refusal_for_the_deadline_is_looked_into_before_it_is_believed() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.wait(5.5, travel=False)
    world.venue.wire = [request for request in world.venue.wire if isinstance(request, Place)]
    world.venue.arrive()
    world.hear()
    assert world.progress(client_id) is Progress.UNKNOWN
    world.wait(32)  # the questions were lost without a word: they are asked again after `answer_seconds`
    assert world.progress(client_id) is Progress.ABSENT
    assert world.venue.orders == {}
    world.quiet()
