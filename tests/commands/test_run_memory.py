"""The memory of the long-running process: written behind into a store, which may be lost or damaged while it stands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.connectors.chroma_memory import stored
from src.core.memory import decoded
from tests.worlds import settings

from .cli import SMALL, Process, journal, sound

FIRST, BOTH = ("--timerange", "20210101-20210111"), ("--timerange", "20210101-20210116")
MEMORY = settings().memory


def words(planted: Path, days: tuple[str, str]) -> tuple[str | Path, ...]:
    return ("--data", planted, *days, "--speed", "max", "--bus", "local", *SMALL, "--json")


@pytest.fixture(scope="module")
def half(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a run over the first ten days, in which trades of the swarm closed."""
    place = tmp_path_factory.mktemp("half")
    with Process(*words(planted, FIRST), cwd=place, state=place / "state") as process:
        process.result()
    assert remembered(place / "state")
    return place / "state"


def remembered(state: Path) -> list[str]:
    """Ids of the rows of the ledger, in order."""
    return [decoded(body).id for _, _, body in journal(state, "memory")]


def deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def overwritten(folder: Path) -> None:
    (database,) = folder.glob("store-*/chroma.sqlite3")
    raw = bytearray(database.read_bytes())
    raw[4096:8192] = b"\xff" * 4096
    database.write_bytes(raw)


def cut(folder: Path) -> None:
    for file in folder.glob("store-*/*/*"):
        file.write_bytes(file.read_bytes()[:-1])
    for file in folder.glob("store-*/*.sqlite3"):
        file.write_bytes(file.read_bytes()[:4096])


def unsealed(folder: Path) -> None:
    """As a kill leaves it."""
    for seal in folder.glob("*.sealed"):
        seal.unlink()


def untouched(folder: Path) -> None:
    """Nothing happened."""


@pytest.mark.parametrize("harm", [untouched, deleted, overwritten, cut, unsealed], ids=lambda harm: harm.__name__)
def test_a_store_that_was_harmed_between_two_runs_is_rebuilt_from_the_ledger(
    planted: Path, half: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    state = tmp_path / "state"
    shutil.copytree(half, state)
    harm(state / "memory")
    with Process(*words(planted, BOTH), cwd=tmp_path, state=state) as process:
        process.result()
        process.line("goes on after 2021-01-11")
    rows = remembered(state)
    assert rows[: len(remembered(half))] == remembered(half), "what was remembered is not written down again"
    assert len(rows) == len(set(rows)) > len(remembered(half))
    assert [one.id for one in stored(state / "memory", MEMORY)] == sorted(rows)
    assert bool(list((state / "memory").glob("set-aside-*"))) == (harm not in (untouched, deleted))
    assert sound(state)


def test_status_says_how_much_is_remembered_and_what_is_wrong_with_the_store(
    planted: Path, half: Path, tmp_path: Path
) -> None:
    """A file where the store's folder should be: the run goes on without it and says so."""
    state = tmp_path / "state"
    shutil.copytree(half, state)
    shutil.rmtree(state / "memory")
    (state / "memory").write_text("not a folder", encoding="utf-8")
    slow = [*words(planted, BOTH)]
    slow[slow.index("max")] = "72000x"
    with Process(*slow, cwd=tmp_path, state=state) as process:
        answer = process.until(lambda status: bool(status["memory"]["failure"]))
        assert "the memory store" in answer["memory"]["failure"]
        assert answer["memory"]["records"] == len(remembered(half))
        assert answer["faults"] == {}
        process.popen.terminate()
        result: dict[str, Any] = process.result()
    assert result["mode"] == "paper"
    assert (state / "memory").read_text(encoding="utf-8") == "not a folder"


def test_without_a_store_the_same_is_decided_and_nothing_lies_beside_the_ledger(
    planted: Path, half: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with Process(*words(planted, FIRST), "--set", "memory.store=none", cwd=tmp_path, state=state) as process:
        process.result()
    assert journal(state) == journal(half)
    assert not (state / "memory").exists()
    assert msgspec.json.decode(journal(state, "memory")[0][2])["moat"] == "swarm"
