"""Carries ticks to their durable stream beside the feed: whoever hears them never waits for a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Thread

from ..core.clock import Timer
from ..core.types import Tick
from .tick_stream import TickWriter


class TickSender:
    """`take` is for any one thread and never blocks; what cannot be sent waits, in all at most `most` ticks.

    `lost` counts what had to go before a server had it: 0 says that the stream holds every tick that was taken. `say`
    gets one line when nothing can be sent, and one when it can again.
    """

    def __init__(self, writer: TickWriter, most: int, seconds: float, timer: Timer, say: Callable[[str], None]) -> None:
        self._writer, self._most, self._seconds, self._timer, self._say = writer, most, seconds, timer, say
        self._waiting: deque[Tick] = deque()
        self._dropped = 0
        self._trouble = ""
        self._closing = Event()
        self._thread = Thread(target=self._run, name="ticks", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Ticks that no server will ever have."""
        return self._dropped + self._writer.lost

    def take(self, tick: Tick) -> None:
        """One more."""
        if len(self._waiting) >= self._most:
            self._dropped += 1
        else:
            self._waiting.append(tick)

    def close(self) -> None:
        """Send what waits, where that is possible at once, and leave."""
        self._closing.set()
        self._thread.join()
        self._writer.close()

    def _run(self) -> None:
        while not self._timer.wait(self._closing, self._seconds):
            self._send()
        self._send()
        if self.lost:
            self._say(f"ticks: {self.lost} are not in the durable stream")

    def _send(self) -> None:
        fresh = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._writer.add(fresh)
        trouble = self._writer.trouble
        if bool(trouble) != bool(self._trouble):
            self._say(f"ticks wait for their stream: {trouble}" if trouble else "ticks go to their stream again")
        self._trouble = trouble
