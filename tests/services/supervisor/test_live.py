"""The live broker over a real ledger and a scripted account: its start-up, and what leaves when."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from src.connectors.sqlite_ledger import LedgerReader
from src.core.clock import Timer
from src.core.standing import Standing
from src.core.types import Approved, Order, OrderKind, Side, Slice
from src.services.supervisor.coordinator import Coordinator
from src.services.supervisor.live import LiveBroker, Phase
from src.services.writer import Writer
from tests.services.supervisor.scripted import ScriptedVenue
from tests.services.supervisor.test_driver import LEDGER, Disk, Trading
from tests.services.supervisor.world import BTC, ETH, NAMESPACE, SETTINGS, START, order


class ScriptedAccount(ScriptedVenue):
    """A venue that opens when the test says so."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.begun, self.stands = 0, False

    def begin(self) -> None:
        self.begun += 1

    def troubles(self) -> Sequence[str]:
        return () if self.stands else ("not opened yet",)


class Live:
    """A live broker with all that belongs to it."""

    def __init__(self, path: Path, account: ScriptedAccount | None = None) -> None:
        self.disk = Disk(path)
        settings = LEDGER.model_copy(update={"durable_timeout_seconds": 0.05, "retry_seconds": 0.01})
        self.writer = Writer(self.disk, settings, Timer())
        self.account = account or ScriptedAccount(START)
        self.coordinator = Coordinator(SETTINGS, lambda one: "", NAMESPACE, Trading.approve, simulated=False)
        self.phases: list[Phase] = []
        self.broker = LiveBroker(
            *(self.coordinator, self.account, self.writer, Standing(), lambda: self.account.now),
            *(lambda text: None, self.phases.append),
        )
        self.broker.guard = lambda one: ""

    def open(self) -> None:
        """Up to the point where orders may leave."""
        self.broker.wake()
        self.account.stands = True
        self.run()
        assert self.broker.ready

    def run(self) -> None:
        """All requests arrive and all answers come."""
        self.broker.beat()
        while self.account.wire:
            self.account.arrive()
            self.broker.beat()

    def send(self, *orders: Order) -> None:
        """What a slice decides, and its checkpoint."""
        for one in orders:
            self.broker.submit(Approved(one, self.account.now))
        self.broker.release()

    def outcomes(self) -> list[tuple[str, str, str]]:
        return [(one.order_id, one.state, one.reason) for one in self.broker.outcomes()]


@pytest.fixture
def live(tmp_path: Path) -> Live:
    one = Live(tmp_path / "ledger.sqlite")
    one.broker.restore({"delivered": 0, "waiting": []})
    one.open()
    return one


def test_the_account_is_opened_once_and_asked_when_it_stands(tmp_path: Path) -> None:
    one = Live(tmp_path / "ledger.sqlite")
    one.broker.wake()
    one.broker.wake()
    one.run()
    assert (one.account.begun, one.phases, one.broker.ready) == (1, [Phase.OPENING], False)
    assert one.broker.shown["troubles"] == ["not opened yet"]
    one.account.stands = True
    one.run()
    assert one.phases == [Phase.OPENING, Phase.ASKING, Phase.TRADING]
    assert one.broker.ready
    one.writer.close()


def test_what_a_slice_decided_leaves_with_its_checkpoint_and_once(live: Live) -> None:
    live.broker.submit(Approved(order("entry"), START))
    live.run()
    assert live.account.placed == []
    assert [one.id for one in live.broker.open_orders()] == ["entry"]
    live.broker.release()
    live.broker.release()
    live.run()
    assert [place.approved.order.id for place in live.account.placed] == ["entry"]
    assert [one.id for one in live.broker.open_orders()] == ["entry"]
    live.writer.close()


def test_a_cancellation_of_one_side_leaves_what_waits_on_the_other(live: Live) -> None:
    for one in (order("buy"), order("sell", Side.SELL), order("other", pair=ETH)):
        live.broker.submit(Approved(one, START))
    assert [one.id for one in live.broker.cancel(BTC, Side.BUY)] == ["buy"]
    assert [one.id for one in live.broker.open_orders()] == ["sell", "other"]
    assert live.outcomes() == [("buy", "withheld", "cancelled")]
    assert [one.id for one in live.broker.cancel(BTC)] == ["sell"]
    assert [one.id for one in live.broker.open_orders()] == ["other"]
    live.writer.close()


@pytest.mark.parametrize("thrown", [True, False])
def test_k01_whoever_is_halted_buys_no_more_with_the_next_beat(live: Live, thrown: bool) -> None:
    live.send(order("entry", kind=OrderKind.LIMIT, limit="90"), order("other", pair=ETH, kind=OrderKind.LIMIT))
    live.run()
    assert len(live.account.open()) == 2
    live.broker.thrown = lambda pair: thrown and pair == BTC
    live.run()
    assert [one.pair for one in live.account.open()] == ([ETH] if thrown else [BTC, ETH])
    live.writer.close()


def test_d02_it_is_not_ready_while_no_row_can_be_written(live: Live) -> None:
    live.disk.full = True
    live.send(order("entry"))
    live.run()
    assert not live.broker.ready
    assert any("disk full" in trouble for trouble in live.broker.shown["troubles"])
    live.disk.full = False
    while live.broker.failure:
        live.broker.beat()
    assert live.broker.ready
    live.writer.close()


def test_l02_after_a_crash_only_what_had_not_left_is_told_to_be_left_behind(tmp_path: Path) -> None:
    first = Live(tmp_path / "ledger.sqlite")
    first.broker.restore({"delivered": 0, "waiting": []})
    first.open()
    for one in (order("left"), order("stayed", pair=ETH)):
        first.broker.submit(Approved(one, START))
    state = first.broker.state()
    first.broker._waiting = first.broker._waiting[:1]
    first.broker.release()
    first.writer.close()

    second = Live(tmp_path / "ledger.sqlite", first.account)
    second.coordinator.recall(LedgerReader(tmp_path / "ledger.sqlite", LEDGER).rows())
    second.broker.restore(state)
    second.account.connect()
    second.open()
    assert [one for one in second.outcomes() if one[1] == "withheld"] == [("stayed", "withheld", "restarted")]
    second.run()
    assert [place.approved.order.id for place in second.account.placed] == ["left"]
    assert second.coordinator.progress(second.coordinator.client_id(order("left"))) is not None
    second.writer.close()


def test_a_reconciliation_that_was_asked_for_is_answered_when_it_is_over(live: Live) -> None:
    live.broker.reconcile("look")
    assert live.broker.reconciled == {}
    live.run()
    assert live.broker.reconciled == {"look": []}
    live.writer.close()


def test_a_fill_goes_to_the_portfolio_once_also_over_a_restart(live: Live, tmp_path: Path) -> None:
    live.send(order("entry"))
    live.run()
    live.account.fill(live.account.open()[0].venue_id, "1")
    live.run()
    before = live.broker.state()
    assert [fill.amount for fill in live.broker.fills(Slice(START, None))] == [Decimal(1)]
    after = live.broker.state()
    live.writer.close()
    for state, count in ((before, 1), (after, 0)):
        again = Live(tmp_path / "ledger.sqlite", live.account)
        again.coordinator.recall(LedgerReader(tmp_path / "ledger.sqlite", LEDGER).rows())
        again.broker.restore(state)
        assert len(again.broker.fills(Slice(START, None))) == count
        again.writer.close()
