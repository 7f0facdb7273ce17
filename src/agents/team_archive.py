"""What a pair's learners knew when their team retired, kept so that the team of its revival knows it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.memory import MemoryRecord, Namespace, present
from ..core.types import Pair, Side
from . import colony_layout as k
from .colony import Colony
from .homes import HOMES
from .lessons import Lessons
from .pattern_archive import PatternArchive
from .world import World

KEPT = ("numbers", "counts", "weights", "mask", "ranks", "book", "pattern", "stream")
"""Columns of a row that outlast its learner; guesses do not, their outcomes come while nobody looks."""
_GONE = (k.BOOK_SINCE, k.SIGHTED_AT, k.SHARED_AT)
"""Grids of what was under way."""


class TeamArchive:
    """Puts away the patterns and rows of the learners of one pair's team, and of nobody else.

    What was put away stays until the pair retires again: a revival that fails half-way finds it the next time.
    """

    def __init__(self, world: World, colony: Colony, archive: PatternArchive) -> None:
        self._world, self._colony, self._archive = world, colony, archive
        self._lessons = Lessons(world, colony)
        self._kept: dict[Pair, list[dict[str, Any]]] = {}

    def put_away(self, pair: Pair, names: Sequence[str]) -> None:
        """Ask for a judgement of the team's patterns, remember its policies, and keep its rows."""
        learners = [name for name in names if name in self._colony]
        kept = [self._row(name) for name in learners]
        at, grid = self._world.model.now_ms(), self._colony.grid
        if grid is not None:
            self._archive.archive(at, grid, frozenset(learners))
            self._world.memory.remember([record for name in learners for record in self._policies(pair, name, at)])
        self._kept[pair] = kept

    def bring_back(self, pair: Pair, names: Sequence[str]) -> None:
        """Give the rows to the learners of the new team, horizon by horizon; then they study what was validated."""
        waiting: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for kept in self._kept.get(pair, ()):
            waiting[int(kept["counts"][k.HORIZON])].append(kept)
        learners = [name for name in names if name in self._colony]
        for name in learners:
            horizon = int(self._colony.rows.counts[self._colony.row_of(name), k.HORIZON])
            if waiting[horizon]:
                self._restore(name, waiting[horizon].pop(0))
        self._lessons.offer(learners, self._world.model.now_ms())

    def _row(self, name: str) -> dict[str, Any]:
        row = self._colony.row_of(name)
        arrays = {column: np.array(getattr(self._colony.rows, column)[row]) for column in KEPT}
        return {"name": name, "parent": self._colony.parent_of(name) or "", **arrays}

    def _restore(self, name: str, kept: dict[str, Any]) -> None:
        rows, row = self._colony.rows, self._colony.row_of(name)
        for column in KEPT:
            getattr(rows, column)[row] = kept[column]
        rows.counts[row, list(_GONE)] = k.EMPTY
        rows.counts[row, k.BOOK_ORDER] = k.NO_ORDER
        if kept["parent"]:
            self._colony.adopt({name: kept["parent"]})

    def _policies(self, pair: Pair, name: str, at: int) -> list[MemoryRecord]:
        """What a learner would do, as knowledge of the swarm; nothing where it has learnt nothing."""
        row = self._colony.row_of(name)
        weights, counts = self._colony.rows.weights[row], self._colony.rows.counts[row]
        policy = weights[k.UP] - weights[k.DOWN]
        if not np.isfinite(policy).all() or not policy.any():
            return []
        about = present(
            learner=name,
            generation=int(counts[k.GENERATION]),
            parent=self._colony.parent_of(name),
            horizon=int(counts[k.HORIZON]),
        )
        return [
            MemoryRecord(
                id=f"policy:{name}@{at}",
                namespace=Namespace.KNOWLEDGE,
                vector=tuple(policy.tolist()),
                pair=pair,
                moat=HOMES[int(counts[k.MOAT])],
                direction=Side.BUY,  # conviction rises along a policy
                score=self._archive.interest.get(name, 0.0) / 100.0,
                seen_at=at,
                known_at=at,
                meta=about,
            )
        ]

    def state(self) -> dict[str, Any]:
        """What sleeps."""
        return {"kept": {str(pair): rows for pair, rows in self._kept.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._kept = {Pair(pair): list(rows) for pair, rows in state["kept"].items()}
