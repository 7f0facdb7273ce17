"""The single-writer queue: the one thread that may touch the ledger, and the microseconds it costs everybody else.

Appending hands over a list of rows and goes on. The thread writes them in groups, one transaction each: it waits
up to `group_seconds` for more rows, unless a durable row is among them. Nothing is dropped: a full queue makes
the caller wait, a failing disk makes the rows wait, and both say so after `durable_timeout_seconds`.

What may be read without a lock is written by one side only: callers (one at a time, under `_intake`) count what
came in, the thread counts what is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Protocol

from ..core.clock import Timer
from ..core.config import LedgerSettings
from ..core.errors import LedgerError
from ..core.ports import Receipt, Row


class Sink(Protocol):
    """Where groups of rows end up. Used by one thread at a time."""

    def write(self, rows: Sequence[Row]) -> Mapping[int, str]:
        """Write the rows in one transaction; returns the reason of each refused row by its index.

        LedgerError when nothing at all was written; the same rows may then be offered again.
        """
        ...

    def checkpoint(self, at: int, state: bytes) -> None:
        """Replace the state from which a restart goes on; LedgerError when it could not be written."""
        ...

    def close(self) -> None:
        """Give back the file."""
        ...


class _Entry:
    """One call's rows (or checkpoint) on the way, and the caller's receipt for them."""

    __slots__ = ("_event", "_writer", "checkpoint", "done", "durable", "error", "rows")

    def __init__(self, writer: Writer, rows: Sequence[Row], durable: bool) -> None:
        self._writer = writer
        self._event: Event | None = None
        self.rows = rows
        self.durable = durable
        self.checkpoint: tuple[int, bytes] | None = None
        self.done = False
        self.error: str | None = None

    def wait(self, timeout: float | None = None) -> None:
        """Return when COMMIT has returned; LedgerError when a row was refused or the time is up.

        None waits for `durable_timeout_seconds`. In block mode nothing is waited for: `close` tells.
        """
        if not self.done and self._writer.wait_durable:
            self._writer.wait_for(self, timeout)
        if self.error is not None:
            raise LedgerError(self.error)

    def finish(self, error: str | None = None) -> None:
        """Called by the writing thread alone."""
        self.error = error
        self.done = True
        if self._event is not None:
            self._event.set()

    def event(self) -> Event:
        """The event that `finish` sets; whoever asks for it looks at `done` afterwards."""
        if self._event is None:
            self._event = Event()
        return self._event


class _Unwaited:
    """The receipt of rows for which nobody waits: `Writer.close` tells."""

    def wait(self, timeout: float | None = None) -> None:
        """Return at once."""


_UNWAITED = _Unwaited()


class Writer:
    """Implements the Ledger port over a Sink. Use it from any thread; `close` it once.

    `wait_durable=False` is for backtests: rows of many calls travel in one block, durable ones as telemetry does,
    until they are worth a large transaction, and receipts do not wait, so that the thread takes as little of the
    interpreter as it can; `close` says what could not be written.
    """

    def __init__(
        self, sink: Sink, settings: LedgerSettings, timer: Timer | None = None, *, wait_durable: bool = True
    ) -> None:
        self.wait_durable = wait_durable
        self.failure: str | None = None
        self.refused = 0
        self._sink = sink
        self._settings = settings
        self._half_full = max(1, settings.queue_rows // 2)
        self._patience = settings.group_seconds if wait_durable else settings.durable_timeout_seconds
        self._worth = settings.group_rows if wait_durable else max(settings.group_rows, self._half_full // 4)
        self._most_rows = settings.group_rows if wait_durable else max(settings.group_rows, self._half_full)
        self._block: list[Row] = []  # where nobody waits: rows that are no entry yet
        self._timer = timer or Timer()
        self._entries: deque[_Entry] = deque()
        self._intake = Lock()
        self._put = self._done = 0
        self._durable_put = self._durable_done = 0
        self._latest_checkpoint: _Entry | None = None
        self._closing = self._idle = self._stopped = False
        self._offering = False  # the sink has the rows of the group, and nobody can say yet whether they are written
        self._first_refusal = ""
        self._close_failure: str | None = None
        self._group: list[_Entry] = []
        self._wake, self._room, self._quit = Event(), Event(), Event()
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Rows that were appended and are not committed yet."""
        return self._put - self._done

    def append(self, rows: Sequence[Row], durable: bool) -> Receipt:
        """Queue rows in order, to be committed together; the caller must not change the list afterwards.

        Waits while the queue is full. LedgerError when there is no room in time, or after `close`.
        """
        if not self.wait_durable and self._join_block(rows):
            return _UNWAITED
        entry = _Entry(self, rows, durable and self.wait_durable)
        if not rows:
            entry.finish()
            return entry
        if not self._offer(entry):
            self._wait_for_room(entry)
        # Waking the thread costs the spine more than everything else here, so telemetry waits for its time.
        if (self._idle or entry.durable or self.backlog >= self._half_full) and not self._wake.is_set():
            self._wake.set()
        return entry

    def withdraw(self, receipt: Receipt) -> bool:
        """Take back rows that are still queued; False where they are written, or are being written at this moment."""
        with self._intake:
            if not isinstance(receipt, _Entry) or receipt.done or (self._offering and receipt in self._group):
                return False
            self._put -= len(receipt.rows)
            self._durable_put -= receipt.durable
            receipt.rows, receipt.durable = (), False
        return True

    def checkpoint(self, at: int, state: bytes) -> None:
        """Queue a state behind the rows appended so far; one that still waits is superseded."""
        entry = _Entry(self, (), False)
        entry.checkpoint = (at, state)
        with self._intake:
            self._refuse_stopped()
            if self._latest_checkpoint is not None:
                self._latest_checkpoint.checkpoint = None
            self._latest_checkpoint = entry
            self._close_block()
            self._entries.append(entry)
        self._wake.set()

    def close(self) -> None:
        """Write what is queued, stop the thread, close the sink; LedgerError says how many rows were lost."""
        with self._intake:
            self._closing = True
        self._quit.set()
        self._wake.set()
        self._join()
        if self._thread.is_alive():
            raise LedgerError(f"the disk is slow: {self.backlog} rows are not durable yet")
        if self.backlog:
            raise LedgerError(f"{self.backlog} rows could not be written: {self.failure}")
        if self._close_failure is not None:
            raise LedgerError(self._close_failure)
        if self.refused and not self.wait_durable:
            raise LedgerError(f"{self.refused} rows were refused; the first: {self._first_refusal}")

    def _join(self) -> None:
        """Wait for the thread for as long as it makes progress."""
        before = -1
        while self._thread.is_alive() and before != self.backlog:
            before = self.backlog
            self._thread.join(self._settings.durable_timeout_seconds)

    def wait_for(self, entry: _Entry, timeout: float | None) -> None:
        """Wait until `entry` is done; LedgerError when the time is up, with the cause where one is known."""
        seconds = self._settings.durable_timeout_seconds if timeout is None else timeout
        with self._intake:
            event = entry.event()
        if not entry.done and not self._timer.wait(event, seconds) and not entry.done:
            cause = self.failure or "the disk is slow"
            raise LedgerError(f"{len(entry.rows)} rows are not durable after {seconds:g} s: {cause}; they stay queued")

    # The callers' side.

    def _join_block(self, rows: Sequence[Row]) -> bool:
        """Put rows to those that wait for the thread already; False where there is no room."""
        count = len(rows)
        with self._intake:
            if self._closing or self._stopped:
                self._refuse_stopped()
            if self._put - self._done + count > self._settings.queue_rows:
                return False
            self._block += rows
            self._put += count
        if count and (self._idle or self.backlog >= self._worth) and not self._wake.is_set():
            self._wake.set()
        return True

    def _close_block(self) -> None:
        """Make an entry of the rows that are none yet; `_intake` is held."""
        if self._block:
            self._entries.append(_Entry(self, self._block, False))
            self._block = []

    def _offer(self, entry: _Entry) -> bool:
        count = len(entry.rows)
        with self._intake:
            if self._closing or self._stopped:
                self._refuse_stopped()
            backlog = self._put - self._done
            if backlog and backlog + count > self._settings.queue_rows:
                return False
            self._close_block()
            self._entries.append(entry)
            self._put += count
            if entry.durable:
                self._durable_put += 1
        return True

    def _wait_for_room(self, entry: _Entry) -> None:
        deadline = self._timer.seconds() + self._settings.durable_timeout_seconds
        while True:
            self._room.clear()
            self._wake.set()
            if self._offer(entry):
                return
            left = deadline - self._timer.seconds()
            if left <= 0:
                cause = self.failure or "the disk is slow"
                raise LedgerError(f"the ledger's queue is full ({self.backlog} rows wait): {cause}")
            self._timer.wait(self._room, left)

    def _refuse_stopped(self) -> None:
        if self._closing:
            raise LedgerError("the ledger is closed")
        if self._stopped:
            raise LedgerError(f"the ledger's writer has stopped: {self.failure}")

    # The thread's side.

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - a dead thread must not leave callers waiting without a cause
            self.failure = f"the writer stopped: {type(error).__name__}: {error}"
        finally:
            self._abandon()
            self._close_sink()

    def _serve(self) -> None:
        while True:
            self._gather()
            if self._entries or self._block:
                self._group = self._take()
                if not self._write(self._group):
                    return
                if self._group[-1].checkpoint is not None:
                    self._write_checkpoint(self._group[-1])
            elif not self._sleep():
                return

    def _gather(self) -> None:
        """Give more rows the time to join, unless somebody waits for those that are here.

        The thread also lingers here when it has written all: a steady stream of rows finds it awake, and its
        callers need not pay for waking it.
        """
        self._wake.clear()
        urgent = self._closing or self._durable_put != self._durable_done
        if not urgent and self.backlog < self._worth:
            self._timer.wait(self._wake, self._patience)

    def _sleep(self) -> bool:
        """Sleep until there is something to write; False when nothing can come any more."""
        self._wake.clear()
        self._idle = True
        closing = self._closing
        if not (self._entries or self._block):
            if closing:
                return False
            self._wake.wait()
        self._idle = False
        return True

    def _take(self) -> list[_Entry]:
        """The entries of the next transaction: whole calls, at least one; a checkpoint ends it."""
        if self._block:
            with self._intake:
                self._close_block()
        group: list[_Entry] = []
        rows = 0
        while self._entries:
            rows += len(self._entries[0].rows)
            if group and rows > self._most_rows:
                break
            group.append(self._entries.popleft())
            if group[-1].checkpoint is not None:
                break
        return group

    def _write(self, group: list[_Entry]) -> bool:
        """Write until it succeeds; False when it failed once more after `close` was called."""
        last = False
        while True:
            with self._intake:
                self._offering = True
                rows = [row for entry in group for row in entry.rows]  # anew: some may have been taken back
            try:
                reasons = self._sink.write(rows) if rows else {}
            except LedgerError as error:
                self._offering = False
                self.failure = str(error)
                if last:
                    return False
                self._timer.wait(self._quit, self._settings.retry_seconds)
                last = self._closing
            else:
                self.failure = None
                self._acknowledge(group, reasons)
                self._offering = False
                return True

    def _acknowledge(self, group: list[_Entry], reasons: Mapping[int, str]) -> None:
        start = 0
        for entry in group:
            end = start + len(entry.rows)
            refused = [reasons[index] for index in range(start, end) if index in reasons] if reasons else []
            self._count(entry, refused)
            entry.finish("; ".join(refused) if refused and entry.durable else None)
            start = end
        self._room.set()

    def _count(self, entry: _Entry, refused: list[str]) -> None:
        self._done += len(entry.rows)
        self._durable_done += entry.durable
        self.refused += len(refused)
        if refused and not self._first_refusal:
            self._first_refusal = refused[0]

    def _write_checkpoint(self, entry: _Entry) -> None:
        """A state that cannot be written is not kept: the next one is better."""
        with self._intake:
            checkpoint, entry.checkpoint = entry.checkpoint, None
            if self._latest_checkpoint is entry:
                self._latest_checkpoint = None
        if checkpoint is None:
            return
        try:
            self._sink.checkpoint(*checkpoint)
            self.failure = None
        except LedgerError as error:
            self.failure = str(error)

    def _abandon(self) -> None:
        """Tell everybody who still waits that nothing will come."""
        with self._intake:
            self._stopped = True
            self._close_block()
            left = [entry for entry in (*self._group, *self._entries) if not entry.done]
        for entry in left:
            entry.finish(f"{len(entry.rows)} rows were not written: {self.failure}")
        self._room.set()

    def _close_sink(self) -> None:
        try:
            self._sink.close()
        except LedgerError as error:
            self._close_failure = str(error)
