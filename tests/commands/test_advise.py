"""`run --mode advise`: it decides and writes down everything, and sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from .cli import SMALL, Process, Say, journal, mycelial, refused, sound


@pytest.fixture(scope="module")
def advised(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """State folder, result and standard error of a run that advised."""
    place = tmp_path_factory.mktemp("advised")
    words = ("--mode", "advise", "--data", planted, *SMALL, "--bus", "local", "--speed", "max", "--json")
    with Process(*words, cwd=place, state=place / "state") as process:
        result = process.result()
    return place / "state", result, process.stderr


def bodies(state: Path, kind: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(body) for _, _, body in journal(state, kind)]


def test_orders_stand_as_advice_and_nothing_was_sent(advised: tuple[Path, dict[str, Any], str]) -> None:
    state, result, _ = advised
    rows = bodies(state, "order")
    wanted = {row["id"] for row in rows if "side" in row}
    assert wanted
    assert {row["id"]: row["state"] for row in rows if "state" in row} == dict.fromkeys(wanted, "advised")
    assert journal(state, "fill", "intent", "execution") == []
    assert result["account"]["end_equity"] == result["account"]["start_equity"]
    assert sound(state)


def test_result_report_and_greeting_say_advice_only(advised: tuple[Path, dict[str, Any], str], say: Say) -> None:
    state, result, stderr = advised
    assert result["mode"] == "advise"
    assert result["verdict"].startswith("ADVICE ONLY, no order was sent.")
    assert "mycelial ADVICE ONLY: nothing is sent" in stderr
    done = say("report", next((state / "runs").iterdir()))
    assert done.returncode == 0, done.stderr
    assert "ADVICE ONLY" in done.stdout
    page = state / "sheet.html"
    assert say("report", next((state / "runs").iterdir()), "--html", page).returncode == 0
    assert "ADVICE ONLY" in page.read_text()


def test_it_has_a_state_folder_of_its_own(advised: tuple[Path, dict[str, Any], str], say: Say) -> None:
    state, _, _ = advised
    refused(say("run", "--state", state, "--bus", "local"), 4, "advise")


def test_a_replay_of_it_sends_nothing_and_decides_the_same(
    advised: tuple[Path, dict[str, Any], str], planted: Path, say: Say
) -> None:
    done = say("parity", "--state", advised[0], "--data", planted)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("equal: ")


def test_there_is_nothing_to_reconcile(planted: Path, tmp_path: Path) -> None:
    words = ("--mode", "advise", "--data", planted, *SMALL, "--bus", "local", "--speed", "72000x")
    with Process(*words, cwd=tmp_path, state=tmp_path / "state") as process:
        status = process.slices(1)
        assert (status["mode"], status["orders"]) == ("advise", {})
        done = mycelial("reconcile", "--state", process.state, cwd=tmp_path)
        refused(done, 4, "sends no orders")
