"""Which tables grow from which journal rows, so that tables can always be rebuilt and compared.

A row of one of these kinds writes one table row in the same transaction; every other kind lives in the journal
alone. Bodies are JSON objects; fields not named here are kept in the journal and nowhere else. Money and
percentages are decimal strings, times UTC milliseconds, opinions floats, `?` marks what may be absent.

| kind | body |
|---|---|
| order | id, pair?, side?, amount?, kind?, at?, reference?, reason?, stop?, state?: a later row of the same id changes what it names |
| fill | id, order_id, pair, side, amount, price, fee, slippage, at, reason?, stream? (the account's own: `synthesized`) |
| trade | the columns of `trades` without seq and created_at, or the fields of `core.types.Trade` |
| pattern | id, agent_id, timestamp, pattern_value, raw_features (object), age_minutes, decay_factor, moat?, product?, signal_type? |
| command | kind, reason, source, pair?, side?, amount? |
| dead_letter | kind, key, reason, sha256, size, excerpt |

The canonical JSON of `Order`, `Fill`, `Trade` and `Command` of `core.types` is a valid body as it stands.
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from ..core import canonical
from ..core.types import Stream
from .ledger_chain import Chained, Refused

Side = Literal["buy", "sell"]
Amount = Decimal
MOST_DIGITS = 64
"""Before or behind the point: keeps `1e999999999` from becoming a gigabyte of zeros."""


class OrderBody(msgspec.Struct, frozen=True):
    """Columns of `orders`."""

    id: str
    pair: str | None = None
    side: Side | None = None
    amount: Amount | None = None
    kind: str | None = None
    at: int | None = None
    reference: Amount | None = None
    reason: str | None = None
    stop: Amount | None = None
    state: str | None = None


class FillBody(msgspec.Struct, frozen=True):
    """Columns of `fills`."""

    id: str
    order_id: str
    pair: str
    side: Side
    amount: Amount
    price: Amount
    fee: Amount
    slippage: Amount
    at: int
    reason: str = ""
    stream: str = Stream.SYNTHESIZED.value


class TradeBody(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of `trades`."""

    trade_id: str
    stream: str
    pair: str
    strategy_type: str | None = None
    agent_id: str | int | None = None
    pattern_id: str | int | None = None
    entry_timestamp: int
    exit_timestamp: int
    hold_duration_seconds: float
    entry_price: Amount
    exit_price: Amount
    price_change_pct: Amount
    pnl_pct: Amount
    pnl_absolute: Amount
    trade_result: str
    rsi_at_entry: float | None = None
    macd_at_entry: float | None = None
    bb_position_at_entry: float | None = None
    volume_at_entry: float | None = None
    atr_at_entry: float | None = None
    signal_source: str | None = None
    prediction_score: float | None = None
    cross_moat_score: float | None = None
    collision_detected: bool | None = None
    position_size: Amount
    fees_paid: Amount
    slippage_pct: Amount
    exit_reason: str | None = None


class PatternBody(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of `patterns`."""

    id: str | int
    agent_id: str | int
    timestamp: int
    pattern_value: float
    raw_features: dict[str, Any]
    age_minutes: float
    decay_factor: float
    moat: str | None = None
    product: str | None = None
    signal_type: str | None = None


class CommandBody(msgspec.Struct, frozen=True):
    """Columns of `commands`."""

    kind: str
    reason: str
    source: str
    pair: str | None = None
    side: Side | None = None
    amount: Amount | None = None


class DeadLetterBody(msgspec.Struct, frozen=True):
    """Columns of `dead_letters`."""

    kind: str
    key: str
    reason: str
    sha256: str
    size: int
    excerpt: str


_TEXT_IDS = frozenset({"id", "agent_id", "pattern_id"})


class Projection:
    """How the rows of one kind become rows of one table.

    `stamp` is the column that takes the time of the journal row; `key` the columns that are unique.
    """

    def __init__(self, table: str, body: type[msgspec.Struct], key: str, stamp: str | None, upsert: bool) -> None:
        names = body.__struct_fields__
        extra = ("seq",) if stamp is None else ("seq", stamp)
        self.table = table
        self.key = key
        self.columns = (*names, *extra)
        self.sql = _insert(table, self.columns, key, upsert)
        self._stamped = stamp is not None
        self._ids = tuple(name in _TEXT_IDS for name in names)
        self._body = body
        self._decode = msgspec.json.Decoder(body).decode

    def values(self, seq: int, at: int, body: str) -> tuple[Any, ...]:
        """Values of the table row, in the order of `columns`; Refused when the body does not fit."""
        try:
            fields = msgspec.structs.astuple(self._parse(body))
        except (msgspec.ValidationError, ArithmeticError) as error:
            raise Refused(f"the body does not fit the table {self.table}: {error}") from error
        cells = [
            value if value is None or type(value) is str else _cell(value, is_id)
            for value, is_id in zip(fields, self._ids, strict=True)
        ]
        return (*cells, seq, at) if self._stamped else (*cells, seq)

    def _parse(self, body: str) -> msgspec.Struct:
        if self._body is not TradeBody:
            return self._decode(body)
        fields = msgspec.json.decode(body, type=dict[str, Any])
        return msgspec.convert(fields if "trade_id" in fields else _trade_columns(fields), TradeBody)


def _insert(table: str, columns: tuple[str, ...], key: str, upsert: bool) -> str:
    marks = ",".join("?" * len(columns))
    sql = f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})"
    if not upsert:
        return sql
    changed = ",".join(f"{name}=COALESCE(excluded.{name},{name})" for name in columns if name != key)
    return f"{sql} ON CONFLICT({key}) DO UPDATE SET {changed}"


def _cell(value: Any, is_id: bool) -> Any:
    if type(value) is Decimal:
        text = str(value)
        if len(text) <= MOST_DIGITS and "E" not in text and value.is_finite():
            return text  # what `format` makes of it, in a third of the time
        if not value.is_finite() or abs(value.adjusted()) > MOST_DIGITS:
            raise Refused(f"not an amount that can be written in {MOST_DIGITS} digits: {value}")
        return format(value, "f")
    if isinstance(value, dict):
        return canonical.encode(value).decode()
    return str(value) if is_id and value is not None else value


class _TradeFields(msgspec.Struct, frozen=True):
    """What is read of `core.types.Trade`."""

    id: str
    stream: str
    pair: str
    amount: Decimal
    entry_at: int
    exit_at: int
    entry_price: Decimal
    exit_price: Decimal
    fees: Decimal
    slippage: Decimal
    profit: Decimal
    profit_ratio: Decimal
    exit_reason: str
    score: float | None = None


def _trade_columns(fields: dict[str, Any]) -> dict[str, Any]:
    """Columns from the fields of `core.types.Trade`; `slippage_pct` is on both sides' notional."""
    trade = msgspec.convert(fields, _TradeFields)
    turnover = trade.amount * (trade.entry_price + trade.exit_price)
    return {
        **fields,
        "trade_id": trade.id,
        "entry_timestamp": trade.entry_at,
        "exit_timestamp": trade.exit_at,
        "hold_duration_seconds": (trade.exit_at - trade.entry_at) / 1000,
        "price_change_pct": 100 * (trade.exit_price - trade.entry_price) / trade.entry_price,
        "pnl_pct": 100 * trade.profit_ratio,
        "pnl_absolute": trade.profit,
        "trade_result": "WIN" if trade.profit > 0 else "LOSS" if trade.profit < 0 else "EVEN",
        "prediction_score": trade.score,
        "position_size": trade.amount,
        "fees_paid": trade.fees,
        "slippage_pct": 100 * trade.slippage / turnover,
    }


PROJECTIONS: dict[str, Projection] = {
    "order": Projection("orders", OrderBody, "id", None, upsert=True),
    "fill": Projection("fills", FillBody, "id", None, upsert=False),
    "trade": Projection("trades", TradeBody, "trade_id", "created_at", upsert=False),
    "pattern": Projection("patterns", PatternBody, "id", "created_at", upsert=True),
    "command": Projection("commands", CommandBody, "seq", "at", upsert=False),
    "dead_letter": Projection("dead_letters", DeadLetterBody, "seq", "at", upsert=False),
}


def project(rows: Iterable[Chained], run: Callable[[str, list[tuple[Any, ...]]], Any]) -> None:
    """Call `run(sql, parameters)` once for each table that these rows change; Refused when a body does not fit."""
    by_kind: dict[str, list[tuple[Any, ...]]] = {}
    for seq, at, kind, _, body, _, _ in rows:
        projection = PROJECTIONS.get(kind)
        if projection is not None:
            by_kind.setdefault(kind, []).append(projection.values(seq, at, body))
    for kind, parameters in by_kind.items():
        run(PROJECTIONS[kind].sql, parameters)
