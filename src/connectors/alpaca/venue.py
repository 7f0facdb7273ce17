"""Alpaca as the coordinator's venue: requests go out one after the other, fills are looked for, all comes as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ...core.clock import Timer, iso
from ...core.config_alpaca import AlpacaSettings
from ...core.errors import ConfigError, Malformed, SourceError
from ...core.ports import Clock
from ...core.types import Pair
from ...core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    Lost,
    NotAnswered,
    OrderState,
    Place,
    Refused,
    StatusChanged,
    VenueEvent,
    VenueId,
    VenueOrder,
    VenueStatus,
)
from ..venues.events import VenueEvents
from ..venues.owners import Owners
from ..venues.text import plain
from ..venues.worker import Question, Worker
from .numbers import decimal
from .orders import OURS, Listed, ended_at, execution_of, listed, objection, order_of, parameters
from .rest import AlpacaRest, AlpacaTrouble, Verdict, moment

_EVENTS = 100_000
"""Above so many undrained events something is wrong with whoever drains; putting waits then."""
_EARLIEST = "1970-01-01T00:00:00Z"
_OVERLAP_MS = 60_000
"""How far before the newest known fill is looked again: fills become visible out of order; those known are dropped."""


class AlpacaVenue:
    """A `Venue` over REST alone. One thread makes all calls, orders and cancellations first.

    Alpaca knows no deadline of an order: one that is late on its way may still arrive after the coordinator has
    concluded that it is absent. It is then found by its id, cancelled, and trading halts.
    """

    name = "alpaca"
    simulated = False

    def __init__(
        self, rest: AlpacaRest, pairs: Sequence[Pair], settings: AlpacaSettings, clock: Clock, timer: Timer
    ) -> None:
        self.queue = VenueEvents(_EVENTS)
        self.owners = Owners()
        self._rest, self._wanted, self._settings, self._clock = rest, tuple(pairs), settings, clock
        self._listed: dict[Pair, Listed] = {}
        self._pairs: dict[str, Pair] = {}
        self._fees: dict[Pair, Decimal] = {}
        self._working: set[VenueId] = set()
        self._known: dict[str, int] = {}
        self._since = clock.now_ms() - _OVERLAP_MS
        self._rest_until, self._connected = 0, True
        self._timer = timer
        self._worker: Worker | None = None

    def open(self) -> None:
        """Check the account, learn the symbols, begin to take requests and to look for fills.

        ConfigError for an account that may not trade or a pair that is not offered; SourceError without an answer.
        """
        account = self._rest.account()
        if account.get("status") != "ACTIVE" or account.get("trading_blocked") or account.get("account_blocked"):
            raise ConfigError(f"alpaca: the account may not trade (it is {plain(account.get('status'))})")
        for pair in self._wanted:
            self._learn(pair, self._find(pair))
        self.queue.put(StatusChanged(VenueStatus.ONLINE, True, self._now()))
        self._worker = Worker(self._settings.queue_calls, self._timer, "alpaca-calls")
        self._worker.later(self._watch())

    def _find(self, pair: Pair) -> Listed:
        """Crypto is called by its pair, a share by its base."""
        base, _, quote = pair.partition("/")
        for symbol in (pair, base) if quote == "USD" else (pair,):
            try:
                return listed(self._rest.asset(symbol))
            except AlpacaTrouble as trouble:
                if trouble.verdict is not Verdict.ABSENT:
                    raise
        raise ConfigError(f"alpaca: {pair} is not offered; leave it out of the pairs")

    def _learn(self, pair: Pair, one: Listed) -> None:
        self._listed[pair], self._pairs[one.symbol] = one, pair
        self._fees[pair] = Decimal(repr(self._settings.crypto_fee_ratio)) if one.crypto else Decimal(0)
        if one.crypto:  # positions of crypto come without the slash
            self._pairs[one.symbol.replace("/", "")] = pair

    # --- Venue -----------------------------------------------------------------------------------------------------

    def place(self, place: Place) -> None:
        """Send an order once. Acknowledged, Refused or Lost follows."""
        if not self._calls.soon(lambda: self._send(place)):
            self.queue.put(Refused(place.client_id, "queue_full", "too many calls wait", self._now()))

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        """Ended follows when the order is certainly open no more, NotAnswered when that is not certain."""
        if not self._calls.soon(lambda: self._withdraw(number, client_id, venue_id)):
            self._unanswered(None, number, client_id, "queue_full")

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        """Answered or NotAnswered follows."""
        if not self._calls.later(self._question(number, ask, tuple(client_ids), since)):
            self._unanswered(ask, number, ClientId(""), "queue_full")

    def events(self) -> Sequence[VenueEvent]:
        """What came since the last call."""
        return self.queue.drain()

    def close(self) -> None:
        """Let the call that is going on come to its end, and give back thread and connections."""
        self.queue.close()
        if self._worker is not None:
            self._worker.close()
        self._rest.close()

    @property
    def _calls(self) -> Worker:
        if self._worker is None:
            raise ConfigError("alpaca: the venue was not opened")
        return self._worker

    # --- orders, in the worker's thread ----------------------------------------------------------------------------

    def _send(self, place: Place) -> None:
        now, one = self._now(), self._listed.get(place.approved.order.pair)
        why = "unknown_pair" if one is None else "deadline_elapsed" if now > place.deadline else self._resting(now)
        if one is None or why or (why := objection(place, one)):
            self.queue.put(Refused(place.client_id, why, "not sent", now))
            return
        try:
            row = self._rest.add_order(parameters(place, one))
            self._acknowledge(place.client_id, order_of(row, self._pairs))
        except AlpacaTrouble as trouble:
            self._not_placed(place.client_id, trouble)
        except Exception as error:  # noqa: BLE001 - what went wrong after the call must not make the order look absent
            self.queue.put(Lost(place.client_id, f"fault: {plain(error)}", self._now()))

    def _acknowledge(self, client_id: ClientId, order: VenueOrder) -> None:
        self.owners.learn(order.venue_id, client_id, order.opened_at)
        self._working.add(order.venue_id)
        self.queue.put(Acknowledged(client_id, order.venue_id, self._now()))

    def _not_placed(self, client_id: ClientId, trouble: AlpacaTrouble) -> None:
        self._heard(trouble)
        if trouble.verdict is Verdict.UNKNOWN:
            self.queue.put(Lost(client_id, f"{trouble.code}: {trouble.text}", self._now()))
        else:
            self.queue.put(Refused(client_id, trouble.code, trouble.text, self._now()))

    def _withdraw(self, number: int, client_id: ClientId, venue_id: VenueId | None) -> None:
        try:
            found = venue_id or order_of(self._rest.order_of(OURS + client_id), self._pairs).venue_id
            self._cancelled(found)
            row = self._rest.order(found)
            if not self._end(row, client_id):
                self._unanswered(None, number, client_id, "not_closed")
        except AlpacaTrouble as trouble:
            self._heard(trouble)
            self._unanswered(None, number, client_id, trouble.code)
        except Exception as error:  # noqa: BLE001 - the thread must live; the cancellation can be asked for again
            self._unanswered(None, number, client_id, f"fault: {plain(error)}")

    def _cancelled(self, venue_id: VenueId) -> None:
        """Ask for it; one that has ended already cannot be cancelled, which its state will say."""
        try:
            self._rest.cancel_order(venue_id)
        except AlpacaTrouble as trouble:
            if trouble.verdict is not Verdict.NO:
                raise

    def _end(self, row: Mapping[str, Any], client_id: ClientId) -> bool:
        """Whether an order has ended; if so its executions are told first, then its end."""
        order = order_of(row, self._pairs)
        if order.state is OrderState.OPEN:
            return False
        self._look_for_fills()
        self._working.discard(order.venue_id)
        at = ended_at(row, self._now())
        self.queue.put(Ended(order.venue_id, client_id, order.pair, order.state, order.filled, at))
        return True

    # --- what happens by itself, in the worker's thread --------------------------------------------------------------

    def _watch(self) -> Question:
        """For ever: executions since the last look, and orders that ended."""
        while True:
            yield self._settings.poll_seconds
            if self._resting(self._now()):
                continue
            try:
                self._look_for_fills()
                for venue_id in sorted(self._working):
                    self._end(self._rest.order(venue_id), self.owners.of(venue_id) or ClientId(""))
                    yield 0.0
                self._stands(True)
            except SourceError as error:
                # Told once; the next look begins where this one did, so that nothing is missed.
                if isinstance(error, AlpacaTrouble):
                    self._heard(error)
                self._stands(False)

    def _stands(self, connected: bool) -> None:
        if connected is not self._connected:
            self._connected = connected
            self.queue.put(StatusChanged(VenueStatus.ONLINE, connected, self._now()))

    def _look_for_fills(self) -> None:
        found = self._fills(self._since)
        for fill in found:
            if fill.execution_id not in self._known:
                self._known[fill.execution_id] = fill.at
                self.queue.put(fill)
        self._since = max([self._since, *(fill.at - _OVERLAP_MS for fill in found)])
        self._known = {key: at for key, at in self._known.items() if at >= self._since}

    def _fills(self, since: int | None) -> list[Executed]:
        rows = [row for row in self._pages_of_fills(since) if row.get("activity_type") == "FILL"]
        return [
            execution_of(row, self._pairs, self._owner(VenueId(str(row.get("order_id")))), self._fees) for row in rows
        ]

    def _pages_of_fills(self, since: int | None) -> Iterator[dict[str, Any]]:
        token, after = "", _EARLIEST if since is None else iso(since)
        for _ in range(self._settings.max_pages):
            rows = self._rest.fills(after, token)
            yield from rows
            if not rows or str(rows[-1].get("id")) == token:
                return
            token = str(rows[-1].get("id"))
        raise Malformed(f"alpaca: more than {self._settings.max_pages} pages of fills; ask since a later time")

    def _owner(self, venue_id: VenueId) -> ClientId:
        """Our id of an order, empty for somebody else's."""
        known = self.owners.of(venue_id)
        if known is None:
            order = order_of(self._rest.order(venue_id), self._pairs)
            known = order.client_id
            self.owners.learn(venue_id, known, order.opened_at)
        return known

    # --- questions, in the worker's thread ---------------------------------------------------------------------------

    def _question(self, number: int, ask: Ask, client_ids: tuple[ClientId, ...], since: int | None) -> Question:
        if why := self._resting(self._now()):
            self._unanswered(ask, number, ClientId(""), why)
            return
        yield 0.0
        try:
            self.queue.put(self._answer(number, ask, client_ids, since))
        except AlpacaTrouble as trouble:
            self._heard(trouble)
            self._unanswered(ask, number, ClientId(""), trouble.code)
        except SourceError as error:
            self._unanswered(ask, number, ClientId(""), plain(error))
        except Exception as error:  # noqa: BLE001 - the thread must live; a question can be asked again
            self._unanswered(ask, number, ClientId(""), f"fault: {plain(error)}")

    def _answer(self, number: int, ask: Ask, client_ids: tuple[ClientId, ...], since: int | None) -> Answered:
        match ask:
            case Ask.OPEN_ORDERS | Ask.CLOSED_ORDERS:
                return Answered(ask, number, self._now(), orders=tuple(self._orders(ask, client_ids, since)))
            case Ask.EXECUTIONS:
                mine = [fill for fill in self._fills(since) if not client_ids or fill.client_id in client_ids]
                return Answered(ask, number, self._now(), executions=tuple(mine))
            case Ask.BALANCES:
                return Answered(ask, number, self._now(), balances=tuple(sorted(self._balances().items())))
            case Ask.TIME:
                venue_now = self._rest.time()
                return Answered(ask, number, self._now(), venue_now=venue_now)

    def _orders(self, ask: Ask, client_ids: tuple[ClientId, ...], since: int | None) -> Iterator[VenueOrder]:
        status = "open" if ask is Ask.OPEN_ORDERS else "closed"
        rows = self._named(client_ids) if client_ids else self._pages_of_orders(status, since)
        for row in rows:
            order = order_of(row, self._pairs)
            if (order.state is OrderState.OPEN) is (ask is Ask.OPEN_ORDERS):
                self.owners.learn(order.venue_id, order.client_id, order.opened_at)
                if order.state is OrderState.OPEN:
                    self._working.add(order.venue_id)
                yield order

    def _named(self, client_ids: tuple[ClientId, ...]) -> Iterator[dict[str, Any]]:
        for client_id in client_ids:
            try:
                yield self._rest.order_of(OURS + client_id)
            except AlpacaTrouble as trouble:
                if trouble.verdict is not Verdict.ABSENT:
                    raise

    def _pages_of_orders(self, status: str, since: int | None) -> Iterator[dict[str, Any]]:
        after, seen = _EARLIEST if since is None else iso(since), set[str]()
        for _ in range(self._settings.max_pages):
            rows = self._rest.orders(status, after)
            fresh = [row for row in rows if str(row.get("id")) not in seen]
            yield from fresh
            if len(rows) < self._settings.page_rows:
                return
            seen |= {str(row.get("id")) for row in fresh}
            after = iso(moment(rows[-1].get("submitted_at"), "submitted_at") - 1)  # one instant may fill two pages
        raise Malformed(f"alpaca: more than {self._settings.max_pages} pages of orders; ask since a later time")

    def _balances(self) -> dict[str, Decimal]:
        found = {"USD": decimal(self._rest.account().get("cash"), "cash")}
        for row in self._rest.positions():
            symbol = str(row.get("symbol"))
            asset = self._pairs.get(symbol, Pair(plain(symbol))).partition("/")[0]
            found[asset] = found.get(asset, Decimal(0)) + decimal(row.get("qty"), "qty")
        return found

    # --- what is known -----------------------------------------------------------------------------------------------

    def _heard(self, trouble: AlpacaTrouble) -> None:
        if trouble.verdict is Verdict.LIMITED:
            self._rest_until = self._now() + round(self._settings.rate_limited_seconds * 1000)

    def _resting(self, now: int) -> str:
        return "rate_limited" if now < self._rest_until else ""

    def _unanswered(self, ask: Ask | None, number: int, client_id: ClientId, why: str) -> None:
        self.queue.put(NotAnswered(ask, number, client_id, why, self._now()))

    def _now(self) -> int:
        return self._clock.now_ms()
