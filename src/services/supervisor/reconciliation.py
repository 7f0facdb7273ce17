"""Compares what the venue says with what is known: what does not agree is asked once more, then its pair is halted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ...core.config_execution import DAY, ms
from ...core.types import Pair
from .adoption import Adoption
from .bench import Bench
from .executor import Executor
from .inquiry import Inquiry, Purpose, Round, disagrees, is_absent
from .order_records import Checked, Forgotten
from .order_states import IN_FLIGHT, Progress, Tracked


class _Doubt(msgspec.Struct, frozen=True):
    """Something did not agree: where, what, since when (UTC ms), and which rounds can show that it does."""

    pair: Pair
    text: str
    at: int
    purposes: frozenset[Purpose]


class Findings(msgspec.Struct, frozen=True):
    """How far the reconciliation is, and what does not agree as yet."""

    doubts: dict[str, _Doubt]
    started: bool
    synced: bool


_BETWEEN = 3
"""So many pauses have to fit before an order cannot come any more, or there is no look in between."""
_FULL = frozenset({Purpose.START, Purpose.RESOLVE})
_ORDERS = _FULL | {Purpose.AUDIT}
_BALANCE = frozenset({Purpose.START, Purpose.POSITIONS, Purpose.AUDIT})


class Reconciliation:
    """Concludes rounds. `synced` is called when a start-up round left nothing open."""

    def __init__(self, bench: Bench, adoption: Adoption, executor: Executor, inquiry: Callable[[], Inquiry]) -> None:
        self._bench = bench
        self._register = bench.register
        self._adoption = adoption
        self._executor = executor
        self._inquiry = inquiry
        self._doubts: dict[str, _Doubt] = {}
        self.started = False
        self.synced = False

    def begin(self) -> None:
        """A new life, or a new connection: nothing agrees until it was asked."""
        self._doubts, self.started, self.synced = {}, False, False

    def findings(self) -> Findings:
        """How it stands."""
        return Findings(dict(self._doubts), self.started, self.synced)

    def go_on(self, findings: Findings) -> None:
        """Continue from how it stood."""
        self._doubts, self.started, self.synced = findings.doubts, findings.started, findings.synced

    @property
    def doubtful(self) -> list[str]:
        """What did not agree when it was last compared, in words."""
        return [f"{doubt.pair}: {doubt.text}" for doubt in self._doubts.values()]

    def conclude(self, round_: Round) -> None:
        """All answers of a round are there and taken in."""
        self._adoption.unpark(frozenset(round_.about) if round_.purpose in _FULL else frozenset())
        if round_.purpose in _FULL:
            self._absences(round_)
        if round_.purpose in (*_ORDERS, Purpose.OPEN):
            self._strangers(round_)
        self._compare(round_)
        self._schedule(round_)
        self.started = self.started or round_.purpose is Purpose.START
        if round_.purpose in _BALANCE:
            self._bench.note(Checked(self._bench.now, round_.started), durable=False)
            self._forget()
        self.look()

    def look(self) -> None:
        """Be ready once everything was asked and nothing from before is open."""
        if self.started and not self.synced:
            self.synced = not self._doubts and not any(True for _ in self._register.unresolved())

    def _forget(self) -> None:
        """Once a day, keep no more in memory than the settings say."""
        settings = self._bench.settings
        oldest = min((tracked.at for tracked in self._register.live()), default=self._bench.now)
        before = min(self._bench.now - ms(settings.keep_days * DAY), oldest - ms(settings.overlap_seconds))
        if before - max(self._register.books.forgotten, self._register.books.since) >= ms(DAY):
            self._bench.note(Forgotten(self._bench.now, before))

    def _absences(self, round_: Round) -> None:
        margin = self._inquiry().margin
        for tracked in list(self._register.unresolved()):
            if is_absent(tracked, round_, margin):
                self._bench.move(tracked, Progress.ABSENT, "not_found")
                self._executor.stop_failed(tracked)

    def _strangers(self, round_: Round) -> None:
        """Somebody else's orders that are open no more."""
        for venue_id in list(self._register.books.strangers):
            if venue_id not in round_.seen:
                self._adoption.left(venue_id)

    def _compare(self, round_: Round) -> None:
        found = {key: (pair, text) for key, pair, text in self._mismatches(round_)}
        if round_.purpose is Purpose.OPEN:  # half of what has to be asked: the other half tells whether it is true
            if found:
                self._inquiry().want(Purpose.RESOLVE, self._bench.now)
            return
        for key, doubt in list(self._doubts.items()):
            if round_.purpose in doubt.purposes and key not in found:
                del self._doubts[key]
        for key, (pair, text) in found.items():
            self._doubt(key, pair, text, round_)

    def _doubt(self, key: str, pair: Pair, text: str, round_: Round) -> None:
        purposes = _BALANCE if key.startswith("balance:") else _ORDERS
        again = ms(self._bench.settings.recheck_seconds)
        doubt = self._doubts.setdefault(key, _Doubt(pair, text, self._bench.now, purposes))
        if round_.started >= doubt.at + again:
            del self._doubts[key]
            self._bench.alarm("mismatch", f"{pair}: {text}", pair, f"{key}:{doubt.at}")
            self._bench.halt(pair, f"{pair}: {text}")
        else:
            purpose = Purpose.POSITIONS if purposes is _BALANCE else Purpose.RESOLVE
            self._inquiry().want(purpose, doubt.at + again)

    def _mismatches(self, round_: Round) -> Iterator[tuple[str, Pair, str]]:
        halted = self._register.books.halted
        for tracked in self._register.live():
            pair = tracked.order.pair
            text = disagrees(tracked, round_) if round_.purpose in (*_ORDERS, Purpose.OPEN) else ""
            if text and pair not in halted:
                yield f"order:{tracked.client_id}", pair, text
        for pair, amount in sorted(self._register.books.positions.items()):
            asset = pair.partition("/")[0]
            balance = None if round_.balances is None else round_.balances.get(asset, 0)
            if balance is not None and balance < amount and pair not in halted:
                yield f"balance:{pair}", pair, f"{amount} held by our executions, {balance} {asset} at the venue"

    def _schedule(self, round_: Round) -> None:
        """The next round of the same kind, and a full one where this one left questions."""
        settings, now, inquiry = self._bench.settings, self._bench.now, self._inquiry()
        if round_.purpose in (Purpose.OPEN, *_ORDERS):
            inquiry.due[Purpose.OPEN] = now + ms(settings.open_orders_seconds)
        if round_.purpose in _BALANCE and Purpose.POSITIONS not in inquiry.due:
            inquiry.due[Purpose.POSITIONS] = now + ms(settings.positions_seconds)
        if round_.purpose in (Purpose.START, Purpose.AUDIT):
            inquiry.due[Purpose.AUDIT] = now + ms(settings.audit_seconds)
        for tracked in self._register.unresolved():
            inquiry.want(Purpose.RESOLVE, now + self._pause(tracked))

    def _pause(self, tracked: Tracked) -> int:
        """How long (ms) until an order is looked for again: ever longer, but at once when it cannot come any more.

        Each look costs part of what the venue answers in a minute, and that moment must not find it spent: there is
        no look in between unless three pauses of that length still fit.
        """
        now = self._bench.now
        longer = max(ms(self._bench.settings.in_flight_seconds), now - tracked.moved_at)
        left = tracked.deadline + self._inquiry().margin + 1 - now
        if left <= 0:
            return ms(self._bench.settings.in_flight_seconds)
        return longer if _BETWEEN * longer <= left else left

    def overdue(self) -> None:
        """Orders that were sent and not heard of: their outcome is unknown. What is not known is asked for."""
        now, limit = self._bench.now, ms(self._bench.settings.in_flight_seconds)
        late = [tracked for tracked in self._register.unresolved() if now - tracked.moved_at >= limit]
        for tracked in late:
            if tracked.progress in IN_FLIGHT:
                self._adoption.unknown(tracked, "no_answer")
        if late or self._executor.doubtful():
            self._inquiry().soon(Purpose.RESOLVE)
