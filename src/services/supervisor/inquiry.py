"""Asks the venue, one round of questions at a time, each repeated until it is answered.

Open orders are asked for before closed ones, and closed ones only when the open ones are known: an order that
closes in between is then in the second answer. Asked the other way round it would be in neither. What decides about
orders comes before executions and balances, which are dearer, and before everything that can wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import StrEnum

import msgspec

from ...core.config_execution import ms
from ...core.venue import Answered, Ask, ClientId, NotAnswered, OrderState, VenueId, VenueOrder
from .actions import Question
from .bench import Bench
from .order_states import DONE, IN_FLIGHT, WORKING, Progress, Tracked


class Purpose(StrEnum):
    """Why there is a round; the order is that of urgency."""

    START = "start"
    RESOLVE = "resolve"
    OPEN = "open"
    POSITIONS = "positions"
    AUDIT = "audit"
    CLOCK = "clock"


ASKS = {
    Purpose.START: (Ask.TIME, Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS, Ask.EXECUTIONS, Ask.BALANCES),
    Purpose.RESOLVE: (Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS, Ask.EXECUTIONS),
    Purpose.OPEN: (Ask.OPEN_ORDERS,),
    Purpose.POSITIONS: (Ask.EXECUTIONS, Ask.BALANCES),
    Purpose.AUDIT: (Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS, Ask.EXECUTIONS, Ask.BALANCES),
    Purpose.CLOCK: (Ask.TIME,),
}


_CAN_WAIT = frozenset({Purpose.OPEN, Purpose.POSITIONS, Purpose.AUDIT})
"""What gives way to a search for orders, and begins anew behind it."""


class Round(msgspec.Struct):
    """One round: what is still to ask, and what was seen. Times UTC ms of this machine.

    `about`: orders of ours that the question for closed ones names; `until`: when the question that is out is
    repeated; `asked`: whether it is out.
    """

    purpose: Purpose
    started: int
    left: deque[Ask]
    about: tuple[ClientId, ...]
    since: int | None
    number: int = 0
    asked_at: int = 0
    until: int = 0
    asked: bool = False
    seen: dict[VenueId, VenueOrder] = {}
    balances: dict[str, Decimal] | None = None


class Inquiry:
    """At most one round at a time. What answers mean is decided elsewhere: `conclude` gets the finished round."""

    def __init__(self, bench: Bench, numbers: Callable[[], int], conclude: Callable[[Round], None]) -> None:
        self._bench = bench
        self._number = numbers
        self._conclude = conclude
        self.round: Round | None = None
        self.due: dict[Purpose, int] = {}
        self.offset: int | None = None
        self.doubt = 0

    def begin(self, now: int) -> None:
        """A new life: everything has to be asked anew."""
        settings = self._bench.settings
        self.round, self.offset, self.doubt = None, None, 0
        self.due = {
            Purpose.START: now,
            Purpose.OPEN: now + ms(settings.open_orders_seconds),
            Purpose.POSITIONS: now + ms(settings.positions_seconds),
            Purpose.AUDIT: now + ms(settings.audit_seconds),
            Purpose.CLOCK: now + ms(settings.clock_seconds),
        }

    def schedule(self) -> dict[Purpose, int]:
        """When what is asked next (UTC ms); what is being asked counts as due."""
        round_ = self.round
        return dict(self.due) if round_ is None else self.due | {round_.purpose: round_.started}

    def at_beginning(self) -> bool:
        """Whether the start-up round has asked nothing yet that changes while nobody listens."""
        round_ = self.round
        waits = Purpose.START in self.due if round_ is None else round_.purpose is Purpose.START
        return waits and (round_ is None or len(round_.left) == len(ASKS[Purpose.START]))

    def again(self) -> None:
        """Ask everything from the beginning; what is being asked is of no use any more."""
        self.round = None
        self.due[Purpose.START] = self._bench.now

    def want(self, purpose: Purpose, at: int) -> None:
        """Ask at that time (UTC ms) or earlier."""
        self.due[purpose] = min(at, self.due.get(purpose, at))

    def soon(self, purpose: Purpose) -> None:
        """Ask now, unless such a round is under way or has its time already."""
        if purpose not in self.due and (self.round is None or self.round.purpose is not purpose):
            self.due[purpose] = self._bench.now

    def on_time(self) -> None:
        """Repeat a question without an answer, or begin the most urgent round that is due."""
        self._give_way()
        now, round_ = self._bench.now, self.round
        if round_ is None:
            purpose = next((p for p in Purpose if self.due.get(p, now + 1) <= now), None)
            if purpose is not None:
                self._start(purpose)
        elif now >= round_.until:
            self._ask(round_)

    def _give_way(self) -> None:
        """A search for orders does not stand behind what has time."""
        round_, now = self.round, self._bench.now
        if round_ is not None and round_.purpose in _CAN_WAIT and self.due.get(Purpose.RESOLVE, now + 1) <= now:
            self.round = None
            self.want(round_.purpose, now)

    def _start(self, purpose: Purpose) -> None:
        now = self._bench.now
        del self.due[purpose]
        about = tuple(tracked.client_id for tracked in self._about())
        self.round = Round(purpose, now, deque(ASKS[purpose]), about, self._since(purpose))
        self._ask(self.round)

    def _about(self) -> Iterator[Tracked]:
        """Orders that may be at the venue, and absent ones for as long as they are watched."""
        register, bench = self._bench.register, self._bench
        for tracked in register.live():
            if tracked.progress is not Progress.NEW:
                yield tracked
        oldest = bench.now - ms(bench.settings.watch_seconds)
        yield from register.watched(oldest)

    def _since(self, purpose: Purpose) -> int:
        """From when on executions are asked for: what was asked overlaps, so that nothing falls between.

        An audit asks for all that was since the one before, whatever was asked since.
        """
        books, settings = self._bench.register.books, self._bench.settings
        known = max(books.since, books.checked)
        if purpose is Purpose.AUDIT:
            known = max(books.since, min(known, self._bench.now - ms(settings.audit_seconds)))
        oldest = min((t.at for t in self._bench.register.unresolved()), default=known)
        return max(0, min(known, oldest) - ms(settings.overlap_seconds))

    def _ask(self, round_: Round) -> None:
        now, ask = self._bench.now, round_.left[0]
        round_.number, round_.asked_at, round_.asked = self._number(), now, True
        round_.until = now + ms(self._bench.settings.answer_seconds)
        by_name = ask is Ask.CLOSED_ORDERS and round_.purpose is not Purpose.AUDIT
        about = self._not_open(round_) if by_name else ()
        since = round_.since if ask in (Ask.EXECUTIONS, Ask.CLOSED_ORDERS) else None
        self._bench.act(Question(round_.number, ask, about, since))

    def _all_open(self, round_: Round) -> bool:
        """Whether closed orders come next and all that they are asked about are open."""
        if not round_.left or round_.left[0] is not Ask.CLOSED_ORDERS or round_.purpose is Purpose.AUDIT:
            return False
        return bool(round_.about) and not self._not_open(round_)

    @staticmethod
    def _not_open(round_: Round) -> tuple[ClientId, ...]:
        """Orders of ours that were not among the open ones: each is a call of its own."""
        seen = {order.client_id for order in round_.seen.values() if order.state is OrderState.OPEN}
        return tuple(client_id for client_id in round_.about if client_id not in seen)

    def answered(self, event: Answered) -> bool:
        """Take an answer; False for one that nobody waits for any more. The caller has taken in what it says."""
        round_ = self.round
        if round_ is None or event.number != round_.number or event.ask is not round_.left[0] or not round_.asked:
            return False
        self._note(round_, event)
        round_.left.popleft()
        if self._all_open(round_):
            round_.left.popleft()
        if round_.purpose is Purpose.RESOLVE and round_.left and not self._needs_executions(round_):
            round_.left.clear()
        if round_.left:
            self._ask(round_)
        else:
            self.round = None
            self._conclude(round_)
        return True

    def _needs_executions(self, round_: Round) -> bool:
        """Whether executions are asked for in a search for orders: they are the dearest question of the venue's budget.

        Not where all that is looked for is lost and was found nowhere: what nobody has was not executed.
        """
        if round_.left[0] is not Ask.EXECUTIONS:
            return True
        seen = {order.client_id: order for order in round_.seen.values()}
        for tracked in self._about():
            listed = seen.get(tracked.client_id)
            if tracked.progress in IN_FLIGHT:
                needs = listed is not None
            elif tracked.progress in WORKING:
                needs = listed is None or listed.filled > tracked.filled
            else:
                needs = listed is not None or not tracked.settled
            if needs:
                return True
        return False

    def _note(self, round_: Round, event: Answered) -> None:
        for order in event.orders:
            round_.seen[order.venue_id] = order
        if event.ask is Ask.BALANCES:
            round_.balances = {asset: amount for asset, amount in event.balances if amount.is_finite()}
        if event.ask is Ask.TIME and event.venue_now is not None:
            travelled = self._bench.now - round_.asked_at
            self.offset = event.venue_now - (round_.asked_at + travelled // 2)
            self.doubt = (travelled + 1) // 2
            self.want(Purpose.CLOCK, self._bench.now + ms(self._bench.settings.clock_seconds))

    def not_answered(self, event: NotAnswered) -> None:
        """Ask again after a while."""
        round_ = self.round
        if round_ is not None and event.number == round_.number and round_.asked:
            round_.asked = False
            round_.until = self._bench.now + ms(self._bench.settings.ask_again_seconds)

    @property
    def margin(self) -> int:
        """How long after its deadline (ms) an order may still come to be at the venue, by clocks that differ."""
        settings = self._bench.settings
        offset = abs(self.offset or 0) + self.doubt
        return ms(settings.absence_margin_seconds) + round(settings.absence_offset_factor * offset)


def is_absent(tracked: Tracked, round_: Round, margin: int) -> bool:
    """Whether a round shows that an order never came, and never will: asked about after its deadline, found nowhere."""
    asked = round_.purpose in (Purpose.START, Purpose.RESOLVE) and tracked.client_id in round_.about
    return asked and tracked.progress in IN_FLIGHT and round_.started > tracked.deadline + margin


def disagrees(tracked: Tracked, round_: Round) -> str:
    """What is wrong with an order that the venue has, after a round with all questions; "" for nothing."""
    if tracked.client_id not in round_.about or tracked.moved_at >= round_.started or tracked.progress in IN_FLIGHT:
        return ""
    listed = None if tracked.venue_id is None else round_.seen.get(tracked.venue_id)
    if tracked.progress in DONE:
        return "" if tracked.settled else f"{tracked.told} filled at the venue, {tracked.filled} known"
    if listed is None:
        return "neither open nor closed at the venue"
    if listed.filled > tracked.filled:
        return f"{listed.filled} filled at the venue, {tracked.filled} known"
    return "closed at the venue" if listed.state is not OrderState.OPEN else ""
