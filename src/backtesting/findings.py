"""What a run came to besides its account: swarm against simple learners, trades by strategy, how the moats stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..core import metrics
from ..core.config import MoatStrength, StatisticsSettings
from ..core.inference import mean_interval
from ..core.moat_standing import standing
from ..core.moat_strength import MODERATE, NONE, STRONG, WEAK, verdict
from ..core.moats import MOATS, SPEAKING
from ..core.randomness import generator_for
from ..core.types import FloatArray, MoatView, Trade

NO_HORIZON = "none"
"""The strategy type of trades whose ideas had no horizon."""


def rivalry(swarm: FloatArray, rival: FloatArray, name: str, settings: StatisticsSettings, seed: int) -> dict[str, Any]:
    """Daily returns (days,) of the swarm's book less those of a rival's: the mean, its interval, and a sentence.

    Days are paired, and drawn in blocks of `block_days`. With fewer than `min_blocks` of them, or where the swarm's
    book never changed, nothing can be told. Who loses less than a loser has not beaten it (fault M-F39): a swarm that
    lost on average has beaten nobody.
    """
    differences, least = swarm - rival, settings.min_blocks * settings.block_days
    told: dict[str, Any] = {"difference": None, "low": None, "high": None, "days": len(differences)}
    random = generator_for(seed, f"rivalry:{name}")
    enough = len(differences) >= least
    interval = (
        mean_interval(differences, settings.block_days, settings.draws, settings.confidence_ratio, random)
        if enough and swarm.any() and differences.any()
        else None
    )
    if interval is None:
        why = _silent(swarm) if enough else f"{len(differences)} days are fewer than {least}"
        return {**told, "beaten": None, "says": f"It cannot be told whether the swarm beat the {name}: {why}."}
    shown = f"difference of mean daily return {100 * interval.estimate:+.4f} %"
    bounds = f"interval [{100 * interval.low:+.4f}, {100 * interval.high:+.4f}]"
    figures = f"{shown}, {bounds} (block bootstrap, {interval.size} days)"
    beaten = interval.estimate > 0.0 if interval.excludes_zero else None
    if beaten and float(swarm.mean()) <= 0.0:
        beaten, figures = False, f"it only lost less; {figures}"
    words = {
        True: "The swarm did beat",
        False: "The swarm did not beat",
        None: "It cannot be told whether the swarm beat",
    }
    told |= {"difference": interval.estimate, "low": interval.low, "high": interval.high}
    return {**told, "beaten": beaten, "says": f"{words[beaten]} the {name}: {figures}."}


def _silent(swarm: FloatArray) -> str:
    return "both books came to the same" if swarm.any() else "the swarm's book never traded"


def strategy_type(trade: Trade, horizons: Mapping[str, int], interval_ms: int) -> str:
    """By the horizon of the idea behind a trade: the shortest of `horizons` (in intervals) that covers the time from
    its entry to the end of that horizon, else the longest.

    An entry fills up to one interval after the idea, or later when it is filled in parts; so the time is never longer
    than the idea's horizon.
    """
    if trade.leave_at is None or not horizons:
        return NO_HORIZON
    planned = trade.leave_at - trade.entry_at
    ordered = sorted(horizons, key=lambda name: horizons[name])
    return next((name for name in ordered if horizons[name] * interval_ms >= planned), ordered[-1])


def by_strategy(trades: Sequence[Trade], horizons: Mapping[str, int], interval_ms: int) -> dict[str, dict[str, Any]]:
    """Closed trades of a book by strategy type, each type in order; money in quote currency, times in ms.

    `mean_profit_ratio` is net of costs; figures that are not defined without trades are None. Trades without a
    horizon have a row of their own where there are any.
    """
    groups: dict[str, list[Trade]] = {name: [] for name in horizons}
    for trade in trades:
        groups.setdefault(strategy_type(trade, horizons, interval_ms), []).append(trade)
    return {name: _summed(group) for name, group in groups.items()}


def _summed(trades: Sequence[Trade]) -> dict[str, Any]:
    profits = [trade.profit for trade in trades]
    return {
        "trades": len(trades),
        "win_ratio": sum(profit > 0 for profit in profits) / len(trades) if trades else None,
        "mean_profit_ratio": metrics.mean([float(trade.profit_ratio) for trade in trades]),
        "profit": float(metrics.total(profits)),
        "mean_duration_ms": metrics.mean([float(trade.exit_at - trade.entry_at) for trade in trades]),
    }


def moats(view: MoatView | None, settings: MoatStrength) -> dict[str, dict[str, Any]]:
    """How each moat stands, plain JSON types; nothing before the first slice. `strength` is None without data."""
    if view is None:
        return {}
    found = {}
    for place, name in enumerate(MOATS):
        fields = msgspec.to_builtins(standing(view, place, settings))
        del fields["moat"]
        if view.statuses[place] not in SPEAKING:
            fields |= {"strength": None, "grade": None}
        found[name] = fields
    return found


def synthesis(standings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The moats together: their names by grade, those without data apart, and the word for the strong ones.

    Points: 70 strong, 55 moderate, 40 weak by the shipped settings; four or more strong moats are VERY STRONG, three
    STRONG, two MODERATE, one WEAK. A moat without data is not weak. Nothing of no moats.
    """
    if not standings:
        return {}
    graded = {grade: [name for name, one in standings.items() if one["grade"] == grade] for grade in _GRADES}
    silent = [name for name, one in standings.items() if one["grade"] is None]
    return {"verdict": verdict(len(graded[STRONG])), **graded, "no_data": silent}


_GRADES = (STRONG, MODERATE, WEAK, NONE)


def pattern_ends(learning: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """What became of the patterns put before the researchers, of all of them; empty where there were none."""
    made = learning.get("patterns", {})
    asked = made.get("requested", 0)
    ends = {name: made.get(name, 0) for name in ("validated", "failed", "undecided")}
    return ends | {"waiting for their windows": asked - sum(ends.values())} if asked else {}
