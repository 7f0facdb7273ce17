"""The parts of the simulation, each by itself: time, network, disk, switch, schedule, shrinking."""

from __future__ import annotations

import re
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from src.backtesting.simulation.campaign import kept_seeds, seed_range
from src.backtesting.simulation.disk import SimulatedDisk
from src.backtesting.simulation.draws import Draws
from src.backtesting.simulation.network import TIMEOUT_MS, FaultyLink
from src.backtesting.simulation.planted import PLANTED
from src.backtesting.simulation.schedule import CLASSES, PAIRS, Fault, Schedule, Wish, schedule
from src.backtesting.simulation.seams import Calls, Crashed, Switch
from src.backtesting.simulation.shrink import shrink, told
from src.backtesting.simulation.world import World
from src.core.errors import LedgerError, NotFound, UsageError
from src.core.ports import Row
from src.core.types import Order, OrderId, OrderKind, Side
from src.core.venue import Acknowledged, ClientId, Lost, StatusChanged, VenueEvent, VenueId, VenueStatus
from tests.worlds import ROOT

# Time.


def test_the_clock_jumps_to_what_comes_next_in_the_order_in_which_it_was_asked() -> None:
    world, seen = World(1_000), []
    world.after(50, lambda: seen.append(("b", world.now)))
    world.at(1_020, lambda: seen.append(("a", world.now)))
    world.after(50, lambda: seen.append(("c", world.now)))
    world.at(3_000, lambda: seen.append(("never", world.now)))
    world.run(2_000)
    assert seen == [("a", 1_020), ("b", 1_050), ("c", 1_050)]
    assert world.now == 2_000


def test_what_is_done_may_take_time_itself() -> None:
    world, seen = World(0), []

    def slow() -> None:
        world.run(world.now + 100)
        seen.append(("slow", world.now))

    world.at(10, slow)
    world.at(60, lambda: seen.append(("meanwhile", world.now)))
    world.run(500)
    assert seen == [("meanwhile", 60), ("slow", 110)]


# Network.


class Line:
    """A link with chosen faults, and an exchange that only counts."""

    def __init__(self, *faults: Fault) -> None:
        self.world = World(0)
        self.link = FaultyLink(self.world, faults, Draws(1, "network"), lambda: None)
        self.link.begin_life(VenueStatus.ONLINE)
        self.reached: list[int] = []

    def send(self, channel: str = "place") -> None:
        def arrive(now: int) -> VenueEvent:
            self.reached.append(now)
            return Acknowledged(ClientId("c"), VenueId("v"), now)

        self.link.request(channel, arrive, lambda why, at: Lost(ClientId("c"), why, at))

    def heard(self, until: int = 100_000) -> list[str]:
        self.world.run(until)
        events = [event for event in self.link.arrived() if not isinstance(event, StatusChanged)]
        return [event.why if isinstance(event, Lost) else type(event).__name__ for event in events]


@pytest.mark.parametrize(
    ("kind", "size", "arrives", "heard"),
    [
        ("lost_request", 0, False, ["timeout"]),
        ("lost_reply", 0, True, ["timeout"]),
        ("error_before", 0, False, ["HTTP 503"]),
        ("error_after", 0, True, ["HTTP 502"]),
        ("late", 40_000, True, ["timeout"]),
    ],
)
def test_each_fault_of_a_message(kind: str, size: int, arrives: bool, heard: list[str]) -> None:
    line = Line(Fault(kind, 1, size, "place"))
    line.send()
    line.send()  # the second, number 1, is hit
    line.send("cancel")
    assert sorted(line.heard()) == sorted(["Acknowledged", *heard, "Acknowledged"])
    assert len(line.reached) == 2 + arrives
    if kind == "late":
        assert max(line.reached) == 40_000


def test_an_answer_is_given_up_after_its_time_once() -> None:
    line = Line(Fault("late", 0, TIMEOUT_MS - 10, "place"))
    line.send()
    assert line.heard(TIMEOUT_MS) == ["timeout"]
    assert line.heard() == []


def test_nothing_is_hit_when_faults_have_stopped() -> None:
    line = Line(Fault("lost_request", 0, 0, "place"))
    line.link.calm = True
    line.send()
    assert line.heard() == ["Acknowledged"]


def test_what_a_dead_process_sent_arrives_and_its_answer_does_not() -> None:
    line = Line()
    line.send()
    line.link.begin_life(VenueStatus.ONLINE)
    assert line.heard() == []
    assert len(line.reached) == 1


def test_what_is_streamed_while_the_stream_is_cut_is_lost() -> None:
    line = Line()
    ack = Acknowledged(ClientId("c"), VenueId("v"), 0)
    line.link.cut(False, VenueStatus.ONLINE)
    line.link.stream([ack])
    line.link.cut(True, VenueStatus.ONLINE)
    line.link.stream([ack, ack])
    assert line.heard() == ["Acknowledged"] * 2


def test_the_stream_keeps_its_order_and_may_say_things_twice() -> None:
    line = Line()
    line.link.twice = True
    line.link.stream([Acknowledged(ClientId(str(n)), VenueId("v"), 0) for n in range(20)])
    line.world.run(100_000)
    names = [event.client_id for event in line.link.arrived() if isinstance(event, Acknowledged)]
    assert len(names) == 40
    firsts = list(dict.fromkeys(names))
    assert sorted(firsts, key=int) == firsts


# Disk.


def row(number: int, body: bytes = b"{}") -> Row:
    return Row(number, "fact", f"fact:{number}", body)


def test_rows_are_there_when_wait_returns_and_not_before() -> None:
    disk = SimulatedDisk(lambda name: None)
    receipt = disk.append([row(1), row(2)], True)
    assert disk.rows == []
    receipt.wait()
    assert disk.rows == [row(1), row(2)]
    assert disk.has("fact", "fact:2")


def test_a_crash_keeps_a_beginning_of_what_was_not_durable_by_whole_appends() -> None:
    disk = SimulatedDisk(lambda name: None)
    disk.append([row(1)], True).wait()
    for number in (2, 4, 6):
        disk.append([row(number), row(number + 1)], False).wait()
    disk.crash(lambda waiting: waiting - 1)
    assert [one.at for one in disk.rows] == [1, 2, 3, 4, 5]
    disk.append([row(8)], True).wait()
    assert [one.at for one in disk.rows] == [1, 2, 3, 4, 5, 8]


def test_a_full_disk_refuses_and_takes_the_rows_when_there_is_room_again() -> None:
    disk = SimulatedDisk(lambda name: None)
    disk.refusing = True
    receipt = disk.append([row(1)], True)
    with pytest.raises(LedgerError, match="full"):
        receipt.wait()
    assert disk.rows == []
    disk.refusing = False
    receipt.wait()
    assert disk.rows == [row(1)]


def test_a_known_key_changes_nothing_and_another_body_under_it_is_refused() -> None:
    disk = SimulatedDisk(lambda name: None)
    disk.append([row(1)], True).wait()
    head = disk.chain
    disk.append([row(1)], True).wait()
    assert (disk.rows, disk.chain) == ([row(1)], head)
    with pytest.raises(LedgerError, match="fact:1"):
        disk.append([row(1, b"[]")], True).wait()


# Calls and switch.


def test_the_process_dies_at_the_call_that_was_counted_out() -> None:
    calls = Calls(Switch())
    calls.crash_in(3)
    calls("append")
    calls("sync")
    with pytest.raises(Crashed, match="synced"):
        calls("synced")
    calls("append")


def test_nobody_throws_the_switch_between_the_last_look_at_it_and_the_send() -> None:
    switch = Switch()
    calls = Calls(switch)
    calls.throw_in(1, "halted")
    calls("place")
    assert switch.state == "active"
    calls("placed")
    assert switch.state == "halted"


@pytest.mark.parametrize(
    ("state", "buy", "sell"), [("active", "", ""), ("reduce_only", "reduce_only", ""), ("halted", "halted", "halted")]
)
def test_what_a_state_of_the_switch_lets_through(state: str, buy: str, sell: str) -> None:
    switch = Switch()
    switch.state = state
    said = [switch.may_send(Order(OrderId("o"), PAIRS[0], side, D(1), OrderKind.MARKET, 0, D(1), "")) for side in Side]
    assert said == [buy, sell]


# Schedules.


def test_a_seed_is_a_schedule_and_another_seed_another() -> None:
    assert schedule(5) == schedule(5)
    assert schedule(5) != schedule(6)


def test_every_kind_of_fault_comes_up_and_none_is_always_on() -> None:
    seen = [{fault.kind for fault in schedule(seed).faults} for seed in range(200)]
    for kind in CLASSES:
        share = sum(kind in one for one in seen) / len(seen)
        assert 0.1 < share < 0.6, kind


def test_a_failing_schedule_is_cut_to_what_it_takes() -> None:
    culprit = Fault("crash", 700, 3, what="once")
    needed = Wish(900, 4, "buy", PAIRS[0], 500)
    faults = (*(Fault("late", n, 4_000, "ask") for n in range(30)), culprit, Fault("pause", 10, 5))
    wishes = (*(Wish(100 * n, n, "sell", PAIRS[1], 300) for n in range(9)), needed)
    asked = 0

    def fails(one: Schedule) -> bool:
        nonlocal asked
        asked += 1
        return culprit in one.faults and needed in one.wishes and one.seed == 9

    cut = shrink(Schedule(9, wishes, faults), fails)
    assert cut == Schedule(9, (needed,), (culprit,))
    assert asked < 40
    assert told(cut) == "seed 9; faults: crash once at 700 ms (3); wishes: buy BTC/USDT at 900 ms"


def test_ranges_of_seeds() -> None:
    assert seed_range("3-5") == range(3, 6)
    assert seed_range("7") == range(7, 8)
    for bad in ("", "5-3", "a-b", "-3", "1-2-3", "1.5", "5-", "²", "0-99999999999"):
        with pytest.raises(UsageError, match="--seeds"):
            seed_range(bad)


def test_kept_seeds_are_read_with_their_reasons(tmp_path: Path) -> None:
    file = tmp_path / "seeds.txt"
    with pytest.raises(NotFound, match="no such file of seeds"):
        kept_seeds(file)
    file.write_text("# why\n12  # a fill came twice\n\n7\n")
    assert kept_seeds(file) == [12, 7]
    file.write_text("twelve\n")
    with pytest.raises(UsageError, match=r"seeds\.txt: a line is no seed"):
        kept_seeds(file)


def test_draws_depend_on_seed_and_name_alone() -> None:
    one, other = Draws(3, "a"), Draws(3, "a")
    assert [one.whole(1, 6) for _ in range(600)] == [other.whole(1, 6) for _ in range(600)]
    assert {Draws(3, name).ratio() for name in ("a", "b")} == {Draws(3, "a").ratio(), Draws(3, "b").ratio()}
    assert Draws(3, "a").ratio() != Draws(3, "b").ratio()
    rolled = [one.whole(1, 6) for _ in range(3_000)]
    assert set(rolled) == {1, 2, 3, 4, 5, 6}
    assert msgspec.json.encode(one.pick(("x", "y"))) in (b'"x"', b'"y"')


def test_the_document_names_every_invariant_every_bug_and_tests_that_exist() -> None:
    text = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    assert [f"| I{number} |" in text for number in range(1, 21)] == [True] * 20
    assert [name for name in PLANTED if f"`{name}`" not in text] == []
    files = re.findall(r"`(tests/[\w/]+\.(?:py|txt))`", text)
    assert len(set(files)) > 10
    assert [name for name in files if not (ROOT / name).is_file()] == []
