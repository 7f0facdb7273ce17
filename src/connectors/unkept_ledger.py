"""A ledger that keeps nothing, for walks of which only the decisions count: a thousand must not fill the memory."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.ports import Row


class _Receipt:
    """Of rows that nobody keeps."""

    def wait(self, timeout: float | None = None) -> None:
        """Return at once."""


class UnkeptLedger:
    """Takes everything and forgets it."""

    def append(self, rows: Sequence[Row], durable: bool) -> _Receipt:
        """Forget the rows."""
        return _Receipt()

    def checkpoint(self, at: int, state: bytes) -> None:
        """Forget the state."""

    def close(self) -> None:
        """Nothing to give back."""
