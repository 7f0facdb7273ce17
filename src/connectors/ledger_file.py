"""Opening a ledger's file: nothing is written to one that is damaged, foreign, newer, or of another mode."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from ..core import canonical
from ..core.config import LedgerSettings
from ..core.errors import LedgerError
from .durable import sync
from .ledger_chain import FORMAT, Header, genesis, stored_hash
from .ledger_schema import SCHEMA
from .ledger_verify import read_uri

MAGIC = b"SQLite format 3\x00"
WAL_BYTES = 64 * 1024 * 1024
"""A write-ahead log that a long reader made longer is cut to this once he is gone; part of no result."""
CACHE_KIB = 64 * 1024
"""What a writer may keep of the file in memory: keys come in any order, so that all of a long index is in use."""
MIGRATIONS = Path(__file__).parent / "migrations"
_RESTORE = "restore a backup, or move the file away to start a new ledger"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "it is locked by another process; stop that one, or use another --state",
    sqlite3.SQLITE_LOCKED: "it is locked by another process; stop that one, or use another --state",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "it may not be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder exists and may be written",
    sqlite3.SQLITE_PERM: "it cannot be opened; check the permissions of the file and its folder",
    sqlite3.SQLITE_CORRUPT: f"it is damaged; {_RESTORE}",
    sqlite3.SQLITE_NOTADB: f"it is not a ledger; {_RESTORE}",
    sqlite3.SQLITE_IOERR: "the disk reports an error; check it",
}


def explain(error: BaseException, path: Path) -> LedgerError:
    """The database's error in words: the file, the cause, the remedy."""
    cause = getattr(error, "orig", None) or error
    remedy = _REMEDIES.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    return LedgerError(f"{path}: {remedy} ({cause})" if remedy else f"{path}: {cause}")


def is_busy(error: sa.exc.DBAPIError) -> bool:
    """Whether another process holds the lock; the connection is as good as before."""
    return (getattr(error.orig, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def engine_of(path: Path, settings: LedgerSettings, *, write: bool) -> sa.Engine:
    """Connections of this ledger: transactions of a writer are IMMEDIATE, those of a reader cannot write."""
    uri = f"{path.absolute().as_uri()}?mode=rw" if write else read_uri(path)

    def connect() -> Any:
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=settings.busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        _prepare(connection, write)
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    start = "BEGIN IMMEDIATE" if write else "BEGIN"
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(start))
    return engine


def _prepare(connection: sqlite3.Connection, write: bool) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    if not write:
        return
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, level) != ("wal", 2):
        connection.close()
        raise LedgerError(f"journal_mode={mode}, synchronous={level}: a ledger needs WAL and FULL; use a local disk")


def open_engine(
    path: Path, settings: LedgerSettings, mode: str, ledger_id: str, *, thorough: bool = False
) -> sa.Engine:
    """The writing engine of a sound ledger of this mode, made or brought to this schema if need be.

    `thorough`: look at every page and index of it first, as after a stop that was none. LedgerError names the file and
    the remedy, and leaves the file as it was.
    """
    try:
        if not path.exists():
            _create(path, settings, mode, ledger_id)
        inspect(path, settings, mode, thorough=thorough)
        engine = engine_of(path, settings, write=True)
        with engine.begin() as connection:
            migrate(connection)
    except (sa.exc.DBAPIError, sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    return engine


def _create(path: Path, settings: LedgerSettings, mode: str, ledger_id: str) -> None:
    """Make the ledger under another name first, so that a file of this name is always a whole one."""
    if not path.parent.is_dir():
        raise LedgerError(f"{path}: the folder {path.parent} does not exist; create it")
    if not os.access(path.parent, os.W_OK):
        raise LedgerError(f"{path}: the folder {path.parent} may not be written; check its permissions")
    fresh = path.with_name(f"{path.name}.new")
    for leftover in (fresh, *(Path(f"{fresh}{end}") for end in ("-wal", "-shm", "-journal"))):
        leftover.unlink(missing_ok=True)
    fresh.touch(exist_ok=False)
    engine = engine_of(fresh, settings, write=True)
    with engine.begin() as connection:
        migrate(connection)
        _stamp(connection, mode, ledger_id)
    engine.dispose()
    fresh.rename(path)
    sync(path.parent)


def _stamp(connection: sa.Connection, mode: str, ledger_id: str) -> None:
    header = canonical.encode(Header(FORMAT, SCHEMA, mode, ledger_id))
    connection.exec_driver_sql("INSERT INTO meta (name, value) VALUES ('header', ?)", (header.decode(),))
    connection.exec_driver_sql("INSERT INTO head (id, seq, hash) VALUES (1, 0, ?)", (genesis(header),))


def empty_log(connection: sa.Connection, path: Path) -> bool:
    """Move everything of the write-ahead log into the file, durably; False where a reader stands in the way.

    The connection must not be in a transaction. LedgerError when the disk reports an error.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    if driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        return False
    log = path.with_name(f"{path.name}-wal")
    try:
        if log.exists():
            sync(log)  # or an old beginning of it could come back, and hide what is newer in the file
    except OSError as error:
        raise LedgerError(f"{path}: {_REMEDIES[sqlite3.SQLITE_IOERR]} ({error})") from error
    return True


def migrate(connection: sa.Connection) -> None:
    """Bring the schema to this version, within the caller's transaction."""
    if schema_of(connection) == SCHEMA:
        return
    from alembic import command  # here, since importing it takes longer than opening a sound ledger
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def schema_of(connection: sa.Connection) -> int:
    """The schema version of a file; 0 when it has none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return 0
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return int(version) if version is not None and str(version).isdigit() else 0


def inspect(path: Path, settings: LedgerSettings, mode: str | None = None, *, thorough: bool = False) -> Header:
    """What the file says of itself; LedgerError unless it is a sound ledger (of `mode`, if given). Writes nothing.

    A quick look finds broken pages, a `thorough` one indexes that disagree with their tables, too.
    """
    look = "integrity_check" if thorough else "quick_check"
    _refuse_not_a_file(path)
    try:
        with engine_of(path, settings, write=False).connect() as connection:
            header = _header(connection, path)
            if mode is not None and header.mode != mode:
                raise LedgerError(f"{path}: a {header.mode} ledger cannot be used for {mode}; use another --state")
            found = [str(line) for (line,) in connection.exec_driver_sql(f"PRAGMA {look}")]
            if found != ["ok"]:
                raise LedgerError(f"{path}: it is damaged ({found[0]}); {_RESTORE}")
            check_tail(connection, path, settings.group_rows)
    except sa.exc.DBAPIError as error:
        raise explain(error, path) from error
    return header


def _refuse_not_a_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}; check the path and its permissions") from error
    if start != MAGIC:
        what = "empty: it was cut off" if not start else "not an SQLite database"
        raise LedgerError(f"{path}: the file is {what}; {_RESTORE}")


def _header(connection: sa.Connection, path: Path) -> Header:
    tables = set(sa.inspect(connection).get_table_names())
    if not {"alembic_version", "meta", "head", "journal"} <= tables:
        raise LedgerError(f"{path}: this is the database of another program; use another --state")
    schema = schema_of(connection)
    if schema > SCHEMA:
        raise LedgerError(
            f"{path}: written by a newer version (schema {schema} > {SCHEMA}): upgrade Mycelial Finance "
            "or use another --state"
        )
    raw = connection.exec_driver_sql("SELECT value FROM meta WHERE name = 'header'").scalar()
    try:
        return msgspec.json.decode(raw or "", type=Header)
    except msgspec.DecodeError as error:
        raise LedgerError(f"{path}: its header is damaged; {_RESTORE}") from error


def check_tail(connection: sa.Connection, path: Path, count: int) -> None:
    """Recompute the hashes of the last `count` rows up to the recorded head; LedgerError when one differs."""
    head = connection.exec_driver_sql("SELECT seq, hash FROM head").one_or_none()
    rows = connection.exec_driver_sql(
        "SELECT seq, at, kind, key, body, prev, hash FROM journal ORDER BY seq DESC LIMIT ?", (count,)
    ).all()
    header = connection.exec_driver_sql("SELECT value FROM meta WHERE name = 'header'").scalar_one()
    expected = (0, genesis(header.encode())) if not rows else (rows[0][0], rows[0][6])
    if head is None or tuple(head) != expected:
        raise LedgerError(f"{path}: the last row is not the recorded head: rows were cut off or added; {_RESTORE}")
    for index, (seq, at, kind, key, body, prev, own) in enumerate(rows):
        before = rows[index + 1][6] if index + 1 < len(rows) else prev
        if prev != before or own != stored_hash(prev, seq, at, kind, key, body):
            raise LedgerError(f"{path}: row {seq} was changed after it was written; {_RESTORE}")
