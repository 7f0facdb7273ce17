"""What the moats keep of each series: events by time, scheduled dates, daily values of a basket of subjects."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from typing import Any

import numpy as np

from .features import FLAT
from .moat_kernels import ALWAYS, NEVER
from .timeframes import DAY_MS, MINUTE_MS
from .types import IntArray


class Counted:
    """How many events became known in the last `span_ms`."""

    def __init__(self, span_ms: int, window_ms: int) -> None:
        self._span_ms, self._window_ms = span_ms, window_ms
        self._events: list[int] = []
        self.begins: int | None = None
        self.number = 0
        self.until = 0

    def see(self, known_at: int) -> None:
        """One more event."""
        insort(self._events, known_at)
        self.until = 0
        if self.begins is None or known_at < self.begins:
            self.begins = known_at

    def at(self, time: int) -> int:
        """Events with `time` - span < known at <= `time`; the number holds while the time is below `until`."""
        events = self._events
        first, last = bisect_right(events, time - self._span_ms), bisect_right(events, time)
        leaves = events[first] + self._span_ms if first < last else ALWAYS
        self.until = min(leaves, events[last] if last < len(events) else ALWAYS)
        self.number = last - first
        return self.number

    def over(self, hours: IntArray) -> IntArray:
        """`at` for every time in `hours` (n,)."""
        events = np.array(self._events, np.int64)
        before = np.searchsorted(events, hours - self._span_ms, side="right")
        return np.asarray(np.searchsorted(events, hours, side="right") - before, np.int64)

    def forget(self, time: int) -> None:
        """Drop what no sample of the window before `time` needs."""
        del self._events[: bisect_right(self._events, time - self._window_ms - self._span_ms)]

    def state(self) -> dict[str, Any]:
        """The events, and the first that was ever seen."""
        return {"events": list(self._events), "begins": self.begins}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._events, self.begins, self.until = list(state["events"]), state["begins"], 0


class Schedule:
    """Minutes to the next scheduled event where that is nearer (+), else minutes since the last (-).

    Held between +- `most_ms`. Half-way between two events it jumps from minus to plus; at an event it is 0.
    """

    def __init__(self, most_ms: int) -> None:
        self._most_ms = most_ms
        self.events: list[int] = []

    def see(self, at: int) -> bool:
        """An event at `at` (UTC ms) is scheduled; whether that was not known before."""
        place = bisect_right(self.events, at)
        if place and self.events[place - 1] == at:
            return False
        self.events.insert(place, at)
        return True

    def neighbours(self, time: int) -> tuple[int | None, int | None]:
        """The last event at or before `time` and the next after it."""
        place = bisect_right(self.events, time)
        return self.events[place - 1] if place else None, self.events[place] if place < len(self.events) else None

    def at(self, time: int) -> int:
        """Signed minutes, 0 without any event."""
        return self.minutes(time, *self.neighbours(time))

    def minutes(self, time: int, last: int | None, following: int | None) -> int:
        """The same, where the neighbours of `time` are known."""
        if following is not None and (last is None or following - time <= time - last):
            return min(following - time, self._most_ms) // MINUTE_MS
        return 0 if last is None else -(min(time - last, self._most_ms) // MINUTE_MS)

    def over(self, hours: IntArray) -> IntArray:
        """`at` for every time in `hours` (n,)."""
        return np.array([self.at(hour) for hour in hours.tolist()], np.int64)


class Basket:
    """Daily values of some subjects: the mean of their changes over `days`, and its distance from its own mean.

    Days are calendar days (UTC): a change goes back to the newest value at least `days` old, at most twice that.
    """

    def __init__(self, days: int, window_days: int) -> None:
        self._days, self._window_days = days, window_days
        self._values: dict[str, dict[int, float]] = {}
        self._today: dict[str, float] = {}
        self._samples: dict[int, float] = {}
        self.known_at = NEVER

    @property
    def change(self) -> float | None:
        """The newest mean change, a ratio."""
        return self._samples[next(reversed(self._samples))] if self._samples else None

    @property
    def history_days(self) -> int:
        """Days from the first sample to the last."""
        return next(reversed(self._samples)) - next(iter(self._samples)) if self._samples else 0

    def see(self, subject: str, at: int, known_at: int, value: float) -> bool:
        """A day's value, above 0; False when it cannot be used: not positive, or older than one that was seen."""
        day, values = at // DAY_MS, self._values.setdefault(subject, {})
        if not 0.0 < value < math.inf or day < next(reversed(values), day):
            return False
        for old in [d for d in values if d < day - 2 * self._days]:
            del values[old]
        values[day] = value
        self.known_at = max(self.known_at, known_at)
        base = next((d for d in reversed(values) if d <= day - self._days), None)
        if base is not None:
            self._sample(subject, day, value / values[base] - 1.0)
        return True

    def _sample(self, subject: str, day: int, change: float) -> None:
        newest = next(reversed(self._samples), NEVER)
        if day < newest:
            return
        if day > newest:
            self._today = {}
        self._today[subject] = change
        changes = [self._today[name] for name in sorted(self._today)]
        self._samples[day] = sum(changes) / len(changes)
        for old in [d for d in self._samples if d <= day - self._window_days]:
            del self._samples[old]

    def score(self) -> float:
        """Standard deviations (population) from the mean; 0 where all samples are equal, up to rounding, or none is."""
        samples = list(self._samples.values())
        if not samples:
            return 0.0
        mean = sum(samples) / len(samples)
        spread = math.sqrt(sum([(x - mean) * (x - mean) for x in samples]) / len(samples))
        return (samples[-1] - mean) / spread if spread > FLAT else 0.0

    def state(self) -> dict[str, Any]:
        """Values, samples and since when they are known."""
        values = {name: [list(days), list(days.values())] for name, days in self._values.items()}
        samples = [list(self._samples), list(self._samples.values())]
        return {"values": values, "today": dict(self._today), "samples": samples, "known_at": self.known_at}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._values = {name: dict(zip(*pair, strict=True)) for name, pair in state["values"].items()}
        self._samples = dict(zip(*state["samples"], strict=True))
        self._today, self.known_at = dict(state["today"]), state["known_at"]
