"""What `--json` promises to scripts: one object, and times that are dates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .cli import Say, write_planted

FIRST_MS = 100_000_000_000
"""Whole numbers from here on are dates in milliseconds (1973 and later); nothing these commands count is as large."""


def numbers(told: Any) -> Iterator[int]:
    """Every whole number in what was told."""
    if isinstance(told, dict):
        told = list(told.values())
    if isinstance(told, list):
        for one in told:
            yield from numbers(one)
    elif isinstance(told, int):
        yield told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bars of two pairs, and a file that came from elsewhere."""
    write_planted(tmp_path / "data", 50, ("BTC/USDT", "ETH/USDT"))
    rows = "".join(f"{1_609_459_200_000 + 3_600_000 * hour},1,2,1,1,5\n" for hour in range(3))
    (tmp_path / "own.csv").write_text(f"timestamp,open,high,low,close,volume\n{rows}")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list-data",), '"first":"2021-01-01T00:00:00.000Z"'),
        (("list-data", "--quality"), '"first":"2021-01-01T00:00:00.000Z"'),
        (("import-data", "own.csv", "--venue", "own", "--timeframe", "1h", "--pair", "BTC/USD"),
         '"last":"2021-01-01T02:00:00.000Z"'),
        (("doctor", "--set", "bus.port=0"), '"checks":['),
        (("hypothesis",), '"claims":['),
    ],
)  # fmt: skip
def test_it_is_one_object_whose_times_are_dates(say: Say, folder: Path, words: tuple[str, ...], said: str) -> None:
    data = () if words[0] == "hypothesis" else ("--data", str(folder))
    done = say(*words, *data, "--json")
    told = msgspec.json.decode(done.stdout)
    assert isinstance(told, dict)
    assert said in done.stdout
    assert [number for number in numbers(told) if number >= FIRST_MS] == []


def test_the_doctor_says_by_one_word_whether_all_is_well(say: Say, folder: Path) -> None:
    well = say("doctor", "--set", "bus.port=0", "--data", str(folder), "--json")
    ill = say("doctor", "--set", "bus.port=0", "--data", "nowhere", "--json")
    for done in (well, ill):
        told = msgspec.json.decode(done.stdout)
        assert told["ok"] is (done.returncode == 0)
        assert told["ok"] is all(check["status"] != "fail" for check in told["checks"])
