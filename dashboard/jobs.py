"""Long work of the command line, started from a page: each in a process of its own, so that its failure is its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread

MOST_JOBS = 1
"""At once: this machine also carries the engine."""
KEPT = 20
TAIL_BYTES = 6000
ROOT = Path(__file__).parents[1]


class Job:
    """One started command: its words, its process and what it says."""

    def __init__(self, name: str, words: Sequence[str], folder: Path, started: float) -> None:
        self.name, self.words, self.started = name, tuple(words), started
        self._said = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "src.main", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, name=f"job {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Keep the end of what it says, until it says nothing any more."""
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), TAIL_BYTES):
                self._said = (self._said + chunk)[-TAIL_BYTES:]

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    @property
    def line(self) -> str:
        """What a user would have typed."""
        return shlex.join(("mycelial", *self.words))

    def tail(self) -> str:
        """The end of what it said."""
        return self._said.decode(errors="replace").replace("\r", "\n")

    def end(self) -> None:
        """Ask it to stop; it drains."""
        if self.code is None:
            self._process.terminate()

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None where it still runs after `seconds`."""
        try:
            code = self._process.wait(seconds)
            self._reader.join(seconds)
            return code
        except subprocess.TimeoutExpired:
            return None


class Jobs:
    """The newest jobs of this monitor."""

    def __init__(self, folder: Path, seconds: Callable[[], float]) -> None:
        self._folder = folder
        self._seconds = seconds
        self._jobs: list[Job] = []
        self._lock = Lock()

    def start(self, name: str, words: Sequence[str]) -> Job | None:
        """Start a command; None while another one runs."""
        with self._lock:
            if sum(job.code is None for job in self._jobs) >= MOST_JOBS:
                return None
            self._folder.mkdir(parents=True, exist_ok=True)
            job = Job(name, words, self._folder, self._seconds())
            self._jobs = [*self._jobs, job][-KEPT:]
            return job

    def newest(self, name: str) -> Job | None:
        """The last one of a name."""
        return next((job for job in reversed(self._jobs) if job.name == name), None)

    def all(self) -> list[Job]:
        """Newest first."""
        return list(reversed(self._jobs))
