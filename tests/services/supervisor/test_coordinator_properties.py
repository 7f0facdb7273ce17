"""Whatever comes in whatever order, twice or not at all: no order is sent twice, none is orphaned, nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from src.core.types import Approved, OrderKind, Pair, Side
from src.core.venue import Lost, OrderState, Place, StatusChanged, VenueStatus
from src.services.supervisor.actions import Action
from tests.services.supervisor.world import BTC, ETH, Crash, World, order

PAIRS = st.sampled_from([BTC, ETH])
PARTS = st.sampled_from(["0.25", "0.5", "0.75", "1"])
PLACES = st.integers(0, 7)


class AnySchedule(RuleBasedStateMachine):
    """A hostile network, an exchange that fills when it likes, people who trade too, and a process that dies."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(begin=False)
        self.names = 0
        self.filled: dict[str, Decimal] = {}

    @initialize(skew=st.integers(-1000, 1000))
    def start(self, skew: int) -> None:
        self.world.venue.skew = skew
        self.world.begin()

    def name(self) -> str:
        self.names += 1
        return f"d{self.names}"

    def guarded(self, work: Sequence[Action]) -> None:
        """Carry out; where the crash comes, a new life begins."""
        try:
            self.world.do(work)
        except Crash:
            self.reborn(0)

    def reborn(self, keep: int) -> None:
        self.world.crash(keep)
        self.world.do(self.world.coordinator.start(self.world.now))

    @rule(pair=PAIRS, amount=st.sampled_from(["1", "2"]), limit=st.booleans(), stop=st.booleans())
    def buy(self, pair: Pair, amount: str, limit: bool, stop: bool) -> None:
        kind, price = (OrderKind.LIMIT, "99") if limit else (OrderKind.MARKET, None)
        one = order(self.name(), Side.BUY, amount, pair, kind, "0.05" if stop else None, limit=price)
        self.guarded(self.world.coordinator.submit(Approved(one, self.world.now), self.world.now))

    @rule(pair=PAIRS, amount=PARTS, limit=st.booleans())
    def sell(self, pair: Pair, amount: str, limit: bool) -> None:
        kind, price = (OrderKind.LIMIT, "120") if limit else (OrderKind.MARKET, None)
        one = order(self.name(), Side.SELL, amount, pair, kind, limit=price)
        self.guarded(self.world.coordinator.submit(Approved(one, self.world.now), self.world.now))

    @rule(pair=PAIRS, trigger=st.sampled_from(["94", "96", "98"]))
    def stop(self, pair: Pair, trigger: str) -> None:
        one = order(self.name(), Side.SELL, "1", pair, OrderKind.STOP, trigger=trigger)
        self.guarded(self.world.coordinator.submit(Approved(one, self.world.now), self.world.now))

    @rule(pair=PAIRS, side=st.sampled_from([None, Side.BUY, Side.SELL]))
    def cancel(self, pair: Pair, side: Side | None) -> None:
        self.guarded(self.world.coordinator.cancel(pair, side, self.world.now))

    @precondition(lambda self: self.world.venue.wire)
    @rule(index=PLACES)
    def arrives(self, index: int) -> None:
        self.world.venue.arrive(index % len(self.world.venue.wire))

    @precondition(lambda self: self.world.venue.wire)
    @rule(index=PLACES, told=st.booleans())
    def never_arrives(self, index: int, told: bool) -> None:
        request = self.world.venue.wire.pop(index % len(self.world.venue.wire))
        if told and isinstance(request, Place):
            self.world.venue.back.append(Lost(request.client_id, "reset", self.world.now))

    @precondition(lambda self: self.world.venue.wire)
    @rule(index=PLACES)
    def no_answer_though_it_may_arrive(self, index: int) -> None:
        request = self.world.venue.wire[index % len(self.world.venue.wire)]
        if isinstance(request, Place):
            self.world.venue.back.append(Lost(request.client_id, "timeout", self.world.now))

    @precondition(lambda self: self.world.venue.back)
    @rule(index=PLACES, twice=st.booleans())
    def told(self, index: int, twice: bool) -> None:
        index %= len(self.world.venue.back)
        event = self.world.venue.back[index] if twice else self.world.venue.back.pop(index)
        self.guarded(self.world.coordinator.on_event(event, self.world.now))

    @precondition(lambda self: self.world.venue.back)
    @rule(index=PLACES)
    def not_told(self, index: int) -> None:
        event = self.world.venue.back[index % len(self.world.venue.back)]
        if not isinstance(event, StatusChanged):
            self.world.venue.back.remove(event)

    @rule()
    def all_is_well_for_a_moment(self) -> None:
        try:
            self.world.run()
        except Crash:
            self.reborn(0)

    @precondition(lambda self: self.world.venue.open())
    @rule(index=PLACES, part=PARTS)
    def fills(self, index: int, part: str) -> None:
        orders = self.world.venue.open()
        one = orders[index % len(orders)]
        self.world.venue.fill(one.venue_id, (one.amount - one.filled) * Decimal(part))

    @precondition(lambda self: self.world.venue.open())
    @rule(index=PLACES, state=st.sampled_from([OrderState.CANCELLED, OrderState.EXPIRED]))
    def ends(self, index: int, state: OrderState) -> None:
        orders = self.world.venue.open()
        self.world.venue.end(orders[index % len(orders)].venue_id, state)

    @rule(pair=PAIRS, side=st.sampled_from(list(Side)), fills=st.booleans())
    def somebody_else_trades(self, pair: Pair, side: Side, fills: bool) -> None:
        venue_id = self.world.venue.strange(pair, side, "0.125")
        if fills:
            self.world.venue.fill(venue_id, "0.125")

    @rule(refuses=st.booleans())
    def moods(self, refuses: bool) -> None:
        self.world.venue.refuse_all = ("insufficient_funds", "EOrder:Insufficient funds") if refuses else None

    @rule(kill=st.sampled_from(["", "", "halted: by hand"]))
    def kill_switch(self, kill: str) -> None:
        self.world.kill = kill

    @rule(status=st.sampled_from([*VenueStatus, VenueStatus.ONLINE]), connected=st.booleans())
    def status(self, status: VenueStatus, connected: bool) -> None:
        if not connected:
            self.world.venue.back.clear()
        self.world.venue.connect(status, connected)

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.5, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += round(seconds * 1000)
        self.world.venue.now = self.world.now
        self.guarded(self.world.coordinator.on_time(self.world.now))

    @rule(keep=st.integers(0, 3))
    def dies(self, keep: int) -> None:
        self.reborn(keep)

    @rule(actions=st.integers(0, 6))
    def will_die_in(self, actions: int) -> None:
        self.world.crash_in = actions

    @rule(pair=st.sampled_from([None, BTC, ETH]))
    def cleared(self, pair: Pair | None) -> None:
        self.guarded(self.world.coordinator.clear(pair, "looked at", self.world.now))

    @invariant()
    def holds(self) -> None:
        self.world.check()
        books = self.world.coordinator._register.books
        for client_id, tracked in books.orders.items():
            assert tracked.filled <= tracked.amount
            durable = {e.execution_id for e in self.world.venue.executions}
            assert set(books.executions) <= durable
            if tracked.filled >= self.filled.get(client_id, Decimal(0)):
                self.filled[client_id] = tracked.filled

    def teardown(self) -> None:
        """The faults stop: all is known and protected within 90 s."""
        world = self.world
        world.crash_in, world.kill, world.venue.refuse_all = None, "", None
        world.venue.connect()
        world.run()
        world.wait(45)
        for pair in (None, BTC, ETH):
            world.do(world.coordinator.clear(pair, "looked at", world.now))
        world.wait(45)
        assert world.coordinator.ready
        world.quiet()


AnySchedule.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestAnySchedule = AnySchedule.TestCase
