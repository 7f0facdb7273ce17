"""The manners of the simulated exchange, each with exact values: what it takes, refuses, counts, says and forgets."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec
import numpy as np
import pytest

from src.backtesting.exchange import SimulatedExchange
from src.backtesting.simulated_kraken import DirectLink, PaperKraken, SimulatedKraken
from src.backtesting.venue.bars import spans
from src.backtesting.venue.matching import Span
from src.backtesting.venue.rules import PairRules, VenueRules, cancel_cost
from src.backtesting.venue.server import VenueServer
from src.core.config import Account, Costs, Exchange
from src.core.records import plain
from src.core.types import Approved, BarBlock, Fill, Order, OrderId, OrderKind, Pair, Side, Slice
from src.core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    Lost,
    NotAnswered,
    OrderState,
    Place,
    Refused,
    StatusChanged,
    VenueEvent,
    VenueStatus,
)

BTC, ETH = Pair("BTC/USDT"), Pair("ETH/USDT")
COSTS = Costs(fee_ratio=D("0.0026"), slippage_ratio=D("0.001"))
RULES = VenueRules(
    {BTC: PairRules(D("0.0001"), D(5), D("0.1")), ETH: PairRules(D("0.002"), D(5), D("0.01"))},
    decimals=8,
    max_open=3,
    threshold=20.0,
    decay=1.0,
    calls=15.0,
    calls_decay=0.5,
    instant=False,
)
T = 1_700_000_000_000


class Bench:
    """A venue with a clock that stands until it is moved."""

    def __init__(self, skew_ms: int = 0, **changes: object) -> None:
        self.now = T
        self.server = VenueServer(msgspec.structs.replace(RULES, **changes), COSTS, D(10_000))
        self.kraken = SimulatedKraken(self.server, DirectLink(lambda: self.now), lambda: self.now, skew_ms)
        self.sent = 0

    def place(
        self,
        side: Side = Side.BUY,
        kind: OrderKind = OrderKind.MARKET,
        amount: str = "0.1",
        *,
        pair: Pair = BTC,
        limit: str | None = None,
        trigger: str | None = None,
        name: str = "",
        deadline: int = 10_000,
        expires_at: int | None = None,
    ) -> list[VenueEvent]:
        self.sent += 1
        name = name or f"c{self.sent}"
        prices = (None if limit is None else D(limit), None if trigger is None else D(trigger))
        order = Order(OrderId(name), pair, side, D(amount), kind, self.now, D(100), "", None, None, *prices)
        self.kraken.place(Place(ClientId(name), Approved(order, self.now), self.now + deadline, expires_at))
        return list(self.kraken.events())

    def move(
        self, opening: str, high: str = "", low: str = "", room: str = "100", pair: Pair = BTC
    ) -> list[VenueEvent]:
        prices = (D(opening), D(high or opening), D(low or opening))
        self.kraken.trade(Span(pair, self.now + self.kraken.skew_ms, *prices, D(room)))
        return list(self.kraken.events())

    def bought(self, amount: str = "1", price: str = "100") -> None:
        self.place(Side.BUY, amount=amount)
        assert len(self.move(price, room="1000")) == 2

    def ask(self, ask: Ask, *client_ids: str, since: int | None = None) -> Answered | NotAnswered:
        self.kraken.ask(7, ask, tuple(map(ClientId, client_ids)), since)
        (event,) = self.kraken.events()
        assert isinstance(event, Answered | NotAnswered)
        assert event.number == 7
        return event

    def cancel(self, name: str) -> list[VenueEvent]:
        self.kraken.cancel(3, ClientId(name), None, BTC)
        return list(self.kraken.events())


def refused(events: Sequence[VenueEvent]) -> tuple[str, str]:
    (event,) = events
    assert isinstance(event, Refused), event
    return event.reason, event.text


def executions(events: Sequence[VenueEvent]) -> list[tuple[str, str]]:
    return [(plain(event.amount), plain(event.price)) for event in events if isinstance(event, Executed)]


# How orders meet prices.


def test_a_market_order_takes_the_next_open_with_the_costs_of_its_side() -> None:
    bench = Bench()
    (acked,) = bench.place(amount="0.5")
    assert acked == Acknowledged(ClientId("c1"), acked.venue_id, T)  # type: ignore[union-attr]
    executed, ended = bench.move("200.5")
    assert isinstance(executed, Executed)
    assert (executed.amount, executed.price, executed.fee, executed.slippage) == (
        D("0.5"),
        D("200.5"),
        D("0.26065000"),
        D("0.10025000"),
    )
    assert (executed.client_id, executed.closes, executed.at) == ("c1", True, T)
    assert isinstance(ended, Ended)
    assert (ended.state, ended.filled) == (OrderState.FILLED, D("0.5"))
    assert bench.server.purse.quote == D(10_000) - D("100.25") - D("0.26065") - D("0.10025")
    assert bench.server.purse.base == {BTC: D("0.5")}


def test_an_instant_venue_fills_at_the_last_price_and_says_so_before_it_acknowledges() -> None:
    bench = Bench(instant=True)
    bench.move("150")
    executed, ended, acked = bench.place(amount="1")
    assert [type(event) for event in (executed, ended, acked)] == [Executed, Ended, Acknowledged]


def test_a_span_that_opened_before_the_order_fills_nothing() -> None:
    bench = Bench()
    bench.place()
    bench.kraken.trade(Span(BTC, T - 1, D(100), D(100), D(100), D(1)))
    assert list(bench.kraken.events()) == []


@pytest.mark.parametrize(
    ("side", "limit", "opening", "high", "low", "price"),
    [
        (Side.BUY, "100", "101", "102", "100", "100"),  # touched
        (Side.BUY, "100", "98", "99", "97", "98"),  # better open
        (Side.BUY, "100", "101", "102", "100.1", None),  # not reached
        (Side.SELL, "100", "99", "100", "98", "100"),
        (Side.SELL, "100", "103", "104", "102", "103"),
        (Side.SELL, "100", "99", "99.9", "98", None),
    ],
)
def test_a_limit_order_gets_its_limit_or_a_better_open(
    side: Side, limit: str, opening: str, high: str, low: str, price: str | None
) -> None:
    bench = Bench()
    if side is Side.SELL:
        bench.bought()
    bench.place(side, OrderKind.LIMIT, limit=limit)
    found = executions(bench.move(opening, high, low))
    assert found == ([] if price is None else [("0.1", price)])


@pytest.mark.parametrize(
    ("opening", "low", "price"),
    [("99", "95", "95"), ("99", "94", "95"), ("90", "89", "90"), ("99", "95.1", None)],
    ids=["at the trigger", "below it", "a gap fills at the open", "above it"],
)
def test_b_f02_a_stop_fills_at_its_trigger_or_at_the_open_of_a_gap(opening: str, low: str, price: str | None) -> None:
    bench = Bench()
    bench.bought()
    bench.place(Side.SELL, OrderKind.STOP, "1", trigger="95")
    assert executions(bench.move(opening, low=low)) == ([] if price is None else [("1", price)])


def test_b_f02_a_stop_limit_that_gaps_below_its_limit_rests_and_fills_when_the_price_comes_back() -> None:
    bench = Bench()
    bench.bought()
    bench.place(Side.SELL, OrderKind.STOP_LIMIT, "1", trigger="95", limit="94")
    assert bench.move("90", low="89") == []
    (order,) = bench.server.open_orders()
    assert (order.awake, order.left) == (True, D(1))
    assert bench.move("93", high="93.9", low="92") == []
    assert executions(bench.move("93.5", high="94.5", low="93")) == [("1", "94")]


def test_a_stop_limit_within_its_limit_fills_like_a_stop() -> None:
    bench = Bench()
    bench.bought()
    bench.place(Side.SELL, OrderKind.STOP_LIMIT, "1", trigger="95", limit="94")
    assert executions(bench.move("94.5", low="90")) == [("1", "94.5")]


def test_a_stop_that_buys_wakes_as_the_price_rises() -> None:
    bench = Bench()
    bench.place(Side.BUY, OrderKind.STOP, "1", trigger="105")
    assert bench.move("104", high="104.9") == []
    assert executions(bench.move("104", high="106")) == [("1", "105")]


def test_orders_share_the_room_of_a_span_and_the_rest_waits() -> None:
    bench = Bench()
    bench.place(amount="3", name="a")
    bench.place(amount="3", name="b")
    assert executions(bench.move("10", room="4")) == [("3", "10"), ("1", "10")]
    first = bench.server.named(ClientId("b"))[0]
    assert (first.left, first.state) == (D(2), OrderState.OPEN)
    events = bench.move("11", room="4")
    assert executions(events) == [("2", "11")]
    assert [event.closes for event in events if isinstance(event, Executed)] == [True]


def test_what_the_balance_does_not_cover_is_cut_and_its_rest_cancelled() -> None:
    bench = Bench()
    bench.move("100")
    bench.place(amount="99")
    events = bench.move("200", room="1000")
    assert executions(events) == [("49.82064567", "200")]
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert (ended.state, ended.reason, ended.filled) == (OrderState.CANCELLED, "insufficient_funds", D("49.82064567"))
    assert D(0) <= bench.server.purse.quote < D("0.00001")


def block(opened: int, opening: float, high: float, low: float, volume: float) -> BarBlock:
    one = [np.array([value]) for value in (opening, high, low, low, volume)]
    return BarBlock((BTC,), opened, *one, np.array([True]))


def test_bars_fill_here_as_they_do_on_the_exchange_of_backtests() -> None:
    """One matching core: the same market order and the same stop get the same prices, amounts and costs."""
    account = Account(start_quote=D(10_000), entry_equity_ratio=D("0.1"), stop_ratio=D("0.05"), amount_decimals=8)
    ratio = D("0.1")
    exchange = SimulatedExchange(COSTS, account, Exchange(max_volume_ratio=ratio))
    bench = Bench()
    order = Order(OrderId("c1"), BTC, Side.BUY, D(3), OrderKind.MARKET, T, D(100), "", stop=D("0.05"))
    exchange.submit(Approved(order, T))
    bench.place(amount="3")
    fills: list[Fill] = []
    ours: list[Executed] = []
    bars = [
        (101.5, 103.0, 100.5, 25.0),
        (102.0, 104.0, 99.0, 400.0),
        (90.0, 91.0, 89.0, 20.0),
        (88.0, 90.0, 87.0, 90.0),
    ]
    for number, (opening, high, low, volume) in enumerate(bars):
        bar = block(T + number * 60_000, opening, high, low, volume)
        fills += exchange.fills(Slice(at=T + (number + 1) * 60_000, bars=bar))
        bench.now = T + (number + 1) * 60_000
        for span in spans(bar, ratio):
            bench.kraken.trade(span)
        ours += [event for event in bench.kraken.events() if isinstance(event, Executed)]
        if number == 1:  # the exchange of backtests arms the stop itself
            bench.now = T + number * 60_000
            bench.place(Side.SELL, OrderKind.STOP, "3", trigger="96.4")
    assert [(f.side, f.amount, f.price, f.fee, f.slippage) for f in fills] == [
        (e.side, e.amount, e.price, e.fee, e.slippage) for e in ours
    ]
    assert [plain(f.price) for f in fills] == ["101.5", "102", "90", "88"]
    assert D(exchange.state()["cash"]) == bench.server.purse.quote


# What it refuses.


def test_f1_an_id_is_taken_again_as_soon_as_its_order_is_not_open() -> None:
    """Uniqueness holds over open orders only: whoever resends after a fill buys twice."""
    bench = Bench()
    bench.place(name="same")
    (lost,) = bench.place(name="same")
    assert lost == Lost(ClientId("same"), "EGeneral:Client order id in use", T)
    bench.move("100")
    (acked,) = bench.place(name="same")
    assert isinstance(acked, Acknowledged)
    assert len(bench.server.named(ClientId("same"))) == 2


@pytest.mark.parametrize("skew", [0, 5_000, -5_000])
def test_the_deadline_is_kept_by_the_clock_of_the_exchange(skew: int) -> None:
    bench = Bench(skew_ms=skew)
    assert isinstance(bench.place(deadline=skew)[0], Acknowledged)
    assert refused(bench.place(deadline=skew - 1)) == ("deadline", "EService:Deadline elapsed")


def test_cancel_only_takes_cancellations_and_nothing_else() -> None:
    bench = Bench()
    bench.place(kind=OrderKind.LIMIT, limit="90", name="old")
    bench.kraken.change(VenueStatus.CANCEL_ONLY)
    assert list(bench.kraken.events()) == [StatusChanged(VenueStatus.CANCEL_ONLY, True, T)]
    assert refused(bench.place()) == ("cancel_only", "EService:Market in cancel_only mode")
    assert all(isinstance(event, Ended) for event in bench.cancel("old"))


def test_post_only_takes_what_rests_and_refuses_what_takes() -> None:
    bench = Bench()
    bench.move("100")
    bench.kraken.change(VenueStatus.POST_ONLY)
    bench.kraken.events()
    assert refused(bench.place()) == ("post_only", "EService:Market in post_only mode")
    assert refused(bench.place(kind=OrderKind.LIMIT, limit="100")) == ("post_only_order", "EOrder:Post only order")
    assert isinstance(bench.place(kind=OrderKind.LIMIT, limit="99.9")[0], Acknowledged)


def test_in_maintenance_nothing_is_certain() -> None:
    bench = Bench()
    bench.place(kind=OrderKind.LIMIT, limit="90", name="old")
    bench.kraken.change(VenueStatus.MAINTENANCE)
    bench.kraken.events()
    assert bench.place(name="new") == [Lost(ClientId("new"), "EService:Unavailable", T)]
    assert bench.cancel("old") == [NotAnswered(None, 3, ClientId("old"), "EService:Unavailable", T)]
    assert bench.ask(Ask.OPEN_ORDERS) == NotAnswered(Ask.OPEN_ORDERS, 7, ClientId(""), "EService:Unavailable", T)
    assert isinstance(bench.ask(Ask.TIME), Answered)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pair": Pair("XRP/USDT")}, "unknown_pair"),
        ({"amount": "0.00009"}, "order_minimum"),
        ({"amount": "0.04", "kind": OrderKind.LIMIT, "limit": "100"}, "cost_minimum"),
        ({"kind": OrderKind.LIMIT, "limit": "100.05"}, "tick_size"),
        ({"kind": OrderKind.STOP, "trigger": "100.05"}, "tick_size"),
        ({"kind": OrderKind.LIMIT}, "invalid_price"),
        ({"kind": OrderKind.STOP_LIMIT, "limit": "100"}, "invalid_price"),
        ({"kind": OrderKind.LIMIT, "limit": "0"}, "invalid_price"),
        ({"amount": "99.65", "kind": OrderKind.LIMIT, "limit": "100"}, "insufficient_funds"),
        ({"side": Side.SELL}, "insufficient_funds"),
    ],
)
def test_what_is_certainly_not_taken_says_why(changes: dict[str, object], code: str) -> None:
    assert refused(Bench().place(**changes))[0] == code  # type: ignore[arg-type]


def test_the_largest_order_that_is_affordable_is_taken() -> None:
    assert isinstance(Bench().place(amount="99.64", kind=OrderKind.LIMIT, limit="100")[0], Acknowledged)


def test_a_resting_stop_holds_the_base_back_until_it_is_cancelled() -> None:
    bench = Bench()
    bench.bought()
    bench.place(Side.SELL, OrderKind.STOP, "1", trigger="90", name="stop")
    assert refused(bench.place(Side.SELL, amount="1"))[0] == "insufficient_funds"
    bench.cancel("stop")
    assert isinstance(bench.place(Side.SELL, amount="1")[0], Acknowledged)


def test_so_many_orders_may_be_open() -> None:
    bench = Bench()
    for _ in range(3):
        assert isinstance(bench.place(kind=OrderKind.LIMIT, limit="90")[0], Acknowledged)
    assert refused(bench.place(kind=OrderKind.LIMIT, limit="90"))[0] == "orders_limit"


# What it counts.


def test_points_of_a_pair_fade_and_what_is_refused_counts_too() -> None:
    bench = Bench(max_open=99)
    for _ in range(20):
        assert isinstance(bench.place(kind=OrderKind.LIMIT, limit="90")[0], Acknowledged)
    assert refused(bench.place(kind=OrderKind.LIMIT, limit="90"))[0] == "rate_limit"  # point 21, counted
    assert isinstance(bench.place(kind=OrderKind.LIMIT, limit="90", pair=ETH)[0], Acknowledged)  # another counter
    bench.now += 1_999
    assert refused(bench.place(kind=OrderKind.LIMIT, limit="90"))[0] == "rate_limit"
    bench.now += 1_001
    assert isinstance(bench.place(kind=OrderKind.LIMIT, limit="90")[0], Acknowledged)


@pytest.mark.parametrize(
    ("age", "points"),
    [(0, 8), (4_999, 8), (5_000, 6), (10_000, 5), (15_000, 4), (45_000, 2), (90_000, 1), (299_999, 1), (300_000, 0)],
)
def test_a_cancellation_costs_by_the_age_of_its_order(age: int, points: int) -> None:
    assert cancel_cost(age) == points
    bench = Bench(decay=0.0)
    bench.place(kind=OrderKind.LIMIT, limit="90", name="old")
    bench.now += age
    bench.cancel("old")
    assert bench.server._counters[BTC].level(bench.now) == 1 + points


def test_questions_cost_points_and_trades_cost_four() -> None:
    bench = Bench()
    for _ in range(3):
        assert isinstance(bench.ask(Ask.EXECUTIONS), Answered)
    assert bench.ask(Ask.EXECUTIONS) == NotAnswered(Ask.EXECUTIONS, 7, ClientId(""), "EAPI:Rate limit exceeded", T)
    for _ in range(3):
        assert isinstance(bench.ask(Ask.OPEN_ORDERS), Answered)
    assert isinstance(bench.ask(Ask.OPEN_ORDERS), NotAnswered)
    assert isinstance(bench.ask(Ask.TIME), Answered)  # public
    bench.now += 2_000
    assert isinstance(bench.ask(Ask.OPEN_ORDERS), Answered)


# What ends by itself, and what is cancelled.


def test_an_order_expires_at_its_time_and_what_was_filled_stays() -> None:
    bench = Bench()
    bench.place(amount="2", expires_at=T + 5_000, name="gtd")
    bench.move("100", room="0.5")
    bench.now += 4_999
    bench.kraken.tick()
    assert list(bench.kraken.events()) == []
    bench.now += 1
    bench.kraken.tick()
    (ended,) = bench.kraken.events()
    assert isinstance(ended, Ended)
    assert (ended.state, ended.filled) == (OrderState.EXPIRED, D("0.5"))


def test_x18_the_dead_man_timer_cancels_everything_once_stops_included() -> None:
    bench = Bench()
    bench.bought()
    bench.place(Side.SELL, OrderKind.STOP, "1", trigger="90")
    bench.place(kind=OrderKind.LIMIT, limit="80")
    bench.kraken.cancel_all_after(60_000)
    bench.now += 30_000
    bench.kraken.cancel_all_after(60_000)
    bench.now += 59_999
    bench.kraken.tick()
    assert list(bench.kraken.events()) == []
    bench.now += 1
    bench.kraken.tick()
    assert [event.reason for event in bench.kraken.events()] == ["cancel_all_after"] * 2  # type: ignore[union-attr]
    bench.place(kind=OrderKind.LIMIT, limit="80")
    bench.now += 600_000
    bench.kraken.tick()
    assert list(bench.kraken.events()) == []  # it is off again after firing


def test_a_dead_man_timer_that_was_switched_off_does_nothing() -> None:
    bench = Bench()
    bench.place(kind=OrderKind.LIMIT, limit="80")
    bench.kraken.cancel_all_after(1_000)
    bench.kraken.cancel_all_after(0)
    bench.now += 5_000
    bench.kraken.tick()
    assert list(bench.kraken.events()) == []


def test_x7_a_cancellation_that_comes_after_the_fill_finds_no_order() -> None:
    bench = Bench()
    bench.place(name="gone")
    bench.move("100")
    assert bench.cancel("gone") == [NotAnswered(None, 3, ClientId("gone"), "EOrder:Unknown order", T)]


def test_a_cancellation_is_told_twice_by_the_stream_and_by_its_answer() -> None:
    bench = Bench()
    bench.place(amount="2", name="half")
    bench.move("100", room="0.5")
    streamed, answered = bench.cancel("half")
    assert isinstance(streamed, Ended)
    assert streamed == answered
    assert (streamed.state, streamed.filled) == (OrderState.CANCELLED, D("0.5"))


# What it answers.


def test_open_and_closed_orders_are_told_by_id_or_since() -> None:
    bench = Bench()
    bench.place(name="a")
    bench.move("100")
    bench.now += 1_000
    bench.place(kind=OrderKind.LIMIT, limit="90", name="b")
    bench.cancel("b")
    bench.place(kind=OrderKind.LIMIT, limit="91", name="c")

    def names(answer: Answered | NotAnswered) -> list[str]:
        assert isinstance(answer, Answered)
        return [order.client_id for order in answer.orders]

    assert names(bench.ask(Ask.OPEN_ORDERS)) == ["c"]
    assert names(bench.ask(Ask.OPEN_ORDERS, "a", "b")) == []
    assert names(bench.ask(Ask.CLOSED_ORDERS)) == ["a", "b"]
    assert names(bench.ask(Ask.CLOSED_ORDERS, "b")) == ["b"]
    assert names(bench.ask(Ask.CLOSED_ORDERS, since=T + 1_000)) == ["b"]
    closed = bench.ask(Ask.CLOSED_ORDERS, "a")
    assert isinstance(closed, Answered)
    (order,) = closed.orders
    assert (order.state, order.filled, order.amount, order.opened_at) == (OrderState.FILLED, D("0.1"), D("0.1"), T)


def test_executions_balances_and_time_are_those_of_the_exchange() -> None:
    bench = Bench(skew_ms=900)
    bench.bought("2")
    found = bench.ask(Ask.EXECUTIONS)
    assert isinstance(found, Answered)
    (one,) = found.executions
    assert (one.client_id, one.at, found.at) == ("c1", T + 900, T)
    assert bench.ask(Ask.EXECUTIONS, since=T + 901) == Answered(Ask.EXECUTIONS, 7, T, venue_now=T + 900)
    assert bench.ask(Ask.BALANCES) == Answered(
        Ask.BALANCES, 7, T, balances=(("USDT", D("9799.28")), ("BTC", D(2))), venue_now=T + 900
    )
    assert bench.ask(Ask.TIME) == Answered(Ask.TIME, 7, T, venue_now=T + 900)


def test_x15_a_human_trades_on_the_same_account_without_an_id() -> None:
    bench = Bench()
    bench.kraken.by_hand(Order(OrderId("x"), BTC, Side.BUY, D(1), OrderKind.MARKET, T, D(100), ""))
    executed, ended = bench.move("100")
    assert (executed.client_id, ended.client_id) == ("", "")  # type: ignore[union-attr]


def test_what_happened_survives_a_restart() -> None:
    bench = Bench()
    bench.bought("2")
    bench.place(Side.SELL, OrderKind.STOP, "1.5", trigger="90", name="stop")
    other = VenueServer(RULES, COSTS, D(1))
    other.restore(msgspec.json.decode(msgspec.json.encode(bench.server.state())))
    assert other.state() == bench.server.state()
    assert other.purse.free(Side.SELL, BTC) == D("0.5")
    assert other.purse.quote == D("9799.28")
    assert other.cancel(ClientId("stop"), None, T) == ""
    assert other.purse.free(Side.SELL, BTC) == D(2)


def test_the_stream_says_at_first_how_the_exchange_stands() -> None:
    bench = Bench()
    bench.kraken.connect()
    assert list(bench.kraken.events()) == [StatusChanged(VenueStatus.ONLINE, True, T)]


def test_on_paper_the_slices_move_the_market_and_a_restart_goes_on() -> None:
    now = T
    paper = PaperKraken(VenueServer(RULES, COSTS, D(10_000)), lambda: now, D("0.1"))
    assert [type(event) for event in paper.events()] == [StatusChanged]
    order = Order(OrderId("c1"), BTC, Side.BUY, D(3), OrderKind.MARKET, T, D(100), "")
    paper.place(Place(ClientId("c1"), Approved(order, T), T + 10_000))
    paper.on_slice(Slice(at=T + 60_000, bars=block(T, 101.5, 103.0, 100.5, 25.0)))
    assert executions(paper.events()) == [("2.5", "101.5")]
    again = PaperKraken(VenueServer(RULES, COSTS, D(1)), lambda: now, D("0.1"))
    again.restore(msgspec.json.decode(msgspec.json.encode(paper.state())))
    again.on_slice(Slice(at=T + 120_000, bars=None))
    again.on_slice(Slice(at=T + 180_000, bars=block(T + 120_000, 99.0, 99.0, 98.0, 25.0)))
    assert executions(again.events()) == [("0.5", "99")]
    assert again.server.purse.base == {BTC: D(3)}


def test_what_is_over_for_long_is_told_no_more_and_numbers_go_on_behind_it() -> None:
    day = 86_400_000
    bench = Bench(keep_days=2)
    bench.now = 20_000 * day
    bench.place(kind=OrderKind.LIMIT, limit="90", name="rests")
    bench.place(name="filled")
    bench.move("100")
    (filled,) = [one for one in bench.server.orders.values() if one.client_id == "filled"]
    assert filled.state is OrderState.FILLED
    assert len(bench.server.executions) == 1
    for days, left in ((1, 2), (2, 2), (3, 1)):
        bench.now = (20_000 + days) * day
        bench.kraken.tick()
        assert len(bench.server.orders) == left
    assert ([one.client_id for one in bench.server.orders.values()], bench.server.executions) == (["rests"], [])
    assert bench.server.named(ClientId("filled")) == ()
    again = VenueServer(msgspec.structs.replace(RULES, keep_days=2), COSTS, D(10_000))
    again.restore(msgspec.json.decode(msgspec.json.encode(bench.server.state())))
    assert again.state() == bench.server.state()
    bench.place(name="next")
    bench.move("100")
    names = [one.venue_id.partition("-")[0] for one in bench.server.orders.values()]
    assert names == ["O00001", "O00003"]
    assert [one.execution_id.partition("-")[0] for one in bench.server.executions] == ["T00002"]
