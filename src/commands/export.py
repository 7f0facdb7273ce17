"""`mycelial export`: what was bought and sold, and what was gained by it, as tables for spreadsheets and tax."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from ..backtesting.runs import find_run
from ..connectors.sqlite_ledger import LedgerReader, header
from ..core.clock import from_iso, iso
from ..core.errors import LedgerError, NotFound, UsageError
from ..core.types import Fill, Side, Stream
from ..services.tax_lots import Disposal, cash_of, disposals
from . import common

LEDGER = "ledger.sqlite"
TRANSACTIONS = "transactions.csv"
DISPOSALS = "disposals.csv"
TRANSACTION_COLUMNS = (
    "time", "type", "base", "quote", "amount", "price", "fee", "slippage", "total", "reason", "order", "fill", "mode",
)  # fmt: skip
DISPOSAL_COLUMNS = (
    "time", "base", "quote", "amount", "proceeds", "acquired", "cost", "gain", "fill", "lot", "mode",
)  # fmt: skip
"""Columns are only ever added, behind the last."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so is calculated by a spreadsheet, so a text that does gets an apostrophe before it."""


class Export(msgspec.Struct, frozen=True):
    """What was written; `unknown`: disposals of which nobody knows the purchase."""

    transactions: str
    disposals: str
    mode: str
    rows: int
    disposed: int
    unknown: int


def run(target: Path | None, name: str | None, state: Path | None, year: int | None, json: bool) -> None:
    """Write both tables into the folder `target`; a year keeps the rows of that year, UTC, gains by all purchases."""
    path = _ledger(name, state)
    settings = common.settings(None, None, ()).settings.ledger
    mode = header(path, settings).mode
    fills = _fills(LedgerReader(path, settings).table("fills"), path)
    sold = disposals(fills)
    begin, end = _year(year)
    fills = [fill for fill in fills if begin <= fill.at < end]
    sold = [one for one in sold if begin <= one.at < end]
    folder = target or Path()
    done = Export(
        transactions=_write(folder / TRANSACTIONS, TRANSACTION_COLUMNS, (_transaction(fill, mode) for fill in fills)),
        disposals=_write(folder / DISPOSALS, DISPOSAL_COLUMNS, (_disposal(one, mode) for one in sold)),
        mode=mode,
        rows=len(fills),
        disposed=len(sold),
        unknown=sum(one.cost is None for one in sold),
    )
    _say(done, json)


def _say(done: Export, json: bool) -> None:
    if done.unknown:
        common.say(f"{done.unknown} disposals without a known purchase: their cost and gain are left empty")
    if json:
        common.out_json(msgspec.to_builtins(done))
    else:
        common.out(
            f"{done.transactions}: {done.rows} transactions; {done.disposals}: {done.disposed} disposals ({done.mode})"
        )


def _ledger(name: str | None, state: Path | None) -> Path:
    if name is not None and state is not None:
        raise UsageError("--run and --state: name one of them")
    path = (find_run(common.RUNS, name) if name is not None else state or common.DEFAULT_STATE) / LEDGER
    if not path.is_file():
        raise NotFound(f"{path}: there is no such ledger; `--run last` asks the newest backtest, --state DIR a run")
    return path


def _fills(rows: Iterable[dict[str, Any]], path: Path) -> list[Fill]:
    """The account's own, in the order of the record."""
    own = [row for row in rows if row["stream"] == Stream.SYNTHESIZED.value]
    try:
        return [msgspec.convert({str(name): value for name, value in row.items()}, Fill) for row in own]
    except msgspec.ValidationError as error:
        raise LedgerError(f"{path}: a fill cannot be read ({error}); ask `mycelial verify`") from error


def _year(year: int | None) -> tuple[int, int]:
    if year is None:
        return -(2**62), 2**62
    return from_iso(f"{year:04}-01-01T00:00:00Z"), from_iso(f"{year + 1:04}-01-01T00:00:00Z")


def _transaction(fill: Fill, mode: str) -> Sequence[str]:
    numbers = (fill.amount, fill.price, fill.fee, fill.slippage, cash_of(fill))
    texts = (fill.reason, fill.order_id, fill.id, mode)
    kind = "sell" if fill.side is Side.SELL else "buy"
    return (iso(fill.at), kind, *_currencies(fill.pair), *map(_number, numbers), *map(_text, texts))


def _disposal(one: Disposal, mode: str) -> Sequence[str]:
    acquired = "" if one.acquired is None else iso(one.acquired)
    money = (_number(one.amount), _number(one.proceeds), acquired, _number(one.cost), _number(one.gain))
    return (iso(one.at), *_currencies(one.pair), *money, _text(one.fill), _text(one.lot or ""), _text(mode))


def _currencies(pair: str) -> tuple[str, str]:
    base, _, quote = pair.partition("/")
    return _text(base), _text(quote)


def _number(value: Decimal | None) -> str:
    """All digits, none in the form of 1E-7; empty where there is none."""
    return "" if value is None else format(value, "f")


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table, whole or not at all, in place of one that was there; with line ends as spreadsheets want them."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(columns)
    writer.writerows(rows)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(table.getvalue(), encoding="utf-8", newline="")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; name a folder that can be written") from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return str(path)
