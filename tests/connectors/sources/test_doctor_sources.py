"""What the doctor says of sources outside the market: logins that are missing, and each source asked once."""

from __future__ import annotations

from collections.abc import Sequence

from src.connectors.config_files import DEFAULT_FILE
from src.connectors.doctor import Check
from src.connectors.doctor_sources import ask, ask_sources, check_logins
from src.core.clock import SimClock, Timer
from src.core.types import Observation
from tests.connectors.sources.served import Served, moats, of
from tests.connectors.sources.test_joined import LOGINS, NOW, SETS, well


def test_missing_logins_are_a_warning_with_the_remedy() -> None:
    settings = moats("http://s")
    found = check_logins(settings, {"GITHUB_TOKEN": " "})
    assert [(line.name, line.status) for line in found] == [("GITHUB_TOKEN", "warn"), ("SEC_EDGAR_IDENTITY", "warn")]
    assert found[0].remedy == "set it to a GitHub token that may read public repositories"
    assert "Name name@example.org" in found[1].remedy
    assert [line.status for line in check_logins(settings, LOGINS)] == ["ok", "ok"]
    assert not any(secret in line.detail for line in check_logins(settings, LOGINS) for secret in LOGINS.values())


def test_every_source_is_asked_once_and_says_what_it_has(served: Served) -> None:
    well(served)
    found = {line.name: line for line in ask_sources(moats(served.url, *SETS), LOGINS, DEFAULT_FILE.parent)}
    assert list(found) == [f"source {name}" for name in (
        "github", "edgar", "daily_prices", "federal_register", "calendar", "network")]  # fmt: skip
    assert found["source github"].detail.startswith("4 observations, the newest known at 20")
    assert found["source federal_register"].detail.startswith("12 observations, the newest known at 2026-09-20")
    assert found["source github"].status == "ok"
    assert served.paths().count("/charts/hash-rate") == 1


def test_a_source_that_gives_nothing_is_a_warning_in_its_own_words(served: Served) -> None:
    served.default = of({}, 403)
    found = {line.name: line for line in ask_sources(moats(served.url, *SETS), {}, DEFAULT_FILE.parent)}
    assert found["source github"] == Check(
        "source github", "warn", "Unconfigured: the code moat has no login",
        "set the variable GITHUB_TOKEN to a token",
    )  # fmt: skip
    assert found["source network"].detail.startswith(f"Refused: {served.url}/charts/hash-rate")
    assert {line.status for line in found.values()} <= {"warn", "ok"}


class Defect:
    """A source that is broken, or has something to say beside its data."""

    name, moat, interval_seconds, simulated = "defect", "code", 1.0, False
    closed = False

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        return [Observation("commits", "code", "a", "ETH", now_ms, now_ms, {"x": 1.0})]

    def notices(self) -> Sequence[str]:
        return ("a/b: is now c/d",)

    def close(self) -> None:
        self.closed = True


def test_notices_are_a_warning_and_the_source_is_closed() -> None:
    source = Defect()
    line = ask(source, SimClock(NOW), Timer())
    assert (line.status, source.closed) == ("warn", True)
    assert line.detail.startswith("1 observations, the newest known at 2026-09-21T14:00:00.000Z, ")
    assert line.detail.endswith("; a/b: is now c/d")
