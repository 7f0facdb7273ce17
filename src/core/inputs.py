"""What a run saw, as fingerprints in its record: whoever walks it again can name the first bar or word that differs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from . import records
from .canonical import digest, encode
from .history import History
from .ports import Row
from .types import BarBlock, BoolArray, FloatArray, Observation

GIVEN, INPUT = "given", "input"
"""Kinds of rows: under which conditions a run was made, and what it saw."""

# Of the format: the constants of the 64-bit finalizer of MurmurHash3 (Appleby 2011), and digits of a fingerprint.
_MIX, _SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(33)
DIGITS = 8

Columns = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


class Seen(msgspec.Struct, frozen=True):
    """Body of a row of input: `bars` has for each time in `at` the fingerprints of all pairs, `DIGITS` digits each.

    `said` has those of the observations by the time (UTC ms) of their slice.
    """

    at: list[int]
    bars: list[str]
    said: dict[str, str] = {}


class SeenQuotes(Seen, frozen=True):
    """The same of slices with quotes: `quoted` has the fingerprint of all spreads by the time of their slice."""

    quoted: dict[str, str] = {}


def fingerprints(columns: Columns, present: BoolArray) -> npt.NDArray[np.uint32]:
    """Open, high, low, close and volume of each bar as one number, shape of `present`; 0 where there is no bar."""
    mixed = np.zeros(present.shape, np.uint64)
    for column in columns:
        mixed = (mixed ^ np.ascontiguousarray(column, np.float64).view(np.uint64)) * _MIX
        mixed = mixed ^ (mixed >> _SHIFT)
    marks = (mixed >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return np.where(present, marks, np.uint32(0)).astype(np.uint32)


def digits(marks: npt.NDArray[np.uint32]) -> str:
    """Fingerprints as hexadecimal digits, in order."""
    return marks.astype(">u4").tobytes().hex()


def bars_digits(bars: BarBlock | None) -> str:
    """The fingerprints of the bars of one slice; empty without bars."""
    if bars is None:
        return ""
    return digits(fingerprints((bars.open, bars.high, bars.low, bars.close, bars.volume), bars.present))


def said_digits(seen: Observation) -> str:
    """The fingerprint of an observation."""
    return f"{zlib.crc32(encode(seen)):08x}"


def quoted_digits(spreads: FloatArray | None) -> str:
    """The fingerprint of the spreads of one slice; empty without any."""
    return "" if spreads is None else f"{zlib.crc32(spreads.tobytes()):08x}"


def slice_row(
    at: int, bars: BarBlock | None, observations: Sequence[Observation], spreads: FloatArray | None = None
) -> Row:
    """What one slice brought."""
    said = {str(at): "".join(map(said_digits, observations))} if observations else {}
    seen = [] if bars is None else [at], [] if bars is None else [bars_digits(bars)], said
    body = Seen(*seen) if spreads is None else SeenQuotes(*seen, {str(at): quoted_digits(spreads)})
    return records.row(at, INPUT, str(at), body)


def history_rows(history: History, observations: Sequence[Observation]) -> Iterator[Row]:
    """What a replay of a whole history brings, in few rows; each bears the time of its last slice."""
    width = DIGITS * len(history.pairs)
    marks, times = digits(fingerprints(history.columns(), history.present)), history.times.tolist()
    block = max(1, records.ROW_BYTES // (width + 2 * DIGITS))
    for first in range(0, len(times), block):
        at = times[first : first + block]
        bars = [marks[place : place + width] for place in range(first * width, (first + len(at)) * width, width)]
        yield records.row(at[-1], INPUT, f"bars:{at[0]}", Seen(at, bars))
    yield from _said_rows(times[0], observations)


def _said_rows(first: int, observations: Sequence[Observation]) -> Iterator[Row]:
    said: dict[int, list[str]] = {}
    for seen in observations:
        said.setdefault(max(first, seen.known_at), []).append(said_digits(seen))
    held: dict[str, str] = {}
    size = 0
    for at in sorted(said):
        held[str(at)] = "".join(said[at])
        size += len(held[str(at)]) + 2 * DIGITS
        if size > records.ROW_BYTES:
            yield _said_row(held)
            held, size = {}, 0
    if held:
        yield _said_row(held)


def _said_row(held: Mapping[str, str]) -> Row:
    return records.row(int(max(held, key=int)), INPUT, f"said:{min(held, key=int)}", Seen([], [], dict(held)))


class Data(msgspec.Struct, frozen=True):
    """Which recorded days were walked; `folder` is its name alone, for the same data may lie elsewhere."""

    folder: str
    venue: str | None = None
    timeframe: str | None = None
    timerange: str | None = None
    pairs: str | None = None


class Given(msgspec.Struct, frozen=True):
    """Under which conditions a run was made; `settings` by dotted name, without secrets and ports.

    `feed` is simulated or replay; `data` None where the market was simulated. `mode`: paper or advise, empty for a
    backtest and for versions whose paper trading was one, too.
    """

    feed: str
    seed: int
    interval_ms: int
    pairs: list[str]
    settings: dict[str, object]
    code_sha256: str
    config_sha256: str
    data: Data | None = None
    mode: str = ""


def given_row(given: Given) -> Row:
    """Once for each set of conditions: the same conditions give the same row."""
    return records.row(0, GIVEN, digest(given), given)
