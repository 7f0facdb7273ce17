"""What memory costs: the exact look-up of similar moments against the approximate one of Chroma, both asked with a
metadata filter, and a write on the spine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ...core.memory import MemoryRecord, Namespace, Where
from ...core.types import FloatArray, Pair, Side
from .measure import MICROSECONDS, Measured, Parts, Sizes, alternated, middle, step_seconds
from .worlds import SEED, START_MS

# The fixed design of the instrument, deliberately no settings.
DIMENSIONS, NEAREST, PAIRS, BATCH = 32, 10, 15, 500
DIRECTION = Side.BUY

Lookup = Callable[[FloatArray], Sequence[str]]


def against_chroma(parts: Parts, sizes: Sizes) -> Measured:
    """Median microseconds of a look-up among the buys of so many patterns; ours finds exactly the nearest."""
    records, queries = patterns(sizes.patterns), moments(sizes.lookups)
    memory = parts.memory(DIMENSIONS)
    memory.remember(records)
    where, now = Where(directions=(DIRECTION,)), START_MS + sizes.patterns

    def ours(vector: FloatArray) -> Sequence[str]:
        return [found.record.id for found in memory.similar(vector, NEAREST, now, where)]

    contests = [ours] if (peer := _chroma(records)) is None else [ours, peer]
    timed = [lambda look=look: _microseconds(parts, look, queries) for look in contests]
    return Measured(*alternated(sizes.runs, *timed))


def write(parts: Parts, sizes: Sizes) -> Measured:
    """Median microseconds in which the spine remembers one record, while the index grows to so many."""
    records = [[record] for record in patterns(sizes.patterns)]

    def contest() -> float:
        memory = parts.memory(DIMENSIONS)
        memory.on_slice(records[-1][0].known_at)
        return MICROSECONDS * middle(step_seconds(parts.timer, memory.remember, records))

    (found,) = alternated(sizes.runs, contest)
    return Measured(found)


def patterns(count: int) -> list[MemoryRecord]:
    """So many patterns of several pairs, half of them buys."""
    vectors = np.random.Generator(np.random.PCG64(SEED)).normal(size=(count, DIMENSIONS))
    return [
        MemoryRecord(
            id=f"pattern-{number}",
            namespace=Namespace.TRADING,
            vector=tuple(vector),
            pair=Pair(f"P{number % PAIRS:02}/USDT"),
            moat="market",
            direction=Side.BUY if number % 2 else Side.SELL,
            score=0.5,
            seen_at=START_MS + number,
            known_at=START_MS + number,
        )
        for number, vector in enumerate(vectors.tolist())
    ]


def moments(count: int) -> list[FloatArray]:
    """What is asked for, each (dimensions,)."""
    return list(np.random.Generator(np.random.PCG64(SEED + 1)).normal(size=(count, DIMENSIONS)))


def _microseconds(parts: Parts, look: Lookup, queries: Sequence[FloatArray]) -> float:
    return MICROSECONDS * middle(step_seconds(parts.timer, look, queries))


def _chroma(records: Sequence[MemoryRecord]) -> Lookup | None:
    """A collection in memory with the same vectors; None where Chroma is not installed."""
    try:
        chromadb: Any = import_module("chromadb")
    except ImportError:
        return None
    options = import_module("chromadb.config").Settings(anonymized_telemetry=False)
    collection = chromadb.EphemeralClient(settings=options).get_or_create_collection(
        f"patterns-{len(records)}", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        collection.upsert(
            ids=[record.id for record in part],
            embeddings=[np.asarray(record.vector, np.float32) for record in part],
            metadatas=[{"direction": record.direction.value, "pair": record.pair} for record in part],
        )

    def look(vector: FloatArray) -> Sequence[str]:
        asked = [vector.astype(np.float32)]
        found = collection.query(query_embeddings=asked, n_results=NEAREST, where={"direction": DIRECTION.value})
        ids: Sequence[str] = found["ids"][0]
        return ids

    return look
