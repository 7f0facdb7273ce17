"""How learners live together in a run: when they share, who makes room for whose child, what others may see of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..core.types import Decision, FloatArray, IntArray
from . import colony_layout as k
from .colony import Colony
from .colony_evolution import replacements
from .colony_sharing import Links, Shared, links_of, share_now, share_when_due, standing
from .lessons import Lessons
from .world import Exchange, GroupView, World

_GENERATION = "~"
"""Between the name of a learner's place and the number of those who had it before."""


class Society:
    """Sharing, FORCE_SHARE and evolution; `edges` gives the network, `succeed` lets a child take a loser's place."""

    def __init__(
        self,
        world: World,
        colony: Colony,
        edges: Callable[[], Iterable[tuple[str, str]]],
        succeed: Callable[[str, str], str],
    ) -> None:
        self._world, self._colony, self._edges, self._succeed = world, colony, edges, succeed
        self._settings, self._figures = world.settings, world.figures.society
        self._lessons = Lessons(world, colony)
        self._horizons = {one.name: one.intervals for one in world.settings.learners.horizons}
        self._wanted = np.array(list(self._horizons.values()), dtype=np.int64)
        self._took_at: dict[str, int] = {}
        self._links: Links | None = None
        self._taker_horizon: IntArray = np.zeros(0, dtype=np.int64)
        self._round: tuple[int, int] | None = None
        self._newest: tuple[Shared, FloatArray] | None = None
        self._views: tuple[tuple[int | None, int], dict[str, GroupView]] | None = None
        self._forced: list[str] = []
        self._due = False
        world.model.every(world.settings.evolution.every_intervals, self._evolution_is_due)

    # What happens at the end of a step

    def share(self) -> None:
        """Let those share whose round has come, and those who were told to."""
        colony, grid = self._colony, self._colony.grid
        if grid is None:
            return
        this_round = (grid // self._settings.sharing.every_intervals, colony.population)
        if this_round != self._round:
            self._round = this_round
            self._note(share_when_due(colony, self._network(), self._settings.sharing, self._settings.haven))
        forced, self._forced = self._forced, []
        for group in forced:
            shared = share_now(
                colony, self._network(), self._settings.sharing, self._settings.haven, self._members(group)
            )
            self._note(shared)
            self._figures["forced"] += 1

    def evolve(self, at: int) -> bool:
        """When it is time, let the worst make room for children of better ones; whether anybody did.

        Children are offered what was validated of their pair.
        """
        if not self._due:
            return False
        self._due = False
        children = []
        for loser, parent in replacements(self._colony, self._settings.evolution):
            child = self._succeed(loser, parent)
            self._figures["replaced"] += 1
            generation = int(self._colony.rows.counts[self._colony.row_of(child), k.GENERATION])
            detail: dict[str, Any] = {"parent": parent, "replaces": loser, "generation": generation}
            self._world.model.note(Decision(at, "evolution", source=child, detail=detail))
            children.append(child)
        self._lessons.offer(children, at)
        return bool(children)

    def force(self, group: str) -> bool:
        """Let a group share after the next step; False where there is no such group."""
        if group not in self._horizons:
            return False
        if group not in self._forced:
            self._forced.append(group)
        return True

    def network_changed(self) -> None:
        """The links are laid anew when they are needed next."""
        self._links = None

    def _evolution_is_due(self) -> None:
        self._due = True

    def _network(self) -> Links:
        if self._links is None or self._links.population != self._colony.population:
            self._links = links_of(self._colony, self._edges())
            takers = np.repeat(np.arange(self._colony.capacity), np.diff(self._links.start))
            self._taker_horizon = self._colony.rows.counts[takers, k.HORIZON]
        return self._links

    def _members(self, group: str) -> list[str]:
        colony, horizon = self._colony, self._horizons[group]
        return [name for name in colony.names if colony.rows.counts[colony.row_of(name), k.HORIZON] == horizon]

    def _note(self, shared: Shared | None) -> None:
        if shared is None:
            return
        self._figures["rounds"] += 1
        by_horizon = np.bincount(self._taker_horizon[shared.took], minlength=1)
        taken = int(by_horizon.sum())
        self._figures["taken"] += taken
        if taken:
            self._newest = (shared, standing(self._colony, self._settings.sharing.min_outcomes))
        for name, horizon in self._horizons.items():
            if horizon < by_horizon.size and by_horizon[horizon]:
                self._took_at[name] = shared.grid

    # What others may see

    def exchanges(self, most: int) -> list[Exchange]:
        """Who took from whom in the newest round in which anybody did; it may be asked from another thread.

        The largest gains first, at most `most`. Nothing after a restart, until a round has passed.
        """
        newest = self._newest
        if newest is None:
            return []
        shared, stood = newest
        names, links = shared.links.names, shared.links
        places = np.flatnonzero(shared.took)
        takers = np.repeat(np.arange(len(names)), np.diff(links.start))[places]
        gains = stood[links.to[places]] - stood[takers]
        order = np.argsort(-np.nan_to_num(gains, nan=-math.inf), kind="stable")[:most].tolist()
        return [
            Exchange(
                shared.grid,
                names[links.to[places[one]]],
                names[takers[one]],
                None if math.isnan(gains[one]) else float(gains[one]),
            )
            for one in order
        ]

    def group(self, name: str) -> GroupView:
        """The learners of the horizon of this name; computed once for all groups, however often it is asked."""
        now = (self._colony.grid, self._colony.population)
        if self._views is None or self._views[0] != now:
            self._views = (now, self._look())
        return self._views[1][name]

    def _look(self) -> dict[str, GroupView]:
        rows, wanted = self._colony.rows, self._wanted
        learners, able, diversity = (
            np.zeros(wanted.size, np.int64),
            np.zeros(wanted.size, np.int64),
            np.empty(wanted.size),
        )
        least = self._settings.sharing.min_outcomes
        _look(rows.numbers, rows.counts, rows.weights, wanted, least, learners, able, diversity)
        figures = zip(self._horizons, learners.tolist(), able.tolist(), diversity.tolist(), strict=True)
        return {
            name: GroupView(count, can, self._took_at.get(name, k.EMPTY), apart) for name, count, can, apart in figures
        }

    # Restart

    def state(self) -> dict[str, Any]:
        """Who took when, and what is due. The network follows from who lives."""
        return {
            "took_at": dict(self._took_at),
            "forced": list(self._forced),
            "due": self._due,
            "figures": dict(self._figures),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._took_at, self._forced, self._due = dict(state["took_at"]), list(state["forced"]), state["due"]
        self._figures.clear()
        self._figures.update(state["figures"])
        self._links = self._round = self._views = self._newest = None


def successor_of(name: str) -> str:
    """The name of whoever takes a learner's place: that of the place and how many had it before.

    >>> successor_of("learner-code-3"), successor_of("learner-code-3~1")
    ('learner-code-3~1', 'learner-code-3~2')
    """
    place, _, number = name.partition(_GENERATION)
    return f"{place}{_GENERATION}{int(number or 0) + 1}"


@k.compiled
def _squares(values: FloatArray) -> float:
    """Their sum of squares; four sums side by side, since each waits for itself alone."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    size = values.shape[0]
    whole = size - size % 4
    for index in range(0, whole, 4):
        one += values[index] * values[index]
        two += values[index + 1] * values[index + 1]
        three += values[index + 2] * values[index + 2]
        four += values[index + 3] * values[index + 3]
    for index in range(whole, size):
        one += values[index] * values[index]
    return (one + two) + (three + four)


@k.compiled
def _look(
    numbers: FloatArray,
    counts: IntArray,
    weights: FloatArray,
    horizons: IntArray,
    min_outcomes: float,
    learners: IntArray,
    able: IntArray,
    diversity: FloatArray,
) -> None:
    """Size, able members and diversity (as `colony_diversity.diversity` has it) of the learners of each horizon."""
    features = weights.shape[2]
    total, policy = np.zeros((horizons.shape[0], features)), np.empty(features)
    known = np.zeros(horizons.shape[0])
    diversity[:] = math.nan
    for row in range(counts.shape[0]):
        for group in range(horizons.shape[0]):
            if counts[row, k.ALIVE] == 0 or counts[row, k.HORIZON] != horizons[group]:
                continue
            learners[group] += 1
            if numbers[row, k.WEIGHT] > 0.0 and numbers[row, k.WEIGHT] >= min_outcomes:
                able[group] += 1
            for index in range(features):
                policy[index] = weights[row, k.UP, index] - weights[row, k.DOWN, index]
            square = _squares(policy)
            if square > 0.0 and math.isfinite(square):
                known[group] += 1.0
                scale = 1.0 / math.sqrt(square)
                for index in range(features):
                    total[group, index] += scale * policy[index]
    for group in range(horizons.shape[0]):
        square = _squares(total[group])
        if known[group] >= 2.0:
            diversity[group] = 1.0 - (square - known[group]) / (known[group] * (known[group] - 1.0))
