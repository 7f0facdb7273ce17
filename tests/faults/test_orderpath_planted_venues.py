"""Faults at the border of two exchanges that other tests let pass: each found a bug that was planted on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from src.connectors.alpaca.orders import Listed, objection, order_of
from src.core.errors import Malformed
from src.core.orders import Order, OrderKind
from src.core.types import Pair
from src.core.venue import Acknowledged, Answered, Ask, ClientId, Ended, Lost, NotAnswered, OrderState
from tests.alpaca.test_alpaca_venue import place as alpaca_place
from tests.commands.test_live_account import Trader
from tests.kraken.desk import BTC, Desk, order, place
from tests.kraken.local import LocalKraken

NAME = "0123456789abcdef0123456789abcdef"
TWO = {"AAPL": Pair("AAPL/USD"), "BTC/USD": Pair("BTC/USD")}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    built = Desk(tmp_path)
    built.venue.open()
    yield built
    built.close()


def test_x02_a_fault_of_our_own_after_the_order_left_does_not_make_it_look_refused(desk: Desk) -> None:
    def stumbles(order: Order, send: Callable[[], None]) -> str:
        send()
        raise RuntimeError("after it left")

    desk.venue.guard = stumbles
    desk.venue.place(place(NAME))
    assert desk.next(Lost).why == "fault: RuntimeError"
    desk.venue.ask(1, Ask.OPEN_ORDERS)
    assert [order.cl_ord_id for order in desk.state.open_orders()] == [NAME]


def test_x05_of_several_orders_that_are_asked_about_each_is_looked_for_among_the_closed(desk: Desk) -> None:
    names = [ClientId(NAME), ClientId(NAME[::-1])]
    for name in names:
        desk.venue.place(place(name, order(OrderKind.MARKET, limit=None)))
        desk.next(Acknowledged)
    desk.venue.ask(7, Ask.CLOSED_ORDERS, names)
    assert {one.client_id for one in desk.next(Answered).orders} == set(names)


def test_x07_an_order_that_is_open_after_its_cancellation_has_not_ended(desk: Desk) -> None:
    desk.venue.place(place(NAME))
    venue_id = desk.next(Acknowledged).venue_id
    desk.fault("CancelOrder", "error", "EOrder:Unknown order")
    desk.venue.cancel(3, ClientId(NAME), venue_id, BTC)
    assert desk.next(NotAnswered).why == "not_closed"
    assert not any(isinstance(event, Ended) for event in desk.seen)


@pytest.mark.parametrize(("amount", "said"), [("0.0099", "order_minimum"), ("0.01", ""), ("0.0101", "")])
def test_x10_the_least_amount_itself_is_large_enough(amount: str, said: str) -> None:
    listed = Listed("BTC/USD", True, True, Decimal("0.0001"), Decimal("0.01"), Decimal(0))
    assert objection(alpaca_place(amount=amount), listed) == said


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *((name, OrderState.OPEN) for name in ("new", "accepted", "pending_new", "partially_filled", "held")),
        *((name, OrderState.OPEN) for name in ("pending_cancel", "pending_replace", "done_for_day", "suspended")),
        *((name, OrderState.CANCELLED) for name in ("canceled", "replaced")),
        *((name, OrderState(name)) for name in ("filled", "expired", "rejected")),
    ],
)
def test_x07_an_order_is_open_until_alpaca_has_said_its_end(status: str, state: OrderState) -> None:
    row = {
        "id": "order-1", "client_order_id": "by-hand", "symbol": "AAPL", "side": "buy", "type": "limit", "qty": "1",
        "filled_qty": "0", "status": status, "created_at": "2024-01-02T00:00:00Z", "limit_price": "10",
    }  # fmt: skip
    assert order_of(row, TWO).state is state
    with pytest.raises(Malformed, match="no status of an order"):
        order_of({**row, "status": "vanished"}, TWO)


def test_n01_while_the_private_stream_is_away_the_account_says_so_and_nothing_leaves(tmp_path: Path) -> None:
    with LocalKraken() as exchange:
        trader = Trader(exchange, tmp_path)
        with trader.stack:
            trader.ready()
            exchange.sockets.stop_listening()
            trader.until(lambda: not trader.broker.ready)
            assert trader.broker.shown["troubles"]
            trader.send()
            assert [(one.state, one.reason) for one in trader.broker.outcomes()] == [("rejected", "not_ready")]
            assert not exchange.rest.calls("AddOrder")
            exchange.sockets.listen_again()
            trader.until(lambda: trader.broker.ready, 60.0)
