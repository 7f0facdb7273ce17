"""The stages of a growing profit: at each rung the stop rises, and on some of them a part is sold."""

from __future__ import annotations

from decimal import Decimal

from ....core.config_policies import Policies
from ..context import ZERO, SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class ProfitLadder:
    """INITIAL_RISK, BREAKEVEN_PROTECTED, PARTIAL_PROFIT_TAKEN, ADVANCED_PROFIT_TAKEN, FINAL; forward only.

    Stops go by the best price so far, sales by the price now: what was not sold at a rung is not sold below it.
    """

    name = "profit_ladder"

    def __init__(self, settings: Policies) -> None:
        self._rungs = tuple((rung.at_r, rung.stop_r, rung.sell_ratio) for rung in settings.ladder)
        self._last = settings.ladder[-1].at_r
        self._sells_all = sum((rung.sell_ratio for rung in settings.ladder), ZERO) == 1

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """The sale of a rung together with its stop; else the stop alone."""
        stop, due = self._stop(context), self._due(context)
        if due <= 0:
            if stop is None:
                return None
            return Recommendation(
                self.name, context.pair, PolicyAction.RAISE_STOP, Priority.TRAILING, "profit_ladder", None, stop
            )
        assert context.price is not None, "without a price nothing is due"
        if self._sells_all and context.units.reached(context.price, self._last):
            return Recommendation(self.name, context.pair, PolicyAction.CLOSE, Priority.PARTIAL, "profit_ladder")
        return Recommendation(
            self.name, context.pair, PolicyAction.SELL_PART, Priority.PARTIAL, "profit_ladder", due, stop
        )

    def _stop(self, context: SymbolContext) -> Decimal | None:
        """The stop of the highest rung that the best price reached."""
        units, best = context.units, context.progress.best
        reached = [stop_r for at_r, stop_r, _ in self._rungs if units.reached(best, at_r)]
        return units.price_at(reached[-1]) if reached else None

    def _due(self, context: SymbolContext) -> Decimal:
        """What the rungs up to the price want sold and nobody sold yet."""
        if context.price is None:
            return ZERO
        share = sum((sell for at_r, _, sell in self._rungs if context.units.reached(context.price, at_r)), ZERO)
        return share * context.progress.original - context.progress.sold - context.leaving
