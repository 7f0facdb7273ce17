"""Reads Kraken's WebSocket v2 strictly: what cannot be believed is counted by its cause and goes no further."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ...core.clock import from_iso
from .figures import FINEST_DECIMALS, Unbelievable, not_negative, positive, whole
from .said import (
    AnswerSaid,
    BookSaid,
    Broken,
    CandleSaid,
    HeartbeatSaid,
    InstrumentSaid,
    InstrumentsSaid,
    Level,
    ReportSaid,
    ReportsSaid,
    Said,
    SystemSaid,
    TickerSaid,
    TradeSaid,
)

LARGEST_MESSAGE = 8 * 2**20
"""Bytes; the instrument snapshot, the largest message of the protocol, has about one megabyte."""
_FINER_THAN_MS = re.compile(r"(\.\d{3})\d+")
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(?:NaN|Infinity)\b")


class _Head(msgspec.Struct):
    channel: str = ""
    type: str = ""
    method: str = ""


class _Answer(msgspec.Struct):
    method: str
    success: bool = True
    req_id: int | None = None
    result: dict[str, Any] = {}
    symbol: str = ""
    error: str = ""


class _Body(msgspec.Struct):
    data: list[dict[str, Any]] = []
    sequence: int | None = None


class _Instruments(msgspec.Struct):
    pairs: list[dict[str, Any]] = []


class _InstrumentBody(msgspec.Struct):
    data: _Instruments


Row = dict[str, Any]


class Reader:
    """Turns the bytes of one message into what was said. Never raises; `rejected` counts by cause what was refused."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self._head = msgspec.json.Decoder(_Head, float_hook=Decimal)
        self._answer = msgspec.json.Decoder(_Answer, float_hook=Decimal)
        self._body = msgspec.json.Decoder(_Body, float_hook=Decimal)
        self._instruments = msgspec.json.Decoder(_InstrumentBody, float_hook=Decimal)

    def read(self, raw: bytes) -> Sequence[Said]:
        """What the message says, in order. A part that cannot be believed comes as Broken in its place."""
        if len(raw) > LARGEST_MESSAGE:
            return self._refuse("", (), "too_long")
        try:
            head = self._head.decode(raw)
            return self._answered(raw) if head.method else self._channel(head, raw)
        except Unbelievable as error:
            return self._refuse(*_about(raw), error.cause)
        except msgspec.ValidationError:
            return self._refuse(*_about(raw), "shape")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._refuse(*_about(raw), "not_finite" if _NOT_FINITE.search(raw) else "not_json")

    def _channel(self, head: _Head, raw: bytes) -> Sequence[Said]:
        snapshot = head.type == "snapshot"
        match head.channel:
            case "heartbeat":
                return (HeartbeatSaid(),)
            case "book":
                return self._rows(raw, "book", lambda row: _book(row, snapshot))
            case "trade":
                return self._trades(raw, snapshot)
            case "ticker":
                return self._rows(raw, "ticker", _ticker)
            case "ohlc":
                return self._rows(raw, "ohlc", _candle)
            case "status":
                return [SystemSaid(_text(row, "system")) for row in self._body.decode(raw).data]
            case "executions":
                return (self._reports(raw, snapshot),)
            case "instrument":
                return self._pairs(raw, snapshot)
        return self._refuse(head.channel[:32], (), "unknown_channel")

    def _answered(self, raw: bytes) -> Sequence[Said]:
        answer = self._answer.decode(raw)
        if answer.method == "pong":
            return (HeartbeatSaid(),)
        result = answer.result
        symbol = result.get("symbol") or answer.symbol
        said = AnswerSaid(
            answer.method,
            answer.success,
            answer.req_id,
            str(result.get("channel", "")),
            symbol if isinstance(symbol, str) else "",
            answer.error[:200],
        )
        return (said,)

    def _rows(self, raw: bytes, channel: str, read: Callable[[Row], Said]) -> Sequence[Said]:
        """Each row by itself: one that is wrong takes no other with it."""
        said: list[Said] = []
        for row in self._body.decode(raw).data:
            try:
                said.append(read(row))
            except Unbelievable as error:
                said += self._refuse(channel, _symbols([row]), error.cause)
        return said

    def _trades(self, raw: bytes, snapshot: bool) -> Sequence[Said]:
        """In order of their numbers: nobody promises one for a snapshot."""
        said = self._rows(raw, "trade", lambda row: _trade(row, snapshot))
        return sorted(said, key=lambda one: one.number if isinstance(one, TradeSaid) else -1) if snapshot else said

    def _pairs(self, raw: bytes, snapshot: bool) -> Sequence[Said]:
        pairs: list[InstrumentSaid] = []
        broken: list[Said] = []
        for row in self._instruments.decode(raw).data.pairs:
            try:
                pairs.append(_instrument(row))
            except Unbelievable as error:
                broken += self._refuse("instrument", _symbols([row]), error.cause)
        return [InstrumentsSaid(snapshot, tuple(pairs)), *broken]

    def _reports(self, raw: bytes, snapshot: bool) -> ReportsSaid:
        """All or nothing: a line of money that cannot be read is a gap in what is known."""
        body = self._body.decode(raw)
        if body.sequence is None:
            raise Unbelievable("missing")
        return ReportsSaid(snapshot, whole(body.sequence), tuple(_report(row) for row in body.data))

    def _refuse(self, channel: str, symbols: tuple[str, ...], cause: str) -> Sequence[Said]:
        self.rejected[cause] += 1
        return (Broken(channel, symbols, cause),)


def _book(row: Row, snapshot: bool) -> BookSaid:
    bids, asks = _levels(row.get("bids"), snapshot), _levels(row.get("asks"), snapshot)
    at = _time(row, "timestamp") if "timestamp" in row else None
    return BookSaid(_text(row, "symbol"), snapshot, bids, asks, whole(row.get("checksum")), at)


def _levels(rows: object, snapshot: bool) -> tuple[Level, ...]:
    if not isinstance(rows, list):
        raise Unbelievable("missing" if rows is None else "shape")
    amount = positive if snapshot else not_negative
    try:
        return tuple([(positive(row.get("price")), amount(row.get("qty"))) for row in rows])
    except AttributeError:
        raise Unbelievable("shape") from None


def _trade(row: Row, snapshot: bool) -> TradeSaid:
    return TradeSaid(
        _text(row, "symbol"),
        whole(row.get("trade_id")),
        _time(row, "timestamp"),
        positive(row.get("price")),
        positive(row.get("qty")),
        snapshot,
    )


def _ticker(row: Row) -> TickerSaid:
    return TickerSaid(
        _text(row, "symbol"), positive(row.get("bid")), positive(row.get("ask")), positive(row.get("last"))
    )


def _candle(row: Row) -> CandleSaid:
    open_, high, low, close = (positive(row.get(name)) for name in ("open", "high", "low", "close"))
    if not low <= min(open_, close) <= max(open_, close) <= high:
        raise Unbelievable("outside_its_range")
    symbol, opened, amount = _text(row, "symbol"), _time(row, "interval_begin"), not_negative(row.get("volume"))
    return CandleSaid(symbol, whole(row.get("interval")), opened, open_, high, low, close, amount)


def _instrument(row: Row) -> InstrumentSaid:
    return InstrumentSaid(
        symbol=_text(row, "symbol"),
        base=_text(row, "base"),
        quote=_text(row, "quote"),
        status=_text(row, "status"),
        price_decimals=_digits(row.get("price_precision")),
        amount_decimals=_digits(row.get("qty_precision")),
        price_step=positive(row.get("price_increment")),
        amount_step=positive(row.get("qty_increment")),
        least_amount=positive(row.get("qty_min")),
        least_cost=_money(row, "cost_min") or Decimal(0),
    )


def _digits(value: object) -> int:
    digits = whole(value)
    if digits > FINEST_DECIMALS:
        raise Unbelievable("too_large")
    return digits


def _report(row: Row) -> ReportSaid:
    return ReportSaid(
        kind=_text(row, "exec_type"),
        order=_text(row, "order_id"),
        at=_time(row, "timestamp"),
        client=_word(row, "cl_ord_id"),
        symbol=_word(row, "symbol"),
        side=_word(row, "side"),
        order_type=_word(row, "order_type"),
        status=_word(row, "order_status"),
        amount=_money(row, "order_qty"),
        limit=_money(row, "limit_price"),
        filled=_money(row, "cum_qty"),
        execution=_word(row, "exec_id"),
        last_amount=_money(row, "last_qty"),
        last_price=_money(row, "last_price"),
        fees=_fees(row.get("fees")),
        fee_usd=_money(row, "fee_usd_equiv"),
        reason=(_word(row, "reason") or "")[:200],
    )


def _fees(rows: object) -> tuple[tuple[str, Decimal], ...]:
    if rows is None:
        return ()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unbelievable("shape")
    return tuple((_text(row, "asset"), not_negative(row.get("qty"))) for row in rows)


def _money(row: Row, name: str) -> Decimal | None:
    return not_negative(row[name]) if row.get(name) is not None else None


def _word(row: Row, name: str) -> str | None:
    return _text(row, name) if row.get(name) is not None else None


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise Unbelievable("missing" if value is None else "shape")
    return value


def _time(row: Row, name: str) -> int:
    """UTC ms, floored: a trade of the last half millisecond of a bar is none of the next."""
    try:
        return from_iso(_FINER_THAN_MS.sub(r"\1", _text(row, name)))
    except (ValueError, OverflowError):
        raise Unbelievable("time") from None


def _about(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Channel and symbols of a message that could not be read, as far as a lenient reader can tell them."""
    try:
        plain = json.loads(raw)
        channel = plain.get("channel", "")
        data = plain.get("data", ())
    except (ValueError, AttributeError, RecursionError):
        return "", ()
    return (channel if isinstance(channel, str) else "")[:32], _symbols(data if isinstance(data, list) else ())


def _symbols(rows: Iterable[object]) -> tuple[str, ...]:
    named = [row.get("symbol") for row in rows if isinstance(row, dict)]
    return tuple(dict.fromkeys(name[:32] for name in named if isinstance(name, str)))
