"""An exchange that outlives whoever trades on it: it stands in the test's process, the order path in one that dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from src.backtesting.simulated_kraken import SimulatedKraken
from src.backtesting.simulation.draws import Draws
from src.backtesting.simulation.market import LISTED, SimulatedTicks, stepped
from src.backtesting.simulation.network import FaultyLink
from src.backtesting.simulation.schedule import MESSAGES, PAIRS, START, Fault
from src.backtesting.simulation.world import World
from src.backtesting.venue.rules import VenueRules
from src.backtesting.venue.server import VenueServer
from src.core.portfolio import floor_amount
from src.core.types import Order, OrderId, OrderKind, Pair, Side
from src.core.venue import VenueEvent
from tests.worlds import settings

LOOK_MS = 250
"""Virtual time that passes between two looks of the process."""
QUOTE, ENTRY = Decimal(10_000), Decimal(400)
STOPS = (None, Decimal("0.01"), Decimal("0.03"))
AGAIN = 3
"""So many of the last wishes are wished again in a new life: nobody heard whether they were taken."""
QUIET_MS = 5_000
RULES = VenueRules(
    LISTED, decimals=8, max_open=80, threshold=500.0, decay=20.0, calls=400.0, calls_decay=40.0, instant=True
)


class Told(msgspec.Struct, frozen=True):
    """What a process hears when it looks: the time, what the venue says, prices, and what is wished for."""

    now: int
    events: Sequence[VenueEvent]
    prices: dict[Pair, Decimal]
    wishes: Sequence[Order]
    finish: bool


class Rest(msgspec.Struct, frozen=True):
    """What a process holds to be true when nothing fails any more; amounts by order id, fills by execution id."""

    ready: bool
    halted: tuple[str, ...]
    unknown: tuple[str, ...]
    open_orders: dict[str, Decimal]
    positions: dict[Pair, Decimal]
    fills: tuple[str, ...]
    replayed: bool


class Exchange:
    """A simulated Kraken, its market, the network before it, and somebody with wishes; all drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.world = world = World(START)
        self._draws = Draws(seed, "wishes")
        faults = tuple(_network(Draws(seed, "faults")))
        self.link = FaultyLink(world, faults, Draws(seed, "network"), lambda: None)
        self.server = VenueServer(RULES, settings().costs, QUOTE)
        self.kraken = SimulatedKraken(self.server, self.link, lambda: world.now)
        self.market = SimulatedTicks(world, self.kraken, Draws(seed, "market"))
        self.orders: list[Order] = []
        self._seed = seed
        self._again: list[Order] = []
        self._finish_at: int | None = None

    def begin_life(self) -> None:
        """A process connects."""
        self.link.begin_life(self.server.status)
        self._again = self.orders[-AGAIN:]

    def calm(self, ms: int) -> None:
        """Nothing fails from here on, nothing is wished for; the process may say how it stands after so long."""
        self.link.calm = True
        self._finish_at = self.world.now + ms
        self.world.at(self._finish_at - QUIET_MS, lambda: setattr(self.market, "closed", True))

    def look(self) -> Told:
        """Let time pass, and tell."""
        self.world.run(self.world.now + LOOK_MS)
        prices = {pair: self.market.price(pair) for pair in PAIRS}
        calm = self._finish_at is not None
        wishes = [] if calm or not self._draws.chance(0.2) else self._wishes()
        finish = self._finish_at is not None and self.world.now >= self._finish_at
        return Told(self.world.now, tuple(self.kraken.events()), prices, wishes, finish)

    def request(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A request reached the network."""
        getattr(self.kraken, name)(*arguments)

    def _wishes(self) -> list[Order]:
        if self._again:
            return [self._again.pop()]
        order = self._wish()
        if order is None:
            return []
        self.orders.append(order)
        return [order]

    def _wish(self) -> Order | None:
        pair, kind = self._draws.pick(PAIRS), self._draws.pick(("buy", "buy", "bid", "sell", "sell"))
        price, buys = self.market.price(pair), kind != "sell"
        whole = ENTRY / price if buys else self.server.purse.base.get(pair, Decimal(0))
        amount = floor_amount(whole * Decimal(self._draws.whole(300, 1000)) / 1000, RULES.decimals)
        if amount <= 0:
            return None
        limit = stepped(pair, price * Decimal("0.998")) if kind == "bid" else None
        return Order(
            id=OrderId(f"{self._seed}-{len(self.orders)}"),
            pair=pair,
            side=Side.BUY if buys else Side.SELL,
            amount=amount,
            kind=OrderKind.LIMIT if limit else OrderKind.MARKET,
            at=self.world.now,
            reference=price,
            reason=kind,
            stop=self._draws.pick(STOPS) if buys else None,
            limit=limit,
        )

    # What must be true of both sides.

    def doubled(self) -> list[str]:
        """Decisions that are more than one order here."""
        decisions = Counter(one.decision for one in self.server.orders.values() if one.client_id)
        return [decision for decision, count in decisions.items() if count > 1]

    def differences(self, rest: Rest) -> list[str]:
        """Orders of ours that the process does not know or only it knows, executions it missed, whatever is open."""
        there = {one.decision: one.left for one in self.server.open_orders() if one.client_id}
        booked, executed = set(rest.fills), {one.execution_id for one in self.server.executions}
        found = {
            "not ready": () if rest.ready else ("process",),
            "halted": rest.halted,
            "unknown": rest.unknown,
            "orphan": tuple(there.keys() - rest.open_orders.keys()),
            "only here": tuple(rest.open_orders.keys() - there.keys()),
            "left differs": tuple(k for k in there.keys() & rest.open_orders.keys() if there[k] != rest.open_orders[k]),
            "not booked": tuple(executed - booked),
            "made up": tuple(booked - executed),
            "booked twice": () if len(booked) == len(rest.fills) else ("fills",),
            "position differs": () if rest.positions == self.server.purse.base else (str(rest.positions),),
            "replay differs": () if rest.replayed else ("state",),
        }
        return [f"{name}: {sorted(what)}" for name, what in found.items() if what]


def _network(draws: Draws) -> list[Fault]:
    """Of all requests of a long life some get lost, late, or an answer that says nothing."""
    found = []
    for channel, often in (("place", 0.12), ("cancel", 0.12), ("ask", 0.03)):
        for number in range(5_000):
            if draws.chance(often):
                kind = draws.pick(MESSAGES)
                found.append(Fault(kind, number, draws.whole(3_000, 40_000) if kind == "late" else 0, channel))
    return found
