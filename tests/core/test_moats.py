"""The board of moats: what the sources said, as numbers on one scale that know their age and never look ahead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from src.core import checkpoint
from src.core.moat_series import Basket, Counted, Schedule
from src.core.moat_standing import standing, synthesis
from src.core.moat_strength import grade, strength, verdict
from src.core.moats import CODE, CORPORATE, FAILED, GOVERNMENT, LOGISTICS, MoatBoard
from src.core.timeframes import DAY_MS, HOUR_MS, MINUTE_MS
from src.core.types import STATUSES, MoatView, Observation, Pair, Status
from tests.moats import commit, equity, event, filing, network
from tests.worlds import settings

DAY = 18_628
START = DAY * DAY_MS
PAIRS = tuple(Pair(name) for name in ("BTC/USDT", "ETH/USD", "ETH/USDT", "UNI/USDT"))
SETTINGS = settings().moats
STRENGTH = SETTINGS.board.strength
HALF_LIFE = 86_400_000


def board(pairs: tuple[Pair, ...] = PAIRS, simulation: bool = False, **changes: object) -> MoatBoard:
    return MoatBoard(pairs, settings(**changes).moats, simulation)


def walk(
    moats: MoatBoard, observations: Sequence[Observation], until: int, start: int = START, step: int = HOUR_MS
) -> dict[int, MoatView]:
    """Slices on the hours and whenever something becomes known; the views by time."""
    times = sorted({*range(start, until + 1, step), *(max(start, o.known_at) for o in observations)})
    views, before = {}, -1
    for at in times:
        known = [o for o in observations if before < o.known_at <= at]
        views[at] = moats.push(at, known)
        before = at
    return views


def many(seed: int = 3, days: int = 40) -> list[Observation]:
    """Forty days of everything, at odd times."""
    rng = np.random.default_rng(seed)
    said: list[Observation] = [event(START + number * 9 * DAY_MS + HOUR_MS // 2) for number in range(-2, 8)]
    for number, at in enumerate(np.sort(rng.integers(START - 5 * DAY_MS, START + days * DAY_MS, 600)).tolist()):
        said.append(commit(("ETH", "UNI", "DOGE")[int(rng.integers(3))], at, number))
    said += [filing(int(at)) for at in rng.integers(START, START + days * DAY_MS, 60)]
    for day in range(DAY - 40, DAY + days - 1):
        said.append(network(day, float(rng.uniform(90, 110)), float(rng.uniform(50, 52))))
        said += [equity(name, day, float(rng.uniform(10, 12))) for name in ("BDRY", "MARA", "RIOT", "NVDA")]
    return sorted(said, key=lambda o: (o.known_at, o.moat, o.source, o.subject, o.id))


def test_nothing_known_is_no_data_and_zero_never_nan() -> None:
    view = walk(board(), [], START + 2 * DAY_MS)[START + 2 * DAY_MS]
    assert not view.values.any()
    assert view.statuses == (Status.NO_DATA,) * 4
    assert view.news_at == (START,) * 4


def test_commits_of_a_day_are_held_against_their_hours() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(START, START + 30 * DAY_MS, 200)).tolist()
    said = [commit("ETH", at, number) for number, at in enumerate(times)]
    at = times[-1] // HOUR_MS * HOUR_MS + HOUR_MS
    view = walk(board(), said, at)[at]
    hours = np.arange(-(-times[0] // HOUR_MS) * HOUR_MS, at + 1, HOUR_MS)
    counts = np.array([sum(hour - DAY_MS < known <= hour for known in times) for hour in hours])
    z = (counts[-1] - counts.mean()) / counts.std()
    expected = z * 0.5 ** ((at - times[-1]) / HALF_LIFE)
    assert view.values[:, CODE] == pytest.approx([0.0, expected, expected, 0.0], rel=1e-12)
    told = standing(view, CODE, STRENGTH)
    assert told.figures["ETH"] == counts[-1]
    assert told.age_ms == at - times[-1]


def test_the_window_is_ninety_days_of_hours() -> None:
    times = list(range(START, START + 200 * DAY_MS, 7 * HOUR_MS + 1))
    bursts = [commit("ETH", at, number) for at in times for number in range(1 + (at // DAY_MS) % 5)]
    until = START + 200 * DAY_MS
    view = walk(board(), bursts, until, start=until - 2 * DAY_MS)[until]
    hours = np.arange(until - 90 * DAY_MS + HOUR_MS, until + 1, HOUR_MS)
    known = np.array([o.known_at for o in bursts])
    counts = [int(((hour - DAY_MS < known) & (known <= hour)).sum()) for hour in hours]
    weight = 0.5 ** ((until - int(known.max())) / HALF_LIFE)
    assert view.values[1, CODE] == pytest.approx((counts[-1] - np.mean(counts)) / np.std(counts) * weight, rel=1e-12)


def test_logistics_is_the_mean_of_three_changes() -> None:
    rng = np.random.default_rng(2)
    rates, hard, ships = (rng.uniform(90, 110, 60) for _ in range(3))
    days = range(DAY - 60, DAY)
    said = [network(day, *row) for day, row in zip(days, zip(rates.tolist(), hard.tolist(), strict=True), strict=True)]
    said += [equity("BDRY", day, price) for day, price in zip(days, ships.tolist(), strict=True)]
    view = board().push(START, said)
    zs = []
    for values in (rates, hard, ships):
        changes = values[7:] / values[:-7] - 1.0
        zs.append((changes[-1] - changes.mean()) / changes.std())
    assert view.values[:, LOGISTICS] == pytest.approx([np.mean(zs)] * 4, rel=1e-9)
    assert standing(view, LOGISTICS, STRENGTH).quality == 1.0


def test_corporate_is_filings_and_the_miners_basket() -> None:
    rng = np.random.default_rng(4)
    prices = rng.uniform(10, 12, (40, 2))
    said = [equity(n, DAY - 40 + d, float(prices[d, i])) for d in range(40) for i, n in enumerate(("MARA", "RIOT"))]
    filed = np.sort(rng.integers(START - 40 * DAY_MS, START, 50)).tolist()
    view = board().push(START, [*said, *(filing(at, n) for n, at in enumerate(filed))])
    changes = (prices[7:] / prices[:-7] - 1.0).mean(axis=1)
    basket = (changes[-1] - changes.mean()) / changes.std()
    hours = np.arange(-(-filed[0] // HOUR_MS) * HOUR_MS, START + 1, HOUR_MS)
    counts = [sum(hour - 7 * DAY_MS < at <= hour for at in filed) for hour in hours]
    expected = ((counts[-1] - np.mean(counts)) / np.std(counts) + basket) / 2
    assert view.values[0, CORPORATE] == pytest.approx(expected, rel=1e-9)


def test_minutes_to_the_nearer_event_are_signed_and_held() -> None:
    schedule = Schedule(15 * DAY_MS)
    assert schedule.at(START) == 0
    assert schedule.see(START)
    assert not schedule.see(START)
    assert schedule.see(START + 10 * DAY_MS)
    minutes = DAY_MS // MINUTE_MS
    at = [schedule.at(START + day * DAY_MS) // minutes for day in (-20, -1, 0, 1, 4, 5, 6, 9, 10, 12, 40)]
    assert at == [15, 1, 0, -1, -4, 5, 4, 1, 0, -2, -15]


def test_a_schedule_that_ran_out_becomes_stale_and_an_unscheduled_event_is_none() -> None:
    last = START + 2 * DAY_MS
    said = [event(START - 9 * DAY_MS), event(last), event(last + DAY_MS, last + DAY_MS, scheduled=False)]
    views = walk(board(), said, START + 8 * DAY_MS)
    assert standing(views[START], GOVERNMENT, STRENGTH).age_ms == 0
    assert views[last + 3 * DAY_MS].statuses[GOVERNMENT] in (Status.OK, Status.NEUTRAL)
    late = views[last + 3 * DAY_MS + HOUR_MS]
    assert late.statuses[GOVERNMENT] is Status.STALE
    assert not late.values[:, GOVERNMENT].any()
    assert views[last].news_at[GOVERNMENT] == last


def test_m_f30_every_moat_is_on_the_scale_of_standard_deviations() -> None:
    """Neither always below nor always above any threshold, whatever the unit of the metric."""
    views = list(walk(board(), many(), START + 39 * DAY_MS).values())[16 * 24 :]
    for moat in (CODE, GOVERNMENT, LOGISTICS, CORPORATE):
        values = np.array([view.values[1, moat] for view in views])
        assert np.abs(values).max() <= 4.0
        assert 0.05 < (np.abs(values) >= 0.5).mean() < 0.95
        assert (values > 0).any()
        assert (values < 0).any()


def test_m_f30_units_do_not_matter() -> None:
    def scaled(factor: float) -> np.ndarray:
        said = []
        for seen in many():
            values = {name: x * factor if seen.source != "calendar" else x for name, x in seen.values.items()}
            said.append(Observation(seen.source, seen.moat, seen.id, seen.subject, seen.at, seen.known_at, values))
        return np.array([view.values for view in walk(board(), said, START + 30 * DAY_MS).values()])

    assert scaled(1024.0).tobytes() == scaled(1.0).tobytes()


def test_what_becomes_known_later_changes_nothing_before() -> None:
    said, cut = many(), START + 25 * DAY_MS
    long = walk(board(), said, START + 39 * DAY_MS)
    short = walk(board(), [o for o in said if o.known_at <= cut], cut)
    for at, view in short.items():
        assert view.values.tobytes() == long[at].values.tobytes()
        assert (view.statuses, view.news_at) == (long[at].statuses, long[at].news_at)


def test_slices_in_between_change_nothing() -> None:
    said, until = many(), START + 20 * DAY_MS
    often, seldom = walk(board(), said, until, step=5 * MINUTE_MS), walk(board(), said, until)
    assert all(often[at].values.tobytes() == view.values.tobytes() for at, view in seldom.items())


def test_what_comes_late_counts_as_if_it_had_come_in_time() -> None:
    said = [o for o in many() if o.known_at <= START + 20 * DAY_MS]
    until = START + 20 * DAY_MS
    in_time = walk(board(), said, until)[until]
    late = board()
    late.push(START, [o for o in said if o.known_at <= START])
    for at in range(START + HOUR_MS, until, HOUR_MS):
        late.push(at, [])
    assert late.push(until, [o for o in said if o.known_at > START]).values.tobytes() == in_time.values.tobytes()


@pytest.mark.parametrize("hour", [0, 1, 400, 700])
def test_a_restart_goes_on_as_if_nothing_had_been(hour: int) -> None:
    said, until = many(), START + 39 * DAY_MS
    times = sorted({*range(START, until + 1, HOUR_MS), *(max(START, o.known_at) for o in said)})
    whole, first = board(), board()
    second = board()
    for place, at in enumerate(times):
        known = [o for o in said if (times[place - 1] if place else -1) < o.known_at <= at]
        expected = whole.push(at, known)
        if place < hour:
            first.push(at, known)
            continue
        if place == hour:
            second.restore(checkpoint.load(checkpoint.dump(first.state())))
            assert second.view.values.tobytes() == first.view.values.tobytes()
            assert second.view.statuses == first.view.statuses
        got = second.push(at, known)
        assert got.values.tobytes() == expected.values.tobytes()
        assert (got.statuses, got.news_at) == (expected.statuses, expected.news_at)
        assert got.parts.recent.tobytes() == expected.parts.recent.tobytes()


def test_simulated_observations_weigh_nothing_outside_simulations() -> None:
    said = [commit("ETH", START + n * HOUR_MS * (1 + n % 3), n, simulated=True) for n in range(300)]
    until = START + 30 * DAY_MS
    real, simulation = walk(board(), said, until)[until], walk(board(simulation=True), said, until)[until]
    assert not real.values.any()
    assert real.statuses[CODE] is Status.NO_DATA
    assert real.simulated == simulation.simulated == (True, False, False, False)
    assert simulation.values[1, CODE] != 0.0


def test_the_five_ways_to_stand_are_kept_apart() -> None:
    moats = board(moats__board__neutral_z=0.1)
    seen: set[Status] = set()
    rng = np.random.default_rng(9)
    times = np.sort(rng.integers(START, START + 25 * DAY_MS, 400)).tolist()
    views = walk(moats, [commit("ETH", at, n) for n, at in enumerate(times)], START + 30 * DAY_MS)
    seen = {view.statuses[CODE] for view in views.values()}
    assert seen == {Status.NO_DATA, Status.OK, Status.NEUTRAL, Status.STALE}
    stale = views[START + 30 * DAY_MS]
    assert stale.statuses[CODE] is Status.STALE
    assert not stale.values.any()
    at = START + 30 * DAY_MS + 1
    failed = Observation("github", "code", "x", "github", at, at, {FAILED: 1.0})
    assert moats.push(at, [failed]).statuses[CODE] is Status.ERROR
    well = Observation("github", "code", "y", "github", at + 1, at + 1, {FAILED: 0.0})
    assert moats.push(at + 1, [well]).statuses[CODE] is Status.STALE


def test_a_failed_source_keeps_its_last_value_with_its_age() -> None:
    moats, said = board(), [o for o in many() if o.known_at <= START + 20 * DAY_MS and o.moat == "code"]
    walk(moats, said, START + 20 * DAY_MS)
    before, at = moats.view.values.copy(), START + 20 * DAY_MS + 1
    after = moats.push(at, [Observation("github", "code", "x", "github", at, at, {FAILED: 1.0})])
    assert after.statuses[CODE] is Status.ERROR
    assert after.values == pytest.approx(before)
    assert [STATUSES[state] for state in after.states[:, CODE]][1] in (Status.OK, Status.NEUTRAL)


def test_only_what_is_enabled_is_read() -> None:
    moats = board(moats__board__enabled=["code"])
    views = walk(moats, many(), START + 30 * DAY_MS)
    last = views[START + 30 * DAY_MS]
    assert last.values[:, CODE].any()
    assert not last.values[:, 1:].any()
    assert last.statuses[1:] == (Status.NO_DATA,) * 3


def test_views_cannot_be_written_and_do_not_change() -> None:
    moats, said = board(), many()
    views = walk(moats, said, START + 20 * DAY_MS)
    copies = {at: view.values.copy() for at, view in views.items()}
    walk(moats, [], START + 22 * DAY_MS, start=START + 21 * DAY_MS)
    assert all(np.array_equal(view.values, copies[at]) for at, view in views.items())
    with pytest.raises(ValueError, match="read-only"):
        moats.view.values[0, 0] = 1.0


def test_a_quiet_slice_between_hours_costs_nothing() -> None:
    moats = board()
    view = moats.push(START, [])
    other = Observation("vix", "market", "v", "vix", START, START, {"vix": 20.0})
    assert moats.push(START + 1, [other]) is view


def test_counted_holds_a_number_until_it_changes() -> None:
    counted = Counted(10, 100)
    for at in (5, 7, 30):
        counted.see(at)
    assert [counted.at(t) for t in (4, 5, 7, 14, 15, 17, 29, 30, 40)] == [0, 1, 2, 2, 1, 0, 0, 1, 0]
    assert counted.at(7) == 2
    assert counted.until == 15
    assert counted.over(np.arange(41)).tolist() == [counted.at(t) for t in range(41)]


def test_a_basket_refuses_what_cannot_be_a_price_and_what_is_old() -> None:
    basket = Basket(7, 90)
    assert basket.see("MARA", 10 * DAY_MS, 11 * DAY_MS, 5.0)
    for wrong in (0.0, -1.0, math.inf, math.nan):
        assert not basket.see("MARA", 11 * DAY_MS, 12 * DAY_MS, wrong)
    assert not basket.see("MARA", 9 * DAY_MS, 12 * DAY_MS, 5.0)
    assert basket.change is None
    assert basket.see("MARA", 17 * DAY_MS, 18 * DAY_MS, 6.0)
    assert basket.change == pytest.approx(0.2)
    assert basket.see("RIOT", 17 * DAY_MS, 18 * DAY_MS, 6.0)
    assert basket.see("MARA", 32 * DAY_MS, 33 * DAY_MS, 9.0)
    assert basket.change == pytest.approx(0.2), "a change over more than twice the days is none"


@pytest.mark.parametrize(
    ("mean", "points", "called"),
    [(0.0, 0.0, "none"), (1.2, 40.0, "weak"), (1.65, 55.0, "moderate"), (2.1, 70.0, "strong"), (9.0, 100.0, "strong")],
)
def test_strength_is_the_mean_of_the_last_five_in_proportion(mean: float, points: float, called: str) -> None:
    readings = [99.0, mean - 0.5, mean + 0.5, -mean, mean, mean] if mean else [99.0, *[0.0] * 5]
    assert strength(readings, STRENGTH) == pytest.approx(points)
    assert grade(points, STRENGTH) == called
    assert grade(points - 1e-9, STRENGTH) != called or points in (0.0, 100.0)


def test_the_verdict_counts_strong_moats() -> None:
    assert [verdict(n) for n in range(5)] == ["NONE", "WEAK", "MODERATE", "STRONG", "VERY STRONG"]
    assert strength([], STRENGTH) == 0.0
    assert synthesis(board().view, STRENGTH) == (0, "NONE")


def test_the_order_in_which_a_slice_says_things_changes_nothing() -> None:
    said, until = many(days=20), START + 20 * DAY_MS
    shuffled = [said[place] for place in np.random.default_rng(1).permutation(len(said))]
    one, other = (walk(board(), each, until, step=6 * HOUR_MS) for each in (said, shuffled))
    assert one.keys() == other.keys()
    assert any(view.values.any() for view in one.values())
    for at, view in one.items():
        assert np.array_equal(view.values, other[at].values)
        assert view.statuses == other[at].statuses
