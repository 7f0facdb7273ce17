"""An emergency shutdown: nothing new, what waits is cancelled, the run ends and stays halted until it is resumed."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest

from src.commands.run import _left_of
from src.core.bus import LocalBus
from src.core.envelopes import Envelope, encode
from src.core.history import HistoryFeed
from src.core.messages import Control
from src.core.signing import sign
from src.core.types import Command, CommandKind, OrderKind, Side, Slice
from src.services.recovery import Recorded, catch_up
from tests.golden import tape
from tests.walked import Walk
from tests.worlds import settings

FIRE = Command(CommandKind.EMERGENCY_SHUTDOWN, "fire", "control", id="1")
SECRET = "of the test"


def holding(**changes: object) -> Walk:
    """The tape; the entry of bar 45 was filled in bar 46."""
    walk = Walk(**changes)
    walk.until(47)
    assert list(walk.house.desk.portfolio.positions) == [tape.PAIR]
    return walk


def test_a_run_that_keeps_its_positions_ends_with_the_next_slice_and_leaves_them_to_their_stops() -> None:
    walk = holding()
    walk.put(FIRE)
    report = walk.until(48)
    assert (report.halted, report.stopping) == ("emergency shutdown: fire", True)
    assert report.orders == ()
    assert [order.kind for order in walk.house.desk.broker.open_orders()] == [OrderKind.STOP]
    assert [(line.kind, line.reason, line.source) for line in report.decisions if line.kind != "idea"] == [
        ("emergency_shutdown", "fire", "control")
    ]
    rows = [json.loads(row.body) for row in walk.ledger.rows("command")]
    assert [row["kind"] for row in rows] == ["emergency_shutdown"]


def test_a_run_that_sells_waits_for_its_sales_and_then_ends() -> None:
    walk = holding(haven__emergency_flatten=True)
    walk.put(FIRE)
    report = walk.until(48)
    assert [(order.side, order.reason) for order in report.orders] == [(Side.SELL, "flatten")]
    assert (bool(report.halted), report.stopping) == (True, False)
    report = walk.until(49)
    assert [fill.side for fill in report.fills] == [Side.SELL]
    assert (bool(report.halted), report.stopping) == (True, True)
    assert report.equity == report.cash


@pytest.mark.parametrize("patience", [1, 2])
def test_it_waits_no_longer_than_its_patience(patience: int) -> None:
    """The broker takes a hundredth of a bar's volume, so that the sale would need many bars."""
    walk = Walk(
        haven__emergency_flatten=True, haven__emergency_patience_intervals=patience, exchange__max_volume_ratio=0.001
    )
    walk.until(49)
    walk.put(FIRE)
    stopped = [walk.until(bar).stopping for bar in range(50, 54)]
    assert stopped.index(True) == patience
    assert walk.house.desk.portfolio.positions, "it did not get rid of everything"


@pytest.mark.parametrize("kind", [CommandKind.HALT, CommandKind.EMERGENCY_SHUTDOWN])
def test_what_still_waits_to_be_bought_is_cancelled_and_the_stop_stays(kind: CommandKind) -> None:
    walk = Walk(exchange__max_volume_ratio=0.001)
    walk.until(46)
    waiting = [(order.side, order.kind) for order in walk.house.desk.broker.open_orders()]
    assert waiting == [(Side.BUY, OrderKind.MARKET), (Side.SELL, OrderKind.STOP)], "one bar fills a part of the entry"
    walk.put(Command(kind, "enough", "control", id="1"))
    walk.until(47)
    held = walk.house.desk.portfolio.positions[tape.PAIR].amount
    (stop,) = walk.house.desk.broker.open_orders()
    assert (stop.kind, stop.amount) == (OrderKind.STOP, held)
    states = [json.loads(row.body) for row in walk.ledger.rows("order")]
    assert [row["state"] for row in states if row.get("state") == "cancelled"] == ["cancelled"]
    walk.until(49)
    assert walk.house.desk.portfolio.positions[tape.PAIR].amount == held


def test_an_entry_in_its_slice_is_refused() -> None:
    walk = Walk()
    walk.until(44)
    walk.put(FIRE)
    report = walk.until(45)
    assert report.orders == ()
    assert [line.reason for line in report.decisions if line.kind == "refusal"] == ["halted"]


def test_m_f21_it_stays_halted_after_a_restart_until_somebody_resumes_with_a_reason() -> None:
    walk = Walk()
    walk.until(10)
    walk.put(FIRE)
    assert walk.until(11).stopping
    later = Walk()
    later.restore(walk.saved())
    report = later.until(46, first=12)
    assert (report.halted, report.stopping) == ("emergency shutdown: fire", False)
    assert later.house.engine.refusals == {"halted": 1}
    later.put(Command(CommandKind.RESUME, "the fire is out", "control", id="2"))
    assert later.until(47).halted == ""


def test_who_resumes_before_it_ended_ends_it_not() -> None:
    walk = holding(haven__emergency_flatten=True, exchange__max_volume_ratio=0.001)
    walk.put(FIRE)
    walk.until(48)
    walk.put(Command(CommandKind.RESUME, "false alarm", "control", id="2"))
    assert [(walk.until(bar).stopping, walk.reports[-1].halted) for bar in (49, 50, 51, 52)] == [(False, "")] * 4


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("kind", [CommandKind.HALT, CommandKind.EMERGENCY_SHUTDOWN])
def test_m_f21_a_replay_of_the_journal_halts_at_the_same_place(kind: CommandKind, flatten: bool) -> None:
    walk = holding(haven__emergency_flatten=flatten)
    walk.put(Command(kind, "fire", "control", id="1"))
    walk.until(50)
    again = Walk(haven__emergency_flatten=flatten)
    rows = [(row.at, json.loads(row.body)) for row in walk.ledger.rows("command")]
    commands = [(at, Command(CommandKind(one["kind"]), one["reason"], one["source"], id=one["id"])) for at, one in rows]
    until = tape.closed_at(50)
    count, _ = catch_up(again.house.engine, HistoryFeed(again.history), until, Recorded(commands, ()))
    assert count == 51
    assert again.house.engine.stopping is False, "a replay goes on where the life of then ended"
    assert again.house.engine.ends_at is None
    assert again.house.engine.halted == walk.house.engine.halted != ""
    before, after = walk.ledger.rows("decisions"), again.ledger.rows("decisions")
    assert [row.body for row in after] == [row.body for row in before]
    assert again.house.desk.equity == walk.house.desk.equity


def test_what_waited_at_the_checkpoint_and_was_taken_after_it_is_taken_once_more_and_not_twice() -> None:
    walk = holding()
    by_file = Command(CommandKind.HALT, "smoke", "file", level="halted")
    by_swarm = Command(CommandKind.HALT, "drawdown", "risk-guardian")
    walk.put(by_file)
    walk.put(by_swarm)
    state = walk.saved()
    walk.put(Command(CommandKind.HALT, "me too", "control", id="1"))
    walk.until(50)
    before = [(row.at, row.key, row.body) for row in walk.ledger.rows("command")]
    assert [json.loads(body)["source"] for _, _, body in before] == ["file", "risk-guardian", "control"]
    commands = [(at, msgspec.json.decode(body, type=Command)) for at, _, body in before]
    again = Walk()
    again.until(47)
    again.restore(state)
    slices = [Slice(int(again.history.times[bar]), again.history.block(bar)) for bar in range(48, 51)]
    catch_up(again.house.engine, slices, tape.closed_at(50), Recorded(commands, ()))
    assert [(row.at, row.key, row.body) for row in again.ledger.rows("command")] == before


@pytest.mark.parametrize(
    ("flatten", "kinds"), [(False, [CommandKind.HALT]), (True, [CommandKind.HALT, CommandKind.FLATTEN])]
)
def test_one_that_was_answered_and_never_carried_out_halts_the_next_life(
    flatten: bool, kinds: list[CommandKind]
) -> None:
    left = _left_of(FIRE, settings(haven__emergency_flatten=flatten).haven)
    assert [one.kind for one in left] == kinds
    assert left[0].reason == "emergency shutdown: fire"
    assert {one.id for one in left} == {FIRE.id}
    assert _left_of(Command(CommandKind.RESUME, "r", "control"), settings().haven)[0].kind is CommandKind.RESUME


# --- who may ask ------------------------------------------------------------------------------------------------------


def raw_of(message: Control, seq: int = 0) -> bytes:
    return encode(Envelope("operator", 1, seq, message))


def shutdown(at: int) -> Control:
    kind = CommandKind.EMERGENCY_SHUTDOWN
    return Control(source="operator", at=at, known_at=at, command=kind, reason="fire")


@pytest.mark.parametrize("signed", [False, True])
def test_a_forged_emergency_is_a_dead_letter_and_a_signed_one_is_obeyed(signed: bool) -> None:
    walk = Walk(bus__control_secret=SECRET)
    walk.until(9)
    bus = walk.bus
    assert isinstance(bus, LocalBus)
    wish = shutdown(tape.closed_at(9))
    bus.receive("system-control", raw_of(sign(wish, SECRET if signed else "guess"), 1))
    report = walk.until(10)
    letters = [line.reason for line in walk.decided(10, "dead_letter")]
    if signed:
        assert (report.halted, report.stopping, letters) == ("emergency shutdown: fire", True, [])
    else:
        assert (report.halted, report.stopping) == ("", False)
        assert letters == ["command without a valid signature"]


def test_a_member_of_the_swarm_may_not_shut_the_run_down() -> None:
    walk = Walk()
    walk.until(3)
    at = tape.closed_at(3)
    kind = CommandKind.EMERGENCY_SHUTDOWN
    walk.bus.publish("system-control", Control(source="learner-x", at=at, known_at=at, command=kind, reason="please"))
    walk.until(5)
    assert (walk.reports[-1].halted, walk.reports[-1].stopping) == ("", False)
    assert [(line.reason, line.source) for line in walk.decided(4, "refusal")] == [("not_entitled", "learner-x")]


def test_the_account_is_whole_after_it() -> None:
    walk = holding(haven__emergency_flatten=True)
    walk.put(FIRE)
    walk.until(49)
    trades = [json.loads(row.body) for row in walk.ledger.rows("trade")]
    (own,) = [trade for trade in trades if trade["stream"] == "synthesized"]
    assert own["exit_reason"] == "flatten"
    assert walk.house.desk.portfolio.cash == Decimal(10_000) + Decimal(own["profit"])
