"""Walk-forward and cross-validation as their user meets them: over finished runs, and over a grid walked for it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from src.backtesting.recorder import CONDITIONS, EQUITY, RESULT, TRADES
from src.commands.tried import cells
from src.core.canonical import encode
from src.core.errors import UsageError
from src.core.metrics import sharpe
from src.core.timeframes import DAY_MS

from .cli import SMALL, START_MS, Say, refused

DAYS = 120
NARROW = ("--set", "validation.train_days=5", "--set", "validation.test_days=3", "--set", "validation.folds=4",
          "--set", "validation.overfitting_blocks=4")  # fmt: skip


def write_run(folder: Path, returns: np.ndarray, start: int = START_MS) -> Path:
    """A run's folder with this account, one value a day, and no trades."""
    folder.mkdir(parents=True)
    equity = 10_000 * np.cumprod(1 + returns)
    times = np.datetime_as_string(
        (start + DAY_MS * np.arange(1, len(returns) + 1)).astype("datetime64[ms]"), unit="ms", timezone="UTC"
    )
    lines = [f"{at},{Decimal(repr(round(value, 8)))},0" for at, value in zip(times, equity.tolist(), strict=True)]
    (folder / EQUITY).write_text("\n".join(["at,equity,cash", *lines, ""]))
    streams = {"baseline": {}, "mycelial": {}, "synthesized": {}}
    result = {"account": {"start_equity": 10_000.0}, "timeframe": "1h", "seed": 7, "streams": streams}
    (folder / RESULT).write_bytes(encode(result))
    (folder / TRADES).write_text("id,stream,pair\n")
    (folder / CONDITIONS).write_bytes(encode({"settings": {"learners.horizons": [{"intervals": 24, "name": "Swing"}]}}))
    return folder


@pytest.fixture
def two(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Runs `one`, which gains steadily, and `two`, which does not."""
    random = np.random.default_rng(4)
    good, bad = random.normal(0.01, 0.01, DAYS), random.normal(0.0, 0.01, DAYS)
    write_run(tmp_path / "runs" / "one", good)
    write_run(tmp_path / "runs" / "two", bad)
    return good, bad


def said(say: Say, *words: str | Path) -> dict[str, Any]:
    done = say(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert "NaN" not in done.stdout
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def test_windows_over_the_days_of_two_runs(say: Say, two: tuple[np.ndarray, np.ndarray]) -> None:
    found = said(say, "walk-forward", "two", "one")
    assert found["candidates"] == ["two", "one"]
    assert (found["book"], found["purge_days"], found["days"]) == ("account", 1, ["2021-01-01", "2021-04-30"])
    first, second = found["windows"]
    assert (first["train"], first["test"]) == (["2021-01-01", "2021-03-01"], ["2021-03-03", "2021-03-22"])
    assert (second["train"], second["chosen"]) == (["2021-01-21", "2021-03-21"], "one")
    judged = two[0][61:101]
    assert found["sharpe"] == pytest.approx(sharpe(judged), rel=1e-5)
    assert found["efficiency"] == pytest.approx(
        judged.mean() / np.concatenate((two[0][:60], two[0][20:80])).mean(), rel=1e-4
    )
    assert found["undefined"] == {}


def test_one_window_by_its_ranges(say: Say, two: tuple[np.ndarray, np.ndarray]) -> None:
    words = ("--train", "-20210201", "--test", "20210203-20210301")
    found = said(say, "walk-forward", "one", *words)
    (window,) = found["windows"]
    assert (window["train"], window["test"]) == (["2021-01-01", "2021-01-31"], ["2021-02-03", "2021-02-28"])
    assert window["outside"] == pytest.approx(sharpe(two[0][33:59]), rel=1e-5)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("20210101-20210202", "20210201-20210301", "overlap in 1 days"),
        ("20210301-20210401", "20210101-20210201", "--test must come after --train"),
        ("20210101-20210201", "20210201-20210301", "more than 1 days after --train ends"),
        ("20220101-20220201", "20220301-20220401", "the run, which is from 2021-01-01 to 2021-04-30"),
        ("yesterday", "20210201-20210301", "write 20230101-20230601"),
    ],
)
def test_ranges_that_cannot_be_are_refused(
    say: Say, two: tuple[np.ndarray, np.ndarray], train: str, test: str, said: str
) -> None:
    refused(say("walk-forward", "one", "--train", train, "--test", test), 4, said)


def test_paths_of_two_runs_and_the_probability_of_overfitting(say: Say, two: tuple[np.ndarray, np.ndarray]) -> None:
    found = said(say, "cpcv", "one", "two")
    paths = found["paths"]
    assert (paths["splits"], len(paths["sharpes"]), paths["chosen"]) == (45, 9, [45, 0])
    assert paths["quantiles"] == pytest.approx([sharpe(two[0])] * 3, rel=1e-5)
    assert found["overfitting"]["probability"] == 0.0
    assert found["sharpes"]["two"] == pytest.approx(sharpe(two[1]), rel=1e-4)
    assert found["embargo_days"] == 1


def test_one_run_has_one_path_and_nothing_was_chosen(say: Say, two: tuple[np.ndarray, np.ndarray]) -> None:
    found = said(say, "cpcv", "one")
    assert found["overfitting"] is None
    assert "one candidate" in found["undefined"]["overfitting"]
    assert len(set(found["paths"]["sharpes"])) == 1
    table = say("cpcv", "one")
    assert table.returncode == 0
    assert "45 of 45" in table.stdout


def test_a_run_without_a_trade_has_null_and_a_reason(say: Say, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "still", np.zeros(DAYS))
    forward, crossed = said(say, "walk-forward"), said(say, "cpcv", "--book", "baseline")
    assert (forward["sharpe"], forward["efficiency"], forward["silent"]) == (None, None, 2)
    assert set(forward["undefined"]) == {"sharpe", "efficiency"}
    assert crossed["paths"]["quantiles"] is None
    assert crossed["undefined"]["paths"] == "no trade in any fold"
    assert say("walk-forward").returncode == 0


def test_runs_of_other_days_are_not_compared(say: Say, two: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "later", np.full(DAYS, 0.01), START_MS + DAY_MS)
    refused(say("cpcv", "one", "later"), 4, "are of other days")
    write_run(tmp_path / "runs" / "short", np.full(9, 0.01))
    refused(say("cpcv", "short"), 4, "take a longer range, fewer folds or a shorter horizon")
    refused(say("walk-forward", "short"), 4, "there are 9; take a longer range or shorter parts")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("walk-forward", "one", "one"), 4, "named twice"),
        (("walk-forward", "one", "--data", "x"), 4, "--data belongs to --grid"),
        (("walk-forward", "one", "--grid", "a.b=1"), 4, "give finished runs, or --grid"),
        (("walk-forward", "--grid", "learners.entry_score"), 4, "write LEAF=V1,V2"),
        (("cpcv", "--grid", "learners.entry_skore=1,2"), 4, "unknown setting"),
        (("cpcv", "one", "--book", "b"), 4, "there is account, baseline, mycelial, synthesized"),
        (("walk-forward", "one", "--train", "20210101-20210201"), 4, "give both, or neither"),
        (("cpcv", "seven"), 2, "no run 'seven'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    say: Say, two: tuple[np.ndarray, np.ndarray], words: tuple[str, ...], code: int, said: str
) -> None:
    refused(say(*words), code, said)


def test_a_grid_is_walked_and_chosen_from(say: Say, planted: Path) -> None:
    grid = ("--data", planted, *SMALL, "--grid", "learners.entry_score=0.6,0.9", *NARROW)
    forward = said(say, "walk-forward", *grid)
    assert forward["candidates"] == ["learners.entry_score=0.6", "learners.entry_score=0.9"]
    assert (forward["book"], len(forward["windows"])) == ("synthesized", 3)
    crossed = said(say, "cpcv", *grid, "--book", "mycelial")
    assert sum(crossed["paths"]["chosen"]) == 6
    assert 0.0 <= crossed["overfitting"]["probability"] <= 1.0


def test_every_combination_is_a_cell() -> None:
    assert cells(["a.b=1,2", "c.d=x, y"]) == [
        ("a.b=1", "c.d=x"), ("a.b=1", "c.d=y"), ("a.b=2", "c.d=x"), ("a.b=2", "c.d=y")
    ]  # fmt: skip
    with pytest.raises(UsageError, match="write LEAF"):
        cells(["a.b=1,,2"])
