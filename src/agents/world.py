"""What a kind of agent needs to know to populate a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ..core import records
from ..core.config import Settings
from ..core.model import MycelialAgent, MycelialModel
from ..core.ports import Memory
from ..core.types import Pair
from .haven import Watch
from .nursery import Nursery


class Figures:
    """What a run is told of discovery, of the learners' society, and of HAVEN's watch over them.

    `agreement` by team: the share of equal votes of two of its explorers. `toxic_since`: the learners that are poisoned
    on purpose, by name, and since when (UTC ms).
    """

    def __init__(self) -> None:
        self.consensus: Counter[str] = Counter()
        self.attempted = self.deployed = self.retired = 0
        self.refused: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.abstentions = 0
        self.agreement: dict[str, float | None] = {}
        self.patterns: Counter[str] = Counter()
        self.rejected_patterns: Counter[str] = Counter()
        self.undecided: Counter[str] = Counter()
        self.society: Counter[str] = Counter()
        self.haven: dict[str, Any] = {"toxic": 0, "contagion_ratio": None, "contagion_highest_ratio": None}
        self.toxic_since: dict[str, int] = {}

    def deployments(self) -> dict[str, Any]:
        """Attempted, deployed, retired and refused by reason; attempted = deployed + all refused.

        `requests` for tools: asked = repeated + all answered, those by reason.
        """
        return {
            "attempted": self.attempted,
            "deployed": self.deployed,
            "retired": self.retired,
            "refused": dict(sorted(self.refused.items())),
            "requests": {
                "asked": self.requests["asked"],
                "repeated": self.requests["repeated"],
                "answered": {why: n for why, n in sorted(self.requests.items()) if why not in ("asked", "repeated")},
            },
        }

    def watched(self) -> dict[str, Any]:
        """What HAVEN saw, with the names of the poisoned."""
        return {**self.haven, "toxic_since": {name: records.stamp(at) for name, at in self.toxic_since.items()}}

    def learning(self) -> dict[str, dict[str, int]]:
        """How often learners shared, took, were told to and were replaced; what became of their patterns, by reason.

        requested = validated + failed + undecided + those still open; `overflow` counts refusals of single researchers.
        `undecided` says why: its counts add up to that of `patterns`.
        """
        counters = {"society": self.society, "patterns": self.patterns, "rejected": self.rejected_patterns}
        counters["undecided"] = self.undecided
        return {name: dict(sorted(counts.items())) for name, counts in counters.items()}


class GroupView(msgspec.Struct, frozen=True):
    """How the learners of one horizon stand: how many there are, how many of them are `able` to give something.

    `took_at`: grid at which one of them last took something, a time before all others where nobody did.
    `diversity`: mean cosine distance of their policies, NaN with fewer than two that have learnt anything.
    """

    learners: int
    able: int
    took_at: int
    diversity: float


class Exchange(msgspec.Struct, frozen=True):
    """A learner took from another in the round at `grid`. `gain`: nats by which the giver stood better than the taker.

    Negative within the margin that neighbours are allowed; None where one of them had too few outcomes to stand at all.
    """

    grid: int
    giver: str
    taker: str
    gain: float | None


class SocietyView(Protocol):
    """What others may see of the learners' society: figures and names, never the learners."""

    def group(self, name: str) -> GroupView:
        """The learners of the horizon of this name."""
        ...

    def exchanges(self, most: int) -> list[Exchange]:
        """Who took from whom in the newest round in which anybody did, the largest gains first, at most `most`."""
        ...


class World:
    """One run as the agents see it: the model, its settings, the pairs in order, who has a team, what is remembered."""

    def __init__(self, model: MycelialModel, settings: Settings, pairs: tuple[Pair, ...], memory: Memory) -> None:
        self.model = model
        self.settings = settings
        self.pairs = pairs
        self.memory = memory
        self.nursery = Nursery(model)
        self.figures = Figures()
        self.watch: Watch | None = None
        self.society: SocietyView | None = None

    @property
    def active(self) -> Mapping[Pair, tuple[str, ...]]:
        """The pairs with a team, and the names of its members."""
        return self.nursery.active


class Kind(msgspec.Struct, frozen=True):
    """One row of KINDS: the class, how it is born into a world, and the channels it speaks and hears.

    `populate` bears those of the standard swarm, and teaches the nursery the kind's share of a pair's team.
    """

    name: str
    agent: type[MycelialAgent]
    populate: Callable[[World], None]
    publishes: Sequence[str]
    subscribes: Sequence[str]
