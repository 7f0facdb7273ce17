"""Reads a secret out of a file that its owner alone can read, and shows nobody what stood there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..core.errors import ConfigError

MODES = (0o400, 0o600)
_MAX_BYTES = 4096


class Secret:
    """A text that no log, message or traceback shows by accident; `text` is the only way to it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


def read_private(setting: str, path: Path) -> Secret:
    """The one line of a file of one's own, mode 0400 or 0600; ConfigError names the setting and the remedy."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{setting} {path}: cannot be read ({error.strerror})") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) not in MODES or found.st_uid != os.geteuid():
            raise ConfigError(f"{setting} {path}: must be a file of your own with mode 0400; chmod 400 {path}")
        words = os.read(descriptor, _MAX_BYTES).split()
    finally:
        os.close(descriptor)
    if len(words) != 1 or not words[0].isascii():
        raise ConfigError(f"{setting} {path}: must hold one line, the address")
    return Secret(words[0].decode())
