"""The controls that only the account has: pure comparisons of what was measured with limits that were set before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from ..core.limits import AccountLimits, Control, Exposure, Figure
from ..core.orders import Order
from ..core.standing import Level, Throw, withheld
from ..core.types import Side
from .breakers import DAILY_LOSS, LOSS_STREAK, REJECT_RATIO, SLIPPAGE


def account_controls(order: Order, equity: Decimal, account: Exposure, limits: AccountLimits) -> Iterator[Control]:
    """The controls in their order. An exit has two: a state stricter than reducing, and what is on its way already."""
    throw = Throw(Level(account.level), account.why, "")
    state = f"{account.level}: {account.why}" if account.why else account.level
    yield Control("not_active", bool(withheld(order, throw)), state, Level.ACTIVE.value)
    if order.side is Side.SELL:
        repeated = account.on_the_way and _repeated(account, limits)
        yield Control("duplicate", repeated, _age(account), f"> {limits.duplicate_ms}")
        return
    yield from _breakers(account, limits)
    yield from _counts(order, account, limits)
    yield Control("duplicate", _repeated(account, limits), _age(account), f"> {limits.duplicate_ms}")
    yield Control("self_cross", account.crosses, "yes" if account.crosses else "no", "")
    yield _collar(order, account, limits)
    yield from _sizes(order, equity, account, limits)


def _breakers(account: Exposure, limits: AccountLimits) -> Iterator[Control]:
    held_against: dict[str, Figure] = {
        DAILY_LOSS: limits.max_daily_loss_ratio,
        LOSS_STREAK: limits.max_losses_in_a_row,
        REJECT_RATIO: limits.max_rejected_ratio,
        SLIPPAGE: limits.max_slippage_ratio,
    }
    for name, limit in held_against.items():
        yield Control(name, name in account.tripped, account.tripped.get(name, "closed"), limit)
    unknown, most = account.unknown_orders, limits.max_unknown_orders
    yield Control("unknown_orders", unknown > most, unknown, most)


def _counts(order: Order, account: Exposure, limits: AccountLimits) -> Iterator[Control]:
    """What was sent so far; one more must not be more than allowed."""
    manual = account.manual_orders_day if order.reason == "manual" else 0
    for name, count, limit in (
        ("orders_per_minute", account.orders_minute, limits.max_orders_minute),
        ("orders_per_day", account.orders_day, limits.max_orders_day),
        ("manual_orders_per_day", manual, limits.max_manual_orders_day),
        ("messages_per_minute", account.messages_minute, limits.max_messages_minute),
        ("messages_per_day", account.messages_day, limits.max_messages_day),
        ("open_orders", account.open_orders, limits.max_open_orders),
    ):
        yield Control(name, count >= limit, count, limit)


def _collar(order: Order, account: Exposure, limits: AccountLimits) -> Control:
    """No price of the order may be too far from the median of the last closes, nor from the newest one."""
    prices = [price for price in (order.reference, order.limit, order.trigger) if price is not None]
    known = [price for price in (account.median, account.last) if price is not None and price > 0]
    worst = max((abs(price / one - 1) for price in prices for one in known), default=None)
    if worst is None:
        return Control("price_collar", True, "no close is known", limits.max_price_deviation_ratio)
    too_far = worst > limits.max_price_deviation_ratio
    return Control("price_collar", too_far, worst, limits.max_price_deviation_ratio)


def _sizes(order: Order, equity: Decimal, account: Exposure, limits: AccountLimits) -> Iterator[Control]:
    notional = order.amount * order.reference
    for name, total, limit in (
        ("order_notional", notional, limits.max_order_quote),
        ("position_notional", account.position_quote + notional, limits.max_position_quote),
        ("gross_exposure", account.gross_quote + notional, equity * limits.max_gross_exposure_ratio),
        ("asset_exposure", account.asset_quote + notional, equity * limits.max_asset_exposure_ratio),
        ("correlated_exposure", account.correlated_quote + notional, equity * limits.max_correlated_exposure_ratio),
    ):
        yield Control(name, total > limit, total, limit)


def _repeated(account: Exposure, limits: AccountLimits) -> bool:
    return account.repeated_ms is not None and account.repeated_ms <= limits.duplicate_ms


def _age(account: Exposure) -> Figure:
    return "never" if account.repeated_ms is None else account.repeated_ms
