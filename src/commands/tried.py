"""The candidates that walk-forward and cross-validation choose among: finished runs, or a grid of settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import msgspec
import numpy as np

from ..backtesting.evidence import record as records
from ..backtesting.evidence.record import ACCOUNT
from ..backtesting.evidence.splits import horizon_days
from ..backtesting.runs import LAST, find_run
from ..core.config import Settings
from ..core.errors import UsageError
from ..core.types import FloatArray, IntArray, Stream
from . import common
from .arms import Arm, Walked, walk_arms
from .finite import EvidenceOptions, finite_feed


class TriedOptions(EvidenceOptions, frozen=True, kw_only=True):
    """Arguments of `walk-forward` and `cpcv`. `runs` or `grid`; without either, the last run."""

    runs: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    book: str | None = None


class Tried(msgspec.Struct, frozen=True):
    """Daily returns (days, m) of candidates by name; `purge_days`: how far their ideas look ahead."""

    names: tuple[str, ...]
    book: str
    days: IntArray
    returns: FloatArray
    purge_days: int


def tried(options: TriedOptions, settings: Settings) -> Tried:
    """Read or walk them; UsageError for runs of different days, or arguments that do not go together."""
    if not options.grid:
        _refuse_data(options)
        return _recorded(options)
    if options.runs:
        raise UsageError("--grid walks the market anew: give finished runs, or --grid, not both")
    return _walked(options, settings)


def _refuse_data(options: TriedOptions) -> None:
    for flag in ("data", "venue", "timeframe", "pairs", "timerange", "days"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag} belongs to --grid LEAF=V1,V2; finished runs have their own days")


def _recorded(options: TriedOptions) -> Tried:
    folders = [find_run(common.RUNS, name) for name in options.runs or (LAST,)]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("one run is named twice")
    found = [records.read(folder) for folder in folders]
    book = options.book or ACCOUNT
    returns = records.candidates(found, book)
    names = tuple(folder.name for folder in folders)
    return Tried(names, book, found[0].days, returns, max(records.purge_days(one) for one in found))


def _walked(options: TriedOptions, settings: Settings) -> Tried:
    arms = [_arm(options, words) for words in cells(options.grid)]
    feed = finite_feed(options, settings)
    walked = walk_arms(arms, feed, options.jobs)
    book = options.book or Stream.SYNTHESIZED.value
    returns = np.stack([_book(one, book) for one in walked], axis=1)
    longest = max(one.intervals for arm in arms for one in arm.settings.learners.horizons)
    purge = horizon_days(longest, feed.interval_ms)
    return Tried(tuple(arm.name for arm in arms), book, walked[0].days, returns, purge)


def _arm(options: TriedOptions, words: tuple[str, ...]) -> Arm:
    loaded = common.settings(options.config, options.env, (*options.sets, *words))
    return Arm(", ".join(words), loaded.settings, options.seed)


def _book(walked: Walked, book: str) -> FloatArray:
    if book not in walked.returns:
        raise UsageError(f"--book {book!r}: choose {', '.join(walked.returns)}")
    return walked.returns[book]


def cells(grid: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of a grid as words of --set.

    >>> cells(["a.b=1,2", "c.d=x"])
    [('a.b=1', 'c.d=x'), ('a.b=2', 'c.d=x')]
    """
    return list(product(*[_words(one) for one in grid]))


def _words(one: str) -> list[str]:
    name, _, values = one.partition("=")
    found = [value.strip() for value in values.split(",")]
    if not name or not all(found):
        raise UsageError(f"--grid {one!r}: write LEAF=V1,V2, for instance learners.entry_score=0.5,0.6")
    return [f"{name}={value}" for value in found]
