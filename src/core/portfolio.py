"""Cash and positions, changed by fills alone; what a round trip costs, exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_DOWN, Context, Decimal
from functools import cache
from typing import Any

from .clock import iso
from .config import Costs
from .errors import DataError, InvariantError
from .types import MONEY_STEP, Fill, Pair, Position, Side, Stream, Trade

ZERO = Decimal(0)

_WIDE = Context(prec=60)
"""Digits enough for any amount at eight decimals, however small the price it was divided by."""


def money(value: float) -> Decimal:
    """A float price as Decimal, by its shortest decimal form, so that 0.1 is 0.1."""
    return Decimal(repr(value))


def price_in(pair: Pair, opened: int, name: str, value: float) -> Decimal:
    """A price of the bar that opened at `opened` as Decimal; DataError where it cannot be one.

    Money looks at bars before the market's own check of them, and nobody else looks at the open.
    """
    if not 0.0 < value < math.inf:
        raise DataError(
            f"bar of {pair} opened at {iso(opened)}: {name} {value} is no price: repair or leave out the bar"
        )
    return money(value)


def side_costs(notional: Decimal, costs: Costs) -> tuple[Decimal, Decimal]:
    """(fee, slippage) of one side, each on this side's own notional, booked to `MONEY_STEP`.

    >>> from decimal import Decimal
    >>> side_costs(Decimal(100), Costs(fee_ratio=Decimal("0.0026"), slippage_ratio=Decimal("0.001")))
    (Decimal('0.26000000'), Decimal('0.10000000'))
    """
    return (
        (notional * costs.fee_ratio).quantize(MONEY_STEP),
        (notional * costs.slippage_ratio).quantize(MONEY_STEP),
    )


def net_return(gross: float, cost_per_side: float) -> float:
    """Net return of a round trip with gross return `gross` and per-side cost c: (1 + r)(1 - c)/(1 + c) - 1.

    >>> round(100 * net_return(0.01, 0.0036), 4), round(100 * net_return(0.0, 0.0036), 4)
    (0.2754, -0.7174)
    """
    return (1.0 + gross) * (1.0 - cost_per_side) / (1.0 + cost_per_side) - 1.0


def floor_amount(amount: Decimal, decimals: int) -> Decimal:
    """`amount` cut (never rounded up) to `decimals` places of the base currency."""
    return amount.quantize(_step(decimals), ROUND_DOWN, _WIDE)


@cache
def _step(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


class _Lot:
    """A position on its way: what went in, what came out, until nothing is left."""

    __slots__ = ("bought", "entry_at", "fees", "leave_at", "paid", "received", "slippage", "sold", "value")

    def __init__(self, entry_at: int, leave_at: int | None) -> None:
        self.entry_at = entry_at
        self.leave_at = leave_at
        self.bought = self.sold = self.paid = self.received = self.value = self.fees = self.slippage = ZERO


class Portfolio:
    """Cash and long positions of one account. Exact: every figure is a sum of booked money.

    `name` is the prefix of its trades' ids.
    """

    def __init__(self, cash: Decimal, stream: Stream = Stream.SYNTHESIZED, name: str = "") -> None:
        self.start = cash
        self.cash = cash
        self.stream = stream
        self.name = name or stream.value
        self.fees = ZERO
        self.slippage = ZERO
        self._lots: dict[Pair, _Lot] = {}
        self._positions: dict[Pair, Position] = {}
        self.positions: Mapping[Pair, Position] = self._positions  # live: whoever is not the portfolio only reads it
        self._closed = 0
        self.changes = 0  # counts up with each, so that others see whether there was one

    def apply(self, fill: Fill, leave_at: int | None = None) -> Trade | None:
        """Book a fill; returns the trade when it closed the position. InvariantError when it sells what is not held."""
        self.changes += 1
        self.fees += fill.fee
        self.slippage += fill.slippage
        if fill.side is Side.SELL:
            return self._sell(fill)
        self._buy(fill, leave_at)
        return None

    def equity(self, marks: Mapping[Pair, Decimal]) -> Decimal:
        """Cash plus positions at `marks` (quote currency per base unit); KeyError when a held pair has no mark."""
        total = self.cash
        for pair, position in self._positions.items():
            total += (position.amount * marks[pair]).quantize(MONEY_STEP)
        return total

    def _buy(self, fill: Fill, leave_at: int | None) -> None:
        lot = self._lots.get(fill.pair)
        if lot is None:
            lot = self._lots[fill.pair] = _Lot(fill.at, leave_at)
        notional = fill.notional
        paid = notional + fill.fee + fill.slippage
        self.cash -= paid
        lot.bought += fill.amount
        lot.value += notional
        lot.paid += paid
        lot.fees += fill.fee
        lot.slippage += fill.slippage
        self._refresh(fill.pair, lot)

    def _sell(self, fill: Fill) -> Trade | None:
        lot = self._lots.get(fill.pair)
        if lot is None or lot.sold + fill.amount > lot.bought:
            raise InvariantError(f"fill {fill.id} sells {fill.amount} {fill.pair}, more than is held")
        received = fill.notional - fill.fee - fill.slippage
        self.cash += received
        lot.sold += fill.amount
        lot.received += received
        lot.fees += fill.fee
        lot.slippage += fill.slippage
        if lot.sold < lot.bought:
            self._refresh(fill.pair, lot)
            return None
        del self._lots[fill.pair], self._positions[fill.pair]
        return self._trade(fill, lot)

    def _refresh(self, pair: Pair, lot: _Lot) -> None:
        amount = lot.bought - lot.sold
        cost = (lot.paid * amount / lot.bought).quantize(MONEY_STEP) if lot.sold else lot.paid
        self._positions[pair] = Position(pair, amount, lot.value / lot.bought, cost, lot.entry_at, lot.leave_at)

    def _trade(self, fill: Fill, lot: _Lot) -> Trade:
        self._closed += 1
        profit = lot.received - lot.paid
        gross = lot.received + lot.fees + lot.slippage - (lot.paid - lot.value)
        return Trade(
            id=f"{self.name}-{self._closed}",
            stream=self.stream,
            pair=fill.pair,
            amount=lot.bought,
            entry_at=lot.entry_at,
            exit_at=fill.at,
            entry_price=lot.value / lot.bought,
            exit_price=gross / lot.bought,
            fees=lot.fees,
            slippage=lot.slippage,
            profit=profit,
            profit_ratio=profit / lot.paid if lot.paid else ZERO,  # crumbs below a money step cost nothing
            exit_reason=fill.reason,
            leave_at=lot.leave_at,
        )

    def state(self) -> dict[str, Any]:
        """Figures as decimal strings, for a checkpoint."""
        return {
            "start": str(self.start),
            "cash": str(self.cash),
            "fees": str(self.fees),
            "slippage": str(self.slippage),
            "closed": self._closed,
            "lots": {pair: self._lot_state(lot) for pair, lot in self._lots.items()},
        }

    @staticmethod
    def _lot_state(lot: _Lot) -> dict[str, Any]:
        names = ("bought", "sold", "paid", "received", "value", "fees", "slippage")
        return {"entry_at": lot.entry_at, "leave_at": lot.leave_at, **{name: str(getattr(lot, name)) for name in names}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.start, self.cash = Decimal(state["start"]), Decimal(state["cash"])
        self.fees, self.slippage = Decimal(state["fees"]), Decimal(state["slippage"])
        self._closed = state["closed"]
        self.changes += 1
        self._lots.clear()
        self._positions.clear()
        for pair, figures in state["lots"].items():
            lot = _Lot(figures["entry_at"], figures["leave_at"])
            for name in ("bought", "sold", "paid", "received", "value", "fees", "slippage"):
                setattr(lot, name, Decimal(figures[name]))
            self._lots[Pair(pair)] = lot
            self._refresh(Pair(pair), lot)
