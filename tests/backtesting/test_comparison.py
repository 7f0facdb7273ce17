"""Runs side by side: what differs, what may be compared, and figures of the paired difference."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting import comparison
from src.backtesting.report import terminal
from src.core.errors import NotFound, UsageError
from src.core.inference import mean_interval
from src.core.randomness import generator_for
from tests.worlds import settings

from .tapes import CONDITIONS, tape

STATISTICS = settings().statistics
DAYS = 120


def long(folder: Path, lead: float, **changes: object) -> Path:
    """Some months of noise around a gain of `lead` a day."""
    profits = np.random.default_rng(5).normal(0.0, 1.0, DAYS) + lead
    return tape(folder, [f"{profit:.4f}" for profit in profits], **changes)


def compared(*folders: Path) -> dict[str, Any]:
    return comparison.compare(comparison.load(folders), STATISTICS)


def shown(*folders: Path) -> str:
    runs = comparison.load(folders)
    console = terminal(io.StringIO())
    for block in comparison.blocks(runs, comparison.compare(runs, STATISTICS)):
        console.print(block)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def of_book(found: dict[str, Any], book: str) -> dict[str, Any]:
    return next(one for one in found["paired"] if one["book"] == book)


def test_settings_are_compared_leaf_by_leaf(tmp_path: Path) -> None:
    other = {**CONDITIONS, "code_sha256": "f" * 64}
    other["settings"] = {"costs.fee_ratio": "0.002", "costs.slippage_ratio": "0.0005", "new.leaf": True}
    found = compared(tape(tmp_path / "one"), tape(tmp_path / "two", conditions=other, seed=8))
    assert found["settings"] == {
        "costs.fee_ratio": ["0.001", "0.002"],
        "learners.team": [3, "(not there)"],
        "new.leaf": ["(not there)", True],
    }
    assert found["conditions"] == {"seed": [7, 8], "code_sha256": ["e" * 64, "f" * 64]}
    assert (found["comparable"], found["settings_unknown"]) == (True, [])


def test_a_lead_that_is_there_is_found_and_its_figures_are_those_of_the_bootstrap(tmp_path: Path) -> None:
    one, two = long(tmp_path / "one", 0.0), long(tmp_path / "two", 3.0)
    found = of_book(compared(one, two), "account")
    runs = comparison.load([one, two])
    first, second = (comparison._daily(each.run, "account") for each in runs)
    random = generator_for(7, "compare:account")
    expected = mean_interval(
        second - first, STATISTICS.block_days, STATISTICS.draws, STATISTICS.confidence_ratio, random
    )
    assert expected is not None
    assert (found["difference"], found["low"], found["high"]) == (expected.estimate, expected.low, expected.high)
    assert (found["better"], found["days"]) == (True, DAYS)
    assert found["says"].startswith("account: two against one: better; difference of mean daily return +0.2")
    turned = of_book(compared(two, one), "account")
    assert turned["better"] is False
    assert turned["difference"] == pytest.approx(-found["difference"], rel=1e-12)


def test_the_same_run_twice_is_no_difference(tmp_path: Path) -> None:
    one = long(tmp_path / "one", 0.0)
    found = compared(one, one)
    assert found["runs"] == ["one", "one #2"]
    assert {each["says"] for each in found["paired"]} >= {"account: both runs came to the same, day by day."}
    assert all(each["difference"] is None for each in found["paired"])


def test_too_few_days_tell_nothing(tmp_path: Path) -> None:
    found = of_book(compared(tape(tmp_path / "one"), tape(tmp_path / "two", ("5", "1", "2", "3", "4"))), "account")
    least = STATISTICS.min_blocks * STATISTICS.block_days
    assert (found["difference"], found["better"]) == (None, None)
    assert found["says"] == f"account: cannot tell, 5 days are fewer than {least}."


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [({"data_sha256": "a" * 64}, "other data"), ({"interval_ms": 43_200_000}, "another timeframe")],
)
def test_runs_on_other_data_are_not_compared(tmp_path: Path, changes: dict[str, object], obstacle: str) -> None:
    one, two = long(tmp_path / "one", 0.0), long(tmp_path / "two", 9.0, **changes)
    found = compared(one, two)
    assert not found["comparable"]
    assert found["obstacles"] == {"two": [obstacle]}
    assert all(each["difference"] is None for each in found["paired"])
    assert of_book(found, "account")["says"] == f"two and one are not comparable: {obstacle}."
    text = shown(one, two)
    assert f"NOT COMPARABLE: two has {obstacle} than one; no difference is given." in text
    assert "difference of mean daily return" not in text


def test_another_range_is_named(tmp_path: Path) -> None:
    found = compared(tape(tmp_path / "one"), tape(tmp_path / "two", ("5", "1")))
    assert found["obstacles"] == {"two": ["another range"]}


def test_a_run_that_kept_no_settings_is_named(tmp_path: Path) -> None:
    old = tape(tmp_path / "old")
    (old / "conditions.json").unlink()
    found = compared(old, tape(tmp_path / "two"))
    assert (found["settings_unknown"], found["settings"]) == (["old"], {})
    assert "Settings of old are not known: the run did not keep them" in shown(old, tmp_path / "two")


def test_streams_stand_side_by_side_and_what_is_not_defined_says_why(tmp_path: Path) -> None:
    found = compared(tape(tmp_path / "one"), tape(tmp_path / "two", ("5",) * 5))
    assert found["streams"]["one"]["account"]["total_profit_ratio"] == pytest.approx(0.01871)
    assert found["streams"]["two"]["synthesized"]["profit_factor"] is None
    assert found["undefined"]["two"]["streams.synthesized.profit_factor"] == "no losing trade"
    text = shown(tmp_path / "one", tmp_path / "two")
    for words in ("STRATEGY SUMMARY", "STREAMS SIDE BY SIDE", "CONDITIONS THAT DIFFER", "SETTINGS THAT DIFFER"):
        assert words in text


def test_one_run_is_too_few_and_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two runs"):
        comparison.load([tape(tmp_path / "one")])
    with pytest.raises(NotFound, match=r"result\.json is missing"):
        comparison.load([tmp_path / "one", tmp_path / "nowhere"])
