"""Deep researchers: three judges of archived patterns, each on bars that came after the pattern and its own alone."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from ..core.config import Research
from ..core.market import FEATURE_INDEX, FEATURES
from ..core.messages import Message, PatternNarrative, PatternRequest, PatternResult
from ..core.model import MycelialAgent
from ..core.types import Pair, Side, Snapshot
from .research_past import Findings, ResearchPast, past_of
from .world import World

RESEARCHERS = 3
"""Of the Rule of 3."""
_EVEN = 50.0
"""The quality of a pattern that is no better than the base rate."""


class Case(msgspec.Struct, frozen=True):
    """A pattern that a researcher has taken on; it is judged on the grid points `first` to `last`."""

    pattern: str
    pair: Pair
    side: Side
    horizon: int
    first: int
    last: int
    features: dict[str, float]


class Verdict(NamedTuple):
    """`vote` 1, -1 or 0, `quality` in [0, 100], `moments` that resembled it, their `lift` over the base rate."""

    vote: int
    quality: float
    moments: int
    lift: float


def verdict(
    moments: int, total: float, squares: float, known: int, base: float, horizon: int, rules: Research
) -> Verdict:
    """What a window says of a pattern.

    `lift` = mean signed move of the moments that resemble it, less that of all `known` ones. Its t has the standard
    error of that mean over moments / horizon independent ones, because outcomes overlap so often; quality is
    50 + 50 x t / full_t, held between 0 and 100. Below `min_moments` nothing is said.
    """
    if moments < rules.min_moments:
        return Verdict(0, _EVEN, moments, 0.0)
    mean = total / moments
    lift = mean - base / known
    error = math.sqrt(max(squares / moments - mean * mean, 0.0) / max(1.0, moments / horizon))
    steps = lift / error if error > 0.0 else math.copysign(rules.full_t, lift) if lift else 0.0
    quality = _EVEN + _EVEN * min(1.0, max(-1.0, steps / rules.full_t))
    vote = 1 if quality > rules.approve_quality else -1 if quality < rules.reject_quality else 0
    return Verdict(vote, quality, moments, lift)


class Researcher(MycelialAgent):
    """Number 1, 2 or 3: judges each requested pattern once, when its own window after the request is over.

    It takes on as many cases as `queue_cases` allows; more are refused and counted.
    """

    kind: ClassVar[str] = "deep_researcher"
    phase: ClassVar[str] = "opine"

    def __init__(self, world: World, number: int, past: ResearchPast) -> None:
        super().__init__(world.model, name_of(number))
        self._number, self._past = number, past
        self._rules, self._figures = world.settings.research, world.figures
        self._horizons = [horizon.intervals for horizon in world.settings.learners.horizons]
        self._known = frozenset(world.pairs)
        self._cases: list[Case] = []
        self._open: set[str] = set()
        self.hear("pattern-validation-request", self._on_request)

    def _on_request(self, message: Message) -> None:
        if not isinstance(message, PatternRequest) or not self._plausible(message):
            return
        if len(self._cases) >= self._rules.queue_cases:
            self._figures.patterns["overflow"] += 1
            return
        window = self._rules.window_intervals
        first = message.at // self.model.interval_ms + (self._number - 1) * window + 1
        case = Case(
            message.pattern, message.pair, message.side, message.horizon, first, first + window - 1, message.features
        )
        self._cases.append(case)
        self._open.add(case.pattern)

    def _plausible(self, message: PatternRequest) -> bool:
        """Whether it is of this run, and not taken on already."""
        known = message.pair in self._known and message.horizon in self._horizons
        return known and FEATURE_INDEX.keys() >= message.features.keys() and message.pattern not in self._open

    def act(self, snapshot: Snapshot) -> None:
        """Judge the windows that were over before this slice."""
        if not self._cases or snapshot.grid <= self._cases[0].last or not snapshot.fresh.any():
            return
        due = [case for case in self._cases if case.last < snapshot.grid]
        self._cases = self._cases[len(due) :]
        self._open.difference_update([case.pattern for case in due])
        for start in sorted({case.first for case in due}):
            self._judge([case for case in due if case.first == start], snapshot.at)

    def _judge(self, cases: list[Case], at: int) -> None:
        cases = sorted(cases, key=lambda case: (case.horizon, case.pattern))
        found = self._past.judge(
            cases[0].first,
            cases[0].last,
            np.array([case.horizon for case in cases]),
            np.array([1.0 if case.side is Side.BUY else -1.0 for case in cases]),
            np.array([[case.features.get(name, 0.0) for name in FEATURES] for case in cases]),
            self._rules.min_similarity,
        )
        for case, figures in zip(cases, _rows(found), strict=True):
            self._tell(case, verdict(*figures, case.horizon, self._rules), at)

    def _tell(self, case: Case, said: Verdict, at: int) -> None:
        """The sentence first, so that whoever counts votes has it."""
        about: dict[str, Any] = {"source": self.name, "at": at, "known_at": at}
        about |= {"pattern": case.pattern, "pair": case.pair, "vote": said.vote, "quality": said.quality}
        self.say("pattern-narrative", PatternNarrative(**about, narrative=self._sentence(case, said)))
        result = PatternResult(**about, moments=said.moments, mean_move=said.lift)
        self.say("pattern-validation-result", result)

    def _sentence(self, case: Case, said: Verdict) -> str:
        where = f"{case.pair} {case.side.value} over {case.horizon} intervals, window {self._number} of {RESEARCHERS}"
        if said.moments < self._rules.min_moments:
            return f"{where}: {said.moments} moments resembled it, too few to say anything"
        opinion = {1: "for it", -1: "against it", 0: "undecided"}[said.vote]
        return (
            f"{where}: {said.moments} moments resembled it and went its way by {said.lift:+.3f} volatilities more "
            f"than all others; quality {said.quality:.0f} of 100, {opinion}"
        )

    def state(self) -> dict[str, Any]:
        """The open cases."""
        return {"cases": [msgspec.to_builtins(case) for case in self._cases]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._cases = [msgspec.convert(case, Case) for case in state["cases"]]
        self._open = {case.pattern for case in self._cases}


def _rows(found: Findings) -> list[tuple[int, float, float, int, float]]:
    return list(
        zip(
            found.moments.tolist(), found.total.tolist(), found.squares.tolist(), found.known.tolist(),
            found.base.tolist(), strict=True,
        )
    )  # fmt: skip


def name_of(number: int) -> str:
    """The name of researcher 1, 2 or 3."""
    return f"researcher-{number}"


def populate(world: World) -> None:
    """The three of them, and what they look back on; it takes a slice in after they have looked."""
    past = past_of(world, len(FEATURES))
    for number in range(1, RESEARCHERS + 1):
        Researcher(world, number, past)
    world.model.add_actor(past)
