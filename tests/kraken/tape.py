"""Public trades of the local Kraken, and the candles that follow from them; both as REST serves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

NS = 1_000_000_000


@dataclass(frozen=True)
class Printed:
    """One public trade; `at` in UTC ns."""

    at: int
    price: Decimal
    amount: Decimal
    side: str = "b"
    kind: str = "l"


class Tape:
    """The trades of one pair, oldest first; their numbers count from `first`."""

    def __init__(self, trades: Iterable[Printed], first: int = 1) -> None:
        self.trades = list(trades)
        self.first = first

    def page(self, since: int, rows: int) -> tuple[list[list[Any]], str]:
        """Up to so many trades after `since` (ns), and where the next page begins."""
        found = [
            [f"{one.price:.5f}", f"{one.amount:.8f}", one.at / NS, one.side, one.kind, "", self.first + place]
            for place, one in enumerate(self.trades)
            if one.at > since
        ][:rows]
        if not found:
            return [], str(since)
        return found, str(self.trades[found[-1][6] - self.first].at)

    def candles(self, minutes: int, now: int, most: int = 721) -> list[list[Any]]:
        """The newest of them, the last one unfinished (`now`: UTC ms); one without trades repeats the close."""
        length = minutes * 60
        if not self.trades:
            return []
        begin, end = (at // NS // length * length for at in (self.trades[0].at, now * 1_000_000))
        rows: list[list[Any]] = []
        waiting, close = list(self.trades), Decimal(0)
        for opened in range(begin, end + 1, length):
            inside = []
            while waiting and waiting[0].at // NS < opened + length:
                inside.append(waiting.pop(0))
            rows.append(_candle(opened, inside, close))
            close = inside[-1].price if inside else close
        return rows[-most:]


def _candle(opened: int, trades: list[Printed], before: Decimal) -> list[Any]:
    if not trades:
        return [opened, *[f"{before:.5f}"] * 4, "0.0", "0.00000000", 0]
    volume = sum((one.amount for one in trades), Decimal(0))
    vwap = sum((one.price * one.amount for one in trades), Decimal(0)) / volume
    prices = [one.price for one in trades]
    four = (prices[0], max(prices), min(prices), prices[-1])
    return [opened, *(f"{price:.5f}" for price in four), f"{vwap:.5f}", f"{volume:.8f}", len(trades)]
