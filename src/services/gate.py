"""The risk gate: the only file that constructs `Approved`, and so the only way to a broker."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

from ..core.config import Costs, Risk
from ..core.desk import Limits, Looked, look
from ..core.ports import SpineState
from ..core.types import Approved, Denied, Order, Side


def limits_of(risk: Risk, costs: Costs, interval_ms: int) -> Limits:
    """The limits of the settings, in the units of a run."""
    drawdown = Decimal(repr(risk.max_drawdown_ratio))
    return Limits(drawdown, risk.max_positions, risk.max_data_age_intervals * interval_ms, costs.per_side)


def controls(order: Order, looked: Looked, limits: Limits) -> Iterator[tuple[str, bool]]:
    """The controls of one order in their order, and whether each objects; an exit has fewer of them.

    One after the other, so that whoever asks for the first objection pays for no more.
    """
    amount = order.amount
    bad = not amount.is_finite() or amount <= 0 or order.reference <= 0
    yield "bad_amount", bad
    if order.side is Side.SELL:
        yield "nothing_to_close", bad or amount > looked.position
        return
    yield "halted", bool(looked.halted)
    yield "bus_down", not looked.bus_up
    yield "drawdown", drawdown(looked) >= limits.max_drawdown_ratio
    yield "stale_data", not looked.fresh if looked.age_ms is None else looked.age_ms > limits.max_age_ms
    yield "position_open", looked.position > 0
    yield "order_open", looked.buying
    yield "max_positions", looked.pairs >= limits.max_positions
    yield "insufficient_cash", bad or cost(order, limits) > spendable(looked, limits)


def drawdown(looked: Looked) -> Decimal:
    """Loss from the highest marked equity, in [0, 1]."""
    return Decimal(0) if looked.peak_equity <= 0 else 1 - looked.equity / looked.peak_equity


def cost(order: Order, limits: Limits) -> Decimal:
    """What an entry costs at its reference price, fee and slippage included."""
    return order.amount * order.reference * (1 + limits.per_side)


def spendable(looked: Looked, limits: Limits) -> Decimal:
    """Cash that is not promised to other entries."""
    return looked.cash - looked.reserved * (1 + limits.per_side)


class RiskGate:
    """Controls in a fixed order; the first that objects names the reason. Reducing risk is never blocked.

    Reasons: `halted`, `bus_down`, `drawdown`, `stale_data`, `position_open`, `order_open`, `max_positions`,
    `insufficient_cash` for entries; `nothing_to_close` for exits; `bad_amount` for both.
    """

    def __init__(self, risk: Risk, costs: Costs) -> None:
        self._limits_of = lru_cache(lambda interval_ms: limits_of(risk, costs, interval_ms))

    def review(self, order: Order, state: SpineState) -> Approved | Denied:
        """Approve or deny one order against the state of this slice."""
        at = state.snapshot.at
        found = controls(order, look(order, state), self._limits_of(state.snapshot.interval_ms))
        reason = next((name for name, objects in found if objects), "")
        return Denied(order, at, reason) if reason else Approved(order, at)
