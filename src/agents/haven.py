"""What HAVEN sees of the learners: how alike they have become, and who of them is poisoned on purpose."""

from __future__ import annotations

from itertools import compress

import numpy as np

from ..core.config import Haven
from . import colony_layout as k
from .colony import Colony
from .colony_diversity import Likeness, likeness
from .colony_sharing import mark_toxic
from .nursery import Nursery


class Watch:
    """Looks at the colony and changes nothing of what it decides, the poisoned of an experiment apart.

    These are marked when the standard swarm is founded and with every team, each learner by its own name, so that
    nobody else's birth or death moves the mark.
    """

    def __init__(self, settings: Haven, nursery: Nursery, colony: Colony) -> None:
        self._colony, self._settings = colony, settings
        if settings.toxic_ratio > 0.0:
            nursery.on_change(self.mark)

    def mark(self) -> None:
        """Mark the poisoned share among those who live now."""
        mark_toxic(self._colony, self._settings.toxic_ratio)

    def toxic(self) -> tuple[str, ...]:
        """The poisoned, by name."""
        names = self._colony.names
        return tuple(compress(names, self._colony.rows.counts[self._colony.rows_of(names), k.TOXIC]))

    @property
    def population(self) -> int:
        """Births and deaths so far: who is poisoned cannot change while it stands."""
        return self._colony.population

    def toxic_count(self) -> int:
        """How many are poisoned."""
        return int(np.count_nonzero(self._colony.rows.counts[:, k.TOXIC]))

    def learners(self) -> int:
        """How many there are."""
        return len(self._colony)

    def likeness(self) -> Likeness:
        """How alike they are now."""
        least = self._settings.contagion_min_learners
        return likeness(self._colony.policy_vectors(), self._settings.contagion_similarity, least)
