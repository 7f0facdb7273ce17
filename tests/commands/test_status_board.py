"""What a process says of itself costs little, however often it is asked and however fast the market flies by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from src.commands import status
from src.commands.status import Board
from src.core.timeframes import HOUR_MS
from tests.worlds import settings


class Hand:
    """A timer whose hand is moved."""

    at = 100.0

    def seconds(self) -> float:
        return self.at


def test_discovery_is_looked_for_once_an_hour_and_not_at_every_question(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(status, "discover", lambda aligned, _: looked.append(aligned) or {"looks": len(looked)})
    house: Any = SimpleNamespace(seed=7, settings=settings(), model=SimpleNamespace(census=dict))
    feed = SimpleNamespace(simulated=True)
    source: Any = SimpleNamespace(health=None, name="simulated", feed=feed, timeframe="1m", pairs=())
    series: Any = SimpleNamespace(aligned=lambda: "series", view=None)
    ledger: Any = None
    hand: Any = Hand()
    board = Board(house, ledger, series, "paper", source, "", hand)
    assert [board._findings(HOUR_MS + ms)["discovery"] for ms in (0, 1, HOUR_MS - 1)] == [{"looks": 1}] * 3
    assert [board._findings(hour * HOUR_MS)["discovery"] for hour in range(2, 200)] == [{"looks": 1}] * 198
    hand.at += 29.0
    assert board._findings(200 * HOUR_MS)["discovery"] == {"looks": 1}
    hand.at += 1.0
    assert board._findings(200 * HOUR_MS)["discovery"] == {"looks": 2}
    hand.at += 1000.0
    assert board._findings(200 * HOUR_MS + 1)["discovery"] == {"looks": 2}, "the same hour"
