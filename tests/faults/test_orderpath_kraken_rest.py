"""Faults of the order path at Kraken's REST border, each injected by a server on loopback that the SDK talks to.

Names are those of the fault matrix. A venue never decides what an unknown outcome was: it says `Lost`, and answers
when it is asked.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from src.connectors.kraken.budget import Budget
from src.connectors.kraken.errors import TABLE, Verdict
from src.connectors.kraken.kept_calls import CallsFile
from src.connectors.kraken.key_file import read_key
from src.connectors.kraken.nonce import NonceFile, Nonces
from src.connectors.kraken.rest import KrakenRest
from src.connectors.kraken.symbols import Symbols
from src.connectors.kraken.venue import KrakenVenue
from src.connectors.venues.keys import ApiKey
from src.core.clock import Timer
from src.core.errors import ConfigError, LedgerError, Malformed, SourceError
from src.core.names import Pair, Side
from src.core.orders import OrderKind
from src.core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Lost,
    NotAnswered,
    OrderState,
    Refused,
    StatusChanged,
    VenueId,
    VenueStatus,
)
from tests.kraken.counters import Counters
from tests.kraken.desk import BTC, KEY, SECRET, START, Desk, Hand, kraken, order, place
from tests.kraken.exchange_state import ALL_RIGHTS, OrderRow

NAME = "0123456789abcdef0123456789abcdef"
MakeDesk = Callable[..., Desk]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDesk]:
    """Desks that are open; closed with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    desks: list[Desk] = []

    def build(*, rights: frozenset[str] = ALL_RIGHTS, **changes: Any) -> Desk:
        desk = Desk(tmp_path, rights, **changes)
        desks.append(desk)
        desk.venue.open()
        return desk

    yield build
    for desk in desks:
        desk.close()


def sent(desk: Desk) -> int:
    """How often an order was sent."""
    return len(desk.server.calls("AddOrder"))


def signed(desk: Desk) -> int:
    """How often anything was asked with the key."""
    return sum(bool(one.key) for one in desk.server.heard)


def resolved(desk: Desk, ask: Ask, name: str = NAME) -> Answered:
    """The answer to the question whether an order is there."""
    desk.venue.ask(77, ask, (ClientId(name),))
    return desk.next(Answered)


# --- X1, X2, X3, N2: an answer that does not come ---------------------------------------------------------------------

AFTER = ("lost", "lost_reset", "status", "html", "empty", "bare", "cut", "drip", "big")
"""Faults between the exchange's acceptance and us."""
BEFORE = ("swallow", "reset", "refuse")


@pytest.mark.parametrize("manner", AFTER)
def test_x01_x02_x13_n02_an_order_that_was_accepted_without_an_answer_is_lost_then_found(
    manner: str, make: MakeDesk
) -> None:
    desk = make()
    desk.fault("AddOrder", manner)
    desk.venue.place(place(NAME))
    assert desk.next(Lost).client_id == NAME
    (found,) = resolved(desk, Ask.OPEN_ORDERS).orders
    assert (found.client_id, found.state, found.amount) == (NAME, OrderState.OPEN, Decimal("0.01"))
    assert (sent(desk), len(desk.state.orders)) == (1, 1)


@pytest.mark.parametrize("manner", AFTER)
def test_x01_x05_one_that_filled_at_once_is_found_among_the_closed_with_its_execution(
    manner: str, make: MakeDesk
) -> None:
    desk = make()
    desk.fault("AddOrder", manner)
    desk.venue.place(place(NAME, order(OrderKind.MARKET, limit=None)))
    desk.next(Lost)
    assert resolved(desk, Ask.OPEN_ORDERS).orders == ()
    (found,) = resolved(desk, Ask.CLOSED_ORDERS).orders
    assert (found.state, found.filled) == (OrderState.FILLED, Decimal("0.01"))
    (fill,) = resolved(desk, Ask.EXECUTIONS).executions
    assert (fill.client_id, fill.amount, fill.price) == (NAME, Decimal("0.01"), Decimal("50000.1"))
    assert sent(desk) == 1


@pytest.mark.parametrize("manner", BEFORE)
def test_x01_n02_one_that_never_arrived_is_lost_too_and_found_nowhere(manner: str, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", manner)
    desk.venue.place(place(NAME))
    desk.next(Lost)
    assert resolved(desk, Ask.OPEN_ORDERS).orders == resolved(desk, Ask.CLOSED_ORDERS).orders == ()
    assert (sent(desk), desk.state.orders) == (1, {})


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520, 522, 403])
def test_x02_no_http_status_but_200_says_anything_about_the_order(status: int, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "status", status=status)
    desk.venue.place(place(NAME))
    assert desk.next(Lost).why.startswith(f"http_{status}")
    assert len(desk.state.orders) == sent(desk) == 1


def test_x02_a_redirect_is_not_followed_with_an_order(make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "redirect", f"{desk.server.url}/0/private/AddOrder")
    desk.venue.place(place(NAME))
    desk.next(Lost)
    assert (sent(desk), desk.state.orders) == (1, {})


@pytest.mark.parametrize(("minutes", "there"), [(0, 1), (1, 0)])
def test_x03_a_request_that_arrives_late_is_bounded_by_its_deadline(minutes: int, there: int, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "late")
    desk.venue.place(place(NAME))
    desk.next(Lost)
    desk.clock.pass_ms(minutes * 60_000)
    (answer,) = desk.server.deliver()
    assert (b"EService:Deadline elapsed" in answer) is not bool(there)
    assert len(resolved(desk, Ask.OPEN_ORDERS).orders) == there


def test_n02_a_dripping_answer_ends_with_the_total_time_not_with_the_last_byte(make: MakeDesk) -> None:
    desk, timer = make(rest__total_seconds=0.4, rest__wait_seconds=0.3), Timer()
    desk.fault("AddOrder", "drip")
    begun = timer.seconds()
    desk.venue.place(place(NAME))
    assert "in time" in desk.next(Lost).why
    assert timer.seconds() - begun < 2.0


def test_n02_the_connection_after_a_cut_one_is_a_new_one(make: MakeDesk) -> None:
    desk = make()
    for manner in ("drip", "cut", "lost_reset"):
        desk.fault("Balance", manner)
        desk.venue.ask(1, Ask.BALANCES)
        assert desk.next(NotAnswered).why == "no_answer"
        desk.venue.ask(2, Ask.BALANCES)
        assert dict(desk.next(Answered).balances)["BTC"] == 2


def test_n03_a_server_with_a_certificate_of_its_own_is_not_talked_to(make: MakeDesk, tmp_path: Path) -> None:
    desk = make()
    rest = KrakenRest(
        kraken(desk.server.url.replace("http://", "https://")).rest, Timer(), ApiKey(KEY, SECRET), desk.nonces
    )
    heard = signed(desk)
    with pytest.raises(SourceError, match="SSLError"):
        rest.balances()
    rest.close()
    assert signed(desk) == heard


def test_n03_a_host_that_does_not_exist_leaves_the_order_unknown_and_not_believed_sent(tmp_path: Path) -> None:
    settings = kraken("http://kraken.invalid")
    nonces = Nonces(NonceFile(tmp_path / "nonce"), lambda: 1)
    rest = KrakenRest(settings.rest, Timer(), ApiKey(KEY, SECRET), nonces)
    with pytest.raises(SourceError, match="no whole answer"):
        rest.add_order({})
    rest.close()


# --- X10: refusals ----------------------------------------------------------------------------------------------------

DEFINITE = sorted(text for text, (verdict, _) in TABLE.items() if verdict is not Verdict.UNKNOWN)
DOCUMENTED_UNKNOWN = sorted(text for text, (verdict, _) in TABLE.items() if verdict is Verdict.UNKNOWN)
NOBODY_KNOWS = (
    "EOrder:Duplicate client order id", "EOrder:Brand new reason", "EGeneral:Something", "EMatrix:x", "", "E", "EOrder",
    "EOrder:insufficient funds", " EOrder:Insufficient funds", "EOrder:Insufficient fundsx",
    "EService: Throttled: soon",
    "Order:Insufficient funds", "EOrder::Insufficient funds", "\x00", "EFunding:Unknown withdraw key",
)  # fmt: skip


@pytest.mark.parametrize("text", DEFINITE)
def test_x10_each_documented_refusal_is_final(text: str, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "error", text)
    desk.venue.place(place(NAME))
    refused = desk.next(Refused)
    assert (refused.client_id, refused.reason, refused.text) == (NAME, TABLE[text][1], text)
    assert (sent(desk), desk.state.orders) == (1, {})


@pytest.mark.parametrize("text", ["EGeneral:Invalid arguments:volume", "EOrder:Reduce only:No position exists"])
def test_x10_a_detail_behind_a_documented_refusal_changes_nothing(text: str, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "error", text)
    desk.venue.place(place(NAME))
    assert desk.next(Refused).text == text


@pytest.mark.parametrize("text", [*DOCUMENTED_UNKNOWN, "EGeneral:Internal error:28", *NOBODY_KNOWS])
def test_x10_every_other_text_leaves_the_outcome_unknown(text: str, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "error", text)
    desk.venue.place(place(NAME))
    assert desk.next(Lost).client_id == NAME
    assert sent(desk) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"error":["EOrder:Insufficient funds","EMatrix:new"]}',
        '{"error":[17]}',
        '{"error":[["EOrder:Insufficient funds"]]}',
        '{"error":["EOrder:Insufficient funds"],"result":{"txid":["O1"]}}',
        '{"error":"EOrder:Insufficient funds"}',
        '{"error":null,"result":{"txid":["O1"]}}',
        '{"result":{"txid":["O1"]}}',
        '{"error":[],"result":{"txid":[]}}',
        '{"error":[],"result":{"txid":"O1"}}',
        '{"error":[],"result":{"txid":[""]}}',
        '{"error":[],"result":{"txid":[7]}}',
        '{"error":[],"result":{"txid":["O1","O2"]}}',
        '{"error":[],"result":[]}',
        '{"error":[],"result":null}',
        '{"error":[]}',
        "[]",
        "null",
        '"text"',
        "{",
        "",
        '{"error":[],"result":{"txid":["O1"],"x":NaN}}',
        '{"error":[],"result":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"error":[],"result":{"x":' + "9" * 5_000 + "}}",
        '{"error":[],"result":{"x":1e999}}',
    ],
)
def test_x10_x13_whatever_is_not_plainly_one_txid_or_a_refusal_is_unknown(body: str, make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "body", body)
    desk.venue.place(place(NAME))
    assert desk.next(Lost).client_id == NAME
    assert (sent(desk), len(desk.state.orders)) == (1, 1)


# --- X11: too fast ----------------------------------------------------------------------------------------------------


def test_x11_our_counters_stay_below_four_fifths_of_the_venues_and_nothing_is_refused(make: MakeDesk) -> None:
    desk = make()
    timer = Timer()
    desk.state.counters = Counters(lambda: int(timer.seconds() * 1000))
    for number in range(40):
        desk.venue.ask(number, Ask.BALANCES, since=number)
    answered = 0
    while len(desk.server.calls("Balance")) < 11:
        answered += isinstance(desk.until(lambda event: True), Answered)
    assert desk.state.counters.rest.highest <= 0.8 * desk.state.counters.rest.most
    assert not any(isinstance(event, NotAnswered) for event in desk.seen)


def test_x11_a_question_that_is_repeated_while_it_waits_is_asked_once_and_each_number_answered(
    make: MakeDesk,
) -> None:
    desk = make()
    desk.fault("AddOrder", "swallow")
    desk.venue.place(place(NAME))
    for number in range(1, 9):
        desk.venue.ask(number, Ask.OPEN_ORDERS, (ClientId(NAME),))
        desk.venue.ask(number + 100, Ask.OPEN_ORDERS)
    answered = [desk.next(Answered).number for _ in range(16)]
    assert sorted(answered) == [*range(1, 9), *range(101, 109)]
    assert len(desk.server.calls("OpenOrders")) == 2


def test_x11_pages_of_trades_are_asked_slower(make: MakeDesk) -> None:
    desk, timer = make(budget__calls_decay_second=40.0), Timer()
    desk.state.counters = Counters(lambda: int(timer.seconds() * 1000))
    desk.state.counters.rest.decay = 40.0
    for number in range(260):
        row = desk.state.accept(market(desk, f"m{number}"))
        assert row.status == "closed"
    desk.venue.ask(1, Ask.EXECUTIONS, since=0)
    answer = desk.next(Answered)
    assert len({one.execution_id for one in answer.executions}) == 260
    assert {one.client_id for one in answer.executions} == {f"m{number}" for number in range(260)}
    assert len(desk.server.calls("TradesHistory")) == 6
    assert desk.state.counters.rest.highest <= 0.8 * desk.state.counters.rest.most


def market(desk: Desk, name: str = "", amount: str = "0.0001") -> OrderRow:
    """A market order of somebody's."""
    now = desk.state.now()
    txid = desk.state.next_txid()
    return OrderRow(txid, "BTC/USD", "buy", "market", Decimal(amount), None, None, now, cl_ord_id=name)


def test_x11_orders_leave_room_for_cancellations(make: MakeDesk) -> None:
    desk = make(rest__queue_calls=500)
    for number in range(60):
        desk.venue.place(place(f"o{number}", deadline=START + 50_000))
    placed = [desk.until(lambda event: isinstance(event, Acknowledged | Refused)) for _ in range(60)]
    kept = [event for event in placed if isinstance(event, Acknowledged)]
    assert {event.reason for event in placed if isinstance(event, Refused)} == {"rate_budget"}
    assert 29 <= len(kept) <= 31  # half of 60: four fifths without the reserve
    desk.clock.pass_ms(20_000)
    for number, event in enumerate(kept[:3]):
        desk.venue.cancel(number, event.client_id, event.venue_id, BTC)
    ended = [desk.next(Ended) for _ in range(3)]
    assert {one.state for one in ended} == {OrderState.CANCELLED}
    assert desk.state.counters.engine("BTC/USD").highest <= 0.8 * 60


def test_x11_throttled_until_a_time_is_obeyed_to_the_second(make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "error", f"EService: Throttled: {START // 1000 + 40}")
    desk.venue.place(place("first"))
    assert desk.next(Refused).reason == "throttled"
    desk.clock.pass_ms(38_000)
    heard = signed(desk)
    desk.venue.place(place("second", deadline=START + 60_000))
    assert desk.next(Refused).reason == "throttled"
    desk.venue.ask(1, Ask.BALANCES)
    assert desk.next(NotAnswered).why == "throttled"
    desk.venue.cancel(2, ClientId("first"), None, BTC)
    assert desk.next(NotAnswered).why == "throttled"
    assert signed(desk) == heard
    desk.clock.pass_ms(2_000)
    desk.venue.place(place("third", deadline=START + 60_000))
    assert desk.next(Acknowledged).client_id == "third"


@pytest.mark.parametrize(("text", "seconds"), [("EAPI:Rate limit exceeded", 15), ("EGeneral:Temporary lockout", 900)])
def test_x11_a_limit_or_a_lockout_silences_the_key_for_as_long(text: str, seconds: int, make: MakeDesk) -> None:
    desk = make()
    desk.fault("Balance", "error", text)
    desk.venue.ask(1, Ask.BALANCES)
    desk.next(NotAnswered)
    heard = signed(desk)
    desk.clock.pass_ms(seconds * 1000 - 2_000)
    desk.venue.ask(2, Ask.BALANCES)
    desk.venue.place(place(NAME, deadline=desk.clock.at + 10_000))
    assert desk.next(Refused).reason == TABLE[text][1]
    assert signed(desk) == heard
    desk.clock.pass_ms(2_000)
    desk.venue.place(place(NAME, deadline=desk.clock.at + 10_000))
    desk.next(Acknowledged)


def test_x11_t01_a_clock_that_is_set_makes_no_silence_longer_or_shorter(make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "error", "EGeneral:Temporary lockout")
    desk.venue.place(place("first"))
    desk.next(Refused)
    desk.clock.at += 3_600_000
    desk.venue.place(place("second", deadline=desk.clock.at + 10_000))
    assert desk.next(Refused).reason == "temporary_lockout"
    desk.clock.at -= 7_200_000
    desk.clock.pass_ms(900_000)
    desk.venue.place(place("third", deadline=desk.clock.at + 10_000))
    assert desk.next(Acknowledged).client_id == "third"


def test_x11_the_engines_limit_fills_the_pairs_counter_and_leaves_other_pairs_alone(make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "error", "EOrder:Rate limit exceeded")
    desk.venue.place(place("first"))
    assert desk.next(Refused).reason == "rate_limit_exceeded"
    desk.venue.place(place("second"))
    assert desk.next(Refused).reason == "rate_budget"
    desk.venue.place(place("third", order(pair="ETH/USD", limit=Decimal("2000.00"))))
    assert desk.next(Acknowledged).client_id == "third"


def test_x11_a_full_queue_refuses_at_once_and_sends_nothing(make: MakeDesk) -> None:
    desk = make(rest__queue_calls=2)
    desk.fault("AddOrder", "swallow")
    for name in ("a", "b", "c", "d", "e"):
        desk.venue.place(place(name))
    desk.next(Lost)
    refused = {event.client_id for event in desk.seen if isinstance(event, Refused)}
    assert {"d", "e"} <= refused <= {"b", "c", "d", "e"}
    assert {event.reason for event in desk.seen if isinstance(event, Refused)} == {"queue_full"}


# --- X12: nonces ------------------------------------------------------------------------------------------------------


def test_x12_eight_threads_never_show_a_nonce_out_of_order(make: MakeDesk) -> None:
    desk, together = make(), Barrier(8)
    desk.state.counters.rest.most = 10_000.0
    failed: list[SourceError] = []

    def ask() -> None:
        together.wait()
        for _ in range(12):
            try:
                desk.rest.balances()
            except SourceError as error:
                failed.append(error)

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    nonces = [int(one.said["nonce"]) for one in desk.server.calls("Balance")]
    assert (failed, len(nonces)) == ([], 96)
    assert nonces == sorted(set(nonces))


def test_x12_t1_a_clock_that_goes_back_an_hour_and_a_restart_do_not_bring_a_nonce_down(
    make: MakeDesk, tmp_path: Path
) -> None:
    desk = make()
    desk.rest.balances()
    before = desk.state.keys[KEY].nonce
    desk.clock.pass_ms(-3_600_000)
    desk.rest.balances()
    again = Nonces(NonceFile(tmp_path / "nonce"), lambda: desk.clock.at * 1_000_000)
    fresh = KrakenRest(desk.settings.rest, Timer(), ApiKey(KEY, SECRET), again)
    fresh.balances()
    fresh.close()
    assert desk.state.keys[KEY].nonce == before + 2


def test_x12_a_wrong_nonce_is_jumped_over_once(make: MakeDesk) -> None:
    desk = make()
    desk.state.keys[KEY].nonce = (START + 1_800_000) * 1_000_000  # used elsewhere, by a clock ahead of ours
    desk.venue.place(place("first"))
    assert desk.next(Refused).reason == "invalid_nonce"
    desk.venue.place(place("second"))
    assert desk.next(Acknowledged).client_id == "second"


def test_x12_a_second_wrong_nonce_stops_the_key_for_good(make: MakeDesk) -> None:
    desk = make()
    desk.state.keys[KEY].nonce = 2**63
    for name in ("first", "second"):
        desk.venue.place(place(name))
        assert desk.next(Refused).reason == "invalid_nonce"
    heard = signed(desk)
    desk.clock.pass_ms(86_400_000)
    desk.venue.place(place("third", deadline=desk.clock.at + 10_000))
    assert desk.next(Refused).reason == "stopped_invalid_nonce"
    desk.venue.ask(1, Ask.BALANCES)
    assert desk.next(NotAnswered).why == "stopped_invalid_nonce"
    assert signed(desk) == heard


def test_x12_a_nonce_that_cannot_be_kept_is_not_used(make: MakeDesk, tmp_path: Path) -> None:
    desk = make()
    (tmp_path / "nonce").unlink()
    (tmp_path / "nonce").mkdir()
    desk.venue.place(place(NAME))
    refused = desk.next(Refused)
    assert (refused.reason, sent(desk)) == ("not_sent", 0)
    with pytest.raises(LedgerError, match="cannot be kept"):
        desk.rest.balances()


# --- X13: warnings ----------------------------------------------------------------------------------------------------


def test_x13_a_warning_beside_a_result_is_no_failure(make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "warn", "WGeneral:Deprecated field")
    desk.venue.place(place(NAME))
    acknowledged = desk.next(Acknowledged)
    assert acknowledged.venue_id in desk.state.orders


def test_x13_a_warning_without_a_txid_is_no_success(make: MakeDesk) -> None:
    desk = make()
    desk.fault("AddOrder", "body", '{"error":["WGeneral:Deprecated"],"result":{}}')
    desk.venue.place(place(NAME))
    assert desk.next(Lost).why.startswith("no_txid")


# --- X14: the exchange closes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["maintenance", "cancel_only"])
def test_x14_while_the_exchange_is_closed_no_order_leaves_and_cancellations_do(status: str, make: MakeDesk) -> None:
    desk = make()
    desk.venue.place(place("resting"))
    resting = desk.next(Acknowledged)
    desk.state.set_status(status)
    desk.venue.ask(1, Ask.TIME)
    changed = desk.until(lambda event: isinstance(event, StatusChanged) and event.status is not VenueStatus.ONLINE)
    assert isinstance(changed, StatusChanged)
    assert changed.status.value == status
    desk.venue.place(place(NAME))
    assert desk.next(Refused).reason == f"venue_{status}"
    assert sent(desk) == 1
    desk.venue.cancel(2, resting.client_id, resting.venue_id, BTC)
    desk.until(lambda event: isinstance(event, Ended if status == "cancel_only" else NotAnswered))
    assert len(desk.server.calls("CancelOrder")) == 1
    desk.state.set_status("online")
    desk.venue.ask(3, Ask.TIME)
    desk.until(lambda event: isinstance(event, StatusChanged) and event.status is VenueStatus.ONLINE)
    desk.venue.place(place("again"))
    assert desk.next(Acknowledged).client_id == "again"


def test_x14_a_market_that_closed_before_we_heard_of_it_says_no_and_is_believed(make: MakeDesk) -> None:
    desk = make()
    desk.state.set_status("cancel_only")
    desk.venue.place(place("first"))
    assert desk.next(StatusChanged).status is VenueStatus.ONLINE
    assert desk.next(StatusChanged).status is VenueStatus.CANCEL_ONLY
    assert desk.next(Refused).reason == "market_in_cancel_only_mode"
    desk.venue.place(place("second"))
    assert desk.next(Refused).reason == "venue_cancel_only"
    assert sent(desk) == 1


def test_x14_the_dead_mans_switch_is_set_and_turned_off_before_planned_maintenance(make: MakeDesk) -> None:
    desk = make()
    desk.venue.dead_man(60)
    desk.venue.ask(1, Ask.BALANCES)
    desk.next(Answered)
    assert desk.state.cancel_all_at == START + 60_000
    desk.venue.dead_man(0)
    desk.venue.ask(2, Ask.BALANCES)
    desk.next(Answered)
    assert desk.state.cancel_all_at is None


# --- X17: rules that change over night --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "value", "reason"),
    [
        ("order_min", Decimal("0.02"), "order_minimum_not_met"),
        ("tick", Decimal("0.7"), "tick_size"),
        ("lot_decimals", 1, "lot_step"),
        ("cost_min", Decimal(500), "cost_minimum_not_met"),
        ("status", "cancel_only", "pair_closed"),
        ("status", "reduce_only", "pair_closed"),
        ("status", "a status of tomorrow", "pair_closed"),
    ],
)
def test_x17_a_rule_that_changed_is_learned_and_the_order_denied_before_it_is_sent(
    change: str, value: object, reason: str, make: MakeDesk
) -> None:
    desk = make(rest__listing_seconds=0.05)
    setattr(desk.state.pairs["BTC/USD"], change, value)
    asked = len(desk.server.calls("AssetPairs"))
    timer, deadline = Timer(), 0.0
    deadline = timer.seconds() + 10
    while len(desk.server.calls("AssetPairs")) < asked + 2 and timer.seconds() < deadline:
        desk.venue.queue.wait(0.02)
        desk.venue.events()
    desk.venue.place(place(NAME))
    assert desk.next(Refused).reason == reason
    assert sent(desk) == 0


def test_x17_rules_that_are_too_old_are_not_trusted(make: MakeDesk) -> None:
    desk = make(rest__listing_seconds=1800.0)
    desk.clock.pass_ms(3_600_001)
    desk.venue.place(place(NAME, deadline=desk.clock.at + 10_000))
    assert desk.next(Refused).reason == "listing_stale"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (order(amount="0.00009"), "order_minimum_not_met"),
        (order(amount="0.010000001"), "lot_step"),
        (order(limit=Decimal("40000.05")), "tick_size"),
        (order(OrderKind.STOP, limit=None, trigger=Decimal("39999.99"), side=Side.SELL), "tick_size"),
        (order(amount="0.0001", limit=Decimal("0.1")), "cost_minimum_not_met"),
        (order(pair="MOON/USD"), "unknown_pair"),
        (order(OrderKind.LIMIT, limit=None), "not_sent"),
    ],
)
def test_x17_an_order_against_the_rules_never_leaves(wanted: Any, reason: str, make: MakeDesk) -> None:
    desk = make()
    desk.venue.place(place(NAME, wanted))
    assert desk.next(Refused).reason == reason
    assert sent(desk) == 0


def test_m6_what_was_done_in_a_pair_that_is_listed_no_more_can_be_read_and_nothing_is_sent_for_it(
    make: MakeDesk,
) -> None:
    eth = Pair("ETH/USD")
    desk = make()
    desk.venue.pairs = (BTC, eth)
    desk.venue.place(place(NAME, order(pair=eth, limit=Decimal("3000.01"))))
    desk.next(Acknowledged)
    other = "f" * 32
    desk.venue.place(place(other, order(pair=eth, limit=Decimal("2000.00"))))
    desk.next(Acknowledged)
    desk.state.delist("ETH/USD")
    desk.pass_ms(round(1000 * desk.settings.rest.listing_seconds))
    assert desk.next(StatusChanged) == StatusChanged(VenueStatus.MAINTENANCE, True, desk.clock.at, eth)
    (filled,) = resolved(desk, Ask.CLOSED_ORDERS).orders
    (ended,) = resolved(desk, Ask.CLOSED_ORDERS, other).orders
    assert [(one.pair, one.state) for one in (filled, ended)] == [
        (eth, OrderState.FILLED),
        (eth, OrderState.CANCELLED),
    ]
    (fill,) = resolved(desk, Ask.EXECUTIONS).executions
    assert (fill.client_id, fill.pair, fill.amount) == (NAME, eth, Decimal("0.01"))
    desk.venue.place(place("e" * 32, order(pair=eth), desk.clock.at + 10_000))
    assert desk.next(Refused).reason == "unknown_pair"
    assert sent(desk) == 2
    desk.state.pairs["ETH/USD"] = desk.state.former.pop("ETH/USD")
    desk.pass_ms(round(1000 * desk.settings.rest.listing_seconds))
    assert desk.next(StatusChanged) == StatusChanged(VenueStatus.ONLINE, True, desk.clock.at, eth)


@pytest.mark.parametrize(
    "name", ["XETHZUSD", "ETHUSD", "ETH/USD", "NEWCOINUSD", "NEWCOIN/USD", "XXDGZEUR", "XDGEUR", "XDG/EUR"]
)
def test_m6_every_name_of_a_former_pair_is_read(name: str) -> None:
    former = (Pair("ETH/USD"), Pair("NEWCOIN/USD"), Pair("DOGE/EUR"))
    known = Symbols((), former)
    assert known.pair(name) == former[("NEWCOIN" in name) + 2 * ("XDG" in name)]
    assert known.pairs() == ()
    with pytest.raises(Malformed, match="listed"):
        known.names(known.pair(name))


@pytest.mark.parametrize(("left", "goes"), [(1_999, False), (2_000, True), (0, False), (-5_000, False)])
def test_x03_an_order_whose_deadline_is_too_near_is_not_sent(left: int, goes: bool, make: MakeDesk) -> None:
    desk = make()
    desk.venue.place(place(NAME, deadline=START + left))
    assert isinstance(desk.until(lambda event: isinstance(event, Acknowledged | Refused)), Acknowledged) is goes
    assert sent(desk) == goes


def test_x04_the_deadline_is_compared_with_the_venues_clock_once_it_was_asked(make: MakeDesk) -> None:
    desk = make()
    desk.state.skew_ms = 9_000
    desk.venue.ask(1, Ask.TIME)
    assert desk.next(Answered).venue_now == START + 9_499
    desk.venue.place(place(NAME))
    assert desk.next(Refused).reason == "deadline_too_near"


# --- cancellations ----------------------------------------------------------------------------------------------------


def test_x07_a_cancellation_tells_what_was_filled_before_it(make: MakeDesk) -> None:
    desk = make()
    desk.venue.place(place(NAME))
    txid = desk.next(Acknowledged).venue_id
    desk.state.fill(txid, Decimal("0.004"), Decimal("40000.0"))
    desk.venue.cancel(1, ClientId(NAME), txid, BTC)
    ended = desk.next(Ended)
    assert (ended.state, ended.filled, ended.reason) == (OrderState.CANCELLED, Decimal("0.004"), "User requested")


@pytest.mark.parametrize("by_ours", [True, False])
def test_x07_cancelling_what_has_filled_tells_that_it_filled(by_ours: bool, make: MakeDesk) -> None:
    desk = make()
    desk.venue.place(place(NAME))
    txid = desk.next(Acknowledged).venue_id
    desk.state.fill(txid, Decimal("0.01"), Decimal("40000.0"))
    desk.venue.cancel(1, ClientId(NAME), None if by_ours else txid, BTC)
    ended = desk.next(Ended)
    assert (ended.venue_id, ended.state, ended.filled) == (txid, OrderState.FILLED, Decimal("0.01"))


@pytest.mark.parametrize("manner", ["swallow", "lost", "status", "html", "reset"])
def test_x01_a_cancellation_without_an_answer_may_be_asked_again(manner: str, make: MakeDesk) -> None:
    desk = make()
    desk.venue.place(place(NAME))
    txid = desk.next(Acknowledged).venue_id
    desk.fault("CancelOrder", manner)
    desk.venue.cancel(1, ClientId(NAME), txid, BTC)
    missed = desk.next(NotAnswered)
    assert (missed.ask, missed.number, missed.client_id) == (None, 1, NAME)
    desk.venue.cancel(2, ClientId(NAME), txid, BTC)
    assert desk.next(Ended).state is OrderState.CANCELLED


def test_cancelling_an_order_that_was_never_there_is_not_taken_for_done(make: MakeDesk) -> None:
    desk = make()
    desk.venue.cancel(9, ClientId(NAME), None, BTC)
    assert desk.next(NotAnswered).why == "not_closed"
    desk.venue.cancel(9, ClientId(NAME), VenueId("OQCLML-BW3P3-BUCMWZ"), BTC)
    assert desk.next(NotAnswered).why == "unknown_order"


def test_x15_orders_of_a_human_come_without_an_id_of_ours_and_with_any_pair(make: MakeDesk) -> None:
    desk = make()
    desk.state.accept(market(desk))
    strange = market(desk)
    strange.symbol, strange.txid = "DELISTED", "OZZZZZ-00000-000001"
    desk.state.orders[strange.txid] = strange
    desk.venue.ask(1, Ask.CLOSED_ORDERS, since=0)
    (closed,) = desk.next(Answered).orders
    desk.venue.ask(2, Ask.OPEN_ORDERS)
    (opened,) = desk.next(Answered).orders
    assert (closed.client_id, closed.pair, opened.client_id, opened.pair) == ("", BTC, "", "DELISTED")


def test_x16_balances_under_suffixes_belong_to_their_asset_and_strange_ones_keep_their_name(make: MakeDesk) -> None:
    desk = make()
    desk.state.balances = {"ZUSD": Decimal(7), "XXBT": Decimal(1), "XBT.F": Decimal(2), "MOON.X": Decimal(3)}
    desk.venue.ask(1, Ask.BALANCES)
    assert desk.next(Answered).balances == (("BTC", Decimal(3)), ("MOON.X", Decimal(3)), ("USD", Decimal(7)))


# --- G3, I10: keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "message"),
    [
        (ALL_RIGHTS | {"withdraw-funds"}, "can withdraw"),
        (ALL_RIGHTS | {"Withdraw-Tomorrow"}, "can withdraw"),
        (frozenset({"query-funds"}), "cannot trade"),
    ],
)
def test_g03_a_key_that_can_withdraw_or_cannot_trade_is_refused(
    rights: frozenset[str], message: str, make: MakeDesk
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(rights=rights)


@pytest.mark.parametrize("body", ['{"permissions":[]}', "{}", '{"permissions":"all"}', '{"permissions":[1]}'])
def test_g03_a_key_that_does_not_say_what_it_may_is_not_used(body: str, make: MakeDesk, tmp_path: Path) -> None:
    desk = make()
    desk.fault("GetApiKeyInfo", "body", f'{{"error":[],"result":{body}}}')
    with pytest.raises(SourceError, match="does not say what the key may do"):
        KrakenVenue(desk.rest, desk.nonces, desk.settings, Hand(), Timer()).open()


def test_g03_nothing_is_sent_before_the_key_was_checked(make: MakeDesk) -> None:
    desk = make()
    fresh = KrakenVenue(desk.rest, desk.nonces, desk.settings, desk.clock, Timer())
    with pytest.raises(ConfigError, match="not opened"):
        fresh.place(place(NAME))
    assert sent(desk) == 0


def test_i10_neither_key_nor_secret_is_in_any_log_event_error_or_text(
    make: MakeDesk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    desk = make()
    for manner in ("status", "html", "reset", "lost", "empty"):
        desk.fault("AddOrder", manner)
        desk.venue.place(place(NAME))
        desk.next(Lost)
    desk.fault("GetWebSocketsToken", "error", "EAPI:Invalid key")
    with pytest.raises(SourceError) as raised:
        desk.rest.websocket_token()
    token = desk.rest.websocket_token()
    said = caplog.text + repr(desk.seen) + repr(raised.value) + str(raised.value.__dict__) + "".join(capfd.readouterr())
    for secret in (SECRET, SECRET[10:40], KEY, token):
        assert secret not in said
    assert caplog.records == [] or all(record.levelno >= logging.WARNING for record in caplog.records)
    assert repr(ApiKey(KEY, SECRET)) == str(ApiKey(KEY, SECRET)) == "***"
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(ApiKey(KEY, SECRET))


def test_i10_a_key_file_is_read_only_by_its_owner_and_never_quoted(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n{SECRET}\n")
    for mode in (0o600, 0o440, 0o444, 0o644):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="mode 0400"):
            read_key(path)
    path.chmod(0o400)
    key = read_key(path)
    assert (key.key, key.secret) == (KEY, SECRET)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key(link)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key(tmp_path / "absent")


@pytest.mark.parametrize("text", [KEY, f"{KEY}\n{SECRET}\nmore\n", f"{KEY}\nno base64!\n", "", "\n\n"])
def test_i10_a_key_file_of_another_shape_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o400)
    with pytest.raises(ConfigError) as raised:
        read_key(path)
    assert KEY not in str(raised.value)


# --- the budget itself ------------------------------------------------------------------------------------------------


def test_x11_what_an_order_waits_for_has_a_share_of_its_own() -> None:
    budget = Budget(kraken("http://127.0.0.1:1").budget)
    assert [budget.call(0) for _ in range(12)] == [0.0] * 12
    assert budget.call(0) > 0.0
    assert budget.room(0) == 0.0
    assert [budget.call(0, urgent=True) for _ in range(2)] == [0.0] * 2
    assert budget.call(0, urgent=True) == budget.room(0) == pytest.approx((15 - 14.25) / 0.33)
    assert budget.used(0)[0] == pytest.approx(14 / 15)


def test_x11_a_restart_goes_on_counting_where_the_life_before_ended(tmp_path: Path) -> None:
    settings, clock = kraken("http://127.0.0.1:1").budget, Hand()
    file = CallsFile(tmp_path / "calls", clock.now_ms, settings.calls_decay_second)
    assert file.last() == 0.0
    before = Budget(settings, file, 7_000)
    assert [before.call(7_000) for _ in range(12)] == [0.0] * 12
    clock.pass_ms(10_000)
    assert Budget(settings, file, 0).used(0)[0] == pytest.approx((12 - 3.3) / 15)
    clock.pass_ms(-3_600_000)
    assert Budget(settings, file, 0).used(0)[0] == pytest.approx(12 / 15), "a clock that went back is no time"
    before.told_full(None, 7_000)
    assert file.last() == 15.0
    (tmp_path / "calls").write_bytes(b"\x00")
    assert Budget(settings, file, 0).used(0)[0] == pytest.approx(0.95), "what cannot be read counts as full"


def test_x11_the_budget_in_figures() -> None:
    budget = Budget(kraken("http://127.0.0.1:1").budget)
    assert [budget.call(0) for _ in range(12)] == [0.0] * 12
    assert budget.call(0) == pytest.approx(1 / 0.33)
    assert budget.call(0, history=True) == pytest.approx(4 / 0.33)
    assert budget.call(3_031) == 0.0
    assert [budget.place(BTC, 0) for _ in range(30)] == [0.0] * 30
    assert budget.place(BTC, 0) == pytest.approx(1.0)
    assert [budget.cancel(BTC, 0, 0), budget.cancel(BTC, 6_000, 0)] == [0.0, 0.0]
    assert budget.cancel(BTC, 12_000, 0) == pytest.approx(1.0)
    assert budget.cancel(BTC, 400_000, 0) == 0.0
    assert budget.used(0)[1] == pytest.approx(44 / 60)
    assert budget.used(-1_000)[1] == pytest.approx(44 / 60)
