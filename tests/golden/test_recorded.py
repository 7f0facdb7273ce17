"""Recorded hours through the whole house: silence or losses are answers, but the promises hold on real prices too."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from src.connectors.history import load_history
from src.core.history import History
from src.core.timeframes import parse_timerange
from tests.golden.test_planted import ideas, scaled_world
from tests.recorded import RECORDED, needs_recorded
from tests.replays import Replay, replay
from tests.worlds import settings

pytestmark = needs_recorded


@pytest.fixture(scope="module")
def days() -> History:
    """All pairs of one stormy quarter, a missing hour included."""
    return load_history(RECORDED, "binance", "1h", None, parse_timerange("20210415-20210615"))


@pytest.fixture(scope="module")
def run(days: History) -> Replay:
    return replay(days, settings())


def test_every_decision_is_counted(days: History, run: Replay) -> None:
    engine, reports = run.house.engine, run.reports
    assert len(days.pairs) == 15
    met = engine.counts["collisions"] + engine.counts["conflicts"]
    spoken = [d for report in reports for d in report.decisions if d.kind in ("intent", "conflict", "refusal")]
    assert met == sum(1 for decision in spoken if decision.source == "trader") > 0
    assert len(ideas(run)) > 1_000
    trades = run.house.tracker.trades
    assert len(trades["baseline"]) > len(trades["synthesized"])


def test_equal_in_streams_and_in_a_sweep(days: History, run: Replay) -> None:
    assert replay(days, settings(), streamed=True).hashes == run.hashes


@pytest.mark.parametrize("cut", [412, 1_000])
def test_what_comes_later_changes_nothing_before(days: History, run: Replay, cut: int) -> None:
    short = replay(days.rows(0, cut), settings())
    assert [report.decisions for report in short.reports] == [report.decisions for report in run.reports[:cut]]


def test_prices_times_1024_give_the_same_ideas(days: History, run: Replay) -> None:
    assert ideas(replay(scaled_world(days, 1024.0), settings())) == ideas(run)


def test_a_missing_bar_is_not_data(days: History) -> None:
    gap = days.present.copy()
    gap[300:303, days.pairs.index("BTC/USDT")] = False
    prices = {}
    for name in ("open", "high", "low", "close"):
        column = getattr(days, name).copy()
        column[~gap] = np.nan
        prices[name] = column
    volume = np.where(gap, days.volume, 0.0)
    holed = replay(msgspec.structs.replace(days, present=gap, volume=volume, **prices), settings())
    missing = {report.at for report in holed.reports[300:303]}
    assert not [idea for idea in ideas(holed) if idea[1] == "BTC/USDT" and idea[0] in missing]
