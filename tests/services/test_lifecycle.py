"""The life of an asset: limits to the last digit, hysteresis, time on probation, sleep and revival, restarts."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core import checkpoint
from src.core.timeframes import DAY_MS
from src.core.types import BarBlock, Pair, Slice, Stage, Stream, Trade, Transition
from src.services.lifecycle import AssetLife
from tests.worlds import settings

HOUR, DAY = 3_600_000, DAY_MS
BTC, ETH = Pair("BTC/USDT"), Pair("ETH/USDT")
TREE = settings().lifecycle
ACTIVE, HALF, QUARTER, ASLEEP, GONE, REVIVED = Stage


def trade(ratio: str, at: int = 0, pair: Pair = BTC) -> Trade:
    zero = Decimal(0)
    return Trade(
        id="t", stream=Stream.SYNTHESIZED, pair=pair, amount=Decimal(1), entry_at=at, exit_at=at,
        entry_price=Decimal(1), exit_price=Decimal(1), fees=zero, slippage=zero, profit=zero,
        profit_ratio=Decimal(ratio), exit_reason="stop",
    )  # fmt: skip


class Asset:
    """One asset that was deployed at time 0."""

    def __init__(self) -> None:
        self.life = AssetLife(TREE, HOUR)
        self.life.on_deployment(0, BTC)

    def lose(self, ratio: str, at: int = HOUR) -> list[Stage]:
        """A trade closed; the stages that followed."""
        return [change.after for change in self.life.on_trades(at, [trade(ratio, at)])]

    def wait(self, at: int) -> list[Stage]:
        return [change.after for change in self.life.on_trades(at, [])]

    @property
    def stage(self) -> Stage:
        standing = self.life.standing(BTC)
        assert standing is not None
        return standing.stage

    def restarted(self) -> Asset:
        raw = checkpoint.dump(self.life.state())
        other = Asset()
        other.life.restore(checkpoint.load(raw))
        assert checkpoint.dump(other.life.state()) == raw
        return other


@pytest.mark.parametrize(
    ("ratio", "stage", "size"),
    [
        ("0.5", ACTIVE, "1"),
        ("-0.04", ACTIVE, "1"),
        ("-0.05", ACTIVE, "1"),
        ("-0.05000000000000000001", HALF, "0.5"),
        ("-0.10", HALF, "0.5"),
        ("-0.10000000000000000001", QUARTER, "0.25"),
        ("-0.99", QUARTER, "0.25"),
    ],
)
def test_exactly_at_a_limit_is_still_above_it(ratio: str, stage: Stage, size: str) -> None:
    asset = Asset()
    assert asset.lose(ratio) == ([] if stage is ACTIVE else [stage])
    assert asset.stage is stage
    assert asset.life.multiplier(BTC) == Decimal(size)
    assert asset.life.multiplier(ETH) == 1


def test_losses_add_up_exactly() -> None:
    """Fifty times -0.1 % is exactly -5 %, which binary floats would miss."""
    asset = Asset()
    for number in range(50):
        assert asset.lose("-0.001", number + 1) == []
    assert asset.lose("-0.001", 51) == [HALF]


@pytest.mark.parametrize(
    ("gain", "hours", "stage"),
    [
        ("0.02", 24, HALF),
        ("0.02000000000000000001", 24, ACTIVE),
        ("0.02000000000000000001", 23, HALF),
        ("0.05", 1, HALF),
    ],
)
def test_half_size_lifts_above_four_per_cent_after_a_day_of_intervals(gain: str, hours: int, stage: Stage) -> None:
    asset = Asset()
    asset.lose("-0.06", HOUR)
    asset.lose(gain, HOUR + hours * HOUR)
    assert asset.stage is stage


def test_what_is_well_again_too_early_is_lifted_when_the_time_has_come() -> None:
    asset = Asset()
    asset.lose("-0.06", HOUR)
    assert asset.lose("0.06", 5 * HOUR) == []
    assert asset.wait(24 * HOUR) == []
    assert asset.wait(25 * HOUR) == [ACTIVE]


@pytest.mark.parametrize(("gain", "stage"), [("0.03", QUARTER), ("0.03000000000000000001", HALF), ("0.5", HALF)])
def test_a_quarter_lifts_above_eight_per_cent_one_level_at_a_time(gain: str, stage: Stage) -> None:
    asset = Asset()
    asset.lose("-0.11", HOUR)
    asset.lose(gain, 25 * HOUR)
    assert asset.stage is stage
    asset.wait(48 * HOUR)
    assert asset.stage is stage
    if gain == "0.5":
        assert asset.wait(49 * HOUR) == [ACTIVE]


def test_worse_is_at_once() -> None:
    asset = Asset()
    asset.lose("-0.06", HOUR)
    assert asset.lose("-0.05", HOUR + 1) == [QUARTER]


@pytest.mark.parametrize(
    ("ratio", "days", "asleep"),
    [
        ("-0.16", 90 * DAY, True),
        ("-0.16", 90 * DAY - 1, False),
        ("-0.15", 400 * DAY, False),
        ("-0.14", 400 * DAY, False),
    ],
)
def test_sleep_needs_fifteen_per_cent_and_ninety_days(ratio: str, days: int, asleep: bool) -> None:
    asset = Asset()
    asset.lose(ratio, HOUR)
    assert asset.wait(HOUR + days) == ([ASLEEP] if asleep else [])
    assert asset.life.multiplier(BTC) == (0 if asleep else Decimal("0.25"))


def test_m_f42_the_ninety_days_begin_with_probation_and_not_with_fifteen_per_cent() -> None:
    asset = Asset()
    asset.lose("-0.06", HOUR)
    asset.lose("-0.05", 50 * DAY)
    assert asset.lose("-0.05", HOUR + 90 * DAY) == [ASLEEP]


def test_the_ninety_days_begin_anew_after_recovery() -> None:
    asset = Asset()
    asset.lose("-0.06", HOUR)
    asset.lose("0.06", 60 * DAY)
    assert asset.stage is ACTIVE
    asset.lose("-0.20", 61 * DAY)
    assert asset.wait(61 * DAY + 90 * DAY - 1) == []
    assert asset.wait(61 * DAY + 90 * DAY) == [ASLEEP]


def asleep() -> Asset:
    asset = Asset()
    asset.lose("-0.16", HOUR)
    asset.wait(HOUR + 90 * DAY)
    return asset


def test_revival_begins_with_nothing_lost() -> None:
    asset = asleep()
    (change,) = asset.life.on_deployment(100 * DAY, BTC)
    assert change == Transition(100 * DAY, BTC, ASLEEP, REVIVED, Decimal(0))
    assert asset.life.multiplier(BTC) == 1
    assert asset.lose("-0.05", 101 * DAY) == []
    assert asset.lose("-0.001", 102 * DAY) == [HALF]
    assert asset.wait(300 * DAY) == []
    assert asset.life.counts() == {"probation_1": 1}


def test_what_sleeps_stays_asleep_whatever_a_position_still_brings() -> None:
    asset = asleep()
    assert asset.lose("0.5", 91 * DAY) == []
    assert asset.stage is ASLEEP


def test_a_second_team_changes_nothing() -> None:
    asset = Asset()
    asset.lose("-0.06")
    assert asset.life.on_deployment(2 * HOUR, BTC) == ()
    assert asset.stage is HALF


def test_hibernation_says_how_long_it_was_on_probation() -> None:
    asset = Asset()
    asset.lose("-0.16", HOUR)
    (change,) = asset.life.on_trades(HOUR + 95 * DAY, [])
    assert (change.before, change.after, change.probation_ms) == (QUARTER, ASLEEP, 95 * DAY)
    assert change.profit_ratio == Decimal("-0.16")


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_survives_a_restart(stage: Stage) -> None:
    asset = asleep() if stage in (ASLEEP, REVIVED) else Asset()
    if stage is REVIVED:
        asset.life.on_deployment(100 * DAY, BTC)
    elif stage in (HALF, QUARTER):
        asset.lose("-0.06" if stage is HALF else "-0.16")
    elif stage is GONE:
        asset.life.on_deployment(0, BTC)
        asset.life.on_bars(bars(0, True))
        asset.life.on_bars(bars(7 * DAY, False))
    later = asset.restarted()
    assert (asset.stage, later.stage) == (stage, stage)
    assert later.life.multiplier(BTC) == asset.life.multiplier(BTC)
    for time in (101 * DAY, 200 * DAY):
        assert later.life.on_trades(time, [trade("-0.03")]) == asset.life.on_trades(time, [trade("-0.03")])
    assert later.life.state() == asset.life.state()


def bars(at: int, listed: bool) -> Slice:
    """BTC, of which there may be no bar, and ETH, of which there is one."""
    prices = np.ones(2)
    return Slice(at, BarBlock((BTC, ETH), at - HOUR, *[prices] * 5, np.array([listed, True])))


@pytest.mark.parametrize(("ms", "gone"), [(7 * DAY - 1, False), (7 * DAY, True)])
def test_exactly_seven_days_without_a_bar_are_too_many(ms: int, gone: bool) -> None:
    life = AssetLife(TREE, HOUR)
    life.on_deployment(0, BTC)
    life.on_bars(bars(0, True))
    changes = life.on_bars(bars(ms, False))
    assert [(change.before, change.after) for change in changes] == ([(ACTIVE, GONE)] if gone else [])
    assert life.multiplier(BTC) == (0 if gone else 1)
    assert len(life.on_bars(bars(ms + DAY, False))) == (0 if gone else 1), "once"


def test_a_change_that_fails_half_way_leaves_the_old_state() -> None:
    life = AssetLife(TREE, HOUR)
    life.on_deployment(0, BTC)
    before = life.state()
    with pytest.raises(AttributeError):
        life.on_trades(HOUR, [trade("-0.2"), object()])  # type: ignore[list-item]
    assert life.state() == before


def test_assets_do_not_share_a_fate() -> None:
    life = AssetLife(TREE, HOUR)
    changes = life.on_trades(HOUR, [trade("-0.2", pair=ETH), trade("-0.06"), trade("-0.01")])
    assert [(change.pair, change.after) for change in changes] == [(BTC, HALF), (ETH, QUARTER)]
    assert life.counts() == {"probation_1": 1, "probation_2": 1}


@given(st.lists(st.tuples(st.integers(1, 40 * DAY), st.integers(-80, 60)), max_size=40))
def test_stages_follow_the_sum_whatever_the_path(path: list[tuple[int, int]]) -> None:
    asset, now, total, seen = Asset(), 0, Decimal(0), []
    for step, thousandths in path:
        now += step
        ratio = Decimal(thousandths) / 1000
        if asset.stage is not ASLEEP:
            total += ratio
        before = asset.stage
        seen += asset.lose(str(ratio), now)
        if asset.stage is ACTIVE:
            assert total >= TREE.probation_ratio
        if asset.stage is ASLEEP and before is not ASLEEP:
            assert total < TREE.hibernation_ratio
        if total < TREE.deep_probation_ratio:
            assert asset.stage in (QUARTER, ASLEEP)
        if asset.stage is ASLEEP:
            break
    assert all(one is not other for one, other in pairwise(seen))
