"""The risk gate: the only file that constructs `Approved`, and so the only way to a broker."""

from __future__ import annotations

from decimal import Decimal

from ..core.config import Costs, Risk
from ..core.ports import SpineState
from ..core.types import Approved, Denied, Order, Side


class RiskGate:
    """Controls in a fixed order; the first that objects names the reason. Reducing risk is never blocked.

    Reasons: `halted`, `bus_down`, `drawdown`, `stale_data`, `position_open`, `order_open`, `max_positions`,
    `insufficient_cash` for entries; `nothing_to_close` for exits; `bad_amount` for both.
    """

    def __init__(self, risk: Risk, costs: Costs) -> None:
        self._risk = risk
        self._costs = costs

    def review(self, order: Order, state: SpineState) -> Approved | Denied:
        """Approve or deny one order against the state of this slice."""
        reason = self._objection(order, state)
        at = state.snapshot.at
        return Denied(order, at, reason) if reason else Approved(order, at)

    def _objection(self, order: Order, state: SpineState) -> str:
        if not order.amount.is_finite() or order.amount <= 0 or order.reference <= 0:
            return "bad_amount"
        if order.side is Side.SELL:
            position = state.positions.get(order.pair)
            return "" if position is not None and order.amount <= position.amount else "nothing_to_close"
        return self._entry_objection(order, state)

    def _entry_objection(self, order: Order, state: SpineState) -> str:
        snapshot = state.snapshot
        buying = {o.pair for o in state.open_orders if o.side is Side.BUY}
        cost = order.amount * order.reference * (1 + self._costs.per_side)
        checks = (
            ("halted", bool(state.halted)),
            ("bus_down", not state.bus_up),
            ("drawdown", self._drawdown(state) >= Decimal(repr(self._risk.max_drawdown_ratio))),
            ("stale_data", not bool(snapshot.fresh[snapshot.pairs.index(order.pair)])),
            ("position_open", order.pair in state.positions),
            ("order_open", order.pair in buying),
            ("max_positions", len(set(state.positions) | buying) >= self._risk.max_positions),
            ("insufficient_cash", cost > state.cash - state.reserved * (1 + self._costs.per_side)),
        )
        return next((name for name, objects in checks if objects), "")

    @staticmethod
    def _drawdown(state: SpineState) -> Decimal:
        """Loss from the highest marked equity, in [0, 1]."""
        return Decimal(0) if state.peak_equity <= 0 else 1 - state.equity / state.peak_equity
