"""Loads what sources outside the market said, each stamped with the time from which it could be known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import DataError, UsageError
from ..core.types import Observation
from .bar_files import release_read
from .observation_readers import Reading, reader_for

MOATS = ("code", "government", "corporate", "logistics", "market")


class UnknownFile(msgspec.Struct, frozen=True):
    """A file nobody here can read, and why; it is reported, never guessed at."""

    path: str
    reason: str


class ObservationFile(msgspec.Struct, frozen=True):
    """One readable file: what kind it is and what it holds. Times are None when nothing in it is ever known."""

    path: str
    moat: str
    kind: str
    rows: int
    known: int
    first_known: int | None
    last_known: int | None
    dropped: dict[str, int]


class Observations(msgspec.Struct, frozen=True):
    """What was loaded, in order of `known_at`; what was dropped and why; which files nobody could read."""

    items: tuple[Observation, ...]
    files: tuple[ObservationFile, ...]
    unknown: tuple[UnknownFile, ...]


def load_observations(
    data_dir: Path, moats: Sequence[str] | None = None, from_ms: int | None = None, until_ms: int | None = None
) -> Observations:
    """Observations of `moats` (None: all) with from_ms <= known_at < until_ms, from `data_dir`/observations.

    A folder that is absent gives none: a swarm without observations is allowed. DataError when a file of a known
    kind cannot be believed, UsageError for an unknown moat.
    """
    for moat in moats or ():
        if moat not in MOATS:
            raise UsageError(f"no moat {moat!r}; there is {', '.join(MOATS)}")
    items: dict[tuple[str, str, str], Observation] = {}
    files, unknown = [], []
    for path in observation_paths(data_dir):
        moat = path.parent.name
        if moats is not None and moat not in moats:
            continue
        outcome = read_observation_file(path)
        if isinstance(outcome, UnknownFile):
            unknown.append(outcome)
            continue
        file, reading = outcome
        files.append(file)
        for item in reading.items:
            if until_ms is None or item.known_at < until_ms:
                _keep_earliest(items, item)
    inside = [item for item in items.values() if from_ms is None or item.known_at >= from_ms]
    inside.sort(key=lambda o: (o.known_at, o.moat, o.source, o.subject, o.id))
    release_read()
    return Observations(tuple(inside), tuple(files), tuple(unknown))


def observation_paths(data_dir: Path) -> list[Path]:
    """Every file under `data_dir`/observations, in order of name."""
    return sorted(path for path in (data_dir / "observations").rglob("*") if path.is_file())


def read_observation_file(path: Path) -> tuple[ObservationFile, Reading] | UnknownFile:
    """One file, by its moat (the folder's name) and its columns."""
    moat = path.parent.name
    if moat not in MOATS or path.parent.parent.name != "observations" or path.suffix != ".parquet":
        return UnknownFile(str(path), "not observations/MOAT/NAME.parquet")
    try:
        with pq.ParquetFile(path) as opened:  # `read_table` brings a library of data sets into memory
            table = opened.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); write it again or remove it") from None
    found = reader_for(moat, table.schema)
    if found is None:
        return UnknownFile(str(path), f"no reader for the columns {', '.join(table.column_names)} under {moat}")
    kind, read = found
    reading = read(table, path)
    known = [item.known_at for item in reading.items]
    first, last = (min(known), max(known)) if known else (None, None)
    return ObservationFile(str(path), moat, kind, table.num_rows, len(known), first, last, reading.dropped), reading


def _keep_earliest(items: dict[tuple[str, str, str], Observation], item: Observation) -> None:
    """A commit that two repositories share (a fork keeps its ancestors) was said once, when first it could be seen."""
    key = (item.moat, item.subject, item.id)
    before = items.get(key)
    if before is None or item.known_at < before.known_at:
        items[key] = item
