"""When a lost connection is tried again: soon at first, then ever more rarely, never too often, and never no more."""

from __future__ import annotations

from collections import deque
from threading import Lock

from numpy.random import Generator

from ...core.config_streams import StreamConnections


class ConnectionBudget:
    """How many connections this machine may still open: one budget for all streams, as the exchange counts them."""

    def __init__(self, settings: StreamConnections) -> None:
        self._most, self._window_s = settings.connections, settings.window_seconds
        self._opened: deque[float] = deque()
        self._lock = Lock()

    def wait_s(self, now_s: float) -> float:
        """Seconds until one may be opened; 0 when one may be opened now."""
        with self._lock:
            while self._opened and self._opened[0] <= now_s - self._window_s:
                self._opened.popleft()
            return 0.0 if len(self._opened) < self._most else self._opened[0] + self._window_s - now_s

    def spend(self, now_s: float) -> bool:
        """Take one; False when there is none left."""
        if self.wait_s(now_s) > 0.0:
            return False
        with self._lock:
            self._opened.append(now_s)
        return True


class Attempts:
    """The pauses of one connection. Times are monotonic seconds; jitter comes from the generator that is given.

    `alarm` says once that a connection stays away, and then once an hour: the first time when the immediate attempts
    have failed.
    """

    def __init__(self, settings: StreamConnections, random: Generator) -> None:
        self._settings, self._random = settings, random
        self._failed = 0
        self._up_s: float | None = None
        self._down_s: float | None = None
        self._told_s: float | None = None

    def came_up(self, now_s: float) -> None:
        """A connection stands."""
        self._up_s = now_s

    def went_down(self, now_s: float) -> None:
        """An attempt failed, or a connection was lost; one that held long enough forgets what was before."""
        held = self._up_s is not None and now_s - self._up_s >= self._settings.stable_seconds
        self._failed = 1 if held else self._failed + 1
        if held or self._down_s is None:
            self._down_s, self._told_s = now_s, None
        self._up_s = None

    def pause_s(self) -> float:
        """Seconds before the next attempt: none at first, then doubling between half and all of it."""
        late = self._late
        if late < 0:
            return 0.0
        # Past 2^30 pauses are capped in any case; the power itself must not overflow.
        full = min(self._settings.backoff_cap_seconds, self._settings.backoff_first_seconds * 2.0 ** min(late, 30))
        return max(self._settings.backoff_first_seconds, full * (0.5 + 0.5 * float(self._random.random())))

    @property
    def _late(self) -> int:
        """How many attempts after the immediate ones have failed; below zero while those are not used up."""
        return self._failed - 1 - self._settings.immediate_attempts

    def alarm(self, now_s: float) -> float | None:
        """Seconds since the connection was lost, when that is to be told now."""
        if self._down_s is None or self._up_s is not None or self._late < 0:
            return None
        if self._told_s is not None and now_s - self._told_s < self._settings.alert_every_seconds:
            return None
        self._told_s = now_s
        return now_s - self._down_s

    def settled(self, now_s: float) -> bool:
        """Whether a connection has held long enough to count as good again; True once for each loss."""
        if self._up_s is None or self._down_s is None or now_s - self._up_s < self._settings.stable_seconds:
            return False
        self._failed, self._down_s, self._told_s = 0, None, None
        return True
