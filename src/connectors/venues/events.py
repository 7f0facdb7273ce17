"""The queue in which everything arrives that a venue says of our orders, by REST and by stream, in order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Condition

from ...core.venue import VenueEvent


class VenueEvents:
    """Many put, one drains. None is ever dropped: above `most` those who put wait until it was drained or closed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: deque[VenueEvent] = deque()
        self._changed = Condition()
        self._closed = False
        self.waits = 0

    def put(self, event: VenueEvent) -> None:
        """Add one; from any thread."""
        with self._changed:
            if len(self._kept) >= self._most and not self._closed:
                self.waits += 1
                self._changed.wait_for(lambda: len(self._kept) < self._most or self._closed)
            self._kept.append(event)
            self._changed.notify_all()

    def drain(self) -> Sequence[VenueEvent]:
        """All that came since the last call."""
        with self._changed:
            found = tuple(self._kept)
            self._kept.clear()
            self._changed.notify_all()
            return found

    def wait(self, seconds: float) -> bool:
        """Until there is something to drain, at most so long; whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._kept) or self._closed, seconds) and bool(self._kept)

    def close(self) -> None:
        """Nobody waits any more; what is kept can still be drained."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
