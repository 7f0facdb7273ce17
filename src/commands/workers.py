"""Spreads independent work over processes of this machine so that a killed one loses nothing.

Workers are forked from a server process that has imported everything and compiled or loaded every kernel once; what
they share lies in a file that all of them map. They end with the process that started them, whatever ends it.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import msgspec

from ..core.errors import MycelialError

ATTEMPTS = 3
"""How often a piece of work is tried when its worker dies: once, and twice again."""

_PRELOADED = "src.commands.warmed"
_ALIGNED = 64
_BODY, _BUFFERS, _SIZES = "body", "buffers", "sizes"


class _Worker(msgspec.Struct, frozen=True):
    """`life` is never written to: that it is open says that we live."""

    process: BaseProcess
    pipe: Connection
    life: Connection


def prepare(jobs: int) -> None:
    """Let the server of the workers start while the caller does other things; nothing where there will be none."""
    if jobs > 1:
        _context()
        forkserver.ensure_running()


def _context() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    return context


def spread(
    work: Callable[[Any, Any], Any], tasks: Sequence[Any], given: Any, jobs: int, name: Callable[[int], str]
) -> Iterator[tuple[int, Any]]:
    """(number, work(task, given)) of every task as they become ready, `jobs` at once.

    `work` is a function of a module. `given` is handed over once, its arrays without a copy. A task whose worker died
    is done again; MycelialError, naming it by `name`, when that happened `ATTEMPTS` times. What a task raises is
    raised here. No worker is left when the iterator is exhausted, closed or interrupted.
    """
    with TemporaryDirectory(prefix="mycelial-") as folder:
        share(given, Path(folder))
        crew: list[_Worker] = []
        try:
            yield from _served(crew, (work, folder), tasks, jobs, name)
        finally:
            for worker in crew:
                _dismiss(worker)


def _served(
    crew: list[_Worker], start: tuple[Callable[[Any, Any], Any], str], tasks: Sequence[Any], jobs: int,
    name: Callable[[int], str],
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    waiting, lost = deque(range(len(tasks))), Counter[int]()
    busy: dict[Connection, tuple[_Worker, int]] = {}
    while waiting or busy:
        _employ(crew, busy, waiting, start, tasks, jobs)
        for pipe in wait(list(busy)):
            assert isinstance(pipe, Connection)
            worker, number = busy.pop(pipe)
            answer = _answer(pipe)
            if answer is None:
                crew.remove(worker)
                _again(worker, number, lost, name)
                waiting.appendleft(number)
                continue
            value, error = answer
            if error is not None:
                raise error
            yield number, value


def _employ(
    crew: list[_Worker], busy: dict[Connection, tuple[_Worker, int]], waiting: deque[int],
    start: tuple[Callable[[Any, Any], Any], str], tasks: Sequence[Any], jobs: int,
) -> None:  # fmt: skip
    """A task for everybody who has none."""
    while waiting and len(busy) < jobs:
        worker = next((one for one in crew if one.pipe not in busy), None)
        if worker is None:
            worker = _hire(start)
            crew.append(worker)
        number = waiting.popleft()
        busy[worker.pipe] = (worker, number)
        with suppress(OSError):  # it died while it was idle: reading from it will tell
            worker.pipe.send(tasks[number])


def _answer(pipe: Connection) -> tuple[Any, BaseException | None] | None:
    """What a worker says; None when it died instead."""
    try:
        found: tuple[Any, BaseException | None] = pipe.recv()
    except (EOFError, OSError):
        return None
    return found


def _again(worker: _Worker, number: int, lost: Counter[int], name: Callable[[int], str]) -> None:
    worker.process.join()
    code = worker.process.exitcode
    worker.pipe.close()
    worker.life.close()
    lost[number] += 1
    if lost[number] >= ATTEMPTS:
        why = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        raise MycelialError(
            f"{name(number)} ended its worker {ATTEMPTS} times ({why}); is there enough memory? try --jobs 1"
        )


def _hire(start: tuple[Callable[[Any, Any], Any], str]) -> _Worker:
    context = _context()
    ours, theirs = context.Pipe()
    open_as_long_as_us, life = reversed(context.Pipe(duplex=False))
    process = context.Process(target=_work, args=(theirs, life, *start), daemon=True)
    process.start()
    theirs.close()
    life.close()
    return _Worker(process, ours, open_as_long_as_us)


def _dismiss(worker: _Worker) -> None:
    worker.process.terminate()
    worker.process.join()
    worker.pipe.close()
    worker.life.close()


def _work(pipe: Connection, life: Connection, work: Callable[[Any, Any], Any], folder: str) -> None:
    """A worker's life: task after task until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started us ends us
    Thread(target=_end_with, args=(life,), daemon=True).start()
    try:
        given = shared(Path(folder))
        while True:
            pipe.send(_done(work, pipe.recv(), given))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _done(work: Callable[[Any, Any], Any], task: Any, given: Any) -> tuple[Any, BaseException | None]:
    try:
        return work(task, given), None
    except Exception as error:  # noqa: BLE001 - carried over and raised where the work was asked for
        return None, error


def _end_with(life: Connection) -> None:
    """A process that was killed cannot dismiss its workers: they notice that its end of a pipe is closed."""
    with suppress(EOFError, OSError):
        life.recv()
    os._exit(1)


def share(given: Any, folder: Path) -> None:
    """Write an object into `folder` so that others can map its arrays."""
    buffers: list[pickle.PickleBuffer] = []
    (folder / _BODY).write_bytes(pickle.dumps(given, protocol=5, buffer_callback=buffers.append))
    sizes = []
    with (folder / _BUFFERS).open("wb") as file:
        for buffer in buffers:
            raw = buffer.raw()
            sizes.append(raw.nbytes)
            file.write(raw)
            file.write(bytes(-raw.nbytes % _ALIGNED))
    (folder / _SIZES).write_bytes(msgspec.json.encode(sizes))


def shared(folder: Path) -> Any:
    """The object of `share`; its arrays are read-only views of the file."""
    sizes = msgspec.json.decode((folder / _SIZES).read_bytes(), type=list[int])
    if not any(sizes):
        return pickle.loads((folder / _BODY).read_bytes(), buffers=[b""] * len(sizes))
    with (folder / _BUFFERS).open("rb") as file:
        whole = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
    views, begin = [], 0
    for size in sizes:
        views.append(whole[begin : begin + size])
        begin += size + -size % _ALIGNED
    return pickle.loads((folder / _BODY).read_bytes(), buffers=views)
