"""One run: a schedule over a process, an exchange, a network, a disk and a switch, in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal

import msgspec

from ...core.config import Costs
from ...core.errors import LedgerError, MycelialError
from ...core.portfolio import floor_amount
from ...core.types import Order, OrderId, OrderKind, Pair, Side
from ...core.venue import VenueStatus
from ..simulated_kraken import SimulatedKraken
from ..venue.rules import VenueRules
from .disk import SimulatedDisk
from .draws import Draws
from .invariants import LOOK_MS, Checker, CountedServer
from .market import SimulatedTicks, stepped
from .network import FaultyLink
from .process import Build, Process, Seams
from .schedule import ACTIVE_MS, PAIRS, START, Fault, Schedule, Wish
from .seams import Calls, Crashed, Switch, WatchedVenue
from .world import World

STEP_MS = 500
"""A process looks around at least so often."""
ENTRY_QUOTE = Decimal(600)
BID_RATIO, GUARD_RATIO = Decimal("0.998"), Decimal("0.997")
STOP_RATIOS = (None, Decimal("0.004"), Decimal("0.01"), Decimal("0.02"), Decimal("0.03"))
RESTART_MS = 8_000
READY_MS, TERMINAL_MS = 60_000, 90_000
"""After the last fault, of invariant I8."""
CUT_MS, CUT_FOR_MS, CAUGHT_UP_MS = 24_000, 6_000, 30_000
"""When nothing else is wrong any more the private stream is cut once; so long after it is back nothing may be missing.

That is as long as a start-up round takes an account of the smallest tier whose counter of calls is full.
"""
QUIET_MS = 5_000
"""Before the end nothing moves any more."""
AGAIN = 3
"""So many of the last wishes are wished again by a new life: whoever wished did not hear that they were taken."""


class Ground(msgspec.Struct, frozen=True):
    """What a run is played with. `max_offset_ms`: beyond it no order may leave.

    `protects`: whether the path places the stop that an entry names; entries name none where it does not.
    `disk` makes the ledger of a run. `caught_up_ms`: after a cut of the private stream nothing is missing so soon.
    """

    build: Build
    rules: VenueRules
    costs: Costs
    start_quote: Decimal
    max_offset_ms: int
    protects: bool = True
    disk: Callable[[Callable[[str], None]], SimulatedDisk] = SimulatedDisk
    caught_up_ms: int = CAUGHT_UP_MS


class Ran(msgspec.Struct, frozen=True):
    """What came of a run. `broken`: findings by invariant. `conflicts`: sells beyond what was free to sell."""

    seed: int
    broken: dict[str, str]
    orders: int
    fills: int
    conflicts: int
    lives: int
    virtual_ms: int
    digest: str


def run(schedule: Schedule, given: Ground) -> Ran:
    """Play one schedule to its end."""
    return _Run(schedule, given).play()


class _Run:
    """Everything of one run."""

    def __init__(self, schedule: Schedule, given: Ground) -> None:
        self._schedule = schedule
        self._given = given
        self._draws = Draws(schedule.seed, "run")
        self._world = world = World(START)
        self._switch = Switch()
        self._calls = Calls(self._switch)
        self._disk = given.disk(self._calls)
        self._checker = checker = Checker(self._switch, self._disk, given.start_quote, given.max_offset_ms)
        self._server = CountedServer(given.rules, given.costs, given.start_quote, arrived=checker.on_arrival)
        self._link = FaultyLink(world, schedule.faults, Draws(schedule.seed, "network"), self._wake)
        self._kraken = SimulatedKraken(self._server, self._link, lambda: world.now)
        self._market = SimulatedTicks(world, self._kraken, Draws(schedule.seed, "market"))
        checker.server = self._server
        checker.venue_now = lambda: world.now + self._kraken.skew_ms
        checker.offset = lambda: self._kraken.skew_ms
        self._process: Process | None = None
        self._orders: dict[int, Order] = {}
        self._lives = 0
        self._busy_until = 0
        self._woken = False
        self._inside = False
        self._again = 0
        self._slow_ms = 0

    def play(self) -> Ran:
        """Play it."""
        for fault in self._schedule.faults:
            self._plan(fault)
        for wish in self._schedule.wishes:
            self._world.at(START + wish.at, lambda wish=wish: self._fulfil(wish))  # type: ignore[misc]
        calm = START + ACTIVE_MS
        self._world.at(calm, self._calm)
        self._world.at(calm + CUT_MS, lambda: self._link.cut(False, self._server.status))
        back = calm + CUT_MS + CUT_FOR_MS
        self._world.at(back, lambda: self._link.cut(True, self._server.status))
        self._world.at(back + READY_MS, self._checker.ready_at_last)
        self._world.at(back + self._given.caught_up_ms, lambda: self._checker.caught_up(back + self._kraken.skew_ms))
        self._world.at(calm + TERMINAL_MS - QUIET_MS, lambda: setattr(self._market, "closed", True))
        self._calls.blocked = self._blocked
        self._begin()
        self._beat()
        self._look()
        self._world.run(calm + TERMINAL_MS)
        self._checker.at_rest()
        return self._ran()

    def _ran(self) -> Ran:
        body = repr((list(self._server.orders.values()), self._server.executions, sorted(self._checker.broken.items())))
        executions = self._server.executions
        return Ran(
            self._schedule.seed,
            self._checker.broken,
            self._checker.accepted(),
            len(executions),
            self._server.conflicts,
            self._lives,
            self._world.now - START,
            hashlib.sha256(self._disk.chain + body.encode()).hexdigest(),
        )

    # The process and its lives.

    def _begin(self) -> None:
        if self._world.now < self._busy_until:  # a machine that stands still starts nothing
            self._world.at(self._busy_until, self._begin)
            return
        self._lives += 1
        self._link.begin_life(self._server.status)
        venue = WatchedVenue(self._kraken, self._calls, self._checker)
        seams = Seams(
            venue,
            self._disk,
            tuple(self._disk.rows),
            self._switch.may_send,
            self._schedule.seed,
            self._given.start_quote,
            lambda: self._world.now,
            self._market.price,
            lambda pair: self._given.rules.pairs[pair].tick,
        )
        if self._again:
            self._calls.crash_in(self._again)
            self._again = 0

        def begin() -> None:
            self._process = process = self._given.build(seams)
            self._checker.begin_life(process)
            process.start(self._world.now)

        self._guarded(begin)
        for order in list(self._orders.values())[-AGAIN:]:
            self._world.after(self._draws.whole(500, 5_000), lambda order=order: self._take(order))  # type: ignore[misc]

    def _beat(self) -> None:
        self._step()
        self._world.after(STEP_MS, self._beat)

    def _look(self) -> None:
        if not self._inside:
            self._checker.look(self._world.now)
        self._world.after(LOOK_MS, self._look)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._world.after(0, self._woken_step)

    def _woken_step(self) -> None:
        self._woken = False
        self._step()

    def _step(self) -> None:
        process = self._process
        if process is not None:
            self._guarded(lambda: process.step(self._world.now))

    def _guarded(self, do: Callable[[], None]) -> None:
        """Let the process do something, unless it is held up; it may die of it, and another one begins later."""
        if self._inside or self._world.now < self._busy_until:
            return
        self._inside = True
        try:
            do()
        except Crashed:
            self._die()
        except LedgerError:  # the disk failed: the process ends, and is started anew
            self._die()
        except MycelialError as error:
            self._checker.note("raised", f"{type(error).__name__}: {error}")
            self._die()
        else:
            self._checker.after_step()
        finally:
            self._inside = False

    def _die(self) -> None:
        self._process = self._checker.process = None
        self._calls.crash_in(0)
        self._disk.crash(lambda waiting: self._draws.whole(0, waiting))
        self._world.after(self._draws.whole(200, RESTART_MS), self._begin)

    # Wishes.

    def _fulfil(self, wish: Wish) -> None:
        process = self._process
        if process is None:
            return
        if wish.kind == "drop":
            self._guarded(lambda: process.withdraw(wish.pair, Side.BUY, self._world.now))
            return
        order = self._order(wish, process)
        if order is not None:
            self._orders[wish.number] = self._checker.wishes[order.id] = order
            self._take(order)

    def _take(self, order: Order) -> None:
        process = self._process
        if process is not None:
            self._guarded(lambda: _ignore(process.take(order, self._world.now)))

    def _order(self, wish: Wish, process: Process) -> Order | None:
        """The order that a wish comes to now, None where there is nothing to be had."""
        price, decimals = self._market.price(wish.pair), self._given.rules.decimals
        buys = wish.kind in ("buy", "bid")
        part = Decimal(wish.part if wish.kind in ("buy", "bid", "sell") else 1000) / 1000
        whole = ENTRY_QUOTE / price if buys else process.positions().get(wish.pair, Decimal(0))
        amount = floor_amount(whole * part, decimals)
        if amount <= 0:
            return None
        kind, limit, trigger = self._terms(wish.kind, wish.pair, price)
        stop = STOP_RATIOS[wish.number % len(STOP_RATIOS)] if buys and self._given.protects else None
        return Order(
            id=OrderId(f"{self._schedule.seed}-{wish.number}"),
            pair=wish.pair,
            side=Side.BUY if buys else Side.SELL,
            amount=amount,
            kind=kind,
            at=self._world.now,
            reference=price,
            reason=wish.kind,
            stop=stop,
            limit=limit,
            trigger=trigger,
        )

    def _terms(self, wish: str, pair: Pair, price: Decimal) -> tuple[OrderKind, Decimal | None, Decimal | None]:
        """(kind, limit, trigger) of what is wished at a price."""
        below, further = (stepped(pair, price * ratio) for ratio in (BID_RATIO, GUARD_RATIO))
        if wish == "bid":
            return OrderKind.LIMIT, below, None
        if wish == "raise":
            return OrderKind.STOP, None, below
        return (OrderKind.STOP_LIMIT, further, below) if wish == "guard" else (OrderKind.MARKET, None, None)

    # Faults.

    def _plan(self, fault: Fault) -> None:
        if fault.kind == "skew":
            self._kraken.skew_ms = fault.size
        elif fault.kind == "thin":
            self._market.thin = fault.size
        elif not fault.channel:
            does = {
                "crash": self._crash,
                "kill": self._kill,
                "status": self._status,
                "disconnect": self._disconnect,
                "twice": self._twice,
                "disk": self._full_disk,
                "slow_disk": self._slow_disk,
                "pause": self._pause,
                "gap": self._gap,
                "human": self._human,
            }[fault.kind]
            self._world.at(START + fault.at, lambda: does(fault))

    def _crash(self, fault: Fault) -> None:
        self._calls.crash_in(fault.size)
        self._again = 1 + fault.size // 2 if fault.what == "again" else 0

    def _kill(self, fault: Fault) -> None:
        self._calls.throw_in(fault.size, fault.what)

    def _status(self, fault: Fault) -> None:
        self._kraken.change(VenueStatus(fault.what))
        self._world.after(fault.size, lambda: self._kraken.change(VenueStatus.ONLINE))

    def _disconnect(self, fault: Fault) -> None:
        self._link.cut(False, self._server.status)
        self._world.after(fault.size, lambda: self._link.cut(True, self._server.status))

    def _twice(self, fault: Fault) -> None:
        self._link.twice = True
        self._world.after(fault.size, lambda: setattr(self._link, "twice", False))

    def _full_disk(self, fault: Fault) -> None:
        self._disk.refusing = True
        self._world.after(fault.size, lambda: setattr(self._disk, "refusing", False))

    def _slow_disk(self, fault: Fault) -> None:
        self._slow_ms = fault.size
        self._world.after(fault.size, lambda: setattr(self, "_slow_ms", 0))

    def _pause(self, fault: Fault) -> None:
        self._busy_until = max(self._busy_until, self._world.now + fault.size)

    def _gap(self, fault: Fault) -> None:
        self._market.gap(_pair(fault))

    def _human(self, fault: Fault) -> None:
        pair = _pair(fault)
        price = self._market.price(pair)
        amount = floor_amount(Decimal(fault.size) / price, self._given.rules.decimals)
        kind = OrderKind.LIMIT if fault.size % 2 else OrderKind.MARKET
        limit = stepped(pair, price * BID_RATIO) if fault.size % 2 else None
        name = OrderId(f"human-{fault.at}")
        self._kraken.by_hand(Order(name, pair, Side.BUY, amount, kind, self._world.now, price, "by hand", limit=limit))

    def _calm(self) -> None:
        """Nothing fails from here on."""
        self._link.calm, self._link.twice = True, False
        self._disk.refusing, self._slow_ms, self._busy_until, self._again = False, 0, 0, 0
        self._calls.crash_in(0)

    def _blocked(self, name: str) -> None:
        """A slow disk takes time, in which everything else goes on."""
        if name == "sync" and self._slow_ms:
            took = 1 + self._slow_ms // 4
            self._world.run(self._world.now + took)


def _pair(fault: Fault) -> Pair:
    return next(pair for pair in PAIRS if pair == fault.what)


def _ignore(_: object) -> None:
    """What is not looked at."""
