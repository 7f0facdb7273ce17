"""Reads what a run's folder holds beside its result: market, prices, conditions, who stood behind the trades."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...core.clock import from_iso
from ...core.errors import DataError
from ...core.metrics import day_of
from ...core.types import FloatArray, IntArray
from ..market_record import MARKET, MARKET_COLUMNS, PRICES
from ..recorder import CONDITIONS
from .judged import GATE, doubt

AB = "ab.json"
"""The answer of an A/B comparison, where one was made with this run."""
AGAIN = "run the backtest again"


class Market(msgspec.Struct, frozen=True):
    """Daily closes: `first` (pairs,), `days` (d,) since 1970, `closes` and `bars` (d, pairs); NaN: no close yet."""

    pairs: tuple[str, ...]
    first: FloatArray
    days: IntArray
    closes: FloatArray
    bars: IntArray


class Prices(msgspec.Struct, frozen=True):
    """Thinned closes: `at` (n,) UTC ms, `closes` (n, pairs)."""

    pairs: tuple[str, ...]
    at: IntArray
    closes: FloatArray

    def of(self, pair: str) -> FloatArray | None:
        """The line (n,) of a pair; None where it is not among them."""
        return self.closes[:, self.pairs.index(pair)] if pair in self.pairs else None


class Beside(msgspec.Struct, frozen=True):
    """What stands beside the result; None: the folder does not hold it, for the run is of before it was kept."""

    market: Market | None = None
    prices: Prices | None = None
    conditions: dict[str, Any] | None = None
    ab: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    doubt: str | None = None
    """Why the verdict of the gate that lies there is not to be believed."""


def read(folder: Path) -> Beside:
    """Everything that is there; DataError naming file and line for what is damaged."""
    found, said = gate(folder)
    told, compared = (read_object(folder / name) for name in (CONDITIONS, AB))
    return Beside(_market(folder / MARKET), _prices(folder / PRICES), told, compared, found, said)


def gate(folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The verdict of the promotion gate, where it was asked, and why it is not to be believed, where it is not."""
    found = read_object(folder / GATE)
    return found, None if found is None else doubt(folder, found)


def conditions(folder: Path) -> dict[str, Any] | None:
    """Settings in force and hash of the code; None where the run did not keep them."""
    return read_object(folder / CONDITIONS)


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a file of JSON; None where there is no file, DataError where it is damaged."""
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: not an object of JSON ({error}); {AGAIN}") from error
    return found


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from enumerate(csv.reader(file), 1)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}; {AGAIN}") from error


def _market(path: Path) -> Market | None:
    if not path.exists():
        return None
    rows = _rows(path)
    if tuple(next(rows, (0, []))[1]) != MARKET_COLUMNS:
        raise DataError(f"{path}:1: columns must be {', '.join(MARKET_COLUMNS)}; {AGAIN}")
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for number, row in rows:
        try:
            at, pair, close, bars = row
            found.setdefault(at, {})[pair] = (_price(close), int(bars))
        except ValueError as error:
            raise DataError(f"{path}:{number}: not a day of a pair ({error}); {AGAIN}") from error
    return _arranged(path, found)


def _arranged(path: Path, found: dict[str, dict[str, tuple[float, int]]]) -> Market | None:
    if not found:
        return None
    begin, *rest = found
    pairs = tuple(found[begin])
    try:
        cells = [[found[at][pair] for pair in pairs] for at in rest]
        days = [day_of(from_iso(at)) for at in rest]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: a day without one of its pairs, or no time ({error}); {AGAIN}") from error
    shape = (len(rest), len(pairs))
    return Market(
        pairs,
        np.array([close for close, _ in found[begin].values()]),
        np.array(days, np.int64),
        np.array([[close for close, _ in row] for row in cells], np.float64).reshape(shape),
        np.array([[bars for _, bars in row] for row in cells], np.int64).reshape(shape),
    )


def _prices(path: Path) -> Prices | None:
    if not path.exists():
        return None
    rows = _rows(path)
    header = next(rows, (0, []))[1]
    if header[:1] != ["at"]:
        raise DataError(f"{path}:1: the first column must be at; {AGAIN}")
    at, closes = [], []
    for number, row in rows:
        try:
            at.append(from_iso(row[0]))
            closes.append([_price(text) for text in row[1:]])
            if len(row) != len(header):
                raise ValueError(f"{len(row)} columns instead of {len(header)}")
        except (ValueError, IndexError) as error:
            raise DataError(f"{path}:{number}: not an instant with its closes ({error}); {AGAIN}") from error
    return Prices(tuple(header[1:]), np.array(at, np.int64), np.array(closes).reshape(len(at), len(header) - 1))


def _price(text: str) -> float:
    return float(text) if text else float("nan")
