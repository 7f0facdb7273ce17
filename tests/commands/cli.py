"""Starts the command line in processes of its own and waits for what they say, never for time to pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

import msgspec

from src.backtesting.planted import planted_history
from src.connectors.bar_files import write_parquet
from src.connectors.control import ask
from src.connectors.ledger_verify import verify
from src.connectors.sqlite_ledger import LedgerReader
from src.connectors.state_folder import find
from src.core.clock import Timer
from src.core.errors import NotRunning
from src.core.history import BarColumns
from tests.worlds import ROOT, settings

Done = subprocess.CompletedProcess[str]
Say = Callable[..., Done]
"""A command in this process; see the fixture `say`."""

START_MS = 1_609_459_200_000  # 2021-01-01
HOUR_MS = 3_600_000
PAIRS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
FEW = ("--set", "learners.team=3")
"""A population that is born and steps quickly."""
SMALL = (
    *FEW,
    *("--set", "learners.entry_score=0.6", "--set", "learners.calibration_min_t2=0"),
    *("--set", "costs.fee_ratio=0.0002", "--set", "costs.slippage_ratio=0.0001"),
)
"""Few learners that speak early and trade cheaply: the fewest bars in which a run comes to fills."""
ANY_PORT = "MYCELIAL__MONITORING__METRICS__PORT"
"""So that runs of several tests can stand beside each other."""
SECONDS = 120.0
"""How long a test waits for anything: far more than it takes, for a machine that does other things as well, and for
the first start after a change, which compiles."""
LOOK_SECONDS = 0.02


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without settings of the project; bytecode is kept, or each start takes seconds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MYCELIAL", "APP_ENV"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPATH": str(ROOT), ANY_PORT: "0", **changes}


def command(*words: str | Path) -> list[str]:
    """The command line as a user starts it."""
    return [sys.executable, "-m", "src.main", *map(str, words)]


def mycelial(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, **options: Any) -> Done:
    """Run a command to its end."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(**(env or {})),
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )


def refused(done: Done, code: int, *said: str) -> None:
    """A user's mistake: this exit code, a message that says `said` and how to go on, and no traceback."""
    assert done.returncode == code, f"{done.returncode}: {done.stderr}"
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    for words in said:
        assert words in done.stderr, done.stderr


def one_line(done: Done) -> str:
    """The message of a refused command; an AssertionError when it is more than a line."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def write_planted(folder: Path, bars: int, pairs: tuple[str, ...] = PAIRS, seed: int = 3) -> Path:
    """A data folder of the venue `planted` with one-hour bars in which something can be learnt."""
    history = planted_history(pairs, bars, 0.5, 6, seed, HOUR_MS, START_MS)
    for place, pair in enumerate(history.pairs):
        columns = (values[:, place] for values in history.columns())
        path = folder / "ohlcv" / "planted" / "1h" / f"{pair.replace('/', '-')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, BarColumns(history.times - HOUR_MS, *columns))
    return folder


def sound(folder: Path) -> bool:
    """Whether the ledger of a folder is what it was when it was written."""
    found = verify(folder / "ledger.sqlite")
    assert not found.problems
    return found.ok


def journal(state: Path, *kinds: str) -> list[tuple[str, str, bytes]]:
    """(kind, key, body) of the rows of a ledger in order; without `kinds` all that the market led to."""
    found = LedgerReader(state / "ledger.sqlite", settings().ledger).rows()
    own = ("start", "given", "input", "asked", "command", "rules", "census")
    return [(r.kind, r.key, r.body) for r in found if (r.kind in kinds if kinds else r.kind not in own)]


def books(result: dict[str, Any]) -> dict[str, Any]:
    """The streams of a result without the Sharpe ratio, which is that of the days this process saw."""
    return {
        name: {figure: value for figure, value in stream.items() if figure != "sharpe"}
        for name, stream in {**result["streams"], "edge_tested": result["mycelial_edge_tested"]}.items()
    }


class Process:
    """A `mycelial run` that lives while the test looks at it; leaving the context kills what is left of it."""

    def __init__(self, *words: str | Path, cwd: Path, state: Path, **options: Any) -> None:
        self.state = state
        self.lines: list[str] = []
        self._said = Condition()
        options.setdefault("stdin", subprocess.DEVNULL)
        self.popen = subprocess.Popen(
            command("run", "--state", state, *words),
            cwd=cwd,
            env=environment(**options.pop("env", {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self._stdout = ""
        self._readers = [Thread(target=self._read_stderr), Thread(target=self._read_stdout)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.end()

    @property
    def stderr(self) -> str:
        """What it said so far."""
        return "\n".join(self.lines)

    def end(self) -> tuple[int, str]:
        """Wait for its end; exit code and stdout."""
        code = self.popen.wait(SECONDS)
        for reader in self._readers:
            reader.join(SECONDS)
        return code, self._stdout

    def result(self) -> dict[str, Any]:
        """Wait for its end, which must be a good one; the object it printed with --json."""
        code, out = self.end()
        assert code == 0, self.stderr
        return msgspec.json.decode(out, type=dict[str, Any])

    def line(self, pattern: str) -> re.Match[str]:
        """The first line on stderr that `pattern` is found in, now or later."""
        seen: list[re.Match[str]] = []

        def there() -> bool:
            seen.extend(found for line in self.lines if (found := re.search(pattern, line)))
            return bool(seen) or self.popen.poll() is not None

        with self._said:
            self._said.wait_for(there, SECONDS)
        assert seen, f"{pattern!r} was never said: {self.stderr}"
        return seen[0]

    def status(self) -> dict[str, Any]:
        """What it answers now; NotRunning while it does not listen."""
        return ask(find(self.state), "status", SECONDS)

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status answer for which `true` holds."""
        timer, nap = Timer(), Event()
        deadline = timer.seconds() + SECONDS
        answer: dict[str, Any] = {}
        while timer.seconds() < deadline:
            assert self.popen.poll() is None, f"it ended with {self.popen.returncode}: {self.stderr}"
            try:
                answer = self.status()
            except NotRunning:
                answer = {}
            if answer and true(answer):
                return answer
            nap.wait(LOOK_SECONDS)
        raise AssertionError(f"never came true: {answer}")

    def slices(self, count: int) -> dict[str, Any]:
        """Its status once it has walked through `count` slices."""
        return self.until(lambda answer: answer.get("slices", 0) >= count)

    def _read_stderr(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()
        self.popen.stderr.close()

    def _read_stdout(self) -> None:
        assert self.popen.stdout is not None
        self._stdout = self.popen.stdout.read()
        self.popen.stdout.close()


def children(pid: int) -> list[int]:
    """The processes that a process started, on Linux."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
