"""Executions as events: merged by order, once each, with fees in quote, and never reconciled over a gap."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from src.connectors.kraken.executions import SNAPSHOT, Executions
from src.connectors.kraken.private import Asking
from src.connectors.kraken.said import Broken, ReportSaid, ReportsSaid
from src.connectors.kraken.subscriptions import Subscriptions
from src.core.clock import SimClock
from src.core.config_streams import KrakenStreams
from src.core.errors import Unavailable
from src.core.types import Pair, Side
from src.core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    OrderState,
    StatusChanged,
    VenueEvent,
    VenueId,
)
from tests.kraken.streaming import RingingTimer
from tests.settings.leaves import tree

SHIPPED = tree().kraken.streams
AT = 1_700_000_000_000


class Told:
    """Executions without a socket: what is said goes in, what comes out is kept."""

    def __init__(self, settings: KrakenStreams = SHIPPED, known: tuple[str, ...] = (), since: int = AT) -> None:
        self.timer = RingingTimer()
        self.wanted = Subscriptions(settings.connection)
        self.past: list[Executed] = []
        self.asked: list[int] = []
        self.executions = Executions(
            settings, SimClock(AT), self.timer, self.wanted, self.history, since, known,
            owner=lambda order: ClientId("mine") if order == "O-MINE" else None,
        )  # fmt: skip
        self.executions.opened()

    def history(self, since: int) -> list[Executed]:
        self.asked.append(since)
        return [one for one in self.past if one.at >= since]

    def say(self, *reports: ReportSaid, sequence: int, snapshot: bool = False) -> list[VenueEvent]:
        self.executions.take(ReportsSaid(snapshot, sequence, reports))
        return list(self.executions.events())

    def work(self) -> list[VenueEvent]:
        """The back-fill that is owed."""
        job = self.executions.job()
        assert job is not None
        job()
        return list(self.executions.events())

    def begin(self) -> None:
        self.say(sequence=1, snapshot=True)
        assert self.executions.reconciled
        assert self.executions.job() is None


def new(order: str = "O-1", **fields: object) -> ReportSaid:
    row: dict[str, object] = {
        "client": "ours",
        "symbol": "BTC/USD",
        "side": "buy",
        "amount": Decimal(2),
        "status": "new",
    }
    return ReportSaid(kind="new", order=order, at=AT, **(row | fields))  # type: ignore[arg-type]


def trade(number: str, order: str = "O-1", **fields: object) -> ReportSaid:
    row: dict[str, object] = {
        "execution": number,
        "last_amount": Decimal(1),
        "last_price": Decimal(100),
        "filled": Decimal(1),
    }
    return ReportSaid(kind="trade", order=order, at=AT, **(row | fields))  # type: ignore[arg-type]


def past(number: str, at: int = AT) -> Executed:
    money = Decimal(1), Decimal(100), Decimal("0.1")
    return Executed(number, VenueId("O-1"), ClientId("ours"), Pair("BTC/USD"), Side.BUY, *money, at)


def test_later_reports_carry_only_what_changed() -> None:
    told = Told()
    told.begin()
    events = told.say(new(), sequence=2)
    assert events == [Acknowledged(ClientId("ours"), VenueId("O-1"), AT)]
    events = told.say(trade("T1", fees=(("USD", Decimal("0.25")),)), sequence=3)
    money = Decimal(1), Decimal(100), Decimal("0.25")
    assert events == [Executed("T1", VenueId("O-1"), ClientId("ours"), Pair("BTC/USD"), Side.BUY, *money, AT)]
    ended = told.say(ReportSaid(kind="canceled", order="O-1", at=AT + 1, reason="User requested"), sequence=4)
    cancelled, one = OrderState.CANCELLED, Decimal(1)
    assert ended == [Ended(VenueId("O-1"), ClientId("ours"), Pair("BTC/USD"), cancelled, one, AT + 1, "User requested")]


def test_an_execution_is_one_event_by_whatever_way_it_comes() -> None:
    told = Told(known=("T0",))
    told.past = [past("T0"), past("T1"), past("T2", AT + 5)]
    told.say(new(), trade("T1"), sequence=1, snapshot=True)
    events = told.work()
    assert [event.execution_id for event in events if isinstance(event, Executed)] == ["T2"]
    assert isinstance(events[-1], StatusChanged)
    assert events[-1].connected
    assert told.say(trade("T1"), trade("T2"), sequence=2) == []
    assert told.executions.counts["repeated"] == 4


def test_what_the_ledger_knows_is_not_told_again() -> None:
    told = Told(known=("T0", "T1"))
    told.past = [past("T1")]
    told.say(trade("T0", symbol="BTC/USD", side="buy"), sequence=1, snapshot=True)
    assert [event for event in told.work() if isinstance(event, Executed)] == []
    assert told.asked == [AT - 60_000]


def test_history_is_asked_for_until_it_overlaps() -> None:
    told = Told(known=("T1",))
    told.past = [past("T1", AT - 100_000), past("T2", AT + 5)]
    told.say(sequence=1, snapshot=True)
    told.work()
    assert not told.executions.reconciled
    assert told.executions.job() is None
    told.timer.skipped += SHIPPED.connection.retry_seconds
    told.work()
    assert told.executions.reconciled
    assert told.asked[1] < told.asked[0]
    assert told.asked[1] <= AT - 100_000


@pytest.mark.parametrize(
    ("report", "fee"),
    [
        (trade("T1", fees=(("USD", Decimal("0.4")),)), "0.4"),
        (trade("T1", fees=(("ZUSD", Decimal("0.4")),), fee_usd=Decimal("0.4")), "0.4"),
        (trade("T1", fees=(("BTC", Decimal("0.004")),)), "0.4"),
        (trade("T1", fees=(("XBT", Decimal("0.004")),)), "0.4"),
        (trade("T1", fees=(("KFEE", Decimal(40)),), fee_usd=Decimal("0.4")), "0.4"),
        (trade("T1"), "0"),
    ],
)
def test_fees_are_told_in_quote_currency(report: ReportSaid, fee: str) -> None:
    told = Told()
    told.begin()
    told.say(new(), sequence=2)
    (event,) = told.say(report, sequence=3)
    assert isinstance(event, Executed)
    assert event.fee == Decimal(fee)


def test_a_gap_in_the_numbers_asks_for_a_snapshot_and_for_history() -> None:
    told = Told()
    told.begin()
    sent = told.wanted.due(0.0)
    assert [request["params"]["channel"] for request in sent] == ["executions"]
    assert (sent[0]["params"]["snap_orders"], sent[0]["params"]["snap_trades"]) == (True, True)
    told.say(new(), sequence=2)
    events = told.say(trade("T2"), sequence=4)
    assert [type(event) for event in events] == [StatusChanged, Executed]
    assert not told.executions.reconciled
    assert [request["method"] for request in told.wanted.due(1.0)] == ["unsubscribe", "subscribe"]
    assert told.executions.job() is None
    told.past = [past("T1"), past("T2")]
    told.say(new(), sequence=1, snapshot=True)
    events = told.work()
    assert [event.execution_id for event in events if isinstance(event, Executed)] == ["T1"]
    assert told.executions.reconciled


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (Broken("executions", (), "negative"), "gap_unreadable: negative"),
        (Broken("", (), "not_json"), "gap_unreadable: not_json"),
        (ReportsSaid(False, 2, (trade("T9", "O-9"),)), "gap_unknown_order"),
        (ReportsSaid(False, 2, (new(), trade("T1", last_price=None))), "gap_incomplete_execution"),
    ],
)
def test_what_cannot_be_understood_is_a_gap(said: Broken | ReportsSaid, cause: str) -> None:
    told = Told()
    told.begin()
    told.executions.take(said)
    assert not told.executions.reconciled
    assert told.executions.counts[cause] == 1


def test_a_full_queue_is_a_gap_and_loses_nothing() -> None:
    told = Told(SHIPPED.model_copy(update={"events": 4}))
    told.begin()
    told.executions.take(ReportsSaid(False, 2, (new(), *(trade(f"T{n}") for n in range(6)))))
    first = [event.execution_id for event in told.executions.events() if isinstance(event, Executed)]
    assert first == ["T0", "T1", "T2"]
    assert not told.executions.reconciled
    told.past = [past(f"T{n}", AT + n) for n in range(6)]
    told.say(sequence=1, snapshot=True)
    rest = [event.execution_id for event in told.work() if isinstance(event, Executed)]
    assert rest == ["T3", "T4", "T5"]
    assert told.executions.reconciled


def test_an_order_of_somebody_else_has_no_name_of_ours_and_ours_is_known_by_its_number() -> None:
    told = Told()
    told.begin()
    stranger = trade("T1", "O-7", symbol="BTC/USD", side="sell")
    mine = trade("T2", "O-MINE", symbol="BTC/USD", side="sell")
    events = [event for event in told.say(stranger, mine, sequence=2) if isinstance(event, Executed)]
    assert [event.client_id for event in events] == ["", "mine"]


def test_a_gap_during_the_back_fill_is_not_covered_by_it() -> None:
    told = Told(known=("T0",))
    told.past = [past("T0")]
    told.say(sequence=1, snapshot=True)
    job = told.executions.job()
    assert job is not None
    told.say(new(), sequence=5)
    job()
    assert not told.executions.reconciled
    told.say(sequence=1, snapshot=True)
    assert not told.executions.reconciled
    told.work()
    assert told.executions.reconciled


def test_what_was_asked_before_a_snapshot_does_not_reach_up_to_it() -> None:
    told = Told(known=("T0",))
    told.past = [past("T0")]
    told.say(sequence=1, snapshot=True)
    ask, job = told.history, told.executions.job()
    told.executions.take(ReportsSaid(False, 7, ()))

    def interrupted(since: int) -> list[Executed]:
        found = ask(since)
        told.executions.take(ReportsSaid(True, 1, ()))
        told.executions._ask = ask
        return found

    told.executions._ask = interrupted
    assert job is not None
    job()
    assert not told.executions.reconciled
    told.work()
    assert told.executions.reconciled


def account_row(number: str, at: int = AT) -> ReportSaid:
    """A fill as a snapshot tells it: with everything."""
    return replace(trade(number, client="ours", symbol="BTC/USD", side="buy"), at=at)


@pytest.mark.parametrize(
    ("known", "rows", "reaches"),
    [
        ((), [], True),  # an account without any execution
        ((), [("T1", AT - 9), ("T2", AT + 9)], True),  # fewer than a snapshot holds: there are no others
        (("T1",), [("T1", AT), ("T2", AT + 9)], True),
        (("T1",), [("T2", AT + 9)], False),  # what is known is not there: this is not all
        (("T1",), [], False),
        ((), [(f"T{n}", AT - 1 + n) for n in range(SNAPSHOT)], True),
        ((), [(f"T{n}", AT + n) for n in range(SNAPSHOT)], False),  # there may have been more since then
        (("T0",), [(f"T{n}", AT + n) for n in range(SNAPSHOT)], False),
    ],
)
def test_a_snapshot_that_reaches_back_saves_the_question(
    known: tuple[str, ...], rows: list[tuple[str, int]], reaches: bool
) -> None:
    told = Told(known=known)
    told.say(*(account_row(*row) for row in rows), sequence=1, snapshot=True)
    assert told.executions.reconciled is reaches
    assert (told.executions.job() is None) is reaches


def test_what_was_certain_before_a_gap_is_what_a_snapshot_has_to_reach() -> None:
    told = Told()
    told.begin()
    told.say(account_row("T0", AT + 1), sequence=2)
    told.say(account_row("T70", AT + 70), sequence=4)  # and what was between is lost
    told.say(*(account_row(f"T{n}", AT + n) for n in range(21, 71)), sequence=1, snapshot=True)
    assert not told.executions.reconciled, "the newest is in it, the lost one is not"
    told.past = [past("T0", AT + 1), *(past(f"T{n}", AT + n) for n in range(2, 71))]
    assert [one.execution_id for one in told.work() if isinstance(one, Executed)] == [f"T{n}" for n in range(2, 21)]
    assert told.executions.reconciled
    assert told.asked == [AT + 1 - 60_000]


def test_executions_that_were_just_told_whole_are_answered_once_without_asking() -> None:
    told = Told()
    told.say(account_row("T1", AT - 9), account_row("T2", AT), sequence=1, snapshot=True)
    told.say(account_row("T3", AT + 5), sequence=2)
    found = told.executions.whole(AT)
    assert found is not None
    assert [one.execution_id for one in found] == ["T2", "T3"]
    assert told.executions.whole(AT) is None, "whoever asks again asks the exchange"
    told.say(account_row("T9", AT + 9), sequence=9)
    told.say(sequence=1, snapshot=True)
    assert told.executions.whole(AT) is None, "a gap, and a snapshot that does not reach back"
    told.past = [past("T3", AT + 5), past("T4", AT + 6), past("T9", AT + 9)]
    told.work()
    assert told.executions.whole(told.asked[-1] - 1) is None, "from before what was asked for"
    told.say(sequence=10)
    told.say(account_row("T3", AT + 5), account_row("T9", AT + 9), sequence=1, snapshot=True)
    found = told.executions.whole(0)
    assert found is not None
    assert [one.execution_id for one in found] == ["T3", "T9"]


def test_for_a_while_after_an_order_left_the_exchange_is_asked() -> None:
    """A snapshot may be from before its fill, and the fill not heard yet."""
    told = Told()
    told.begin()
    told.executions.outdated()
    assert told.executions.whole(AT) is None
    told.say(sequence=1, snapshot=True)
    assert told.executions.whole(AT) is None
    told.timer.skipped += SHIPPED.connection.silence_seconds
    told.say(account_row("T1", AT + 5), sequence=1, snapshot=True)
    found = told.executions.whole(AT)
    assert found is not None
    assert [one.execution_id for one in found] == ["T1"]


def test_a_back_fill_by_the_questions_of_a_venue() -> None:
    numbers: list[int] = []
    asking = Asking(lambda number, ask, ids, since: numbers.append(number), 0.01)
    with pytest.raises(Unavailable, match="no answer"):
        asking(5)
    found = (past("T1"),)

    def at_once(number: int, ask: Ask, ids: object, since: int | None) -> None:
        assert asking.hear(Answered(Ask.EXECUTIONS, number, AT, executions=found))
        assert (ask, since) == (Ask.EXECUTIONS, 7)

    asking = Asking(at_once, 5.0)
    assert asking(7) == found
    assert not asking.hear(Answered(Ask.EXECUTIONS, 12, AT))
