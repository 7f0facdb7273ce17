"""Gives a run back what it remembered: the index from the ledger, and a store beside it to browse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..connectors.chroma_memory import ChromaStore
from ..connectors.sqlite_ledger import LedgerReader
from ..connectors.state_folder import StateFolder
from ..core import records
from ..core.clock import Timer
from ..core.config import Settings
from ..core.memory import MemoryRecord
from ..core.timeframes import DAY_MS
from ..services.memory import Remembered, from_rows
from ..wiring import House

FOLDER = "memory"
"""Where the store lies in the state folder; it may be deleted while nothing runs."""


def recall(house: House, folder: StateFolder, at: int | None, timer: Timer) -> None:
    """The memory as it was after the slice of `at` (UTC ms, None: a new run), written behind from now on.

    The store is opened by a thread of its own, and fails there; nothing waits for it.
    """
    settings, memory = house.settings, house.memory
    path, dimensions = folder.ledger_path, memory.index.dimensions
    if at is not None:
        memory.rebuild(_remembered(path, settings, dimensions, at), at)

    def source() -> Iterator[MemoryRecord]:
        now = max(at or 0, house.clock.now_ms())
        return (record for _, record in _remembered(path, settings, dimensions, now))

    if settings.memory.store == "chroma":
        memory.attach(ChromaStore(folder.path / FOLDER, settings.memory, dimensions, source, timer))


def _remembered(path: Path, settings: Settings, dimensions: int, now: int) -> Iterator[Remembered]:
    """What the ledger holds and was remembered in the last `keep_days` before the day of `now`, oldest first."""
    since = now - now % DAY_MS - settings.memory.keep_days * DAY_MS
    rows = LedgerReader(path, settings.ledger).rows(records.MEMORY, since)
    return from_rows(((row.at, row.body) for row in rows), dimensions)
