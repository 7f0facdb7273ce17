"""Remembers what Kraken said about us, too fast, locked out, wrong nonce, and for how long nothing may be asked."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ...core.config_venues import KrakenSettings
from ...core.types import Pair
from .budget import Budget
from .errors import Complaint, Verdict

_SECOND_NS = 1_000_000_000


class Standing:
    """`ticks` are monotonic ms: no clock that is set makes a silence shorter or longer.

    `jump` makes the nonce go on further above; it is called once, a second wrong nonce in a row stops for good.
    """

    def __init__(self, settings: KrakenSettings, budget: Budget, jump: Callable[[int], int]) -> None:
        self._settings, self._budget, self._jump = settings, budget, jump
        self._until, self._why = 0, ""
        self._wrong_nonces = 0
        self._lock = Lock()

    def objection(self, ticks: int) -> str:
        """Why nothing may be asked now, as a code; empty when something may."""
        with self._lock:
            if self._wrong_nonces > 1:
                return "stopped_invalid_nonce"
            return self._why if ticks < self._until else ""

    def pause_s(self, ticks: int) -> float:
        """Seconds until something may be asked again; 0.0 where it may, or where only a person can change that."""
        with self._lock:
            return max(0, self._until - ticks) / 1000

    def fine(self) -> None:
        """A signed call was accepted."""
        with self._lock:
            self._wrong_nonces = 0

    def heard(self, complaint: Complaint, pair: Pair | None, venue_now: int, ticks: int) -> None:
        """What a complaint means for the calls to come; `pair` where it was about an order, `venue_now` UTC ms."""
        budget = self._settings.budget
        match complaint.verdict:
            case Verdict.LIMITED:
                about_orders = complaint.text.startswith("EOrder")
                self._budget.told_full(pair if about_orders else None, ticks)
                if not about_orders:
                    seconds = round(budget.rate_limited_seconds * 1000)
                    wait = seconds if complaint.until is None else complaint.until - venue_now
                    self._rest(ticks + wait, complaint.code)
            case Verdict.LOCKOUT:
                self._rest(ticks + round(budget.lockout_seconds * 1000), complaint.code)
            case Verdict.NONCE:
                self._wrong_nonce()
            case _:
                pass

    def _rest(self, until: int, why: str) -> None:
        with self._lock:
            if until > self._until:
                self._until, self._why = until, why

    def _wrong_nonce(self) -> None:
        with self._lock:
            self._wrong_nonces += 1
            first = self._wrong_nonces == 1
        if first:
            self._jump(round(self._settings.nonce.jump_seconds) * _SECOND_NS)
