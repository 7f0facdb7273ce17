"""Faults of the disk under the order path: without a durable intent no order leaves, and nothing has to be repaired.

Names are those of the fault matrix. D1 stands in `tests/crash/test_power_loss.py`, D10 and D11 in
`tests/connectors/test_ledger_backup.py`, more of D2, D3, D6 and D8 in `tests/connectors/test_ledger_faults.py`.
"""

from __future__ import annotations

import errno
import gc
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread

import pytest

from src.connectors.ledger_file import WAL_BYTES
from src.connectors.ledger_verify import verify
from src.connectors.sqlite_ledger import LedgerReader, SqliteSink
from src.core.clock import Timer
from src.core.errors import LedgerError
from src.core.ports import Receipt, Row
from src.services.writer import Writer
from tests.crash.lossy import Disk, missing
from tests.faults.order_desk import ETH, LEDGER, Desk, Stage

EVER = 1_000_000_000
no_fuse = pytest.mark.skipif(bool(missing()), reason=f"no disk can be made to fail here: {missing()}")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
"""A process that dies closes nothing: lives that end in these tests leave their connections to the collector."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a dead life left is collected here, and not in whatever test comes next."""
    yield
    gc.collect()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that fails when it is told to."""
    with Disk(tmp_path / "disk") as found:
        yield found


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of a megabyte."""
    where = tmp_path / "small"
    where.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=1m", "none", str(where)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs more rights than this process has")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def remount(where: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(where)], check=True, capture_output=True)


def held_up(desk: Desk, why: str) -> None:
    """A wish that cannot be written down: nothing leaves, however often it is tried, and the reason is told."""
    before = list(desk.sent)
    desk.buy("held-up")
    for _ in range(3):
        desk.step()
    assert why in desk.failure
    assert desk.sent == before


def goes_on(desk: Desk) -> None:
    """The disk is well again: without anybody's help the next wish is an order, once, and the ledger is sound."""
    desk.until(lambda: not desk.failure)
    desk.ready()
    assert desk.buy("afterwards", ETH) == ""
    desk.until(lambda: "afterwards" in desk.sent)
    desk.step()
    assert len(desk.sent) == len(set(desk.sent))
    desk.writer.close()
    assert verify(desk.path).problems == []
    keys = {row.key for row in LedgerReader(desk.path, LEDGER).rows()}
    assert any("intent" in key for key in keys)


# D2, D3: full, and read-only.


def test_d02_a_full_disk_holds_orders_up_and_goes_on_by_itself(small: Path) -> None:
    desk = Desk(Stage(), small / "ledger.sqlite").ready()
    with (small / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(LedgerError, match="the disk is full"):
        _fill_what_the_log_has_left(desk)
    held_up(desk, "the disk is full; free some space")
    remount(small, "size=20m")
    goes_on(desk)


def _fill_what_the_log_has_left(desk: Desk) -> None:
    """The log may have room in pages that it has already."""
    for number in range(200):
        desk.writer.append([Row(number, "note", f"ballast:{number}", b'"%s"' % (b"x" * 8_000))], True).wait(0.5)


@no_fuse
def test_d02_an_order_that_waited_too_long_for_room_does_not_leave_at_all(disk: Disk) -> None:
    stage = Stage()
    desk = Desk(stage, disk.path / "ledger.sqlite").ready()
    disk.fail("write", errno.ENOSPC, EVER)
    held_up(desk, "the disk is full")
    stage.now += 6_000  # the exchange would refuse it by now
    disk.fail("write", 0, 0)
    desk.until(lambda: not desk.failure)
    desk.step()
    assert "held-up" not in desk.sent
    goes_on(desk)


def test_d03_a_read_only_file_system_is_refused_at_start_and_left_alone(small: Path) -> None:
    stage, path = Stage(), small / "ledger.sqlite"
    Desk(stage, path).ready().writer.close()
    before = path.read_bytes()
    remount(small, "ro")
    with pytest.raises(LedgerError, match=r"it may not be written; check the permissions|it cannot be opened"):
        Desk(stage, path)
    remount(small, "rw")
    assert path.read_bytes() == before
    goes_on(Desk(stage, path).ready())


@no_fuse
def test_d03_a_disk_that_turns_read_only_holds_orders_up(disk: Disk) -> None:
    desk = Desk(Stage(), disk.path / "ledger.sqlite").ready()
    disk.fail("write", errno.EROFS, EVER)
    held_up(desk, "ledger.sqlite: ")
    disk.fail("write", 0, 0)
    goes_on(desk)


# D4: slow.


@no_fuse
def test_d04_a_slow_disk_delays_an_order_and_doubles_none(disk: Disk) -> None:
    desk = Desk(Stage(), disk.path / "ledger.sqlite").ready()
    disk.tell("slow", 0.5)  # twice as long as a receipt is waited for
    timer = Timer()
    began = timer.seconds()
    desk.buy("slow")
    assert desk.sent == []
    assert "the disk is slow" in desk.failure
    desk.until(lambda: desk.sent != [], ms=1)
    assert timer.seconds() - began >= 0.5
    desk.until(lambda: not desk.failure, ms=1)
    disk.tell("slow", 0)
    goes_on(desk)
    assert desk.sent.count("slow") == 1


@no_fuse
def test_d04_a_queue_behind_a_slow_disk_is_bounded_and_says_so(disk: Disk) -> None:
    bounded = LEDGER.model_copy(update={"queue_rows": 5})
    writer = Writer(SqliteSink(disk.path / "ledger.sqlite", bounded, mode="paper", ledger_id="desk"), bounded)
    disk.tell("slow", 1)
    numbers = iter(range(20))
    receipts: list[Receipt] = []
    with pytest.raises(LedgerError, match=r"the ledger's queue is full \(\d+ rows wait\): the disk is slow"):
        receipts.extend(writer.append([Row(n, "note", f"note:{n}", b"1")], True) for n in numbers)
    disk.tell("slow", 0)
    for receipt in receipts:
        receipt.wait(10)
    writer.close()
    assert 5 <= len(receipts) < 20
    assert verify(disk.path / "ledger.sqlite").rows == len(receipts)


# D5: errors of the disk.


@no_fuse
@pytest.mark.parametrize("times", [1, 2, 5, EVER])
@pytest.mark.parametrize("operation", ["fsync", "write"])
def test_d05_no_order_leaves_on_a_disk_that_reports_an_error(operation: str, times: int, disk: Disk) -> None:
    desk = Desk(Stage(), disk.path / "ledger.sqlite").ready()
    disk.fail(operation, errno.EIO, times)
    if times == EVER:
        held_up(desk, "the disk reports an error; check it")
        disk.fail(operation, 0, 0)
    else:
        desk.buy("held-up")
    goes_on(desk)
    assert desk.sent.count("held-up") <= 1


@no_fuse
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("times", [1, 3, 5])
def test_d05_what_a_failed_sync_forgot_is_on_the_disk_before_it_is_acknowledged(
    times: int, reads: bool, disk: Disk
) -> None:
    """Linux forgets a page whose writing failed once: a second sync succeeds, and the page is read but not kept."""
    path = disk.path / "ledger.sqlite"
    writer = Writer(SqliteSink(path, LEDGER, mode="paper", ledger_id="desk"), LEDGER)
    with ExitStack() as leaving:
        if reads:  # the log outlives the close of the writer
            somebody = leaving.enter_context(closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)))
            somebody.execute("SELECT * FROM head").fetchall()
        for number in range(5):
            disk.fail("fsync", errno.EIO, times)
            writer.append([Row(number, "note", f"note:{number}", b"1")], True).wait(10)
            disk.fail("fsync", 0, 0)
        disk.off(times)
        with pytest.raises(LedgerError):
            writer.append([Row(9, "note", "note:9", b"1")], True).wait(0.1)
    disk.on()
    assert {f"note:{number}" for number in range(5)} <= {row.key for row in LedgerReader(path, LEDGER).rows()}
    writer.close()
    assert verify(path).problems == []


@no_fuse
def test_d05_every_call_of_an_intent_fails_once(disk: Disk) -> None:
    """Step by step: the first, second, third ... write or sync of writing an order down fails; each time once."""
    stage = Stage()
    desk = Desk(stage, disk.path / "ledger.sqlite").ready()
    for step in range(12):
        operation = ("fsync", "write")[step % 2]
        disk.tell("skip", operation, step // 2)
        disk.fail(operation, errno.EIO, 1)
        desk.buy(f"step-{step}", ETH, amount="0.5", limit="9.5")
        desk.until(lambda: not desk.failure)
        desk.life.withdraw(ETH, None, stage.now)
        desk.until(lambda: not desk.failure and not desk.life.open_orders())
    disk.tell("skip", "fsync", 0)
    disk.fail("fsync", 0, 0)
    disk.fail("write", 0, 0)
    assert len(desk.sent) == len(set(desk.sent)) > 6
    goes_on(desk)


# D6, D7: locks.


LOCKS = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
held.execute("ROLLBACK")
print("free", flush=True)
"""


def test_d06_a_ledger_locked_by_another_process_holds_orders_up_and_loses_nothing(tmp_path: Path) -> None:
    desk = Desk(Stage(), tmp_path / "ledger.sqlite").ready()
    words = [sys.executable, "-c", LOCKS, str(desk.path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        held_up(desk, "it is locked by another process; stop that one")
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "free\n"
    goes_on(desk)


def test_d07_two_writers_never_meet_the_lock_that_no_waiting_helps_against(tmp_path: Path) -> None:
    """A transaction that reads before it writes is refused at once, timeout or not; ours take the lock first."""
    patient = LEDGER.model_copy(update={"busy_timeout_seconds": 20.0})
    path = tmp_path / "ledger.sqlite"
    sinks = [SqliteSink(path, patient, mode="paper", ledger_id="desk") for _ in range(2)]
    raised: list[LedgerError] = []

    def hammer(sink: SqliteSink, name: str) -> None:
        for number in range(150):
            try:
                assert sink.write([Row(number, "note", f"{name}:{number}", b"1")]) == {}
            except LedgerError as error:
                raised.append(error)

    threads = [Thread(target=hammer, args=(sink, name)) for sink, name in zip(sinks, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sink in sinks:
        sink.close()
    assert raised == []
    report = verify(path)
    assert (report.rows, report.problems) == (300, [])


# D8, D12: damage.


def test_d08_a_lost_log_is_seen_by_the_noted_head_and_the_exchange_and_nothing_is_traded_on_it(tmp_path: Path) -> None:
    stage, path = Stage(), tmp_path / "ledger.sqlite"
    Desk(stage, path).ready().writer.close()
    desk = Desk(stage, path).ready()
    desk.buy("forgotten")
    desk.until(lambda: desk.sent == ["forgotten"])
    desk.step()
    head = verify(path).head
    lost = tmp_path / "after" / "ledger.sqlite"
    lost.parent.mkdir()
    shutil.copy(path, lost)  # without the log beside it, while the process lives
    desk.writer.close()
    assert verify(lost).problems == []  # a chain alone does not see a cut tail
    assert any("head" in problem for problem in verify(lost, head).problems)
    with Desk(stage, lost) as other:
        for _ in range(100):
            other.step()
        assert other.life.halted(other.stage.kraken.server.executions[0].pair)
        assert other.buy("more") == "" or not other.life.ready
        other.step()
        assert other.sent == ["forgotten"]


def test_d12_a_flipped_bit_in_an_old_row_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writer = Writer(SqliteSink(path, LEDGER, mode="paper", ledger_id="desk"), LEDGER)
    for number in range(300):
        writer.append([Row(number, "note", f"note:{number}", b'{"text":"row %d of many"}' % number)], False)
    writer.close()
    assert verify(path).ok
    content = bytearray(path.read_bytes())
    at = content.index(b"row 17 of many")
    content[at + 1] ^= 1
    path.write_bytes(content)
    assert any("18" in problem for problem in verify(path).problems), verify(path).problems


# D9: the log.


def grow(sink: SqliteSink, first: int, megabytes: int) -> None:
    for number in range(first, first + 2 * megabytes):
        sink.write([Row(number, "note", f"note:{number}", b'"%s"' % (b"x" * 500_000))])


def test_d09_a_reader_of_ours_that_takes_its_time_does_not_make_the_log_grow(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    wal = path.with_name("ledger.sqlite-wal")
    sink = SqliteSink(path, LEDGER, mode="paper", ledger_id="desk")
    grow(sink, 0, 3)
    rows = LedgerReader(path, LEDGER.model_copy(update={"group_rows": 1})).rows()
    next(rows)  # and now it thinks about it
    grow(sink, 100, 40)
    assert wal.stat().st_size < 16 * 1024 * 1024
    assert sum(1 for _ in rows) == 85
    sink.close()


def test_d09_a_log_that_somebody_elses_reader_let_grow_is_cut_once_he_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    wal = path.with_name("ledger.sqlite-wal")
    sink = SqliteSink(path, LEDGER, mode="paper", ledger_id="desk")
    sink.write([Row(1, "first", "first:1", b"1")])
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as somebody:
        somebody.execute("BEGIN")
        somebody.execute("SELECT * FROM head").fetchall()
        grow(sink, 0, WAL_BYTES // 1_000_000 + 6)
        assert wal.stat().st_size > WAL_BYTES
    grow(sink, 1_000, 2)
    assert wal.stat().st_size <= WAL_BYTES
    sink.close()
    assert verify(path).problems == []
