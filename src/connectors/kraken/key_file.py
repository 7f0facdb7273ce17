"""Reads key and secret from a file that its owner alone can read, and never shows them."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from ...core.errors import ConfigError
from ..private_file import settled
from ..venues.keys import ApiKey

MODE = 0o400
_MAX_BYTES = 1024


def read_key(path: Path) -> ApiKey:
    """Two lines, key and secret (base64), mode 0400; ConfigError says what is wrong, never what stood there."""
    lines = settled("kraken.key_file", path, (MODE,), _MAX_BYTES).split()
    if len(lines) != 2 or not lines[0].isascii():
        raise ConfigError(f"kraken.key_file {path}: must hold two lines, the key and its secret")
    try:
        base64.b64decode(lines[1], validate=True)
    except binascii.Error:
        raise ConfigError(f"kraken.key_file {path}: its second line is no secret (base64)") from None
    return ApiKey(lines[0].decode(), lines[1].decode())
