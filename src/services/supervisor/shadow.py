"""Writes down what every policy said and what was done instead, and compares the two afterwards.

A policy in shadow is heard in every cycle and never sent; a line is written when something of a symbol changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ...core import records
from ...core.config_policies import PolicyState
from ...core.ports import Row
from ...core.types import Pair, Trade
from .context import ZERO, SymbolContext
from .decisions import Cycle, Plan, Said, Wish
from .intelligence import MarketContext, Option, Thought
from .policies import POLICIES
from .recommendation import PolicyAction

POLICY = "policy"
"""The kind of rows."""
SHADOW = "shadow"


class SaidLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recommendation as it is kept; money as decimal strings."""

    policy: str
    action: str
    outcome: str
    reason: str
    amount: Decimal | None = None
    stop: Decimal | None = None


class PlanLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plan, or what would have been planned, as it is kept; `id` and `orders` of real ones alone."""

    action: str
    reason: str
    policies: tuple[str, ...]
    amount: Decimal
    stop: Decimal | None = None
    id: str = ""
    orders: tuple[str, ...] = ()


class PolicyLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of a row: one symbol in one cycle. `price` and `held` as they were; `faults`: policy or empty, and error."""

    at: int
    pair: Pair
    price: Decimal | None = None
    held: Decimal | None = None
    multiple: str = ""
    plan: PlanLine | None = None
    would: PlanLine | None = None
    said: tuple[SaidLine, ...] = ()
    thought: Thought | None = None
    market: MarketContext | None = None
    faults: tuple[tuple[str, str], ...] = ()


class ShadowLog:
    """Makes the lines of a cycle, without those that would say the same again."""

    def __init__(self) -> None:
        self._told: dict[Pair, PolicyLine] = {}

    def lines(
        self, cycle: Cycle, contexts: Sequence[SymbolContext], thoughts: Mapping[Pair, Thought] = {}
    ) -> list[PolicyLine]:
        """One line a symbol of which there is something new; those with a plan always."""
        said: defaultdict[Pair, list[SaidLine]] = defaultdict(list)
        for one in cycle.said:
            said[one.recommendation.pair].append(_said(one))
        faults: defaultdict[Pair, list[tuple[str, str]]] = defaultdict(list)
        for fault in cycle.faults:
            faults[fault.pair].append((fault.policy, fault.error))
        plans = {plan.pair: plan for plan in cycle.plans}
        by_pair = {context.pair: context for context in contexts}
        lines = []
        for pair in sorted({*said, *faults, *plans}):
            line = PolicyLine(
                at=cycle.at,
                pair=pair,
                plan=_planned(plans.get(pair)),
                would=_wished(cycle.would.get(pair)),
                said=tuple(said[pair]),
                faults=tuple(faults[pair]),
            )
            if line.plan is None and self._same(pair, line):
                continue
            self._told[pair] = line
            lines.append(_with_facts(line, by_pair.get(pair), thoughts.get(pair)))
        held = {*by_pair, *faults}
        self._told = {pair: line for pair, line in self._told.items() if pair in held}
        return lines

    def state(self) -> dict[str, Any]:
        """What was told last of each symbol."""
        return {pair: msgspec.to_builtins(line) for pair, line in self._told.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self._told = {Pair(pair): msgspec.convert(line, PolicyLine) for pair, line in state.items()}

    def _same(self, pair: Pair, line: PolicyLine) -> bool:
        before = self._told.get(pair)
        return before is not None and msgspec.structs.replace(before, at=line.at, plan=None) == line


def row_of(line: PolicyLine) -> Row:
    """The line as a row of the ledger."""
    return records.row(line.at, POLICY, f"{line.at}:{line.pair}", line)


def options_of(said: Iterable[Said]) -> list[Option]:
    """What was recommended, as options to be weighed."""
    return [
        Option(
            one.recommendation.policy, one.recommendation.action, one.recommendation.priority, _hindered(one.outcome)
        )
        for one in said
    ]


def _hindered(outcome: str) -> str:
    return "" if outcome in ("done", "merged", "overruled", SHADOW) else outcome


def _said(one: Said) -> SaidLine:
    wanted = one.recommendation
    return SaidLine(wanted.policy, wanted.action, one.outcome, wanted.reason, wanted.amount, wanted.stop)


def _planned(plan: Plan | None) -> PlanLine | None:
    if plan is None:
        return None
    orders = tuple(str(order.id) for order in (plan.rest, plan.order) if order is not None)
    line = _wished(plan.wish)
    return None if line is None else msgspec.structs.replace(line, id=plan.id, orders=orders)


def _wished(wish: Wish | None) -> PlanLine | None:
    if wish is None:
        return None
    return PlanLine(wish.action, wish.reason, wish.policies, wish.amount, wish.stop)


def _with_facts(line: PolicyLine, context: SymbolContext | None, thought: Thought | None) -> PolicyLine:
    if context is None:
        return line
    multiple = "" if context.multiple is None else f"{context.multiple:.4f}"
    return msgspec.structs.replace(
        line, price=context.price, held=context.position.amount, multiple=multiple, thought=thought
    )


class PolicyReport(msgspec.Struct, frozen=True):
    """What one policy recommended and what was done. `aside`: put aside, by reason.

    `agreed`: in shadow, how often what was done was what it wanted, too. `worth`: quote currency that its sales in
    shadow would have brought more than the exits that came instead, before costs; None where none can be compared.
    """

    policy: str
    state: PolicyState
    recommended: int
    done: int
    merged: int
    overruled: int
    shadow: int
    agreed: int
    aside: Mapping[str, int]
    faults: int
    worth: Decimal | None


def compared(
    lines: Sequence[PolicyLine], trades: Sequence[Trade], states: Mapping[str, PolicyState]
) -> list[PolicyReport]:
    """The comparison of old and new, one row a policy in the order of the table."""
    return [_report(name, lines, trades, states[name]) for name in POLICIES]


def _report(name: str, lines: Sequence[PolicyLine], trades: Sequence[Trade], state: PolicyState) -> PolicyReport:
    mine = [(line, one) for line in lines for one in line.said if one.policy == name]
    aside: defaultdict[str, int] = defaultdict(int)
    known = dict.fromkeys(("done", "merged", "overruled", SHADOW), 0)
    for _, one in mine:
        if one.outcome in known:
            known[one.outcome] += 1
        else:
            aside[one.outcome] += 1
    dark = [(line, one) for line, one in mine if one.outcome == SHADOW]
    return PolicyReport(
        policy=name,
        state=state,
        recommended=len(mine),
        done=known["done"],
        merged=known["merged"],
        overruled=known["overruled"],
        shadow=known[SHADOW],
        agreed=sum(line.plan is not None and line.plan.action == one.action for line, one in dark),
        aside=dict(aside),
        faults=sum(policy == name for line in lines for policy, _ in line.faults),
        worth=_worth(dark, trades),
    )


def _worth(dark: Sequence[tuple[PolicyLine, SaidLine]], trades: Sequence[Trade]) -> Decimal | None:
    """Each sale in shadow against the exit of its trade; no more is sold of a trade than there was."""
    left: dict[str, Decimal] = {}
    found: Decimal | None = None
    for line, one in dark:
        trade = next((t for t in trades if t.pair == line.pair and t.entry_at <= line.at < t.exit_at), None)
        if trade is None or line.price is None or one.action not in (PolicyAction.CLOSE, PolicyAction.SELL_PART):
            continue
        rest = left.setdefault(trade.id, trade.amount)
        amount = min(rest, rest if one.amount is None else one.amount)
        left[trade.id] = rest - amount
        found = (ZERO if found is None else found) + (line.price - trade.exit_price) * amount
    return found
