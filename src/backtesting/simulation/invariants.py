"""What must hold in every run, whatever fails: looked at when an order leaves, when it arrives, after every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from ...core.errors import MycelialError
from ...core.portfolio import ZERO
from ...core.types import MONEY_STEP, Fill, Order, OrderKind, Pair, Side
from ...core.venue import ClientId, Executed, Place, StatusChanged, VenueEvent, VenueId, VenueStatus
from ..venue.server import VenueServer
from .disk import SimulatedDisk
from .process import Process
from .seams import Switch

INTENT = "intent"
"""The kind of row that has to be durable before an order leaves; its key names the client id."""


LOOK_MS, FORGOTTEN_MS, REPLAY_EVERY = 5_000, 30_000, 5
"""How often is looked, how long an order may rest unknown to a process that is ready, every how many looks replays."""


class CountedServer(VenueServer):
    """The exchange, and how often an arriving sell was more than what was free to sell: a conflict of executors."""

    def __init__(self, *given: object, arrived: Callable[[Place, VenueId | None], None]) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._tell = arrived
        self.conflicts = 0

    def add(self, place: Place, now: int) -> tuple[VenueId | None, str]:
        """Take an order, and tell whoever watches."""
        order = place.approved.order
        too_much = order.side is Side.SELL and order.amount > self.purse.free(Side.SELL, order.pair)
        if too_much and now <= place.deadline:
            self.conflicts += 1
        venue_id, error = super().add(place, now)
        self._tell(place, venue_id)
        return venue_id, error


class Checker:
    """The invariants of one run. `broken` has the first finding of each by its id; empty means that all held.

    It compares what the process believes with what the exchange knows, and trusts neither the process nor its ledger.
    """

    def __init__(self, switch: Switch, disk: SimulatedDisk, start_quote: Decimal, max_offset_ms: int) -> None:
        self.broken: dict[str, str] = {}
        self._switch = switch
        self._disk = disk
        self._start = start_quote
        self._max_offset_ms = max_offset_ms
        self.wishes: dict[str, Order] = {}
        self.server: VenueServer | None = None
        self.process: Process | None = None
        self.venue_now: Callable[[], int] = lambda: 0
        self.offset: Callable[[], int] = lambda: 0
        self._undecided: dict[ClientId, Place] = {}
        self._forgotten: dict[str, int] = {}
        self._looks = 0
        self._decisions: dict[str, VenueId] = {}
        self._truth: dict[str, Executed] = {}
        self._status: VenueStatus | None = None
        self._connected = False
        self._begin_count()

    def note(self, invariant: str, text: str) -> None:
        """Something does not hold; the first finding of each invariant is kept."""
        self.broken.setdefault(invariant, text)

    def begin_life(self, process: Process) -> None:
        """A new process, which was told nothing yet."""
        self.process = process
        self._status, self._connected = None, False
        self._begin_count()

    def _begin_count(self) -> None:
        self._counted = 0
        self._seen: set[str] = set()
        self._positions: dict[Pair, Decimal] = {}
        self._cash = self._start

    # When an order leaves.

    def on_send(self, place: Place) -> None:
        """An order leaves the process."""
        order = place.approved.order
        held_back = self._switch.may_send(order)
        if held_back:
            self.note("I4", f"{order.id} left while {held_back}")
        if self.process is None or not self.process.ready:
            self.note("I4", f"{order.id} left before the process was ready")
        if self._status is not VenueStatus.ONLINE or not self._connected:
            self.note("I4", f"{order.id} left while the exchange was {self._status}, connected: {self._connected}")
        if abs(self.offset()) > self._max_offset_ms:
            self.note("I4", f"{order.id} left though the clocks differ by {self.offset()} ms")
        if not self._disk.has(INTENT, place.client_id):
            self.note("I2", f"{order.id} left before its intent was durable")
        self._alone(place)
        if order.side is Side.BUY and order.kind is not OrderKind.MARKET and place.expires_at is None:
            self.note("I18", f"{order.id} would rest without an end")
        self._undecided[place.client_id] = place

    def _alone(self, place: Place) -> None:
        """I14: nothing else of the pair may be on its way, or rest at the exchange unknown to the process."""
        pair = place.approved.order.pair
        for client_id, other in self._undecided.items():
            if (
                other.approved.order.pair == pair
                and client_id != place.client_id
                and self.venue_now() <= other.deadline
            ):
                self.note("I14", f"{place.approved.order.id} left while {other.approved.order.id} was on its way")
        if self.server is None or self.process is None:
            return
        listed = {order.id for order in self.process.open_orders()}
        for order in self.server.open_orders():
            if order.pair == pair and order.client_id and order.decision not in listed:
                self.note(
                    "I14", f"{place.approved.order.id} left while {order.decision} rests at the exchange, forgotten"
                )

    def on_arrival(self, place: Place, venue_id: VenueId | None) -> None:
        """An order reached the exchange."""
        self._undecided.pop(place.client_id, None)
        if venue_id is None or self.server is None:
            return
        order = place.approved.order
        before = self._decisions.setdefault(order.id, venue_id)
        if before != venue_id:
            self.note("I3", f"{order.id} is two orders at the exchange: {before} and {venue_id}")
        if order.side is Side.BUY:
            self._limited(order.pair, venue_id)

    def _limited(self, pair: Pair, venue_id: VenueId) -> None:
        """I16: one entry a pair, none beside a position: that is what bounds exposure."""
        server = self.server
        if server is None:
            return
        open_ = [one for one in server.open_orders() if one.pair == pair and one.client_id and one.side is Side.BUY]
        filled = [one for one in self._ours() if one.pair == pair and one.venue_id != venue_id]
        held = sum((one.amount if one.side is Side.BUY else -one.amount for one in filled), ZERO)
        if held > 0 or any(one.venue_id != venue_id for one in open_):
            self.note("I16", f"{pair}: an entry was taken beside {held} held and {len(open_)} open")

    def on_event(self, event: VenueEvent) -> None:
        """The process learns something."""
        if isinstance(event, StatusChanged):
            self._status, self._connected = event.status, event.connected

    # After every step.

    def after_step(self) -> None:
        """Executions count once and as they were; money adds up to the last digit."""
        process = self.process
        if process is None:
            return
        fills = process.fills()
        if len(fills) == self._counted:
            return
        for fill in fills[self._counted :]:
            self._count(fill)
        self._counted = len(fills)
        self._compare(process)

    def _count(self, fill: Fill) -> None:
        if fill.id in self._seen:
            self.note("I12", f"the execution {fill.id} was booked twice")
        self._seen.add(fill.id)
        truth = self._execution(fill.id)
        if truth is None:
            self.note("I1", f"the execution {fill.id} is none of the exchange's")
        elif (truth.pair, truth.side, truth.amount, truth.price) != (fill.pair, fill.side, fill.amount, fill.price):
            self.note("I1", f"the execution {fill.id} was booked as {fill.side} {fill.amount} at {fill.price}")
        sign = 1 if fill.side is Side.BUY else -1
        self._positions[fill.pair] = self._positions.get(fill.pair, ZERO) + sign * fill.amount
        self._cash -= sign * fill.notional + fill.fee + fill.slippage

    def _compare(self, process: Process) -> None:
        held = {pair: amount for pair, amount in process.positions().items() if amount}
        ours = {pair: amount for pair, amount in self._positions.items() if amount}
        if held != ours:
            self.note("I1", f"positions {_plain(held)} are not the sum of executions {_plain(ours)}")
        if process.cash() != self._cash:
            self.note("I6", f"cash {process.cash()} is not {self._cash}")
        marks = {pair: Decimal(1) for pair in ours}
        truth = [one for one in self._ours() if one.execution_id in self._seen]
        paid = sum(
            ((1 if one.side is Side.BUY else -1) * _notional(one) + one.fee + one.slippage for one in truth), ZERO
        )
        if process.cash() != self._start - paid:
            self.note("I6", f"cash {process.cash()} is not {self._start - paid} of the exchange's own executions")
        if process.equity(marks) != self._cash + sum(ours.values(), ZERO):
            self.note("I6", "equity is not cash and positions at their marks")

    def _execution(self, execution_id: str) -> Executed | None:
        if execution_id not in self._truth and self.server is not None:
            self._truth = {one.execution_id: one for one in self.server.executions}
        return self._truth.get(execution_id)

    def _ours(self) -> list[Executed]:
        return [] if self.server is None else [one for one in self.server.executions if one.client_id]

    # Every few seconds.

    def look(self, now: int) -> None:
        """I7: what rests at the exchange is known to a process that is ready; I13: and stands in its rows."""
        process, server = self.process, self.server
        if process is None or server is None or not process.ready:
            self._forgotten.clear()
            return
        listed = {order.id for order in process.open_orders()}
        there = {order.decision for order in server.open_orders() if order.client_id and order.decision not in listed}
        self._forgotten = {name: self._forgotten.get(name, now) for name in sorted(there)}
        for name, since in self._forgotten.items():
            if now - since > FORGOTTEN_MS:
                self.note("I7", f"{name} has rested at the exchange for {now - since} ms without being known")
        self._looks += 1
        if self._looks % REPLAY_EVERY == 0 and self._disk.idle:
            self._replay(process)

    def _replay(self, process: Process) -> None:
        try:
            replayed = process.replayed(self._disk.rows)
        except MycelialError as error:
            self.note("I13", f"the ledger cannot be replayed: {error}")
            return
        if process.state() != replayed:
            self.note("I13", "a replay of the ledger is not the live state")

    # When nothing fails any more.

    def at_rest(self) -> None:
        """I1, I7, I8 and I13 once faults have stopped for long: nothing is unknown, both sides say the same."""
        process, server = self.process, self.server
        if process is None or server is None:
            self.note("I8", "no process lives")
            return
        unknown = [order.id for order in process.unknown()]
        if unknown:
            self.note("I8", f"still unknown: {unknown}")
        self.after_step()
        self._disk.close()  # what is not durable is on its way there
        if unsound := self._disk.sound():
            self.note("I5", unsound)
        missed = {one.execution_id for one in self._ours()} - self._seen
        if missed:
            self.note("I1", f"{len(missed)} executions at the exchange were never booked, {sorted(missed)[0]} first")
        self._same_orders(process, server)
        self._protected(process, server)
        self._replay(process)

    def _same_orders(self, process: Process, server: VenueServer) -> None:
        there = {one.decision: one.left for one in server.open_orders() if one.client_id}
        leaving = {place.approved.order.id for place in self._undecided.values()}  # this very moment
        here = {str(order.id): order.amount for order in process.open_orders() if order.id not in leaving}
        if there != here:
            lost, made_up = sorted(set(there) - set(here)), sorted(set(here) - set(there))
            self.note("I7", f"open orders differ: only there {lost}, only here {made_up}, there {_plain(there)}")

    def _protected(self, process: Process, server: VenueServer) -> None:
        """What rests to sell a position is never more than the position, and all of it where a stop was asked for."""
        for pair, held in process.positions().items():
            sells = (one for one in server.open_orders() if one.client_id and one.side is Side.SELL)
            resting = sum((one.left for one in sells if one.pair == pair), ZERO)
            if resting > held:
                self.note("I16", f"{pair}: {resting} rests to be sold, {held} is held")
            free = self._switch.state == "active" and not process.halted(pair) and process.ready
            if free and resting < held and self._asked_for_a_stop(pair, process.fills()) and server.takes(pair, held):
                self.note("protection", f"{pair}: {held} is held, a stop rests for {resting}")

    def _asked_for_a_stop(self, pair: Pair, fills: Sequence[Fill]) -> bool:
        """Whether the entry of what is held now named a stop."""
        held, asked = ZERO, False
        for fill in fills:
            if fill.pair != pair:
                continue
            if held == 0:
                entry = self.wishes.get(fill.order_id)
                asked = entry is not None and entry.stop is not None
            held += fill.amount if fill.side is Side.BUY else -fill.amount
        return asked

    def caught_up(self, before: int) -> None:
        """I1 soon after the private stream came back: what was executed before that time of the exchange is booked."""
        self.after_step()
        missed = [one.execution_id for one in self._ours() if one.at < before and one.execution_id not in self._seen]
        if missed:
            self.note("I1", f"{missed[0]} is not booked though the private stream is back")

    def ready_at_last(self) -> None:
        """I8: ready within a minute after the last fault."""
        fit = abs(self.offset()) <= self._max_offset_ms
        if fit and (self.process is None or not self.process.ready):
            self.note("I8", "not ready a minute after the last fault")

    def accepted(self) -> int:
        """Orders of ours that the exchange ever took."""
        return 0 if self.server is None else sum(1 for one in self.server.orders.values() if one.client_id)


def _notional(one: Executed) -> Decimal:
    return (one.amount * one.price).quantize(MONEY_STEP)


def _plain(amounts: dict[Pair, Decimal] | dict[str, Decimal]) -> dict[str, str]:
    return {str(name): str(amount) for name, amount in sorted(amounts.items())}
