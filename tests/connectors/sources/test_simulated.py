"""Simulated sources say the same for the same seed, however they are asked, and always say that they invent."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from src.connectors.observations import MOATS
from src.connectors.sources.simulated import SimulatedSource, simulated_sources
from src.core.clock import from_iso
from src.core.types import Observation
from tests.connectors.sources.served import moats

NOW = from_iso("2026-09-21T14:00:00Z")
HOUR, DAY = 3_600_000, 86_400_000
SETTINGS = moats("http://s")


def over(source: SimulatedSource, step_ms: int, end: int = NOW + 3 * DAY) -> list[Observation]:
    return [item for at in range(NOW, end + 1, step_ms) for item in source.fetch(at)]


def test_there_is_one_for_each_moat() -> None:
    sources = simulated_sources(SETTINGS, 1)
    assert {source.moat for source in sources} == set(MOATS)
    assert {source.name for source in sources} == {f"simulated_{moat}" for moat in MOATS}
    assert {source.moat: source.interval_seconds for source in sources} == {
        "market": 60.0, "code": 300.0, "logistics": 300.0, "government": 3600.0, "corporate": 1800.0,
    }  # fmt: skip


@pytest.mark.parametrize("moat", MOATS)
def test_everything_is_marked_and_nothing_is_known_too_early(moat: str) -> None:
    source = SimulatedSource(moat, SETTINGS, 1)
    for at in range(NOW, NOW + 3 * DAY + 1, HOUR):
        for item in source.fetch(at):
            assert (item.simulated, item.moat) == (True, moat)
            assert item.at <= item.known_at <= at
            assert all(map(math.isfinite, item.values.values()))
    assert source.notices() == ()


@pytest.mark.parametrize("moat", MOATS)
def test_the_same_seed_says_the_same_however_often_it_is_asked(moat: str) -> None:
    often, seldom, other = (SimulatedSource(moat, SETTINGS, seed) for seed in (1, 1, 2))
    said = over(often, HOUR)
    assert said
    assert over(seldom, DAY) == said
    assert over(other, DAY) != said
    assert len({(item.subject, item.id) for item in said}) == len(said)


def test_a_moment_is_said_once_and_time_going_back_says_nothing() -> None:
    source = SimulatedSource("logistics", SETTINGS, 1)
    assert [len(source.fetch(at)) for at in (NOW, NOW, NOW - 5 * DAY, NOW, NOW + DAY)] == [1, 0, 0, 0, 1]
    source.close()


def test_the_numbers_come_from_the_settings() -> None:
    code = over(SimulatedSource("code", SETTINGS, 1), HOUR, NOW + 30 * DAY)
    assert 190 < len(code) / 30 < 210  # 200 a day; the standard error of the mean is 2.6
    assert {item.subject for item in code} == set(SETTINGS.simulated.assets)
    network = over(SimulatedSource("logistics", SETTINGS, 1), DAY, NOW + 30 * DAY)
    assert [after.at - before.at for before, after in pairwise(network)] == [DAY] * 30
    assert all(0.97 <= item.values["hashrate_th_s"] / 600e6 <= 1.03 for item in network)
    none = SimulatedSource("code", moats("http://s", "simulated.commits_day=0"), 1)
    assert over(none, HOUR) == []


def test_the_mood_stays_on_its_scale() -> None:
    wild = SimulatedSource("market", moats("http://s", "simulated.fear_greed_deviation=1000"), 1)
    assert {item.values["fng"] for item in over(wild, DAY, NOW + 60 * DAY)} >= {0.0, 100.0}
    assert all(0.0 <= item.values["fng"] <= 100.0 for item in wild.between(0, 60))
