"""Takes the engine's Reports one by one and keeps what a run must be able to show afterwards: files, hashes, curves."""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ..core import records
from ..core.canonical import encode
from ..core.errors import InvariantError, UsageError
from ..core.metrics import day_of
from ..core.types import MONEY_STEP, Decision, Fill, FloatArray, IntArray, Order, Trade
from .footprint import Footprint
from .market_record import MarketRecord

if TYPE_CHECKING:
    from ..core.engine import Report
    from ..core.types import Snapshot

DECISIONS, ORDERS, TRADES, EQUITY, RESULT = "decisions.jsonl", "orders.jsonl", "trades.csv", "equity.csv", "result.json"
"""The files of a run's folder."""
CONDITIONS = "conditions.json"
"""Settings in force and hash of the code, so that two runs can be compared leaf by leaf."""
SAID_OF_IT = ("gate.json", "ab.json")
"""What others said of the run in a folder; it is not about the run that takes its place."""

MONEY_EXPONENT = -int(MONEY_STEP.as_tuple().exponent)
TRADE_COLUMNS = Trade.__struct_fields__
"""The columns of `trades.csv`: the fields of `records.trade_fields`, in the order of the struct."""

_LINE = b"\n"
_Key = tuple[int, str, str, str]


class Curve(msgspec.Struct, frozen=True):
    """The account after each slice: `at` (n,) UTC ms; `equity` and `cash` (n,) int64 in units of `MONEY_STEP`."""

    at: IntArray
    equity: IntArray
    cash: IntArray

    def equity_quote(self) -> FloatArray:
        """Marked equity in quote currency, (n,) float64."""
        return self.equity / 10.0**MONEY_EXPONENT


class Recorded(msgspec.Struct, frozen=True):
    """What the Reports of a run added up to.

    `started` and `ended` UTC ms: the first bar's open and the last slice. `days` (d,) as `metrics.day_of` counts,
    `daily_closes` (d, pairs) the last closes of those days, `first_closes` (pairs,): NaN where a pair had none yet.
    Hashes are of the bytes of `decisions.jsonl` and `orders.jsonl`, whether these files are written or not.
    `rss_slope`: growth of resident memory, see `Footprint.slope`.
    """

    slices: int
    bars: int
    started: int | None
    ended: int | None
    curve: Curve
    days: IntArray
    daily_closes: FloatArray
    first_closes: FloatArray
    ideas: dict[str, int]
    abstentions: dict[str, int]
    faults: dict[str, int]
    fills: int
    simulated: bool
    decisions_sha256: str
    orders_sha256: str
    rss_slope: float | None


class Recorder:
    """Keeps a run's record. With `out` it writes `decisions.jsonl` as it goes and the rest when `save` is called.

    A folder that holds the files of an earlier run is taken over: its `result.json` goes at once, so that old
    results never stand beside new decisions. UsageError when the folder cannot be written.
    """

    def __init__(self, out: Path | None = None) -> None:
        self.out = out
        self._file = None if out is None else _open(out)
        self._sha = hashlib.sha256()
        self._at, self._equity, self._cash = array("q"), array("q"), array("q")
        self._bars = self._fills = 0
        self._started: int | None = None
        self._simulated = False
        self._orders: list[tuple[_Key, bytes]] = []
        self._executions: list[tuple[_Key, bytes]] = []
        self._ideas: Counter[str] = Counter()
        self._abstentions: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._day = -1
        self._days: list[int] = []
        self._daily: list[FloatArray] = []
        self._first: FloatArray | None = None
        self._last: FloatArray | None = None
        self._unseen = True
        self._footprint = Footprint()
        self._pairs: Sequence[str] = ()
        self._market = MarketRecord()

    def take(self, report: Report) -> None:
        """Add one Report; slices come in order of time."""
        at = report.at
        self._at.append(at)
        try:
            self._equity.append(int(report.equity.scaleb(MONEY_EXPONENT)))
            self._cash.append(int(report.cash.scaleb(MONEY_EXPONENT)))
        except OverflowError:
            raise InvariantError(f"equity {report.equity} is more than an account can hold in a record") from None
        self._bars += report.bars
        self._footprint.look(self._bars)
        self._simulated |= report.simulated
        if report.decisions:
            self._decide(report.decisions, report.written)
        if report.orders or report.fills:
            self._execute(report.orders, report.fills)
        if self._unseen:
            self._see(report)
        if day_of(at) != self._day:
            self._turn(at)
        self._market.take(report.snapshot)
        self._last = report.snapshot.close

    def _decide(self, decisions: Sequence[Decision], written: Sequence[bytes]) -> None:
        body = b"".join([line + _LINE for line in written])
        self._sha.update(body)
        if self._file is not None:
            self._file.write(body)
        for decision in decisions:
            if decision.kind == "idea":
                self._ideas[decision.source or "unknown"] += 1
            elif decision.kind == "abstention":
                self._abstentions[str(decision.detail.get("moat", decision.source or "unknown"))] += 1
            elif decision.kind == "fault":
                self._faults[decision.source or "unknown"] += 1

    def _execute(self, orders: Iterable[Order], fills: Iterable[Fill]) -> None:
        for order in orders:
            self._orders.append(((order.at, order.pair, order.id, ""), encode(records.order_fields(order))))
        for fill in fills:
            self._fills += 1
            self._executions.append(((fill.at, fill.pair, fill.order_id, fill.id), encode(records.fill_fields(fill))))

    def _see(self, report: Report) -> None:
        """Remember each pair's first close, until all have one."""
        snapshot = report.snapshot
        if self._first is None:
            self._pairs = snapshot.pairs
            self._first = np.array(snapshot.close, np.float64)
            self._started = _opened(snapshot, report.at)
        else:
            self._first = np.where(np.isnan(self._first), snapshot.close, self._first)
        self._unseen = bool(np.isnan(self._first).any())

    def _turn(self, at: int) -> None:
        if self._last is not None:
            self._days.append(self._day)
            self._daily.append(self._last.copy())  # a view would keep a whole block of rows alive
            self._market.turn()
        self._day = day_of(at)

    @property
    def decisions_sha256(self) -> str:
        """The hash of all decisions so far."""
        return self._sha.hexdigest()

    @property
    def orders_sha256(self) -> str:
        """The hash of all orders and fills so far."""
        return hashlib.sha256(self._order_lines()).hexdigest()

    def _order_lines(self) -> bytes:
        ordered = (*sorted(self._orders), *sorted(self._executions))
        return b"".join([body + _LINE for _, body in ordered])

    def recorded(self) -> Recorded:
        """Everything so far; the arrays are copies, so recording can go on."""
        columns = [np.array(column, np.int64) for column in (self._at, self._equity, self._cash)]
        daily = self._daily if self._last is None else [*self._daily, self._last]
        first = np.empty(0) if self._first is None else self._first
        return Recorded(
            slices=len(self._at),
            bars=self._bars,
            started=self._started,
            ended=self._at[-1] if self._at else None,
            curve=Curve(*columns),
            days=np.array([*self._days, self._day][: len(daily)], np.int64),
            daily_closes=np.array(daily).reshape(len(daily), len(first)),
            first_closes=first,
            ideas=dict(sorted(self._ideas.items())),
            abstentions=dict(sorted(self._abstentions.items())),
            faults=dict(sorted(self._faults.items())),
            fills=self._fills,
            simulated=self._simulated,
            decisions_sha256=self.decisions_sha256,
            orders_sha256=self.orders_sha256,
            rss_slope=self._footprint.slope(),
        )

    def save(
        self,
        result: bytes,
        trades: Mapping[str, Sequence[Trade]],
        conditions: Mapping[str, Any] | None = None,
        out: Path | None = None,
    ) -> None:
        """Write the other files of the folder, `result.json` (the given bytes) last; without a folder, nothing.

        `out`: a folder for these files alone, of a record that had none: its decisions are kept elsewhere.

        `trades` by book; a book's name stands in the column `stream`, so that counts agree with the result.
        `conditions` under which it ran, plain JSON types: settings in force without secrets, hash of the code.
        """
        self.close()
        if out is not None:
            self.out = out
        if self.out is None:
            return
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / ORDERS).write_bytes(self._order_lines())
            if conditions is not None:
                (self.out / CONDITIONS).write_bytes(encode(conditions) + _LINE)
            _write_trades(self.out / TRADES, trades)
            done = self.recorded()
            _write_equity(self.out / EQUITY, done.curve)
            self._market.write(self.out, self._pairs, done.started, done.first_closes, done.days, done.daily_closes)
            (self.out / RESULT).write_bytes(result)
        except OSError as error:
            raise _unwritable(self.out, error) from error

    def close(self) -> None:
        """Give back the file; twice does no harm."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _opened(snapshot: Snapshot, at: int) -> int:
    return at if snapshot.bars is None else snapshot.bars.opened


def _open(out: Path) -> BinaryIO:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (RESULT, *SAID_OF_IT):
            (out / name).unlink(missing_ok=True)
        return (out / DECISIONS).open("wb")
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> UsageError:
    return UsageError(f"--out {out}: {error.strerror}; name a folder that can be written")


def _write_trades(path: Path, trades: Mapping[str, Sequence[Trade]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, TRADE_COLUMNS, lineterminator="\n")
        rows.writeheader()
        for book, closed in trades.items():
            rows.writerows({**records.trade_fields(trade), "stream": book} for trade in closed)


def _write_equity(path: Path, curve: Curve) -> None:
    times = np.datetime_as_string(curve.at.astype("datetime64[ms]"), unit="ms", timezone="UTC")
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("at,equity,cash\n")
        figures = zip(times.tolist(), curve.equity.tolist(), curve.cash.tolist(), strict=True)
        file.writelines(f"{at},{money_text(equity)},{money_text(cash)}\n" for at, equity, cash in figures)


def money_text(units: int) -> str:
    """An amount in units of `MONEY_STEP` as a plain decimal.

    >>> money_text(-150_000_000)
    '-1.5'
    """
    return records.plain(Decimal(units).scaleb(-MONEY_EXPONENT))
