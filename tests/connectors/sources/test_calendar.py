"""Scheduled events come from a file and are known from the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.connectors.config_files import DEFAULT_FILE
from src.connectors.observations import load_observations
from src.connectors.sources.calendar import CalendarSource
from src.core.clock import from_iso
from src.core.errors import Malformed, SourceError, Unconfigured
from src.core.types import Observation
from tests.connectors.sources.served import moats
from tests.recorded import RECORDED, needs_recorded

NOW = from_iso("2026-09-21T14:00:00Z")


def calendar(folder: Path, text: str | None) -> CalendarSource:
    if text is not None:
        (folder / "calendar.yaml").write_text(text, encoding="utf-8")
    return CalendarSource(moats("http://s"), folder)


def test_an_event_ahead_is_known_already(tmp_path: Path) -> None:
    made = calendar(
        tmp_path, '- {event: FOMC, at: "2026-12-09T19:00Z"}\n- {event: FOMC, at: "2027-01-27T14:00-05:00"}\n'
    )
    first, second = from_iso("2026-12-09T19:00Z"), from_iso("2027-01-27T19:00Z")
    assert made.fetch(NOW) == [
        Observation("calendar", "government", "FOMC@2026-12-09", "FOMC", first, 0, {"scheduled": 1.0}),
        Observation("calendar", "government", "FOMC@2027-01-27", "FOMC", second, 0, {"scheduled": 1.0}),
    ]
    assert made.notices() == ()


def test_it_says_when_dates_run_out(tmp_path: Path) -> None:
    made = calendar(tmp_path, '- {event: CPI, at: "2026-10-14T12:30Z"}\n- {event: FOMC, at: "2027-01-27T19:00Z"}\n')
    made.fetch(NOW)
    assert made.notices() == ("calendar.yaml: the last CPI is at 2026-10-14T12:30:00.000Z; add the next dates",)
    made.close()


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        (None, Unconfigured, "calendar.yaml is missing beside the settings"),
        ("", Malformed, "Expected `array`, got `null`"),
        ("- {event: CPI", Malformed, "calendar.yaml: while parsing"),
        ("- {event: CPI}", Malformed, "missing required field `at`"),
        ('- {event: CPI, at: "2026-10-14", place: x}', Malformed, "unknown field `place`"),
        ("- {event: CPI, at: soon}", Malformed, "calendar.yaml event 1: 'soon' is no time"),
        ("- !!python/object:os.system {}", Malformed, "could not determine a constructor"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str | None, kind: type[SourceError], says: str) -> None:
    with pytest.raises(SourceError) as caught:
        calendar(tmp_path, text).fetch(NOW)
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shipped_calendar_holds_a_year_of_both_events_at_their_hours() -> None:
    events = CalendarSource(moats("http://s"), DEFAULT_FILE.parent).fetch(NOW)
    assert len({event.id for event in events}) == len(events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    this_year = [event.subject for event in events if "@2026" in event.id]
    assert (this_year.count("FOMC"), this_year.count("CPI")) == (8, 12)
    hours = {(event.subject, event.at // 60_000 % 1440) for event in events}
    assert hours == {("FOMC", 18 * 60), ("FOMC", 19 * 60), ("CPI", 12 * 60 + 30), ("CPI", 13 * 60 + 30)}


@needs_recorded
def test_it_says_what_a_recording_says(tmp_path: Path) -> None:
    recorded = [item for item in load_observations(RECORDED, ["government"]).items if item.id == "CPI@2025-02-12"]
    assert calendar(tmp_path, '- {event: CPI, at: "2025-02-12T13:30Z"}\n').fetch(NOW) == recorded
