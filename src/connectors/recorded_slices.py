"""The slices of an exchange as ledger rows: its feed cannot be asked twice, and a restart has to see the same bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..core import records
from ..core.config import LedgerSettings
from ..core.errors import LedgerError
from ..core.ports import Row
from ..core.types import BarBlock, FloatArray, Observation, Pair, Slice
from .sqlite_ledger import LedgerReader, StoredRow

SLICE = "slice"
"""The kind of such a row; its key is the time of the slice."""


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """One slice. `bars`: place of the pair, open, high, low, close, volume, of the pairs that have one; `spreads`:
    place and quoted spread likewise."""

    at: int
    opened: int | None = None
    bars: list[tuple[int, float, float, float, float, float]] = []
    observations: list[Observation] = []
    spreads: list[tuple[int, float]] = []


def slice_row(slice_: Slice) -> Row:
    """The row of a slice; its trades are left out, nothing is decided by them."""
    block = slice_.bars
    bars = [] if block is None else [_figures(block, place) for place in np.flatnonzero(block.present).tolist()]
    opened = None if block is None else block.opened
    kept = _Kept(slice_.at, opened, bars, list(slice_.observations), _quoted(slice_.spreads))
    return records.row(slice_.at, SLICE, str(slice_.at), kept)


def _quoted(spreads: FloatArray | None) -> list[tuple[int, float]]:
    if spreads is None:
        return []
    return [(place, float(spreads[place])) for place in np.flatnonzero(np.isfinite(spreads)).tolist()]


def _figures(block: BarBlock, place: int) -> tuple[int, float, float, float, float, float]:
    o, h, low, c, v = (float(a[place]) for a in (block.open, block.high, block.low, block.close, block.volume))
    return place, o, h, low, c, v


def recorded_slices(path: Path, settings: LedgerSettings, pairs: Sequence[Pair], after: int | None) -> Iterator[Slice]:
    """The slices of a ledger later than `after` (UTC ms), in order; LedgerError for a row that cannot be read."""
    order = tuple(pairs)
    for row in LedgerReader(path, settings).rows(SLICE):
        if after is None or row.at > after:
            yield _slice(path, row, order)


def _slice(path: Path, row: StoredRow, pairs: tuple[Pair, ...]) -> Slice:
    try:
        kept = msgspec.json.decode(row.body, type=_Kept)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LedgerError(f"{path}: row {row.seq} ({row.kind}) cannot be read: {error}; see `verify`") from error
    block = None if kept.opened is None else _block(pairs, kept.opened, kept)
    return Slice(kept.at, block, tuple(kept.observations), spreads=_spreads(len(pairs), kept.spreads))


def _spreads(pairs: int, quoted: Sequence[tuple[int, float]]) -> FloatArray | None:
    if not quoted:
        return None
    spreads = np.full(pairs, np.nan)
    for place, spread in quoted:
        spreads[place] = spread
    spreads.flags.writeable = False
    return spreads


def _block(pairs: tuple[Pair, ...], opened: int, kept: _Kept) -> BarBlock:
    columns = np.full((5, len(pairs)), np.nan)
    columns[4] = 0.0
    present = np.zeros(len(pairs), np.bool_)
    for place, *figures in kept.bars:
        columns[:, place], present[place] = figures, True
    for array in (columns, present):
        array.flags.writeable = False
    open_, high, low, close, volume = columns
    return BarBlock(pairs, opened, open_, high, low, close, volume, present)
