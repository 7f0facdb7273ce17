"""The queue itself, over a sink that is a list: groups, waiting, failing disks, back-pressure, closing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread

import pytest

from src.core.clock import Timer
from src.core.errors import LedgerError
from src.core.ports import Row
from src.services.writer import Writer
from tests.checks.ledger_checks import SETTINGS, row

QUICK = SETTINGS.model_copy(update={"durable_timeout_seconds": 0.1})
LAZY = SETTINGS.model_copy(update={"group_seconds": 60.0})


class ListSink:
    """Keeps each group; can be told to fail, to stand still, or to refuse keys."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.states: list[tuple[int, bytes]] = []
        self.broken = ""
        self.attempts = 0
        self.refuse: set[str] = set()
        self.tried, self.go, self.closed = Event(), Event(), Event()
        self.go.set()

    def write(self, rows: Sequence[Row]) -> Mapping[int, str]:
        self.attempts += 1
        self.tried.set()
        self.go.wait()
        if self.broken:
            raise LedgerError(self.broken)
        self.groups.append([one.key for one in rows])
        return {index: f"bad {one.key}" for index, one in enumerate(rows) if one.key in self.refuse}

    def checkpoint(self, at: int, state: bytes) -> None:
        if self.broken:
            raise LedgerError(self.broken)
        self.states.append((at, state))

    def close(self) -> None:
        self.closed.set()

    @property
    def keys(self) -> list[str]:
        return [key for group in self.groups for key in group]


def keys(*numbers: int) -> list[str]:
    return [f"note:{number}" for number in numbers]


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for another thread's doing, without a fixed nap."""
    timer, never = Timer(), Event()
    deadline = timer.seconds() + 10
    while not condition():
        assert timer.seconds() < deadline, "it did not happen"
        timer.wait(never, 0.001)


def test_a_durable_row_cuts_the_waiting_short_and_takes_the_others_along() -> None:
    sink = ListSink()
    writer = Writer(sink, LAZY)
    for number in range(3):
        writer.append([row(number)], False)
    writer.append([row(3)], True).wait(5)
    assert sink.keys == keys(0, 1, 2, 3)
    writer.close()
    assert len(sink.groups) <= 2


def test_a_queue_that_is_half_full_is_written_without_waiting_for_time() -> None:
    sink = ListSink()
    writer = Writer(sink, LAZY)
    half = LAZY.queue_rows // 2
    for number in range(half):
        writer.append([row(number)], False)
    eventually(lambda: len(sink.keys) == half)
    writer.close()


def test_groups_keep_calls_whole_and_bounded() -> None:
    sink = ListSink()
    sink.go.clear()
    writer = Writer(sink, SETTINGS)
    writer.append([row(0)], True)
    sink.tried.wait(5)
    for number in range(1, 200, 6):
        writer.append([row(number + more) for more in range(6)], False)
    writer.append([row(1000 + number) for number in range(150)], False)
    sink.go.set()
    writer.close()
    assert [len(group) for group in sink.groups] == [1, 96, 96, 12, 150]


def test_wait_returns_only_after_the_sink_has_written() -> None:
    sink = ListSink()
    sink.go.clear()
    writer = Writer(sink, SETTINGS)
    receipt = writer.append([row(1)], True)
    with pytest.raises(LedgerError, match="not durable after"):
        receipt.wait(0.02)
    sink.go.set()
    receipt.wait(5)
    assert sink.keys == keys(1)
    writer.close()


def test_a_failing_disk_loses_nothing_and_goes_on_by_itself() -> None:
    sink = ListSink()
    sink.broken = "the disk is full"
    writer = Writer(sink, QUICK)
    receipt = writer.append([row(1)], True)
    with pytest.raises(LedgerError, match="the disk is full; they stay queued"):
        receipt.wait()
    assert writer.failure == "the disk is full"
    assert writer.backlog == 1
    writer.append([row(2)], False)
    eventually(lambda: sink.attempts > 3)
    sink.broken = ""
    receipt.wait(5)
    writer.append([row(3)], True).wait(5)
    assert writer.failure is None
    assert writer.backlog == 0
    writer.close()
    assert sink.keys == keys(1, 2, 3)


def test_what_waits_can_be_taken_back_and_is_never_written() -> None:
    sink = ListSink()
    writer = Writer(sink, QUICK)
    sink.broken = "the disk is full"
    first, second = (writer.append([row(number)], durable=True) for number in (1, 2))
    with pytest.raises(LedgerError):
        first.wait()
    eventually(lambda: writer.failure is not None and writer.withdraw(first))
    assert writer.backlog == 1
    sink.broken = ""
    second.wait(10)
    writer.append([row(3)], durable=True).wait(10)
    assert (sink.keys, writer.withdraw(second)) == (keys(2, 3), False)
    writer.close()
    assert writer.backlog == 0


def test_what_is_being_written_cannot_be_taken_back() -> None:
    sink = ListSink()
    writer = Writer(sink, QUICK)
    sink.go.clear()
    receipt = writer.append([row(1)], durable=True)
    assert sink.tried.wait(10)
    assert not writer.withdraw(receipt)
    sink.go.set()
    receipt.wait(10)
    writer.close()
    assert sink.keys == keys(1)


def test_close_says_how_many_rows_were_lost() -> None:
    sink = ListSink()
    sink.broken = "the disk is full"
    writer = Writer(sink, SETTINGS.model_copy(update={"retry_seconds": 60.0}))
    receipt = writer.append([row(1), row(2)], True)
    sink.tried.wait(5)
    writer.append([row(3)], False)
    with pytest.raises(LedgerError, match="3 rows could not be written: the disk is full"):
        writer.close()
    with pytest.raises(LedgerError, match="2 rows were not written: the disk is full"):
        receipt.wait(5)
    assert sink.closed.is_set()


def test_space_that_returns_before_closing_saves_the_rows() -> None:
    sink = ListSink()
    sink.broken = "the disk is full"
    writer = Writer(sink, SETTINGS.model_copy(update={"retry_seconds": 60.0}))
    writer.append([row(1)], False)
    eventually(lambda: writer.failure is not None)
    sink.broken = ""
    writer.close()
    assert sink.keys == keys(1)


@pytest.mark.parametrize("durable", [True, False])
def test_a_full_queue_makes_the_caller_wait_and_then_says_why(durable: bool) -> None:
    sink = ListSink()
    sink.broken = "the disk is full"
    writer = Writer(sink, QUICK.model_copy(update={"queue_rows": 10}))
    writer.append([row(number) for number in range(8)], False)
    writer.append([row(8), row(9)], False)
    with pytest.raises(LedgerError, match=r"queue is full \(10 rows wait\): the disk is full"):
        writer.append([row(10)], durable)
    sink.broken = ""
    writer.append([row(11)], True).wait(5)
    writer.close()
    assert sink.keys == keys(*range(10), 11)


def test_back_pressure_slows_a_fast_caller_and_drops_nothing() -> None:
    sink = ListSink()
    writer = Writer(sink, LAZY.model_copy(update={"queue_rows": 10}))
    most = 0
    for number in range(2000):
        writer.append([row(number)], False)
        most = max(most, writer.backlog)
    writer.close()
    assert sink.keys == keys(*range(2000))
    assert most <= 10


def test_a_list_larger_than_the_queue_passes_when_it_is_empty() -> None:
    sink = ListSink()
    writer = Writer(sink, SETTINGS.model_copy(update={"queue_rows": 3}))
    writer.append([row(number) for number in range(7)], True).wait(5)
    writer.close()
    assert sink.keys == keys(*range(7))


def test_a_refused_row_fails_its_own_durable_receipt_only() -> None:
    sink = ListSink()
    sink.refuse = {"note:2", "note:4"}
    writer = Writer(sink, LAZY)
    quiet = writer.append([row(1), row(2)], False)
    good = writer.append([row(3)], True)
    bad = writer.append([row(4), row(5)], True)
    good.wait(5)
    quiet.wait(5)
    with pytest.raises(LedgerError, match="bad note:4"):
        bad.wait(5)
    assert writer.refused == 2
    writer.close()


def test_block_mode_does_not_wait_and_tells_at_close() -> None:
    sink = ListSink()
    sink.go.clear()
    sink.refuse = {"note:2"}
    writer = Writer(sink, LAZY, wait_durable=False)
    for number in range(4):
        writer.append([row(number)], True).wait()
    assert sink.groups == []
    sink.go.set()
    with pytest.raises(LedgerError, match="1 rows were refused; the first: bad note:2"):
        writer.close()
    assert sink.groups == [keys(0, 1, 2, 3)]


def test_a_waiting_checkpoint_is_superseded_and_keeps_behind_its_rows() -> None:
    sink = ListSink()
    sink.go.clear()
    writer = Writer(sink, SETTINGS)
    writer.append([row(1)], True)
    sink.tried.wait(5)
    writer.checkpoint(1, b"one")
    writer.append([row(2)], False)
    writer.checkpoint(2, b"two")
    assert sink.states == []
    sink.go.set()
    writer.close()
    assert sink.states == [(2, b"two")]
    assert sink.keys == keys(1, 2)


def test_a_checkpoint_that_fails_is_told_and_does_not_stop_the_rows() -> None:
    sink = ListSink()
    sink.broken = "the disk is full"
    writer = Writer(sink, SETTINGS)
    writer.checkpoint(1, b"one")
    eventually(lambda: writer.failure == "the disk is full")
    sink.broken = ""
    writer.append([row(1)], True).wait(5)
    assert writer.failure is None
    writer.close()


def test_a_dead_thread_leaves_nobody_waiting() -> None:
    class Bug(ListSink):
        def write(self, rows: Sequence[Row]) -> Mapping[int, str]:
            raise ZeroDivisionError("a bug")

    sink = Bug()
    writer = Writer(sink, SETTINGS)
    receipt = writer.append([row(1)], True)
    with pytest.raises(LedgerError, match="ZeroDivisionError: a bug"):
        receipt.wait(5)
    with pytest.raises(LedgerError, match=r"has stopped: .*ZeroDivisionError"):
        writer.append([row(2)], False)
    with pytest.raises(LedgerError, match="1 rows could not be written"):
        writer.close()
    assert sink.closed.is_set()


def test_several_threads_may_wait_for_one_receipt() -> None:
    sink = ListSink()
    sink.go.clear()
    writer = Writer(sink, SETTINGS)
    receipt = writer.append([row(1)], True)
    seen: list[int] = []

    def wait() -> None:
        receipt.wait(10)
        seen.append(1)

    threads = [Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    sink.go.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert seen == [1, 1, 1, 1]


def test_closing_twice_is_harmless() -> None:
    writer = Writer(ListSink(), SETTINGS)
    writer.append([row(1)], False)
    writer.close()
    writer.close()


def test_a_block_becomes_one_transaction_and_a_checkpoint_stays_behind_its_rows() -> None:
    sink = ListSink()
    writer = Writer(sink, LAZY, wait_durable=False)
    for number in range(5):
        writer.append([row(number)], number % 2 == 0)
    assert writer.backlog == 5 - len(sink.keys)
    writer.checkpoint(1, b"one")
    writer.append([row(5)], False)
    writer.append([], True).wait()
    writer.close()
    assert sink.keys == keys(*range(6))
    assert sink.states == [(1, b"one")]
    with pytest.raises(LedgerError, match="closed"):
        writer.append([row(6)], False)


def test_a_block_waits_for_room_and_drops_nothing() -> None:
    sink = ListSink()
    writer = Writer(sink, SETTINGS.model_copy(update={"queue_rows": 10}), wait_durable=False)
    most = 0
    for number in range(500):
        writer.append([row(number)], False)
        most = max(most, writer.backlog)
    writer.close()
    assert sink.keys == keys(*range(500))
    assert most <= 10


def test_a_block_is_told_by_a_writer_that_died() -> None:
    class Bug(ListSink):
        def write(self, rows: Sequence[Row]) -> Mapping[int, str]:
            raise ZeroDivisionError("a bug")

    writer = Writer(Bug(), SETTINGS, wait_durable=False)
    writer.append([row(1)], True).wait()
    writer.checkpoint(1, b"one")  # ends the group: the thread looks at once
    eventually(lambda: writer.failure is not None)
    with pytest.raises(LedgerError, match="ZeroDivisionError: a bug"):
        eventually(lambda: writer.append([row(2)], False) is None)
    with pytest.raises(LedgerError, match="could not be written"):
        writer.close()
