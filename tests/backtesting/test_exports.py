"""Trades for other programs: nothing lost, money exact, what is not there null."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from src.backtesting import exports
from src.backtesting.code_hash import code_sha256
from src.backtesting.recorder import TRADE_COLUMNS
from src.backtesting.runs import Run, load_run
from src.backtesting.undefined import reasons
from src.core.errors import NotFound, UsageError
from src.core.types import Stream

from .tapes import end, tape, trade


def test_csv_is_the_file_of_the_run(tmp_path: Path) -> None:
    place = tape(tmp_path / "tape")
    exports.to_csv(place, tmp_path / "out.csv")
    body = (tmp_path / "out.csv").read_text()
    assert body == (place / "trades.csv").read_text()
    assert body.splitlines()[0].split(",") == list(TRADE_COLUMNS)


def test_parquet_has_every_column_with_its_type(tmp_path: Path) -> None:
    run = load_run(tape(tmp_path / "tape"))
    open_ended = msgspec.structs.replace(trade(0, "1", stream=Stream.BASELINE), score=None, leave_at=None)
    exports.to_parquet(
        Run(run.result, {**run.trades, "control-ridge": [open_ended]}, run.curve), tmp_path / "t.parquet"
    )
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table.column_names == list(TRADE_COLUMNS)
    assert table.schema.field("profit").type == arrow.decimal128(38, 8)
    assert table.schema.field("entry_at").type == arrow.timestamp("ms", tz="UTC")
    rows = table.to_pylist()
    assert len(rows) == 6
    assert sum(row["profit"] for row in rows[:5]) == Decimal("18.71")
    assert (rows[0]["exit_price"], rows[0]["score"], rows[0]["exit_reason"]) == (105.0, 0.75, "horizon")
    assert table.column("exit_at").cast(arrow.int64()).to_pylist()[:5] == [end(day) for day in range(5)]
    assert (rows[5]["stream"], rows[5]["score"], rows[5]["leave_at"]) == ("control-ridge", None, None)
    assert table.schema.metadata[b"data_sha256"] == b"d" * 64


def test_no_trades_are_a_table_without_rows(tmp_path: Path) -> None:
    run = load_run(tape(tmp_path / "tape"))
    exports.to_parquet(Run(run.result, {}, run.curve), tmp_path / "t.parquet")
    assert parquet.read_table(tmp_path / "t.parquet").num_rows == 0


def test_targets_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    place = tape(tmp_path / "tape")
    with pytest.raises(UsageError, match=r"--csv .*x\.csv: No such file or directory; name a file"):
        exports.to_csv(place, tmp_path / "nowhere" / "x.csv")
    with pytest.raises(UsageError, match=r"--parquet .*x\.parquet: .*; name a file"):
        exports.to_parquet(load_run(place), tmp_path / "nowhere" / "x.parquet")
    with pytest.raises(UsageError, match=r"--csv .*same file"):
        exports.to_csv(place, place / "trades.csv")
    (place / "trades.csv").unlink()
    with pytest.raises(NotFound, match=r"trades\.csv is missing"):
        exports.to_csv(place, tmp_path / "out.csv")


def test_every_null_of_a_result_has_a_reason(tmp_path: Path) -> None:
    result = load_run(tape(tmp_path / "day", ("7",))).result
    nulls = {".".join(path) for path in _nulls(result, ())}
    assert nulls == set(result["undefined"])
    assert result["undefined"]["account.sharpe"] == "fewer than two days"
    assert result["undefined"]["streams.baseline.win_ratio"] == "no trades"
    assert reasons(result) == result["undefined"]


def _nulls(node: object, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    if node is None:
        return [path]
    found = node.items() if isinstance(node, dict) else ()
    return [one for name, value in found for one in _nulls(value, (*path, name))]


def test_the_hash_of_the_code_is_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("1")
    code_sha256.cache_clear()
    one = code_sha256(tmp_path)
    (tmp_path / "a" / "note.txt").write_text("no code")
    code_sha256.cache_clear()
    assert code_sha256(tmp_path) == one
    (tmp_path / "a" / "b.py").rename(tmp_path / "a" / "c.py")
    code_sha256.cache_clear()
    other = code_sha256(tmp_path)
    (tmp_path / "a" / "c.py").write_text("2")
    code_sha256.cache_clear()
    assert len({one, other, code_sha256(tmp_path)}) == 3
    assert len(code_sha256()) == 64
