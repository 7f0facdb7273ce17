"""A file system in memory whose power can fail: what was not synced is dropped, torn, or there, as a seed says.

Run as a module it serves a mount point and takes orders on its standard input, one a line; `Disk` is the other end.
A write counts as durable when its file was synced, a name when its folder or (as on ext4) its file was.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any, Self

import numpy as np

try:
    import mfusepy
except (ImportError, OSError):  # the library it speaks to is a package of the system, and of Linux
    mfusepy = None

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
KEPT, TORN = 0.5, 0.2
ROOT = Path(__file__).resolve().parents[2]

Write = tuple[int, bytes | None]
"""Where, and what; None cuts or stretches the file to that length."""


def missing() -> str:
    """Why there can be no such file system here, "" where there can."""
    if mfusepy is None:
        return "libfuse is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse that may be used"
    return "" if shutil.which("fusermount3") else "there is no fusermount3"


class Node:
    """A file: what a reader sees, what is durable, and the writes between the two."""

    def __init__(self) -> None:
        self.seen, self.durable = bytearray(), bytearray()
        self.pending: list[Write] = []

    def write(self, one: Write) -> None:
        _apply(self.seen, one)
        self.pending.append(one)

    def sync(self) -> None:
        for one in self.pending:
            _apply(self.durable, one)
        self.pending = []

    def lose(self, random: np.random.Generator) -> int:
        """The power fails; how many writes are gone or torn."""
        gone = 0
        for at, data in self.pending:
            if random.random() > KEPT:
                gone += 1
            elif data is not None and random.random() < TORN:
                gone += 1
                _apply(self.durable, (at, data[: SECTOR * int(random.integers(0, len(data) // SECTOR + 1))]))
            else:
                _apply(self.durable, (at, data))
        self.seen, self.pending = bytearray(self.durable), []
        return gone


def _apply(content: bytearray, one: Write) -> None:
    at, data = one
    if data is None:
        del content[at:]
        content.extend(bytes(at - len(content)))
        return
    content.extend(bytes(max(0, at + len(data) - len(content))))
    content[at : at + len(data)] = data


class Lossy(mfusepy.Operations if mfusepy else object):  # type: ignore[misc]
    """One folder of files."""

    use_ns = True

    def __init__(self) -> None:
        self._names: dict[str, Node] = {}
        self._durable_names: dict[str, Node] = {}
        self._waiting: list[dict[str, Node]] = []
        self._lock = RLock()
        self._failing: dict[str, tuple[int, int]] = {}
        self._skipping: dict[str, int] = {}
        self._slow = 0.0
        self._room = 1 << 40
        self._syncs = 0
        self._off = False

    # Faults.

    def order(self, words: list[str]) -> str:
        """lose SEED | on | skip OPERATION TIMES | fail OPERATION ERRNO TIMES | room BYTES | slow SECONDS | syncs"""
        with self._lock:
            match words:
                case ["lose", seed]:
                    self._off = True
                    return str(self._lose(np.random.default_rng(int(seed))))
                case ["on"]:
                    self._off = False
                case ["fail", operation, number, times]:
                    self._failing[operation] = (int(number), int(times))
                case ["room", size]:
                    self._room = int(size)
                case ["skip", operation, times]:
                    self._skipping[operation] = int(times)
                case ["slow", seconds]:
                    self._slow = float(seconds)
                case ["syncs"]:
                    return str(self._syncs)
        return "done"

    def _lose(self, random: np.random.Generator) -> int:
        waiting = self._waiting
        kept = int(random.integers(0, len(waiting) + 1))
        if kept:
            self._durable_names = waiting[kept - 1]
        names = {name: node for name, node in self._durable_names.items() if not name.endswith("-shm")}
        gone = sum(node.lose(random) for node in dict.fromkeys(names.values()))
        self._names, self._durable_names, self._waiting = dict(names), names, []
        return gone + len(waiting) - kept

    def _may(self, operation: str, path: str) -> None:
        if self._off:
            raise mfusepy.FuseOSError(errno.EIO)
        if path.endswith("-shm"):
            return  # shared memory, for which a real file system needs no disk
        number, times = self._failing.get(operation, (0, 0))
        if times and self._skipping.get(operation, 0):
            self._skipping[operation] -= 1
        elif times:
            self._failing[operation] = (number, times - 1)
            raise mfusepy.FuseOSError(number)

    def _renamed(self) -> None:
        self._waiting.append(dict(self._names))

    # Operations.

    def init(self, path: str) -> None:
        sys.stdout.write("mounted\n")
        sys.stdout.flush()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": len(self._node(path).seen)}

    def _node(self, path: str) -> Node:
        node = self._names.get(path)
        if node is None:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return node

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(name[1:] for name in self._names)]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self._lock:
            self._may("create", path)
            self._names[path] = Node()
            self._renamed()
        return 0

    def open(self, path: str, flags: int) -> int:
        self._node(path)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._node(path).seen[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self._lock:
            self._may("write", path)
            node = self._node(path)
            grows = max(0, offset + len(data) - len(node.seen))
            if grows and sum(len(one.seen) for one in self._names.values()) + grows > self._room:
                raise mfusepy.FuseOSError(errno.ENOSPC)
            node.write((offset, bytes(data)))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._lock:
            self._may("write", path)
            self._node(path).write((length, None))
        return 0

    def unlink(self, path: str) -> int:
        with self._lock:
            self._may("unlink", path)
            self._names.pop(path, None)
            self._renamed()
        return 0

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            self._may("rename", old)
            self._names[new] = self._names.pop(old)
            self._renamed()
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        Event().wait(self._slow)
        with self._lock:
            node = self._node(path)
            try:
                self._may("fsync", path)
            except OSError:
                node.pending = []  # as on Linux: the pages count as clean from then on, and no later sync writes them
                raise
            self._syncs += 1
            node.sync()
            for names in (self._durable_names, *self._waiting):
                names[path] = node
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            self._may("fsync", path)
            self._durable_names, self._waiting = dict(self._names), []
        return 0

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0


class Disk:
    """A mounted one, in a process of its own."""

    def __init__(self, mount: Path) -> None:
        mount.mkdir()
        self.path = mount
        self.losses = self.forgotten = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.lossy", str(mount)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._said() == "mounted"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        lazily = ["fusermount3", "-u", "-z", str(self.path)]
        subprocess.run(lazily, check=True, capture_output=True)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def tell(self, *words: object) -> str:
        """An order to the file system, and its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._said()

    def off(self, seed: int) -> None:
        """The power fails; `forgotten` counts writes and names that are gone."""
        self.forgotten += int(self.tell("lose", seed))
        self.losses += 1

    def on(self) -> None:
        """The power is back."""
        self.tell("on")

    def fail(self, operation: str, number: int, times: int) -> None:
        """The next calls of an operation (create, write, fsync) fail so."""
        self.tell("fail", operation, number, times)


def _listen(order: Callable[[list[str]], str]) -> None:
    for line in sys.stdin:
        sys.stdout.write(order(line.split()) + "\n")
        sys.stdout.flush()


def main(mount: str) -> None:
    """Serve a mount point until it is given back."""
    served = Lossy()
    Thread(target=_listen, args=(served.order,), daemon=True).start()
    mfusepy.FUSE(served, mount, foreground=True, nothreads=True, attr_timeout=0, entry_timeout=0)


if __name__ == "__main__":
    main(sys.argv[1])
