"""Walks a feed through the engine: paced or at full speed, with checkpoints, until it ends or is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Event

from ..core import checkpoint
from ..core.clock import Timer
from ..core.engine import Engine, Report
from ..core.ports import Ledger
from ..core.types import Slice

Observer = Callable[[Report], None]


class Pace:
    """Lets simulated time pass `speed` times as fast as the wall; None means as fast as possible.

    Everything up to `from_ms` is history and passes at full speed.
    """

    def __init__(self, speed: float | None, timer: Timer, from_ms: int = 0) -> None:
        self._speed = speed
        self._timer = timer
        self._from_ms = from_ms
        self._origin: tuple[int, float] | None = None

    def wait(self, at: int, stop: Event) -> bool:
        """Wait until `at` is due; False when `stop` was set meanwhile."""
        if self._speed is None or at <= self._from_ms:
            return not stop.is_set()
        if self._origin is None:
            self._origin = (at, self._timer.seconds())
        start_at, start = self._origin
        due = start + (at - start_at) / 1000 / self._speed
        return not self._timer.wait(stop, due - self._timer.seconds())


class Runner:
    """One run: the loop, its observers, its checkpoints. `every_seconds` None: only the last checkpoint.

    `stop`: where somebody else waits for the same event.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        timer: Timer,
        pace: Pace,
        observers: Sequence[Observer],
        every_seconds: float | None,
        stop: Event | None = None,
    ) -> None:
        self.stop = stop or Event()
        self.took_seconds = 0.0  # of the newest slice, from its arrival to its decisions
        self._engine = engine
        self._ledger = ledger
        self._timer = timer
        self._pace = pace
        self._observers = observers
        self._every = every_seconds
        self._hastened = False
        self._saved = timer.seconds()

    def hasten(self) -> None:
        """Let the slices come at once from now on, until a command that waits for them has stopped the engine."""
        self._hastened = True
        self.stop.set()

    def run(self, feed: Iterable[Slice]) -> None:
        """Until the feed ends, `stop` is set, or a command stops the engine; then save."""
        for slice_ in feed:
            if not self._pace.wait(slice_.at, self.stop) and not self._hastened:
                break
            begun = self._timer.seconds()
            report = self._engine.on_slice(slice_)
            self.took_seconds = self._timer.seconds() - begun
            for observer in self._observers:
                observer(report)
            if report.stopping:
                break
            self._save_when_due()
        if self._every is not None:
            self.save()

    def save(self) -> None:
        """Keep the state from which a restart goes on."""
        state = self._engine.state()
        self._ledger.checkpoint(state["at"], checkpoint.dump(state))
        self._saved = self._timer.seconds()

    def _save_when_due(self) -> None:
        if self._every is not None and self._timer.seconds() - self._saved >= self._every:
            self.save()
