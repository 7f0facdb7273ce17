"""The trader: trades only when the baseline and the swarm collide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from ..core.config import Settings
from ..core.lines import ENGINE
from ..core.meeting import Heard, Meeting, TraderRules, idea_of, meets, plausible, refusal
from ..core.memory import Recommendation
from ..core.messages import BaselineIdea, Control, Message, MycelialIdea, SynthesizedTrade
from ..core.model import MycelialAgent, MycelialModel, intervals, short
from ..core.types import CommandKind, Decision, Idea, Pair, Side, Snapshot, Stream
from .adviser import Adviser, adviser_of
from .halts import HALTING
from .world import World

NAME = "trader"

_Held = tuple[Idea, Heard]
"""An idea that waits for its counterpart, and the message that it was said in."""


class Trader(MycelialAgent):
    """Applies the Rule of 3 to the analysts' votes and the three-learner rule to the swarm's idea.

    Two ideas of a pair collide when they are on the same side and at most a window apart; each is used once.
    Opposite ones are a conflict. A collision whose edge does not exceed the cost, or against which memory advises, is
    refused and counted. So is an idea that cannot be meant for this run and this moment, whoever said it.
    """

    kind: ClassVar[str] = "trader"
    phase: ClassVar[str] = "trade"

    def __init__(self, model: MycelialModel, rules: TraderRules, adviser: Adviser | None = None) -> None:
        super().__init__(model, NAME)
        self._rules = rules
        self._adviser = adviser
        self._halted = ""
        self._baseline: dict[Pair, _Held] = {}
        self._mycelial: dict[Pair, _Held] = {}
        self._new: set[Pair] = set()
        self.hear("baseline-trade-ideas:*", self._on_baseline)
        self.hear("mycelial-trade-ideas", self._on_mycelial)
        self.hear("system-control", self._on_control)

    def act(self, snapshot: Snapshot) -> None:
        """Match what was heard; ideas that are too old are forgotten."""
        if self._new:
            for pair in sorted(self._new):
                self._match(pair, snapshot)
            self._new.clear()
        oldest = snapshot.at - self._rules.window_ms
        for held in (self._baseline, self._mycelial):
            for pair in [pair for pair, (idea, _) in held.items() if idea.at < oldest]:
                del held[pair]

    def _on_baseline(self, message: Message) -> None:
        if isinstance(message, BaselineIdea):
            self._hear_idea(Stream.BASELINE, self._baseline, message)

    def _on_mycelial(self, message: Message) -> None:
        if isinstance(message, MycelialIdea):
            self._hear_idea(Stream.MYCELIAL, self._mycelial, message)

    def _hear_idea(self, stream: Stream, held: dict[Pair, _Held], message: BaselineIdea | MycelialIdea) -> None:
        model, rules = self.model, self._rules
        if not plausible(message, model.now_ms(), rules):
            self._drop(message)
            return
        idea = idea_of(message, rules)
        if idea is None:
            return
        pair, said = idea.pair, Heard(model.bus.origin(), message)
        held[pair] = (idea, said)
        self._new.add(pair)
        model.outbox.ideas.append((stream, idea))
        if idea.side is Side.SELL and pair in model.account.held:
            self._trace(pair, (said,))

    def _drop(self, message: Message) -> None:
        at, source = self.model.now_ms(), short(message.source)
        self.model.note(Decision(at, "refusal", reason="implausible_idea", source=source))

    def _trace(self, pair: Pair, heard: tuple[Heard, ...], advice: str = "") -> None:
        """Leave the messages behind a meeting, or behind the wish to leave a position, for the record."""
        held = pair in self.model.account.held
        self.model.outbox.meetings.append(Meeting(self.model.now_ms(), pair, heard, held, self._halted, advice))

    def _on_control(self, message: Message) -> None:
        if isinstance(message, Control):
            if message.command in HALTING:
                self._halted = message.reason or "halted"
            elif message.command is CommandKind.RESUME and message.source == ENGINE:
                self._halted = ""

    def _match(self, pair: Pair, snapshot: Snapshot) -> None:
        held, other = self._baseline.get(pair), self._mycelial.get(pair)
        if held is None or other is None:
            return
        (baseline, said), (mycelial, too) = held, other
        if not meets(baseline, mycelial, self._rules):
            return
        advice = self._advice(baseline, mycelial, snapshot)
        if baseline.side is mycelial.side and (mycelial.side is Side.BUY or pair in self.model.account.held):
            self._trace(pair, (said, too), "" if advice is None else advice.action.value)
        del self._baseline[pair], self._mycelial[pair]
        self.say("synthesized-trade-log", self._meeting(baseline, mycelial, snapshot, advice))

    def _advice(self, baseline: Idea, mycelial: Idea, snapshot: Snapshot) -> Recommendation | None:
        """What memory says of a collision that would buy; of anything else it is not asked."""
        buys = baseline.side is Side.BUY and mycelial.side is Side.BUY
        return self._adviser.on(baseline.pair, snapshot) if buys and self._adviser is not None else None

    def _meeting(
        self, baseline: Idea, mycelial: Idea, snapshot: Snapshot, advice: Recommendation | None
    ) -> SynthesizedTrade:
        same = baseline.side is mycelial.side
        edge = mycelial.edge or 0.0
        said = "" if advice is None else advice.action.value
        return SynthesizedTrade(
            source=self.name,
            at=snapshot.at,
            known_at=snapshot.at,
            pair=baseline.pair,
            outcome="collision" if same else "conflict",
            side=mycelial.side,
            price=snapshot.close.item(snapshot.pairs.index(baseline.pair)),
            baseline_confidence=baseline.score,
            mycelial_score=mycelial.score,
            edge=edge,
            horizon=mycelial.horizon or 1,
            analysts=baseline.voters,
            learners=mycelial.voters,
            baseline_at=baseline.at,
            mycelial_at=mycelial.at,
            refused=self._refusal(mycelial.side, edge, baseline.pair, said) if same else "",
            advice=said,
            advice_reason="" if advice is None else advice.reason,
            memories=() if advice is None else advice.similar,
        )

    def _refusal(self, side: Side, edge: float, pair: Pair, advice: str) -> str:
        return refusal(side, edge, pair in self.model.account.held, self._halted, self._rules, advice)

    def state(self) -> dict[str, Any]:
        """Ideas that wait for their counterpart, and a halt."""
        heard = [(Stream.BASELINE, pair, said) for pair, (_, said) in self._baseline.items()]
        heard += [(Stream.MYCELIAL, pair, said) for pair, (_, said) in self._mycelial.items()]
        return {
            "halted": self._halted,
            "baseline": [msgspec.to_builtins(idea) for idea, _ in self._baseline.values()],
            "mycelial": [msgspec.to_builtins(idea) for idea, _ in self._mycelial.values()],
            "heard": [[stream, pair, msgspec.to_builtins(said)] for stream, pair, said in heard],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._halted = state["halted"]
        heard = {(Stream(stream), pair): msgspec.convert(said, Heard) for stream, pair, said in state["heard"]}
        self._baseline = {idea.pair: (idea, heard[Stream.BASELINE, idea.pair]) for idea in _ideas(state["baseline"])}
        self._mycelial = {idea.pair: (idea, heard[Stream.MYCELIAL, idea.pair]) for idea in _ideas(state["mycelial"])}


def _ideas(raw: list[Any]) -> Iterator[Idea]:
    return (msgspec.convert(item, Idea) for item in raw)


def rules_of(settings: Settings, interval_ms: int, pairs: tuple[Pair, ...]) -> TraderRules:
    """The trader's rules in the units of a run: n = max(1, ceil(window / interval)) intervals."""
    window = intervals(settings.trading.collision_window_seconds, interval_ms) * interval_ms
    learners = settings.learners
    longest = max(horizon.intervals for horizon in learners.horizons)
    return TraderRules(
        window,
        settings.costs.round_trip,
        learners.min_learners,
        settings.consensus.required_votes,
        pairs,
        longest_horizon=longest,
    )


def populate(world: World) -> None:
    """The one trader."""
    rules = rules_of(world.settings, world.model.interval_ms, world.pairs)
    Trader(world.model, rules, adviser_of(world))
