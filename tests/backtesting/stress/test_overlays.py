"""What each scenario does to bars and words, and that it touches nothing before it begins."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from src.backtesting.planted import planted_history
from src.backtesting.stress import overlays
from src.backtesting.stress.overlays import OVERLAYS, Scenario, World
from src.backtesting.stress.recorded import RECORDED, Fact, RecordedDays, check
from src.connectors.history import load_history
from src.core.errors import DataError, UsageError
from src.core.history import History
from src.core.types import Observation, Pair
from tests.recorded import RECORDED as DATA
from tests.recorded import needs_recorded
from tests.worlds import settings

HOUR, START = 3_600_000, 1_609_459_200_000
BARS = 200
PRICES = ("open", "high", "low", "close")


def made(observations: tuple[Observation, ...] = (), **changes: object) -> World:
    names = [Pair(f"{name}/USDT") for name in ("ADA", "BTC", "ETH")]
    history = planted_history(names, BARS, 0.3, 6, 5, HOUR, START)
    return World(history, observations, settings(stress__begins_ratio=0.5, **changes))


def laid(one: Scenario, world: World) -> World:
    return one.lay(world, world.settings.stress, 7)


@pytest.mark.parametrize("one", OVERLAYS, ids=lambda one: one.name)
def test_the_bars_before_are_as_they_were_and_those_after_are_bars(one: Scenario) -> None:
    world = made()
    after = laid(one, world).history
    for name in (*PRICES, "volume", "present", "times"):
        before = getattr(world.history, name)[: world.first]
        np.testing.assert_array_equal(getattr(after, name)[: world.first], before)
    there = after.present
    assert (after.low[there] > 0).all()
    assert (after.low[there] <= np.minimum(after.open, after.close)[there] * (1 + 1e-12)).all()
    assert (after.high[there] >= np.maximum(after.open, after.close)[there] * (1 - 1e-12)).all()
    assert np.isnan(after.close[~there]).all()
    assert (np.diff(after.times) >= HOUR).all()
    assert there.any(axis=1).all(), "a row without a bar"


@pytest.mark.parametrize("one", OVERLAYS[1:-1], ids=lambda one: one.name)
def test_every_scenario_changes_something_and_always_the_same(one: Scenario) -> None:
    world = made()
    first, again = laid(one, world), laid(one, world)
    assert any(not np.array_equal(getattr(first.history, n), getattr(again.history, n), True) for n in PRICES) is False
    names = (*PRICES, "volume", "times")
    same = all(np.array_equal(getattr(first.history, n), getattr(world.history, n), True) for n in names)
    assert not same or first.settings != world.settings


def test_a_flash_crash_falls_by_its_share_and_comes_back() -> None:
    world = made(stress__flash_crash_ratio=0.6, stress__flash_crash_hours=5.0)
    after = laid(OVERLAYS[1], world).history
    ratio = (after.close / world.history.close)[:, 0]
    assert ratio[world.first : world.first + 5] == pytest.approx([0.8, 0.6, 0.4, 0.6, 0.8])
    assert ratio[world.first + 5 :] == pytest.approx(np.ones(BARS - world.first - 5))
    np.testing.assert_allclose(after.open[1:], after.close[:-1], rtol=1e-12)


def test_a_gap_lies_between_a_close_and_the_next_open() -> None:
    world = made(stress__gap_ratio=0.25)
    after = overlays.gap_through_stop(world, world.settings.stress, 7).history
    first = world.first
    np.testing.assert_allclose(after.open[first], 0.75 * after.close[first - 1], rtol=1e-12)
    assert (after.high[first] < 0.95 * after.close[first - 1]).all(), "it never traded at a stop five percent below"
    np.testing.assert_allclose(after.close[first:], 0.75 * world.history.close[first:])


def test_an_outage_leaves_its_hours_out() -> None:
    world = made(stress__outage_hours=8.0)
    after = overlays.outage(world, world.settings.stress, 7).history
    assert len(after.times) == BARS - 8
    assert np.diff(after.times).max() == 9 * HOUR
    with pytest.raises(UsageError, match="ends within the outage"):
        overlays.outage(made(stress__outage_hours=500.0), settings(stress__outage_hours=500.0).stress, 7)


def test_a_depeg_raises_every_price_and_gives_it_back() -> None:
    world = made(stress__depeg_ratio=0.2, stress__depeg_hours=24.0)
    ratio = overlays.depeg(world, world.settings.stress, 7).history.close / world.history.close
    assert ratio.max() == pytest.approx(1.25)
    assert ratio[world.first + 12] == pytest.approx([1.25] * 3)
    assert ratio[world.first + 24 :] == pytest.approx(np.ones((BARS - world.first - 24, 3)))


def test_missing_hours_take_their_share_and_their_volume() -> None:
    world = made(stress__missing_ratio=0.3)
    after = overlays.missing_hours(world, world.settings.stress, 7).history
    lost = 1.0 - after.present[world.first :].sum() / (3 * (BARS - world.first))
    assert lost == pytest.approx(0.3, abs=0.08)
    assert (after.volume[~after.present] == 0).all()


def test_liquidity_dries_up_to_its_share() -> None:
    world = made(stress__dry_hours=10.0)
    after = overlays.dry_up(world, world.settings.stress, 7).history
    ratio = after.volume / world.history.volume
    assert ratio[world.first : world.first + 10] == pytest.approx(np.full((10, 3), 0.01))
    assert (ratio[world.first + 10 :] == 1).all()


def test_a_spread_explosion_widens_bars_and_makes_fills_dear() -> None:
    world = made(stress__spread_range_factor=6.0, stress__spread_slippage_factor=20.0)
    after = overlays.spread_explosion(world, world.settings.stress, 7)
    row = world.first
    wide, was = after.history.high[row] - after.history.low[row], world.history.high[row] - world.history.low[row]
    assert wide == pytest.approx(6.0 * was)
    assert after.settings.costs.slippage_ratio == Decimal("0.020")
    most = made(stress__spread_slippage_factor=1e6)
    assert overlays.spread_explosion(most, most.settings.stress, 7).settings.costs.slippage_ratio == 1


def test_all_pairs_move_as_one_each_from_its_own_price() -> None:
    world = made(stress__correlated_hours=30.0)
    after = overlays.correlation_one(world, world.settings.stress, 7).history
    moves = np.diff(np.log(after.close), axis=0)[world.first - 1 : world.first + 29]
    assert np.ptp(moves, axis=1).max() < 1e-12
    own = np.diff(np.log(world.history.close), axis=0)
    np.testing.assert_allclose(moves.mean(axis=1), own[world.first - 1 : world.first + 29].mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(after.close), axis=0)[world.first + 29 :], own[world.first + 29 :])


def test_single_pairs_fall_silent_while_others_go_on() -> None:
    world = made(stress__stale_hours=12.0, stress__hand_pairs=1)
    present = overlays.stale_feed(world, world.settings.stress, 7).history.present
    silent = present[world.first : world.first + 12]
    assert silent.tolist() == [[False, False, True]] * 12
    assert present[world.first + 12 :].all()


def test_a_moat_outage_takes_what_was_said_then_and_nothing_else() -> None:
    times = made().history.times
    said = tuple(
        Observation("s", "code", str(n), "ETH", int(at), int(at), {"x": 1.0}) for n, at in enumerate(times.tolist())
    )
    world = made(said, stress__moat_outage_hours=10.0)
    after = overlays.moat_outage(world, world.settings.stress, 7)
    gone = {seen.id for seen in said} - {seen.id for seen in after.observations}
    assert gone == {str(row) for row in range(world.first, world.first + 10)}


def history_of(low: float) -> History:
    return msgspec.structs.replace(made().history, low=np.full((BARS, 3), low))


@pytest.mark.parametrize(("low", "fits"), [(50.0, True), (50.09, True), (50.2, False)])
def test_known_facts_are_held_against_the_days(low: float, fits: bool) -> None:
    fact = Fact(Pair("BTC/USDT"), "low", "2021-01-02T00:00", "2021-01-02T23:59", 50.0)
    days = RecordedDays("x", "y", "2021-01-01", "2021-01-09", (fact, msgspec.structs.replace(fact, pair=Pair("X/Y"))))
    if fits:
        assert check(days, history_of(low)) == 1
        return
    with pytest.raises(DataError, match="BTC/USDT low from 2021-01-02T00:00 is"):
        check(days, history_of(low))


@needs_recorded
@pytest.mark.parametrize("days", RECORDED, ids=lambda days: days.name)
def test_the_recorded_days_are_those_that_are_known(days: RecordedDays) -> None:
    history = load_history(DATA, "binance", "1h", None, days.timerange)
    assert check(days, history) == len(days.facts)
    assert len(history.pairs) == 15
