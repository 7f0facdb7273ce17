"""Many independent runs side by side against one after another, each from the start of its interpreter."""

from __future__ import annotations

import os

from .measure import Measured, Parts, Sizes, alternated, seconds_of


def against_serial(parts: Parts, sizes: Sizes) -> Measured:
    """Seconds of so many small runs on as many processes as there are cores, two at least, and on one."""
    jobs = max(2, os.cpu_count() or 2)
    together, alone = alternated(
        sizes.runs,
        lambda: seconds_of(parts.timer, lambda: parts.runs(sizes.small_runs, sizes.small_bars, jobs)),
        lambda: seconds_of(parts.timer, lambda: parts.runs(sizes.small_runs, sizes.small_bars, 1)),
    )
    return Measured(together, alone)
