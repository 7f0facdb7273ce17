"""The guardian asks once, the spine obeys with the next slice, exits go on, and only a command resumes."""

from __future__ import annotations

from typing import Any

import pytest

from src.agents import risk_guardian
from src.agents.risk_guardian import RiskGuardian
from src.core.types import AccountView, Command, CommandKind, Side
from tests.agents.made import HOUR, START, record, see, snapshot, world
from tests.checks.agent_checks import confirmation
from tests.golden import tape
from tests.walked import Walk, crashing


def asked(*drawdowns: float, **changes: object) -> list[int]:
    """In which slices the guardian asks for a halt, for these drawdowns one after another."""
    here = world(**changes)
    risk_guardian.populate(here)
    got: list[Any] = record(here, "system-control")
    for number, drawdown in enumerate(drawdowns):
        account = AccountView(10_000.0 * (1.0 - drawdown), 10_000.0, 0.0, frozenset())
        see(here, snapshot(here, START + HOUR * number), account)
    assert all(message.command is CommandKind.HALT and message.source == "risk-guardian" for message in got)
    return [(message.at - START) // HOUR for message in got]


def test_asks_once_when_the_limit_is_reached() -> None:
    assert asked(0.0, 0.0499, 0.05, 0.06, 0.05) == [2]
    assert asked(0.049999) == []
    assert asked(0.2) == [0]


def test_exactly_at_the_limit_is_reached() -> None:
    """A quarter is exact in binary; what the shipped limit leaves of an account is not."""
    assert asked(0.125, 0.25, risk__max_drawdown_ratio=0.25) == [1]
    assert asked(0.25 - 2.0**-20, risk__max_drawdown_ratio=0.25) == []


def test_asks_again_after_it_was_below_the_limit() -> None:
    assert asked(0.05, 0.06, 0.04, 0.05, 0.05) == [0, 3]


def test_m_f21_says_how_much_and_of_what() -> None:
    here = world()
    risk_guardian.populate(here)
    got: list[Any] = record(here, "system-control")
    see(here, snapshot(here), AccountView(9_412.0, 10_000.0, 0.0, frozenset()))
    assert got[0].reason == "drawdown 5.88% reached the limit of 5.00%"


def test_an_account_without_money_is_no_drawdown() -> None:
    here = world()
    risk_guardian.populate(here)
    got: list[Any] = record(here, "system-control")
    see(here, snapshot(here), AccountView(0.0, 0.0, 0.0, frozenset()))
    assert got == []


def test_counts_fills_and_remembers_that_it_asked() -> None:
    here = world()
    risk_guardian.populate(here)
    low = AccountView(9_000.0, 10_000.0, 0.0, frozenset())
    see(here, snapshot(here), low, (("trade-confirmations", confirmation(START)),))
    first = here.model.member("risk-guardian")
    assert isinstance(first, RiskGuardian)
    assert (first.state()["asked"], first.state()["confirmed"]) == (True, 1)
    other = world()
    risk_guardian.populate(other)
    got: list[Any] = record(other, "system-control")
    other.model.member("risk-guardian").restore(first.state())
    see(other, snapshot(other), low)
    assert got == []


@pytest.fixture
def walk() -> Walk:
    """The tape with a crash after the entry, on an account whose whole equity is in the position."""
    return crashing()


def test_m_f21_halt_takes_effect_with_the_next_slice_and_exits_go_on(walk: Walk) -> None:
    walk.until(48)
    halted = [(report.at, bool(report.halted)) for report in walk.reports[-3:]]
    assert halted == [(tape.closed_at(46), False), (tape.closed_at(47), False), (tape.closed_at(48), True)]
    assert walk.decided(47, "halt") == []
    (halt,) = walk.decided(48, "halt")
    assert halt.source == "risk-guardian"
    walk.until(55)
    sides = [order.side for report in walk.reports if report.at >= tape.closed_at(48) for order in report.orders]
    assert sides == [Side.SELL], "the horizon still closes the position"


def test_m_f21_no_entry_after_the_halt_until_a_command_resumes(walk: Walk) -> None:
    walk.until(54)
    order = Command(CommandKind.ORDER, "by hand", "control", tape.PAIR, Side.BUY, amount=walk.amount, id="1")
    walk.put(order)
    walk.until(55)
    assert [line.reason for line in walk.decided(55, "refusal")] == ["halted"]
    walk.put(Command(CommandKind.RESUME, "looked at it", "control", id="2"))
    walk.until(56)
    assert walk.reports[-1].halted == ""
    walk.put(order)
    walk.until(57)
    assert [order.side for order in walk.reports[-1].orders] == [Side.BUY], "the drawdown counts anew from there"


def test_m_f21_in_the_slice_of_the_crash_the_gate_refuses_by_the_limit_itself(walk: Walk) -> None:
    walk.until(46)
    walk.put(Command(CommandKind.ORDER, "by hand", "control", tape.PAIR, Side.BUY, amount=walk.amount, id="1"))
    assert walk.until(47).halted == ""
    assert [line.reason for line in walk.decided(47, "refusal")] == ["drawdown"]


def test_a_halt_that_was_asked_for_survives_a_restart(walk: Walk) -> None:
    walk.until(47)
    again = crashing()
    again.restore(walk.saved())
    again.until(48, first=48)
    assert again.reports[-1].halted.startswith("drawdown")
    assert walk.until(48).decisions == again.reports[-1].decisions
