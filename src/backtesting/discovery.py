"""Looks for what is unusual between moats and market, and says how much of it chance alone would have shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ..core import records
from ..core.config import StatisticsSettings
from ..core.inference import two_sided
from ..core.moats import CODE
from ..core.timeframes import HOUR_MS
from ..core.types import FloatArray, IntArray
from .series import Aligned

_HALF = 2
"""A window of which less than one half is known says nothing."""
_ROUNDING = 1e-6
"""A deviation below this share of the values is the rounding of what was kept, not change."""
MARKET = "market"


class Sampled(msgspec.Struct, frozen=True):
    """Series on one regular grid of times `at` (n,) UTC ms, each (n,) with NaN where nothing was known."""

    at: IntArray
    moats: dict[str, FloatArray]
    market: dict[str, FloatArray]


class Anomaly(msgspec.Struct, frozen=True):
    """A sample far from the mean of the window before it."""

    series: str
    at: int
    z: float


class Correlation(msgspec.Struct, frozen=True):
    """Two series that went together in one window (UTC ms, from the first to the last sample).

    `p`: how often the same series, shifted against each other, are correlated as strongly.
    """

    moat: str
    market: str
    first: int
    last: int
    r: float
    p: float


def sampled(aligned: Aligned, settings: StatisticsSettings) -> Sampled:
    """One sample an hour, or a bar where that is longer: the last value that was known by then.

    Moats: the value of each asset of the code moat, the figures of the others. Market: the log change of each pair
    over `change_hours`, and their mean.
    """
    step = max(HOUR_MS, aligned.interval_ms)
    slots = -(-aligned.at // step)
    last = np.append(np.flatnonzero(np.diff(slots)), len(slots) - 1)
    grid = np.arange(slots[0], slots[-1] + 1)
    rows = np.full(len(grid), -1)
    rows[slots[last] - slots[0]] = last
    moats = {name: _at(aligned.figures[:, place], rows) for place, name in enumerate(aligned.names)}
    for place, pair in enumerate(aligned.pairs):
        moats.setdefault(f"code: {pair.partition('/')[0]}", _at(aligned.values[:, place, CODE], rows))
    change = max(1, settings.change_hours * HOUR_MS // step)
    changes: dict[str, FloatArray] = {
        pair: _change(_at(aligned.close[:, place], rows), change) for place, pair in enumerate(aligned.pairs)
    }
    return Sampled(grid * step, moats, {MARKET: _mean(list(changes.values())), **changes})


def _at(column: FloatArray, rows: IntArray) -> FloatArray:
    return np.where(rows >= 0, column[rows], np.nan)


def _change(close: FloatArray, span: int) -> FloatArray:
    changed = np.full(len(close), np.nan)
    changed[span:] = np.log(close[span:] / close[:-span])
    return changed


def _mean(columns: Sequence[FloatArray]) -> FloatArray:
    """The mean of what is known at a time, NaN where nothing is."""
    table = np.array(columns)
    known = np.isfinite(table)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, table, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def distances(values: FloatArray, window: int) -> FloatArray:
    """z (n,): (value - mean) / standard deviation (sample) of the `window` samples before it.

    NaN where the value or half of the window is not known, and where the window is constant.
    """
    z = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if len(values) <= window or not known.any():
        return z
    centred = np.where(known, values - values[known].mean(), 0.0)
    count, total, squares = (_before(column, window) for column in (known.astype(np.float64), centred, centred**2))
    many = np.maximum(count, 1.0)
    spread = np.sqrt(np.maximum(squares - total * total / many, 0.0) / np.maximum(count - 1.0, 1.0))
    usable = known[window:] & (_HALF * count >= window) & (count > 1.0)
    usable &= spread > _ROUNDING * math.sqrt(float((centred**2).mean()))
    z[window:][usable] = ((centred[window:] - total / many) / np.where(usable, spread, 1.0))[usable]
    return z


def _before(column: FloatArray, window: int) -> FloatArray:
    """The sum of the `window` values before each one that has so many."""
    sums = np.concatenate(([0.0], np.cumsum(column)))
    return np.asarray(sums[window:-1] - sums[: -window - 1])


def anomaly_chance(threshold: float, window: int) -> float:
    """How often |z| of `distances` is beyond `threshold` in independent normal noise.

    There z is Student's t of window - 1 degrees of freedom, times sqrt(1 + 1 / window).
    """
    return two_sided(threshold / math.sqrt(1.0 + 1.0 / window), window - 1)


def anomalies(
    series: Mapping[str, FloatArray], at: IntArray, window: int, threshold: float
) -> tuple[int, list[Anomaly]]:
    """How many samples could be judged, and those with |z| above `threshold`, the largest first."""
    judged = 0
    found: list[Anomaly] = []
    for name, values in series.items():
        z = distances(values, window)
        judged += int(np.isfinite(z).sum())
        beyond = np.flatnonzero(np.abs(z) > threshold).tolist()
        found += [Anomaly(name, int(at[place]), float(z[place])) for place in beyond]
    return judged, sorted(found, key=lambda one: (-abs(one.z), one.at, one.series))


def correlate(one: FloatArray, other: FloatArray, shift: int, threshold: float) -> tuple[float, float, float] | None:
    """Pearson's r of two series (n,) over the times at which both are known, and what chance makes of it.

    (r, p, share): p is how often |r| is reached, share how often `threshold` is exceeded, when the known samples of
    one are moved around the end against the other by every number of places of at least `shift`: both keep their own
    dependence in time, which independent shuffling would destroy. None where fewer than half of the times are known
    or one series is constant.
    """
    known = np.isfinite(one) & np.isfinite(other)
    size = int(known.sum())
    if _HALF * size < len(one) or size <= 2 * shift:
        return None
    first, second = _standard(one[known]), _standard(other[known])
    if first is None or second is None:
        return None
    moved = np.fft.irfft(np.fft.rfft(first) * np.conj(np.fft.rfft(second)), size)
    r = float(np.clip((first * second).sum(), -1.0, 1.0))
    chance = np.abs(moved[shift : size - shift + 1])
    p = (1.0 + float((chance >= abs(r)).sum())) / (1.0 + len(chance))
    return r, p, float((chance > threshold).mean())


def _standard(values: FloatArray) -> FloatArray | None:
    """Mean 0 and length 1; None where all are equal, up to rounding."""
    centred = values - values.mean()
    length = math.sqrt(float((centred * centred).sum()))
    return centred / length if length > _ROUNDING * float(np.abs(values).max()) * math.sqrt(len(values)) else None


def correlations(series: Sampled, window: int, shift: int, threshold: float) -> tuple[int, float, list[Correlation]]:
    """Every moat series with the market's mean, and the code moat's with its own pairs, in consecutive windows.

    Windows are counted back from the newest sample. How many could be correlated, how many are expected beyond
    `threshold` by chance, and those that are, the strongest first.
    """
    tested, expected, found = 0, 0.0, []
    ends = range(len(series.at), window - 1, -window)
    for moat, market in _couples(series):
        for end in ends:
            part = slice(end - window, end)
            judged = correlate(series.moats[moat][part], series.market[market][part], shift, threshold)
            if judged is None:
                continue
            r, p, share = judged
            tested, expected = tested + 1, expected + share
            if abs(r) > threshold:
                found.append(Correlation(moat, market, int(series.at[end - window]), int(series.at[end - 1]), r, p))
    return tested, expected, sorted(found, key=lambda one: (-abs(one.r), one.first, one.moat, one.market))


def _couples(series: Sampled) -> list[tuple[str, str]]:
    own = [(f"code: {pair.partition('/')[0]}", pair) for pair in series.market if pair != MARKET]
    return [(moat, MARKET) for moat in series.moats] + own


def false_share(found: int, expected: float) -> float | None:
    """Which share of what was found chance explains, in [0, 1]; None where nothing was found.

    Expected by chance over found: Tusher, Tibshirani and Chu (2001).

    >>> false_share(10, 2.5), false_share(1, 3.0), false_share(0, 1.0)
    (0.25, 1.0, None)
    """
    return min(1.0, expected / found) if found else None


def discover(aligned: Aligned | None, settings: StatisticsSettings) -> dict[str, Any]:
    """The section `discovery` of a result, plain JSON types; an empty one before the first row."""
    if aligned is None:
        return {}
    series = sampled(aligned, settings)
    hours = max(1, aligned.interval_ms // HOUR_MS)
    window, shift = max(2, settings.window_hours // hours), max(1, settings.correlation_shift_hours // hours)
    judged, strange = anomalies({**series.moats, **series.market}, series.at, window, settings.anomaly_z)
    tested, chance, together = correlations(series, window, shift, settings.correlation)
    return {
        "samples": len(series.at),
        "sample_hours": hours,
        "window_samples": window,
        "anomalies": {
            "threshold": settings.anomaly_z,
            **_counted(judged, len(strange), judged * anomaly_chance(settings.anomaly_z, window)),
            "largest": [_plain(one) for one in _one_a_series(strange)[: settings.shown]],
        },
        "correlations": {
            "threshold": settings.correlation,
            **_counted(tested, len(together), chance),
            "strongest": [_plain(one) for one in together[: settings.shown]],
        },
    }


def _counted(tested: int, found: int, expected: float) -> dict[str, Any]:
    return {"tested": tested, "found": found, "expected": expected, "false_ratio": false_share(found, expected)}


def _one_a_series(found: Sequence[Anomaly]) -> list[Anomaly]:
    """The first of each series: what is unusual for hours is one thing."""
    first: dict[str, Anomaly] = {}
    for one in found:
        first.setdefault(one.series, one)
    return list(first.values())


def _plain(one: Anomaly | Correlation) -> dict[str, Any]:
    """Its fields, times as people read them."""
    fields = msgspec.structs.asdict(one)
    return {name: records.stamp(value) if name in ("at", "first", "last") else value for name, value in fields.items()}
