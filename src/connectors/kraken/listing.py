"""What Kraken takes of a pair just now, steps and smallest orders, so that an order it would refuse is not sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ...core.errors import Malformed
from ...core.types import Order, OrderKind, Pair
from ...core.venue import VenueStatus
from .numbers import decimal
from .symbols import Names, Symbols, pair_of_wsname

_ONLY_CANCEL = VenueStatus.CANCEL_ONLY
_STATUS: Mapping[str, VenueStatus] = {
    "online": VenueStatus.ONLINE,
    "post_only": VenueStatus.POST_ONLY,
    "limit_only": VenueStatus.POST_ONLY,
    "cancel_only": _ONLY_CANCEL,
    "reduce_only": _ONLY_CANCEL,
    "delisted": _ONLY_CANCEL,
    "work_in_progress": VenueStatus.MAINTENANCE,
    "maintenance": VenueStatus.MAINTENANCE,
}


def status_of(text: object) -> VenueStatus:
    """The state of the exchange or of a pair; one that is not known lets nothing be done."""
    return _STATUS.get(str(text), VenueStatus.MAINTENANCE)


class Listing(msgspec.Struct, frozen=True):
    """Rules of one pair. `tick` and `cost_min` in quote currency, `lot` and `order_min` in base units."""

    names: Names
    status: VenueStatus
    tick: Decimal
    lot: Decimal
    order_min: Decimal
    cost_min: Decimal

    def objection(self, order: Order) -> str:
        """Why Kraken would refuse an order, as a code; empty when it would not, as far as its rules are known."""
        prices = [price for price in (order.limit, order.trigger) if price is not None]
        if self.status in (_ONLY_CANCEL, VenueStatus.MAINTENANCE):
            return "pair_closed"
        if self.status is VenueStatus.POST_ONLY and order.kind is OrderKind.MARKET:
            return "pair_post_only"
        if order.amount < self.order_min:
            return "order_minimum_not_met"
        if order.amount % self.lot:
            return "lot_step"
        if any(price % self.tick for price in prices):
            return "tick_size"
        if order.amount * (prices[0] if prices else order.reference) < self.cost_min:
            return "cost_minimum_not_met"
        return ""


class Listings:
    """All pairs of one answer to AssetPairs; the names of `former` ones are known as well, but no rules."""

    def __init__(self, rows: Mapping[Pair, Listing], former: Collection[Pair] = ()) -> None:
        self.rows = rows
        self.symbols = Symbols((row.names for row in rows.values()), [pair for pair in former if pair not in rows])

    @classmethod
    def read(cls, result: Mapping[str, Any]) -> Listings:
        """From the result of AssetPairs; Malformed names the pair and field. Dark-pool pairs (`.d`) are left out."""
        found = {}
        for key, row in result.items():
            if not isinstance(row, dict):
                raise Malformed(f"kraken AssetPairs: {key[:40]!r} is no pair")
            if "wsname" in row and not key.endswith(".d"):
                listing = _listing(key, row)
                found[listing.names.pair] = listing
        return cls(found)

    def of(self, pair: Pair) -> Listing:
        """The rules of a pair; Malformed when it is not listed."""
        self.symbols.names(pair)
        return self.rows[pair]


def _listing(key: str, row: dict[str, Any]) -> Listing:
    try:
        names = Names(pair_of_wsname(row["wsname"]), key, str(row["altname"]), row["wsname"])
        return Listing(
            names,
            status_of(row.get("status", "online")),
            tick=_step(row["tick_size"]) if "tick_size" in row else _decimals(row["pair_decimals"]),
            lot=_decimals(row["lot_decimals"]),
            order_min=decimal(row["ordermin"], f"{key} ordermin"),
            cost_min=decimal(row.get("costmin", 0), f"{key} costmin"),
        )
    except KeyError as error:
        raise Malformed(f"kraken AssetPairs: {key[:40]} has no {error.args[0]}") from None


def _step(value: object) -> Decimal:
    step = decimal(value, "tick_size")
    if step <= 0:
        raise Malformed(f"kraken AssetPairs: a tick_size of {step}")
    return step


def _decimals(value: object) -> Decimal:
    places = int(decimal(value, "decimals"))
    if not 0 <= places <= 18:
        raise Malformed(f"kraken AssetPairs: {places} decimals")
    return Decimal(1).scaleb(-places)
