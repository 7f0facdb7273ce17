"""Counts our calls as Kraken counts them, so that it never has to say no, and keeps a share for what is urgent."""

from __future__ import annotations

from threading import Lock
from typing import Protocol

from ...core.config_venues import KrakenBudget
from ...core.types import Pair

_CANCEL_COSTS = ((5_000, 8.0), (10_000, 6.0), (15_000, 5.0), (45_000, 4.0), (90_000, 2.0), (300_000, 1.0))
"""By the order's age in ms, from Kraken's guide of rate limits."""
_PLACE_COST = 1.0
_CALL_COST = 1.0
_TINY = 1e-9  # of rounding when a counter is exactly at its limit


class Counter:
    """Falls by `decay` a second, rises by what is used. Times in ms; one that goes back counts as no time at all."""

    def __init__(self, most: float, decay: float) -> None:
        self._most, self._decay = most, decay
        self._value, self._at = 0.0, 0

    def value(self, now: int) -> float:
        """Where it stands."""
        self._value = max(0.0, self._value - max(0, now - self._at) / 1000 * self._decay)
        self._at = max(self._at, now)
        return self._value

    def wait(self, cost: float, ratio: float, now: int) -> float:
        """Seconds until `cost` fits below `ratio` of the limit; 0.0 where it fits now."""
        over = self.value(now) + cost - self._most * ratio
        return over / self._decay if over > _TINY else 0.0

    def use(self, cost: float, now: int) -> None:
        """Count it."""
        self._value = self.value(now) + cost

    def fill(self, now: int) -> None:
        """Kraken says that it is full, whatever we thought."""
        self._value = max(self.value(now), self._most)


class KeptCalls(Protocol):
    """Where the counter of the calls survives a life: Kraken goes on counting while nobody runs here."""

    def last(self) -> float | None:
        """What it stands at now by what was kept; 0.0 where nothing was, None where that cannot be read."""
        ...

    def keep(self, value: float) -> None:
        """Keep it as of now; where that is not possible, the next life may be told that it is too fast."""
        ...


class Budget:
    """The counters of one key, for all who use it. Each question answers 0.0 and counts, or says how long to wait.

    `now` is a time in ms that does not go back; all methods may be called from any thread.
    """

    def __init__(self, settings: KrakenBudget, kept: KeptCalls | None = None, now: int = 0) -> None:
        self._settings, self._kept = settings, kept
        self._calls = Counter(settings.calls_most, settings.calls_decay_second)
        last = 0.0 if kept is None else kept.last()
        self._calls.use(settings.calls_most * settings.inquiry_ratio if last is None else last, now)
        self._pairs: dict[Pair, Counter] = {}
        self._lock = Lock()

    def call(self, now: int, history: bool = False, urgent: bool = False) -> float:
        """A private call that is neither an order nor a cancellation; `history` is a page of trades.

        `urgent` is what an order, or the way to one, waits for; the share above `used_ratio` is kept for that.
        """
        cost = self._settings.history_cost if history else _CALL_COST
        ratio = self._settings.inquiry_ratio if urgent else self._settings.used_ratio
        with self._lock:
            wait = self._take(self._calls, cost, ratio, now)
            if wait <= 0.0 and self._kept is not None:
                self._kept.keep(self._calls.value(now))
            return wait

    def room(self, now: int) -> float:
        """Seconds until an urgent call may be made; nothing is counted."""
        with self._lock:
            return self._calls.wait(_CALL_COST, self._settings.inquiry_ratio, now)

    def place(self, pair: Pair, now: int) -> float:
        """An order of a pair: may not use what is kept for cancellations."""
        ratio = self._settings.used_ratio - self._settings.cancel_reserve_ratio
        with self._lock:
            return self._take(self._counter(pair), _PLACE_COST, ratio, now)

    def cancel(self, pair: Pair, age_ms: int, now: int) -> float:
        """A cancellation of an order that is so old; the younger the dearer."""
        cost = next((cost for age, cost in _CANCEL_COSTS if age_ms < age), 0.0)
        with self._lock:
            return self._take(self._counter(pair), cost, self._settings.used_ratio, now)

    def used(self, now: int) -> tuple[float, float]:
        """(calls, the fullest pair) as ratios of their limits."""
        with self._lock:
            pairs = [counter.value(now) / self._settings.pair_most for counter in self._pairs.values()]
            return self._calls.value(now) / self._settings.calls_most, max(pairs, default=0.0)

    def told_full(self, pair: Pair | None, now: int) -> None:
        """Kraken said `Rate limit exceeded`, of a pair's orders or (None) of the calls."""
        with self._lock:
            (self._calls if pair is None else self._counter(pair)).fill(now)
            if pair is None and self._kept is not None:
                self._kept.keep(self._calls.value(now))

    def _counter(self, pair: Pair) -> Counter:
        if pair not in self._pairs:
            self._pairs[pair] = Counter(self._settings.pair_most, self._settings.pair_decay_second)
        return self._pairs[pair]

    @staticmethod
    def _take(counter: Counter, cost: float, ratio: float, now: int) -> float:
        wait = counter.wait(cost, ratio, now)
        if wait <= 0.0:
            counter.use(cost, now)
        return wait
