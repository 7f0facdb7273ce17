"""Proves or refutes a ledger without the code that wrote it: the chain, the tables, and the money.

Reads through the standard library alone, never writes, and needs no running process.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from ..core.errors import LedgerError
from ..core.types import MONEY_STEP, Stream
from .ledger_chain import Chained, Refused, genesis, no_ledger, stored_hash
from .ledger_projections import PROJECTIONS, FillBody, project

PAGE = 1000
"""Rows read at once; bounds memory, changes no result."""
MOST_PROBLEMS = 20
"""Problems listed; one tampered row can break every row behind it."""


class VerifyReport(msgspec.Struct, frozen=True):
    """`head` is the hash of the last row as hexadecimal digits: keep it elsewhere to notice a cut tail later."""

    ok: bool
    rows: int
    head: str
    problems: list[str]


class _Start(msgspec.Struct):
    cash: Decimal


class _Mark(msgspec.Struct):
    cash: Decimal
    positions: dict[str, Decimal]


class _Findings(list[str]):
    """Problems found so far; stops listing where more would not help."""

    def append(self, problem: str) -> None:
        if len(self) < MOST_PROBLEMS:
            super().append(problem)


def read_uri(path: Path) -> str:
    """The URI that opens a ledger for reading; `immutable` where nobody can be writing (read-only folder, no WAL)."""
    wal = path.with_name(f"{path.name}-wal")
    sealed = not os.access(path.absolute().parent, os.W_OK) and not wal.exists()
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if sealed else ''}"


def verify(path: Path | str, expected_head: str | None = None) -> VerifyReport:
    """Check everything a ledger promises; `expected_head` is a head that was noted before and must still be in it.

    Rows are numbered without a gap, each hash follows from the row before, the last row is the recorded head,
    the tables equal what the journal says, the account's fills add up to the positions of every `mark` and, from
    the `start` row's cash on, to its cash, exactly. A mark counts the fills that stand before it. NotFound when
    there is no such file.
    """
    path = Path(path)
    if not _is_file(path):
        raise no_ledger(path)
    findings = _Findings()
    chain = _ChainCheck(findings, expected_head)
    try:
        connection = sqlite3.connect(read_uri(path), uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")
            _check(connection, chain, findings)
        finally:
            connection.close()
    except sqlite3.Error as error:
        findings.append(f"the file cannot be read as a ledger: {error}")
    return VerifyReport(not findings, chain.seq, chain.prev.hex(), list(findings))


def _check(connection: sqlite3.Connection, chain: _ChainCheck, findings: _Findings) -> None:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            findings.append(f"the file is damaged: {line}")
    header = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
    if header is None:
        findings.append("the header is missing")
        return
    chain.start(genesis(str(header[0]).encode()))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        _walk(connection, chain, _TablesCheck(findings, memory), _MoneyCheck(findings))


def _walk(connection: sqlite3.Connection, chain: _ChainCheck, tables: _TablesCheck, money: _MoneyCheck) -> None:
    for page in _pages(connection):
        sound = [row for row in page if chain.follow(row)]
        tables.apply(sound)
        for row in sound:
            money.see(row)
    chain.end(connection.execute("SELECT seq, hash FROM head").fetchone())
    tables.compare(connection)


def _pages(connection: sqlite3.Connection) -> Iterator[list[Chained]]:
    rows = connection.execute("SELECT seq, at, kind, key, body, prev, hash FROM journal ORDER BY seq")
    while page := rows.fetchmany(PAGE):
        yield page


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}; it can be checked only by those who may read it") from error


class _ChainCheck:
    """Walks the hashes from the header to the head."""

    def __init__(self, findings: _Findings, expected: str | None) -> None:
        self.seq = 0
        self.prev = b""
        self._findings = findings
        self._expected = expected.lower() if expected is not None else None

    def start(self, first: bytes) -> None:
        self.prev = first
        self._meet(first)

    def follow(self, row: Chained) -> bool:
        """Whether the row is one that its own hash describes."""
        seq, at, kind, key, body, prev, own = row
        if seq != self.seq + 1:
            self._findings.append(f"rows {self.seq + 1} to {seq - 1} are missing")
        if prev != self.prev:
            self._findings.append(f"row {seq} does not follow row {self.seq}: rows were inserted, deleted or moved")
        sound = stored_hash(prev, seq, at, kind, key, body) == own
        if not sound:
            self._findings.append(f"row {seq} ({kind} {key}) was changed after it was written")
        self.seq, self.prev = seq, own
        self._meet(own)
        return sound

    def end(self, head: tuple[int, bytes] | None) -> None:
        if head is None:
            self._findings.append("the recorded head is missing")
        elif head != (self.seq, self.prev):
            self._findings.append(
                f"the last row is {self.seq}, the recorded head {head[0]}: rows were cut off or added"
            )
        if self._expected is not None:
            self._findings.append(f"the head {self._expected} noted before is not in this ledger: its tail was cut off")

    def _meet(self, own: bytes) -> None:
        if self._expected is not None and bytes(own).hex() == self._expected:
            self._expected = None


class _TablesCheck:
    """Grows the tables anew, in memory, and compares."""

    def __init__(self, findings: _Findings, memory: sqlite3.Connection) -> None:
        self._findings = findings
        self._memory = memory
        for projection in PROJECTIONS.values():
            columns = ",".join(projection.columns)
            self._memory.execute(f"CREATE TABLE {projection.table} ({columns}, UNIQUE ({projection.key}))")

    def apply(self, rows: list[Chained]) -> None:
        try:
            project(rows, self._memory.executemany)
        except (Refused, sqlite3.Error) as error:
            self._findings.append(f"rows {rows[0][0]} to {rows[-1][0]}: {error}")

    def compare(self, connection: sqlite3.Connection) -> None:
        for projection in PROJECTIONS.values():
            query = f"SELECT {','.join(projection.columns)} FROM {projection.table} ORDER BY {projection.key}"
            self._compare(projection.table, connection.execute(query), self._memory.execute(query))

    def _compare(self, table: str, found: sqlite3.Cursor, expected: sqlite3.Cursor) -> None:
        while True:
            here, there = found.fetchone(), expected.fetchone()
            if here != there:
                self._findings.append(f"table {table} differs from the journal: {here} instead of {there}")
                return
            if here is None:
                return


class _MoneyCheck:
    """Books the account's fills as the portfolio does, in its order, and compares at every mark."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._cash: Decimal | None = None
        self._held: dict[str, Decimal] = {}
        self._broken = False

    def see(self, row: Chained) -> None:
        seq, _, kind, _, body, _, _ = row
        try:
            if kind == "start" and self._cash is None:
                self._cash = msgspec.json.decode(body, type=_Start).cash
            elif kind == "fill":
                self._book(msgspec.json.decode(body, type=FillBody))
            elif kind == "mark" and not self._broken:
                self._compare(seq, msgspec.json.decode(body, type=_Mark))
        except (msgspec.ValidationError, InvalidOperation) as error:
            self._findings.append(f"row {seq} ({kind}): {error}")

    def _book(self, fill: FillBody) -> None:
        if fill.stream != Stream.SYNTHESIZED.value:
            return
        notional, sign = (fill.amount * fill.price).quantize(MONEY_STEP), 1 if fill.side == "buy" else -1
        self._held[fill.pair] = self._held.get(fill.pair, Decimal(0)) + sign * fill.amount
        if self._cash is None:
            return
        if fill.side == "buy":
            self._cash -= notional + fill.fee + fill.slippage
        else:
            self._cash += notional - fill.fee - fill.slippage

    def _compare(self, seq: int, mark: _Mark) -> None:
        """The first mark that differs is told; those behind it differ for the same reason."""
        held = {pair: amount for pair, amount in self._held.items() if amount}
        positions = {pair: amount for pair, amount in mark.positions.items() if amount}
        for pair in sorted(held.keys() | positions.keys()):
            if held.get(pair, 0) != positions.get(pair, 0):
                self._report(f"row {seq}: fills of {pair} add up to {held.get(pair, 0)}, held {positions.get(pair, 0)}")
        if self._cash is None:
            self._report(f"row {seq}: no `start` row before this mark says what cash the account began with")
        elif self._cash != mark.cash:
            self._report(
                f"row {seq}: start, fills, fees and slippage give cash {self._cash}, the mark says {mark.cash}"
            )

    def _report(self, problem: str) -> None:
        self._broken = True
        self._findings.append(problem)
