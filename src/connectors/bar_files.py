"""Reads, checks and writes one file of bars; what cannot be believed is refused with file, row, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.clock import iso
from ..core.errors import DataError
from ..core.history import BarColumns
from ..core.timeframes import timeframe_name
from ..core.types import BoolArray, FloatArray, IntArray
from .durable import replacing

BAR_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")

# Milliseconds below the first are before 1973 and above the second after 5138: another unit was meant.
MS_FLOOR, MS_CEILING = 10**11, 10**14
# So many bars that are all a multiple of the interval apart are bars of another timeframe, not bars with gaps.
_ENOUGH_ROWS = 10


def read_parquet(path: Path) -> BarColumns:
    """The six columns of a Parquet file, unchecked; DataError when it is no such file."""
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in BAR_COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise DataError(
                    f"{path}: no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}; "
                    f"bars need {', '.join(BAR_COLUMNS)}"
                )
            # One thread: a few short columns gain nothing from more, and each keeps memory of its own for good.
            table = file.read(columns=list(BAR_COLUMNS), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); write it again or remove it") from None
    return columns_of(table, path)


def release_read() -> None:
    """Give back what Arrow keeps for the next file: after the last one it is of no use."""
    pa.default_memory_pool().release_unused()


def columns_of(table: pa.Table, path: Path) -> BarColumns:
    """The six columns of an Arrow table; integer or timestamp times become UTC milliseconds."""
    for name in BAR_COLUMNS:
        if table.column_names.count(name) > 1:
            raise DataError(f"{path}: column {name} is there twice; keep the one that is meant")
    opened = _times(table.column("timestamp"), path)
    return BarColumns(opened, *(_floats(table.column(name), name, path) for name in BAR_COLUMNS[1:]))


def _times(column: pa.ChunkedArray, path: Path) -> IntArray:
    _refuse_nulls(column, "timestamp", path)
    if pa.types.is_timestamp(column.type):
        column = _cast(column, pa.timestamp("ms"), "timestamp", path).cast(pa.int64())
    if not pa.types.is_integer(column.type):
        raise DataError(f"{path}: column timestamp holds {column.type}, not whole UTC milliseconds; convert it")
    return np.asarray(_plain(_cast(column, pa.int64(), "timestamp", path)), np.int64)


def _floats(column: pa.ChunkedArray, name: str, path: Path) -> FloatArray:
    _refuse_nulls(column, name, path)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{path}: column {name} holds {column.type}, not numbers; convert it")
    return np.asarray(_plain(_cast(column, pa.float64(), name, path)), np.float64)


def _cast(column: pa.ChunkedArray, kind: pa.DataType, name: str, path: Path) -> pa.ChunkedArray:
    """The same numbers in another form; DataError where one of them would change."""
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        told = str(error).splitlines()[0]
        raise DataError(f"{path}: column {name} cannot be read as {kind} ({told}); convert it") from None


def _plain(column: pa.ChunkedArray) -> npt.NDArray[np.generic]:
    """The numbers of a column without nulls; by DLPack, because `to_numpy` imports pandas, which takes a second."""
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)] or [np.empty(0)])


def _refuse_nulls(column: pa.ChunkedArray, name: str, path: Path) -> None:
    if column.null_count:
        row = column.is_null().index(True).as_py() + 1
        raise DataError(f"{path} row {row}: {name} is missing; remove the row (a missing bar is no error) or mend it")


def check_bars(bars: BarColumns, interval_ms: int, path: Path, first_row: int = 1) -> None:
    """Raise DataError at the first bar that cannot be believed; `first_row` is the number of the first in `path`.

    Refused: no bar at all, times in another unit, off the grid, twice or unsorted, bars of another timeframe,
    prices that are not finite and above zero, a high below the low, an open or close outside of both, a volume
    that is negative or not finite. Gaps and bars without volume are believed.
    """
    if len(bars.opened) == 0:
        raise DataError(f"{path}: holds no bar; remove the file or import bars into it")
    _check_times(bars.opened, interval_ms, path, first_row)
    _check_prices(bars, path, first_row)
    bad = ~(np.isfinite(bars.volume) & (bars.volume >= 0))
    _refuse(bad, path, first_row, lambda i: f"volume {bars.volume[i]} is negative or not finite; mend or remove it")


def _check_times(opened: IntArray, interval_ms: int, path: Path, first_row: int) -> None:
    _refuse(
        (opened < MS_FLOOR) | (opened > MS_CEILING),
        path,
        first_row,
        lambda i: f"timestamp {opened[i]} is not in milliseconds ({_unit(int(opened[i]))}); convert it",
    )
    off_grid = opened % interval_ms != 0
    name = timeframe_name(interval_ms)
    _refuse(
        off_grid,
        path,
        first_row,
        lambda i: f"timestamp {opened[i]} ({iso(int(opened[i]))}) is off the {name} grid; bars may not overlap",
    )
    steps = np.diff(opened)
    _refuse(
        steps <= 0,
        path,
        first_row + 1,
        lambda i: (
            f"timestamp {opened[i + 1]} ({iso(int(opened[i + 1]))}) "
            f"{'is a duplicate' if steps[i] == 0 else 'is earlier than the row before'}; sort, and keep one bar a time"
        ),
    )
    _check_spacing(steps, interval_ms, path)


def _check_spacing(steps: IntArray, interval_ms: int, path: Path) -> None:
    common = int(np.gcd.reduce(steps)) if len(steps) else interval_ms
    if len(steps) >= _ENOUGH_ROWS and common > interval_ms:
        raise DataError(
            f"{path}: its bars are {timeframe_name(common)} apart, not {timeframe_name(interval_ms)}; "
            f"it belongs under another timeframe"
        )


def _check_prices(bars: BarColumns, path: Path, first_row: int) -> None:
    for name, column in zip(BAR_COLUMNS[1:5], bars.values()[:4], strict=True):
        bad = ~(np.isfinite(column) & (column > 0))
        _refuse(
            bad,
            path,
            first_row,
            lambda i, name=name, column=column: f"{name} {column[i]} is no price; mend or remove the row",  # type: ignore[misc]
        )
    high, low = bars.high, bars.low
    _refuse(high < low, path, first_row, lambda i: f"high {high[i]} is below low {low[i]}; mend or remove the row")
    for name, column in (("open", bars.open), ("close", bars.close)):
        _refuse(
            (column > high) | (column < low),
            path,
            first_row,
            lambda i, name=name, column=column: (  # type: ignore[misc]
                f"{name} {column[i]} is outside low {low[i]} to high {high[i]}; mend or remove the row"
            ),
        )


def _refuse(bad: BoolArray, path: Path, first_row: int, say: Callable[[int], str]) -> None:
    if bad.any():
        place = int(np.argmax(bad))
        raise DataError(f"{path} row {first_row + place}: {say(place)}")


def _unit(value: int) -> str:
    if value < MS_FLOOR:
        return "it looks like seconds: multiply by 1000"
    return "it looks like micro- or nanoseconds: divide"


def gaps(opened: npt.NDArray[np.int64], interval_ms: int) -> tuple[int, int]:
    """(missing bars, longest run of missing bars) between the first and the last bar of a checked file."""
    if len(opened) < 2:
        return 0, 0
    holes = np.diff(opened) // interval_ms - 1
    return int(holes.sum()), int(holes.max())


def write_parquet(path: Path, bars: BarColumns) -> None:
    """Write a file of bars in one go: whole or not at all, durable when this returns."""
    arrays = [bars.opened, *bars.values()]
    table = pa.table(dict(zip(BAR_COLUMNS, (pa.array(array) for array in arrays), strict=True)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        pq.write_table(table, file)
