"""The file HALT in the state folder: anybody who may write there can stop the run, whatever else is down."""

from __future__ import annotations

import os
from pathlib import Path

from .durable import put, sync

HALT = "HALT"
MAX_BYTES = 4096
"""Of the format: a reason is a sentence."""
MAX_CHARACTERS = 500


class HaltFile:
    """Its content is the reason. While it is there, or while nobody can tell, everything is halted."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / HALT

    def read(self) -> str:
        """The reason in its first line, `the file HALT` where it says nothing; empty only when it is surely absent."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return "" if os.access(self.path.parent, os.R_OK | os.X_OK) else "the state folder cannot be read"
        except OSError as error:
            return f"the file {HALT} cannot be read: {error.strerror}"
        try:
            return _sentence(os.read(file, MAX_BYTES))
        except OSError as error:
            return f"the file {HALT} cannot be read: {error.strerror}"
        finally:
            os.close(file)

    def write(self, reason: str) -> None:
        """Whole or not at all, and on the disk when it returns; OSError when it cannot be."""
        put(self.path, f"{reason}\n".encode(errors="replace"))

    def remove(self) -> None:
        """Take it away for good; OSError when it is still there."""
        self.path.unlink(missing_ok=True)
        sync(self.path.parent)


def _sentence(raw: bytes) -> str:
    line = " ".join(raw.decode(errors="replace").split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)[:MAX_CHARACTERS]
    return shown or f"the file {HALT}"
