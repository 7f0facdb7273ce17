"""Turns bars and observations into hourly series: what could be known when, what followed, and what others use."""

from __future__ import annotations

import msgspec
import numpy as np

from ...core.errors import DataError, UsageError
from ...core.history import History
from ...core.timeframes import HOUR_MS, TimeRange, timeframe_name
from ...core.types import FloatArray, IntArray
from .hypothesis_claim import Claim, Source, Target, ranges_of

WEEK_HOURS = 168
_STILL = 1e-5
"""A tenth of a basis point: what moves less did not move; keeps the logarithm of an hour without a trade finite."""
_HALF = 0.5
"""A mean of the past is not known before half of its hours are."""


class Happenings(msgspec.Struct, frozen=True):
    """What a source said. `known` (m,) and `values` (m,): when each could be known, UTC ms, and the field's value.

    `at` (k,) and `at_values` (k,): the same by the time at which it happened, which naive analyses use; there are
    more of these where some never became known. Values are ones where things are only counted.
    """

    known: IntArray
    values: FloatArray
    at: IntArray
    at_values: FloatArray


class Inputs(msgspec.Struct, frozen=True):
    """Hourly rows: row i ends `first_ms` + i hours, UTC, and holds what is known then. NaN where nothing is.

    `close` (n, P): log closes of the target's pairs. `known` (n,): the source, by the time it could be known, its
    logarithm taken where the claim says so; `naive` (n,): the same by the time it happened, plain. `control` (n,): log
    close of the pair of the positive control; `events`: times of each of its kinds, UTC ms. `simulated`: made up.
    """

    first_ms: int
    close: FloatArray
    known: FloatArray
    naive: FloatArray
    control: FloatArray | None
    events: dict[str, IntArray]
    simulated: bool

    @property
    def hours(self) -> IntArray:
        """(n,) hours since 1970 at which the rows end."""
        return np.asarray(self.first_ms // HOUR_MS + np.arange(len(self.close), dtype=np.int64))

    def rows(self, part: TimeRange) -> tuple[int, int]:
        """First and last row + 1 of the bars that open in `part`."""
        opened = self.first_ms - HOUR_MS
        first = -(-((part.start_ms or 0) - opened) // HOUR_MS)
        last = -(-((part.end_ms or 0) - opened) // HOUR_MS)
        return min(max(first, 0), len(self.close)), min(max(last, 0), len(self.close))


def hourly(history: History, first_ms: int, rows: int) -> FloatArray:
    """Log closes (rows, P) at the hours `first_ms`, `first_ms` + 1 h, ..., NaN where none is known.

    UsageError where bars are longer than an hour or do not fit into it.
    """
    if HOUR_MS % history.interval_ms:
        raise UsageError(f"bars of {timeframe_name(history.interval_ms)}: lead-lag claims need bars of 1h or less")
    place = (history.times - first_ms) // HOUR_MS
    kept = (history.times % HOUR_MS == 0) & (place >= 0) & (place < rows)
    table = np.full((rows, len(history.pairs)), np.nan)
    table[place[kept]] = np.log(np.where(history.present[kept], history.close[kept], np.nan))
    return table


def source_series(source: Source, times: IntArray, values: FloatArray, ends: IntArray) -> FloatArray:
    """The source at each of `ends` (UTC ms), from what has the time (m,) and the value (m,); no logarithm of counts.

    NaN as long as the window reaches back before the first one. DataError where a change or a logarithm of a level
    is asked of values that are not above zero.
    """
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    back = ends - source.window_hours * HOUR_MS
    now = np.searchsorted(times, ends, side="right")
    before = np.searchsorted(times, back, side="right")
    if source.measure == "count":
        return np.where(before > 0, (now - before).astype(np.float64), np.nan)
    level = np.where(now > 0, values[np.maximum(now - 1, 0)], np.nan)
    if source.measure == "level":
        return np.asarray(level)
    earlier = np.where(before > 0, values[np.maximum(before - 1, 0)], np.nan)
    if (level <= 0.0).any() or (earlier <= 0.0).any():
        raise DataError(f"{source.name}: a change of {source.field} needs values above zero")
    return np.asarray(np.log(level / earlier))


def logarithm(source: Source, series: FloatArray) -> FloatArray:
    """The series as the claim wants it: log(1 + count) or log(level) where it says so."""
    if not source.logarithm:
        return series
    if source.measure == "count":
        return np.asarray(np.log1p(series))
    if not (series[np.isfinite(series)] > 0.0).all():
        raise DataError(f"{source.name}: the logarithm of {source.field} needs values above zero; leave it out")
    return np.asarray(np.log(series))


def moves(close: FloatArray) -> FloatArray:
    """Log returns of each hour, shape of `close`; NaN in the first row and beside a missing one."""
    made = np.full(close.shape, np.nan)
    made[1:] = np.diff(close, axis=0)
    return made


def basket(target: Target, close: FloatArray, complete: bool) -> FloatArray:
    """(n,) mean over the pairs of |log return| or log return of each hour.

    `complete`: NaN unless every pair is known, so that it is the same basket throughout; else over those known.
    """
    each = moves(close)
    each = np.abs(each) if target.measure == "volatility" else each
    known = np.isfinite(each)
    count = known.sum(axis=1)
    mean = np.where(known, each, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count == close.shape[1] if complete else count > 0, mean, np.nan)


def tamed(target: Target, values: FloatArray) -> FloatArray:
    """Volatility as its logarithm, in which its clusters are linear (Andersen et al. 2003); returns as they are."""
    return np.asarray(np.log(np.maximum(values, _STILL))) if target.measure == "volatility" else values


def ahead(series: FloatArray, lag: int, horizon: int) -> FloatArray:
    """(n,) the mean of the rows lag .. lag + horizon - 1 after each; NaN where one is not known."""
    made = np.full(len(series), np.nan)
    rows = len(series) - lag - horizon + 1
    if rows > 0:
        parts = [series[lag + step : lag + step + rows] for step in range(horizon)]
        made[:rows] = np.sum(parts, axis=0) / horizon
    return made


def trailing(series: FloatArray, hours: int) -> FloatArray:
    """(n,) the mean of the last `hours` rows up to each, of those known; NaN where fewer than half are."""
    known = np.isfinite(series)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, series, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    made = np.full(len(series), np.nan)
    if hours <= len(series):
        total, count = sums[hours:] - sums[:-hours], counts[hours:] - counts[:-hours]
        made[hours - 1 :] = np.where(count >= _HALF * hours, total / np.maximum(count, 1), np.nan)
    return made


def inputs_of(
    claim: Claim, bars: History, said: Happenings, control: History | None, events: dict[str, IntArray]
) -> Inputs:
    """The hourly rows of a claim from its first day to its last; DataError where the source is never known."""
    ranges = ranges_of(claim)
    first = (ranges.inside.start_ms or 0) + HOUR_MS
    rows = ((ranges.outside.end_ms or 0) - first) // HOUR_MS + 1
    if not len(said.known):
        raise DataError(f"{claim.source.name}: nothing of it was ever known: a source without known times is no source")
    ends = first + HOUR_MS * np.arange(rows, dtype=np.int64)
    plain = source_series(claim.source, said.known, said.values, ends)
    return Inputs(
        first_ms=first,
        close=hourly(bars, first, rows),
        known=logarithm(claim.source, plain),
        naive=source_series(claim.source, said.at, said.at_values, ends),
        control=None if control is None else hourly(control, first, rows)[:, 0],
        events=events,
        simulated=bars.simulated,
    )
