"""The controls that only the account has: pure comparisons of what was measured with limits that were set before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from ..core.limits import AccountLimits, Control, Exposure, Figure
from ..core.orders import Order
from ..core.standing import Level, Throw, withheld
from ..core.types import Side
from .breakers import DAILY_LOSS, LOSS_STREAK, REJECT_RATIO, SLIPPAGE

Found = tuple[str, bool, Figure, Figure]
"""A `Control` as plain values: most are looked at once, for whether they object."""


def account_controls(order: Order, equity: Decimal, account: Exposure, limits: AccountLimits) -> Iterator[Control]:
    """The controls in their order. An exit has two: a state stricter than reducing, and what is on its way already."""
    for found in _controls(order, equity, account, limits):
        yield Control(*found)


def account_objection(order: Order, equity: Decimal, account: Exposure, limits: AccountLimits) -> Control | None:
    """The first of `account_controls` that objects; None where none does."""
    for found in _controls(order, equity, account, limits):
        if found[1]:
            return Control(*found)
    return None


def _controls(order: Order, equity: Decimal, account: Exposure, limits: AccountLimits) -> Iterator[Found]:
    active = account.level == Level.ACTIVE.value
    state = f"{account.level}: {account.why}" if account.why else account.level
    stopped = not active and bool(withheld(order, Throw(Level(account.level), account.why, "")))
    yield "not_active", stopped, state, Level.ACTIVE.value
    if order.side is Side.SELL:
        repeated = account.on_the_way and _repeated(account, limits)
        yield "duplicate", repeated, _age(account), f"> {limits.duplicate_ms}"
        return
    yield from _breakers(account, limits)
    yield from _counts(order, account, limits)
    yield "duplicate", _repeated(account, limits), _age(account), f"> {limits.duplicate_ms}"
    yield "self_cross", account.crosses, "yes" if account.crosses else "no", ""
    yield _collar(order, account, limits)
    yield from _sizes(order, equity, account, limits)


def _breakers(account: Exposure, limits: AccountLimits) -> list[Found]:
    tripped, unknown, most = account.tripped, account.unknown_orders, limits.max_unknown_orders
    return [
        (DAILY_LOSS, DAILY_LOSS in tripped, tripped.get(DAILY_LOSS, "closed"), limits.max_daily_loss_ratio),
        (LOSS_STREAK, LOSS_STREAK in tripped, tripped.get(LOSS_STREAK, "closed"), limits.max_losses_in_a_row),
        (REJECT_RATIO, REJECT_RATIO in tripped, tripped.get(REJECT_RATIO, "closed"), limits.max_rejected_ratio),
        (SLIPPAGE, SLIPPAGE in tripped, tripped.get(SLIPPAGE, "closed"), limits.max_slippage_ratio),
        ("unknown_orders", unknown > most, unknown, most),
    ]


def _counts(order: Order, account: Exposure, limits: AccountLimits) -> list[Found]:
    """What was sent so far; one more must not be more than allowed."""
    manual = account.manual_orders_day if order.reason == "manual" else 0
    counted = (
        ("orders_per_minute", account.orders_minute, limits.max_orders_minute),
        ("orders_per_day", account.orders_day, limits.max_orders_day),
        ("manual_orders_per_day", manual, limits.max_manual_orders_day),
        ("messages_per_minute", account.messages_minute, limits.max_messages_minute),
        ("messages_per_day", account.messages_day, limits.max_messages_day),
        ("open_orders", account.open_orders, limits.max_open_orders),
    )
    return [(name, count >= limit, count, limit) for name, count, limit in counted]


def _collar(order: Order, account: Exposure, limits: AccountLimits) -> Found:
    """No price of the order may be too far from the median of the last closes, nor from the newest one."""
    prices = [price for price in (order.reference, order.limit, order.trigger) if price is not None]
    known = [price for price in (account.median, account.last) if price is not None and price > 0]
    worst = max((abs(price / one - 1) for price in prices for one in known), default=None)
    if worst is None:
        return "price_collar", True, "no close is known", limits.max_price_deviation_ratio
    too_far = worst > limits.max_price_deviation_ratio
    return "price_collar", too_far, worst, limits.max_price_deviation_ratio


def _sizes(order: Order, equity: Decimal, account: Exposure, limits: AccountLimits) -> list[Found]:
    notional = order.amount * order.reference
    sizes = (
        ("order_notional", notional, limits.max_order_quote),
        ("position_notional", account.position_quote + notional, limits.max_position_quote),
        ("gross_exposure", account.gross_quote + notional, equity * limits.max_gross_exposure_ratio),
        ("asset_exposure", account.asset_quote + notional, equity * limits.max_asset_exposure_ratio),
        ("correlated_exposure", account.correlated_quote + notional, equity * limits.max_correlated_exposure_ratio),
    )
    return [(name, total > limit, total, limit) for name, total, limit in sizes]


def _repeated(account: Exposure, limits: AccountLimits) -> bool:
    return account.repeated_ms is not None and account.repeated_ms <= limits.duplicate_ms


def _age(account: Exposure) -> Figure:
    return "never" if account.repeated_ms is None else account.repeated_ms
