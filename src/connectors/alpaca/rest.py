"""Alpaca's trading endpoints that are used, each asked once; what an answer means for an order our own table says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import httpx2

from ...core.clock import Timer, from_iso
from ...core.config_alpaca import AlpacaSettings
from ...core.errors import Malformed, SourceError
from ..venues.keys import ApiKey
from ..venues.text import plain
from .numbers import load

_SAME_ID = "client_order_id must be unique"
_CERTAIN = range(400, 500)
"""The request was read and refused: nothing was done."""


class Verdict(StrEnum):
    """What an answer says about what was asked for."""

    NO = "no"
    """Certainly not done."""
    ABSENT = "absent"
    """There is no such thing."""
    LIMITED = "limited"
    """Certainly not done; too many questions."""
    UNKNOWN = "unknown"
    """Done or not: nothing was said about it."""


class AlpacaTrouble(SourceError):
    """Alpaca did not do, or did not say that it did, what it was asked."""

    def __init__(self, where: str, verdict: Verdict, code: str, text: str) -> None:
        super().__init__(f"alpaca {where}: {text}")
        self.verdict, self.code, self.text = verdict, code, text


class AlpacaRest:
    """REST of one account. Every method raises AlpacaTrouble or Malformed, and repeats nothing."""

    def __init__(self, settings: AlpacaSettings, key: ApiKey, timer: Timer) -> None:
        self._settings, self._timer = settings, timer
        self._client = httpx2.Client(
            base_url=settings.url,
            headers={"APCA-API-KEY-ID": key.key, "APCA-API-SECRET-KEY": key.secret},
            timeout=settings.wait_seconds,
            follow_redirects=False,
        )

    def add_order(self, order: Mapping[str, str]) -> dict[str, Any]:
        """Send an order; only AlpacaTrouble whose verdict is not UNKNOWN says that there is none."""
        return _object(self._ask("POST", "/v2/orders", order), "orders")

    def cancel_order(self, venue_id: str) -> None:
        """Ask for a cancellation; the order's state says later whether it was in time."""
        self._ask("DELETE", f"/v2/orders/{quote(venue_id, safe='')}")

    def order(self, venue_id: str) -> dict[str, Any]:
        """One order; ABSENT where there is none."""
        return _object(self._ask("GET", f"/v2/orders/{quote(venue_id, safe='')}"), "orders")

    def order_of(self, client_id: str) -> dict[str, Any]:
        """The order with this id of ours; ABSENT where there is none."""
        found = self._ask("GET", "/v2/orders:by_client_order_id", {"client_order_id": client_id})
        return _object(found, "orders")

    def orders(self, status: str, after: str) -> list[dict[str, Any]]:
        """A page of orders that are `open` or `closed`, submitted after a time (RFC 3339), oldest first."""
        given = {"status": status, "after": after, "direction": "asc", "limit": str(self._settings.page_rows)}
        return _rows(self._ask("GET", "/v2/orders", given), "orders")

    def fills(self, after: str, token: str) -> list[dict[str, Any]]:
        """A page of executions after a time (RFC 3339), oldest first, that follows the one whose id is `token`."""
        given = {"after": after, "direction": "asc", "page_size": str(min(self._settings.page_rows, 100))}
        given |= {"page_token": token} if token else {}
        return _rows(self._ask("GET", "/v2/account/activities/FILL", given), "activities")

    def account(self) -> dict[str, Any]:
        """Cash, and whether it may trade."""
        return _object(self._ask("GET", "/v2/account"), "account")

    def positions(self) -> list[dict[str, Any]]:
        """What is held."""
        return _rows(self._ask("GET", "/v2/positions"), "positions")

    def asset(self, symbol: str) -> dict[str, Any]:
        """Rules of a symbol; ABSENT where there is none."""
        return _object(self._ask("GET", f"/v2/assets/{quote(symbol, safe='')}"), "assets")

    def time(self) -> int:
        """The venue's time, UTC ms."""
        return moment(_object(self._ask("GET", "/v2/clock"), "clock").get("timestamp"), "timestamp")

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, given: Mapping[str, str] | None = None) -> object:
        where = f"{method} {path}"
        sent: dict[str, Any] = {"json" if method == "POST" else "params": dict(given or {})}
        try:
            status, body = self._whole(method, path, sent)
        except httpx2.HTTPError as error:
            raise AlpacaTrouble(where, Verdict.UNKNOWN, "no_answer", type(error).__name__) from None
        if status == 204 or (status == 200 and method == "DELETE"):
            return None
        if status == 200:
            return self._read(body, where)
        raise _refusal(where, status, body)

    def _whole(self, method: str, path: str, sent: Mapping[str, Any]) -> tuple[int, bytes]:
        """Status and body within the total time: timeouts of reads begin anew with each byte."""
        began, pieces, size = self._timer.seconds(), [], 0
        with self._client.stream(method, path, **sent) as answer:
            for piece in answer.iter_bytes():
                size += len(piece)
                late = self._timer.seconds() - began > self._settings.total_seconds
                if late or size > self._settings.max_answer_bytes:
                    raise httpx2.ReadError("too late" if late else "too large")
                pieces.append(piece)
            return answer.status_code, b"".join(pieces)

    def _read(self, body: bytes, where: str) -> object:
        try:
            return load(body)
        except Malformed as error:
            raise AlpacaTrouble(where, Verdict.UNKNOWN, "malformed", str(error)) from None


def _refusal(where: str, status: int, body: bytes) -> AlpacaTrouble:
    try:
        said = load(body)
        text = plain(said.get("message", "")) if isinstance(said, dict) else ""
    except Malformed:
        text = ""
    if status == 429:
        return AlpacaTrouble(where, Verdict.LIMITED, "rate_limited", text or "HTTP 429")
    if status == 404:
        return AlpacaTrouble(where, Verdict.ABSENT, "absent", text or "HTTP 404")
    if status not in _CERTAIN or not text or _SAME_ID in text:
        # An order with our id is there: the one that was asked for, or an earlier one. Looking says which.
        return AlpacaTrouble(where, Verdict.UNKNOWN, f"http_{status}", text or f"HTTP {status}")
    return AlpacaTrouble(where, Verdict.NO, _code(status, text), text)


def _code(status: int, text: str) -> str:
    known = {"insufficient": "insufficient_funds", "wash trade": "self_trade", "not tradable": "not_tradable"}
    return next((code for words, code in known.items() if words in text.lower()), f"http_{status}")


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AlpacaTrouble(what, Verdict.UNKNOWN, "malformed", "an answer that is no object")
    return value


def _rows(value: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise AlpacaTrouble(what, Verdict.UNKNOWN, "malformed", "an answer that is no list of objects")
    return value


def moment(value: object, what: str) -> int:
    """RFC 3339 as UTC ms; Malformed for what is none.

    >>> moment("2021-03-16T14:38:01.942282911-04:00", "t")
    1615919881942
    """
    try:
        return from_iso(str(value))
    except ValueError:
        raise Malformed(f"alpaca: {what} is {plain(value)!r}, no time") from None
