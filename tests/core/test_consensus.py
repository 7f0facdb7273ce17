"""The Rule of 3: distinct voters, their newest votes, no order, strict thresholds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.consensus import Agreement, rule_of_three
from src.core.types import Side, Vote

BUY, SELL = Side.BUY, Side.SELL
VOTES = st.lists(
    st.builds(Vote, st.sampled_from("abcdef"), st.sampled_from(Side), st.floats(0.0, 1.0)),
    max_size=6,
    unique_by=lambda vote: vote.voter,
)


def test_two_of_three_agree() -> None:
    votes = [Vote("b", BUY, 0.9), Vote("c", SELL, 1.0), Vote("a", BUY, 0.7)]
    assert rule_of_three(votes, 2, 0.7) == Agreement(BUY, 0.8, ("a", "b"))


def test_m_f07_one_voter_counts_once_however_often_it_speaks() -> None:
    assert rule_of_three([Vote("a", BUY, 0.9)] * 3, 2, 0.0) is None
    assert rule_of_three([Vote("a", BUY, 0.9), Vote("b", BUY, 0.9), Vote("a", BUY, 0.9)], 3, 0.0) is None


def test_the_newest_vote_of_a_voter_counts() -> None:
    changed = [Vote("a", BUY, 0.9), Vote("b", BUY, 0.9), Vote("a", SELL, 0.9)]
    assert rule_of_three(changed, 2, 0.7) is None
    assert rule_of_three([*changed, Vote("a", BUY, 0.8)], 2, 0.7) == Agreement(BUY, (0.8 + 0.9) / 2, ("a", "b"))


@pytest.mark.parametrize(("confidence", "agreed"), [(0.75, False), (0.7500001, True), (0.7499999, False)])
def test_the_threshold_is_strict(confidence: float, agreed: bool) -> None:
    votes = [Vote("a", SELL, confidence), Vote("b", SELL, 0.75)]
    assert (rule_of_three(votes, 2, 0.75) is not None) is agreed


def test_two_sides_that_both_qualify_cancel() -> None:
    tie = [Vote("a", BUY, 0.9), Vote("b", BUY, 0.9), Vote("c", SELL, 0.8), Vote("d", SELL, 0.8)]
    assert rule_of_three(tie, 2, 0.7) is None
    weaker = [*tie[:2], Vote("c", SELL, 0.5), Vote("d", SELL, 0.5)]
    assert rule_of_three(weaker, 2, 0.7) == Agreement(BUY, 0.9, ("a", "b"))


def test_one_toxic_voter_never_carries_two_unsure_ones_over_alone() -> None:
    assert rule_of_three([Vote("toxic", BUY, 1.0)], 2, 0.7) is None
    assert rule_of_three([Vote("toxic", BUY, 1.0), Vote("b", BUY, 0.4)], 2, 0.7) is None


def test_nobody_agrees_on_nothing() -> None:
    assert rule_of_three([], 2, 0.0) is None


@settings(max_examples=200, deadline=None)
@given(votes=VOTES, order=st.randoms(use_true_random=False), required=st.integers(1, 4), least=st.floats(0.0, 1.0))
def test_order_of_arrival_changes_nothing(votes: list[Vote], order: object, required: int, least: float) -> None:
    shuffled = list(votes)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rule_of_three(shuffled, required, least) == rule_of_three(votes, required, least)


@settings(max_examples=200, deadline=None)
@given(votes=VOTES, required=st.integers(1, 4), least=st.floats(0.0, 1.0))
def test_what_is_agreed_has_voters_enough_that_said_so(votes: list[Vote], required: int, least: float) -> None:
    agreed = rule_of_three(votes, required, least)
    if agreed is None:
        return
    same = sorted(vote.voter for vote in votes if vote.side is agreed.side)
    assert agreed.voters == tuple(same)
    assert len(same) >= required
    assert agreed.confidence > least
