"""Part of a profit is taken once, as soon as it is large enough."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..profiles import Profiles
from ..recommendation import PolicyAction, Priority, Recommendation


class PartialProfit:
    """Sells the profile's share of the original amount at the profile's multiple."""

    name = "partial_profit"

    def __init__(self, settings: Policies) -> None:
        self._profiles = Profiles(settings)

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """What is missing of the share: whatever was sold before counts."""
        if context.price is None:
            return None
        profile, progress = self._profiles.of(context), context.progress
        missing = profile.partial_ratio * progress.original - progress.sold - context.leaving
        if missing <= 0 or not context.units.reached(context.price, profile.partial_r):
            return None
        return Recommendation(self.name, context.pair, PolicyAction.SELL_PART, Priority.PARTIAL, self.name, missing)
