"""Turns a venue's symbol into a pair by a table of quotes: letters are never cut off on suspicion."""

from __future__ import annotations

from ..core.types import Pair

QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "BTC", "ETH", "BNB")
"""Currencies that venues quote in, those that end with another one before it: BTCFDUSD is BTC/FDUSD."""


def split_symbol(symbol: str) -> Pair | None:
    """`BTCUSDT` as BTC/USDT, `BTC/USD` as it is; None when the quote is not in the table or two readings are alike.

    USDTUSD could be USDT in USD or USD in TUSD: that is not decided here.

    >>> split_symbol("BTCUSDT"), split_symbol("ETH/USD"), split_symbol("WHATEVER")
    ('BTC/USDT', 'ETH/USD', None)
    """
    base, slash, quote = symbol.partition("/")
    if slash:
        return Pair(symbol) if base and quote else None
    fits = [quote for quote in QUOTES if symbol.endswith(quote) and len(symbol) > len(quote)]
    if not fits or sum(symbol.removesuffix(quote) in QUOTES for quote in fits) > 1:
        return None
    return Pair(f"{symbol.removesuffix(fits[0])}/{fits[0]}")
