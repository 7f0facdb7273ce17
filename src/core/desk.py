"""One account at work: what the broker filled, what the supervisor wants, what the gate lets through.

The account and its shadow books run through this same file, so that their rules and costs cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from .portfolio import ZERO, Portfolio, price_in
from .ports import Broker, Gate, SpineState, Supervisor
from .types import Approved, Command, Denied, Fill, Idea, Intent, Order, OrderId, Pair, Side, Slice, Snapshot, Trade


class Settled(msgspec.Struct, frozen=True):
    """What the broker reported for a slice, and the trades that closed by it."""

    fills: tuple[Fill, ...]
    trades: tuple[Trade, ...]


class Desk:
    """Portfolio, broker, supervisor and gate of one account or book."""

    def __init__(self, portfolio: Portfolio, broker: Broker, supervisor: Supervisor, gate: Gate) -> None:
        self.portfolio = portfolio
        self.broker = broker
        self._supervisor = supervisor
        self._gate = gate
        self._marks: dict[Pair, Decimal] = {}
        self._deadlines: dict[OrderId, int | None] = {}
        self.equity = portfolio.cash
        self.peak_equity = portfolio.cash

    def settle(self, slice_: Slice) -> Settled:
        """Take the broker's fills into the portfolio, then mark it to the slice's closes."""
        fills = tuple(self.broker.fills(slice_))
        settled = Settled(fills, self.book(fills))
        self.mark(slice_)
        return settled

    def book(self, fills: Iterable[Fill]) -> tuple[Trade, ...]:
        """Apply fills; returns the trades they closed."""
        trades = []
        for fill in fills:
            leave_at = self._deadlines.get(fill.order_id)
            trade = self.portfolio.apply(fill, leave_at)
            if fill.final:
                self._deadlines.pop(fill.order_id, None)
            self._marks.setdefault(fill.pair, fill.price)
            if trade is not None:
                trades.append(trade)
        return tuple(trades)

    def mark(self, slice_: Slice) -> None:
        """Mark open positions to the newest close; a pair without a bar keeps its last mark."""
        held = self.portfolio.positions
        if slice_.bars is not None and held:
            block = slice_.bars
            for index, pair in enumerate(block.pairs):
                if pair in held and block.present[index]:
                    self._marks[pair] = price_in(pair, block.opened, "close", float(block.close[index]))
        self._marks = {pair: self._marks[pair] for pair in held}
        self.equity = self.portfolio.equity(self._marks)
        self.peak_equity = max(self.peak_equity, self.equity)

    def forget_peak(self) -> None:
        """Count the drawdown anew from here: somebody resumed, knowing what was lost."""
        self.peak_equity = self.equity

    def decide(
        self,
        intents: Sequence[Intent],
        ideas: Sequence[Idea],
        commands: Sequence[Command],
        snapshot: Snapshot,
        halted: str,
        bus_up: bool,
    ) -> list[Approved | Denied]:
        """The supervisor's plan for this slice, each order reviewed by the gate, in the plan's order."""
        state = self._state(snapshot, halted, bus_up)
        if self._withdraw(self._supervisor.moot(ideas, commands, state)):
            state = self._state(snapshot, halted, bus_up)
        verdicts: list[Approved | Denied] = []
        for order in self._supervisor.plan(intents, ideas, commands, state):
            verdict = self._gate.review(order, state)
            verdicts.append(verdict)
            if isinstance(verdict, Approved):
                state.open_orders = [*state.open_orders, order]
                state.reserved += order.amount * order.reference if order.side is Side.BUY else ZERO
        return verdicts

    def send(self, approved: Approved) -> None:
        """Hand an approved order to the broker."""
        self.broker.submit(approved)
        self._deadlines[approved.order.id] = approved.order.leave_at

    def _withdraw(self, pairs: Sequence[Pair]) -> bool:
        """Cancel the entries that wait for these pairs, none of which is held; whether there were any."""
        for pair in pairs:
            for order in self.broker.cancel(pair):
                self._deadlines.pop(order.id, None)
        return bool(pairs)

    def _state(self, snapshot: Snapshot, halted: str, bus_up: bool) -> SpineState:
        waiting: list[Order] = list(self.broker.open_orders())
        reserved = sum((o.amount * o.reference for o in waiting if o.side is Side.BUY), ZERO)
        return SpineState(
            snapshot,
            self.portfolio.positions,
            waiting,
            self.portfolio.cash,
            self.equity,
            self.peak_equity,
            halted,
            bus_up,
            reserved,
        )

    def state(self) -> dict[str, Any]:
        """Books, marks and peak, for a checkpoint."""
        return {
            "portfolio": self.portfolio.state(),
            "marks": {pair: str(mark) for pair, mark in self._marks.items()},
            "deadlines": dict(self._deadlines),
            "equity": str(self.equity),
            "peak": str(self.peak_equity),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.portfolio.restore(state["portfolio"])
        self._marks = {Pair(pair): Decimal(mark) for pair, mark in state["marks"].items()}
        self._deadlines = {OrderId(order): at for order, at in state["deadlines"].items()}
        self.equity, self.peak_equity = Decimal(state["equity"]), Decimal(state["peak"])
