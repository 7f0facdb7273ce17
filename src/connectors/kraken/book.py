"""The order book of one pair, held against the exchange's own checksum after every change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal
from operator import neg
from zlib import crc32

import msgspec

from .said import BookSaid, Level

CHECKED_LEVELS = 10
"""Of each side, by the protocol; what lies deeper nobody vouches for."""


class Quote(msgspec.Struct, frozen=True):
    """Best bid and ask with their amounts; `at` UTC ms of this machine when they were told."""

    bid: Decimal
    bid_amount: Decimal
    ask: Decimal
    ask_amount: Decimal
    at: int

    @property
    def middle(self) -> Decimal:
        """Half-way between both."""
        return (self.bid + self.ask) / 2


class _Side:
    """One side, the best price first: prices in order (of `sign` times price), and what stands at each."""

    def __init__(self, sign: int, price_decimals: int, amount_decimals: int) -> None:
        self._sign = sign
        self._digits = price_decimals, amount_decimals
        self.order: list[Decimal] = []
        self.at: dict[Decimal, tuple[Decimal, Decimal, bytes]] = {}

    def apply(self, levels: Iterable[Level], depth: int) -> None:
        """Each level in order, several of one price included; then only the best `depth` stay."""
        for price, amount in levels:
            place = price if self._sign > 0 else neg(price)
            if not amount:
                self._remove(place)
                continue
            if place not in self.at:
                self.order.insert(bisect_left(self.order, place), place)
            self.at[place] = price, amount, self._text(price, amount)
        while len(self.order) > depth:
            del self.at[self.order.pop()]

    def _remove(self, place: Decimal) -> None:
        if self.at.pop(place, None) is not None:
            del self.order[bisect_left(self.order, place)]

    def _text(self, price: Decimal, amount: Decimal) -> bytes:
        """Both at the pair's precision without point and leading zeros: as the checksum takes them."""
        price_decimals, amount_decimals = self._digits
        return b"%d%d" % (int(price.scaleb(price_decimals)), int(amount.scaleb(amount_decimals)))

    def checked(self) -> bytes:
        return b"".join([self.at[place][2] for place in self.order[:CHECKED_LEVELS]])

    def levels(self) -> list[Level]:
        return [self.at[place][:2] for place in self.order]


class Book:
    """Levels of both sides. `trouble` says why it cannot be used; empty while the exchange's checksum agrees.

    After a message that does not fit it holds nothing: only a new snapshot makes it good again.
    """

    def __init__(self, symbol: str, depth: int, price_decimals: int, amount_decimals: int) -> None:
        self.symbol, self.depth = symbol, depth
        self.digits = price_decimals, amount_decimals
        self.trouble = "no snapshot yet"
        self.changes = 0
        self._empty()

    def apply(self, said: BookSaid) -> bool:
        """Take a snapshot or an update; False when the book cannot be used after it."""
        if said.snapshot:
            self._empty()
        elif self.trouble:
            return False
        self._bids.apply(said.bids, self.depth)
        self._asks.apply(said.asks, self.depth)
        self.changes += 1
        if self.checksum() != said.checksum:
            self.invalidate("checksum")
            return False
        self.trouble = ""
        return True

    def invalidate(self, why: str) -> None:
        """Nothing of it may be used any more."""
        self.trouble = why
        self._empty()

    def checksum(self) -> int:
        """CRC-32 over the ten best asks, the lowest first, then the ten best bids, the highest first."""
        return crc32(self._bids.checked(), crc32(self._asks.checked()))

    def quote(self, at: int) -> Quote | None:
        """Both best prices, told at `at`; None where the book cannot be used, lacks a side, is crossed or locked."""
        if self.state() != "ok":
            return None
        (bid, bid_amount), (ask, ask_amount) = self._best(self._bids), self._best(self._asks)
        return Quote(bid, bid_amount, ask, ask_amount, at)

    def state(self) -> str:
        """`ok`, or what is wrong: invalid, empty, one_sided, crossed, locked."""
        if self.trouble:
            return "invalid"
        if not self._bids.order or not self._asks.order:
            return "one_sided" if self._bids.order or self._asks.order else "empty"
        bid, ask = self._best(self._bids)[0], self._best(self._asks)[0]
        return "ok" if bid < ask else "locked" if bid == ask else "crossed"

    def bids(self) -> list[Level]:
        """The highest first."""
        return self._bids.levels()

    def asks(self) -> list[Level]:
        """The lowest first."""
        return self._asks.levels()

    @staticmethod
    def _best(side: _Side) -> Level:
        return side.at[side.order[0]][:2]

    def _empty(self) -> None:
        self._bids, self._asks = _Side(-1, *self.digits), _Side(1, *self.digits)
