"""Kraken's rate counters, written from its documentation and apart from the code that keeps below them."""

from __future__ import annotations

from collections.abc import Callable

HISTORY = 2.0
CANCEL_AGES = ((5, 8.0), (10, 6.0), (15, 5.0), (45, 4.0), (90, 2.0), (300, 1.0))
"""Seconds below which a cancellation costs so much."""


class Counter:
    """Rises with calls, falls with time."""

    def __init__(self, now: Callable[[], int], most: float, decay: float) -> None:
        self._now, self.most, self.decay = now, most, decay
        self._value, self._at, self.highest = 0.0, now(), 0.0

    def value(self) -> float:
        """What it stands at now."""
        at = self._now()
        self._value = max(0.0, self._value - max(0, at - self._at) / 1000 * self.decay)
        self._at = max(self._at, at)
        return self._value

    def stand(self, value: float) -> None:
        """Somebody has used so much of it."""
        self._value, self._at = value, self._now()

    def add(self, cost: float) -> bool:
        """Count a call; False where it is one too many."""
        self._value = self.value() + cost
        self.highest = max(self.highest, self._value)
        return self._value <= self.most


class Counters:
    """The counter of the private calls and one per pair of the engine (Starter tier)."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.rest = Counter(now, 15.0, 0.33)
        self._engine: dict[str, Counter] = {}

    def engine(self, symbol: str) -> Counter:
        """The one of a pair."""
        return self._engine.setdefault(symbol, Counter(self._now, 60.0, 1.0))

    def cancel(self, symbol: str, age_ms: int) -> None:
        """Count a cancellation by the order's age; cancellations pass even above the threshold."""
        self.engine(symbol).add(next((cost for seconds, cost in CANCEL_AGES if age_ms < seconds * 1000), 0.0))
