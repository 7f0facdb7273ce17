"""Anomalies and correlations: exact by hand, aligned in time, and as rare on noise as is said beside them."""

from __future__ import annotations

import doctest
import math
from statistics import mean, stdev

import msgspec
import numpy as np
import pytest

from src.backtesting import discovery
from src.backtesting.discovery import (
    MARKET,
    Sampled,
    anomalies,
    anomaly_chance,
    correlate,
    correlations,
    discover,
    distances,
    sampled,
)
from src.core.timeframes import HOUR_MS
from tests.backtesting.moat_worlds import tree, walked
from tests.core.test_inference import after_one_another

SETTINGS = tree().statistics


def test_a_distance_is_from_the_window_before() -> None:
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    found = distances(values, 4)
    assert np.isnan(found[:4]).all()
    before = [3.0, 1.0, 4.0, 1.0]
    assert found[4] == pytest.approx((5.0 - mean(before)) / stdev(before))
    before = [1.0, 4.0, 1.0, 5.0]
    assert found[5] == pytest.approx((9.0 - mean(before)) / stdev(before))


def test_a_window_with_gaps_needs_a_half() -> None:
    gap = math.nan
    found = distances(np.array([3.0, gap, 4.0, gap, 5.0]), 4)
    assert found[4] == pytest.approx((5.0 - 3.5) / stdev([3.0, 4.0]))
    assert np.isnan(distances(np.array([gap, gap, 4.0, gap, 5.0]), 4)).all()
    assert np.isnan(distances(np.array([3.0, gap, gap, gap, gap, 4.0, 5.0]), 6)).all()
    assert np.isnan(distances(np.array([1.0, 2.0, 4.0, 3.0, gap]), 4)).all()


@pytest.mark.parametrize("level", [0.0, 7.3, 1e9])
def test_a_constant_window_knows_no_distance(level: float) -> None:
    values = np.full(50, level)
    assert np.isnan(distances(values, 10)).all()
    values[40] += 0.01 * max(1.0, level)
    assert np.isfinite(distances(values, 10)).sum() == 9  # those whose window holds the one that differs


def test_scale_and_level_change_no_distance() -> None:
    values = np.random.default_rng(1).standard_normal(300)
    assert distances(1e5 + 1024.0 * values, 50)[50:] == pytest.approx(distances(values, 50)[50:], rel=1e-6)


def test_the_future_changes_no_distance() -> None:
    values = np.random.default_rng(1).standard_normal(300)
    changed = values.copy()
    changed[200:] = 0.1 * changed[200:]
    assert distances(changed, 50)[50:200] == pytest.approx(distances(values, 50)[50:200], rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_anomalies_of_noise_are_as_many_as_is_said(share: float) -> None:
    window = SETTINGS.window_hours
    judged, found = 0, 0
    for seed in range(20):
        noise = after_one_another(np.random.default_rng(seed), 3000, share)
        one, strange = anomalies({"a": noise}, np.arange(3000), window, SETTINGS.anomaly_z)
        judged, found = judged + one, found + len(strange)
    chance = anomaly_chance(SETTINGS.anomaly_z, window)
    assert chance == pytest.approx(0.0126, abs=0.0002)
    assert judged == 20 * (3000 - window)
    # What lasts for hours comes in bunches: the same expectation, a wider scatter.
    assert found / judged == pytest.approx(chance, rel=0.1 if share == 0.0 else 0.35)


def test_a_planted_anomaly_is_found_in_its_hour() -> None:
    values = np.random.default_rng(4).standard_normal(1000)
    values[900] += 9.0
    _, found = anomalies({"quiet": np.zeros(1000), "a": values}, np.arange(1000) * HOUR_MS, 720, 2.5)
    assert (found[0].series, found[0].at) == ("a", 900 * HOUR_MS)
    assert found[0].z > 6.0
    assert [abs(one.z) for one in found] == sorted([abs(one.z) for one in found], reverse=True)


def test_correlation_is_pearsons_over_times_that_both_know() -> None:
    random = np.random.default_rng(1)
    one, other = random.standard_normal(400), random.standard_normal(400)
    other += one
    one[::7], other[::11] = math.nan, math.nan
    known = np.isfinite(one) & np.isfinite(other)
    found = correlate(one, other, 24, 0.7)
    assert found is not None
    assert found[0] == pytest.approx(np.corrcoef(one[known], other[known])[0, 1])
    # Nothing but the two as they stand reaches it: p is one over the number of shifts and one.
    assert found[1] == pytest.approx(1.0 / (known.sum() - 2 * 24 + 2))
    assert found[2] == 0.0


def test_m_f40_unaligned_times_are_not_compared() -> None:
    """M-F40: the last values of two series are not of the same hours; here one begins where the other has a gap."""
    ramp = np.arange(100.0)
    one, other = np.where(ramp < 50, ramp, math.nan), np.where(ramp >= 50, ramp, math.nan)
    assert correlate(one, other, 5, 0.7) is None


def test_a_constant_is_correlated_with_nothing() -> None:
    noise = np.random.default_rng(1).standard_normal(200)
    assert correlate(np.full(200, 0.1), noise, 24, 0.7) is None
    assert correlate(noise, noise[::-1].copy(), 100, 0.7) is None  # no room to shift


def series_of(noise: list[np.ndarray]) -> Sampled:
    """One half moats, the other the market's mean and the pairs of all but the first moat; each its own numbers."""
    half = len(noise) // 2
    moats = {f"code: P{place}": values for place, values in enumerate(noise[:half])}
    market = {f"P{place}/USD": values for place, values in enumerate(noise[half + 1 :], 1)}
    return Sampled(np.arange(len(noise[0])) * HOUR_MS, moats, {MARKET: noise[half], **market})


@pytest.mark.parametrize("share", [0.9, 0.99])
def test_correlations_of_noise_are_as_many_as_is_said(share: float) -> None:
    """Independent series that keep nearly all of their last value are correlated by chance; how often is known."""
    tested = found = 0
    expected = 0.0
    for seed in range(10):
        random = np.random.default_rng(seed)
        noise = series_of([after_one_another(random, 720, share) for _ in range(40)])
        one, chance, strong = correlations(noise, 240, 24, 0.5)
        tested, expected, found = tested + one, expected + chance, found + len(strong)
    assert tested == 10 * (20 + 19) * 3
    if share == 0.9:
        assert expected < 0.02 * tested
        assert found <= 0.02 * tested
    else:
        assert 0.6 * found < expected < 1.6 * found
        assert found > 50


def test_shipped_correlations_on_noise_are_rare() -> None:
    """The false discoveries of the shipped settings: none in 399 pairs of noise that keeps 0.95 an hour."""
    random = np.random.default_rng(8)
    noise = series_of([after_one_another(random, SETTINGS.window_hours, 0.95) for _ in range(400)])
    tested, expected, found = correlations(
        noise, SETTINGS.window_hours, SETTINGS.correlation_shift_hours, SETTINGS.correlation
    )
    assert (tested, found) == (399, [])
    assert expected < 0.5


def test_a_planted_correlation_is_found_in_its_window() -> None:
    random = np.random.default_rng(2)
    quiet = [random.standard_normal(1440) for _ in range(6)]
    series = series_of(quiet)
    series.moats["code: P1"][720:] = series.market[MARKET][720:] + 0.3 * random.standard_normal(720)
    tested, expected, found = correlations(series, 720, 24, 0.7)
    assert tested == (3 + 2) * 2
    assert expected == 0.0
    assert [(one.moat, one.market, one.first, one.last) for one in found] == [
        ("code: P1", MARKET, 720 * HOUR_MS, 1439 * HOUR_MS)
    ]
    assert found[0].r > 0.9
    assert found[0].p < 0.002


def test_samples_are_of_whole_hours_and_of_what_was_known_then() -> None:
    world = tree()
    aligned = walked(world, 1, 200)
    hole = np.delete(np.arange(200), [50, 51])
    part = msgspec.structs.replace(
        aligned, at=aligned.at[hole], close=aligned.close[hole], values=aligned.values[hole], news=aligned.news[hole],
        figures=aligned.figures[hole],
    )  # fmt: skip
    found = sampled(part, world.statistics)
    assert np.diff(found.at).tolist() == [HOUR_MS] * 199
    assert np.isnan(found.moats["code: BTC"][50:52]).all()
    btc = aligned.pairs.index("BTC/USD")
    change = found.market["BTC/USD"]
    assert change[30] == pytest.approx(math.log(aligned.close[30, btc] / aligned.close[6, btc]))
    assert np.isnan(change[:24]).all()
    assert np.isnan(change[[50, 51, 74, 75]]).all()
    assert found.market[MARKET][30] == pytest.approx(mean([found.market[pair][30] for pair in aligned.pairs]))
    assert set(found.moats) == {
        "code: ADA", "code: BTC", "code: ETH", "code: SOL", "government: event_hours", "corporate: filings",
        "logistics: hash_rate_change", "logistics: difficulty_change", "logistics: freight_change",
        "corporate: miners_change", "government: documents",
    }  # fmt: skip


def test_five_minute_bars_are_sampled_at_the_end_of_the_hour() -> None:
    aligned = walked(tree(simulated__timeframe="1h"), 1, 60)
    fine = msgspec.structs.replace(aligned, at=aligned.at[0] + 300_000 * np.arange(60), interval_ms=300_000)
    found = sampled(fine, SETTINGS)
    assert len(found.at) == 6
    assert found.at[0] == aligned.at[0]
    assert found.at[1] == aligned.at[0] + HOUR_MS


def test_the_section_says_what_chance_would_have_shown() -> None:
    made = discover(walked(tree(), 1, 2000), SETTINGS)
    assert (made["samples"], made["sample_hours"], made["window_samples"]) == (2000, 1, 720)
    strange, together = made["anomalies"], made["correlations"]
    assert strange["expected"] == pytest.approx(strange["tested"] * anomaly_chance(2.5, 720))
    assert strange["false_ratio"] == pytest.approx(min(1.0, strange["expected"] / strange["found"]))
    assert len({one["series"] for one in strange["largest"]}) == len(strange["largest"]) == SETTINGS.shown
    far = [abs(one["z"]) for one in strange["largest"]]
    assert far == sorted(far, reverse=True)
    assert together["tested"] == 2 * (10 + 4)
    assert together["false_ratio"] is None or 0.0 <= together["false_ratio"] <= 1.0
    assert discover(None, SETTINGS) == {}


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(discovery).failed == 0
