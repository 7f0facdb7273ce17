"""One account at work: what the broker filled, what the supervisor wants, what the gate lets through.

The account always runs through this file. Shadow books are walked by a compiled step that tests hold to the same rules
and costs; where it could not be exact, a book comes back here (ADR 0024).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from .errors import BrokerError
from .limits import AccountLimits, Exposure, LimitWatch
from .portfolio import ZERO, Portfolio, price_in
from .ports import Broker, Gate, SpineState, Supervisor
from .types import (
    Approved,
    BarBlock,
    Command,
    Denied,
    Fill,
    Idea,
    Intent,
    Order,
    OrderId,
    OrderKind,
    Outcome,
    Pair,
    Side,
    Slice,
    Snapshot,
    Trade,
)


class Settled(msgspec.Struct, frozen=True):
    """What the broker reported for a slice, and the trades that closed by it."""

    fills: tuple[Fill, ...]
    trades: tuple[Trade, ...]


NOTHING = Settled((), ())
"""Of most slices."""


class Limits(msgspec.Struct, frozen=True):
    """What the gate measures against; ratios of 1. `per_side`: fee and slippage. `max_age_ms` of the newest bar."""

    max_drawdown_ratio: Decimal
    max_positions: int
    max_age_ms: int
    per_side: Decimal
    account: AccountLimits | None = None


class Looked(msgspec.Struct, frozen=True):
    """What the gate looks at for one order; money in quote currency.

    `pairs`: held or being bought. `position`: what is held of the order's pair, `buying`: whether it is being bought.
    `fresh`: whether it has a bar; `age_ms` of its newest one, None where only `fresh` is known.
    """

    cash: Decimal
    reserved: Decimal
    equity: Decimal
    peak_equity: Decimal
    pairs: int
    position: Decimal
    buying: bool
    fresh: bool
    age_ms: int | None
    halted: str
    bus_up: bool
    account: Exposure | None = None


class Review(msgspec.Struct, frozen=True):
    """What the gate said of an order, and what it looked at."""

    verdict: Approved | Denied
    looked: Looked


class Desk:
    """Portfolio, broker, supervisor and gate of one account or book."""

    def __init__(
        self, portfolio: Portfolio, broker: Broker, supervisor: Supervisor, gate: Gate, watch: LimitWatch | None = None
    ) -> None:
        self.portfolio = portfolio
        self.broker = broker
        self._supervisor = supervisor
        self._gate = gate
        self._watch = watch
        self._marks: dict[Pair, Decimal] = {}
        self._deadlines: dict[OrderId, int | None] = {}
        self._marked_at: dict[Pair, int] = {}
        self._silent: set[Pair] = set()
        self._at = 0
        self._unread: BarBlock | None = None  # bars whose closes nobody has asked for yet
        self._read_at = 0
        self._valued = True
        self._pairs: tuple[Pair, ...] = ()
        self._places: dict[Pair, int] = {}
        self._equity = portfolio.cash
        self._peak_equity = portfolio.cash
        self.reviews: list[Review] | None = None  # of this slice, where somebody asks what the gate looked at
        self._covering: Sequence[Order] | None = None  # orders that cover the positions as of change `_covered`
        self._covered = -1

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nothing waits: to settle a slice would change nothing."""
        return not self.portfolio.positions and not self.broker.open_orders()

    def settle(self, slice_: Slice) -> Settled:
        """Take the broker's fills into the portfolio, then mark it to the slice's closes."""
        if self.reviews:
            self.reviews.clear()
        fills = self.broker.fills(slice_)
        settled = Settled(tuple(fills), self.book(fills)) if fills else NOTHING
        if fills and self._watch is not None:
            self._watch.on_fills(settled.fills, settled.trades)
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
        """Mark open positions to the newest close; a pair without a bar keeps its last mark.

        The work is done when somebody asks for what came of it: money is dear, and a book on paper is seldom asked.
        """
        self._at, self._valued = slice_.at, False
        block = slice_.bars
        if block is None or not self.portfolio.positions:
            return
        if self._unread is not None and block.count() < len(block.pairs):
            self._read()
        self._unread, self._read_at = block, slice_.at

    def _read(self) -> None:
        block, self._unread = self._unread, None
        if block is None:
            return
        if block.pairs is not self._pairs:
            self._pairs, self._places = block.pairs, {pair: index for index, pair in enumerate(block.pairs)}
        present, close, at = block.present.tolist(), block.close.tolist(), self._read_at
        for pair in self.portfolio.positions:
            index = self._places[pair]
            if present[index]:
                self._marked_at[pair] = at
                self._marks[pair] = price_in(pair, block.opened, "close", close[index])

    def _value(self) -> None:
        """Bring marks, equity and peak up to the last slice."""
        if self._valued:
            return
        held = self.portfolio.positions
        self._valued = True
        if held:
            self._read()
            if len(self._marks) != len(held) or len(self._marked_at) != len(held):
                self._marks = {pair: self._marks[pair] for pair in held}
                self._marked_at = {pair: self._marked_at.get(pair, self._at) for pair in held}
            self._equity = self.portfolio.equity(self._marks)
        else:
            if self._marks or self._marked_at:
                self._marks, self._marked_at = {}, {}
            self._unread, self._equity = None, self.portfolio.cash
        if self._equity > self._peak_equity:
            self._peak_equity = self._equity

    @property
    def equity(self) -> Decimal:
        """Cash and positions at their marks, after the last slice."""
        if not self._valued:
            self._value()
        return self._equity

    @property
    def peak_equity(self) -> Decimal:
        """The highest equity of the slices in which somebody asked; the account is asked in each."""
        if not self._valued:
            self._value()
        return self._peak_equity

    @property
    def marked_at(self) -> Mapping[Pair, int]:
        """When the mark of each held pair became known (UTC ms): of which bar its value is."""
        self._value()
        return self._marked_at

    def fallen_silent(self, at: int, limit_ms: int) -> Sequence[Pair]:
        """Held pairs whose mark has come to be older than the limit; each is named once, until a bar comes again."""
        self._value()
        marked_at = self._marked_at
        if not marked_at or at - min(marked_at.values()) <= limit_ms:
            if self._silent:
                self._silent = set()
            return ()
        silent = {pair for pair, marked in self._marked_at.items() if at - marked > limit_ms}
        told, self._silent = self._silent, silent
        return sorted(silent - told)

    def mark_of(self, pair: Pair) -> Decimal:
        """The price at which a held pair counts."""
        self._value()
        return self._marks[pair]

    def follow(self, snapshot: Snapshot) -> None:
        """Let the account's limits see a slice, whether anything is decided in it or not."""
        if self._watch is not None:
            self._watch.on_slice(snapshot, self.equity)

    def forgive(self) -> None:
        """Close the account's breakers: somebody resumed."""
        if self._watch is not None:
            self._watch.forgive()

    def outcomes(self) -> Sequence[Outcome]:
        """What became of orders since the last call, fills apart."""
        outcomes = self.broker.outcomes()
        if outcomes and self._watch is not None:
            self._watch.on_outcomes(outcomes)
        return outcomes

    def forget_peak(self) -> None:
        """Count the drawdown anew from here: somebody resumed, knowing what was lost."""
        self._peak_equity = self.equity

    def rests(self, intents: Sequence[Intent], ideas: Sequence[Idea], at: int) -> bool:
        """Whether `decide` would want nothing: nobody buys, nothing waits, no position is to be left. No commands.

        Fewer stops than positions want something, too: one of them is not protected.
        """
        if intents:
            return False
        resting = self.broker.open_orders()
        for order in resting:
            if order.kind is OrderKind.MARKET or order.side is Side.BUY:
                return False
        if len(resting) < len(self.portfolio.positions):
            return False
        return not self._supervisor.leaves(ideas, self.portfolio.positions, at)

    def covered(self) -> bool:
        """Whether orders to sell cover every position in full; a supervisor with policies wants to see one that is not.

        The answer stands until the orders or the positions change.
        """
        held = self.portfolio.positions
        if not held:
            return True
        resting, changes = self.broker.open_orders(), self.portfolio.changes
        if resting is not self._covering or changes != self._covered:
            left = {pair: position.amount for pair, position in held.items()}
            for order in resting:
                if order.side is Side.SELL and order.pair in left:
                    left[order.pair] -= order.amount
            if any(amount > 0 for amount in left.values()):
                return False
            self._covering, self._covered = resting, changes
        return True

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
        if halted:
            self._stop_buying()
        state = self._state(snapshot, halted, bus_up)
        if self._withdraw(self._supervisor.moot(ideas, commands, state)):
            state = self._state(snapshot, halted, bus_up)
        verdicts: list[Approved | Denied] = []
        for order in self._supervisor.plan(intents, ideas, commands, state):
            verdict = self._gate.review(order, state)
            verdicts.append(verdict)
            if self.reviews is not None:
                self.reviews.append(Review(verdict, self._gate.looked or look(order, state)))
            if isinstance(verdict, Approved):
                state.open_orders = [*state.open_orders, order]
                if order.side is Side.BUY:
                    state.reserved += order.amount * order.reference
        return verdicts

    def send(self, approved: Approved) -> None:
        """Hand an approved order to the broker."""
        try:
            self.broker.submit(approved)
        except BrokerError:
            if self._watch is not None:
                self._watch.rejected(approved.order.id)
            raise
        self._deadlines[approved.order.id] = approved.order.leave_at

    def _withdraw(self, pairs: Sequence[Pair]) -> bool:
        """Cancel the entries that wait for these pairs, none of which is held; whether there were any."""
        for pair in pairs:
            for order in self.broker.cancel(pair):
                self._deadlines.pop(order.id, None)
        return bool(pairs)

    def _stop_buying(self) -> None:
        """Whoever is halted buys no more, not even the rest of what was begun; stops stay where they are."""
        for pair in sorted({order.pair for order in self.broker.open_orders() if order.side is Side.BUY}):
            self.cancel_entries(pair)

    def cancel_entries(self, pair: Pair) -> None:
        """Cancel what waits to be bought of a pair."""
        for order in self.broker.cancel(pair, Side.BUY):
            self._deadlines.pop(order.id, None)

    def _state(self, snapshot: Snapshot, halted: str, bus_up: bool) -> SpineState:
        waiting, reserved = list(self.broker.open_orders()), ZERO
        for order in waiting:
            if order.side is Side.BUY:
                reserved += order.amount * order.reference
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
        self._value()
        return {
            "portfolio": self.portfolio.state(),
            "marks": {pair: str(mark) for pair, mark in self._marks.items()},
            "deadlines": dict(self._deadlines),
            "marked_at": dict(self._marked_at),
            "silent": sorted(self._silent),
            "equity": str(self._equity),
            "peak": str(self._peak_equity),
            "limits": None if self._watch is None else self._watch.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.portfolio.restore(state["portfolio"])
        self._marks = {Pair(pair): Decimal(mark) for pair, mark in state["marks"].items()}
        self._deadlines = {OrderId(order): at for order, at in state["deadlines"].items()}
        self._marked_at = {Pair(pair): at for pair, at in state["marked_at"].items()}
        self._silent = set(map(Pair, state["silent"]))
        self._equity, self._peak_equity = Decimal(state["equity"]), Decimal(state["peak"])
        if self._watch is not None and state.get("limits") is not None:
            self._watch.restore(state["limits"])
        self._unread, self._valued = None, True


def look(order: Order, state: SpineState, account: Exposure | None = None) -> Looked:
    """What there is to see for the gate, before the order itself counts."""
    pair, snapshot = order.pair, state.snapshot
    index = snapshot.pairs.index(pair)
    buying = {order.pair for order in state.open_orders if order.side is Side.BUY}
    position = state.positions.get(pair)
    return Looked(
        state.cash,
        state.reserved,
        state.equity,
        state.peak_equity,
        len(state.positions) + len(buying.difference(state.positions)),
        ZERO if position is None else position.amount,
        pair in buying,
        snapshot.fresh.item(index),
        None if snapshot.seen_at is None else snapshot.at - snapshot.seen_at.item(index),
        state.halted,
        state.bus_up,
        account,
    )
