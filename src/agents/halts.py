"""What a member of the swarm knows of a halt: who is told to stop stops, whoever says so; only the spine lifts it."""

from __future__ import annotations

from ..core.lines import ENGINE
from ..core.messages import Control, Message
from ..core.types import CommandKind

HALTING = (CommandKind.HALT, CommandKind.EMERGENCY_SHUTDOWN)
"""Commands after which nothing new is begun: no entries, no teams."""


class HaltHeard:
    """Listens on `system-control`; `reason` is empty while nothing is halted, `emergency` set by a shutdown."""

    def __init__(self) -> None:
        self.reason = ""
        self.emergency = False

    def on_control(self, message: Message) -> None:
        """Take note of a command."""
        if not isinstance(message, Control):
            return
        if message.command in HALTING:
            self.reason = message.reason or "halted"
            self.emergency = self.emergency or message.command is CommandKind.EMERGENCY_SHUTDOWN
        elif message.command is CommandKind.RESUME and message.source == ENGINE:
            self.reason, self.emergency = "", False
