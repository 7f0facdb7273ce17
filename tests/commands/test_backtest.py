"""A backtest as its user runs it: the object, the files, the hashes, and the same again in another process."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.recorded import RECORDED, needs_recorded
from tests.worlds import ROOT

from .cli import SECONDS, SMALL, Say, environment, mycelial, sound

FIELDS = [
    "run_id",
    "mode",
    "seed",
    "timeframe",
    "pairs",
    "timerange",
    "bars",
    "wall_s",
    "bars_per_s",
    "peak_rss_mb",
    "data_sha256",
    "config_sha256",
    "orders_sha256",
    "decisions_sha256",
    "census",
    "streams",
    "account",
    "market_change_ratio",
    "collisions",
    "conflicts",
    "refusals",
    "abstentions",
    "consensus",
    "deployments",
    "lifecycle",
    "messages",
    "simulated",
]
STREAM = ["trades", "win_ratio", "total_profit_ratio", "max_drawdown_ratio", "profit_factor", "sharpe", "fees"]
FILES = {"decisions.jsonl", "orders.jsonl", "trades.csv", "equity.csv", "ledger.sqlite", "result.json"}
FILES |= {"conditions.json", "market.csv", "prices.csv", "closes.npz"}
HASHES = ("data_sha256", "config_sha256", "orders_sha256", "decisions_sha256")


def backtest(data: Path, place: Path, *words: str | Path, **env: str) -> dict[str, Any]:
    """Run it in a process of its own; the object it prints, which must be all it prints."""
    done = mycelial("backtest", "--data", data, "--json", *words, cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    for word in ("NaN", "Infinity"):
        assert word not in line
    return msgspec.json.decode(line, type=dict[str, Any])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the first backtest, with its results under runs/."""
    return tmp_path_factory.mktemp("backtest")


@pytest.fixture(scope="module")
def first(planted: Path, place: Path) -> dict[str, Any]:
    """The result of a backtest on planted data with the default folder, bus and seed."""
    return backtest(planted, place, *SMALL, PYTHONHASHSEED="1")


def folder(place: Path, result: dict[str, Any]) -> Path:
    return place / "runs" / str(result["run_id"])


def test_the_object_has_its_fields_in_their_order(first: dict[str, Any]) -> None:
    assert [name for name in first if name in FIELDS] == FIELDS
    assert list(first)[: len(FIELDS)] == FIELDS
    assert list(first["streams"]) == ["baseline", "mycelial", "synthesized"]
    assert all(list(stream) == STREAM for stream in first["streams"].values())
    assert list(first["account"])[:4] == ["start_equity", "end_equity", "fees", "slippage"]
    assert (first["mode"], first["seed"], first["timeframe"], first["bars"]) == ("backtest", 7, "1h", 1200)
    assert first["timerange"] == ["2021-01-01T00:00:00.000Z", "2021-01-17T16:00:00.000Z"]
    assert first["census"]["total"] == sum(count for name, count in first["census"].items() if name != "total")
    assert first["streams"]["synthesized"]["trades"] > 0, "nothing was traded: the tests here would prove nothing"
    assert first["simulated"] is False


def test_the_files_are_what_the_hashes_say(place: Path, first: dict[str, Any]) -> None:
    here = folder(place, first)
    assert {path.name for path in here.iterdir()} == FILES
    for name in ("orders", "decisions"):
        body = (here / f"{name}.jsonl").read_bytes()
        assert hashlib.sha256(body).hexdigest() == first[f"{name}_sha256"]
        for line in body.splitlines():
            found = msgspec.json.decode(line)
            assert msgspec.json.encode(found, order="sorted") == line, "not canonical"
            assert str(here) not in line.decode()
    assert msgspec.json.decode((here / "result.json").read_bytes()) == first
    with (here / "trades.csv").open(newline="") as file:
        trades = list(csv.DictReader(file))
    for stream, figures in first["streams"].items():
        own = [trade for trade in trades if trade["stream"] == stream]
        assert len(own) == figures["trades"]
        assert sum(float(trade["fees"]) for trade in own) == pytest.approx(figures["fees"], abs=1e-7)
    with (here / "equity.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    assert len(curve) == 400
    assert float(curve[-1]["equity"]) == pytest.approx(first["account"]["end_equity"], abs=1e-8)
    assert sound(here)


def test_verify_and_report_find_the_run(place: Path, first: dict[str, Any]) -> None:
    here = folder(place, first)
    for words in ((here,), (here / "ledger.sqlite",)):
        done = mycelial("verify", *words, cwd=place)
        assert (done.returncode, "sound" in done.stdout) == (0, True)
    assert msgspec.json.decode(mycelial("report", "last", "--json", cwd=place).stdout) == first
    shown = mycelial("report", here, "--csv", place / "trades.csv", "--breakdown", "week", cwd=place)
    assert shown.returncode == 0
    assert "BACKTESTING REPORT" in shown.stdout
    assert "WEEK BREAKDOWN" in shown.stdout
    assert first["verdict"][:60] in shown.stdout
    assert (place / "trades.csv").read_bytes() == (here / "trades.csv").read_bytes()


def test_the_same_on_a_server_of_its_own_in_another_process(
    planted: Path, tmp_path: Path, first: dict[str, Any]
) -> None:
    second = backtest(planted, tmp_path, *SMALL, "--bus", "embedded", "--out", tmp_path / "out", PYTHONHASHSEED="2")
    assert {name: second[name] for name in HASHES} == {name: first[name] for name in HASHES}
    passing = {"run_id", "wall_s", "bars_per_s", "peak_rss_mb", "rss_slope_mb_per_100k_bars"}
    assert {name: value for name, value in second.items() if name not in passing} == {
        name: value for name, value in first.items() if name not in passing
    }


def test_another_seed_and_other_costs_are_another_run(planted: Path, say: Say, first: dict[str, Any]) -> None:
    def result(*words: str) -> dict[str, Any]:
        done = say("backtest", "--data", planted, "--json", *SMALL, *words)
        return msgspec.json.decode(done.stdout, type=dict[str, Any])

    seeded = result("--seed", "8")
    assert seeded["decisions_sha256"] != first["decisions_sha256"]
    assert [seeded[name] for name in HASHES[:2]] == [first[name] for name in HASHES[:2]], "a seed is no setting"
    dearer = result("--set", "costs.fee_ratio=0.001")
    assert dearer["config_sha256"] != first["config_sha256"]
    assert dearer["orders_sha256"] != first["orders_sha256"]
    assert dearer["data_sha256"] == first["data_sha256"]
    assert dearer["streams"]["baseline"]["fees"] == pytest.approx(5 * first["streams"]["baseline"]["fees"], rel=0.05)


def test_a_second_run_into_the_same_folder_replaces_it_whole(planted: Path, tmp_path: Path, say: Say) -> None:
    out = tmp_path / "out"
    for days in ("20210101-20210105", "20210101-20210103"):
        done = say("backtest", "--data", planted, "--json", *SMALL, "--timerange", days, "--out", out)
        result = msgspec.json.decode(done.stdout)
        assert hashlib.sha256((out / "decisions.jsonl").read_bytes()).hexdigest() == result["decisions_sha256"]
        assert sound(out)
    assert result["bars"] == 2 * 24 * 3


def environment_is_made() -> bool:
    """Whether the script would leave `.venv`, which these tests may be running in, as it is."""
    spec = importlib.util.spec_from_file_location("bootstrap_of_backtest", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    return bool(bootstrap.Environment(ROOT, dict(os.environ)).fits(False))


@pytest.mark.skipif(
    not environment_is_made(), reason="`.venv` is not what the locks say: the script would make it anew"
)
def test_the_script_does_the_same(planted: Path, tmp_path: Path, first: dict[str, Any]) -> None:
    words = ("--data", planted, *SMALL, "--json", "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "backtest.py", *map(str, words)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, Any])
    assert {name: result[name] for name in HASHES} == {name: first[name] for name in HASHES}


@needs_recorded
def test_two_recorded_months(tmp_path: Path) -> None:
    words = ("--venue", "binance", "--pairs", "BTC/USDT,ETH/USDT,LTC/USDT", "--timerange", "20210101-20210301")
    results = [backtest(RECORDED, tmp_path, *words, "--out", bus, "--bus", bus) for bus in ("local", "embedded")]
    assert [results[0][name] for name in HASHES] == [results[1][name] for name in HASHES]
    assert results[0]["bars"] > 0.99 * 59 * 24 * 3
    assert results[0]["timerange"][1] == "2021-03-01T00:00:00.000Z"
    assert results[0]["simulated"] is False
    assert sound(tmp_path / "local")
