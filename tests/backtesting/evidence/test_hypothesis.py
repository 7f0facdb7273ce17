"""A lead-lag claim: what is known when, what the controls take out, what chance gives, and one rule at the end."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from src.backtesting.evidence.hypothesis import examine, plant, shuffled
from src.backtesting.evidence.hypothesis_claim import Claim, claim_of
from src.backtesting.evidence.hypothesis_report import plain
from src.backtesting.evidence.hypothesis_series import (
    Happenings,
    Inputs,
    Source,
    ahead,
    basket,
    inputs_of,
    logarithm,
    source_series,
    trailing,
)
from src.backtesting.evidence.hypothesis_tests import (
    Part,
    Rest,
    family,
    formula_p,
    found_share,
    pearson,
    rest_of,
    week_orders,
    without,
)
from src.backtesting.evidence.hypothesis_verdict import Judged, verdict
from src.commands.hypothesis import HypothesisOptions, answer, recorded, simulated
from src.connectors.claim_files import SHIPPED, claim_names, read_claim
from src.connectors.happenings import commit_times
from src.core.errors import ConfigError, DataError, MycelialError, NotFound, UsageError
from src.core.history import History
from src.core.timeframes import HOUR_MS
from src.core.types import FloatArray, Pair
from tests.recorded import RECORDED, needs_recorded
from tests.worlds import settings

START_MS = 1_609_718_400_000  # Monday, 2021-01-04
WEEKS = 60
HOURS = WEEKS * 168

PLAIN: dict[str, Any] = {
    "name": "made-up",
    "says": "Words lead prices by 6 hours.",
    "source": {"moat": "code", "name": "commits", "measure": "count", "window_hours": 3},
    "target": {"venue": "here", "pairs": ["A/USD", "B/USD"], "measure": "volatility", "horizon_hours": 1},
    "lag_hours": 6,
    "lags_hours": [1, 6, 24],
    "direction": "positive",
    "controls": {"hour_of_week": True, "trend_knot_days": 56, "har_hours": [1, 24, 168]},
    "split": {"in_sample": "20210104-20210927", "out_of_sample": "20210927-20220228"},
    "judging": {
        "permutations": 300,
        "level": 0.05,
        "replication_level": 0.1,
        "injected": [0.05, 0.1],
        "smallest_effect": 0.1,
        "power": 0.8,
        "min_weeks": 8,
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """PLAIN with changes by dotted name (`a__b`); None takes a key away."""
    made = copy.deepcopy(PLAIN)
    for name, value in changes.items():
        *path, last = name.split("__")
        part = made
        for step in path:
            part = part[step]
        if value is None:
            del part[last]
        else:
            part[last] = value
    return made


def claim(**changes: Any) -> Claim:
    return claim_of(changed(**changes), "made-up.yaml")


def world(seed: int, rhythm: float = 1.0) -> Inputs:
    """Clustered volatility and commits, both by the clock and by the season, and nothing between them besides."""
    random = np.random.default_rng(seed)
    hour = np.arange(HOURS)
    season = rhythm * np.cos(6.0 * np.pi * hour / HOURS)
    busy, wild = (season + rhythm * np.cos(2.0 * np.pi * (hour - peak) / 24.0) for peak in (9, 15))
    mood = np.zeros(HOURS)
    for row in range(1, HOURS):
        mood[row] = 0.97 * mood[row - 1] + 0.1 * random.standard_normal()
    moves = 0.01 * np.exp(0.5 * mood + 0.4 * wild)[:, None] * random.standard_normal((HOURS, 2))
    commits = random.poisson(2.0 * np.exp(0.5 * busy)).astype(float)
    source = np.convolve(commits, np.ones(3))[:HOURS]
    source[:2] = np.nan
    return Inputs(START_MS + HOUR_MS, np.cumsum(moves, axis=0), source, source, None, {}, True)


def test_a_source_is_counted_from_the_moment_it_was_known() -> None:
    ends = START_MS + HOUR_MS * np.arange(1, 8)
    times = START_MS + np.array([0, 2 * HOUR_MS, 2 * HOUR_MS + 1, 5 * HOUR_MS])
    counted = source_series(claim().source, times, np.ones(4), ends)
    # Known at exactly 2 h is known in the row that ends there; one millisecond later is not. The window is (t - 3, t].
    np.testing.assert_array_equal(counted, [np.nan, np.nan, 2.0, 2.0, 3.0 - 1.0, 1.0, 1.0])


def test_a_level_is_the_last_one_known_and_a_change_its_log() -> None:
    ends = START_MS + HOUR_MS * np.arange(5)
    times, values = START_MS + HOUR_MS * np.array([3, 1]), np.array([8.0, 2.0])  # not in order
    level = Source(moat="m", name="n", measure="level", window_hours=2, field="f", logarithm=True)
    np.testing.assert_array_equal(source_series(level, times, values, ends), [np.nan, 2.0, 2.0, 8.0, 8.0])
    np.testing.assert_allclose(logarithm(level, np.array([1.0, np.e])), [0.0, 1.0])
    change = msgspec.structs.replace(level, measure="change", logarithm=False)
    expected = [np.nan, np.nan, np.nan, np.log(4.0), np.log(4.0)]
    np.testing.assert_allclose(source_series(change, times, values, ends), expected)
    with pytest.raises(DataError, match="needs values above zero"):
        source_series(change, times, np.array([0.0, 2.0]), ends)
    with pytest.raises(DataError, match="needs values above zero"):
        logarithm(level, np.array([0.0, 1.0]))


def test_targets_lie_ahead_and_controls_behind() -> None:
    series = np.array([1.0, 2.0, 4.0, np.nan, 16.0, 32.0])
    np.testing.assert_array_equal(ahead(series, 1, 2), [3.0, np.nan, np.nan, 24.0, np.nan, np.nan])
    np.testing.assert_array_equal(trailing(series, 2), [np.nan, 1.5, 3.0, 4.0, 16.0, 24.0])
    close = np.log(np.array([[1.0, 1.0], [2.0, np.nan], [1.0, 4.0], [2.0, 2.0]]))
    two = np.log(2.0)
    np.testing.assert_allclose(basket(claim().target, close, False), [np.nan, two, two, two])
    np.testing.assert_allclose(basket(claim().target, close, True), [np.nan, np.nan, np.nan, two])
    returns = msgspec.structs.replace(claim().target, measure="return")
    np.testing.assert_allclose(basket(returns, close, False), [np.nan, two, -two, 0.0], atol=1e-12)


def test_the_controls_are_those_of_plain_least_squares() -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 7, 300)
    columns = np.column_stack([random.standard_normal((300, 2)), np.ones(300)])  # one follows from the groups
    values = random.standard_normal((300, 2)) + columns[:, :1] + groups[:, None]
    both = np.column_stack([columns, groups[:, None] == np.arange(7)])
    expected = values - both @ np.linalg.lstsq(both, values, rcond=None)[0]
    np.testing.assert_allclose(without(values, columns, groups), expected, atol=1e-10)
    assert np.isfinite(without(values, np.empty((300, 0)), groups)).all()


def rest(seed: int, strength: float = 0.0, together: int = 1, rows: int = HOURS) -> Rest:
    random = np.random.default_rng(seed)
    x = random.standard_normal(rows)
    y = strength * x + np.sqrt(1.0 - strength**2) * random.standard_normal(rows)
    part = Part(0, rows, together, False)
    other = random.standard_normal(rows)
    return rest_of(
        np.column_stack([x, x]), np.column_stack([y, other]), np.empty((rows, 0)), np.arange(rows), part, "x"
    )


def test_shuffled_weeks_are_really_shuffled_weeks() -> None:
    made = rest(3, 0.05)
    orders = week_orders(made, 200, np.random.default_rng(1))
    assert (np.sort(orders, axis=1) == np.arange(WEEKS)).all()
    assert len({tuple(order) for order in orders.tolist()}) == 200
    found = family(made, orders)
    expected = [np.corrcoef(made.predictors[:, lag], made.outcomes[:, lag])[0, 1] for lag in (0, 1)]
    np.testing.assert_allclose(found.r, expected, atol=1e-12)
    weeks = made.predictors[:, 0].reshape(WEEKS, 168)
    for draw in (0, 199):
        moved = weeks[orders[draw]].ravel()
        np.testing.assert_allclose(found.draws[0, draw], np.corrcoef(moved, made.outcomes[:, 0])[0, 1], atol=1e-9)
    most = np.abs(found.draws).max(axis=0)
    assert found.p_family.tolist() == [(1 + (most >= abs(r)).sum()) / 201 for r in found.r]
    assert (found.p_family >= found.p).all()
    assert found.p[0] == (1 + (np.abs(found.draws[0]) >= abs(found.r[0])).sum()) / 201


def test_the_bar_is_where_the_family_begins_to_believe() -> None:
    found = family(rest(5), week_orders(rest(5), 399, np.random.default_rng(1)))
    most = np.abs(found.draws).max(axis=0)
    bar = found.bar(0.05)
    assert (1 + (most >= bar + 1e-12).sum()) / 400 <= 0.05 < (1 + (most >= bar).sum()) / 400
    assert found.bar(0.001) == np.inf
    assert found.one_sided(0, 1.0) + found.one_sided(0, -1.0) == pytest.approx(1.0 + 1 / 400, abs=1e-12)
    assert found_share(found, found, 0, 0.5, 0.05) == 1.0
    assert found_share(found, found, 0, 1e-6, 0.05) < 0.06


def test_longer_memories_change_places_in_longer_blocks() -> None:
    assert claim().weeks_together == 1
    assert claim(source__window_hours=720).weeks_together == 5
    made = rest(1, together=5)
    assert family(made, week_orders(made, 100, np.random.default_rng(1))).blocks == 12


def test_the_textbook_p() -> None:
    assert formula_p(0.0, 100) == 1.0
    assert formula_p(0.0425794550848, 24374) == pytest.approx(2.9259e-11, rel=1e-3)
    assert formula_p(1.0, 100) == 0.0
    assert pearson(np.array([1.0, 2.0, np.nan, 3.0]), np.array([2.0, 4.0, 9.0, 6.0])) == (pytest.approx(1.0), 3)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_clock_fools_the_naive_and_not_the_controls(seed: int) -> None:
    made = examine(claim(), world(seed), 7)
    assert made.steps[0].p < 1e-12  # hours of the day and a season in common: nothing else
    assert made.steps[-1].r == pytest.approx(made.whole.r[1], abs=1e-9)
    assert abs(made.whole.r[1]) < 0.03 < made.steps[0].r
    assert made.verdict.word == "not supported"


def test_a_planted_effect_is_supported_at_its_lag() -> None:
    wide = claim(judging__injected=[0.05], judging__smallest_effect=0.05)
    made = examine(wide, plant(wide, world(3), 0.1, np.random.default_rng(1)), 7, 0.1)
    assert made.verdict.word == "supported"
    assert made.whole.r[1] == pytest.approx(0.1, abs=0.03)
    assert made.whole.p_family[0] > 0.05
    assert made.whole.p_family[2] > 0.05
    against = claim(direction="negative")
    assert examine(against, plant(claim(), world(3), 0.1, np.random.default_rng(1)), 7).verdict.word == "not supported"
    assert examine(against, plant(against, world(3), 0.1, np.random.default_rng(1)), 7).verdict.word == "supported"


def supported(seeds: range, made_up: Claim, inputs: Inputs) -> int:
    """Of how many placebos the claim is believed."""
    words = [
        examine(made_up, shuffled(made_up, inputs, np.random.default_rng(seed)), seed).verdict.word for seed in seeds
    ]
    return words.count("supported")


def test_placebos_are_not_believed() -> None:
    assert supported(range(10), claim(), world(4)) <= 1


@pytest.mark.long
@pytest.mark.timeout(1800)
@needs_recorded
def test_of_a_hundred_placebos_five_at_most_are_believed() -> None:
    assert supported(range(100), claim(), world(4)) <= 5
    made = commits()
    quick = msgspec.structs.replace(made, judging=msgspec.structs.replace(made.judging, permutations=500))
    assert supported(range(100), quick, recorded(made, RECORDED)) <= 5


def test_who_follows_is_not_taken_for_who_leads() -> None:
    """Commits that come six hours after a move that nobody expected."""
    made = world(5, rhythm=0.0)
    size = basket(claim().target, made.close, True)
    after = np.full(HOURS, np.nan)
    after[6:] = np.log(size[:-6])
    made = msgspec.structs.replace(made, known=after + np.random.default_rng(1).standard_normal(HOURS))
    found = examine(claim(), made, 7)
    assert found.reverse.p_family[1] < 0.05
    assert found.reverse.r[1] > 0.2
    assert found.verdict.word != "supported"


def test_what_is_out_of_sample_changes_nothing_in_sample() -> None:
    made, cut = world(6), 38 * 168
    close = made.close.copy()
    close[cut:] += np.random.default_rng(1).standard_normal((HOURS - cut, 2))
    known = made.known.copy()
    known[cut:] += 3.0
    other = examine(claim(), msgspec.structs.replace(made, close=close, known=known), 7)
    mine = examine(claim(), made, 7)
    np.testing.assert_array_equal(mine.inside.r, other.inside.r)
    assert mine.outside.r[1] != other.outside.r[1]


def test_the_same_seed_gives_the_same_numbers_and_json_has_no_nan() -> None:
    one, two = (plain(examine(claim(), world(7), 7)) for _ in range(2))
    assert json.dumps(one, allow_nan=False) == json.dumps(two, allow_nan=False)
    assert one["undefined"] == {}
    assert plain(examine(claim(), world(7), 8))["whole"] != one["whole"]


def test_what_is_not_defined_is_null_with_a_reason() -> None:
    made = msgspec.structs.replace(examine(claim(), world(7), 7), out_of_sample_gain=float("nan"))
    shown = plain(made)
    assert shown["out_of_sample_gain"] is None
    assert shown["undefined"] == {"out_of_sample_gain": "not defined for these data"}


SEEN = Judged(
    judging=claim().judging, lag_hours=6, r=0.1, p_family=0.01, r_inside=0.1, r_outside=0.1, replication_p=0.01,
    power=0.9, replication_power=0.9, reverse_r=0.01, reverse_p=0.5, blind=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "word", "reason"),
    [
        ({}, "supported", "replicated out of sample"),
        ({"reverse_p": 0.01, "reverse_r": 0.1}, "cannot tell", "the target leads the source as strongly"),
        ({"reverse_p": 0.01, "reverse_r": 0.09}, "supported", "replicated"),
        ({"r": -0.1}, "not supported", "against the claimed direction"),
        ({"replication_p": 0.2}, "not supported", "did not replicate"),
        ({"replication_p": 0.2, "replication_power": 0.5}, "cannot tell", "too little out of sample"),
        ({"r_inside": -0.01}, "not supported", "did not replicate"),
        ({"p_family": 0.06}, "not supported", "would have been found 90% of the time"),
        ({"p_family": 0.06, "power": 0.79}, "cannot tell", "the power is too small"),
        ({"p_family": 0.06, "blind": ("CPI",)}, "cannot tell", "it did not see CPI"),
    ],
)
def test_the_verdict(changes: dict[str, Any], word: str, reason: str) -> None:
    found = verdict(msgspec.structs.replace(SEEN, **changes))
    assert found.word == word
    assert reason in found.reason


def test_too_little_power_cannot_tell() -> None:
    small = claim(judging__injected=[0.01], judging__smallest_effect=0.01)
    found = examine(small, world(2), 7).verdict
    assert (found.word, "the power is too small" in found.reason) == ("cannot tell", True)


def test_positive_controls_fire_where_the_market_moves_and_only_there() -> None:
    made = world(8)
    events = START_MS + 168 * HOUR_MS * np.arange(10, 40) + 13 * HOUR_MS + 1_800_000  # half past one, on Mondays
    strong = made.close[:, 0].copy()
    strong[np.add.outer(np.arange(10, 40) * 168 + 13, np.arange(1)).ravel()] += 0.2
    wanted = {"venue": "here", "pair": "A/USD", "events": ["CPI"], "around_days": 30}
    for prices, p in ((strong, 1 / 301), (made.close[:, 0], None)):
        inputs = msgspec.structs.replace(made, control=prices, events={"CPI": events})
        found = examine(claim(positive_control=wanted), inputs, 7)
        assert found.controls[0].events == 30
        if p is not None:
            assert found.controls[0].p == pytest.approx(p)
            assert found.controls[0].ratio > 5 * found.controls[0].elsewhere
        else:
            assert found.controls[0].p > 0.01
            assert abs(found.controls[0].ratio / found.controls[0].elsewhere - 1.0) < 0.5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lag_hours": 5}, "lag_hours 5 is none of lags_hours"),
        ({"lags_hours": [6, 1]}, "write each once, rising"),
        ({"source__field": "x"}, "a count has no field"),
        ({"source__measure": "level"}, "source.field is missing"),
        ({"judging__smallest_effect": 0.2}, "is none of injected"),
        ({"judging__power": 1.5}, "judging.power"),
        ({"target": None}, "missing required field `target`"),
        ({"target__measure": "price"}, "target.measure"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"split__out_of_sample": "20210101-20220101"}, "overlap"),
        ({"split__in_sample": "20210104-"}, "must name its first and its last day"),
        ({"split__in_sample": "20220101-20210101"}, "is empty"),
        ({"split__in_sample": "soon"}, "timerange 'soon'"),
    ],
)
def test_a_bad_claim_is_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        claim(**changes)
    assert says in str(caught.value)
    assert str(caught.value).startswith("made-up.yaml: ")
    assert "\n" not in str(caught.value)


def replaced(**changes: Any) -> Inputs:
    return msgspec.structs.replace(world(1), **changes)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (lambda: replaced(known=np.full(HOURS, 3.0)), "commits is constant in the range"),
        (lambda: replaced(close=np.zeros((HOURS, 2))), "the target of commits is constant"),
        (lambda: replaced(known=np.full(HOURS, np.nan)), "known together for 0.0 weeks of in_sample"),
        (lambda: replaced(known=np.where(np.arange(HOURS) < 40 * 168, 1.0, np.nan)), "2.0 weeks of out_of_sample"),
    ],
)
def test_bad_data_are_refused_in_one_line(inputs: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        examine(claim(), inputs(), 7)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def bars(interval_ms: int = HOUR_MS, rows: int = 100) -> History:
    prices: FloatArray = np.ones((rows, 2))
    times = START_MS + interval_ms * np.arange(1, rows + 1)
    pairs = (Pair("A/USD"), Pair("B/USD"))
    return History(pairs, interval_ms, times, *[prices] * 5, np.ones((rows, 2), np.bool_))


def test_bars_and_sources_that_cannot_be_compared_by_the_hour() -> None:
    none = np.empty(0, np.int64)
    with pytest.raises(DataError, match="nothing of it was ever known: a source without known times is no source"):
        inputs_of(claim(), bars(), Happenings(none, np.empty(0), none, np.empty(0)), None, {})
    said = Happenings(np.array([START_MS]), np.ones(1), np.array([START_MS]), np.ones(1))
    with pytest.raises(UsageError, match="need bars of 1h or less"):
        inputs_of(claim(), bars(4 * HOUR_MS), said, None, {})
    assert inputs_of(claim(), bars(HOUR_MS // 4), said, None, {}).close.shape == (HOURS, 2)


def test_every_shipped_claim_is_sound_and_named_after_its_file() -> None:
    assert len(claim_names()) >= 6
    for name in claim_names():
        assert claim_of(*read_claim(name)).name == name
        assert (SHIPPED / f"{name}.yaml").is_file()
    with pytest.raises(NotFound, match="did you mean 'hash-rate-leads-bitcoin'"):
        read_claim("hash-rate-lead-bitcoin")


def twin(**changes: Any) -> Claim:
    """The shipped twin over fewer weeks."""
    made, _ = read_claim("simulated-commits-lead-returns")
    made["split"] = {"in_sample": "20210104-20210524", "out_of_sample": "20210524-20210830"}
    made["judging"] |= {"permutations": 500, "min_weeks": 8, "injected": [0.2], "smallest_effect": 0.2}
    return claim_of({**made, **changes}, "twin")


@pytest.mark.parametrize(("strength", "word"), [(0.0, "not supported"), (0.25, "supported")])
def test_the_simulated_market_is_understood(strength: float, word: str) -> None:
    tree = settings(simulated__moats__commits_day=240.0, simulated__moats__commits_correlation=strength)
    found = examine(twin(), simulated(twin(), tree, 3), 7)
    assert found.simulated
    assert found.verdict.word == word, found.verdict
    assert abs(found.whole.r[2]) < 0.06 if strength == 0.0 else found.whole.r[2] > strength / 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (HypothesisOptions(plant=0.1, placebo=True), "give one"),
        (HypothesisOptions(plant=1.5), "write a correlation above 0 and below 1"),
        (HypothesisOptions(data=RECORDED), "leave --data out"),
    ],
)
def test_options_that_do_not_go_together(options: HypothesisOptions, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        answer("simulated-commits-lead-returns", options)


def commits() -> Claim:
    return claim_of(*read_claim("commits-lead-defi-volatility"))


@needs_recorded
def test_commits_and_volatility_on_recorded_data() -> None:
    """What an honest first analysis of these recordings finds, found from the data alone."""
    made = examine(commits(), recorded(commits(), RECORDED), 7)
    assert 1e-11 < made.steps[0].p < 1e-10  # naive: by commit time, without controls
    place = made.claim.place
    assert 0.2 < made.whole.p[place] < 0.9
    assert made.whole.p_family.min() > 0.2
    assert made.replication_p > 0.2
    assert made.outside.p_family.min() > 0.2
    assert made.verdict.word == "not supported"
    cpi, fomc = made.controls
    assert (cpi.p, fomc.p) < (0.002, 0.002)
    assert cpi.ratio > 6.0 > 5.0 > 3.0 > cpi.elsewhere
    assert fomc.ratio > 4.0 > 3.0 > fomc.elsewhere
    three, five = made.power
    assert 0.65 < three.found < 0.85
    assert five.found > 0.97
    planted = plant(made.claim, recorded(commits(), RECORDED), 0.05, np.random.default_rng(1))
    assert examine(made.claim, planted, 7, 0.05).verdict.word == "supported"


@needs_recorded
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source__name": "comits"}, "no source 'comits'; there is commits, release_tags"),
        ({"source__subjects": ["UNI", "XYZ"]}, "nothing was ever known of XYZ; there is AAVE"),
        ({"target__pairs": ["UNI/USDT", "XYZ/USDT"]}, "no pair 'XYZ/USDT'"),
        ({"target__venue": "nowhere"}, "no venue 'nowhere'"),
        ({"source__measure": "level", "source__field": "stars"}, "no field 'stars'; there is files_changed"),
        ({"source__moat": "gossip"}, "no moat 'gossip'"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(changes: dict[str, Any], says: str) -> None:
    made, _ = read_claim("commits-lead-defi-volatility")
    made.pop("positive_control")
    for name, value in changes.items():
        part, field = name.split("__")
        made[part][field] = value
    with pytest.raises(MycelialError) as caught:
        recorded(claim_of(made, "x"), RECORDED)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_recorded
def test_commit_times_count_each_commit_once_landed_or_not() -> None:
    times = commit_times(RECORDED, ["UNI"])
    assert times == sorted(times)
    assert len(commit_times(RECORDED, ["UNI", "AAVE", "COMP"])) > len(times) > 0
    assert commit_times(RECORDED, ["XYZ"]) == []
