"""What tests of the policies are made of: settings, positions, prices, contexts and a venue that forgives nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from typing import Any

import numpy as np
import yaml

from src.core.config import Settings
from src.core.config_policies import Policies
from src.core.market import FEATURE_INDEX, FEATURES
from src.core.ports import SpineState
from src.core.types import Order, OrderId, OrderKind, Pair, Position, Side, Snapshot, Stage
from src.services.supervisor.context import AccountFacts, Ages, Crowd, PositionProgress, SymbolContext, Working
from src.services.supervisor.policies import POLICIES, Policy
from src.services.supervisor.policy_supervisor import PolicySupervisor
from src.services.supervisor.portfolio_state import PortfolioState
from tests.money import BTC, HOUR, NAMESPACE, PAIRS, SHIPPED, START, closed_at
from tests.worlds import ROOT

_PLAIN: dict[str, Any] = yaml.safe_load((ROOT / "config" / "agent_config.yaml").read_text())["policies"]
ONE = Decimal(1)
STOP_RATIO = Decimal("0.05")
"""R of an entry at 100 is 5."""


def tree(**states: str) -> Settings:
    """The shipped settings with these policies in other states."""
    return SHIPPED.model_copy(update={"policies": policies(**{f"states__{name}": one for name, one in states.items()})})


def only(**states: str) -> Settings:
    """Settings in which every policy that is not named is off."""
    return tree(**(dict.fromkeys(POLICIES, "off") | states))


def policies(**changes: object) -> Policies:
    """The settings of the policies, with changes."""
    plain = deepcopy(_PLAIN)
    for name, value in changes.items():
        *path, leaf = name.split("__")
        section = plain
        for part in path:
            section = section[part]
        section[leaf] = value
    return Policies.model_validate(plain)


def policy(name: str, **changes: object) -> Policy:
    """A policy with the shipped settings, balanced unless told otherwise."""
    return POLICIES[name](policies(**({"profile": "balanced"} | changes)))


def stop(
    trigger: str, amount: str = "10", name: str = "s-1", pair: Pair = BTC, kind: OrderKind = OrderKind.STOP_LIMIT
) -> Order:
    """A protective stop."""
    price = Decimal(trigger)
    return Order(
        OrderId(name), pair, Side.SELL, Decimal(amount), kind, closed_at(0), price, "stop", trigger=price, limit=price
    )


def sell(amount: str, name: str = "x-1", pair: Pair = BTC) -> Order:
    """A market sell on its way."""
    return Order(OrderId(name), pair, Side.SELL, Decimal(amount), OrderKind.MARKET, closed_at(0), ONE, "exit")


def held(
    amount: str = "10", entry: str = "100", pair: Pair = BTC, leave_at: int | None = None, opened: int = START
) -> Position:
    """A position."""
    return Position(pair, Decimal(amount), Decimal(entry), Decimal(amount) * Decimal(entry), opened, leave_at)


def snapshot(
    at: int,
    closes: Mapping[Pair, float],
    seen_at: Mapping[Pair, int] | None = None,
    volatility: float = 0.001,
    adx: float = 10.0,
) -> Snapshot:
    """A snapshot with prices, of this slice unless told otherwise."""
    features = np.zeros((len(PAIRS), len(FEATURES)))
    features[:, FEATURE_INDEX["adx"]] = adx / 50.0
    seen = np.array([(seen_at or {}).get(pair, at) for pair in PAIRS], np.int64)
    return Snapshot(
        at=at,
        interval_ms=HOUR,
        grid=at // HOUR,
        pairs=PAIRS,
        fresh=seen == at,
        close=np.array([closes.get(pair, np.nan) for pair in PAIRS]),
        features=features,
        indicators=np.empty((len(PAIRS), 0)),
        volatility=np.full(len(PAIRS), volatility),
        bars=None,
        simulated=True,
        seen_at=seen,
    )


def spine(
    at: int,
    positions: Mapping[Pair, Position],
    orders: Sequence[Order],
    closes: Mapping[Pair, float],
    equity: str = "10000",
    **market: float,
) -> SpineState:
    """An account in a slice."""
    money = Decimal(equity)
    return SpineState(
        snapshot(at, closes, **market),
        positions,
        orders,
        money,
        money,
        money,
        "",
        True,
        Decimal(0),  # type: ignore[arg-type]
    )


def context(
    price: str | None = "100",
    best: str | None = None,
    stops: Sequence[Order] = (stop("95"),),
    amount: str = "10",
    original: str = "10",
    leaving: str = "0",
    tight: str = "95",
    initial: str = "95",
    entry: str = "100",
    **changes: object,
) -> SymbolContext:
    """A symbol bought at 100 with its stop at 95, so that R is 5; ten held of ten."""
    position = held(amount, entry)
    top = max(Decimal(best or price or entry), Decimal(entry))
    fields: dict[str, object] = {
        "pair": BTC,
        "at": closed_at(10),
        "position": position,
        "progress": PositionProgress(
            START, Decimal(entry), Decimal(initial), Decimal(original), Decimal(amount), top, Decimal(tight), ONE
        ),
        "stops": tuple(Working(order) for order in stops),
        "leaving": Decimal(leaving),
        "price": None if price is None else Decimal(price),
        "volatility": 0.01,
        "trend": 10.0,
        "opposed": False,
        "asked_out": False,
        "allowed": ONE,
        "life": Stage.ACTIVE,
        "account": AccountFacts(Decimal(10000), Decimal(10000), Decimal(5000), Decimal(0)),
        "crowd": None,
        "fresh": price is not None,
        "ages": Ages(HOUR, 0, 0),
        "stop_ratio": STOP_RATIO,
    }
    return SymbolContext(**(fields | changes))  # type: ignore[arg-type]


def crowd(*pairs: Pair, leaving: tuple[Pair, ...] = (BTC,)) -> Crowd:
    """A group that is too large."""
    return Crowd(pairs, Decimal("0.6"), leaving)


def book(config: Settings | None = None) -> PortfolioState:
    """A portfolio state that has seen nothing."""
    config = config or tree()
    return PortfolioState(config.policies, config.account.stop_ratio, lambda pair: ONE, lambda pair: None)


def supervisor(config: Settings) -> PolicySupervisor:
    """A supervisor with policies."""
    return PolicySupervisor(config.policies, config.account, NAMESPACE)


class StrictVenue:
    """Holds positions and orders and refuses whatever a careful venue would: every step of every plan is checked."""

    def __init__(self, positions: Mapping[Pair, Position], orders: Sequence[Order]) -> None:
        self.positions = dict(positions)
        self.orders = {order.id: order for order in orders}
        self.best_stop: dict[Pair, Decimal] = {}
        self._check()

    def carry_out(self, steps: Sequence[OrderId | Order]) -> None:
        """Do the steps in order, looking at everything after each of them."""
        for step in steps:
            if isinstance(step, Order):
                assert step.id not in self.orders, "an id twice"
                self.orders[step.id] = step
            else:
                del self.orders[step]
            self._check()

    def fill(self, order_id: OrderId, part: Decimal) -> None:
        """Fill a part of a sell, at most all of it."""
        order = self.orders.pop(order_id)
        amount = min(part, order.amount)
        position = self.positions[order.pair]
        left = position.amount - amount
        if left > 0:
            self.positions[order.pair] = Position(
                order.pair, left, position.entry, left * position.entry, position.opened_at, position.leave_at
            )
        else:
            del self.positions[order.pair]
            self.orders = {name: one for name, one in self.orders.items() if one.pair != order.pair}
        if amount < order.amount and left > 0:
            rest = order.amount - amount
            self.orders[order_id] = Order(
                order.id, order.pair, order.side, rest, order.kind, order.at, order.reference, order.reason,
                trigger=order.trigger, limit=order.limit,
            )  # fmt: skip
        self._check()

    def _check(self) -> None:
        for pair, position in self.positions.items():
            mine = [order for order in self.orders.values() if order.pair == pair]
            sells = [order for order in mine if order.side is Side.SELL]
            assert sum((order.amount for order in sells), Decimal(0)) <= position.amount, "more is sold than held"
            stops = [order for order in sells if order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)]
            assert len(stops) <= 1, "two stops"
            assert not (sells and any(order.side is Side.BUY for order in mine)), "both sides live"
            for order in stops:
                assert order.trigger is not None
                before = self.best_stop.get(pair, order.trigger)
                assert order.trigger >= before, "a stop went back"
                self.best_stop[pair] = order.trigger
        assert all(order.pair in self.positions for order in self.orders.values() if order.side is Side.SELL)
        self.best_stop = {pair: one for pair, one in self.best_stop.items() if pair in self.positions}
