"""The live account in this process, against the local exchange by Kraken's kit: what goes wrong, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from src.connectors.halt_file import HaltFile
from src.connectors.kraken.attempts import ConnectionBudget
from src.connectors.kraken.streams import Ports
from src.connectors.sqlite_ledger import SqliteSink
from src.core.clock import Timer, WallClock
from src.core.errors import ConfigError
from src.core.standing import Standing
from src.core.types import Approved, Command, CommandKind, Order, OrderId, OrderKind, Pair, Side, Slice
from src.services.gate import RiskGate
from src.services.kill_switch import KillSwitch
from src.services.limits import Watch
from src.services.supervisor.live import LiveBroker, Phase
from src.services.writer import Writer
from src.wiring import namespace
from src.wiring_live import account_of, live_broker
from tests.kraken.exchange_state import ALL_RIGHTS, Happening, OrderRow
from tests.kraken.local import LocalKraken, key_file
from tests.kraken.rest_server import Fault
from tests.worlds import settings

BTC = Pair("BTC/USD")
SOON = 30.0


class Trader:
    """A live broker on its own thread's clock; `until` beats it until something is so, and says how long that took."""

    def __init__(self, exchange: LocalKraken, folder: Path) -> None:
        shipped = settings()
        rest = shipped.kraken.rest.model_copy(update={"url": exchange.rest.url})
        urls = {"url": exchange.sockets.url, "private_url": exchange.sockets.private_url}
        streams = shipped.kraken.streams.model_copy(update=urls)
        kraken = shipped.kraken.model_copy(
            update={"rest": rest, "streams": streams, "key_file": str(key_file(folder))}
        )  # fmt: skip
        self.settings = shipped.model_copy(update={"kraken": kraken})
        self.timer, self.clock, self.said = Timer(), WallClock(), list[str]()
        self.stack = ExitStack()
        path = folder / "ledger.sqlite"
        self.ledger = Writer(SqliteSink(path, shipped.ledger, mode="live", ledger_id="one"), shipped.ledger)
        self.stack.callback(self.ledger.close)
        ports = Ports(self.timer, ConnectionBudget(streams.connection), 7, self.said.append)
        self.parts = account_of(self.settings, folder, path, self.clock, ports, tuple)
        self.stack.callback(self.parts.account.close)
        standing, asked = Standing(), list[Command]()
        watch = Watch(shipped.limits, standing)
        gate = RiskGate(shipped.risk, shipped.costs, watch)
        self.phases: list[Phase] = []
        self.broker: LiveBroker = live_broker(
            self.settings, self.parts, self.ledger, namespace(7, "orders"), gate, watch, self.said.append,
            self.phases.append,
        )  # fmt: skip
        self.broker.restore({"delivered": 0, "waiting": []})
        self.switch = KillSwitch(standing, HaltFile(folder), asked.append, self.said.append)
        self.broker.guard = self.switch.may_send
        self.broker.thrown = lambda pair: self.switch.thrown(pair) is not None
        self.parts.account.guarded_by(self.switch.send)
        self.numbers = 0

    def until(self, seen: Callable[[], Any], seconds: float = SOON) -> float:
        begun, nap = self.timer.seconds(), Event()
        while not seen():
            self.broker.beat()
            took = self.timer.seconds() - begun
            assert took < seconds, f"not in {seconds} s: {self.broker.shown} {self.said}"
            nap.wait(0.01)
        return self.timer.seconds() - begun

    def ready(self) -> float:
        self.broker.wake()
        return self.until(lambda: self.broker.ready)

    def send(self, amount: str = "0.01", **more: Any) -> Order:
        self.numbers += 1
        said: dict[str, Any] = {"side": Side.BUY, "kind": OrderKind.MARKET, "stop": Decimal("0.05")} | more
        at = self.clock.now_ms()
        reference, name = Decimal(50_000), OrderId(f"o-{at}-{self.numbers}")
        order = Order(name, BTC, amount=Decimal(amount), at=at, reference=reference, reason="test", **said)
        self.broker.submit(Approved(order, at))
        self.broker.release()
        return order

    def rest_low(self) -> Order:
        """An entry far below the market."""
        return self.send(kind=OrderKind.LIMIT, limit=Decimal("40000.0"))

    def held(self) -> Decimal:
        return self.broker.coordinator.positions().get(BTC, Decimal(0))


@pytest.fixture
def exchange() -> Iterator[LocalKraken]:
    with LocalKraken() as there:
        yield there


@pytest.fixture
def trader(exchange: LocalKraken, tmp_path: Path) -> Iterator[Trader]:
    built = Trader(exchange, tmp_path)
    with built.stack:
        yield built


def resting(exchange: LocalKraken) -> list[OrderRow]:
    return [order for order in exchange.ours() if order.status == "open"]


def test_the_start_up_comes_to_an_end_and_a_fill_comes_back_by_the_stream(
    exchange: LocalKraken, trader: Trader
) -> None:
    assert trader.ready() < 30.0
    assert trader.phases == [Phase.OPENING, Phase.ASKING, Phase.TRADING]
    trader.send()
    trader.until(lambda: trader.held() == Decimal("0.01") and len(resting(exchange)) == 1)
    (fill,) = trader.broker.fills(Slice(trader.clock.now_ms(), None))
    assert (fill.amount, fill.simulated) == (Decimal("0.01"), False)
    assert resting(exchange)[0].trigger is not None


def test_k1_a_halt_withdraws_entries_within_a_second_and_lets_nothing_follow(
    exchange: LocalKraken, trader: Trader
) -> None:
    trader.ready()
    trader.rest_low()
    trader.until(lambda: len(resting(exchange)) == 1)
    trader.switch.foresee(Command(CommandKind.HALT, "enough", "test", level="halted"))
    sent = len(exchange.rest.calls("AddOrder"))
    assert trader.until(lambda: not resting(exchange)) < 1.0
    trader.send()
    trader.until(lambda: any(o.state == "rejected" for o in trader.broker.outcomes()))
    assert len(exchange.rest.calls("AddOrder")) == sent


def test_k1_in_figures_none_leaves_after_the_answer_and_what_rests_is_gone_within_a_second(
    exchange: LocalKraken, trader: Trader, record_property: Callable[[str, object], None]
) -> None:
    """The switch is thrown by another thread while orders leave, as a command is that comes by the socket."""
    trader.ready()
    arrived: list[float] = []
    answered: list[float] = []
    rest = Event()

    def listen(happening: Happening) -> None:
        if happening.exec_type == "pending_new":
            arrived.append(trader.timer.seconds())
            if len(arrived) == 2:
                rest.set()

    def throw() -> None:
        rest.wait(SOON)
        trader.switch.foresee(Command(CommandKind.HALT, "enough", "test", level="halted"))
        answered.append(trader.timer.seconds())

    exchange.state.subscribe(listen)
    thrower = Thread(target=throw)
    thrower.start()
    for number in range(4):
        trader.send(kind=OrderKind.LIMIT, limit=Decimal(40_000 - number))
        trader.until(lambda: answered or len(arrived) == number + 1)  # noqa: B023
    thrower.join()
    trader.until(lambda: not resting(exchange))
    gone_s = trader.timer.seconds() - answered[0]
    late_s = max(arrived) - answered[0]
    assert 2 <= len(arrived) <= 3
    assert late_s <= 0.0, "an order reached the exchange after whoever threw the switch had his answer"
    assert gone_s < 1.0
    trader.send()
    trader.until(lambda: any(outcome.state == "rejected" for outcome in trader.broker.outcomes()))
    assert len(arrived) <= 3
    record_property("last order before the answer, ms", round(-1000 * late_s, 1))
    record_property("answer to the last entry withdrawn, ms", round(1000 * gone_s, 1))


def spent(exchange: LocalKraken, trader: Trader) -> float:
    """Everything but the reserve of the smallest tier's counter is used up, by our own calls."""
    budget, figures = trader.parts.account.budget, trader.settings.kraken.budget
    while budget.call(int(trader.timer.seconds() * 1000)) == 0.0:
        pass
    used = budget.used(int(trader.timer.seconds() * 1000))[0] * figures.calls_most
    assert used > figures.calls_most * figures.used_ratio - 1
    exchange.state.counters.rest.stand(used)
    return used


@pytest.mark.parametrize("whose", ["our own", pytest.param("somebody else's", marks=pytest.mark.long)])
def test_a_restart_is_ready_within_thirty_seconds_when_the_counter_of_calls_is_nearly_full(
    exchange: LocalKraken, tmp_path: Path, whose: str
) -> None:
    before = Trader(exchange, tmp_path)
    with before.stack:
        before.ready()
        before.send()
        before.until(lambda: before.held() == Decimal("0.01") and len(resting(exchange)) == 1)
        spent(exchange, before)
    if whose == "somebody else's":
        exchange.state.counters.rest.stand(exchange.state.counters.rest.most)
    asked = len(exchange.rest.calls("TradesHistory"))
    after = Trader(exchange, tmp_path)
    with after.stack:
        assert after.ready() < 30.0
        assert after.held() == Decimal("0.01")
    assert len(exchange.rest.calls("TradesHistory")) == asked, "the snapshot said it already"
    refused = exchange.state.counters.rest.highest > exchange.state.counters.rest.most
    assert refused is (whose == "somebody else's")


@pytest.mark.long  # its ten seconds are the machine's own: beside another worker they are nearly used up
def test_an_unknown_order_is_settled_in_time_when_the_counter_of_calls_is_nearly_full(
    exchange: LocalKraken, trader: Trader
) -> None:
    trader.ready()
    spent(exchange, trader)
    exchange.rest.faults.append(Fault("AddOrder", "swallow"))
    begun = trader.timer.seconds()
    trader.send()
    trader.until(lambda: trader.broker.coordinator.unknown_orders())
    trader.until(lambda: not trader.broker.coordinator.unknown_orders())
    assert trader.timer.seconds() - begun < trader.settings.execution.deadline_seconds + 5.0
    assert exchange.state.counters.rest.highest <= exchange.state.counters.rest.most


@pytest.mark.long
def test_n1_a_cut_of_the_stream_is_noticed_and_reconciled_within_ten_seconds(
    exchange: LocalKraken, trader: Trader
) -> None:
    trader.ready()
    exchange.sockets.cut()
    trader.until(lambda: not trader.broker.ready)
    trader.rest_low()
    assert not resting(exchange), "something left while nobody listened"
    assert trader.until(lambda: trader.broker.ready) < 10.0


def test_n6_entries_wait_from_a_gap_in_the_executions_until_nothing_is_missing(
    exchange: LocalKraken, trader: Trader
) -> None:
    trader.ready()
    trader.rest_low()
    trader.until(lambda: len(resting(exchange)) == 1)
    (entry,) = resting(exchange)
    exchange.sockets.faults.drop_reports = 1
    exchange.sockets.faults.unanswered.add("executions")
    for _ in range(2):  # the first is not told, the second shows that there was one
        exchange.state.fill(entry.txid, Decimal("0.001"), Decimal(40_000))
    trader.until(lambda: not trader.broker.ready)
    sent = len(exchange.rest.calls("AddOrder"))
    trader.send()
    assert trader.broker.outcomes()[-1].reason == "not_ready"
    exchange.sockets.faults.unanswered.clear()
    trader.until(lambda: trader.broker.ready and trader.held() == Decimal("0.002"))
    assert [one.said["type"] for one in exchange.rest.calls("AddOrder")[sent:]] in ([], ["sell"])


@pytest.mark.parametrize("kind", ["lost", pytest.param("swallow", marks=pytest.mark.long)])
def test_x1_an_unknown_order_is_settled_and_never_sent_again(exchange: LocalKraken, trader: Trader, kind: str) -> None:
    trader.ready()
    exchange.rest.faults.append(Fault("AddOrder", kind))
    order = trader.send()
    trader.until(lambda: trader.broker.coordinator.unknown_orders())
    execution = trader.settings.execution
    limit = execution.deadline_seconds + 5.0
    took = trader.until(lambda: not trader.broker.coordinator.unknown_orders())
    assert took < limit
    name = trader.broker.coordinator.client_id(order)
    assert [one.said["cl_ord_id"] for one in exchange.rest.calls("AddOrder")].count(name) == 1
    assert trader.held() == (Decimal("0.01") if kind == "lost" else 0)


@pytest.mark.long
def test_x15_an_order_of_a_human_counts_as_external_and_is_left_alone(exchange: LocalKraken, trader: Trader) -> None:
    row = OrderRow(
        exchange.state.next_txid(), "BTC/USD", "buy", "limit", Decimal("0.5"), Decimal("39000.0"), None,
        exchange.state.now(),
    )  # fmt: skip
    exchange.state.accept(row)
    trader.ready()
    assert trader.broker.coordinator.exposure() == {BTC: Decimal("0.5")}
    trader.switch.foresee(Command(CommandKind.HALT, "enough", "test", level="halted"))
    trader.broker.reconcile("look")
    trader.until(lambda: "look" in trader.broker.reconciled)
    assert trader.broker.reconciled["look"] == []
    assert row.status == "open"


def test_a_key_that_can_withdraw_is_refused(tmp_path: Path) -> None:
    with LocalKraken(ALL_RIGHTS | {"withdraw-funds"}) as exchange:
        trader = Trader(exchange, tmp_path)
        with trader.stack, pytest.raises(ConfigError, match="can withdraw"):
            trader.parts.account.open()


def test_x4_t2_a_clock_that_is_off_lets_nothing_leave(exchange: LocalKraken, trader: Trader) -> None:
    exchange.moved_ms = 5_000
    trader.ready()
    trader.send()
    outcome = trader.broker.outcomes()[-1]
    assert (outcome.state, outcome.reason) == ("rejected", "clock")
    assert not exchange.rest.calls("AddOrder")


def test_n5_an_exchange_that_is_away_is_waited_for_and_nothing_leaves(exchange: LocalKraken, trader: Trader) -> None:
    exchange.rest.faults.append(Fault("GetApiKeyInfo", "refuse", times=2))
    trader.broker.wake()
    trader.until(lambda: "502" in trader.parts.account.trouble)
    trader.send()
    assert [(o.state, o.reason) for o in trader.broker.outcomes()] == [("rejected", "not_ready")]
    trader.until(lambda: trader.broker.ready)
