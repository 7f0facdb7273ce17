"""Every policy by its numbers: what it recommends, at which price, and when it is silent."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from pydantic import ValidationError

from src.core.errors import DataError
from src.core.types import Side, Stage
from src.services.supervisor.context import LadderStage, SymbolContext
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.profiles import Profiles
from src.services.supervisor.recommendation import PolicyAction, Priority, Recommendation
from src.services.supervisor.risk_units import RiskUnits
from tests.money import BTC, ETH
from tests.policies import context, crowd, held, policies, policy, stop, tree

CLOSE, PROTECT, PART, RAISE = PolicyAction.CLOSE, PolicyAction.PROTECT, PolicyAction.SELL_PART, PolicyAction.RAISE_STOP


def said(name: str, seen: SymbolContext, **changes: object) -> tuple[object, ...] | None:
    """(action, amount, stop) of a recommendation."""
    one = policy(name, **changes).recommend(seen)
    return None if one is None else (one.action, one.amount, one.stop)


def test_the_table_and_the_settings_name_the_same_policies() -> None:
    assert list(POLICIES) == list(type(tree().policies.states).model_fields)
    assert [make(tree().policies).name for make in POLICIES.values()] == list(POLICIES)


def test_what_is_shipped_is_the_fixed_exits_and_the_stop() -> None:
    states = tree().policies.states.model_dump()
    assert {name for name, state in states.items() if state == "on"} == {"stop_loss", "opposite_idea", "time_stop"}
    assert set(states.values()) == {"on", "off"}


# --- R ------------------------------------------------------------------------------------------------------------


def test_the_oracle_of_r() -> None:
    units = RiskUnits(Side.BUY, Decimal("189.10"), Decimal("189.10") * Decimal("0.985"))
    assert (units.initial_stop, units.one) == (Decimal("186.2635"), Decimal("2.8365"))
    assert [units.price_at(Decimal(r)) for r in range(1, 5)] == [
        Decimal(price) for price in ("191.9365", "194.7730", "197.6095", "200.4460")
    ]
    assert round(units.multiple(Decimal("193.50")), 2) == Decimal("1.55")


def test_r_of_a_short_position_is_mirrored() -> None:
    units = RiskUnits(Side.SELL, Decimal(100), Decimal(105))
    assert (units.multiple(Decimal(95)), units.multiple(Decimal(105))) == (1, -1)
    assert units.price_at(Decimal(2)) == 90
    assert units.safer(Decimal(99), Decimal(101))
    assert units.safest(Decimal(99), Decimal(101)) == 99
    assert units.reached(Decimal(90), Decimal(2))
    assert not units.reached(Decimal("90.01"), Decimal(2))


@pytest.mark.parametrize(("direction", "initial"), [(Side.BUY, 100), (Side.BUY, 101), (Side.SELL, 99)])
def test_a_stop_that_protects_nothing_gives_no_r(direction: Side, initial: int) -> None:
    with pytest.raises(DataError, match="R is undefined"):
        RiskUnits(direction, Decimal(100), Decimal(initial)).multiple(Decimal(101))


# --- stop loss ----------------------------------------------------------------------------------------------------


def test_a_position_without_a_stop_is_an_emergency() -> None:
    one = policy("stop_loss").recommend(context(stops=()))
    assert one == Recommendation(
        "stop_loss", BTC, PROTECT, Priority.EMERGENCY, "no_stop", None, Decimal(95), by_price=False
    )


def test_the_safest_stop_there_ever_was_comes_back() -> None:
    assert said("stop_loss", context("107", stops=(), tight="102.5")) == (PROTECT, None, Decimal("102.5"))


def test_a_price_beyond_the_stop_closes() -> None:
    assert said("stop_loss", context("94.99", stops=())) == (CLOSE, None, None)
    assert said("stop_loss", context("95", stops=())) == (CLOSE, None, None)
    assert said("stop_loss", context("94", stops=(), fresh=False)) == (PROTECT, None, Decimal(95))
    assert said("stop_loss", context(None, stops=())) == (PROTECT, None, Decimal(95))


@pytest.mark.parametrize(
    ("amounts", "leaving", "reason"),
    [
        (("10",), "0", None),
        (("9.99",), "0", "stop_too_small"),
        (("5", "5"), "0", "stop_too_small"),
        (("4",), "6", None),
        ((), "10", None),
        (("11",), "0", "stop_too_large"),
    ],
)
def test_one_stop_for_everything_that_stays(amounts: tuple[str, ...], leaving: str, reason: str | None) -> None:
    stops = [stop("95", amount, f"s-{n}") for n, amount in enumerate(amounts)]
    one = policy("stop_loss").recommend(context(stops=stops, leaving=leaving))
    assert (None if one is None else one.reason) == reason


@pytest.mark.parametrize(
    ("price", "fresh", "jumped"), [("93", True, False), ("92.99", True, True), ("90", False, False)]
)
def test_a_price_that_leapt_over_the_limit_of_a_stop_closes(price: str, fresh: bool, jumped: bool) -> None:
    resting = msgspec.structs.replace(stop("95"), limit=Decimal(93))
    one = policy("stop_loss").recommend(context(price, stops=[resting], fresh=fresh))
    assert (None if one is None else (one.action, one.reason)) == ((CLOSE, "stop_jumped") if jumped else None)


# --- break-even, partial profit, profiles ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "before", "at"), [("balanced", "104.99", "105"), ("conservative", "104.99", "105"),
                                  ("aggressive", "107.49", "107.5")]
)  # fmt: skip
def test_break_even(profile: str, before: str, at: str) -> None:
    assert said("break_even", context(before), profile=profile) is None
    assert said("break_even", context(at), profile=profile) == (RAISE, None, Decimal(100))
    assert said("break_even", context("101", best=at), profile=profile) == (RAISE, None, Decimal(100))


@pytest.mark.parametrize(
    ("profile", "before", "at", "amount"),
    [("balanced", "109.99", "110", "5.0"), ("conservative", "109.99", "110", "5.0"),
     ("aggressive", "114.99", "115", "3.3")],
)  # fmt: skip
def test_partial_profit(profile: str, before: str, at: str, amount: str) -> None:
    assert said("partial_profit", context(before), profile=profile) is None
    assert said("partial_profit", context(at), profile=profile) == (PART, Decimal(amount), None)


def test_what_was_sold_counts_and_so_does_what_is_leaving() -> None:
    assert said("partial_profit", context("110", amount="8")) == (PART, Decimal(3), None)
    assert said("partial_profit", context("110", amount="5")) is None
    assert said("partial_profit", context("110", leaving="5")) is None
    assert said("partial_profit", context(None)) is None


@pytest.mark.parametrize(
    ("volatility", "trend", "name"),
    [
        (0.0301, 60.0, "conservative"),
        (0.03, 25.1, "aggressive"),
        (0.03, 25.0, "balanced"),
        (None, None, "balanced"),
        (None, 30.0, "aggressive"),
    ],
)
def test_the_adaptive_profile(volatility: float | None, trend: float | None, name: str) -> None:
    chosen = Profiles(policies(profile="adaptive"))
    seen = context(volatility=volatility, trend=trend)
    assert chosen.name_of(seen) == name
    assert chosen.of(seen) == getattr(tree().policies.profiles, name)
    assert Profiles(policies(profile="aggressive")).name_of(seen) == "aggressive"


def test_the_profiles_have_the_numbers_of_the_documents() -> None:
    profiles = tree().policies.profiles
    assert [
        (one.break_even_r, one.partial_r, one.partial_ratio, one.trail_from_r, one.trail_distance_r)
        for one in (profiles.conservative, profiles.balanced, profiles.aggressive)
    ] == [
        (1, 2, Decimal("0.5"), Decimal("1.5"), Decimal("0.75")),
        (1, 2, Decimal("0.5"), 2, None),
        (Decimal("1.5"), 3, Decimal("0.33"), 2, Decimal("1.5")),
    ]


# --- ladder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("104.99", None),
        ("105", (RAISE, None, Decimal(100))),
        ("107.5", (RAISE, None, Decimal("102.5"))),
        ("110", (PART, Decimal(5), Decimal(105))),
        ("115", (PART, Decimal("7.5"), Decimal("107.5"))),
        ("120", (CLOSE, None, None)),
    ],
)
def test_the_ladder_rung_by_rung(price: str, expected: tuple[object, ...] | None) -> None:
    assert said("profit_ladder", context(price)) == expected


def test_the_ladder_sells_of_the_original_amount() -> None:
    assert said("profit_ladder", context("115", amount="5")) == (PART, Decimal("2.5"), Decimal("107.5"))
    assert said("profit_ladder", context("115", amount="2.5")) == (RAISE, None, Decimal("107.5"))
    assert said("profit_ladder", context("120", amount="2.5")) == (CLOSE, None, None)


def test_the_ladder_only_goes_forward() -> None:
    """Below a rung that was reached the stop stays where that rung put it, and nothing is sold."""
    assert said("profit_ladder", context("106", best="110")) == (RAISE, None, Decimal(105))
    assert said("profit_ladder", context(None, best="110")) == (RAISE, None, Decimal(105))


def test_the_states_of_the_ladder_are_named() -> None:
    assert [stage.name for stage in LadderStage] == [
        "INITIAL_RISK",
        "BREAKEVEN_PROTECTED",
        "PARTIAL_PROFIT_TAKEN",
        "ADVANCED_PROFIT_TAKEN",
        "FINAL",
    ]


# --- trailing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "best", "volatility", "expected"),
    [
        ("balanced", "109.99", 0.01, None),
        ("balanced", "110", 0.01, "105"),  # 2 R: 1 R behind
        ("balanced", "124.99", 0.01, "119.99"),
        ("balanced", "125", 0.01, "115"),  # 5 R: 2 R behind
        ("balanced", "125", 0.031, "110"),  # 3 R behind where it is volatile
        ("conservative", "107.5", 0.01, "103.75"),  # 0.75 R
        ("aggressive", "110", 0.01, "102.5"),  # 1.5 R
        ("aggressive", "110", None, "102.5"),
    ],
)
def test_trailing(profile: str, best: str, volatility: float | None, expected: str | None) -> None:
    one = policy("trailing", profile=profile).recommend(context(best, best=best, volatility=volatility))
    assert (None if one is None else one.stop) == (None if expected is None else Decimal(expected))


def test_below_two_r_the_stop_trails_by_half_of_it() -> None:
    profiles = {name: one.model_dump() for name, one in tree().policies.profiles}
    profiles["balanced"]["trail_from_r"] = 0
    one = policy("trailing", profiles=profiles).recommend(context("108"))
    assert one is not None
    assert one.stop == Decimal("105.5")


def test_the_distance_is_from_the_best_price() -> None:
    assert said("trailing", context("106", best="111")) == (RAISE, None, Decimal(106))


# --- whole exits --------------------------------------------------------------------------------------------------


def test_the_horizon_is_the_time_stop() -> None:
    seen = context()
    for leave_at, leaves in ((None, False), (seen.at + 1, False), (seen.at, True), (seen.at - 1, True)):
        one = policy("time_stop").recommend(msgspec.structs.replace(seen, position=held(leave_at=leave_at)))
        assert (one is not None) is leaves
    assert one is not None
    assert (one.action, one.reason, one.priority, one.by_price) == (CLOSE, "horizon", Priority.EXIT, False)


def test_an_opposite_idea() -> None:
    assert said("opposite_idea", context()) is None
    one = policy("opposite_idea").recommend(context(opposed=True))
    assert one is not None
    assert (one.action, one.reason, one.priority) == (CLOSE, "opposite_idea", Priority.EXIT)


@pytest.mark.parametrize(
    ("stage", "leaves"),
    [(None, False), (Stage.ACTIVE, False), (Stage.PROBATION, False), (Stage.HIBERNATED, True), (Stage.DELISTED, False)],
)
def test_what_hibernates_is_left_and_what_is_delisted_keeps_its_stop(stage: Stage | None, leaves: bool) -> None:
    assert (said("hibernation_exit", context(life=stage)) is not None) is leaves


@pytest.mark.parametrize(
    ("allowed", "size", "amount", "cut"),
    [
        ("1", "1", "10", None),
        ("0.5", "1", "10", "5"),
        ("0.25", "1", "10", "7.5"),
        ("0.25", "0.5", "10", "5"),
        ("0.5", "1", "5", None),
        ("0.5", "0.25", "10", None),
        ("0", "1", "10", None),
    ],
)
def test_probation_cuts_to_the_size_that_is_allowed(allowed: str, size: str, amount: str, cut: str | None) -> None:
    seen = context(amount=amount, allowed=Decimal(allowed))
    seen = msgspec.structs.replace(seen, progress=msgspec.structs.replace(seen.progress, size=Decimal(size)))
    assert said("probation_exit", seen) == (None if cut is None else (PART, Decimal(cut), None))


@pytest.mark.parametrize(("lost", "leaves"), [("0.0299", False), ("0.03", True), ("0.2", True), ("-0.1", False)])
def test_the_daily_loss(lost: str, leaves: bool) -> None:
    seen = context()
    account = msgspec.structs.replace(seen.account, day_loss_ratio=Decimal(lost))
    one = policy("daily_loss").recommend(msgspec.structs.replace(seen, account=account))
    assert (one is not None) is leaves
    assert one is None or (one.action, one.priority) == (CLOSE, Priority.EMERGENCY)


def test_of_a_crowd_those_leave_that_free_enough() -> None:
    assert said("correlated_exits", context()) is None
    assert said("correlated_exits", context(crowd=crowd(BTC, ETH))) == (CLOSE, None, None)
    assert said("correlated_exits", context(crowd=crowd(BTC, ETH, leaving=(ETH,)))) is None


def test_rebalancing_cuts_what_is_outside_its_band() -> None:
    """A tenth of 10,000, give or take half of it."""
    assert said("rebalancing", context("150")) is None
    assert said("rebalancing", context("160")) == (PART, Decimal("3.75"), None)
    assert said("rebalancing", context("160", leaving="3.75")) is None
    assert said("rebalancing", context(None)) is None


# --- settings that contradict themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said_"),
    [
        ({"trail_steps": [{"from_r": 2, "distance_r": 1}, {"from_r": 0, "distance_r": 0.5}]}, "trail_steps"),
        ({"ladder": [{"at_r": 1, "stop_r": 1, "sell_ratio": 0}]}, "below the price"),
        ({"ladder": [{"at_r": r, "stop_r": r - 1, "sell_ratio": 0.6} for r in (1, 2)]}, "more"),
        ({"ladder": [{"at_r": 2, "stop_r": 1, "sell_ratio": 0}, {"at_r": 3, "stop_r": 0, "sell_ratio": 0}]}, "ladder"),
        ({"states__trailing": "maybe"}, "shadow"),
        ({"portfolio__min_intervals": 97}, "min_intervals"),
    ],
)  # fmt: skip
def test_settings_that_contradict_themselves_are_refused(changes: dict[str, object], said_: str) -> None:
    with pytest.raises(ValidationError, match=said_):
        policies(**changes)
