"""What every miner is: it fetches, caches, validates, publishes and says how it stands."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from ..core.messages import Message
from ..core.model import MycelialAgent, MycelialModel
from ..core.types import Snapshot, Status


class Reading(msgspec.Struct, frozen=True):
    """What a source said last: values, and when it could be known (UTC milliseconds)."""

    known_at: int
    values: dict[str, float]


class DataEngineerBase(MycelialAgent):
    """Base of all miners. A subclass says how to fetch and how a reading becomes a message.

    `fetch` must not block: what takes time is fetched elsewhere and only picked up here. A value that is not
    finite is left out; a reading without any value is NO_DATA, never zeros.
    """

    phase: ClassVar[str] = "sense"

    def __init__(self, model: MycelialModel, name: str, max_age_ms: int) -> None:
        super().__init__(model, name)
        self._max_age_ms = max_age_ms
        self._cached: Reading | None = None

    @abstractmethod
    def fetch(self, snapshot: Snapshot) -> Reading | None:
        """What is new at this slice, or None."""

    @abstractmethod
    def announce(self, reading: Reading, snapshot: Snapshot) -> tuple[str, Message]:
        """The channel and the message that tell others."""

    def announcements(self, reading: Reading, snapshot: Snapshot) -> Sequence[tuple[str, Message]]:
        """All channels and messages of a reading, for those that have more than one."""
        return (self.announce(reading, snapshot),)

    def act(self, snapshot: Snapshot) -> None:
        """Fetch, keep, publish what is new."""
        fetched = self.fetch(snapshot)
        if fetched is None:
            return
        reading = validated(fetched)
        if reading.values:
            self._cached = reading
            for channel, message in self.announcements(reading, snapshot):
                self.say(channel, message)

    def status(self, at: int) -> Status:
        """How this source stands at `at` (UTC milliseconds)."""
        reading = self.reading()
        if reading is None:
            return Status.NO_DATA
        return Status.STALE if at - reading.known_at > self._max_age_ms else Status.OK

    def reading(self) -> Reading | None:
        """The cached reading."""
        return self._cached

    def age_ms(self, at: int) -> int | None:
        """Milliseconds since the cached reading was known; None without one."""
        reading = self.reading()
        return None if reading is None else at - reading.known_at

    def state(self) -> dict[str, Any]:
        """The cached reading."""
        reading = self.reading()
        return {} if reading is None else {"known_at": reading.known_at, "values": reading.values}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the cached reading."""
        self._cached = Reading(state["known_at"], state["values"]) if state else None


def validated(reading: Reading) -> Reading:
    """The reading without values that are not finite."""
    if all(map(math.isfinite, reading.values.values())):
        return reading
    return Reading(reading.known_at, {name: x for name, x in reading.values.items() if math.isfinite(x)})
