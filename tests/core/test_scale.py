"""Money has no unit here: all prices times a power of two, all volumes by it, and no feature changes a bit."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.connectors.history import load_history
from src.core.clock import from_iso
from src.core.features import Row
from src.core.history import History
from src.core.indicators import INDICATORS
from src.core.timeframes import TimeRange
from tests.recorded import RECORDED, needs_recorded

from .walks import SETTINGS, SHORT, batch, rows, series, streams, walk

IN_POINTS = np.array([name.startswith("rsi") for name in INDICATORS])


def scaled(bars: History, factor: float) -> History:
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return msgspec.structs.replace(bars, **prices, volume=bars.volume / factor)


def assert_scaled(plain: Row, large: Row, factor: float) -> None:
    assert np.array_equal(plain.features, large.features, equal_nan=True)
    assert np.array_equal(plain.volatility, large.volatility, equal_nan=True)
    assert np.array_equal(plain.close * factor, large.close, equal_nan=True)
    expected = np.where(IN_POINTS, plain.indicators, plain.indicators * factor)
    assert np.array_equal(expected, large.indicators, equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32), power=st.sampled_from([-20, -10, 10, 40]), missing=st.sampled_from([0.0, 0.2]),
    step=st.sampled_from([0.0, 1e-7, 0.01]),
)  # fmt: skip
def test_a_power_of_two_changes_no_bit(seed: int, power: int, missing: float, step: float) -> None:
    bars = walk(np.random.default_rng(seed), 120, missing=missing, step=step)
    large = scaled(bars, 2.0**power)
    assert_scaled(rows(batch(bars, SHORT), bars), rows(batch(large, SHORT), large), 2.0**power)


def test_a_power_of_two_changes_no_bit_of_the_streams() -> None:
    bars = walk(np.random.default_rng(1), 150)
    large = scaled(bars, 1024.0)
    assert_scaled(rows(streams(bars, SHORT), bars), rows(streams(large, SHORT), large), 1024.0)


def test_a_price_that_stops_moving_turns_flat_at_the_same_bar_on_every_scale() -> None:
    bars = series([*(100.0 + (index * 7919 % 13) for index in range(60)), *[103.0] * 900])
    for power in (-40, 10, 40):
        large = scaled(bars, 2.0**power)
        assert_scaled(rows(batch(bars, SHORT), bars), rows(batch(large, SHORT), large), 2.0**power)


@needs_recorded
@pytest.mark.parametrize("factor", [1024.0, 1 / 1024])
def test_recorded_bars_times_1024(factor: float) -> None:
    window = TimeRange(from_iso("2021-01-01"), from_iso("2021-07-01"))
    bars = load_history(RECORDED, "binance", "1h", None, window)
    large = scaled(bars, factor)
    plain = rows(batch(bars, SETTINGS), bars)
    assert_scaled(plain, rows(batch(large, SETTINGS), large), factor)
    assert not np.isnan(plain.features[-1]).any()


@needs_recorded
def test_a_thousandfold_moves_features_by_less_than_1e9() -> None:
    window = TimeRange(from_iso("2021-01-01"), from_iso("2021-07-01"))
    bars = load_history(RECORDED, "binance", "1h", ["BTC/USDT", "DOGE/USDT"], window)
    large = scaled(bars, 1000.0)
    plain, changed = rows(batch(bars), bars), rows(batch(large), large)
    np.testing.assert_allclose(changed.features, plain.features, rtol=1e-9, atol=1e-9)
