"""Every real source behind the poller: what a server does to it becomes a status, and a login never shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from src.connectors.config_files import DEFAULT_FILE
from src.connectors.sources.build import real_sources
from src.connectors.sources.poller import Poller
from src.connectors.sources.simulated import simulated_sources
from src.core.clock import SimClock, Timer, from_iso
from src.core.types import Status
from tests.connectors.sources.served import HTML, Answer, Served, moats, of, raw

NOW = from_iso("2026-09-21T14:00:00Z")


class Told(Timer):
    """Monotonic seconds that stand where a test puts them."""

    def __init__(self) -> None:
        self.now = 100.0

    def seconds(self) -> float:
        return self.now


LOGINS = {"GITHUB_TOKEN": "ghp_veryHiddenLetters123", "SEC_EDGAR_IDENTITY": "Test Desk desk@example.org"}


def asking(served: Served, *sets: str) -> Poller:
    settings = moats(served.url, *sets)
    return Poller(real_sources(settings, LOGINS, DEFAULT_FILE.parent, Timer()), settings, SimClock(NOW), Told())


@pytest.fixture
def real(served: Served) -> Iterator[Poller]:
    poller = asking(served)
    yield poller
    poller.close()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(drop=True), Status.NO_DATA),
        (of({}, 500), Status.NO_DATA),
        (of({}, 429, retry_after="60"), Status.NO_DATA),
        (of({}, 401), Status.ERROR),
        (of({}, 403), Status.ERROR),
        (of({}, 404), Status.ERROR),
        (raw(HTML), Status.ERROR),
        (raw(b""), Status.ERROR),
        (raw(b"{"), Status.ERROR),
        (of([]), Status.ERROR),
        (of({"unknown": "columns"}), Status.ERROR),
    ],
)
def test_every_bad_answer_to_every_real_source(served: Served, real: Poller, answer: Answer, status: Status) -> None:
    served.default = answer
    real.poll_due()
    stands = {health.name: health for health in real.health()}
    assert stands.pop("calendar").status is Status.OK
    assert {name: health.status for name, health in stands.items()} == dict.fromkeys(
        ["github", "edgar", "daily_prices", "federal_register", "network"], status
    )
    for health in stands.values():
        assert health.error
        assert "\n" not in health.error
        assert not any(login in repr(health) for login in LOGINS.values())
        assert health.api_errors == 1
    said = real.drain()
    assert {item.source for item in said if "failed" not in item.values} == {"calendar"}
    told = {"code", "corporate", "logistics"} if status is Status.ERROR else set()  # the calendar speaks for government
    assert {item.moat for item in said if item.values.get("failed") == 1.0} == told


def test_servers_that_hang_leave_every_source_without_data(served: Served) -> None:
    served.default = Answer(hang=True)
    real = asking(served, "http.timeout_seconds=0.1")
    real.poll_due()
    assert {health.name: health.status for health in real.health()} == {
        "calendar": Status.OK,
        **dict.fromkeys(["github", "edgar", "daily_prices", "federal_register", "network"], Status.NO_DATA),
    }
    real.close()


def test_without_logins_and_network_there_is_no_data_and_a_remedy(served: Served, tmp_path: Path) -> None:
    settings = moats("http://127.0.0.1:1")
    poller = Poller(real_sources(settings, {}, tmp_path, Timer()), settings, SimClock(NOW), Told())
    poller.poll_due()
    assert {health.status for health in poller.health()} == {Status.NO_DATA}
    remedies = {health.name: health.error for health in poller.health()}
    assert "set the variable GITHUB_TOKEN" in remedies["github"]
    assert "set the variable SEC_EDGAR_IDENTITY" in remedies["edgar"]
    assert "calendar.yaml is missing" in remedies["calendar"]
    assert poller.drain() == []
    poller.close()


def test_simulated_sources_pass_and_stay_marked() -> None:
    settings, clock, timer = moats("http://s", "simulated.filings_day=9"), SimClock(NOW), Told()
    poller = Poller(simulated_sources(settings, 7), settings, clock, timer)
    for _ in range(3 * 24):
        poller.poll_due()
        timer.now += 3600
        clock.reach(clock.now_ms() + 3_600_000)
    said = poller.drain()
    assert {item.moat for item in said} == {"market", "code", "logistics", "government", "corporate"}
    assert all(item.simulated for item in said)
    assert all(set(health.counts) <= {"new"} for health in poller.health())
    poller.close()
