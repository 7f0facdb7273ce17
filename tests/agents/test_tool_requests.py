"""What the builder answers to a learner that misses a source: each reason at its edge, with what helps to see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from src.agents import builder, pattern_learner
from src.agents.tool_requests import ANSWERS, reason_against
from src.agents.wants import without_data
from src.agents.world import World
from src.backtesting.result import NO_IDEAS
from src.core.moats import CODE, CORPORATE, GOVERNMENT, LOGISTICS, MOATS, MoatBoard
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import MoatView, Observation, Status
from tests.agents.made import BTC, ETH, START, record, see, snapshot, world
from tests.moats import commit, document, network
from tests.worlds import settings

SETTINGS = settings().moats
LEAST = SETTINGS.board.min_history_days
DAY = START // DAY_MS


def board() -> MoatBoard:
    return MoatBoard((BTC, ETH), SETTINGS)


def failing(moat: str, at: int) -> Observation:
    """The poller's word that a moat's server gives nothing."""
    return Observation("poller", moat, f"{moat}@{at}", moat, at, at, {"failed": 1.0})


def walked(said: Sequence[Observation], until: int) -> MoatView:
    """The view of the last hour of a board that heard `said` as it became known."""
    moats, before = board(), START - HOUR_MS
    for at in range(START, until + 1, HOUR_MS):
        view = moats.push(at, [one for one in said if before < one.known_at <= at])
        before = at
    return view


def answer(column: int, view: MoatView | None, **changes: object) -> tuple[str, dict[str, Any]]:
    return reason_against(f"{MOATS[column]} source", view, settings(**changes).moats.board)


def test_what_nobody_ever_said_anything_of_has_no_source() -> None:
    assert answer(CODE, walked([], START)) == ("no_such_source", {})
    assert answer(CODE, None) == ("no_such_source", {})


@pytest.mark.parametrize(
    "tool", ["", "code", "source", "weather source", "code source ", "market source", "codesource"]
)
def test_a_tool_that_is_none_has_no_source(tool: str) -> None:
    assert reason_against(tool, walked([], START), SETTINGS.board) == ("no_such_source", {})


def test_a_moat_that_the_settings_leave_out_names_the_setting() -> None:
    young = walked([commit("ETH", START)], START + DAY_MS)
    out = {"moats__board__enabled": ["government"]}
    assert answer(CODE, young, **out) == ("source_switched_off", {"setting": "moats.board.enabled"})
    assert answer(GOVERNMENT, young, **out) == ("no_such_source", {})


def test_a_moat_that_is_merely_too_young_tells_the_days_that_are_left() -> None:
    said = [commit("ETH", START), commit("BTC", START + 3 * DAY_MS)]
    for days in (1, 5, LEAST - 1):
        # The hour of the first commit is the first sample.
        left = LEAST - days - 1 / 24
        reason, detail = answer(CODE, walked(said, START + days * DAY_MS))
        assert reason == "source_too_young"
        assert left <= detail["days_left"] < left + 0.1
    ripe = walked([*said, commit("ETH", START + LEAST * DAY_MS)], START + LEAST * DAY_MS)
    assert answer(CODE, ripe)[0] == "source_speaks"


def test_a_basket_is_young_while_its_days_are_few() -> None:
    first = SETTINGS.board.change_days
    said = [network(DAY + day, 100.0 + day, 50.0) for day in range(first + 5)]
    view = walked(said, START + (first + 5) * DAY_MS)
    assert answer(LOGISTICS, view) == ("source_too_young", {"days_left": LEAST - 4.0})
    assert answer(CORPORATE, view) == ("no_such_source", {}), "only its own parts count"


def test_what_is_part_of_no_value_does_not_make_a_moat_young() -> None:
    view = walked([document(START)], START + DAY_MS)
    assert view.statuses[GOVERNMENT] is Status.NO_DATA
    assert answer(GOVERNMENT, view) == ("no_such_source", {})


def test_a_server_that_fails_is_told_apart_and_so_is_long_silence() -> None:
    assert answer(CODE, walked([failing("code", START)], START)) == ("source_failing", {})
    stale = SETTINGS.board.stale_half_lives * SETTINGS.pace.code.half_life_seconds * 1000
    said = [commit("ETH", START + hour * HOUR_MS, hour) for hour in range(LEAST * 24)]
    silent = walked(said, START + LEAST * DAY_MS + int(stale) + HOUR_MS)
    assert silent.statuses[CODE] is Status.STALE
    assert answer(CODE, silent) == ("source_stale", {})


def test_every_answer_is_a_refusal_of_a_request_and_none_of_an_idea() -> None:
    assert ANSWERS <= NO_IDEAS


# --- who asks ---------------------------------------------------------------------------------------------------------


def asking() -> tuple[World, list[Any]]:
    here = world((BTC, ETH), learners__team=0, learners__standard={"code": 1}, builder__request_dedupe_seconds=1.0)
    for kind in (pattern_learner, builder):
        kind.populate(here)
    return here, record(here, "system-build-request")


def test_learners_also_ask_for_a_moat_whose_server_has_failed_for_a_day() -> None:
    here, got = asking()
    view = walked([failing("code", START)], START)
    for hour in range(30):
        see(here, msgspec.structs.replace(snapshot(here, START + hour * HOUR_MS), moats=view))
    assert [(one.tool, one.at) for one in got] == [("code source", START + 24 * HOUR_MS)]
    (line,) = [line for line in here.model.outbox.notes if line.kind == "refusal"]
    assert (line.reason, line.detail) == ("source_failing", {"tool": "code source", "asked_by": "learner-code-1"})
    told = {"asked": 1, "repeated": 0, "answered": {"source_failing": 1}}
    assert here.figures.deployments()["requests"] == told


def test_a_failure_that_left_usable_data_is_nothing_to_ask_for() -> None:
    said = [commit("ETH", START + hour * HOUR_MS, hour) for hour in range(LEAST * 24 + 1)]
    end = START + LEAST * DAY_MS
    assert not without_data(walked([*said, failing("code", end)], end), CODE)
    assert without_data(walked([failing("code", end)], end), CODE)
    assert without_data(None, CODE)


def test_the_answer_of_the_slice_is_noted_with_its_days() -> None:
    here, _ = asking()
    view = walked([commit("ETH", START)], START + DAY_MS)
    for hour in range(26):
        see(here, msgspec.structs.replace(snapshot(here, START + hour * HOUR_MS), moats=view))
    (line,) = [line for line in here.model.outbox.notes if line.kind == "refusal"]
    assert line.reason == "source_too_young"
    assert line.detail["days_left"] == pytest.approx(LEAST - 25 / 24, abs=0.1)
