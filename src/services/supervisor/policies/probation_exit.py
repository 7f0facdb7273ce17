"""An asset on probation may be held at half the size, or a quarter: what is held beyond that goes."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class ProbationExit:
    """Cuts a position to the share that the asset's life allows now, measured by what it allowed at the entry."""

    name = "probation_exit"

    def __init__(self, settings: Policies) -> None:
        """The sizes are those of the asset's life."""

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A part; an asset that may not be held at all is the matter of the hibernation exit."""
        progress, allowed = context.progress, context.allowed
        if not 0 < allowed < progress.size:
            return None
        excess = context.staying - progress.original * allowed / progress.size
        if excess <= 0:
            return None
        return Recommendation(
            self.name, context.pair, PolicyAction.SELL_PART, Priority.PARTIAL, "probation", excess, by_price=False
        )
