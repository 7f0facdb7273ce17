"""How strongly the moats speak together: points for each, and a word for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from .config import MoatStrength

STRONG, MODERATE, WEAK, NONE = "strong", "moderate", "weak", "none"
VERDICTS = ("NONE", "WEAK", "MODERATE", "STRONG", "VERY STRONG")
"""By the number of strong moats: none, one, two, three, four or more."""


def strength(readings: Sequence[float], settings: MoatStrength) -> float:
    """Points in [0, 100]: the mean |z| of the last readings as a share of `full_z`, where 100 ends it.

    No readings give 0. With `full_z` 3 a moat is strong (70 points) from a mean of 2.1 standard deviations on.
    """
    last = readings[-settings.readings :]
    if not last:
        return 0.0
    return min(100.0, 100.0 * sum([abs(z) for z in last]) / (len(last) * settings.full_z))


def grade(points: float, settings: MoatStrength) -> str:
    """What a moat of so many points is called: strong, moderate, weak or none."""
    if points >= settings.strong_points:
        return STRONG
    if points >= settings.moderate_points:
        return MODERATE
    return WEAK if points >= settings.weak_points else NONE


def verdict(strong: int) -> str:
    """The word for a number of strong moats.

    >>> [verdict(n) for n in (0, 1, 2, 3, 4, 5)]
    ['NONE', 'WEAK', 'MODERATE', 'STRONG', 'VERY STRONG', 'VERY STRONG']
    """
    return VERDICTS[min(strong, len(VERDICTS) - 1)]
