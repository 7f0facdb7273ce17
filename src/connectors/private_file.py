"""Reads secrets out of files that their owner alone can read, and shows nobody what stood there."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from ..core.errors import ConfigError

MODES = (0o400, 0o600)
_MAX_BYTES = 4096


class TooOpenError(Exception):
    """A file that others than its owner can read, that is somebody else's, or that is no file."""


class Hidden:
    """What no log, message or traceback shows by accident: whatever prints it prints `***`."""

    __slots__ = ()
    what: ClassVar[str] = "a secret"

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError(f"{self.what} is not written anywhere")


class Secret(Hidden):
    """A text; `text` is the only way to it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def owned(path: Path, modes: Collection[int], most: int) -> bytes:
    """The first `most` bytes of a file of one's own with one of these modes, no link; it never waits for a writer.

    OSError when it cannot be read, TooOpenError when it is not one's own alone. Neither says what stood there.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) not in modes or found.st_uid != os.geteuid():
            raise TooOpenError(path)
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def settled(setting: str, path: Path, modes: Collection[int], most: int) -> bytes:
    """`owned`, of a file that a setting names: ConfigError names both and the remedy."""
    try:
        return owned(path, modes, most)
    except OSError as error:
        raise ConfigError(f"{setting} {path}: cannot be read ({error.strerror})") from None
    except TooOpenError:
        raise ConfigError(f"{setting} {path}: must be a file of your own with mode 0400; chmod 400 {path}") from None


def read_private(setting: str, path: Path) -> Secret:
    """The one line of a file of one's own, mode 0400 or 0600; ConfigError names the setting and the remedy."""
    words = settled(setting, path, MODES, _MAX_BYTES).split()
    if len(words) != 1 or not words[0].isascii():
        raise ConfigError(f"{setting} {path}: must hold one line, the address")
    return Secret(words[0].decode())
