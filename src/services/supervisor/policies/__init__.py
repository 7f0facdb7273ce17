"""The policies; POLICIES is the table in which they are registered.

Each looks at the frozen context of one held symbol and recommends something, or nothing. None of them can send an
order: what becomes of a recommendation is the decision engine's matter. To add one, write its file, add a row here and
a setting in `policies.states`. The order breaks ties between recommendations of one priority.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ....core.config_policies import Policies
from ..context import SymbolContext
from ..recommendation import Recommendation
from .break_even import BreakEven
from .correlated_exits import CorrelatedExits
from .daily_loss import DailyLoss
from .hibernation_exit import HibernationExit
from .opposite_idea import OppositeIdea
from .partial_profit import PartialProfit
from .probation_exit import ProbationExit
from .profit_ladder import ProfitLadder
from .rebalancing import Rebalancing
from .stop_loss import StopLoss
from .time_stop import TimeStop
from .trailing import Trailing

__all__ = ["POLICIES", "Policy"]


class Policy(Protocol):
    """An opinion on positions; without state of its own, so that the same context gives the same opinion."""

    name: str

    def recommend(self, context: SymbolContext) -> Recommendation | None:
        """What is to be done with the symbol, None for nothing."""
        ...


POLICIES: dict[str, Callable[[Policies], Policy]] = {
    "stop_loss": StopLoss,
    "hibernation_exit": HibernationExit,
    "daily_loss": DailyLoss,
    "correlated_exits": CorrelatedExits,
    "opposite_idea": OppositeIdea,
    "time_stop": TimeStop,
    "probation_exit": ProbationExit,
    "profit_ladder": ProfitLadder,
    "partial_profit": PartialProfit,
    "rebalancing": Rebalancing,
    "trailing": Trailing,
    "break_even": BreakEven,
}
