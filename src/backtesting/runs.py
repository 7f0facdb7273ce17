"""Finds the folder of a finished run by what the user calls it, and reads it back."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..core.clock import from_iso
from ..core.errors import DataError, NotFound, UsageError
from ..core.types import IntArray, Pair, Stream, Trade
from .recorder import EQUITY, MONEY_EXPONENT, RESULT, TRADES, Curve
from .result import CONTROLS, EDGE_TESTED

LAST = "last"
_NAMED = 5
"""How many runs an error message names; a list longer than that helps nobody."""


_SHADOWS = {EDGE_TESTED: Stream.MYCELIAL, **dict.fromkeys(CONTROLS.values(), Stream.CONTROL)}
"""Books that are not called as their stream."""


class Run(msgspec.Struct, frozen=True):
    """A finished run as it is read or shown: the result, closed trades by book, the account's curve."""

    result: dict[str, Any]
    trades: dict[str, list[Trade]]
    curve: Curve


def find_run(runs_dir: Path, run: str) -> Path:
    """The folder of a run by id, unambiguous prefix, `last` (the newest result) or path.

    NotFound says what is there; UsageError when a prefix fits several.
    """
    known = _finished(runs_dir)
    if run == LAST and known:
        return known[-1]
    by_name = {folder.name: folder for folder in known}
    if run in by_name:
        return by_name[run]
    if (path := _as_path(run)) is not None:
        return path
    fitting = [folder for folder in known if run != LAST and run and folder.name.startswith(run)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(f"run {run!r} fits {_names(fitting)}: write more of it")
    raise NotFound(f"no run {run!r}: {f'{runs_dir} holds {_names(known)}' if known else _nothing(runs_dir)}")


def _finished(runs_dir: Path) -> list[Path]:
    """Folders with a result, oldest first."""
    results = [(path.stat().st_mtime_ns, path.parent.name, path.parent) for path in runs_dir.glob(f"*/{RESULT}")]
    return [folder for _, _, folder in sorted(results)]


def _as_path(run: str) -> Path | None:
    path = Path(run)
    if path.is_file() and path.name == RESULT:
        return path.parent
    if (path / RESULT).is_file() and run:
        return path
    if path.is_dir() and len(path.parts) > 1:
        raise NotFound(f"{path} holds no {RESULT}: that run did not end, or it is no run")
    return None


def _names(folders: list[Path]) -> str:
    newest = [folder.name for folder in reversed(folders)]
    rest = len(newest) - _NAMED
    return ", ".join(newest[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _nothing(runs_dir: Path) -> str:
    return f"{runs_dir} holds no finished run; make one with `mycelial backtest`, or name one of `run`: STATE/runs/ID"


def load_run(folder: Path) -> Run:
    """Read a run's folder; NotFound when a file is missing, DataError naming file and line when one is damaged."""
    return Run(read_result(folder / RESULT), _read_trades(folder / TRADES), _read_curve(folder / EQUITY))


def read_result(path: Path) -> dict[str, Any]:
    """The object of `result.json`; NotFound or DataError."""
    try:
        result: dict[str, Any] = msgspec.json.decode(_text(path), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: not a result ({error}); run the backtest again") from error
    return result


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path} is missing: the run did not end, or the file was taken away") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _read_trades(path: Path) -> dict[str, list[Trade]]:
    trades: dict[str, list[Trade]] = {}
    for number, row in enumerate(csv.DictReader(_text(path).splitlines()), 2):
        try:
            trades.setdefault(row["stream"], []).append(_trade(row))
        except (KeyError, ValueError, TypeError, InvalidOperation) as error:
            raise DataError(f"{path}:{number}: not a trade ({error!r}); run the backtest again") from error
    return trades


def _trade(row: Mapping[str, str]) -> Trade:
    money = ("amount", "entry_price", "exit_price", "fees", "slippage", "profit", "profit_ratio")
    return Trade(
        id=row["id"],
        stream=_SHADOWS.get(row["stream"]) or Stream(row["stream"]),
        pair=Pair(row["pair"]),
        entry_at=from_iso(row["entry_at"]),
        exit_at=from_iso(row["exit_at"]),
        exit_reason=row["exit_reason"],
        score=float(row["score"]) if row["score"] else None,
        leave_at=from_iso(row["leave_at"]) if row["leave_at"] else None,
        **{name: Decimal(row[name]) for name in money},
    )


def _read_curve(path: Path) -> Curve:
    rows = _text(path).splitlines()[1:]
    columns = [row.split(",") for row in rows]
    try:
        at = np.array([row[0].removesuffix("Z") for row in columns], "datetime64[ms]").astype(np.int64)
        return Curve(at, _units(row[1] for row in columns), _units(row[2] for row in columns))
    except (IndexError, ValueError, InvalidOperation) as error:
        raise DataError(f"{path}: not an equity curve ({error!r}); run the backtest again") from error


def _units(texts: Iterable[str]) -> IntArray:
    return np.array([int(Decimal(text).scaleb(MONEY_EXPONENT)) for text in texts], np.int64)
