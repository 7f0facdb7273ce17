"""One thread that makes all signed calls of a key, one after the other; orders and cancellations before questions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Thread

from ...core.clock import Timer

Urgent = Callable[[], None]
Question = Iterator[float]
"""Each step makes one call at most and gives the seconds until the next may be made."""


class Worker:
    """Urgent jobs in order; questions in order, in steps, whenever nothing is urgent. Both are bounded together."""

    def __init__(self, most: int, timer: Timer, name: str) -> None:
        self._most, self._timer = most, timer
        self._urgent: deque[Urgent] = deque()
        self._questions: list[tuple[float, Question]] = []
        self._changed = Condition()
        self._closed = False
        self._running = 0
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def soon(self, job: Urgent) -> bool:
        """Do it as soon as the call that is going on has ended; False when there is no room."""
        with self._changed:
            if not self._room():
                return False
            self._urgent.append(job)
            self._changed.notify()
            return True

    def later(self, question: Question) -> bool:
        """Ask it when nothing is urgent; False when there is no room."""
        with self._changed:
            if not self._room():
                return False
            self._questions.append((self._timer.seconds(), question))
            self._changed.notify()
            return True

    def depth(self) -> int:
        """How many calls are under way or could begin now."""
        with self._changed:
            now = self._timer.seconds()
            return self._running + len(self._urgent) + sum(due <= now for due, _ in self._questions)

    def close(self) -> None:
        """Finish the call that is going on; nothing that waits is begun."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _room(self) -> bool:
        return not self._closed and len(self._urgent) + len(self._questions) < self._most

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if isinstance(job, Iterator):
                self._step(job)
            else:
                job()

    def _step(self, question: Question) -> None:
        wait = next(question, None)
        if wait is None:
            return
        with self._changed:
            # Before the others: pages of one answer belong together.
            self._questions.insert(0, (self._timer.seconds() + wait, question))

    def _next(self) -> Urgent | Question | None:
        with self._changed:
            self._running = 0
            while not self._closed:
                if self._urgent:
                    self._running = 1
                    return self._urgent.popleft()
                now = self._timer.seconds()
                ready = next((place for place, (due, _) in enumerate(self._questions) if due <= now), None)
                if ready is not None:
                    self._running = 1
                    return self._questions.pop(ready)[1]
                self._changed.wait(min((due - now for due, _ in self._questions), default=None))
            return None
