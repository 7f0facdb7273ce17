"""Which trades of the market count: in order, of this moment, and not far from all the others on a single word."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from ...core.config_streams import StreamBelief
from .said import TradeSaid


class Screen:
    """The order of one pair's trades by their numbers and times.

    `covered_from` (UTC ms): no trade since then is missing, as far as the numbers tell; None before the first trade.
    """

    def __init__(self, belief: StreamBelief) -> None:
        self._stale_ms = round(1000 * belief.stale_seconds)
        self._future_ms = round(1000 * belief.future_seconds)
        self.number = -1
        self.at = 0
        self.covered_from: int | None = None

    def refused(self, trade: TradeSaid, now_ms: int) -> str:
        """The cause for which a trade does not count; empty for one that does. Trades of a snapshot may be old."""
        if trade.number <= self.number:
            return "repeated"
        if trade.at > now_ms + self._future_ms:
            return "future"
        if trade.at < self.at:
            return "out_of_order"
        if not trade.snapshot and trade.at < now_ms - self._stale_ms:
            return "stale"
        if self.covered_from is None or trade.number != self.number + 1:
            self.covered_from = trade.at
        self.number, self.at = trade.number, trade.at
        return ""


class Collar:
    """Holds back a price that is far from the median of the last ones, until others in a row say the same.

    `spikes` counts trades that were held back and never confirmed. The median of an even count is the upper of the
    two in the middle.
    """

    def __init__(self, belief: StreamBelief) -> None:
        self._ratio = Decimal(str(belief.collar_ratio))
        self._kept, self._confirmations = belief.collar_prices, belief.collar_confirmations
        self._last: deque[Decimal] = deque()
        self._sorted: list[Decimal] = []
        self._held: list[TradeSaid] = []
        self.spikes = 0

    def seed(self, price: Decimal) -> None:
        """A price that is known from elsewhere, so that the first trade has something to be compared with."""
        if not self._last:
            self._keep(price)

    def sift(self, trade: TradeSaid) -> Sequence[TradeSaid]:
        """The trades that count now, in order: this one, none, or with it those that it confirmed."""
        if self._last and self._near(trade.price, self.median()):
            self.spikes += len(self._held)
            self._held.clear()
            self._keep(trade.price)
            return (trade,)
        return self._hold(trade)

    def believes(self, price: Decimal) -> bool:
        """Whether a price is near the median of the last ones."""
        return bool(self._last) and self._near(price, self.median())

    def median(self) -> Decimal:
        """Of the last prices that counted."""
        return self._sorted[len(self._sorted) // 2]

    def _hold(self, trade: TradeSaid) -> Sequence[TradeSaid]:
        if self._held and not self._near(trade.price, self._held[0].price):
            self.spikes += len(self._held)
            self._held.clear()
        self._held.append(trade)
        if len(self._held) < self._confirmations:
            return ()
        self._last.clear()
        self._sorted.clear()
        for confirmed in self._held:
            self._keep(confirmed.price)
        released, self._held = tuple(self._held), []
        return released

    def _near(self, price: Decimal, other: Decimal) -> bool:
        return abs(price - other) <= self._ratio * other

    def _keep(self, price: Decimal) -> None:
        if len(self._last) == self._kept:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
        self._last.append(price)
        insort(self._sorted, price)
