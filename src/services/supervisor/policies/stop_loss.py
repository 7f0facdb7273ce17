"""No position without a stop: what is not protected gets a stop-limit at once."""

from __future__ import annotations

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..recommendation import PolicyAction, Priority, Recommendation


class StopLoss:
    """Protects what neither a live stop nor a sell on its way covers, at the safest stop that the position ever had.

    Where the price is beyond that stop already, or leapt over the limit of the one there is, the position is closed.
    """

    name = "stop_loss"

    def __init__(self, settings: Policies) -> None:
        """Nothing of the settings is needed: the distance is the account's."""

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """A stop for the whole of what stays, not for the uncovered part alone: there is one stop a position."""
        reason = _fault_of(context)
        if context.staying <= 0 or not reason:
            return None
        stop = context.progress.tight
        if context.fresh and context.price is not None and not context.units.safer(context.price, stop):
            return Recommendation(
                self.name, context.pair, PolicyAction.CLOSE, Priority.EMERGENCY, reason, by_price=False
            )
        return Recommendation(
            self.name, context.pair, PolicyAction.PROTECT, Priority.EMERGENCY, reason, None, stop, by_price=False
        )


def _fault_of(context: SymbolContext) -> str:
    """What is wrong with the best stop, empty where nothing is; while something is sold it may still be the old one.

    A price beyond the limit of a stop went over it in one leap, and it waits for a price that may not come back.
    """
    if not context.stops:
        return "no_stop"
    order, price = context.stops[0].order, context.price if context.fresh else None
    if order.limit is not None and price is not None and context.units.safer(order.limit, price):
        return "stop_jumped"
    amount = order.amount
    if amount < context.staying:
        return "stop_too_small"
    return "stop_too_large" if amount > context.position.amount else ""
