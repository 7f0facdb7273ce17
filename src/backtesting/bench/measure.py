"""How a benchmark measures: what it is handed, how rounds alternate, what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Protocol

import msgspec
import numpy as np

from ...core.clock import Timer
from ...core.config import Settings
from ...core.history import History
from ...core.ports import Bus, Clock, Ledger, Memory
from ...core.types import Pair, Slice, Snapshot, Tick, Trade

MICROSECONDS, MILLISECONDS = 1e6, 1e3


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured: the fixed design of the instrument, deliberately no settings. Tests take less.

    `rule_bars` are walked by the rule of the comparison, `slow_peer_bars` where the peer is slow, `long_bars` by the
    long run, `long_runs` times; `sweeps` of them make one figure, because a single one is over in milliseconds.

    `runs` alternated rounds; the rest are counts of one round. `bars` are walked by the whole swarm, `table_bars`
    by features alone. Before a clock is looked at, `warm_bars` pass (the learners' ranks are full then and every
    stream is open), or `warm_slices` where the whole house walks (the swarm has begun to speak).
    """

    runs: int = 5
    pairs: int = 15
    learners: int = 300
    subscribers: int = 100
    bars: int = 1_000
    table_bars: int = 4_000
    warm_bars: int = 600
    warm_slices: int = 200
    slices: int = 200
    messages: int = 1_000
    deliveries: int = 10_000
    appends: int = 2_000
    rows: int = 12_000
    commits: int = 40
    patterns: int = 10_000
    lookups: int = 100
    rule_bars: int = 100_000
    slow_peer_bars: int = 20_000
    long_bars: int = 1_000_000
    long_runs: int = 5
    sweeps: int = 10
    small_runs: int = 64
    small_bars: int = 600
    ticks: int = 20_000


class TickStream(Protocol):
    """The newest trade of each pair, as the house gets it from an exchange."""

    def ready(self) -> bool:
        """Whether trades come."""
        ...

    def wait(self, seconds: float) -> bool:
        """Until there is a newer trade, at most so long; whether there is."""
        ...

    def newest(self) -> Mapping[Pair, Tick]:
        """The newest trade of each pair that had one since the last call."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class Parts(msgspec.Struct, frozen=True):
    """What the benchmarks need from other rooms, as functions.

    `walk` builds a whole house with a ledger in memory and returns its engine's step; `server` gives the address of
    a bus server of our own, `connect` a bus on it; `writer` the single-writer queue over a new file; `colony` so
    many learners on so many pairs, with the rounds in which they share; `memory` one of so many dimensions;
    `swarm_peak_mb` the peak of a fresh process after a walk over so many bars;
    `help_command` are the words of the command line; `rule_walk` runs the rule of the comparison over a history of one
    pair, with a stake, its ledger in a folder, and gives the account's trades; `sweep_extra_mb` by how much a fresh
    process grows while it sweeps one row over so many bars; `peers` is the folder of the peers'
    environments; `runs` makes so many small runs over so many bars, so many at once, from a fresh process; `cycle`
    gives the next cycle of a supervisor with so many positions; `stream` the trades of pairs from an exchange at an
    address (a `TickStream`).
    """

    settings: Settings
    timer: Timer
    walk: Callable[[History, Bus, Clock], Callable[[Slice], object]]
    server: Callable[[], str]
    connect: Callable[[Clock], Bus]
    writer: Callable[[Path], Ledger]
    colony: Callable[[int, int], Callable[[Snapshot], object]]
    memory: Callable[[int], Memory]
    swarm_peak_mb: Callable[[Sizes], float]
    help_command: Sequence[str]
    rule_walk: Callable[[History, Decimal, Path], Sequence[Trade]]
    sweep_extra_mb: Callable[[int], float]
    peers: Path | None
    runs: Callable[[int, int, int], object]
    cycle: Callable[[int], Callable[[], object]]
    stream: Callable[[str, Sequence[Pair]], TickStream]


class Measured(msgspec.Struct, frozen=True):
    """What a benchmark found, each round by itself; `peer_values` of the same rounds, empty without a peer."""

    values: Sequence[float]
    peer_values: Sequence[float] = ()


Contest = Callable[[], float]


def alternated(runs: int, *contests: Contest) -> list[list[float]]:
    """The figures of each contest, in turns A B A B ...: what disturbs the machine disturbs all of them alike.

    One round before is not counted: it compiles, fills caches and opens files.
    """
    figures: list[list[float]] = [[] for _ in contests]
    for number in range(runs + 1):
        for contest, found in zip(contests, figures, strict=True):
            figure = contest()
            if number:
                found.append(figure)
    return figures


def seconds_of(timer: Timer, work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = timer.seconds()
    work()
    return timer.seconds() - started


def each_seconds(timer: Timer, work: Callable[[], object], times: int) -> list[float]:
    """Wall seconds of each of `times` calls."""
    return [seconds_of(timer, work) for _ in range(times)]


def step_seconds[T](timer: Timer, step: Callable[[T], object], inputs: Sequence[T]) -> list[float]:
    """Wall seconds of one step for each of `inputs`."""
    figures = []
    for one in inputs:
        started = timer.seconds()
        step(one)
        figures.append(timer.seconds() - started)
    return figures


def middle(figures: Sequence[float]) -> float:
    """The median."""
    return median(figures)


def percentile(figures: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the figures lie, interpolated linearly."""
    return float(np.percentile(figures, percent))
