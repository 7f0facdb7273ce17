"""The builder: gives discovered pairs their team of agents, and takes it back when a pair hibernates."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..core.consensus import rule_of_three
from ..core.errors import AgentFault
from ..core.messages import BuildRequest, ConsensusReached, Deployment, Hibernation, Message
from ..core.model import MycelialAgent, intervals, short
from ..core.timeframes import DAY_MS
from ..core.types import Decision, Pair, Scalar, Snapshot
from .halts import HaltHeard
from .market_explorer import TEAM, name_of
from .tool_requests import ToolRequests
from .world import World

NAME = "builder"


class Builder(MycelialAgent):
    """Trusts no announcement: it counts the votes itself, then looks at capacity and cool-down, then deploys.

    It acts at the end of a slice, so that a team is born and leaves between two slices. The standard swarm and the
    first teams come at the start, where the bootstrap pairs are in the run; else after `bootstrap_days`, for the pairs
    with the largest turnover until then, since nobody can know it before.
    """

    kind: ClassVar[str] = "builder"
    phase: ClassVar[str] = "guard"

    def __init__(self, world: World) -> None:
        super().__init__(world.model, NAME)
        self._world, self._settings, self._rules = world, world.settings.builder, world.settings.consensus
        interval = world.model.interval_ms
        self._window_ms = intervals(self._rules.window_seconds, interval) * interval
        self._cooldown_ms = intervals(self._settings.cooldown_seconds, interval) * interval
        dedupe_ms = intervals(self._settings.request_dedupe_seconds, interval) * interval
        self._tools = ToolRequests(world, NAME, dedupe_ms)
        self._halt = HaltHeard()
        self._put_away = False
        self._consensus: list[ConsensusReached] = []
        self._requests: list[BuildRequest] = []
        self._leaving: list[Pair] = []
        self._unsaid: list[Pair] = []
        self._changed_at: dict[Pair, int] = {}
        self._noted: dict[Pair, str] = {}
        self._turnover = np.zeros(len(world.pairs))
        self._began: int | None = None
        self.hear("prospecting-consensus", self._on_consensus)
        self.hear("system-build-request", self._on_request)
        self.hear("system-hibernation", self._on_hibernation)
        self.hear("system-control", self._halt.on_control)
        first = bootstrap_pairs(world)
        if first:
            self._bootstrap(first)

    def act(self, snapshot: Snapshot) -> None:
        """Retire first, so that slots are free; then deploy what was agreed on; then answer requests.

        While the run is halted nothing is deployed. In an emergency shutdown every team's knowledge is put away.
        """
        if not self._world.nursery.founded:
            self._count_turnover(snapshot)
        if not (self._unsaid or self._leaving or self._consensus or self._requests or self._ends()):
            return
        unsaid, self._unsaid = self._unsaid, []
        for pair in unsaid:
            self._announce(pair, "bootstrap", "", snapshot.at)
        self._retire(snapshot.at)
        self._prepare_for_the_end(snapshot.at)
        agreed, self._consensus = self._consensus, []
        for message in sorted(agreed, key=lambda one: (one.at, one.pair, one.team)):
            self._answer(message, snapshot.at)
        requests, self._requests = self._requests, []
        for request in sorted(requests, key=lambda one: (one.tool, one.source)):
            self._tools.answer(request, snapshot)

    # What it hears

    def _on_consensus(self, message: Message) -> None:
        if isinstance(message, ConsensusReached):
            self._consensus.append(message)

    def _on_request(self, message: Message) -> None:
        if isinstance(message, BuildRequest):
            self._requests.append(message)

    def _on_hibernation(self, message: Message) -> None:
        if isinstance(message, Hibernation) and message.pair in self._world.active:
            self._leaving.append(message.pair)

    # Bootstrap

    def _bootstrap(self, pairs: tuple[Pair, ...]) -> None:
        self._world.nursery.found(pairs)
        for pair in pairs:
            self._world.figures.attempted += 1
            self._world.nursery.deploy(pair)
            self._world.figures.deployed += 1
            self._unsaid.append(pair)

    def _count_turnover(self, snapshot: Snapshot) -> None:
        bars = snapshot.bars
        if bars is None:
            return
        self._turnover += np.where(bars.present, bars.close * bars.volume, 0.0)
        self._began = snapshot.at if self._began is None else self._began
        if snapshot.at - self._began >= self._settings.bootstrap_days * DAY_MS:
            order = sorted(range(len(self._turnover)), key=lambda index: (-self._turnover[index], index))
            largest = [index for index in order if self._turnover[index] > 0][: self._settings.bootstrap_largest]
            self._bootstrap(tuple(self._world.pairs[index] for index in sorted(largest)))

    # Deployment

    def _answer(self, message: ConsensusReached, at: int) -> None:
        figures, pair = self._world.figures, message.pair
        figures.attempted += 1
        reason = self._objection(message, at)
        if not reason:
            why = "revival" if self._world.nursery.was_retired(pair) else "consensus"
            self._changed_at[pair] = at
            try:
                self._world.nursery.deploy(pair)
            except AgentFault as error:
                figures.refused["deployment_failed"] += 1
                self._note_refusal(message, "deployment_failed", at, short(str(error)))
                return
            figures.deployed += 1
            self._announce(pair, why, message.team, at)
            return
        figures.refused[reason] += 1
        self._note_refusal(message, reason, at)

    def _objection(self, message: ConsensusReached, at: int) -> str:
        """The first reason against a deployment; empty when there is none."""
        pair, active = message.pair, self._world.active
        if not self._believable(message, at):
            return "implausible_consensus"
        if pair in active:
            return "already_active"
        if self._halt.reason:
            return "halted"
        if at - self._changed_at.get(pair, at - self._cooldown_ms) < self._cooldown_ms:
            return "cool_down"
        return "capacity" if len(active) >= self._settings.max_active else ""

    def _believable(self, message: ConsensusReached, at: int) -> bool:
        """Whether it is about this run and this moment, and its votes are those of the team's explorers and agree."""
        teams = {team.name for team in self._world.settings.prospecting.teams}
        if message.team not in teams or message.pair not in self._world.pairs:
            return False
        if not 0 <= at - message.at <= self._window_ms:
            return False
        members = [name_of(message.team, one) for one in range(1, TEAM + 1)]
        if not all(vote.voter in members and 0.0 <= vote.confidence <= 1.0 for vote in message.votes):
            return False
        return rule_of_three(message.votes, self._rules.required_votes, self._rules.min_confidence_ratio) is not None

    def _announce(self, pair: Pair, why: str, team: str, at: int) -> None:
        self._changed_at[pair] = at
        self._noted.pop(pair, None)
        agents = self._world.active[pair]
        detail: dict[str, Scalar | list[str]] = {"agents": len(agents), "active": len(self._world.active)}
        if team:
            detail["team"] = team
        self.model.note(Decision(at, "deployment", pair, reason=why, source=self.name, detail=detail))
        message = Deployment(source=self.name, at=at, known_at=at, pair=pair, why=why, agents=agents, team=team)
        self.say("system-deployment", message)

    def _note_refusal(self, message: ConsensusReached, reason: str, at: int, detail: str = "") -> None:
        """A line for the record, when the reason is another than the last one of this pair."""
        pair = Pair(short(message.pair))
        if self._noted.get(pair) == reason or (reason == "already_active" and pair in self._changed_at):
            return
        if pair in self._world.pairs:
            self._noted[pair] = reason
        told: dict[str, Scalar | list[str]] = {"outcome": "refused", "team": short(message.team)}
        if detail:
            told["error"] = detail
        self.model.note(Decision(at, "deployment", pair, reason=reason, source=self.name, detail=told))

    # Retirement and requests

    def _retire(self, at: int) -> None:
        """Teams that cannot leave now are asked again at the next slice; until then they are whole."""
        leaving, self._leaving = self._leaving, []
        for pair in leaving:
            if pair not in self._world.active:
                continue
            try:
                self._world.nursery.retire(pair)
            except AgentFault as error:
                self._leaving.append(pair)
                self._note_failure(pair, "retirement_failed", at, error)
                continue
            self._world.figures.retired += 1
            self._changed_at[pair] = at
            self._noted.pop(pair, None)
            self.model.note(Decision(at, "deployment", pair, reason="retired", source=self.name))

    def _ends(self) -> bool:
        """Whether an emergency shutdown begins, goes on or was lifted."""
        return self._halt.emergency or self._put_away

    def _prepare_for_the_end(self, at: int) -> None:
        """In an emergency shutdown what every team knows is put away once; nobody leaves."""
        if self._halt.emergency and not self._put_away:
            for pair in self._world.active:
                try:
                    self._world.nursery.put_away(pair)
                except AgentFault as error:
                    self._note_failure(pair, "archive_failed", at, error)
        self._put_away = self._halt.emergency

    def _note_failure(self, pair: Pair, reason: str, at: int, error: AgentFault) -> None:
        """A line for the record, once in a row for a pair and reason."""
        if self._noted.get(pair) != reason:
            self._noted[pair] = reason
            told: dict[str, Scalar | list[str]] = {"outcome": "refused", "error": short(str(error))}
            self.model.note(Decision(at, "deployment", pair, reason=reason, source=self.name, detail=told))

    # Restart

    def state(self) -> dict[str, Any]:
        """When pairs changed, what was asked, the turnover so far, and the statistics."""
        figures = self._world.figures
        return {
            "changed_at": dict(self._changed_at),
            "asked_at": dict(self._tools.asked_at),
            "noted": dict(self._noted),
            "leaving": list(self._leaving),
            "halt": [self._halt.reason, self._halt.emergency, self._put_away],
            "unsaid": list(self._unsaid),
            "turnover": self._turnover.tolist(),
            "began": self._began,
            "figures": [figures.attempted, figures.deployed, figures.retired, dict(figures.refused)],
            "requests": dict(figures.requests),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._changed_at = {Pair(pair): at for pair, at in state["changed_at"].items()}
        self._tools.asked_at, self._noted = dict(state["asked_at"]), dict(state["noted"])
        self._halt.reason, self._halt.emergency, self._put_away = state["halt"]
        self._leaving, self._unsaid = list(state["leaving"]), list(state["unsaid"])
        self._turnover[:], self._began = state["turnover"], state["began"]
        figures = self._world.figures
        figures.attempted, figures.deployed, figures.retired, refused = state["figures"]
        for counter, kept in ((figures.refused, refused), (figures.requests, state.get("requests", {}))):
            counter.clear()
            counter.update(kept)


def bootstrap_pairs(world: World) -> tuple[Pair, ...]:
    """The pairs that have a team from the start: those of the settings, or the bases in the first quote present."""
    settings, pairs = world.settings.builder, world.pairs
    if settings.bootstrap_pairs:
        return tuple(pair for pair in pairs if pair in settings.bootstrap_pairs)
    for quote in settings.bootstrap_quotes:
        found = tuple(pair for pair in pairs if pair in [f"{base}/{quote}" for base in settings.bootstrap_bases])
        if found:
            return found
    return ()


def populate(world: World) -> None:
    """The one builder, and with it the first teams."""
    Builder(world)
