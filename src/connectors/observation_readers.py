"""One reader for each kind of observation file; a file is recognised by its moat and its columns, never by its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from ..core.clock import from_iso
from ..core.errors import DataError
from ..core.timeframes import DAY_MS
from ..core.types import Observation
from .bar_files import MS_CEILING, MS_FLOOR

KNOWN_FROM_THE_START = 0
"""A scheduled date stands in the calendar long before any replay begins."""


_BATCH_ROWS = 4_096
"""Rows that stand in memory as Python objects at a time: they take thirty times the room of their columns."""


class Reading(msgspec.Struct, frozen=True):
    """The observations of one file, and how many rows were dropped for which reason."""

    items: list[Observation]
    dropped: dict[str, int]


Reader = Callable[[pa.Table, Path], Reading]
Row = dict[str, Any]


def reader_for(moat: str, schema: pa.Schema) -> tuple[str, Reader] | None:
    """The kind of a file and its reader, or None when no kind has these columns."""
    names = frozenset(schema.names)
    for kind, home, columns, read in _KINDS:
        if home == moat and columns == names:
            return kind, read
    numbers = names - {"timestamp", "known_ms", "symbol"}
    if {"timestamp", "known_ms"} <= names and numbers and all(_is_number(schema.field(name).type) for name in numbers):
        return "daily series", read_daily
    return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _rows(table: pa.Table, path: Path) -> Iterator[tuple[int, Row]]:
    """Rows with their number; every time is looked at once, here."""
    batches = (batch.to_pylist() for batch in table.to_batches(max_chunksize=_BATCH_ROWS))
    for number, row in enumerate(chain.from_iterable(batches), 1):
        for name in ("timestamp", "known_ms", "landed_ms"):
            at = row.get(name)
            if at is None and name != "timestamp":
                continue
            if not isinstance(at, int) or not MS_FLOOR <= at <= MS_CEILING:
                raise DataError(f"{path} row {number}: {name} {at} is no time in UTC milliseconds; mend or remove it")
            if at < row["timestamp"]:
                raise DataError(f"{path} row {number}: {name} {at} lies before its timestamp {row['timestamp']}")
        yield number, row


def _number(value: object, name: str, path: Path, row: int) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{path} row {row}: {name} {value} is no finite number; leave the value out or mend it")
    return float(value)


def read_commits(table: pa.Table, path: Path) -> Reading:
    """Commits, known when they landed on the default branch; those that never did were never seen."""
    items, unseen = [], 0
    for number, row in _rows(table, path):
        if row["landed_ms"] is None:
            unseen += 1
            continue
        values = {name: _number(row[name], name, path, number) for name in ("files_changed", "is_bot", "is_merge")}
        items.append(
            Observation("commits", "code", row["sha"], row["asset"], row["timestamp"], row["landed_ms"], values)
        )
    return Reading(items, {"never landed": unseen} if unseen else {})


def read_release_tags(table: pa.Table, path: Path) -> Reading:
    """Release tags, known at their timestamp (of a lightweight tag: that of its commit)."""
    items = []
    for _, row in _rows(table, path):
        id_, values = f"{row['repo']}@{row['tag']}", {"annotated": float(row["kind"] == "tag")}
        items.append(Observation("release_tags", "code", id_, row["repo"], row["timestamp"], row["timestamp"], values))
    return Reading(items, {})


def read_calendar(table: pa.Table, path: Path) -> Reading:
    """Dates of events: scheduled ones are known from the start, unscheduled ones when they happen."""
    items = []
    for _, row in _rows(table, path):
        scheduled = row["kind"] == "scheduled"
        known = KNOWN_FROM_THE_START if scheduled else row["timestamp"]
        values = {"scheduled": float(scheduled)}
        id_ = f"{row['event']}@{row['date']}"
        items.append(Observation("calendar", "government", id_, row["event"], row["timestamp"], known, values))
    return Reading(items, {})


def read_filings(table: pa.Table, path: Path) -> Reading:
    """Filings, known when they were accepted; one without an exact time a day later."""
    items = []
    for number, row in _rows(table, path):
        values = {"size": _number(row["size"], "size", path, number), f"form {row['form']}": 1.0}
        values |= {f"item {item}": 1.0 for item in (row["items"] or "").split(",") if item}
        known = row["timestamp"] + (0 if row["time_exact"] else DAY_MS)
        items.append(
            Observation(
                "sec_filings", "corporate", row["accessionNumber"], row["ticker"], row["timestamp"], known, values
            )
        )
    return Reading(items, {})


def read_devices(table: pa.Table, path: Path) -> Reading:
    """Mining devices, known from the end of the month in which they came out."""
    items = []
    for number, row in _rows(table, path):
        year, month = divmod(row["year"] * 12 + row["month"], 12)  # the month after, counted from zero
        known = from_iso(f"{year:04d}-{month + 1:02d}-01")
        values = {name: _number(row[name], name, path, number) for name in ("hashrate_th_s", "power_w", "j_per_th")}
        id_ = f"{row['company']} {row['device']} {row['hashrate_th_s']:g} TH/s"
        items.append(Observation("asic_devices", "logistics", id_, row["company"], row["timestamp"], known, values))
    return Reading(items, {})


def read_daily(table: pa.Table, path: Path) -> Reading:
    """Daily series, known at `known_ms`; a value that is absent is left out, a row without any is dropped."""
    source, moat, empty = path.stem, path.parent.name, 0
    names = [name for name in table.column_names if name not in ("timestamp", "known_ms", "symbol")]
    items = []
    for number, row in _rows(table, path):
        if row["known_ms"] is None:
            raise DataError(f"{path} row {number}: known_ms is missing; say when the value could be known")
        values = {name: _number(row[name], name, path, number) for name in names if row[name] is not None}
        if not values:
            empty += 1
            continue
        subject = row.get("symbol") or source
        id_ = f"{subject}@{row['timestamp']}"
        items.append(Observation(source, moat, id_, subject, row["timestamp"], row["known_ms"], values))
    return Reading(items, {"without a value": empty} if empty else {})


_KINDS: tuple[tuple[str, str, frozenset[str], Reader], ...] = (
    (
        "commits",
        "code",
        frozenset(
            {
                "timestamp",
                "author_ms",
                "landed_ms",
                "sha",
                "author_hash",
                "is_bot",
                "is_merge",
                "files_changed",
                "on_main",
                "first_parent",
                "repo",
                "asset",
            }
        ),
        read_commits,
    ),
    ("release tags", "code", frozenset({"repo", "tag", "timestamp", "kind"}), read_release_tags),
    ("calendar", "government", frozenset({"timestamp", "date", "event", "kind"}), read_calendar),
    (
        "filings",
        "corporate",
        frozenset(
            {"filingDate", "form", "items", "accessionNumber", "size", "timestamp", "ticker", "cik", "time_exact"}
        ),
        read_filings,
    ),
    (
        "mining devices",
        "logistics",
        frozenset({"company", "device", "hashrate_th_s", "power_w", "j_per_th", "year", "month", "timestamp"}),
        read_devices,
    ),
)
