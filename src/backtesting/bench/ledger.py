"""What the writer queue costs the spine, and what it gets through against bare SQLite with the same durability."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from ...core.clock import Timer
from ...core.ports import Ledger, Row
from ...core.records import row
from .measure import (
    MICROSECONDS,
    MILLISECONDS,
    Measured,
    Parts,
    Sizes,
    alternated,
    each_seconds,
    middle,
    percentile,
    seconds_of,
)
from .worlds import START_MS

ROWS_A_SLICE = 6
PACE_SECONDS = 120e-6
"""The work of a slice beside the append: what a busy loop stands for."""
P99 = 99.0
BLOCK_BYTES = 4096

_TABLE = (
    "CREATE TABLE journal (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, "
    "key TEXT NOT NULL UNIQUE, body TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL)"
)
_INSERT = "INSERT INTO journal VALUES (?,?,?,?,?,?,?)"
_HASH = bytes(32)


def note(number: int) -> Row:
    """A row as a slice leaves it: telemetry of some hundred bytes that no other table grows from."""
    fields = {
        "at": START_MS, "cash": "10000", "equity": "10000.5",
        "positions": {"BTC/USDT": "0.01234567", "ETH/USDT": "0.5"}, "reason": "bench", "number": number,
    }  # fmt: skip
    return row(START_MS, "bench", str(number), fields)


def spine(parts: Parts, sizes: Sizes) -> Measured:
    """Microseconds of an append of six rows, 99th percentile, with the work of a slice between two appends."""
    with TemporaryDirectory() as folder, closing(parts.writer(Path(folder) / "spine.sqlite")) as writer:
        numbers = count()
        (found,) = alternated(sizes.runs, lambda: _append_p99(writer, parts.timer, sizes.appends, numbers))
    return Measured(found)


def _append_p99(writer: Ledger, timer: Timer, appends: int, numbers: count[int]) -> float:
    lists = [[note(next(numbers)) for _ in range(ROWS_A_SLICE)] for _ in range(appends)]
    figures = []
    for rows in lists:
        started = timer.seconds()
        writer.append(rows, False)
        figures.append(timer.seconds() - started)
        while timer.seconds() - started < PACE_SECONDS:
            pass
    return MICROSECONDS * percentile(figures, P99)


def durable_commit(parts: Parts, sizes: Sizes) -> Measured:
    """Median milliseconds until one row is durable, and of an fdatasync of 4 KiB in place: what the disk can do."""
    with TemporaryDirectory() as folder, closing(parts.writer(Path(folder) / "durable.sqlite")) as writer:
        numbers = count()

        def commit() -> None:
            writer.append([note(next(numbers))], True).wait()

        ours, peers = alternated(
            sizes.runs,
            lambda: MILLISECONDS * middle(each_seconds(parts.timer, commit, sizes.commits)),
            lambda: MILLISECONDS * middle(_sync_seconds(Path(folder) / "block", parts.timer, sizes.commits)),
        )
    return Measured(ours, peers)


def _sync_seconds(path: Path, timer: Timer, times: int) -> list[float]:
    with path.open("wb", buffering=0) as file:

        def sync() -> None:
            file.seek(0)
            file.write(bytes(BLOCK_BYTES))
            (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(file.fileno())

        return each_seconds(timer, sync, times)


def throughput(parts: Parts, sizes: Sizes) -> Measured:
    """Rows a second through queue, hash chain and commit until the file is closed, and of bare `executemany`."""
    rows = [note(number) for number in range(sizes.rows)]
    group = parts.settings.ledger.group_rows
    with TemporaryDirectory() as folder:
        names = (Path(folder) / f"{number}.sqlite" for number in count())
        ours, peers = alternated(
            sizes.runs,
            lambda: len(rows) / _writer_seconds(parts.writer(next(names)), rows, parts.timer),
            lambda: len(rows) / _executemany_seconds(next(names), rows, group, parts.timer),
        )
    return Measured(ours, peers)


def _writer_seconds(writer: Ledger, rows: Sequence[Row], timer: Timer) -> float:
    lists = [rows[start : start + ROWS_A_SLICE] for start in range(0, len(rows), ROWS_A_SLICE)]

    def write() -> None:
        for one in lists:
            writer.append(one, False)
        writer.close()

    return seconds_of(timer, write)


def _executemany_seconds(path: Path, rows: Sequence[Row], group: int, timer: Timer) -> float:
    """The same columns, index, pragmas and size of a transaction; hashes are blanks."""
    tuples = [(seq, one.at, one.kind, one.key, one.body.decode(), _HASH, _HASH) for seq, one in enumerate(rows, 1)]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_TABLE)

    def write() -> None:
        for start in range(0, len(tuples), group):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, tuples[start : start + group])
            connection.execute("COMMIT")
        connection.close()

    return seconds_of(timer, write)
