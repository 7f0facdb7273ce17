"""Writes small files of bars, right and wrong ones, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HOUR = 3_600_000
START = 1_609_459_200_000  # 2021-01-01T00:00:00Z

Row = tuple[float, float, float, float, float, float]


def bar(hour: int, price: float = 100.0, volume: float = 5.0) -> Row:
    """A plausible bar that opens `hour` hours after START."""
    return (START + hour * HOUR, price, price + 2.0, price - 2.0, price + 1.0, volume)


def write_rows(path: Path, rows: Sequence[Row], **replaced: pa.Array) -> Path:
    """A Parquet file of these rows as they are; columns can be replaced by others, or dropped with None."""
    names = ("timestamp", "open", "high", "low", "close", "volume")
    columns = {name: pa.array([row[place] for row in rows], pa.float64()) for place, name in enumerate(names)}
    columns["timestamp"] = pa.array([int(row[0]) for row in rows], pa.int64())
    columns |= replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: column for name, column in columns.items() if column is not None}), path)
    return path


def folder_with(root: Path, **bars: Sequence[Row]) -> Path:
    """A data folder of binance 1h bars: BTC_USDT=[...] writes BTC-USDT.parquet."""
    for name, rows in bars.items():
        write_rows(root / "ohlcv" / "binance" / "1h" / f"{name.replace('_', '-')}.parquet", rows)
    return root
