"""How much of each limit is used and how much is left, for people who look at a running account."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from ..core.config import Risk
from ..core.limits import Figure, text
from ..core.portfolio import ZERO
from ..core.types import Pair, Position
from .breakers import DAILY_LOSS, LOSS_STREAK, REJECT_RATIO, SLIPPAGE
from .limits import Watch, base

Row = dict[str, str | None]


def shown_limits(
    watch: Watch,
    risk: Risk,
    positions: Mapping[Pair, Position],
    open_orders: int,
    equity: Decimal,
    peak_equity: Decimal,
) -> dict[str, Row]:
    """`{name: {limit, used, left}}`, every figure as text; None where nothing is used up.

    `used` of a breaker is its figure now; one that is open has nothing left. Asked from any thread.
    """
    limits, usage = watch.limits, watch.usage(positions)
    breakers = watch.breakers
    held = usage.held
    drawdown = 1 - equity / peak_equity if peak_equity > 0 else ZERO
    rows: dict[str, tuple[Figure, Figure | None]] = {
        "drawdown": (Decimal(repr(risk.max_drawdown_ratio)), drawdown),
        "max_positions": (risk.max_positions, len(positions)),
        "order_notional": (limits.max_order_quote, None),
        "position_notional": (limits.max_position_quote, max(held.values(), default=ZERO)),
        "gross_exposure": (limits.max_gross_exposure_ratio, _of(sum(held.values(), ZERO), equity)),
        "asset_exposure": (limits.max_asset_exposure_ratio, _of(_largest_asset(held), equity)),
        "correlated_exposure": (limits.max_correlated_exposure_ratio, _of(usage.correlated, equity)),
        "price_collar": (limits.max_price_deviation_ratio, None),
        "orders_per_minute": (limits.max_orders_minute, usage.orders_minute),
        "orders_per_day": (limits.max_orders_day, usage.orders_day),
        "manual_orders_per_day": (limits.max_manual_orders_day, usage.manual_orders_day),
        "messages_per_minute": (limits.max_messages_minute, usage.messages_minute),
        "messages_per_day": (limits.max_messages_day, usage.messages_day),
        "open_orders": (limits.max_open_orders, open_orders),
        DAILY_LOSS: (limits.max_daily_loss_ratio, max(ZERO, breakers.day_loss)),
        LOSS_STREAK: (limits.max_losses_in_a_row, breakers.losses),
        REJECT_RATIO: (limits.max_rejected_ratio, breakers.rejected_ratio),
        SLIPPAGE: (limits.max_slippage_ratio, breakers.slippage),
        "unknown_orders": (limits.max_unknown_orders, watch.unknown_orders()),
    }
    return {name: _row(limit, used, name in breakers.tripped) for name, (limit, used) in rows.items()}


def _row(limit: Figure, used: Figure | None, opened: bool) -> Row:
    if used is None:
        return {"limit": text(limit), "used": None, "left": None}
    left = ZERO if opened else max(ZERO, Decimal(limit) - Decimal(used))
    return {"limit": text(limit), "used": text(used), "left": text(left)}


def _of(amount: Decimal, equity: Decimal) -> Decimal:
    return amount / equity if equity > 0 else ZERO


def _largest_asset(held: Mapping[Pair, Decimal]) -> Decimal:
    assets: dict[str, Decimal] = {}
    for pair, amount in held.items():
        assets[base(pair)] = assets.get(base(pair), ZERO) + amount
    return max(assets.values(), default=ZERO)
