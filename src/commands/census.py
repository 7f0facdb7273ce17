"""`mycelial census`: who lives in the running process, or would live in a run with these settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..agents.population import members, society
from ..backtesting.findings import pattern_ends
from ..connectors.memory_ledger import MemoryLedger
from ..core.bus import LocalBus
from ..core.clock import SimClock
from ..core.config import Settings
from ..core.errors import NotFound, NotRunning, UsageError
from ..core.timeframes import timeframe_ms
from ..core.types import Pair
from ..wiring import Plan, build
from . import common
from .control import answer_of
from .stories import story_of

Member = dict[str, Any]
_DEEPEST = 10
"""Of the page: how far a line moves to the right."""


COLUMNS = ("class", "team", "moat", "pair")
"""By what the population is counted."""


def run(
    state: Path | None,
    pairs: str | None,
    run: str | None,
    lineage: bool,
    config: Path | None,
    env: str | None,
    sets: Sequence[str],
    json: bool,
) -> None:
    """Print the population by class, team, moat and pair; with `lineage` where each learner comes from."""
    found = _of_run(run, state, pairs) if run is not None else _running(state) if pairs is None else None
    if found is None:
        found = _planned(common.settings(config, env, sets).settings, common.split(pairs))
    living = found.pop("members")
    together = found.pop("society", {})
    found |= {f"by_{column}": _counted(living, column) for column in COLUMNS[1:]}
    found |= {"toxic_since": together.get("toxic", {}), "learning": together.get("learning", {})}
    if lineage:
        found |= {"lineage": lineage_of(living), "exchanges": together.get("exchanges", [])}
    if json:
        common.out_json(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    common.out(f"census of {found['of']}")
    for name, count in found["census"].items():
        common.out(f"{name:20} {count:6}")
    for column in COLUMNS[1:]:
        counts = ", ".join(f"{name} {count}" for name, count in found[f"by_{column}"].items())
        common.out(f"by {column:17} {counts or '-'}")
    if found["toxic"]:
        common.out(f"of the learners {found['toxic']} are poisoned on purpose (haven.toxic_ratio): an experiment")
        for name, since in found["toxic_since"].items():
            common.out(f"  {name} since {since}")
    for line in judged(found["learning"]):
        common.out(line)
    if "lineage" in found:
        for line in (*tree(found["lineage"]), *exchanged(found["exchanges"])):
            common.out(line)


def judged(learning: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """What became of the patterns that learners put before the researchers, in two lines; none where there are none."""
    ends = pattern_ends(learning)
    if ends:
        yield f"patterns requested {sum(ends.values())}: {', '.join(f'{name} {n}' for name, n in ends.items())}"
        why = ", ".join(f"{reason} {count}" for reason, count in learning.get("undecided", {}).items())
        yield f"undecided because: {why or '-'}"


def exchanged(exchanges: Sequence[Member]) -> Iterator[str]:
    """Who took from whom in the newest round, the largest gains first; nothing where nobody did."""
    for place, one in enumerate(exchanges):
        if place == 0:
            yield f"{'taker':44} {'giver':44} {'gain in nats':>12}  taken at {one['at']}"
        gain = "-" if one["gain"] is None else f"{one['gain']:.5f}"
        yield f"{one['taker']:44} {one['giver']:44} {gain:>12}"


def _counted(living: Sequence[Member], column: str) -> dict[str, int]:
    """How many there are of each; who has no moat, or belongs to no pair, does not count there."""
    return dict(sorted(Counter(str(one[column]) for one in living if one.get(column) is not None).items()))


def lineage_of(living: Sequence[Member]) -> list[Member]:
    """The learners with parent, generation and how many of the living they are parents of."""
    learners = [one for one in living if one.get("generation") is not None]
    children = Counter(one.get("parent") for one in learners)
    columns = ("name", "parent", "generation", "moat", "horizon", "pair", "team")
    return [{**{column: one.get(column) for column in columns}, "children": children[one["name"]]} for one in learners]


def tree(learners: Sequence[Member]) -> Iterator[str]:
    """The learners below their parents, each line with generation, moat, horizon and pair.

    A parent that is gone is named, and its children stand at the left. Learners learn from each other in turn, too:
    of such a circle the one of the lowest generation stands at the left.
    """
    names = {one["name"] for one in learners}
    below: dict[str, list[Member]] = {}
    for one in learners:
        below.setdefault(one["parent"] if one["parent"] in names else "", []).append(one)
    in_circles = sorted(learners, key=lambda one: (one["generation"], one["name"]))
    seen: set[str] = set()
    yield f"{'learner':44} {'gen':>3} {'children':>8}  {'moat':11} {'horizon':8} {'pair':12} parent"
    for root in (*below.get("", []), *in_circles):
        yield from _branch(root, below, seen)


def _branch(root: Member, below: Mapping[str, list[Member]], seen: set[str]) -> Iterator[str]:
    waiting = [(root, 0)]
    while waiting:
        one, depth = waiting.pop()
        if one["name"] in seen:
            continue
        seen.add(one["name"])
        name = f"{'  ' * min(depth, _DEEPEST)}{one['name']}"
        figures = f"{one['generation']:3} {one['children']:8}  {one['moat']:11} {one['horizon']:8} {one['pair']:12}"
        yield f"{name:44} {figures} {one['parent'] or '-'}"
        waiting += [(child, depth + 1) for child in reversed(below.get(one["name"], []))]


def _of_run(run: str | None, state: Path | None, pairs: str | None) -> dict[str, Any]:
    """Who lived at the end of a finished run."""
    if pairs is not None:
        raise UsageError("--run and --pairs: the pairs of a finished run are what they were")
    story = story_of(run, state)
    if not story.members:
        raise NotFound(f"{story.name}: no census at its end: the run was cut off, or is of an older version")
    classes = _counted(story.members, "class")
    census = {**classes, "total": sum(classes.values())}
    toxic = len(story.society.get("toxic", {}))
    found = {"of": f"the end of run {run}", "census": census, "pairs": list(story.pairs), "toxic": toxic}
    return {**found, "members": story.members, "society": story.society}


def _running(state: Path | None) -> dict[str, Any] | None:
    try:
        answer = answer_of(state, "status")
    except NotRunning:
        return None
    who = answer_of(state, "census")
    return {"of": "the running process", "census": answer["census"], "pairs": answer["pairs"],
            "toxic": answer["haven"]["toxic"], "members": who["members"], "society": who["society"]}  # fmt: skip


def _planned(settings: Settings, pairs: list[str] | None) -> dict[str, Any]:
    chosen = tuple(sorted(Pair(pair) for pair in pairs or settings.simulated.pairs))
    clock = SimClock()
    plan = Plan(chosen, timeframe_ms(settings.simulated.timeframe), seed=0)
    house = build(settings, plan, clock, LocalBus(clock, settings.bus), MemoryLedger(settings.ledger))
    return {"of": "a run with these settings", "census": house.model.census(), "pairs": list(chosen),
            "toxic": 0 if house.world.watch is None else house.world.watch.toxic_count(),
            "members": members(house.world), "society": society(house.world)}  # fmt: skip
