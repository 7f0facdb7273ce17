"""The private executions as events of a venue: gaps are noticed by number, and closed by a snapshot and by asking."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from threading import Lock

import msgspec

from ...core.clock import Timer
from ...core.config_streams import KrakenStreams
from ...core.errors import MycelialError
from ...core.ports import Clock
from ...core.types import Pair, Side
from ...core.venue import (
    Acknowledged,
    ClientId,
    Ended,
    Executed,
    OrderState,
    StatusChanged,
    VenueEvent,
    VenueId,
    VenueStatus,
)
from ..symbols import split_symbol
from .market import STATUSES
from .said import Broken, ReportSaid, ReportsSaid, Said, SystemSaid
from .subscriptions import Subscriptions

SNAPSHOT = 50
"""So many fills are in a snapshot at most: the last ones of the account."""
ENDS = {"filled": OrderState.FILLED, "canceled": OrderState.CANCELLED, "expired": OrderState.EXPIRED}
"""The kinds of report that close an order."""
BackFill = Callable[[int], Sequence[Executed]]
"""All executions since a time (UTC ms), from the exchange's history; a kind of MycelialError when it cannot tell."""


class _Word(msgspec.Struct):
    """The exchange's whole word on executions since a time (UTC ms): what a snapshot, or the history, began with."""

    since: int
    told: list[Executed]


class _Order(msgspec.Struct):
    """What was said of one order so far, merged: later reports carry only what changed."""

    client: str = ""
    symbol: str = ""
    side: str = ""
    filled: Decimal = Decimal(0)
    told: bool = False


class Executions:
    """Turns reports into events, each execution once. `events` is for any thread; the rest belongs to the stream.

    `reconciled` is whether nothing is missing: it falls with a cut, a gap in the numbers, a line that cannot be read,
    or a full queue, and rises when a snapshot came that reaches back to what was certain before, or that does not and
    the exchange's history, the dearest of all questions, overlaps with it.
    `since` (UTC ms) and `known`, the last one last, say what the ledger knows already; `owner` our id of an order.
    `counts` tells what was met on the way.
    """

    def __init__(
        self,
        settings: KrakenStreams,
        clock: Clock,
        timer: Timer,
        wanted: Subscriptions,
        back_fill: BackFill,
        since: int,
        known: Sequence[str] = (),
        owner: Callable[[VenueId], ClientId | None] = lambda _: None,
    ) -> None:
        self.reconciled = False
        self.counts: Counter[str] = Counter()
        self._settings, self._clock, self._timer, self._wanted = settings, clock, timer, wanted
        self._ask, self._owner = back_fill, owner
        self._again_s, self._sent_s = 0.0, float("-inf")
        self._lock = Lock()
        self._events: deque[VenueEvent] = deque()
        self._orders: OrderedDict[str, _Order] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict.fromkeys(known)
        self._newest = self._sure = (since, known[-1] if known else "")
        self._heard: list[Executed] = []
        self._word: _Word | None = None
        self._status = VenueStatus.ONLINE
        self._sequence: int | None = None
        self._epoch = 0
        self._owed = self._full = False
        self._overlap_ms = round(1000 * settings.overlap_seconds)
        wanted.want("executions", snap_orders=True, snap_trades=True)

    # --- the stream's thread -------------------------------------------------------------------------------------

    def opened(self) -> None:
        """A new connection: its snapshot comes first."""
        with self._lock:
            self._sequence = None

    def cut(self) -> None:
        """Nothing is certain until the next snapshot."""
        with self._lock:
            self._lose("cut")
            self._sequence = None

    def take(self, said: Said) -> None:
        """One thing the private connection said."""
        with self._lock:
            match said:
                case ReportsSaid():
                    self._reports(said)
                case SystemSaid():
                    self._status = STATUSES.get(said.system, VenueStatus.MAINTENANCE)
                    self._say_status()
                case Broken():
                    self._gap(f"unreadable: {said.cause}")

    def job(self) -> Callable[[], None] | None:
        """The back-fill that is owed, to be run beside the stream."""
        with self._lock:
            due = self._owed and not self._full and self._timer.seconds() >= self._again_s
            return self._back_fill if due else None

    # --- any thread ----------------------------------------------------------------------------------------------

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call, in order of arrival."""
        with self._lock:
            events = tuple(self._events)
            self._events.clear()
            if self._full:
                self._full = False
                self._gap("the queue was full")
        return events

    def whole(self, since: int) -> tuple[Executed, ...] | None:
        """All executions since a time (UTC ms), where the last snapshot or back-fill and the stream after it say so.

        Once for each of them, so that whoever asks again asks the exchange; None where that has to be done now.
        """
        with self._lock:
            word, self._word = self._word, None
            lately = self._timer.seconds() < self._sent_s + self._settings.connection.silence_seconds
            if word is None or lately or not self.reconciled or since < word.since:
                return None
            told = {one.execution_id: one for one in (*word.told, *self._heard) if one.at >= since}
            return tuple(sorted(told.values(), key=lambda one: (one.at, one.execution_id)))

    def outdated(self) -> None:
        """An order is sent: what it comes to may be known to the exchange before it is heard here.

        That holds for as long as a stream may be silent; one that is silent for longer is dead.
        """
        with self._lock:
            self._word, self._sent_s = None, self._timer.seconds()

    # --- inside the lock -----------------------------------------------------------------------------------------

    def _reports(self, said: ReportsSaid) -> None:
        if said.snapshot:
            self._owed, self._again_s = True, 0.0
            self._epoch += 1  # what was asked for before this snapshot does not reach up to it
            self._overlap_ms = round(1000 * self._settings.overlap_seconds)
            self._heard = []
        elif self._sequence is not None and said.sequence != self._sequence + 1:
            self._gap("sequence")
        self._sequence, newest = said.sequence, self._newest[1]
        for report in said.reports:
            self._report(report)
        if said.snapshot and self._owed and self._reaches_back(newest):
            self._settled(_Word(0 if len(self._heard) < SNAPSHOT else self._oldest + 1, []))

    def _reaches_back(self, newest: str) -> bool:
        """Whether a snapshot leaves nothing open: the newest before is in it, and its oldest is from a certain time."""
        overlaps = not newest or any(one.execution_id == newest for one in self._heard)
        return overlaps and (len(self._heard) < SNAPSHOT or self._oldest < self._sure[0])

    @property
    def _oldest(self) -> int:
        """When the oldest execution of the snapshot was (UTC ms)."""
        return min(one.at for one in self._heard)

    def _settled(self, word: _Word) -> None:
        """Nothing is missing from here on."""
        self._owed, self.reconciled, self._word = False, True, word
        self._say_status()

    def _report(self, report: ReportSaid) -> None:
        order = self._merged(report)
        pair = split_symbol(order.symbol)
        if pair is None or order.side not in ("buy", "sell"):
            self._gap("unknown_order")
            return
        if order.client and not order.told:
            order.told = self._say(Acknowledged(ClientId(order.client), VenueId(report.order), report.at))
        if report.kind == "trade":
            self._trade(report, order, pair)
        elif report.kind in ENDS:
            self._end(report, order, pair)

    def _merged(self, report: ReportSaid) -> _Order:
        order = self._orders.setdefault(report.order, _Order())
        self._orders.move_to_end(report.order)
        if len(self._orders) > self._settings.executions_kept:
            self._orders.popitem(last=False)
        order.client = report.client or order.client or self._owner(VenueId(report.order)) or ""
        order.symbol = report.symbol or order.symbol
        order.side = report.side or order.side
        order.filled = order.filled if report.filled is None else report.filled
        return order

    def _trade(self, report: ReportSaid, order: _Order, pair: Pair) -> None:
        if not (report.execution and report.last_amount and report.last_price):
            self._gap("incomplete_execution")
            return
        executed = Executed(
            report.execution,
            VenueId(report.order),
            ClientId(order.client),
            pair,
            Side(order.side),
            report.last_amount,
            report.last_price,
            self._fee(report, pair),
            report.at,
            closes=report.status == "filled",
        )
        self._heard.append(executed)
        if len(self._heard) > self._settings.executions_kept:
            self._heard, self._word = [], None
        self._executed(executed)

    def _executed(self, executed: Executed) -> None:
        if executed.execution_id in self._seen:
            self.counts["repeated"] += 1
        elif self._say(executed):
            self._seen[executed.execution_id] = None
            self._newest = max(self._newest, (executed.at, executed.execution_id))
            if len(self._seen) > self._settings.executions_kept:
                self._seen.popitem(last=False)

    def _end(self, report: ReportSaid, order: _Order, pair: Pair) -> None:
        ended = Ended(
            VenueId(report.order),
            ClientId(order.client),
            pair,
            ENDS[report.kind],
            order.filled,
            report.at,
            report.reason,
        )
        self._say(ended)

    def _fee(self, report: ReportSaid, pair: Pair) -> Decimal:
        """In quote currency: as charged, by the trade's own price, or by the exchange's figure in dollars."""
        base, _, quote = pair.partition("/")
        fee = Decimal(0)
        for asset, amount in report.fees:
            named = (split_symbol(f"{asset}/{quote}") or "").partition("/")[0]
            if named == quote or asset == quote:
                fee += amount
            elif named == base and report.last_price is not None:
                fee += amount * report.last_price
            elif quote in ("USD", "USDT", "USDC") and report.fee_usd is not None:
                return report.fee_usd
            elif amount:
                self.counts["fee_in_another_asset"] += 1
        return fee

    def _say(self, event: VenueEvent) -> bool:
        """Queue an event; False when the queue is full: nothing is lost by that, for it is asked for again."""
        if self._full or len(self._events) >= self._settings.events:
            self._full = True
            self._lose("full")
            return False
        self._events.append(event)
        return True

    def _say_status(self) -> None:
        self._say(StatusChanged(self._status, self.reconciled, self._clock.now_ms()))

    def _gap(self, why: str) -> None:
        """Something is missing: a new snapshot is asked for, and after it the history."""
        self._lose(why)
        self._wanted.renew("executions")

    def _lose(self, why: str) -> None:
        self.counts[f"gap_{why}"] += 1
        self._epoch += 1
        self._owed, self._word = False, None
        if self.reconciled:
            self.reconciled, self._sure = False, self._newest
            self._events.append(StatusChanged(self._status, False, self._clock.now_ms()))

    # --- the back-fill's thread ----------------------------------------------------------------------------------

    def _back_fill(self) -> None:
        with self._lock:
            epoch, (at, last) = self._epoch, self._sure
            since = max(0, at - self._overlap_ms)
        try:
            found = sorted(self._ask(since), key=lambda one: (one.at, one.execution_id))
        except MycelialError:
            self.counts["back_fill_failed"] += 1
            self._later()
            return
        with self._lock:
            for executed in found:
                self._executed(executed)
            if last and all(executed.execution_id != last for executed in found):
                self.counts["no_overlap"] += 1
                self._overlap_ms *= 2
                self._later()
            elif epoch == self._epoch and self._owed:
                self._settled(_Word(since, found))

    def _later(self) -> None:
        """It is owed still, and done again after a while."""
        self._again_s = self._timer.seconds() + self._settings.connection.retry_seconds
