"""Three who look after a position, each by itself: a stop, a trailing stop and a profit taker, as bots have them.

`Independent` lets each send its own orders and see nothing of the others'. `Advised` lets the same three recommend to
an order path, which is the only one that sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from src.backtesting.simulation.market import stepped
from src.backtesting.simulation.process import Build, Process, Seams
from src.backtesting.simulation.schedule import PAIRS
from src.core.portfolio import floor_amount
from src.core.ports import Row
from src.core.types import Approved, Fill, Order, OrderId, OrderKind, Pair, Side
from src.core.venue import Acknowledged, ClientId, Ended, Executed, Place, VenueId

ZERO = Decimal(0)
STOP, TRAIL, STEP, GAIN = Decimal("0.01"), Decimal("0.006"), Decimal("1.002"), Decimal("1.003")


class Seen(msgspec.Struct):
    """What a manager sees of one pair: what is held, paid a unit, and the highest price since."""

    pair: Pair
    held: Decimal
    entry: Decimal
    price: Decimal
    high: Decimal


class Manager:
    """Remembers what it last wanted; says what it wants now."""

    name = ""

    def __init__(self) -> None:
        self.done: dict[Pair, tuple[Decimal, Decimal]] = {}
        self.number = 0

    def wants(self, seen: Seen) -> Order | None:
        raise NotImplementedError

    def order(self, seen: Seen, kind: OrderKind, amount: Decimal, at: Decimal | None) -> Order:
        self.number += 1
        trigger = None if at is None else stepped(seen.pair, at)
        name = OrderId(f"{self.name}-{seen.pair}-{self.number}")
        return Order(name, seen.pair, Side.SELL, amount, kind, 0, seen.price, self.name, trigger=trigger)


class Stop(Manager):
    """A stop below the entry, for all that is held."""

    name = "stop"

    def wants(self, seen: Seen) -> Order | None:
        if self.done.get(seen.pair) == (seen.held, seen.entry):
            return None
        self.done[seen.pair] = (seen.held, seen.entry)
        return self.order(seen, OrderKind.STOP, seen.held, seen.entry * (1 - STOP))


class Trailing(Manager):
    """A stop below the highest price, moved up with it."""

    name = "trailing"

    def wants(self, seen: Seen) -> Order | None:
        held, high = self.done.get(seen.pair, (ZERO, ZERO))
        if seen.held == held and seen.high < high * STEP:
            return None
        self.done[seen.pair] = (seen.held, seen.high)
        return self.order(seen, OrderKind.STOP, seen.held, seen.high * (1 - TRAIL))


class ProfitTaker(Manager):
    """Sells half when there is something to be gained, once an entry."""

    name = "profit"

    def wants(self, seen: Seen) -> Order | None:
        if seen.price < seen.entry * GAIN or self.done.get(seen.pair, (ZERO, ZERO))[1] == seen.entry:
            return None
        self.done[seen.pair] = (seen.held, seen.entry)
        return self.order(seen, OrderKind.MARKET, floor_amount(seen.held / 2, 8), None)


class Watching:
    """Positions as fills and prices tell them."""

    def __init__(self) -> None:
        self.managers = (Stop(), Trailing(), ProfitTaker())
        self._seen: dict[Pair, Seen] = {}

    def look(self, fills: Sequence[Fill], seams: Seams) -> Iterator[tuple[Manager, Order]]:
        for pair in PAIRS:
            held = sum((f.amount if f.side is Side.BUY else -f.amount for f in fills if f.pair == pair), ZERO)
            bought = [f for f in fills if f.pair == pair and f.side is Side.BUY]
            if held <= 0 or not bought:
                self._seen.pop(pair, None)
                continue
            price, entry = seams.price(pair), bought[-1].price
            high = max(price, self._seen[pair].high if pair in self._seen else price)
            self._seen[pair] = seen = Seen(pair, held, entry, price, high)
            for manager in self.managers:
                order = manager.wants(seen)
                if order is not None and order.amount > 0:
                    yield manager, order


class Independent:
    """A `Process` in which everybody sends. It keeps no ledger and resolves nothing: only conflicts are counted."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._watching = Watching()
        self._fills: list[Fill] = []
        self._resting: dict[tuple[str, Pair], tuple[ClientId, VenueId | None]] = {}
        self._names: dict[ClientId, tuple[str, Pair]] = {}

    ready = True

    def halted(self, pair: Pair) -> bool:
        return False

    def start(self, now: int) -> None:
        """Nothing to ask."""

    def take(self, order: Order, now: int) -> str:
        if order.side is Side.BUY and not self.positions().get(order.pair, ZERO):
            self._send(order, now)
        return ""

    def withdraw(self, pair: Pair, side: Side | None, now: int) -> None:
        """Nobody withdraws."""

    def _send(self, order: Order, now: int) -> None:
        self._seams.venue.place(Place(ClientId(order.id), Approved(order, now), now + 10_000, None))

    def step(self, now: int) -> None:
        for event in self._seams.venue.events():
            if isinstance(event, Executed) and all(fill.id != event.execution_id for fill in self._fills):
                money = (event.amount, event.price, event.fee, event.slippage, event.at)
                name = OrderId(event.client_id)
                self._fills.append(Fill(event.execution_id, name, event.pair, event.side, *money, ""))
            elif isinstance(event, Acknowledged) and event.client_id in self._names:
                self._resting[self._names[event.client_id]] = (event.client_id, event.venue_id)
            elif isinstance(event, Ended) and event.client_id in self._names:
                self._resting.pop(self._names[event.client_id], None)
        for manager, order in self._watching.look(self._fills, self._seams):
            mine = (manager.name, order.pair)
            if mine in self._resting:  # its own earlier stop; of the others' it knows nothing
                self._seams.venue.cancel(0, *self._resting[mine], order.pair)
            self._names[ClientId(order.id)] = mine
            self._send(order, now)

    def positions(self) -> Mapping[Pair, Decimal]:
        held: dict[Pair, Decimal] = {}
        for fill in self._fills:
            held[fill.pair] = held.get(fill.pair, ZERO) + (fill.amount if fill.side is Side.BUY else -fill.amount)
        return held

    def fills(self) -> Sequence[Fill]:
        return self._fills

    def unknown(self) -> Sequence[Order]:
        return ()

    def open_orders(self) -> Sequence[Order]:
        return ()

    def cash(self) -> Decimal:
        return ZERO

    def equity(self, marks: Mapping[Pair, Decimal]) -> Decimal:
        return ZERO

    def state(self) -> dict[str, Any]:
        return {}

    def replayed(self, rows: Sequence[Row]) -> dict[str, Any]:
        return {}


def advised(build: Build) -> Build:
    """The same three, before one order path."""

    def with_advice(seams: Seams) -> Process:
        process, watching, step = build(seams), Watching(), None

        def advise(now: int) -> None:
            step(now)
            for _, order in watching.look(process.fills(), seams):
                process.take(msgspec.structs.replace(order, id=OrderId(f"{order.id}-{now}"), at=now), now)

        step, process.step = process.step, advise  # type: ignore[method-assign]
        return process

    return with_advice
