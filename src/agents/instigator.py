"""Instigators: three who watch whether learners still learn from each other, and tell a group that stopped to share."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..core.messages import Control
from ..core.model import MycelialAgent
from ..core.types import CommandKind, Snapshot
from .world import GroupView, World

INSTIGATORS = 3
"""Of the format of the swarm: one for each horizon of the standard swarm."""


class Instigator(MycelialAgent):
    """Number 1, 2 or 3: watches the learners of its horizons every few intervals.

    It asks for FORCE_SHARE where members could take from each other and nobody did for `quiet_intervals`, or where
    the diversity left its limits, at most once in that time for each group. It reads figures of groups, never the
    learners themselves, and whether they obey is their affair.
    """

    kind: ClassVar[str] = "mycelial_instigator"
    phase: ClassVar[str] = "opine"

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world.model, f"instigator-{number}")
        self._world, self._settings = world, world.settings.instigators
        names = [horizon.name for horizon in world.settings.learners.horizons]
        self.groups = names[number - 1 :: INSTIGATORS]
        self._asked_at: dict[str, int] = {}
        self._due = False

    def wake(self) -> None:
        """It is time to look."""
        self._due = True

    def act(self, snapshot: Snapshot) -> None:
        """Look at the groups when it is time and there is news of them."""
        if not self._due or self._world.society is None or not np.count_nonzero(snapshot.fresh):
            return
        self._due = False
        for group in self.groups:
            view = self._world.society.group(group)
            since = max(view.took_at, self._asked_at.setdefault(group, snapshot.grid))
            reason = self._objection(view, snapshot.grid, since)
            if reason and snapshot.grid - self._asked_at[group] >= self._settings.quiet_intervals:
                self._ask(group, reason, snapshot)

    def _objection(self, view: GroupView, grid: int, since: int) -> str:
        """What is wrong with a group; empty where nothing is, or nobody has anything to share."""
        if view.able == 0 or view.learners < 2:
            return ""
        rules = self._settings
        if grid - since >= rules.quiet_intervals:
            return f"nobody took anything for {grid - since} intervals"
        if math.isnan(view.diversity) or rules.min_diversity <= view.diversity <= rules.max_diversity:
            return ""
        below = view.diversity < rules.min_diversity
        limit = rules.min_diversity if below else rules.max_diversity
        return f"diversity {view.diversity:.3f} is {'below' if below else 'above'} {limit:g}"

    def _ask(self, group: str, reason: str, snapshot: Snapshot) -> None:
        self._asked_at[group] = snapshot.grid
        message = Control(
            source=self.name,
            at=snapshot.at,
            known_at=snapshot.at,
            command=CommandKind.FORCE_SHARE,
            reason=f"{group}: {reason}",
            group=group,
        )
        self.say("system-control", message)

    def state(self) -> dict[str, Any]:
        """Whom it asked when, and whether a look is due."""
        return {"asked_at": dict(self._asked_at), "due": self._due}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._asked_at, self._due = dict(state["asked_at"]), state["due"]


def populate(world: World) -> None:
    """The three of them, woken at the same time."""
    everybody = [Instigator(world, number) for number in range(1, INSTIGATORS + 1)]

    def wake() -> None:
        for one in everybody:
            one.wake()

    world.model.every(world.settings.instigators.every_intervals, wake)
