"""Every venue keeps the contract: the simulated Kraken, Kraken over its SDK at the local one, Alpaca at its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from src.backtesting.simulated_kraken import Arrive, DirectLink, SimulatedKraken, Unknown
from src.backtesting.venue.matching import Span
from src.backtesting.venue.rules import PairRules, VenueRules
from src.backtesting.venue.server import VenueServer
from src.connectors.kraken.account import TradedAccount
from src.connectors.kraken.attempts import ConnectionBudget
from src.connectors.kraken.private import private_account
from src.connectors.kraken.streams import Ports
from src.core.clock import Timer
from src.core.types import Order, OrderId, OrderKind, Pair, Side
from src.core.venue import Acknowledged, Executed, Lost, StatusChanged, VenueEvent
from tests.alpaca.server import LocalAlpaca
from tests.alpaca.test_alpaca_venue import Bench
from tests.checks import venue_checks
from tests.kraken.desk import SECONDS, Desk
from tests.kraken.exchange_state import OrderRow
from tests.kraken.streaming import streams
from tests.kraken.ws_server import KrakenSockets
from tests.worlds import settings

BTC = Pair("BTC/USD")
START = 1_700_000_000_000
RULES = VenueRules(
    {BTC: PairRules(Decimal("0.0001"), Decimal(5), Decimal("0.1"))},
    decimals=8,
    max_open=60,
    threshold=100.0,
    decay=1.0,
    calls=100.0,
    calls_decay=1.0,
    instant=True,
)


class FickleLink(DirectLink):
    """Loses the next order, or the answer to it."""

    lose = ""

    def request(self, channel: str, arrive: Arrive, unknown: Unknown) -> None:
        lose, self.lose = (self.lose, "") if channel == "place" else ("", self.lose)
        if not lose:
            super().request(channel, arrive, unknown)
        elif lose == "answer":
            super().request(channel, lambda now: _instead(arrive(now), unknown("timeout", now)), unknown)
        else:
            super().request(channel, lambda now: unknown("timeout", now), unknown)


def _instead(event: VenueEvent, unknown: VenueEvent) -> VenueEvent:
    assert isinstance(unknown, Lost)
    return unknown


class Simulated:
    """The simulated Kraken, on which nothing takes time."""

    pair, price = BTC, Decimal(100)

    def __init__(self) -> None:
        self._now = START
        self.server = VenueServer(RULES, settings().costs, Decimal(1_000))
        self._link = FickleLink(self.now)
        self.venue: SimulatedKraken = SimulatedKraken(self.server, self._link, self.now)
        self.venue.connect()
        self._move(self.price, Decimal(1_000))
        self.said: list[VenueEvent] = []

    def _move(self, price: Decimal, room: Decimal) -> None:
        self.venue.trade(Span(BTC, self._now, price, price, price, room))

    def now(self) -> int:
        return self._now

    def pass_ms(self, ms: int) -> None:
        self._now += ms

    def next(self, true: Callable[[VenueEvent], bool]) -> VenueEvent:
        self.said.extend(self.venue.events())
        return next(event for event in self.said if true(event))

    def fill(self, client_id: str, amount: Decimal) -> None:
        (order,) = [one for one in self.server.open_orders() if one.client_id == client_id]
        assert order.limit is not None
        self._move(order.limit, amount)

    def lose_answer(self) -> None:
        self._link.lose = "answer"

    def drop_request(self) -> None:
        self._link.lose = "request"

    def human(self) -> None:
        one = OrderId("hand")
        order = Order(one, BTC, Side.BUY, Decimal(1), OrderKind.LIMIT, 0, Decimal(1), "", limit=Decimal(50))
        assert self.venue.by_hand(order) is not None

    def resting(self) -> int:
        return len(self.server.open_orders())

    def close(self) -> None:
        """Nothing to give back."""


class AtKraken:
    """Kraken's own SDK at the local Kraken."""

    pair, price = BTC, Decimal(50_000)

    def __init__(self, folder: Path) -> None:
        self._desk = desk = Desk(folder, budget__calls_decay_second=1000.0)
        desk.state.counters.rest.most = 1e9
        desk.state.balances["ZUSD"] = Decimal(500_000)
        self.venue, self.said = desk.venue, desk.seen
        desk.venue.open()

    def now(self) -> int:
        return self._desk.clock.now_ms()

    def pass_ms(self, ms: int) -> None:
        self._desk.pass_ms(ms)

    def next(self, true: Callable[[VenueEvent], bool]) -> VenueEvent:
        before = [event for event in self.said if true(event)]
        return before[0] if before else self._desk.until(true)

    def fill(self, client_id: str, amount: Decimal) -> None:
        order = self._desk.state.find(cl_ord_id=client_id)
        assert order is not None
        assert order.price is not None
        self._desk.state.fill(order.txid, amount, order.price)

    def lose_answer(self) -> None:
        self._desk.fault("AddOrder", "lost_reset")

    def drop_request(self) -> None:
        self._desk.fault("AddOrder", "reset")

    def human(self) -> None:
        state = self._desk.state
        price = Decimal("30000.0")
        order = OrderRow(state.next_txid(), BTC, "buy", "limit", Decimal(1), price, None, state.now())
        state.accept(order)

    def resting(self) -> int:
        return len(self._desk.state.open_orders())

    def close(self) -> None:
        self._desk.close()


class AtKrakenWithStream(AtKraken):
    """The account as it is traded on: REST and the private stream, over real sockets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        desk, self._stack, self._timer = self._desk, ExitStack(), Timer()
        self.server = self._stack.enter_context(KrakenSockets(desk.state))
        settings = desk.settings.model_copy(update={"streams": streams(self.server)})
        ports = Ports(self._timer, ConnectionBudget(settings.streams.connection), 7, lambda _: None)
        rest, token = desk.venue, desk.venue.websocket_token
        account = private_account(rest, settings.streams, desk.clock, ports, token, START, owner=rest.owners.of)
        self.account = TradedAccount(rest, account, tuple, settings, desk.clock, ports, "tail")
        self.venue, self.said = self.account, []  # type: ignore[assignment]
        self._stack.callback(self.account.close)
        account.private.start()
        self.account._opened.set()  # the REST half was opened before
        self.until(lambda: self.account.stands)

    def until(self, seen: Callable[[], object]) -> None:
        """Wait until something is so."""
        nap, ends_s = Event(), self._timer.seconds() + SECONDS
        while not seen():
            assert self._timer.seconds() < ends_s, f"did not happen: {self.account.troubles()}"
            nap.wait(0.005)

    def next(self, true: Callable[[VenueEvent], bool]) -> VenueEvent:
        found: list[VenueEvent] = [event for event in self.said if true(event)]

        def heard() -> bool:
            fresh = self.account.events()
            self.said.extend(fresh)
            found.extend(event for event in fresh if true(event))
            return bool(found)

        self.until(lambda: found or heard())
        return found[0]

    def close(self) -> None:
        self._desk.server.release.set()
        self._stack.close()
        self._desk.server.close()


class AtAlpaca:
    """Alpaca over HTTP at the local one."""

    pair, price = BTC, Decimal(100)

    def __init__(self) -> None:
        self._server = LocalAlpaca(START)
        self._bench = bench = Bench(self._server)
        self._bench.exchange.cash = Decimal(1_000)
        self.venue, self.said = bench.venue, bench.said
        bench.venue.open()

    def now(self) -> int:
        return self._bench.clock.now_ms()

    def pass_ms(self, ms: int) -> None:
        self._bench.clock.reach(self.now() + ms)
        self._bench.exchange.now += ms

    def next(self, true: Callable[[VenueEvent], bool]) -> VenueEvent:
        return self._bench.until(true)

    def _rows(self) -> Sequence[dict[str, Any]]:
        rows = self._bench.exchange.orders.values()
        return [row for row in rows if row["status"] in ("new", "partially_filled")]

    def fill(self, client_id: str, amount: Decimal) -> None:
        (row,) = [one for one in self._rows() if one["client_order_id"].endswith(client_id)]
        with self._bench.exchange.lock:
            self._bench.exchange.fill(row["id"], str(amount), row["limit_price"])

    def lose_answer(self) -> None:
        self._bench.exchange.strike("error_after")

    def drop_request(self) -> None:
        self._bench.exchange.strike("drop")

    def human(self) -> None:
        body = {"symbol": BTC, "qty": "1", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"}
        self._bench.exchange.add(body)

    def resting(self) -> int:
        return len(self._rows())

    def close(self) -> None:
        self._bench.exchange.release.set()
        self._bench.venue.close()
        self._server.close()


@pytest.fixture(params=["simulated", "kraken", "kraken with its stream", "alpaca"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[venue_checks.Make]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made: list[Simulated | AtKraken | AtAlpaca] = []

    def build() -> venue_checks.Stage:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        kinds: dict[str, Callable[[], Simulated | AtKraken | AtAlpaca]] = {
            "simulated": Simulated,
            "kraken": lambda: AtKraken(folder),
            "kraken with its stream": lambda: AtKrakenWithStream(folder),
            "alpaca": AtAlpaca,
        }
        made.append(kinds[request.param]())
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.mark.parametrize("check", venue_checks.CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[venue_checks.Make], None], make: venue_checks.Make) -> None:
    check(make)


@pytest.mark.parametrize("what", ["cut", "gap"])
def test_a_stream_that_is_gone_or_missed_something_is_said_at_once_and_entries_wait(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it is whole again that is said too, and what happened meanwhile is told."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    stage = AtKrakenWithStream(tmp_path)
    try:
        assert venue_checks.heard(stage, StatusChanged).connected
        venue_checks.send(stage, "one", rests=True)
        venue_checks.heard(stage, Acknowledged, "one")
        stage.until(lambda: (stage.account.hear(), stage.account._account.private.executions._orders)[1])
        stage.said.clear()
        if what == "cut":
            stage.server.stop_listening()
            stage.fill("one", Decimal("0.2"))
        else:
            stage.server.faults.drop_reports = 1
            stage.fill("one", Decimal("0.2"))
            stage.server.faults.unanswered.add("executions")
            stage.fill("one", Decimal("0.1"))
        down = venue_checks.heard(stage, StatusChanged)
        assert not down.connected
        assert stage.account.troubles()
        stage.server.faults.unanswered.clear()
        if what == "cut":
            stage.server.listen_again()
        assert stage.next(lambda one: isinstance(one, StatusChanged) and one.connected)
        missed = Decimal("0.2") if what == "cut" else Decimal("0.3")
        stage.next(lambda one: sum((e.amount for e in stage.said if isinstance(e, Executed)), Decimal(0)) == missed)
    finally:
        stage.close()


def test_a_cut_that_is_over_before_anybody_looked_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever trades then asks again how orders stand, however quickly the stream came back."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    stage = AtKrakenWithStream(tmp_path)
    try:
        assert venue_checks.heard(stage, StatusChanged).connected
        stage.account.events()
        executions = stage.account._account.private.executions
        stage.server.cut()
        stage.until(lambda: executions.counts["gap_cut"])
        stage.until(lambda: not stage.account.troubles())
        said = [event.connected for event in stage.account.events() if isinstance(event, StatusChanged)]
        assert said == [False, True]
        assert not [event for event in stage.account.events() if isinstance(event, StatusChanged)], "it is said once"
    finally:
        stage.close()
