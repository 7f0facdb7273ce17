"""An asset that hibernates is left."""

from __future__ import annotations

from ....core.config_policies import Policies
from ....core.types import Stage
from ..context import SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class HibernationExit:
    """Leaves what hibernates; what is delisted has no bars to be sold in and keeps its stop."""

    name = "hibernation_exit"

    def __init__(self, settings: Policies) -> None:
        """When an asset hibernates is the matter of its life."""

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A whole exit; it needs no price."""
        if context.life is not Stage.HIBERNATED:
            return None
        return Recommendation(self.name, context.pair, PolicyAction.CLOSE, Priority.EXIT, "hibernated", by_price=False)
