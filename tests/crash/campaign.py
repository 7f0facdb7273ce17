"""Lives that end by kill -9 at a random instant, one after the other, on one ledger and one exchange."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from itertools import count
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from sqlite3 import connect
from types import TracebackType
from typing import Protocol, Self

import msgspec

from src.backtesting.simulation.draws import Draws
from src.connectors.ledger_verify import verify
from src.core.clock import Timer
from tests.crash.exchange import Exchange, Rest
from tests.worlds import ROOT

CALM_MS = 150_000
"""Of virtual time, after the last kill, until both sides have to say the same."""
SLACK_SECONDS = 0.03
"""Up to so long after the frame at which it is to die a life goes on: frames are no instants of its own."""
PATIENCE_SECONDS = 60.0
_addresses = (f"mycelial-crash-{os.getpid()}-{number}" for number in count())


class Power(Protocol):
    """What the machine runs on."""

    def off(self, seed: int) -> None:
        """It fails, at this very instant."""
        ...

    def on(self) -> None:
        """It is back."""
        ...


class Campaign(msgspec.Struct):
    """What came of it. `lost`: acknowledged rows that were not in the ledger after a life. `problems`: all else."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    orders: int = 0
    executions: int = 0
    restarts: int = 0
    slowest_ready_seconds: float = 0.0
    doubled: list[str] = []
    problems: list[str] = []


class Nursery:
    """The process from which lives are forked."""

    def __init__(self) -> None:
        self._listener = Listener("\0" + (address := next(_addresses)), "AF_UNIX")
        self._mother = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.slim", address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.close()
        self._mother.wait(PATIENCE_SECONDS)
        self._mother.stdout.close()
        self._listener.close()

    def bear(self, ledger: Path, seed: int, planted: str) -> tuple[int, Connection]:
        """A new life: its process id and its line."""
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.write(f"{ledger}\t{seed}\t{planted}\n")
        self._mother.stdin.flush()
        pid = int(self._mother.stdout.readline())
        return pid, self._listener.accept()


class _Life:
    """One life as the other side sees it; where not `any_instant` will do it is killed when it has something to do."""

    def __init__(self, exchange: Exchange, any_instant: bool, pid: int, line: Connection) -> None:
        self._exchange, self._pid, self._line = exchange, pid, line
        self._any_instant = self._busy = any_instant
        self._timer = Timer()
        self._born = self._timer.seconds()
        self.acknowledged: list[str] = []
        self.ready_seconds: float | None = None
        self.rest: Rest | None = None

    def serve(self, frames: int | None, slack: float, power: Power | None = None) -> None:
        """Serve until so many frames came and a moment more, then kill; without a number until it ends."""
        self._exchange.begin_life()
        seen = 0
        with suppress(EOFError, OSError):
            while frames is None or seen < frames or not self._busy:
                assert self._line.poll(PATIENCE_SECONDS), "the process hangs"
                self._hear(self._line.recv())
                seen += 1
            end = self._timer.seconds() + slack
            while self._line.poll(max(0.0, end - self._timer.seconds())):
                self._hear(self._line.recv())
                if self._timer.seconds() >= end:
                    break
        if frames is not None:
            if power is not None:
                power.off(frames)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        with suppress(EOFError, OSError):  # what it had sent is on its way all the same
            while True:
                self._hear(self._line.recv())
        self._line.close()

    def _hear(self, frame: tuple[object, ...]) -> None:
        name, *rest = frame
        if name == "look":
            told = self._exchange.look()
            self._busy = self._any_instant or bool(told.events or told.wishes)
            with suppress(OSError):
                self._line.send(told)
        elif name == "durable":
            (keys,) = rest
            assert isinstance(keys, tuple)
            self.acknowledged.extend(keys)
        elif name == "ready":
            self.ready_seconds = self._timer.seconds() - self._born
        elif name == "rest":
            assert isinstance(rest[0], Rest)
            self.rest = rest[0]
        else:
            self._exchange.request(str(name), tuple(rest))


def run(
    folder: Path,
    kills: int,
    seed: int,
    nursery: Nursery,
    planted: str = "",
    power: Power | None = None,
) -> Campaign:
    """Kill so many lives, look after each, let the last one come to rest and compare both sides.

    With `power` the machine loses it at the instant of the kill. It ends early once rows were lost.
    """
    found = Campaign(doubled=[], problems=[])
    exchange, draws, ledger = Exchange(seed), Draws(seed, "kills"), folder / "ledger.sqlite"
    known: list[str] = []
    for _ in range(kills):
        any_instant = draws.chance(0.3)
        frames = draws.whole(1, 25) if draws.chance(0.4) else draws.whole(10, 260)
        life = _Life(exchange, any_instant, *nursery.bear(ledger, seed, planted))
        life.serve(frames, draws.ratio() * SLACK_SECONDS, power)
        if power is not None:
            power.on()
        found.kills += 1
        _look(found, life, ledger, known)
        if found.lost or found.problems:
            return found
    exchange.calm(CALM_MS)
    life = _Life(exchange, True, *nursery.bear(ledger, seed, planted))
    life.serve(None, 0.0)
    _look(found, life, ledger, known)
    found.problems += ["the last life did not come to rest"] if life.rest is None else exchange.differences(life.rest)
    found.doubled = exchange.doubled()
    found.orders = sum(1 for one in exchange.server.orders.values() if one.client_id)
    found.executions = len(exchange.server.executions)
    return found


def _look(found: Campaign, life: _Life, ledger: Path, known: list[str]) -> None:
    """After a life: everything that any life acknowledged is there, and the chain holds."""
    known += life.acknowledged
    found.acknowledged = len(known)
    if life.ready_seconds is not None:
        found.restarts += 1
        found.slowest_ready_seconds = max(found.slowest_ready_seconds, life.ready_seconds)
    if not ledger.exists():
        found.lost += len(known)
        return
    with closing(connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as reading:
        there = {key for (key,) in reading.execute("SELECT key FROM journal")}
    found.lost += len(set(known) - there)
    found.problems += verify(ledger).problems
