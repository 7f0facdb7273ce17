"""The whole `mycelial run`, killed a hundred times: its journal is the one of a run that nobody disturbed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.commands.cli import SMALL, Process, books, journal, sound, write_planted
from tests.commands.test_kill import OFTEN, disturbed

EACH = 50
"""Kills of one run; more, and too little would happen between two of them."""


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(sys.platform != "linux", reason="kills as Linux does")
def test_p01_p03_the_whole_process_killed_a_hundred_times(tmp_path: Path) -> None:
    planted = write_planted(tmp_path / "planted", 400)
    words = ("--data", planted, *SMALL, *OFTEN, "--speed", "max")
    with Process(*words, cwd=tmp_path, state=tmp_path / "whole") as process:
        expected = process.result()
    rows = journal(tmp_path / "whole")
    assert {"order", "fill", "trade", "decisions", "mark"} <= {kind for kind, _, _ in rows}, "nothing to compare"
    for seed in range(100 // EACH):
        place = tmp_path / str(seed)
        place.mkdir()
        state, result = disturbed(planted, place, EACH, 1_000 + seed)
        assert sound(state)
        assert journal(state) == rows, "a row was lost, doubled or changed"
        assert books(result) == books(expected)
