"""The kill switch: thrown by command, file or signal, in force at once, lifted only by a person with a reason.

What decides is the engine's `Standing`, which changes with slices, so that a day can be walked again. The switch adds
what was thrown since: it holds before the next slice makes it part of the record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..core.clock import Timer
from ..core.errors import UsageError
from ..core.standing import Level, Standing, Throw, withheld
from ..core.types import Command, CommandKind, Order, Pair

FILE, SIGNAL = "file", "signal"
"""Who threw it, where it was no command."""


class Flag(Protocol):
    """A durable sign outside of the database that everything is halted."""

    def read(self) -> str:
        """Why everything is halted, empty when it is not; where that cannot be told it is."""
        ...

    def write(self, reason: str) -> None:
        """Set the sign; returns when it would survive a power loss. OSError when it cannot be set."""
        ...

    def remove(self) -> None:
        """Take the sign away; OSError when it is still there."""
        ...


class KillSwitch:
    """Asked by everybody who sends: `may_send` says why an order may not leave now, empty when it may.

    `decided` is the engine's standing; `ask` hands a command to the engine's next slice, `waiting` says which no slice
    has taken yet; `say` tells a person. All methods may be called from any thread, `pull` from a signal handler.
    """

    def __init__(
        self,
        decided: Standing,
        flag: Flag,
        ask: Callable[[Command], None],
        say: Callable[[str], None] = lambda text: None,
        waiting: Callable[[], Sequence[Command]] = tuple,
    ) -> None:
        self._decided, self._flag, self._ask, self._say = decided, flag, ask, say
        self._waiting = waiting
        self._now = Standing()  # thrown, and not yet part of what is decided
        self._heard: list[Command] = []  # of which that is, as long as the engine has them not
        self._handed: list[Command] = []  # and those that it has and no slice has taken
        self._filed = ""  # a reason for which the flag was set by us, and which a command has as well
        self._pulled = ""
        self._written = False
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    # --- asking --------------------------------------------------------------------------------------------------

    def may_send(self, order: Order) -> str:
        """Why this order may not leave now; empty when it may. The file is looked for each time."""
        for throw in (self._outside(), self._now.of(order.pair), self._decided.of(order.pair)):
            why = withheld(order, throw)
            if why:
                return why
        return ""

    def send(self, order: Order, action: Callable[[], None]) -> str:
        """Do `action`, which sends the order, in one critical section with the question whether it may leave.

        Whoever threw the switch and has his answer can be sure that nothing leaves after it.
        """
        with self._lock:
            why = self.may_send(order)
            if not why:
                action()
            return why

    def thrown(self, pair: Pair | None = None) -> Throw | None:
        """The strictest state of a pair, or of everything, at this moment; None where it is active."""
        found = [self._now.of(pair), self._decided.of(pair), self._outside()]
        levels = list(Level)
        return max(filter(None, found), key=lambda throw: levels.index(throw.level), default=None)

    def shown(self) -> Mapping[str, Mapping[str, str]]:
        """State in force by scope (`all` or the pair), for people; what was thrown since the last slice counts."""
        with self._lock:
            merged = Standing()
            merged.restore(self._decided.state())
            for scope, level, reason, source in self._now.state():
                merged.throw(Level(level), reason, source, scope)
            outside = self._outside()
            throw = merged.of()
            if outside is not None and (throw is None or throw.level is not Level.HALTED):
                merged.throw(outside.level, outside.reason, outside.source)
            return merged.shown()

    def _outside(self) -> Throw | None:
        if self._pulled:
            return Throw(Level.HALTED, self._pulled, SIGNAL)
        reason = self._flag.read()
        return Throw(Level.HALTED, reason, FILE) if reason else None

    # --- throwing ------------------------------------------------------------------------------------------------

    def pull(self, reason: str) -> None:
        """Halt everything from this moment; written down by the next `look`. Takes no lock and writes no file."""
        self._pulled = reason

    def foresee(self, command: Command, *, handed: bool = False) -> None:
        """A command was heard: what it stops is stopped before it is written down, and so before it is answered.

        `handed`: the engine has it already.
        """
        level, reason = Level(command.level or Level.REDUCE_ONLY), command.reason
        if command.kind is CommandKind.EMERGENCY_SHUTDOWN:
            level, reason = Level.REDUCE_ONLY, f"emergency shutdown: {reason}"
        elif command.kind is not CommandKind.HALT:
            return
        with self._lock:
            (self._handed if handed else self._heard).append(command)
            self._now.throw(level, reason, command.source, command.pair)

    def hand_over(self, command: Command) -> None:
        """A command that was written down goes to the engine; from now on its next slice may take it."""
        with self._lock:
            if command in self._heard:
                self._heard.remove(command)
                self._handed.append(command)
            self._ask(command)

    def without_ledger(self, command: Command) -> bool:
        """Make a halt of everything durable outside of the ledger, too; whether that was one, and worked."""
        if command.kind is not CommandKind.HALT or command.pair is not None:
            return False
        with self._lock:
            try:
                self._flag.write(command.reason)
            except OSError:
                return False
            self._filed = command.reason
        return True

    def clear(self, pair: Pair | None = None) -> None:
        """Lift what was thrown of a pair or of everything, the file included; a person has given a reason.

        UsageError when the file is still there: then it stays halted.
        """
        with self._lock:
            if pair is None:
                try:
                    self._flag.remove()
                except OSError as error:
                    raise UsageError(
                        f"resume: the halt file is still there ({error}); remove it, then resume"
                    ) from error
                self._pulled, self._written, self._filed = "", False, ""
            self._now.clear(pair)
            self._heard = [command for command in self._heard if command.pair != pair]

    def look(self) -> None:
        """Make durable what a signal threw, and tell the engine what file or signal threw."""
        with self._lock:
            if self._pulled and not self._written:
                self._write(self._pulled)
            if self._is_halted() or self._lifted():
                return
            throw = self._outside()
            if throw is None:
                return
            halt = Command(CommandKind.HALT, throw.reason, throw.source, level=throw.level.value)
            self.foresee(halt)
            self.hand_over(halt)
        self._say(f"halted by {throw.source}: {throw.reason}; `mycelial resume REASON` lifts it")

    def observe(self, report: object) -> None:
        """A slice was walked: what was thrown by commands that it took need not be remembered here.

        Equally strict is not enough: what was decided before may be about to be lifted.
        """
        with self._lock:
            waiting = self._waiting()
            self._handed = [command for command in self._handed if command in waiting]
            still = {command.pair for command in (*self._heard, *self._handed)}
            for pair in {None, *self._now.pairs} - still:
                self._now.clear(pair)

    def _lifted(self) -> bool:
        """Whether a halt that a command had put into the flag, too, was lifted by a slice; then the flag is gone now.

        That was a signed message on the bus: a person, and a reason. A flag that somebody else set stays.
        """
        waits = self._pulled or self._heard or self._handed or self._decided.of() is not None
        if not self._filed or waits or self._flag.read() != self._filed:
            return False
        try:
            self._flag.remove()
        except OSError:
            return False
        self._filed = ""
        return True

    def _is_halted(self) -> bool:
        return any(throw is not None and throw.level is Level.HALTED for throw in (self._now.of(), self._decided.of()))

    def _write(self, reason: str) -> None:
        self._written = True
        try:
            self._flag.write(reason)
        except OSError as error:
            self._say(f"halted, but the halt file cannot be written ({error}): it holds in this process and its ledger")

    # --- watching ------------------------------------------------------------------------------------------------

    def start(self, timer: Timer, poll_seconds: float) -> None:
        """Look now, and then every so often, in a thread of its own."""
        said = self._flag.read()
        throw = self._now.of() or self._decided.of()
        if throw is not None and throw.reason == said and throw.source not in (FILE, SIGNAL):
            self._filed = said
        self.look()

        def watch() -> None:
            while not timer.wait(self._closing, poll_seconds):
                self.look()

        self._thread = threading.Thread(target=watch, name="kill-switch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the file stays."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
