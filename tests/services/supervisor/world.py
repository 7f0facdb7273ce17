"""A coordinator at work in a test: rows that survive or do not, a venue, a gate, and crashes where they are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

from src.core.config_execution import Execution
from src.core.ports import Row
from src.core.types import Approved, Denied, Fill, Order, OrderId, OrderKind, Outcome, Pair, Side
from src.core.venue import Ask, ClientId, OrderState, Place, VenueEvent, VenueOrder
from src.services.supervisor.actions import (
    Action,
    Alarm,
    Filled,
    Halt,
    Happened,
    Question,
    Send,
    Withdraw,
    Write,
)
from src.services.supervisor.adoption import ours
from src.services.supervisor.coordinator import Coordinator
from src.services.supervisor.order_states import Progress
from src.services.supervisor.register import replay
from tests.services.supervisor.scripted import ScriptedVenue
from tests.settings.leaves import tree

SETTINGS: Execution = tree().execution
NAMESPACE = UUID("8c7e5b1e-2f62-4a8e-9d0f-5f1f8c1a7b11")
START = 1_700_000_000_000
BTC, ETH, SOL = Pair("BTC/USD"), Pair("ETH/USD"), Pair("SOL/USD")


class Crash(Exception):
    """The process is gone."""


def order(
    name: str,
    side: Side = Side.BUY,
    amount: str = "1",
    pair: Pair = BTC,
    kind: OrderKind = OrderKind.MARKET,
    stop: str | None = None,
    trigger: str | None = None,
    limit: str | None = None,
) -> Order:
    """An order as the supervisor makes one."""
    return Order(
        id=OrderId(name),
        pair=pair,
        side=side,
        amount=Decimal(amount),
        kind=kind,
        at=START,
        reference=Decimal(100),
        reason="test",
        stop=None if stop is None else Decimal(stop),
        limit=None if limit is None else Decimal(limit),
        trigger=None if trigger is None else Decimal(trigger),
    )


class World:
    """One ledger and one venue, and the lives of coordinators between them."""

    def __init__(self, settings: Execution = SETTINGS, *, begin: bool = True) -> None:
        self.settings = settings
        self.now = START
        self.venue = ScriptedVenue(START)
        self.rows: list[Row] = []
        self.soft: list[Row] = []
        self.kill = ""
        self.deny = ""
        self.alarms: list[Alarm] = []
        self.halts: list[Halt] = []
        self.outcomes: list[Outcome] = []
        self.fills: dict[int, Fill] = {}
        self.trace: list[Action] = []
        self.crash_in: int | None = None
        self.queue: deque[Action] = deque()
        self.coordinator = self.born()
        if begin:
            self.begin()

    # Lives.

    def born(self) -> Coordinator:
        def approve(order: Order, at: int) -> Approved | Denied:
            return Denied(order, at, self.deny) if self.deny else Approved(order, at)

        return Coordinator(self.settings, lambda order: self.kill, NAMESPACE, approve, simulated=True)

    def begin(self) -> None:
        """Start, and answer until it is quiet."""
        self.do(self.coordinator.start(self.now))
        self.run()

    def crash(self, keep: int = 0) -> None:
        """The process dies: what is not durable is lost but for the first `keep` rows; what travels still arrives."""
        self.rows += self.soft[:keep]
        self.soft, self.crash_in = [], None
        self.queue.clear()
        self.venue.back = []
        self.coordinator = self.born()
        self.coordinator.recall(self.rows)
        known = self.coordinator._register.books.fills_forgotten
        self.fills = {index: fill for index, fill in self.fills.items() if index < known}
        self.fills.update(enumerate(self.coordinator.fills(known), known))
        self.venue.connect()

    def again(self, keep: int = 0) -> None:
        """Crash and come back."""
        self.crash(keep)
        self.begin()

    # Carrying out.

    def do(self, actions: Iterable[Action]) -> None:
        self.queue.extend(actions)
        while self.queue:
            action = self.queue.popleft()
            if self.crash_in is not None:
                if self.crash_in == 0:
                    raise Crash
                self.crash_in -= 1
            self.trace.append(action)
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Write(rows=rows, durable=durable):
                self.soft += rows
                if durable:
                    self.rows += self.soft
                    self.soft = []
            case Send(place=place):
                assert any(row.key == f"intent:{place.client_id}" for row in self.rows), "sent before it was durable"
                if self.kill:
                    self.queue.extend(self.coordinator.withheld(place, self.kill, self.now))
                else:
                    self.venue.place(place)
            case Withdraw():
                self.venue.cancel(action.number, action.client_id, action.venue_id, action.pair)
            case Question():
                self.venue.ask(action.number, action.ask, action.client_ids, action.since)
            case Filled(fill=fill, index=index):
                assert any(row.key == f"execution:{fill.id}" for row in self.rows), "booked before it was durable"
                assert index == len(self.fills)
                self.fills[index] = fill
            case Happened(outcome=outcome):
                self.outcomes.append(outcome)
            case Alarm():
                self.alarms.append(action)
            case Halt():
                self.halts.append(action)

    # Time and travel.

    def tell(self, *events: VenueEvent) -> None:
        for event in events:
            self.do(self.coordinator.on_event(event, self.now))

    def hear(self) -> None:
        """Everything that travels back is delivered, in order."""
        while self.venue.back:
            self.tell(self.venue.back.pop(0))

    def run(self) -> None:
        """All requests arrive and all answers come, until nothing travels."""
        self.hear()
        while self.venue.wire:
            self.venue.arrive()
            self.hear()

    def wait(self, seconds: float, *, step: float = 0.5, travel: bool = True) -> None:
        """Time passes; with `travel` everything on its way arrives at once."""
        for _ in range(round(seconds / step)):
            self.now += round(step * 1000)
            self.venue.now = self.now
            self.do(self.coordinator.on_time(self.now))
            if travel:
                self.run()

    # What tests do and look at.

    def submit(self, one: Order) -> ClientId:
        self.do(self.coordinator.submit(Approved(one, self.now), self.now))
        return self.coordinator.client_id(one)

    def buy(self, name: str = "entry", amount: str = "1", stop: str | None = "0.05", pair: Pair = BTC) -> ClientId:
        """Buy and fill in full, and let the stop rest."""
        client_id = self.submit(order(name, amount=amount, stop=stop, pair=pair))
        self.run()
        self.venue.fill(self.at(client_id).venue_id, amount)
        self.run()
        return client_id

    def at(self, client_id: ClientId) -> VenueOrder:
        found = self.venue.find(client_id)
        assert found is not None
        return found

    def progress(self, client_id: ClientId) -> Progress | None:
        return self.coordinator.progress(client_id)

    def stops(self, pair: Pair = BTC) -> list[VenueOrder]:
        return [o for o in self.venue.open() if o.pair == pair and o.kind is OrderKind.STOP]

    def sent(self) -> list[Place]:
        return self.venue.placed

    def asks(self) -> list[Ask]:
        return [action.ask for action in self.trace if isinstance(action, Question)]

    def reasons(self) -> list[tuple[str, str]]:
        return [(outcome.state, outcome.reason) for outcome in self.outcomes]

    def codes(self) -> list[str]:
        return [alarm.code for alarm in self.alarms]

    def check(self) -> None:
        """What must hold at any time, whatever happened: I1, I3, I12, I13, I14, and that sells fit what is held."""
        fills = list(self.fills.values())
        assert len({fill.id for fill in fills}) == len(fills)
        held: dict[Pair, Decimal] = {}
        for fill in fills:
            held[fill.pair] = held.get(fill.pair, Decimal(0)) + (fill.amount if fill.side is Side.BUY else -fill.amount)
        assert {pair: amount for pair, amount in held.items() if amount} == self.coordinator.positions()
        sent = [place.client_id for place in self.sent()]
        assert len(set(sent)) == len(sent)
        at_venue = [o.client_id for o in self.venue.orders.values() if o.client_id]
        assert len(set(at_venue)) == len(at_venue)
        assert replay([*self.rows, *self.soft]).state() == self.coordinator.state()
        for pair in (BTC, ETH, SOL):
            live = list(self.coordinator._register.live(pair))
            flying = sum(o.progress in (Progress.INTENT, Progress.SENT, Progress.UNKNOWN) for o in live)
            cancels = sum(asked.pair == pair for asked in self.coordinator._executor._cancels.values())
            assert flying + cancels <= 1, (pair, live)
            assert all(o.filled <= o.amount for o in live)
            mine = [e for e in self.venue.executions if ours(e.client_id) and e.pair == pair]
            selling = [o for o in self.venue.open() if ours(o.client_id) and o.pair == pair and o.side is Side.SELL]
            offered = sum((o.amount - o.filled for o in selling), Decimal(0))
            assert offered <= sum((self._signed(e.amount, e.side) for e in mine), Decimal(0)), pair

    def quiet(self) -> None:
        """What must hold once nothing is under way: every order known, and every stop the size of what it protects."""
        self.check()
        assert self.coordinator.unknown_orders() == []
        assert not self.coordinator.under_way()
        for pair, terms in self.coordinator._register.books.terms.items():
            resting = [o for o in self.venue.open() if o.pair == pair and o.side is Side.SELL]
            stops = [o for o in resting if o.trigger is not None]
            others = sum((o.amount - o.filled for o in resting if o.trigger is None and ours(o.client_id)), Decimal(0))
            left = self.coordinator.positions()[pair] - others
            assert [(s.amount - s.filled, s.trigger) for s in stops] == ([(left, terms.trigger)] if left else [])
        known = {t.venue_id for t in self.coordinator._register.books.orders.values()}
        assert {o.venue_id for o in self.venue.orders.values() if ours(o.client_id)} <= known
        mine = sum((self._signed(e.amount, e.side) for e in self.venue.executions if ours(e.client_id)), Decimal(0))
        assert mine == sum(self.coordinator.positions().values(), Decimal(0))

    @staticmethod
    def _signed(amount: Decimal, side: Side) -> Decimal:
        return amount if side is Side.BUY else -amount


__all__ = ["BTC", "ETH", "SETTINGS", "SOL", "START", "Crash", "OrderState", "World", "order"]
