"""Files that are damaged, foreign, locked, full, or whose writer was killed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.connectors.ledger_verify import verify
from src.connectors.sqlite_ledger import LedgerReader, header
from src.core.errors import LedgerError
from src.core.ports import Row
from src.services.writer import Writer
from tests.checks.ledger_checks import SETTINGS, row
from tests.connectors.test_sqlite_ledger import raw, sink_of, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


# Opening.


def test_reopening_goes_on_where_it_stopped(path: Path) -> None:
    for number in range(3):
        write(path, [row(number)])
    assert sorted(file.name for file in path.parent.iterdir()) == ["ledger.sqlite"]
    assert verify(path).rows == 3
    told = header(path, SETTINGS)
    assert (told.format, told.schema, told.mode, told.ledger_id) == ("mycelial-ledger", 1, "paper", "test")


def test_a_creation_that_was_cut_off_does_not_matter(path: Path) -> None:
    path.with_name("ledger.sqlite.new").write_bytes(b"half a file")
    write(path, [row(1)])
    assert verify(path).rows == 1


def test_pragmas_are_in_force(path: Path) -> None:
    sink = sink_of(path)
    connection = sink._open()
    values = {
        name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout")
    }
    sink.close()
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0, "busy_timeout": 200}
    assert values == expected


def flip(path: Path, needle: bytes) -> None:
    """Change one byte of the file, inside `needle`."""
    content = bytearray(path.read_bytes())
    at = content.index(needle)
    content[at] ^= 1
    path.write_bytes(content)


def damage_schema(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '7'")


def damage_foreign(path: Path) -> None:
    path.unlink()
    with raw(path) as connection:
        connection.execute("CREATE TABLE notes (text)")


def damage_cut_tail(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("DROP TRIGGER journal_no_delete")
        connection.execute("DELETE FROM journal WHERE seq = 200")


def damage_header(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("DROP TRIGGER meta_no_update")
        connection.execute("UPDATE meta SET value = '{'")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer schema": (damage_schema, r"written by a newer version \(schema 7 > 1\): upgrade .* --state"),
    "foreign": (damage_foreign, "database of another program; use another --state"),
    "truncated": (lambda path: os.truncate(path, 50_000), "damaged|cut off"),
    "cut to nothing": (lambda path: os.truncate(path, 0), "empty: it was cut off; restore a backup"),
    "text": (lambda path: path.write_text("hello"), "not an SQLite database; restore a backup"),
    "garbage behind the magic": (lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 9000), "not a ledger"),
    "flipped byte": (lambda path: flip(path, b'{"n":199}'), "was changed after it was written|damaged"),
    "cut tail": (damage_cut_tail, "not the recorded head"),
    "broken header": (damage_header, "header is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_not_sound_is_refused_and_left_alone(path: Path, name: str) -> None:
    write(path, [row(number) for number in range(200)])
    damage, message = DAMAGES[name]
    damage(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=f"ledger.sqlite.*({message})"):
        sink_of(path)
    assert path.read_bytes() == before


def test_a_paper_ledger_is_no_live_ledger(path: Path) -> None:
    sink_of(path).close()
    with pytest.raises(LedgerError, match="a paper ledger cannot be used for live; use another --state"):
        sink_of(path, "live")


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"the folder .*nowhere does not exist; create it"):
        sink_of(tmp_path / "nowhere" / "ledger.sqlite")


UNPRIVILEGED = """
import os, sys, tests.connectors.test_ledger_faults as here
from src.core.errors import LedgerError
from pathlib import Path
if os.getuid() == 0:
    os.setuid(65534)
path = Path(sys.argv[1])
for attempt in (lambda: here.sink_of(path), lambda: here.sink_of(path.with_name("other.sqlite"))):
    try:
        attempt()
    except LedgerError as error:
        print(error)
print(here.verify(path).ok, [one.key for one in here.LedgerReader(path, here.SETTINGS).rows()])
"""


def python(code: str, *arguments: str) -> str:
    told = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_a_read_only_folder_is_named_and_can_still_be_read(path: Path) -> None:
    write(path, [row(1)])
    path.chmod(0o444)
    path.parent.chmod(0o555)
    closed = [folder for folder in path.parent.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode for folder in closed}
    try:
        for folder in modes:
            folder.chmod(0o755)
        first, second, third = python(UNPRIVILEGED, str(path)).splitlines()
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
        path.parent.chmod(0o755)
    assert first.startswith(f"{path}: it may not be written")
    assert "may not be written; check its permissions" in second
    assert third == "True ['note:1']"


def test_locked_by_another_process_at_start(path: Path) -> None:
    write(path, [row(1)])
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked by another process; stop that one"):
            sink_of(path)


def test_locked_by_another_process_while_running(path: Path) -> None:
    ledger = Writer(sink_of(path), SETTINGS)
    ledger.append([row(1)], True).wait(5)
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        receipt = ledger.append([row(2)], True)
        with pytest.raises(LedgerError, match="locked by another process"):
            receipt.wait(0.6)
        other.execute("ROLLBACK")
    receipt.wait(5)
    ledger.close()
    assert verify(path).rows == 2


# Disks.


FULL_DISK = """
import resource, sys, tests.connectors.test_ledger_faults as here
here.fill_disk(here.Path(sys.argv[1]))
"""


def fill_disk(path: Path) -> None:
    """Files may not grow beyond a limit that is lifted later: the kernel itself says no, as a full disk does."""
    ledger = Writer(sink_of(path), SETTINGS)
    ledger.append([row(0)], True).wait(5)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    receipts = [ledger.append([row(number, body=b'"%s"' % (b"x" * 900))], True) for number in range(1, 400)]
    with pytest.raises(LedgerError, match="disk"):
        receipts[-1].wait(0.5)
    assert ledger.failure is not None
    ledger.checkpoint(5, b"y" * 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for receipt in receipts:
        receipt.wait(10)
    assert ledger.failure is None
    ledger.close()
    assert [one.key for one in LedgerReader(path, SETTINGS).rows()] == [f"note:{number}" for number in range(400)]
    assert verify(path).problems == []


def test_a_full_disk_keeps_rows_waiting_and_goes_on_when_space_returns(path: Path) -> None:
    python(FULL_DISK, str(path))


def test_a_full_file_system(tmp_path: Path) -> None:
    """The same on a real file system of 600 kB that grows later."""
    mount = shutil.which("mount")
    where = tmp_path / "small"
    where.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=600k", "none", str(where)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs more rights than this process has")
    try:
        ledger = Writer(sink_of(where / "ledger.sqlite"), SETTINGS)
        receipts = [ledger.append([row(number, body=b'"%s"' % (b"x" * 900))], True) for number in range(800)]
        with pytest.raises(LedgerError, match="the disk is full; free some space"):
            receipts[-1].wait(0.5)
        subprocess.run([mount, "-o", "remount,size=20m", str(where)], check=True)
        for receipt in receipts:
            receipt.wait(10)
        ledger.close()
        report = verify(where / "ledger.sqlite")
        assert (report.rows, report.problems) == (800, [])
    finally:
        subprocess.run(["umount", str(where)], check=True)


def fill_row(number: int) -> Row:
    body = (
        b'{"id":"f%d","order_id":"o","pair":"BTC/USDT","side":"buy","amount":"1","price":"1","fee":"0",'
        b'"slippage":"0","at":1}' % number
    )
    return row(number, "fill", body)


KILLED = """
import sys, tests.connectors.test_ledger_faults as here
ledger = here.Writer(here.sink_of(here.Path(sys.argv[1])), here.SETTINGS)
number = int(sys.argv[2])
while True:
    ledger.append([here.row(number, "quiet"), here.row(number, "quieter")], False)
    ledger.append([here.row(number), here.fill_row(number)], True).wait()
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    acknowledged: list[int] = []
    for kill in range(5):
        first = (kill + 1) * 1_000_000
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(first)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged.append(int(line))
                if acknowledged[-1] - first >= 20 + 7 * kill:
                    process.send_signal(signal.SIGKILL)
                    break
            acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
        report = verify(path)
        assert report.problems == []
        written = {one.key for one in LedgerReader(path, SETTINGS).rows()}
        assert {f"note:{number}" for number in acknowledged} <= written
        assert {f"fill:{number}" for number in acknowledged} <= written
    assert len(acknowledged) > 100
    write(path, [row(1)])
