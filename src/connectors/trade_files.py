"""Reads trades from recorded exchange streams: raw Binance frames, Kraken v2 lines and Parquet."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.clock import from_iso
from ..core.errors import DataError, NotFound
from ..core.types import FloatArray, IntArray, Pair
from .bar_files import MS_CEILING, MS_FLOOR
from .symbols import split_symbol

RECORDINGS = (".gz", ".json", ".jsonl", ".ndjson", ".txt", ".parquet")
"""How files of trades are called in a folder; of other files there may be some that never end."""
NO_ID = -1
"""The venue gave the trade no number."""


class TradeRow(NamedTuple):
    """One trade as it was read. `at` is the time of the trade at the venue, floored to milliseconds."""

    pair: Pair
    at: int
    id: int
    price: float
    amount: float


class TradeReport(msgspec.Struct):
    """What was met on the way: nothing is dropped without being counted here."""

    frames: int = 0
    trades: int = 0
    other: int = 0
    malformed: int = 0
    unknown_symbols: int = 0
    duplicates: int = 0
    late: int = 0
    truncated_files: int = 0
    first_malformed: str = ""

    def spoil(self, place: str) -> None:
        """Count a frame that could not be read, and keep the place of the first."""
        self.malformed += 1
        self.first_malformed = self.first_malformed or place


class Trades(msgspec.Struct, frozen=True):
    """Trades in order of (time, number, arrival). `pair` (n,) indexes `pairs`; amounts in base units."""

    pairs: tuple[Pair, ...]
    pair: IntArray
    at: IntArray
    price: FloatArray
    amount: FloatArray
    report: TradeReport


def read_trades(paths: Sequence[Path]) -> Trades:
    """All trades of these recordings together.

    The order is that of the venue: trade time, then trade number, then arrival. The recorder's own clock is not
    used, for it may run behind the venue's. A trade that arrived after a later one of its pair is `late` and is put
    in its place; one with a number that was seen already is a duplicate and is dropped. Malformed frames and
    unknown symbols are counted. DataError when there is no trade at all or a file is of no known kind.
    """
    report = TradeReport()
    rows = [row for path in paths for row in _rows(path, report)]
    if not rows:
        raise DataError(f"{', '.join(map(str, paths))}: no trade in {report.frames} frames; was it a book stream?")
    rows = _without_duplicates(rows, report)
    report.late = _count_late(rows)
    rows.sort(key=lambda row: (row.at, row.id))
    report.trades = len(rows)
    pairs = tuple(sorted({row.pair for row in rows}))
    place = {pair: index for index, pair in enumerate(pairs)}
    return Trades(
        pairs,
        np.array([place[row.pair] for row in rows], np.int64),
        np.array([row.at for row in rows], np.int64),
        np.array([row.price for row in rows], np.float64),
        np.array([row.amount for row in rows], np.float64),
        report,
    )


def recordings(folder: Path) -> list[Path]:
    """The files of a folder that may hold trades, in order of name; NotFound where there is none."""
    found = sorted(path for path in folder.iterdir() if path.suffix in RECORDINGS and path.is_file())
    if not found:
        raise NotFound(f"{folder}: no data folder (it has no ohlcv/) and no recording ({', '.join(RECORDINGS)}) in it")
    return found


def _without_duplicates(rows: list[TradeRow], report: TradeReport) -> list[TradeRow]:
    seen: set[tuple[Pair, int]] = set()
    kept = []
    for row in rows:
        key = (row.pair, row.id)
        if row.id != NO_ID and key in seen:
            report.duplicates += 1
            continue
        seen.add(key)
        kept.append(row)
    return kept


def _count_late(rows: Sequence[TradeRow]) -> int:
    newest: dict[Pair, int] = {}
    late = 0
    for row in rows:
        late += row.at < newest.get(row.pair, row.at)
        newest[row.pair] = max(row.at, newest.get(row.pair, row.at))
    return late


def _rows(path: Path, report: TradeReport) -> Iterator[TradeRow]:
    if not path.is_file():
        raise NotFound(f"{path}: no such recording")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, report)
        return
    for number, line in enumerate(_lines(path, report), 1):
        if line.strip():
            report.frames += 1
            yield from _frame_rows(line, f"{path} line {number}", report)


def _lines(path: Path, report: TradeReport) -> Iterator[bytes]:
    """Lines of a plain or gzipped file; what a broken end leaves is read, and the break counted."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            yield from gzip.GzipFile(fileobj=raw) if packed else raw
        except (EOFError, gzip.BadGzipFile):
            report.truncated_files += 1


def _frame_rows(line: bytes, place: str, report: TradeReport) -> list[TradeRow]:
    """The trades of one line: `<receive ns> <json>` or `<json>`."""
    received, _, rest = line.partition(b" ")
    try:
        frame = msgspec.json.decode(rest if received.isdigit() else line)
        found = _trades_of(frame)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        report.spoil(place)
        return []
    if found is None:
        report.other += 1
        return []
    return _believed(found, place, report)


def _believed(found: Sequence[tuple[str, int, int, float, float]], place: str, report: TradeReport) -> list[TradeRow]:
    rows = []
    for symbol, at, number, price, amount in found:
        pair = split_symbol(symbol)
        if pair is None:
            report.unknown_symbols += 1
        elif MS_FLOOR <= at <= MS_CEILING and 0.0 < price < np.inf and 0.0 < amount < np.inf:
            rows.append(TradeRow(pair, at, number, price, amount))
        else:
            report.spoil(place)
    return rows


def _trades_of(frame: dict[str, Any]) -> list[tuple[str, int, int, float, float]] | None:
    """(symbol, ms, number, price, amount) of a frame; None when it is a frame of another kind."""
    channel = frame.get("channel")
    if channel is not None:
        return [_kraken_trade(entry) for entry in frame["data"]] if channel == "trade" else None
    data = frame.get("data", frame)
    kind = data.get("e")
    if kind in ("trade", "aggTrade"):
        number = data["t"] if kind == "trade" else data["a"]
        return [(data["s"], int(data["T"]), int(number), float(data["p"]), float(data["q"]))]
    if kind is None and not any(key in frame for key in ("stream", "lastUpdateId", "result")):
        raise ValueError("no frame of Binance or Kraken")
    return None


def _kraken_trade(entry: dict[str, Any]) -> tuple[str, int, int, float, float]:
    number = int(entry.get("trade_id", NO_ID))
    return entry["symbol"], floor_ms(entry["timestamp"]), number, float(entry["price"]), float(entry["qty"])


def floor_ms(text: str) -> int:
    """ISO-8601 UTC with any number of decimals, floored to milliseconds; ValueError otherwise.

    >>> floor_ms("2024-11-12T06:50:16.753999Z")
    1731394216753
    """
    whole, _, decimals = text.removesuffix("Z").partition(".")
    return from_iso(whole) + int((decimals + "000")[:3])


def _parquet_rows(path: Path, report: TradeReport) -> list[TradeRow]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from None
    found = next((read(table, path) for columns, read in _TABLES if columns <= set(table.column_names)), None)
    if found is None:
        raise DataError(f"{path}: no file of trades; it has the columns {', '.join(table.column_names)}")
    report.frames += len(found)
    return [row for number, one in enumerate(found, 1) for row in _believed([one], f"{path} row {number}", report)]


def _numbered_trades(table: pa.Table, path: Path) -> list[tuple[str, int, int, float, float]]:
    names = ("symbol", "timestamp", "trade_id", "price", "qty")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def _bare_trades(table: pa.Table, path: Path) -> list[tuple[str, int, int, float, float]]:
    """Trades without symbol and number: the symbol is the last part of the file's name."""
    symbol = path.stem.rpartition("_")[2]
    columns = (table.column(name).to_pylist() for name in ("timestamp", "price", "amount"))
    return [(symbol, at, NO_ID, price, amount) for at, price, amount in zip(*columns, strict=True)]


_TABLES: tuple[tuple[frozenset[str], Callable[[pa.Table, Path], list[tuple[str, int, int, float, float]]]], ...] = (
    (frozenset({"symbol", "timestamp", "trade_id", "price", "qty"}), _numbered_trades),
    (frozenset({"timestamp", "price", "amount"}), _bare_trades),
)
