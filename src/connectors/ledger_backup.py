"""Copies a ledger while it is written, and puts a copy in its place: verified before it counts, whole or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from ..core.config import LedgerSettings
from ..core.errors import InvariantError, UsageError
from .durable import sync
from .halt_file import HaltFile
from .ledger_anchor import Anchor, anchors_of
from .ledger_chain import no_ledger
from .ledger_file import engine_of, explain, inspect, open_engine, schema_of
from .ledger_schema import SCHEMA
from .ledger_standing import halted_in
from .ledger_verify import VerifyReport, read_uri, verify
from .state_folder import LEDGER, StateFolder

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file that was not closed; it belongs to that file alone."""


class Backup(msgspec.Struct, frozen=True):
    """A copy that was verified: `rows` and `head` (hexadecimal) of its chain, `mode` of its runs."""

    path: str
    rows: int
    head: str
    mode: str


class Restored(msgspec.Struct, frozen=True):
    """A ledger that stands in its place again, and where the one before it went, None where there was none.

    `halted`: why everything is halted now, empty where it is not: that belonged to the one before.
    """

    path: str
    rows: int
    head: str
    set_aside: str | None
    halted: str = ""


class Migrated(msgspec.Struct, frozen=True):
    """A ledger's schema before and after; `backup` of before, None where nothing had to change."""

    path: str
    before: int
    after: int
    backup: str | None


def back_up(ledger: Path, target: Path, settings: LedgerSettings) -> Backup:
    """Copy `ledger` as it is at one instant, however fast it is written; it is only read.

    NotFound without a ledger; UsageError where `target` is there already or cannot be written; LedgerError for one that
    cannot be read; InvariantError where the copy is not sound. Without a sound copy there is none.
    """
    mode = inspect(_there(ledger), settings).mode
    if target.exists():
        raise _taken(target)
    with _draft(target) as draft:
        report = _copied(ledger, draft)
        try:
            os.link(draft, target)
        except FileExistsError:
            raise _taken(target) from None
    return Backup(str(target), report.rows, report.head, mode)


def restore(backup: Path, folder: Path, stamp: str, settings: LedgerSettings) -> Restored:
    """Put a copy of `backup` where the ledger of the state folder `folder` is; what is there is set aside, never lost.

    `stamp` goes into the name of what is set aside. UsageError while a process runs there, or for a folder of another
    mode; NotFound, LedgerError and InvariantError as for `back_up`: the folder is as before then. Where what is there
    stood halted, or nobody can tell, and for real money always, the file HALT says so from before the exchange on.
    """
    mode = inspect(_there(backup), settings).mode
    with StateFolder.open(folder, mode) as state, _draft(state.ledger_path) as draft:
        report = _copied(backup, draft)
        halted = _keep_halted(state, backup, settings)
        aside = _set_aside(state.ledger_path, stamp)
        draft.replace(state.ledger_path)
        _note_again(state.ledger_path, report, settings)
        return Restored(str(state.ledger_path), report.rows, report.head, aside, halted)


def _keep_halted(state: StateFolder, backup: Path, settings: LedgerSettings) -> str:
    """A halt is lifted by `resume REASON` and by nothing else: what the ledger alone knew of it goes to the file."""
    flag = HaltFile(state.path)
    if state.ledger_path.exists() and not flag.read():
        why = halted_in(state.ledger_path, settings)
        if not why and state.mode == "live":
            why = "real money: look at the account before anything leaves"
        if why:
            flag.write(f"restored from {backup.name}, and before: {why}")
    return flag.read()


def _note_again(ledger: Path, report: VerifyReport, settings: LedgerSettings) -> None:
    """Whoever puts an older copy in its place means to go on from there: its head is what has to be found now."""
    anchors = anchors_of(ledger, settings.anchor_folder)
    before = anchors.last()
    if before is not None and before.head != report.head:
        anchors.note(Anchor(before.at, report.rows, report.head))


def migrate(folder: Path, stamp: str, settings: LedgerSettings) -> Migrated:
    """Bring the ledger of a state folder to this version's schema, after a backup of it; nothing runs meanwhile.

    Errors as for `back_up`, and UsageError while a process runs there.
    """
    ledger = _there(folder / LEDGER)
    header = inspect(ledger, settings)
    with StateFolder.open(folder, header.mode):
        before = _schema(ledger, settings)
        if before == SCHEMA:
            return Migrated(str(ledger), before, before, None)
        kept = back_up(ledger, ledger.with_name(f"{LEDGER}.schema-{before}-{stamp}"), settings)
        open_engine(ledger, settings, header.mode, header.ledger_id).dispose()
        return Migrated(str(ledger), before, _schema(ledger, settings), kept.path)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise no_ledger(path)
    return path


def _taken(target: Path) -> UsageError:
    return UsageError(f"{target}: there is such a file already; name another")


def _schema(path: Path, settings: LedgerSettings) -> int:
    with engine_of(path, settings, write=False).connect() as connection:
        return schema_of(connection)


def _copied(source: Path, draft: Path) -> VerifyReport:
    """A copy in one read of the whole file, in the order of its writes; verified, and on disk when this returns."""
    try:
        with (
            closing(sqlite3.connect(read_uri(source), uri=True)) as reading,
            closing(sqlite3.connect(draft)) as writing,
        ):
            reading.backup(writing)
            # One file without a log beside it: that is what is moved about.
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise explain(error, source) from error
    report = verify(draft)
    if not report.ok:
        raise InvariantError(f"{source}: a copy of it is not sound ({report.problems[0]}); ask `mycelial verify`")
    sync(draft)
    return report


def _set_aside(ledger: Path, stamp: str) -> str | None:
    """Another name for the ledger and what belongs to it; where it was stands a ledger at every moment."""
    aside = ledger.with_name(f"{ledger.name}.before-restore-{stamp}")
    if not ledger.exists():
        return None
    if aside.exists():
        raise _taken(aside)
    # A damaged one cannot be put together with its log: both are kept as they are then.
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=rw", uri=True)) as whole:
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.link(ledger, aside)
    for end in SIDE_FILES:
        beside = Path(f"{ledger}{end}")
        if beside.exists():
            beside.replace(f"{aside}{end}")
    return str(aside)


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A name beside `target` for what is to stand there; it is gone in the end, and what was done is durable."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.touch()
        yield draft
        sync(target.parent)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror or error}; choose a place that can be written") from error
    finally:
        for leftover in (draft, *(Path(f"{draft}{end}") for end in SIDE_FILES)):
            leftover.unlink(missing_ok=True)
