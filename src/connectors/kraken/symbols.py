"""Kraken's names of pairs and assets by table: what stands in no table is an error, letters are never cut off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ...core.errors import Malformed
from ...core.types import Pair
from ..symbols import ASSETS, KRAKEN_ASSETS, QUOTES

MONEY: Mapping[str, str] = {
    f"Z{code}": code for code in ("USD", "EUR", "GBP", "JPY", "CAD", "AUD")
} | {"CHF": "CHF", "CAD": "CAD", "AUD": "AUD"}  # fmt: skip
"""State money, which Kraken writes with a Z."""
SUFFIXES = frozenset({"F", "B", "S", "M", "P", "T", "HOLD"})
"""Forms of the same asset: .F earns by itself, .B and .S and .M are staked or lent, .HOLD is not yet free."""
_KNOWN: Mapping[str, str] = (
    {code: code for code in (*ASSETS, *QUOTES) if code not in KRAKEN_ASSETS} | dict(KRAKEN_ASSETS) | dict(MONEY)
)


class Names(msgspec.Struct, frozen=True):
    """One pair: ours (`BTC/USD`, also that of WebSocket v2), and REST's `XXBTZUSD`, `XBTUSD` and `XBT/USD`."""

    pair: Pair
    key: str
    altname: str
    wsname: str


class Symbols:
    """A table of pairs, both ways. What the exchange calls `former` pairs, listed no more, can still be read."""

    def __init__(self, table: Iterable[Names], former: Iterable[Pair] = ()) -> None:
        self._by_pair = {row.pair: row for row in table}
        self._by_name = {
            name: row.pair for row in self._by_pair.values() for name in (row.key, row.altname, row.wsname, row.pair)
        }
        for pair in former:
            for name in _spellings(pair):
                self._by_name.setdefault(name, pair)

    def names(self, pair: Pair) -> Names:
        """Kraken's names of a pair; Malformed when it is in no table."""
        found = self._by_pair.get(pair)
        if found is None:
            raise Malformed(f"kraken: no pair {pair!r} is listed there; `--pairs` and settings write BTC/USD")
        return found

    def pair(self, name: str) -> Pair:
        """The pair that any of Kraken's names means; Malformed when it is in no table."""
        found = self._by_name.get(name)
        if found is None:
            raise Malformed(f"kraken: {name[:40]!r} is the name of no pair that is listed")
        return found

    def pairs(self) -> tuple[Pair, ...]:
        """All of the table, in order of name."""
        return tuple(sorted(self._by_pair))


def pair_of_wsname(wsname: str) -> Pair:
    """`XBT/USDT`, as AssetPairs has it, as BTC/USDT: only the two assets that Kraken calls otherwise change."""
    base, slash, quote = wsname.partition("/")
    if not (slash and base and quote):
        raise Malformed(f"kraken: wsname {wsname[:40]!r} is not BASE/QUOTE")
    return Pair(f"{KRAKEN_ASSETS.get(base, base)}/{KRAKEN_ASSETS.get(quote, quote)}")


def _spellings(pair: Pair) -> list[str]:
    """All that REST may call a pair: `XETHZUSD`, `ETHUSD` or `ETH/USD`."""
    bases, quotes = map(_codes, pair.split("/"))
    return [pair, *(f"{base}{slash}{quote}" for base in bases for quote in quotes for slash in ("", "/"))]


def _codes(asset: str) -> list[str]:
    return [asset, *(code for code, plain in _KNOWN.items() if plain == asset and code != asset)]


def asset_of(code: str) -> str:
    """The asset behind a code of a balance: ZUSD is USD, XXBT and XBT.F are BTC; Malformed when it is in no table.

    >>> asset_of("XXBT"), asset_of("ZUSD"), asset_of("XDG"), asset_of("ETH.F")
    ('BTC', 'USD', 'DOGE', 'ETH')
    """
    plain, dot, suffix = code.partition(".")
    if (dot and suffix not in SUFFIXES) or plain not in _KNOWN:
        raise Malformed(f"kraken: {code[:40]!r} is the code of no asset that is known")
    return _KNOWN[plain]


STANDARD = Symbols(
    Names(Pair(pair), key, altname, wsname)
    for pair, key, altname, wsname in (
        ("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD"),
        ("BTC/EUR", "XXBTZEUR", "XBTEUR", "XBT/EUR"),
        ("BTC/USDT", "XBTUSDT", "XBTUSDT", "XBT/USDT"),
        ("ETH/USD", "XETHZUSD", "ETHUSD", "ETH/USD"),
        ("ETH/EUR", "XETHZEUR", "ETHEUR", "ETH/EUR"),
        ("ETH/USDT", "ETHUSDT", "ETHUSDT", "ETH/USDT"),
        ("ETH/BTC", "XETHXXBT", "ETHXBT", "ETH/XBT"),
        ("DOGE/USD", "XDGUSD", "XDGUSD", "XDG/USD"),
        ("LTC/USD", "XLTCZUSD", "LTCUSD", "LTC/USD"),
        ("XRP/USD", "XXRPZUSD", "XRPUSD", "XRP/USD"),
        ("SOL/USD", "SOLUSD", "SOLUSD", "SOL/USD"),
        ("ADA/USD", "ADAUSD", "ADAUSD", "ADA/USD"),
        ("DOT/USD", "DOTUSD", "DOTUSD", "DOT/USD"),
        ("AVAX/USD", "AVAXUSD", "AVAXUSD", "AVAX/USD"),
        ("LINK/USD", "LINKUSD", "LINKUSD", "LINK/USD"),
        ("UNI/USD", "UNIUSD", "UNIUSD", "UNI/USD"),
        ("AAVE/USD", "AAVEUSD", "AAVEUSD", "AAVE/USD"),
        ("COMP/USD", "COMPUSD", "COMPUSD", "COMP/USD"),
        ("NEAR/USD", "NEARUSD", "NEARUSD", "NEAR/USD"),
        ("ATOM/USD", "ATOMUSD", "ATOMUSD", "ATOM/USD"),
    )
)
"""What can be named before Kraken has been asked for its pairs."""
