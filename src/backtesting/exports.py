"""Writes the trades of a run for other programs: CSV as it is kept, Parquet with types."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..core.errors import NotFound, UsageError
from ..core.types import MONEY_STEP, Trade
from .recorder import TRADE_COLUMNS, TRADES
from .runs import Run

_MONEY = ("amount", "fees", "slippage", "profit")
"""Booked to eight decimals, so they stay exact; prices are means with more digits than a table needs."""
_TIMES = ("entry_at", "exit_at", "leave_at")
_FLOATS = ("entry_price", "exit_price", "profit_ratio", "score")
_DIGITS = 38


def to_csv(folder: Path, target: Path) -> None:
    """Copy the trades of all books, all columns, exact decimals; UsageError where `target` cannot be written."""
    try:
        shutil.copyfile(folder / TRADES, target)
    except FileNotFoundError as error:
        if not (folder / TRADES).exists():
            raise NotFound(f"{folder / TRADES} is missing: the file was taken away") from error
        raise _unwritable("--csv", target, error) from error
    except (OSError, shutil.SameFileError) as error:
        raise _unwritable("--csv", target, error) from error


def to_parquet(run: Run, target: Path) -> None:
    """Write the trades of all books, the columns of `trades.csv`; UsageError where `target` cannot be written.

    Times are UTC milliseconds, amounts and money decimals, prices, ratios and scores floats, null where there is none.
    The run's id and hashes stand in the file's metadata.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    money = arrow.decimal128(_DIGITS, -int(MONEY_STEP.as_tuple().exponent))
    types = {
        **dict.fromkeys(TRADE_COLUMNS, arrow.string()),
        **dict.fromkeys(_MONEY, money),
        **dict.fromkeys(_TIMES, arrow.timestamp("ms", tz="UTC")),
        **dict.fromkeys(_FLOATS, arrow.float64()),
    }
    result = run.result
    told = {name: str(result[name]) for name in ("run_id", "data_sha256", "config_sha256", "seed")}
    schema = arrow.schema([(name, types[name]) for name in TRADE_COLUMNS], metadata=told)
    columns = _columns((book, trade) for book, trades in run.trades.items() for trade in trades)
    try:
        parquet.write_table(arrow.table(columns, schema=schema), target)
    except OSError as error:
        raise _unwritable("--parquet", target, error) from error


def _columns(rows: Iterable[tuple[str, Trade]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in TRADE_COLUMNS}
    for book, trade in rows:
        for name in TRADE_COLUMNS:
            columns[name].append(book if name == "stream" else _cell(name, getattr(trade, name)))
    return columns


def _cell(name: str, value: Any) -> Any:
    if name in _FLOATS and value is not None:
        return float(value)
    if isinstance(value, Decimal):
        return value.quantize(MONEY_STEP)
    return value


def _unwritable(option: str, target: Path, error: OSError) -> UsageError:
    return UsageError(f"{option} {target}: {error.strerror or error}; name a file that can be written")
