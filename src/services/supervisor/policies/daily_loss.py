"""A day that lost too much is over."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class DailyLoss:
    """Leaves everything when the equity, open positions counted, lost so much since the UTC day began."""

    name = "daily_loss"

    def __init__(self, settings: Policies) -> None:
        self._limit = settings.daily_loss_ratio

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A whole exit of every position, exactly at the limit, too."""
        if context.account.day_loss_ratio < self._limit:
            return None
        return Recommendation(
            self.name, context.pair, PolicyAction.CLOSE, Priority.EMERGENCY, self.name, by_price=False
        )
