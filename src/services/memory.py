"""The memory of a run: answers come from the exact index in this process, a store beside it is written behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core.config import MemorySettings
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
from ..core.ports import MemoryStore, Row
from ..core.records import row
from ..core.types import FloatArray
from .memory_clusters import cluster
from .memory_index import MemoryIndex

KIND = "memory"
"""The kind of ledger rows that memories are."""
DAY_MS = 86_400_000


def memory_row(record: MemoryRecord) -> Row:
    """The ledger row of a record; every version of an id has a key of its own."""
    return row(record.known_at, KIND, f"{record.id}:{record.known_at}", record)


def from_bodies(bodies: Iterable[bytes], dimensions: int) -> Iterable[MemoryRecord]:
    """The records of ledger rows of kind `memory`, oldest first; vectors of another length, which an earlier set of
    features left, are passed over. DataError for a body that is no record."""
    return (record for record in map(decoded, bodies) if len(record.vector) == dimensions)


class PatternMemory:
    """Implements the Memory port; used by one thread. Without a store (backtests) there is only the index.

    `seed` decides where clusters start. The ledger is the truth: whoever remembers a record appends its
    `memory_row`, and a new process calls `rebuild` with what the ledger holds.
    """

    def __init__(self, settings: MemorySettings, dimensions: int, seed: int, store: MemoryStore | None = None) -> None:
        self._settings = settings
        self._seed = seed
        self._store = store
        self.index = MemoryIndex(dimensions)

    @property
    def failure(self) -> str | None:
        """What is wrong with the store now; the answers do not depend on it."""
        return None if self._store is None else self._store.failure

    def rebuild(self, records: Iterable[MemoryRecord], now: int) -> int:
        """Remember what the ledger holds and what was last seen in the last `keep_days` before `now` (UTC ms).

        The store looks after itself. Returns how many records were new.
        """
        before = self._oldest(now)
        return sum(self.index.add(record) for record in records if record.seen_at >= before)

    def remember(self, records: Sequence[MemoryRecord]) -> None:
        """Keep records in order; one that is known already changes nothing.

        DataError names the first that does not fit; those before it are kept.
        """
        fresh: list[MemoryRecord] = []
        try:
            for record in records:
                if self.index.add(record):
                    fresh.append(record)  # noqa: PERF401 - what came before a bad record is kept
        finally:
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
        both = where._replace(namespaces=where.namespaces or PATTERNS, with_outcome=True)
        return recommend(self.index.similar(vector, self._settings.similar, as_of, both), self._settings)

    def forget(self, before: int) -> int:
        """Drop what was last seen before that time (UTC ms), here and in the store; returns how many went here."""
        gone = self.index.forget(before)
        if gone and self._store is not None:
            self._store.forget(before)
        return gone

    def forget_old(self, now: int) -> int:
        """`forget` what was last seen more than `keep_days` before `now` (UTC ms)."""
        return self.forget(self._oldest(now))

    def clusters(self, as_of: int, where: Where = ANYWHERE) -> Sequence[Cluster]:
        """Groups of records that lie together and stood at `as_of`, the largest first."""
        rule = self._settings
        return cluster(self.index.records(as_of, where), rule.clusters, rule.cluster_rounds, self._seed)

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _oldest(self, now: int) -> int:
        return now - self._settings.keep_days * DAY_MS
