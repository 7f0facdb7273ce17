"""Kraken as the coordinator's venue: requests go out one after the other, what comes of them arrives as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import msgspec

from ...core.clock import Timer
from ...core.config_venues import KrakenSettings
from ...core.errors import ConfigError, LedgerError, Malformed, SourceError, Unavailable
from ...core.ports import Clock
from ...core.types import Order, Pair
from ...core.venue import (
    Acknowledged,
    Ask,
    ClientId,
    Ended,
    Lost,
    NotAnswered,
    OrderState,
    Place,
    Refused,
    StatusChanged,
    VenueEvent,
    VenueId,
    VenueStatus,
)
from ..venues.events import VenueEvents
from ..venues.owners import Owners
from ..venues.text import plain
from ..venues.worker import Question, Worker
from .budget import Budget, KeptCalls
from .errors import Complaint, KrakenTrouble, Verdict
from .listing import Listings
from .nonce import Nonces
from .offset import Offset
from .orders import ended_at, is_client_id, order_of, parameters
from .questions import Questions
from .rest import KrakenRest
from .standing import Standing

type _Asked = tuple[Ask, tuple[ClientId, ...], int | None]
Guard = Callable[[Order, Callable[[], None]], str]
_EVENTS = 100_000
"""Above so many undrained events something is wrong with whoever drains; putting waits then."""


class KrakenVenue:
    """A `Venue` over REST alone; a private stream may put what it hears into `queue` besides.

    `owners` knows our id of each of Kraken's. Signed calls are made by one thread, orders and cancellations first.
    `guard` does the sending of an order, or says why not: the kill switch, asked in the same critical section.
    `pairs` are those of a run: what was ordered of one that is listed no more can be read, and nothing is sent for it.
    """

    name = "kraken"
    simulated = False

    def __init__(
        self,
        rest: KrakenRest,
        nonces: Nonces,
        settings: KrakenSettings,
        clock: Clock,
        timer: Timer,
        queue: VenueEvents | None = None,
        kept: KeptCalls | None = None,
    ) -> None:
        self.queue = queue or VenueEvents(_EVENTS)
        self.guard: Guard = _unguarded
        self.pairs: Sequence[Pair] = ()
        self.owners = Owners()
        self._rest, self._settings, self._clock, self._timer = rest, settings, clock, timer
        self.budget = Budget(settings.budget, kept, self._ticks())
        self._standing = Standing(settings, self.budget, nonces.jump)
        self._listings, self._listed_at = Listings({}), 0
        self._status: VenueStatus | None = None
        self.offset = Offset()
        self._waiting: dict[_Asked, list[int]] = {}
        self._asking = Lock()
        self._questions = Questions(rest, self.budget, self.owners, self.offset, settings, self._now, self._ticks)
        self._worker: Worker | None = None

    def open(self) -> None:
        """Check the key, learn pairs and status, begin to take requests.

        ConfigError for a key that can withdraw or cannot trade; SourceError when Kraken does not answer as it should.
        """
        objection = self._urgently(self._rest.key_rights).objection
        if objection:
            raise ConfigError(f"kraken.key_file: {objection}")
        self._learn(self._rest.listings())
        self.hear_status(self._rest.status())
        self._worker = Worker(self._settings.rest.queue_calls, self._timer, "kraken-calls")
        self._worker.later(self._refresh())

    def pause_s(self) -> float:
        """Seconds until a call makes sense: the silence that Kraken asked for, and what our own count says."""
        now = self._ticks()
        return max(self._standing.pause_s(now), self.budget.room(now))

    def websocket_token(self) -> str:
        """For one connection; counted as every other call. SourceError where there is none now."""
        return self._urgently(self._rest.websocket_token)

    def _urgently[T](self, call: Callable[[], T]) -> T:
        """One call on which everything waits: not made while it would be refused, and what is said of us counts."""
        standing, now = self._standing.objection(self._ticks()), self._ticks()
        if standing or (wait := self.budget.call(now, urgent=True)) > 0.0:
            raise Unavailable(f"kraken: nothing is asked now: {standing or f'calls are counted, {wait:.1f} s to wait'}")
        try:
            return call()
        except KrakenTrouble as trouble:
            self._heard(trouble.complaint, None)
            raise

    @property
    def listings(self) -> Listings:
        """The rules of all pairs as of the last look."""
        return self._listings

    def depth(self) -> int:
        """How many calls are under way or wait for their turn; those that wait for the budget do not count."""
        return 0 if self._worker is None else self._worker.depth()

    # --- Venue -----------------------------------------------------------------------------------------------------

    def place(self, place: Place) -> None:
        """Send an order once. Acknowledged, Refused or Lost follows."""
        if not self._open.soon(lambda: self._send(place)):
            self._refuse(place.client_id, "queue_full", "too many calls wait")

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Ended follows when the order is certainly open no more, NotAnswered when that is not certain."""
        if not self._open.soon(lambda: self._withdraw(number, client_id, venue_id, pair)):
            self._unanswered(None, [number], client_id, "queue_full")

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Answered or NotAnswered follows, however long the budget makes it wait.

        A question that is repeated while it waits for its turn is asked once, and each of its numbers is answered.
        """
        asked = (ask, tuple(client_ids), since)
        with self._asking:
            repeated = asked in self._waiting
            self._waiting.setdefault(asked, []).append(number)
        if not repeated and not self._open.later(self._question(asked)):
            self._unanswered(ask, self._begin(asked), ClientId(""), "queue_full")

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call."""
        return self.queue.drain()

    def close(self) -> None:
        """Let the call that is going on come to its end, and give back thread and connection."""
        self.queue.close()
        if self._worker is not None:
            self._worker.close()
        self._rest.close()

    def dead_man(self, seconds: int) -> None:
        """All orders of the account, stops included, go in so many seconds unless this is repeated; 0 turns it off."""
        self._open.later(self._switch(seconds))

    def dead_man_off(self) -> str:
        """Turn it off at once, while nothing else is asked any more; why that is not certain, "" where it is."""
        try:
            self._rest.cancel_all_after(0)
        except (SourceError, LedgerError) as error:
            return plain(error)
        return ""

    @property
    def _open(self) -> Worker:
        if self._worker is None:
            raise ConfigError("kraken: the venue was not opened")
        return self._worker

    # --- orders, in the worker's thread ----------------------------------------------------------------------------

    def _send(self, place: Place) -> None:
        order = place.approved.order
        objection = self._objection(place)
        if objection:
            self._refuse(place.client_id, objection, "not sent")
            return
        try:
            said = parameters(place, self._listings.symbols.names(order.pair), self._settings.orders)
            why, txid = self._guarded(order, said)
        except KrakenTrouble as trouble:
            self._not_placed(place, trouble.complaint)
        except (Malformed, LedgerError) as error:
            self._refuse(place.client_id, "not_sent", str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not make an order look as if it were not there
            self.queue.put(Lost(place.client_id, f"fault: {type(error).__name__}", self._now()))
        else:
            if why:
                self._refuse(place.client_id, "kill_switch", why)
                return
            self._standing.fine()
            self.owners.learn(VenueId(txid), place.client_id, self._now())
            self.queue.put(Acknowledged(place.client_id, VenueId(txid), self._now()))

    def _guarded(self, order: Order, said: dict[str, str]) -> tuple[str, str]:
        """Why the order did not leave, or what Kraken calls it."""
        txid: list[str] = []
        why = self.guard(order, lambda: txid.append(self._rest.add_order(said)))
        return why, "".join(txid)

    def _objection(self, place: Place) -> str:
        """Why an order is not even sent, as a code; the last check counts it in the budget."""
        order, now = place.approved.order, self._now()
        if not is_client_id(place.client_id):
            return "client_id"
        if standing := self._standing.objection(self._ticks()):
            return standing
        if closed := self._closed(order):
            return closed
        if place.deadline - (now + self.offset.ms) < self._settings.rest.min_deadline_seconds * 1000:
            return "deadline_too_near"
        return "rate_budget" if self.budget.place(order.pair, self._ticks()) > 0.0 else ""

    def _closed(self, order: Order) -> str:
        if self._status in (None, VenueStatus.MAINTENANCE, VenueStatus.CANCEL_ONLY):
            return f"venue_{self._status}"
        if self._ticks() - self._listed_at > 2 * self._settings.rest.listing_seconds * 1000:
            return "listing_stale"
        try:
            return self._listings.of(order.pair).objection(order)
        except Malformed:
            return "unknown_pair"

    def _not_placed(self, place: Place, complaint: Complaint) -> None:
        self._heard(complaint, place.approved.order.pair)
        if complaint.verdict is Verdict.UNKNOWN:
            self.queue.put(Lost(place.client_id, f"{complaint.code}: {complaint.text}", self._now()))
        else:
            self._refuse(place.client_id, complaint.code, complaint.text)

    def _withdraw(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        try:
            why = self._ask_cancel(client_id, venue_id, pair)
        except Exception as error:  # noqa: BLE001 - the thread must live; the cancellation can be asked for again
            why = f"fault: {type(error).__name__}"
        if why:
            self._unanswered(None, [number], client_id, why)
        elif not self._open.later(self._look(number, client_id, venue_id, pair)):
            self._unanswered(None, [number], client_id, "queue_full")

    def _ask_cancel(self, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> str:
        """Why it is not known that the order goes; empty when it is gone or going."""
        now = self._now()
        if standing := self._standing.objection(self._ticks()):
            return standing
        if self.budget.cancel(pair, now - self.owners.since(venue_id, client_id, now), self._ticks()) > 0.0:
            return "rate_budget"
        try:
            self._rest.cancel_order({"txid": venue_id} if venue_id else {"cl_ord_id": client_id})
        except KrakenTrouble as trouble:
            self._heard(trouble.complaint, pair)
            return "" if trouble.complaint.code == "unknown_order" else trouble.complaint.code
        except (SourceError, LedgerError) as error:
            return plain(error)
        self._standing.fine()
        return ""

    # --- questions, in the worker's thread -------------------------------------------------------------------------

    def _question(self, asked: _Asked) -> Question:
        ask = asked[0]
        if ask is not Ask.TIME and not self._standing.objection(self._ticks()):
            yield from self._questions.turn(ask)
        numbers = self._begin(asked)
        yield from self._safely(ask, numbers, ClientId(""), self._answer(numbers, *asked))

    def _begin(self, asked: _Asked) -> list[int]:
        """From now on the same question is another one: what this one finds may be older than that."""
        with self._asking:
            return self._waiting.pop(asked)

    def _answer(self, numbers: list[int], ask: Ask, client_ids: tuple[ClientId, ...], since: int | None) -> Question:
        answer = yield from self._questions.answer(numbers[0], ask, client_ids, since, self._listings.symbols)
        if answer.venue_now is not None:
            # Waits as long behind the answer as before it: whoever asked takes the middle for the moment it is of.
            yield self._settings.budget.public_interval_seconds
            self.hear_status(self._rest.status())
        for number in numbers:
            self.queue.put(msgspec.structs.replace(answer, number=number))

    def _look(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> Question:
        """After a cancellation: what was filled of the order, now that it can fill no more."""
        return self._safely(None, [number], client_id, self._seen_closed(number, client_id, venue_id, pair))

    def _seen_closed(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> Question:
        rows = yield from self._questions.row_of(client_id, venue_id)
        for txid, row in rows.items():
            order = order_of(txid, row, self._listings.symbols)
            if order.state is not OrderState.OPEN:
                self.owners.learn(order.venue_id, client_id, order.opened_at)
                at = ended_at(row) or self._now()
                ended = Ended(order.venue_id, client_id, pair, order.state, order.filled, at, order.reason)
                self.queue.put(ended)
                return
        self._unanswered(None, [number], client_id, "not_closed")

    def _switch(self, seconds: int) -> Question:
        yield from self._questions.turn()
        try:
            self._rest.cancel_all_after(seconds)
        except KrakenTrouble as trouble:
            self._heard(trouble.complaint, None)
        except (SourceError, LedgerError):
            return  # it is repeated long before it fires

    def _refresh(self) -> Question:
        """For ever: rules of pairs change over night."""
        while True:
            yield self._settings.rest.listing_seconds
            try:
                self._learn(self._rest.listings())
                self.hear_status(self._rest.status())
            except SourceError:
                # The old ones serve until they are too old; orders are refused then.
                continue

    def _safely(self, ask: Ask | None, numbers: list[int], client_id: ClientId, question: Question) -> Question:
        """The same question; whatever goes wrong becomes NotAnswered."""
        if standing := self._standing.objection(self._ticks()):
            self._unanswered(ask, numbers, client_id, standing)
            return
        try:
            yield from question
            self._standing.fine()
        except KrakenTrouble as trouble:
            self._heard(trouble.complaint, None)
            self._unanswered(ask, numbers, client_id, trouble.complaint.code)
        except (SourceError, LedgerError) as error:
            self._unanswered(ask, numbers, client_id, plain(error))
        except Exception as error:  # noqa: BLE001 - the thread must live; a question can be asked again
            self._unanswered(ask, numbers, client_id, f"fault: {type(error).__name__}")

    # --- what is known ---------------------------------------------------------------------------------------------

    def _learn(self, listings: Listings) -> None:
        before, self._listings = self._listings, Listings(listings.rows, self.pairs)
        self._listed_at = self._ticks()
        for pair in self.pairs:
            row, was_gone = listings.rows.get(pair), bool(before.rows) and pair not in before.rows
            if (row is None) is not was_gone:
                status = VenueStatus.MAINTENANCE if row is None else row.status
                self.queue.put(StatusChanged(status, True, self._now(), pair))
        for pair, row in listings.rows.items():
            was = before.rows.get(pair)
            if was is not None and was.status is not row.status:
                self.queue.put(StatusChanged(row.status, True, self._now(), pair))

    def hear_status(self, status: VenueStatus) -> None:
        """What the exchange lets anybody do now, from whoever heard of it; believed at once."""
        if status is not self._status:
            self.queue.put(StatusChanged(status, True, self._now()))
        self._status = status

    def _heard(self, complaint: Complaint, pair: Pair | None) -> None:
        self._standing.heard(complaint, pair, self._now() + self.offset.ms, self._ticks())
        if complaint.code == "market_in_cancel_only_mode":
            self.hear_status(VenueStatus.CANCEL_ONLY)

    def _refuse(self, client_id: ClientId, reason: str, text: str) -> None:
        self.queue.put(Refused(client_id, reason, text, self._now()))

    def _unanswered(self, ask: Ask | None, numbers: Sequence[int], client_id: ClientId, why: str) -> None:
        for number in numbers:
            self.queue.put(NotAnswered(ask, number, client_id, why, self._now()))

    def _now(self) -> int:
        return self._clock.now_ms()

    def _ticks(self) -> int:
        return int(self._timer.seconds() * 1000)


def _unguarded(order: Order, action: Callable[[], None]) -> str:
    action()
    return ""
