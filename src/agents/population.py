"""Who lives in a swarm, one row each: class, pair, team, moat, and of learners where they come from."""

from __future__ import annotations

from typing import Any

from ..core import records
from ..core.errors import NotFound
from ..core.moats import MOATS
from ..core.model import MycelialAgent
from .homes import HOMES
from .market_explorer import MarketExplorer
from .market_miner import MarketMiner
from .moat_miner import MoatMiner
from .pattern_learner import PatternLearner
from .world import World

STANDARD = "standard"
"""The team of those who belong to the standard swarm."""
_EXCHANGES = 50
"""Of the page: so many exchanges are told at most."""


def society(world: World) -> dict[str, Any]:
    """How they live together: `toxic`, since when by name; `exchanges` of the newest round; `learning`, the counts.

    It may be asked from another thread than the spine's.
    """
    interval, seen = world.model.interval_ms, world.society
    marked = () if world.watch is None or world.figures.toxic_since else world.watch.toxic()
    return {
        "toxic": dict.fromkeys(marked) | world.figures.watched()["toxic_since"],  # None: before a slice
        "exchanges": [
            {"at": records.stamp(one.grid * interval), "giver": one.giver, "taker": one.taker, "gain": one.gain}
            for one in ([] if seen is None else seen.exchanges(_EXCHANGES))
        ],
        "learning": world.figures.learning(),
    }


def members(world: World) -> list[dict[str, Any]]:
    """Everybody alive, in order of birth; the names of the columns are those of `traces.MEMBER`.

    It may be asked from another thread than the spine's: who dies meanwhile is left out.
    """
    team_of = {name: str(pair) for pair, names in list(world.active.items()) for name in names}
    rows = []
    for agent in world.model.members():
        try:
            rows.append(_member(agent, team_of.get(agent.name, STANDARD)))
        except NotFound:  # it died between two lines
            continue
    return rows


def _member(agent: MycelialAgent, team: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": agent.name, "class": agent.kind, "pair": getattr(agent, "pair", None), "team": team}
    if isinstance(agent, PatternLearner):
        seen = agent.view()
        row |= {"moat": HOMES[int(seen["moat"] or 0)], "horizon": agent.horizon, "generation": seen["generation"]}
        row["parent"] = seen["parent"]
    elif isinstance(agent, MoatMiner):
        row["moat"] = MOATS[agent.column]
    elif isinstance(agent, MarketMiner):
        row["moat"] = HOMES[0]
    elif isinstance(agent, MarketExplorer):
        row["team"] = f"explorers-{agent.team}"
    return row
