"""The terminal report says what has been shown about a run beside its own figures, and what nobody asked yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.report_evidence import evidence_rows
from src.backtesting.sheet.judged import sealed
from src.core.errors import DataError

RESULT: dict[str, Any] = {"mode": "backtest", "run_id": "r1", "account": {"sharpe": 1.5}}


def written(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value))


def test_what_was_not_asked_names_the_command_that_asks_it(tmp_path: Path) -> None:
    rows = dict(evidence_rows(tmp_path, RESULT))
    assert rows["Sample"] == "IN-SAMPLE BACKTEST"
    assert "mycelial gate r1" in rows["Promotion gate"]
    assert rows["Sharpe in sample / out of sample"].startswith("1.50 / - (not judged")
    assert "mycelial ab --out" in rows["A/B difference a day %"]


def test_gate_and_ab_are_told_with_their_figures(tmp_path: Path) -> None:
    criteria = [
        {"name": "days", "state": "passed", "value": 90.0},
        {"name": "walk_forward", "state": "failed", "value": -0.25},
        {"name": "paths", "state": "not enough data", "value": None},
        {"name": "overfitting", "state": "not applicable", "value": None},
    ]
    verdict = {"passed": False, "trials": 12, "criteria": criteria, "files": {}}
    (tmp_path / "gate.json").write_bytes(sealed(verdict))
    answers = [
        {"name": "code", "difference": 0.0001, "low": -0.0002, "high": 0.0004, "verdict": "cannot tell"},
        {"name": "corp", "difference": None, "low": None, "high": None, "verdict": "cannot tell"},
    ]
    written(tmp_path, "ab.json", {"comparisons": answers})
    assert evidence_rows(tmp_path, RESULT) == [
        ("Sample", "IN-SAMPLE BACKTEST"),
        ("Promotion gate", "refused: walk_forward, paths"),
        ("Trials tried", "12"),
        ("Sharpe in sample / out of sample", "1.50 / -0.25 (walk-forward), - (cross-validation, median path)"),
        ("A/B code, a day %", "+0.0100 (-0.0200 .. +0.0400): cannot tell"),
        ("A/B corp, a day %", "- (- .. -): cannot tell"),
    ]


def test_a_verdict_that_was_edited_or_is_of_other_files_is_not_believed(tmp_path: Path) -> None:
    verdict: dict[str, Any] = {"passed": False, "trials": 12, "criteria": []}
    (tmp_path / "gate.json").write_bytes(sealed(verdict).replace(b"false", b"true"))
    assert "not valid: gate.json was edited" in dict(evidence_rows(tmp_path, RESULT))["Promotion gate"]
    (tmp_path / "trades.csv").write_text("one\n")
    verdict |= {"passed": True, "files": {"trades.csv": "0" * 64}}
    (tmp_path / "gate.json").write_bytes(sealed(verdict))
    assert "trades.csv beside it was changed" in dict(evidence_rows(tmp_path, RESULT))["Promotion gate"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text("{")
    with pytest.raises(DataError, match=r"gate\.json"):
        evidence_rows(tmp_path, RESULT)
