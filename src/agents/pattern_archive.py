"""The archive of patterns: what learners hold worth remembering is judged by researchers, then kept or dropped."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np

from ..core.market import FEATURES
from ..core.memory import MemoryRecord, Namespace, embed, present
from ..core.messages import Message, PatternNarrative, PatternRequest, PatternResult
from ..core.types import FloatArray
from . import colony_layout as k
from .colony import Colony
from .colony_patterns import Candidate, interestingness, patterns
from .homes import HOMES
from .lessons import JUDGED_BY
from .researcher import RESEARCHERS, name_of
from .world import World

JUDGES = frozenset(name_of(number) for number in range(1, RESEARCHERS + 1))
"""Whose votes count; one that speaks twice counts with its first vote."""


NOT_JUDGED, SOME_ABSENT = "not_judged", "judge_absent"
TOO_FEW, SPLIT, WEAK = "too_few_matches", "split_vote", "weak_evidence"
"""Why a pattern stays undecided: no researcher had room for it; one or two had none; in two of three windows too little
resembled it; one is for it and one against; no two found it clearly better, or worse, than all moments."""


class OpenCase(msgspec.Struct):
    """A pattern that is being judged: the request, where its learner came from, the votes by researcher.

    `few` counts the abstentions of those who saw too little that resembled it.
    """

    request: PatternRequest
    generation: int
    parent: str
    votes: dict[str, tuple[int, float]] = {}
    narrative: str = ""
    few: int = 0


class PatternArchive:
    """Looks at all learners every `archive_every_intervals`, asks for judgement, counts votes, remembers verdicts."""

    def __init__(self, world: World, colony: Colony) -> None:
        self._world, self._colony, self._settings = world, colony, world.settings
        self._figures, self._rejected = world.figures.patterns, world.figures.rejected_patterns
        self._undecided = world.figures.undecided
        self._cases: dict[str, OpenCase] = {}
        self._due = False
        self.interest: dict[str, float] = {}
        self._by_row: FloatArray | None = None
        self._population = 0  # for which `_by_row` was made
        world.model.every(world.settings.patterns.archive_every_intervals, self._archive_is_due)

    def _archive_is_due(self) -> None:
        self._due = True

    def look_when_due(self, at: int, grid: int) -> None:
        """Archive, forget cases that nobody will judge any more, and see who has become interesting."""
        if not self._due:
            return
        self._due = False
        self._close_overdue(grid)
        self.archive(at, grid)
        settings = self._settings
        found = interestingness(self._colony, settings.patterns, settings.learners.calibration_min_t2)
        self.interest.clear()
        self.interest.update({name: interest.total for name, interest in found.items()})
        self._by_row = None

    def archive(self, at: int, grid: int, among: Collection[str] | None = None) -> None:
        """Ask for a judgement of each pattern worth it, of all learners or those named `among`, the best first."""
        found = patterns(self._colony, self._settings.patterns, grid, among)
        for candidate in sorted(found.candidates, key=lambda one: (-one.value, one.learner)):
            self._request(candidate, at)
        self._figures["requested"] += len(found.candidates)
        self._rejected.update(found.rejected)

    def interest_by_row(self) -> FloatArray:
        """How interesting the learner of each row of the colony is, (capacity,); 0 for those not looked at yet."""
        colony = self._colony
        if self._by_row is None or self._population != colony.population:
            self._by_row, self._population = np.zeros(colony.capacity), colony.population
            self._by_row[colony.order] = [self.interest.get(name, 0.0) for name in colony.names]
        return self._by_row

    def _request(self, candidate: Candidate, at: int) -> None:
        interval, features = self._world.model.interval_ms, candidate.features.tolist()
        request = PatternRequest(
            source=candidate.learner,
            at=at,
            known_at=at,
            pattern=f"{candidate.learner}@{candidate.seen * interval}",
            pair=self._world.pairs[candidate.pair_index],
            moat=HOMES[candidate.moat],
            horizon=candidate.horizon,
            side=candidate.side,
            score=candidate.score,
            value=candidate.value,
            seen_at=candidate.seen * interval,
            features={name: value for name, value in zip(FEATURES, features, strict=True) if value},
        )
        counts = self._colony.rows.counts[self._colony.row_of(candidate.learner)]
        parent = self._colony.parent_of(candidate.learner) or ""
        self._cases[request.pattern] = OpenCase(request, int(counts[k.GENERATION]), parent)
        self._world.model.bus.publish("pattern-validation-request", request)

    # What researchers say

    def on_narrative(self, message: Message) -> None:
        """Keep the newest sentence for a pattern."""
        if not isinstance(message, PatternNarrative) or message.vote == 0 or message.source not in JUDGES:
            return
        case = self._cases.get(message.pattern)
        if case is not None:
            case.narrative = message.narrative

    def on_result(self, message: Message) -> None:
        """Count a vote; when enough researchers agree the pattern is remembered, when that cannot be it is dropped."""
        if not isinstance(message, PatternResult):
            return
        case = self._cases.get(message.pattern)
        if case is None or message.source not in JUDGES or message.source in case.votes:
            return
        case.votes[message.source] = (message.vote, message.quality)
        case.few += message.moments < self._settings.research.min_moments
        votes = [vote for vote, _ in case.votes.values()]
        required = self._settings.consensus.required_votes
        if votes.count(1) >= required:
            self._conclude(case, Namespace.TRADING, "validated", message.at)
        elif votes.count(-1) >= required:
            self._conclude(case, Namespace.FAILED, "failed", message.at)
        elif len(votes) == RESEARCHERS:
            self._drop(case, SPLIT if {1, -1} <= set(votes) else TOO_FEW if case.few >= required else WEAK)

    def _conclude(self, case: OpenCase, namespace: Namespace, word: str, at: int) -> None:
        del self._cases[case.request.pattern]
        self._figures[word] += 1
        record = self._record(case, namespace, at)
        if record is not None:
            self._world.memory.remember([record])

    def _record(self, case: OpenCase, namespace: Namespace, at: int) -> MemoryRecord | None:
        """Known is the pattern with its verdict. It has no outcome: nobody paid for it, and advice counts money."""
        request, settings = case.request, self._settings
        features = np.array([request.features.get(name, 0.0) for name in FEATURES])
        vector = embed(features, settings.learners.feature_clip, settings.memory.min_known_ratio)
        if vector is None:
            return None
        wanted = 1 if namespace is Namespace.TRADING else -1
        agreed = {name: quality for name, (vote, quality) in sorted(case.votes.items()) if vote == wanted}
        return MemoryRecord(
            id=request.pattern,
            namespace=namespace,
            vector=tuple(vector.tolist()),
            pair=request.pair,
            moat=request.moat,
            direction=request.side,
            score=request.score,
            seen_at=request.seen_at,
            known_at=at,
            meta=present(
                learner=request.source,
                generation=case.generation,
                parent=case.parent or None,
                horizon=request.horizon,
                value=request.value,
                quality=sum(agreed.values()) / len(agreed),
                narrative=case.narrative or None,
                **{JUDGED_BY: ", ".join(agreed)},
            ),
        )

    def _drop(self, case: OpenCase, why: str) -> None:
        del self._cases[case.request.pattern]
        self._figures["undecided"] += 1
        self._undecided[why] += 1

    def _close_overdue(self, grid: int) -> None:
        """Drop what a researcher refused to take on: its last window is over, and no vote will come."""
        length = RESEARCHERS * self._settings.research.window_intervals + 1
        interval = self._world.model.interval_ms
        for case in [case for case in self._cases.values() if case.request.at // interval + length < grid]:
            self._drop(case, SOME_ABSENT if case.votes else NOT_JUDGED)

    # Restart

    def state(self) -> dict[str, Any]:
        """Open cases with their votes, what is due, who is how interesting, and the counts."""
        return {
            "cases": [msgspec.to_builtins(case) for case in self._cases.values()],
            "due": self._due,
            "interest": dict(self.interest),
            "figures": dict(self._figures),
            "rejected": dict(self._rejected),
            "undecided": dict(self._undecided),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        cases = [msgspec.convert(case, OpenCase) for case in state["cases"]]
        self._cases = {case.request.pattern: case for case in cases}
        self._due = state["due"]
        self.interest.clear()
        self.interest.update(state["interest"])
        self._by_row = None
        counters = {"figures": self._figures, "rejected": self._rejected, "undecided": self._undecided}
        for name, counter in counters.items():
            counter.clear()
            counter.update(state.get(name, {}))
