"""The coordinator against a venue that does what the test says: what is sent, asked, told and remembered."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from src.core.errors import LedgerError
from src.core.types import Approved, OrderKind, Side
from src.core.venue import Ask, ClientId, Executed, Lost, OrderState, Place, StatusChanged, VenueId, VenueStatus
from src.services.supervisor.actions import Question, Send, Withdraw, Write
from src.services.supervisor.coordinator import Coordinator
from src.services.supervisor.order_states import Progress
from tests.services.supervisor.scripted import Cancel
from tests.services.supervisor.world import BTC, ETH, NAMESPACE, SETTINGS, SOL, START, World, order


def test_start_asks_in_order_and_is_ready_when_all_is_answered_and_connected() -> None:
    world = World(begin=False)
    world.venue.back.clear()
    world.do(world.coordinator.start(world.now))
    world.run()
    assert world.asks() == [Ask.TIME, Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS, Ask.EXECUTIONS, Ask.BALANCES]
    assert not world.coordinator.ready
    world.tell(StatusChanged(VenueStatus.ONLINE, True, world.now))
    assert not world.coordinator.ready  # what happened before somebody listened has to be asked again
    world.run()
    assert world.coordinator.ready


def test_before_it_is_ready_nothing_is_sent() -> None:
    world = World(begin=False)
    client_id = world.submit(order("early"))
    assert (world.sent(), world.reasons()) == ([], [("rejected", "not_ready")])
    assert world.progress(client_id) is None


def test_an_order_is_written_sent_acknowledged_and_filled() -> None:
    world = World()
    world.trace.clear()
    client_id = world.submit(order("entry"))
    kinds = [type(action) for action in world.trace]
    assert kinds == [Write, Send, Write]
    intent, _, sent = world.trace
    assert isinstance(intent, Write)
    assert isinstance(sent, Write)
    assert [row.kind for row in intent.rows] == ["order_state", "intent"]
    assert (intent.durable, sent.durable) == (True, False)
    place = world.sent()[0]
    assert (place.client_id, place.deadline, place.expires_at) == (client_id, START + 5000, None)
    assert world.progress(client_id) is Progress.SENT
    world.run()
    assert world.progress(client_id) is Progress.ACKED
    world.venue.fill(world.at(client_id).venue_id, "0.4")
    world.run()
    assert world.progress(client_id) is Progress.PARTIAL
    world.venue.fill(world.at(client_id).venue_id, "0.6", "101")
    world.run()
    assert world.progress(client_id) is Progress.FILLED
    assert [(f.id, f.amount, f.price, f.final) for f in world.fills.values()] == [
        ("T1", Decimal("0.4"), Decimal(100), False),
        ("T2", Decimal("0.6"), Decimal(101), True),
    ]
    assert world.coordinator.positions() == {BTC: Decimal(1)}
    assert world.reasons() == [("open", "")]
    world.quiet()


def test_the_same_order_is_sent_once_however_often_it_is_submitted() -> None:
    world = World()
    for _ in range(3):
        world.submit(order("entry"))
    world.run()
    world.submit(order("entry"))
    assert len(world.sent()) == 1


def test_a_refusal_is_final_and_frees_the_pair() -> None:
    world = World()
    world.venue.refuse_all = ("insufficient_funds", "EOrder:Insufficient funds")
    client_id = world.submit(order("entry"))
    world.run()
    assert world.progress(client_id) is Progress.REJECTED
    assert world.reasons() == [("rejected", "insufficient_funds")]
    world.venue.refuse_all = None
    world.submit(order("other"))
    assert len(world.sent()) == 2


def test_a_resting_entry_has_an_expiry_and_a_stop_has_none() -> None:
    world = World()
    world.submit(order("entry", kind=OrderKind.LIMIT, limit="99"))
    assert world.sent()[0].expires_at == START + 3_600_000
    world.run()
    world.venue.end(world.venue.open()[0].venue_id, OrderState.EXPIRED)
    world.run()
    assert world.reasons() == [("open", ""), ("expired", "")]
    world.buy("second")
    assert [place.expires_at for place in world.sent()[1:]] == [None, None]


def test_a_stop_rests_after_the_entry_for_what_is_held() -> None:
    world = World()
    world.buy(amount="2", stop="0.05")
    (stop,) = world.stops()
    assert (stop.amount, stop.trigger, stop.side) == (Decimal(2), Decimal("95.00"), Side.SELL)
    world.quiet()


def test_a_sell_withdraws_the_stop_first_and_what_is_left_is_protected_again() -> None:
    world = World()
    world.buy(amount="2")
    world.trace.clear()
    sell = world.submit(order("half", Side.SELL, "0.5"))
    assert [type(a) for a in world.trace if not isinstance(a, Write)] == [Withdraw]
    assert world.progress(sell) is Progress.NEW
    world.run()
    assert (world.at(sell).amount, [stop.amount for stop in world.stops()]) == (Decimal("0.5"), [Decimal("1.5")])
    world.venue.fill(world.at(sell).venue_id, "0.5")
    world.run()
    assert [stop.amount for stop in world.stops()] == [Decimal("1.5")]
    world.quiet()


def test_a_sell_that_is_refused_brings_the_stop_back() -> None:
    world = World()
    world.buy(amount="2")
    sell = world.submit(order("all", Side.SELL, "2"))
    world.venue.refuse[sell] = ("invalid", "EOrder:Cost minimum not met")
    world.run()
    assert world.progress(sell) is Progress.REJECTED
    assert [(stop.amount, stop.trigger) for stop in world.stops()] == [(Decimal(2), Decimal("95.00"))]
    world.quiet()


def test_a_stop_is_raised_never_lowered_and_the_old_one_comes_back_when_the_new_one_is_refused() -> None:
    world = World()
    world.buy()
    higher = world.submit(order("higher", Side.SELL, "1", kind=OrderKind.STOP, trigger="97"))
    world.run()
    assert [stop.client_id for stop in world.stops()] == [higher]
    world.quiet()
    world.submit(order("lower", Side.SELL, "1", kind=OrderKind.STOP, trigger="96"))
    assert world.reasons()[-1] == ("rejected", "stop_lowered")
    highest = world.submit(order("highest", Side.SELL, "1", kind=OrderKind.STOP, trigger="99"))
    world.venue.refuse[highest] = ("invalid_price", "EOrder:Invalid price")
    world.run()
    assert [(stop.amount, stop.trigger) for stop in world.stops()] == [(Decimal(1), Decimal(97))]
    world.quiet()


def test_a_stop_that_cannot_be_placed_is_tried_less_and_less_often_and_somebody_is_called() -> None:
    world = World()
    entry = world.submit(order("entry", stop="0.05"))
    world.run()
    world.venue.refuse_all = ("invalid_price", "EOrder:Invalid price")
    world.venue.fill(world.at(entry).venue_id, "1")
    world.run()
    assert len(world.sent()) == 2
    world.wait(4.5)
    assert len(world.sent()) == 2
    world.wait(0.5)
    assert len(world.sent()) == 3
    world.wait(9.5)
    assert (len(world.sent()), world.codes()) == (3, [])
    world.wait(0.5)
    assert (len(world.sent()), world.codes()) == (4, ["unprotected"])
    world.venue.refuse_all = None
    world.wait(15)
    assert len(world.stops()) == 1
    world.quiet()


def test_an_entry_that_fills_in_part_is_cut_short_so_that_a_stop_can_protect_it() -> None:
    world = World()
    entry = world.submit(order("entry", amount="2", stop="0.1"))
    world.run()
    world.venue.fill(world.at(entry).venue_id, "0.5")
    world.run()
    assert world.stops() == []
    world.wait(2)
    assert world.at(entry).state is OrderState.CANCELLED
    assert [stop.amount for stop in world.stops()] == [Decimal("0.5")]
    world.quiet()


def test_what_is_halted_sends_nothing_but_stops_until_a_person_clears_it() -> None:
    world = World()
    entry = world.submit(order("entry", stop="0.05"))
    world.run()
    world.coordinator._bench.halt(BTC, "for the test")
    world.do(world.coordinator._bench.take())
    world.venue.fill(world.at(entry).venue_id, "1")
    world.run()
    assert len(world.stops()) == 1
    world.submit(order("sell", Side.SELL))
    assert world.reasons()[-1] == ("rejected", "halted")
    world.again()
    assert world.coordinator.halted == {BTC: "for the test"}
    world.do(world.coordinator.clear(BTC, "looked at", world.now))
    assert world.coordinator.halted == {}
    world.submit(order("sell 2", Side.SELL))
    world.run()
    assert len(world.venue.open()) == 1
    assert not world.stops()


def test_two_halted_pairs_halt_all() -> None:
    world = World()
    for pair in (BTC, ETH):
        world.coordinator._bench.halt(pair, "for the test")
        world.do(world.coordinator._bench.take())
    assert [halt.pair for halt in world.halts] == [BTC, ETH, None]


def test_a_venue_that_is_not_online_is_sent_nothing() -> None:
    for status in (VenueStatus.CANCEL_ONLY, VenueStatus.POST_ONLY, VenueStatus.MAINTENANCE):
        world = World()
        world.buy()
        world.tell(StatusChanged(status, True, world.now))
        world.submit(order("more", pair=ETH))
        assert world.reasons()[-1] == ("rejected", "venue_not_online")
        world.do(world.coordinator.cancel(BTC, None, world.now))
        world.run()
        assert world.stops() == []


def test_one_pair_that_is_closed_does_not_close_the_others() -> None:
    world = World()
    world.tell(StatusChanged(VenueStatus.POST_ONLY, True, world.now, BTC))
    world.submit(order("btc"))
    world.submit(order("eth", pair=ETH))
    assert [place.approved.order.pair for place in world.sent()] == [ETH]


def test_a_connection_that_was_lost_is_reconciled_before_anything_is_sent() -> None:
    world = World()
    entry = world.buy()
    world.tell(StatusChanged(VenueStatus.ONLINE, False, world.now))
    assert not world.coordinator.ready
    world.venue.fill(world.stops()[0].venue_id, "1", "94")
    world.venue.back.clear()
    world.venue.connect()
    world.run()
    assert world.coordinator.ready
    assert world.coordinator.positions() == {}
    assert world.progress(entry) is Progress.FILLED
    world.quiet()


def test_cancel_withdraws_one_side_or_everything() -> None:
    world = World()
    world.buy()
    limit = world.submit(order("profit", Side.SELL, "0.5", kind=OrderKind.LIMIT, limit="120"))
    while world.venue.wire:
        world.venue.arrive()
        world.hear()
        world.check()
    assert [s.amount for s in world.stops()] == [Decimal("0.5")]
    world.quiet()
    world.do(world.coordinator.cancel(BTC, Side.SELL, world.now))
    world.run()
    assert world.at(limit).state is OrderState.CANCELLED
    assert [s.amount for s in world.stops()] == [Decimal(1)]
    world.do(world.coordinator.cancel(BTC, None, world.now))
    world.run()
    assert world.venue.open() == []
    world.quiet()


def test_a_cancellation_without_an_answer_is_asked_for_again() -> None:
    world = World()
    world.submit(order("entry", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.do(world.coordinator.cancel(BTC, Side.BUY, world.now))
    world.venue.wire.clear()
    world.wait(1.5)
    assert world.venue.open()
    world.wait(0.5)
    assert world.venue.open() == []
    world.quiet()


def test_an_order_waits_for_its_turn_only_so_long() -> None:
    world = World()
    world.buy()
    sell = world.submit(order("sell", Side.SELL))
    world.venue.wire.clear()
    for _ in range(20):
        world.wait(1, travel=False)
        world.venue.wire.clear()
    assert world.progress(sell) is Progress.REJECTED
    assert world.reasons()[-1] == ("rejected", "stale")


def test_a_sell_takes_the_turn_of_a_buy_that_waits_and_a_buy_takes_nobodys() -> None:
    world = World()
    world.buy()
    more = world.submit(order("more"))
    assert world.progress(more) is Progress.NEW
    sell = world.submit(order("sell", Side.SELL))
    assert world.progress(more) is Progress.REJECTED
    world.submit(order("again"))
    assert world.reasons()[-1] == ("rejected", "busy")
    world.run()
    assert world.progress(sell) is Progress.ACKED


def test_a_sell_larger_than_what_is_held_is_made_smaller_by_the_gate() -> None:
    world = World()
    world.buy(amount="1")
    sell = world.submit(order("sell", Side.SELL, "3"))
    world.run()
    assert world.at(sell).amount == Decimal(1)
    world.submit(order("nothing", Side.SELL, pair=ETH))
    assert world.reasons()[-1] == ("rejected", "nothing_to_sell")


def test_clocks_that_differ_too_much_stop_all_sending() -> None:
    world = World(begin=False)
    world.venue.skew = 1001
    world.begin()
    world.submit(order("entry"))
    assert (world.reasons(), world.codes()) == ([("rejected", "clock")], ["clock"])
    world.venue.skew = -1000
    world.wait(60)
    world.submit(order("second"))
    assert world.coordinator.clock_offset == -1000
    assert len(world.sent()) == 1


def test_reconciliation_keeps_its_intervals() -> None:
    world = World()
    world.trace.clear()
    world.wait(29.5)
    assert world.asks() == []
    world.wait(0.5)
    assert world.asks() == [Ask.OPEN_ORDERS]
    world.wait(90)
    asks = world.asks()
    assert (asks.count(Ask.OPEN_ORDERS), asks.count(Ask.TIME)) == (4, 2)
    assert asks[-2:] == [Ask.EXECUTIONS, Ask.BALANCES] or Ask.BALANCES in asks
    assert asks.count(Ask.BALANCES) == 1


def test_an_audit_asks_for_everything_since_the_one_before() -> None:
    world = World(SETTINGS.model_copy(update={"audit_seconds": 600.0}))
    stranger = world.venue.strange(BTC, Side.BUY, "1")
    world.wait(300)
    world.venue.fill(stranger, "0.5")
    world.venue.back.clear()
    late = world.venue.executions.pop()
    world.wait(180)
    world.venue.executions.append(late)  # the exchange's history is behind: nobody looks back so far
    world.wait(95)
    assert world.coordinator.exposure() == {BTC: Decimal("0.5")}, "what is left of the order, and no execution"
    world.trace.clear()
    world.wait(25)
    assert {*world.asks()} - {Ask.TIME} == {Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS, Ask.EXECUTIONS, Ask.BALANCES}
    assert world.coordinator.exposure() == {BTC: Decimal(1)}
    world.trace.clear()
    world.wait(600)
    assert world.asks().count(Ask.CLOSED_ORDERS) == 1
    assert (world.halts, world.codes()) == ([], ["external_order", "external_execution"])


def test_a_search_for_orders_does_not_stand_behind_what_has_time() -> None:
    world = World(SETTINGS.model_copy(update={"open_orders_seconds": 600.0}))
    world.wait(119.5)
    world.trace.clear()
    world.do(world.coordinator.on_time(world.now + 500))  # executions and balances are asked for, and wait
    assert world.asks() == [Ask.EXECUTIONS]
    entry = world.submit(order("entry"))
    world.venue.wire = [one for one in world.venue.wire if not isinstance(one, Place)]  # it never arrives
    world.now += 3_000
    world.do(world.coordinator.on_time(world.now))
    assert world.progress(entry) is Progress.UNKNOWN
    assert world.asks() == [Ask.EXECUTIONS, Ask.OPEN_ORDERS]
    world.wait(12)
    assert world.progress(entry) is Progress.ABSENT
    assert world.asks().count(Ask.BALANCES) == 1, "and the rest is asked behind it"


def test_what_is_open_is_not_looked_for_among_the_closed() -> None:
    world = World()
    resting = world.submit(order("resting", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    lost = world.submit(order("lost", pair=ETH))
    world.venue.wire.clear()
    world.trace.clear()
    world.wait(12)
    asked = [one for one in world.trace if isinstance(one, Question) and one.ask is Ask.CLOSED_ORDERS]
    assert {one.client_ids for one in asked} == {(lost,)}
    assert world.progress(lost) is Progress.ABSENT
    assert world.progress(resting) is Progress.ACKED
    assert Ask.EXECUTIONS not in world.asks(), "what nobody has was not executed"


def test_what_does_not_agree_is_looked_at_once_more_then_the_pair_is_halted() -> None:
    world = World()
    world.buy()
    world.venue.balances = {"BTC": Decimal("0.5")}
    world.wait(120)
    assert world.halts == []
    world.wait(5)
    assert [(halt.pair, halt.reason) for halt in world.halts] == [
        (BTC, "BTC/USD: 1 held by our executions, 0.5 BTC at the venue")
    ]
    assert world.codes() == ["mismatch"]


def test_what_agrees_the_second_time_is_forgotten() -> None:
    world = World()
    world.buy()
    world.venue.balances = {"BTC": Decimal("0.5")}
    world.wait(120)
    world.venue.balances = None
    world.wait(240)
    assert (world.halts, world.codes()) == ([], [])


def test_an_order_that_vanished_is_missed_looked_for_and_halts_its_pair() -> None:
    world = World()
    entry = world.submit(order("entry", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    del world.venue.orders[world.at(entry).venue_id]
    world.wait(30)
    assert world.halts == []
    world.wait(5)
    assert [halt.pair for halt in world.halts] == [BTC]


def test_an_end_that_nobody_told_is_found_by_looking_at_what_is_open() -> None:
    world = World()
    entry = world.submit(order("entry", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.venue.fill(world.at(entry).venue_id, "1", "90")
    world.venue.back.clear()
    world.wait(30)
    assert world.progress(entry) is Progress.FILLED
    assert world.coordinator.positions() == {BTC: Decimal(1)}
    assert world.halts == []
    world.quiet()


def test_state_restores_to_the_same_state_and_so_do_the_rows() -> None:
    world = World()
    world.buy()
    world.submit(order("half", Side.SELL, "0.5"))
    other = World(begin=False)
    other.coordinator.restore(msgspec.json.decode(msgspec.json.encode(world.coordinator.state())))
    assert other.coordinator.state() == world.coordinator.state()
    other.coordinator.recall([*world.rows, *world.soft])
    assert other.coordinator.state() == world.coordinator.state()


def test_rows_of_others_are_passed_over() -> None:
    world = World()
    world.buy()
    kinds = {row.kind for row in world.rows}
    assert kinds == {"coordinator", "order_state", "intent", "execution", "protection"}
    assert len({row.key for row in world.rows}) == len(world.rows)
    odd = [msgspec.structs.replace(row, kind="decisions", body=b"{}") for row in world.rows[:3]]
    other = World(begin=False)
    other.coordinator.recall([*odd, *world.rows, *world.soft])
    assert other.coordinator.state() == world.coordinator.state()


def test_what_the_kill_switch_stops_at_the_last_moment_never_left() -> None:
    world = World()
    actions = world.coordinator.submit(Approved(order("entry"), world.now), world.now)
    world.kill = "halted: by hand"
    world.do(actions)
    world.run()
    assert world.sent() == []
    assert world.reasons() == [("rejected", "halted: by hand")]
    assert SETTINGS.deadline_seconds == 5.0
    world.quiet()


def test_what_is_long_over_leaves_the_memory_and_what_is_not_stays() -> None:
    world = World()
    world.buy("old")
    sell = world.submit(order("sold", Side.SELL))
    world.run()
    world.venue.fill(world.at(sell).venue_id, "1")
    world.run()
    world.now += 2 * 86_400_000
    world.venue.now = world.now
    world.buy("held", pair=ETH)
    told = [*world.venue.executions]
    world.now += 32 * 86_400_000
    world.venue.now = world.now
    world.wait(130, step=10)
    books = world.coordinator._register.books
    assert (len(books.fills), books.fills_forgotten) == (1, 2)  # a stop rests for what is held: it needs its day
    assert {t.order.id for t in books.orders.values()} & {"old", "sold"} == set()
    assert len(world.stops(ETH)) == 1
    world.tell(*told)
    assert world.coordinator.positions() == {ETH: Decimal(1)}
    assert (world.codes(), world.halts) == ([], [])
    with pytest.raises(LedgerError, match="fill 1 is older"):
        world.coordinator.fills(1)
    assert [fill.pair for fill in world.coordinator.fills(2)] == [ETH]
    world.check()
    world.again()
    assert (world.codes(), world.halts) == ([], [])
    assert world.coordinator.ready


def test_what_is_halted_buys_no_more_whatever_was_begun() -> None:
    world = World()
    world.submit(order("resting", kind=OrderKind.LIMIT, limit="90"))
    world.submit(order("other", pair=ETH, kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.tell(Executed("T9", VenueId("O1"), ClientId(""), SOL, Side.BUY, Decimal(1), Decimal(1), Decimal(0), START))
    world.run()
    assert set(world.coordinator.halted) == {BTC, SOL, None}
    assert world.venue.open() == []
    world.quiet()


def test_an_order_that_may_be_there_is_withdrawn_blindly_and_again_when_it_is() -> None:
    world = World()
    client_id = world.submit(order("entry", kind=OrderKind.LIMIT, limit="90"))
    late = world.venue.wire.pop()
    world.tell(Lost(client_id, "timeout", world.now))
    world.venue.wire.clear()
    world.do(world.coordinator.cancel(BTC, Side.BUY, world.now))
    (blind,) = world.venue.wire
    assert isinstance(blind, Cancel)
    assert (blind.client_id, blind.venue_id) == (client_id, None)
    world.venue.wire.append(late)
    world.run()
    world.wait(4)
    assert world.at(client_id).state is OrderState.CANCELLED
    world.quiet()


def test_executions_are_asked_for_from_the_last_time_that_all_of_them_were() -> None:
    world = World()
    missed = world.submit(order("missed", kind=OrderKind.LIMIT, limit="90"))
    world.run()
    world.wait(20)
    world.venue.fill(world.at(missed).venue_id, "0.5", "90")
    world.venue.back.clear()
    world.wait(9)
    world.now, world.venue.now = world.now + 300_000, world.venue.now + 300_000
    world.buy("later", pair=ETH, stop=None)
    world.wait(30)
    assert world.coordinator.positions() == {BTC: Decimal("0.5"), ETH: Decimal(1)}
    assert world.halts == []
    since = [action.since for action in world.trace if isinstance(action, Question) and action.ask is Ask.EXECUTIONS]
    assert since[0] == START - 60_000 == since[1]
    world.quiet()


def test_what_waits_for_its_turn_is_stopped_by_the_kill_switch_before_its_intent() -> None:
    world = World()
    world.buy()
    sell = world.submit(order("sell", Side.SELL))
    world.kill = "halted: by hand"
    world.run()
    assert world.progress(sell) is Progress.REJECTED
    intents = [row.key for row in world.rows if row.kind == "intent"]
    assert f"intent:{sell}" not in intents
    world.kill = ""
    world.wait(5)
    assert len(world.stops()) == 1
    world.quiet()


def test_the_stop_of_an_entry_is_rounded_up_to_the_step_of_the_venue() -> None:
    world = World()
    world.coordinator = Coordinator(
        *(SETTINGS, lambda one: "", NAMESPACE, lambda one, at: Approved(one, at)),
        simulated=True,
        tick=lambda pair: Decimal("0.05") if pair == BTC else Decimal(1),
    )
    world.rows.clear()
    world.venue.connect()
    world.begin()
    for pair in (BTC, ETH):
        entry = world.submit(order(f"entry {pair}", pair=pair, stop="0.0333"))
        world.run()
        world.venue.fill(world.at(entry).venue_id, "1", "99.99")
        world.run()
    assert [stop.trigger for pair in (BTC, ETH) for stop in world.stops(pair)] == [Decimal("96.70"), Decimal(97)]
