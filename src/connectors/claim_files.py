"""Finds and reads the files in which claims are written down."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, NotFound
from .config_files import DEFAULT_FILE
from .config_yaml import MAX_BYTES, Place, Unreadable, read

SHIPPED = DEFAULT_FILE.parent / "hypotheses"


def claim_names() -> list[str]:
    """The claims that are shipped, by name."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read_claim(name: str) -> tuple[Any, str]:
    """The plain values of a shipped claim or of a YAML file, and the name to say in messages.

    NotFound where there is neither, ConfigError with place and reason where the file is no YAML of settings.
    """
    path = SHIPPED / f"{name}.yaml"
    if name not in claim_names():
        path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(name, claim_names(), 1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise NotFound(f"no claim and no file {name!r}; there is {', '.join(claim_names())}{hint}")
    text = _text(path)
    try:
        return read(text, lambda line, column: Place(0, line, column, path.name)).plain(), path.name
    except Unreadable as error:
        raise ConfigError(str(error.problems[0])) from None


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{path}: more than {MAX_BYTES} bytes: that is no claim")
        return raw.decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no UTF-8 text") from None
