"""The trader: trades only when the baseline and the swarm collide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from ..core.config import Consensus, Settings
from ..core.consensus import rule_of_three
from ..core.messages import BaselineIdea, Control, Message, MycelialIdea, SynthesizedTrade
from ..core.model import MycelialAgent, MycelialModel, intervals, short
from ..core.types import CommandKind, Decision, Idea, Pair, Side, Snapshot, Stream
from .world import World

NAME = "trader"


class TraderRules(msgspec.Struct, frozen=True):
    """`window_ms`: how far two ideas may lie apart; `least_edge`: the round-trip cost an edge must exceed.

    `pairs` and `longest_horizon`: what an idea can be about in this run.
    """

    window_ms: int
    least_edge: float
    min_learners: int
    consensus: Consensus
    pairs: tuple[Pair, ...]
    longest_horizon: int


class Trader(MycelialAgent):
    """Applies the Rule of 3 to the analysts' votes and the three-learner rule to the swarm's idea.

    Two ideas of a pair collide when they are on the same side and at most a window apart; each is used once.
    Opposite ones are a conflict. A collision whose edge does not exceed the cost is refused and counted. So is an
    idea that cannot be meant for this run and this moment, whoever said it.
    """

    kind: ClassVar[str] = "trader"
    phase: ClassVar[str] = "trade"

    def __init__(self, model: MycelialModel, rules: TraderRules) -> None:
        super().__init__(model, NAME)
        self._rules = rules
        self._halted = ""
        self._baseline: dict[Pair, Idea] = {}
        self._mycelial: dict[Pair, Idea] = {}
        self._new: set[Pair] = set()
        self.hear("baseline-trade-ideas:*", self._on_baseline)
        self.hear("mycelial-trade-ideas", self._on_mycelial)
        self.hear("system-control", self._on_control)

    def act(self, snapshot: Snapshot) -> None:
        """Match what was heard; ideas that are too old are forgotten."""
        for pair in sorted(self._new):
            self._match(pair, snapshot)
        self._new.clear()
        for held in (self._baseline, self._mycelial):
            for pair in [p for p, idea in held.items() if snapshot.at - idea.at > self._rules.window_ms]:
                del held[pair]

    def _on_baseline(self, message: Message) -> None:
        if not isinstance(message, BaselineIdea):
            return
        if not self._plausible(message) or not all(0.0 <= vote.confidence <= 1.0 for vote in message.votes):
            self._drop(message)
            return
        agreed = rule_of_three(message.votes, self._rules.consensus.required_votes, 0.0)
        if agreed is not None:
            idea = Idea(message.pair, agreed.side, message.at, agreed.confidence, agreed.voters)
            self._keep(Stream.BASELINE, self._baseline, idea)

    def _on_mycelial(self, message: Message) -> None:
        if not isinstance(message, MycelialIdea):
            return
        believable = 0.0 <= message.score <= 1.0 and 1 <= message.horizon <= self._rules.longest_horizon
        if not believable or not self._plausible(message):
            self._drop(message)
            return
        learners = tuple(sorted(set(message.learners)))
        if len(learners) < self._rules.min_learners:
            return
        idea = Idea(message.pair, message.side, message.at, message.score, learners, message.edge, message.horizon)
        self._keep(Stream.MYCELIAL, self._mycelial, idea)

    def _plausible(self, message: BaselineIdea | MycelialIdea) -> bool:
        """Whether it is of a pair of this run and was said now, or less than a window ago."""
        return message.pair in self._rules.pairs and 0 <= self.model.now_ms() - message.at <= self._rules.window_ms

    def _drop(self, message: Message) -> None:
        at, source = self.model.now_ms(), short(message.source)
        self.model.note(Decision(at, "refusal", reason="implausible_idea", source=source))

    def _keep(self, stream: Stream, held: dict[Pair, Idea], idea: Idea) -> None:
        held[idea.pair] = idea
        self._new.add(idea.pair)
        self.model.heard(stream, idea)

    def _on_control(self, message: Message) -> None:
        if isinstance(message, Control):
            if message.command is CommandKind.HALT:
                self._halted = message.reason or "halted"
            elif message.command is CommandKind.RESUME:
                self._halted = ""

    def _match(self, pair: Pair, snapshot: Snapshot) -> None:
        baseline, mycelial = self._baseline.get(pair), self._mycelial.get(pair)
        if baseline is None or mycelial is None or abs(baseline.at - mycelial.at) > self._rules.window_ms:
            return
        del self._baseline[pair], self._mycelial[pair]
        self.say("synthesized-trade-log", self._meeting(baseline, mycelial, snapshot))

    def _meeting(self, baseline: Idea, mycelial: Idea, snapshot: Snapshot) -> SynthesizedTrade:
        same = baseline.side is mycelial.side
        edge = mycelial.edge or 0.0
        return SynthesizedTrade(
            source=self.name,
            at=snapshot.at,
            known_at=snapshot.at,
            pair=baseline.pair,
            outcome="collision" if same else "conflict",
            side=mycelial.side,
            price=float(snapshot.close[snapshot.pairs.index(baseline.pair)]),
            baseline_confidence=baseline.score,
            mycelial_score=mycelial.score,
            edge=edge,
            horizon=mycelial.horizon or 1,
            analysts=baseline.voters,
            learners=mycelial.voters,
            baseline_at=baseline.at,
            mycelial_at=mycelial.at,
            refused=self._refusal(mycelial.side, edge, baseline.pair) if same else "",
        )

    def _refusal(self, side: Side, edge: float, pair: Pair) -> str:
        """Why a collision is no intent; an empty string when it is one. A sell idea only closes."""
        if side is Side.SELL:
            return "" if pair in self.model.account.held else "nothing_to_close"
        if self._halted:
            return "halted"
        return "" if edge > self._rules.least_edge else "edge_below_cost"

    def state(self) -> dict[str, Any]:
        """Ideas that wait for their counterpart, and a halt."""
        return {
            "halted": self._halted,
            "baseline": [msgspec.to_builtins(idea) for idea in self._baseline.values()],
            "mycelial": [msgspec.to_builtins(idea) for idea in self._mycelial.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._halted = state["halted"]
        self._baseline = {idea.pair: idea for idea in _ideas(state["baseline"])}
        self._mycelial = {idea.pair: idea for idea in _ideas(state["mycelial"])}


def _ideas(raw: list[Any]) -> Iterator[Idea]:
    return (msgspec.convert(item, Idea) for item in raw)


def rules_of(settings: Settings, interval_ms: int, pairs: tuple[Pair, ...]) -> TraderRules:
    """The trader's rules in the units of a run: n = max(1, ceil(window / interval)) intervals."""
    window = intervals(settings.trading.collision_window_seconds, interval_ms) * interval_ms
    learners = settings.learners
    longest = max(horizon.intervals for horizon in learners.horizons)
    return TraderRules(
        window, settings.costs.round_trip, learners.min_learners, settings.consensus, pairs, longest_horizon=longest
    )


def populate(world: World) -> None:
    """The one trader."""
    Trader(world.model, rules_of(world.settings, world.model.interval_ms, world.pairs))
