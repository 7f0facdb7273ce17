"""Memories in Chroma, for browsing: embedded, written behind by one thread, thrown away and rebuilt when in doubt.

Nothing waits for this store and nothing decides by it. Its vectors are ours, it has no embedding function, no
server and no telemetry. The ledger is the truth: what is missing here is fetched from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import batched
from pathlib import Path
from threading import Event, Lock, Thread

import numpy as np

from ..core.clock import Timer
from ..core.config import MemorySettings
from ..core.memory import MemoryRecord, Namespace
from .chroma_collections import Collections, Place
from .chroma_folder import StoreFolder

Source = Callable[[], Iterable[MemoryRecord]]
"""All versions of all records that the store should hold, oldest first; called in the store's thread."""

_LARGEST = 1e30
"""Numbers of a vector above it would overflow when the store squares them in float32."""


class _Late(Exception):
    """There is no more time before the end of the process."""


class _Damaged(Exception):
    """The store answers, and wrongly."""


def stored(root: Path, settings: MemorySettings) -> list[MemoryRecord]:
    """What the store under `root` holds, by id; nothing where it is not sound. No process may be using it."""
    folder = StoreFolder(root, settings.damaged_kept)
    path, _ = folder.take()
    collections = Collections(path)
    try:
        return sorted(collections.records(), key=lambda record: record.id)
    finally:
        collections.close()
        folder.seal(path)


class ChromaStore:
    """Implements the MemoryStore port. Constructing it returns at once; its thread opens, checks and rebuilds.

    `state` is `opening`, `ready`, `absent` (given up, or closed). `rebuilt` counts stores that were started anew
    because the one before could not be trusted; `skipped` counts records that the store did not take.
    """

    def __init__(
        self, root: Path, settings: MemorySettings, dimensions: int, source: Source, timer: Timer | None = None
    ) -> None:
        self.state = "opening"
        self.failure: str | None = None
        self.rebuilt = self.skipped = 0
        self._folder = StoreFolder(root, settings.damaged_kept)
        self._settings = settings
        self._dimensions = dimensions
        self._source = source
        self._timer = timer or Timer()
        self._queue: deque[Sequence[MemoryRecord] | int] = deque()
        self._waiting = 0
        self._intake = Lock()
        self._overflown = False
        self._wake, self._quit, self._idle = Event(), Event(), Event()
        self._deadline: float | None = None
        self._path: Path | None = None
        self._collections: Collections | None = None
        self._places: dict[str, Place] = {}
        self._in_hand: list[MemoryRecord] = []
        self._failed = 0
        self._thread = Thread(target=self._run, name="chroma-memory", daemon=True)
        self._thread.start()

    def put(self, records: Sequence[MemoryRecord]) -> None:
        """Queue records; the caller must not change the list afterwards. What does not fit is fetched later."""
        with self._intake:
            if self.state == "absent":
                self.skipped += len(records)
                return
            if self._waiting + len(records) > self._settings.queue_records:
                self._overflown = True
            else:
                self._queue.append(records)
                self._waiting += len(records)
            self._idle.clear()
        if not self._wake.is_set():
            self._wake.set()

    def forget(self, before: int) -> None:
        """Queue the removal of what was last seen before that time (UTC ms)."""
        with self._intake:
            if self.state == "absent":
                return
            self._queue.append(before)
            self._idle.clear()
        self._wake.set()

    def settle(self, timeout: float) -> bool:
        """Wait until all that was queued is written, or will never be; False when the time is up."""
        self._wake.set()
        return self._timer.wait(self._idle, timeout)

    def close(self) -> None:
        """Write what is queued within `close_timeout_seconds`, then leave as much time again to the call in hand."""
        self._deadline = self._timer.seconds() + self._settings.close_timeout_seconds
        self._quit.set()
        self._wake.set()
        self._thread.join(2.0 * self._settings.close_timeout_seconds)
        if self._thread.is_alive():
            self.failure = "the memory store does not answer; it is rebuilt at the next start"

    # The thread's side.

    def _run(self) -> None:
        try:
            while not self._lived():
                self._timer.wait(self._quit, self._settings.retry_seconds)
        except BaseException as error:  # noqa: BLE001 - a folder that cannot be renamed, a store that panics at the end
            self.failure = f"the memory store was given up: {type(error).__name__}: {error}"
        finally:
            with self._intake:
                self.state = "absent"
                self.skipped += self._waiting
                self._idle.set()

    def _lived(self) -> bool:
        """One life of a store, from opening to sealing; False when it broke and another try is due."""
        try:
            if not self._is_wanted():
                return True
            self._open()
            self._serve()
            self._close(sealed=True)
        except _Late:
            self._close(sealed=False)
        except ModuleNotFoundError as error:
            self.failure = f"no memory store: {error}; install what requirements.txt names"
        except BaseException as error:  # noqa: BLE001 - Chroma's panics are no Exceptions, and none may end the run
            return self._broke(error)
        return True

    def _is_wanted(self) -> bool:
        """Wait until there is something to keep; False when the process ends before: Chroma takes seconds to import."""
        if self._in_hand or not self._folder.is_new() or next(iter(self._source()), None) is not None:
            return True
        self._wake.wait()
        with self._intake:
            return bool(self._queue) or self._overflown or not self._quit.is_set()

    def _broke(self, error: BaseException) -> bool:
        """Put the store out of use; True when there is no use in trying again."""
        self._failed += 1
        self.state = "opening"
        self.failure = f"the memory store failed: {type(error).__name__}: {str(error)[:200]}"
        collections, self._collections = self._collections, None
        if collections is not None:
            try:
                collections.close()
            except BaseException as again:  # noqa: BLE001 - what is broken need not close well
                self.failure += f"; and did not close: {type(again).__name__}"
        if self._path is not None:
            self._folder.set_aside(self._path)
            self._path = None
        return self._failed >= self._settings.attempts or self._quit.is_set()

    def _close(self, *, sealed: bool) -> None:
        if self._collections is not None and self._path is not None:
            self._collections.close()
            if sealed:
                self._folder.seal(self._path)

    def _open(self) -> None:
        expected = self._expected()
        self._path, distrust = self._folder.take()
        again = bool(distrust or self._failed)
        if distrust:
            self.failure = f"the memory store was set aside and is rebuilt: {distrust}"
        self._collections = Collections(self._path)
        self._places = self._collections.places()
        self._check_canaries(expected)
        self._remove(name for name in self._places if name not in expected)
        self._fetch(expected)
        self.rebuilt += again
        self.failure, self.state = None, "ready"

    def _expected(self) -> dict[str, MemoryRecord]:
        """The newest version of every record that the store should hold."""
        expected: dict[str, MemoryRecord] = {}
        for record in self._source():
            if self._fits(record):
                expected[record.id] = record
        return expected

    def _fits(self, record: MemoryRecord) -> bool:
        return len(record.vector) == self._dimensions and max(map(abs, record.vector)) < _LARGEST

    def _check_canaries(self, expected: dict[str, MemoryRecord]) -> None:
        """Records that the store says it holds must find themselves, or one with the same vector."""
        held = [name for name, record in expected.items() if not self._is_newer(name, record)]
        canaries = [expected[name] for name in _spread(held, self._settings.canaries)]
        answers = self._open_collections.nearest(canaries, self._settings.similar)
        for record, names in zip(canaries, answers, strict=True):
            if not any(name in expected and self._same(record, expected[name]) for name in names):
                raise _Damaged(f"record {record.id} does not find itself")

    def _same(self, left: MemoryRecord, right: MemoryRecord) -> bool:
        a, b = np.array(left.vector), np.array(right.vector)
        cosine = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
        return left.id == right.id or 1.0 - cosine <= self._settings.canary_distance

    def _fetch(self, expected: dict[str, MemoryRecord]) -> None:
        """Write what the store lacks or has in an older version."""
        lacking = [record for name, record in expected.items() if self._is_newer(name, record)]
        for batch in batched(lacking, self._settings.batch_records):
            self._write(batch)

    def _is_newer(self, name: str, record: MemoryRecord) -> bool:
        return name not in self._places or self._places[name].known_at != record.known_at

    def _serve(self) -> None:
        """Write batches until the process ends."""
        while True:
            self._wake.clear()
            if self._overflown:
                self._overflown = False
                self._fetch(self._expected())
            self._drain()
            if self._rest():
                return

    def _rest(self) -> bool:
        """Wait for work, a little longer for more of it; True when there will be none."""
        with self._intake:
            empty = not self._queue and not self._overflown
            if empty:
                self._idle.set()
        if empty and self._quit.is_set():
            return True
        if empty:
            self._wake.wait()
            self._timer.wait(self._quit, self._settings.batch_seconds)
        return False

    def _drain(self) -> None:
        while self._in_hand or self._queue:
            while self._queue and not isinstance(self._queue[0], int) and self._has_room(self._queue[0]):
                self._take()
            for batch in batched(tuple(self._in_hand), self._settings.batch_records):
                self._write([record for record in batch if self._fits(record)])
            self._in_hand.clear()
            if self._queue and isinstance(self._queue[0], int):
                self._forget(self._queue[0])
                self._queue.popleft()

    def _has_room(self, records: Sequence[MemoryRecord]) -> bool:
        return not self._in_hand or len(self._in_hand) + len(records) <= self._settings.batch_records

    def _take(self) -> None:
        records = self._queue.popleft()
        assert not isinstance(records, int)
        self._in_hand.extend(records)
        with self._intake:
            self._waiting -= len(records)

    def _write(self, records: Sequence[MemoryRecord]) -> None:
        """One batch; an id that moved to another collection leaves the one before."""
        if self._deadline is not None and self._timer.seconds() > self._deadline:
            raise _Late
        last = {record.id: record for record in records}
        self._remove(n for n, r in last.items() if n in self._places and self._places[n].namespace is not r.namespace)
        if last:
            self._open_collections.upsert(list(last.values()))
        for record in last.values():
            self._places[record.id] = Place(record.namespace, record.known_at, record.seen_at)
        self._failed = 0

    def _remove(self, names: Iterable[str]) -> None:
        chosen = list(names)
        for namespace in Namespace:
            own = [name for name in chosen if self._places[name].namespace is namespace]
            for batch in batched(own, self._settings.batch_records):
                self._open_collections.delete(namespace, batch)
        for name in chosen:
            del self._places[name]

    def _forget(self, before: int) -> None:
        self._open_collections.forget(before)
        self._places = {name: place for name, place in self._places.items() if place.seen_at >= before}

    @property
    def _open_collections(self) -> Collections:
        assert self._collections is not None
        return self._collections


def _spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of the names, evenly spaced."""
    chosen = min(len(names), count)
    return [names[index * len(names) // chosen] for index in range(chosen)]
