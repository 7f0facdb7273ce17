"""What people write about time means exactly one thing, or is refused."""

from __future__ import annotations

import pytest

from src.core.errors import UsageError
from src.core.timeframes import TimeRange, parse_timerange, timeframe_ms, timeframe_name

JAN_1, JAN_2 = 1_672_531_200_000, 1_672_617_600_000  # 2023, UTC


@pytest.mark.parametrize(
    ("text", "ms"),
    [("1s", 1_000), ("1m", 60_000), ("5m", 300_000), ("1h", 3_600_000), ("4h", 14_400_000), ("1d", 86_400_000)],
)
def test_timeframes_both_ways(text: str, ms: int) -> None:
    assert timeframe_ms(text) == ms
    assert timeframe_name(ms) == text


def test_the_shortest_name_is_given() -> None:
    assert timeframe_name(timeframe_ms("60m")) == "1h"


@pytest.mark.parametrize("text", ["", "1", "h", "0m", "-1h", "1.5h", "1H", "1 h", "1w", "01h", "99999m", "1h\n"])
def test_what_is_no_timeframe_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="for instance 1m"):
        timeframe_ms(text)


@pytest.mark.parametrize("ms", [0, -1000, 1, 1500])
def test_what_has_no_name_is_refused(ms: int) -> None:
    with pytest.raises(UsageError, match="whole number of seconds"):
        timeframe_name(ms)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("20230101-", JAN_1, None),
        ("-20230101", None, JAN_1),
        ("20230101-20230102", JAN_1, JAN_2),
        ("1672531200-1672617600", JAN_1, JAN_2),
        ("1672531200000-20230102", JAN_1, JAN_2),
    ],
)
def test_timeranges_as_freqtrade_writes_them(text: str, start: int | None, end: int | None) -> None:
    assert parse_timerange(text) == TimeRange(start, end)


def test_a_timerange_is_half_open() -> None:
    window = parse_timerange("20230101-20230102")
    assert window.holds(JAN_1)
    assert not window.holds(JAN_1 - 1)
    assert window.holds(JAN_2 - 1)
    assert not window.holds(JAN_2)


def test_the_resolved_range_can_be_printed() -> None:
    assert str(parse_timerange("20230101-20230102")) == "2023-01-01T00:00:00.000Z to 2023-01-02T00:00:00.000Z"
    assert str(parse_timerange("-20230102")) == "the beginning to 2023-01-02T00:00:00.000Z"


@pytest.mark.parametrize(
    "text", ["", "-", "20230101", "2023-01-01", "20230101--", "a-b", "20230101-2023", "20230101 -"]
)
def test_malformed_timeranges_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 20230101-20230601"):
        parse_timerange(text)


def test_a_day_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="20230230 is no date"):
        parse_timerange("20230230-")


@pytest.mark.parametrize("text", ["20230102-20230101", "20230101-20230101"])
def test_reversed_and_empty_timeranges_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is empty"):
        parse_timerange(text)
