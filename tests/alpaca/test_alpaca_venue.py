"""Alpaca over real sockets: each order is sent once, and what is not known about it is never taken for a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from src.connectors.alpaca.rest import AlpacaRest
from src.connectors.alpaca.venue import AlpacaVenue
from src.connectors.venues.keys import ApiKey
from src.core.clock import SimClock, Timer
from src.core.config_alpaca import AlpacaSettings
from src.core.errors import ConfigError, SourceError
from src.core.orders import Order, OrderKind
from src.core.types import Approved, OrderId, Pair, Side
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
from tests.alpaca.server import KEY, SECRET, Exchange, LocalAlpaca

START = 1_700_000_000_000
BTC, AAPL = Pair("BTC/USD"), Pair("AAPL/USD")
WITHIN_SECONDS = 10.0

SETTINGS = AlpacaSettings(
    key_file=None,
    url="http://127.0.0.1:1",
    wait_seconds=0.5,
    total_seconds=1.0,
    max_answer_bytes=1_000_000,
    queue_calls=100,
    page_rows=3,
    max_pages=50,
    poll_seconds=0.01,
    rate_limited_seconds=60.0,
    crypto_fee_ratio=0.0025,
)


class Bench:
    """A venue that talks to a local Alpaca, and what it said so far."""

    def __init__(self, server: LocalAlpaca, key: ApiKey | None = None) -> None:
        self.exchange: Exchange = server.exchange
        self.clock = SimClock(START)
        settings = SETTINGS.model_copy(update={"url": server.url})
        timer = Timer()
        rest = AlpacaRest(settings, key or ApiKey(KEY, SECRET), timer)
        self.venue = AlpacaVenue(rest, (BTC, AAPL), settings, self.clock, timer)
        self.timer = timer
        self.said: list[VenueEvent] = []

    def until(self, found: Callable[[VenueEvent], bool]) -> VenueEvent:
        """The first event that fits, of those that came already or come in time."""
        end = self.timer.seconds() + WITHIN_SECONDS
        looked = 0
        while True:
            self.said.extend(self.venue.events())
            for event in self.said[looked:]:
                if found(event):
                    return event
            looked = len(self.said)
            left = end - self.timer.seconds()
            assert left > 0, f"it did not come; there were {self.said}"
            self.venue.queue.wait(left)

    def kind[E](self, kind: type[E], **fields: Any) -> E:
        """The first event of a kind with these fields."""
        event = self.until(
            lambda one: isinstance(one, kind) and all(getattr(one, name) == value for name, value in fields.items())
        )
        assert isinstance(event, kind)
        return event

    def ask(self, number: int, ask: Ask, *client_ids: str) -> Answered:
        self.venue.ask(number, ask, [ClientId(one) for one in client_ids])
        return self.kind(Answered, number=number)


@pytest.fixture
def bench() -> Iterator[Bench]:
    server = LocalAlpaca(START)
    found = Bench(server)
    found.venue.open()
    yield found
    found.exchange.release.set()
    found.venue.close()
    server.close()


def place(
    name: str = "a",
    pair: Pair = BTC,
    side: Side = Side.BUY,
    amount: str = "0.5",
    kind: OrderKind = OrderKind.MARKET,
    limit: str | None = None,
    trigger: str | None = None,
    deadline: int = START + 10_000,
) -> Place:
    limit_, trigger_ = (None if price is None else Decimal(price) for price in (limit, trigger))
    order = Order(OrderId(name), pair, side, Decimal(amount), kind, START, Decimal(100), "entry")
    order = Order(
        order.id, pair, side, order.amount, kind, START, Decimal(100), "entry", limit=limit_, trigger=trigger_
    )
    return Place(ClientId(name), Approved(order, START), deadline)


def test_an_order_is_acknowledged_executed_and_ended(bench: Bench) -> None:
    assert bench.kind(StatusChanged) == StatusChanged(VenueStatus.ONLINE, True, START)
    bench.venue.place(place())
    acknowledged = bench.kind(Acknowledged)
    fill = bench.kind(Executed)
    assert (fill.client_id, fill.venue_id) == ("a", acknowledged.venue_id)
    assert (fill.amount, fill.price, fill.fee) == (Decimal("0.5"), Decimal(100), Decimal("0.12500000"))
    assert fill.closes
    ended = bench.kind(Ended)
    assert (ended.state, ended.filled, ended.client_id) == (OrderState.FILLED, Decimal("0.5"), "a")


def test_a_share_is_another_class_of_assets_behind_the_same_port(bench: Bench) -> None:
    bench.venue.place(place("share", AAPL, amount="3"))
    fill = bench.kind(Executed)
    assert (fill.pair, fill.fee) == (AAPL, Decimal(0))
    assert bench.ask(1, Ask.BALANCES).balances == (("AAPL", Decimal(3)), ("USD", Decimal(99_850)))


@pytest.mark.parametrize("fault", ["hang_after", "error_after", "html_after", "empty_after"])
def test_x01_x02_x13_an_answer_that_is_lost_leaves_an_unknown_order_that_is_found_by_its_id(
    bench: Bench, fault: str
) -> None:
    bench.exchange.strike(fault)
    bench.venue.place(place())
    assert bench.kind(Lost).client_id == "a"
    bench.exchange.release.set()
    (order,) = bench.ask(7, Ask.CLOSED_ORDERS, "a").orders
    assert (order.client_id, order.state) == ("a", OrderState.FILLED)
    assert bench.ask(8, Ask.OPEN_ORDERS, "a").orders == ()
    assert bench.exchange.asked.count("POST /v2/orders") == 1


def test_an_order_that_never_arrived_is_unknown_and_not_found(bench: Bench) -> None:
    bench.exchange.strike("drop")
    bench.venue.place(place())
    assert bench.kind(Lost).client_id == "a"
    assert bench.ask(1, Ask.OPEN_ORDERS, "a").orders == bench.ask(2, Ask.CLOSED_ORDERS, "a").orders == ()


@pytest.mark.parametrize("fault", ["html", "error"])
def test_an_answer_that_says_nothing_is_no_refusal(bench: Bench, fault: str) -> None:
    bench.exchange.strike(fault)
    bench.venue.place(place())
    assert bench.kind(Lost).client_id == "a"


def test_an_id_that_is_taken_is_unknown_until_somebody_looked(bench: Bench) -> None:
    bench.venue.place(place())
    bench.kind(Acknowledged)
    bench.venue.place(place())
    assert "unique" in bench.kind(Lost).why


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (place(amount="10000"), "insufficient_funds"),
        (place(amount="0.0001"), "order_minimum"),
        (place(amount="0.50001"), "amount_step"),
        (place(kind=OrderKind.LIMIT, limit="100.001"), "price_tick"),
        (place(kind=OrderKind.STOP, side=Side.SELL, trigger="90"), "stop_without_limit_not_offered"),
        (place(pair=Pair("DOGE/USD")), "unknown_pair"),
        (place(deadline=START - 1), "deadline_elapsed"),
    ],
)
def test_x10_what_is_certainly_refused_says_why(bench: Bench, wish: Place, reason: str) -> None:
    bench.venue.place(wish)
    assert bench.kind(Refused).reason == reason
    assert not bench.exchange.fills


def test_a_refusal_that_nobody_knows_is_certain_because_it_is_one(bench: Bench) -> None:
    bench.exchange.strike("refused")
    bench.venue.place(place())
    refused = bench.kind(Refused)
    assert (refused.reason, refused.text) == ("http_422", "some rule nobody told us about")


def test_x11_too_many_questions_mean_a_rest(bench: Bench) -> None:
    bench.exchange.strike("limited")
    bench.venue.place(place())
    assert bench.kind(Refused).reason == "rate_limited"
    bench.venue.place(place("b"))
    assert bench.kind(Refused, client_id="b").reason == "rate_limited"
    assert bench.exchange.asked.count("POST /v2/orders") == 1
    bench.clock.reach(START + 61_000)
    bench.venue.place(place("c", deadline=START + 70_000))
    assert bench.kind(Acknowledged).client_id == "c"


def test_a_cancellation_ends_the_order_with_what_was_filled_of_it(bench: Bench) -> None:
    bench.venue.place(place(kind=OrderKind.LIMIT, limit="99"))
    order_id = bench.kind(Acknowledged).venue_id
    bench.exchange.fill(order_id, "0.2", "99")
    bench.venue.cancel(5, ClientId("a"), order_id, BTC)
    ended = bench.kind(Ended)
    assert (ended.state, ended.filled) == (OrderState.CANCELLED, Decimal("0.2"))
    kinds = [type(event) for event in bench.said]
    assert kinds.index(Executed) < kinds.index(Ended), "the fill is told before the end"


def test_x07_a_cancellation_that_comes_too_late_says_filled(bench: Bench) -> None:
    bench.venue.place(place(kind=OrderKind.LIMIT, limit="99"))
    order_id = bench.kind(Acknowledged).venue_id
    bench.exchange.fill(order_id)
    bench.venue.cancel(5, ClientId("a"), None, BTC)
    assert bench.kind(Ended).state is OrderState.FILLED


def test_a_cancellation_of_nothing_is_not_answered(bench: Bench) -> None:
    bench.venue.cancel(5, ClientId("nobody"), None, BTC)
    assert bench.kind(NotAnswered).number == 5


def test_x07_a_cancellation_that_has_not_taken_effect_is_not_answered(bench: Bench) -> None:
    bench.exchange.cancelling = False
    bench.venue.place(place(kind=OrderKind.LIMIT, limit="99"))
    order_id = bench.kind(Acknowledged).venue_id
    bench.venue.cancel(5, ClientId("a"), order_id, BTC)
    assert bench.kind(NotAnswered).why == "not_closed"
    assert bench.ask(6, Ask.OPEN_ORDERS).orders[0].state is OrderState.OPEN
    bench.exchange.fill(order_id)
    ended = bench.kind(Ended)
    assert (ended.state, ended.filled) == (OrderState.FILLED, Decimal("0.5"))


def test_x07_a_fill_that_becomes_visible_behind_a_newer_one_is_told(bench: Bench) -> None:
    bench.venue.place(place(kind=OrderKind.LIMIT, limit="99"))
    order_id = bench.kind(Acknowledged).venue_id
    bench.exchange.now += 40_000
    bench.exchange.fill(order_id, "0.1")
    bench.kind(Executed, amount=Decimal("0.1"))
    bench.exchange.now -= 30_000
    bench.exchange.fill(order_id, "0.2")
    bench.kind(Executed, amount=Decimal("0.2"))
    assert [type(event) for event in bench.said].count(Executed) == 2


def test_partial_fills_come_one_by_one_and_each_once(bench: Bench) -> None:
    bench.venue.place(place(kind=OrderKind.LIMIT, limit="99"))
    order_id = bench.kind(Acknowledged).venue_id
    for step in range(3):
        bench.exchange.now += 1000
        bench.exchange.fill(order_id, "0.1", str(99 - step))
    bench.exchange.now += 1000
    bench.exchange.fill(order_id)
    assert bench.kind(Ended).filled == Decimal("0.5")
    fills = [event for event in bench.said if isinstance(event, Executed)]
    assert [fill.amount for fill in fills] == [Decimal("0.1")] * 3 + [Decimal("0.2")]
    assert len({fill.execution_id for fill in fills}) == 4


def test_x15_an_order_made_by_hand_carries_no_id_of_ours(bench: Bench) -> None:
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"}
    bench.exchange.add(body)
    (order,) = bench.ask(1, Ask.OPEN_ORDERS).orders
    assert (order.client_id, order.pair) == ("", AAPL)


def test_answers_longer_than_a_page_are_whole(bench: Bench) -> None:
    for number in range(7):
        bench.venue.place(place(f"n{number}", amount="0.01"))
        bench.kind(Acknowledged, client_id=f"n{number}")
        bench.exchange.now += 1 if number % 2 else 0  # pairs of orders in one instant
    assert len(bench.ask(1, Ask.CLOSED_ORDERS).orders) == 7
    assert len(bench.ask(2, Ask.EXECUTIONS).executions) == 7
    assert bench.ask(3, Ask.TIME).venue_now == bench.exchange.now


def test_a_connection_that_is_lost_is_told_once_and_so_is_its_return(bench: Bench) -> None:
    opened = bench.kind(StatusChanged)
    bench.exchange.strike("error", "GET /v2/account/activities")
    lost = bench.kind(StatusChanged, connected=False)
    back = bench.until(lambda one: isinstance(one, StatusChanged) and one.connected and one is not opened)
    assert [one for one in bench.said if isinstance(one, StatusChanged)] == [opened, lost, back]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda exchange: setattr(exchange, "account_status", "ACCOUNT_CLOSED"), "may not trade"),
        (lambda exchange: exchange.prices.pop("AAPL"), "AAPL/USD is not offered"),
    ],
)
def test_an_account_that_may_not_trade_and_a_pair_that_is_not_offered_are_named(
    spoil: Callable[[Exchange], object], told: str
) -> None:
    server = LocalAlpaca(START)
    bench = Bench(server)
    spoil(server.exchange)
    try:
        with pytest.raises(ConfigError, match=told):
            bench.venue.open()
    finally:
        bench.venue.close()
        server.close()


def test_a_key_that_is_refused_is_told_in_alpacas_words() -> None:
    server = LocalAlpaca(START)
    bench = Bench(server, ApiKey("PKOTHER", SECRET))
    try:
        with pytest.raises(SourceError, match="request is not authorized"):
            bench.venue.open()
    finally:
        bench.venue.close()
        server.close()


def test_i10_the_secret_is_in_no_text(bench: Bench, tmp_path: Path) -> None:
    bench.exchange.strike("refused")
    bench.venue.place(place())
    bench.kind(Refused)
    told = repr(bench.said) + repr(vars(bench.venue)) + repr(ApiKey(KEY, SECRET))
    assert SECRET not in told
