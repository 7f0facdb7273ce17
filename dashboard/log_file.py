"""The log file of a run as the monitor shows it: its newest lines, in bounded time, whatever stands in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

Line = dict[str, Any]

LEVELS = ("debug", "info", "warning", "error", "critical")
TAIL_BYTES = 512 * 1024
"""So much of the end of the log is looked at."""
MOST_LINES = 2000
MOST_SHOWN = 300
_FIRST = ("said", "level", "event")


class LogFile:
    """`STATE/logs/mycelial.jsonl` and, where that was begun a moment ago, the file that was set aside before it."""

    def __init__(self, state: Path) -> None:
        self.path = state / "logs" / "mycelial.jsonl"
        self._seen: tuple[int, int, int] | None = None
        self._lines: list[Line] = []

    def lines(self) -> list[Line]:
        """The newest lines, oldest first; none where there is no file. One that is no object of JSON is `damaged`."""
        seen = _state(self.path)
        if seen is None:
            self._seen, self._lines = None, []
        elif seen != self._seen:
            raw = _tail(self.path, TAIL_BYTES)
            if seen[1] < TAIL_BYTES:  # it was begun lately
                raw = _tail(self.path.with_name(f"{self.path.name}.1"), TAIL_BYTES - seen[1]) + raw
            self._seen, self._lines = seen, [_line(one) for one in raw.splitlines()[-MOST_LINES:] if one.strip()]
        return self._lines


def chosen(lines: Iterable[Line], level: str = LEVELS[0], words: str = "") -> list[Line]:
    """Lines of at least this level in which `words` stands somewhere, newest first, at most `MOST_SHOWN`.

    >>> told = [{"level": "info", "order": "a1"}, {"level": "error", "order": "b2"}, {"event": "no level", "at": "a1"}]
    >>> [one["order"] for one in chosen(told, "warning")], len(chosen(told, words="A1"))
    (['b2'], 2)
    """
    least, sought = LEVELS.index(level), words.strip().casefold()
    found = [one for one in lines if _rank(one) >= least and (not sought or _says(one, sought))]
    return found[: -MOST_SHOWN - 1 : -1]


def row(line: Line) -> dict[str, str]:
    """A line for a table: when, how bad, what, and all that belongs to it."""
    more = " ".join(f"{name}={value}" for name, value in line.items() if name not in _FIRST)
    return {**{name: str(line.get(name, "")) for name in _FIRST}, "more": more}


def _rank(line: Line) -> int:
    """A line that names no level we know is shown wherever lines of information are."""
    level = str(line.get("level", "")).lower()
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("info")


def _says(value: object, sought: str) -> bool:
    if isinstance(value, Mapping):
        return any(_says(one, sought) for one in value.values())
    if isinstance(value, list):
        return any(_says(one, sought) for one in value)
    return sought in str(value).casefold()


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _tail(path: Path, most: int) -> bytes:
    """Whole lines of the end of a file; nothing of one that cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            raw = file.read(most)
    except OSError:
        return b""
    whole = raw if size <= most else raw.partition(b"\n")[2]
    return whole if whole.endswith(b"\n") or not whole else whole.rpartition(b"\n")[0] + b"\n"


def _line(raw: bytes) -> Line:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"level": "error", "event": "damaged", "text": repr(raw[:200])}
