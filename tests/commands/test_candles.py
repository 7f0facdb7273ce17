"""The newest candles of a process: of the pair that was asked for, where it has some, oldest first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from src.commands.candles import MOST, Candles
from src.core.errors import NotFound, UsageError
from src.core.types import BarBlock, Pair

PAIRS = (Pair("BTC/USD"), Pair("ETH/USD"))


def block(opened: int, present: tuple[bool, bool] = (True, True)) -> BarBlock:
    """Prices that tell pair, column and time."""
    columns = [np.array([10.0 * n + opened, 100.0 * n + opened]) for n in range(1, 6)]
    return BarBlock(PAIRS, opened, *columns, np.array(present))


def kept(*blocks: BarBlock | None) -> Candles:
    candles = Candles()
    for one in blocks:
        report: Any = SimpleNamespace(snapshot=SimpleNamespace(bars=one))
        candles.take(report)
    return candles


def test_those_of_one_pair_without_what_is_missing() -> None:
    found = kept(block(1), None, block(2, (True, False)), block(3)).told({"pair": "ETH/USD"})
    assert found == {
        "pair": "ETH/USD",
        "opened": [1, 3],
        "open": [101.0, 103.0],
        "high": [201.0, 203.0],
        "low": [301.0, 303.0],
        "close": [401.0, 403.0],
        "volume": [501.0, 503.0],
    }
    assert {type(value) for name in ("open", "volume") for value in found[name]} == {float}


def test_none_yet_no_such_pair_and_no_more_than_an_answer_holds() -> None:
    assert kept().told({"pair": "BTC/USD"})["opened"] == []
    with pytest.raises(NotFound, match="no pair 'DOGE/USD'; it trades BTC/USD, ETH/USD"):
        kept(block(1)).told({"pair": "DOGE/USD"})
    assert len(kept(*map(block, range(MOST + 5))).told({"pair": "BTC/USD"})["opened"]) == MOST


def test_no_more_than_was_asked_for_is_looked_at() -> None:
    candles = kept(block(1), block(2), block(3, (True, False)))
    assert candles.told({"pair": "BTC/USD", "newest": 2})["opened"] == [2, 3]
    assert candles.told({"pair": "ETH/USD", "newest": 2})["opened"] == [2]


@pytest.mark.parametrize("newest", [0, -1, MOST + 1, 2.0, "all", True, None])
def test_a_number_of_candles_that_cannot_be_is_refused(newest: object) -> None:
    with pytest.raises(UsageError, match="a whole number from 1 to 1000"):
        kept(block(1)).told({"pair": "BTC/USD", "newest": newest})
