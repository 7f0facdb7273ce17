"""Where each asset stands in its life, and why, for people who look at a running account."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ..core.config_swarm import Lifecycle
from ..core.records import plain, stamp
from ..core.types import Pair, Stage
from .lifecycle import AssetLife, Standing

Row = dict[str, str | None]


def shown_lives(life: AssetLife, settings: Lifecycle, pairs: Iterable[Pair]) -> dict[str, Row]:
    """`{pair: {stage, since, size, profit_ratio, probation_since, why, next}}` of the pairs that have a life.

    `size` is the part of a full position that entries may have. Asked from any thread.
    """
    found = {pair: life.standing(pair) for pair in pairs}
    return {pair: _row(one, plain(life.multiplier(pair)), settings) for pair, one in found.items() if one is not None}


def _row(one: Standing, size: str, settings: Lifecycle) -> Row:
    why, follows = _words(one.stage, settings)
    return {
        "stage": one.stage.value,
        "since": stamp(one.since),
        "size": size,
        "profit_ratio": plain(one.profit_ratio),
        "probation_since": None if one.probation_since is None else stamp(one.probation_since),
        "why": why,
        "next": follows,
    }


def _words(stage: Stage, settings: Lifecycle) -> tuple[str, str]:
    """Why an asset is where it is, and what would move it."""
    low, deep = _percent(settings.probation_ratio), _percent(settings.deep_probation_ratio)
    sleeps = (
        f"below {_percent(settings.hibernation_ratio)} and {settings.hibernation_days:g} days on probation it sleeps"
    )
    patience = f"after {settings.lift_after_intervals} intervals"
    if stage is Stage.PROBATION:
        lift = f"above {_percent(settings.lift_ratio)} {patience} it is active again"
        return f"its trades lost more than {low}", f"{lift}; {sleeps}"
    if stage is Stage.DEEP_PROBATION:
        lift = f"above {_percent(settings.deep_lift_ratio)} {patience} it is on the first level again"
        return f"its trades lost more than {deep}", f"{lift}; {sleeps}"
    if stage is Stage.HIBERNATED:
        return "it lost too much for too long, and its team retired", "explorers who agree on it revive it"
    if stage is Stage.DELISTED:
        return (
            f"it had no bar for {settings.delisted_days:g} days while others had",
            "a bar and a new team bring it back",
        )
    revived = (
        "explorers agreed on it again; its sum began anew" if stage is Stage.REVIVED else "nothing speaks against it"
    )
    return revived, f"below {low} it is on probation"


def _percent(ratio: Decimal) -> str:
    return f"{plain(100 * ratio)} %"
