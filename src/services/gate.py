"""The risk gate: the only file that constructs `Approved`, and so the only way to a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache

from ..core.config import Costs, Risk
from ..core.desk import Limits, Looked, look
from ..core.limits import AccountLimits, Control, Figure, text
from ..core.ports import SpineState
from ..core.standing import withheld
from ..core.types import Approved, Denied, Order, Side
from .account_controls import account_controls, account_objection
from .limits import Watch


def limits_of(risk: Risk, costs: Costs, interval_ms: int, account: AccountLimits | None = None) -> Limits:
    """The limits of the settings, in the units of a run."""
    drawdown = Decimal(repr(risk.max_drawdown_ratio))
    return Limits(drawdown, risk.max_positions, risk.max_data_age_intervals * interval_ms, costs.per_side, account)


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


def every_control(order: Order, looked: Looked, limits: Limits) -> Iterator[Control]:
    """The controls of the account, with what they saw and their limits: first those that every book has."""
    for name, objects in controls(order, looked, limits):
        yield Control(name, objects, *_FIGURES[name](order, looked, limits))
    if looked.account is not None and limits.account is not None:
        yield from account_controls(order, looked.equity, looked.account, limits.account)


def _objection(order: Order, looked: Looked, limits: Limits) -> Control | None:
    """The first of `every_control` that objects; of the others nobody needs the figures."""
    for name, objects in controls(order, looked, limits):
        if objects:
            return Control(name, True, *_FIGURES[name](order, looked, limits))
    if looked.account is None or limits.account is None:
        return None
    return account_objection(order, looked.equity, looked.account, limits.account)


def _age(order: Order, looked: Looked, limits: Limits) -> tuple[Figure, Figure]:
    fresh = "fresh" if looked.fresh else "not fresh"
    return fresh if looked.age_ms is None else looked.age_ms, limits.max_age_ms


_FIGURES: Mapping[str, Callable[[Order, Looked, Limits], tuple[Figure, Figure]]] = {
    "bad_amount": lambda order, looked, limits: (order.amount, "> 0"),
    "nothing_to_close": lambda order, looked, limits: (order.amount, looked.position),
    "halted": lambda order, looked, limits: (looked.halted or "no", ""),
    "bus_down": lambda order, looked, limits: ("up" if looked.bus_up else "down", ""),
    "drawdown": lambda order, looked, limits: (drawdown(looked), limits.max_drawdown_ratio),
    "stale_data": _age,
    "position_open": lambda order, looked, limits: (looked.position, "0"),
    "order_open": lambda order, looked, limits: ("yes" if looked.buying else "no", ""),
    "max_positions": lambda order, looked, limits: (looked.pairs, limits.max_positions),
    "insufficient_cash": lambda order, looked, limits: (cost(order, limits), spendable(looked, limits)),
}
"""Value and limit of each of `controls`."""


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
    """Controls in a fixed order; the first that objects names the reason. No limit of an entry blocks an exit.

    Reasons: `halted`, `bus_down`, `drawdown`, `stale_data`, `position_open`, `order_open`, `max_positions`,
    `insufficient_cash` for entries; `nothing_to_close` for exits; `bad_amount` for both. With a `watch`, which the
    account has and books on paper have not, also those of `account_controls`. `looked` is what was seen for the
    order of the last review.
    """

    def __init__(self, risk: Risk, costs: Costs, watch: Watch | None = None) -> None:
        account = None if watch is None else watch.limits
        self._limits_of = lru_cache(lambda interval_ms: limits_of(risk, costs, interval_ms, account))
        self._watch = watch
        self.looked: Looked | None = None

    def review(self, order: Order, state: SpineState) -> Approved | Denied:
        """Approve or deny one order against the state of this slice."""
        at, limits = state.snapshot.at, self._limits_of(state.snapshot.interval_ms)
        if self._watch is None:
            looked = look(order, state)
            reason = next((name for name, objects in controls(order, looked, limits) if objects), "")
            return Denied(order, at, reason) if reason else Approved(order, at)
        looked = self.looked = look(order, state, self._watch.measure(order, state))
        objection = _objection(order, looked, limits)
        if objection is not None:
            return Denied(order, at, objection.name, "", text(objection.value), text(objection.limit))
        self._watch.approved(order, at)
        return Approved(order, at)

    def reduce(self, order: Order, now: int) -> Approved | Denied:
        """Approve an order that can only reduce risk, outside of a slice: a protective stop, a smaller sell.

        `now`: UTC ms. Whether so much is held is for the caller to know. Denied: `not_reducing`, `bad_amount`,
        `halted` where the pair is and the order is no stop.
        """
        throw = None if self._watch is None else self._watch.standing.of(order.pair)
        why = withheld(order, throw)
        if order.side is not Side.SELL:
            return Denied(order, now, "not_reducing")
        if not order.amount.is_finite() or order.amount <= 0:
            return Denied(order, now, "bad_amount", "", str(order.amount), "> 0")
        return Denied(order, now, "halted", why) if why else Approved(order, now)
