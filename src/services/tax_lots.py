"""Which purchase a sale used up, first in, first out, and what was gained by it: exact to the last booked digit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from ..core.types import MONEY_STEP, Fill, Pair, Side

ZERO = Decimal(0)


class Disposal(msgspec.Struct, frozen=True):
    """A sale, or the part of it that used up one lot. Money in quote currency, costs of both sides within.

    `acquired` (UTC ms), `cost`, `gain` and `lot` (the fill that bought it) are None where more was sold than the record
    says was bought: then nobody knows them.
    """

    at: int
    pair: Pair
    amount: Decimal
    proceeds: Decimal
    acquired: int | None
    cost: Decimal | None
    fill: str
    lot: str | None

    @property
    def gain(self) -> Decimal | None:
        """Proceeds less cost; None where the cost is not known."""
        return None if self.cost is None else self.proceeds - self.cost


class _Lot:
    """What is left of a purchase."""

    __slots__ = ("amount", "at", "cost", "fill")

    def __init__(self, fill: Fill) -> None:
        self.at, self.fill = fill.at, fill.id
        self.amount = fill.amount
        self.cost = -cash_of(fill)

    def take(self, amount: Decimal) -> Decimal:
        """The cost of `amount` of it; the last part takes all that is left, so that parts add up."""
        part = _part(self.cost, amount, self.amount)
        self.amount -= amount
        self.cost -= part
        return part


def cash_of(fill: Fill) -> Decimal:
    """What a fill did to the cash: negative for a purchase, fee and slippage within."""
    costs = fill.fee + fill.slippage
    return fill.notional - costs if fill.side is Side.SELL else -(fill.notional + costs)


def disposals(fills: Iterable[Fill]) -> list[Disposal]:
    """All sales of `fills` (in their order), each cut where one lot ends; lots are those of the same pair."""
    lots: dict[Pair, deque[_Lot]] = {}
    found: list[Disposal] = []
    for fill in fills:
        held = lots.setdefault(fill.pair, deque())
        if fill.side is Side.BUY:
            held.append(_Lot(fill))
        else:
            found += _sold(fill, held)
    return found


def _sold(fill: Fill, held: deque[_Lot]) -> Iterable[Disposal]:
    left, proceeds = fill.amount, cash_of(fill)
    while left > ZERO:
        lot = held[0] if held else None
        amount = left if lot is None else min(left, lot.amount)
        part = _part(proceeds, amount, left)
        cost = None if lot is None else lot.take(amount)
        left, proceeds = left - amount, proceeds - part
        at, name = (None, None) if lot is None else (lot.at, lot.fill)
        yield Disposal(fill.at, fill.pair, amount, part, at, cost, fill.id, name)
        if lot is not None and lot.amount == ZERO:
            held.popleft()


def _part(whole: Decimal, amount: Decimal, of: Decimal) -> Decimal:
    return whole if amount == of else (whole * amount / of).quantize(MONEY_STEP)
