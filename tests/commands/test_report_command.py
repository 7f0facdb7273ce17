"""`report` and `compare` as users call them: files written, tables printed, mistakes named."""

from pathlib import Path

import msgspec
import pytest

from tests.backtesting.tapes import tape

from .cli import Say


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    tape(tmp_path / "runs" / "one")
    tape(tmp_path / "runs" / "two", ("5", "-1", "2", "-3", "4"), seed=8)
    return tmp_path / "runs"


def test_report_writes_what_it_is_asked_for(say: Say, runs: Path) -> None:
    done = say(
        "report", "one", "--html", "s.html", "--csv", "t.csv", "--parquet", "t.parquet", "--breakdown", "weekday"
    )
    assert done.returncode == 0, done.stderr
    assert "ENTER TAG STATS" in done.stdout
    assert "WEEKDAY BREAKDOWN" in done.stdout
    assert "tear sheet written to s.html" in done.stderr
    page = Path("s.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert len(Path("t.csv").read_text().splitlines()) == 6
    assert Path("t.parquet").read_bytes()[:4] == b"PAR1"


def test_report_as_an_object_is_the_result(say: Say, runs: Path) -> None:
    done = say("report", "one", "--json")
    assert msgspec.json.decode(done.stdout) == msgspec.json.decode((runs / "one" / "result.json").read_bytes())


def test_compare_prints_tables_or_one_object(say: Say, runs: Path) -> None:
    done = say("compare", "one", "two")
    assert done.returncode == 0, done.stderr
    assert "STREAMS SIDE BY SIDE" in done.stdout
    found = msgspec.json.decode(say("compare", "one", "two", "--json").stdout)
    assert (found["comparable"], found["conditions"]["seed"]) == (True, [7, 8])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("report", "one", "--html", "no/where.html"), 4, "--html no/where.html: No such file or directory"),
        (("report", "one", "--parquet", "no/where.parquet"), 4, "--parquet no/where.parquet"),
        (("compare", "one"), 4, "at least two runs"),
        (("compare", "one", "three"), 2, "no run 'three'"),
        (("compare",), 4, "Missing argument"),
        (("backtest", "--html", "no/where.html"), 4, "--html no/where.html: no is no folder"),
    ],
)
def test_mistakes_are_named(say: Say, runs: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = say(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_named(say: Say, runs: Path) -> None:
    (runs / "one" / "market.csv").write_text("at,pair\n")
    done = say("report", "one", "--html", "s.html")
    assert done.returncode == 1
    assert "market.csv:1: columns must be at, pair, close, bars" in done.stderr
    assert not Path("s.html").exists()
