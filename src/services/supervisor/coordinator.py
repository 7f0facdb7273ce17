"""The one who sends: a state machine without I/O, clock or thread, so that every schedule of faults can be played."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from ...core.config_execution import Execution, ms
from ...core.types import MONEY_STEP, Approved, Denied, Fill, Order, OrderKind, Outcome, Pair, Side
from ...core.venue import (
    Acknowledged,
    Answered,
    ClientId,
    Ended,
    Executed,
    Lost,
    NotAnswered,
    Place,
    Refused,
    StatusChanged,
    VenueEvent,
    VenueStatus,
)
from .actions import Action, Happened
from .adoption import Adoption
from .bench import Bench
from .executor import Executor
from .inquiry import Inquiry, Purpose
from .moment import Link, go_on, moment_of
from .order_records import Began, Cleared, Declined, Protects, terms_of
from .order_states import GONE, IN_FLIGHT, WORKING, Progress, Tracked
from .reconciliation import Reconciliation
from .register import EVERYTHING, ZERO, Line, replay


class Coordinator:
    """Takes approved orders and the venue's events, returns actions; a driver executes them in order.

    `may_send` says why an order may not leave now, "" where it may. `approve` is the gate's door for orders of the
    coordinator's own (protective stops) and for sells that have to be made smaller. `tick` is the step of a pair's
    prices at the venue (quote currency), to which the stop of an entry is rounded up. Nothing is sent before the venue
    has told by `StatusChanged` that it is online and connected, and `start` has asked all its questions.

    Every call's `now` is UTC ms. State is what `Register` holds, all of it in rows; the rest (questions under way,
    connection, repetitions) begins anew with every life.
    """

    def __init__(
        self,
        settings: Execution,
        may_send: Callable[[Order], str],
        namespace: UUID,
        approve: Callable[[Order, int], Approved | Denied],
        *,
        simulated: bool,
        tick: Callable[[Pair], Decimal] = lambda pair: MONEY_STEP,
    ) -> None:
        self._settings = settings
        self._may_send = may_send
        self._bench = bench = Bench(settings, namespace, simulated=simulated)
        self._register = bench.register
        self._numbers = 0
        self._adoption = Adoption(bench, tick)
        self._executor = Executor(bench, may_send, approve, self._obstacle, self._number)
        self._reconciliation = Reconciliation(bench, self._adoption, self._executor, lambda: self._inquiry)
        self._inquiry = Inquiry(bench, self._number, self._reconciliation.conclude)
        self._connected = False
        self._status: VenueStatus | None = None
        self._pair_status: dict[Pair, VenueStatus] = {}

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    # Calls.

    def start(self, now: int) -> list[Action]:
        """Begin a new life: resolve what the last one left, then be ready. Also after a crash, and only once a life."""
        self._bench.now = now
        self._bench.note(Began(now, self._register.books.epoch + 1))
        for tracked in self._register.live():
            if tracked.progress is Progress.NEW:
                self._bench.move(tracked, Progress.REJECTED, "restarted")
            elif tracked.progress in IN_FLIGHT:
                self._adoption.unknown(tracked, "restarted")
        self._connected, self._status, self._pair_status = False, None, {}
        self._executor.forget()
        self._reconciliation.begin()
        self._inquiry.begin(now)
        self._inquiry.on_time()
        return self._bench.take()

    def submit(self, approved: Approved, now: int) -> list[Action]:
        """Send an approved order, or say by an outcome why not. An id that is known already does nothing."""
        self._bench.now = now
        order = approved.order
        if self._bench.client_id(order.id) in self._register.books.orders:
            return []
        reason = self._objection(order)
        if reason:
            self._bench.note(Declined(now, order.id, order.pair, reason), durable=False)
            self._bench.act(Happened(Outcome(order.id, order.pair, "rejected", now, reason)))
        else:
            self._executor.accept(approved)
            self._executor.advance(order.pair)
        return self._bench.take()

    def cancel(self, pair: Pair, side: Side | None, now: int) -> list[Action]:
        """Withdraw what is open for a pair, stops included; with a `side` only what waits on it, stops excluded."""
        self._bench.now = now
        for tracked in self._register.live(pair):
            if side is not None and (tracked.order.side is not side or tracked.is_stop):
                continue
            if tracked.progress is Progress.NEW:
                self._bench.move(tracked, Progress.REJECTED, "cancelled")
            elif tracked.progress in IN_FLIGHT or tracked.progress in WORKING:
                self._executor.withdraw_soon(tracked, "asked")
        if side is None and pair in self._register.books.terms:
            self._bench.note(Protects(now, pair))
        self._executor.advance(pair)
        return self._bench.take()

    def withheld(self, place: Place, reason: str, now: int) -> list[Action]:
        """The driver did not send: `may_send` said no right before, or the time had passed. It certainly never left."""
        self._bench.now = now
        tracked = self._register.find(place.client_id, None)
        if tracked is not None and tracked.progress in IN_FLIGHT:
            self._bench.move(tracked, Progress.REJECTED, reason)
            self._executor.stop_failed(tracked)
            self._executor.advance(tracked.order.pair)
        return self._bench.take()

    def on_event(self, event: VenueEvent, now: int) -> list[Action]:
        """Take one event of the venue; in any order, any number of times."""
        self._bench.now = now
        match event:
            case Answered():
                self._answered(event)
            case NotAnswered(ask=None):
                self._executor.not_cancelled(event.client_id)
                self._inquiry.soon(Purpose.RESOLVE)
            case NotAnswered():
                self._inquiry.not_answered(event)
            case StatusChanged():
                self._status_changed(event)
            case _:
                self._about_order(event)
        self._reconciliation.look()
        return self._finish()

    def on_time(self, now: int) -> list[Action]:
        """Deadlines, repeated questions, reconciliation; cheap when nothing is due."""
        self._bench.now = now
        self._reconciliation.overdue()
        self._executor.on_time()
        return self._finish()

    def reconcile(self, now: int) -> list[Action]:
        """Ask about orders, executions and balances now instead of when it is due."""
        self._bench.now = now
        self._inquiry.want(Purpose.RESOLVE, now)
        self._inquiry.want(Purpose.POSITIONS, now)
        return self._finish()

    def _finish(self) -> list[Action]:
        if self._bench.halted_anew:  # what is halted by one pair's event may be another pair
            self._bench.halted_anew = False
            self._executor.advance_all()
        self._inquiry.on_time()
        return self._bench.take()

    def clear(self, pair: Pair | None, reason: str, now: int) -> list[Action]:
        """A person lifts the coordinator's own halt of a pair, or of all (None)."""
        self._bench.now = now
        if (pair or EVERYTHING) in self._register.books.halted:
            self._bench.note(Cleared(now, reason, pair))
            self._executor.advance_all()
        return self._bench.take()

    # What comes from the venue.

    def _about_order(self, event: Acknowledged | Refused | Lost | Executed | Ended) -> None:
        match event:
            case Acknowledged():
                self._adoption.acknowledged(event)
            case Refused():
                self._adoption.refused(event)
            case Lost():
                self._adoption.lost(event)
            case Executed():
                self._adoption.executed(event)
            case Ended():
                self._adoption.ended(event)
        venue_id = None if isinstance(event, Refused | Lost) else event.venue_id
        tracked = self._register.find(event.client_id, venue_id)
        if tracked is not None:
            self._follow(tracked)

    def _follow(self, tracked: Tracked) -> None:
        """What an order's new state asks for."""
        if tracked.progress in GONE:
            self._executor.stop_failed(tracked)
        elif tracked.is_stop and tracked.progress in WORKING:
            self._executor.stop_rests(tracked.order.pair)
        if tracked.progress is Progress.UNKNOWN:
            self._inquiry.soon(Purpose.RESOLVE)
        self._executor.advance(tracked.order.pair)

    def _answered(self, event: Answered) -> None:
        for order in event.orders:
            self._adoption.order(order)
        for execution in event.executions:
            self._adoption.executed(execution)
        if self._inquiry.answered(event):
            self._check_clock()
        self._reconciliation.look()
        self._executor.advance_all()

    def _check_clock(self) -> None:
        offset = self._inquiry.offset
        if offset is not None and self._clock_wrong():
            text = f"the clocks of this machine and the exchange differ by {offset} ms: nothing is sent"
            self._bench.alarm("clock", text, None, str(self._register.books.epoch))

    def _clock_wrong(self) -> bool:
        offset = self._inquiry.offset
        return offset is None or abs(offset) > ms(self._settings.max_clock_offset_seconds)

    def _status_changed(self, event: StatusChanged) -> None:
        if event.pair is not None:
            self._pair_status[event.pair] = event.status
            self._executor.advance(event.pair)
            return
        came_back = event.connected and not self._connected
        self._connected, self._status = event.connected, event.status
        if came_back and not self._inquiry.at_beginning():  # what happened since it was asked was not heard
            self._reconciliation.begin()
            self._inquiry.again()
        self._executor.advance_all()

    # What may be sent.

    def _objection(self, order: Order) -> str:
        """Why an order is not taken, "" where it is; the first of the reasons in this order."""
        live = self._register.live(order.pair)
        reason = self._obstacle(order.pair, False)
        if not reason and any(t.progress is Progress.UNKNOWN for t in live):
            reason = "unknown_order"
        if not reason:
            reason = self._objection_buy(order, live) if order.side is Side.BUY else self._objection_sell(order, live)
        return reason or self._may_send(order)

    def _objection_buy(self, order: Order, live: list[Tracked]) -> str:
        if any(t.progress is Progress.NEW for t in live):
            return "busy"
        opposite = [t for t in live if t.order.side is Side.SELL]
        if any(not t.is_stop for t in opposite) or (opposite and order.kind is not OrderKind.MARKET):
            return "opposite_order"  # for a market order a stop makes room, and comes back for all that is held
        return ""

    def _objection_sell(self, order: Order, live: list[Tracked]) -> str:
        if self._register.position(order.pair) <= 0 and not any(t.order.side is Side.BUY for t in live):
            return "nothing_to_sell"
        if order.kind not in (OrderKind.STOP, OrderKind.STOP_LIMIT):
            return ""
        if order.trigger is None:
            return "no_trigger"
        terms = self._register.books.terms.get(order.pair)
        if terms is not None and order.trigger < terms.trigger:
            return "stop_lowered"
        resting = any(t.is_stop and t.progress in WORKING and terms_of(t.order) == terms_of(order) for t in live)
        return "unchanged" if resting else ""

    def may_leave(self, order: Order) -> str:
        """Why an order whose intent is durable must not leave after all, "" where it may: time passed since."""
        protective = order.side is Side.SELL and order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)
        return self._obstacle(order.pair, protective)

    def _obstacle(self, pair: Pair, protective: bool) -> str:
        """Why nothing may be placed for a pair now, "" where it may; a halt leaves positions protected."""
        if not self.ready:
            return "not_ready"
        if self._status is not VenueStatus.ONLINE or self._pair_status.get(pair, VenueStatus.ONLINE) is not (
            VenueStatus.ONLINE
        ):
            return "venue_not_online"
        if self._clock_wrong():
            return "clock"
        return "halted" if self._bench.halted(pair) and not protective else ""

    # Views.

    @property
    def ready(self) -> bool:
        """Start-up is finished, the private stream is alive, nothing from before is open."""
        return self._connected and self._reconciliation.synced

    def open_orders(self) -> list[Order]:
        """Orders of ours that wait, are on their way or open, each with what is left of it."""
        return [_rest(t) for t in self._register.live() if _open(t)]

    def unknown_orders(self) -> list[Order]:
        """Orders about which nobody knows yet whether they are at the venue."""
        return [_rest(t) for t in self._register.live() if t.progress is Progress.UNKNOWN]

    def progress(self, client_id: ClientId) -> Progress | None:
        """Where an order of ours stands; None where it is none."""
        tracked = self._register.find(client_id, None)
        return None if tracked is None else tracked.progress

    def client_id(self, order: Order) -> ClientId:
        """Our name of an order at the venue."""
        return self._bench.client_id(order.id)

    @property
    def halted(self) -> Mapping[Pair | None, str]:
        """Reasons by pair; None stands for all."""
        return {pair or None: reason for pair, reason in self._register.books.halted.items()}

    def under_way(self) -> Mapping[Pair, int]:
        """Pairs with an action of the executor under way, and the fence of their last one."""
        return {pair: self._register.books.fences[pair] for pair in self._executor.busy()}

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits for its turn or an answer: no order, no cancellation, no stop that is to be placed."""
        waits = any(tracked.progress is Progress.NEW for tracked in self._register.live())
        return not (waits or self._executor.busy() or self._executor.restless)

    def positions(self) -> Mapping[Pair, Decimal]:
        """What our own executions add up to, base units."""
        return dict(self._register.books.positions)

    def exposure(self) -> Mapping[Pair, Decimal]:
        """Signed base units of somebody else's executions and of what is left of their open orders."""
        total = dict(self._register.books.foreign)
        for order in self._register.books.strangers.values():
            left = order.amount - order.filled
            total[order.pair] = total.get(order.pair, ZERO) + (left if order.side is Side.BUY else -left)
        return total

    def fills(self, index: int) -> list[Fill]:
        """Fills from that one on, in order: for a portfolio that knows of fewer. LedgerError for very old ones."""
        return self._register.fills(index)

    @property
    def clock_offset(self) -> int | None:
        """The venue's clock minus this machine's (ms); None before it was asked."""
        return self._inquiry.offset

    @property
    def doubts(self) -> list[str]:
        """What did not agree with the venue when it was last asked, what it has not answered, what is halted."""
        asked = [] if self._inquiry.round is None else [f"not answered yet: {self._inquiry.round.left[0]}"]
        unknown = [f"{order.pair}: nobody knows what became of {order.id}" for order in self.unknown_orders()]
        halted = [f"{pair or 'everything'} is halted: {reason}" for pair, reason in self.halted.items()]
        return [*self._reconciliation.doubtful, *asked, *unknown, *halted]

    @property
    def looking(self) -> bool:
        """Whether a question is out, or is to be asked now."""
        inquiry, now = self._inquiry, self._bench.now
        return inquiry.round is not None or any(due <= now for due in inquiry.due.values())

    @property
    def records(self) -> int:
        """How many records there are: whoever saw that many has seen everything."""
        return self._register.books.number

    # State.

    def state(self) -> dict[str, Any]:
        """Everything that is durable, as plain data; equal to that of a replay of the rows written."""
        return self._register.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; `start` is to follow."""
        self._register.restore(state)

    def moment(self) -> dict[str, Any]:
        """What `state` leaves out, as plain data: for a process that goes on in the middle of this life."""
        link = Link(self._numbers, self._connected, self._status, dict(self._pair_status))
        return moment_of(link, self._inquiry, self._reconciliation, self._executor, self._adoption)

    def go_on(self, moment: dict[str, Any]) -> None:
        """Continue a life where `moment` was taken, after `restore`: no `start` is to follow."""
        link = go_on(moment, self._inquiry, self._reconciliation, self._executor, self._adoption)
        self._numbers, self._connected, self._status = link.numbers, link.connected, link.status
        self._pair_status = link.pair_status

    def recall(self, rows: Iterable[Line]) -> None:
        """Go on from the rows of a ledger alone; `start` is to follow."""
        self._register.restore(replay(rows).state())


def _open(tracked: Tracked) -> bool:
    return tracked.progress is Progress.NEW or tracked.progress in IN_FLIGHT or tracked.progress in WORKING


def _rest(tracked: Tracked) -> Order:
    """The order with what is left of it."""
    order = tracked.order
    return order if tracked.left == order.amount else msgspec.structs.replace(order, amount=tracked.left)
