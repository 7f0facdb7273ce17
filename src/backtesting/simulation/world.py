"""Virtual time: nothing waits, the clock jumps to whatever comes next."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class World:
    """A clock (UTC ms) and what is to happen, in order of time; at the same time in the order in which it was asked."""

    def __init__(self, start: int) -> None:
        self.now = start
        self._coming: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0

    def at(self, when: int, do: Callable[[], None]) -> None:
        """Have something done at a time, or now where that has passed."""
        self._asked += 1
        heapq.heappush(self._coming, (max(when, self.now), self._asked, do))

    def after(self, wait: int, do: Callable[[], None]) -> None:
        """Have something done in so many milliseconds."""
        self.at(self.now + wait, do)

    def run(self, until: int) -> None:
        """Let time pass; may be called by what is done itself, which then takes that time."""
        while self._coming and self._coming[0][0] <= until:
            when, _, do = heapq.heappop(self._coming)
            self.now = max(self.now, when)
            do()
        self.now = max(self.now, until)
