"""The kill switch: who throws it, what it lets through, what survives, and who alone may lift it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from src.connectors.halt_file import HALT, HaltFile
from src.core.clock import Timer
from src.core.errors import UsageError
from src.core.standing import Level, Standing, withheld
from src.core.types import Command, CommandKind, OrderKind, Pair, Side
from src.services.kill_switch import KillSwitch
from tests.money import BTC, ETH, order

BUY, SELL = order(Side.BUY), order(Side.SELL)
STOP = msgspec.structs.replace(SELL, kind=OrderKind.STOP)
BY_HAND = msgspec.structs.replace(SELL, reason="flatten")
SECONDS = 20.0


class House:
    """A folder, what was decided, and what the switch asked for and said."""

    def __init__(self, folder: Path) -> None:
        self.standing = Standing()
        self.asked: list[Command] = []
        self.said: list[str] = []
        self.flag = HaltFile(folder)
        self.heard = Event()
        self.switch = KillSwitch(self.standing, self.flag, self._ask, self.said.append, lambda: self.asked)

    def _ask(self, command: Command) -> None:
        self.asked.append(command)
        self.heard.set()

    def decide(self) -> None:
        """The engine's next slice."""
        while self.asked:
            command = self.asked.pop(0)
            if command.kind is CommandKind.HALT:
                self.standing.throw(Level(command.level), command.reason, command.source, command.pair)
            else:
                self.standing.clear(command.pair)
        self.switch.observe(None)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def halt(reason: str = "storm", level: Level = Level.HALTED, pair: Pair | None = None) -> Command:
    return Command(CommandKind.HALT, reason, "control", pair, level=level.value)


def by_command(house: House) -> None:
    house.switch.foresee(halt())


def by_file(house: House) -> None:
    (house.flag.path).write_text("storm\n")


def by_signal(house: House) -> None:
    house.switch.pull("storm")


def by_decision(house: House) -> None:
    house.standing.throw(Level.HALTED, "storm", "engine")


@pytest.mark.parametrize("throw", [by_command, by_file, by_signal, by_decision])
def test_each_way_holds_at_once_and_lets_through_what_protects(house: House, throw: Callable[[House], None]) -> None:
    assert [house.switch.may_send(one) for one in (BUY, SELL, STOP, BY_HAND)] == [""] * 4
    throw(house)
    assert [house.switch.may_send(one) for one in (BUY, SELL)] == ["halted: storm"] * 2
    assert [house.switch.may_send(one) for one in (STOP, BY_HAND)] == [""] * 2
    thrown = house.switch.thrown()
    assert thrown is not None
    assert (thrown.level, thrown.reason) == (Level.HALTED, "storm")


@pytest.mark.parametrize(
    ("level", "buys", "sells"),
    [(Level.REDUCE_ONLY, "reduce_only: why", ""), (Level.HALTED, "halted: why", "halted: why")],
)
def test_a_pair_of_its_own(house: House, level: Level, buys: str, sells: str) -> None:
    house.switch.foresee(halt("why", level, BTC))
    assert (house.switch.may_send(BUY), house.switch.may_send(SELL)) == (buys, sells)
    assert house.switch.may_send(order(Side.BUY, pair=ETH)) == ""
    house.switch.clear()
    assert house.switch.may_send(BUY) == buys, "what was thrown of a pair is lifted for the pair"
    house.switch.clear(BTC)
    assert house.switch.may_send(BUY) == ""


def test_the_strictest_wins_whatever_the_order() -> None:
    for levels in ((Level.HALTED, Level.REDUCE_ONLY), (Level.REDUCE_ONLY, Level.HALTED)):
        standing = Standing()
        for level in levels:
            standing.throw(level, level.value, "test")
        throw = standing.of()
        assert throw is not None
        assert throw.level is Level.HALTED
        standing.throw(Level.REDUCE_ONLY, "milder", "test", BTC)
        assert withheld(SELL, standing.of(BTC)) == "halted: halted"


def test_an_emergency_reduces_before_it_is_written_down(house: House) -> None:
    house.switch.foresee(Command(CommandKind.EMERGENCY_SHUTDOWN, "fire", "control"))
    assert house.switch.may_send(BUY) == "reduce_only: emergency shutdown: fire"
    assert house.switch.may_send(SELL) == ""


def test_a_file_becomes_a_command_once_and_again_when_somebody_resumed_in_spite_of_it(house: House) -> None:
    by_file(house)
    for _ in range(3):
        house.switch.look()
    assert house.asked == [Command(CommandKind.HALT, "storm", "file", level="halted")]
    assert house.said == ["halted by file: storm; `mycelial resume REASON` lifts it"]
    house.decide()
    house.switch.look()
    assert house.asked == []
    house.standing.clear()  # a signed RESUME came over the bus
    house.switch.look()
    assert [command.source for command in house.asked] == ["file"]


def test_a_signal_is_made_durable_and_survives_a_restart(house: House, tmp_path: Path) -> None:
    house.switch.pull("SIGUSR1")
    house.switch.look()
    assert (tmp_path / HALT).read_text() == "SIGUSR1\n"
    assert [command.source for command in house.asked] == ["signal"]
    again = House(tmp_path)
    assert again.switch.may_send(BUY) == "halted: SIGUSR1"
    again.switch.look()
    assert [command.source for command in again.asked] == ["file"]


def test_only_clear_lifts_it_and_takes_the_file_away(house: House, tmp_path: Path) -> None:
    house.switch.pull("SIGUSR1")
    house.switch.look()
    house.decide()
    house.switch.clear()
    assert not (tmp_path / HALT).exists()
    assert house.switch.may_send(BUY) == "halted: SIGUSR1", "until the next slice has heard of it"
    house.asked.append(Command(CommandKind.RESUME, "over", "control"))
    house.decide()
    house.switch.look()
    assert (house.switch.may_send(BUY), house.asked) == ("", [])


def test_a_halt_that_was_answered_holds_though_a_slice_in_between_took_the_resume_before_it(house: House) -> None:
    house.standing.throw(Level.HALTED, "first", "control")
    house.switch.clear()
    house.switch.hand_over(Command(CommandKind.RESUME, "fine", "control", id="1"))
    second = msgspec.structs.replace(halt("second"), id="2")
    house.switch.foresee(second)  # and is written down meanwhile
    house.switch.observe(None)  # the slice that was under way ends
    house.decide()  # the next one takes the resume alone
    house.switch.hand_over(second)
    assert house.switch.may_send(BUY) == "halted: second"
    house.switch.observe(None)
    assert house.switch.may_send(BUY) == "halted: second", "it waits still"
    house.decide()
    assert (house.switch._now.state(), house.switch.may_send(BUY)) == ([], "halted: second")


def test_what_is_shown_is_what_holds_at_this_moment(house: House) -> None:
    assert house.switch.shown() == {}
    house.standing.throw(Level.REDUCE_ONLY, "drawdown", "risk-guardian")
    house.switch.foresee(halt("thin", Level.REDUCE_ONLY, ETH))
    reduced = {"state": "reduce_only", "reason": "drawdown", "source": "risk-guardian"}
    thin = {"state": "reduce_only", "reason": "thin", "source": "control"}
    assert house.switch.shown() == {"all": reduced, "ETH/USDT": thin}
    by_file(house)
    assert house.switch.shown()["all"] == {"state": "halted", "reason": "storm", "source": "file"}


def test_a_halt_by_command_stands_in_the_file_as_well_and_whoever_lifts_it_lifts_both(house: House) -> None:
    command = halt("storm")
    house.switch.foresee(command)
    assert house.switch.without_ledger(command)
    house.switch.hand_over(command)
    house.switch.look()
    house.decide()
    house.switch.look()
    assert (house.asked, house.flag.read()) == ([], "storm"), "halted once"
    house.standing.clear()  # a signed RESUME came over the bus
    house.switch.look()
    assert (house.asked, house.flag.read(), house.switch.may_send(BUY)) == ([], "", "")


def test_after_a_restart_it_is_known_which_file_belongs_to_a_command(house: House, tmp_path: Path) -> None:
    house.flag.write("storm")
    again = House(tmp_path)
    again.standing.throw(Level.HALTED, "storm", "control")
    again.switch.start(Timer(), 1000.0)
    again.standing.clear()
    again.switch.look()
    again.switch.close()
    assert (again.asked, again.flag.read()) == ([], "")


def test_a_reduction_that_the_file_keeps_is_not_taken_for_lifted(house: House) -> None:
    command = halt("no database", Level.REDUCE_ONLY)
    house.switch.foresee(command)
    assert house.switch.without_ledger(command)
    house.switch.hand_over(command)
    house.decide()
    house.switch.look()
    assert house.flag.read() == "no database"


def test_taking_the_file_away_by_hand_lifts_nothing(house: House) -> None:
    by_file(house)
    house.switch.look()
    house.flag.path.unlink()
    assert house.switch.may_send(BUY) == "halted: storm"
    house.decide()
    house.switch.look()
    assert house.switch.may_send(BUY) == "halted: storm"


def test_what_cannot_be_taken_away_stays(house: House) -> None:
    house.flag.path.mkdir()
    assert house.switch.may_send(BUY).startswith("halted: the file HALT cannot be read")
    with pytest.raises(UsageError, match="still there"):
        house.switch.clear()
    assert house.switch.may_send(BUY) != ""


def test_a_signal_holds_though_the_disk_is_full(tmp_path: Path) -> None:
    class Full(HaltFile):
        def write(self, reason: str) -> None:
            raise OSError(28, "No space left on device")

    house = House(tmp_path)
    switch = KillSwitch(house.standing, Full(tmp_path), house.asked.append, house.said.append)
    switch.pull("SIGUSR1")
    switch.look()
    assert switch.may_send(BUY) == "halted: SIGUSR1"
    assert [command.reason for command in house.asked] == ["SIGUSR1"]
    assert "cannot be written" in house.said[0]
    assert not switch.without_ledger(halt())


def test_a_halt_without_a_ledger_goes_to_the_file_and_nothing_else_does(house: House) -> None:
    assert house.switch.without_ledger(halt("no database"))
    assert house.flag.read() == "no database"
    assert not house.switch.without_ledger(Command(CommandKind.FLATTEN, "out", "control"))
    assert not house.switch.without_ledger(halt(pair=BTC))


def test_nothing_leaves_after_whoever_threw_it_has_his_answer(house: House) -> None:
    """K1: the question and the send are one critical section."""
    inside, go_on, answered = Event(), Event(), Event()
    sent: list[str] = []

    def action() -> None:
        inside.set()
        assert go_on.wait(SECONDS)
        sent.append("in time")

    sender = Thread(target=house.switch.send, args=(BUY, action))

    def throw() -> None:
        house.switch.foresee(halt())
        answered.set()

    thrower = Thread(target=throw)
    sender.start()
    assert inside.wait(SECONDS)
    thrower.start()
    assert not answered.wait(0.05), "the answer comes when the order that was on its way is out"
    go_on.set()
    assert answered.wait(SECONDS)
    sender.join()
    thrower.join()
    assert house.switch.send(BUY, lambda: sent.append("too late")) == "halted: storm"
    assert sent == ["in time"]


def test_the_thread_finds_the_file(house: House) -> None:
    house.switch.start(Timer(), 0.01)
    by_file(house)
    assert house.heard.wait(SECONDS)
    house.switch.close()
    assert [command.reason for command in house.asked] == ["storm"]


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"storm\n", "storm"),
        (b"", "the file HALT"),
        (b"  two\n lines ", "two lines"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        (b"red \x1b[31m", "red ?[31m"),
        (b"x" * 10_000, "x" * 500),
    ],
)
def test_its_content_is_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / HALT).write_bytes(content)
    assert HaltFile(tmp_path).read() == reason


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere"), os.mkfifo],
                         ids=["folder", "dangling link", "pipe"])  # fmt: skip
def test_k2_absence_of_proof_is_halted(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / HALT)
    assert HaltFile(tmp_path).read() != ""


def test_k2_a_folder_that_is_gone_proves_nothing(tmp_path: Path) -> None:
    assert HaltFile(tmp_path).read() == ""
    assert HaltFile(tmp_path / "gone").read() == "the state folder cannot be read"


def test_writing_replaces_and_removing_twice_is_no_error(tmp_path: Path) -> None:
    flag = HaltFile(tmp_path)
    flag.write("one")
    flag.write("two")
    assert flag.read() == "two"
    flag.remove()
    flag.remove()
    assert (flag.read(), list(tmp_path.iterdir())) == ("", [])


def test_a_standing_is_the_same_after_a_restart() -> None:
    standing = Standing()
    standing.throw(Level.HALTED, "storm", "file")
    standing.throw(Level.REDUCE_ONLY, "thin", "control", ETH)
    again = Standing()
    again.restore(msgspec.json.decode(msgspec.json.encode(standing.state())))
    assert (again.shown(), again.pairs, again.reason) == (standing.shown(), (ETH,), "storm")


def test_k3_a_state_that_cannot_be_understood_is_no_state() -> None:
    with pytest.raises(ValueError, match="maybe"):
        Standing().restore([[None, "maybe", "why", "who"]])
