"""What an exchange demands of orders and counts of whoever sends them; figures come from the caller.

The tables here are the vendor's protocol: what a cancellation costs by the age of its order, and which texts are a
certain refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from ...core.types import Pair

CANCEL_COSTS = ((5_000, 8), (10_000, 6), (15_000, 5), (45_000, 4), (90_000, 2), (300_000, 1))
"""Of the engine's counter: (age of the order below so many ms, points)."""

CERTAIN = {
    "EService:Deadline elapsed": "deadline",
    "EService:Market in cancel_only mode": "cancel_only",
    "EService:Market in post_only mode": "post_only",
    "EOrder:Rate limit exceeded": "rate_limit",
    "EOrder:Orders limit exceeded": "orders_limit",
    "EOrder:Order minimum not met": "order_minimum",
    "EOrder:Cost minimum not met": "cost_minimum",
    "EOrder:Tick size check failed": "tick_size",
    "EOrder:Invalid price": "invalid_price",
    "EOrder:Post only order": "post_only_order",
    "EOrder:Insufficient funds": "insufficient_funds",
    "EQuery:Unknown asset pair": "unknown_pair",
}
"""Texts after which the order is certainly not there, and their codes; any other text says nothing."""

OPEN_ORDERS = 60
"""Open orders of a pair that the smallest tier may have."""
UNAVAILABLE = "EService:Unavailable"
DUPLICATE = "EGeneral:Client order id in use"
"""The vendor's text for an id that an open order has is not known; this one is in no table, so the outcome is open."""


class PairRules(msgspec.Struct, frozen=True):
    """The least amount (base), the least cost (quote) and the step of prices of one pair."""

    order_min: Decimal
    cost_min: Decimal
    tick: Decimal


class VenueRules(msgspec.Struct, frozen=True):
    """What an account may do: `threshold` and `decay` of the counter of each pair, `calls` and `calls_decay` of REST.

    Decays are points a second. `decimals`: of amounts. `instant`: market orders meet the last price at once, otherwise
    the first span that opens after them. `keep_days`: how long orders that are over, and executions, are told; 0: for
    ever.
    """

    pairs: Mapping[Pair, PairRules]
    decimals: int
    max_open: int
    threshold: float
    decay: float
    calls: float
    calls_decay: float
    instant: bool = False
    keep_days: int = 0


class Counter:
    """Points that fade with time."""

    __slots__ = ("_at", "_decay", "_level")

    def __init__(self, decay: float) -> None:
        self._decay = decay / 1000.0
        self._level = 0.0
        self._at = 0

    def level(self, now: int) -> float:
        """Points at `now` (ms)."""
        if now > self._at:
            self._level = max(0.0, self._level - (now - self._at) * self._decay)
            self._at = now
        return self._level

    def add(self, points: float, now: int) -> None:
        """Count what was done."""
        self._level = self.level(now) + points


def cancel_cost(age_ms: int) -> int:
    """Points of a cancellation, 0 for an order older than five minutes.

    >>> cancel_cost(4_999), cancel_cost(5_000), cancel_cost(299_999), cancel_cost(300_000)
    (8, 6, 1, 0)
    """
    return next((points for below, points in CANCEL_COSTS if age_ms < below), 0)
