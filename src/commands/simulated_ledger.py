"""The real ledger under simulated crashes: what a life of the simulation begins from is read back from SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..backtesting.simulation.disk import SimulatedDisk
from ..connectors.ledger_verify import verify
from ..connectors.sqlite_ledger import LedgerReader, SqliteSink
from ..core.config import LedgerSettings
from ..core.ports import Row

LEDGER_ID = "simulation"


class SqliteDisk(SimulatedDisk):
    """A simulated disk whose durable rows are those of a real file; after a crash they are what the file says.

    A crash leaves the connection as it stands, without a word to it, as the death of a process does.
    """

    def __init__(self, called: Callable[[str], None], path: Path, settings: LedgerSettings) -> None:
        super().__init__(called)
        self._path = path
        self._settings = settings
        self._abandoned: list[SqliteSink] = []
        self._sink = self._open()

    def _open(self) -> SqliteSink:
        return SqliteSink(self._path, self._settings, mode="paper", ledger_id=LEDGER_ID)

    def _keep(self, rows: Sequence[Row]) -> None:
        self._sink.write(rows)
        super()._keep(rows)

    def crash(self, kept: Callable[[int], int]) -> None:
        """The process is gone; the next one opens the file."""
        super().crash(kept)
        self._abandoned.append(self._sink)
        self._sink = self._open()
        self.rows = self._read()

    def _read(self) -> list[Row]:
        reader = LedgerReader(self._path, self._settings)
        return [Row(row.at, row.kind, row.key, row.body) for row in reader.rows()]

    def sound(self) -> str:
        """What `mycelial verify` would say of the file, and whether its rows are those that were made durable."""
        report = verify(self._path)
        if not report.ok:
            return "; ".join(report.problems)
        return super().sound() if self._read() == self.rows else "the file has other rows than were made durable"

    def give_back(self) -> None:
        """Close the file, those of the dead as well."""
        for sink in (*self._abandoned, self._sink):
            sink.close()
