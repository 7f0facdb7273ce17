"""The one view of positions and their orders from which policies decide; nobody but this file changes it.

Amounts come from the portfolio, which fills alone change: this file keeps no second count of what is held, only what a
position has been through, such as its original amount, its initial stop and its best price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ...core.config_policies import Policies
from ...core.errors import InvariantError, MycelialError, NotFound
from ...core.market import FEATURE_INDEX
from ...core.moats import MOATS
from ...core.portfolio import money
from ...core.ports import SpineState
from ...core.timeframes import DAY_MS
from ...core.types import NEVER, Order, OrderId, Pair, Position, Side, Snapshot, Stage
from ..portfolio_risk import ReturnWindow, coordinated_exits, crowds_of
from .context import (
    PROTECTIVE,
    ZERO,
    AccountFacts,
    Ages,
    Crowd,
    LadderStage,
    PositionProgress,
    SymbolContext,
    Working,
    stop_price,
)

_ADX = FEATURE_INDEX["adx"]
_ADX_POINTS = 50.0  # of the feature: it is ADX / 50
HOUR_MS = 3_600_000


class Fault(msgspec.Struct, frozen=True):
    """A symbol, and where it says so a policy, that failed; the others went on."""

    pair: Pair
    policy: str
    error: str


class Seen(msgspec.Struct, frozen=True):
    """The contexts of one cycle, by pair, and the symbols of which none could be made."""

    at: int
    contexts: tuple[SymbolContext, ...]
    faults: tuple[Fault, ...] = ()


class PortfolioState:
    """Watches an account slice by slice; `observe` and `asked_for` lead in, frozen contexts out.

    `multiplier` and `life` tell how large an asset may be and where it stands in its life. `crowded` says whether
    groups of alike assets are looked for, which costs most.
    """

    def __init__(
        self,
        settings: Policies,
        stop_ratio: Decimal,
        multiplier: Callable[[Pair], Decimal],
        life: Callable[[Pair], Stage | None],
    ) -> None:
        self._settings = settings
        self._stop_ratio = stop_ratio
        self._multiplier = multiplier
        self._life = life
        self._progress: dict[Pair, PositionProgress] = {}
        self._returns = ReturnWindow(settings.portfolio.window_intervals)
        self._day = NEVER
        self._day_equity = self._equity = ZERO
        self._seen = Seen(NEVER, ())

    def observe(
        self,
        state: SpineState,
        opposed: Collection[Pair] = (),
        asked_out: Collection[Pair] = (),
        statuses: Mapping[OrderId, str] = {},
        crowded: bool = False,
    ) -> Seen:
        """Take in the account as it stands. `statuses`: of orders at the venue, `open` where it says nothing."""
        self._begin_day(state)
        if state.snapshot.bars is not None or crowded:
            self._returns.push(state.snapshot.pairs, state.snapshot.close, state.snapshot.at)
        working: dict[Pair, list[Working]] = {}
        for order in state.open_orders:
            working.setdefault(order.pair, []).append(Working(order, statuses.get(order.id, "open")))
        contexts: list[SymbolContext] = []
        faults: list[Fault] = []
        crowds = self._crowds(state) if crowded else {}
        facts = self._facts(state)
        for pair in sorted(state.positions):
            try:
                mine = [one for one in working.get(pair, ()) if one.live]
                context = self._context(pair, mine, state, facts, crowds.get(pair), pair in opposed, pair in asked_out)
                contexts.append(context)
            except InvariantError:
                raise
            except (MycelialError, ArithmeticError, LookupError, ValueError) as error:
                faults.append(Fault(pair, "", f"{type(error).__name__}: {error}"))
        self._progress = {pair: one for pair, one in self._progress.items() if pair in state.positions}
        self._seen = Seen(state.snapshot.at, tuple(contexts), tuple(faults))
        return self._seen

    @property
    def returns(self) -> ReturnWindow:
        """The newest closes; of no use to anybody but a measure of risk."""
        return self._returns

    @property
    def seen(self) -> Seen:
        """What was observed last."""
        return self._seen

    def context(self, pair: Pair) -> SymbolContext:
        """Everything about a held symbol, as of the last observation; NotFound where it is not held."""
        for one in self._seen.contexts:
            if one.pair == pair:
                return one
        raise NotFound(f"{pair} is not held")

    def position_with_orders(self, pair: Pair) -> tuple[Position, tuple[Order, ...]]:
        """A position and its live protective stops; NotFound where the symbol is not held."""
        context = self.context(pair)
        return context.position, tuple(one.order for one in context.stops)

    def asked_for(self, pair: Pair, stop: Decimal) -> None:
        """A stop was asked for: whatever becomes of it, none below it will be asked for later."""
        before = self._progress[pair]
        self._progress[pair] = msgspec.structs.replace(before, tight=before.units.safest(before.tight, stop))

    def _context(
        self,
        pair: Pair,
        mine: Sequence[Working],
        state: SpineState,
        facts: AccountFacts,
        crowd: Crowd | None,
        opposed: bool,
        asked_out: bool,
    ) -> SymbolContext:
        snapshot, position = state.snapshot, state.positions[pair]
        index = snapshot.pairs.index(pair)
        close = float(snapshot.close[index])
        price = money(close) if close > 0 else None
        stops = self._stops(mine)
        allowed = self._multiplier(pair)
        progress = self._progressed(pair, position, stops, price, allowed)
        sells = (one.order for one in mine if one.order.side is Side.SELL and one.order.kind not in PROTECTIVE)
        return SymbolContext(
            pair=pair,
            at=snapshot.at,
            position=position,
            progress=progress,
            stops=stops,
            leaving=sum((order.amount for order in sells), ZERO),
            price=price,
            volatility=self._volatility(snapshot, index),
            trend=_trend(snapshot, index),
            opposed=opposed,
            asked_out=asked_out,
            allowed=allowed,
            life=self._life(pair),
            account=facts,
            crowd=crowd,
            fresh=price is not None and self._is_fresh(snapshot, index),
            ages=_ages(snapshot, index, position, mine, price),
            stop_ratio=self._stop_ratio,
        )

    def _stops(self, mine: Sequence[Working]) -> tuple[Working, ...]:
        """Protective stops, the most protective first; equal ones by id."""
        stops = [one for one in mine if one.order.side is Side.SELL and one.order.kind in PROTECTIVE]
        return tuple(sorted(stops, key=lambda one: (-stop_price(one.order, self._stop_ratio), one.order.id)))

    def _progressed(
        self, pair: Pair, position: Position, stops: Sequence[Working], price: Decimal | None, allowed: Decimal
    ) -> PositionProgress:
        before = self._progress.get(pair)
        if before is None or before.opened_at != position.opened_at:
            before = self._begun(position, stops, allowed)
        grown = max(position.amount - before.amount, ZERO)
        entry, initial = before.entry, before.initial_stop
        if grown and not before.sold:  # the entry is still being filled: its mean price moves, and R with it
            entry, initial = position.entry, position.entry * (1 - self._stop_ratio)
        units = before.units
        tight = before.tight
        if stops:
            tight = units.safest(tight, stop_price(stops[0].order, self._stop_ratio))
        now = msgspec.structs.replace(
            before,
            entry=entry,
            initial_stop=initial,
            original=before.original + grown,
            amount=position.amount,
            best=before.best if price is None else units.safest(before.best, price),
            tight=tight,
        )
        self._progress[pair] = now = msgspec.structs.replace(now, stage=self._stage(now))
        return now

    def _begun(self, position: Position, stops: Sequence[Working], allowed: Decimal) -> PositionProgress:
        """R by the stop that the position came with, else by the one it should have come with."""
        initial = position.entry * (1 - self._stop_ratio)
        if stops and ZERO < (first := stop_price(stops[0].order, self._stop_ratio)) < position.entry:
            initial = first
        return PositionProgress(
            opened_at=position.opened_at,
            entry=position.entry,
            initial_stop=initial,
            original=position.amount,
            amount=position.amount,
            best=position.entry,
            tight=initial,
            size=allowed,
        )

    def _stage(self, progress: PositionProgress) -> LadderStage:
        """By what was sold, then by the best price; never back."""
        rungs, sold, steps = self._settings.ladder, ZERO, 0
        for rung in rungs:
            sold += rung.sell_ratio
            if rung.sell_ratio and progress.sold >= sold * progress.original:
                steps += 1
        if steps:
            return max(progress.stage, LadderStage(min(1 + steps, LadderStage.FINAL)))
        if progress.units.reached(progress.best, rungs[0].at_r):
            return max(progress.stage, LadderStage.BREAKEVEN_PROTECTED)
        return progress.stage

    def _volatility(self, snapshot: Snapshot, index: int) -> float | None:
        """Of the move over `volatility_hours`: that of one interval times the root of how many there are."""
        one = float(snapshot.volatility[index])
        span = self._settings.volatility_hours * HOUR_MS / snapshot.interval_ms
        return one * math.sqrt(span) if math.isfinite(one) else None

    def _is_fresh(self, snapshot: Snapshot, index: int) -> bool:
        age = _price_age(snapshot, index)
        return age is not None and age <= self._settings.max_price_age_intervals * snapshot.interval_ms

    def _begin_day(self, state: SpineState) -> None:
        """A UTC day begins with the equity that the one before ended with."""
        day = (state.snapshot.at - 1) // DAY_MS  # what is known at midnight belongs to the day that ends
        if day != self._day:
            self._day_equity = state.equity if self._day == NEVER else self._equity
            self._day = day
        self._equity = state.equity

    def _facts(self, state: SpineState) -> AccountFacts:
        lost = ZERO if self._day_equity <= 0 else 1 - state.equity / self._day_equity
        return AccountFacts(state.equity, state.peak_equity, state.cash, lost)

    def _crowds(self, state: SpineState) -> dict[Pair, Crowd]:
        """Groups of held assets that move alike and are together too large a part of the account."""
        snapshot, rule = state.snapshot, self._settings.portfolio
        values: dict[Pair, Decimal] = {}
        gains: dict[Pair, Decimal] = {}
        for pair, position in state.positions.items():
            close = float(snapshot.close[snapshot.pairs.index(pair)])
            if close > 0:
                values[pair] = position.amount * money(close)
                gains[pair] = money(close) / position.entry
        found: dict[Pair, Crowd] = {}
        for group in crowds_of(self._returns, sorted(values), rule.correlated, rule.min_intervals):
            together = {pair: values[pair] for pair in group}
            worth = sum(together.values(), ZERO)
            excess = worth - rule.max_group_ratio * state.equity
            if excess > 0 and state.equity > 0:
                exits = coordinated_exits(together, gains, "correlated", excess)
                crowd = Crowd(group, worth / state.equity, tuple(one.pair for one in exits))
                found |= dict.fromkeys(group, crowd)
        return found

    def state(self) -> dict[str, Any]:
        """What a restart needs: what positions have been through, the day, and the newest prices."""
        return {
            "progress": {pair: msgspec.to_builtins(one) for pair, one in self._progress.items()},
            "day": self._day,
            "day_equity": str(self._day_equity),
            "equity": str(self._equity),
            "returns": self._returns.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._progress = {Pair(pair): msgspec.convert(one, PositionProgress) for pair, one in state["progress"].items()}
        self._day = state["day"]
        self._day_equity, self._equity = Decimal(state["day_equity"]), Decimal(state["equity"])
        self._returns.restore(state["returns"])


def _price_age(snapshot: Snapshot, index: int) -> int | None:
    """How long ago the newest bar of a pair became known (ms); None where it never had one."""
    if snapshot.seen_at is None:
        return 0 if snapshot.fresh[index] else None
    seen = int(snapshot.seen_at[index])
    return None if seen == NEVER else snapshot.at - seen


def _trend(snapshot: Snapshot, index: int) -> float | None:
    if snapshot.features.shape[1] <= _ADX:
        return None
    adx = float(snapshot.features[index, _ADX])
    return adx * _ADX_POINTS if math.isfinite(adx) else None


def _ages(snapshot: Snapshot, index: int, position: Position, mine: Sequence[Working], price: Decimal | None) -> Ages:
    newest = max((one.order.at for one in mine), default=None)
    return Ages(
        position=snapshot.at - position.opened_at,
        orders=None if newest is None else snapshot.at - newest,
        price=None if price is None else _price_age(snapshot, index),
        moats=_moat_ages(snapshot),
    )


def _moat_ages(snapshot: Snapshot) -> Mapping[str, int | None]:
    """Since when each moat said something new; the four of them are told by place."""
    view = snapshot.moats
    if view is None:
        return {}
    return {name: None if at is None else snapshot.at - at for name, at in zip(MOATS, view.news_at, strict=True)}
