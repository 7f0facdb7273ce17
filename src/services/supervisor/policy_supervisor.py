"""The supervisor with policies: the fixed rules as they are, and whatever else is switched on beside them.

With the states that are shipped it plans what the fixed supervisor plans, order for order; what a policy in shadow says
is written down and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from ...core.config import Account
from ...core.config_policies import Policies, PolicyState
from ...core.ports import Row, SpineState
from ...core.types import Command, CommandKind, Idea, Intent, Order, Pair, Position, Side, Snapshot, Stage
from ..portfolio_risk import RiskFigures, Values, figures
from .context import ZERO
from .decisions import Cycle, DecisionEngine, Plan
from .exits import opposed
from .intelligence import DecisionOutcome, Thought
from .local_intelligence import OutcomeMemory, SnapshotIntelligence, WeighedThinking
from .plan import FixedSupervisor, full_size
from .policies import POLICIES
from .portfolio_state import PortfolioState, Seen
from .recommendation import PolicyAction
from .shadow import PolicyLine, ShadowLog, options_of, row_of

FIXED = ("opposite_idea", "time_stop")
"""Policies that are the fixed supervisor's own exits."""
STATES: tuple[PolicyState, ...] = ("off", "shadow", "on")


def no_life(pair: Pair) -> Stage | None:
    """The stage of a pair about whose life nobody asks."""
    return None


class PolicySupervisor:
    """Implements Supervisor. One order a symbol and slice: exits and stops first, then orders by hand, then entries.

    While nothing but the fixed exits and the stop is switched on, and every position has its stop, the fixed supervisor
    plans alone; once something was to be watched, it is watched from then on. A command changes the state of a policy
    from the slice on in which it takes effect, and for good.
    """

    def __init__(
        self,
        settings: Policies,
        account: Account,
        namespace: UUID,
        multiplier: Callable[[Pair], Decimal] = full_size,
        life: Callable[[Pair], Stage | None] = no_life,
        emergency_flatten: bool = False,
    ) -> None:
        self._fixed = FixedSupervisor(account, namespace, multiplier, emergency_flatten)
        kinds = (CommandKind.FLATTEN, CommandKind.EMERGENCY_SHUTDOWN)
        self._selling = kinds if emergency_flatten else kinds[:1]
        self._shipped: dict[str, PolicyState] = {name: getattr(settings.states, name) for name in POLICIES}
        self._overrides: dict[str, PolicyState] = {}
        self._book = PortfolioState(settings, account.stop_ratio, multiplier, life)
        self._engine = DecisionEngine(settings, namespace, account.amount_decimals)
        self._memory = OutcomeMemory(settings.confidence_prior)
        self._thinking = WeighedThinking(self._memory)
        self._market = SnapshotIntelligence()
        self._log = ShadowLog()
        self._tail, self._least = settings.portfolio.tail_ratio, settings.portfolio.min_intervals
        self._lines: list[PolicyLine] = []
        self._acts: dict[Pair, list[tuple[str, str]]] = {}
        self._plans: tuple[Plan, ...] = ()
        self._multiples: dict[Pair, Decimal | None] = {}  # of positions as they were seen last, in R
        self._watches = self._is_more_than_fixed()

    @property
    def states(self) -> Mapping[str, PolicyState]:
        """How each policy stands now."""
        return {**self._shipped, **self._overrides}

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans of the last slice in which the policies decided, with every step."""
        return self._plans

    @property
    def portfolio(self) -> PortfolioState:
        """What is known of the positions."""
        return self._book

    def plan(
        self, intents: Sequence[Intent], ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState
    ) -> Sequence[Order]:
        """Orders wanted at this slice; at most one for a pair."""
        for command in commands:
            self._obey(command)
        self._plans = ()
        self._watches = self._watches or self._unprotected(state)
        if not self._watches:
            return self._fixed.plan(intents, ideas, commands, state)
        seen = self._book.observe(
            state, opposed(ideas), self._asked_out(commands, state), crowded=self._is_heard("correlated_exits")
        )
        self._remember(state)
        cycle = self._engine.decide(seen, self.states)
        self._plans = cycle.plans
        self._write(cycle, seen, state.snapshot)
        return self._orders(cycle, intents, ideas, commands, state)

    def moot(self, ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState) -> Sequence[Pair]:
        """Pairs that are not held and whose waiting entries are no longer wanted."""
        return self._fixed.moot(ideas, commands, state)

    def leaves(self, ideas: Sequence[Idea], positions: Mapping[Pair, Position], at: int) -> bool:
        """Whether any of the positions may have to be acted on; policies that watch are asked in every slice."""
        return self._watches or self._fixed.leaves(ideas, positions, at)

    def risk(self, values: Values, equity: Decimal, peak: Decimal) -> RiskFigures:
        """The risk of holdings that are worth `values`; tail losses over the intervals that were watched."""
        return figures(values, equity, peak, self._book.returns, self._tail, self._least)

    def rows(self) -> Sequence[Row]:
        """What the policies said since the last call, for the ledger."""
        if not self._lines:
            return []
        lines, self._lines = self._lines, []
        return [row_of(line) for line in lines]

    def _obey(self, command: Command) -> None:
        if command.kind is CommandKind.POLICY and command.policy in POLICIES and command.state in STATES:
            self._overrides[command.policy] = next(state for state in STATES if state == command.state)
            self._watches = self._watches or self._is_more_than_fixed()

    def _is_more_than_fixed(self) -> bool:
        """Whether the fixed supervisor alone would plan something else, or less would be written down."""
        states = self.states
        mine = all(states[name] == "on" for name in FIXED) and states["stop_loss"] != "shadow"
        return not mine or any(states[name] != "off" for name in POLICIES if name not in (*FIXED, "stop_loss"))

    def _is_heard(self, policy: str) -> bool:
        return self.states[policy] != "off"

    def _unprotected(self, state: SpineState) -> bool:
        """Whether a position is not covered by what sells it or rests under it."""
        if not state.positions or not self._is_heard("stop_loss"):
            return False
        covered = dict.fromkeys(state.positions, ZERO)
        for order in state.open_orders:
            if order.side is Side.SELL and order.pair in covered:
                covered[order.pair] += order.amount
        return any(covered[pair] < position.amount for pair, position in state.positions.items())

    def _asked_out(self, commands: Sequence[Command], state: SpineState) -> set[Pair]:
        asked = [command.pair for command in commands if command.kind in self._selling]
        return set(state.positions) if None in asked else {pair for pair in asked if pair is not None}

    def _orders(
        self,
        cycle: Cycle,
        intents: Sequence[Intent],
        ideas: Sequence[Idea],
        commands: Sequence[Command],
        state: SpineState,
    ) -> Sequence[Order]:
        """Plans by rank and pair, then what is left to the fixed supervisor: failed symbols, hands, entries."""
        failed = {fault.pair for fault in cycle.faults if not fault.policy}
        broken = {pair: position for pair, position in state.positions.items() if pair in failed}
        selling = [command for command in commands if command.kind in self._selling]
        manual = [command for command in commands if command.kind is CommandKind.ORDER]
        ranked = sorted(cycle.plans, key=lambda plan: (plan.wish.priority, plan.pair))
        trailing = [plan.order for plan in ranked if plan.wish.action is PolicyAction.RAISE_STOP]
        firm = [plan.order for plan in ranked if plan.wish.action is not PolicyAction.RAISE_STOP]
        wanted: list[Order | None] = [
            *firm,
            *self._fixed.plan((), ideas, selling, msgspec.structs.replace(state, positions=broken)),
            *self._fixed.plan((), (), manual, msgspec.structs.replace(state, positions={})),
            *trailing,
            *self._fixed.plan(intents, (), (), msgspec.structs.replace(state, positions={})),
        ]
        first: dict[Pair, Order] = {}
        for order in wanted:
            if order is not None:
                first.setdefault(order.pair, order)
        return list(first.values())

    def _write(self, cycle: Cycle, seen: Seen, snapshot: Snapshot) -> None:
        thoughts: dict[Pair, Thought] = {}
        by_pair: dict[Pair, list[Any]] = {}
        for one in cycle.said:
            by_pair.setdefault(one.recommendation.pair, []).append(one)
        for pair, said in by_pair.items():
            if len(said) > 1:
                thoughts[pair] = self._thinking.weigh(pair, options_of(said))
        for plan in cycle.plans:
            act, acts = (plan.wish.action.value, plan.wish.policies[0]), self._acts.setdefault(plan.pair, [])
            if act not in acts:
                acts.append(act)
            if plan.wish.stop is not None:
                self._book.asked_for(plan.pair, plan.wish.stop)
        for line in self._log.lines(cycle, seen.contexts, thoughts):
            market = self._market.context(snapshot, line.pair)
            self._lines.append(msgspec.structs.replace(line, market=market))

    def _remember(self, state: SpineState) -> None:
        """A position that is gone tells what the actions on it came to, by the price it was seen at last."""
        before = self._multiples
        self._multiples = {context.pair: context.multiple for context in self._book.seen.contexts}
        for pair in sorted(set(self._acts) - set(state.positions)):
            multiple = before.get(pair)
            for action, policy in self._acts.pop(pair):
                if multiple is not None:
                    self._memory.remember(DecisionOutcome(pair, action, policy, state.snapshot.at, float(multiple)))

    def state(self) -> dict[str, Any]:
        """Overrides, positions' pasts, what was acted on and remembered."""
        return {
            "overrides": dict(self._overrides),
            "watches": self._watches,
            "book": self._book.state(),
            "engine": self._engine.state(),
            "memory": self._memory.state(),
            "log": self._log.state(),
            "multiples": {pair: None if one is None else str(one) for pair, one in self._multiples.items()},
            "acts": {pair: [list(act) for act in acts] for pair, acts in self._acts.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; overrides of policies that are no more are forgotten."""
        self._overrides = {name: one for name, one in state["overrides"].items() if name in POLICIES}
        self._watches = state["watches"] or self._is_more_than_fixed()
        self._book.restore(state["book"])
        self._engine.restore(state["engine"])
        self._memory.restore(state["memory"])
        self._log.restore(state["log"])
        multiples = state["multiples"].items()
        self._multiples = {Pair(pair): None if one is None else Decimal(one) for pair, one in multiples}
        self._acts = {Pair(pair): [(act, by) for act, by in acts] for pair, acts in state["acts"].items()}
