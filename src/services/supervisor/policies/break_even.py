"""A position that earned its risk cannot lose it any more: the stop goes to the entry."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..profiles import Profiles
from ..recommendation import PolicyAction, Priority, Recommendation


class BreakEven:
    """From the profile's multiple on, by the best price so far."""

    name = "break_even"

    def __init__(self, settings: Policies) -> None:
        self._profiles = Profiles(settings)

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """The stop at the entry."""
        units, profile = context.units, self._profiles.of(context)
        if not units.reached(context.progress.best, profile.break_even_r):
            return None
        return Recommendation(
            self.name, context.pair, PolicyAction.RAISE_STOP, Priority.TRAILING, self.name, None, units.entry
        )
