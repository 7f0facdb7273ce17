"""`mycelial stop --emergency REASON` as its user sees it: it ends at once, and stays halted when started again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.connectors.state_folder import holder

from .cli import Process, journal, mycelial, refused, sound
from .test_run import HISTORY, PACE, SIMULATED


def asked(process: Process, *words: str) -> dict[str, Any]:
    done = mycelial(*words, "--state", process.state, "--json", cwd=process.state)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def bodies(state: Path, kind: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(body) for _, _, body in journal(state, kind)]


def test_it_ends_at_once_though_the_next_bar_is_minutes_away_and_the_next_start_is_halted(tmp_path: Path) -> None:
    words = (*SIMULATED, "--bus", "local", "--json")
    with Process(*words, "--speed", "1x", cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(HISTORY + 1)
        refused(mycelial("stop", "--emergency", "", "--state", process.state, cwd=tmp_path), 4, "stop --emergency")
        answer = asked(process, "stop", "--emergency", "fire in  the hall")
        assert (answer["command"], answer["reason"]) == ("emergency_shutdown", "fire in the hall")
        assert "stays halted until `mycelial resume REASON`" in answer["effect"]
        assert process.result()["bars"] == 3 * (HISTORY + 2)
    assert holder(process.state) is None
    assert sound(process.state)
    assert [row["kind"] for row in bodies(process.state, "command")] == ["emergency_shutdown"]
    with Process(*words, *PACE, cwd=tmp_path, state=process.state) as again:
        again.line("halted: emergency shutdown: fire in the hall; `mycelial resume REASON` lifts it")
        again.slices(HISTORY + 3)
        asked(again, "order", "BTC/USD", "buy", "0.01")
        again.until(lambda answer: answer["refusals"].get("halted", 0) == 1)
        refused(mycelial("resume", "", "--state", again.state, cwd=tmp_path), 4, "say why")
        asked(again, "resume", "the fire is out")
        again.until(lambda answer: answer["halted"] == "")
        asked(again, "stop")
        again.result()
    assert sound(process.state)


@pytest.mark.parametrize("flatten", [pytest.param(False, marks=pytest.mark.long), True])
def test_what_is_held_is_kept_or_sold_as_the_settings_say(tmp_path: Path, flatten: bool) -> None:
    words = (*SIMULATED, "--bus", "local", "--json", "--set", f"haven.emergency_flatten={str(flatten).lower()}")
    with Process(*words, *PACE, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(HISTORY)
        asked(process, "order", "BTC/USD", "buy", "0.01")
        process.until(lambda answer: "BTC/USD" in answer["positions"])
        asked(process, "stop", "--emergency", "fire")
        result = process.result()
    assert [held["pair"] for held in result["open_positions"]] == ([] if flatten else ["BTC/USD"])
    assert [fill["side"] for fill in bodies(process.state, "fill")] == ["buy", "sell"][: 1 + flatten]
    assert mycelial("verify", process.state, cwd=tmp_path).returncode == 0


def test_poisoned_learners_are_announced_everywhere(tmp_path: Path) -> None:
    words = (*SIMULATED, "--bus", "local", "--json", "--set", "haven.toxic_ratio=0.5")
    with Process(*words, *PACE, cwd=tmp_path, state=tmp_path / "state") as process:
        process.line("^EXPERIMENT: 50% of the learners are poisoned on purpose")
        status = process.slices(HISTORY)
        toxic = status["haven"]["toxic"]
        assert 0 < toxic < status["census"]["pattern_learner"]
        assert asked(process, "census")["toxic"] == toxic
        asked(process, "stop")
        result = process.result()
    assert result["haven"]["toxic"] == toxic
    assert result["verdict"].startswith(f"EXPERIMENT with {toxic} learners poisoned on purpose.")
