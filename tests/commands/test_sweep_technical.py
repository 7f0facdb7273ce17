"""The analysts of a sweep through the kernel and through the engine: the same rows; what the kernel does not know."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from src.backtesting import sweep_kernel
from src.backtesting.sweep_kernel import KNOWN, arm_of, sweep, trades_of
from src.commands.arms import book_returns
from src.commands.finite import simulated_feed
from src.commands.sweep import SweepOptions
from src.commands.sweep_journal import figures_of
from src.commands.sweep_settings import TrialSettings
from src.commands.sweep_space import Axis, axes, kind_of, points
from src.commands.sweep_technical import _days, first_difference, is_known, walk_batch, walk_in_engine, walk_technical
from src.connectors.config_files import declared, load
from src.connectors.history import load_history
from src.core.errors import UsageError
from src.core.history import HistoryFeed
from src.core.timeframes import parse_timerange
from tests.commands.cli import SECONDS, Say, one_line, refused
from tests.recorded import RECORDED, needs_recorded
from tests.worlds import settings

GRID = (
    *("--grid", "analysts.teams[0].rsi=5,9", "--grid", "account.stop_ratio=0.02,0.05"),
    *("--grid", "costs.fee_ratio=0.0002,0.0026"),
)
DAYS = ("--days", "20", "--set", "simulated.pairs=[BTC/USD, ETH/USD, SOL/USD]")


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


def test_every_row_is_what_the_engine_makes_of_it_and_can_be_read_by_others(say: Say) -> None:
    done = say("sweep", "--book", "technical", *DAYS, *GRID, "--check", "2", "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["engine"], answer["book"], answer["simulated"], answer["trials"]) == ("kernel", "technical", True, 8)
    kept = rows(Path("out"))
    assert len(kept) == len(answer["table"]) == 8
    assert {row["engine"] for row in kept} == {"kernel"}
    assert all(row["books"]["technical"]["trades"] > 10 for row in kept)
    assert len({json.dumps(row["books"]) for row in kept}) == 8
    assert [one["difference"] for one in answer["check"]] == [None] * 2
    assert [one["set"] for one in answer["check"]] == [row["set"] for row in answer["table"][:2]]
    told = say("compare", "out/checked/1", "out/checked/2")
    assert told.returncode == 0, told.stderr
    assert str(answer["best"]["books"]["technical"]["trades"]) in told.stdout
    sheet = say("report", "out/checked/1", "--html", "sheet.html")
    assert (sheet.returncode, Path("sheet.html").exists()) == (0, True), sheet.stderr


def test_it_goes_on_where_it_was_stopped_and_says_who_walked(say: Say) -> None:
    words = ("sweep", "--book", "technical", *DAYS, *GRID, "--out", "out")
    whole = say(*words)
    assert "engine: kernel" in whole.stdout
    assert "8 sets of settings through the compiled kernel, 1 at once" in whole.stderr
    kept = rows(Path("out"))
    journal = Path("out/trials.jsonl")
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:5])[:-40])
    again = say(*words)
    assert "4 of 8 trials are known" in again.stderr
    assert "4 sets of settings" in again.stderr
    assert " sets after " not in again.stderr
    assert {json.dumps(row) for row in rows(Path("out"))} == {json.dumps(row) for row in kept}
    assert again.stdout == whole.stdout


def test_the_best_as_settings_gives_the_same_trial(say: Say) -> None:
    done = say("sweep", "--book", "technical", *DAYS, *GRID, "--out", "out", "--json")
    best = json.loads(done.stdout)["best"]
    again = load(None, None, {}, (*json.loads(done.stdout)["best_sets"], DAYS[3])).settings
    feed = simulated_feed(again, 7, 20)
    assert walk_batch([arm_of(again)], feed.history) == [best["books"]["technical"]]


def test_a_row_that_is_not_that_of_the_engine_is_found(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sweep_kernel.arm_of

    def biased(tree: Any) -> Any:
        return real(
            tree.model_copy(update={"costs": tree.costs.model_copy(update={"fee_ratio": 0 * tree.costs.fee_ratio})})
        )

    monkeypatch.setattr("src.commands.sweep_technical.arm_of", biased)
    done = say("sweep", "--book", "technical", *DAYS, *GRID, "--check", "1", "--out", "out")
    refused(done, 6, "--check: the kernel and the engine differ with", "trade 1 of ", "in the kernel and")
    assert json.loads(Path("out/sweep.json").read_text())["check"][0]["difference"]


def test_figures_that_were_edited_are_found(say: Say) -> None:
    words = ("sweep", "--book", "technical", *DAYS, *GRID, "--out", "out")
    say(*words)
    journal = Path("out/trials.jsonl")
    journal.write_text(journal.read_text().replace('"win_ratio":0.', '"win_ratio":0.9'))
    refused(say(*words, "--check", "1"), 6, "win_ratio is 0.9", "in the trial that is kept")


def equal_rows(feed: HistoryFeed, changes: list[tuple[str, ...]]) -> list[int]:
    """Kernel and engine agree on figures and trades of each; how many trades there are."""
    counts = []
    for sets in changes:
        every = (f"builder.bootstrap_pairs=[{', '.join(feed.pairs)}]", "controls.enabled=false")
        loaded = load(None, None, {}, (*sets, *every))
        arm = arm_of(loaded.settings)
        theirs = walk_in_engine(loaded, feed, 7, None)
        (swept,) = sweep(feed.history, [arm])
        assert first_difference(trades_of(swept, arm, feed.history), theirs) is None
        returns = book_returns(theirs, arm.account.start_quote, _days(feed.history))
        assert walk_batch([arm], feed.history) == [figures_of(theirs, returns, loaded.settings.account.start_quote)]
        counts.append(len(theirs))
    return counts


CHANGES = [
    (),
    ("limits.max_size_multiplier=0.37", "indicators.atr=9"),
    ("indicators.bollinger_deviations=1.5", "consensus.required_votes=1", "account.amount_decimals=2"),
    (
        "analysts.macd_gain=3",
        "analysts.band_close_ratio=0.004",
        "risk.max_positions=2",
        "exchange.max_volume_ratio=0.001",
    ),
]


def test_rows_equal_the_engines_on_the_simulated_market() -> None:
    counts = equal_rows(simulated_feed(settings(simulated__pairs=["BTC/USD", "ETH/USD"]), 7, 30), CHANGES)
    assert min(counts) > 10
    assert len(set(counts)) > 2


@needs_recorded
def test_rows_equal_the_engines_on_recorded_hours() -> None:
    hours = load_history(RECORDED, "binance", "1h", ["BTC/USDT", "SOL/USDT"], parse_timerange("20210415-20210515"))
    assert min(equal_rows(HistoryFeed(hours), CHANGES[::2])) > 10


def test_no_trade_is_a_row_as_well() -> None:
    feed = simulated_feed(settings(), 7, 2)
    (row,) = walk_batch([arm_of(settings(analysts__teams=settings().model_dump()["analysts"]["teams"]))], feed.history)
    assert equal_rows(feed, [()]) == [row["trades"]]
    assert (row["factor"], row["sharpe"]) == (None, None) or row["trades"]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_many_sets_are_what_they_are_here_wherever_they_are_walked(
    jobs: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    feed = simulated_feed(settings(), 7, 10)
    trees = [settings(account__stop_ratio=0.01 * stop) for stop in range(1, 8)]
    found: dict[int, Any] = {}

    def done(first: int, figures: Any) -> None:
        found.update({first + place: one for place, one in enumerate(figures)})

    monkeypatch.setattr("src.commands.sweep_technical._MOST_AT_ONCE", 3)
    walk_technical(trees, feed, jobs, done)
    said = re.findall(r"(\d) of 7 sets after (\d+\.\d) s", capfd.readouterr().err)
    assert (len(said), said[-1][0]) == (3, "7")
    assert all(float(seconds) < SECONDS for _, seconds in said)
    assert [found[place] for place in range(7)] == walk_batch([arm_of(tree) for tree in trees], feed.history)


# What can be swept


def test_the_settings_the_kernel_knows_are_those_that_change_its_arm() -> None:
    """Every known name is a setting or a section; what the arm holds is known."""
    names = set(declared())
    for known in KNOWN:
        assert known in names or any(name.startswith(f"{known}.") for name in names)
    assert is_known("analysts.teams[2].macd[0]")
    assert not is_known("analystsx.teams")
    assert not is_known("indicators.rsi")
    plain = arm_of(settings())
    changes: dict[str, object] = {
        "analysts__macd_gain": 3.0,
        "costs__slippage_ratio": 0.003,
        "account__start_quote": 77,
        "indicators__atr": 9,
        "indicators__bollinger_deviations": 1.0,
        "consensus__required_votes": 3,
        "exchange__max_volume_ratio": 0.5,
        "limits__max_size_multiplier": 0.5,
        "risk__max_positions": 2,
        "lifecycle__delisted_days": 2.0,
    }
    assert {name.replace("__", ".") for name in changes} >= {known for known in KNOWN if "." in known}
    for name, value in changes.items():
        assert is_known(name.replace("__", "."))
        assert arm_of(settings(**{name: value})) != plain, name


def test_what_is_inside_of_a_list_is_set_and_written_as_a_whole() -> None:
    options = SweepOptions(grid=(), seed=7, book="technical")
    trial = TrialSettings(options)
    point = (("analysts.teams[2].macd[1]", "50"), ("analysts.teams[0].rsi", "5"), ("costs.fee_ratio", "0.001"))
    tree = trial.at(point)
    assert [team.rsi for team in tree.analysts.teams] == [5, 14, 21]
    assert [team.macd for team in tree.analysts.teams] == [(8, 17, 9), (12, 26, 9), (19, 50, 9)]
    assert load(None, None, {}, trial.sets_of(point)).settings == tree
    assert [words.partition("=")[0] for words in trial.sets_of(point)] == ["analysts.teams", "costs.fee_ratio"]
    (whole,) = axes(["analysts.teams[0].rsi=5:30"])
    assert whole == Axis("analysts.teams[0].rsi", (), whole.span, True)
    assert kind_of("analysts.teams[3].rsi") is None
    assert len(points(axes(["analysts.teams[0].rsi=5:9:1", "analysts.teams[0].macd=[8,17,9],[9,18,9]"]))) == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--grid", "learners.team=3,4"),
            "learners.team: the technical analysts alone do not depend on it, but on analysts,",
        ),
        (("--grid", "indicators.rsi=3,4"), "for the whole swarm give --book baseline"),
        (
            ("--grid", "analysts.teams[7].rsi=3,4"),
            "analysts.teams is one setting, give it whole, or what is in it and there",
        ),
        (("--grid", "analysts.teams[0].rsx=3,4"), "or what is in it and there, counted from 0, as analysts.teams[0]"),
        (("--grid", "analysts.teams[0].rsi=1,4"), "--grid analysts.teams[0].rsi=1: [0].rsi: 1 is below the smallest"),
        (("--grid", "analysts.teams[0].rsi=7.5,9"), "must be a whole number, not 7.5"),
        (("--grid", "analysts.teams[0].macd[0]=40,41"), "the fast period must be shorter than the slow one"),
        (("--grid", "moats.board.enabled[9]=a,b"), "there is no element [9], only 4, counted from 0"),
        (("--grid", "costs.fee_ratio=0,1", "--dask", "tcp://x"), "--book technical is compiled, spread it by --jobs N"),
        (
            ("--grid", "costs.fee_ratio=0,1", "--book", "baseline", "--check", "1"),
            "--check belongs to --book technical",
        ),
        ((), "nothing to sweep: give --grid NAME=VALUES"),
    ],
)
def test_what_the_kernel_cannot_sweep_is_said_first(words: tuple[str, ...], said: str, say: Say) -> None:
    book = () if "--book" in words or "moats" in str(words) else ("--book", "technical")
    done = say("sweep", *book, *words)
    refused(done, 4, said)
    one_line(done)


def test_who_asks_for_the_baseline_hears_of_the_kernel(say: Say) -> None:
    done = say("sweep", "--book", "baseline", "--data", "nowhere", "--grid", "costs.fee_ratio=0,0.1")
    assert "much faster on these settings: --book technical" in done.stderr
    with pytest.raises(UsageError, match="unknown setting"):
        axes(["analysts.teamz[0].rsi=1,2"])
