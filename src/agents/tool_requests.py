"""What the builder answers to learners that miss a source: why there is none, in words that can be acted upon.

Every source that the settings name is asked from the first slice on, so none is left that could be added while the run
goes on; a moat that the settings left out stays out, or an experiment without it would not be one.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.config import MoatBoardSettings
from ..core.messages import BuildRequest
from ..core.moat_kernels import NEVER
from ..core.moats import MOATS, SPEAKING
from ..core.model import short
from ..core.types import Decision, MoatView, Scalar, Snapshot, Status
from .wants import TOOL
from .world import World

Detail = dict[str, Scalar | list[str]]

NONE, SWITCHED_OFF = "no_such_source", "source_switched_off"
FAILING, TOO_YOUNG = "source_failing", "source_too_young"
STALE, SPEAKS = "source_stale", "source_speaks"
ANSWERS = frozenset({NONE, SWITCHED_OFF, FAILING, TOO_YOUNG, STALE, SPEAKS})
"""Why nothing is added: nobody ever said anything; the settings leave the moat out; its server fails; what is known of
it does not reach back far enough; it fell silent too long ago; nothing is missing."""

_HOURS = 24.0
"""Of a day."""

LEAF = "moats.board.enabled"
"""The setting that leaves a moat out."""


class ToolRequests:
    """Answers each request once a while for each tool and counts what was asked and answered.

    `world.figures.requests` counts `asked`, `repeated` (within `dedupe_ms`, not answered again) and each answer.
    """

    def __init__(self, world: World, name: str, dedupe_ms: int) -> None:
        self._world, self._name, self._dedupe_ms = world, name, dedupe_ms
        self._board = world.settings.moats.board
        self.asked_at: dict[str, int] = {}

    def answer(self, request: BuildRequest, snapshot: Snapshot) -> None:
        """Say why nothing is added, unless that was said of this tool a moment ago."""
        tool, at, counted = short(request.tool), snapshot.at, self._world.figures.requests
        counted["asked"] += 1
        asked = self.asked_at.get(tool)
        if asked is not None and at - asked < self._dedupe_ms:
            counted["repeated"] += 1
            return
        self.asked_at = {name: then for name, then in self.asked_at.items() if at - then < self._dedupe_ms}
        self.asked_at[tool] = at
        reason, why = reason_against(request.tool, snapshot.moats, self._board)
        counted[reason] += 1
        detail: Detail = {"tool": tool, "asked_by": short(request.source), **why}
        self._world.model.note(Decision(at, "refusal", reason=reason, source=self._name, detail=detail))


def reason_against(tool: str, view: MoatView | None, board: MoatBoardSettings) -> tuple[str, Detail]:
    """Why no source is added for `tool`, and what helps to see it: the setting, or the days that are missing."""
    moat = tool.removesuffix(TOOL)
    if moat not in MOATS or not tool.endswith(TOOL):
        return NONE, {}
    if moat not in board.enabled:
        return SWITCHED_OFF, {"setting": LEAF}
    if view is None:
        return NONE, {}
    column = MOATS.index(moat)
    status = view.statuses[column]
    if status is Status.ERROR:
        return FAILING, {}
    if status is Status.STALE:
        return STALE, {}
    if status in SPEAKING:
        return SPEAKS, {}
    days = days_missing(view, column, board.min_history_days)
    return (NONE, {}) if days is None else (TOO_YOUNG, {"days_left": days})


def days_missing(view: MoatView, column: int, least: int) -> float | None:
    """Days until the first part of a moat reaches back far enough; None where nothing is known of any of them."""
    parts = view.parts
    if parts.history_hours is None:
        return None
    mine = (parts.moat == column) & (parts.known_at != NEVER)
    mine[list(parts.beside)] = False  # known, but part of no value
    if not mine.any():
        return None
    longest = max(0.0, float(np.max(parts.history_hours[mine])))
    return math.ceil(10.0 * max(0.0, least - longest / _HOURS)) / 10.0
