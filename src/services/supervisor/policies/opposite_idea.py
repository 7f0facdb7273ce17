"""Somebody wants to be out of what is held."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class OppositeIdea:
    """Leaves on an idea of this slice to be out; no collision is needed for that."""

    name = "opposite_idea"

    def __init__(self, settings: Policies) -> None:
        """An idea speaks for itself."""

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A whole exit; it needs no price."""
        if not context.opposed:
            return None
        return Recommendation(self.name, context.pair, PolicyAction.CLOSE, Priority.EXIT, self.name, by_price=False)
