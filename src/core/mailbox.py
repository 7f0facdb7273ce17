"""Where commands wait for the spine: other threads put them in, so that nothing happens in the middle of a slice."""

from __future__ import annotations

from collections import deque

from .types import Command


class Mailbox:
    """Commands wait here for the next slice; any thread may put, only the spine drains."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()

    def put(self, command: Command) -> None:
        """Ask for something."""
        self._commands.append(command)

    def drain(self) -> list[Command]:
        """Everything asked for since the last slice, in order."""
        commands: list[Command] = []
        while self._commands:
            commands.append(self._commands.popleft())
        return commands

    def waiting(self) -> list[Command]:
        """What is asked for and not taken yet, in order."""
        return list(self._commands)
