"""The exact look-up of memories: every vector that passes the filter is compared, in microseconds, and none is missed.

Vectors lie in blocks of `LANES` rows, one dimension after the other, so that the compiler can sum many rows side by
side without changing the order of any sum: equal vectors have equal similarities, bit for bit, wherever they stand.
Neither BLAS nor fastmath takes part. Metadata are columns of small codes; they are looked at before any distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..core.compiled import compiled
from ..core.errors import DataError
from ..core.memory import ANYWHERE, MemoryRecord, Similar, Where
from ..core.types import BoolArray, FloatArray, IntArray

CodeArray = npt.NDArray[np.int32]

LANES = 64  # rows of a block: a layout, measured as fast as any other from 32 to 256
NAMESPACE, PAIR, MOAT, DIRECTION, OUTCOME = range(5)
FIELDS = 5
SEEN, KNOWN, UNTIL = range(3)
TIMES = 3
STANDS = 2**62  # the `until` of a record that no later version has replaced
NOWHERE = -1


@compiled
def _store(vectors: FloatArray, row: int, vector: FloatArray) -> float:
    """`vector` (dimensions,) scaled to length 1 into its lane; the scale comes first, so nothing overflows.

    Returns the largest size of its numbers: 0 and what is not finite cannot be scaled, and nothing is stored.
    """
    largest = 0.0
    for value in vector:
        if not math.isfinite(value):
            return math.inf
        largest = max(largest, abs(value))
    if largest == 0.0:
        return largest
    square = 0.0
    for value in vector:
        square += (value / largest) * (value / largest)
    length = math.sqrt(square)
    for index in range(vector.shape[0]):
        vectors[row // LANES, index, row % LANES] = vector[index] / largest / length
    return largest


@compiled
def _pass(
    codes: CodeArray, times: IntArray, size: int, fields: IntArray, allowed: BoolArray, as_of: int, out: BoolArray
) -> int:
    """Which of the first `size` rows pass the filter and were known and not yet replaced at `as_of`; how many.

    `fields` are those that the filter restricts, `allowed` says which codes of a field pass (fields, codes).
    """
    for row in range(size):
        out[row] = (times[KNOWN, row] <= as_of) & (as_of < times[UNTIL, row])
    for field in fields:
        for row in range(size):
            out[row] &= allowed[field, codes[field, row]]
    count = 0
    for row in range(size):
        count += out[row]
    return count


@compiled
def _compare(vectors: FloatArray, size: int, passed: BoolArray, query: FloatArray, scores: FloatArray) -> None:
    """Cosine of `query` (length 1) with each row into `scores`; blocks in which no row passed are left out."""
    sums = np.empty(LANES)
    for block in range((size + LANES - 1) // LANES):
        first, last = block * LANES, min(size, block * LANES + LANES)
        if not passed[first:last].any():
            continue
        sums[:] = 0.0
        for index in range(query.shape[0]):
            weight = query[index]
            for lane in range(LANES):
                sums[lane] += weight * vectors[block, index, lane]
        for row in range(first, last):
            scores[row] = min(1.0, max(-1.0, sums[row - first]))


@compiled
def _nearest(scores: FloatArray, passed: BoolArray, size: int, k: int) -> IntArray:
    """Rows that are at least as near as the k-th nearest, in order of rows: more than k where there is a tie."""
    best = np.full(k, -math.inf)
    for row in range(size):
        if passed[row] and scores[row] > best[k - 1]:
            place = k - 1
            while place > 0 and best[place - 1] < scores[row]:
                best[place] = best[place - 1]
                place -= 1
            best[place] = scores[row]
    count = 0
    for row in range(size):
        count += passed[row] and scores[row] >= best[k - 1]
    rows = np.empty(count, np.int64)
    count = 0
    for row in range(size):
        if passed[row] and scores[row] >= best[k - 1]:
            rows[count] = row
            count += 1
    return rows


@compiled
def _search(
    vectors: FloatArray, codes: CodeArray, times: IntArray, size: int, fields: IntArray, allowed: BoolArray, as_of: int,
    query: FloatArray, k: int, passed: BoolArray, scores: FloatArray,
) -> IntArray:  # fmt: skip
    """`_nearest` of the rows that pass; `query` is one block of one row."""
    if _pass(codes, times, size, fields, allowed, as_of, passed) == 0:
        return np.empty(0, np.int64)
    _compare(vectors, size, passed, query, scores)
    return _nearest(scores, passed, size, k)


class MemoryIndex:
    """All memories of vectors of `dimensions` numbers; used by one thread. Append-only but for `forget`."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._records: list[MemoryRecord] = []
        self._latest: dict[str, int] = {}
        self._versions: dict[tuple[str, int], int] = {}
        self._codes_of: list[dict[object, int]] = [{} for _ in range(FIELDS)]
        self._filters: dict[Where, tuple[IntArray, BoolArray]] = {}
        self._one = np.empty((1, self.dimensions, LANES))
        self._query = self._one[0, :, 0]
        self._vectors = np.zeros((1, self.dimensions, LANES))
        self._columns(LANES)

    def _columns(self, capacity: int) -> None:
        self._codes = np.zeros((FIELDS, capacity), np.int32)
        self._times = np.zeros((TIMES, capacity), np.int64)
        self._passed = np.zeros(capacity, np.bool_)
        self._scores = np.zeros(capacity)

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: MemoryRecord) -> bool:
        """Remember one record; False when exactly this one is known.

        DataError for a vector of another length, another record with the same id and `known_at`, or one that was
        known before the version that stands.
        """
        if len(record.vector) != self.dimensions:
            raise DataError(f"memory {record.id}: {len(record.vector)} numbers in its vector, not {self.dimensions}")
        version = (record.id, record.known_at)
        if version in self._versions:
            self._refuse_other(record, self._records[self._versions[version]])
            return False
        before = self._latest.get(record.id, NOWHERE)
        if before != NOWHERE:
            self._replace(before, record)
        row = len(self._records)
        self._write(row, record)
        self._records.append(record)
        self._latest[record.id] = self._versions[version] = row
        return True

    def similar(self, vector: FloatArray, k: int, as_of: int, where: Where = ANYWHERE) -> list[Similar]:
        """The `k` records nearest to `vector` (dimensions,) by cosine, nearest first, equally near ones by id.

        Only records that pass `where`, were known at `as_of` (UTC ms, that instant included) and had not been
        replaced by then. Empty for a vector of zeros; DataError for a wrong length or numbers that are not finite.
        """
        largest = _store(self._one, 0, vector) if vector.shape == (self.dimensions,) else math.inf
        if largest == math.inf:
            raise DataError(f"a query needs {self.dimensions} finite numbers, not {vector.shape}: {vector}")
        if k < 1 or largest == 0.0:
            return []
        rows = _search(
            self._vectors, self._codes, self._times, len(self._records), *self._filter(where), as_of,
            self._query, k, self._passed, self._scores,
        )  # fmt: skip
        records, scores = self._records, self._scores[rows].tolist()
        near = sorted([(-score, records[row].id, row) for row, score in zip(rows.tolist(), scores, strict=True)])
        return [Similar(records[row], -less) for less, _, row in near[:k]]

    def records(self, as_of: int, where: Where = ANYWHERE) -> list[MemoryRecord]:
        """All records that pass `where` and stood at `as_of`, by id."""
        size = len(self._records)
        _pass(self._codes, self._times, size, *self._filter(where), as_of, self._passed)
        rows = np.flatnonzero(self._passed[:size]).tolist()
        return sorted((self._records[row] for row in rows), key=lambda record: record.id)

    def seen(self) -> list[int]:
        """When each version was last seen (UTC ms), in the order in which they came."""
        seen: list[int] = self._times[SEEN, : len(self._records)].tolist()
        return seen

    def versions(self) -> tuple[MemoryRecord, ...]:
        """Every version of every record, in the order in which they came."""
        return tuple(self._records)

    def forget(self, before: int) -> int:
        """Drop what was last seen before that time (UTC ms); returns how many records went."""
        size = len(self._records)
        kept = np.flatnonzero(self._times[SEEN, :size] >= before)
        if kept.size < size:
            self._keep(kept)
        return size - int(kept.size)

    def _keep(self, rows: IntArray) -> None:
        """Move these rows to the front, in their order; nobody is left behind them."""
        size, capacity = rows.size, self._scores.shape[0]
        vectors = np.zeros((capacity, self.dimensions))
        vectors[:size] = self._vectors.transpose(0, 2, 1).reshape(capacity, self.dimensions)[rows]
        self._vectors = np.ascontiguousarray(vectors.reshape(-1, LANES, self.dimensions).transpose(0, 2, 1))
        for table in (self._codes, self._times):
            table[:, :size], table[:, size:] = table[:, rows], 0
        self._times[UNTIL, :size] = STANDS
        self._records = [self._records[row] for row in rows.tolist()]
        self._latest, self._versions = {}, {}
        for row, record in enumerate(self._records):
            before = self._latest.get(record.id, NOWHERE)
            if before != NOWHERE:
                self._times[UNTIL, before] = record.known_at
            self._latest[record.id] = self._versions[record.id, record.known_at] = row

    def _write(self, row: int, record: MemoryRecord) -> None:
        if row == self._scores.shape[0]:
            self._grow()
        _store(self._vectors, row, np.array(record.vector))
        for field, value in enumerate(_values(record)):
            self._codes[field, row] = self._code(field, value)
        self._times[SEEN, row] = record.seen_at
        self._times[KNOWN, row] = record.known_at
        self._times[UNTIL, row] = STANDS

    def _grow(self) -> None:
        codes, times, size = self._codes, self._times, len(self._records)
        self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._columns(2 * size)
        self._codes[:, :size] = codes
        self._times[:, :size] = times

    def _replace(self, row: int, record: MemoryRecord) -> None:
        if record.known_at < self._records[row].known_at:
            raise DataError(f"memory {record.id}: known at {record.known_at}, before the version that stands")
        self._times[UNTIL, row] = record.known_at

    def _code(self, field: int, value: object) -> int:
        codes = self._codes_of[field]
        if value not in codes:
            codes[value] = len(codes)
            self._filters.clear()
        return codes[value]

    def _filter(self, where: Where) -> tuple[IntArray, BoolArray]:
        """The restricted fields, and which of their codes pass (fields, codes); kept until a new code appears."""
        kept = self._filters.get(where)  # one look: the parts of a filter are slow to hash
        if kept is None:
            wanted: tuple[tuple[object, ...], ...] = (
                where.namespaces, where.pairs, where.moats, where.directions, (True,) if where.with_outcome else (),
            )  # fmt: skip
            allowed = np.zeros((FIELDS, max(1, *(len(codes) for codes in self._codes_of))), np.bool_)
            for field, values in enumerate(wanted):
                known = self._codes_of[field]
                allowed[field, [known[value] for value in values if value in known]] = True
            kept = self._filters[where] = np.flatnonzero([bool(values) for values in wanted]), allowed
        return kept

    @staticmethod
    def _refuse_other(record: MemoryRecord, known: MemoryRecord) -> None:
        if record != known:
            raise DataError(f"memory {record.id}: another record with this id was known at {record.known_at}")


def _values(record: MemoryRecord) -> Sequence[object]:
    """The values of the code columns, in the order of the fields of `Where`."""
    return record.namespace, record.pair, record.moat, record.direction, record.outcome is not None
