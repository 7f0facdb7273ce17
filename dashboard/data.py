"""The monitor's only door: the ledger, read-only and in bounded time, and the running process's own socket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from src.connectors.control import ask
from src.connectors.state_folder import find, holder, stamped_mode
from src.core.clock import Timer, from_iso
from src.core.errors import MycelialError, TimeoutExceeded

from .jobs import Jobs
from .ledger import Ledger
from .log_file import LogFile
from .runs import Runs

__all__ = ["Answer", "Door", "Engine", "MycelialError", "at_of", "door_of_environment"]

ANSWER_SECONDS = 1.5
"""How long the process may take to answer before the page goes on with what it knows."""
FRESH_SECONDS = 0.5
"""For so long all viewers together get one answer of the process, so that looking costs it next to nothing."""
FRESH_CENSUS_SECONDS = 4.0
HELD_SECONDS = 10.0
"""So long the newest answer stands in for a process that lives but is late: a page grows old instead of empty."""

Fields = Mapping[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What the process said: `fields`, empty where it did not answer and `said` tells why; `age` in seconds."""

    fields: dict[str, Any]
    said: str = ""
    age: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether the process answered."""
        return not self.said


class _Kept(msgspec.Struct):
    """The newest answer to one question, when it was asked and when the process told it."""

    asked: float
    told: float
    fields: dict[str, Any]
    said: str


class Engine:
    """Questions and commands to the process of a state folder; answers are shared by all viewers for a moment."""

    def __init__(self, state: Path, timer: Timer) -> None:
        self.state = state
        self._timer = timer
        self._kept: dict[str, _Kept] = {}
        self._lock = Lock()
        self._asking: dict[str, Lock] = {}

    def status(self) -> Answer:
        """How the process stands."""
        return self._question("status", FRESH_SECONDS)

    def census(self) -> Answer:
        """Everybody who lives now."""
        return self._question("census", FRESH_CENSUS_SECONDS)

    def candles(self, pair: str, newest: int) -> Answer:
        """Candles of a pair in the `newest` slices; no more is asked for than is shown."""
        return self._question("candles", FRESH_SECONDS, pair=pair, newest=newest)

    def command(self, name: str, **fields: Any) -> str:
        """Ask for something; what it leads to. MycelialError with the reason when it is refused."""
        answer = self._ask(name, {key: value for key, value in fields.items() if value is not None})
        with self._lock:
            self._kept.clear()
        return f"{answer['command']}: {answer['effect']}"

    def _question(self, name: str, fresh: float, **fields: Any) -> Answer:
        key = " ".join(map(str, (name, *fields.values())))
        with self._lock:
            asking = self._asking.setdefault(key, Lock())
        with asking:
            kept = self._kept.get(key)
            now = self._timer.seconds()
            if kept is None or now - kept.asked > fresh:
                kept = self._renew(key, name, fields)
        return Answer(kept.fields, kept.said, self._timer.seconds() - kept.told)

    def _renew(self, key: str, name: str, fields: Fields) -> _Kept:
        before = self._kept.get(key)
        try:
            answer, said, told = self._ask(name, fields), "", self._timer.seconds()
        except MycelialError as error:
            answer, said, told = {}, str(error), self._timer.seconds()
            late = isinstance(error, TimeoutExceeded)
            if late and before is not None and before.fields and told - before.told < HELD_SECONDS:
                answer, said, told = before.fields, "", before.told
        kept = _Kept(self._timer.seconds(), told, answer, said)
        with self._lock:
            if len(self._kept) > 200:  # strangers cannot grow it, but pairs come and go
                self._kept.clear()
            self._kept[key] = kept
        return kept

    def _ask(self, name: str, fields: Fields) -> dict[str, Any]:
        answer = ask(find(self.state), name, ANSWER_SECONDS, **fields)
        if not answer.get("ok"):
            raise MycelialError(str(answer.get("error", "refused without a reason")))
        return answer


class Door:
    """Everything that pages may read or ask; shared by all viewers of this monitor."""

    def __init__(self, state: Path, runs: Path, data: Path | None) -> None:
        self.state, self.data = state, data
        self.timer = Timer()
        self.engine = Engine(state, self.timer)
        self.ledger = Ledger(state / "ledger.sqlite", self.timer.seconds)
        self.log = LogFile(state)
        self.runs = Runs(runs)
        self.jobs = Jobs(runs.parent, self.timer.seconds)

    def mode(self) -> str:
        """The mode of this state folder: of the process, of its stamp, of its ledger; empty when there is none."""
        said = self.engine.status().fields.get("mode")
        return str(said or stamped_mode(self.state) or self.ledger.header.get("mode", ""))

    def simulated(self) -> bool:
        """Whether the prices are made up."""
        status = self.engine.status()
        if status.alive:
            return bool(status.fields.get("simulated"))
        return self.ledger.start.get("feed") == "simulated"

    def process(self) -> int | None:
        """The number of the process that holds the state folder and lives; None without one."""
        found = holder(self.state)
        return found.pid if found is not None and found.alive else None


def door_of_environment() -> tuple[str, str, str]:
    """State folder, folder of runs and data folder (may be empty), as `mycelial dashboard` hands them over."""
    state = os.environ.get("MYCELIAL_STATE") or str(Path("state", "paper").absolute())
    runs = os.environ.get("MYCELIAL_RUNS") or str(Path("runs").absolute())
    return state, runs, os.environ.get("MYCELIAL_DATA", "")


def at_of(text: object) -> int | None:
    """UTC ms of an ISO time; None where it is none."""
    try:
        return from_iso(str(text))
    except ValueError:
        return None
