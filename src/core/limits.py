"""What the account's limits are and what is measured against them: plain values, so that a record can judge again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Protocol

import msgspec

from .ports import Stateful
from .types import Fill, Outcome, Snapshot, Trade

Figure = Decimal | int | str
"""What a control saw, or its limit; turned into text only for somebody who reads it."""

_SHOWN = Decimal("0.00000001")
_WIDE = Context(prec=120)
"""Digits enough for any amount of money at eight decimals."""


class AccountLimits(msgspec.Struct, frozen=True):
    """Limits in the units of a run: quote currency, ratios of 1, counts, milliseconds of UTC time."""

    max_order_quote: Decimal
    max_position_quote: Decimal
    max_gross_exposure_ratio: Decimal
    max_asset_exposure_ratio: Decimal
    max_correlated_exposure_ratio: Decimal
    max_price_deviation_ratio: Decimal
    max_orders_minute: int
    max_orders_day: int
    max_manual_orders_day: int
    max_messages_minute: int
    max_messages_day: int
    max_open_orders: int
    duplicate_ms: int
    max_daily_loss_ratio: Decimal
    max_losses_in_a_row: int
    max_rejected_ratio: Decimal
    rejected_window: int
    max_unknown_orders: int
    max_slippage_ratio: Decimal


class Exposure(msgspec.Struct, frozen=True):
    """What is seen of the account for one order, before the order itself counts; money in quote currency.

    Exposures count what is held at the newest closes and what is being bought at its reference prices. `median` and
    `last` are closes of the order's pair, None before its first bar. Counts are of approved orders: of the last
    minute and of this UTC day; `messages` count exits, too. `repeated_ms`: how long ago an equal order was approved,
    None where none was. `on_the_way`: whether an equal order to sell still waits. `tripped`: breakers that opened
    this UTC day, with the figure that opened them. `level` is the strictest state that the pair is in, `why` its
    reason.
    """

    level: str
    why: str
    position_quote: Decimal
    gross_quote: Decimal
    asset_quote: Decimal
    correlated_quote: Decimal
    median: Decimal | None
    last: Decimal | None
    orders_minute: int
    orders_day: int
    manual_orders_day: int
    messages_minute: int
    messages_day: int
    open_orders: int
    repeated_ms: int | None
    on_the_way: bool
    crosses: bool
    unknown_orders: int
    tripped: Mapping[str, str]


class Control(msgspec.Struct, frozen=True):
    """One control of the gate: its name is the reason of a refusal; what it saw, and what it held that against."""

    name: str
    objects: bool
    value: Figure
    limit: Figure


def text(figure: Figure) -> str:
    """A figure as people read it: at most eight decimals, no exponent.

    >>> text(Decimal("0.123456789012")), text(7), text("open"), text(Decimal("1E+30"))
    ('0.12345679', '7', 'open', '1000000000000000000000000000000')
    """
    if not isinstance(figure, Decimal) or not figure.is_finite():
        return str(figure)
    shown = f"{figure.quantize(_SHOWN, context=_WIDE):f}"
    shown = shown.rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown


class LimitWatch(Stateful, Protocol):
    """Follows one account for its gate: what was counted and what went wrong survives a restart."""

    def on_slice(self, snapshot: Snapshot, equity: Decimal) -> None:
        """A slice is about to be decided; equity in quote currency, open positions counted."""
        ...

    def on_fills(self, fills: Sequence[Fill], trades: Sequence[Trade]) -> None:
        """Executions, and the round trips that they closed."""
        ...

    def on_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """What became of orders, fills apart."""
        ...

    def rejected(self, order_id: str) -> None:
        """The broker refused an order at once."""
        ...

    def forgive(self) -> None:
        """Somebody resumed: breakers close, and count anew from here."""
        ...
