"""Where a run keeps what survives it: one folder, one process, one mode."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from types import TracebackType

import msgspec

from ..core.errors import NotRunning, UsageError

LEDGER = "ledger.sqlite"
LOCK = "lock"
MODE = "mode"
SOCKET = "control.sock"
SOCKET_PLACE = "control.path"
MAX_SOCKET_BYTES = 103
"""Longest path of a unix socket that every system takes: 107 bytes on Linux, 103 on macOS."""
MAX_SMALL_FILE_BYTES = 4096
"""The small files of the folder are never longer; a longer one is not ours."""

_REMEDIES = {
    errno.EEXIST: "a file stands where the folder should be; choose another --state",
    errno.ENOTDIR: "a file stands where a folder should be; choose another --state",
    errno.EACCES: "check the permissions of the folder and of those above it, or choose another --state",
    errno.EPERM: "check the permissions of the folder and of those above it, or choose another --state",
    errno.EROFS: "the file system is read-only; choose another --state",
    errno.ENOSPC: "the disk is full; free some space, or choose another --state",
    errno.ENOLCK: "the file system has no locks; choose a --state on a local disk",
    errno.EOPNOTSUPP: "the file system has no locks; choose a --state on a local disk",
}


class Holder(msgspec.Struct, frozen=True):
    """The process that wrote itself into the lock; `started` is its start time as the system tells it."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs; a later one that got the same number does not count."""
        return _started(self.pid) == self.started and _exists(self.pid)


class StateFolder:
    """An open state folder: this process alone writes to it until `close`.

    `unclean`: whoever had it before did not close it, but was killed or lost its power.
    """

    def __init__(self, path: Path, mode: str, lock: int) -> None:
        self.unclean = os.fstat(lock).st_size > 0  # whoever closes it takes its name out of the lock
        self.path = path
        self.mode = mode
        self.socket_path = path / SOCKET
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path, mode: str) -> StateFolder:
        """Make the folder if need be, lock it and stamp it with `mode`.

        UsageError names the path and the remedy: another process has the folder, it holds another mode, or it
        cannot be made or written. Nothing that a living process uses is changed then.
        """
        path = path.absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = _take_lock(path)
        except (OSError, ValueError) as error:
            raise _explain(path, error) from error
        try:
            _check_mode(path, mode)
            folder = cls(path, mode, lock)
            folder._make_ready()
        except BaseException as error:
            os.close(lock)
            if isinstance(error, OSError):
                raise _explain(path, error) from error
            raise
        return folder

    @property
    def ledger_path(self) -> Path:
        """The ledger of the run."""
        return self.path / LEDGER

    @property
    def result_path(self) -> Path:
        """The figures of the run as one JSON object."""
        return self.path / "result.json"

    @property
    def decisions_path(self) -> Path:
        """The record of decisions, one JSON object a line."""
        return self.path / "decisions.jsonl"

    @property
    def orders_path(self) -> Path:
        """Orders and fills, one JSON object a line."""
        return self.path / "orders.jsonl"

    @property
    def trades_path(self) -> Path:
        """Closed trades."""
        return self.path / "trades.csv"

    @property
    def equity_path(self) -> Path:
        """The equity curve."""
        return self.path / "equity.csv"

    def close(self) -> None:
        """Remove the socket and give the folder free; calling it again does nothing."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        try:
            self._remove_socket()
            os.ftruncate(lock, 0)
        finally:
            os.close(lock)  # the lock itself stays: removing it would let two processes lock two files of one name

    def __enter__(self) -> StateFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_ready(self) -> None:
        assert self._lock is not None
        self._remove_socket()  # a process that crashed left it; nobody else can be using it, for the lock is ours
        self.socket_path = _socket_path(self.path)
        if self.socket_path.parent != self.path:
            _make_private(self.socket_path.parent)
            _write(self.path / SOCKET_PLACE, str(self.socket_path))
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, msgspec.json.encode(Holder(os.getpid(), _started(os.getpid()))), 0)

    def _remove_socket(self) -> None:
        for path in (self.path / SOCKET, _recorded(self.path)):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()
        (self.path / SOCKET_PLACE).unlink(missing_ok=True)


def find(path: Path) -> Path:
    """The control socket of the process that runs on the folder `path`; NotRunning says how to start one.

    A socket that a crash left behind is found as well: whoever connects to it is told that nobody answers.
    """
    path = path.absolute()
    address = _recorded(path)
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(address.lstat().st_mode):
            return address
    raise not_running(path)


def holder(path: Path) -> Holder | None:
    """Who says in the lock of the folder `path` that it runs there; None when nobody does."""
    try:
        return msgspec.json.decode(_read(path / LOCK), type=Holder)
    except msgspec.DecodeError:
        return None


def stamped_mode(path: Path) -> str | None:
    """The mode of the runs in the folder `path`; None when there has been none."""
    return _read(path / MODE).strip() or None


def not_running(path: Path) -> NotRunning:
    """The error for a folder on which no process answers."""
    somebody = holder(path)
    if somebody is not None and somebody.alive:
        return NotRunning(f"{path}: process {somebody.pid} is starting or stopping and does not answer; ask again")
    return NotRunning(f"{path}: no process runs here; start one with `mycelial run --state {path}`")


def _take_lock(path: Path) -> int:
    """An open, locked file. `flock` belongs to the open file: a second opening in this process is refused as well."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UsageError(_in_use(path)) from error
    except BaseException:
        os.close(lock)
        raise
    return lock


def _in_use(path: Path) -> str:
    somebody = holder(path)
    if somebody is None:
        return f"{path}: in use by a process that is just starting; use another --state, or try again"
    if not somebody.alive:
        return (
            f"{path}: in use by a process that process {somebody.pid}, which is gone, left behind; "
            f"end it (`fuser {path / LOCK}` names it), or use another --state"
        )
    return (
        f"{path}: in use by process {somebody.pid}; stop it with `mycelial stop --state {path}`, or use another --state"
    )


def _check_mode(path: Path, mode: str) -> None:
    if not re.fullmatch("[a-z]+", mode):
        raise UsageError(f"mode {mode!r}: a mode is one word, for instance paper")
    if not (path / MODE).exists():
        return _write(path / MODE, mode)
    found = stamped_mode(path)
    if found != mode:
        raise UsageError(
            f"{path}: this folder holds {found or 'an unreadable mode'}, and {mode} needs one of its own; "
            "use another --state"
        )
    return None


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_BYTES


def _socket_path(folder: Path) -> Path:
    """Where a socket of this folder goes: inside, or under the system's temporary files if that is too long."""
    inside = folder / SOCKET
    if _fits(inside):
        return inside
    short = Path(tempfile.gettempdir()) / f"mycelial-{os.geteuid()}" / _short_name(folder)
    if not _fits(short):
        raise UsageError(f"{folder}: too long for a control socket, as is {short}; choose a shorter --state")
    return short


def _recorded(folder: Path) -> Path:
    """Where the socket of this folder is; a note that was copied from another folder does not count."""
    noted = Path(_read(folder / SOCKET_PLACE))
    return noted if noted.name == _short_name(folder) else folder / SOCKET


def _short_name(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32] + ".sock"


def _make_private(folder: Path) -> None:
    """A folder nobody else can enter: its name can be guessed, so another user could have made it first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(f"{folder}: not a folder of yours alone; remove it, or choose a shorter --state")


def _write(path: Path, text: str) -> None:
    """Whole or not at all: readers never see half a file."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def _read(path: Path) -> str:
    """The text of a small file; empty when it is absent or no text."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SMALL_FILE_BYTES).decode()
    except (OSError, ValueError):
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where the system does not tell.

    The 22nd field of /proc/PID/stat, counted behind the name, which may hold spaces and parentheses.
    """
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _explain(path: Path, error: OSError | ValueError) -> UsageError:
    if not isinstance(error, OSError):
        return UsageError(f"{str(path)!r}: not a path ({error}); choose another --state")
    place = error.filename if isinstance(error.filename, str) else path
    remedy = _REMEDIES.get(error.errno or 0, "choose another --state")
    return UsageError(f"{place}: {error.strerror}; {remedy}")
