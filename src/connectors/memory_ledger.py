"""A ledger that is a list: for tests and for backtests that keep no file. The same promises as the one on disk."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from ..core.config import LedgerSettings
from ..core.errors import LedgerError
from ..core.ports import Row
from .ledger_chain import Refused, check, conflict, dead_letter


class Kept:
    """A receipt for rows that are kept already."""

    def __init__(self, error: str | None = None) -> None:
        self._error = error

    def wait(self, timeout: float | None = None) -> None:
        """Return at once; LedgerError when a durable row was refused."""
        if self._error is not None:
            raise LedgerError(self._error)


class MemoryLedger:
    """Keeps rows in `written` and the newest checkpoint in `state`; safe to append to from several threads."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._row_bytes = settings.row_bytes
        self._lock = Lock()
        self._by_key: dict[str, Row] = {}
        self._closed = False
        self.written: list[Row] = []
        self.state: tuple[int, bytes] | None = None

    def append(self, rows: Sequence[Row], durable: bool) -> Kept:
        """Keep rows in order; a refused one becomes a dead letter, and an error of the receipt when `durable`."""
        with self._lock:
            self._refuse_closed()
            reasons = [reason for row in rows if (reason := self._keep(row)) is not None]
        return Kept("; ".join(reasons) if durable and reasons else None)

    def checkpoint(self, at: int, state: bytes) -> None:
        """Replace the state from which a restart goes on."""
        with self._lock:
            self._refuse_closed()
            self.state = (at, state)

    def rows(self, kind: str | None = None) -> list[Row]:
        """The rows kept so far, those of one kind or all."""
        return [row for row in self.written if kind is None or row.kind == kind]

    def close(self) -> None:
        """Refuse further rows."""
        self._closed = True

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LedgerError("the ledger is closed")

    def _keep(self, row: Row) -> str | None:
        """Why it was refused, None where it was not."""
        try:
            check(row, self._row_bytes)
        except Refused as refused:
            return self._refuse(row, str(refused))
        known = self._by_key.get(row.key)
        if known is None:
            self._by_key[row.key] = row
            self.written.append(row)
        elif (known.kind, known.body) != (row.kind, row.body):
            return self._refuse(row, conflict(row.key))
        return None

    def _refuse(self, row: Row, reason: str) -> str:
        letter = dead_letter(row, reason)
        if letter.key not in self._by_key:
            self._by_key[letter.key] = letter
            self.written.append(letter)
        return reason
