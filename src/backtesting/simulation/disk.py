"""A disk that keeps what was durable when the power went, and of the rest a beginning at most."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ...core.errors import LedgerError
from ...core.ports import Row


class _Receipt:
    """Of one append."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait

    def wait(self, timeout: float | None = None) -> None:
        """Durable when this returns; LedgerError when it cannot be made so."""
        self._wait()


class SimulatedDisk:
    """An append-only ledger (`core.ports.Ledger`): rows of one append are kept together or not at all.

    `called` is told of every call by name, before and after it: there a schedule crashes, slows down or refuses. A key
    that is known with the same body is written already; with another body it is refused, as on the real one.
    """

    def __init__(self, called: Callable[[str], None]) -> None:
        self._called = called
        self.rows: list[Row] = []
        self.chain = hashlib.sha256(b"").digest()
        self.refusing = False
        self._keys: dict[str, bytes] = {}
        self._waiting: list[tuple[Row, ...]] = []

    def append(self, rows: Sequence[Row], durable: bool) -> _Receipt:
        """Queue rows."""
        self._called("append")
        self._waiting.append(tuple(rows))
        return _Receipt(self._sync if durable else self._nothing)

    def checkpoint(self, at: int, state: bytes) -> None:
        """Not kept: a life begins from the rows alone."""

    def close(self) -> None:
        """Write what waits."""
        self._sync()

    @property
    def idle(self) -> bool:
        """Whether everything that was appended is durable."""
        return not self._waiting

    def sound(self) -> str:
        """What is wrong with the chain of rows, "" for nothing."""
        chain, keys = hashlib.sha256(b"").digest(), set()
        for row in self.rows:
            chain = _link(chain, row)
            keys.add(row.key)
        whole = chain == self.chain and len(keys) == len(self.rows)
        return "" if whole else "the rows are not those that were chained"

    def has(self, kind: str, name: str) -> bool:
        """Whether there is a durable row of a kind whose key names something."""
        return any(row.kind == kind and name in row.key for row in reversed(self.rows))

    def crash(self, kept: Callable[[int], int]) -> None:
        """The power went: of what was not durable a beginning stands, as many appends as `kept` says of so many."""
        waiting, self._waiting = self._waiting, []
        for rows in waiting[: kept(len(waiting))]:
            self._keep(rows)

    def _nothing(self) -> None:
        """Nobody waits for these."""

    def _sync(self) -> None:
        self._called("sync")
        if self.refusing:  # the rows wait, as in the writer's queue; asked again later they may be durable
            raise LedgerError("the disk is full: make room, then resume")
        waiting, self._waiting = self._waiting, []
        for rows in waiting:
            self._keep(rows)
        self._called("synced")

    def _keep(self, rows: Sequence[Row]) -> None:
        for row in rows:
            known = self._keys.get(row.key)
            if known == row.body:
                continue
            if known is not None:
                raise LedgerError(f"{row.key}: written before with another body")
            self._keys[row.key] = row.body
            self.rows.append(row)
            self.chain = _link(self.chain, row)


def _link(before: bytes, row: Row) -> bytes:
    return hashlib.sha256(before + row.key.encode() + b"\n" + row.body).digest()
