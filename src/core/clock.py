"""The only file that reads the time; everything else is told it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from threading import Event

from .errors import InvariantError

_DAY_MS = 86_400_000


class SimClock:
    """Time that is told: it stands at the slice that was reached, and never goes back."""

    def __init__(self, start_ms: int = 0) -> None:
        self._now = start_ms

    def now_ms(self) -> int:
        """UTC milliseconds of the slice that was reached."""
        return self._now

    def reach(self, at_ms: int) -> None:
        """Move to `at_ms`; raises InvariantError when that lies in the past."""
        if at_ms < self._now:
            raise InvariantError(f"time ran backwards: {iso(self._now)} to {iso(at_ms)}")
        self._now = at_ms


class WallClock:
    """The machine's time; decisions use the slice's time all the same."""

    def now_ms(self) -> int:
        """UTC milliseconds."""
        return time.time_ns() // 1_000_000

    def reach(self, at_ms: int) -> None:
        """Nothing to do: the wall does not wait."""


class Timer:
    """Monotonic seconds and interruptible waits; machine time-outs only, never a decision."""

    def seconds(self) -> float:
        """Monotonic seconds from an arbitrary start."""
        return time.perf_counter()

    def wait(self, event: Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` have passed; True when it was set."""
        return event.wait(max(0.0, seconds))


def wall_ms() -> int:
    """UTC milliseconds now; for run ids and logs, never for a decision."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """UTC milliseconds as ISO-8601 with milliseconds.

    >>> iso(1_609_459_200_000)
    '2021-01-01T00:00:00.000Z'
    """
    day, rest = divmod(ms, _DAY_MS)
    minutes, rest = divmod(rest, 60_000)
    return f"{_date(day)}T{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}Z"


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    """The date so many days after 1970-01-01; a calendar is dear, and the next time is mostly of the same day."""
    return f"{datetime.fromtimestamp(day * _DAY_MS // 1000, UTC):%Y-%m-%d}"


def from_iso(text: str) -> int:
    """ISO-8601 (with or without time, `Z` or an offset; none means UTC) as UTC milliseconds; ValueError otherwise.

    >>> from_iso("2021-01-01T00:00:00.000Z")
    1609459200000
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
