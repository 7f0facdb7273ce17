"""An idea holds for its horizon and no longer."""

from __future__ import annotations

from ....core.config_policies import Policies
from ....core.leaving import OVER
from ..context import SymbolContext
from ..exits import horizon_passed
from ..recommendation import PolicyAction, Priority, Recommendation


class TimeStop:
    """Leaves when the horizon of the idea behind a position is over."""

    name = "time_stop"

    def __init__(self, settings: Policies) -> None:
        """The horizon comes with the idea."""

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A whole exit; it needs no price."""
        if not horizon_passed(context.position, context.at):
            return None
        return Recommendation(self.name, context.pair, PolicyAction.CLOSE, Priority.EXIT, OVER, by_price=False)
