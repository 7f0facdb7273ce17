"""Estimates how far Kraken's clock is from ours, closer than the whole seconds that it tells."""

from __future__ import annotations

from collections import deque
from threading import Lock

_SECOND = 1000
_KEPT = 16
_YOUNG_MS = 900_000  # older answers say nothing any more: clocks drift


class Offset:
    """Each answer bounds the difference between two clocks; all young ones together bound it closely."""

    def __init__(self) -> None:
        self._bounds: deque[tuple[int, int, int]] = deque(maxlen=_KEPT)
        self._lock = Lock()
        self._ms = 0

    @property
    def ms(self) -> int:
        """To be added to our time, 0 before the first answer."""
        return self._ms

    def learn(self, second_ms: int, before: int, after: int) -> int:
        """Kraken told the whole second `second_ms` between two moments of ours (all UTC ms); the estimate now.

        Its time was in [second, second + 1 s) at some moment in [before, after].
        """
        with self._lock:
            self._bounds.append((after, second_ms - after, second_ms + _SECOND - 1 - before))
            low, high = self._common(after)
            if low > high:
                # One of the clocks was set: what was before counts no more.
                newest = self._bounds[-1]
                self._bounds.clear()
                self._bounds.append(newest)
                low, high = newest[1:]
            self._ms = (low + high) // 2
            return self._ms

    def _common(self, now: int) -> tuple[int, int]:
        young = [(low, high) for at, low, high in self._bounds if abs(now - at) <= _YOUNG_MS]
        return max(low for low, _ in young), min(high for _, high in young)
