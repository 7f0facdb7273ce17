"""How one source stands: when it is due, how often it failed, and which of the four states that is."""

from __future__ import annotations

from collections import Counter

import msgspec

from ...core.config import MoatPolling
from ...core.errors import Gone, Malformed, RateLimited, Refused, SourceError, Unconfigured
from ...core.ports import Source
from ...core.types import Status

_FOR_A_PERSON = (Refused, Gone, Malformed)
"""Failures that do not pass by themselves."""


class SourceHealth(msgspec.Struct, frozen=True):
    """One source as people and metrics see it. Seconds; `age_s` since the last answer, None before the first.

    `error` is one line with the remedy, empty after an answer. `counts` holds new, duplicate, future, invalid and
    overflow observations since the start.
    """

    name: str
    moat: str
    simulated: bool
    status: Status
    age_s: float | None
    error: str
    notices: tuple[str, ...]
    api_calls: int
    api_errors: int
    latency_s: float | None
    failures_in_a_row: int
    due_in_s: float
    counts: dict[str, int]


class Standing:
    """Keeps one source's schedule and record. Times are those of the machine's monotonic clock, in seconds."""

    def __init__(self, source: Source, settings: MoatPolling) -> None:
        self.source = source
        self.due_s = float("-inf")
        self._settings = settings
        self._answered_s: float | None = None
        self._latency_s: float | None = None
        self._error: Exception | None = None
        self._notices: tuple[str, ...] = ()
        self._calls = self._errors = self._failures = 0
        self._counts: Counter[str] = Counter()

    def asked(self, begun_s: float, ended_s: float, error: Exception | None, counted: Counter[str]) -> None:
        """Note the outcome of one question and plan the next."""
        self._calls += 1
        self._latency_s = ended_s - begun_s
        self._counts.update(counted)
        self._error = error
        self._notices = tuple(self.source.notices())
        if error is None:
            self._answered_s, self._failures = ended_s, 0
            self.due_s = begun_s + max(self.source.interval_seconds, self._latency_s)
        else:
            self._errors += 1
            self._failures += 1
            self.due_s = ended_s + self._pause(error)

    def health(self, now_s: float) -> SourceHealth:
        """The record at `now_s`."""
        return SourceHealth(
            name=self.source.name,
            moat=self.source.moat,
            simulated=self.source.simulated,
            status=self.status(now_s),
            age_s=None if self._answered_s is None else now_s - self._answered_s,
            error=_line(self._error),
            notices=self._notices,
            api_calls=self._calls,
            api_errors=self._errors,
            latency_s=self._latency_s,
            failures_in_a_row=self._failures,
            due_in_s=max(0.0, self.due_s - now_s),
            counts=dict(self._counts),
        )

    def status(self, now_s: float) -> Status:
        """ERROR: somebody must mend it. NO_DATA: it never answered. STALE: its last answer is too old. Else OK."""
        error = self._error
        if error is not None and (isinstance(error, _FOR_A_PERSON) or not isinstance(error, SourceError)):
            return Status.ERROR
        if self._answered_s is None or isinstance(error, Unconfigured):
            return Status.NO_DATA
        fresh_s = self._settings.stale_intervals * self.source.interval_seconds
        return Status.STALE if now_s - self._answered_s > fresh_s else Status.OK

    def _pause(self, error: Exception) -> float:
        """Seconds until the next try: as the server asked, by the interval where only a person helps, else doubled."""
        first, cap = self._settings.backoff_first_seconds, self._settings.backoff_cap_seconds
        doubled = min(cap, first * 2.0 ** min(self._failures - 1, 62))
        if isinstance(error, RateLimited):
            return max(doubled, error.retry_after_s or 0.0)
        if isinstance(error, (Unconfigured, Refused, Gone)):
            return max(doubled, self.source.interval_seconds)
        return doubled


def _line(error: Exception | None) -> str:
    """One line; of an error that is not ours only its kind, since its text may hold anything."""
    if error is None:
        return ""
    return str(error) if isinstance(error, SourceError) else f"a defect of the source: {type(error).__name__}"
