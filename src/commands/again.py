"""Walks a recorded run once more through the code that lies around this file, whichever version that is.

It is called in this process, or as a program, `python -m src.commands.again JOB OUT`, in a copy of another commit.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ..connectors.config_files import declared, load
from ..connectors.unkept_ledger import UnkeptLedger
from ..core.bus import LocalBus
from ..core.canonical import encode
from ..core.clock import SimClock
from ..core.config import Settings
from ..core.engine import Engine, Report
from ..core.errors import MycelialError
from ..core.history import HistoryFeed
from ..core.inputs import Data, bars_digits, quoted_digits, said_digits
from ..core.messages import AnyMessage
from ..core.ports import Foreign
from ..core.records import decision_fields
from ..core.types import Command, Slice
from ..services.recovery import OWN_SOURCES, by_slice
from ..wiring import Plan, build
from . import common
from .feeds import Source, open_source
from .options import ProcessOptions


class Outside(msgspec.Struct, frozen=True):
    """A message of another producer, and the slice it came in."""

    at: int
    channel: str
    producer: str
    message: AnyMessage
    epoch: int
    seq: int


class Job(msgspec.Struct, frozen=True):
    """What is to be walked: the conditions of then, what is to be otherwise, and what came from outside.

    `settings` by dotted name; with a `config` file they do not count. `folder` holds the recorded days of `data`.
    """

    feed: str
    seed: int
    settings: dict[str, object]
    commands: list[tuple[int, Command]]
    foreign: list[Outside]
    down: list[int]
    until: int
    data: Data | None = None
    folder: str | None = None
    config: str | None = None
    env: str | None = None
    sets: list[str] = []
    withheld: dict[str, str] = {}
    mode: str = ""


def settings_of(job: Job) -> Settings:
    """The settings of then with the changes asked for; what this version does not know is left out, and said."""
    if job.config is not None:
        return load(Path(job.config), job.env, os.environ, job.sets).settings
    tree = _plain(load(None, job.env, {}, ()).settings)
    unknown = [name for name in job.settings if not _put(tree, name, job.settings[name])]
    if unknown:
        common.say(f"not known to this version, left out: {', '.join(sorted(unknown))}")
    asked = _plain(load(None, job.env, {}, job.sets).settings)
    for name in (given.partition("=")[0].strip() for given in job.sets):
        _put(tree, name, _leaf(asked, name))
    return Settings.model_validate_json(json.dumps(tree), strict=True)


def _plain(settings: Settings) -> dict[str, Any]:
    return dict(json.loads(settings.model_dump_json()))


def _leaf(tree: dict[str, Any], name: str) -> Any:
    value: Any = tree
    for step in name.split("."):
        value = value[step]
    return value


def _put(tree: dict[str, Any], name: str, value: object) -> bool:
    """Whether there is such a setting; it has that value now."""
    if name not in declared():
        return False
    *path, last = name.split(".")
    section = tree
    for step in path:
        section = section[step]
    section[last] = value
    return True


def walk(job: Job) -> Iterator[dict[str, Any]]:
    """What came of each slice up to `until`, as `differences.Told` reads it."""
    settings = settings_of(job)
    source = open_source(_options(job), settings)
    feed, clock = source.feed, SimClock()
    history = feed.history if isinstance(feed, HistoryFeed) else getattr(feed, "history", None)
    simulation = source.name == "simulated"
    plan = Plan(source.pairs, source.interval_ms, job.seed, simulation=simulation, mode=job.mode)
    with closing(LocalBus(clock, settings.bus)) as bus:
        house = build(settings, plan, clock, bus, UnkeptLedger(), history)
        for slice_, report in _reports(house.engine, source, job):
            yield _told(slice_, report)


def _options(job: Job) -> ProcessOptions:
    data = job.data or Data("")
    return ProcessOptions(
        feed=job.feed,
        data=None if job.folder is None else Path(job.folder),
        venue=data.venue,
        timeframe=data.timeframe,
        timerange=data.timerange,
        pairs=data.pairs,
        seed=job.seed,
        bus="local",
    )


def _reports(engine: Engine, source: Source, job: Job) -> Iterator[tuple[Slice, Report]]:
    """Like a restart that catches up: what came from outside comes in the slice it came in.

    Not by `catch_up`: that of another version gives no reports.
    """
    commands = by_slice((at, command) for at, command in job.commands if command.source not in OWN_SOURCES)
    outside = [(o.at, Foreign(o.channel, o.producer, o.message, o.epoch, o.seq)) for o in job.foreign]
    foreign, down = by_slice(outside), frozenset(job.down)
    engine.outbound.withheld = job.withheld
    for slice_ in source.after(None):
        if slice_.at > job.until:
            return
        for command in commands.get(slice_.at, ()):
            engine.inbox.put(command)
        engine.recalled.extend(foreign.get(slice_.at, ()))
        engine.bus_was_down = slice_.at in down
        report = engine.on_slice(slice_)
        engine.bus_was_down = engine.stopping = False
        engine.ends_at = None
        yield slice_, report


def _told(slice_: Slice, report: Report) -> dict[str, Any]:
    said = [(said_digits(one), f"{one.source} {one.subject} {one.id}") for one in slice_.observations]
    lines = [msgspec.Raw(encode(decision_fields(line))) for line in report.decisions]  # as every version can
    quoted = quoted_digits(slice_.spreads) if hasattr(slice_, "spreads") else None  # not every version knows quotes
    return {"at": slice_.at, "lines": lines, "bars": bars_digits(slice_.bars), "said": said, "quoted": quoted}


def main(job: str, out: str) -> None:
    """Read the job, write one line a slice; a mistake is said in one line."""
    try:
        with Path(out).open("wb") as file:
            for told in walk(msgspec.json.decode(Path(job).read_bytes(), type=Job)):
                file.write(msgspec.json.encode(told) + b"\n")
    except MycelialError as error:
        common.say(str(error))
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
