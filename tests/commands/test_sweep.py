"""Sweeps: the same trials wherever they are walked and however often they are stopped; what cannot be swept."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from src.commands.sweep import SweepOptions, run
from src.commands.sweep_space import axes, points
from src.core.clock import Timer
from src.core.errors import UsageError
from tests.commands.cli import LOOK_SECONDS, SECONDS, SMALL, Say, command, environment, mycelial, one_line, refused

LONG_SECONDS = 3 * SECONDS
WEEK = ("--timerange", "20210101-20210108", *SMALL, "--book", "mycelial")
DAY = ("--timerange", "20210101-20210104", *SMALL, "--objective", "profit", "--book", "baseline")
GRID = ("--grid", "costs.fee_ratio=0.0002,0.002", "--grid", "learners.min_learners=2,3")

needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """The trials of a folder by their settings."""
    found = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert len({row["key"] for row in found}) == len(found)
    return {json.dumps(row["set"]): without_code(row) for row in found}


def without_code(trial: dict[str, Any]) -> dict[str, Any]:
    """A trial but for the hash of the code, which may be edited while tests run."""
    return {name: value for name, value in trial.items() if name != "code_sha256"}


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a sweep in the same way."""
    trials = {"best": without_code(answer["best"]), "table": [without_code(trial) for trial in answer["table"]]}
    return {**answer, **trials}


@pytest.fixture(scope="module")
def swept(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing disturbed."""
    out = tmp_path_factory.mktemp("swept") / "out"
    sweep(planted, out, jobs=1)
    return out


def sweep(planted: Path, out: Path, jobs: int) -> None:
    """In this process, or in workers of it."""
    sets = tuple(word for word in SMALL if word != "--set")
    run(SweepOptions(data=planted, timerange=WEEK[1], sets=sets, seed=7, grid=GRID[1::2], book="mycelial", jobs=jobs,
                     out=out, json=True))  # fmt: skip


def test_every_combination_is_walked_once_and_the_best_is_first(swept: Path) -> None:
    answer = json.loads((swept / "sweep.json").read_text())
    assert len(rows(swept)) == answer["trials"] == len(answer["table"]) == 4
    sharpes = [trial["books"]["mycelial"]["sharpe"] for trial in answer["table"]]
    assert sharpes == sorted(sharpes, reverse=True)
    assert answer["best"] == answer["table"][0]
    assert 0.0 <= answer["deflated_sharpe"] <= 1.0
    assert len({trial["decisions_sha256"] for trial in answer["table"]}) >= 2


def test_on_two_processes_and_again_it_is_the_same(swept: Path, planted: Path, tmp_path: Path, say: Say) -> None:
    out = tmp_path / "both"
    sweep(planted, out, jobs=2)
    assert rows(out) == rows(swept)
    assert told(json.loads((out / "sweep.json").read_text())) == told(json.loads((swept / "sweep.json").read_text()))
    again = say("sweep", "--data", planted, *WEEK, *GRID, "--out", out)
    assert "4 of 4 trials are known" in again.stderr
    assert "SWEEP: mycelial, best sharpe first, seed 7" in again.stdout
    assert "Best of 4 trials: costs.fee_ratio=0.0002" in again.stdout
    assert "so expect less" in again.stdout
    assert len(rows(out)) == 4


def test_a_torn_last_line_is_dropped_and_another_is_named(
    swept: Path, planted: Path, tmp_path: Path, say: Say
) -> None:  # fmt: skip
    lines = (swept / "trials.jsonl").read_text().splitlines(keepends=True)
    journal = tmp_path / "out" / "trials.jsonl"
    journal.parent.mkdir()
    journal.write_text("".join(lines[:3]) + lines[3][:100])
    words = ("sweep", "--data", planted, *WEEK, *GRID, "--out", journal.parent)
    done = say(*words)
    assert (done.returncode, "3 of 4 trials are known" in done.stderr) == (0, True)
    assert rows(journal.parent) == rows(swept)
    journal.write_text("nonsense\n" + "".join(lines))
    refused(say(*words), 1, "trials.jsonl:1: not a trial")


def until_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a file has so many lines."""
    from threading import Event

    timer, nap = Timer(), Event()
    deadline = timer.seconds() + LONG_SECONDS
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert timer.seconds() < deadline
        nap.wait(LOOK_SECONDS)


def test_a_sweep_that_is_killed_goes_on(swept: Path, planted: Path, tmp_path: Path, say: Say) -> None:
    out = tmp_path / "out"
    words = ("sweep", "--data", planted, *WEEK, *GRID, "--out", out)
    process = subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until_lines(out / "trials.jsonl", 1, process)
    process.kill()
    process.communicate(timeout=LONG_SECONDS)
    assert 1 <= len((out / "trials.jsonl").read_bytes().splitlines()) < 4
    done = say(*words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"[123] of 4 trials are known", done.stderr)
    assert rows(out) == rows(swept)


def test_trials_of_other_code_are_said_to_be_such(swept: Path, planted: Path, tmp_path: Path, say: Say) -> None:
    journal = tmp_path / "out" / "trials.jsonl"
    journal.parent.mkdir()
    body = (swept / "trials.jsonl").read_text()
    journal.write_text(re.sub('"code_sha256":"[0-9a-f]+"', '"code_sha256":"00"', body))
    done = say("sweep", "--data", planted, *WEEK, *GRID, "--out", journal.parent)
    assert "4 of them were walked by other code; name another --out to walk them again" in done.stderr


def test_two_sweeps_do_not_share_a_folder(swept: Path, planted: Path, tmp_path: Path, say: Say) -> None:
    import fcntl

    with (swept / "trials.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused(say("sweep", "--data", planted, *WEEK, *GRID, "--out", swept), 4, "another sweep is writing there")


class Cluster:
    """A real scheduler with real workers, each a process of its own."""

    def __init__(self, folder: Path, **changes: str) -> None:
        self.folder, self._changes = folder, changes
        self._count = 0
        self.scheduler = self._start("scheduler", "--port", "0", "--host", "127.0.0.1")
        self.address = self._said("scheduler", rb"Scheduler at:\s+(tcp://[\d.:]+)")
        self.workers = [self.worker(), self.worker()]

    def worker(self) -> subprocess.Popen[bytes]:
        """One more, when it is ready."""
        self._count += 1
        name = f"worker-{self._count}"
        process = self._start(name, self.address, "--nthreads", "1", "--no-nanny", "--name", name)
        self._said(name, rb"(Registered to)")
        return process

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        module = f"distributed.cli.dask_{name.partition('-')[0]}"
        with (self.folder / name).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words, "--no-dashboard"],
                cwd=self.folder,
                env=environment(**self._changes),
                stdout=log,
                stderr=log,
            )

    def _said(self, name: str, pattern: bytes) -> str:
        from threading import Event

        timer, nap = Timer(), Event()
        deadline = timer.seconds() + LONG_SECONDS
        while (found := re.search(pattern, (self.folder / name).read_bytes())) is None:
            assert timer.seconds() < deadline, (self.folder / name).read_text()
            nap.wait(LOOK_SECONDS)
        return found[1].decode()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(LONG_SECONDS)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.close()


def start(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words), cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@needs_dask
def test_on_a_cluster_that_loses_a_worker_it_is_the_same(
    swept: Path, planted: Path, tmp_path: Path, cluster: Cluster
) -> None:  # fmt: skip
    out = tmp_path / "out"
    process = start("sweep", "--data", planted, *WEEK, *GRID, "--dask", cluster.address, "--out", out, cwd=tmp_path)
    until_lines(out / "trials.jsonl", 1, process)
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    _, said = process.communicate(timeout=LONG_SECONDS)
    assert process.returncode == 0, said
    assert "4 runs on 2 workers" in said
    assert rows(out) == rows(swept)


@needs_dask
def test_a_cluster_that_dies_half_way_loses_nothing(
    swept: Path, planted: Path, tmp_path: Path, cluster: Cluster, say: Say
) -> None:  # fmt: skip
    out = tmp_path / "out"
    words = ("sweep", "--data", planted, *WEEK, *GRID, "--out", out)
    process = start(*words, "--dask", cluster.address, cwd=tmp_path)
    until_lines(out / "trials.jsonl", 1, process)
    cluster.close()
    _, said = process.communicate(timeout=LONG_SECONDS)
    assert "Traceback" not in said, said
    assert (process.returncode, "it is gone" in said.splitlines()[-1]) == (1, True), said
    known = len(rows(out))
    done = say(*words)
    assert f"{known} of 4 trials are known" in done.stderr
    assert rows(out) == rows(swept)


@needs_dask
def test_a_cluster_that_is_not_there_is_said(planted: Path, tmp_path: Path) -> None:
    done = mycelial(
        "sweep", "--data", planted, *WEEK, *GRID, "--dask", "tcp://127.0.0.1:9", "--out", "out", cwd=tmp_path
    )
    refused(done, 1, "--dask tcp://127.0.0.1:9: no cluster answers there")


@needs_dask
@pytest.mark.long
def test_a_cluster_that_was_started_elsewhere_is_said(planted: Path, tmp_path: Path) -> None:
    elsewhere = Cluster(tmp_path, PYTHONPATH=str(tmp_path))
    try:
        words = ("sweep", "--data", planted, *DAY, *GRID, "--dask", elsewhere.address, "--out", "out")
        done = mycelial(*words, cwd=tmp_path)
    finally:
        elsewhere.close()
    refused(done, 1, "its scheduler does not know our code; in this checkout start `PYTHONPATH=. dask scheduler`")


@needs_optuna
def test_optuna_chooses_alike_whatever_is_known(planted: Path, tmp_path: Path, say: Say) -> None:
    span = ("--grid", "costs.fee_ratio=0.0001:0.003", "--grid", "learners.min_learners=2:4")
    span += ("--grid", "memory.enabled=true,false")

    def search(out: str, trials: int, *more: str) -> dict[str, Any]:
        words = ("sweep", "--data", planted, *DAY, *span, "--optuna", str(trials), "--out", tmp_path / out, "--json")
        done = say(*words, *more)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    few, resumed = search("a", 3), search("a", 10)
    assert {row["key"] for row in few["table"]} <= {row["key"] for row in resumed["table"]}
    assert told(search("b", 10, "--jobs", "2")) == told(resumed)
    assert all(0.0001 <= float(row["set"]["costs.fee_ratio"]) <= 0.003 for row in resumed["table"])
    assert {row["set"]["learners.min_learners"] for row in resumed["table"]} <= {"2", "3", "4"}


def test_the_line_that_installs_what_is_missing(say: Say, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # as Python does where it is not installed
    grid = ("--grid", "costs.fee_ratio=0.001:0.002", "--optuna", "3")
    done = say("sweep", "--data", planted, *grid)
    refused(done, 4, "--optuna needs optuna: install it with `python3 scripts/research.py`")
    one_line(done)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to sweep: give --grid NAME=VALUES"),
        (("--grid", "costs.fee_rato=1,2"), 'costs.fee_rato: unknown setting, did you mean "costs.fee_ratio"?'),
        (("--grid", "learners.horizons.0.intervals=3,4"), "learners.horizons is one setting, give it whole"),
        (("--grid", "costs=1,2"), "costs: names a section, name one of its settings: costs.fee_ratio"),
        (("--grid", "costs.fee_ratio=0.001"), "one value only, nothing to sweep"),
        (("--grid", "costs.fee_ratio"), "write NAME=VALUES"),
        (("--grid", "costs.fee_ratio=0.1,,0.2"), "an empty value"),
        (("--grid", "costs.fee_ratio=0.1:0.3:0.1,0.2"), "0.2 twice; do the ranges overlap?"),
        (("--grid", "costs.fee_ratio=0.10,0.1"), "0.1 twice"),
        (("--grid", "costs.fee_ratio=0.3:0.1:0.1"), "write FROM:TO:STEP with FROM below TO"),
        (("--grid", "costs.fee_ratio=0.1:0.3"), "no step; write FROM:TO:STEP"),
        (("--grid", "costs.fee_ratio=0.3:0.1", "--optuna", "3"), "the range is empty"),
        (("--grid", "costs.fee_ratio=0.5,2"), "--grid costs.fee_ratio=2: 2 is above the largest allowed value 1"),
        (("--grid", "costs.fee_ratio=0.5:2", "--optuna", "3"), "2 is above the largest allowed value 1"),
        (("--grid", "risk.max_positions=1,x"), "must be a whole number"),
        (("--grid", "costs.fee_ratio=0,1", "--grid", "costs.fee_ratio=0.5,0.6"), "given twice"),
        (("--grid", "costs.fee_ratio=0:1:0.00001"), "100,001 values are more than 10,000"),
        (("--grid", "simulated.seed=1,2"), "the market is the same for all trials"),
        (("--grid", "bus.port=1,2"), "changes nothing that is decided"),
        (("--grid", "costs.fee_ratio=0,1", "--objective", "luck"), "choose sharpe, profit, drawdown, factor"),
        (("--grid", "costs.fee_ratio=0,1", "--book", "mine"), "choose baseline, mycelial, synthesized"),
        (("--grid", "costs.fee_ratio=0,1", "--dask", "tcp://x", "--jobs", "2"), "give one of them"),
    ],
)
def test_what_cannot_be_swept_is_said_before_the_first_run(words: tuple[str, ...], said: str, say: Say) -> None:
    done = say("sweep", *words)
    refused(done, 4, said)
    one_line(done)


def test_values_are_exact_decimals_and_lists_stay_whole() -> None:
    (entry,) = axes(["learners.entry_score=0.7:0.9:0.05"])
    assert entry.values == ("0.7", "0.75", "0.8", "0.85", "0.9")
    (moats,) = axes(["moats.board.enabled=[],[code, corporate]"])
    assert moats.values == ("[]", "[code, corporate]")
    both = points([entry, moats])
    assert (len(both), both[1]) == (10, (("learners.entry_score", "0.7"), ("moats.board.enabled", "[code, corporate]")))
    with pytest.raises(UsageError, match="unknown setting"):
        axes(["nonsense=1,2"])
