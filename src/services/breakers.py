"""Breakers of an account: each opens once its figure reaches the limit, and stays open for the rest of the UTC day."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..core.config_limits import LimitSettings
from ..core.portfolio import ZERO
from ..core.timeframes import DAY_MS

DAILY_LOSS, LOSS_STREAK, REJECT_RATIO, SLIPPAGE = "daily_loss", "loss_streak", "reject_ratio", "slippage"
NAMES = (DAILY_LOSS, LOSS_STREAK, REJECT_RATIO, SLIPPAGE)
"""The breakers that open and stay open; their names are the reasons of refusals."""
_STEP = Decimal("0.000001")


class Breakers:
    """Daily loss, loss streak, rejections and slippage of one account.

    The day's loss is measured from the equity at its first moment: that of a slice at midnight, else that of the last
    slice before. The other figures begin anew with each day. A day begins once, whatever the clock does afterwards.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._day = -1
        self._base: Decimal | None = None
        self._floor: Decimal | None = None
        self._equity: Decimal | None = None
        self._losses = 0
        self._sent: deque[list[Any]] = deque(maxlen=settings.rejected_window)
        self._slipped: deque[Decimal] = deque(maxlen=settings.slippage_fills)
        self.tripped: Mapping[str, str] = {}

    def on_equity(self, at: int, equity: Decimal) -> None:
        """The account's equity with open positions at a slice (UTC ms)."""
        day = at // DAY_MS
        if day > self._day:
            before = equity if at % DAY_MS == 0 or self._equity is None else self._equity
            self._begin(day, before)
        self._equity = equity
        if self._floor is not None and equity <= self._floor and DAILY_LOSS not in self.tripped:
            self._trip(DAILY_LOSS, self.day_loss)

    def on_trade(self, profit: Decimal) -> None:
        """A round trip closed."""
        self._losses = self._losses + 1 if profit < 0 else 0
        if self._losses >= self._settings.max_losses_in_a_row:
            self._trip(LOSS_STREAK, self._losses)

    def on_sent(self, order_id: str) -> None:
        """An order went out."""
        self._sent.append([order_id, False])

    def on_rejected(self, order_id: str) -> None:
        """One of the last orders was rejected; each counts once, and one that is long forgotten not at all."""
        for entry in self._sent:
            if entry[0] == order_id:
                entry[1] = True
        if self.rejected > self._settings.max_rejected_ratio * self._settings.rejected_window:
            self._trip(REJECT_RATIO, self.rejected_ratio)

    def on_slippage(self, ratio: Decimal) -> None:
        """An execution was worse by this than the price it was decided on; negative when it was better."""
        self._slipped.append(ratio)
        if len(self._slipped) == self._slipped.maxlen and self.slippage > self._settings.max_slippage_ratio:
            self._trip(SLIPPAGE, self.slippage)

    @property
    def day_loss(self) -> Decimal:
        """Loss since the day began, as a ratio of the equity then; negative for a gain."""
        return ZERO if not self._base or self._equity is None else 1 - self._equity / self._base

    @property
    def losses(self) -> int:
        """Round trips that lost, one after the other, today."""
        return self._losses

    @property
    def rejected(self) -> int:
        """Rejections among the last orders sent."""
        return sum(bool(entry[1]) for entry in self._sent)

    @property
    def rejected_ratio(self) -> Decimal:
        """Rejections of as many orders as are looked at."""
        return Decimal(self.rejected) / self._settings.rejected_window

    @property
    def slippage(self) -> Decimal:
        """Mean of the last executions, as a ratio."""
        return sum(self._slipped, ZERO) / len(self._slipped) if self._slipped else ZERO

    def forgive(self) -> None:
        """Close what is open; everything counts anew from here."""
        if self._equity is not None:
            self._begin(self._day, self._equity)

    def _begin(self, day: int, equity: Decimal) -> None:
        self._day, self._base = day, equity
        self._floor = equity * (1 - self._settings.max_daily_loss_ratio)
        self._losses, self.tripped = 0, {}
        self._sent.clear()
        self._slipped.clear()

    def _trip(self, name: str, figure: Decimal | int) -> None:
        if name not in self.tripped:
            shown = str(figure.quantize(_STEP)) if isinstance(figure, Decimal) else str(figure)
            self.tripped = {**self.tripped, name: shown}

    def state(self) -> dict[str, Any]:
        """Everything that is counted, and what is open."""
        return {
            "day": self._day,
            "base": None if self._base is None else str(self._base),
            "equity": None if self._equity is None else str(self._equity),
            "losses": self._losses,
            "sent": [list(entry) for entry in self._sent],
            "slipped": [str(ratio) for ratio in self._slipped],
            "tripped": dict(self.tripped),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        base, equity = state["base"], state["equity"]
        if base is not None:
            self._begin(state["day"], Decimal(base))
        self._equity = None if equity is None else Decimal(equity)
        self._losses = state["losses"]
        self._sent.extend([name, bool(rejected)] for name, rejected in state["sent"])
        self._slipped.extend(map(Decimal, state["slipped"]))
        self.tripped = dict(state["tripped"])
