"""The board on which explorers' votes meet: it says when a team agrees on a pair, once a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..core.consensus import rule_of_three
from ..core.messages import ConsensusReached, Message, Proposal
from ..core.model import intervals, short
from ..core.types import Decision, Pair, Snapshot, Vote
from .world import World

Key = tuple[str, Pair]


class Heard(msgspec.Struct, frozen=True):
    """A vote and when it was cast (UTC ms)."""

    at: int
    vote: Vote


class ConsensusBoard:
    """Applies the Rule of 3 to the newest vote of each voter inside the window, team by team and pair by pair.

    Votes are judged after all of a slice have come in, ordered by voter: the order of arrival changes nothing. Of
    two votes of one voter and one instant the less confident counts. Each vote is used for one consensus at most.
    """

    phase = "opine"
    name = "consensus-board"

    def __init__(self, world: World, members: Mapping[str, Sequence[str]]) -> None:
        self._world, self._model, self._members = world, world.model, members
        self._rules = world.settings.consensus
        interval = world.model.interval_ms
        self._window_ms = intervals(self._rules.window_seconds, interval) * interval
        self._votes: dict[Key, dict[str, Heard]] = {}
        self._announced: dict[Key, int] = {}
        self._new: set[Key] = set()
        world.model.bus.subscribe("prospecting-proposals:*", self.on_proposal, self.name)
        world.model.add_actor(self)
        world.model.keep(self)

    def on_proposal(self, message: Message) -> None:
        """Put its votes on the board; a proposal that cannot be meant for this run and moment is refused."""
        if not isinstance(message, Proposal):
            return
        if not self._plausible(message):
            reason, source = "implausible_proposal", short(message.source)
            self._model.note(Decision(self._model.now_ms(), "refusal", reason=reason, source=source))
            return
        held = self._votes.setdefault((message.team, message.pair), {})
        for vote in message.votes:
            before = held.get(vote.voter)
            if before is None or _newer(message.at, vote, before):
                held[vote.voter] = Heard(message.at, vote)
        self._new.add((message.team, message.pair))

    def act(self, snapshot: Snapshot) -> None:
        """Announce what a team agrees on; votes that are too old are forgotten."""
        if not (self._new or self._votes or self._announced):
            return
        for key in sorted(self._new):
            self._judge(key, snapshot)
        self._new.clear()
        self._votes = {key: held for key, held in self._votes.items() if (self._fresh(held, snapshot.at))}
        self._announced = {key: at for key, at in self._announced.items() if snapshot.at - at <= self._window_ms}

    def forget(self, voter: str) -> None:
        """Take a voter's votes off the board: it left."""
        for held in self._votes.values():
            held.pop(voter, None)

    def _plausible(self, message: Proposal) -> bool:
        """Whether the team, its members and the pair are known, the votes in bounds, and it was said in the window."""
        known = message.pair in self._world.pairs and message.team in self._members
        said = 0 <= self._model.now_ms() - message.at <= self._window_ms
        if not known or not said or not message.votes:
            return False
        members = self._members[message.team]
        return all(vote.voter in members and 0.0 <= vote.confidence <= 1.0 for vote in message.votes)

    def _fresh(self, held: Mapping[str, Heard], at: int) -> list[Vote]:
        return [one.vote for _, one in sorted(held.items()) if at - one.at <= self._window_ms]

    def _judge(self, key: Key, snapshot: Snapshot) -> None:
        announced = self._announced.get(key)
        if announced is not None and snapshot.at - announced <= self._window_ms:
            return
        votes = self._fresh(self._votes.get(key, {}), snapshot.at)
        agreed = rule_of_three(votes, self._rules.required_votes, self._rules.min_confidence_ratio)
        if agreed is None:
            return
        self._announced[key] = snapshot.at
        del self._votes[key]
        self._publish(key, [vote for vote in votes if vote.voter in agreed.voters], agreed.confidence, snapshot.at)

    def _publish(self, key: Key, votes: list[Vote], confidence: float, at: int) -> None:
        team, pair = key
        self._world.figures.consensus[team] += 1
        detail: dict[str, Any] = {"confidence": confidence, "voters": [vote.voter for vote in votes]}
        self._model.note(Decision(at, "consensus", pair, source=f"explorers-{team}", detail=detail))
        message = ConsensusReached(
            source=votes[0].voter, at=at, known_at=at, team=team, pair=pair, confidence=confidence, votes=tuple(votes)
        )
        self._model.bus.publish("prospecting-consensus", message)

    def state(self) -> dict[str, Any]:
        """The votes inside the window and what was announced in it."""
        votes = [[*key, [[one.at, msgspec.to_builtins(one.vote)] for one in held.values()]]
                 for key, held in self._votes.items()]  # fmt: skip
        announced = [[*key, at] for key, at in self._announced.items()]
        return {"votes": votes, "announced": announced, "consensus": dict(self._world.figures.consensus)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._announced = {(team, Pair(pair)): at for team, pair, at in state["announced"]}
        self._votes = {}
        for team, pair, held in state["votes"]:
            cast = [Heard(at, msgspec.convert(vote, Vote)) for at, vote in held]
            self._votes[team, Pair(pair)] = {one.vote.voter: one for one in cast}
        self._world.figures.consensus.clear()
        self._world.figures.consensus.update(state["consensus"])


def _newer(at: int, vote: Vote, before: Heard) -> bool:
    return (at, -vote.confidence) > (before.at, -before.vote.confidence)
