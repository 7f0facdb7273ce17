"""The memory that answers from its index alone; the same checks run with Chroma beside it in tests/connectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from src.connectors.memory_ledger import MemoryLedger
from src.core.errors import DataError
from src.core.memory import MemoryRecord
from src.core.ports import Memory
from src.core.records import memory_row
from src.core.timeframes import DAY_MS
from src.services.memory import PatternMemory, from_rows
from tests.checks import memory_checks as checks
from tests.checks.ledger_checks import SETTINGS as LEDGER
from tests.checks.memory_checks import DIMENSIONS, LATER, SETTINGS, query, record


def open_memory() -> Memory:
    return PatternMemory(SETTINGS, DIMENSIONS, seed=7)


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_index_alone(check: Callable[[checks.OpenMemory], None]) -> None:
    check(open_memory)


@pytest.mark.parametrize("name", checks.UNFIT)
def test_unfit_record_sinks_alone(name: str) -> None:
    checks.check_unfit_record_sinks_alone(open_memory, *checks.UNFIT[name])


class ListStore:
    """A store that notes what it is told."""

    def __init__(self) -> None:
        self.failure: str | None = "as an example"
        self.told: list[object] = []

    def put(self, records: Sequence[MemoryRecord]) -> None:
        self.told.append([one.id for one in records])

    def forget(self, before: int) -> None:
        self.told.append(before)

    def close(self) -> None:
        self.told.append("closed")


def test_the_store_is_told_what_is_new_and_only_that() -> None:
    store = ListStore()
    memory = PatternMemory(SETTINGS, DIMENSIONS, 7, store)
    memory.remember([record("a"), record("b")])
    memory.remember([record("a"), record("c")])
    memory.remember([record("a")])
    with pytest.raises(DataError):
        memory.remember([record("d"), record("a", outcome=0.1), record("e")])
    assert memory.forget(1) == 0
    assert memory.forget(11) == 4
    memory.close()
    assert store.told == [["a", "b"], ["c"], ["d"], 11, "closed"]
    assert memory.failure == "as an example"


def test_the_ledger_gives_everything_back() -> None:
    """Versions, outcomes and times; what is too old or of other features is passed over."""
    ledger = MemoryLedger(LEDGER)
    now = 100 * DAY_MS
    kept = [
        record("a", known_at=10 * DAY_MS),
        record("b", known_at=50 * DAY_MS),
        record("b", known_at=60 * DAY_MS, seen_at=50 * DAY_MS, outcome=0.03, learner="l1"),
    ]
    for one in [*kept[:1], record("old", known_at=10 * DAY_MS - 1), record("other", (1.0, 2.0)), *kept[1:]]:
        ledger.append([memory_row(one.known_at, one)], True).wait(1)
    rows = [(row.at, row.body) for row in ledger.rows("memory")]
    memory = PatternMemory(SETTINGS, DIMENSIONS, 7)
    assert memory.rebuild(from_rows(rows, DIMENSIONS), now) == 3
    assert memory.index.versions() == tuple(kept)
    assert memory.rebuild(from_rows(rows, DIMENSIONS), now) == 0
    assert memory.fresh() == []
    assert memory.forget_old(now) == 0
    assert memory.forget_old(now + 1) == 1
    assert [one.record.id for one in memory.similar(query(), 9, now)] == ["b"]


def test_clusters_of_equal_vectors_are_one() -> None:
    memory = open_memory()
    memory.remember([record(f"r{n}") for n in range(9)])
    (only,) = memory.clusters(LATER)
    assert (len(only.records), only.success_ratio, only.centre.tolist()) == (9, None, [1.0, 0.0, 0.0, 0.0])


def test_clusters_depend_on_the_seed_alone() -> None:
    rows = np.random.default_rng(3).standard_normal((200, DIMENSIONS))
    made = [record(f"r{n:03d}", tuple(row.tolist())) for n, row in enumerate(rows)]

    def sizes(seed: int) -> list[int]:
        memory = PatternMemory(SETTINGS, DIMENSIONS, seed)
        memory.remember(made)
        return [len(group.records) for group in memory.clusters(LATER)]

    assert sizes(7) == sizes(7)
    assert len({tuple(sizes(seed)) for seed in range(5)}) > 1
    assert sum(sizes(7)) == 200
    assert len(sizes(7)) == 5


def test_the_newest_are_kept_when_there_are_too_many() -> None:
    """Looked at when a day begins; equally old ones stay together."""
    memory = PatternMemory(SETTINGS.model_copy(update={"max_records": 3}), DIMENSIONS, 7)
    memory.on_slice(DAY_MS)
    memory.remember([record(f"r{at}-{n}", known_at=DAY_MS, seen_at=at) for n in range(2) for at in (1, 2, 3)])
    memory.on_slice(2 * DAY_MS - 1)
    assert len(memory) == 6
    memory.on_slice(2 * DAY_MS)
    assert [one.id for one in memory.index.versions()] == ["r2-0", "r3-0", "r2-1", "r3-1"]


@pytest.mark.parametrize("most", [1000, 40, 7])
@pytest.mark.parametrize("days", [3.0, 95.5, 130.0, 131.25])
def test_a_rebuilt_memory_is_the_one_that_lived(days: float, most: int) -> None:
    """Records of a third of a year, some remembered late: at any time the ledger gives back what was there."""
    rule = SETTINGS.model_copy(update={"max_records": most})
    rng, until = np.random.default_rng(5), round(days * DAY_MS)
    lived, rows = PatternMemory(rule, DIMENSIONS, 7), []
    for number, at in enumerate(range(DAY_MS, 140 * DAY_MS, DAY_MS // 4)):
        if at <= until:
            lived.on_slice(at)
        seen = at - int(rng.integers(0, 100 * DAY_MS)) if number % 5 == 0 else at - 5
        one = record(f"r{number // 2}", tuple(rng.standard_normal(DIMENSIONS).tolist()), known_at=at, seen_at=seen)
        rows.append((at, one))
        if at <= until:
            lived.remember([one])
    again = PatternMemory(rule, DIMENSIONS, 7)
    again.rebuild(rows, until)
    assert again.index.versions() == lived.index.versions()
    assert len(lived) > 0
    for memory in (lived, again):
        memory.on_slice(until + DAY_MS)
    assert again.index.versions() == lived.index.versions()
