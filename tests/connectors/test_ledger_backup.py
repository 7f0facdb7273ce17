"""A backup is sound or there is none, also of a ledger that is being written; what is restored over is set aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from src.connectors import ledger_file
from src.connectors.halt_file import HaltFile
from src.connectors.ledger_backup import back_up, migrate, restore
from src.connectors.ledger_standing import halted_in
from src.connectors.ledger_verify import verify
from src.connectors.sqlite_ledger import LedgerReader
from src.connectors.state_folder import StateFolder
from src.core import checkpoint, records
from src.core.errors import InvariantError, LedgerError, NotFound, UsageError
from src.core.ports import Row
from src.core.standing import Level, Standing
from src.core.types import Command, CommandKind, Pair
from src.services.writer import Writer
from tests.checks.ledger_checks import SETTINGS, row
from tests.connectors.test_sqlite_ledger import sink_of, write

STAMP = "2026-01-02T030405"


def keys(path: Path) -> list[str]:
    return [one.key for one in LedgerReader(path, SETTINGS).rows("note")]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A state folder's ledger with three rows, closed."""
    folder = tmp_path / "state"
    with StateFolder.open(folder, "paper") as state:
        written(state.ledger_path, 3)
    return folder / "ledger.sqlite"


def written(path: Path, count: int, first: int = 0) -> None:
    writer = Writer(sink_of(path), SETTINGS)
    writer.append([row(number) for number in range(first, first + count)], durable=True).wait(10)
    writer.close()


def change(path: Path) -> None:
    """Another number in a row, as nobody who goes through the database could write it."""
    content = path.read_bytes()
    assert b'{"n":1}' in content
    path.write_bytes(content.replace(b'{"n":1}', b'{"n":8}'))


@contextmanager
def busy(path: Path) -> Iterator[Writer]:
    """A ledger that is written as fast as it goes, in durable rows."""
    writer, stop, begun = Writer(sink_of(path), SETTINGS), Event(), Event()

    def write() -> None:
        number = 1000
        while not stop.is_set():
            writer.append([row(number)], durable=True).wait(10)
            number += 1
            if number == 1020:
                begun.set()

    thread = Thread(target=write)
    thread.start()
    try:
        assert begun.wait(20)
        yield writer
    finally:
        stop.set()
        thread.join()
        writer.close()


def test_d10_a_backup_of_a_ledger_that_is_written_is_a_sound_beginning_of_it(ledger: Path, tmp_path: Path) -> None:
    with busy(ledger):
        copies = [back_up(ledger, tmp_path / f"copy-{number}", SETTINGS) for number in range(5)]
    whole = keys(ledger)
    for copy in copies:
        assert verify(Path(copy.path)).ok
        assert keys(Path(copy.path)) == whole[: copy.rows]
        assert copy.mode == "paper"
    assert [copy.rows for copy in copies] == sorted(copy.rows for copy in copies)
    assert copies[0].rows >= 23
    assert verify(ledger, copies[-1].head).ok, "the head of a copy stands in the ledger that went on"


def test_a_backup_is_one_file_and_leaves_nothing_beside_it(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    back_up(ledger, tmp_path / "out" / "copy", SETTINGS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy"]
    assert not [path for path in ledger.parent.iterdir() if path.name.endswith(".part")]


def test_a_backup_never_replaces_a_file(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(UsageError, match="there is such a file already"):
        back_up(ledger, tmp_path / "copy", SETTINGS)
    assert (tmp_path / "copy").read_text() == "mine"
    with pytest.raises(UsageError, match="choose a place"):
        back_up(ledger, tmp_path / "nowhere" / "copy", SETTINGS)


def test_d08_a_ledger_that_is_damaged_or_changed_gives_no_backup(ledger: Path, tmp_path: Path) -> None:
    change(ledger)
    with pytest.raises((InvariantError, LedgerError), match=r"changed after it was written|not sound"):
        back_up(ledger, tmp_path / "copy", SETTINGS)
    ledger.write_bytes(b"no ledger")
    with pytest.raises(LedgerError, match="not an SQLite database"):
        back_up(ledger, tmp_path / "copy", SETTINGS)
    with pytest.raises(NotFound):
        back_up(tmp_path / "none", tmp_path / "copy", SETTINGS)
    assert not (tmp_path / "copy").exists()


def test_a_backup_comes_back_and_what_stood_there_is_set_aside(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    written(ledger, 4, first=3)
    done = restore(tmp_path / "copy", ledger.parent, STAMP, SETTINGS)
    assert (done.rows, keys(ledger)) == (3, ["note:0", "note:1", "note:2"])
    assert done.set_aside == f"{ledger}.before-restore-{STAMP}"
    assert len(keys(Path(done.set_aside))) == 7
    assert (done.halted, HaltFile(ledger.parent).read()) == ("", ""), "nobody had halted anything"
    written(ledger, 1, first=3)
    assert verify(ledger).rows == 4


def test_the_log_of_a_crashed_process_goes_with_its_ledger(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    reader = sqlite3.connect(ledger)  # keeps the log from being taken in when the writer closes
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM journal").fetchone()
    written(ledger, 2, first=3)
    assert Path(f"{ledger}-wal").stat().st_size > 0
    done = restore(tmp_path / "copy", ledger.parent, STAMP, SETTINGS)
    reader.close()
    assert keys(ledger) == ["note:0", "note:1", "note:2"]
    assert len(keys(Path(str(done.set_aside)))) == 5


def test_a_damaged_ledger_can_be_restored_over(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    ledger.write_bytes(ledger.read_bytes()[:5000])
    done = restore(tmp_path / "copy", ledger.parent, STAMP, SETTINGS)
    assert done.rows == 3
    assert "nobody can tell how it stood" in done.halted
    assert verify(ledger).ok


def commands(*kinds: tuple[CommandKind, Pair | None]) -> list[Row]:
    """Rows of commands, one a slice."""
    made = (Command(kind, f"why {at}", "control", pair, id=str(at)) for at, (kind, pair) in enumerate(kinds))
    return [records.row(at, "command", f"{at}:1", command) for at, command in enumerate(made)]


HALT, RESUME, FIRE = CommandKind.HALT, CommandKind.RESUME, CommandKind.EMERGENCY_SHUTDOWN
BTC = Pair("BTC/USD")
COORDINATOR = {"at": "x", "kind": "halt", "reason": "differs", "source": "coordinator", "level": "halted"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], ""),
        (commands((HALT, None)), "all reduce_only: why 0"),
        (commands((HALT, None), (RESUME, None)), ""),
        (commands((HALT, None), (HALT, BTC), (RESUME, None)), "BTC/USD reduce_only: why 1"),
        (commands((FIRE, None)), "all reduce_only: emergency shutdown: why 0"),
        ([records.row(0, "asked", "0", Command(HALT, "now", "control", id="0"))], "all reduce_only: now"),
        ([records.row(3, "decisions", "3", {"lines": [COORDINATOR]})], "all halted: differs"),
    ],
    ids=["never", "halted", "resumed", "pair", "emergency", "asked", "coordinator"],
)
def test_a_halt_of_the_ledger_before_stays_in_force(ledger: Path, tmp_path: Path, rows: list[Row], why: str) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    if rows:
        write(ledger, rows)
    done = restore(tmp_path / "copy", ledger.parent, STAMP, SETTINGS)
    assert done.halted == (f"restored from copy, and before: {why}" if why else "")
    assert HaltFile(ledger.parent).read() == done.halted
    assert restore(tmp_path / "copy", ledger.parent, f"{STAMP}-2", SETTINGS).halted == done.halted, "until a resume"


def test_a_checkpoint_says_how_it_stood_and_one_that_says_nothing_is_halted(ledger: Path) -> None:
    standing = Standing()
    for state, why in (({}, "all halted: how it stood before the restart is not known"), ({"standing": []}, "")):
        sink = sink_of(ledger)
        sink.checkpoint(5, checkpoint.dump(state))
        sink.close()
        assert halted_in(ledger, SETTINGS) == why
    standing.throw(Level.HALTED, "storm", "file")
    sink = sink_of(ledger)
    sink.write(commands((RESUME, None)))
    sink.checkpoint(6, checkpoint.dump({"standing": standing.state()}))
    sink.close()
    assert halted_in(ledger, SETTINGS) == "all halted: storm"


def test_real_money_is_halted_whatever_the_ledger_before_says(ledger: Path, tmp_path: Path) -> None:
    folder = tmp_path / "live"
    with StateFolder.open(folder, "live") as state:
        sink = sink_of(state.ledger_path, "live")
        sink.close()
        back_up(state.ledger_path, tmp_path / "copy", SETTINGS)
    assert "real money" in restore(tmp_path / "copy", folder, STAMP, SETTINGS).halted


def test_a_new_folder_takes_a_backup(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    done = restore(tmp_path / "copy", tmp_path / "fresh", STAMP, SETTINGS)
    assert done.set_aside is None
    assert keys(tmp_path / "fresh" / "ledger.sqlite") == keys(ledger)


def test_nothing_is_restored_under_a_process_or_into_another_mode(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    with StateFolder.open(ledger.parent, "paper"), pytest.raises(UsageError, match="in use"):
        restore(tmp_path / "copy", ledger.parent, STAMP, SETTINGS)
    with StateFolder.open(tmp_path / "live", "live"):
        pass
    with pytest.raises(UsageError, match="this folder holds live"):
        restore(tmp_path / "copy", tmp_path / "live", STAMP, SETTINGS)
    assert keys(ledger) == ["note:0", "note:1", "note:2"]


def test_a_damaged_backup_changes_nothing(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy", SETTINGS)
    change(tmp_path / "copy")
    before = ledger.read_bytes()
    with pytest.raises((InvariantError, LedgerError)):
        restore(tmp_path / "copy", ledger.parent, STAMP, SETTINGS)
    assert ledger.read_bytes() == before
    assert not [name for name in os.listdir(ledger.parent) if name.endswith((".part", STAMP))]


def test_d11_a_ledger_of_this_version_needs_no_migration_and_a_newer_one_is_refused(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = migrate(ledger.parent, STAMP, SETTINGS)
    assert (done.before, done.after, done.backup) == (1, 1, None)
    monkeypatch.setattr(ledger_file, "SCHEMA", 0)
    with pytest.raises(LedgerError, match="written by a newer version"):
        migrate(ledger.parent, STAMP, SETTINGS)
