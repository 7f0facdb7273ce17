"""Bars as arrays and the feed that walks over them: one replay for files, recordings and planted markets alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from .canonical import encode
from .errors import NotFound
from .timeframes import TimeRange
from .types import BarBlock, BoolArray, FloatArray, IntArray, Observation, Pair, Slice, Tick

_BAR_MARK, _OBSERVATION_MARK, _TICK_MARK = b"B", b"O", b"T"


class History(msgspec.Struct, frozen=True):
    """Bars of several pairs on one grid, read-only.

    `times` (T,) int64: when each row became known, open + interval, strictly rising; an interval without a bar of
    any pair has no row. The rest are C-contiguous (T, P): prices NaN and volume 0 where `present` is False.
    Volume in base units. `left_out` names pairs that had no bar in the range asked for.
    """

    pairs: tuple[Pair, ...]
    interval_ms: int
    times: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    present: BoolArray
    simulated: bool = False
    left_out: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.times, *self.columns(), self.present):
            array.flags.writeable = False

    def columns(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Open, high, low, close, volume."""
        return self.open, self.high, self.low, self.close, self.volume

    @property
    def bars(self) -> int:
        """Number of bars of all pairs together (pair-bars)."""
        return int(np.count_nonzero(self.present))

    @property
    def timerange(self) -> TimeRange:
        """The range really covered: the first bar's open to the last bar's close."""
        return TimeRange(int(self.times[0]) - self.interval_ms, int(self.times[-1]))

    def rows(self, first: int, last: int) -> History:
        """Rows `first` <= row < `last`, as views."""
        part = slice(first, last)
        columns = {name: getattr(self, name)[part] for name in ("open", "high", "low", "close", "volume", "present")}
        return msgspec.structs.replace(self, times=self.times[part], **columns)

    def cut(self, at: int) -> History:
        """What was known at `at`: every row with time <= `at`; nothing later is in it."""
        return self.rows(0, int(np.searchsorted(self.times, at, side="right")))

    def window(self, timerange: TimeRange) -> History:
        """The rows whose open lies in `timerange`."""
        opens = self.times - self.interval_ms
        first = 0 if timerange.start_ms is None else int(np.searchsorted(opens, timerange.start_ms))
        last = len(opens) if timerange.end_ms is None else int(np.searchsorted(opens, timerange.end_ms))
        return self.rows(first, max(first, last))

    def block(self, row: int) -> BarBlock:
        """The bars of one row, as views."""
        opened = int(self.times[row]) - self.interval_ms
        open_, high, low, close, volume = (column[row] for column in self.columns())
        return BarBlock(self.pairs, opened, open_, high, low, close, volume, self.present[row])

    def blocks(self, first: int = 0) -> Iterator[tuple[int, BarBlock]]:
        """Every row from `first` on as (known at, bars), without copying a number."""
        pairs, interval = self.pairs, self.interval_ms
        arrays = (array[first:] for array in (*self.columns(), self.present))
        for at, open_, high, low, close, volume, present in zip(self.times[first:].tolist(), *arrays, strict=True):
            yield at, BarBlock(pairs, at - interval, open_, high, low, close, volume, present)


class HistoryFeed:
    """Replays a History, and what else became known meanwhile, in order of time.

    An observation has a slice of its own at its `known_at`, or joins the slice of the bars that closed in that
    very millisecond. What was known before the first bar closed comes with the first bar. The replay ends with
    the last bar. With `since` it goes on after that time: nothing known at or before it is said again.
    """

    def __init__(self, history: History, observations: Sequence[Observation] = (), since: int | None = None) -> None:
        if len(history.times) == 0:
            raise NotFound("the history holds no bar: choose another time range or other pairs")
        self.pairs = history.pairs
        self.interval_ms = history.interval_ms
        self.simulated = history.simulated or any(seen.simulated for seen in observations)
        self.history = history
        self.since = since
        first, last = int(history.times[0]), int(history.times[-1])
        said = [seen for seen in observations if seen.known_at <= last]
        if since is not None:
            said = [seen for seen in said if max(first, seen.known_at) > since]
        self.observations = tuple(sorted(said, key=lambda o: (o.known_at, o.moat, o.source, o.subject, o.id)))

    def start_after(self, at: int) -> HistoryFeed:
        """The same feed from the first slice later than `at` on."""
        return HistoryFeed(self.history, self.observations, at)

    @property
    def first_row(self) -> int:
        """The first row of the history that is yielded."""
        return 0 if self.since is None else int(np.searchsorted(self.history.times, self.since, side="right"))

    def __iter__(self) -> Iterator[Slice]:
        simulated = self.simulated
        if not self.observations:
            for at, bars in self.history.blocks(self.first_row):
                yield Slice(at, bars, (), (), simulated)
            return
        yield from self._interleaved()

    def _interleaved(self) -> Iterator[Slice]:
        groups, taken = self._groups(), 0
        for at, bars in self.history.blocks(self.first_row):
            while taken < len(groups) and groups[taken][0] < at:
                known, seen = groups[taken]
                yield Slice(known, None, seen, (), self.simulated)
                taken += 1
            joined: tuple[Observation, ...] = ()
            if taken < len(groups) and groups[taken][0] == at:
                joined = groups[taken][1]
                taken += 1
            yield Slice(at, bars, joined, (), self.simulated)

    def _groups(self) -> list[tuple[int, tuple[Observation, ...]]]:
        """Observations by the time of the slice that says them."""
        first = int(self.history.times[0])
        groups: dict[int, list[Observation]] = {}
        for seen in self.observations:
            groups.setdefault(max(first, seen.known_at), []).append(seen)
        return [(at, tuple(group)) for at, group in groups.items()]

    @property
    def data_sha256(self) -> str:
        """The hash of everything this feed yields; equal to a SliceDigest over its slices."""
        digest = SliceDigest(self.pairs, self.interval_ms)
        matrix = _canonical_rows(self.history, self.first_row)
        times, done = self.history.times[self.first_row :], 0
        for at, seen in self._groups():
            rows = int(np.searchsorted(times, at, side="right"))
            digest.add_rows(matrix[done:rows])
            digest.add_observations(seen)
            done = rows
        digest.add_rows(matrix[done:])
        return digest.hexdigest()


class SliceDigest:
    """The canonical hash of slices as they were yielded; the same data give the same digest in any process."""

    def __init__(self, pairs: Sequence[Pair], interval_ms: int) -> None:
        self._sha = hashlib.sha256(encode({"interval_ms": interval_ms, "pairs": pairs}))

    def update(self, slice_: Slice) -> None:
        """Add one slice: its bars, then its observations, then its ticks."""
        bars = slice_.bars
        if bars is not None:
            rows = (bars.open, bars.high, bars.low, bars.close, bars.volume)
            body = b"".join(np.ascontiguousarray(row, "<f8").tobytes() for row in rows)
            self._sha.update(_BAR_MARK + slice_.at.to_bytes(8, "little", signed=True) + body + bars.present.tobytes())
        self.add_observations(slice_.observations)
        self.add_ticks(slice_.ticks)

    def add_rows(self, matrix: npt.NDArray[np.uint8]) -> None:
        """Add rows of bars in canonical bytes."""
        if len(matrix):
            self._sha.update(matrix.data)

    def add_observations(self, observations: Sequence[Observation]) -> None:
        """Add observations in the order in which they were said."""
        for seen in observations:
            self._sha.update(_OBSERVATION_MARK + encode(seen))

    def add_ticks(self, ticks: Sequence[Tick]) -> None:
        """Add trades in the order in which they were said."""
        for tick in ticks:
            self._sha.update(_TICK_MARK + encode(tick))

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._sha.hexdigest()


def _canonical_rows(history: History, first: int) -> npt.NDArray[np.uint8]:
    """(T, bytes) matrix: per row the mark, the time, the five columns, presence; little endian."""
    rows, width = len(history.times) - first, 8 * len(history.pairs)
    matrix = np.empty((rows, 1 + 8 + 5 * width + len(history.pairs)), np.uint8)
    matrix[:, 0] = _BAR_MARK[0]
    matrix[:, 1:9] = history.times[first:].astype("<i8").view(np.uint8).reshape(rows, 8)
    for place, column in enumerate(history.columns()):
        start = 9 + place * width
        matrix[:, start : start + width] = np.ascontiguousarray(column[first:], "<f8").view(np.uint8)
    matrix[:, 9 + 5 * width :] = history.present[first:]
    return matrix


class BarColumns(msgspec.Struct, frozen=True):
    """The bars of one pair: `opened` (n,) int64 strictly rising, the rest (n,) float64; volume in base units."""

    opened: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def values(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Open, high, low, close, volume."""
        return self.open, self.high, self.low, self.close, self.volume

    def rows(self, first: int, last: int) -> BarColumns:
        """Rows `first` <= row < `last`, as views."""
        return BarColumns(self.opened[first:last], *(column[first:last] for column in self.values()))


def align(bars: dict[Pair, BarColumns], interval_ms: int, simulated: bool = False) -> History:
    """Put the bars of several pairs on the union of their grids, pairs in alphabetical order.

    `bars` must not be empty; every pair needs at least one bar for the grid to exist.
    """
    pairs = tuple(sorted(bars))
    opens = np.unique(np.concatenate([bars[pair].opened for pair in pairs]))
    shape = (len(opens), len(pairs))
    prices = [np.full(shape, np.nan) for _ in range(4)]
    volume, present = np.zeros(shape), np.zeros(shape, np.bool_)
    for place, pair in enumerate(pairs):
        rows = np.searchsorted(opens, bars[pair].opened)
        for target, column in zip((*prices, volume), bars[pair].values(), strict=True):
            target[rows, place] = column
        present[rows, place] = True
    open_, high, low, close = prices
    return History(pairs, interval_ms, opens + interval_ms, open_, high, low, close, volume, present, simulated)
