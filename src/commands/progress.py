"""Live progress on stderr: one line that moves on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..core.clock import Timer, iso
from ..core.engine import Engine, Report
from .common import say

_PLAIN_EVERY_SECONDS = 10.0
_LIVE_EVERY_SECONDS = 0.25


class Progress:
    """An observer of reports; `quiet` shows nothing.

    `span` (UTC ms), from the first slice to the last, gives share and ETA; None: nobody knows where it ends. The share
    is one of time: slices without bars, in which a moat said something, are many and come as they come.
    """

    def __init__(
        self, engine: Engine, timer: Timer, span: tuple[int, int] | None, simulated: bool, quiet: bool = False
    ) -> None:
        self._engine = engine
        self._timer = timer
        self._span = span
        self._simulated = simulated
        self._quiet = quiet
        self._live: Live | None = None
        self._started = self._shown = timer.seconds()
        self._bars = 0
        self._events: Counter[str] = Counter()
        self.phase = "running"
        self.paced_from = 0

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            self._live = Live(Text("starting"), console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def __call__(self, report: Report) -> None:
        """Count a report; show when it is time."""
        self._bars += report.bars
        self._events["fills"] += len(report.fills)
        if self._quiet:
            return
        every = _LIVE_EVERY_SECONDS if self._live is not None else _PLAIN_EVERY_SECONDS
        now = self._timer.seconds()
        if now - self._shown >= every:
            self._shown = now
            self._show(self.line(report, now))

    def line(self, report: Report, now: float) -> str:
        """What is shown: phase, time of the data, speed, ETA, equity, what happened."""
        speed = self._bars / max(now - self._started, 1e-9)
        counts = self._engine.counts
        parts = [
            ("SIMULATED " if self._simulated else "") + ("history" if report.at <= self.paced_from else self.phase),
            iso(report.at)[:16].replace("T", " "),
            f"{speed:,.0f} bars/s",
            f"equity {report.equity:,.2f}",
            f"collisions {counts['collisions']}",
            f"conflicts {counts['conflicts']}",
            f"fills {self._events['fills']}",
        ]
        if self._span is not None and self._span[0] < report.at <= self._span[1]:
            share = (report.at - self._span[0]) / (self._span[1] - self._span[0])
            parts.insert(2, f"{share:.0%}, {(1 - share) / share * (now - self._started):.0f} s left")
        if report.halted:
            parts.append(f"HALTED: {report.halted}")
        if not report.bus_up:
            parts.append("BUS DOWN: no new entries")
        return " | ".join(parts)

    def _show(self, text: str) -> None:
        if self._live is None:
            say(text)
        else:
            self._live.update(Text(text), refresh=True)
