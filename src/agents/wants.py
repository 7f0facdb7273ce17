"""What learners miss: they ask for a source when the moat they belong to has had no data for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.intake import LAST_MS
from ..core.messages import BuildRequest
from ..core.moats import MOATS
from ..core.timeframes import HOUR_MS
from ..core.types import STATUSES, MoatView, Snapshot, Status
from .world import World

TOOL = " source"
"""Follows the moat's name in the tool that is asked for."""


class Wants:
    """Watches how long each moat has been without data and asks once in each such time.

    `speaker` names the learner that asks for a moat, None where nobody belongs to it.
    """

    def __init__(self, world: World, speaker: Callable[[str], str | None]) -> None:
        self._bus, self._speaker = world.model.bus, speaker
        self._after_ms = round(world.settings.builder.request_after_hours * HOUR_MS)
        self._since: dict[str, int] = {}
        self._asked: set[str] = set()
        self._looked: tuple[MoatView | None, int] = (None, 0)  # and until when nobody has to look at it again

    def look(self, snapshot: Snapshot) -> None:
        """Look at every moat; ask for those that are due."""
        view, until = self._looked
        if view is snapshot.moats and snapshot.at < until:
            return
        for column, moat in enumerate(MOATS):
            if not without_data(snapshot.moats, column):
                self._since.pop(moat, None)
                self._asked.discard(moat)
                continue
            since = self._since.setdefault(moat, snapshot.at)
            if moat not in self._asked and snapshot.at - since >= self._after_ms:
                self._ask(moat, snapshot.at)
        waiting = [since + self._after_ms for moat, since in self._since.items() if moat not in self._asked]
        self._looked = (snapshot.moats, min(waiting, default=LAST_MS))

    def _ask(self, moat: str, at: int) -> None:
        speaker = self._speaker(moat)
        if speaker is None:
            return
        self._asked.add(moat)
        hours = (at - self._since[moat]) // HOUR_MS
        reason = f"no data for {hours} hours"
        request = BuildRequest(source=speaker, at=at, known_at=at, tool=f"{moat}{TOOL}", reason=reason)
        self._bus.publish("system-build-request", request)

    def state(self) -> dict[str, Any]:
        """Since when what is missing."""
        return {"since": dict(self._since), "asked": sorted(self._asked)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._since, self._asked = dict(state["since"]), set(state["asked"])
        self._looked = (None, 0)


def without_data(view: MoatView | None, column: int) -> bool:
    """Whether the moat of `column` has nothing to say of any pair: no data, or a failure with nothing before it."""
    if view is None or view.statuses[column] is Status.NO_DATA:
        return True
    if view.statuses[column] is not Status.ERROR:
        return False
    return bool((view.states[:, column] == STATUSES.index(Status.NO_DATA)).all())
