"""What the monitor keeps of a ledger: read-only, a page at a time, never for long, and never all of it in memory."""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

import msgspec

Row = dict[str, Any]

READ_SECONDS = 0.2
"""A refresh ends after so long and goes on with the next one."""
BUSY_SECONDS = 0.1
TAIL_ROWS = 3000
"""So many of the newest journal rows are read at first, and when the journal ran ahead by more."""
PAGE_TRADES = 20_000
SAMPLES = 400
"""Points of a curve of the account that are looked up in a long journal."""
MOST_BODY = 200_000
"""Longer rows are not looked into; they are counted."""

_LOUD = frozenset({"idea", "vote", "abstention"})
"""Kinds of decisions that come with nearly every slice; they are not what happened last."""


class Ledger:
    """A ledger file as it grows. `refresh` reads what is new; attributes may be read from any thread meanwhile."""

    def __init__(self, path: Path, seconds: Callable[[], float]) -> None:
        self.path = path
        self._seconds = seconds
        self._lock = Lock()
        self._identity: tuple[int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        self.seq = 0
        self.skipped = 0
        self.long_rows = 0
        self.at = 0
        self.said = ""
        self.header: Row = {}
        self.start: Row = {}
        self.events: deque[Row] = deque(maxlen=400)
        self.ideas: deque[Row] = deque(maxlen=1500)
        self.votes: dict[tuple[str, str], Row] = {}
        self.spoken: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.reviews: deque[Row] = deque(maxlen=300)
        self.meetings: deque[Row] = deque(maxlen=300)
        self.born: deque[Row] = deque(maxlen=400)
        self.changes: deque[Row] = deque(maxlen=400)
        self.letters: deque[Row] = deque(maxlen=100)
        self.silenced: dict[int, list[int]] = {}
        self.members: list[list[Any]] = []
        self.society: Row = {}
        self.marks: tuple[array[int], array[float]] = (array("q"), array("d"))
        self._sampled_for = 0
        self.trade_row = 0
        self.streams: dict[str, tuple[array[int], array[float]]] = {}
        self.changed = self._seconds()

    @property
    def age(self) -> float:
        """Seconds since something new was seen in it."""
        return self._seconds() - self.changed

    def refresh(self) -> str:
        """Read what is new, at most for READ_SECONDS; empty, or a sentence that says why nothing could be read."""
        if not self._lock.acquire(timeout=READ_SECONDS):
            return self.said
        try:
            self.said = self._refresh()
        finally:
            self._lock.release()
        return self.said

    def rows(self, sql: str, *values: object) -> list[Row]:
        """Rows of a question to the tables; none where it cannot be answered in time, and `said` tells why."""
        try:
            with self._open() as connection:
                connection.row_factory = sqlite3.Row
                return [dict(row) for row in connection.execute(sql, values)]
        except sqlite3.Error as error:
            self.said = self._explain(error)
            return []

    def _refresh(self) -> str:
        if not self.path.is_file():
            self._forget()
            return f"{self.path}: there is no ledger yet; `mycelial run` writes one"
        found = self.path.stat()
        if self._identity not in (None, (found.st_dev, found.st_ino)):
            self._forget()  # another ledger stands here now
        self._identity = (found.st_dev, found.st_ino)
        try:
            with self._open() as connection:
                self._read(connection)
        except sqlite3.Error as error:
            return self._explain(error)
        return ""

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        place = f"file:{quote(str(self.path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)) as connection:
            until = self._seconds() + READ_SECONDS
            connection.set_progress_handler(lambda: self._seconds() > until, 20_000)
            connection.execute("PRAGMA query_only=1")
            yield connection

    def _explain(self, error: sqlite3.Error) -> str:
        text = str(error)
        if "locked" in text or "busy" in text:
            return f"{self.path}: another program has locked it; shown is what was read before"
        if "interrupted" in text:
            return f"{self.path}: the machine is too busy to read it in time; shown is what was read before"
        if "no such table" in text or "no such column" in text:
            return f"{self.path}: of an older version, or no ledger ({text}); bring it up with `mycelial migrate`"
        return f"{self.path}: cannot be read ({text}); ask `mycelial verify`"

    def _read(self, connection: sqlite3.Connection) -> None:
        if not self.header or not self.start:  # a ledger that is being made has the one before the other
            row = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
            self.header = _object(row[0]) if row else {}
            row = connection.execute("SELECT body FROM journal WHERE key = 'start:0'").fetchone()
            self.start = _object(row[0]) if row else {}
        newest = connection.execute("SELECT max(seq) FROM journal").fetchone()[0] or 0
        if newest < self.seq:
            self._forget()
            return
        if newest > self.seq:
            self.changed = self._seconds()
            self._read_journal(connection, newest)
        self._read_trades(connection)
        self._sample_marks(connection)

    def _read_journal(self, connection: sqlite3.Connection, newest: int) -> None:
        if newest - self.seq > TAIL_ROWS:
            self.skipped += newest - TAIL_ROWS - self.seq
            self.seq = newest - TAIL_ROWS
        sql = (
            "SELECT seq, at, kind, CASE WHEN length(body) > ? THEN '' ELSE body END FROM journal "
            "WHERE seq > ? AND kind <> 'input' ORDER BY seq"
        )
        for seq, at, kind, body in connection.execute(sql, (MOST_BODY, self.seq)):
            self._take(at, kind, body)
            self.seq, self.at = seq, max(self.at, at)
        self.seq = max(self.seq, newest)

    def _take(self, at: int, kind: str, body: str) -> None:
        if not body:
            self.long_rows += 1
            return
        take = _TAKERS.get(kind)
        if take is not None:
            take(self, at, _object(body))

    def _take_decisions(self, at: int, body: Row) -> None:
        for line in body.get("lines", ()):
            kind = line.get("kind")
            if kind == "idea":
                self._take_idea({**line, "ms": at})
            elif kind == "vote":
                if len(self.votes) < 1000:
                    self.votes[(str(line.get("source")), str(line.get("pair")))] = line
            elif kind == "evolution":
                self.born.append(line)
            elif kind == "lifecycle":
                self.changes.append({**line, "ms": at})
            if kind == "refusal":
                self.refusals[str(line.get("reason"))] += 1
            if kind not in _LOUD and kind != "evolution":
                self.events.append({**line, "ms": at})

    def _take_idea(self, idea: Row) -> None:
        self.ideas.append(idea)
        if idea.get("source") == "mycelial":
            self.spoken.update(moat_of(str(name)) for name in idea.get("voters", ()))

    def _take_silence(self, at: int, body: Row) -> None:
        for row in body.get("swarm", ()):
            self.silenced[int(row[0])] = row

    def _take_mark(self, at: int, body: Row) -> None:
        times, values = self.marks
        if not times or at > times[-1]:
            times.append(at)
            values.append(float(body.get("equity", "nan")))
        if len(times) > 8 * SAMPLES:
            self.marks = (times[::2], values[::2])

    def _sample_marks(self, connection: sqlite3.Connection) -> None:
        """Before the tail: the account at evenly spaced times, found by the keys of its rows."""
        if self.skipped == self._sampled_for:
            return
        first = connection.execute("SELECT at FROM journal WHERE key >= 'mark:' AND key < 'mark;' LIMIT 1").fetchone()
        last = self.marks[0][0] if self.marks[0] else self.at
        if first is None or last <= first[0]:
            self._sampled_for = self.skipped
            return
        times, values = array("q"), array("d")
        sql = "SELECT at, body FROM journal WHERE key >= ? AND key < 'mark;' ORDER BY key LIMIT 1"
        for n in range(SAMPLES):
            found = connection.execute(sql, (f"mark:{first[0] + n * (last - first[0]) // SAMPLES}",)).fetchone()
            if found and (not times or times[-1] < found[0] < last):
                times.append(found[0])
                values.append(float(_object(found[1]).get("equity", "nan")))
        self.marks = (times + self.marks[0], values + self.marks[1])
        self._sampled_for = self.skipped  # one that was interrupted is done anew

    def _take_letter(self, at: int, body: Row) -> None:
        self.letters.append({**body, "ms": at})

    def _take_command(self, at: int, body: Row) -> None:
        self.events.append({**body, "what": body.get("kind"), "kind": "command", "ms": at})

    def _take_trade(self, at: int, body: Row) -> None:
        self.events.append({**body, "kind": "trade", "ms": at})

    def _take_review(self, at: int, body: Row) -> None:
        self.reviews.append({**body, "ms": at})

    def _take_meeting(self, at: int, body: Row) -> None:
        self.meetings.append({**body, "ms": at})

    def _take_census(self, at: int, body: Row) -> None:
        self.members = list(body.get("members", ()))
        self.society = dict(body.get("society") or {})

    def _read_trades(self, connection: sqlite3.Connection) -> None:
        sql = (
            "SELECT rowid, stream, exit_timestamp, pnl_absolute FROM trades WHERE rowid > ? ORDER BY rowid "
            f"LIMIT {PAGE_TRADES}"
        )
        for row, stream, at, profit in connection.execute(sql, (self.trade_row,)):
            times, sums = self.streams.setdefault(stream, (array("q"), array("d")))
            times.append(at)
            sums.append((sums[-1] if sums else 0.0) + float(profit))
            self.trade_row = row


_TAKERS: dict[str, Callable[[Ledger, int, Row], None]] = {
    "decisions": Ledger._take_decisions,
    "silence": Ledger._take_silence,
    "mark": Ledger._take_mark,
    "dead_letter": Ledger._take_letter,
    "command": Ledger._take_command,
    "trade": Ledger._take_trade,
    "review": Ledger._take_review,
    "messages": Ledger._take_meeting,
    "census": Ledger._take_census,
}


def moat_of(learner: str) -> str:
    """The moat a learner's name tells of; those of a pair's own team look at the market.

    >>> moat_of("learner-code-6~1"), moat_of("learner-BTC/USD-HFT-4")
    ('code', 'market')
    """
    parts = learner.split("-")
    known = ("code", "government", "logistics", "corporate", "market")
    return parts[1] if len(parts) > 1 and parts[1] in known else "market"


def _object(text: str) -> Row:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
