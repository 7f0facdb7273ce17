"""From figures to places on paper: ticks people can read, dates by calendar, lines no finer than what is seen."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ...core.timeframes import DAY_MS, HOUR_MS
from ...core.types import FloatArray, IntArray

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_YEAR_DAYS = 365.25
_MONTH_DAYS = 30.4


class Scale(msgspec.Struct, frozen=True):
    """A linear map of [low, high] onto [first, last] of the paper; low < high."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def places(self, values: FloatArray | IntArray) -> FloatArray:
        """The places of values (n,)."""
        return np.asarray(self.first + (values - self.low) / (self.high - self.low) * (self.last - self.first))


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round figures from at most `low` to at least `high`, about so many.

    >>> ticks(-0.013, 0.021, 4)
    [-0.02, -0.01, 0.0, 0.01, 0.02, 0.03]
    >>> ticks(5.0, 5.0, 4)[0] < 5.0 < ticks(5.0, 5.0, 4)[-1]
    True
    """
    if high - low <= 1e-12 * max(1.0, abs(low), abs(high)):
        room = 0.01 * abs(low) or 0.01
        low, high = low - room, high + room
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in _STEPS if power * each >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) + 0.0 for n in range(first, last + 1)]


def places_needed(step: float) -> int:
    """Decimals needed to tell ticks apart.

    >>> places_needed(0.25), places_needed(10.0)
    (2, 0)
    """
    return next((n for n in range(10) if abs(round(step, n) - step) <= 1e-9 * abs(step)), 10)


def date_ticks(first: int, last: int, about: int) -> list[tuple[int, str]]:
    """Beginnings of years, months, days or hours within [first, last] (UTC ms) with their names."""
    span = max(last - first, 1) / DAY_MS
    for unit, steps, days in (
        ("Y", (1, 2, 5, 10), _YEAR_DAYS),
        ("M", (1, 2, 3, 6), _MONTH_DAYS),
        ("D", (1, 2, 7, 14), 1.0),
    ):
        for step in steps:
            found = _calendar(first, last, unit, step) if about / 3 <= span / (days * step) <= about else []
            if len(found) > 1:
                return found
    if span > about:
        return _calendar(first, last, "D", math.ceil(span / about))
    return _hours(first, last, max(1, math.ceil(span * 24 / about)))


def _calendar(first: int, last: int, unit: str, step: int) -> list[tuple[int, str]]:
    ends = np.array([first, last], "datetime64[ms]").astype(f"datetime64[{unit}]").astype(np.int64)
    numbers = np.arange(ends[0], ends[1] + 1, dtype=np.int64)
    kept = numbers[numbers % step == 0].astype(f"datetime64[{unit}]")
    times = kept.astype("datetime64[ms]").astype(np.int64).tolist()
    return [(at, str(name)) for at, name in zip(times, kept.astype(str).tolist(), strict=True) if first <= at <= last]


def _hours(first: int, last: int, step: int) -> list[tuple[int, str]]:
    width = step * HOUR_MS
    times = range(-(-first // width) * width, last + 1, width)
    return [(at, str(np.datetime64(at, "ms").astype("datetime64[m]")).replace("T", " ")[5:]) for at in times]


def thinned(x: IntArray, y: FloatArray, columns: int) -> tuple[IntArray, FloatArray]:
    """A line (n,) with at most four points a column of paper: first, lowest, highest and last of each.

    What is drawn looks as the whole line does. Points that are NaN go; a line of few points stays as it is.
    """
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    if len(x) <= 2 * columns:
        return x, y
    bounds = np.linspace(0, len(x), columns + 1).astype(np.int64)
    kept: set[int] = set()
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = y[begin:end]
        kept |= {begin, end - 1, begin + int(part.argmin()), begin + int(part.argmax())}
    places = np.array(sorted(kept), np.int64)
    return x[places], y[places]
