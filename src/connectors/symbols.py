"""Turns a venue's symbol into a pair by a table of quotes: letters are never cut off on suspicion."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..core.types import Pair

QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "BTC", "ETH", "BNB")
"""Currencies that venues quote in, those that end with another one before it: BTCFDUSD is BTC/FDUSD."""
KRAKEN_ASSETS: Mapping[str, str] = MappingProxyType(
    {"XBT": "BTC", "XXBT": "BTC", "XDG": "DOGE", "XXDG": "DOGE"}
    | {f"X{asset}": asset for asset in ("ETC", "ETH", "LTC", "MLN", "REP", "XLM", "XMR", "XRP", "ZEC")}
)
"""Assets that Kraken writes in a way of its own; all others, AVAX, XTZ or ZRX, are called what they are called."""
_KRAKEN_QUOTES: Mapping[str, str] = MappingProxyType(
    {f"Z{money}": money for money in ("USD", "EUR", "GBP", "JPY", "CAD", "AUD")} | dict(KRAKEN_ASSETS)
)
ASSETS = frozenset(
    {
        "1INCH", "AAVE", "ADA", "ALGO", "APT", "AR", "ARB", "ATOM", "AVAX", "AXS", "BAT", "BCH", "BNB", "BTC", "CAKE",
        "CHZ", "COMP", "CRV", "DAI", "DASH", "DOGE", "DOT", "DYDX", "EGLD", "ENA", "ENJ", "EOS", "ETC", "ETH", "FET",
        "FIL", "FLOW", "FTM", "GALA", "GMT", "GRT", "HBAR", "ICP", "IMX", "INJ", "IOTA", "JUP", "KAVA", "KSM", "LDO",
        "LINK", "LPT", "LRC", "LTC", "LUNA", "MANA", "MATIC", "MINA", "MKR", "MLN", "NEAR", "NEO", "NOT", "OCEAN", "OP",
        "ORDI", "PEPE", "POL", "QNT", "QTUM", "RAY", "RENDER", "REP", "RNDR", "RUNE", "SAND", "SEI", "SHIB", "SNX",
        "SOL", "STX", "SUI", "SUSHI", "TAO", "THETA", "TIA", "TON", "TRX", "UNI", "VET", "WIF", "WLD", "XBT", "XDG",
        "XLM", "XMR", "XRP", "XTZ", "ZEC", "ZIL", "ZRX",
    }
)  # fmt: skip
"""Assets known by name, for symbols that can be read in two ways."""
_LONGEST = QUOTES[0]
"""No asset ends with the FD of FDUSD: where it fits, it is the quote."""


def split_symbol(symbol: str) -> Pair | None:
    """`BTCUSDT` as BTC/USDT, `BTC/USD` as it is; None when no quote fits or the reading is not certain.

    Kraken's own codes are translated. DOTUSD could be DOT in USD or DO in TUSD: where several quotes fit, the reading
    counts whose asset is in the table. USDTUSD, ARBUSD and assets that nobody knows are not decided here.

    >>> split_symbol("BTCUSDT"), split_symbol("ETH/USD"), split_symbol("WHATEVER")
    ('BTC/USDT', 'ETH/USD', None)
    >>> split_symbol("XXBTZUSD"), split_symbol("XTZUSD"), split_symbol("DOTUSD"), split_symbol("DOTTUSD")
    ('BTC/USD', 'XTZ/USD', 'DOT/USD', 'DOT/TUSD')
    """
    base, slash, quote = symbol.partition("/")
    if slash:
        return _pair(base, quote) if base and quote else None
    for code in KRAKEN_ASSETS:
        if symbol.startswith(code) and (rest := symbol.removeprefix(code)) in _KRAKEN_QUOTES:
            return _pair(code, rest)
    fits = [(symbol.removesuffix(quote), quote) for quote in QUOTES if symbol.endswith(quote) and symbol != quote]
    if len(fits) > 1 and fits[0][1] != _LONGEST:
        fits = [(base, quote) for base, quote in fits if base in ASSETS]
    if len(fits) != 1 and not (fits and fits[0][1] == _LONGEST):
        return None
    return _pair(*fits[0])


def _pair(base: str, quote: str) -> Pair:
    return Pair(f"{KRAKEN_ASSETS.get(base, base)}/{_KRAKEN_QUOTES.get(quote, quote)}")
