"""The log of a run: JSON lines with what belongs together marked, without secrets, written by a thread of its own."""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import sys
import threading
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter

from ..core.clock import iso
from ..core.config_monitoring import LogSettings
from .redaction import Redaction

NAME = "mycelial"
FOLDER, FILE = "logs", "mycelial.jsonl"
QUIET = (
    *("kraken", "urllib3", "aiohttp", "websockets", "httpx", "httpx2", "httpcore", "httpcore2"),
    *("asyncio", "chromadb"),
)
"""Libraries that tell too much, addresses with secrets among it: warnings and worse alone."""
_CLOSE_SECONDS = 5.0
"""For the thread to write what is queued; a disk that takes longer does not keep a process from ending."""
_Event = MutableMapping[str, Any]


class Logs:
    """Opens the log of one run and gives it back; `logger` binds what it is given to every line of its own.

    Nobody who logs ever waits: a line is queued, and dropped and counted when the queue is full. Lines of libraries
    that use the standard library's logging go the same way.
    """

    def __init__(self, settings: LogSettings, folder: Path, run_id: str, redaction: Redaction) -> None:
        self._formatter = _formatter(redaction)
        lines: queue.Queue[Any] = queue.Queue(settings.queue_lines)
        self._queued = _Queued(lines)
        self._file = _open(folder / FOLDER, settings)
        sinks: list[logging.Handler] = [self._file] if self._file is not None else []
        if settings.stderr:
            sinks.append(_Stream(sys.stderr))
        for sink in sinks:
            sink.setFormatter(self._formatter)
        self._listener = _Listener(lines, *sinks)
        self._listener.start()
        self._before = _take_over(self._queued, settings.level)
        self.logger: BoundLogger = structlog.wrap_logger(
            logging.getLogger(NAME),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.add_log_level,
                structlog.processors.format_exc_info,  # here, since another thread has another exception
                ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=BoundLogger,
            run=run_id,
        )
        self._hook, threading.excepthook = threading.excepthook, self._crashed

    @property
    def dropped(self) -> int:
        """Lines that could not be queued or written."""
        return self._queued.dropped + (0 if self._file is None else self._file.failures)

    def close(self) -> None:
        """Write what is queued and give back the file."""
        if threading.excepthook == self._crashed:
            threading.excepthook = self._hook
        _give_back(self._queued, self._before)
        self._listener.finish(_CLOSE_SECONDS)
        if self._file is not None:
            self._file.close()

    def _crashed(self, failed: threading.ExceptHookArgs) -> None:
        """A thread ended by an error nobody caught: a line of the log, not a traceback on the screen."""
        name = "" if failed.thread is None else failed.thread.name
        if failed.exc_value is not None:
            caught = (failed.exc_type, failed.exc_value, failed.exc_traceback)
            self.logger.critical("a thread ended by an error", thread=name, exc_info=caught)


class _Queued(logging.handlers.QueueHandler):
    """Hands records on as they are; what belongs to a line is worked out by the thread that writes it."""

    def __init__(self, lines: queue.Queue[Any]) -> None:
        super().__init__(lines)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> Any:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Listener(logging.handlers.QueueListener):
    """The thread that writes; it stops behind what is queued."""

    def __init__(self, lines: queue.Queue[Any], *sinks: logging.Handler) -> None:
        super().__init__(lines, *sinks)
        self._lines = lines

    def finish(self, seconds: float) -> None:
        """Wait for the queue to be written, so long at most."""
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(seconds)


class _File(logging.handlers.RotatingFileHandler):
    """Private files with a total cap; a disk that fails costs lines and is counted, nothing else."""

    failures = 0

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600))

    def handleError(self, record: logging.LogRecord) -> None:
        self.failures += 1


class _Stream(logging.StreamHandler[TextIO]):
    """A stream that nobody reads any more is no reason to fail."""

    def handleError(self, record: logging.LogRecord) -> None:
        return None


def _open(folder: Path, settings: LogSettings) -> _File | None:
    """The rotating file; None where there can be none, since a run does not depend on its log."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return _File(folder / FILE, maxBytes=settings.file_bytes, backupCount=settings.files - 1)
    except OSError:
        return None


def _formatter(redaction: Redaction) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
        processors=[
            _stamped,
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redacted(redaction),
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
    )


def _stamped(logger: Any, method: str, event: _Event) -> _Event:
    """When the line was said, by the machine's clock; `at` is the time of the slice."""
    record: logging.LogRecord = event["_record"]
    event["said"] = iso(int(record.created * 1000))
    if record.stack_info:
        event["stack"] = record.stack_info
    return event


def _redacted(redaction: Redaction) -> Callable[[Any, str, _Event], _Event]:
    def process(logger: Any, method: str, event: _Event) -> _Event:
        cleaned: dict[str, Any] = redaction.clean_all(event)
        return cleaned

    return process


_Before = tuple[int, dict[str, tuple[int, bool]]]


def _take_over(handler: logging.Handler, level: str) -> _Before:
    """Everything that is logged comes here; what was set before, so that it can be put back."""
    root, wanted = logging.getLogger(), logging.getLevelNamesMapping()[level.upper()]
    found = {name: logging.getLogger(name) for name in (*QUIET, NAME)}
    before = root.level, {name: (one.level, one.propagate) for name, one in found.items()}
    root.setLevel(max(wanted, logging.INFO))
    for name, one in found.items():
        one.setLevel(wanted if name == NAME else logging.WARNING)
        one.propagate = True  # a library may have taken another one's lines for itself, as Streamlit does
    root.addHandler(handler)
    return before


def _give_back(handler: logging.Handler, before: _Before) -> None:
    level, levels = before
    root = logging.getLogger()
    root.removeHandler(handler)
    root.setLevel(level)
    for name, (one, propagate) in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(one)
        logger.propagate = propagate
