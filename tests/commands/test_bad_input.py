"""What a user gets wrong, and what the machine gets wrong: a clear line, the right exit code, and nothing is lost."""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.connectors.embedded_valkey import EmbeddedValkey

from .cli import (
    SECONDS,
    SMALL,
    START_MS,
    Process,
    Say,
    children,
    command,
    environment,
    journal,
    mycelial,
    one_line,
    refused,
    sound,
    write_planted,
)

REPLAY = (*SMALL, "--bus", "local", "--json")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 4, "give --data DIR or set MYCELIAL_DATA"),
        (("--data", "nowhere"), 2, "nowhere: no data folder"),
        (("--data", "."), 2, "no data folder (it has no ohlcv/VENUE/ in it); give --data, or import-data into it"),
        (("--data", "DATA", "--pairs", "XRP/USDT"), 2, "no pair 'XRP/USDT'; there is BTC/USDT, ETH/USDT, SOL/USDT"),
        (("--data", "DATA", "--pairs", "BTC/USDT,,ETH/USDT"), 4, "an empty name; write BTC/USDT,ETH/USDT"),
        (("--data", "DATA", "--pairs", "btc-usdt"), 2, "did you mean 'BTC/USDT'?"),
        (("--data", "DATA", "--pairs", "BTC/US\nDT"), 4, "a name that cannot be shown"),
        (("--data", ""), 4, "a folder is named by an empty word"),
        (("--data", "DATA", "--venue", "planet"), 2, "no venue 'planet'; there is planted"),
        (("--data", "DATA", "--timeframe", "5m"), 2, "no timeframe '5m'; there is 1h"),
        (("--data", "DATA", "--timeframe", "7x"), 4, "write a number and s, m, h or d"),
        (("--data", "DATA", "--timerange", "20300101-"), 2, "the last at 2021-01-17T15:00:00.000Z"),
        (("--data", "DATA", "--timerange", "20210601-20210101"), 4, "is empty: it must end after it starts"),
        (("--data", "DATA", "--timerange", "yesterday"), 4, "write 20230101-20230601"),
        (("--data", "DATA", "--seed", "-1"), 4, "--seed"),
        (("--data", "DATA", "--seed", str(10**30)), 4, "--seed"),
        (("--data", "DATA", "--seed", "seven"), 4, "--seed"),
        (("--data", "DATA", "--breakdown", "hour"), 4, "choose day, week, month"),
        (("--data", "DATA", "--bus", "redis://localhost"), 4, "a backtest takes local, or embedded"),
        (("--data", "DATA", "--out", "/proc/nowhere"), 4, "--out /proc/nowhere"),
        (("--data", "DATA", "--wat"), 4, "No such option: --wat"),
        (("--data", "DATA", "--set", "cost.fee_ratio=1"), 4, 'did you mean "costs.fee_ratio"?'),
    ],
)
def test_a_backtest_that_cannot_be(say: Say, planted: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = say("backtest", *(str(planted) if word == "DATA" else word for word in words))
    refused(done, code, said)
    assert done.stdout == ""
    assert not Path("runs").exists() or not list(Path("runs").glob("*/result.json"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("backtset",), 4, "No such command 'backtset'. Did you mean 'backtest'?"),
        (("status",), 3, "no process runs here; start one with `mycelial run --state"),
        (("halt", "why not"), 3, "no process runs here"),
        (("order", "BTC/USD"), 4, "Missing argument"),
        (("verify", "nowhere"), 2, "nowhere: there is no such ledger; a run keeps its own in its --state folder"),
        (("download-data", "--pairs", "BTC/USD", "--data", "/proc/nowhere"), 4, "no data can be written there"),
        (("report",), 2, "make one with `mycelial backtest`"),
        (("report", "20200101"), 2, "no run '20200101'"),
        (("list-data", "--data", "nowhere"), 2, "nowhere: no such folder"),
        (("list-data", "--data", "."), 2, "the folder is empty; fill it with import-data"),
        (("import-data", "nowhere", "--venue", "own", "--data", "."), 2, "no such file or folder to import"),
        (("run", "--feed", "magic"), 4, "write simulated, replay or kraken"),
        (("run", "--speed", "fast"), 4, "write 1x, 60x or max"),
        (("run", "--speed", "-1x"), 4, "write 1x, 60x or max"),
        (("run", "--bus", "pigeon", "--state", "state"), 4, "write local, embedded or redis://HOST:PORT"),
        (
            ("run", "--bus", "redis://127.0.0.1:1", "--state", "state"),
            1,
            "start a server there, or use `--bus embedded`",
        ),
        (("run", "--state", "/proc/nowhere"), 4, "choose another --state"),
        (("run", "--state", ""), 4, "a folder is named by an empty word"),
        (("run", "--feed", "kraken", "--pairs", "BTC/USD/EUR"), 4, "write BASE/QUOTE"),
        (("run", "--pairs", "BTC/USD"), 4, "--pairs belongs to recorded data"),
        (("run", "--set", "simulated.pairs=[FOO/USD]", "--state", "state"), 4, "no price for FOO; add one"),
        (("tap", "--url", "redis://127.0.0.1:1"), 1, "no bus at redis://127.0.0.1:1"),
        (("tap", "--url", "http://localhost"), 1, "write redis://HOST:PORT"),
    ],
)
def test_what_is_not_there_or_not_a_word_of_the_command(say: Say, words: tuple[str, ...], code: int, said: str) -> None:
    done = say(*words)
    refused(done, code, said)
    assert done.stdout == ""


SPOILT: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "column": (lambda bars: bars.drop_columns(["volume"]), "no column volume"),
    "duplicate": (
        lambda bars: pa.concat_tables([bars.slice(0, 5), bars.slice(4)]),
        "row 6: timestamp .* is a duplicate",
    ),
    "unsorted": (lambda bars: pa.concat_tables([bars.slice(5), bars.slice(0, 5)]), "is earlier than the row before"),
    "nan": (lambda bars: put(bars, "close", 7, float("nan")), "row 8"),
    "low": (lambda bars: put(bars, "high", 7, 0.001), "row 8"),
    "volume": (lambda bars: put(bars, "volume", 7, -1.0), "row 8: volume -1.0 is negative"),
    "seconds": (
        lambda bars: bars.set_column(0, "timestamp", pa.array(START_MS // 1000 + 3600 * np.arange(len(bars)))),
        "not in milliseconds",
    ),
    "empty": (lambda bars: bars.slice(0, 0), "holds no bar"),
}


def put(bars: pa.Table, name: str, row: int, value: float) -> pa.Table:
    values = np.array(bars.column(name).to_pylist())
    values[row] = value
    return bars.set_column(bars.column_names.index(name), name, pa.array(values))


@pytest.mark.parametrize("name", SPOILT)
def test_bars_that_cannot_be_believed(say: Say, tmp_path: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    write_planted(tmp_path / "data", 50, ("BTC/USDT", "ETH/USDT"))
    path = tmp_path / "data" / "ohlcv" / "planted" / "1h" / "ETH-USDT.parquet"
    pq.write_table(spoil(pq.read_table(path)), path)
    before = path.read_bytes()
    done = say("backtest", "--data", "data")
    refused(done, 1, "ETH-USDT.parquet")
    one_line(done)
    assert re.search(said, done.stderr), done.stderr
    assert path.read_bytes() == before
    listed = say("list-data", "--data", "data")
    assert listed.returncode == 0
    assert re.search(said, listed.stdout), "list-data hides it"
    assert say("backtest", "--data", "data", "--pairs", "BTC/USDT", *REPLAY, "--out", "out").returncode == 0


@pytest.mark.parametrize("content", [b"no parquet at all", b"", b"PAR1garbagePAR1"])
def test_a_file_that_is_no_parquet(say: Say, tmp_path: Path, content: bytes) -> None:
    write_planted(tmp_path / "data", 50, ("BTC/USDT",))
    (tmp_path / "data" / "ohlcv" / "planted" / "1h" / "ETH-USDT.parquet").write_bytes(content)
    refused(say("backtest", "--data", "data"), 1, "ETH-USDT.parquet: not a readable Parquet file", "remove it")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date;price\n2021;3\n", "the header is"),
        ("timestamp,open,high,low,close,volume\n1609459200000,1,2,x,1,1\n", "is not a time and five numbers"),
        ("timestamp,open,high,low,close,volume\n1609459200,1,2,1,1,1\n", "not in milliseconds"),
        ("", "header"),
        ("\x00\xff\xfe", ""),
    ],
)
def test_a_foreign_file_that_is_no_file_of_bars(say: Say, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "BTC_USDT-1h.csv").write_text(text, encoding="latin-1")
    refused(say("import-data", "BTC_USDT-1h.csv", "--venue", "own", "--data", "data"), 1, "BTC_USDT-1h.csv", said)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "costs"), "--set NAME=VALUE"),
        (("--set", "costs=1"), "names a section"),
        (("--set", "costs.fee_ratio=many"), "costs.fee_ratio"),
        (("--set", "costs.fee_ratio=-1"), "costs.fee_ratio"),
        (("--set", "consensus.required_vote=1"), 'did you mean "consensus.required_votes"?'),
        (("--set", "simulated.pairs=[BTC/USD"), "simulated.pairs"),
        (("--env", "moon"), "choose one of dev, prod, test"),
        (("--config", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("--config", "."), "not a file"),
        (("--config", "broken.yaml"), "broken.yaml:3:1: not YAML"),
        (("--config", "short.yaml"), "is missing, every setting must stand in this file"),
        (("--config", "list.yaml"), "must be sections with settings under them"),
    ],
)
def test_settings_that_cannot_be(say: Say, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "broken.yaml").write_text("costs:\n  fee_ratio: [0.1\n")
    (tmp_path / "short.yaml").write_text("costs:\n  fee_ratio: 0.001\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    for name in ("show-config", "census"):
        refused(say(name, *words), 4, said)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MYCELIAL__COSTS__FEE_RATIOS", "1", "did you mean MYCELIAL__COSTS__FEE_RATIO?"),
        ("MYCELIAL__COSTS__FEE_RATIO", "much", "MYCELIAL__COSTS__FEE_RATIO"),
        ("MYCELIAL_ENV", "moon", "MYCELIAL_ENV=moon"),
        ("APP_ENV", "moon", "APP_ENV=moon"),
    ],
)
def test_an_environment_that_cannot_be(
    say: Say, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    refused(say("show-config"), 4, said)


def flip(path: Path) -> None:
    body = path.read_bytes()
    place = body.index(b'"feed"') + 10
    path.write_bytes(body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '7'")


@pytest.fixture(scope="module")
def finished(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The ledger of a finished run."""
    place = tmp_path_factory.mktemp("finished")
    done = mycelial("run", "--data", planted, "--speed", "max", "--state", place / "state", *REPLAY, cwd=place)
    assert done.returncode == 0, done.stderr
    return (place / "state" / "ledger.sqlite").read_bytes()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte": (flip, "changed after it was written"),
    "truncated": (lambda path: os.truncate(path, 50_000), "ledger.sqlite"),
    "cut to nothing": (lambda path: os.truncate(path, 0), "ledger.sqlite"),
    "text": (lambda path: path.write_text("hello"), "ledger.sqlite"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_ledger_is_found_refused_and_left_alone(
    say: Say, planted: Path, tmp_path: Path, finished: bytes, name: str
) -> None:
    damage, said = DAMAGES[name]
    path = tmp_path / "state" / "ledger.sqlite"
    path.parent.mkdir()
    path.write_bytes(finished)
    assert say("verify", "state").returncode == 0
    damage(path)
    before = path.read_bytes()
    refused(say("verify", "state"), 6, said)
    refused(say("run", "--data", planted, "--speed", "max", "--state", "state", *REPLAY), 1, "ledger.sqlite")
    assert path.read_bytes() == before
    assert (tmp_path / "state" / "lock").read_bytes() == b"", "the folder is free again"


def test_a_ledger_of_a_newer_version_is_left_alone(say: Say, planted: Path, tmp_path: Path, finished: bytes) -> None:
    path = tmp_path / "state" / "ledger.sqlite"
    path.parent.mkdir()
    path.write_bytes(finished)
    newer(path)
    before = path.read_bytes()
    refused(say("run", "--data", planted, "--state", "state", *REPLAY), 1, "written by a newer version")
    assert path.read_bytes() == before


def test_closed_streams_are_no_reason_to_fall(planted: Path, tmp_path: Path) -> None:
    words = command("run", "--data", planted, "--speed", "max", "--state", "state", *REPLAY)
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words]
    done = subprocess.run(shell, cwd=tmp_path, env=environment(), timeout=SECONDS, check=False)
    assert done.returncode == 0
    assert sound(tmp_path / "state")
    refusal = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command("verify", "nowhere")]
    assert subprocess.run(refusal, cwd=tmp_path, env=environment(), timeout=SECONDS, check=False).returncode == 2


@pytest.mark.parametrize("words", [("show-config",), ("--help",), ("show-config", "--json")])
def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = mycelial(*words, cwd=tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_result_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = mycelial("show-config", cwd=tmp_path, stdout=full)
    refused(done, 1, "the result cannot be written to stdout: No space left on device")


def shrink(process: Process, size: int) -> None:
    """No file of the process may grow beyond `size` bytes: what a full disk does to it."""
    resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can shrink a disk under a living process")
def test_a_full_disk_is_waited_for_and_then_ends_the_run_whole(planted: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    words = ("--data", planted, *REPLAY, "--set", "ledger.retry_seconds=0.1")
    with Process(*words, "--speed", "720000x", cwd=tmp_path, state=state) as process:
        process.slices(60)
        shrink(process, 4096)
        process.until(lambda answer: answer["ledger"]["failure"])
        shrink(process, resource.RLIM_INFINITY)
        process.until(lambda answer: not answer["ledger"]["failure"])
        process.popen.send_signal(signal.SIGTERM)
        process.result()
    assert sound(state)
    seen = journal(state)
    short = ("--set", "ledger.durable_timeout_seconds=0.5")
    with Process(*words, *short, "--speed", "720000x", cwd=tmp_path, state=state) as process:
        process.until(lambda answer: answer["phase"] == "running")
        shrink(process, 4096)
        code, out = process.end()
        assert (code, out) == (1, ""), process.stderr
        assert "ledger.sqlite" in process.lines[-1]
        assert "Traceback" not in process.stderr
    with Process(*words, "--speed", "max", cwd=tmp_path, state=state) as process:
        process.result()
    assert journal(state)[: len(seen)] == seen
    assert sound(state)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server among the children of the run in /proc")
def test_a_server_that_dies_is_survived_and_taken_back(planted: Path, tmp_path: Path) -> None:
    words = ("--data", planted, *SMALL, "--json", "--set", "bus.port=0", "--set", "bus.backoff_first_seconds=0.1")
    with Process(*words, "--speed", "36000x", cwd=tmp_path, state=tmp_path / "state") as process:
        port = int(process.slices(3)["bus"].rpartition(":")[2])
        (server,) = children(process.popen.pid)
        os.kill(server, signal.SIGKILL)
        process.until(lambda answer: not answer["bus_up"])
        order = ("order", "BTC/USDT", "buy", "1", "--state", process.state)
        assert mycelial(*order, cwd=tmp_path).returncode == 0
        down = process.until(lambda answer: answer["refusals"].get("bus_down", 0) >= 1)
        process.slices(down["slices"] + 3)
        assert process.status()["positions"] == {}
        own = EmbeddedValkey(port, 5.0)
        try:
            process.until(lambda answer: answer["bus_up"])
            assert mycelial(*order, cwd=tmp_path).returncode == 0
            process.until(lambda answer: answer["positions"].get("BTC/USDT") == "1")
            process.popen.send_signal(signal.SIGINT)
            process.result()
        finally:
            own.close()
    assert sound(tmp_path / "state")
