"""The memory of a run: answers come from the exact index in this process, a store beside it is written behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest

from ..core.clock import iso
from ..core.config import MemorySettings
from ..core.errors import DataError
from ..core.memory import (
    ANYWHERE,
    PATTERNS,
    Cluster,
    MemoryRecord,
    Recommendation,
    Similar,
    Where,
    decoded,
    recommend,
)
from ..core.ports import MemoryStore
from ..core.timeframes import DAY_MS
from ..core.types import FloatArray
from .memory_clusters import cluster
from .memory_index import MemoryIndex

Remembered = tuple[int, MemoryRecord]
"""A record and the slice it was remembered in (UTC ms)."""


def from_rows(rows: Iterable[tuple[int, bytes]], dimensions: int) -> Iterator[Remembered]:
    """The records of ledger rows of kind `memory`, given as (at, body), oldest first.

    Vectors of another length, which an earlier set of features left, are passed over. DataError for a body that is
    no record.
    """
    for at, body in rows:
        record = decoded(body)
        if len(record.vector) == dimensions:
            yield at, record


class PatternMemory:
    """Implements the Memory port; used by one thread. Without a store (backtests) there is only the index.

    `seed` decides where clusters start. The ledger is the truth: the spine appends what is `fresh` with the rest of
    its slice, and a new process calls `rebuild` with what the ledger holds. What is kept is bounded by `keep_days`
    and, looked at when a day begins, by `max_records`.
    """

    def __init__(self, settings: MemorySettings, dimensions: int, seed: int, store: MemoryStore | None = None) -> None:
        self._settings = settings
        self._seed = seed
        self._store = store
        self._at: int | None = None
        self._tomorrow = 0  # when the next day (UTC) begins
        self._fresh: list[MemoryRecord] = []
        self.index = MemoryIndex(dimensions)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def failure(self) -> str | None:
        """What is wrong with the store now; the answers do not depend on it."""
        return None if self._store is None else self._store.failure

    def attach(self, store: MemoryStore) -> None:
        """Write behind into `store` from now on."""
        self._store = store

    def rebuild(self, remembered: Iterable[Remembered], at: int) -> int:
        """Be what this memory was after the slice of `at` (UTC ms), by what the ledger holds; how many were new.

        What was remembered after `at` is left out: the slices after it are walked again. The store looks after
        itself, and nothing of this is `fresh`.
        """
        day = at - at % DAY_MS
        known = [(when, record) for when, record in remembered if when <= at]
        early = [record for when, record in known if when < day]
        before = self._before(day, [record.seen_at for record in early])
        added = sum(self.index.add(record) for record in early if record.seen_at >= before)
        return added + sum(self.index.add(record) for when, record in known if when >= day)

    def on_slice(self, at: int) -> None:
        """A slice begins (UTC ms); the first of a day (UTC) forgets what is old."""
        if at >= self._tomorrow:
            self.forget_old(at - at % DAY_MS)
            self._tomorrow = at - at % DAY_MS + DAY_MS
        self._at = at

    def fresh(self) -> Sequence[MemoryRecord]:
        """What was new since the last call, in order, each version once."""
        if not self._fresh:
            return []
        fresh, self._fresh = self._fresh, []
        return fresh

    def remember(self, records: Sequence[MemoryRecord]) -> None:
        """Keep records in order; one that is known already changes nothing.

        DataError names the first that does not fit, or claims to be known later than this slice; those before it
        are kept.
        """
        fresh: list[MemoryRecord] = []
        try:
            for record in records:
                self._refuse_the_future(record)
                if self.index.add(record):
                    fresh.append(record)
        finally:
            self._fresh += fresh
            if fresh and self._store is not None:
                self._store.put(fresh)

    def similar(self, vector: FloatArray, k: int, as_of: int, where: Where = ANYWHERE) -> Sequence[Similar]:
        """At most `k` records nearest to `vector` (dimensions,) by cosine, nearest first, equally near ones by id.

        Only records that were known at `as_of` (UTC ms, that instant included). DataError for a vector of another
        length or with numbers that are not finite.
        """
        return self.index.similar(vector, k, as_of, where)

    def recommend(self, vector: FloatArray, as_of: int, where: Where = ANYWHERE) -> Recommendation:
        """Advice from the nearest moments whose outcome was known at `as_of`.

        Where `where` names no namespace, trading and failed patterns are both looked at.
        """
        both = where
        if not (where.namespaces and where.with_outcome):
            both = where._replace(namespaces=where.namespaces or PATTERNS, with_outcome=True)
        return recommend(self.index.similar(vector, self._settings.similar, as_of, both), self._settings)

    def forget(self, before: int) -> int:
        """Drop what was last seen before that time (UTC ms), here and in the store; returns how many went here."""
        gone = self.index.forget(before)
        if gone and self._store is not None:
            self._store.forget(before)
        return gone

    def forget_old(self, now: int) -> int:
        """`forget` what was last seen more than `keep_days` before `now` (UTC ms), and all but `max_records`."""
        return self.forget(self._before(now, self.index.seen()))

    def clusters(self, as_of: int, where: Where = ANYWHERE) -> Sequence[Cluster]:
        """Groups of records that lie together and stood at `as_of`, the largest first."""
        rule = self._settings
        return cluster(self.index.records(as_of, where), rule.clusters, rule.cluster_rounds, self._seed)

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _before(self, now: int, seen: Sequence[int]) -> int:
        """What was last seen before this time (UTC ms) is too old at `now`, or not among the newest of `seen`."""
        rule, oldest = self._settings, now - self._settings.keep_days * DAY_MS
        return max(oldest, nlargest(rule.max_records, seen)[-1]) if len(seen) > rule.max_records else oldest

    def _refuse_the_future(self, record: MemoryRecord) -> None:
        if self._at is not None and record.known_at > self._at:
            raise DataError(f"memory {record.id}: known at {iso(record.known_at)}, after the slice of {iso(self._at)}")
