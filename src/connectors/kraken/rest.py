"""Kraken's REST endpoints that are used, each asked once; answers are checked, errors classified by our own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ...core.clock import Timer
from ...core.config_venues import KrakenRest as RestSettings
from ...core.errors import Malformed, Unconfigured
from ...core.venue import VenueStatus
from ..venues.keys import ApiKey
from .errors import Complaint, KrakenTrouble, Verdict, classify
from .listing import Listings, status_of
from .nonce import Nonces
from .numbers import decimal, load, milliseconds, price_of
from .wire import NoAnswer, Wire, error_text

_WITHDRAW = "withdraw"
_TRADE = "modify-trades"


class Candle(msgspec.Struct, frozen=True):
    """A candle as served; `opened` in UTC ms, money in quote currency, `volume` in base units."""

    opened: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int


class PublicTrade(msgspec.Struct, frozen=True):
    """A trade of anybody; `at_ns` in UTC ns as precise as served."""

    at_ns: int
    price: Decimal
    amount: Decimal
    number: int


class Quote(msgspec.Struct, frozen=True):
    """Best prices and the last one, in quote currency; None where a side is empty."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None


class KeyRights(msgspec.Struct, frozen=True):
    """What a key may do, in Kraken's words."""

    permissions: tuple[str, ...]

    @property
    def objection(self) -> str:
        """Why this key is refused; empty when it may trade and may not withdraw."""
        if any(_WITHDRAW in one.lower() for one in self.permissions):
            return "the key can withdraw; make one that cannot, with an address list"
        if _TRADE not in self.permissions:
            return f"the key cannot trade ({_TRADE} is missing)"
        return ""


class KrakenRest:
    """REST of one key. Every method raises KrakenTrouble (see its complaint) or Malformed and repeats nothing.

    Without `key` and `nonces` only public endpoints can be asked. Signed calls wait for each other.
    """

    def __init__(self, settings: RestSettings, timer: Timer, key: ApiKey | None, nonces: Nonces | None) -> None:
        self._signed = key is not None and nonces is not None
        self._wire = Wire(settings, key, nonces.next if nonces else _no_nonce, timer)

    # --- public ----------------------------------------------------------------------------------------------------

    def time(self) -> int:
        """The venue's time, UTC ms (it tells whole seconds)."""
        return milliseconds(self.public("Time", {}).get("unixtime"), "unixtime")

    def status(self) -> VenueStatus:
        """What the exchange lets anybody do."""
        return status_of(self.public("SystemStatus", {}).get("status"))

    def listings(self) -> Listings:
        """All pairs with their rules."""
        return Listings.read(self.public("AssetPairs", {}))

    def candles(self, name: str, minutes: int) -> list[Candle]:
        """At most the newest 720 finished candles and the one that is not, oldest first."""
        rows = _rows(self.public("OHLC", {"pair": name, "interval": str(minutes)}))
        return _each(rows, 8, _candle, "OHLC")

    def trades(self, name: str, since: str) -> tuple[list[PublicTrade], str]:
        """Up to 1,000 trades after `since` (ns as text), oldest first, and the `since` of the next page."""
        result = self.public("Trades", {"pair": name, "since": since})
        last = result.get("last")
        if not (isinstance(last, str) and last.isascii() and last.isdigit()):
            raise Malformed("kraken Trades: no `last` to go on from")
        return _each(_rows(result), 7, _trade, "Trades"), last

    def quote(self, name: str) -> Quote:
        """From Ticker."""
        row: Any = next(iter(self.public("Ticker", {"pair": name}).values()), None)
        try:
            return Quote(*(price_of(row[letter][0], f"Ticker {letter}") for letter in "bac"))
        except (TypeError, KeyError, IndexError):
            raise Malformed(f"kraken Ticker: an answer without prices for {name}") from None

    def depth(self, name: str, rows: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """(bids, asks) as (price, amount), best first."""
        book = next(iter(self.public("Depth", {"pair": name, "count": str(rows)}).values()), None)
        if not isinstance(book, dict):
            raise Malformed(f"kraken Depth: an answer without a book for {name}")
        bids, asks = (_each(book.get(side), 3, _level, f"Depth {side}") for side in ("bids", "asks"))
        return bids, asks

    # --- private ---------------------------------------------------------------------------------------------------

    def key_rights(self) -> KeyRights:
        """What this key may do (GetApiKeyInfo, which every key may ask)."""
        found = self.private("GetApiKeyInfo", {}).get("permissions")
        if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
            raise Malformed("kraken GetApiKeyInfo: it does not say what the key may do; such a key is not used")
        return KeyRights(tuple(found))

    def add_order(self, params: Mapping[str, str]) -> str:
        """Send an order and give its txid. Only KrakenTrouble whose verdict is not UNKNOWN says that there is none."""
        where = "AddOrder"
        txid = self.private(where, params).get("txid")
        if isinstance(txid, list) and len(txid) == 1 and isinstance(txid[0], str) and txid[0]:
            return txid[0]
        raise _trouble(where, "no_txid", "an answer without txid")

    def cancel_order(self, params: Mapping[str, str]) -> int:
        """How many orders will be cancelled, by `txid` or `cl_ord_id`."""
        return int(decimal(self.private("CancelOrder", params).get("count"), "CancelOrder count"))

    def cancel_all_after(self, seconds: int) -> None:
        """Dead man's switch: all orders of the account, stops included, go in so many seconds; 0 turns it off."""
        self.private("CancelAllOrdersAfter", {"timeout": str(seconds)})

    def open_orders(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Rows by txid."""
        return _table(self.private("OpenOrders", {**params, "trades": "true"}), "open")

    def closed_orders(self, params: Mapping[str, str]) -> tuple[dict[str, Any], int]:
        """Rows by txid of one page, and how many there are in all."""
        result = self.private("ClosedOrders", {**params, "trades": "true"})
        return _table(result, "closed"), int(decimal(result.get("count", 0), "ClosedOrders count"))

    def query_orders(self, txids: Sequence[str]) -> dict[str, Any]:
        """Rows by txid of at most 50 orders, open or closed."""
        return _values(self.private("QueryOrders", {"txid": ",".join(txids)}))

    def trades_history(self, params: Mapping[str, str]) -> tuple[dict[str, Any], int]:
        """Executions of this account by trade id, one page, and how many there are in all."""
        result = self.private("TradesHistory", params)
        return _table(result, "trades"), int(decimal(result.get("count", 0), "TradesHistory count"))

    def balances(self) -> dict[str, Decimal]:
        """Amounts by Kraken's asset codes."""
        return {code: decimal(amount, f"Balance {code}") for code, amount in self.private("Balance", {}).items()}

    def websocket_token(self) -> str:
        """For one connection, to be used within 15 minutes."""
        token = self.private("GetWebSocketsToken", {}).get("token")
        if not isinstance(token, str) or not token:
            raise Malformed("kraken GetWebSocketsToken: an answer without token")
        return token

    # --- both ------------------------------------------------------------------------------------------------------

    def public(self, endpoint: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The result of a public endpoint."""
        return self._ask("GET", f"/0/public/{endpoint}", endpoint, params, signed=False)

    def private(self, endpoint: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The result of a signed endpoint; Unconfigured without a key."""
        if not self._signed:
            raise Unconfigured("kraken: no key; name its file in kraken.key_file")
        return self._ask("POST", f"/0/private/{endpoint}", endpoint, params, signed=True)

    def close(self) -> None:
        """Give back the connection; a call that is going on ends without an answer."""
        self._wire.close()

    def _ask(self, method: str, path: str, where: str, params: Mapping[str, str], signed: bool) -> dict[str, Any]:
        try:
            raw = self._wire.ask(method, path, params, signed)
        except NoAnswer as error:
            raise _trouble(where, "no_answer", str(error)) from None
        if raw.status != 200:
            raise _trouble(where, f"http_{raw.status}", f"HTTP {raw.status} ({error_text(raw.body)})")
        try:
            return _result(load(raw.body), where)
        except Malformed as error:
            raise _trouble(where, "malformed", str(error)) from None


def _result(envelope: object, where: str) -> dict[str, Any]:
    """The result in `{"error": [...], "result": {...}}`; an error beside a result counts, a warning does not."""
    if not isinstance(envelope, dict) or not isinstance(envelope.get("error"), list):
        raise Malformed("no {error, result}")
    complaint = classify(envelope["error"])
    if complaint is not None:
        if envelope.get("result"):
            complaint = msgspec.structs.replace(complaint, verdict=Verdict.UNKNOWN)
        raise KrakenTrouble(where, complaint)
    result = envelope.get("result")
    if not isinstance(result, dict):
        raise Malformed("neither an error nor a result")
    return result


def _trouble(where: str, code: str, text: str) -> KrakenTrouble:
    return KrakenTrouble(where, Complaint(Verdict.UNKNOWN, code, text))


def _no_nonce() -> int:
    raise Unconfigured("kraken: no key; name its file in kraken.key_file")


def _table(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = result.get(name)
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise Malformed(f"kraken: an answer without {name!r}")
    return found


def _values(result: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(row, dict) for row in result.values()):
        raise Malformed("kraken QueryOrders: rows of another shape")
    return result


def _rows(result: Mapping[str, Any]) -> Any:
    return next((rows for name, rows in result.items() if name != "last"), None)


def _each[T](rows: Any, fields: int, read: Callable[[list[Any]], T], where: str) -> list[T]:
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) >= fields for row in rows):
        raise Malformed(f"kraken {where}: rows of another shape")
    return [read(row) for row in rows]


def _candle(row: list[Any]) -> Candle:
    opened = milliseconds(row[0], "OHLC time")
    open_, high, low, close, volume = (decimal(value, "OHLC") for value in (*row[1:5], row[6]))
    return Candle(opened, open_, high, low, close, volume, int(decimal(row[7], "OHLC count")))


def _trade(row: list[Any]) -> PublicTrade:
    price, amount, at = (decimal(value, "Trades") for value in row[:3])
    if price <= 0 or amount < 0 or at <= 0:
        raise Malformed(f"kraken Trades: a trade of {amount} at {price}")
    return PublicTrade(int(at * 1_000_000_000), price, amount, int(decimal(row[6], "Trades id")))


def _level(row: list[Any]) -> tuple[Decimal, Decimal]:
    return decimal(row[0], "Depth price"), decimal(row[1], "Depth volume")
