"""The hourly audit of a ledger that is traded on: its chain, its money, its anchored head, and what it adds up to."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Any

from ..connectors.ledger_anchor import Anchors, proven
from ..connectors.sqlite_ledger import LedgerReader
from ..core.clock import Timer, iso
from ..core.config import Settings
from ..core.errors import InvariantError, MycelialError
from ..core.ports import Clock
from ..services.supervisor.live import LiveBroker
from ..services.supervisor.register import replay

_WRITTEN_SECONDS = 1.0
"""So long the disk may take for a group of rows."""
_LOOKS = 3
"""So often rows are looked for that were handed over and are not in the file yet."""


class Audit:
    """`beat` begins one on a thread of its own when it is due, and halts everything where it found something."""

    def __init__(
        self, settings: Settings, ledger: Path, anchors: Anchors, broker: LiveBroker, clock: Clock, timer: Timer
    ) -> None:
        self.done = 0
        self._every_s, self._settings = settings.execution.audit_seconds, settings.ledger
        self._ledger, self._anchors, self._broker = ledger, anchors, broker
        self._clock, self._timer = clock, timer
        self._due_s = timer.seconds() + self._every_s
        self._thread: Thread | None = None
        self._closing = Event()
        self._found = ""

    def beat(self) -> None:
        """Between slices."""
        if self._thread is not None:
            if not self._thread.is_alive():
                self._end()
        elif self._timer.seconds() >= self._due_s and (account := self._broker.account_of_rows()) is not None:
            self._due_s = self._timer.seconds() + self._every_s
            self._thread = Thread(target=self._look, args=account, name="audit", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for the one that is under way."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _end(self) -> None:
        self._thread, self.done = None, self.done + 1
        if self._found:
            self._broker.doubted(self._found)

    def _look(self, records: int, state: dict[str, Any]) -> None:
        """On the audit's thread."""
        try:
            report = proven(self._ledger, self._anchors, self._clock.now_ms())
            self._found = "" if report.ok else report.problems[0]
            self._found = self._found or self._differs(records, state)
        except MycelialError as error:
            self._found = str(error)

    def _differs(self, records: int, state: dict[str, Any]) -> str:
        """What the ledger's rows add up to, against what is traded by."""
        for _ in range(_LOOKS):
            grown = replay(LedgerReader(self._ledger, self._settings).rows(), records)
            if grown.books.number == records:
                return "" if grown.state() == state else f"the first {records} records add up to something else"
            if self._timer.wait(self._closing, 2 * self._settings.group_seconds + _WRITTEN_SECONDS):
                return ""
        return f"only {grown.books.number} of {records} records are in the ledger"


def sound(ledger: Path, anchors: Anchors, now_ms: int) -> str:
    """That a ledger is what it was when it was written, and when its head was noted; InvariantError where not."""
    before = anchors.last()
    found = proven(ledger, anchors, now_ms)
    if not found.ok:
        raise InvariantError(f"{ledger}: {found.problems[0] if found.problems else 'broken'}; nothing is traded on it")
    return f"{found.rows} rows, " + ("head noted" if before is None else f"with the head of {iso(before.at)} in it")
