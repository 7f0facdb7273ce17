"""`mycelial list-data` and `import-data`: what the data folder holds, and how bars come into it."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import NotFound, UsageError


def only_venue(folder: Path) -> str:
    """The venue of a data folder that has one; NotFound or UsageError with what is there otherwise."""
    bars = folder / "ohlcv"
    if not bars.is_dir():
        raise NotFound(f"{folder}: no data folder (it has no ohlcv/ in it); give --data, or import-data into it")
    venues = sorted(path.name for path in bars.iterdir() if path.is_dir())
    if not venues:
        raise NotFound(f"{bars}: it is empty; import-data brings bars into it")
    if len(venues) > 1:
        raise UsageError(f"{bars}: choose one with --venue: {', '.join(venues)}")
    return venues[0]
