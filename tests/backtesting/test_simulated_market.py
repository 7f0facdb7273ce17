"""The made-up market is what it says: repeatable, correlated, fat-tailed, drift-free, and planted to measure."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from src.backtesting.planted import linear_strength, planted_history
from src.backtesting.simulated_market import BLOCK_BARS, SimulatedMarket
from src.core import config
from src.core.errors import ConfigError, UsageError
from src.core.history import HistoryFeed, SliceDigest
from src.core.types import FloatArray, Slice

HOUR, MINUTE, DAY = 3_600_000, 60_000, 86_400_000
START = 1_704_067_200_000  # 2024-01-01
PAIRS = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
WINDOW, HORIZON = 48, 6

# What the figures below are about; everything else is as configured.
PINNED: dict[str, Any] = {
    "start": "2024-01-01",
    "timeframe": "1m",
    "volatility_day_ratio": 0.04,
    "volatility_persistence": 0.97,
    "volatility_shock": 0.25,
    "tail_degrees": 4.0,
    "correlation": 0.5,
    "regime_days": 10.0,
    "regime_drift_day_ratio": 0.003,
    "volume_quote": 250_000.0,
    "plant_correlation": 0.0,
    "plant_horizon": HORIZON,
}


def settings(**changes: Any) -> config.SimulatedMarket:
    raw = yaml.safe_load(Path("config/agent_config.yaml").read_text())["simulated"]
    return config.SimulatedMarket.model_validate(raw | PINNED | changes)


def digest(slices: list[Slice]) -> str:
    hashed = SliceDigest((), MINUTE)
    for slice_ in slices:
        hashed.update(slice_)
    return hashed.hexdigest()


def columns(market: SimulatedMarket, blocks: int) -> dict[str, FloatArray]:
    made = list(islice(market.blocks(), blocks))
    return {name: np.concatenate([getattr(one, name) for one in made]) for name in ("open", "close", "volume")}


def ranks(values: FloatArray) -> FloatArray:
    return np.argsort(np.argsort(values)).astype(np.float64)


def spearman(first: FloatArray, second: FloatArray) -> float:
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def volume_z(volume: FloatArray) -> FloatArray:
    """The z-score over the last WINDOW bars, from bar WINDOW - 1 on."""
    windows = np.lib.stride_tricks.sliding_window_view(volume, WINDOW)
    return np.asarray((volume[WINDOW - 1 :] - windows.mean(axis=1)) / windows.std(axis=1))


def test_it_is_a_feed_of_the_pairs_and_prices_of_the_settings() -> None:
    market = SimulatedMarket(settings(), 7)
    first, second = islice(market, 2)
    assert len(market.pairs) == 18
    assert market.pairs == tuple(sorted(market.pairs))
    assert market.interval_ms == MINUTE
    assert (first.at, second.at) == (START + MINUTE, START + 2 * MINUTE)
    assert first.bars is not None
    assert second.bars is not None
    assert first.bars.open[market.pairs.index("BTC/USD")] == 42_000.0
    assert first.bars.opened == START
    assert second.bars.open.tolist() == first.bars.close.tolist()
    assert first.bars.present.all()
    assert not first.bars.close.flags.writeable


def test_every_slice_says_that_it_is_made_up() -> None:
    market = SimulatedMarket(settings(), 7, end_ms=START + DAY)
    assert market.simulated is True
    assert all(slice_.simulated for slice_ in market)


def test_the_end_is_not_included() -> None:
    for minutes in (1, BLOCK_BARS - 1, BLOCK_BARS, BLOCK_BARS + 1):
        slices = list(SimulatedMarket(settings(), 7, end_ms=START + minutes * MINUTE))
        assert len(slices) == minutes
        assert all(later.at - earlier.at == MINUTE for earlier, later in pairwise(slices))
    assert list(SimulatedMarket(settings(), 7, end_ms=START)) == []


def test_the_seed_decides_everything() -> None:
    one, same, other = (digest(list(islice(SimulatedMarket(settings(), seed), 2000))) for seed in (7, 7, 8))
    assert one == same
    assert one != other


@pytest.mark.parametrize("plant", [0.0, 0.4])
@pytest.mark.parametrize("done", [1, 1000, BLOCK_BARS, BLOCK_BARS + 1, 2500])
def test_where_one_begins_to_look_changes_no_number(plant: float, done: int) -> None:
    market = SimulatedMarket(settings(plant_correlation=plant), 7, end_ms=START + 3000 * MINUTE)
    slices = list(market)
    assert digest(list(market.start_after(slices[done - 1].at))) == digest(slices[done:])


def test_a_longer_market_begins_like_a_shorter_one() -> None:
    short = list(SimulatedMarket(settings(plant_correlation=0.3), 7, end_ms=START + 1500 * MINUTE))
    assert digest(short) == digest(list(islice(SimulatedMarket(settings(plant_correlation=0.3), 7), 1500)))


def test_the_bars_are_bars() -> None:
    for block in islice(SimulatedMarket(settings(), 3).blocks(), 20):
        assert (block.low > 0).all()
        assert (block.low <= np.minimum(block.open, block.close)).all()
        assert (block.high >= np.maximum(block.open, block.close)).all()
        assert (block.volume > 0).all()
        assert np.isfinite(block.high).all()


def test_volatility_correlation_tails_and_turnover_are_those_asked_for() -> None:
    made = columns(SimulatedMarket(settings(), 7), 200)
    returns = np.log(made["close"] / made["open"])
    daily = returns.std(axis=0) * np.sqrt(1440)
    assert daily == pytest.approx(np.full(18, 0.04), rel=0.12)
    correlations = np.corrcoef(returns.T)[np.triu_indices(18, 1)]
    assert correlations.mean() == pytest.approx(0.5, abs=0.04)
    assert ((returns / returns.std(axis=0)) ** 4).mean() > 10.0
    turnover = made["close"] * made["volume"]
    assert turnover.mean() == pytest.approx(250_000.0, rel=0.1)
    size = np.abs(returns)
    assert np.corrcoef(size[:, 0], turnover[:, 0])[0, 1] > 0.5
    clustering = [np.corrcoef(size[:-10, p], size[10:, p])[0, 1] for p in range(18)]
    assert min(clustering) > 0.15
    memory = [np.corrcoef(returns[:-1, p], returns[1:, p])[0, 1] for p in range(18)]
    assert abs(np.mean(memory)) < 0.02


def test_without_regimes_the_expected_price_stays_where_it_is() -> None:
    """The mean of price ratios over a day stays within four standard errors of one."""
    plain = settings(regime_drift_day_ratio=0.0, correlation=0.0, timeframe="1h", volatility_day_ratio=0.1)
    made = columns(SimulatedMarket(plain, 7), 100)
    ratios = (made["close"] / made["open"]).ravel()
    error = ratios.std() / np.sqrt(len(ratios))
    assert abs(ratios.mean() - 1.0) < 4 * error
    undone = np.exp(np.log(ratios) + 0.5 * 0.1**2 / 24)
    assert abs(undone.mean() - 1.0) > 4 * error


def test_regimes_drift_up_and_down() -> None:
    strong = settings(regime_drift_day_ratio=0.5, volatility_day_ratio=0.001, timeframe="1h", correlation=0.0)
    made = columns(SimulatedMarket(strong, 7), 20)
    drift = np.log(made["close"] / made["open"]) * 24
    shares = [float(np.mean(np.abs(drift - level) < 0.1)) for level in (-0.5, 0.0, 0.5)]
    assert min(shares) > 0.2
    assert sum(shares) > 0.99


def test_the_leader_of_the_settings_trades_most() -> None:
    made = columns(SimulatedMarket(settings(), 7), 10)
    market = SimulatedMarket(settings(), 7)
    turnover = dict(zip(market.pairs, (made["close"] * made["volume"]).mean(axis=0), strict=True))
    assert max(turnover, key=lambda pair: turnover[pair]) == "BTC/USD"
    assert min(turnover, key=lambda pair: turnover[pair]) == "FIL/USD"


def test_a_planted_market_carries_its_signal_in_the_volume() -> None:
    def measured(plant: float) -> float:
        made = columns(SimulatedMarket(settings(plant_correlation=plant, timeframe="1h"), 7), 8)
        price, last = np.log(made["close"]), len(made["close"]) - HORIZON
        moves = price[HORIZON:] - price[:last]
        return float(np.mean([spearman(made["volume"][:last, p], moves[:, p]) for p in range(18)]))

    assert 0.28 < measured(0.4) < 0.45
    assert abs(measured(1e-12)) < 0.03


def test_settings_that_make_no_market_are_refused() -> None:
    with pytest.raises(ConfigError, match="no price for XMR; add one"):
        SimulatedMarket(settings(pairs=("XMR/USD",)), 7)
    with pytest.raises(ConfigError, match="'BTC' is not BASE/QUOTE"):
        SimulatedMarket(settings(pairs=("BTC",)), 7)
    with pytest.raises(ConfigError, match="'soon' is no date"):
        SimulatedMarket(settings(start="soon"), 7)
    with pytest.raises(ConfigError, match="plant_horizon: at most 1024"):
        SimulatedMarket(settings(plant_horizon=1025), 7)
    with pytest.raises(UsageError, match="off the grid of 1m bars"):
        SimulatedMarket(settings(), 7, start_ms=START + 1)


def test_planted_strength_is_measured_in_the_feature_that_is_read() -> None:
    """Volume z-score over 48 bars against the move of the next 6, as a learner sees it, and the controls."""
    history = planted_history(PAIRS, 8000, 0.4, HORIZON, 7, HOUR, START)
    forward, now = [], []
    for p in range(len(PAIRS)):
        price = np.log(history.close[:, p])
        returns = np.diff(price, prepend=np.log(history.open[0, p]))
        rows = np.arange(WINDOW - 1, len(price) - HORIZON)
        z = volume_z(history.volume[:, p])[: len(rows)]
        forward.append(spearman(z, price[rows + HORIZON] - price[rows]))
        now.append(spearman(history.volume[rows, p], returns[rows]))
    assert np.mean(forward) == pytest.approx(0.4, abs=0.05)
    assert min(forward) > 0.33
    assert abs(np.mean(now)) < 0.02


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.4])
def test_the_carrier_has_the_strength_asked_for_and_nothing_else_has(correlation: float) -> None:
    history = planted_history(PAIRS, 20_000, correlation, HORIZON, 3, HOUR, START)
    carried, past, momentum = [], [], []
    for p in range(len(PAIRS)):
        price = np.log(history.close[:, p])
        rows = np.arange(HORIZON, len(price) - HORIZON)
        ahead, before = price[rows + HORIZON] - price[rows], price[rows] - price[rows - HORIZON]
        carried.append(spearman(history.volume[rows, p], ahead))
        past.append(spearman(history.volume[rows, p], before))
        momentum.append(spearman(before, ahead))
    assert np.mean(carried) == pytest.approx(correlation, abs=0.03)
    assert abs(np.mean(past)) < 0.03
    assert abs(np.mean(momentum)) < 0.03


def test_the_twin_without_the_effect_has_the_same_prices() -> None:
    planted, blind = (planted_history(PAIRS, 500, strength, HORIZON, 7, HOUR, START) for strength in (0.4, 0.0))
    np.testing.assert_array_equal(planted.close, blind.close)
    np.testing.assert_array_equal(planted.high, blind.high)
    assert not np.array_equal(planted.volume, blind.volume)


def test_a_planted_history_is_a_simulated_replay() -> None:
    history = planted_history(PAIRS[::-1], 300, 0.4, HORIZON, 7, HOUR, START)
    feed = HistoryFeed(history)
    slices = list(feed)
    assert history.pairs == PAIRS
    assert feed.simulated
    assert all(slice_.simulated for slice_ in slices)
    assert (len(slices), slices[0].at) == (300, START + HOUR)
    assert (history.low <= np.minimum(history.open, history.close)).all()
    assert (history.high >= np.maximum(history.open, history.close)).all()
    returns = np.log(history.close / history.open)
    assert returns.std() == pytest.approx(0.012, rel=0.1)
    assert HistoryFeed(planted_history(PAIRS, 300, 0.4, HORIZON, 7, HOUR, START)).data_sha256 == feed.data_sha256


@pytest.mark.parametrize(
    "arguments",
    [
        ((), 10, 0.4, 6, 7, HOUR, START),
        (PAIRS, 0, 0.4, 6, 7, HOUR, START),
        (PAIRS, 10, 1.0, 6, 7, HOUR, START),
        (PAIRS, 10, -0.1, 6, 7, HOUR, START),
        (PAIRS, 10, 0.4, 0, 7, HOUR, START),
        (PAIRS, 10, 0.4, 6, 7, HOUR, START + 1),
    ],
)
def test_impossible_plants_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match=r"planted market needs|off the grid"):
        planted_history(*arguments)


def test_rank_and_linear_correlation_agree_at_the_ends() -> None:
    assert linear_strength(0.0) == 0.0
    assert linear_strength(1.0) == pytest.approx(1.0)


def test_the_signal_reaches_across_the_end_of_a_block() -> None:
    """The volume of a block's last bar leans by moves that lie wholly in the next block."""
    planted = settings(plant_correlation=0.4, correlation=0.0, timeframe="1h", regime_drift_day_ratio=0.0)
    leans, moves = [], []
    for block, following in pairwise(islice(SimulatedMarket(planted, 7).blocks(), 80)):
        leans.append(block.volume[-1] / block.volume[-WINDOW:].mean(axis=0))
        moves.append(np.log(following.close[HORIZON - 1] / block.close[-1]))
    assert spearman(np.concatenate(leans), np.concatenate(moves)) > 0.2
