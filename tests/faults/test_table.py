"""The table of faults against the tests there are."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.worlds import ROOT

FAULTS = [f"M-F{number:02}" for number in range(1, 45)]
TABLE = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")


class Line(NamedTuple):
    """A row of the table."""

    fault: str
    what: str
    files: frozenset[str]
    reason: str


def lines() -> list[Line]:
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in TABLE.splitlines() if row.startswith("| M-F")
    ]
    return [
        Line(fault, what, frozenset(re.findall(r"`([^`]+)`", files)), reason) for fault, what, files, reason in rows
    ]


@cache
def named() -> dict[str, set[str]]:
    """The files with collected tests of each fault's name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_m_f"):
                for number in re.findall(r"m_f(\d+)_", node.name):
                    found[f"M-F{number}"].add(path.relative_to(ROOT / "tests").as_posix())
    return dict(found)


def test_every_fault_stands_once_and_in_order() -> None:
    assert [line.fault for line in lines()] == FAULTS
    assert all(line.what for line in lines())


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.fault)
def test_the_tests_are_where_the_table_says(line: Line) -> None:
    assert line.files <= named().get(line.fault, set())


def test_what_has_no_test_has_a_reason() -> None:
    assert [line.fault for line in lines() if not line.files and not line.reason] == []


def test_no_test_has_the_number_of_a_fault_that_is_none() -> None:
    assert named().keys() <= set(FAULTS)
