"""The eight-point score: every criterion at its boundary, windows that count time, and what cannot be known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents.prospecting import (
    POINTS,
    SPREAD,
    TREND,
    VOLATILITY,
    VOLUME,
    BarMemory,
    base_points,
    known_assets,
    moat_points,
    speaking,
    team_weights,
)
from src.core.config import Prospecting
from src.core.types import STATUSES, BarBlock, FloatArray, MoatParts, MoatView, Pair, Snapshot, Status
from tests.worlds import settings

HOUR = 3_600_000
START = 1_609_459_200_000
TREE = settings().prospecting
GOOD = (50_000_001.0, 0.0501, 0.00499, 0.1501)
"""Measures that give every point of the bars: six."""


def points(factor: float = 1.0, **changes: float) -> list[int]:
    """Points of one pair whose measures are good but for the changes."""
    row = dict(zip(("volume", "volatility", "spread", "trend"), GOOD, strict=True)) | changes
    return base_points(np.array([list(row.values())]), factor, TREE)[0].tolist()


def up(value: float) -> float:
    return math.nextafter(value, math.inf)


def down(value: float) -> float:
    return math.nextafter(value, 0.0)


@pytest.mark.parametrize(
    ("name", "column", "value", "expected"),
    [
        ("volume", VOLUME, 10e6, 0),
        ("volume", VOLUME, up(10e6), 1),
        ("volume", VOLUME, 50e6, 1),
        ("volume", VOLUME, up(50e6), 2),
        ("volatility", VOLATILITY, 0.02, 0),
        ("volatility", VOLATILITY, up(0.02), 1),
        ("volatility", VOLATILITY, 0.05, 1),
        ("volatility", VOLATILITY, up(0.05), 2),
        ("spread", SPREAD, 0.005, 0),
        ("spread", SPREAD, down(0.005), 1),
        ("spread", SPREAD, 0.0, 1),
        ("trend", TREND, 0.15, 0),
        ("trend", TREND, up(0.15), 1),
    ],
)
def test_each_criterion_asks_for_more_than_its_threshold(name: str, column: int, value: float, expected: int) -> None:
    assert points(**{name: value})[column] == expected
    others = [got for index, got in enumerate(points(**{name: value})) if index != column]
    assert others == [got for index, got in enumerate(points()) if index != column]


def test_five_points_are_not_enough_and_six_are() -> None:
    assert sum(points()) == 6
    assert (5 / POINTS, 6 / POINTS) == (0.625, 0.75)
    rules = settings().consensus
    assert 5 / POINTS <= rules.min_confidence_ratio < 6 / POINTS


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_members_have_other_thresholds(factor: float) -> None:
    assert points(factor, volume=50e6 * factor)[VOLUME] == 1
    assert points(factor, volume=up(50e6 * factor))[VOLUME] == 2
    assert points(factor, spread=0.005 * factor)[SPREAD] == 0
    assert points(factor, spread=down(0.005 * factor))[SPREAD] == 1


@pytest.mark.parametrize("name", ["volume", "volatility", "spread", "trend"])
def test_what_is_not_known_is_no_data_and_never_a_neutral_number(name: str) -> None:
    assert points(**{name: math.nan}) == [-1, -1, -1, -1]


@pytest.mark.parametrize(
    ("weight", "expected"), [(0.0, 0), (0.49, 0), (0.5, 1), (1.0, 1), (1.49, 1), (1.5, 2), (2.0, 2)]
)
def test_points_of_the_moats(weight: float, expected: int) -> None:
    assert moat_points(np.array([weight]), TREE).tolist() == [expected]


# --- reachability (M-F28) --------------------------------------------------------------------------------------------


def weight_of(team: str, asset: str) -> float:
    """The most that moats can be worth to a team for an asset: every one that knows it speaks."""
    (row,) = [row for row in TREE.teams if row.name == team]
    known = [moat for moat, assets in TREE.moat_assets.items() if asset in assets]
    return sum(row.weights.get(moat, 0.0) for moat in known)


@pytest.mark.parametrize("team", [row.name for row in TREE.teams])
def test_m_f28_every_team_can_agree_on_an_asset_that_no_moat_knows(team: str) -> None:
    assert weight_of(team, "FIL") == 0.0
    confidence = sum(points()) / POINTS
    assert confidence > settings().consensus.min_confidence_ratio


def test_m_f28_which_moats_can_give_what() -> None:
    reached = {
        row.name: {int(moat_points(np.array([weight_of(row.name, asset)]), TREE)[0])
                   for asset in ("ETH", "BTC", "LTC", "AAVE", "FIL")}
        for row in TREE.teams
    }  # fmt: skip
    assert reached == {"HFT": {0, 1}, "DayTrade": {0, 1}, "Swing": {0, 1, 2}}


# --- moats -----------------------------------------------------------------------------------------------------------


def moats(value: float, status: Status) -> MoatView:
    """A view in which the code moat alone says something, of one pair."""
    values, states = np.zeros((1, 4)), np.full((1, 4), STATUSES.index(Status.NO_DATA))
    values[0, 0], states[0, 0] = value, STATUSES.index(status)
    nothing: Any = np.empty(0)
    parts = MoatParts((), nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    return MoatView(values, states, (status,) * 4, (None,) * 4, (False,) * 4, parts)


@pytest.mark.parametrize(
    ("value", "status", "asset", "speaks"),
    [
        (1.0, Status.OK, "ETH", True),
        (-1.0, Status.OK, "ETH", True),
        (0.999, Status.OK, "ETH", False),
        (3.0, Status.OK, "BTC", False),
        (3.0, Status.OK, "FIL", False),
        (3.0, Status.STALE, "ETH", False),
        (3.0, Status.ERROR, "ETH", False),
        (3.0, Status.NO_DATA, "ETH", False),
    ],
)
def test_a_moat_speaks_of_the_assets_it_knows_when_it_is_fresh(
    value: float, status: Status, asset: str, speaks: bool
) -> None:
    known = known_assets([Pair(f"{asset}/USD")], TREE)
    assert speaking(moats(value, status), known, TREE).tolist() == [[speaks, False, False, False]]


def test_the_table_of_assets_and_weights() -> None:
    """Columns: code, government, logistics, corporate; rows of the weights are moats, columns teams."""
    pairs = [Pair(f"{base}/USD") for base in ("BTC", "ETH", "LTC", "AAVE", "FIL")]
    assert known_assets(pairs, TREE).astype(int).tolist() == [
        [0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip
    assert team_weights(TREE).tolist() == [[0.5, 0.7, 0.3], [0.0, 0.3, 1.0], [0.0, 0.3, 1.0], [0.5, 0.7, 0.3]]


# --- windows ---------------------------------------------------------------------------------------------------------


class Bars:
    """Bars of some pairs, fed to a memory one by one."""

    def __init__(self, pairs: int = 1, interval_ms: int = HOUR, tree: Prospecting = TREE) -> None:
        self.pairs = tuple(Pair(f"P{index}/USD") for index in range(pairs))
        self.interval = interval_ms
        self.memory = BarMemory(pairs, interval_ms, tree)
        self.seen: Snapshot | None = None

    def push(self, number: int, high: float, low: float, close: float, volume: float, present: bool = True) -> Snapshot:
        at = START + (number + 1) * self.interval
        columns = [np.array([value if present else np.nan]) for value in (close, high, low, close)]
        there = np.array([present])
        block = BarBlock(self.pairs, at - self.interval, *columns, np.array([volume if present else 0.0]), there)
        empty: FloatArray = np.zeros((1, 1))
        closes = columns[3] if present or self.seen is None else self.seen.close
        self.seen = Snapshot(
            at, self.interval, at // self.interval, self.pairs, there, closes, empty, empty, empty[0], block, True
        )
        self.memory.push(self.seen)
        return self.seen

    def measures(self, member: int = 1) -> list[float]:
        assert self.seen is not None
        return self.memory.measures(self.seen, member)[0].tolist()


def series(count: int, seed: int = 3) -> FloatArray:
    """High, low, close, volume of `count` bars, (count, 4); closes bounce inside their bars, so there is a spread."""
    rng = np.random.default_rng(seed)
    middle = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, count)))
    close = middle * np.exp(0.004 * rng.choice([-1.0, 1.0], count))
    high = middle * np.exp(0.004 + np.abs(rng.normal(0.0, 0.001, count)))
    low = middle * np.exp(-0.004 - np.abs(rng.normal(0.0, 0.001, count)))
    return np.stack([high, low, close, rng.lognormal(8.0, 1.0, count)], axis=1)


def spread_of(window: FloatArray, gaps: Sequence[int] = ()) -> float:
    """Abdi and Ranaldo's two-bar estimate as the paper writes it; `gaps`: rows that do not follow the one before."""
    logs = np.log(window)
    middle = (logs[:, 0] + logs[:, 1]) / 2
    products = (logs[:-1, 2] - middle[:-1]) * (logs[:-1, 2] - middle[1:])
    kept = np.delete(products, [row - 1 for row in gaps])
    return 2.0 * math.sqrt(max(0.0, float(kept.mean())))


@pytest.mark.parametrize(("member", "hours", "days"), [(0, 12, 15), (1, 24, 30), (2, 48, 60)])
def test_measures_are_those_of_the_window(member: int, hours: int, days: int) -> None:
    bars, rows = Bars(), series(24 * 60 + 50)
    for number, row in enumerate(rows.tolist()):
        bars.push(number, *row)
    window, then = rows[-hours:], rows[-1 - 24 * days, 2]
    turnover = float((window[:, 2] * window[:, 3]).sum()) * 24 / hours
    volatility = (window[:, 0].max() - window[:, 1].min()) / window[-1, 2]
    spread = spread_of(window)
    assert spread > 0.005
    expected = [turnover, volatility, spread, abs(window[-1, 2] / then - 1.0)]
    assert bars.measures(member) == pytest.approx(expected, rel=1e-9)


def test_a_quote_stands_in_the_place_of_the_estimate_and_of_nothing_else() -> None:
    bars, rows = Bars(), series(24 * 31)
    for number, row in enumerate(rows):
        seen = bars.push(number, *row.tolist())
    estimated = bars.measures()
    bars.seen = msgspec.structs.replace(seen, spreads=np.array([0.00012]))
    assert bars.measures() == [*estimated[:SPREAD], 0.00012, *estimated[SPREAD + 1 :]]
    bars.seen = msgspec.structs.replace(seen, spreads=np.array([np.nan]))
    assert bars.measures() == estimated


def test_a_quote_does_not_make_up_for_bars_that_are_missing() -> None:
    bars = Bars()
    seen = bars.push(0, 101.0, 99.0, 100.0, 1000.0)
    bars.seen = msgspec.structs.replace(seen, spreads=np.array([0.00012]))
    assert base_points(np.array([bars.measures()]), 1.0, TREE).tolist() == [[-1, -1, -1, -1]]


def test_a_known_spread_is_found() -> None:
    """Closes bounce between bid and ask around a still middle: 1 % as the paper has it."""
    bars, half = Bars(), 0.005
    signs = np.random.default_rng(1).choice([-1.0, 1.0], 24 * 31)
    for number, sign in enumerate(signs.tolist()):
        bars.push(number, 100.0 * math.exp(half), 100.0 * math.exp(-half), 100.0 * math.exp(half * sign), 1.0)
    assert bars.measures()[SPREAD] == pytest.approx(2 * half, rel=1e-9)


@pytest.mark.parametrize(("there", "known"), [(22, True), (21, False)])
def test_under_ninety_per_cent_of_the_bars_is_no_data(there: int, known: bool) -> None:
    assert 21 < 0.9 * 24 <= 22
    bars, rows = Bars(), series(24 * 31).tolist()
    for number, row in enumerate(rows):
        missing = 0 < len(rows) - 1 - number <= 24 - there
        bars.push(number, *row, present=not missing)
    assert math.isfinite(bars.measures()[VOLUME]) is known


def test_bars_on_both_sides_of_a_gap_make_no_pair() -> None:
    """Neither where the pair had no bar nor where there was no slice at all."""
    rows = series(24 * 31)
    for silent in (True, False):
        bars = Bars()
        for number, row in enumerate(rows.tolist()):
            gap = number == len(rows) - 10
            if not (gap and silent):
                bars.push(number, *row, present=not gap)
        window = np.delete(rows[-24:], 14, axis=0)
        assert bars.measures()[SPREAD] == pytest.approx(spread_of(window, gaps=[14]), rel=1e-9)


def test_windows_count_time_and_not_bars() -> None:
    """After a week without a bar, what was before it is no data of today."""
    bars = Bars()
    for number, row in enumerate(series(100).tolist()):
        bars.push(number, *row)
    assert math.isfinite(bars.measures()[VOLUME])
    bars.push(100 + 24 * 7, 101.0, 99.0, 100.0, 1.0)
    assert np.isnan(bars.measures()).all()


def test_before_the_days_of_the_trend_there_is_none() -> None:
    bars, rows = Bars(), series(24 * 30 + 1).tolist()
    for number, row in enumerate(rows[:-1]):
        bars.push(number, *row)
    assert math.isnan(bars.measures()[TREND])
    bars.push(len(rows) - 1, *rows[-1])
    assert bars.measures()[TREND] == abs(rows[-1][2] / rows[0][2] - 1.0)


def test_a_fall_is_as_much_of_a_trend_as_a_rise() -> None:
    bars = Bars()
    for number in range(24 * 30 + 1):
        price = 100.0 if number == 0 else 75.0
        bars.push(number, price, price, price, 1.0)
    assert bars.measures()[TREND] == 0.25


def test_a_bar_of_five_minutes_has_the_same_day() -> None:
    """Twelve bars an hour: the trend is kept to the hour, the day is summed to the bar."""
    bars, rows = Bars(interval_ms=HOUR // 12), series(12 * 24 * 31)
    for number, row in enumerate(rows.tolist()):
        bars.push(number, *row)
    window = rows[-12 * 24 :]
    assert bars.measures()[VOLUME] == pytest.approx(float((window[:, 2] * window[:, 3]).sum()), rel=1e-12)
    assert math.isfinite(bars.measures()[TREND])


@pytest.mark.parametrize("power", [10, -20])
def test_the_unit_of_the_price_changes_no_bit(power: int) -> None:
    plain, scaled, factor = Bars(), Bars(), 2.0**power
    for number, (high, low, close, volume) in enumerate(series(24 * 31).tolist()):
        plain.push(number, high, low, close, volume)
        scaled.push(number, high * factor, low * factor, close * factor, volume / factor)
    assert plain.measures(0) == scaled.measures(0)
    assert plain.measures(1) == scaled.measures(1)


def test_memory_goes_on_from_its_state() -> None:
    first, later, rows = Bars(), Bars(), series(24 * 31).tolist()
    for number, row in enumerate(rows[:-5]):
        first.push(number, *row)
    later.memory.restore(first.memory.state())
    for number in range(len(rows) - 5, len(rows)):
        first.push(number, *rows[number])
        later.push(number, *rows[number])
    assert later.measures() == first.measures()
    assert np.isfinite(first.measures()).all()
