"""Notes a ledger's head in a second file: a tail that is cut off together with the head is seen by it alone."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from ..core.errors import LedgerError
from .durable import sync
from .ledger_verify import VerifyReport, read_uri, verify


class Anchor(msgspec.Struct, frozen=True):
    """A head as it was: when (UTC ms), after how many rows, and its hash as hexadecimal digits."""

    at: int
    rows: int
    head: str


class Anchors:
    """A file that only grows, one line an anchor. It may belong to somebody else, as long as it can be appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> Anchor | None:
        """The newest anchor, None where there is none; LedgerError for a file that cannot be read.

        A last line without its end was being written when the power went: the one before it counts.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"{self.path}: the heads cannot be read ({error.strerror}); look at its owner") from None
        try:
            return msgspec.json.decode(lines[-1], type=Anchor) if lines else None
        except msgspec.DecodeError:
            raise LedgerError(
                f"{self.path}: line {len(lines)} is no head; was it changed? Keep it for whoever looks into that, and "
                "move it away to begin anew"
            ) from None

    def note(self, anchor: Anchor) -> None:
        """Append one, on the disk when this returns; LedgerError where that cannot be."""
        new = not self.path.exists()
        try:
            with self.path.open("ab") as file:
                file.write(b"".join((self._cut(), msgspec.json.encode(anchor), b"\n")))
                file.flush()
                os.fsync(file.fileno())
            if new:
                sync(self.path.parent)
        except OSError as error:
            remedy = "make its folder, or name another as ledger.anchor_folder"
            raise LedgerError(f"{self.path}: the head cannot be noted ({error.strerror}); {remedy}") from None

    def _cut(self) -> bytes:
        """What ends a line that was not written to its end."""
        size = self.path.stat().st_size
        if not size:
            return b""
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return b"" if file.read(1) == b"\n" else b"\n"


def anchors_of(ledger: Path, folder: str | None) -> Anchors:
    """The file of this ledger in `folder`, or beside it where that is None; LedgerError for what is no ledger."""
    try:
        with closing(sqlite3.connect(read_uri(ledger), uri=True)) as connection:
            told = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
    except sqlite3.Error as error:
        raise LedgerError(f"{ledger}: it cannot be read as a ledger: {error}") from None
    if told is None:
        raise LedgerError(f"{ledger}: its header is missing")
    name = hashlib.sha256(str(told[0]).encode()).hexdigest()[:12]
    return Anchors((ledger.parent if folder is None else Path(folder)) / f"heads-{name}.jsonl")


def proven(ledger: Path, anchors: Anchors, at: int) -> VerifyReport:
    """Verify a ledger against the newest anchor; where it is sound its head of now (UTC ms) is the next one."""
    anchor = anchors.last()
    report = verify(ledger, None if anchor is None else anchor.head)
    if report.ok and (anchor is None or anchor.head != report.head):
        anchors.note(Anchor(at, report.rows, report.head))
    return report
