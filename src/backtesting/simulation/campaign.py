"""Many runs, and what they came to: how many failed, the first that did and what it takes, one digest of all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ...core.errors import NotFound, UsageError
from .planted import Bug, plant
from .process import Build
from .run import Ground, Ran, run
from .schedule import Fault, Schedule, schedule
from .shrink import shrink, told

_SEEDS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
MOST_SEEDS = 10_000_000
"""In one call: more would take weeks, and were surely not meant."""

HOUR_MS = 3_600_000


class Outcome(msgspec.Struct, frozen=True):
    """What `mycelial simulate` says. `findings`: how many runs broke each invariant."""

    seeds: int
    failing: int
    first_failing: int | None
    orders: int
    virtual_hours: float
    digest: str
    conflicts: int
    findings: dict[str, int]
    remained: str


class Play:
    """Plays seeds over one ground, with a bug planted or without; seeds do not know of each other."""

    def __init__(self, ground: Ground, bug: Bug | None = None) -> None:
        offset = 2**40 if bug is not None and bug.lenient else ground.max_offset_ms
        self._ground = msgspec.structs.replace(ground, max_offset_ms=offset)
        self._bug = bug
        self._fresh: Callable[[], Build] = (lambda: ground.build) if bug is None else plant(bug, ground.build)

    def schedule(self, seed: int) -> Schedule:
        """The schedule of a seed; under a planted bug the faults that show it are always in it."""
        if self._bug is None:
            return schedule(seed)
        made = schedule(seed, self._bug.always)
        if self._bug.skew_ms is None:
            return made
        skew = Fault("skew", 0, self._bug.skew_ms)
        return msgspec.structs.replace(made, faults=(*made.without(frozenset({"skew"})).faults, skew))

    def run(self, made: Schedule) -> Ran:
        """Play one schedule."""
        return run(made, msgspec.structs.replace(self._ground, build=self._fresh()))

    def smallest(self, seed: int) -> Schedule:
        """What of a failing seed's schedule it takes to break an invariant that the seed breaks."""
        made = self.schedule(seed)
        broken = set(self.run(made).broken)
        return shrink(made, lambda cut: bool(broken & set(self.run(cut).broken)))


class Tally:
    """Counts runs as they come, in the order of their seeds."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._count = self._failing = self._orders = self._virtual_ms = self._conflicts = 0
        self._findings: dict[str, int] = {}
        self.first: int | None = None

    def add(self, ran: Ran) -> None:
        """One more."""
        self._count, self._orders = self._count + 1, self._orders + ran.orders
        self._virtual_ms, self._conflicts = self._virtual_ms + ran.virtual_ms, self._conflicts + ran.conflicts
        self._digest.update(ran.digest.encode())
        if not ran.broken:
            return
        self._failing, self.first = self._failing + 1, ran.seed if self.first is None else self.first
        for name in ran.broken:
            self._findings[name] = self._findings.get(name, 0) + 1

    def outcome(self, remained: str) -> Outcome:
        """All of them."""
        return Outcome(
            self._count,
            self._failing,
            self.first,
            self._orders,
            round(self._virtual_ms / HOUR_MS, 3),
            self._digest.hexdigest(),
            self._conflicts,
            dict(sorted(self._findings.items())),
            remained,
        )


def campaign(seeds: Iterable[int], play: Play) -> Outcome:
    """Play seeds in order; the first that fails is cut down to what it takes."""
    return concluded((play.run(play.schedule(seed)) for seed in seeds), play)


def concluded(rans: Iterable[Ran], play: Play) -> Outcome:
    """What runs came to, wherever they were played; the first that failed is cut down here."""
    tally = Tally()
    for ran in rans:
        tally.add(ran)
    return tally.outcome("" if tally.first is None else told(play.smallest(tally.first)))


def first_found(bug: Bug, ground: Ground, seeds: Iterable[int]) -> Ran | None:
    """The first run in which a planted bug shows, None where it never does."""
    play = Play(ground, bug)
    return next((ran for seed in seeds if (ran := play.run(play.schedule(seed))).broken), None)


def kept_seeds(path: Path) -> list[int]:
    """Seeds that failed once, one a line, with a word on why behind `#`; NotFound where there is no such file."""
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file of seeds; write one whole number a line")
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    try:
        return [int(line) for line in lines if line]
    except ValueError as error:
        raise UsageError(f"{path}: a line is no seed ({error}): write one whole number a line") from error


def seed_range(text: str) -> range:
    """`0-999`, both ends included, or a single seed; UsageError for anything else."""
    found = _SEEDS.fullmatch(text)
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not low <= high < low + MOST_SEEDS:
        raise UsageError(
            f"--seeds {text!r}: write A-B with whole numbers A <= B, for instance 0-999, at most {MOST_SEEDS:,} of them"
        )
    return range(low, high + 1)
