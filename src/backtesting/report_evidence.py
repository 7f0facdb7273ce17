"""What has been shown about a run beside its own figures: its sample, A/B answers, the gate, how many were tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .sheet import folder as beside
from .sheet.card import badge
from .text import NOTHING, number

Row = tuple[str, str]

OUT_OF_SAMPLE = {"walk_forward": "walk-forward", "paths": "cross-validation, median path"}
"""Criteria of the gate that judge days on which nothing was chosen, and how they are called here."""


def evidence_rows(folder: Path, result: Mapping[str, Any]) -> list[Row]:
    """Rows (what, value) from the files beside a result; what was not asked names the command that asks it."""
    rows = [("Sample", badge(result)[0])]
    rows += _gate(*beside.gate(folder), result)
    return rows + _compared(beside.read_object(folder / beside.AB))


def _gate(gate: Mapping[str, Any] | None, doubt: str | None, result: Mapping[str, Any]) -> list[Row]:
    sharpe = number(result["account"]["sharpe"])
    title = "Sharpe in sample / out of sample"
    if gate is None:
        unknown = f"{NOTHING} (not judged; ask `mycelial gate {result['run_id']}`)"
        return [("Promotion gate", unknown), ("Trials tried", unknown), (title, f"{sharpe} / {unknown}")]
    if doubt is not None:
        return [
            ("Promotion gate", f"not valid: gate.json {doubt}"),
            ("Trials tried", NOTHING),
            (title, f"{sharpe} / {NOTHING}"),
        ]
    found = {one["name"]: one for one in gate.get("criteria", ())}
    outside = [f"{number(found[key]['value'])} ({told})" for key, told in OUT_OF_SAMPLE.items() if key in found]
    return [
        ("Promotion gate", "passed" if gate.get("passed") is True else _refused(found)),
        ("Trials tried", str(gate.get("trials", NOTHING))),
        (title, f"{sharpe} / {', '.join(outside) or NOTHING}"),
    ]


def _refused(criteria: Mapping[str, Mapping[str, Any]]) -> str:
    missed = [name for name, one in criteria.items() if one["state"] not in ("passed", "not applicable")]
    return f"refused: {', '.join(missed)}"


def _compared(ab: Mapping[str, Any] | None) -> list[Row]:
    if ab is None:
        return [("A/B difference a day %", f"{NOTHING} (not asked; ask `mycelial ab --out` into this folder)")]
    return list(_answers(ab))


def _answers(ab: Mapping[str, Any]) -> Iterator[Row]:
    for one in ab.get("comparisons", ()):
        low, high = (NOTHING if one[side] is None else f"{100 * one[side]:+.4f}" for side in ("low", "high"))
        middle = NOTHING if one["difference"] is None else f"{100 * one['difference']:+.4f}"
        yield f"A/B {one['name']}, a day %", f"{middle} ({low} .. {high}): {one['verdict']}"
