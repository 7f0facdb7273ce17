"""The golden run that must trade: a planted edge, fixed in one file and never tuned, is found and paid for."""

from __future__ import annotations

import msgspec
import pytest

from src.backtesting.planted import planted_history
from src.core.history import History
from src.core.types import Pair
from tests.replays import Replay, replay
from tests.worlds import settings

PAIRS = [Pair(f"{base}/USDT") for base in ("AAVE", "ADA", "ATOM", "AVAX", "BTC", "COMP")]
HOUR, START, BARS = 3_600_000, 1_609_459_200_000, 2_000
CORRELATION, HORIZON, MARKET_SEED = 0.4, 6, 7
TREE = settings(builder__bootstrap_pairs=PAIRS)
"""Every pair has its team from the start; the population is the standard one."""


def world(correlation: float) -> History:
    """The planted market, or with 0 the same market without its effect."""
    return planted_history(PAIRS, BARS, correlation, HORIZON, MARKET_SEED, HOUR, START)


@pytest.fixture(scope="module")
def run() -> Replay:
    return replay(world(CORRELATION), TREE)


def test_the_swarm_finds_the_edge_and_trades_it(run: Replay) -> None:
    own = run.house.tracker.trades["synthesized"]
    assert len(own) >= 20
    assert run.house.engine.counts["collisions"] > len(own)
    assert run.house.desk.portfolio.fees > 0


def test_without_the_effect_it_stays_silent() -> None:
    noise = replay(world(0.0), TREE)
    assert len(noise.house.tracker.trades["synthesized"]) <= 2
    assert noise.house.engine.refusals["edge_below_cost"] > 0


def test_equal_runs_are_equal_and_another_seed_is_another_run(run: Replay) -> None:
    assert replay(world(CORRELATION), TREE).hashes == run.hashes
    other = replay(world(CORRELATION), TREE, seed=8)
    assert other.hashes[1] != run.hashes[1]


def test_features_computed_bar_by_bar_decide_the_same(run: Replay) -> None:
    assert replay(world(CORRELATION), TREE, streamed=True).hashes == run.hashes


@pytest.mark.parametrize("cut", [301, 977, 1_500])
def test_what_comes_later_changes_nothing_before(run: Replay, cut: int) -> None:
    short = replay(world(CORRELATION).rows(0, cut), TREE)
    before = [report.decisions for report in run.reports[:cut]]
    assert [report.decisions for report in short.reports] == before
    assert any(before)


@pytest.mark.parametrize("power", [10, -10])
def test_prices_times_1024_give_the_same_ideas(run: Replay, power: int) -> None:
    scaled = replay(scaled_world(world(CORRELATION), 2.0**power), TREE)
    assert ideas(scaled) == ideas(run)
    assert len(ideas(run)) > 1_000


def scaled_world(history: History, factor: float) -> History:
    """The same market quoted in another unit: prices times `factor`, volumes divided by it."""
    prices = {name: getattr(history, name) * factor for name in ("open", "high", "low", "close")}
    return msgspec.structs.replace(history, volume=history.volume / factor, **prices)


def ideas(run: Replay) -> list[tuple[object, ...]]:
    """(at, pair, side, score) of every idea, in order."""
    return [
        (decision.at, decision.pair, decision.side, decision.detail["score"])
        for report in run.reports
        for decision in report.decisions
        if decision.kind == "idea"
    ]
