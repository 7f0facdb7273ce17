"""`mycelial lookahead-analysis` and `recursive-analysis`: what knew the future, and what depends on where it began."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

import msgspec
import numpy as np

from ..backtesting import report
from ..backtesting.evidence import tables
from ..backtesting.evidence.lookahead import Looked, Warmth, cuts_of, look_ahead, recursive
from ..backtesting.evidence.plain import plain
from ..connectors.unkept_ledger import UnkeptLedger
from ..core.bus import LocalBus
from ..core.clock import SimClock, iso
from ..core.config import Settings
from ..core.engine import Report
from ..core.errors import CheckFailed, UsageError
from ..core.history import HistoryFeed
from ..core.timeframes import DAY_MS, timeframe_ms
from ..core.types import Snapshot
from ..wiring import Plan, build
from . import common
from .finite import EvidenceOptions, finite_feed

_BUSY = frozenset({"order", "fill", "idea", "consensus", "deployment"})
"""Kinds of decisions at whose instants it is worth to cut."""


def analyse(options: EvidenceOptions, cuts: int | None) -> None:
    """Walk with the future cut off, again and again; CheckFailed (exit 6) when anything knew it."""
    settings = common.settings(options.config, options.env, options.sets).settings
    how = settings.validation
    feed = _newest(options, settings, how.cut_intervals)
    found = looked(feed, settings, options.seed, cuts or how.cuts)
    if options.json:
        culprits = [common.dated(one, "at", "cut") for one in found.culprits]
        common.out_json({"timerange": _range(feed), **plain(found), "culprits": culprits})
    else:
        if found.culprits:
            report.terminal(sys.stdout).print(tables.culprits_table(found))
        said = f"{found.cuts} cuts, {found.slices} slices compared, {len(found.culprits)} culprits"
        common.out(f"{said}; {' to '.join(_range(feed))}")
    if found.culprits:
        first = found.culprits[0]
        raise CheckFailed(
            f"{first.stage}: {first.who} ({first.what}) at {iso(first.at)} is {first.with_future} with the future "
            f"and {first.without} without it"
        )


def looked(feed: HistoryFeed, settings: Settings, seed: int, count: int) -> Looked:
    """Compare the whole walk over a feed with `count` shorter ones."""
    times = feed.history.times.tolist()
    whole = list(_walk(feed, settings, seed))
    busy = [one.at for one in whole if any(line.kind in _BUSY for line in one.decisions)]

    def walk(until: int) -> Iterable[Report]:
        return whole if until == times[-1] else _walk(_until(feed, until), settings, seed)

    return look_ahead(walk, times[-1], cuts_of(times, busy, count))


def _walk(feed: HistoryFeed, settings: Settings, seed: int, empty: bool = False) -> Iterable[Report]:
    """A run built anew over these days; `empty`: without anybody in it, for those who want to see the market alone."""
    clock = SimClock()
    plan = Plan(feed.pairs, feed.interval_ms, seed, kinds=()) if empty else Plan(feed.pairs, feed.interval_ms, seed)
    with closing(LocalBus(clock, settings.bus)) as bus:
        house = build(settings, plan, clock, bus, UnkeptLedger(), feed.history)
        for slice_ in feed:
            yield house.engine.on_slice(slice_)


def _until(feed: HistoryFeed, at: int) -> HistoryFeed:
    """As if nothing had happened after `at`."""
    return HistoryFeed(feed.history.cut(at), [seen for seen in feed.observations if seen.known_at <= at])


def _newest(options: EvidenceOptions, settings: Settings, intervals: int) -> HistoryFeed:
    """The days asked for, or the newest `intervals` rows of all there are."""
    given = options.data is not None or bool(os.environ.get("MYCELIAL_DATA"))
    if not given and options.days is None:
        days = -(-intervals * timeframe_ms(settings.simulated.timeframe) // DAY_MS)
        feed = finite_feed(msgspec.structs.replace(options, days=days), settings)
    else:
        feed = finite_feed(options, settings)
    if not isinstance(feed, HistoryFeed):
        raise UsageError("the analysis needs bars: import the recorded trades with `mycelial import-data` first")
    rows = len(feed.history.times)
    if options.timerange is not None or options.days is not None or rows <= intervals:
        return feed
    common.say(f"the newest {intervals} of {rows} bars; choose others by --timerange")
    return HistoryFeed(feed.history.rows(rows - intervals, rows), feed.observations)


def _range(feed: HistoryFeed) -> list[str]:
    covered = feed.history.timerange
    return [iso(covered.start_ms or 0), iso(covered.end_ms or 0)]


def analyse_warmups(options: EvidenceOptions, warmups: str | None) -> None:
    """Compare features after several warm-ups; CheckFailed (exit 6) when one needs more than the longest but one."""
    settings = common.settings(options.config, options.env, options.sets).settings
    how = settings.validation
    rows = how.warmups if warmups is None else _rows(warmups)
    feed = _newest(options, settings, max(rows))
    found = recursive(_last(feed, settings, options.seed), rows, how.warmup_tolerance)
    if options.json:
        body = {"timerange": _range(feed), "warmups": list(rows), "tolerance": how.warmup_tolerance}
        common.out_json({**body, "features": [{**plain(one), **_reason(one)} for one in found]})
    else:
        report.terminal(sys.stdout).print(tables.warmth_table(found, rows))
    _refuse_unsettled(found, rows)


def _rows(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--warmups {text!r}: write numbers of bars, 50,100,200") from None


def _last(feed: HistoryFeed, settings: Settings, seed: int) -> Callable[[int], Snapshot]:
    history, size = feed.history, len(feed.history.times)

    def walk(rows: int) -> Snapshot:
        if not 0 < rows <= size:
            raise UsageError(f"recursive: a warm-up of {rows} bars, there are {size}; take a longer range")
        part = HistoryFeed(history.rows(size - rows, size), feed.observations)
        *_, last = _walk(part, settings, seed, empty=True)
        return last.snapshot

    return walk


def _reason(one: Warmth) -> dict[str, str]:
    return {} if np.isfinite(one.deviations).all() else {"reason": "not known after so few bars"}


def _refuse_unsettled(found: Sequence[Warmth], rows: Sequence[int]) -> None:
    worst = [one for one in found if one.enough is None and np.isfinite(one.deviations[-1])]
    if worst:
        told = ", ".join(f"{one.feature} (off by {one.deviations[-2]:.3g})" for one in worst)
        raise CheckFailed(f"after {rows[-2]} bars not settled: {told}")
