"""Asks every source on its own thread and hands on what is new, so that a slow server never holds up a slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Any

from ...core.clock import Timer
from ...core.config import Moats
from ...core.errors import SourceError
from ...core.ports import Clock, Source
from ...core.types import Observation, Status
from .inbound import Inbound
from .standing import SourceHealth, Standing


class Poller:
    """One thread for all sources, each asked by its interval, after failures by 1, 2, 4 ... seconds.

    `drain`, `latest`, `health`, `state` and `restore` may be called from any thread and never wait for a server.
    """

    def __init__(self, sources: Sequence[Source], settings: Moats, clock: Clock, timer: Timer) -> None:
        self._clock, self._timer, self._settings = clock, timer, settings
        self._standings = [Standing(source, settings.polling) for source in sources]
        self._inbound = Inbound(settings.polling)
        self._closing, self._lock = Event(), Lock()
        self._thread = Thread(target=self._serve, name="moats", daemon=True)

    def start(self) -> None:
        """Begin to ask; every source is due at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop asking and give back the connections; waits for one answer at most."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(self._settings.http.budget_seconds + self._settings.http.timeout_seconds)
        for standing in self._standings:
            standing.source.close()

    def drain(self, until_ms: int | None = None) -> list[Observation]:
        """What is new since the last call, in order of (known_at, moat, source, subject, id).

        That a moat failed is among it, as a value `failed` of 1, and that it answers again, as one of 0.

        With `until_ms`, the time of the slice it is for, what became known after it waits for the next one.
        """
        with self._lock:
            return self._inbound.drain(until_ms)

    def latest(self) -> Mapping[tuple[str, str], Observation]:
        """The newest observation of each (source, subject) so far; its age is the slice's time less `known_at`."""
        with self._lock:
            return dict(self._inbound.latest)

    def health(self) -> list[SourceHealth]:
        """How every source stands now."""
        now_s = self._timer.seconds()
        with self._lock:
            return [standing.health(now_s) for standing in self._standings]

    def state(self) -> dict[str, Any]:
        """What was drained so far, so that it is not said again after a restart."""
        with self._lock:
            return self._inbound.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; before `start`."""
        with self._lock:
            self._inbound.restore(state)

    def poll_due(self) -> float:
        """Ask every source that is due; returns seconds until the next one is."""
        for standing in self._standings:
            if self._closing.is_set():
                return 0.0
            if standing.due_s <= self._timer.seconds():
                self._poll(standing)
        self._tell()
        now_s = self._timer.seconds()
        return max(0.0, min((standing.due_s - now_s for standing in self._standings), default=float("inf")))

    def _serve(self) -> None:
        while not self._closing.is_set():
            wait_s = min(self.poll_due(), self._settings.polling.longest_wait_seconds)
            self._timer.wait(self._closing, wait_s)

    def _poll(self, standing: Standing) -> None:
        begun_s = self._timer.seconds()
        said, error = _asked(standing.source.fetch, self._clock.now_ms())
        ended_s, now_ms = self._timer.seconds(), self._clock.now_ms()
        with self._lock:
            counted = self._inbound.take(said, standing.source, now_ms)
            standing.asked(begun_s, ended_s, error, counted)

    def _tell(self) -> None:
        """A moat failed when one of its sources is in ERROR and none is OK."""
        now_s, now_ms = self._timer.seconds(), self._clock.now_ms()
        moats: dict[str, list[Standing]] = {}
        for standing in self._standings:
            moats.setdefault(standing.source.moat, []).append(standing)
        with self._lock:
            for moat, mine in moats.items():
                states = {standing.status(now_s) for standing in mine}
                failed = Status.ERROR in states and Status.OK not in states
                self._inbound.tell(moat, failed, all(standing.source.simulated for standing in mine), now_ms)


def _asked(
    fetch: Callable[[int], Sequence[Observation]], now_ms: int
) -> tuple[Sequence[Observation], Exception | None]:
    """What a source said, and what went wrong; both where it broke off in the middle."""
    try:
        return fetch(now_ms), None
    except SourceError as error:
        return error.gathered, error
    except Exception as error:  # noqa: BLE001 - one source's defect is its ERROR; the thread and the others go on
        return (), error
