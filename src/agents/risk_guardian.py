"""HAVEN, the risk guardian: watches the drawdown of marked equity and asks for a halt."""

from __future__ import annotations

from typing import Any, ClassVar

from ..core.messages import Control, Message, TradeConfirmation
from ..core.model import MycelialAgent, MycelialModel
from ..core.types import CommandKind, Snapshot
from .world import World

NAME = "risk-guardian"


class RiskGuardian(MycelialAgent):
    """Asks for HALT once when the drawdown reaches its limit; takes effect with the next slice.

    Within the same slice the gate refuses entries by the same limit, so that nothing slips through between.
    It asks again only after the drawdown has been below the limit.
    """

    kind: ClassVar[str] = "risk_guardian"
    phase: ClassVar[str] = "guard"

    def __init__(self, model: MycelialModel, max_drawdown_ratio: float) -> None:
        super().__init__(model, NAME)
        self._limit = max_drawdown_ratio
        self._asked = False
        self.confirmed = 0
        self.hear("trade-confirmations", self._on_confirmation)

    def act(self, snapshot: Snapshot) -> None:
        """Compare the drawdown with the limit."""
        drawdown = self.model.account.drawdown_ratio
        over = drawdown >= self._limit
        if over and not self._asked:
            reason = f"drawdown {drawdown:.2%} reached the limit of {self._limit:.2%}"
            self.say(
                "system-control",
                Control(
                    source=self.name,
                    at=snapshot.at,
                    known_at=snapshot.at,
                    command=CommandKind.HALT,
                    reason=reason,
                ),
            )
        self._asked = over

    def _on_confirmation(self, message: Message) -> None:
        if isinstance(message, TradeConfirmation):
            self.confirmed += 1

    def state(self) -> dict[str, Any]:
        """Whether a halt was asked for, and how many fills were seen."""
        return {"asked": self._asked, "confirmed": self.confirmed}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._asked, self.confirmed = state["asked"], state["confirmed"]


def populate(world: World) -> None:
    """The one guardian."""
    RiskGuardian(world.model, world.settings.risk.max_drawdown_ratio)
