"""A plateau has no slope, a leak has its own, and the samples stay few however long a run is."""

from __future__ import annotations

from mmap import mmap

import pytest

from src.backtesting.footprint import MOST_SAMPLES, SAMPLE_BARS, Footprint, rss_mb, slope_of

pytestmark = pytest.mark.skipif(rss_mb() is None, reason="this system does not tell the resident memory")

MB = 1024 * 1024


def test_the_slope_is_that_of_the_second_half() -> None:
    bars = list(range(0, 100_000, 2_000))
    warming = [min(300.0, 100.0 + at / 200) for at in bars]
    assert slope_of(bars, warming) == 0.0
    assert slope_of(bars, [200.0 - at / 50_000 for at in bars]) == -2.0


def test_too_few_samples_make_no_slope() -> None:
    assert slope_of([0, 1, 2], [1.0, 2.0, 3.0]) is None
    assert Footprint().slope() is None


def test_what_is_kept_shows_as_growth() -> None:
    """One MiB, touched, at every look: so many looks fit into 100,000 pair-bars. Pages of its own, for an allocator
    would hand out what an earlier test gave back to it."""
    footprint, kept = Footprint(), []
    for step in range(40):
        kept.append(mmap(-1, MB))
        kept[-1].write(b"1" * MB)
        footprint.look(step * SAMPLE_BARS)
    slope = footprint.slope()
    assert slope is not None
    assert slope == pytest.approx(100_000 / SAMPLE_BARS, rel=0.2)
    assert len(kept) == 40


def test_a_run_without_end_keeps_few_samples() -> None:
    footprint = Footprint()
    for step in range(5 * MOST_SAMPLES):
        footprint.look(step * SAMPLE_BARS)
    assert len(footprint._bars) < MOST_SAMPLES
    assert footprint._bars[-1] > 4 * MOST_SAMPLES * SAMPLE_BARS
