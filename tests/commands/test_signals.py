"""Signals before there is a run, and while it walks: none meets the system's own action."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

from src.commands.signals import Signals
from src.connectors.halt_file import HALT, HaltFile
from src.core.standing import Standing
from src.core.types import Command, Side
from src.services.kill_switch import KillSwitch
from tests.money import order

WATCHED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def test_what_comes_while_it_recovers_is_a_halt_and_a_stop_afterwards(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in WATCHED]
    asked: list[Command] = []
    runner: Any = SimpleNamespace(stop=Event())
    with Signals(HaltFile(tmp_path)) as signals:
        for number in (signal.SIGUSR1, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert (tmp_path / HALT).read_text() == "SIGUSR1\n", "also when the recovery comes to no end"
        switch = KillSwitch(Standing(), HaltFile(tmp_path), asked.append)
        signals.halts(switch)
        switch.look()
        assert [(one.source, one.reason) for one in asked] == [("signal", "SIGUSR1")]
        signals.drains(runner)
        assert runner.stop.is_set()
    assert [signal.getsignal(number) for number in WATCHED] == before


def test_while_it_walks_each_of_them_is_heard_at_once(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in WATCHED]
    switch = KillSwitch(Standing(), HaltFile(tmp_path), lambda command: None)
    with Signals(HaltFile(tmp_path)) as signals:
        signals.halts(switch)
        for number in (signal.SIGTERM, signal.SIGINT):
            runner: Any = SimpleNamespace(stop=Event())
            signals.drains(runner)
            assert not runner.stop.is_set() or number == signal.SIGINT, "the one before told it to"
            os.kill(os.getpid(), number)
            assert runner.stop.is_set()
        assert switch.may_send(order(Side.BUY)) == ""
        os.kill(os.getpid(), signal.SIGUSR1)
        assert switch.may_send(order(Side.BUY)) == "halted: SIGUSR1"
    assert [signal.getsignal(number) for number in WATCHED] == before
    assert not (tmp_path / HALT).exists(), "a signal writes no file while there is a switch"
