"""Memory, thinking and market intelligence without anybody outside: counts, weights and the moats of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...core.moats import MOATS
from ...core.types import STATUSES, Pair, Snapshot
from .intelligence import DecisionOutcome, MarketContext, Option, Remembered, Thought, Weighed
from .recommendation import Priority

_EVENT = "event_hours"  # of the moats: their cell of scheduled events


class OutcomeMemory:
    """Implements DecisionMemory: sums by symbol and action, of constant size.

    The share of successes is shrunk towards `prior` by one imagined outcome of either kind (Laplace).
    """

    def __init__(self, prior: float) -> None:
        self._prior = prior
        self._sums: dict[tuple[Pair, str], tuple[int, int, float]] = {}

    def remember(self, outcome: DecisionOutcome) -> None:
        """Count an outcome; one that is not finite is not counted."""
        if not math.isfinite(outcome.multiple):
            return
        count, won, total = self._sums.get((outcome.pair, outcome.action), (0, 0, 0.0))
        key = outcome.pair, outcome.action
        self._sums[key] = count + 1, won + (outcome.multiple > 0), total + outcome.multiple

    def of(self, pair: Pair, action: str) -> Remembered:
        """What became of an action on a symbol; of what was never done the prior."""
        count, won, total = self._sums.get((pair, action), (0, 0, 0.0))
        return Remembered(count, (won + 2 * self._prior) / (count + 2), total / count if count else None)

    def state(self) -> list[list[Any]]:
        """Every sum."""
        return [[pair, action, *sums] for (pair, action), sums in self._sums.items()]

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Go on from `state`."""
        self._sums = {(Pair(pair), action): (n, won, total) for pair, action, n, won, total in state}


class WeighedThinking:
    """Implements Thinking: rank first, what is remembered second; every step is said."""

    def __init__(self, memory: OutcomeMemory) -> None:
        self._memory = memory

    def weigh(self, pair: Pair, options: Sequence[Option]) -> Thought:
        """A weight is (lowest priority - priority + success of the past) / (lowest priority + 1).

        So a rank is never outweighed by the past, which decides among equals; hindered options weigh nothing.
        """
        lowest, weighed, steps = int(max(Priority)), [], []
        for option in options:
            past = self._memory.of(pair, option.action)
            weight = 0.0 if option.hindered else (lowest - option.priority + past.success) / (lowest + 1)
            weighed.append(Weighed(option.name, weight, option.hindered))
            told = (
                f"not possible: {option.hindered}" if option.hindered else f"{past.success:.2f} of {past.count} before"
            )
            steps.append(f"{option.name} wants {option.action}, rank {option.priority}, {told}")
        ranked = sorted(weighed, key=lambda one: (bool(one.hindered), -one.weight, one.name))
        if ranked and not ranked[0].hindered:
            steps.append(f"most speaks for {ranked[0].name}")
        return Thought(tuple(ranked), tuple(steps))


class SnapshotIntelligence:
    """Implements MarketIntelligence from the moats of the snapshot, the calendar among them; nobody is asked."""

    def context(self, snapshot: Snapshot, pair: Pair) -> MarketContext:
        """Status and value of each moat for the pair; a run without moats knows nothing."""
        view = snapshot.moats
        if view is None:
            return MarketContext(pair, {}, {}, None)
        index = snapshot.pairs.index(pair)
        states, values = view.states[index].tolist(), view.values[index].tolist()
        moats = {name: STATUSES[int(state)].value for name, state in zip(MOATS, states, strict=True)}
        parts = view.parts
        hours = float(parts.figures[parts.names.index(_EVENT)]) if _EVENT in parts.names else math.nan
        known = hours if math.isfinite(hours) else None
        return MarketContext(pair, moats, dict(zip(MOATS, values, strict=True)), known)
