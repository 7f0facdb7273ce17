"""Indicators: TA-Lib's own numbers, features by their formulas, and two sources that never differ by a bit."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from src.connectors.history import load_history
from src.core.checkpoint import dump, load
from src.core.clock import from_iso
from src.core.errors import ConfigError, DataError, InvariantError
from src.core.features import FLAT, MARKET_FEATURES, Row
from src.core.history import History
from src.core.indicators import INDICATOR_INDEX, INDICATORS, BatchSource
from src.core.market import FEATURE_INDEX, FEATURES
from src.core.timeframes import TimeRange
from tests.recorded import RECORDED, needs_recorded
from tests.worlds import settings as shipped

from .walks import HOUR, MONDAY, SETTINGS, SHORT, batch, history, rows, same, series, streams, walk, with_gaps

NAMES = tuple(feature.name for feature in MARKET_FEATURES)
PRICE_FEATURES = ("return_1", "return_5", "return_24", "rsi", "macd", "band", "ema", "adx", "atr_rank")
ODD = ("return_1", "return_5", "return_24", "rsi", "macd", "band", "ema")


def column(row: Row, name: str, pair: int = 0) -> np.ndarray:
    if name in FEATURE_INDEX:
        return row.features[:, pair, FEATURE_INDEX[name]]
    return row.indicators[:, pair, INDICATOR_INDEX[name]]


@pytest.fixture(scope="module")
def recorded() -> History:
    """3 pairs, hourly, more than 3000 bars with real outages."""
    window = TimeRange(from_iso("2021-01-15"), from_iso("2021-06-01"))
    return load_history(RECORDED, "binance", "1h", ["BTC/USDT", "ETH/USDT", "DOGE/USDT"], window)


# TA-Lib's own numbers


def test_indicators_are_talib_over_the_present_bars() -> None:
    bars = walk(np.random.default_rng(1), 400)
    got = rows(batch(bars), bars)
    for pair in range(2):
        there = bars.present[:, pair]
        high, low, close = bars.high[there, pair], bars.low[there, pair], bars.close[there, pair]
        expected = {"atr": talib.ATR(high, low, close, 14)}
        for team, (rsi, macd, width) in enumerate(
            ((7, (8, 17, 9), 14), (14, (12, 26, 9), 20), (21, (19, 39, 9), 30)), 1
        ):
            histogram = talib.MACD(close, *macd)[2]
            upper, middle, lower = talib.BBANDS(close, width, 2.0, 2.0)
            expected |= {
                f"rsi_{team}": talib.RSI(close, rsi),
                f"macd_hist_{team}": histogram,
                f"macd_hist_prev_{team}": np.concatenate([[np.nan], histogram[:-1]]),
                f"bb_upper_{team}": upper,
                f"bb_mid_{team}": middle,
                f"bb_lower_{team}": lower,
            }
        assert set(expected) == set(INDICATORS)
        for name, values in expected.items():
            assert np.array_equal(column(got, name, pair)[there], values, equal_nan=True), name


def test_features_follow_their_formulas() -> None:
    bars = walk(np.random.default_rng(2), 300, pairs=1, missing=0.0)
    got = rows(batch(bars, SHORT), bars)
    high, low, close, volume = (values[:, 0] for values in (bars.high, bars.low, bars.close, bars.volume))
    atr = talib.ATR(high, low, close, 14)
    upper, middle, _ = talib.BBANDS(close, 20, 2.0, 2.0)
    ratio = atr / close
    for now in range(60, 300):
        last = ratio[now - 9 : now + 1]
        window = volume[now - 5 : now + 1]
        expected = {
            "return_1": (close[now] - close[now - 1]) / atr[now],
            "return_5": (close[now] - close[now - 5]) / atr[now],
            "return_24": (close[now] - close[now - 24]) / atr[now] / math.sqrt(24),
            "rsi": (talib.RSI(close, 14)[now] - 50) / 50,
            "macd": talib.MACD(close, 12, 26, 9)[2][now] / atr[now],
            "band": (close[now] - middle[now]) / (upper[now] - middle[now]),
            "ema": (talib.EMA(close, 9)[now] - talib.EMA(close, 21)[now]) / atr[now],
            "adx": talib.ADX(high, low, close, 14)[now] / 50,
            "volume": (volume[now] - window.mean()) / window.std(),
            "atr_rank": 2 * ((last < last[-1]).sum() + 0.5 * (last == last[-1]).sum()) / 10 - 1,
        }
        for name, value in expected.items():
            assert column(got, name)[now] == pytest.approx(value, rel=1e-12, abs=1e-12), (name, now)


def test_the_clock_features_are_those_of_the_bars_close() -> None:
    bars = series([100.0] * 30)
    got = rows(batch(bars), bars)
    for row, at in enumerate(bars.times.tolist()):
        hour, weekday = (at - MONDAY) // HOUR % 24, (at - MONDAY) // (24 * HOUR)
        expected = [math.sin(2 * math.pi * hour / 24), math.cos(2 * math.pi * hour / 24)]
        expected += [math.sin(2 * math.pi * weekday / 7), math.cos(2 * math.pi * weekday / 7)]
        assert got.features[row, 0, -4:].tolist() == pytest.approx(expected, abs=1e-15)
    assert column(got, "weekday_cos")[0] == 1.0
    assert column(got, "weekday_sin")[29] == pytest.approx(math.sin(2 * math.pi / 7))


def test_volatility_is_the_weighted_mean_of_squared_returns_an_interval() -> None:
    closes = [100.0, 101.0, None, None, 99.0, 99.0, 102.0, None, 103.0]
    bars = with_gaps(closes)
    got = rows(batch(bars, SHORT), bars).volatility[:, 0]
    keep = SHORT.indicators.volatility_memory
    known = [(hour, close) for hour, close in enumerate(closes) if close is not None]
    squares = [math.log(b / a) ** 2 / (y - x) for (x, a), (y, b) in pairwise(known)]
    weights = [keep**age for age in reversed(range(len(squares)))]
    expected = math.sqrt(sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights))
    assert len(squares) == SHORT.indicators.volatility_warmup
    assert np.isnan(got[:-1]).all()
    assert got[-1] == pytest.approx(expected, rel=1e-14)


def test_names_are_distinct_and_every_feature_says_what_it_means() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    assert len(set(INDICATORS)) == len(INDICATORS) == 19
    assert all(feature.meaning for feature in MARKET_FEATURES)


# What is not known is NaN, and nothing else is


def test_a_flat_price_is_not_a_neutral_one() -> None:
    bars = series([7.3] * 300, volumes=[5.0, 6.0] * 150)
    got = rows(batch(bars), bars)
    for name in PRICE_FEATURES:
        assert np.isnan(column(got, name)).all(), name
    assert not np.isnan(column(got, "volume")[48:]).any()
    assert got.volatility[-1, 0] == 0.0


def test_a_price_that_stopped_moving_long_ago_is_flat_too() -> None:
    moving = walk(np.random.default_rng(3), 100, pairs=1, missing=0.0).close[:, 0]
    bars = series([*moving, *[float(moving[-1])] * 900])
    got = rows(batch(bars), bars)
    atr = column(got, "atr")
    moved = atr > FLAT * bars.close[:, 0]
    assert moved[99:300].all()
    assert not moved[-1]
    assert atr[-1] > 0.0
    assert np.isnan(column(got, "macd")[~moved]).all()
    assert np.nanmax(np.abs(column(got, "macd")[moved])) < 10.0


def test_equal_volumes_have_no_score() -> None:
    for volume in (0.0, 0.1, 1.0 / 3.0, 1e9):
        bars = series(np.linspace(100.0, 110.0, 60).tolist(), volumes=[volume] * 60)
        assert np.isnan(column(rows(batch(bars), bars), "volume")).all()


def test_warm_up_is_nan_to_the_bar() -> None:
    bars = walk(np.random.default_rng(4), 400, pairs=1, missing=0.0)
    got = rows(batch(bars), bars)
    first = {name: int(np.argmax(~np.isnan(column(got, name)))) for name in NAMES}
    assert first == {
        "return_1": 14,
        "return_5": 14,
        "return_24": 24,
        "rsi": 14,
        "macd": 33,
        "band": 19,
        "ema": 20,
        "adx": 27,
        "volume": 47,
        "atr_rank": 14 + 199,
        "hour_sin": 0,
        "hour_cos": 0,
        "weekday_sin": 0,
        "weekday_cos": 0,
    }
    assert int(np.argmax(~np.isnan(got.volatility[:, 0]))) == 50
    assert not np.isnan(got.features[14 + 199 :]).any()


def test_one_bar_and_no_bar() -> None:
    bars = with_gaps([None, 100.0, None])
    for source in (batch(bars), streams(bars)):
        got = rows(source, bars)
        assert np.isnan(got.features[0, 0]).all()
        assert np.isnan(got.close[0, 0])
        assert got.close[1:, 0].tolist() == [100.0, 100.0]
        assert np.isnan(got.indicators[:, 0]).all()
        assert np.array_equal(got.features[1, 0], got.features[2, 0], equal_nan=True)


def test_where_a_bar_is_missing_the_last_values_stand() -> None:
    bars = walk(np.random.default_rng(5), 300, missing=0.3)
    got = rows(batch(bars), bars)
    for row, pair in zip(*np.nonzero(~bars.present), strict=True):
        if row:
            assert all(np.array_equal(a[row, pair], a[row - 1, pair], equal_nan=True) for a in got)


# Two sources, one result


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), bars=st.integers(1, 160), missing=st.sampled_from([0.0, 0.1, 0.6]),
    step=st.sampled_from([0.0, 1e-6, 0.01, 0.2]),
)  # fmt: skip
def test_streams_equal_the_batch_bit_for_bit(seed: int, bars: int, missing: float, step: float) -> None:
    made = walk(np.random.default_rng(seed), bars, missing=missing, step=step)
    assert same(rows(streams(made, SHORT), made), rows(batch(made, SHORT), made))


@needs_recorded
def test_streams_equal_the_batch_on_recorded_bars(recorded: History) -> None:
    assert len(recorded.times) > 3000
    got = rows(streams(recorded), recorded)
    assert same(got, rows(batch(recorded), recorded))
    assert not np.isnan(got.features[-1]).any()


def test_other_settings_change_both_sources_alike() -> None:
    tree = shipped(indicators__rsi=9, indicators__macd=[5, 11, 4], indicators__bollinger=25, indicators__ema_fast=3)
    bars = walk(np.random.default_rng(6), 200)
    got = rows(streams(bars, tree), bars)
    assert same(got, rows(batch(bars, tree), bars))
    there = bars.present[:, 0]
    expected = (talib.RSI(bars.close[there, 0], 9) - 50.0) / 50.0
    expected[:14] = np.nan  # whether the price moves at all is known with the first ATR
    assert np.array_equal(column(got, "rsi")[there], expected, equal_nan=True)
    assert np.array_equal(column(got, "rsi_2")[there], talib.RSI(bars.close[there, 0], 14), equal_nan=True)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 139))
def test_nothing_before_a_cut_changes_when_bars_follow(seed: int, cut: int) -> None:
    bars = walk(np.random.default_rng(seed), 140, missing=0.05)
    cut = min(cut, len(bars.times))
    part = bars.rows(0, cut)
    whole = rows(batch(bars, SHORT), bars)
    assert same(rows(batch(part, SHORT), part), Row(*(array[:cut] for array in whole)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_mirrored_market_has_mirrored_features(seed: int) -> None:
    bars = walk(np.random.default_rng(seed), 150, pairs=1, missing=0.0)
    turned = history(300.0 - bars.low, 300.0 - bars.high, 300.0 - bars.close, bars.volume, bars.present)
    plain, mirrored = rows(batch(bars, SHORT), bars), rows(batch(turned, SHORT), turned)
    for name in ODD:
        np.testing.assert_allclose(column(mirrored, name), -column(plain, name), rtol=0, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(column(mirrored, "rsi_1"), 100.0 - column(plain, "rsi_1"), rtol=0, atol=1e-8)
    for name in ("adx", "volume"):
        np.testing.assert_allclose(column(mirrored, name), column(plain, name), rtol=0, atol=1e-9, err_msg=name)


# Restart


@pytest.mark.parametrize("cut", [1, 20, 33, 34, 60, 150])
def test_a_restart_inside_the_stored_bars_changes_no_bit(cut: int) -> None:
    bars = walk(np.random.default_rng(7), 200)
    cut = min(cut, len(bars.times) - 1)
    before, after, unbroken = streams(bars), streams(bars), streams(bars)
    rows(before, bars.rows(0, cut))
    rows(unbroken, bars.rows(0, cut))
    restored = after.restore(load(dump(before.state())))
    assert same(restored, before.restore(before.state()))
    rest = bars.rows(cut, len(bars.times))
    assert same(rows(after, rest), rows(unbroken, rest))


def test_a_restart_after_a_long_run_differs_by_less_than_1e9() -> None:
    bars = walk(np.random.default_rng(8), 2600, pairs=1, missing=0.0)
    unbroken, after = streams(bars), streams(bars)
    rows(unbroken, bars.rows(0, 2500))
    state = unbroken.state()
    assert len(state["bars"][0]) == 37 * 48
    after.restore(load(dump(state)))
    rest = bars.rows(2500, 2600)
    left, right = rows(unbroken, rest), rows(after, rest)
    np.testing.assert_allclose(right.features, left.features, rtol=1e-9, atol=1e-9)
    scale = np.ones(len(INDICATORS))
    scale[[not name.startswith("rsi") for name in INDICATORS]] = column(left, "atr").min()
    assert (np.abs(right.indicators - left.indicators) <= 1e-9 * np.maximum(np.abs(left.indicators), scale)).all()
    assert np.array_equal(left.volatility, right.volatility)


def test_a_batch_goes_on_after_its_stored_row() -> None:
    bars = walk(np.random.default_rng(9), 80)
    first, second = batch(bars), batch(bars)
    rows(first, bars.rows(0, 50))
    second.restore(load(dump(first.state())))
    rest = bars.rows(50, len(bars.times))
    assert same(rows(second, rest), rows(first, rest))


def test_a_state_of_other_pairs_or_periods_is_refused() -> None:
    bars = walk(np.random.default_rng(10), 40)
    state = streams(bars).state()
    other = walk(np.random.default_rng(10), 40, pairs=1)
    with pytest.raises(ConfigError, match="state is of P0/USD, P1/USD"):
        streams(other).restore(state)
    with pytest.raises(ConfigError, match="windows of the indicators changed"):
        streams(bars, shipped(indicators__rsi=9)).restore(state)
    with pytest.raises(ConfigError, match="windows of the indicators changed"):
        streams(bars, SHORT).restore(state)


# Bad input


@pytest.mark.parametrize(("name", "value"), [("close", 0.0), ("low", -1.0), ("high", math.inf), ("volume", math.nan)])
def test_a_bar_that_cannot_be_is_named(name: str, value: float) -> None:
    bars = walk(np.random.default_rng(11), 40, missing=0.0)
    columns = {key: np.array(getattr(bars, key)) for key in ("high", "low", "close", "volume")}
    columns[name][30, 1] = value
    broken = history(**columns, present=bars.present)
    with pytest.raises(DataError, match=r"bar of P1/USD known at 2023-01-03T07:00:00.000Z: .*repair or leave out"):
        batch(broken)
    source = streams(broken)
    rows(source, broken.rows(0, 30))
    with pytest.raises(DataError, match=r"bar of P1/USD known at 2023-01-03T07:00:00.000Z"):
        source.advance(broken.block(30))


def test_a_bar_that_comes_twice_is_refused() -> None:
    bars = walk(np.random.default_rng(12), 40, missing=0.0)
    for source in (batch(bars), streams(bars)):
        source.advance(bars.block(3))
        for row in (3, 2):
            with pytest.raises(InvariantError, match="market: "):
                source.advance(bars.block(row))


def test_a_batch_refuses_bars_it_did_not_prepare() -> None:
    bars, others = (walk(np.random.default_rng(seed), 40, missing=0.0) for seed in (13, 14))
    with pytest.raises(InvariantError, match=r"bar of P0/USD at 2023-01-02T01:00:00.000Z is not the prepared one"):
        batch(bars).advance(others.block(0))
    with pytest.raises(InvariantError, match="do not follow in the prepared history"):
        batch(bars.rows(0, 20)).advance(bars.block(30))


def test_times_closer_than_an_interval_are_refused() -> None:
    bars = walk(np.random.default_rng(15), 5, missing=0.0)
    columns = (array.copy() for array in bars.columns())
    close = History(bars.pairs, HOUR, bars.times - np.arange(5), *columns, bars.present.copy())
    with pytest.raises(DataError, match="less than their interval"):
        BatchSource(close, SETTINGS.indicators, SETTINGS.analysts)


def test_periods_talib_does_not_take_are_refused() -> None:
    bars = walk(np.random.default_rng(16), 5)
    with pytest.raises(ConfigError, match=r"indicators\.macd: the fast period"):
        batch(bars, shipped(indicators__macd=[1, 26, 9]))
    with pytest.raises(ConfigError, match=r"indicators\.macd: the fast period"):
        streams(bars, shipped(indicators__macd=[26, 12, 9]))


@pytest.mark.parametrize("change_every", [1, 3, 10_000])
def test_what_stands_beside_the_features_is_that_of_its_slice(change_every: int) -> None:
    bars = walk(np.random.default_rng(9), 5000, pairs=2)
    source, other = batch(bars), streams(bars)
    values = np.zeros((2, 4))
    kept = []
    for number, (_, block) in enumerate(bars.blocks()):
        if number % change_every == 0:
            values = np.full((2, 4), float(number))
        row, slow = source.advance(block), other.advance(block)
        both = source.beside(values)
        assert not both.flags.writeable
        assert np.array_equal(both, np.concatenate((slow.features, values), axis=1), equal_nan=True)
        if number % 500 == 0:
            kept.append((both, both.copy(), row.close, row.close.copy()))
    for both, copy, close, closes in kept:  # nobody changes what was handed out, though its table is given back
        assert np.array_equal(both, copy, equal_nan=True)
        assert np.array_equal(close, closes, equal_nan=True)


def test_a_batch_goes_on_from_any_row_with_the_same_numbers() -> None:
    bars = walk(np.random.default_rng(10), 300, pairs=2)
    blocks = [block for _, block in bars.blocks()]
    whole = rows(batch(bars), bars)
    source = batch(bars)
    for row in (250, 20, len(blocks) - 1):
        source.restore({"row": row - 1})
        got = source.advance(blocks[row])
        assert all(np.array_equal(one, all_[row], equal_nan=True) for one, all_ in zip(got, whole, strict=True))
        assert np.array_equal(source.beside(np.ones((2, 1)))[:, :-1], got.features, equal_nan=True)
    with pytest.raises(InvariantError):
        source.advance(blocks[200])
