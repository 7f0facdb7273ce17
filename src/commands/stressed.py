"""One walk over days that went wrong, every slice judged, and what it came to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec

from ..backtesting.footprint import rss_mb
from ..backtesting.stress.invariants import INVARIANTS, Violation, Watch, Witness
from ..backtesting.stress.overlays import World
from ..connectors.ledger_verify import verify
from ..connectors.sqlite_ledger import SqliteSink
from ..core import records
from ..core.bus import LocalBus
from ..core.clock import SimClock
from ..core.config import Settings
from ..core.engine import Engine
from ..core.history import HistoryFeed
from ..core.portfolio import floor_amount, money
from ..core.timeframes import HOUR_MS
from ..core.types import Command, CommandKind, Pair, Side, Slice, Stream
from ..services.writer import Writer
from ..wiring import House, Plan, build

AT_THE_END = ("the_ledger_verifies", "memory_is_bounded")
"""What is judged once, besides the invariants of every slice."""
HAND = "hand"
"""Who asks for orders so that something is at risk."""


class Stressed(msgspec.Struct, frozen=True):
    """What a walk came to; ratios of the start. `violations`: the first of each invariant that was broken."""

    scenario: str
    says: str
    slices: int
    return_ratio: float
    max_drawdown_ratio: float
    trades: int
    stops: int
    halts: int
    refusals: dict[str, int]
    facts: int
    invariants: int
    violations: list[Violation]

    @property
    def ok(self) -> bool:
        """Whether every invariant held in every slice."""
        return not self.violations


class Walk(msgspec.Struct, frozen=True):
    """What is walked: bars and words laid over, the name of it, and how many facts of it were checked."""

    name: str
    says: str
    world: World
    facts: int = 0


def stressed(walk: Walk, seed: int, alter: Callable[[House], None] | None = None) -> Stressed:
    """Walk it by the code that trades, with a ledger in a temporary file; `alter` may break the house beforehand."""
    world, settings = walk.world, _for_the_hand(walk.world.settings)
    clock, history = SimClock(), walk.world.history
    with tempfile.TemporaryDirectory(prefix="mycelial-stress-") as place, closing(LocalBus(clock, settings.bus)) as bus:
        path = Path(place) / "ledger.sqlite"
        sink = SqliteSink(path, settings.ledger, mode="backtest", ledger_id=walk.name)
        witness = Witness(Writer(sink, settings.ledger, wait_durable=False))
        start = {"cash": records.plain(settings.account.start_quote), "seed": seed, "pairs": list(history.pairs)}
        witness.append([records.row(0, "start", "0", start)], durable=True)
        house = build(settings, Plan(history.pairs, history.interval_ms, seed), clock, bus, witness, history)
        if alter is not None:
            alter(house)
        watch = Watch(settings, history.interval_ms, witness)
        before = rss_mb() or 0.0
        try:
            _walk(house, world, watch)
        finally:
            witness.close()
        _judge_the_end(watch, path, (rss_mb() or 0.0) - before, settings.stress.max_growth_mb, clock.now_ms())
    return _came_to(walk, house, watch)


def _for_the_hand(settings: Settings) -> Settings:
    """The hand is an automaton, so that the limit of an automaton holds for it, and not that of a person."""
    limits = settings.limits.model_copy(update={"max_manual_orders_day": settings.limits.max_orders_day})
    return settings.model_copy(update={"limits": limits})


def _walk(house: House, world: World, watch: Watch) -> None:
    hand = _Hand(house.engine, world)
    for slice_ in HistoryFeed(world.history, world.observations):
        hand.ask(slice_)
        report = house.engine.on_slice(slice_)
        watch.take(slice_, report, house.desk.broker.open_orders())


class _Hand:
    """Somebody who buys before it begins, so that something is at risk, and goes on asking for more to the end."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._account, stress = world.settings.account, world.settings.stress
        history = world.history
        self._pairs, self._few = history.pairs[: 2 * stress.hand_pairs], stress.hand_pairs
        self._every = round(stress.hand_hours * HOUR_MS)
        self._begins = int(history.times[min(world.first, len(history.times) - 1)])
        self._due = self._begins - self._every
        self._closes: dict[Pair, Decimal] = {}

    def ask(self, slice_: Slice) -> None:
        """Ask for entries of the usual size, at the last known close, when it is time; for half of them beforehand."""
        if slice_.at >= self._due and self._closes:
            pairs = self._pairs[: self._few] if slice_.at < self._begins else self._pairs
            self._due = max(self._due + self._every, slice_.at)
            for pair in pairs:
                if pair in self._closes:
                    self._engine.inbox.put(self._order(pair))
        if slice_.bars is not None:
            for place, pair in enumerate(slice_.bars.pairs):
                if slice_.bars.present[place]:
                    self._closes[pair] = money(float(slice_.bars.close[place]))

    def _order(self, pair: Pair) -> Command:
        stake = self._account.start_quote * self._account.entry_equity_ratio
        amount = floor_amount(stake / self._closes[pair], self._account.amount_decimals)
        return Command(CommandKind.ORDER, "stress", HAND, pair, Side.BUY, amount)


def _judge_the_end(watch: Watch, path: Path, growth_mb: float, most_mb: float, at: int) -> None:
    found = verify(path)
    if not found.ok:
        watch.broken(AT_THE_END[0], at, found.problems[0])
    if growth_mb > most_mb:
        watch.broken(AT_THE_END[1], at, f"memory grew by {growth_mb:.0f} MB, the limit is {most_mb:.0f}")


def _came_to(walk: Walk, house: House, watch: Watch) -> Stressed:
    portfolio = house.desk.portfolio
    closed = house.tracker.trades[Stream.SYNTHESIZED.value]
    return Stressed(
        scenario=walk.name,
        says=walk.says,
        slices=watch.slices,
        return_ratio=float(house.desk.equity / portfolio.start - 1),
        max_drawdown_ratio=float(watch.worst),
        trades=len(closed),
        stops=watch.stops,
        halts=watch.halts,
        refusals=dict(sorted(house.engine.refusals.items())),
        facts=walk.facts,
        invariants=len(INVARIANTS) + len(AT_THE_END),
        violations=list(watch.violations.values()),
    )
