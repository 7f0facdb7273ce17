"""Finds the first decision, and the first input, in which a run and its replay differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from ..core.clock import iso
from ..core.inputs import DIGITS

OUTSIDE = frozenset({"dead_letter"})
"""Kinds of lines that tell what somebody outside did wrong; nobody is told it again, and nothing follows from it."""

NOTHING = "nothing"


class Told(msgspec.Struct, frozen=True):
    """What a replay made of one slice: lines as the record writes them, fingerprints of bars, and what was said.

    `said` holds a fingerprint and a name for each observation, `quoted` the fingerprint of the quotes; None where the
    version that walked knew none.
    """

    at: int
    lines: list[msgspec.Raw]
    bars: str
    said: list[tuple[str, str]] = []
    quoted: str | None = None


class Input(msgspec.Struct, frozen=True):
    """The first thing the replay saw otherwise: in which slice, of what kind, of whom, and what is the matter."""

    at: str
    kind: str
    who: str
    says: str


class Difference(msgspec.Struct, frozen=True):
    """The first decision that differs; `agent` made it. `input` is what it saw otherwise, None: it saw the same."""

    at: str
    agent: str
    kind: str
    pair: str | None
    says: str
    input: Input | None
    recorded: dict[str, Any] | None
    replayed: dict[str, Any] | None


class Compared(msgspec.Struct, frozen=True):
    """What the comparison came to; it ends with the slice of the first decision that differs."""

    slices: int
    decisions: int
    difference: Difference | None
    input: Input | None


class Record(msgspec.Struct, frozen=True):
    """The recorded side, by slice (UTC ms): lines, fingerprints of bars, of observations, of quotes."""

    pairs: Sequence[str]
    lines: Mapping[int, Sequence[bytes]]
    bars: Mapping[int, str]
    said: Mapping[int, Sequence[str]]
    quoted: Mapping[int, str] = {}


def compare(record: Record, replay: Iterable[Told]) -> Compared:
    """Slice by slice, up to the first decision that differs or the end of both."""
    waiting = sorted(record.lines.keys() | record.bars.keys() | record.said.keys())
    place = slices = decisions = 0
    seen: Input | None = None
    for told in replay:
        missed = []
        while place < len(waiting) and waiting[place] <= told.at:
            missed += [waiting[place]] if waiting[place] < told.at else []
            place += 1
        seen = seen or _skipped(record, missed) or _input(record, told)
        for at in missed:
            if (found := _lines(at, record.lines.get(at, ()), (), seen)) is not None:
                return Compared(slices, decisions, found, seen)
        slices += 1
        decisions += len(told.lines)
        if (found := _lines(told.at, record.lines.get(told.at, ()), told.lines, seen)) is not None:
            return Compared(slices, decisions, found, seen)
    rest = waiting[place:]
    seen = seen or _skipped(record, rest)
    late = (_lines(at, record.lines.get(at, ()), (), seen) for at in rest)
    return Compared(slices, decisions, next((one for one in late if one is not None), None), seen)


def _lines(at: int, recorded: Sequence[bytes], told: Sequence[msgspec.Raw], seen: Input | None) -> Difference | None:
    before, now = _inside(recorded), _inside([bytes(line) for line in told])
    if before == now:
        return None
    one, other = next(pair for pair in zip_longest(before, now) if pair[0] != pair[1])
    known, again = (None if line is None else msgspec.json.decode(line, type=dict[str, Any]) for line in (one, other))
    which = known or again or {}
    return Difference(
        at=iso(at),
        agent=_agent(known or {}, again or {}),
        kind=str(which.get("kind", "")),
        pair=which.get("pair"),
        says="same input, other decision" if seen is None else f"other input: {seen.says}",
        input=seen,
        recorded=known,
        replayed=again,
    )


def _inside(lines: Sequence[bytes]) -> list[bytes]:
    marks = [b'"kind":"%s"' % kind.encode() for kind in OUTSIDE]
    return [line for line in lines if not any(mark in line for mark in marks)]


def _agent(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Whose line it is, and where the voters of an idea differ, these."""
    source = str((one or other).get("source") or (one or other).get("kind"))
    voters = sorted(set(one.get("voters", ())) ^ set(other.get("voters", ())))
    return f"{source} ({', '.join(voters)})" if voters else source


def _skipped(record: Record, times: Sequence[int]) -> Input | None:
    """A recorded slice that the replay has not at all."""
    for at in times:
        if at in record.bars or at in record.said:
            return Input(iso(at), "slice", "feed", f"the slice of {iso(at)} is not in the replay")
    return None


def _input(record: Record, told: Told) -> Input | None:
    """What the replay saw otherwise in this slice; a slice of whose input nothing was kept is not compared."""
    if told.at not in record.bars and told.at not in record.said:
        return None
    return _bars(record, told) or _said(record, told) or _quoted(record, told)


def _bars(record: Record, told: Told) -> Input | None:
    before, at = record.bars.get(told.at, ""), iso(told.at)
    if before == told.bars:
        return None
    if len(before) != len(told.bars):
        word = "no bars were recorded" if not before else "there are no bars" if not told.bars else "other pairs"
        return Input(at, "bar", "feed", f"the slice of {at}: {word}")
    marks = [(text[place : place + DIGITS]) for text in (before, told.bars) for place in range(0, len(text), DIGITS)]
    count = len(marks) // 2
    place = next(place for place in range(count) if marks[place] != marks[place + count])
    none, pair = "0" * DIGITS, record.pairs[place]
    lost = "is missing" if marks[place + count] == none else "was not there" if marks[place] == none else "was another"
    return Input(at, "bar", pair, f"the bar of {pair} known at {at} {lost}")


def _quoted(record: Record, told: Told) -> Input | None:
    before, at = record.quoted.get(told.at, ""), iso(told.at)
    if told.quoted is None or before == told.quoted:
        return None
    word = "were not there" if not before else "are missing" if not told.quoted else "were others"
    return Input(at, "quote", "feed", f"the quotes known at {at} {word}")


def _said(record: Record, told: Told) -> Input | None:
    before, now = list(record.said.get(told.at, ())), [mark for mark, _ in told.said]
    if before == now:
        return None
    at = iso(told.at)
    for mark, name in told.said:
        if mark not in before:
            return Input(at, "observation", name, f"the observation {name} known by {at} was another, or not there")
    return Input(at, "observation", "feed", f"{len(before)} observations were known by {at}, now {len(now)}")
