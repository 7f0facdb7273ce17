"""The line of progress tells a share of the time that is walked, whatever happened between the bars."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from src.commands.progress import Progress
from src.core.clock import Timer

HOUR_MS = 3_600_000


def line(at: int, seconds: float, span: tuple[int, int] | None = (0, 100 * HOUR_MS)) -> str:
    """What is said of a slice, so many seconds after the start, when a thousand slices without bars came before it."""
    engine: Any = SimpleNamespace(counts=Counter())
    timer = Timer()
    progress = Progress(engine, timer, span, simulated=False, quiet=True)
    progress.phase = "backtest"
    progress.paced_from = -1
    report: Any = SimpleNamespace(at=at, bars=0, fills=(), equity=10_000.0, halted="", bus_up=True)
    for _ in range(1000):
        progress(report)
    return progress.line(report, progress._started + seconds)


@pytest.mark.parametrize(
    ("at", "said"),
    [(25 * HOUR_MS, "25%, 30 s left"), (50 * HOUR_MS, "50%, 10 s left"), (100 * HOUR_MS, "100%, 0 s left")],
)
def test_share_and_seconds_left_follow_the_time_of_the_data(at: int, said: str) -> None:
    assert f" | {said} | " in line(at, 10.0)


@pytest.mark.parametrize(("at", "span"), [(0, (0, HOUR_MS)), (2 * HOUR_MS, (0, HOUR_MS)), (HOUR_MS, None)])
def test_where_no_share_is_known_none_is_told(at: int, span: tuple[int, int] | None) -> None:
    assert "left" not in line(at, 10.0, span)
    assert "%" not in line(at, 10.0, span)
