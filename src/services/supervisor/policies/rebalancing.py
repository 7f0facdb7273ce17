"""A position that outgrew its share of the account is cut to it, in one order."""

from __future__ import annotations

from ....core.config_policies import Policies
from ....core.types import Side
from ...portfolio_risk import rebalance
from ..context import ZERO, SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class Rebalancing:
    """Sells what is above the target once it is outside its band; it never buys, entries are the swarm's."""

    name = "rebalancing"

    def __init__(self, settings: Policies) -> None:
        self._target = settings.portfolio.target_ratio
        self._band = settings.portfolio.band_ratio

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A part, down to the target."""
        if context.price is None:
            return None
        value, equity = context.staying * context.price, context.account.equity
        moves = rebalance({context.pair: value}, {context.pair: self._target}, equity - value, self._band)
        excess = sum((move.value for move in moves if move.side is Side.SELL), ZERO)
        if excess <= 0:
            return None
        return Recommendation(
            self.name, context.pair, PolicyAction.SELL_PART, Priority.PARTIAL, self.name, excess / context.price
        )
