"""The file HALT in the state folder: anybody who may write there can stop the run, whatever else is down."""

from __future__ import annotations

import os
from pathlib import Path

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
        fresh = self.path.with_name(f"{HALT}.new")
        with fresh.open("w", encoding="utf-8", errors="replace") as file:
            file.write(f"{reason}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        self._settle()

    def remove(self) -> None:
        """Take it away for good; OSError when it is still there."""
        self.path.unlink(missing_ok=True)
        self._settle()

    def _settle(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _sentence(raw: bytes) -> str:
    line = " ".join(raw.decode(errors="replace").split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)[:MAX_CHARACTERS]
    return shown or f"the file {HALT}"
