"""Asks memory before a purchase: what became of moments like this one."""

from __future__ import annotations

from ..core.config import MemorySettings
from ..core.memory import PATTERNS, Recommendation, Where, embed
from ..core.ports import Memory
from ..core.types import Pair, Side, Snapshot
from .world import World

BOUGHT = Where(namespaces=PATTERNS, directions=(Side.BUY,), with_outcome=True)
"""Of all pairs: features have no scale, and one pair alone would take years to say anything."""


class Adviser:
    """Compares the features of a pair with the moments in memory; never with what was not known at the slice's time."""

    def __init__(self, memory: Memory, settings: MemorySettings, clip: float) -> None:
        self._memory = memory
        self._min_known_ratio = settings.min_known_ratio
        self._clip = clip

    def on(self, pair: Pair, snapshot: Snapshot) -> Recommendation | None:
        """What memory advises about buying `pair` now; None where too little is known of this moment."""
        features = snapshot.features[snapshot.pairs.index(pair)]
        vector = embed(features, self._clip, self._min_known_ratio)
        return None if vector is None else self._memory.recommend(vector, snapshot.at, BOUGHT)


def adviser_of(world: World) -> Adviser | None:
    """The adviser of a run; None where memory is switched off."""
    settings = world.settings
    if not settings.memory.enabled:
        return None
    return Adviser(world.memory, settings.memory, settings.learners.feature_clip)
