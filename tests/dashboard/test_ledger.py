"""The ledger as the monitor reads it: absent, foreign, old, locked, growing, long; and never written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

from dashboard.ledger import TAIL_ROWS, Ledger
from src.core.clock import Timer
from tests.dashboard import seeds


def ledger(path: Path) -> Ledger:
    return Ledger(path, Timer().seconds)


def test_no_ledger_a_foreign_one_and_an_old_one(tmp_path: Path) -> None:
    assert "mycelial run" in ledger(tmp_path / "none.sqlite").refresh()
    (tmp_path / "foreign.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 40)
    assert "mycelial verify" in ledger(tmp_path / "foreign.sqlite").refresh()
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as connection:
        connection.execute("CREATE TABLE something (id INTEGER)")
    assert "mycelial migrate" in ledger(tmp_path / "old.sqlite").refresh()


def test_a_locked_ledger_is_said_in_time_and_comes_back(tmp_path: Path) -> None:
    path = seeds.full(tmp_path / "state") / "ledger.sqlite"
    found = ledger(path)
    assert found.refresh() == ""
    seq = found.seq
    with closing(sqlite3.connect(path)) as lock:
        lock.execute("PRAGMA locking_mode=EXCLUSIVE")
        lock.execute("PRAGMA journal_mode=DELETE")
        lock.execute("BEGIN EXCLUSIVE")
        timer = Timer()
        before = timer.seconds()
        assert "locked" in found.refresh()
        assert timer.seconds() - before < 2.0
        assert found.seq == seq  # what was read is still shown
        lock.rollback()
    assert found.refresh() == ""


def test_a_ledger_is_read_on_while_it_is_written(tmp_path: Path) -> None:
    path = seeds.full(tmp_path / "state", 10) / "ledger.sqlite"
    found, done = ledger(path), Event()

    def write() -> None:
        try:
            seeds.write(path, seeds.life(1000, 10), each=40)
        finally:
            done.set()

    writer = Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        assert found.refresh() in ("", found.said)
        seen.append(found.seq)
        done.wait(0.02)
    writer.join()
    assert found.refresh() == ""
    assert seen == sorted(seen)
    assert found.streams["baseline"][1][-1] == -1.5 * 101
    assert found.marks[1][-1] == 10_000 + 1009


def test_another_ledger_in_the_same_place_is_noticed(tmp_path: Path) -> None:
    path = seeds.full(tmp_path / "state", 50) / "ledger.sqlite"
    found = ledger(path)
    found.refresh()
    for file in path.parent.glob("ledger.sqlite*"):
        file.unlink()
    assert found.refresh()
    assert found.streams == {}
    seeds.full(tmp_path / "state", 20)
    assert found.refresh() == ""
    assert found.streams["baseline"][1][-1] == -3.0


def test_a_ledger_that_is_being_made_is_known_once_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    seeds.write(path, [])
    found = ledger(path)
    assert (found.refresh(), found.header["mode"], found.start) == ("", "paper", {})
    seeds.write(path, [seeds.start_row()])
    assert (found.refresh(), found.start["feed"]) == ("", "simulated")


def test_the_monitor_cannot_write(tmp_path: Path) -> None:
    path = seeds.full(tmp_path / "state", 5) / "ledger.sqlite"
    found = ledger(path)
    assert found.rows("DELETE FROM trades") == []
    assert "readonly" in found.said
    assert found.refresh() == ""


def grown(path: Path, rows: int) -> Path:
    seeds.write(path, (one for part in ([seeds.start_row()], seeds.life(rows * 10 // 22)) for one in part))
    return path


def first_and_next(path: Path) -> tuple[Ledger, float, float]:
    """A ledger, the seconds of its first refreshes until nothing is new, and of one more."""
    timer, found = Timer(), ledger(path)
    began = timer.seconds()
    while True:
        before, said = (found.seq, found.trade_row), found.refresh()
        assert said == "" or "too busy" in said
        if not said and (found.seq, found.trade_row) == before:
            break
    took = timer.seconds() - began
    began = timer.seconds()
    found.refresh()
    return found, took, timer.seconds() - began


def test_a_long_ledger_is_read_from_its_end(tmp_path: Path) -> None:
    path = grown(tmp_path / "ledger.sqlite", 20_000)
    found, _, again = first_and_next(path)
    assert found.skipped >= 20_000 - TAIL_ROWS - 10
    assert len(found.marks[0]) > 300  # the curve of the account is whole, in samples
    assert found.marks[0][0] == seeds.START
    assert again < 3.0  # a tenth of it on a machine that does nothing else; the long test of a million rows is strict
