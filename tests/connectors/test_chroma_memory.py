"""Chroma beside the index: the same promises, and a store that may be killed, cut, deleted or overwritten at will."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from src.connectors.chroma_collections import Collections, metadata, record_of
from src.connectors.chroma_folder import StoreFolder
from src.connectors.chroma_memory import ChromaStore, stored
from src.core.config import MemorySettings
from src.core.errors import LedgerError
from src.core.memory import MemoryRecord, Namespace, present
from src.core.ports import Memory
from src.core.types import Side
from src.services.memory import PatternMemory
from tests.checks import memory_checks as checks
from tests.checks.memory_checks import DIMENSIONS, LATER, SETTINGS, query, record
from tests.worlds import ROOT

SECONDS = 60.0
COUNT = 1200
"""More than Chroma's sync threshold, so that an index file is there to be damaged."""


def many(count: int = COUNT) -> list[MemoryRecord]:
    """Records whose numbers are exact in float32."""
    rows = np.random.default_rng(5).integers(-999, 999, (count, DIMENSIONS)) * 2.0 + 1.0
    return [
        record(
            f"p{n:05d}", tuple(rows[n].tolist()), known_at=n, pair=f"P{n % 15}/X", direction=list(Side)[n % 2],
            namespace=Namespace.FAILED if n % 10 == 0 else Namespace.TRADING,
            outcome=None if n % 3 else 0.25, **present(learner=f"l{n % 7}", parent=None),
        )
        for n in range(count)
    ]  # fmt: skip


MADE = many()
SETTLED: MemorySettings = SETTINGS.model_copy(update={"batch_records": 500})


def ready(root: Path, source: Callable[[], Iterable[MemoryRecord]], **changes: object) -> ChromaStore:
    store = ChromaStore(root, SETTLED.model_copy(update=changes), DIMENSIONS, source)
    assert store.settle(SECONDS)
    return store


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all records, closed."""
    root = tmp_path_factory.mktemp("filled")
    store = ready(root, lambda: MADE)
    store.close()
    assert (store.failure, store.rebuilt) == (None, 0)
    return root


@pytest.fixture
def root(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled store that may be damaged."""
    shutil.copytree(filled, tmp_path / "memory")
    return tmp_path / "memory"


def index_file(root: Path, name: str) -> Path:
    """A file of the larger of the vector indexes."""
    return max(root.glob("store-*/*/data_level0.bin"), key=lambda path: path.stat().st_size).parent / name


def assert_stored(root: Path, expected: list[MemoryRecord]) -> None:
    """The store holds exactly these, vectors to the precision of float32 (Chroma scales them to length 1 and back)."""
    found = stored(root, SETTINGS)
    assert list(map(without_vector, found)) == list(map(without_vector, expected))
    for one, other in zip(found, expected, strict=True):
        assert one.vector == pytest.approx(other.vector, rel=1e-6)


def without_vector(one: MemoryRecord) -> dict[str, object]:
    return {name: getattr(one, name) for name in MemoryRecord.__struct_fields__ if name != "vector"}


# The contract, with the store written behind.


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[checks.OpenMemory]:
    stores: list[ChromaStore] = []

    def open_memory() -> Memory:
        stores.append(ChromaStore(tmp_path / f"m{len(stores)}", SETTINGS, DIMENSIONS, lambda: ()))
        return PatternMemory(SETTINGS, DIMENSIONS, 7, stores[-1])

    yield open_memory
    for store in stores:
        store.close()
        assert store.failure is None


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_composed(composed: checks.OpenMemory, check: Callable[[checks.OpenMemory], None]) -> None:
    check(composed)


def test_what_is_remembered_and_forgotten_is_stored(tmp_path: Path) -> None:
    """The newest version of each id, in the collection it belongs to now; what was forgotten is gone."""
    store = ChromaStore(tmp_path, SETTINGS, DIMENSIONS, lambda: ())
    memory = PatternMemory(SETTINGS, DIMENSIONS, 7, store)
    memory.remember([record("old", known_at=1), record("a"), record("b", namespace=Namespace.KNOWLEDGE)])
    memory.remember([record("c", pair="ETH/USDT", outcome=-0.5)])
    failed = record("a", known_at=20, seen_at=10, namespace=Namespace.FAILED, outcome=-0.25)
    memory.remember([failed])
    memory.forget(5)
    memory.close()
    assert store.failure is None
    assert_stored(
        tmp_path,
        [
            failed,
            record("b", namespace=Namespace.KNOWLEDGE),
            record("c", pair="ETH/USDT", outcome=-0.5),
        ],
    )


def test_m_f35_round_trip_with_fields_that_are_not_known(filled: Path, root: Path) -> None:
    """No None, no datetime: what is not known is absent, and comes back as not known."""
    columns = metadata(MADE[1])
    assert "outcome" not in columns
    assert {type(value) for value in columns.values()} == {str, int, float}
    assert record_of(MADE[1].namespace, MADE[1].id, MADE[1].vector, columns) == MADE[1]
    assert_stored(root, MADE)
    assert_stored(root, MADE)


# Life and death of a store.


def test_a_sound_store_is_opened_again(root: Path) -> None:
    store = ready(root, lambda: MADE)
    assert (store.state, store.rebuilt, store.failure) == ("ready", 0, None)
    store.close()
    assert [path.name for path in sorted(root.iterdir())] == ["store-000001", "store-000001.sealed"]


def test_content_follows_the_ledger(root: Path) -> None:
    """What the ledger no longer gives is removed, what it gives anew or in a newer version is fetched."""
    newer = record(MADE[50].id, MADE[50].vector, known_at=10**6, outcome=0.5)
    expected = [*MADE[10:50], newer, *MADE[51:], record("z", (1.0, 2.0, 3.0, 4.0))]
    store = ready(root, lambda: [*MADE[10:], *expected])
    store.close()
    assert (store.rebuilt, store.failure) == (0, None)
    assert_stored(root, sorted(expected, key=lambda one: one.id))


def truncate(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def overwrite(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 3)
        stream.write(b"\xff" * 64)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "half a database": ("chroma.sqlite3", truncate(0.5)),
    "no database": ("chroma.sqlite3", Path.unlink),
    "empty database": ("chroma.sqlite3", truncate(0.0)),
    "database overwritten": ("chroma.sqlite3", overwrite),
    "half the vectors": ("data_level0.bin", truncate(0.5)),
    "no vectors": ("data_level0.bin", Path.unlink),
    "vectors overwritten": ("data_level0.bin", overwrite),
    "half a header": ("header.bin", truncate(0.5)),
    "no index": ("index_metadata.pickle", lambda path: shutil.rmtree(path.parent)),
    "one byte of links": ("link_lists.bin", truncate(0.999)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen_before_it_is_opened_and_repaired(root: Path, name: str) -> None:
    """Opened as they are, some of these give wrong neighbours in silence, and two kill the process."""
    file, damage = DAMAGE[name]
    damage(root / "store-000001" / file if file == "chroma.sqlite3" else index_file(root, file))
    store = ready(root, lambda: MADE)
    assert (store.state, store.rebuilt, store.failure) == ("ready", 1, None)
    store.close()
    assert (root / "set-aside-000001").is_dir()
    assert_stored(root, MADE)


@pytest.mark.parametrize("what", ["seal deleted", "seal overwritten", "folder deleted"])
def test_a_store_without_a_sound_seal_is_not_trusted(root: Path, what: str) -> None:
    seal = root / "store-000001.sealed"
    if what == "seal deleted":
        seal.unlink()
    elif what == "seal overwritten":
        seal.write_bytes(b"{")
    else:
        shutil.rmtree(root)
    store = ready(root, lambda: MADE)
    store.close()
    assert store.rebuilt == (what != "folder deleted")
    assert_stored(root, MADE)


def test_canaries_find_wrong_neighbours_behind_a_good_seal(root: Path) -> None:
    """The index is older than what Chroma says it holds, and the seal vouches for that."""
    shutil.rmtree(index_file(root, "index_metadata.pickle").parent)
    StoreFolder(root, 2).seal(root / "store-000001")
    store = ready(root, lambda: MADE)
    store.close()
    assert (store.rebuilt, store.failure) == (1, None)
    assert_stored(root, MADE)


def test_stores_set_aside_do_not_pile_up(root: Path) -> None:
    for _ in range(4):
        (seal,) = root.glob("*.sealed")
        seal.unlink()
        ready(root, lambda: MADE[:5]).close()
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == [
        "set-aside-000003", "set-aside-000004", "store-000005",
    ]  # fmt: skip


KILLED = """
import sys
from pathlib import Path
from src.connectors.chroma_memory import ChromaStore
from tests.connectors.test_chroma_memory import MADE, DIMENSIONS, SETTLED
store = ChromaStore(Path(sys.argv[1]), SETTLED.model_copy(update={"batch_records": 40}), DIMENSIONS, lambda: ())
assert store.settle(60.0)
sys.stdout.write("ready\\n")
sys.stdout.flush()
while True:
    store.put(MADE)
    store.settle(60.0)
"""


def test_c1_killed_in_the_middle_of_upserts(tmp_path: Path) -> None:
    """Each time anew, the next process trusts nothing and has everything."""
    for round_ in range(2):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        Event().wait(0.2 + 0.3 * round_)
        child.send_signal(signal.SIGKILL)
        child.wait(SECONDS)
        child.stdout.close()
        assert child.returncode == -signal.SIGKILL
        store = ready(tmp_path, lambda: MADE)
        assert (store.rebuilt, store.failure) == (1, None)
        store.close()
    assert_stored(tmp_path, MADE)


# Failures never reach the run.


def test_a_panic_leads_to_a_new_store(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chroma panics with a BaseException; what was in hand is not lost."""

    class PanicException(BaseException):
        pass

    upsert, panics = Collections.upsert, [PanicException("index out of bounds")]

    def panicking(self: Collections, records: list[MemoryRecord]) -> None:
        if panics:
            raise panics.pop()
        upsert(self, records)

    store = ready(root, lambda: MADE)
    monkeypatch.setattr(Collections, "upsert", panicking)
    extra = record("z", (1.0, 2.0, 3.0, 4.0))
    store.put([extra])
    assert store.settle(SECONDS)
    store.close()
    assert (store.rebuilt, store.failure, panics) == (1, None, [])
    assert_stored(root, [*MADE, extra])


def test_a_store_that_cannot_be_set_up_is_given_up(tmp_path: Path) -> None:
    """The folder is a file. The answers come all the same."""
    (tmp_path / "memory").write_text("in the way")
    store = ready(tmp_path / "memory", lambda: MADE)
    memory = PatternMemory(SETTINGS, DIMENSIONS, 7, store)
    memory.remember([record("a")])
    assert [one.record.id for one in memory.similar(query(), 9, LATER)] == ["a"]
    assert memory.failure is not None
    assert "FileExistsError" in memory.failure
    assert (store.state, store.skipped) == ("absent", 1)
    memory.close()


def test_a_ledger_that_cannot_be_read_does_not_cost_the_store(root: Path) -> None:
    def broken() -> list[MemoryRecord]:
        raise LedgerError("the ledger is damaged")

    store = ready(root, broken)
    assert store.state == "absent"
    assert store.failure == "the memory store failed: LedgerError: the ledger is damaged"
    store.close()
    assert (root / "store-000001.sealed").is_file()


def test_a_full_queue_takes_the_rest_from_the_ledger(tmp_path: Path) -> None:
    """`put` returns at once; nothing is missing in the end."""
    ledger: list[MemoryRecord] = []
    go = Event()

    def source() -> list[MemoryRecord]:
        go.wait(SECONDS)
        return list(ledger)

    store = ChromaStore(tmp_path, SETTLED.model_copy(update={"queue_records": 100}), DIMENSIONS, source)
    for first in range(0, 600, 60):
        store.put(MADE[first : first + 60])
    ledger.extend(MADE[:600])
    go.set()
    assert store.settle(SECONDS)
    store.close()
    assert (store.failure, store.skipped) == (None, 0)
    assert_stored(tmp_path, MADE[:600])


def test_closing_does_not_wait_for_a_store_that_stands_still(tmp_path: Path) -> None:
    go, asked = Event(), Event()

    def source() -> list[MemoryRecord]:
        asked.set()
        go.wait(SECONDS)
        return MADE

    changes = {"close_timeout_seconds": 0.05}
    store = ChromaStore(tmp_path, SETTLED.model_copy(update=changes), DIMENSIONS, source)
    assert asked.wait(SECONDS)
    store.close()
    assert store.failure == "the memory store does not answer; it is rebuilt at the next start"
    go.set()
    assert store.settle(SECONDS)


def test_vectors_the_store_cannot_hold_are_passed_over(tmp_path: Path) -> None:
    store = ready(tmp_path, lambda: [record("huge", (1e300, 1.0, 1.0, 1.0)), record("short", (1.0,)), record("a")])
    store.put([record("b"), record("huge2", (1e300, 1.0, 1.0, 1.0))])
    store.close()
    assert store.failure is None
    assert [one.id for one in stored(tmp_path, SETTINGS)] == ["a", "b"]


def test_nothing_is_downloaded_and_chroma_is_not_imported_early(tmp_path: Path) -> None:
    """Neither the connector nor the memory costs the start of the program anything."""
    code = (
        "import sys, src.connectors.chroma_memory, src.services.memory;"
        "sys.exit(any(name.partition('.')[0] in ('chromadb', 'onnxruntime') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    collections = Collections(tmp_path)
    assert all(each._embedding_function is None for each in collections._of.values())
    collections.close()


def test_a_store_with_nothing_to_keep_is_not_opened(tmp_path: Path) -> None:
    """A short run pays neither for the import nor for the folder; the first record opens it."""
    code = (
        "import sys; from pathlib import Path;"
        "from tests.connectors.test_chroma_memory import DIMENSIONS, SETTLED, ChromaStore;"
        "store = ChromaStore(Path(sys.argv[1]), SETTLED, DIMENSIONS, lambda: []); store.close();"
        "sys.exit('chromadb' in sys.modules or store.state != 'absent' or store.failure is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "none")], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert not (tmp_path / "none").exists()
    store = ChromaStore(tmp_path / "some", SETTLED, DIMENSIONS, list)
    store.put([record("a")])
    store.close()
    assert (store.failure, store.skipped) == (None, 0)
    assert_stored(tmp_path / "some", [record("a")])


@pytest.mark.long
def test_look_up_fifty_times_faster_than_chroma_filters(tmp_path: Path) -> None:
    """The same question to both, in turns, at 10,000 x 32 with half of the records passing."""
    from src.core.clock import Timer
    from src.core.memory import Where
    from tests.services.test_memory_index import many as wide

    known = wide(10_000, 32)
    memory = PatternMemory(SETTINGS, 32, 7)
    memory.remember(known)
    collections, timer = Collections(tmp_path), Timer()
    for first in range(0, len(known), 500):
        collections.upsert(
            [one.__class__(one.id, Namespace.TRADING, *_rest(one)) for one in known[first : first + 500]]
        )
    ours, theirs = [], []
    for one in known[:40]:
        vector = np.array(one.vector)
        started = timer.seconds()
        memory.similar(vector, 10, LATER, Where(directions=(Side.BUY,)))
        ours.append(timer.seconds() - started)
        started = timer.seconds()
        collections._of[Namespace.TRADING].query(
            query_embeddings=[vector.astype(np.float32)], n_results=10, where={"direction": "buy"}
        )
        theirs.append(timer.seconds() - started)
    collections.close()
    assert np.median(theirs) / np.median(ours) >= 50


def _rest(one: MemoryRecord) -> list[object]:
    return [getattr(one, name) for name in MemoryRecord.__struct_fields__[2:]]
