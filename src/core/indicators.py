"""Where indicators come from: TA-Lib over a whole history, or TA-Lib's streams bar by bar, equal to the last bit.

Both read the present bars of a pair alone: a missing bar never enters TA-Lib. What is derived from its raw values
is the arithmetic of `features.py`, inlined into the loops of either source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import talib
from talib import stream

from . import features as f
from .clock import iso
from .config import Analysts, Indicators
from .errors import ConfigError, DataError, InvariantError
from .history import History
from .indicator_plan import INDICATOR_INDEX, INDICATORS, Call, Plan, plan, raw_values
from .pages import Pages
from .types import BarBlock, BoolArray, FloatArray, IntArray, Pair

__all__ = ["INDICATORS", "INDICATOR_INDEX", "BatchSource", "IndicatorSource", "StreamSource", "unknown"]

_HIGH, _LOW, _CLOSE = range(3)
_TOGETHER = 4096
"""Of a prepared history so many rows of one pair are copied and given back in one go, of more pairs fewer rows."""


class IndicatorSource(Protocol):
    """Gives, for the bars of one instant, everything the market knows of each pair."""

    def advance(self, block: BarBlock) -> f.Row:
        """What is known after these bars; read-only, (pairs, ...). Pairs without a bar keep their last values."""
        ...

    def beside(self, values: FloatArray) -> FloatArray:
        """The features of the newest row with `values` (pairs, n) in further columns; read-only.

        `values` must not be written any more.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        ...

    def restore(self, state: dict[str, Any]) -> f.Row:
        """Go on from `state`; returns what was known then."""
        ...


def _blank(make: Callable[..., FloatArray], *shape: int) -> f.Row:
    """Arrays of `shape` (pairs,) or (times, pairs), not filled; `make` takes a shape, number by number."""
    features, indicators = make(*shape, len(f.MARKET_FEATURES)), make(*shape, len(INDICATORS))
    return f.Row(make(*shape), features, indicators, make(*shape))


def _empty(*shape: int) -> FloatArray:
    return np.empty(shape)


def unknown(pairs: int) -> f.Row:
    """Nothing known yet of any pair: all NaN."""
    row = _blank(_empty, pairs)
    for array in row:
        array.fill(np.nan)
    return row


def _frozen(row: f.Row) -> f.Row:
    for array in row:
        array.flags.writeable = False
    return row


def _memory(plan: Plan, pairs: int) -> f.Memory:
    counts = np.zeros((pairs, f.COUNTS), np.int64)
    counts[:, f.GRID] = f.NEVER
    return f.Memory(
        closes=np.full((pairs, f.CLOSES), np.nan),
        volumes=np.full((pairs, plan.volume_window), np.nan),
        atr_ratios=np.full((pairs, plan.rank_window), np.nan),
        raw=np.full((pairs, plan.width), np.nan),
        sums=np.zeros((pairs, f.SUMS)),
        counts=counts,
    )


def _refuse_bad_bars(
    pairs: tuple[Pair, ...], times: Callable[[int], int], present: BoolArray, high: FloatArray, low: FloatArray,
    close: FloatArray, volume: FloatArray,
) -> None:  # fmt: skip
    """DataError for the first bar that cannot be believed; arrays (pairs,) or (times, pairs), time by row."""
    place = f.first_bad(present.ravel(), high.ravel(), low.ravel(), close.ravel(), volume.ravel())
    if place >= 0:
        row, pair = divmod(place, len(pairs))
        figures = f"high {high.ravel()[place]}, low {low.ravel()[place]}, close {close.ravel()[place]}"
        raise DataError(
            f"market: bar of {pairs[pair]} known at {iso(times(row))}: {figures}, volume {volume.ravel()[place]} "
            "cannot be; prices must be above zero and volume not negative: repair or leave out the bar"
        )


class _Page(NamedTuple):
    """Copies of rows from `first` on, each read-only: whoever keeps one must not see what the table becomes.

    `times`, and the bytes of `closes` and `present`, are those of the history, by which bars are known again.
    """

    first: int
    times: list[int]
    closes: bytes
    present: bytes
    table: f.Row

    def row(self, place: int) -> f.Row:
        """One of them, as views that are read-only as the copies are."""
        close, features, indicators, volatility = self.table
        return f.Row(close[place], features[place], indicators[place], volatility[place])


_NONE_WIDE: FloatArray = np.empty((0, 0, 0))
_NO_PAGE = _Page(0, [], b"", b"", unknown(0))


class BatchSource:
    """Computes a whole history at once and then looks rows up; for backtests and replays.

    Its tables of features, indicators, close and volatility take 280 bytes for each time and pair that is still to
    come. Raises DataError for bars that cannot be believed and for times less than an interval apart.
    """

    def __init__(self, history: History, indicators: Indicators, analysts: Analysts) -> None:
        self._history = history
        self._plan = plan(indicators, analysts)
        self._row = -1
        self._begin()

    def _begin(self) -> None:
        self._pages, self._passed = Pages(), 0
        self._table = _table(self._history, self._plan, self._pages)
        self._page = _NO_PAGE
        self._values: FloatArray | None = None
        self._wide = _NONE_WIDE  # features with `_values` beside them, of the page's last rows

    def advance(self, block: BarBlock) -> f.Row:
        """The row of these bars; InvariantError when they are not the next of the history."""
        row, page, at = self._row + 1, self._page, block.opened + self._history.interval_ms
        place = row - page.first
        if place >= len(page.times) or page.times[place] != at:
            row = int(np.searchsorted(self._history.times, at))
            self._refuse_foreign(block, row, at)
            page = self._turn(row)
            place = row - page.first
        elif not self._is_prepared(block, page, place):
            self._refuse_foreign(block, row, at)
        self._row = row
        return page.row(place)

    def _is_prepared(self, block: BarBlock, page: _Page, place: int) -> bool:
        """Whether the bars are those of the page, bit for bit."""
        width, size = len(self._history.pairs), block.close.itemsize
        start, end = place * width, (place + 1) * width
        closes, present = page.closes[start * size : end * size], page.present[start:end]
        return block.close.tobytes() == closes and block.present.tobytes() == present

    def beside(self, values: FloatArray) -> FloatArray:
        """The features of the row that was read last, and `values`; those that stay are joined with a whole page."""
        place = self._row - self._page.first
        if values is not self._values:  # what changes with every slice is not worth a page
            self._values, self._wide = values, _NONE_WIDE
            return joined(self._page.table.features[place], values)
        left = len(self._page.times) - place
        if left > len(self._wide):
            features = self._page.table.features[place:]
            self._wide = joined(features, np.broadcast_to(values, (left, *values.shape)))
        wide: FloatArray = self._wide[-left]
        return wide

    def _turn(self, row: int) -> _Page:
        """The page of a row; what lies before it is given back."""
        page, history = self._page, self._history
        if not 0 <= row - page.first < len(page.times):
            if row > self._passed:
                self._pages.give_back(row)
                self._passed = row
            end = row + max(1, _TOGETHER // len(history.pairs))
            copies = _copy(f.Row(*[column[row:end] for column in self._table]))
            bars = history.times[row:end].tolist(), history.close[row:end].tobytes(), history.present[row:end].tobytes()
            self._page = page = _Page(row, *bars, copies)
            self._wide = _NONE_WIDE
        return page

    def state(self) -> dict[str, Any]:
        """The row that was read last; the history itself is the caller's."""
        return {"row": self._row}

    def restore(self, state: dict[str, Any]) -> f.Row:
        """Go on after that row of the same history."""
        self._row = int(state["row"])
        if self._row < self._passed:
            self._begin()
        if self._row < 0:
            return _frozen(unknown(len(self._history.pairs)))
        page = self._turn(self._row)
        return page.row(self._row - page.first)

    def _refuse_foreign(self, block: BarBlock, row: int, at: int) -> None:
        history = self._history
        if not self._row < row < len(history.times) or history.times[row] != at:
            raise InvariantError(f"market: bars known at {iso(at)} do not follow in the prepared history")
        pair = f.first_difference(block.present, block.close, history.present[row], history.close[row])
        if pair >= 0:
            raise InvariantError(f"market: the bar of {block.pairs[pair]} at {iso(at)} is not the prepared one")


def joined(features: FloatArray, values: FloatArray) -> FloatArray:
    """Both side by side, read-only."""
    both = np.concatenate((features, values), axis=-1)
    both.flags.writeable = False
    return both


def _copy(row: f.Row) -> f.Row:
    return _frozen(f.Row(row.close.copy(), row.features.copy(), row.indicators.copy(), row.volatility.copy()))


def _table(history: History, plan: Plan, pages: Pages) -> f.Row:
    times, pairs = history.times, history.pairs
    if np.any(np.diff(times) < history.interval_ms):
        raise DataError(f"market: bars are less than their interval of {history.interval_ms} ms apart")
    _refuse_bad_bars(
        pairs, lambda row: int(times[row]), history.present, history.high, history.low, history.close, history.volume
    )
    table = _blank(pages.array, len(times), len(pairs))
    clock = np.empty((len(times), 4))
    f.clock_table(times, clock)
    grids = times // history.interval_ms
    for pair in range(len(pairs)):
        _fill(history, plan, pair, grids, clock, table)
    return table


def _fill(history: History, plan: Plan, pair: int, grids: IntArray, clock: FloatArray, table: f.Row) -> None:
    present, knobs = history.present[:, pair].copy(), plan.knobs
    high, low, close, volume = (
        column[:, pair][present] for column in (history.high, history.low, history.close, history.volume)
    )
    raw = raw_values(plan, high, low, close)
    scores, ranks, volatility = np.empty((3, len(close)))
    f.volume_scores(volume, np.full(plan.volume_window, np.nan), scores)
    f.atr_ranks(raw[knobs.shared.atr], close, np.full(plan.rank_window, np.nan), ranks)
    f.volatilities(close, grids[present], knobs.volatility_memory, knobs.volatility_warmup, volatility)
    f.write_features(knobs.shared, present, close, raw, scores, ranks, clock, pair, table.features)
    f.write_indicators(knobs.take, knobs.lagged, present, raw, pair, table.indicators)
    f.write_standing(present, close, pair, table.close)
    f.write_standing(present, volatility, pair, table.volatility)


class _PairStreams:
    """TA-Lib's streams of one pair, and the last bars from which a restart opens them again."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bars = np.empty((plan.tail, 3))
        self._count = 0
        self._open = False

    def advance(self, high: float, low: float, close: float) -> list[float] | FloatArray:
        """The raw values after this bar. Until all streams can be opened, the batch over the few bars so far."""
        self._bars[self._count % self._plan.tail] = high, low, close
        self._count += 1
        if not self._open:
            return self._first()
        row = [update(close) for update in self._singles]
        row += [update(close)[2] for update in self._macds]
        for update in self._bands:
            row += update(close)
        row += [update(high, low, close) for update in self._ranges]
        return row

    def bars(self) -> FloatArray:
        """The last bars, oldest first, (bars, 3): high, low, close."""
        if self._count <= self._plan.tail:
            return self._bars[: self._count].copy()
        return np.roll(self._bars, -(self._count % self._plan.tail), axis=0)

    def reopen(self, bars: FloatArray) -> None:
        """Go on after `bars`."""
        self._count = len(bars)
        self._bars[: self._count] = bars
        self._open = self._try_to_open()

    def _first(self) -> FloatArray:
        self._open = self._try_to_open()
        high, low, close = self._columns()
        values: FloatArray = raw_values(self._plan, high, low, close)[:, -1]
        return values

    def _columns(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        bars = np.ascontiguousarray(self.bars().T)
        return bars[_HIGH], bars[_LOW], bars[_CLOSE]

    def _try_to_open(self) -> bool:
        high, low, close = self._columns()
        plan = self._plan
        try:
            self._singles = [_stream(call, close) for call in plan.singles]
            self._macds = [_stream(call, close) for call in plan.macds]
            self._bands = [_stream(call, close) for call in plan.bands]
            self._ranges = [_stream(call, high, low, close) for call in plan.ranges]
        except talib.InsufficientHistory:  # type: ignore[attr-defined]  # its stubs leave it out
            return False
        return True


def _stream(call: Call, *inputs: FloatArray) -> Any:
    """The update method of a stream opened on `inputs`; raises talib.InsufficientHistory when they are too few."""
    return getattr(stream, call.function)(*inputs, *call.parameters).update


class StreamSource:
    """Computes bar by bar with TA-Lib's streams; for runs whose bars arrive one after another.

    Equal to BatchSource bit for bit from the first bar on. `state` holds the last `Plan.tail` bars of each pair:
    a source restored from it is equal to the bit as long as they are the full history, and afterwards to 1e-9 of
    the feature's scale (max of its size and 1; for prices, ATR), because TA-Lib's streams cannot be stored and
    are opened again on those bars.
    """

    def __init__(self, pairs: tuple[Pair, ...], interval_ms: int, indicators: Indicators, analysts: Analysts) -> None:
        self._pairs, self._interval_ms = pairs, interval_ms
        self._plan = plan(indicators, analysts)
        self._streams = [_PairStreams(self._plan) for _ in pairs]
        self._memory = _memory(self._plan, len(pairs))
        self._row = unknown(len(pairs))
        self._raw = np.full((len(pairs), self._plan.width), np.nan)
        self._clock = np.empty(4)

    def advance(self, block: BarBlock) -> f.Row:
        """Feed the bars; DataError for bars that cannot be believed, InvariantError for bars out of order."""
        at = block.opened + self._interval_ms
        self._refuse(block, at)
        high, low, close = block.high.tolist(), block.low.tolist(), block.close.tolist()
        for pair in np.flatnonzero(block.present).tolist():
            self._raw[pair] = self._streams[pair].advance(high[pair], low[pair], close[pair])
        f.clock_features(at, self._clock)
        grid = at // self._interval_ms
        f.advance_all(
            self._memory, self._plan.knobs, block.present, block.close, block.volume, grid,
            self._raw, self._clock, self._row,
        )  # fmt: skip
        return _copy(self._row)

    def beside(self, values: FloatArray) -> FloatArray:
        """The features of the newest row, and `values`."""
        return joined(self._row.features, values)

    def state(self) -> dict[str, Any]:
        """Rings, sums, the last row and the last bars of each pair."""
        return {
            "pairs": list(self._pairs),
            "calls": self._plan.names(),
            "bars": [streams.bars() for streams in self._streams],
            "memory": {name: array.copy() for name, array in self._memory._asdict().items()},
            "row": {name: array.copy() for name, array in self._row._asdict().items()},
        }

    def restore(self, state: dict[str, Any]) -> f.Row:
        """Open the streams on the stored bars; ConfigError when the state is of other pairs or windows."""
        self._refuse_other(state)
        for name, array in self._memory._asdict().items():
            array[...] = state["memory"][name]
        for name, array in self._row._asdict().items():
            array[...] = state["row"][name]
        for streams, bars in zip(self._streams, state["bars"], strict=True):
            streams.reopen(bars)
        return _copy(self._row)

    def _refuse(self, block: BarBlock, at: int) -> None:
        _refuse_bad_bars(self._pairs, lambda _: at, block.present, block.high, block.low, block.close, block.volume)
        late = block.present & (self._memory.counts[:, f.GRID] >= at // self._interval_ms)
        if late.any():
            pair = self._pairs[int(np.argmax(late))]
            raise InvariantError(f"market: the bar of {pair} known at {iso(at)} came twice or out of order")

    def _refuse_other(self, state: dict[str, Any]) -> None:
        if tuple(state["pairs"]) != self._pairs:
            raise ConfigError(
                f"market: the stored state is of {', '.join(state['pairs'])}; start anew or keep the pairs"
            )
        shapes = [np.shape(state["memory"][name]) == array.shape for name, array in self._memory._asdict().items()]
        if not all(shapes) or state["calls"] != self._plan.names():
            raise ConfigError("market: windows of the indicators changed since the state was stored; start anew")
