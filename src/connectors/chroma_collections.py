"""The collections of Chroma with our own vectors: how a record is laid out there, and the few calls that are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.memory import MemoryRecord, Namespace
from ..core.types import Pair, Scalar, Side

_META = "meta."
_COLUMNS = ("pair", "moat", "score", "seen_at", "known_at", "outcome")


class Place(NamedTuple):
    """Where the store holds an id, and which version of it."""

    namespace: Namespace
    known_at: int
    seen_at: int


def metadata(record: MemoryRecord) -> dict[str, Scalar]:
    """What the store keeps beside a vector: columns that are known, `meta` with a prefix; never None, never empty."""
    columns = {name: value for name in _COLUMNS if (value := getattr(record, name)) is not None}
    return {**columns, "direction": record.direction.value, **{_META + k: v for k, v in record.meta.items()}}


def record_of(namespace: Namespace, name: str, vector: Iterable[float], columns: dict[str, Any]) -> MemoryRecord:
    """The record that `metadata` was made of; its vector has the precision of float32."""
    return MemoryRecord(
        name,
        namespace,
        tuple(float(value) for value in vector),
        Pair(columns["pair"]),
        columns["moat"],
        Side(columns["direction"]),
        columns["score"],
        columns["seen_at"],
        columns["known_at"],
        columns.get("outcome"),
        {key.removeprefix(_META): value for key, value in columns.items() if key.startswith(_META)},
    )


class Collections:
    """The three collections in one folder; used by one thread. Raises whatever Chroma raises, panics included."""

    def __init__(self, path: Path) -> None:
        chromadb = import_module("chromadb")  # takes a second or two, hence not at the top
        options = import_module("chromadb.config").Settings(anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(path=str(path), settings=options)
        self._of = {
            namespace: self._client.get_or_create_collection(
                namespace.value, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
            for namespace in Namespace
        }

    def places(self) -> dict[str, Place]:
        """Every id and its version."""
        places = {}
        for namespace, collection in self._of.items():
            found = collection.get(include=["metadatas"])
            for name, columns in zip(found["ids"], found["metadatas"], strict=True):
                places[name] = Place(namespace, columns["known_at"], columns["seen_at"])
        return places

    def upsert(self, records: Sequence[MemoryRecord]) -> None:
        """Write records, the last of each id; at most as many as one batch of Chroma holds."""
        last = {record.id: record for record in records}.values()
        for namespace, collection in self._of.items():
            own = [record for record in last if record.namespace is namespace]
            if own:
                collection.upsert(
                    ids=[record.id for record in own],
                    embeddings=np.array([record.vector for record in own], np.float32),
                    metadatas=[metadata(record) for record in own],
                )

    def delete(self, namespace: Namespace, names: Sequence[str]) -> None:
        """Remove ids from a collection."""
        self._of[namespace].delete(ids=list(names))

    def forget(self, before: int) -> None:
        """Remove what was last seen before that time (UTC ms)."""
        for collection in self._of.values():
            collection.delete(where={"seen_at": {"$lt": before}})

    def nearest(self, records: Sequence[MemoryRecord], count: int) -> list[list[str]]:
        """The nearest ids of each record in its own collection, in the order of `records`."""
        found: dict[str, list[str]] = {}
        for namespace, collection in self._of.items():
            own = [record for record in records if record.namespace is namespace]
            if own:
                vectors = np.array([record.vector for record in own], np.float32)
                answer = collection.query(query_embeddings=vectors, n_results=count, include=["distances"])
                found.update(zip((record.id for record in own), answer["ids"], strict=True))
        return [found[record.id] for record in records]

    def records(self) -> Iterator[MemoryRecord]:
        """Everything that is stored."""
        for namespace, collection in self._of.items():
            found = collection.get(include=["metadatas", "embeddings"])
            for name, vector, columns in zip(found["ids"], found["embeddings"], found["metadatas"], strict=True):
                yield record_of(namespace, name, vector, columns)

    def close(self) -> None:
        """Give back the files."""
        self._client.close()
