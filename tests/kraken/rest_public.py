"""The public endpoints of the local Kraken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from src.core.clock import iso
from tests.kraken.exchange_state import ExchangeState, Rejected
from tests.kraken.listed import Listed
from tests.kraken.tape import Tape

FEES = [[0, 0.4], [10000, 0.35]]
MAKER_FEES = [[0, 0.25], [10000, 0.2]]

Said = Mapping[str, str]


class PublicSide:
    """What anybody may ask. `tapes` holds public trades by symbol, `page_rows` how many come at once."""

    def __init__(self, state: ExchangeState) -> None:
        self.state = state
        self.tapes: dict[str, Tape] = {}
        self.page_rows = 1000
        self.endpoints: dict[str, Callable[[Said], dict[str, Any]]] = {
            "Time": self.time,
            "SystemStatus": self.system_status,
            "AssetPairs": self.asset_pairs,
            "OHLC": self.ohlc,
            "Trades": self.trades,
            "Ticker": self.ticker,
            "Depth": self.depth,
        }

    def time(self, said: Said) -> dict[str, Any]:
        seconds = self.state.now() // 1000
        return {"unixtime": seconds, "rfc1123": "Sun, 21 Mar 21 14:23:14 +0000"}

    def system_status(self, said: Said) -> dict[str, Any]:
        return {"status": self.state.status, "timestamp": iso(self.state.now())[:19] + "Z"}

    def asset_pairs(self, said: Said) -> dict[str, Any]:
        return {one.key: _row(one) for one in self.state.pairs.values()}

    def ohlc(self, said: Said) -> dict[str, Any]:
        pair = self.state.pair(said.get("pair", ""))
        rows = self.tapes.get(pair.symbol, Tape(())).candles(int(said.get("interval", "1")), self.state.now())
        return {pair.key: rows, "last": rows[-2][0] if len(rows) > 1 else 0}

    def trades(self, said: Said) -> dict[str, Any]:
        pair = self.state.pair(said.get("pair", ""))
        since = said.get("since", "0")
        if not since.isdigit():
            raise Rejected("EGeneral:Invalid arguments:since")
        rows, last = self.tapes.get(pair.symbol, Tape(())).page(int(since), self.page_rows)
        return {pair.key: rows, "last": last}

    def ticker(self, said: Said) -> dict[str, Any]:
        pair = self.state.pair(said.get("pair", ""))
        book = self.state.books[pair.symbol]
        price = str(book.last)
        day = [price, price]
        return {
            pair.key: {
                "a": [str(book.ask or Decimal("0.00000")), "1", "1.000"],
                "b": [str(book.bid or Decimal("0.00000")), "1", "1.000"],
                "c": [price, "0.00100000"],
                "v": ["1.0", "2.0"],
                "p": day,
                "t": [10, 20],
                "l": day,
                "h": day,
                "o": price,
            }
        }

    def depth(self, said: Said) -> dict[str, Any]:
        pair = self.state.pair(said.get("pair", ""))
        book, at = self.state.books[pair.symbol], self.state.now() // 1000
        return {
            pair.key: {
                "asks": [] if book.ask is None else [[str(book.ask), "1.000", at]],
                "bids": [] if book.bid is None else [[str(book.bid), "1.000", at]],
            }
        }


def _row(one: Listed) -> dict[str, Any]:
    return {
        "altname": one.altname,
        "wsname": one.wsname,
        "aclass_base": "currency",
        "base": one.base,
        "aclass_quote": "currency",
        "quote": one.quote,
        "lot": "unit",
        "cost_decimals": one.cost_decimals,
        "pair_decimals": one.price_decimals,
        "lot_decimals": one.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": FEES,
        "fees_maker": MAKER_FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": str(one.order_min),
        "costmin": str(one.cost_min),
        "tick_size": str(one.tick),
        "status": one.status,
    }
