"""`mycelial doctor --sources` against servers on loopback."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.connectors.sources.served import Served
from tests.connectors.sources.test_joined import well
from tests.kraken.exchange_state import ALL_RIGHTS
from tests.kraken.local import LocalKraken, key_file

from .cli import Say


def test_the_command_asks_the_sources_only_when_told_to(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"NO_PROXY": "127.0.0.1", "GITHUB_TOKEN": "", "SEC_EDGAR_IDENTITY": ""}.items():
        monkeypatch.setenv(name, value)
    served = Served()
    try:
        well(served)
        with LocalKraken() as exchange:
            _asked(say, served, exchange, key_file(tmp_path))
    finally:
        served.close()


def _asked(say: Say, served: Served, kraken: LocalKraken, key: Path) -> None:
    places = ("github.base_url", "edgar.base_url", "federal_register.base_url", "network.charts_url")
    sets = [word for place in (*places, "daily_prices.base_url") for word in ("--set", f"moats.{place}={served.url}")]
    sets += ["--set", f"kraken.rest.url={kraken.rest.url}", "--set", f"kraken.key_file={key}"]
    plain = say("doctor", "--json", *sets, "--set", "bus.port=0")
    assert served.asked == []
    assert kraken.rest.heard == []
    assert plain.returncode == 0, plain.stdout
    names = [line["name"] for line in msgspec.json.decode(plain.stdout)["checks"]]
    assert names[-2:] == ["GITHUB_TOKEN", "SEC_EDGAR_IDENTITY"]
    done = say("doctor", "--sources", "--json", *sets, "--set", "bus.port=0")
    assert done.returncode == 0, done.stdout
    lines = {line["name"]: line for line in msgspec.json.decode(done.stdout)["checks"]}
    assert lines["source network"]["status"] == "ok"
    assert [lines[f"kraken {name}"]["status"] for name in ("status", "clock", "key")] == ["ok", "ok", "ok"]
    assert lines["source github"]["remedy"] == "set the variable GITHUB_TOKEN to a token"


def test_in_a_live_configuration_the_exchange_is_asked_and_a_key_that_can_withdraw_fails(
    say: Say, tmp_path: Path
) -> None:
    with LocalKraken(ALL_RIGHTS | {"withdraw-funds"}) as exchange:
        exchange.moved_ms = 5_000
        words = ("--set", "run.mode=live", "--set", f"kraken.key_file={key_file(tmp_path)}", "--set", "bus.port=0")
        done = say("doctor", "--json", *words, "--set", f"kraken.rest.url={exchange.rest.url}")
    assert done.returncode == 6, done.stderr
    lines = {line["name"]: line for line in msgspec.json.decode(done.stdout)["checks"]}
    assert lines["kraken status"]["status"] == "ok"
    assert lines["kraken clock"]["remedy"] == "set this machine's clock by a time server"
    assert "can withdraw" in lines["kraken key"]["detail"]
