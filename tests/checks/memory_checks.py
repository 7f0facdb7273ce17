"""What every memory promises, as checks that each implementation passes by being registered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from src.core.config import MemorySettings
from src.core.errors import DataError
from src.core.memory import Action, MemoryRecord, Namespace, Where
from src.core.ports import Memory
from src.core.types import FloatArray, Pair, Side
from tests.worlds import settings

DIMENSIONS = 4
LATER = 10**6
SETTINGS: MemorySettings = settings().memory.model_copy(
    update={"batch_seconds": 0.0, "retry_seconds": 0.01, "batch_records": 50}
)

OpenMemory = Callable[[], Memory]


def record(
    name: str,
    vector: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0),
    *,
    known_at: int = 10,
    seen_at: int | None = None,
    namespace: Namespace = Namespace.TRADING,
    pair: str = "BTC/USDT",
    moat: str = "market",
    direction: Side = Side.BUY,
    outcome: float | None = None,
    **meta: str | int | float | bool,
) -> MemoryRecord:
    """A record with everything but its name given."""
    seen = known_at if seen_at is None else seen_at
    return MemoryRecord(name, namespace, vector, Pair(pair), moat, direction, 0.9, seen, known_at, outcome, meta)


def query(*numbers: float) -> FloatArray:
    return np.array(numbers or (1.0, 0.0, 0.0, 0.0))


def check_nearest_first_and_ties_by_id(open_memory: OpenMemory) -> None:
    """Cosine, not distance: the length of a vector does not matter."""
    memory = open_memory()
    memory.remember(
        [
            record("opposite", (-3.0, 0.0, 0.0, 0.0)),
            record("c", (2.0, 0.0, 0.0, 0.0)),
            record("near", (4.0, 3.0, 0.0, 0.0)),
            record("a", (5.0, 0.0, 0.0, 0.0)),
            record("across", (0.0, 0.0, 7.0, 0.0)),
            record("b", (1.0, 0.0, 0.0, 0.0)),
        ]
    )
    found = memory.similar(query(), 10, LATER)
    assert [one.record.id for one in found] == ["a", "b", "c", "near", "across", "opposite"]
    assert [one.similarity for one in found] == pytest.approx([1.0, 1.0, 1.0, 0.8, 0.0, -1.0], abs=1e-15)
    assert [one.record.id for one in memory.similar(query(), 2, LATER)] == ["a", "b"]
    memory.close()


def check_nothing_from_the_future(open_memory: OpenMemory) -> None:
    """Known at 20 exactly: visible at 20, not at 19. Seen earlier makes no difference."""
    memory = open_memory()
    memory.remember([record("old", known_at=10), record("new", known_at=20, seen_at=5)])
    assert [one.record.id for one in memory.similar(query(), 9, 9)] == []
    assert [one.record.id for one in memory.similar(query(), 9, 19)] == ["old"]
    assert [one.record.id for one in memory.similar(query(), 9, 20)] == ["new", "old"]
    assert memory.clusters(9) == []
    assert [one.id for group in memory.clusters(19) for one in group.records] == ["old"]
    memory.close()


def check_an_outcome_is_unknown_until_it_is_known(open_memory: OpenMemory) -> None:
    """The same id, known again later with its outcome: a question about the time before gets the version of then."""
    memory = open_memory()
    first, second = record("a", known_at=10), record("a", known_at=30, seen_at=10, outcome=0.02)
    memory.remember([first])
    memory.remember([second])
    assert [one.record for one in memory.similar(query(), 9, 29)] == [first]
    assert [one.record for one in memory.similar(query(), 9, 30)] == [second]
    assert memory.recommend(query(), 29).success_ratio is None
    assert memory.recommend(query(), 30).success_ratio == 1.0
    memory.remember([first, second])
    assert len(memory.similar(query(), 9, 30)) == 1
    memory.close()


def check_filters(open_memory: OpenMemory) -> None:
    """Fields are joined by and, values of a field by or; an empty field asks for nothing; unknown ones find nothing."""
    memory = open_memory()
    memory.remember(
        [
            record("a"),
            record("b", pair="ETH/USDT", moat="code"),
            record("c", pair="XXBTZUSD", direction=Side.SELL, outcome=-0.01),
            record("d", namespace=Namespace.FAILED, outcome=0.0),
        ]
    )
    expected = {
        Where(): "abcd",
        Where(pairs=(Pair("BTC/USDT"),)): "ad",
        Where(pairs=(Pair("BTC/USDT"), Pair("XXBTZUSD"))): "acd",
        Where(pairs=(Pair("BTC"),)): "",
        Where(moats=("code",)): "b",
        Where(directions=(Side.SELL,)): "c",
        Where(namespaces=(Namespace.FAILED,)): "d",
        Where(namespaces=(Namespace.KNOWLEDGE,)): "",
        Where(with_outcome=True): "cd",
        Where(pairs=(Pair("BTC/USDT"),), with_outcome=True): "d",
    }
    for where, names in expected.items():
        assert "".join(one.record.id for one in memory.similar(query(), 9, LATER, where)) == names, where
    memory.remember([record("e", pair="BTC")])
    assert [one.record.id for one in memory.similar(query(), 9, LATER, Where(pairs=(Pair("BTC"),)))] == ["e"]
    memory.close()


def check_recommendation_counts_losses(open_memory: OpenMemory) -> None:
    """M-F36: wins lie among the trading patterns, losses among the failed ones; both are counted."""
    memory = open_memory()
    memory.remember([record(f"w{n}", outcome=0.05) for n in range(5)])
    assert memory.recommend(query(), LATER).action is Action.BUY
    memory.remember([record(f"l{n}", namespace=Namespace.FAILED, outcome=-0.01) for n in range(5)])
    advice = memory.recommend(query(), LATER)
    assert (advice.action, advice.success_ratio, advice.mean_pnl) == (Action.OBSERVE, 0.5, pytest.approx(0.02))
    assert memory.recommend(query(), LATER, Where(pairs=(Pair("ETH/USDT"),))).action is Action.OBSERVE
    memory.close()


def check_forgetting(open_memory: OpenMemory) -> None:
    """By when it was last seen; exactly at the limit stays; what was forgotten may be learnt again."""
    memory = open_memory()
    memory.remember([record("a", known_at=10), record("b", known_at=50, seen_at=20), record("c", known_at=21)])
    assert memory.forget(20) == 1
    assert [one.record.id for one in memory.similar(query(), 9, LATER)] == ["b", "c"]
    assert memory.forget(20) == 0
    memory.remember([record("a", known_at=60)])
    assert [one.record.id for one in memory.similar(query(), 9, LATER)] == ["a", "b", "c"]
    memory.close()


def check_clusters(open_memory: OpenMemory) -> None:
    """Groups around the axes are found, the largest first, whatever the order of arrival."""
    axes = {"x": (9.0, 1.0, 0.0, 0.0), "y": (0.0, 9.0, 1.0, 0.0), "z": (0.0, 0.0, 9.0, 1.0)}
    counts = {"x": 3, "y": 7, "z": 5}
    made = [record(f"{n}{i}", axes[n], outcome=0.01 * i) for n in axes for i in range(counts[n])]
    results = []
    for order in (made, made[::-1]):
        memory = open_memory()
        memory.remember(order)
        results.append(memory.clusters(LATER))
        memory.close()
    assert [[one.id for one in group.records] for group in results[0]] == [
        [f"{name}{index}" for index in range(counts[name])] for name in "yzx"
    ]
    assert [group.mean_pnl for group in results[0]] == pytest.approx([0.03, 0.02, 0.01])
    assert results[0][0].success_ratio == 6 / 7
    for left, right in zip(*results, strict=True):
        assert left.records == right.records
        assert left.centre.tobytes() == right.centre.tobytes()


UNFIT = {
    "too short": (lambda: record("a", (1.0, 2.0)), "2 numbers in its vector, not 4"),
    "zeros": (lambda: record("a", (0.0, 0.0, 0.0, 0.0)), "all zeros"),
    "not a number": (lambda: record("a", (1.0, float("nan"), 0.0, 0.0)), "finite"),
    "known before seen": (lambda: record("a", known_at=10, seen_at=11), "before it was seen"),
    "no id": (lambda: record(""), "no id"),
    "outcome is not a number": (lambda: record("a", outcome=float("inf")), "not a score or a ratio"),
    "another record": (lambda: record("kept", (0.0, 1.0, 0.0, 0.0)), "another record with this id"),
    "an earlier version": (lambda: record("kept", known_at=9), "before the version that stands"),
    "meta None": (lambda: record("a", parent=None), "NoneType"),  # type: ignore[arg-type]
    "meta NaN": (lambda: record("a", edge=float("nan")), "nan"),
    "meta too large": (lambda: record("a", count=2**63), "64 bits"),
}


def check_unfit_record_sinks_alone(open_memory: OpenMemory, make: Callable[[], MemoryRecord], reason: str) -> None:
    """It is refused with its name; what came before it is kept, and so is what comes after."""
    memory = open_memory()
    memory.remember([record("kept")])
    with pytest.raises(DataError, match=reason):
        memory.remember([record("before"), make(), record("behind")])
    memory.remember([record("later")])
    names = [one.record.id for one in memory.similar(query(), 9, LATER)]
    assert names in (["before", "kept", "later"], ["kept", "later"])
    memory.close()


def check_queries_that_cannot_be_answered(open_memory: OpenMemory) -> None:
    """Zeros resemble nothing; a wrong length and NaN are errors."""
    memory = open_memory()
    memory.remember([record("a")])
    assert memory.similar(query(0.0, 0.0, 0.0, 0.0), 9, LATER) == []
    assert memory.similar(query(), 0, LATER) == []
    for wrong in (query(1.0), query(float("nan"), 1.0, 0.0, 0.0)):
        with pytest.raises(DataError, match="4 finite numbers"):
            memory.similar(wrong, 9, LATER)
    memory.close()


def check_what_is_new_is_told_once(open_memory: OpenMemory) -> None:
    """For the ledger: in order, without what was known, every version of an id."""
    memory = open_memory()
    memory.remember([record("a"), record("b"), record("a")])
    memory.remember([record("b"), record("a", known_at=20, seen_at=10, outcome=0.1)])
    assert [(one.id, one.known_at) for one in memory.fresh()] == [("a", 10), ("b", 10), ("a", 20)]
    assert list(memory.fresh()) == []
    memory.remember([record("b")])
    assert list(memory.fresh()) == []
    memory.close()


def check_no_memory_is_of_the_future(open_memory: OpenMemory) -> None:
    """Inside a slice: what is known now is kept, what would be known a millisecond later refused."""
    memory = open_memory()
    memory.on_slice(20)
    memory.remember([record("now", known_at=20)])
    with pytest.raises(DataError, match=r"memory later: known at 1970-01-01T00:00:00.021Z, after the slice of .*020Z"):
        memory.remember([record("later", known_at=21)])
    assert [one.record.id for one in memory.similar(query(), 9, LATER)] == ["now"]
    memory.on_slice(21)
    memory.remember([record("later", known_at=21)])
    assert [one.id for one in memory.fresh()] == ["now", "later"]
    memory.close()


CHECKS = (
    check_what_is_new_is_told_once,
    check_no_memory_is_of_the_future,
    check_nearest_first_and_ties_by_id,
    check_nothing_from_the_future,
    check_an_outcome_is_unknown_until_it_is_known,
    check_filters,
    check_recommendation_counts_losses,
    check_forgetting,
    check_clusters,
    check_queries_that_cannot_be_answered,
)
