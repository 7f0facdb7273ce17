"""Decides what is done next for a pair: at most one action at a time, each from how things stand and from no plan.

Nothing here waits in the middle of something. A sell finds the stop in its way and withdraws it; when the stop is
gone the sell goes out; when the sell is refused, what is held is found unprotected and the stop is placed anew. A
crash between any two of these leaves one of the same situations.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ...core.config_execution import ms
from ...core.leaving import STOPPED
from ...core.types import Approved, Denied, Order, OrderId, OrderKind, Pair, Side
from ...core.venue import ClientId, Place
from .actions import Send, Withdraw
from .bench import Bench
from .order_records import Accepted, Intended, Terms, terms_of
from .order_states import DONE, IN_FLIGHT, WORKING, Progress, Tracked
from .register import ZERO


class _Asked(msgspec.Struct):
    """A cancellation that was asked for, and when it is asked for again (UTC ms)."""

    pair: Pair
    again_at: int
    times: int = 1


class _Retry(msgspec.Struct):
    """How often protecting a pair failed, and when it is tried again (UTC ms)."""

    at: int
    times: int = 0


class Steps(msgspec.Struct, frozen=True):
    """What the executor has under way."""

    cancels: dict[ClientId, _Asked]
    retries: dict[Pair, _Retry]
    restless: list[Pair]


class Executor:
    """The per-pair lock: whoever holds it is the order on its way or the order being cancelled."""

    def __init__(
        self,
        bench: Bench,
        may_send: Callable[[Order], str],
        approve: Callable[[Order, int], Approved | Denied],
        may_place: Callable[[Pair, bool], str],
        numbers: Callable[[], int],
    ) -> None:
        self._bench = bench
        self._register = bench.register
        self._may_send = may_send
        self._approve = approve
        self._may_place = may_place
        self._number = numbers
        self._cancels: dict[ClientId, _Asked] = {}
        self._retries: dict[Pair, _Retry] = {}
        self._restless: set[Pair] = set()  # pairs whose protection waits for a time, not for an event

    def forget(self) -> None:
        """A new life: nothing is being cancelled."""
        self._cancels, self._retries, self._restless = {}, {}, set()

    def steps(self) -> Steps:
        """What is under way, so that another process can go on in the middle of this life."""
        return Steps(dict(self._cancels), dict(self._retries), sorted(self._restless))

    def go_on(self, steps: Steps) -> None:
        """Continue with what was under way."""
        self._cancels, self._retries, self._restless = steps.cancels, steps.retries, set(steps.restless)

    def holder(self, pair: Pair) -> ClientId | None:
        """The order whose action is under way, None where the lock of a pair is free."""
        for client_id, asked in self._cancels.items():
            if asked.pair == pair:
                return client_id
        return next((t.client_id for t in self._register.live(pair) if t.progress in IN_FLIGHT), None)

    def busy(self) -> list[Pair]:
        """Pairs with an action under way."""
        pairs = {asked.pair for asked in self._cancels.values()}
        return sorted(pairs | {t.order.pair for t in self._register.live() if t.progress in IN_FLIGHT})

    @property
    def restless(self) -> bool:
        """Whether the protection of a pair waits for its time."""
        return bool(self._restless)

    def doubtful(self) -> bool:
        """Whether a cancellation was asked for more than once: the order may be gone without a word."""
        return any(asked.times > 1 for asked in self._cancels.values())

    def accept(self, approved: Approved) -> None:
        """Let an approved order wait for its turn, in the place of one that waits already."""
        bench, order = self._bench, approved.order
        for waiting in self._waiting(order.pair):
            bench.move(waiting, Progress.REJECTED, "displaced")
        bench.note(Accepted(bench.now, bench.client_id(order.id), approved))

    def _waiting(self, pair: Pair) -> list[Tracked]:
        return [tracked for tracked in self._register.live(pair) if tracked.progress is Progress.NEW]

    def not_cancelled(self, client_id: ClientId) -> None:
        """A cancellation got no answer: it is asked for again after a while."""
        asked = self._cancels.get(client_id)
        if asked is not None:
            asked.again_at = self._bench.now + ms(self._bench.settings.cancel_again_seconds)
            asked.times += 1

    def on_time(self) -> None:
        """Repeat cancellations, drop what waited too long, protect what may be protected now."""
        now, settings = self._bench.now, self._bench.settings
        for client_id, asked in list(self._cancels.items()):
            if now >= asked.again_at:
                self.not_cancelled(client_id)
                self._ask_cancel(self._register.books.orders[client_id])
        for tracked in self._register.live():
            if tracked.progress is Progress.NEW and now - tracked.at >= ms(settings.waiting_seconds):
                self._bench.move(tracked, Progress.REJECTED, "stale")
                self._restless.add(tracked.order.pair)
        for pair in sorted(self._restless):
            self.advance(pair)

    def advance_all(self) -> None:
        """Look at every pair that has orders, a protected position or something being cancelled."""
        for pair in sorted({*self._register.pairs(), *(asked.pair for asked in self._cancels.values())}):
            self.advance(pair)

    def advance(self, pair: Pair) -> None:
        """Do the next thing for a pair, if there is one and nothing is under way."""
        self._restless.discard(pair)
        live = self._register.live(pair)
        self._release(live, pair)
        if self._bench.halted(pair):
            self._stop_buying(live)
            live = self._register.live(pair)
        if self.holder(pair) is not None or any(t.progress in DONE for t in live):
            return
        wished = next((t for t in live if t.cancel and t.progress in WORKING), None)
        if wished is not None:
            self._withdraw(wished, "")
            return
        waiting = next((t for t in live if t.progress is Progress.NEW), None)
        if waiting is None:
            self._protect(pair, live)
        elif not self._may_place(pair, waiting.is_stop):
            self._turn(waiting, live)

    def _stop_buying(self, live: list[Tracked]) -> None:
        """What is halted buys no more, and nothing waits in it; stops stay."""
        for tracked in live:
            if tracked.progress is Progress.NEW and not tracked.is_stop:
                self._bench.move(tracked, Progress.REJECTED, "halted")
            elif tracked.order.side is Side.BUY and tracked.progress in WORKING | IN_FLIGHT:
                self.withdraw_soon(tracked, "halted")

    def withdraw_soon(self, tracked: Tracked, reason: str) -> None:
        """Have an order withdrawn: at its turn, and where nobody knows whether it is there, also at once, blindly."""
        if tracked.cancel:
            return
        self._bench.wish(tracked, reason)
        if tracked.progress is Progress.UNKNOWN:
            self._ask_cancel(tracked)

    def _release(self, live: list[Tracked], pair: Pair) -> None:
        """Free the lock of what is open no more."""
        open_ = {tracked.client_id for tracked in live if tracked.progress in WORKING}
        for client_id, asked in list(self._cancels.items()):
            if asked.pair == pair and client_id not in open_:
                del self._cancels[client_id]

    # An order whose turn it is.

    def _turn(self, waiting: Tracked, live: list[Tracked]) -> None:
        in_the_way = next((t for t in live if t.progress in WORKING and _conflict(waiting, t)), None)
        if in_the_way is not None:
            self._withdraw(in_the_way, "makes_room")
            return
        order, amount = waiting.order, waiting.amount
        if order.side is Side.SELL:
            free = self._free(order.pair, live)
            amount = free if waiting.is_stop else min(amount, free)
        if amount <= 0:
            self._drop(waiting, "nothing_left")
        else:
            self._send(waiting, amount)

    def _free(self, pair: Pair, live: list[Tracked]) -> Decimal:
        """What is held and promised to no open sell, base units."""
        promised = (t.left for t in live if t.progress in WORKING and t.order.side is Side.SELL and not t.is_stop)
        return self._register.position(pair) - sum(promised, ZERO)

    def _send(self, tracked: Tracked, amount: Decimal) -> None:
        bench, order, approved = self._bench, tracked.order, tracked.approved
        if amount != order.amount:
            verdict = self._approve(msgspec.structs.replace(order, amount=amount), bench.now)
            if isinstance(verdict, Denied):
                self._drop(tracked, verdict.reason)
                return
            approved = verdict
        reason = self._may_send(approved.order)
        if reason:
            self._drop(tracked, reason)
            return
        deadline = bench.now + ms(bench.settings.deadline_seconds)
        fence = self._register.books.fences.get(order.pair, 0) + 1
        bench.note(Intended(bench.now, tracked.client_id, fence, amount, deadline))
        bench.act(Send(Place(tracked.client_id, approved, deadline, self._expires(order))))
        bench.move(tracked, Progress.SENT)

    def _expires(self, order: Order) -> int | None:
        """An entry that rests dies by itself, whatever happens here; a stop must not."""
        if order.side is Side.SELL or order.kind is OrderKind.MARKET:
            return None
        return self._bench.now + ms(self._bench.settings.entry_lifetime_seconds)

    def _drop(self, tracked: Tracked, reason: str) -> None:
        """An order never leaves; what made room for it comes back."""
        self._bench.move(tracked, Progress.REJECTED, reason)
        self.stop_failed(tracked)
        self.advance(tracked.order.pair)

    def stop_failed(self, tracked: Tracked) -> None:
        """A stop that could not be placed is tried again after a while; after some tries somebody is called.

        One that was to replace another has not failed in this sense: the other comes back at once.
        """
        bench, pair = self._bench, tracked.order.pair
        if not tracked.is_stop or terms_of(tracked.order) != self._register.books.terms.get(pair):
            return
        if self._later(pair) == bench.settings.protect_attempts:
            tries = bench.settings.protect_attempts
            text = f"{pair}: {self._register.position(pair)} are held without a stop, {tries} tries failed"
            bench.alarm("unprotected", text, pair, str(tracked.client_id))

    # Cancelling.

    def _withdraw(self, tracked: Tracked, reason: str) -> None:
        bench, pair = self._bench, tracked.order.pair
        bench.wish(tracked, reason)
        self._cancels[tracked.client_id] = _Asked(pair, bench.now + ms(bench.settings.cancel_again_seconds))
        bench.withdrawn(tracked, self._register.books.fences.get(pair, 0) + 1)
        self._ask_cancel(tracked)

    def _ask_cancel(self, tracked: Tracked) -> None:
        action = Withdraw(self._number(), tracked.client_id, tracked.venue_id, tracked.order.pair)
        self._bench.act(action)

    # Protection.

    def _protect(self, pair: Pair, live: list[Tracked]) -> None:
        """See that one stop rests, for what is held and promised to no other sell."""
        terms = self._register.books.terms.get(pair)
        need = ZERO if terms is None else self._free(pair, live)
        stops = [t for t in live if t.is_stop]
        fit = next((t for t in stops if t.left == need and terms_of(t.order) == terms), None)
        for stop in stops:
            if stop is not fit:
                if need <= 0 or not self._entry_first(live):
                    self._withdraw(stop, "replaced" if need > 0 else "position_closed")
                return
        if fit is None and terms is not None and need > 0 and not self._entry_first(live):
            self._place_stop(pair, need, terms)

    def _entry_first(self, live: list[Tracked]) -> bool:
        """Whether an entry still fills: the stop waits for it a moment, then the entry is cut short."""
        entry = next((t for t in live if t.order.side is Side.BUY and t.progress in WORKING), None)
        if entry is None:
            return False
        patience = ms(self._bench.settings.entry_patience_seconds)
        if self._bench.now - entry.moved_at >= patience:
            self._withdraw(entry, "protection_first")
        else:
            self._restless.add(entry.order.pair)
        return True

    def _place_stop(self, pair: Pair, amount: Decimal, terms: Terms) -> None:
        bench, retry = self._bench, self._retries.get(pair)
        if self._may_place(pair, True) or (retry is not None and bench.now < retry.at):
            self._restless.add(pair)
            return
        fence, epoch = self._register.books.fences.get(pair, 0) + 1, self._register.books.epoch
        order = Order(
            id=OrderId(f"{pair}-stop-{epoch}-{fence}-{bench.now}"),
            pair=pair,
            side=Side.SELL,
            amount=amount,
            kind=terms.kind,
            at=bench.now,
            reference=terms.trigger,
            reason=STOPPED,
            limit=terms.limit,
            trigger=terms.trigger,
        )
        verdict = self._approve(order, bench.now)
        if isinstance(verdict, Denied):
            self._later(pair)
            bench.alarm("stop_denied", f"{pair}: the gate denies a stop: {verdict.reason}", pair, order.id)
            return
        self.accept(verdict)
        self._send(self._register.books.orders[bench.client_id(order.id)], amount)

    def _later(self, pair: Pair) -> int:
        """Try to protect a pair again after a while, longer each time; returns the number of failures."""
        retry = self._retries.setdefault(pair, _Retry(0))
        retry.times += 1
        retry.at = self._bench.now + ms(self._bench.settings.protect_again_seconds) * retry.times
        self._restless.add(pair)
        return retry.times

    def stop_rests(self, pair: Pair) -> None:
        """A stop was acknowledged: earlier failures are forgotten."""
        self._retries.pop(pair, None)


def _conflict(waiting: Tracked, other: Tracked) -> bool:
    """Whether an open order has to go before another is sent: the opposite side, a stop, what is sold twice."""
    if other.order.side is not waiting.order.side or other.is_stop:
        return True
    return waiting.order.side is Side.SELL and waiting.order.kind is OrderKind.MARKET
