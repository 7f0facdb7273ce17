"""Moats of the simulated market: marked, the same from wherever one looks, and with a planted effect to be found."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from src.backtesting.simulated_market import BLOCK_BARS, SimulatedMarket
from src.backtesting.simulated_moats import MoatsBesides
from src.core.config import Settings
from src.core.moats import MOATS, MoatBoard
from src.core.types import Slice, Status
from tests.worlds import settings

PLAIN = settings(simulated__pairs=["BTC/USD", "ETH/USD"], simulated__timeframe="1h")


def feed(tree: Settings = PLAIN, seed: int = 7) -> MoatsBesides:
    return MoatsBesides(SimulatedMarket(tree.simulated, seed), tree)


def some(count: int, tree: Settings = PLAIN, seed: int = 7) -> list[Slice]:
    return list(islice(feed(tree, seed), count))


def test_everything_is_marked_and_known_in_time() -> None:
    slices = some(BLOCK_BARS + 200)
    said = [seen for slice_ in slices for seen in slice_.observations]
    assert {seen.moat for seen in said} == set(MOATS)
    assert all(seen.simulated for seen in said)
    assert all(seen.known_at <= slice_.at for slice_ in slices for seen in slice_.observations)
    assert len({(seen.moat, seen.subject, seen.id) for seen in said}) == len(said)
    late = [s.at - seen.known_at for s in slices[1:] for seen in s.observations]
    assert max(late) < 3_600_000


def test_the_bars_are_those_of_the_market() -> None:
    market = SimulatedMarket(PLAIN.simulated, 7)
    for slice_, plain in zip(some(BLOCK_BARS + 5), market, strict=False):
        assert slice_.at == plain.at
        assert slice_.bars is not None
        assert plain.bars is not None
        assert slice_.bars.close.tobytes() == plain.bars.close.tobytes()


@pytest.mark.parametrize("cut", [1, 500, BLOCK_BARS - 1, BLOCK_BARS, BLOCK_BARS + 77])
def test_where_one_begins_to_look_changes_nothing(cut: int) -> None:
    whole = some(BLOCK_BARS + 100)
    rest = list(islice(feed().start_after(whole[cut - 1].at), BLOCK_BARS + 100 - cut))
    assert [(s.at, s.observations) for s in rest] == [(s.at, s.observations) for s in whole[cut:]]


def test_another_seed_is_another_world() -> None:
    assert [s.observations for s in some(50)] == [s.observations for s in some(50)]
    assert [s.observations for s in some(50)] != [s.observations for s in some(50, seed=8)]


def counts_and_moves(correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Commits of each bar, and the log move of the next bars after the lag, both (bars, pairs)."""
    tree = settings(
        simulated__pairs=["BTC/USD", "ETH/USD"], simulated__timeframe="1h", simulated__moats__commits_day=240.0,
        simulated__moats__commits_correlation=correlation, simulated__moats__commits_lag=3,
        simulated__moats__commits_horizon=6, simulated__tail_degrees=30.0, simulated__volatility_shock=0.0,
    )  # fmt: skip
    slices = some(4 * BLOCK_BARS, tree)
    close = np.log([s.bars.close for s in slices if s.bars is not None])
    counts = np.array([[sum(o.subject == base for o in s.observations) for base in ("BTC", "ETH")] for s in slices])
    ahead = np.full(close.shape, np.nan)
    ahead[:-9] = close[9:] - close[3:-6]
    return counts[:-9], ahead[:-9]


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values.ravel())).astype(float)


@pytest.mark.parametrize(("planted", "low", "high"), [(0.0, -0.06, 0.06), (0.4, 0.25, 0.45)])
def test_the_planted_effect_is_there_and_only_there(planted: float, low: float, high: float) -> None:
    counts, ahead = counts_and_moves(planted)
    assert low < np.corrcoef(ranks(counts), ranks(ahead))[0, 1] < high


def test_the_board_reads_them_in_a_simulation_alone() -> None:
    slices = some(24 * 40)
    inside, outside = (MoatBoard(feed().pairs, PLAIN.moats, simulation) for simulation in (True, False))
    for slice_ in slices:
        made_up, real = inside.push(slice_.at, slice_.observations), outside.push(slice_.at, slice_.observations)
    assert all(status in (Status.OK, Status.NEUTRAL) for status in made_up.statuses)
    assert made_up.values.all()
    assert set(real.statuses) == {Status.NO_DATA}
    assert real.simulated == (True,) * 4
    assert not real.values.any()
