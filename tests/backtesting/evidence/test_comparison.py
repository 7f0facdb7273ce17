"""Better, not better, or nobody can tell: on returns whose truth is known."""

from __future__ import annotations

from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from src.backtesting.evidence import comparison
from src.backtesting.evidence.comparison import (
    CANNOT_TELL,
    NOT_SUPPORTED,
    SUPPORTED,
    Question,
    Trades,
    holm,
    judged,
    thinned,
)
from src.core.inference import Interval
from src.core.types import FloatArray, Pair, Stream, Trade
from tests.worlds import settings

RULE = settings().statistics
DAYS = 400


def noise(seed: int, mean: float = 0.0, days: int = DAYS) -> FloatArray:
    return mean + 0.01 * np.random.default_rng(seed).standard_normal(days)


MANY = Trades(134, 142, 133)


def ask(
    arm: FloatArray, reference: FloatArray, placebo: FloatArray | None, trials: int = 1, traded: Trades = MANY
) -> dict[str, Any]:  # fmt: skip
    (answer,) = judged([Question("q", arm, reference, placebo, "this", traded)], RULE, 7, trials)
    return answer


def test_what_is_better_than_reference_and_placebo_is_supported() -> None:
    answer = ask(noise(1, 0.004), noise(2), noise(3))
    assert answer["verdict"] == SUPPORTED
    assert answer["difference"] == pytest.approx(float((noise(1, 0.004) - noise(2)).mean()))
    assert answer["low"] < answer["difference"] < answer["high"]
    assert answer["annual"]["difference"] == pytest.approx(365 * answer["difference"])
    assert answer["annual"]["sharpe"] == pytest.approx(365**0.5 * answer["effect_size"])
    assert answer["placebo"]["beaten"]
    assert not answer["placebo"]["improves"]
    assert answer["says"].startswith("this: supported (")


def test_who_trades_less_than_a_loser_is_not_better() -> None:
    """Fault M-F39: any filter of a losing book, random ones included, loses less than the book."""
    loser = noise(1, -0.006)
    keep = np.random.default_rng(4).random(DAYS) < 0.3
    answer = ask(np.where(keep, loser, 0.0), loser, noise(5, -0.006))
    assert answer["low"] > 0.0
    assert answer["arm_mean"] < 0.0
    assert (answer["verdict"], "only loses less" in answer["says"]) == (NOT_SUPPORTED, True)


def test_who_never_traded_is_neither_better_nor_worse() -> None:
    loser, nothing = noise(1, -0.006), np.zeros(DAYS)
    silent = ask(nothing, loser, noise(5, -0.006), traded=Trades(0, 142, 3))
    assert (silent["verdict"], silent["low"] > 0.0) == (CANNOT_TELL, True)
    assert "because it never traded (" in silent["says"]
    assert silent["says"].endswith("; 0 trades against 142, placebo 3).")
    worse = ask(loser, nothing, noise(5, -0.006), traded=Trades(142, 0, 3))
    assert (worse["verdict"], "does worse than one that never traded" in worse["says"]) == (NOT_SUPPORTED, True)
    cheap = ask(noise(2, 0.006), loser, nothing, traded=Trades(9, 142, 0))
    assert (cheap["verdict"], "a placebo improves on it as well by never trading" in cheap["says"]) == (
        CANNOT_TELL,
        True,
    )
    assert (cheap["arm_trades"], cheap["reference_trades"], cheap["placebo"]["trades"]) == (9, 142, 0)


def test_a_placebo_that_improves_makes_every_answer_void() -> None:
    loser = noise(1, -0.006)
    keep = np.random.default_rng(4).random(DAYS) < 0.3
    answer = ask(noise(2, 0.006), loser, np.where(keep, loser, 0.0))
    assert answer["low"] > 0.0
    assert answer["arm_mean"] > 0.0
    assert (answer["verdict"], answer["placebo"]["improves"]) == (CANNOT_TELL, True)


def test_better_than_the_reference_but_not_than_the_placebo_cannot_be_told() -> None:
    arm = noise(1, 0.0016)
    answer = ask(arm, arm - 0.0005 + 0.001 * noise(2), 5.0 * noise(3))
    assert answer["low"] > 0.0
    assert answer["arm_mean"] > 0.0
    assert (answer["placebo"]["improves"], answer["placebo"]["beaten"]) == (False, False)
    assert answer["verdict"] == CANNOT_TELL


def test_without_a_placebo_nothing_is_supported() -> None:
    assert ask(noise(1, 0.004), noise(2), None)["verdict"] == CANNOT_TELL


def test_what_does_worse_is_not_supported() -> None:
    assert ask(noise(1, -0.004), noise(2), noise(3))["verdict"] == NOT_SUPPORTED


def test_a_short_test_cannot_rule_out_what_a_long_one_can() -> None:
    """Eight years see a Sharpe ratio of 1 with 80 %, one year does not: (1.96 + 0.84)^2 = 7.8."""
    short, long = (ask(noise(1, 0.0, d), noise(2, 0.0, d), noise(3, 0.0, d)) for d in (365, 12 * 365))
    assert short["annual"]["least_found_sharpe"] > 1.0 > long["annual"]["least_found_sharpe"]
    assert (short["verdict"], long["verdict"]) == (CANNOT_TELL, NOT_SUPPORTED)


def test_one_of_many_comparisons_must_be_surer() -> None:
    one = ask(noise(1, 0.0021), noise(2), noise(3) - 0.003)
    many = ask(noise(1, 0.0021), noise(2), noise(3) - 0.003, trials=200)
    assert (one["verdict"], one["p_family"]) == (SUPPORTED, one["p"])
    assert (many["verdict"], many["p"]) == (CANNOT_TELL, one["p"])
    assert many["p_family"] == pytest.approx(min(1.0, 200 * one["p"]))


def test_too_few_days_and_no_difference_cannot_be_told() -> None:
    few = ask(noise(1, 0.01, 55), noise(2, 0.0, 55), noise(3, 0.0, 55))
    assert (few["verdict"], few["difference"], few["placebo"]) == (CANNOT_TELL, None, None)
    assert "55 days are fewer than 56" in few["says"]
    alike = ask(noise(1), noise(1), noise(2))
    assert (alike["verdict"], "came to the same" in alike["says"]) == (CANNOT_TELL, True)
    assert ask(np.empty(0), np.empty(0), np.empty(0))["arm_mean"] is None


def test_the_level_is_kept_where_nothing_is_better() -> None:
    """40 worlds without an effect, 5 comparisons each: a family that errs in 5 of 100 errs in at most 6 of them."""
    wrong = 0
    for world in range(40):
        begin = 1000 * world
        questions = [
            Question(str(q), noise(begin + q), noise(begin + 50 + q), noise(begin + 90 + q), "x", MANY)
            for q in range(5)
        ]
        wrong += any(one["verdict"] == SUPPORTED for one in judged(questions, RULE, world, 5))
    assert wrong <= 6


def test_the_least_effect_is_found_as_often_as_is_said() -> None:
    """Power by planting: with the effect that is named, the interval excludes zero in about 80 of 100."""
    interval = Interval(0.0, -1.0, 1.0, 0.01 * (2.0 / DAYS) ** 0.5, 1.0, DAYS)
    least = comparison.least_found(interval, RULE.block_days, RULE.confidence_ratio)
    normal = NormalDist()
    assert least / interval.error == pytest.approx(normal.inv_cdf(0.975) + normal.inv_cdf(0.8), rel=0.02)
    found = 0
    for world in range(100):
        pair = comparison.paired(noise(2 * world + 7, least), noise(2 * world + 8), RULE, world, "power")
        assert pair.interval is not None
        found += pair.interval.low > 0.0
    assert 68 <= found <= 92


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def trade(number: int) -> Trade:
    one, zero = Decimal(1), Decimal(0)
    return Trade(
        str(number), Stream.BASELINE, Pair("A/B"), one, number, number + 1, one, one, zero, zero, zero, zero, "x"
    )


def test_a_random_filter_keeps_so_many_in_order() -> None:
    trades = [trade(number) for number in range(50)]
    kept = thinned(trades, 20, 7, "a")
    numbers = [int(one.id) for one in kept]
    assert numbers == sorted(set(numbers))
    assert len(kept) == 20
    assert thinned(trades, 20, 7, "a") == kept
    assert thinned(trades, 20, 8, "a") != kept
    assert thinned(trades, 99, 7, "a") == trades
    assert thinned([], 3, 7, "a") == []
