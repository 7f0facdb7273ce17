"""The first difference of two records, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pytest

from src.backtesting.differences import Record, Told, compare
from src.core import inputs
from src.core.history import HistoryFeed
from src.core.inputs import DIGITS, Seen, history_rows, slice_row
from src.core.types import Observation
from tests.golden import tape

PAIRS = ("A/USD", "B/USD")
AT = 1_609_459_200_000
IDEA = b'{"at":"x","kind":"idea","pair":"A/USD","score":0.5,"source":"mycelial","voters":["one","two"]}'
OTHER = IDEA.replace(b'"two"', b'"three"')
LETTER = b'{"at":"x","kind":"dead_letter","reason":"nonsense","source":"elsewhere"}'
BARS = "0000000100000002"


def record(
    lines: Mapping[int, Sequence[bytes]] | None = None, said: Mapping[int, Sequence[str]] | None = None
) -> Record:
    return Record(PAIRS, lines or {}, {AT: BARS, AT + 1: BARS}, said or {})


def told(at: int, *lines: bytes, bars: str = BARS, said: Sequence[tuple[str, str]] = ()) -> Told:
    return Told(at, [msgspec.Raw(line) for line in lines], bars, list(said))


def test_equal_records_are_equal_whatever_came_from_outside() -> None:
    found = compare(record({AT: [LETTER, IDEA]}), [told(AT, IDEA), told(AT + 1)])
    assert (found.slices, found.decisions, found.difference, found.input) == (2, 1, None, None)


def test_the_voters_that_differ_are_named_and_the_input_is_not_blamed() -> None:
    found = compare(record({AT: [IDEA]}), [told(AT, OTHER), told(AT + 1)])
    assert found.slices == 1
    assert found.difference is not None
    assert (found.difference.agent, found.difference.kind) == ("mycelial (three, two)", "idea")
    assert (found.difference.pair, found.difference.says) == ("A/USD", "same input, other decision")
    assert found.difference.at == "2021-01-01T00:00:00.000Z"
    assert found.difference.recorded is not None
    assert found.difference.recorded["voters"] == ["one", "two"]


@pytest.mark.parametrize(
    ("bars", "who", "says"),
    [
        ("0000000100000003", "B/USD", "the bar of B/USD known at 2021-01-01T00:00:00.000Z was another"),
        ("0000000000000002", "A/USD", "the bar of A/USD known at 2021-01-01T00:00:00.000Z is missing"),
        ("", "feed", "there are no bars"),
        ("00000001", "feed", "other pairs"),
    ],
)
def test_a_changed_bar_is_named_and_what_followed_from_it(bars: str, who: str, says: str) -> None:
    found = compare(record({AT + 1: [IDEA]}), [told(AT, bars=bars), told(AT + 1)])
    assert found.input is not None
    assert (found.input.kind, found.input.who, found.input.at) == ("bar", who, "2021-01-01T00:00:00.000Z")
    assert says in found.input.says
    assert found.difference is not None
    assert found.difference.input == found.input
    assert found.difference.says == f"other input: {found.input.says}"
    assert found.difference.replayed is None


def test_another_input_without_a_consequence_is_told_as_well() -> None:
    found = compare(record(), [told(AT), told(AT + 1, bars="0000000100000003")])
    assert found.difference is None
    assert found.input is not None
    assert found.input.who == "B/USD"


@pytest.mark.parametrize(
    ("before", "now", "word"),
    [("aaaaaaaa", "bbbbbbbb", "were others"), ("aaaaaaaa", "", "are missing"), ("", "bbbbbbbb", "were not there")],
)
def test_other_quotes_are_an_other_input(before: str, now: str, word: str) -> None:
    known = Record(PAIRS, {}, {AT: BARS}, {}, {AT: before} if before else {})
    found = compare(known, [msgspec.structs.replace(told(AT), quoted=now)])
    assert found.input is not None
    assert (found.input.kind, found.input.says) == ("quote", f"the quotes known at 2021-01-01T00:00:00.000Z {word}")
    assert compare(known, [msgspec.structs.replace(told(AT), quoted=before)]).input is None
    assert compare(known, [told(AT)]).input is None, "a version that knew no quotes is not blamed for them"


def test_a_bar_that_was_not_there() -> None:
    none = Record(PAIRS, {}, {AT: "0000000000000002"}, {})
    found = compare(none, [told(AT)])
    assert found.input is not None
    assert "was not there" in found.input.says


def test_an_observation_that_is_another_is_named() -> None:
    found = compare(record(said={AT: ["aaaaaaaa"]}), [told(AT, said=[("bbbbbbbb", "commits ETH 7")]), told(AT + 1)])
    assert found.input is not None
    assert (found.input.kind, found.input.who) == ("observation", "commits ETH 7")
    fewer = compare(record(said={AT: ["aaaaaaaa"]}), [told(AT), told(AT + 1)])
    assert fewer.input is not None
    assert "1 observations were known" in fewer.input.says


def test_slices_that_the_replay_has_not_are_named() -> None:
    found = compare(record({AT: [IDEA]}), [told(AT + 1)])
    assert found.input is not None
    assert found.input.kind == "slice"
    assert found.difference is not None
    assert found.difference.replayed is None
    assert compare(record({AT + 1: [IDEA]}), [told(AT)]).difference is not None, "it ended too soon"


def test_fingerprints_of_a_history_and_of_its_slices_are_the_same() -> None:
    history = tape.history()
    said = Observation("s", "code", "1", "ETH", int(history.times[3]), int(history.times[3]), {"x": 1.0})
    whole: dict[int, str] = {}
    words: dict[str, str] = {}
    for row in history_rows(history, [said]):
        seen = msgspec.json.decode(row.body, type=Seen)
        whole |= dict(zip(seen.at, seen.bars, strict=True))
        words |= seen.said
    assert len(whole) == len(history.times)
    for slice_ in HistoryFeed(history, [said]):
        seen = msgspec.json.decode(slice_row(slice_.at, slice_.bars, slice_.observations).body, type=Seen)
        assert seen.bars == [whole[slice_.at]]
        assert seen.said == ({str(slice_.at): words[str(slice_.at)]} if slice_.observations else {})
    assert list(words) == [str(history.times[3])]


def test_every_number_of_a_bar_counts_and_nothing_but_them() -> None:
    history = tape.history()
    columns = [column[:8].copy() for column in history.columns()]
    present = np.ones(columns[0].shape, np.bool_)
    as_they_are = tuple(columns)
    before = inputs.fingerprints(as_they_are, present)  # type: ignore[arg-type]
    assert before.all()
    for place in range(5):
        other = [column.copy() for column in columns]
        other[place][4] = np.nextafter(other[place][4], np.inf)
        now = inputs.fingerprints(tuple(other), present)  # type: ignore[arg-type]
        assert (now != before).ravel().tolist() == [row == 4 for row in range(8)]
    absent = present.copy()
    absent[2] = False
    assert inputs.fingerprints(as_they_are, absent)[2] == 0  # type: ignore[arg-type]
    assert len(inputs.digits(before)) == 8 * DIGITS
