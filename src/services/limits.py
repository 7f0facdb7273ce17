"""What the account did lately and how it stands, so that the gate can hold it against limits; survives a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice, pairwise
from math import fsum, isnan, sqrt
from typing import Any

import msgspec
import numpy as np

from ..core.config_limits import LimitSettings
from ..core.limits import AccountLimits, Exposure
from ..core.portfolio import ZERO, money
from ..core.ports import SpineState
from ..core.standing import Level, Standing
from ..core.timeframes import DAY_MS
from ..core.types import (
    Fill,
    FloatArray,
    Order,
    OrderKind,
    Outcome,
    Pair,
    Position,
    Side,
    Snapshot,
    Trade,
)
from .breakers import Breakers

MINUTE_MS = 60_000
_SECOND_MS = 1000
_LEAST_RETURNS = 3  # of a correlation: with fewer it is ±1 or undefined
_REFERENCES_KEPT = 1000  # of the format: approved orders whose fills may still come


def limits_of_account(limits: LimitSettings) -> AccountLimits:
    """The limits of the settings, in the units of a run."""
    return AccountLimits(
        max_order_quote=limits.max_order_quote,
        max_position_quote=limits.max_position_quote,
        max_gross_exposure_ratio=limits.max_gross_exposure_ratio,
        max_asset_exposure_ratio=limits.max_asset_exposure_ratio,
        max_correlated_exposure_ratio=limits.max_correlated_exposure_ratio,
        max_price_deviation_ratio=limits.max_price_deviation_ratio,
        max_orders_minute=limits.max_orders_minute,
        max_orders_day=limits.max_orders_day,
        max_manual_orders_day=limits.max_manual_orders_day,
        max_messages_minute=limits.max_messages_minute,
        max_messages_day=limits.max_messages_day,
        max_open_orders=limits.max_open_orders,
        duplicate_ms=round(limits.duplicate_seconds * _SECOND_MS),
        max_daily_loss_ratio=limits.max_daily_loss_ratio,
        max_losses_in_a_row=limits.max_losses_in_a_row,
        max_rejected_ratio=limits.max_rejected_ratio,
        rejected_window=limits.rejected_window,
        max_unknown_orders=limits.max_unknown_orders,
        max_slippage_ratio=limits.max_slippage_ratio,
    )


class Usage(msgspec.Struct, frozen=True):
    """What is used up now: quote currency held by pair, the largest group of pairs that move together, counts."""

    held: Mapping[Pair, Decimal]
    correlated: Decimal
    orders_minute: int
    orders_day: int
    manual_orders_day: int
    messages_minute: int
    messages_day: int


class Watch:
    """Counts, closes and breakers of one account; `measure` says how it stands for one order.

    `standing` is the state of the kill switch, `unknown_orders` how many orders have an unknown outcome now. Counts
    are of approved orders by the time of their slice: those of the last minute and of this UTC day. A day that was
    counted never begins again, whatever the clock does.
    """

    def __init__(
        self,
        settings: LimitSettings,
        standing: Standing | None = None,
        unknown_orders: Callable[[], int] = lambda: 0,
    ) -> None:
        self.limits = limits_of_account(settings)
        self.standing = standing or Standing()
        self.breakers = Breakers(settings)
        self.unknown_orders = unknown_orders
        self._median_closes = settings.median_closes
        self._correlation_closes = settings.correlation_closes
        self._correlated_from = settings.correlated_from
        kept = max(settings.median_closes, settings.correlation_closes)
        self._closes: deque[tuple[FloatArray, Any]] = deque(maxlen=kept)
        self._pairs: tuple[Pair, ...] = ()
        self._at = 0
        self._day = -1
        self._orders: deque[int] = deque()
        self._messages: deque[int] = deque()
        self._today = {"orders": 0, "messages": 0, "manual": 0}
        self._approved: dict[tuple[Pair, Side, Decimal], int] = {}
        self._references: dict[str, Decimal] = {}

    # --- what happens --------------------------------------------------------------------------------------------

    def on_slice(self, snapshot: Snapshot, equity: Decimal) -> None:
        """A slice is about to be decided: its closes, and the account's equity with open positions."""
        self._pairs, self._at = snapshot.pairs, snapshot.at
        self._turn(snapshot.at)
        self.breakers.on_equity(snapshot.at, equity)
        if snapshot.bars is not None:
            self._closes.append((snapshot.close, snapshot.fresh))  # nobody writes what a snapshot shows

    def on_fills(self, fills: Iterable[Fill], trades: Iterable[Trade]) -> None:
        """Executions, and the round trips that they closed."""
        for fill in fills:
            reference = self._references.get(fill.order_id)
            if reference is not None:
                self.breakers.on_slippage(_slipped(fill, reference))
            if fill.final:
                self._references.pop(fill.order_id, None)
        for trade in trades:
            self.breakers.on_trade(trade.profit)

    def on_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """What became of orders: rejections are counted among the last orders sent."""
        for outcome in outcomes:
            if outcome.state == "rejected":
                self.rejected(outcome.order_id)

    def rejected(self, order_id: str) -> None:
        """The venue did not take an order."""
        self._references.pop(order_id, None)
        self.breakers.on_rejected(order_id)

    def approved(self, order: Order, at: int) -> None:
        """The gate let an order through: it counts from now on."""
        self._turn(at)
        self._messages.append(at)
        self._today["messages"] += 1
        self._approved[order.pair, order.side, order.amount] = at
        self.breakers.on_sent(order.id)
        self._references[order.id] = order.reference
        if len(self._references) > _REFERENCES_KEPT:
            del self._references[next(iter(self._references))]
        if order.side is Side.BUY:
            self._orders.append(at)
            self._today["orders"] += 1
            self._today["manual"] += order.reason == "manual"

    def forgive(self) -> None:
        """Somebody resumed, knowing what happened: breakers close and count anew from here."""
        self.breakers.forgive()

    def _turn(self, at: int) -> None:
        day = at // DAY_MS
        if day > self._day:
            self._day, self._today = day, dict.fromkeys(self._today, 0)
        if self._messages:  # every order is a message
            for times in (self._orders, self._messages):
                while times and at - times[0] >= MINUTE_MS:
                    times.popleft()
        if self._approved:
            window = self.limits.duplicate_ms
            if min(self._approved.values()) < at - window:
                self._approved = {key: when for key, when in self._approved.items() if at - when <= window}

    # --- how it stands -------------------------------------------------------------------------------------------

    def measure(self, order: Order, state: SpineState) -> Exposure:
        """How the account stands for one order, before it counts."""
        snapshot, throw = state.snapshot, self.standing.of(order.pair)
        self._turn(snapshot.at)
        committed, buying, asset = commitments(state), order.side is Side.BUY, base(order.pair)
        median, last = self._prices(order.pair, snapshot)
        approved = self._approved.get((order.pair, order.side, order.amount))
        return Exposure(
            level=Level.ACTIVE.value if throw is None else throw.level.value,
            why="" if throw is None else throw.reason,
            position_quote=committed.get(order.pair, ZERO),
            gross_quote=sum(committed.values(), ZERO),
            asset_quote=sum([quote for pair, quote in committed.items() if base(pair) == asset], ZERO),
            correlated_quote=self._correlated(order.pair, committed, snapshot.pairs) if buying else ZERO,
            median=median,
            last=last,
            orders_minute=len(self._orders),
            orders_day=self._today["orders"],
            manual_orders_day=self._today["manual"],
            messages_minute=len(self._messages),
            messages_day=self._today["messages"],
            open_orders=len(state.open_orders),
            repeated_ms=None if approved is None else max(0, snapshot.at - approved),
            on_the_way=any(_same(order, other) for other in state.open_orders),
            crosses=any(crosses(order, other) for other in state.open_orders),
            unknown_orders=self.unknown_orders(),
            tripped=self.breakers.tripped,
        )

    def _prices(self, pair: Pair, snapshot: Snapshot) -> tuple[Decimal | None, Decimal | None]:
        """The median of the last closes of a pair, and the newest one."""
        index = snapshot.pairs.index(pair)
        own = (close.item(index) for close, fresh in reversed(self._closes) if fresh.item(index))
        closes = list(islice(own, self._median_closes))
        newest = snapshot.close.item(index)
        last = None if isnan(newest) else money(newest)
        return (money(_median(closes)), last) if closes else (None, last)

    def usage(self, positions: Mapping[Pair, Position]) -> Usage:
        """What is used up of the limits; from any thread, for people."""
        closes = self._closes[-1][0] if self._closes else None
        pairs, held = self._pairs, {}
        for pair, position in dict(positions).items():
            close = float("nan") if closes is None or pair not in pairs else float(closes[pairs.index(pair)])
            held[pair] = position.amount * (position.entry if isnan(close) else money(close))
        known = [pair for pair in held if pair in pairs]
        groups = (self._correlated(pair, {other: held[other] for other in known}, pairs) for pair in known)
        minute = [sum(self._at - at < MINUTE_MS for at in tuple(times)) for times in (self._orders, self._messages)]
        today = self._today
        return Usage(
            held, max(groups, default=ZERO), minute[0], today["orders"], today["manual"], minute[1], today["messages"]
        )

    def _correlated(self, pair: Pair, committed: Mapping[Pair, Decimal], pairs: Sequence[Pair]) -> Decimal:
        """What is committed to pairs that move with this one, itself included; an unknown correlation counts."""
        others = [other for other in committed if other != pair]
        own = self._returns(pairs.index(pair)) if others else []
        moving = (
            committed[other]
            for other in others
            if correlation(own, self._returns(pairs.index(other))) >= self._correlated_from
        )
        return sum(moving, committed.get(pair, ZERO))

    def _returns(self, index: int) -> list[float]:
        closes = [float(close[index]) for close, _ in tuple(self._closes)][-self._correlation_closes :]
        return [after / before - 1.0 for before, after in pairwise(closes)]

    # --- what survives a restart ---------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Counts, closes and breakers."""
        return {
            "closes": [close.tolist() for close, _ in self._closes],
            "fresh": [fresh.tolist() for _, fresh in self._closes],
            "pairs": list(self._pairs),
            "at": self._at,
            "day": self._day,
            "orders": list(self._orders),
            "messages": list(self._messages),
            "today": dict(self._today),
            "approved": [[pair, side.value, str(amount), at] for (pair, side, amount), at in self._approved.items()],
            "references": {name: str(price) for name, price in self._references.items()},
            "breakers": self.breakers.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._closes.clear()
        for closes, fresh in zip(state["closes"], state["fresh"], strict=True):
            self._closes.append((np.array(closes, dtype=np.float64), np.array(fresh, dtype=np.bool_)))
        self._pairs = tuple(map(Pair, state["pairs"]))
        self._at, self._day = state["at"], state["day"]
        self._orders, self._messages = deque(state["orders"]), deque(state["messages"])
        self._today = dict(state["today"])
        self._approved = {(Pair(pair), Side(s), Decimal(amount)): at for pair, s, amount, at in state["approved"]}
        self._references = {name: Decimal(price) for name, price in state["references"].items()}
        self.breakers.restore(state["breakers"])


def base(pair: Pair) -> str:
    """The asset that a pair trades."""
    return pair.partition("/")[0]


def commitments(state: SpineState) -> dict[Pair, Decimal]:
    """Quote currency in each pair: what is held at the newest close, and what is being bought at its reference."""
    snapshot = state.snapshot
    committed = {pair: position.amount * price_of(position, snapshot) for pair, position in state.positions.items()}
    for order in state.open_orders:
        if order.side is Side.BUY:
            committed[order.pair] = committed.get(order.pair, ZERO) + order.amount * order.reference
    return committed


def price_of(position: Position, snapshot: Snapshot) -> Decimal:
    """The newest close of a held pair; its entry where none is known."""
    close = snapshot.close.item(snapshot.pairs.index(position.pair))
    return position.entry if isnan(close) else money(close)


def crosses(order: Order, other: Order) -> bool:
    """Whether two of our own orders would trade with each other; a stop that rests is not in the book."""
    if order.pair != other.pair or order.side is other.side or other.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT):
        return False
    if order.limit is None or other.limit is None:
        return True
    return order.limit >= other.limit if order.side is Side.BUY else order.limit <= other.limit


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's r of two series of returns; 1 where it is not known, 0 where one of them does not move.

    >>> correlation([0.1, -0.1, 0.2], [0.2, -0.2, 0.4]), correlation([0.1], [0.2])
    (1.0, 1.0)
    """
    both = [(a, b) for a, b in zip(one, other, strict=False) if not isnan(a + b)]
    if len(both) < _LEAST_RETURNS:
        return 1.0
    mean_a, mean_b = fsum(a for a, _ in both) / len(both), fsum(b for _, b in both) / len(both)
    spread_a, spread_b = fsum((a - mean_a) ** 2 for a, _ in both), fsum((b - mean_b) ** 2 for _, b in both)
    if spread_a == 0.0 or spread_b == 0.0:
        return 0.0
    together = fsum((a - mean_a) * (b - mean_b) for a, b in both)
    return max(-1.0, min(1.0, together / sqrt(spread_a) / sqrt(spread_b)))


def _same(order: Order, other: Order) -> bool:
    """Whether an equal order still waits, other than as a resting stop."""
    return (order.pair, order.side, order.amount, order.kind) == (other.pair, other.side, other.amount, other.kind)


def _median(values: Sequence[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else ordered[half - 1] + (ordered[half] - ordered[half - 1]) / 2


def _slipped(fill: Fill, reference: Decimal) -> Decimal:
    """How much worse than the price it was decided on an order was filled, as a ratio, slippage included."""
    worse = fill.price - reference if fill.side is Side.BUY else reference - fill.price
    return worse / reference + (fill.slippage / fill.notional if fill.notional else ZERO)
