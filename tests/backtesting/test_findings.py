"""The swarm against simple learners, trades by strategy, moats together: figures by hand and sentences that fit."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from src.backtesting import findings
from src.backtesting.findings import by_strategy, moats, rivalry, strategy_type, synthesis
from src.core.moats import MOATS, MoatBoard
from src.core.timeframes import HOUR_MS
from src.core.types import Pair, Status, Stream, Trade
from tests.worlds import settings

TREE = settings()
STATISTICS = TREE.statistics
HORIZONS = {one.name: one.intervals for one in TREE.learners.horizons}
LEAST = STATISTICS.min_blocks * STATISTICS.block_days


def days(mean: float, count: int = 200) -> np.ndarray:
    return mean + 0.001 * np.random.default_rng(1).standard_normal(count)


@pytest.mark.parametrize(
    ("lead", "beaten", "words"),
    [
        (0.001, True, "The swarm did beat the pooled ridge: difference of mean daily return +0."),
        (-0.001, False, "The swarm did not beat the pooled ridge: difference of mean daily return -0."),
        (0.0, None, "It cannot be told whether the swarm beat the pooled ridge: difference of mean daily return "),
    ],
)
def test_the_sentence_fits_the_interval(lead: float, beaten: bool | None, words: str) -> None:
    swarm, rival = days(lead), np.zeros(200)
    found = rivalry(swarm, rival, "pooled ridge", STATISTICS, 7)
    assert found["beaten"] is beaten
    assert found["says"].startswith(words)
    assert found["says"].endswith("(block bootstrap, 200 days).")
    assert found["difference"] == pytest.approx(float(swarm.mean()))
    assert found["low"] < found["difference"] < found["high"]
    low, high = 100 * found["low"], 100 * found["high"]
    assert f"interval [{low:+.4f}, {high:+.4f}]" in found["says"]


def test_days_are_paired() -> None:
    """What both books share, however wild, is no difference."""
    common = 0.05 * np.random.default_rng(2).standard_normal(200)
    assert rivalry(common + days(0.001), common, "x", STATISTICS, 7)["beaten"] is True


def test_too_few_days_and_equal_books_tell_nothing() -> None:
    short = rivalry(days(0.01, LEAST - 1), np.zeros(LEAST - 1), "x", STATISTICS, 7)
    assert short["says"] == f"It cannot be told whether the swarm beat the x: {LEAST - 1} days are fewer than {LEAST}."
    assert (short["difference"], short["beaten"], short["days"]) == (None, None, LEAST - 1)
    equal = rivalry(np.zeros(300), np.zeros(300), "x", STATISTICS, 7)
    assert equal["says"] == "It cannot be told whether the swarm beat the x: the swarm's book never traded."
    assert rivalry(days(0.01, LEAST), np.zeros(LEAST), "x", STATISTICS, 7)["beaten"] is True


def test_a_swarm_as_good_as_its_rival_is_rarely_called_better_or_worse() -> None:
    told = [
        rivalry(random.standard_normal(120), random.standard_normal(120), "x", STATISTICS, seed)["beaten"]
        for seed, random in ((seed, np.random.default_rng(seed)) for seed in range(100))
    ]
    assert sum(beaten is not None for beaten in told) <= 11  # 5 % each: more than 11 of 100 in four of a thousand


def trade(planned: int | None, profit: str = "1", held: int = 2) -> Trade:
    """A trade whose idea's horizon ends `planned` hours after its entry."""
    one = Decimal(1)
    leave_at = None if planned is None else planned * HOUR_MS
    return Trade(
        "t", Stream.MYCELIAL, Pair("BTC/USD"), one, 0, held * HOUR_MS, one, one, one, one, Decimal(profit),
        Decimal(profit) / 100, "horizon", None, leave_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("planned", "type_"),
    [
        *((hours, "HFT") for hours in (1, 2, 3)), *((hours, "DayTrade") for hours in (4, 5, 6)),
        *((hours, "Swing") for hours in (7, 23, 24, 25)), (None, "none"),
    ],
)  # fmt: skip
def test_the_type_of_a_trade_is_that_of_its_ideas_horizon(planned: int | None, type_: str) -> None:
    assert strategy_type(trade(planned), HORIZONS, HOUR_MS) == type_


def test_types_are_summed_with_zero_for_those_without_trades() -> None:
    made = by_strategy([trade(3, "2", 3), trade(2, "-1", 1), trade(24, "5", 10), trade(None, "0")], HORIZONS, HOUR_MS)
    assert list(made) == ["HFT", "DayTrade", "Swing", "none"]
    assert made["HFT"] == {
        "trades": 2, "win_ratio": 0.5, "mean_profit_ratio": pytest.approx(0.005), "profit": 1.0,
        "mean_duration_ms": 2.0 * HOUR_MS,
    }  # fmt: skip
    assert made["DayTrade"] == {
        "trades": 0, "win_ratio": None, "mean_profit_ratio": None, "profit": 0.0, "mean_duration_ms": None,
    }  # fmt: skip
    assert (made["Swing"]["trades"], made["none"]["win_ratio"]) == (1, 0.0)
    assert list(by_strategy([], HORIZONS, HOUR_MS)) == ["HFT", "DayTrade", "Swing"]


def view_of(*means: float | None) -> dict[str, dict[str, object]]:
    """Moats whose last readings were so many standard deviations, None for no data."""
    view = MoatBoard((Pair("BTC/USD"),), TREE.moats).view
    count = TREE.moats.board.strength.readings
    recent = np.array([np.full(count, 0.0 if mean is None else mean) for mean in means])
    readings = np.array([0 if mean is None else count for mean in means])
    parts = msgspec.structs.replace(view.parts, recent=recent, readings=readings)
    statuses = tuple(Status.NO_DATA if mean is None else Status.OK for mean in means)
    return moats(msgspec.structs.replace(view, parts=parts, statuses=statuses), TREE.moats.board.strength)


@pytest.mark.parametrize(
    ("means", "word"),
    [
        ((0.0, 0.0, 0.0, 0.0), "NONE"), ((2.1, 0.0, 1.7, 1.2), "WEAK"), ((2.1, 3.0, 0.0, 0.0), "MODERATE"),
        ((2.1, 2.1, 2.1, 2.09), "STRONG"), ((3.0, 2.5, 2.2, 9.0), "VERY STRONG"),
    ],
)  # fmt: skip
def test_the_number_of_strong_moats_gives_the_word(means: tuple[float, ...], word: str) -> None:
    made = synthesis(view_of(*means))
    assert made["verdict"] == word
    assert made["no_data"] == []
    assert sorted(name for grade in ("strong", "moderate", "weak", "none") for name in made[grade]) == sorted(MOATS)


def test_grades_at_their_boundaries() -> None:
    made = view_of(2.1, 1.65, 1.2, 1.19)
    assert [one["grade"] for one in made.values()] == ["strong", "moderate", "weak", "none"]
    assert [one["strength"] for one in made.values()] == pytest.approx([70.0, 55.0, 40.0, 119.0 / 3.0])


def test_no_data_is_not_weak() -> None:
    made = view_of(2.5, None, 0.1, None)
    assert made["government"]["status"] == "NO_DATA"
    assert (made["government"]["strength"], made["government"]["grade"]) == (None, None)
    together = synthesis(made)
    assert (together["verdict"], together["strong"], together["weak"], together["none"]) == (
        "WEAK", ["code"], [], ["logistics"],
    )  # fmt: skip
    assert together["no_data"] == ["government", "corporate"]
    assert (moats(None, TREE.moats.board.strength), synthesis({})) == ({}, {})
    assert findings.NO_HORIZON == "none"
