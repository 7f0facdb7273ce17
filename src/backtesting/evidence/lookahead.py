"""Finds what a run could not have known: walk the same days with the future cut off, and nothing before may change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from ...core.engine import Report
from ...core.errors import UsageError
from ...core.indicator_plan import INDICATORS
from ...core.market import FEATURES
from ...core.types import Decision, FloatArray, Order, Snapshot

Walk = Callable[[int], Iterable[Report]]
"""Walks the days up to an instant (UTC ms, included) as if there were none later; everything is built anew."""

STAGES = ("features", "indicators", "volatility", "agents", "memory", "gate", "orders")
"""Where a difference can begin, in the order in which a slice passes them."""

_GATE = frozenset({"refusal", "order", "fill", "intent"})
_ADVICE = "memory_advises_against"


class Culprit(msgspec.Struct, frozen=True):
    """The first thing that knew the future: at which slice, in which stage, who, what, and the two values.

    `cut` is the last instant of the shorter walk; `with_future` and `without` are the values as text.
    """

    at: int
    cut: int
    stage: str
    who: str
    what: str
    with_future: str
    without: str


class Looked(msgspec.Struct, frozen=True):
    """What an analysis found: how many cuts and slices were compared, and the first culprit of each stage."""

    cuts: int
    slices: int
    culprits: tuple[Culprit, ...]


class _Trace(msgspec.Struct, frozen=True):
    """What is kept of one slice."""

    at: int
    snapshot: Snapshot
    decisions: tuple[Decision, ...]
    orders: tuple[Order, ...]


def look_ahead(walk: Walk, end: int, cuts: Sequence[int]) -> Looked:
    """Compare the whole walk to `end` with one to each of `cuts` (UTC ms), slice by slice.

    Of each cut the first difference counts, for what comes later may follow from it; of all cuts, the earliest of each
    name. Where several things look ahead, mend the one that is named and look again.
    UsageError without cuts, or for one that is not before `end`.
    """
    if not cuts or max(cuts) >= end:
        raise UsageError("look-ahead: needs at least one cut before the end; take a longer range")
    whole = _traces(walk(end), max(cuts))
    found: list[Culprit] = []
    compared = 0
    for cut in sorted(set(cuts)):
        for place, short in enumerate(_iterate(walk(cut))):
            compared += 1
            difference = _difference(whole[place] if place < len(whole) else None, short, cut)
            if difference is not None:
                found.append(difference)
                break
    return Looked(len(set(cuts)), compared, _earliest(found))


def cuts_of(times: Sequence[int], busy: Sequence[int], count: int) -> tuple[int, ...]:
    """Where to cut `times` (rising): half at instants when something happened (`busy`), half evenly, at most `count`.

    >>> cuts_of(range(10, 100, 10), [40, 50], 4)
    (20, 40, 50, 70)
    """
    inner = list(times[:-1])
    if not inner:
        return ()
    known = [at for at in busy if inner[0] <= at <= inner[-1]]
    chosen = {*_spread(known, count // 2)}
    chosen |= {*_spread([at for at in inner if at not in chosen], count - len(chosen))}
    return tuple(sorted(chosen))


def _spread(values: Sequence[int], count: int) -> list[int]:
    """At most `count` of them at even distances, the middles of as many equal parts."""
    if count <= 0 or not values:
        return []
    parts = min(count, len(values))
    return [values[(2 * part + 1) * len(values) // (2 * parts)] for part in range(parts)]


def _traces(reports: Iterable[Report], until: int) -> list[_Trace]:
    kept = []
    for trace in _iterate(reports):
        if trace.at > until:
            break
        kept.append(trace)
    return kept


def _iterate(reports: Iterable[Report]) -> Iterator[_Trace]:
    for report in reports:
        yield _Trace(report.at, report.snapshot, report.decisions, report.orders)


def _difference(whole: _Trace | None, short: _Trace, cut: int) -> Culprit | None:
    """The first difference of one slice, in the order in which the slice passed the stages."""
    if whole is None or whole.at != short.at:
        there = "no slice" if whole is None else str(whole.at)
        return Culprit(short.at, cut, "features", "feed", "slice", there, str(short.at))
    return _arrays(whole, short, cut) or _decisions(whole, short, cut) or _orders(whole, short, cut)


def _arrays(whole: _Trace, short: _Trace, cut: int) -> Culprit | None:
    one, other = whole.snapshot, short.snapshot
    tables: list[tuple[str, FloatArray, FloatArray, Sequence[str]]] = [
        ("features", one.features, other.features, FEATURES),
        ("indicators", one.indicators, other.indicators, INDICATORS),
        ("volatility", one.volatility[:, None], other.volatility[:, None], ("volatility",)),
    ]
    for stage, full, part, names in tables:
        if full.tobytes() == part.tobytes():
            continue
        differing = (full != part) & ~(np.isnan(full) & np.isnan(part))
        if not differing.any():
            continue
        pair, column = (int(place) for place in np.argwhere(differing)[0])
        values = repr(float(full[pair, column])), repr(float(part[pair, column]))
        return Culprit(short.at, cut, stage, names[column], str(one.pairs[pair]), *values)
    return None


def _decisions(whole: _Trace, short: _Trace, cut: int) -> Culprit | None:
    if whole.decisions == short.decisions:
        return None
    both = zip(_padded(whole.decisions, short.decisions), _padded(short.decisions, whole.decisions), strict=True)
    full, part = next((one, other) for one, other in both if one != other)
    known = full if full is not None else part
    assert known is not None  # one of the two is longer where the other has ended
    return Culprit(short.at, cut, _stage(known), _who(known), _what(known), _shown(full), _shown(part))


def _orders(whole: _Trace, short: _Trace, cut: int) -> Culprit | None:
    if whole.orders == short.orders:
        return None
    return Culprit(short.at, cut, "orders", "supervisor", "orders", repr(whole.orders), repr(short.orders))


def _padded(lines: Sequence[Decision], others: Sequence[Decision]) -> list[Decision | None]:
    return [*lines, *([None] * (len(others) - len(lines)))]


def _stage(line: Decision) -> str:
    if line.reason == _ADVICE:
        return "memory"
    return "gate" if line.kind in _GATE else "agents"


def _who(line: Decision) -> str:
    return line.source or line.kind


def _what(line: Decision) -> str:
    return " ".join([line.kind, *([] if line.pair is None else [str(line.pair)])])


def _shown(line: Decision | None) -> str:
    return "nothing" if line is None else repr(line)


def _earliest(found: Sequence[Culprit]) -> tuple[Culprit, ...]:
    """The earliest of each stage and name, in the order of stages."""
    first: dict[tuple[str, str], Culprit] = {}
    for one in found:
        key = one.stage, one.who
        if key not in first or one.at < first[key].at:
            first[key] = one
    return tuple(sorted(first.values(), key=lambda one: (STAGES.index(one.stage), one.at, one.who)))


class Warmth(msgspec.Struct, frozen=True):
    """How far a feature at the last row still depends on how many rows came before it.

    `deviations` (warm-ups,): the largest difference over pairs from the value after the longest warm-up, as a ratio
    of the larger of 1 and its size; NaN where the feature is not known yet. `enough`: the shortest warm-up from which
    on it stays within the tolerance; None where only the longest does.
    """

    feature: str
    deviations: tuple[float, ...]
    enough: int | None


WarmWalk = Callable[[int], Snapshot]
"""The last snapshot of a walk over the last `rows` rows before its end."""


def recursive(walk: WarmWalk, warmups: Sequence[int], tolerance: float) -> tuple[Warmth, ...]:
    """Walk with each number of rows before the same end and compare the last snapshot's features.

    `warmups` rising, at least two; UsageError otherwise.
    """
    if len(warmups) < 2 or list(warmups) != sorted(set(warmups)):
        raise UsageError("recursive: needs at least two warm-ups, each longer than the one before")
    found = [walk(rows).features for rows in warmups]
    columns = ([table[:, place] for table in found] for place in range(len(FEATURES)))
    return tuple(_warmth(name, column, warmups, tolerance) for name, column in zip(FEATURES, columns, strict=True))


def _warmth(name: str, columns: Sequence[FloatArray], warmups: Sequence[int], tolerance: float) -> Warmth:
    last = columns[-1]
    deviations = tuple(_deviation(column, last) for column in columns)
    good = [value <= tolerance for value in deviations]  # NaN is not
    enough = next((rows for place, rows in enumerate(warmups) if all(good[place:])), None)
    return Warmth(name, deviations, None if enough == warmups[-1] else enough)


def _deviation(column: FloatArray, last: FloatArray) -> float:
    known = np.isfinite(last)
    if not known.any():
        return math.nan
    apart = np.abs(column[known] - last[known]) / np.maximum(1.0, np.abs(last[known]))
    return float(apart.max())
