"""The table of faults and invariants in the documents against the tests there are."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from typing import NamedTuple

import pytest

from tests.worlds import ROOT

LENGTHS = {"P": 12, "D": 12, "R": 12, "N": 11, "X": 19, "M": 6, "T": 4, "C": 3, "G": 4, "K": 6, "L": 6, "A": 14}
ROWS = [f"{kind}{number}" for kind, most in LENGTHS.items() for number in range(1, most + 1)]
ROWS += [f"B-F{number:02}" for number in range(1, 12)]
INVARIANTS = [f"I{number}" for number in range(1, 21)]
NAMED = re.compile(r"test_((?:(?:b_f\d+|[a-z]\d+)_)+)")
TEXT = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


class Line(NamedTuple):
    """A row: `tests` as `file` (tests of the row's name stand there) or `file::test`."""

    row: str
    what: str
    tests: tuple[str, ...]
    reason: str


def lines(names: list[str]) -> list[Line]:
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in TEXT.splitlines() if row.startswith("| ")]
    rows = [(*one, "")[:4] for one in cells if one[0] in names]
    return [Line(row, what, tuple(re.findall(r"`([^`]+)`", tests)), reason) for row, what, tests, reason in rows]


def rows_of(name: str) -> set[str]:
    """The rows that a test's name names, `test_x01_x5_...`: X1 and X5."""
    told = NAMED.match(name)
    parts = re.findall(r"b_f\d+|[a-z]\d+", told[1]) if told else []
    return {f"B-F{int(p[3:]):02}" if p.startswith("b_f") else f"{p[0].upper()}{int(p[1:])}" for p in parts}


@cache
def standing() -> dict[str, set[str]]:
    """The names of the tests by file."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[path.relative_to(ROOT / "tests").as_posix()].add(node.name)
    return dict(found)


def test_every_row_stands_once_and_in_order() -> None:
    assert [line.row for line in lines(ROWS)] == ROWS
    assert [line.row for line in lines(INVARIANTS)] == INVARIANTS
    assert all(line.what for line in lines(ROWS + INVARIANTS))


@pytest.mark.parametrize("line", lines(ROWS + INVARIANTS), ids=lambda line: line.row)
def test_the_tests_are_where_the_table_says(line: Line) -> None:
    for place in line.tests:
        file, _, name = place.partition("::")
        there = standing().get(file, set())
        assert name in there if name else any(line.row in rows_of(one) for one in there), place


def test_what_has_no_test_has_a_reason() -> None:
    assert [line.row for line in lines(ROWS) if not line.tests and not line.reason] == []
    assert [line.row for line in lines(INVARIANTS) if not line.tests] == []


def test_no_test_has_the_name_of_a_row_that_is_none() -> None:
    """A slip of the pen would hide a test from whoever looks for its row."""
    named = {row for names in standing().values() for name in names for row in rows_of(name)}
    kinds = (*LENGTHS, "I", "B-F")
    assert {row for row in named if row.rstrip("0123456789") in kinds} <= {*ROWS, *INVARIANTS}
