"""Reads finished runs as evidence: what they earned by day and by trade, and what else was tried on their data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...core import metrics
from ...core.clock import from_iso
from ...core.errors import DataError, UsageError
from ...core.timeframes import DAY_MS, timeframe_ms
from ...core.types import FloatArray, IntArray, Stream, Trade
from .. import closes
from ..recorder import CONDITIONS, DECISIONS, ORDERS, RESULT
from ..runs import Run, load_run, read_result
from ..sheet import folder as beside
from ..sheet.judged import file_sha256
from .examination import Entries, Evidence
from .splits import horizon_days

ACCOUNT = "account"
BUY_AND_HOLD = "buy_and_hold"
_HASHED = ((ORDERS, "orders_sha256"), (DECISIONS, "decisions_sha256"))
_AGAIN = "run the backtest again"


class Record(msgspec.Struct, frozen=True):
    """A finished run: its folder, what it left, `days` (d,) since 1970 and `returns` (d,) of its account, marked."""

    folder: Path
    run: Run
    conditions: dict[str, Any]
    days: IntArray
    returns: FloatArray

    @property
    def start(self) -> float:
        """The start equity."""
        return float(self.run.result["account"]["start_equity"])

    @property
    def interval_ms(self) -> int:
        """The base interval."""
        return timeframe_ms(self.run.result["timeframe"])

    def setting(self, name: str) -> Any:
        """A leaf of the settings it ran under; DataError where it was not kept."""
        try:
            return self.conditions["settings"][name]
        except KeyError:
            raise DataError(f"{self.folder / CONDITIONS}: no {name}; {_AGAIN}") from None

    def horizon(self) -> int:
        """The longest horizon of an idea, in base intervals."""
        return max(int(one["intervals"]) for one in self.setting("learners.horizons"))


def read(folder: Path) -> Record:
    """A run's folder; NotFound or DataError where it is not whole, UsageError where it saw not a single day."""
    conditions = beside.conditions(folder)
    found = _read(folder, conditions or {})
    if conditions is None:
        raise DataError(f"{folder / CONDITIONS} is missing: which code made the run is not known; {_AGAIN}")
    return found


def _read(folder: Path, conditions: dict[str, Any]) -> Record:
    run = load_run(folder)
    curve, start = run.curve, float(run.result["account"]["start_equity"])
    if len(curve.at) == 0:
        raise UsageError(f"{folder}: the run saw no bar; there is nothing to judge")
    first, last = (metrics.day_of(int(curve.at[place])) for place in (0, -1))
    daily = metrics.daily_last(curve.at, curve.equity_quote(), first, last, start)
    days = np.arange(first, last + 1, dtype=np.int64)
    return Record(folder, run, conditions, days, metrics.daily_returns(daily, start))


def refuse_changed(record: Record) -> None:
    """DataError where orders or decisions are not those that the result speaks of."""
    for name, field in _HASHED:
        path = record.folder / name
        try:
            found = file_sha256(path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; {_AGAIN}") from error
        if found != record.run.result[field]:
            raise DataError(f"{path}: is not what the run wrote ({field} differs); {_AGAIN}")


def book_returns(record: Record, book: str) -> FloatArray:
    """Daily returns (d,) of a book: the marked account, or start equity plus a book's closed profit.

    UsageError names the books there are.
    """
    if book == ACCOUNT:
        return record.returns
    if book not in record.run.trades and book not in record.run.result["streams"]:
        known = sorted({ACCOUNT, *record.run.result["streams"], *record.run.trades})
        raise UsageError(f"no book {book!r} in {record.folder}; there is {', '.join(known)}")
    trades, days = record.run.trades.get(book, []), record.days
    times, equity = metrics.closed_equity(trades, Decimal(repr(record.start)))
    daily = metrics.daily_last(times, equity, int(days[0]), int(days[-1]), record.start)
    return metrics.daily_returns(daily, record.start)


def trade_returns(record: Record, book: str = Stream.SYNTHESIZED.value) -> FloatArray:
    """Closed profit of each trade (n,), by time of exit, as a ratio of start equity plus the profit before it."""
    _, equity = metrics.closed_equity(record.run.trades.get(book, []), Decimal(repr(record.start)))
    before = np.concatenate(([record.start], equity[:-1]))[: len(equity)]
    return equity / before - 1.0


def hold_returns(record: Record) -> FloatArray | None:
    """Daily returns (d,) of equal stakes bought at the first closes; None where the run kept no market."""
    market = beside.read(record.folder).market
    if market is None:
        return None
    growth = metrics.buy_and_hold(market.first, market.closes)
    first, last = int(record.days[0]), int(record.days[-1])
    return metrics.daily_returns(metrics.daily_last((market.days + 1) * DAY_MS, growth, first, last, 1.0), 1.0)


def entries(record: Record, kept: closes.Closes | None, book: str = Stream.SYNTHESIZED.value) -> Entries | None:
    """A book's trades on the grid of closes; None without closes.

    A fill at an open is told when its bar closes: the close before it is the price that it stands for. Trades that
    begin before the first close or end after the last are left out.
    """
    if kept is None:
        return None
    known = (trade for trade in record.run.trades.get(book, []) if trade.pair in kept.pairs)
    trades = [trade for trade in known if trade.exit_at <= kept.at[-1]]
    rows, ends = (np.searchsorted(kept.at, _times(trades, name)) - 1 for name in ("entry_at", "exit_at"))
    held = np.maximum(ends - rows, 1)
    pairs = np.array([kept.pairs.index(trade.pair) for trade in trades], np.int64)
    inside = rows >= 0
    return Entries(kept.close, pairs[inside], rows[inside], held[inside], _round_trip(record))


def _times(trades: Sequence[Trade], name: str) -> IntArray:
    return np.array([getattr(trade, name) for trade in trades], np.int64)


def _round_trip(record: Record) -> float:
    return 2.0 * (float(record.setting("costs.fee_ratio")) + float(record.setting("costs.slippage_ratio")))


def siblings(record: Record) -> list[Record]:
    """Other runs beside this one on the same data that decided something else, each once, in order of name.

    Of them only what they earned is needed, not under which conditions.
    """
    own, seen, found = record.run.result, {record.run.result["orders_sha256"]}, []
    for folder in sorted(path.parent for path in record.folder.resolve().parent.glob(f"*/{RESULT}")):
        result = read_result(folder / RESULT)
        if result.get("data_sha256") == own["data_sha256"] and result.get("orders_sha256") not in seen:
            seen.add(result["orders_sha256"])
            found.append(_read(folder, {}))
    return found


def evidence(record: Record, others: Sequence[Record], trials: int | None) -> Evidence:
    """All that the gate looks at; `trials` where more was tried than is kept. UsageError where it says less."""
    known = 1 + len(others)
    if trials is not None and trials < known:
        raise UsageError(f"--trials {trials}: {known} runs on these data are kept beside it")
    hold = hold_returns(record)
    rivals = {Stream.BASELINE.value: book_returns(record, Stream.BASELINE.value)}
    return Evidence(
        returns=record.returns,
        trades=trade_returns(record),
        entries=entries(record, closes.read(record.folder)),
        rivals=rivals if hold is None else {**rivals, BUY_AND_HOLD: hold},
        candidates=candidates([record, *others]),
        trials=trials or known,
        purge_days=purge_days(record),
        seed=int(record.run.result["seed"]),
    )


def purge_days(record: Record) -> int:
    """How many days an idea looks ahead, a begun one counted."""
    return horizon_days(record.horizon(), record.interval_ms)


def candidates(records: Sequence[Record], book: str = ACCOUNT) -> FloatArray:
    """Daily returns (d, m) of a book of several runs; UsageError where they are not of the same days."""
    first = records[0]
    for other in records[1:]:
        if not np.array_equal(first.days, other.days):
            raise UsageError(
                f"{other.folder} and {first.folder} are of other days; compare runs of the same time range"
            )
    return np.stack([book_returns(one, book) for one in records], axis=1)


def opinions(record: Record, kept: closes.Closes, source: str) -> FloatArray:
    """What a source said (rows, pairs): the signed edge of its ideas, their score or 1 where it named none; 0: nothing.

    Source: the lines of kind `idea` of `decisions.jsonl`.
    """
    said = np.zeros(kept.close.shape)
    for line in _ideas(record.folder / DECISIONS):
        if line.get("source") != source or line.get("pair") not in kept.pairs:
            continue
        row = int(np.searchsorted(kept.at, from_iso(line["at"]), side="right")) - 1
        if row >= 0:
            size = line.get("edge") or line.get("score") or 1.0
            said[row, kept.pairs.index(line["pair"])] = abs(size) if line.get("side") == "buy" else -abs(size)
    return said


def _ideas(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if b'"kind":"idea"' in line:
                    yield _decision(path, number, line)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {_AGAIN}") from error


def _decision(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise DataError(f"{path}:{number}: not a decision ({error}); {_AGAIN}") from error
    return found
