"""What a kind of agent needs to know to populate a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ..core.config import Settings
from ..core.model import MycelialAgent, MycelialModel
from ..core.ports import Memory
from ..core.types import Pair
from .nursery import Nursery


class Figures:
    """What a run is told of discovery. `agreement` by team: the share of equal votes of two of its explorers."""

    def __init__(self) -> None:
        self.consensus: Counter[str] = Counter()
        self.attempted = self.deployed = self.retired = 0
        self.refused: Counter[str] = Counter()
        self.abstentions = 0
        self.agreement: dict[str, float | None] = {}

    def deployments(self) -> dict[str, Any]:
        """Attempted, deployed, retired and refused by reason; attempted = deployed + all refused."""
        return {
            "attempted": self.attempted,
            "deployed": self.deployed,
            "retired": self.retired,
            "refused": dict(sorted(self.refused.items())),
        }


class World:
    """One run as the agents see it: the model, its settings, the pairs in order, who has a team, what is remembered."""

    def __init__(self, model: MycelialModel, settings: Settings, pairs: tuple[Pair, ...], memory: Memory) -> None:
        self.model = model
        self.settings = settings
        self.pairs = pairs
        self.memory = memory
        self.nursery = Nursery(model)
        self.figures = Figures()

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
