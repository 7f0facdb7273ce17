"""A supervisor with many positions and every policy on, for the benchmark of its cycle."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import msgspec
import numpy as np

from ..core.config import Settings
from ..core.market import FEATURES
from ..core.portfolio import money
from ..core.ports import SpineState
from ..core.types import FloatArray, Order, OrderId, OrderKind, Pair, Position, Side, Snapshot
from ..services.supervisor.policies import POLICIES
from ..services.supervisor.policy_supervisor import PolicySupervisor

# The fixed design of the instrument, deliberately no settings.
START_MS, INTERVAL_MS, SEED, ENTRY, STEP, OWN = 1_609_459_200_000, 60_000, 7, 100.0, 0.01, 0.3


def cycle(settings: Settings, positions: int) -> Callable[[], object]:
    """The next cycle with every policy on."""
    states = settings.policies.states.model_copy(update=dict.fromkeys(POLICIES, "on"))
    policies = settings.policies.model_copy(update={"states": states})
    return cycle_of(PolicySupervisor(policies, settings.account, UUID(int=SEED)), settings, positions)


def cycle_of(supervisor: PolicySupervisor, settings: Settings, positions: int) -> Callable[[], object]:
    """The next cycle: a minute passed, all prices moved by about a percent, no order is carried out."""
    pairs = tuple(Pair(f"P{number:03}/USD") for number in range(positions))
    held = {pair: _position(pair) for pair in pairs}
    stops = [_stop(pair, settings.account.stop_ratio) for pair in pairs]
    cash = Decimal(round(ENTRY)) * positions
    random = np.random.Generator(np.random.PCG64(SEED))
    close = np.full(positions, ENTRY)
    state = SpineState(_snapshot(pairs, close, START_MS), held, stops, cash, 2 * cash, 2 * cash, "", True, Decimal(0))

    def step() -> object:
        moves = random.standard_normal() + OWN * random.standard_normal(positions)  # they move alike, as assets do
        close[:] = np.clip(close * (1.0 + STEP * moves), ENTRY * 0.97, ENTRY * 1.3)
        state.snapshot = _snapshot(pairs, close.copy(), state.snapshot.at + INTERVAL_MS)
        orders = supervisor.plan((), (), (), state)
        return orders, supervisor.rows()

    return step


def _position(pair: Pair) -> Position:
    one = Decimal(1)
    return Position(pair, one, money(ENTRY), money(ENTRY), START_MS)


def _stop(pair: Pair, ratio: Decimal) -> Order:
    trigger = money(ENTRY) * (1 - ratio)
    order = Order(OrderId(f"{pair}-stop"), pair, Side.SELL, Decimal(1), OrderKind.STOP, START_MS, money(ENTRY), "stop")
    return msgspec.structs.replace(order, trigger=trigger)


def _snapshot(pairs: tuple[Pair, ...], close: FloatArray, at: int) -> Snapshot:
    count = len(pairs)
    return Snapshot(
        at=at,
        interval_ms=INTERVAL_MS,
        grid=at // INTERVAL_MS,
        pairs=pairs,
        fresh=np.ones(count, np.bool_),
        close=close,
        features=np.full((count, len(FEATURES)), 0.4),
        indicators=np.empty((count, 0)),
        volatility=np.full(count, STEP / 10),
        bars=None,
        simulated=True,
        seen_at=np.full(count, at, np.int64),
    )
