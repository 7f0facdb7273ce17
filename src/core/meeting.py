"""The rules by which two ideas become an intent: pure, so that a record of their messages can be decided again."""

from __future__ import annotations

from operator import lt

import msgspec

from .consensus import rule_of_three
from .memory import Action
from .messages import AnyMessage, BaselineIdea, MycelialIdea
from .ports import Origin
from .types import Idea, Pair, Side


class TraderRules(msgspec.Struct, frozen=True):
    """`window_ms`: how far two ideas may lie apart; `least_edge`: the round-trip cost an edge must exceed.

    `pairs` and `longest_horizon`: what an idea can be about in this run.
    """

    window_ms: int
    least_edge: float
    min_learners: int
    required_votes: int
    pairs: tuple[Pair, ...]
    longest_horizon: int


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A message that the trader took an idea from, and what identifies it."""

    origin: Origin
    message: AnyMessage


class Meeting(msgspec.Struct, frozen=True, gc=False):
    """What led to a meeting of two ideas, or to the wish to leave a position, of one: the messages behind them.

    `held` and `halted` as the trader knew them then; `advice` is what memory said, empty where it was not asked.
    """

    at: int
    pair: Pair
    heard: tuple[Heard, ...]
    held: bool
    halted: str = ""
    advice: str = ""


def plausible(message: BaselineIdea | MycelialIdea, now: int, rules: TraderRules) -> bool:
    """Whether it is of a pair of this run, was said at `now` or less than a window before, its numbers in bounds."""
    if message.pair not in rules.pairs or not 0 <= now - message.at <= rules.window_ms:
        return False
    if isinstance(message, BaselineIdea):
        return not [vote for vote in message.votes if not 0.0 <= vote.confidence <= 1.0]
    return 0.0 <= message.score <= 1.0 and 1 <= message.horizon <= rules.longest_horizon


def idea_of(message: BaselineIdea | MycelialIdea, rules: TraderRules) -> Idea | None:
    """The idea that a plausible message carries: by the Rule of 3, or by the rule of the least number of learners."""
    if isinstance(message, BaselineIdea):
        if len(message.votes) < rules.required_votes:
            return None
        agreed = rule_of_three(message.votes, rules.required_votes, 0.0)
        if agreed is None:
            return None
        return Idea(message.pair, agreed.side, message.at, agreed.confidence, agreed.voters)
    learners = message.learners
    if not all(map(lt, learners, learners[1:])):  # they come sorted and once each
        learners = tuple(sorted(set(learners)))
    if len(learners) < rules.min_learners:
        return None
    return Idea(message.pair, message.side, message.at, message.score, learners, message.edge, message.horizon)


def meets(baseline: Idea | None, mycelial: Idea | None, rules: TraderRules) -> bool:
    """Whether both ideas are there and at most a window apart."""
    return baseline is not None and mycelial is not None and abs(baseline.at - mycelial.at) <= rules.window_ms


def refusal(side: Side, edge: float, held: bool, halted: str, rules: TraderRules, advice: str = "") -> str:
    """Why a collision is no intent, empty when it is one. A sell idea only closes; memory has the last word."""
    if side is Side.SELL:
        return "" if held else "nothing_to_close"
    if halted:
        return "halted"
    if not edge > rules.least_edge:
        return "edge_below_cost"
    return "memory_advises_against" if advice == Action.AVOID else ""
