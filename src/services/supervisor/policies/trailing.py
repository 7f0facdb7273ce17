"""The stop follows the best price so far, at a distance that grows with the profit; it never goes back."""

from __future__ import annotations

from decimal import Decimal

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..profiles import Profiles
from ..recommendation import PolicyAction, Priority, Recommendation


class Trailing:
    """0.5 R below 2 R, 1 R below 5 R, 2 R from there, or the profile's own distance; wider where it is volatile."""

    name = "trailing"

    def __init__(self, settings: Policies) -> None:
        self._profiles = Profiles(settings)
        self._steps = tuple((step.from_r, step.distance_r) for step in settings.trail_steps)
        self._factor = settings.volatile_trail_factor
        self._high = settings.high_volatility_ratio

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """The stop at its distance from the best price."""
        profile, units, best = self._profiles.of(context), context.units, context.progress.best
        if not units.reached(best, profile.trail_from_r):
            return None
        stop = best - self._distance(context, profile.trail_distance_r) * units.one
        return Recommendation(
            self.name, context.pair, PolicyAction.RAISE_STOP, Priority.TRAILING, self.name, None, stop
        )

    def _distance(self, context: SymbolContext, fixed: Decimal | None) -> Decimal:
        """In R."""
        distance = fixed
        if distance is None:
            reached = [d for at, d in self._steps if context.units.reached(context.progress.best, at)]
            distance = reached[-1] if reached else self._steps[0][1]
        volatile = context.volatility is not None and context.volatility > self._high
        return distance * self._factor if volatile else distance
