"""A shuffled source says the same at other times: what stays, what moves, and that nothing stands where it was."""

from __future__ import annotations

from collections import Counter

from src.backtesting.evidence.placebo import MARK, WEEK_MS, shuffled
from src.core.timeframes import HOUR_MS
from src.core.types import Observation
from tests.moats import commit, event, filing

START = 1_609_459_200_000


def said(weeks: int = 6) -> list[Observation]:
    """A commit every five hours, a filing a day."""
    hours = range(0, weeks * 7 * 24, 5)
    commits = [commit("BTC", START + hour * HOUR_MS, hour) for hour in hours]
    return commits + [filing(START + day * 24 * HOUR_MS, day) for day in range(7 * weeks)]


def test_whole_weeks_are_moved_and_none_stays() -> None:
    before = said()
    after = shuffled(before, ("code",), 7)
    for old, new in zip(before, after, strict=True):
        if old.moat != "code":
            assert new is old
            continue
        offset = new.known_at - old.known_at
        assert offset == new.at - old.at
        if (old.known_at - START) // WEEK_MS < 5:
            assert offset != 0
            assert offset % WEEK_MS == 0
            assert new.id == f"{MARK}{old.id}"
        assert (new.values, new.subject, new.source, new.simulated) == (
            old.values, old.subject, old.source, old.simulated,
        )  # fmt: skip
    first, last = START, START + 6 * WEEK_MS
    assert all(first <= new.known_at < last for new in after)
    assert len({new.id for new in after}) == len(after)


def test_hours_of_the_week_keep_their_numbers() -> None:
    before, after = said(), shuffled(said(), ("code",), 7)

    def hours(seen: tuple[Observation, ...] | list[Observation]) -> Counter[int]:
        return Counter(one.known_at % WEEK_MS for one in seen)

    assert hours(before) == hours(after)


def test_a_seed_moves_always_alike_and_another_otherwise() -> None:
    assert shuffled(said(), ("code",), 7) == shuffled(said(), ("code",), 7)
    assert shuffled(said(), ("code",), 7) != shuffled(said(), ("code",), 8)


def test_no_seed_leaves_a_week_where_it_was() -> None:
    for seed in range(40):
        moved = shuffled(said(), ("code",), seed)[: len(said())]
        pairs = zip(said(), moved, strict=True)
        stayed = [old for old, new in pairs if old.moat == "code" and old.known_at == new.known_at]
        assert all((old.known_at - START) // WEEK_MS >= 5 for old in stayed)


def test_moats_of_one_shuffle_stay_together() -> None:
    moved = shuffled(said(), ("code", "corporate"), 7)
    offsets = {}
    for old, new in zip(said(), moved, strict=True):
        offsets.setdefault((old.known_at - START) // WEEK_MS, set()).add(new.known_at - old.known_at)
    assert all(len(found) == 1 for found in offsets.values())


def test_a_week_alone_cannot_be_moved() -> None:
    assert shuffled(said(1), ("code",), 7) == tuple(said(1))
    assert shuffled([], ("code",), 7) == ()


def test_dates_of_a_calendar_known_from_the_start_take_place_in_other_weeks() -> None:
    """They all became known at once: moved by when they were known, none would move, and the placebo were none."""
    weeks = [event(START + week * WEEK_MS + 13 * HOUR_MS) for week in range(12)]
    before = [*weeks, event(START + 200 * WEEK_MS)]
    after = shuffled(before, ("government",), 7, START + 12 * WEEK_MS)
    assert after[-1] is before[-1]
    moved = [new.at - old.at for old, new in zip(weeks, after[:11], strict=False)]
    assert all(offset and offset % WEEK_MS == 0 for offset in moved)
    assert {new.known_at for new in after} == {0}
    assert all(START <= new.at < START + 12 * WEEK_MS for new in after[:-1])


def test_an_announcement_never_comes_after_its_event() -> None:
    before = [event(START + (week + 3) * WEEK_MS, START + week * WEEK_MS) for week in range(9)]
    after = shuffled(before, ("government",), 7)
    assert all(new.known_at == min(old.known_at, new.at) for old, new in zip(before, after, strict=True))
    assert all(old.at != new.at for old, new in zip(before[:8], after[:8], strict=True))


def test_what_lies_after_the_data_draws_nothing_out_of_them() -> None:
    before = [*said(), event(START + 200 * WEEK_MS)]
    alone = shuffled(said(), ("code", "government"), 7, START + 6 * WEEK_MS)
    assert shuffled(before, ("code", "government"), 7, START + 6 * WEEK_MS)[:-1] == alone
