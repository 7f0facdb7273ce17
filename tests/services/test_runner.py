"""The loop: paced or at full speed, saving in time, stopping when told."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.engine import Report
from src.core.history import HistoryFeed
from src.core.types import CommandKind, Slice
from src.services.runner import Observer, Pace, Runner
from src.wiring import House, Plan, build
from tests.golden import tape
from tests.money import HOUR, SHIPPED, command


class TimerOfTests(Timer):
    """A timer whose seconds pass only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def seconds(self) -> float:
        return self.now

    def wait(self, event: Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += max(0.0, seconds)
        return event.is_set()


@pytest.fixture
def house() -> Iterator[House]:
    """The tape's house, freshly built."""
    with_clock = SimClock()
    history = tape.history()
    plan = Plan(history.pairs, tape.HOUR, seed=7, kinds=tape.kinds())
    built = build(SHIPPED, plan, with_clock, LocalBus(with_clock, SHIPPED.bus), MemoryLedger(SHIPPED.ledger), history)
    yield built
    built.close()


def runner(
    house: House, *observers: Observer, every: float | None = None, speed: float | None = None, from_ms: int = 0
) -> tuple[Runner, TimerOfTests]:
    """A runner over a house with a timer of its own."""
    timer = TimerOfTests()
    return Runner(house.engine, house.ledger, timer, Pace(speed, timer, from_ms), observers, every), timer


def test_walks_to_the_end_and_tells_every_observer(house: House) -> None:
    seen: list[Report] = []
    again: list[int] = []
    run, timer = runner(house, seen.append, lambda report: again.append(report.at))
    run.run(HistoryFeed(tape.history()))
    assert [report.at for report in seen] == [tape.closed_at(bar) for bar in range(tape.BARS)] == again
    assert timer.waits == []
    assert house.ledger.state is None  # type: ignore[attr-defined]


def test_the_last_checkpoint_is_kept_even_when_none_was_due(house: House) -> None:
    run, _ = runner(house, every=1e9)
    run.run(HistoryFeed(tape.history()))
    at, raw = house.ledger.state  # type: ignore[attr-defined]
    assert at == tape.closed_at(tape.BARS - 1)
    assert checkpoint.load(raw)["slices"] == tape.BARS


def test_saves_when_due_and_not_more_often(house: House) -> None:
    saved: list[int] = []
    house.ledger.checkpoint = lambda at, state: saved.append(at)  # type: ignore[method-assign]
    run, timer = runner(house, every=10.0, speed=HOUR / 1000 / 4)  # four seconds a bar
    run.run(HistoryFeed(tape.history().rows(0, 8)))
    assert saved == [tape.closed_at(bar) for bar in (3, 6, 7)]  # at 12 s, at 24 s, and at the end
    assert timer.now == 28.0


def test_pace_follows_the_speed_from_the_first_slice_on(house: House) -> None:
    run, timer = runner(house, speed=3600.0)
    run.run(HistoryFeed(tape.history().rows(0, 4)))
    assert timer.waits == [0.0, 1.0, 1.0, 1.0]


def test_history_passes_at_full_speed(house: House) -> None:
    run, timer = runner(house, speed=3600.0, from_ms=tape.closed_at(1))
    run.run(HistoryFeed(tape.history().rows(0, 4)))
    assert timer.waits == [0.0, 1.0]


def test_a_late_slice_is_not_waited_for() -> None:
    timer = TimerOfTests()
    pace = Pace(1.0, timer)
    stop = Event()
    assert pace.wait(1_000, stop)
    timer.now = 60.0
    assert pace.wait(2_000, stop)
    assert timer.waits == [0.0, -59.0]
    assert timer.now == 60.0


@pytest.mark.parametrize("speed", [None, 60.0])
def test_stop_ends_the_run_before_the_next_slice(house: House, speed: float | None) -> None:
    seen: list[int] = []

    def watch(report: Report) -> None:
        seen.append(report.at)
        if len(seen) == 3:
            run.stop.set()

    run, _ = runner(house, watch, every=1e9, speed=speed)
    run.run(HistoryFeed(tape.history()))
    assert seen == [tape.closed_at(bar) for bar in range(3)]
    assert house.ledger.state[0] == tape.closed_at(2)  # type: ignore[attr-defined]


def test_a_stop_command_ends_the_run_with_its_slice(house: House) -> None:
    house.engine.inbox.put(command(CommandKind.STOP))
    seen: list[Report] = []
    run, _ = runner(house, seen.append, every=1e9)
    run.run(HistoryFeed(tape.history()))
    assert [(report.at, report.stopping) for report in seen] == [(tape.closed_at(0), True)]
    assert house.ledger.state[0] == tape.closed_at(0)  # type: ignore[attr-defined]


def test_an_error_leaves_the_older_checkpoint(house: House) -> None:
    """What failed is walked again from the last good state; a state in the middle of a slice is never kept."""
    run, _ = runner(house, every=1e9)
    run.run(HistoryFeed(tape.history().rows(0, 5)))
    kept = house.ledger.state  # type: ignore[attr-defined]

    def broken() -> Iterator[Slice]:
        yield from HistoryFeed(tape.history().rows(5, 7))
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        run.run(broken())
    assert house.ledger.state == kept  # type: ignore[attr-defined]
