"""Lets in what sources said: believed, new and not from the future; counts what it turns away."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from ...core.config import MoatPolling
from ...core.moats import FAILED
from ...core.ports import Source
from ...core.types import Observation

Key = tuple[str, str, str]

SCHEDULED = "scheduled"
"""The value by which an observation says that its time lies ahead by right."""


class Inbound:
    """The queue between the poller and the feed, and its memory of what passed; not thread-safe by itself.

    What does not fit into the queue is counted and not remembered: the source says it again, and it gets in then.
    """

    def __init__(self, settings: MoatPolling) -> None:
        self._settings = settings
        self._waiting: dict[Key, Observation] = {}
        self._passed: OrderedDict[Key, None] = OrderedDict()
        self._told: dict[str, bool] = {}
        self._drained_told: dict[str, bool] = {}
        self.latest: OrderedDict[tuple[str, str], Observation] = OrderedDict()

    def take(self, said: Sequence[Observation], source: Source, now_ms: int) -> Counter[str]:
        """Queue what is new; returns counts of `new`, `duplicate`, `future`, `invalid` and `overflow`."""
        return Counter(self._verdict(item, source, now_ms) for item in said)

    def tell(self, moat: str, failed: bool, simulated: bool, now_ms: int) -> None:
        """Queue that a moat failed, or answers again, where that changed; a full queue hears of it later."""
        if failed == self._told.get(moat, False) or len(self._waiting) >= self._settings.queue_observations:
            return
        item = Observation("poller", moat, f"{moat}@{now_ms}", moat, now_ms, now_ms, {FAILED: float(failed)}, simulated)
        self._told[moat] = failed
        self._waiting[(item.moat, item.subject, item.id)] = item

    def drain(self, until_ms: int | None = None) -> list[Observation]:
        """What waits and was known at `until_ms` (None: everything), in order; the rest waits on."""
        due = [key for key, item in self._waiting.items() if until_ms is None or item.known_at <= until_ms]
        items = [self._waiting.pop(key) for key in due]
        self._passed.update(dict.fromkeys(due))
        self._drained_told |= {item.moat: bool(item.values[FAILED]) for item in items if FAILED in item.values}
        while len(self._passed) > self._settings.ids_kept:
            self._passed.popitem(last=False)
        return sorted(items, key=lambda o: (o.known_at, o.moat, o.source, o.subject, o.id))

    def state(self) -> dict[str, Any]:
        """The ids that were drained, oldest first, and what was told of each moat with them."""
        return {"passed": [list(key) for key in self._passed], "told": dict(self._drained_told)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with those ids; what was queued and not drained is said again."""
        self._passed = OrderedDict(((moat, subject, id_), None) for moat, subject, id_ in state["passed"])
        self._told, self._drained_told = dict(state["told"]), dict(state["told"])

    def _verdict(self, item: Observation, source: Source, now_ms: int) -> str:
        key = (item.moat, item.subject, item.id)
        if not _believable(item, source):
            return "invalid"
        if self._ahead(item, now_ms):
            return "future"
        if key in self._waiting:
            return "duplicate"
        if key in self._passed:
            self._passed.move_to_end(key)
            return "duplicate"
        if len(self._waiting) >= self._settings.queue_observations:
            return "overflow"
        self._waiting[key] = item
        self._note(item)
        return "new"

    def _ahead(self, item: Observation, now_ms: int) -> bool:
        """Whether it claims to be known, or to have happened, later than now; our clock may be a little slow."""
        limit = now_ms + self._settings.clock_tolerance_seconds * 1000
        return item.known_at > now_ms or (item.at > limit and item.values.get(SCHEDULED) != 1.0)

    def _note(self, item: Observation) -> None:
        series = (item.source, item.subject)
        before = self.latest.get(series)
        if before is None or (before.known_at, before.at) <= (item.known_at, item.at):
            self.latest[series] = item
            self.latest.move_to_end(series)
        if len(self.latest) > self._settings.series_kept:
            self.latest.popitem(last=False)


def _believable(item: Observation, source: Source) -> bool:
    """Finite numbers, times after 1970, the source's own moat, and marked simulated exactly where it is."""
    return (
        bool(item.values)
        and all(map(math.isfinite, item.values.values()))
        and item.at >= 0
        and item.known_at >= 0
        and item.moat == source.moat
        and item.simulated == source.simulated
    )
