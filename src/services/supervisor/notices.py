"""What an order path has to tell the record and people: halts, alarms, and orders that came to nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ...core.standing import Level, Standing
from ...core.types import Decision, Outcome
from .actions import Alarm, Halt

SOURCE = "coordinator"
_SHOWN = 20
"""Alarms that `status` tells."""
_FAILED = frozenset({"rejected", "unknown", "absent", "withheld"})
"""States of an order that did not do what was asked of it."""


class Notices:
    """Keeps the lines of the next slice's record. What the coordinator halts is halted for everybody who sends."""

    def __init__(self, standing: Standing, now: Callable[[], int], say: Callable[[str], None]) -> None:
        self.alarms: deque[str] = deque(maxlen=_SHOWN)
        self._standing, self._now, self._say = standing, now, say
        self._lines: list[Decision] = []

    @property
    def waiting(self) -> bool:
        """Whether there is a line that no slice has told yet."""
        return bool(self._lines)

    def alarmed(self, alarm: Alarm) -> None:
        """Somebody has to look at something."""
        detail: dict[str, Any] = {"says": alarm.text}
        self._lines.append(Decision(self._now(), "alarm", alarm.pair, None, alarm.code, SOURCE, detail))
        self.alarms.append(alarm.text)
        self._say(f"ALARM {alarm.code}: {alarm.text}")

    def halted(self, halt: Halt) -> None:
        """Nothing more may be sent for a pair, or for all."""
        self._standing.throw(Level.HALTED, halt.reason, SOURCE, halt.pair)
        detail: dict[str, Any] = {"level": Level.HALTED.value}
        self._lines.append(Decision(self._now(), "halt", halt.pair, None, halt.reason, SOURCE, detail))
        self._say(f"halted {halt.pair or 'everything'}: {halt.reason}; `mycelial resume REASON` lifts it")

    def take(self, at: int, outcomes: Iterable[Outcome]) -> list[Decision]:
        """The lines for the slice of `at` (UTC ms), each once, and one for each order that came to nothing."""
        lines, self._lines = self._lines, []
        return [*lines, *(_refusal(outcome, at) for outcome in outcomes if outcome.state in _FAILED)]


def _refusal(outcome: Outcome, at: int) -> Decision:
    detail: dict[str, Any] = {"order": outcome.order_id}
    return Decision(at, "refusal", outcome.pair, None, outcome.reason or outcome.state, SOURCE, detail)
