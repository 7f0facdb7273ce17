"""What one cycle of the supervisor costs: every policy on, a hundred positions, orders and prices that change."""

from __future__ import annotations

from .measure import MILLISECONDS, Measured, Parts, Sizes, alternated, each_seconds, percentile

POSITIONS = 100
"""Of the goal; part of the instrument."""
SLOWEST_PERCENT = 99.0


def hundred_positions(parts: Parts, sizes: Sizes) -> Measured:
    """The 99th percentile of milliseconds of a cycle, by rounds."""

    def contest() -> float:
        step = parts.cycle(POSITIONS)
        return MILLISECONDS * percentile(each_seconds(parts.timer, step, sizes.slices), SLOWEST_PERCENT)

    (found,) = alternated(sizes.runs, contest)
    return Measured(found)
