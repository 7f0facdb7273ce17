"""The pairs that the local Kraken lists: names, steps and smallest orders as the real one had them in 2024."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass
class Listed:
    """One pair. `symbol` is what the project and WebSocket v2 call it; the others are REST's three names of it."""

    symbol: str
    key: str
    altname: str
    wsname: str
    base: str
    quote: str
    tick: Decimal
    price_decimals: int
    lot_decimals: int
    order_min: Decimal
    cost_min: Decimal = Decimal("0.5")
    cost_decimals: int = 5
    status: str = "online"

    @property
    def names(self) -> tuple[str, ...]:
        """All that REST takes for this pair."""
        return (self.key, self.altname, self.wsname, self.symbol)


def listed_pairs() -> dict[str, Listed]:
    """Fresh ones by symbol: a test may change a step, a minimum or a status over night."""
    rows = (
        ("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", "XXBT", "ZUSD", "0.1", 1, "0.0001"),
        ("ETH/USD", "XETHZUSD", "ETHUSD", "ETH/USD", "XETH", "ZUSD", "0.01", 2, "0.002"),
        ("SOL/USD", "SOLUSD", "SOLUSD", "SOL/USD", "SOL", "ZUSD", "0.01", 2, "0.05"),
        ("DOGE/USD", "XDGUSD", "XDGUSD", "XDG/USD", "XXDG", "ZUSD", "0.0000001", 7, "60"),
        ("BTC/USDT", "XBTUSDT", "XBTUSDT", "XBT/USDT", "XXBT", "USDT", "0.1", 1, "0.0001"),
    )
    return {
        symbol: Listed(symbol, key, alt, ws, base, quote, Decimal(tick), decimals, 8, Decimal(smallest))
        for symbol, key, alt, ws, base, quote, tick, decimals, smallest in rows
    }
