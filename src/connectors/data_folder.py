"""Says what a data folder holds, and brings bars of other programs into it, whole or not at all."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pyarrow.parquet as pq

from ..core.clock import iso
from ..core.errors import DataError, NotFound, UsageError
from ..core.history import BarColumns
from ..core.timeframes import timeframe_ms
from ..core.types import Pair
from .bar_files import BAR_COLUMNS, check_bars, gaps, read_parquet, write_parquet
from .durable import LOCK, alone, explained
from .foreign_files import read_foreign
from .foreign_names import Form, Named, named
from .history import bar_path, pair_of_stem
from .kraken_archive import read_archived_bars, read_archived_trades
from .observations import ObservationFile, UnknownFile, read_observation_file

ARCHIVE = ".zip"


class BarFile(msgspec.Struct, frozen=True):
    """One file of bars. `first` and `last` are opens (UTC ms), `last` of the last bar; `sha256` that of the file.

    `missing` counts bars that are absent between the first and the last, `longest_gap` the longest run of them.
    `problem` is the reason why the file cannot be believed; the figures are then zero.
    """

    path: str
    venue: str
    timeframe: str
    pair: Pair
    sha256: str
    rows: int = 0
    first: int | None = None
    last: int | None = None
    missing: int = 0
    longest_gap: int = 0
    problem: str | None = None


class DataListing(msgspec.Struct, frozen=True):
    """What a data folder holds."""

    folder: str
    bars: tuple[BarFile, ...]
    observations: tuple[ObservationFile, ...]
    unknown: tuple[UnknownFile, ...]


class Imported(msgspec.Struct, frozen=True):
    """What became of one file: bars read, bars that were new, bars now in the target; `first`, `last` opens in ms."""

    source: str
    target: str
    pair: Pair
    timeframe: str
    read: int
    added: int
    total: int
    first: int
    last: int
    missing: int


class ImportReport(msgspec.Struct, frozen=True):
    """The files that were imported and those that were not, with the reason."""

    imported: tuple[Imported, ...]
    unknown: tuple[UnknownFile, ...]


def list_data(data_dir: Path) -> DataListing:
    """Every file of the folder, in order of name; NotFound when there is no such folder or it is empty.

    A file that cannot be believed is listed with its problem and hides nothing else.
    """
    with explained(data_dir):
        return _listing(data_dir)


def _listing(data_dir: Path) -> DataListing:
    if not data_dir.is_dir():
        raise NotFound(f"{data_dir}: no such folder; give --data, or import-data into it")
    bars: list[BarFile] = []
    observations: list[ObservationFile] = []
    unknown: list[UnknownFile] = []
    for path in _beneath(data_dir, unknown):
        within = path.relative_to(data_dir).parts[0]
        if within == "trades":
            continue
        found = _observation_file(path) if within == "observations" else _bar_file(path, data_dir)
        if isinstance(found, BarFile):
            bars.append(found)
        elif isinstance(found, ObservationFile):
            observations.append(found)
        else:
            unknown.append(found)
    if not (bars or observations or unknown):
        raise NotFound(f"{data_dir}: the folder is empty; fill it with import-data")
    return DataListing(str(data_dir), tuple(bars), tuple(observations), tuple(unknown))


def _beneath(folder: Path, unknown: list[UnknownFile]) -> list[Path]:
    """Every file of a folder, in order of name; what cannot be looked into becomes `unknown`. Locks are no files."""

    def cannot(error: OSError) -> None:
        unknown.append(UnknownFile(str(error.filename), f"it cannot be read: {error.strerror}"))

    found = []
    for place, _, names in folder.walk(on_error=cannot):
        for path in (place / name for name in names if not (name.startswith(".") and name.endswith(LOCK))):
            try:
                if path.is_file():
                    found.append(path)
            except OSError as error:
                cannot(error)
    return sorted(found)


def _bar_file(path: Path, data_dir: Path) -> BarFile | UnknownFile:
    parts = path.relative_to(data_dir).parts
    pair = pair_of_stem(path.stem)
    if len(parts) != 4 or parts[0] != "ohlcv" or path.suffix != ".parquet" or pair is None:
        return UnknownFile(str(path), "neither ohlcv/VENUE/TIMEFRAME/BASE-QUOTE.parquet nor an observation")
    venue, timeframe = parts[1], parts[2]
    try:
        interval_ms = timeframe_ms(timeframe)
    except UsageError as error:
        return UnknownFile(str(path), str(error))
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return UnknownFile(str(path), f"it cannot be read: {error.strerror}")
    try:
        bars = read_parquet(path)
        check_bars(bars, interval_ms, path)
    except DataError as error:
        return BarFile(str(path), venue, timeframe, pair, sha256, problem=str(error))
    missing, longest = gaps(bars.opened, interval_ms)
    first, last = int(bars.opened[0]), int(bars.opened[-1])
    return BarFile(str(path), venue, timeframe, pair, sha256, len(bars.opened), first, last, missing, longest)


def _observation_file(path: Path) -> ObservationFile | UnknownFile:
    try:
        found = read_observation_file(path)
    except DataError as error:
        return UnknownFile(str(path), str(error))
    return found if isinstance(found, UnknownFile) else found[0]


def import_data(
    source: Path, data_dir: Path, venue: str, timeframe: str | None = None, pair: str | None = None
) -> ImportReport:
    """Bring one file, or every file of a folder or a zip, into ohlcv/`venue` of `data_dir`.

    Pair and timeframe come from the arguments, else from the name: BTC_USDT-1h.feather as Freqtrade writes it,
    XBTUSD_60.csv and XBTUSD.csv as Kraken's archives have them (the second, of trades, with `timeframe`), or
    BTC-USDT.csv with `timeframe`. Bars that are there already are left as they are; where old and new bars of one
    time disagree the import is refused with DataError and the target is as before. Running it again adds nothing.
    """
    with explained(data_dir):
        return _import(source, data_dir, venue, timeframe, pair)


def _import(source: Path, data_dir: Path, venue: str, timeframe: str | None, pair: str | None) -> ImportReport:
    if not source.exists():
        raise NotFound(f"{source}: no such file or folder to import")
    if not venue or any(mark in venue for mark in "/\\") or venue.startswith(".") or not venue.isprintable():
        raise UsageError(f"venue {venue!r}: write a plain name, for instance binance")
    if source.is_file() and source.suffix != ARCHIVE:
        return ImportReport((_import_file(source, data_dir, venue, named(source, timeframe, pair)),), ())
    if pair is not None:
        raise UsageError(f"{source} holds many files: leave the pair out, their names say it")
    imported: list[Imported] = []
    unknown: list[UnknownFile] = []
    for path in _files(source):
        try:
            what = named(path, timeframe, None)
        except UsageError as error:
            unknown.append(UnknownFile(str(path), str(error)))
            continue
        imported.append(_import_file(path, data_dir, venue, what))
    if not imported:
        raise NotFound(f"{source}: no file of bars, such as BTC_USDT-1h.feather or BTC-USDT.csv")
    return ImportReport(tuple(imported), tuple(unknown))


def _files(source: Path) -> Iterator[Path]:
    """The files of a folder, or those of a zip one after the other, each unpacked only while it is read."""
    if source.is_dir():
        yield from sorted(path for path in source.rglob("*") if path.is_file())
        return
    with _opened(source) as archive, TemporaryDirectory(prefix=f"{source.stem}-") as folder:
        for member in sorted(archive.namelist()):
            if member.endswith("/"):
                continue
            path = Path(archive.extract(member, folder))
            yield path
            path.unlink()


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error) as error:
        told = getattr(error, "strerror", None) or error  # a RuntimeError says that a password is wanted
        raise DataError(f"{source}: not a readable zip ({told}); get it again, or import it unpacked") from None


def _read(source: Path, form: Form, interval_ms: int) -> tuple[BarColumns, int]:
    match form:
        case Form.KRAKEN_BARS:
            return read_archived_bars(source), 1
        case Form.KRAKEN_TRADES:
            return read_archived_trades(source, interval_ms), 1
        case Form.BARS:
            return read_foreign(source)


def _import_file(source: Path, data_dir: Path, venue: str, what: Named) -> Imported:
    interval_ms = timeframe_ms(what.timeframe)
    target = bar_path(data_dir, venue, what.timeframe, what.pair)
    new, first_row = _read(source, what.form, interval_ms)
    check_bars(new, interval_ms, source, first_row)
    merged, old_rows = new, 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with alone(target):
        if target.exists():
            old = _existing(target, interval_ms)
            merged, old_rows = merge(old, new, target, source), len(old.opened)
        if len(merged.opened) != old_rows:
            write_parquet(target, merged)
    total = len(merged.opened)
    return Imported(
        str(source),
        str(target),
        what.pair,
        what.timeframe,
        len(new.opened),
        total - old_rows,
        total,
        int(merged.opened[0]),
        int(merged.opened[-1]),
        gaps(merged.opened, interval_ms)[0],
    )


def _existing(target: Path, interval_ms: int) -> BarColumns:
    old = read_parquet(target)
    check_bars(old, interval_ms, target)
    further = [name for name in pq.read_schema(target).names if name not in BAR_COLUMNS]
    if further:
        raise UsageError(f"{target}: has the columns {', '.join(further)}, which a merge would lose; use another venue")
    return old


def merge(old: BarColumns, new: BarColumns, target: Path, source: Path) -> BarColumns:
    """Both in order of time; DataError when a bar of one time has other numbers in the other."""
    _, here, there = np.intersect1d(old.opened, new.opened, assume_unique=True, return_indices=True)
    for name, mine, theirs in zip(BAR_COLUMNS[1:], old.values(), new.values(), strict=True):
        differ = mine[here] != theirs[there]
        if differ.any():
            first = int(np.argmax(differ))
            at = iso(int(old.opened[here[first]]))
            raise DataError(
                f"{source}: {name} {theirs[there[first]]} at {at} disagrees with {mine[here[first]]} in {target}; "
                f"remove one of the two or import under another venue"
            )
    fresh = ~np.isin(new.opened, old.opened, assume_unique=True)
    opened = np.concatenate([old.opened, new.opened[fresh]])
    order = np.argsort(opened)
    pairs = zip(old.values(), new.values(), strict=True)
    open_, high, low, close, volume = (np.concatenate([mine, theirs[fresh]])[order] for mine, theirs in pairs)
    return BarColumns(opened[order], open_, high, low, close, volume)
