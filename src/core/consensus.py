"""The Rule of 3: enough distinct voters on one side, sure enough; a pure function."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .types import Side, Vote

_SIDES = tuple(Side)


class Agreement(msgspec.Struct, frozen=True, gc=False):
    """What the voters agreed on: side, mean confidence of those who said so, their names in order."""

    side: Side
    confidence: float
    voters: tuple[str, ...]


def rule_of_three(votes: Iterable[Vote], required: int, min_confidence: float) -> Agreement | None:
    """The side that at least `required` distinct voters share with a mean confidence above `min_confidence`.

    A voter counts once, with its newest (last) vote. Votes are ordered by voter before they are counted, so that
    the order of arrival of different voters changes nothing. Two sides that both qualify cancel out: None.

    >>> votes = [Vote("a", Side.BUY, 0.9), Vote("b", Side.BUY, 0.7), Vote("c", Side.SELL, 1.0)]
    >>> agreed = rule_of_three(votes, 2, 0.7)
    >>> agreed.side, agreed.confidence, agreed.voters
    (<Side.BUY: 'buy'>, 0.8, ('a', 'b'))
    """
    newest = {vote.voter: vote for vote in votes}
    if len(newest) < required:
        return None
    voters = sorted(newest)
    sides = [newest[voter].side for voter in voters]
    agreed = None
    for side in _SIDES:
        count = sides.count(side)
        if count == 0 or count < required:
            continue
        same = voters if count == len(voters) else [voter for voter in voters if newest[voter].side is side]
        confidence = sum([newest[voter].confidence for voter in same]) / count
        if confidence > min_confidence:
            if agreed is not None:
                return None
            agreed = Agreement(side, confidence, tuple(same))
    return agreed
