"""The unit in which profit is counted: the risk of a position at its beginning (R)."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ...core.errors import DataError
from ...core.types import Side


class RiskUnits(msgspec.Struct, frozen=True):
    """R = |entry - initial stop|, for long (BUY) and short (SELL) alike; never the stop of today.

    A stop that was raised to the entry would make the divisor 0, one beyond it would turn the sign.

    >>> units = RiskUnits(Side.BUY, Decimal("189.10"), Decimal("189.10") * Decimal("0.985"))
    >>> [str(round(units.price_at(Decimal(r)), 2)) for r in (1, 2, 3, 4)]
    ['191.94', '194.77', '197.61', '200.45']
    """

    direction: Side
    entry: Decimal
    initial_stop: Decimal

    @property
    def one(self) -> Decimal:
        """The price distance of 1 R, negative for a short position; DataError where the stop protects nothing."""
        distance = self.entry - self.initial_stop
        if distance == 0 or (distance > 0) is not (self.direction is Side.BUY):
            raise DataError(
                f"initial stop {self.initial_stop} of an entry at {self.entry} protects nothing: R is undefined"
            )
        return distance

    def multiple(self, price: Decimal) -> Decimal:
        """Profit at `price` in R: (price - entry) / (entry - initial stop)."""
        return (price - self.entry) / self.one

    def price_at(self, multiple: Decimal) -> Decimal:
        """The price at which the profit is so many R."""
        return self.entry + multiple * self.one

    def reached(self, price: Decimal, multiple: Decimal) -> bool:
        """Whether the profit at `price` is at least so many R; exact, without a division."""
        return not self.safer(self.price_at(multiple), price)

    def safer(self, stop: Decimal, other: Decimal) -> bool:
        """Whether a stop protects more than another one: above it for long, below it for short."""
        return stop > other if self.direction is Side.BUY else stop < other

    def safest(self, *stops: Decimal) -> Decimal:
        """The most protective of some stops."""
        return max(stops) if self.direction is Side.BUY else min(stops)
