"""Secrets at rest: sealed with a ring of keys that can be changed, opened into files that one process may read."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..core.errors import ConfigError, NotFound, UsageError
from .durable import replacing
from .private_file import Hidden, TooOpenError, owned

MODE = 0o400
KEY_RING = "key-ring"
"""The file of the keys, the newest first, one a line: whoever has it and the folder has the secrets."""
SEALED = ".sealed"
MAX_BYTES = 65_536
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Secret(Hidden):
    """Bytes nobody shall see by accident: whatever prints it prints `***`, and it is written nowhere."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes."""
        return self._value


class Rotated(msgspec.Struct, frozen=True):
    """What a rotation did: the folder, how many secrets it sealed anew, how many old keys are worth nothing now."""

    folder: str
    secrets: int
    retired: int


def read_secret(path: Path) -> Secret:
    """The content of a file that is ours and that nobody else can read (mode 0400).

    NotFound where there is none; ConfigError for wider rights, another owner, a link or an endless file. No message
    says what stood there.
    """
    try:
        content = owned(path, (MODE,), MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: a secret cannot be read here ({error.strerror})") from None
    except TooOpenError:
        raise ConfigError(f"{path}: a secret must be a file of your own with mode 0400; chmod 400 {path}") from None
    if not content or len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: a secret has 1 to {MAX_BYTES} bytes, this file does not")
    return Secret(content)


def seal(folder: Path, name: str, secret: Secret) -> Path:
    """Keep a secret in `folder`, sealed with the newest key; the key ring is made where there is none yet.

    UsageError for a name that is no plain file name, and where the folder cannot be written.
    """
    with _alone(folder):
        if not (folder / KEY_RING).exists():
            _refuse_lost_ring(folder)
            _write(folder / KEY_RING, Fernet.generate_key() + b"\n")
        path = _path(folder, name)
        _write(path, MultiFernet(_ring(folder)).encrypt(secret.reveal()))
    return path


def open_sealed(folder: Path, name: str) -> Secret:
    """The secret; NotFound where there is none, ConfigError where no key of the ring fits or its file is too open."""
    return _opened(_path(folder, name), MultiFernet(_ring(folder)))


def write_secret(path: Path, secret: Secret) -> None:
    """Put a secret into a file with mode 0400, whole or not at all; UsageError where that cannot be."""
    with _explained(path):
        _write(path, secret.reveal())


def rotate(folder: Path) -> Rotated:
    """Seal every secret of `folder` with a new key, and throw the old keys away once every one opens with it.

    Wherever it is cut short, every secret can be opened, and the next rotation finishes the work. NotFound without a
    key ring; ConfigError where a secret cannot be opened: nothing is thrown away then.
    """
    with _alone(folder):
        old = _ring(folder)
        paths = sorted(folder.glob(f"*{SEALED}"))
        for path in paths:
            _opened(path, MultiFernet(old))  # what cannot be opened is told before anything changes
        fresh = Fernet.generate_key()
        kept = read_secret(folder / KEY_RING).reveal()
        _write(folder / KEY_RING, fresh + b"\n" + kept)
        ring, alone = MultiFernet([Fernet(fresh), *old]), MultiFernet([Fernet(fresh)])
        for path in paths:
            _write(path, ring.rotate(read_secret(path).reveal()))
        for path in paths:
            _opened(path, alone)
        _write(folder / KEY_RING, fresh + b"\n")
    return Rotated(str(folder), len(paths), len(old))


def _ring(folder: Path) -> list[Fernet]:
    path = folder / KEY_RING
    try:
        return [Fernet(line) for line in read_secret(path).reveal().split()]
    except NotFound:
        raise NotFound(f"{path}: there is no key ring; `mycelial seal-secret` makes one") from None
    except ValueError:
        raise ConfigError(f"{path}: a line of it is no key; put a copy of it back") from None


def _opened(path: Path, ring: MultiFernet) -> Secret:
    try:
        return Secret(ring.decrypt(read_secret(path).reveal()))
    except InvalidToken:
        raise ConfigError(f"{path}: no key of {KEY_RING} opens it; put the key ring it was sealed with back") from None


def _path(folder: Path, name: str) -> Path:
    if not _NAME.fullmatch(name) or name == KEY_RING:
        raise UsageError(f"{name!r}: a secret is called by small letters, digits, dots and dashes, as in kraken.key")
    return folder / f"{name}{SEALED}"


def _refuse_lost_ring(folder: Path) -> None:
    if any(folder.glob(f"*{SEALED}")):
        raise ConfigError(f"{folder}: holds sealed secrets and no {KEY_RING}; put the key ring back")


def _write(path: Path, content: bytes) -> None:
    """A file with mode 0400 in the place of `path`."""
    with replacing(path, MODE) as file:
        file.write(content)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else changes the folder meanwhile; it is its owner's alone."""
    with _explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError(f"{folder}: must be a folder of your own that nobody else can enter; chmod 700 {folder}")
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with _explained(folder):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; choose a place that can be written") from error
