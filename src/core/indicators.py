"""Where indicators come from: TA-Lib over a whole history, or TA-Lib's streams bar by bar, equal to the last bit.

Both read the present bars of a pair alone: a missing bar never enters TA-Lib. What is derived from its raw values
is one compiled function in `features.py`, called for every bar by either source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import talib
from talib import stream

from . import features as f
from .clock import iso
from .config import Analysts, Indicators
from .errors import ConfigError, DataError, InvariantError
from .history import History
from .types import BarBlock, BoolArray, FloatArray, IntArray, Pair

TEAMS = 3
_TEAM_INDICATORS = ("rsi", "macd_hist", "macd_hist_prev", "bb_upper", "bb_mid", "bb_lower")
INDICATORS: tuple[str, ...] = (
    *(f"{name}_{team}" for team in range(1, TEAMS + 1) for name in _TEAM_INDICATORS),
    "atr",
)
"""Columns of `Snapshot.indicators`, in units of TA-Lib: points (RSI) or quote currency (the rest). The number is
the team's; `macd_hist_prev` is the histogram of the pair's bar before."""
INDICATOR_INDEX = {name: index for index, name in enumerate(INDICATORS)}

# Wilder's average of p bars forgets as (1 - 1/p)^n: after 36 p bars e^-36 = 2e-16 of the start is left, which is
# below the last bit of a float. One longest window more covers the seeds.
_FORGOTTEN_AFTER = 37
_HIGH, _LOW, _CLOSE = range(3)


class Call(NamedTuple):
    """One TA-Lib function with its parameters."""

    function: str
    parameters: tuple[float, ...]


class Plan(msgspec.Struct, frozen=True):
    """Every distinct TA-Lib call once, by what it takes and gives, and where each value is found.

    Raw columns: one for each of `singles` (close in, one value out), one for each of `macds` (the histogram),
    three for each of `bands` (upper, middle, lower), one for each of `ranges` (high, low, close in).
    `tail` is the number of bars after which no indicator remembers its start to more than the last bit.
    """

    singles: tuple[Call, ...]
    macds: tuple[Call, ...]
    bands: tuple[Call, ...]
    ranges: tuple[Call, ...]
    width: int
    tail: int
    volume_window: int
    rank_window: int
    knobs: f.Knobs


def plan(indicators: Indicators, analysts: Analysts) -> Plan:
    """What has to be computed for these settings; ConfigError for periods that TA-Lib does not take."""
    _refuse_short_macd(indicators, analysts)
    ranges = (Call("ATR", (indicators.atr,)), Call("ADX", (indicators.adx,)))
    emas = (Call("EMA", (indicators.ema_fast,)), Call("EMA", (indicators.ema_slow,)))
    sets = ((indicators.rsi, indicators.macd, indicators.bollinger),) + tuple(
        (team.rsi, team.macd, team.bollinger) for team in analysts.teams
    )
    wanted = [_team_calls(*periods, indicators.bollinger_deviations) for periods in sets]
    singles = tuple(dict.fromkeys([*emas, *(rsi for rsi, _, _ in wanted)]))
    macds = tuple(dict.fromkeys(macd for _, macd, _ in wanted))
    bands = tuple(dict.fromkeys(band for _, _, band in wanted))
    columns = _columns(singles, macds, bands, ranges)
    longest = max(_span(call) for call in columns)
    return Plan(
        singles,
        macds,
        bands,
        ranges,
        width=len(singles) + len(macds) + 3 * len(bands) + len(ranges),
        tail=_FORGOTTEN_AFTER * longest,
        volume_window=indicators.volume_window,
        rank_window=indicators.atr_rank_window,
        knobs=_knobs(indicators, columns, emas, ranges, wanted),
    )


type _TeamCalls = tuple[Call, Call, Call]


def _team_calls(rsi: int, macd: tuple[int, int, int], bollinger: int, deviations: float) -> _TeamCalls:
    return Call("RSI", (rsi,)), Call("MACD", macd), Call("BBANDS", (bollinger, deviations, deviations))


def _refuse_short_macd(indicators: Indicators, analysts: Analysts) -> None:
    named = {"indicators.macd": indicators.macd}
    named |= {f"analysts.teams[{index}].macd": team.macd for index, team in enumerate(analysts.teams)}
    for name, (fast, slow, _) in named.items():
        if not 2 <= fast < slow:
            raise ConfigError(f"{name}: the fast period must be at least 2 and shorter than the slow one")


def _columns(
    singles: Sequence[Call], macds: Sequence[Call], bands: Sequence[Call], ranges: Sequence[Call]
) -> dict[Call, int]:
    """The first raw column of every call."""
    columns: dict[Call, int] = {}
    width = 0
    for call in (*singles, *macds, *bands, *ranges):
        columns[call] = width
        width += 3 if call.function == "BBANDS" else 1
    return columns


def _span(call: Call) -> int:
    """The bars a call's memory spans: MACD smooths twice in a row, the second period of BBANDS is no period."""
    if call.function == "BBANDS":
        return int(call.parameters[0])
    return int(max(call.parameters[:2]) + (call.parameters[2] if call.function == "MACD" else 0))


def _knobs(
    indicators: Indicators, columns: dict[Call, int], emas: Sequence[Call], ranges: Sequence[Call],
    wanted: Sequence[_TeamCalls],
) -> f.Knobs:  # fmt: skip
    (rsi, macd, band), *teams = wanted
    atr, adx = (columns[call] for call in ranges)
    fast, slow = (columns[call] for call in emas)
    shared = f.Shared(columns[rsi], columns[macd], columns[band], columns[band] + 1, fast, slow, adx, atr)
    take: list[int] = []
    for team_rsi, team_macd, team_band in teams:
        first = columns[team_band]
        take += [columns[team_rsi], columns[team_macd], columns[team_macd], first, first + 1, first + 2]
    take.append(atr)
    lagged = np.array([name.startswith("macd_hist_prev") for name in INDICATORS])
    return f.Knobs(shared, np.array(take, np.int64), lagged, indicators.volatility_memory, indicators.volatility_warmup)


def raw_values(plan: Plan, high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """TA-Lib over the bars of one pair, oldest first: (bars, plan.width), NaN during each warm-up."""
    raw = np.full((len(close), plan.width), np.nan)
    if len(close) == 0:
        return raw
    outputs: list[FloatArray] = [_run(call, close) for call in plan.singles]
    outputs += [_run(call, close)[2] for call in plan.macds]
    for call in plan.bands:
        outputs += _run(call, close)
    outputs += [_run(call, high, low, close) for call in plan.ranges]
    for column, values in enumerate(outputs):
        raw[:, column] = values
    return raw


def _run(call: Call, *inputs: FloatArray) -> Any:
    return getattr(talib, call.function)(*inputs, *call.parameters)


class IndicatorSource(Protocol):
    """Gives, for the bars of one instant, everything the market knows of each pair."""

    def advance(self, block: BarBlock) -> f.Row:
        """What is known after these bars; read-only, (pairs, ...). Pairs without a bar keep their last values."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        ...

    def restore(self, state: dict[str, Any]) -> f.Row:
        """Go on from `state`; returns what was known then."""
        ...


def unknown(*shape: int) -> f.Row:
    """Nothing known yet: `shape` (pairs,) or (times, pairs), all NaN."""
    names = len(f.MARKET_FEATURES), len(INDICATORS)
    return f.Row(np.full(shape, np.nan), *(np.full((*shape, n), np.nan) for n in names), np.full(shape, np.nan))


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


class BatchSource:
    """Computes a whole history at once and then looks rows up; for backtests and replays.

    Tables of (T, P, 14 + 19 + 2) float64: 280 bytes a pair-bar. Raises DataError for bars that cannot be
    believed and for times less than an interval apart.
    """

    def __init__(self, history: History, indicators: Indicators, analysts: Analysts) -> None:
        self._history = history
        self._row = -1
        self._table = _frozen(_table(history, plan(indicators, analysts)))

    def advance(self, block: BarBlock) -> f.Row:
        """The row of these bars; InvariantError when they are not the next of the history."""
        at = block.opened + self._history.interval_ms
        row = self._row + 1
        times = self._history.times
        if row >= len(times) or times[row] != at:
            row = int(np.searchsorted(times, at))
        self._refuse_foreign(block, row, at)
        self._row = row
        return self._at(row)

    def state(self) -> dict[str, Any]:
        """The row that was read last; the history itself is the caller's."""
        return {"row": self._row}

    def restore(self, state: dict[str, Any]) -> f.Row:
        """Go on after that row of the same history."""
        self._row = int(state["row"])
        return self._at(self._row) if self._row >= 0 else _frozen(unknown(len(self._history.pairs)))

    def _at(self, row: int) -> f.Row:
        table = self._table
        return f.Row(table.close[row], table.features[row], table.indicators[row], table.volatility[row])

    def _refuse_foreign(self, block: BarBlock, row: int, at: int) -> None:
        history = self._history
        if not self._row < row < len(history.times) or history.times[row] != at:
            raise InvariantError(f"market: bars known at {iso(at)} do not follow in the prepared history")
        pair = f.first_difference(block.present, block.close, history.present[row], history.close[row])
        if pair >= 0:
            raise InvariantError(f"market: the bar of {block.pairs[pair]} at {iso(at)} is not the prepared one")


def _table(history: History, plan: Plan) -> f.Row:
    times, pairs = history.times, history.pairs
    if np.any(np.diff(times) < history.interval_ms):
        raise DataError(f"market: bars are less than their interval of {history.interval_ms} ms apart")
    _refuse_bad_bars(
        pairs, lambda row: int(times[row]), history.present, history.high, history.low, history.close, history.volume
    )
    table = unknown(len(times), len(pairs))
    clock = np.empty((len(times), 4))
    f.clock_table(times, clock)
    grids = times // history.interval_ms
    for pair in range(len(pairs)):
        _fill(history, plan, pair, grids, clock, table)
    return table


def _fill(history: History, plan: Plan, pair: int, grids: IntArray, clock: FloatArray, table: f.Row) -> None:
    present = np.ascontiguousarray(history.present[:, pair])
    high, low, close, volume = (
        np.ascontiguousarray(column[:, pair]) for column in (history.high, history.low, history.close, history.volume)
    )
    raw = raw_values(plan, high[present], low[present], close[present])
    f.fill_pair(_memory(plan, 1), plan.knobs, pair, present, close, volume, grids, raw, clock, table)


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
        values: FloatArray = raw_values(self._plan, high, low, close)[-1]
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
        except talib.InsufficientHistory:
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
        return self._copy()

    def state(self) -> dict[str, Any]:
        """Rings, sums, the last row and the last bars of each pair."""
        return {
            "pairs": list(self._pairs),
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
        return self._copy()

    def _copy(self) -> f.Row:
        row = self._row
        return _frozen(f.Row(row.close.copy(), row.features.copy(), row.indicators.copy(), row.volatility.copy()))

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
        for name, array in self._memory._asdict().items():
            if np.shape(state["memory"][name]) != array.shape:
                raise ConfigError("market: windows of the indicators changed since the state was stored; start anew")
