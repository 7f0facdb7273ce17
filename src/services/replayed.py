"""Decides again from stored messages, and once more without each vote: which of them a decision hung on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..core.meeting import Heard, Meeting, TraderRules, idea_of, meets, plausible, refusal
from ..core.messages import BaselineIdea, MycelialIdea
from ..core.types import Idea, Side

COLLISION, CONFLICT, EXIT, NOTHING = "collision", "conflict", "exit", "nothing"


class Decided(msgspec.Struct, frozen=True):
    """What the rules make of stored messages; `refused` says why a collision is no intent."""

    outcome: str
    side: Side | None = None
    refused: str = ""
    baseline: Idea | None = None
    mycelial: Idea | None = None

    @property
    def acts(self) -> bool:
        """Whether an intent, or an exit, comes of it."""
        return self.outcome in (COLLISION, EXIT) and not self.refused


def decide(meetings: Sequence[Meeting], rules: TraderRules) -> Decided:
    """Apply the trader's rules to the messages of one slice and pair.

    One meeting of two ideas is a collision or a conflict. Single messages are wishes to leave: one that is left is
    enough. Whether a message was too old was judged when it was heard.
    """
    for meeting in meetings:
        baseline, mycelial = _ideas(meeting, rules)
        if len(meeting.heard) > 1:
            return _met(meeting, baseline, mycelial, rules)
        idea = baseline or mycelial
        if idea is not None and idea.side is Side.SELL and meeting.held:
            return Decided(EXIT, Side.SELL, "", baseline, mycelial)
    return Decided(NOTHING)


def _ideas(meeting: Meeting, rules: TraderRules) -> tuple[Idea | None, Idea | None]:
    """The newest idea of the baseline and of the swarm."""
    baseline = mycelial = None
    for heard in meeting.heard:
        message = heard.message
        if isinstance(message, BaselineIdea) and plausible(message, message.at, rules):
            baseline = idea_of(message, rules) or baseline
        elif isinstance(message, MycelialIdea) and plausible(message, message.at, rules):
            mycelial = idea_of(message, rules) or mycelial
    return baseline, mycelial


def _met(meeting: Meeting, baseline: Idea | None, mycelial: Idea | None, rules: TraderRules) -> Decided:
    if baseline is None or mycelial is None or not meets(baseline, mycelial, rules):
        return Decided(NOTHING, None, "", baseline, mycelial)
    if baseline.side is not mycelial.side:
        return Decided(CONFLICT, mycelial.side, "", baseline, mycelial)
    edge = mycelial.edge or 0.0
    refused = refusal(mycelial.side, edge, meeting.held, meeting.halted, rules, meeting.advice)
    return Decided(COLLISION, mycelial.side, refused, baseline, mycelial)


def voters(meetings: Sequence[Meeting]) -> list[str]:
    """Everybody whose vote or support is in the messages, in order, each once."""
    return list(dict.fromkeys(name for meeting in meetings for heard in meeting.heard for name in _names(heard)))


def decisive(meetings: Sequence[Meeting], rules: TraderRules) -> list[str]:
    """Those without whom nothing, or the opposite, would have been decided; empty where nothing was."""
    decided = decide(meetings, rules)
    if not decided.acts:
        return []
    return [name for name in voters(meetings) if not _same(decided, decide(list(_without(meetings, name)), rules))]


def _same(one: Decided, other: Decided) -> bool:
    return other.acts and (one.outcome, one.side) == (other.outcome, other.side)


def _names(heard: Heard) -> Iterator[str]:
    message = heard.message
    if isinstance(message, BaselineIdea):
        yield from (vote.voter for vote in message.votes)
    elif isinstance(message, MycelialIdea):
        yield from message.learners


def _without(meetings: Sequence[Meeting], name: str) -> Iterator[Meeting]:
    for meeting in meetings:
        heard = tuple(_silenced(one, name) for one in meeting.heard)
        yield msgspec.structs.replace(meeting, heard=heard)


def _silenced(heard: Heard, name: str) -> Heard:
    """The message as it would be had this voter said nothing."""
    message = heard.message
    if isinstance(message, BaselineIdea):
        votes = tuple(vote for vote in message.votes if vote.voter != name)
        return Heard(heard.origin, msgspec.structs.replace(message, votes=votes))
    if isinstance(message, MycelialIdea):
        learners = tuple(one for one in message.learners if one != name)
        return Heard(heard.origin, msgspec.structs.replace(message, learners=learners))
    return heard
