"""`export` of a ledger with a tape made by hand: exact cells, hostile names harmless, mistakes named."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from src.commands.export import DISPOSAL_COLUMNS, TRANSACTION_COLUMNS
from src.connectors.sqlite_ledger import SqliteSink
from src.core.clock import from_iso
from src.core.ports import Row
from src.services.writer import Writer
from tests.checks.ledger_checks import SETTINGS

from .cli import Say

TIMES = [from_iso(f"{day}T12:00:00Z") for day in ("2023-12-30", "2024-01-02", "2024-01-03", "2024-01-04")]
FILLS = (
    ("f1", "BTC/USD", "buy", "2", "100", "0.52", "0.20", "entry", "synthesized"),
    ("f2", "BTC/USD", "sell", "0.50000000", "120", "0.1", "0", "take profit", "synthesized"),
    ("f3", "BTC/USD", "sell", "1.5", "0.0000001", "0", "0", "=cmd|' /C calc'!A0", "synthesized"),
    ("f4", "+HYPERLINK(1)/@SUM(A1)", "buy", "1", "1", "0", "0", "\tx", "synthesized"),
)
NAMES = ("id", "pair", "side", "amount", "price", "fee", "slippage", "reason", "stream")


def body(at: int, values: tuple[str, ...]) -> bytes:
    return msgspec.json.encode({**dict(zip(NAMES, values, strict=True)), "at": at, "order_id": f"-{values[0]}"})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    writer = Writer(SqliteSink(folder / "ledger.sqlite", SETTINGS, mode="paper", ledger_id="t"), SETTINGS)
    rows = [Row(at, "fill", f"fill:{v[0]}", body(at, v)) for at, v in zip(TIMES, FILLS, strict=True)]
    other = ("s1", "BTC/USD", "buy", "9", "9", "0", "0", "x", "baseline")
    rows.append(Row(TIMES[0], "fill", "fill:s1", body(TIMES[0], other)))
    writer.append(rows, durable=True).wait(10)
    writer.close()
    return folder


def table(path: str) -> list[list[str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_cell(say: Say, state: Path) -> None:
    done = say("export", "out", "--state", state)
    assert done.returncode == 0, done.stderr
    assert "4 transactions" in done.stdout
    assert table("out/transactions.csv") == [
        list(TRANSACTION_COLUMNS),
        ["2023-12-30T12:00:00.000Z", "buy", "BTC", "USD", "2", "100", "0.52", "0.20", "-200.72000000", "entry",
         "'-f1", "f1", "paper"],
        ["2024-01-02T12:00:00.000Z", "sell", "BTC", "USD", "0.50000000", "120", "0.1", "0", "59.90000000",
         "take profit", "'-f2", "f2", "paper"],
        ["2024-01-03T12:00:00.000Z", "sell", "BTC", "USD", "1.5", "0.0000001", "0", "0", "0.00000015",
         "'=cmd|' /C calc'!A0", "'-f3", "f3", "paper"],
        ["2024-01-04T12:00:00.000Z", "buy", "'+HYPERLINK(1)", "'@SUM(A1)", "1", "1", "0", "0", "-1.00000000", "'\tx",
         "'-f4", "f4", "paper"],
    ]  # fmt: skip
    assert table("out/disposals.csv") == [
        list(DISPOSAL_COLUMNS),
        ["2024-01-02T12:00:00.000Z", "BTC", "USD", "0.50000000", "59.90000000", "2023-12-30T12:00:00.000Z",
         "50.18000000", "9.72000000", "f2", "f1", "paper"],
        ["2024-01-03T12:00:00.000Z", "BTC", "USD", "1.5", "0.00000015", "2023-12-30T12:00:00.000Z", "150.54000000",
         "-150.53999985", "f3", "f1", "paper"],
    ]  # fmt: skip


def test_a_year_keeps_the_lots_of_earlier_ones(say: Say, state: Path) -> None:
    done = say("export", "--state", state, "--year", "2024", "--json")
    found = msgspec.json.decode(done.stdout)
    assert (found["rows"], found["disposed"], found["unknown"], found["mode"]) == (3, 2, 0, "paper")
    assert table(found["disposals"])[1][5] == "2023-12-30T12:00:00.000Z"


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(say: Say, state: Path) -> None:
    say("export", "out", "--state", state)
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    say("export", "out", "--state", state)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == first
    assert set(first) == {"transactions.csv", "disposals.csv"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("export",), 2, "there is no such ledger"),
        (("export", "--run", "last"), 2, "no run 'last'"),
        (("export", "--run", "last", "--state", "kept"), 4, "name one of them"),
        (("export", "taken/in", "--state", "kept"), 4, "name a folder that can be written"),
        (("export", "--state", "kept", "--year", "12"), 4, "--year"),
    ],
)
def test_mistakes_are_named(say: Say, state: Path, words: tuple[str, ...], code: int, said: str) -> None:
    Path("taken").write_text("")
    done = say(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
