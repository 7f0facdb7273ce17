"""The local Kraken's books and trades: levels, checksums written apart from the code under test, a made-up tape."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from zlib import crc32

import msgspec
import numpy as np

from src.core.clock import iso
from tests.kraken.listed import Listed

ENCODE = msgspec.json.Encoder(decimal_format="number").encode
"""Kraken sends prices as JSON numbers with the engine's digits."""
Row = dict[str, object]


def text(value: Decimal, decimals: int) -> str:
    """A number at a precision, without its point and the zeros in front: as Kraken documents its checksum."""
    return f"{value:.{decimals}f}".replace(".", "").lstrip("0")


class ServerBook:
    """One pair's levels as the exchange has them."""

    def __init__(self, listed: Listed, middle: Decimal, levels: int = 25) -> None:
        self.listed = listed
        tick = listed.tick
        self.bids = {middle - tick * (place + 1): Decimal(place + 1) / 8 for place in range(levels)}
        self.asks = {middle + tick * (place + 1): Decimal(place + 1) / 8 for place in range(levels)}

    def change(self, side: str, price: Decimal, amount: Decimal) -> None:
        """A level becomes another; 0 removes it."""
        levels = self.bids if side == "bids" else self.asks
        if amount:
            levels[price] = amount
        else:
            levels.pop(price, None)

    def top(self, side: str, depth: int) -> list[tuple[Decimal, Decimal]]:
        """The best levels of a side, the best first."""
        levels = self.bids if side == "bids" else self.asks
        return sorted(levels.items(), reverse=side == "bids")[:depth]

    def checksum(self) -> int:
        """Over the ten best of each side."""
        decimals, lots = self.listed.price_decimals, self.listed.lot_decimals
        parts = [
            text(price, decimals) + text(amount, lots)
            for side in ("asks", "bids")
            for price, amount in self.top(side, 10)
        ]
        return crc32("".join(parts).encode())

    def snapshot(self, depth: int) -> bytes:
        """The message a subscriber gets first."""
        data = {side: _levels(self.top(side, depth)) for side in ("bids", "asks")}
        row = {"symbol": self.listed.symbol, **data, "checksum": self.checksum()}
        return ENCODE({"channel": "book", "type": "snapshot", "data": [row]})

    def update(self, changes: list[tuple[str, Decimal, Decimal]], at: int, checksum: int | None = None) -> bytes:
        """Apply changes and say so; `checksum` overrides the right one."""
        for change in changes:
            self.change(*change)
        data = {
            side: _levels([(price, amount) for name, price, amount in changes if name == side])
            for side in ("bids", "asks")
        }
        right = self.checksum() if checksum is None else checksum
        row = {"symbol": self.listed.symbol, **data, "checksum": right, "timestamp": iso(at)}
        return ENCODE({"channel": "book", "type": "update", "data": [row]})


def _levels(levels: list[tuple[Decimal, Decimal]]) -> list[Row]:
    return [{"price": price, "qty": amount} for price, amount in levels]


class ServerTrades:
    """One pair's trades: numbers without a gap, the last fifty kept for snapshots."""

    def __init__(self, symbol: str, first: int = 1_000) -> None:
        self.symbol = symbol
        self.kept: list[Row] = []
        self._numbers = count(first)

    def trade(self, price: Decimal, amount: Decimal, at: int, side: str = "buy") -> Row:
        """A trade happens."""
        row: Row = {
            "symbol": self.symbol,
            "side": side,
            "price": price,
            "qty": amount,
            "ord_type": "market",
            "trade_id": next(self._numbers),
            "timestamp": iso(at),
        }
        self.kept = [*self.kept[-49:], row]
        return row


def tape(seed: int, start: Decimal, tick: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    """Prices and amounts of a walk that never ends, in whole ticks; for pairs that nobody recorded."""
    random = np.random.default_rng(seed)
    price = start
    while True:
        steps = random.integers(-3, 4, 1000).tolist()
        for step, lots in zip(steps, random.integers(1, 1000, 1000).tolist(), strict=True):
            price = max(tick, price + tick * step)
            yield price, Decimal(lots) / 1000
