"""Reads bars as other programs write them, CSV and Freqtrade's feather, for import into the data folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from ..core.clock import from_iso
from ..core.errors import DataError, UsageError
from ..core.history import BarColumns
from .bar_files import BAR_COLUMNS, columns_of, read_parquet

_DELIMITERS = ",;\t|"
_TIME_NAMES = ("timestamp", "date")
_HEADER = ",".join(BAR_COLUMNS)

CSV_FIRST_ROW = 2
"""The line on which a CSV's first bar stands, below the header."""


def read_foreign(path: Path) -> tuple[BarColumns, int]:
    """The unchecked bars of a .csv, .feather or .parquet file, and the number of its first row in error messages."""
    match path.suffix:
        case ".csv":
            return read_csv(path), CSV_FIRST_ROW
        case ".feather":
            return read_feather(path), 1
        case ".parquet":
            return read_parquet(path), 1
    raise UsageError(f"{path}: bars can be imported from .csv, .feather and .parquet")


def read_feather(path: Path) -> BarColumns:
    """Freqtrade's feather: `date` (UTC timestamps), open, high, low, close, volume."""
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable feather file ({error}); export it again (version 2)") from None
    names = ["timestamp" if name == "date" else name for name in table.column_names]
    missing = [name for name in BAR_COLUMNS if name not in names]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    return columns_of(table.rename_columns(names), path)


def read_csv(path: Path) -> BarColumns:
    """A CSV with the header timestamp (or date),open,high,low,close,volume in any order, case and delimiter.

    Times are UTC milliseconds or ISO-8601 (without an offset: UTC). Further columns are left out.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            places = _places(header.rstrip("\r\n").split(delimiter), path)
            rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV ({error}); save it as UTF-8") from None
    return _columns(rows, places, path)


def _places(header: list[str], path: Path) -> list[int]:
    names = [name.strip().strip('"').lower() for name in header]
    time = next((name for name in _TIME_NAMES if name in names), None)
    wanted = (time or "", *BAR_COLUMNS[1:])
    if any(name not in names for name in wanted):
        raise DataError(f"{path} row 1: the header is {','.join(names)!r}, not {_HEADER!r}; put that line on top")
    for name in wanted:
        if names.count(name) > 1:
            raise DataError(f"{path} row 1: column {name} is there twice; keep the one that is meant")
    return [names.index(name) for name in wanted]


def _columns(rows: list[list[str]], places: list[int], path: Path) -> BarColumns:
    opened = np.empty(len(rows), np.int64)
    values = np.empty((len(BAR_COLUMNS) - 1, len(rows)))
    for index, row in enumerate(rows):
        try:
            opened[index] = _time(row[places[0]])
            values[:, index] = [float(row[place]) for place in places[1:]]
        except (ValueError, IndexError, OverflowError):
            where = f"{path} row {index + CSV_FIRST_ROW}"
            raise DataError(f"{where}: {row} is not a time and five numbers; mend or remove the row") from None
    open_, high, low, close, volume = values
    return BarColumns(opened, open_, high, low, close, volume)


def _time(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else from_iso(text)
