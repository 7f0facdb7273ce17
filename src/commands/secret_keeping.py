"""`mycelial seal-secret`, `open-secret`, `rotate-secrets`: secrets at rest, and how their keys change."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from ..connectors import secret_files
from ..connectors.secret_files import Secret
from ..core.errors import UsageError
from . import common

DEFAULT = Path("secrets")


def seal(name: str, source: Path | None, folder: Path | None) -> None:
    """Take a secret from a file with mode 0400, or from standard input, and keep it sealed."""
    secret = _from_stdin() if source is None else secret_files.read_secret(source)
    common.out(f"{secret_files.seal(folder or DEFAULT, name, secret)}: sealed")


def open_to(name: str, target: Path, folder: Path | None) -> None:
    """Put a secret into a file with mode 0400; it is never printed."""
    secret_files.write_secret(target, secret_files.open_sealed(folder or DEFAULT, name))
    common.out(f"{target}: opened, mode 0400")


def rotate(folder: Path | None, json: bool) -> None:
    """Seal all secrets of a folder with a new key and throw the old ones away."""
    done = secret_files.rotate(folder or DEFAULT)
    if json:
        common.out_json(msgspec.to_builtins(done))
    else:
        common.out(f"{done.folder}: {done.secrets} secrets sealed with a new key, {done.retired} old ones thrown away")


def _from_stdin() -> Secret:
    if sys.stdin.isatty():
        raise UsageError("a secret is never typed where others can see it: name a file with --from, or pipe it in")
    content = sys.stdin.buffer.read(secret_files.MAX_BYTES + 1)
    if not 0 < len(content) <= secret_files.MAX_BYTES:
        raise UsageError(f"standard input: a secret has 1 to {secret_files.MAX_BYTES} bytes")
    return Secret(content)
