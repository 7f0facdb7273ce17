"""`mycelial stress` as its user sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from src import wiring
from src.backtesting.stress.overlays import OVERLAYS
from src.backtesting.stress.recorded import RECORDED
from tests.backtesting.stress.test_invariants import AtTheStop

from .cli import SMALL, Say, refused

FEW = (
    *("--set", "simulated.timeframe=1h", "--set", "simulated.pairs=[BTC/USD,ETH/USD,SOL/USD,ADA/USD]"),
    *("--set", "stress.days=5", *SMALL),
)


def test_a_table_with_a_line_for_each_scenario(say: Say) -> None:
    done = say("stress", "calm", "gap_through_stop", *FEW)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    assert rows[0] == [
        *("scenario", "slices", "return %", "drawdown %", "trades", "stops", "halts", "refused", "invariants")
    ]
    assert [(row[0], row[-1]) for row in rows[1:]] == [("calm", "16 ok"), ("gap_through_stop", "16 ok")]


def test_a_broken_promise_is_named_with_its_slice_and_the_exit_code_says_so(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "SimulatedExchange", AtTheStop)
    done = say("stress", "calm", "gap_through_stop", *FEW, "--json")
    assert done.returncode == 6
    answer = msgspec.json.decode(done.stdout, type=dict[str, Any])
    assert [(one["scenario"], one["ok"]) for one in answer["scenarios"]] == [
        ("calm", True),
        ("gap_through_stop", False),
    ]
    assert answer["ok"] is False
    broken = answer["scenarios"][1]["violations"][0]
    assert broken["invariant"] == "stop_leaves_at_its_price"
    assert f"gap_through_stop: stop_leaves_at_its_price at {broken['at']}: " in done.stderr
    people = say("stress", "gap_through_stop", *FEW)
    assert people.returncode == 6
    assert "BROKEN" in people.stdout


def test_recorded_days_that_are_not_there_are_left_out_and_said(say: Say, planted: Path) -> None:
    done = say("stress", RECORDED[0].name, "calm", "--data", planted, *FEW, "--json")
    assert done.returncode == 0, done.stderr
    answer = msgspec.json.decode(done.stdout, type=dict[str, Any])
    assert [one["scenario"] for one in answer["scenarios"]] == ["calm"]
    assert answer["scenarios"][0]["slices"] == 120, "the newest five days"
    (left,) = answer["left_out"]
    assert left["scenario"] == RECORDED[0].name
    assert "no bar" in left["why"]


def test_what_is_asked_wrongly_is_refused(say: Say) -> None:
    refused(say("stress", "meteor"), 2, "no scenario 'meteor'", *(one.name for one in (*OVERLAYS, *RECORDED)))
    refused(say("stress", "calm", "--pairs", "BTC/USD"), 4, "--pairs belongs to recorded data")
    refused(say("stress", "calm", "--set", "stress.gap_ratio=1.5"), 4, "stress.gap_ratio")
    refused(say("stress", "outage", *FEW, "--set", "stress.outage_hours=900"), 4, "take more days")
