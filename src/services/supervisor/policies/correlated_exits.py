"""Assets that move alike are one bet: where it grows too large, as few of them as free enough leave together."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class CorrelatedExits:
    """Leaves those of a group of alike assets that bring it to its limit, the worst of those that would do."""

    name = "correlated_exits"

    def __init__(self, settings: Policies) -> None:
        """Which groups are too large is told with the context."""

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A whole exit of each of them, in the same cycle."""
        if context.crowd is None or context.pair not in context.crowd.leaving:
            return None
        return Recommendation(self.name, context.pair, PolicyAction.CLOSE, Priority.EMERGENCY, "correlated")
