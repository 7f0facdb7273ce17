"""The gate as its user meets it: a planted edge passes, its twin without the edge does not, and live asks for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.backtesting.evidence.record import read, siblings
from src.backtesting.evidence.verdict import GATE
from src.backtesting.planted import planted_history
from src.commands import backtest
from src.commands.options import BacktestOptions
from src.connectors.bar_files import write_parquet
from src.core.canonical import digest, encode
from src.core.history import BarColumns

from .cli import HOUR_MS, PAIRS, SMALL, START_MS, Say, refused

HOURS = 60 * 24
SHORT = (
    *("--set", "gate.min_days=50", "--set", "gate.min_trades=20", "--set", "validation.train_days=20"),
    *("--set", "validation.test_days=10", "--set", "validation.var_window_days=30", "--set", "validation.folds=6"),
)
"""Limits for two months."""


def write_hours(folder: Path, hours: int, correlation: float) -> Path:
    """A data folder of one-hour bars of three pairs, with an effect of this strength."""
    history = planted_history(PAIRS, hours, correlation, 6, 3, HOUR_MS, START_MS)
    for place, pair in enumerate(history.pairs):
        path = folder / "ohlcv" / "planted" / "1h" / f"{pair.replace('/', '-')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, BarColumns(history.times - HOUR_MS, *(values[:, place] for values in history.columns())))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with `runs/edge` and its twin `noise/none` on the same prices, which volume says nothing of."""
    place = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MYCELIAL", "APP_ENV"))]:
            patch.delenv(name)
        for name, correlation in (("runs/edge", 0.5), ("noise/none", 0.0)):
            walk(write_hours(place / name.replace("/", "-"), HOURS, correlation), place / name, *SMALL, *SHORT)
    return place


def walk(data: Path, out: Path, *words: str) -> None:
    """A backtest in this process."""
    sets = tuple(word for word in words if word != "--set")
    backtest.run(BacktestOptions(data=data, seed=7, bus="local", out=out, json=True, sets=sets))


@pytest.fixture
def edge(runs: Path, tmp_path: Path) -> Path:
    """A copy of the run with an edge, where the command line looks for runs."""
    return Path(shutil.copytree(runs / "runs" / "edge", tmp_path / "runs" / "edge"))


def verdict(say: Say, *words: str | Path, code: int = 0) -> dict[str, Any]:
    done = say("gate", *words, "--json")
    assert done.returncode == code, done.stderr
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def missed(found: dict[str, Any]) -> set[str]:
    return {one["name"] for one in found["criteria"] if one["state"] in ("failed", "not enough data")}


def test_a_planted_edge_passes_with_the_whole_swarm(say: Say, edge: Path) -> None:
    found = verdict(say, *SHORT)
    assert missed(found) == set()
    assert found["passed"]
    kept = msgspec.json.decode((edge / GATE).read_bytes(), type=dict[str, Any])
    assert {name: found[name] for name in kept if name != "digest"} == {k: v for k, v in kept.items() if k != "digest"}
    result = msgspec.json.decode((edge / "result.json").read_bytes(), type=dict[str, Any])
    assert [kept[name] for name in ("config_sha256", "data_sha256")] == [
        result[n] for n in ("config_sha256", "data_sha256")
    ]
    decay = found["alpha_decay"]["mycelial"]["correlation"]
    assert decay[0] > 0.2
    assert found["alpha_decay"]["mycelial"]["half_life"] in (2, 3, 6)
    assert abs(found["alpha_decay"]["baseline"]["correlation"][0]) < 0.15


def test_the_table_says_passed_and_shows_every_criterion(say: Say, edge: Path) -> None:
    done = say("gate", "edge", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "PASSED" in done.stderr
    for words in ("PROMOTION GATE", "deflated_sharpe", "random_entries", "beats_buy_and_hold", "ALPHA DECAY"):
        assert words in done.stdout


def test_its_twin_without_the_edge_is_refused(say: Say, runs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(runs / "noise" / "none", tmp_path / "runs" / "none")
    done = say("gate", "none", *SHORT)
    refused(done, 6, "REFUSED", "deflated_sharpe")
    assert (Path(copy) / GATE).exists()


def test_the_shipped_limits_find_two_months_too_short(say: Say, edge: Path) -> None:
    found = verdict(say, code=6)
    assert "days" in missed(found)
    assert found["validation"]["forward"] is None
    assert "take a longer range" in found["validation"]["reasons"]["forward"]


def test_other_runs_on_the_same_data_count_as_trials(say: Say, edge: Path, runs: Path) -> None:
    other = Path(shutil.copytree(edge, edge.with_name("other")))
    assert siblings(read(edge)) == []
    result = msgspec.json.decode((other / "result.json").read_bytes(), type=dict[str, Any])
    (other / "result.json").write_bytes(msgspec.json.encode({**result, "orders_sha256": "0" * 64}))
    assert [one.folder.name for one in siblings(read(edge))] == ["other"]
    found = verdict(say, "edge", *SHORT, code=6)
    assert found["trials"] == 2
    assert found["validation"]["overfitting"] is not None
    refused(say("gate", "edge", "--trials", "1"), 4, "2 runs on these data are kept")
    assert verdict(say, "edge", "--trials", "9", *SHORT, code=6)["trials"] == 9


@pytest.mark.parametrize("name", ["orders.jsonl", "decisions.jsonl"])
def test_a_changed_record_is_not_judged(say: Say, edge: Path, name: str) -> None:
    with (edge / name).open("ab") as file:
        file.write(b"{}\n")
    refused(say("gate"), 1, name, "is not what the run wrote")


def _unknown_code(edge: Path) -> None:
    (edge / "conditions.json").unlink()


def _broken_closes(edge: Path) -> None:
    (edge / "closes.npz").write_bytes(b"nothing")


def _no_trades(edge: Path) -> None:
    (edge / "trades.csv").unlink()


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        (_unknown_code, 1, "conditions.json is missing"),
        (_broken_closes, 1, "not the closes of a run"),
        (_no_trades, 2, "trades.csv is missing"),
    ],
)
def test_a_folder_that_is_not_whole_is_named(
    say: Say, edge: Path, harm: Callable[[Path], None], code: int, said: str
) -> None:
    harm(edge)
    refused(say("gate"), code, said)


def test_without_closes_entries_cannot_be_judged(say: Say, edge: Path) -> None:
    (edge / "closes.npz").unlink()
    found = verdict(say, *SHORT, code=6)
    assert missed(found) == {"random_entries"}
    assert "kept no closes" in found["validation"]["reasons"]["entries"]
    assert found["alpha_decay"] == {}


def test_live_asks_for_a_verdict_first(say: Say, edge: Path) -> None:
    live = ("run", "--mode", "live", *SMALL, *SHORT)
    refused(say(*live), 4, "needs the verdict of the promotion gate: no run has been judged")
    verdict(say, code=6)
    refused(say(*live), 4, "was judged by other limits")
    verdict(say, *SHORT)
    refused(say(*live), 4, "takes no limits from the shipped file: risk.max_drawdown_ratio")
    refused(say(*live, "--set", "risk.max_positions=1"), 4, "is about another configuration (config_sha256")
    path = edge / GATE
    plain = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    path.write_bytes(encode({**plain, "code_sha256": "0" * 64}))
    refused(say(*live), 4, "was edited after it was written")
    plain.pop("digest")
    plain["code_sha256"] = "0" * 64
    path.write_bytes(encode({**plain, "digest": digest(plain)}))
    refused(say(*live), 4, "is about another code (code_sha256 000000000000")


def test_live_refuses_a_verdict_that_did_not_pass(say: Say, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "noise" / "none", tmp_path / "runs" / "none")
    verdict(say, *SHORT, code=6)
    refused(say("run", "--mode", "live", *SMALL, *SHORT), 4, "the run did not pass (", "deflated_sharpe")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("gate", "nothing"), 2, "no run 'nothing'"),
        (("gate", "--trials", "0"), 4, "--trials"),
        (("gate", "--set", "gate.min_days=0"), 4, "gate.min_days"),
        (("gate", "--set", "validation.test_folds=10"), 4, "test_folds"),
        (("gate", "--set", "validation.overfitting_blocks=7"), 4, "overfitting_blocks"),
        (("gate", "--set", "validation.warmups=[100,50]"), 4, "warmups"),
    ],
)
def test_what_cannot_be_is_refused(say: Say, edge: Path, words: tuple[str, ...], code: int, said: str) -> None:
    refused(say(*words), code, said)


@pytest.mark.long
def test_a_planted_edge_passes_the_shipped_limits(say: Say, tmp_path: Path) -> None:
    walk(write_hours(tmp_path / "data", 120 * 24, 0.5), tmp_path / "runs" / "long", *SMALL)
    assert missed(verdict(say)) == set()
