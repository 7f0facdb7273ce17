"""The ledger on disk: a hash-chained journal in SQLite and the tables that grow from it in the same transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain as chain_values
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.config import LedgerSettings
from ..core.errors import LedgerError, NotFound
from ..core.ports import Row
from .ledger_chain import Chained, Header, Refused, chain, conflict, dead_letter, no_ledger
from .ledger_file import check_tail, empty_log, engine_of, explain, inspect, is_busy, open_engine
from .ledger_projections import PROJECTIONS, project
from .ledger_schema import CHECKPOINTS, JOURNAL, METADATA

_INSERT = "INSERT INTO journal (seq, at, kind, key, body, prev, hash) VALUES (?,?,?,?,?,?,?)"
_MOVE_HEAD = "UPDATE head SET seq = ?, hash = ?"
_UNFIT = (sa.exc.IntegrityError, OverflowError, UnicodeEncodeError)
"""What SQLite and its driver raise for values, as opposed to files."""
_ROWS = 256
"""Rows of one statement: of the widest table far fewer values than SQLite takes (32,766)."""
_SLOTS = ("a", "b")
"""Names of the two checkpoints that are kept."""


class StoredRow(msgspec.Struct, frozen=True):
    """A journal row as it was read back; `hash` as hexadecimal digits."""

    seq: int
    at: int
    kind: str
    key: str
    body: bytes
    hash: str


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands there: its device and number; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _state_hash(at: int, state: bytes) -> str:
    return hashlib.sha256(b"%d:" % at + state).hexdigest()


class SqliteSink:
    """The sink of the writer queue. Owned by one thread at a time; opening may happen in another one.

    `mode` (advise, paper, live, backtest) is stamped into a new file and must fit that of an old one. Raises
    LedgerError for a file that is damaged, foreign, newer, locked or cannot be written. `thorough`: see `inspect`.
    """

    def __init__(
        self, path: Path, settings: LedgerSettings, *, mode: str, ledger_id: str, thorough: bool = False
    ) -> None:
        self.path = path
        self._settings = settings
        self._engine = open_engine(path, settings, mode, ledger_id, thorough=thorough)
        self._connection: sa.Connection | None = None
        self._doubtful = False
        self._file = _identity(path)

    def write(self, rows: Sequence[Row]) -> dict[int, str]:
        """Write rows in one transaction; the reason of each refused row by its index, usually none.

        A key that is known with the same kind and body is written already: nothing happens. A refused row leaves
        a dead letter. LedgerError when nothing was written.
        """
        self._refuse_another_file()
        try:
            connection = self._open()
            try:
                self._write_all(connection, rows)
            except (Refused, *_UNFIT):
                return self._write_singly(connection, rows)
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise self._failed(error) from error
        return {}

    def checkpoint(self, at: int, state: bytes) -> None:
        """Write a state over the older of the two kept ones; LedgerError when that failed, and both still stand."""
        self._refuse_another_file()
        try:
            connection = self._open()
            with connection.begin():
                _write_checkpoint(connection, at, state)
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Give back the file; LedgerError when it is no longer the one that was written."""
        self._drop()
        self._engine.dispose()
        self._refuse_another_file()

    def _refuse_another_file(self) -> None:
        """What has no name any more can be written as before, and is gone with this process."""
        if _identity(self.path) != self._file:
            raise LedgerError(
                f"{self.path}: it was deleted or exchanged while it was written; put it back, or restore a backup"
            )

    def _open(self) -> sa.Connection:
        """The connection; a new one after an error, once the tail has proved sound and stands in the file itself.

        A sync that failed leaves a log that can be read and is not on the disk: what is found in it is no proof, and
        what is put behind it is lost with it. So all of it is moved into the file first.
        """
        if self._connection is None:
            with self._engine.connect() as probe:
                check_tail(probe, self.path, self._settings.group_rows)
            with self._engine.connect() as probe:
                if not empty_log(probe, self.path) and self._doubtful:
                    raise LedgerError(f"{self.path}: after an error of the disk somebody still reads it; stop that one")
            self._connection = self._engine.connect()
            self._doubtful = False
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, error: sa.exc.DBAPIError | sqlite3.Error) -> LedgerError:
        if not (isinstance(error, sa.exc.DBAPIError) and is_busy(error)):
            self._doubtful = True
            self._drop()
        return explain(error, self.path)

    def _write_all(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """The fast way: all rows at once, or IntegrityError or Refused and none."""
        with connection.begin():
            seq, prev = _head(connection)
            chained = chain(rows, seq, prev, self._settings.row_bytes)
            run = connection.exec_driver_sql
            run_rows(run, _INSERT, chained)
            project(chained, lambda sql, parameters: run_rows(run, sql, parameters))
            run(_MOVE_HEAD, (chained[-1][0], chained[-1][6]))

    def _write_singly(self, connection: sa.Connection, rows: Sequence[Row]) -> dict[int, str]:
        """The careful way, row by row in one transaction, so that one bad row does not sink the others."""
        reasons: dict[int, str] = {}
        with connection.begin():
            for index, row in enumerate(rows):
                try:
                    self._write_one(connection, row)
                except Refused as refused:
                    reasons[index] = str(refused)
                    self._write_one(connection, dead_letter(row, str(refused)))
        return reasons

    def _write_one(self, connection: sa.Connection, row: Row) -> None:
        seq, prev = _head(connection)
        chained = chain((row,), seq, prev, self._settings.row_bytes)
        known = connection.exec_driver_sql("SELECT kind, body FROM journal WHERE key = ?", (row.key,)).one_or_none()
        if known is not None:
            if tuple(known) != (row.kind, row.body.decode()):
                raise Refused(conflict(row.key))
            return
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(_INSERT, chained)
                project(chained, connection.exec_driver_sql)
                connection.exec_driver_sql(_MOVE_HEAD, (chained[-1][0], chained[-1][6]))
        except _UNFIT as error:
            cause = getattr(error, "orig", None) or error
            raise Refused(f"the row does not fit the ones before it or the tables: {cause}") from error


def run_rows(run: Callable[[str, Any], Any], sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """`sql`, an INSERT of one row, for all rows: a statement for each `_ROWS` of them, then one by one.

    Each statement gives up the interpreter once, whatever it writes: row by row whoever computes in another thread
    would keep this one waiting at every row.
    """
    whole = len(rows) // _ROWS * _ROWS
    if whole:
        many = _many(sql, len(rows[0]))
        for start in range(0, whole, _ROWS):
            run(many, tuple(chain_values.from_iterable(rows[start : start + _ROWS])))
    if whole < len(rows):
        run(sql, rows[whole:])


@cache
def _many(sql: str, width: int) -> str:
    marks = f"({','.join('?' * width)})"
    return sql.replace(marks, ",".join([marks] * _ROWS), 1)


def _head(connection: sa.Connection) -> tuple[int, bytes]:
    seq, own = connection.exec_driver_sql("SELECT seq, hash FROM head").one()
    return seq, own


def _write_checkpoint(connection: sa.Connection, at: int, state: bytes) -> None:
    slots = connection.execute(sa.select(CHECKPOINTS.c.name, CHECKPOINTS.c.number)).all()
    numbers = {slot.name: slot.number for slot in slots}
    name = min(_SLOTS, key=lambda slot: numbers.get(slot, -1))
    connection.execute(sa.delete(CHECKPOINTS).where(CHECKPOINTS.c.name == name))
    number = max(numbers.values(), default=0) + 1
    connection.execute(
        sa.insert(CHECKPOINTS).values(name=name, number=number, at=at, sha256=_state_hash(at, state), state=state)
    )


class LedgerReader:
    """Reads a ledger that may be written at the same time; holds no transaction between pages."""

    def __init__(self, path: Path, settings: LedgerSettings) -> None:
        if not path.is_file():
            raise no_ledger(path)
        self.path = path
        self._page = settings.group_rows
        self._engine = engine_of(path, settings, write=False)

    def rows(self, kind: str | None = None, since: int | None = None) -> Iterator[StoredRow]:
        """Journal rows in order: of one kind or all, from the time `since` (UTC ms) on or all."""
        query = sa.select(JOURNAL).order_by(JOURNAL.c.seq).limit(self._page)
        if kind is not None:
            query = query.where(JOURNAL.c.kind == kind)
        if since is not None:
            query = query.where(JOURNAL.c.at >= since)
        after = 0
        while page := self._select(query.where(JOURNAL.c.seq > after)):
            yield from map(_stored, page)
            after = page[-1].seq

    def row(self, key: str) -> StoredRow | None:
        """The journal row of a key; None where there is none."""
        found = self._select(sa.select(JOURNAL).where(JOURNAL.c.key == key))
        return _stored(found[0]) if found else None

    def newest(self, kind: str, before: int) -> StoredRow | None:
        """The last journal row of a kind from before the time `before` (UTC ms); None where there is none."""
        query = sa.select(JOURNAL).where(JOURNAL.c.kind == kind, JOURNAL.c.at < before)
        found = self._select(query.order_by(JOURNAL.c.seq.desc()).limit(1))
        return _stored(found[0]) if found else None

    def tail(self, count: int) -> list[StoredRow]:
        """The last `count` journal rows, oldest first."""
        newest = self._select(sa.select(JOURNAL).order_by(JOURNAL.c.seq.desc()).limit(count))
        return [_stored(row) for row in reversed(newest)]

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows of a table that grows from the journal, in the order they entered it; NotFound for another name."""
        known = sorted(projection.table for projection in PROJECTIONS.values())
        if name not in known:
            raise NotFound(f"no table {name!r} in a ledger; there are {', '.join(known)}")
        table = METADATA.tables[name]
        return [dict(row._mapping) for row in self._select(sa.select(table).order_by(table.c.seq))]

    def head(self) -> tuple[int, str]:
        """Number and hash of the last row, to be noted elsewhere."""
        row = self._select(sa.text("SELECT seq, hash FROM head"))[0]
        return row.seq, row.hash.hex()

    def checkpoint(self) -> tuple[int, bytes] | None:
        """Time and state of the newest checkpoint that is sound, or None."""
        for row in self._select(sa.select(CHECKPOINTS).order_by(CHECKPOINTS.c.number.desc())):
            if isinstance(row.state, bytes) and row.sha256 == _state_hash(row.at, row.state):
                return row.at, row.state
        return None

    def _select(self, query: sa.Executable) -> Sequence[sa.Row[Any]]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise explain(error, self.path) from error


def _stored(row: sa.Row[Any]) -> StoredRow:
    return StoredRow(row.seq, row.at, row.kind, row.key, row.body.encode(), row.hash.hex())


def header(path: Path, settings: LedgerSettings) -> Header:
    """Mode, id and schema of a sound ledger; LedgerError when it is none."""
    return inspect(path, settings)


def rebuild(path: Path, settings: LedgerSettings) -> int:
    """Empty the tables and grow them anew from the journal, in one transaction; returns the rows read.

    Nobody may be writing. The journal itself is never touched.
    """
    engine = engine_of(path, settings, write=True)
    try:
        with engine.begin() as connection:
            for projection in PROJECTIONS.values():
                connection.execute(sa.delete(METADATA.tables[projection.table]))
            return _replay(connection, settings.group_rows)
    except (sa.exc.DBAPIError, sqlite3.Error, Refused) as error:
        raise explain(error, path) from error


def _replay(connection: sa.Connection, page_rows: int) -> int:
    query = "SELECT seq, at, kind, key, body, prev, hash FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
    seq = 0
    while page := connection.exec_driver_sql(query, (seq, page_rows)).all():
        rows: list[Chained] = [tuple(row) for row in page]
        project(rows, connection.exec_driver_sql)
        seq = rows[-1][0]
    return seq
