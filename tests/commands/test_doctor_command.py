"""`mycelial doctor --sources` against servers on loopback."""

from __future__ import annotations

import msgspec
import pytest

from tests.connectors.sources.served import Served
from tests.connectors.sources.test_joined import well

from .cli import Say


def test_the_command_asks_the_sources_only_when_told_to(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NO_PROXY": "127.0.0.1", "GITHUB_TOKEN": "", "SEC_EDGAR_IDENTITY": ""}.items():
        monkeypatch.setenv(name, value)
    served = Served()
    try:
        well(served)
        _asked(say, served)
    finally:
        served.close()


def _asked(say: Say, served: Served) -> None:
    places = ("github.base_url", "edgar.base_url", "federal_register.base_url", "network.charts_url")
    sets = [word for place in (*places, "daily_prices.base_url") for word in ("--set", f"moats.{place}={served.url}")]
    plain = say("doctor", "--json", *sets, "--set", "bus.port=0")
    assert served.asked == []
    assert plain.returncode == 0, plain.stdout
    names = [line["name"] for line in msgspec.json.decode(plain.stdout)]
    assert names[-2:] == ["GITHUB_TOKEN", "SEC_EDGAR_IDENTITY"]
    done = say("doctor", "--sources", "--json", *sets, "--set", "bus.port=0")
    assert done.returncode == 0, done.stdout
    lines = {line["name"]: line for line in msgspec.json.decode(done.stdout)}
    assert lines["source network"]["status"] == "ok"
    assert lines["source github"]["remedy"] == "set the variable GITHUB_TOKEN to a token"
