"""Decided again from stored messages: which votes a decision hung on, and which it did not."""

from __future__ import annotations

from typing import Any

import pytest

from src.core.meeting import Heard, Meeting
from src.core.messages import BaselineIdea, MycelialIdea
from src.core.ports import Origin
from src.core.types import Side, Vote
from src.services.replayed import COLLISION, CONFLICT, EXIT, NOTHING, decide, decisive
from tests.golden import tape
from tests.stories import RULES

AT = tape.closed_at(45)
TRADER = RULES.trader


def votes(count: int, side: Side = Side.BUY) -> tuple[Vote, ...]:
    return tuple(Vote(f"analyst-{number}", side, 0.5) for number in range(1, count + 1))


def baseline(*cast: Vote, at: int = AT) -> Heard:
    message = BaselineIdea(source="a", at=at, known_at=at, pair=tape.PAIR, price=1.0, votes=cast)
    return Heard(Origin("baseline-trade-ideas:BTC/USDT", "local", 1, 7), message)


def swarm(learners: int, **changes: Any) -> Heard:
    fields: dict[str, Any] = {
        "source": "l", "at": AT, "known_at": AT, "pair": tape.PAIR, "price": 1.0, "side": Side.BUY, "score": 0.9,
        "edge": 0.02, "horizon": 6, "learners": tuple(f"learner-{number}" for number in range(1, learners + 1)),
    }  # fmt: skip
    return Heard(Origin("mycelial-trade-ideas", "local", 1, 8), MycelialIdea(**(fields | changes)))


def met(*heard: Heard, held: bool = False, halted: str = "", advice: str = "") -> list[Meeting]:
    return [Meeting(AT, tape.PAIR, heard, held, halted, advice)]


def test_each_of_exactly_as_many_as_are_needed_is_decisive() -> None:
    meeting = met(baseline(*votes(2)), swarm(3))
    assert decide(meeting, TRADER).acts
    assert decisive(meeting, TRADER) == ["analyst-1", "analyst-2", "learner-1", "learner-2", "learner-3"]


def test_none_of_more_than_are_needed_is_decisive() -> None:
    assert decisive(met(baseline(*votes(3)), swarm(5)), TRADER) == []


def test_an_opposite_vote_is_not_decisive() -> None:
    against = Vote("analyst-3", Side.SELL, 0.9)
    assert decisive(met(baseline(*votes(2), against), swarm(5)), TRADER) == ["analyst-1", "analyst-2"]


def test_a_voter_that_speaks_twice_counts_once_and_is_left_out_whole() -> None:
    twice = (*votes(2), Vote("analyst-1", Side.BUY, 0.9))
    assert decisive(met(baseline(*twice), swarm(5)), TRADER) == ["analyst-1", "analyst-2"]


@pytest.mark.parametrize(
    ("meeting", "outcome", "refused"),
    [
        (met(baseline(*votes(2)), swarm(3)), COLLISION, ""),
        (met(baseline(*votes(1)), swarm(3)), NOTHING, ""),
        (met(baseline(*votes(2)), swarm(2)), NOTHING, ""),
        (met(baseline(*votes(2)), swarm(3, edge=0.0072)), COLLISION, "edge_below_cost"),
        (met(baseline(*votes(2)), swarm(3), halted="x"), COLLISION, "halted"),
        (met(baseline(*votes(2)), swarm(3), advice="AVOID"), COLLISION, "memory_advises_against"),
        (met(baseline(*votes(2)), swarm(3, side=Side.SELL)), CONFLICT, ""),
        (met(baseline(*votes(2, Side.SELL)), swarm(3, side=Side.SELL)), COLLISION, "nothing_to_close"),
        (met(baseline(*votes(2, Side.SELL)), swarm(3, side=Side.SELL), held=True), COLLISION, ""),
        (met(baseline(*votes(2), at=AT - 2 * tape.HOUR), swarm(3)), NOTHING, ""),
        (met(swarm(3, side=Side.SELL), held=True), EXIT, ""),
        (met(swarm(3, side=Side.SELL)), NOTHING, ""),
    ],
)
def test_what_messages_come_to(meeting: list[Meeting], outcome: str, refused: str) -> None:
    found = decide(meeting, TRADER)
    assert (found.outcome, found.refused) == (outcome, refused)
    if refused:
        assert decisive(meeting, TRADER) == []


def test_of_two_wishes_to_leave_one_is_enough() -> None:
    selling = [*met(baseline(*votes(2, Side.SELL)), held=True), *met(swarm(3, side=Side.SELL), held=True)]
    assert decide(selling, TRADER).outcome == EXIT
    assert decisive(selling, TRADER) == []
    assert decisive(selling[:1], TRADER) == ["analyst-1", "analyst-2"]
