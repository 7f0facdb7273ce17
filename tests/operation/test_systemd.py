"""The units of systemd: understood by it, with few rights, starting commands that exist."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from src.connectors.config_files import load
from src.main import app
from tests.worlds import ROOT

FOLDER = ROOT / "config" / "systemd"
SERVICES = sorted(FOLDER.glob("*.service"))
HOME = "/opt/mycelial"
EXPOSURE = 20
"""Tenths on systemd's scale, where 100 is a service with every right; `OK` begins at 49, `SAFE` below 20."""


class _Unit(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(path: Path) -> _Unit:
    """A unit file; of a key that stands twice the last counts here."""
    found = _Unit(strict=False)
    found.read(path, encoding="utf-8")
    return found


def test_the_units_that_there_are() -> None:
    assert [path.name for path in SERVICES] == ["mycelial-backup.service", "mycelial-dashboard.service", "mycelial.service"]  # fmt: skip # noqa: E501
    assert (FOLDER / "mycelial-backup.timer").is_file()


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_service_has_few_rights(path: Path) -> None:
    service = unit(path)["Service"]
    for key in (
        "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelModules", "RestrictSUIDSGID",
        "ProtectKernelTunables", "ProtectControlGroups", "LockPersonality", "RestrictRealtime",
    ):  # fmt: skip
        assert service[key] == "yes", key
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["User"] == "mycelial"
    assert service["UMask"] == "0077"
    assert "MemoryMax" in service
    assert "TasksMax" in service


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_what_it_starts_exists(path: Path) -> None:
    words = shlex.split(unit(path)["Service"]["ExecStart"])
    assert words[:4] == [f"{HOME}/.venv/bin/python", "-P", "-m", "src.main"]
    command = typer.main.get_command(app).commands[words[4]]  # type: ignore[attr-defined]
    known = {name for option in command.params for name in option.opts}
    assert {word for word in words[5:] if word.startswith("--")} <= known


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_no_secret_stands_in_a_unit(path: Path) -> None:
    text = path.read_text(encoding="utf-8").upper()
    assert not [word for word in ("PASSWORD=", "TOKEN=", "SECRET=", "API_KEY=") if word in text]


def test_the_engine_is_drained_and_not_started_again_in_vain() -> None:
    service = unit(FOLDER / "mycelial.service")["Service"]
    assert (service["KillSignal"], service["Restart"]) == ("SIGTERM", "on-failure")
    assert service["RestartPreventExitStatus"] == "4 6"  # configuration; a broken promise
    assert int(service["TimeoutStopSec"]) >= 30


@pytest.mark.parametrize("path", [*SERVICES, FOLDER / "mycelial-backup.timer"], ids=lambda path: path.name)
def test_systemd_understands_it(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze here")
    for one in FOLDER.iterdir():  # where the programs are in an installation, there is one that is always there
        (tmp_path / one.name).write_text(one.read_text().replace(f"{HOME}/.venv/bin/python", "/bin/sh"))
    done = subprocess.run(
        [analyze, "verify", str(tmp_path / path.name)], capture_output=True, text=True, check=False
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if path.stem in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_systemd_calls_it_safe(path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze here")
    done = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges no files")
    assert done.returncode == 0, done.stdout[-400:]


def test_the_profile_of_a_small_host_is_understood_and_smaller() -> None:
    lines = (ROOT / "config" / "small.env").read_text(encoding="utf-8").splitlines()
    words = [shlex.split(line)[0] for line in lines if line and not line.startswith("#")]  # as a shell reads them
    told = dict(word.split("=", 1) for word in words)
    usual, small = load(None, None, {}, ()), load(None, None, told, ())
    changed = {name for name, origin in small.origin.items() if origin.startswith("environment ")}
    assert len(changed) == len(told) >= 8
    assert sum(small.settings.learners.standard.values()) * 2 < sum(usual.settings.learners.standard.values())
    assert small.settings.learners.team < usual.settings.learners.team
    assert small.settings.ledger.queue_rows < usual.settings.ledger.queue_rows
    assert small.settings.costs == usual.settings.costs
    assert small.settings.risk == usual.settings.risk
