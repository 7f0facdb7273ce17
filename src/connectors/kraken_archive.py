"""Reads the archives that Kraken offers for download: bars (`XBTUSD_60.csv`) and single trades (`XBTUSD.csv`).

Neither has a header. Bars: seconds, open, high, low, close, volume, trades. Trades: seconds, price, volume.
An interval without a trade has no bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..core.errors import DataError
from ..core.history import BarColumns
from ..core.timeframes import SECOND_MS
from ..core.types import FloatArray
from .trade_bars import TradeBars

_BAR_NAMES = ("time", "open", "high", "low", "close", "volume", "trades")
_TRADE_NAMES = ("time", "price", "volume")


def read_archived_bars(path: Path) -> BarColumns:
    """The unchecked bars of an archive of bars; DataError for what is no row of one."""
    blocks = list(_blocks(path, _BAR_NAMES))
    columns = [np.concatenate([block[place] for block in blocks]) for place in range(len(_BAR_NAMES) - 1)]
    return BarColumns(_milliseconds(columns[0]), *columns[1:])


def read_archived_trades(path: Path, interval_ms: int) -> BarColumns:
    """The trades of an archive as bars of this length; DataError for what is no row of one, or runs backwards."""
    made = TradeBars(interval_ms)
    for times, prices, volumes in _blocks(path, _TRADE_NAMES):
        try:
            made.add(_milliseconds(times), prices, volumes)
        except ValueError as error:
            raise DataError(f"{path}: {error}; sort them, or get the archive again") from None
    return made.bars()


def is_archive(path: Path, columns: int) -> bool:
    """Whether the first line of a CSV is data of so many columns, and no header."""
    with path.open("rb") as file:
        cells = file.readline().strip().split(b",")
    return len(cells) == columns and cells[0].replace(b".", b"", 1).isdigit()


BARS_WIDE, TRADES_WIDE = len(_BAR_NAMES), len(_TRADE_NAMES)


def _blocks(path: Path, names: Sequence[str]) -> Iterator[list[FloatArray]]:
    """Block by block, one array a column; pyarrow names the row that cannot be read."""
    from pyarrow import csv  # a hundredth of a second that no other command has to wait

    types = pa.schema([(name, pa.float64()) for name in names])
    try:
        with csv.open_csv(
            path,
            csv.ReadOptions(column_names=list(names), use_threads=False),
            convert_options=csv.ConvertOptions(column_types=types, null_values=[]),
        ) as reader:
            for batch in reader:
                yield [np.asarray(np.from_dlpack(batch.column(name)), np.float64) for name in names]
    except (pa.ArrowException, OSError, EOFError) as error:
        told = str(error).splitlines()[0]
        raise DataError(f"{path}: not an archive of {', '.join(names)} ({told}); get it again") from None


def _milliseconds(seconds: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.rint(seconds * SECOND_MS).astype(np.int64)
