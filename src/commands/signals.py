"""What signals ask of a run, from before it recovers until it has ended: nobody is met by the system's own action."""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from ..services.kill_switch import Flag, KillSwitch
from ..services.runner import Runner

REASON = "SIGUSR1"


class Signals:
    """SIGTERM drains instead of tearing down, SIGUSR1 halts; Ctrl-C drains as soon as there is something to drain.

    What comes before a run can be told of it waits: a halt in `flag`, outside of this process.
    """

    def __init__(self, flag: Flag) -> None:
        self._flag = flag
        self._runner: Runner | None = None
        self._switch: KillSwitch | None = None
        self._ended = self._thrown = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._take(signal.SIGTERM, self._drain)
        self._take(signal.SIGUSR1, self._halt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def halts(self, switch: KillSwitch) -> None:
        """From here on the kill switch is thrown, also for what came before."""
        self._switch = switch
        if self._thrown:
            switch.pull(REASON)

    def drains(self, runner: Runner) -> None:
        """From here on the run drains, also for what came before."""
        self._runner = runner
        if self._ended:
            runner.stop.set()
        self._take(signal.SIGINT, self._drain)

    def _take(self, number: int, handler: Any) -> None:
        before = signal.signal(number, handler)
        self._before.setdefault(number, before)

    def _drain(self, number: int, frame: FrameType | None) -> None:
        self._ended = True
        if self._runner is not None:
            self._runner.stop.set()

    def _halt(self, number: int, frame: FrameType | None) -> None:
        self._thrown = True
        if self._switch is not None:
            self._switch.pull(REASON)
        else:
            with suppress(OSError):  # it still holds in this process, and the switch tries again and says so
                self._flag.write(REASON)
