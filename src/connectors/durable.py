"""Makes files and names survive a loss of power; only here is said how."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..core.errors import UsageError

_RIGHTS = 0o666  # less what the process's mask takes away, as for any file
LOCK = ".lock"
"""How the name of a file ends that lies beside another while that is changed; it begins with a dot."""


def sync(path: Path) -> None:
    """Put a file's content, or the names in a folder, on the disk; OSError when that cannot be."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put(path: Path, content: bytes) -> None:
    """Replace a small file by `content`, whole or not at all, and on the disk when it returns; else OSError.

    For files of one writer: what a killed one left of a draft is overwritten by the next.
    """
    with _in_place_of(path, path.with_name(f".{path.name}.part"), _RIGHTS) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, mode: int = _RIGHTS) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` at the end, whole or not at all, and is on the disk then; else OSError.

    It was never there with other rights than `mode`. Several processes may replace the same file.
    """
    with _in_place_of(path, path.with_name(f".{path.name}.{os.getpid()}.part"), mode) as file:
        yield file


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One at a time of all who say so of the same `path`, which need not be there; waits for its turn, else OSError."""
    lock = path.with_name(f".{path.name}{LOCK}")
    descriptor = _locked(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # while it is held: who waits for it sees that it is gone, and makes another
        os.close(descriptor)


def _locked(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _RIGHTS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except FileNotFoundError:  # whoever had it took it away
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """What the disk refuses becomes a UsageError that names the place: that of the error, else `folder`."""
    try:
        yield
    except OSError as error:
        told = f"{error.filename or folder}: {error.strerror or error}"
        raise UsageError(f"{told}; choose files and a folder that can be read and written") from None


@contextmanager
def _in_place_of(path: Path, draft: Path, mode: int) -> Iterator[BinaryIO]:
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)
