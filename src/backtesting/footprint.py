"""Watches the resident memory of a run while it goes on, because a peak alone does not tell a plateau from a leak."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

SAMPLE_BARS = 2_000
"""Pair-bars from one look at the memory to the next, at first."""
MOST_SAMPLES = 512
"""From so many on every other one is dropped and the looks come half as often: a run may have no end."""
FEWEST_SAMPLES = 8
"""Of the second half: fewer do not make a slope."""
PER_BARS = 100_000
"""The unit of the slope."""

_STATM = Path("/proc/self/statm")
_BYTES_PER_MB = 1024 * 1024


def rss_mb() -> float | None:
    """Resident memory of this process now, in MiB; None where the system does not tell."""
    try:
        pages = _STATM.read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / _BYTES_PER_MB


class Footprint:
    """Resident memory over the pair-bars of a run, a bounded number of samples."""

    def __init__(self) -> None:
        self._every = SAMPLE_BARS
        self._next = 0
        self._bars: list[int] = []
        self._mb: list[float] = []

    def look(self, bars: int) -> None:
        """The run has come to so many pair-bars."""
        if bars < self._next:
            return
        self._next = bars + self._every
        now = rss_mb()
        if now is None:
            return
        self._bars.append(bars)
        self._mb.append(now)
        if len(self._bars) >= MOST_SAMPLES:
            self._bars, self._mb, self._every = self._bars[::2], self._mb[::2], 2 * self._every

    def slope(self) -> float | None:
        """MiB for each 100,000 pair-bars over the second half of the run; None where there are too few samples."""
        return slope_of(self._bars, self._mb)


def slope_of(bars: list[int], mb: list[float]) -> float | None:
    """Least squares over those samples that lie in the second half of the bars, in MiB for each 100,000 of them.

    >>> slope_of(list(range(0, 40_000, 1_000)), [50.0 + bars / 10_000 for bars in range(0, 40_000, 1_000)])
    10.0
    """
    half = [(x, y) for x, y in zip(bars, mb, strict=True) if 2 * x >= bars[-1]]
    if len(half) < FEWEST_SAMPLES:
        return None
    x, y = np.array(half).T
    away = x - x.mean()
    return round(float((away * (y - y.mean())).sum() / (away * away).sum()) * PER_BARS, 3)
