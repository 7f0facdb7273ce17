"""Reads key and secret from a file that its owner alone can read, and never shows them."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path

from ...core.errors import ConfigError

MODE = 0o400
_MAX_BYTES = 1024


class ApiKey:
    """A key and its secret. Whatever prints it prints `***`."""

    __slots__ = ("key", "secret")

    def __init__(self, key: str, secret: str) -> None:
        self.key, self.secret = key, secret

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("an API key is not written anywhere")


def read_key(path: Path) -> ApiKey:
    """Two lines, key and secret (base64), mode 0400; ConfigError says what is wrong, never what stood there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"kraken.key_file {path}: cannot be read ({error.strerror})") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != MODE or found.st_uid != os.geteuid():
            raise ConfigError(f"kraken.key_file {path}: must be a file of your own with mode 0400; chmod 400 {path}")
        lines = file.read(_MAX_BYTES).split()
    if len(lines) != 2 or not lines[0].isascii():
        raise ConfigError(f"kraken.key_file {path}: must hold two lines, the key and its secret")
    try:
        base64.b64decode(lines[1], validate=True)
    except binascii.Error:
        raise ConfigError(f"kraken.key_file {path}: its second line is no secret (base64)") from None
    return ApiKey(lines[0].decode(), lines[1].decode())
