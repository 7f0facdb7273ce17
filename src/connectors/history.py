"""Loads recorded bars from a data folder into one History, checked, and ready to be replayed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ..core.clock import iso
from ..core.errors import NotFound, UsageError
from ..core.history import BarColumns, History, HistoryFeed, align
from ..core.names import pair_of
from ..core.timeframes import TimeRange, timeframe_ms
from ..core.types import Pair
from .bar_files import check_bars, read_parquet, release_read

__all__ = ["History", "HistoryFeed", "bar_path", "load_history", "only_venue", "pair_of_stem", "read_bars"]

# The one-minute perpetual is recorded with its turnover in quote currency: a property of that recording.
QUOTE_VOLUME_VENUES = frozenset({"perp"})


def load_history(
    data_dir: Path, venue: str, timeframe: str, pairs: Sequence[str] | None = None, timerange: TimeRange | None = None
) -> History:
    """The bars of `pairs` (None: of every pair that has some) whose opens lie in `timerange`.

    NotFound names what is there instead of what was asked for, DataError the file and row that cannot be believed.
    A pair that was asked for by name must have a bar in the range; without names such pairs are `left_out`.
    """
    interval_ms = timeframe_ms(timeframe)
    folder = _folder(data_dir, venue, timeframe)
    wanted = _wanted(folder, pairs)
    window = timerange or TimeRange()
    loaded = {pair: read_bars(bar_path(data_dir, venue, timeframe, pair), interval_ms, venue) for pair in wanted}
    release_read()
    inside = {pair: _inside(bars, window) for pair, bars in loaded.items()}
    empty = tuple(pair for pair in wanted if len(inside[pair].opened) == 0)
    if len(empty) == len(wanted) or (empty and pairs is not None):
        _no_bars(loaded, empty, window)
    history = align({pair: bars for pair, bars in inside.items() if pair not in empty}, interval_ms)
    return msgspec.structs.replace(history, left_out=empty)


def read_bars(path: Path, interval_ms: int, venue: str) -> BarColumns:
    """One file of the data folder, checked; volume in base units."""
    bars = read_parquet(path)
    check_bars(bars, interval_ms, path)
    if venue in QUOTE_VOLUME_VENUES:
        # Divided by the close, so that close x volume is again the turnover that was recorded.
        return msgspec.structs.replace(bars, volume=bars.volume / bars.close)
    return bars


def bar_path(data_dir: Path, venue: str, timeframe: str, pair: str) -> Path:
    """Where the bars of a pair stand; UsageError when `pair` is not BASE/QUOTE."""
    base, _, quote = pair_of(pair).partition("/")
    if any(mark in pair for mark in "\\-") or base.startswith("."):
        raise UsageError(f"pair {pair!r}: write BASE/QUOTE, for instance BTC/USDT")
    return data_dir / "ohlcv" / venue / timeframe / f"{base}-{quote}.parquet"


def pair_of_stem(stem: str) -> Pair | None:
    """`BTC-USDT` as the pair BTC/USDT; None when the name is not BASE-QUOTE."""
    base, _, quote = stem.partition("-")
    if not base or not quote or "-" in quote or base.startswith("."):
        return None
    return Pair(f"{base}/{quote}")


def only_venue(data_dir: Path) -> str:
    """The venue of a folder that holds one; UsageError lists them where there are more."""
    bars = data_dir / "ohlcv"
    venues = _subfolders(bars) if bars.is_dir() else []
    if not venues:
        raise NotFound(
            f"{data_dir}: no data folder (it has no ohlcv/VENUE/ in it); give --data, or import-data into it"
        )
    if len(venues) > 1:
        raise UsageError(f"{bars} holds {', '.join(venues)}: say which with --venue")
    return venues[0]


def _folder(data_dir: Path, venue: str, timeframe: str) -> Path:
    """The folder of a venue and timeframe; each level that is absent is named with what is there."""
    bars = data_dir / "ohlcv"
    if not bars.is_dir():
        raise NotFound(f"{data_dir}: no data folder (it has no ohlcv/ in it); give --data, or import-data into it")
    venues = _subfolders(bars)
    if venue not in venues:
        raise NotFound(f"{bars}: no venue {venue!r}; {_instead(venue, venues)}")
    timeframes = _subfolders(bars / venue)
    if timeframe not in timeframes:
        raise NotFound(f"{bars / venue}: no timeframe {timeframe!r}; {_instead(timeframe, timeframes)}")
    return bars / venue / timeframe


def _wanted(folder: Path, pairs: Sequence[str] | None) -> tuple[Pair, ...]:
    stems = (pair_of_stem(path.stem) for path in folder.glob("*.parquet"))
    there = sorted(pair for pair in stems if pair is not None)
    if not there:
        raise NotFound(f"{folder}: holds no BASE-QUOTE.parquet; fill it with import-data")
    if pairs is None:
        return tuple(there)
    if not pairs:
        raise UsageError("no pair was named; leave the pairs out to take all")
    for pair in pairs:
        if pair not in there:
            raise NotFound(f"{folder}: no pair {pair!r}; {_instead(pair, there)}")
    return tuple(sorted({Pair(pair) for pair in pairs}))


def _inside(bars: BarColumns, window: TimeRange) -> BarColumns:
    first = 0 if window.start_ms is None else int(bars.opened.searchsorted(window.start_ms))
    last = len(bars.opened) if window.end_ms is None else int(bars.opened.searchsorted(window.end_ms))
    return bars.rows(first, max(first, last))


def _no_bars(loaded: dict[Pair, BarColumns], empty: Sequence[Pair], window: TimeRange) -> None:
    first = min(int(loaded[pair].opened[0]) for pair in empty)
    last = max(int(loaded[pair].opened[-1]) for pair in empty)
    names = ", ".join(empty)
    raise NotFound(f"no bar of {names} in {window}; the first opens at {iso(first)}, the last at {iso(last)}")


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _instead(name: str, there: Iterable[str]) -> str:
    names = list(there)
    if not names:
        return "there is nothing yet; fill it with import-data"
    near = difflib.get_close_matches(name.upper(), [other.upper() for other in names], 1)
    hint = next((f", did you mean {other!r}?" for other in names if near and other.upper() == near[0]), "")
    return f"there is {', '.join(names)}{hint}"
