"""The head of a ledger in a second file: what it notices, and what of it survives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from src.commands import ledger as verify_command
from src.connectors.ledger_anchor import Anchor, Anchors, anchors_of, proven
from src.connectors.ledger_backup import back_up, restore
from src.connectors.ledger_file import inspect
from src.connectors.sqlite_ledger import SqliteSink
from src.connectors.state_folder import LEDGER, StateFolder
from src.core.errors import InvariantError, LedgerError
from tests.checks.ledger_checks import SETTINGS, row

ONE, TWO = Anchor(1, 10, "aa" * 32), Anchor(2, 20, "bb" * 32)


def ledger(path: Path, rows: int) -> None:
    sink = SqliteSink(path, SETTINGS, mode="live", ledger_id="one")
    assert sink.write([row(number) for number in range(rows)]) == {}
    sink.close()


def test_the_newest_counts_and_a_line_that_was_cut_off_does_not(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "heads")
    assert anchors.last() is None
    anchors.note(ONE)
    anchors.note(TWO)
    assert anchors.last() == TWO
    whole = anchors.path.read_bytes()
    anchors.path.write_bytes(whole[:-9])
    assert anchors.last() == ONE
    anchors.note(TWO)
    assert anchors.last() == TWO
    assert anchors.path.read_bytes().startswith(whole[:-9])


def test_a_file_that_was_changed_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "heads")
    anchors.path.write_text("hello\n")
    with pytest.raises(LedgerError, match="line 1 is no head"):
        anchors.last()
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match="cannot be read"):
        Anchors(tmp_path / "folder").last()
    with pytest.raises(LedgerError, match="cannot be noted"):
        Anchors(tmp_path / "nowhere" / "heads").note(ONE)


def test_a_sound_ledger_is_noted_and_one_that_lost_its_tail_is_not(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger(path, 30)
    anchors = anchors_of(path, None)
    assert anchors.path.parent == tmp_path
    assert proven(path, anchors, 5).ok
    first = anchors.last()
    assert first is not None
    assert (first.at, first.rows) == (5, 30)
    assert proven(path, anchors, 6).ok
    assert anchors.last() == first, "the same head is not noted twice"
    path.unlink()
    ledger(path, 20)
    assert anchors_of(path, None).path == anchors.path, "the same ledger by its header"
    report = proven(path, anchors, 7)
    assert [problem.partition(" noted")[0] for problem in report.problems] == [f"the head {first.head}"]
    assert anchors.last() == first


def test_the_heads_of_several_ledgers_live_in_one_folder(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.sqlite" for number in range(2)]
    for number, path in enumerate(paths):
        SqliteSink(path, SETTINGS, mode="live", ledger_id=f"run-{number}").close()
    folder = tmp_path / "heads"
    assert len({anchors_of(path, str(folder)).path for path in paths}) == 2
    with pytest.raises(LedgerError, match="cannot be read as a ledger"):
        anchors_of(tmp_path / "none.sqlite", None)


def test_d8_a_stop_that_was_none_is_known_by_the_lock(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path / "state", "paper")
    assert not folder.unclean
    lock = folder.path / "lock"
    before = lock.read_bytes()
    folder.close()
    clean = StateFolder.open(tmp_path / "state", "paper")
    assert not clean.unclean
    clean.close()
    lock.write_bytes(before)  # as a process that was killed leaves it
    after = StateFolder.open(tmp_path / "state", "paper")
    assert after.unclean
    after.close()


def test_d8_a_thorough_look_finds_an_index_that_misses_a_row(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger(path, 3)
    hidden = ("index", "orders_pair_at")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        entry = connection.execute("SELECT * FROM sqlite_master WHERE type=? AND name=?", hidden).fetchone()
        connection.execute("DELETE FROM sqlite_master WHERE type=? AND name=?", hidden)
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:  # which knows of no such index
        marks = ",".join("1" for _ in connection.execute("PRAGMA table_info(orders)"))
        connection.execute(f"INSERT INTO orders VALUES ({marks})")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?,?,?,?,?)", entry)
        connection.commit()
    assert inspect(path, SETTINGS).mode == "live", "a quick look sees nothing"
    with pytest.raises(LedgerError, match="orders_pair_at"):
        SqliteSink(path, SETTINGS, mode="live", ledger_id="one", thorough=True)


def test_who_restores_an_older_copy_goes_on_from_there(tmp_path: Path) -> None:
    with StateFolder.open(tmp_path / "state", "live") as folder:
        path = folder.ledger_path
        ledger(path, 20)
        back_up(path, tmp_path / "copy", SETTINGS)
        sink = SqliteSink(path, SETTINGS, mode="live", ledger_id="one")
        sink.write([row(number) for number in range(20, 30)])
        sink.close()
        anchors = anchors_of(path, None)
        assert proven(path, anchors, 5).ok
    restored = restore(tmp_path / "copy", tmp_path / "state", "today", SETTINGS)
    assert restored.rows == 20
    assert proven(path, anchors, 6).ok
    last = anchors.last()
    assert last is not None
    assert (last.rows, last.head) == (20, restored.head)


def test_verify_looks_for_the_noted_head_in_a_state_folder_and_in_no_copy(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    ledger(path, 5)
    verify_command.verify(tmp_path, json=True)
    anchors_of(path, None).note(Anchor(1, 6, "ab" * 32))
    with pytest.raises(InvariantError, match="its tail was cut off"):
        verify_command.verify(tmp_path, json=True)
    verify_command.verify(path.rename(tmp_path / "copy.sqlite"), json=True)
