"""Which arms are walked for which comparison, and what stands beside each as its placebo."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec

from ..backtesting.result import CONTROL_NAMES
from ..core.errors import NotFound, UsageError
from ..core.types import Stream

MOAT, LEAVE_ONE_OUT, STREAM, PART = "moat", "leave_one_out", "stream", "part"
GROUPS = (MOAT, LEAVE_ONE_OUT, STREAM, PART)

BASELINE, SWARM, COLLISION = Stream.BASELINE.value, Stream.MYCELIAL.value, Stream.SYNTHESIZED.value
RIDGE, NOISE = "ridge", "noise"

SHUFFLED, FILTER, RESEEDED, RANDOM = "shuffled source", "random filter", "another seed", "noise learner"
"""Kinds of placebo."""

TA, ALL = "ta", "all"
MEMORY = "memory"

PARTS = {
    "sharing": ("sharing.inside_neighbours=0", "sharing.across_neighbours=0"),
    MEMORY: ("memory.enabled=false",),
    "evolution": ("evolution.replaced_ratio=0",),
}
"""How each part of the society is switched off."""


class Planned(msgspec.Struct, frozen=True):
    """An arm: changes of the settings as `--set` takes them, the moats that are shuffled, what is added to the seed."""

    name: str
    sets: tuple[str, ...]
    shuffled: tuple[str, ...] = ()
    seed_step: int = 0


class Side(msgspec.Struct, frozen=True):
    """A book of an arm. `like`: thinned to as many trades as that book of the same arm has."""

    arm: str
    book: str
    like: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """One question: whether `arm` is better than `reference`."""

    name: str
    group: str
    arm: Side
    reference: Side
    placebo: Side
    placebo_kind: str
    says: str


class AbPlan(msgspec.Struct, frozen=True):
    """Everything that can be asked, and the arms by name that it takes."""

    comparisons: tuple[Comparison, ...]
    arms: dict[str, Planned]

    def needed(self) -> list[Planned]:
        """The arms that the comparisons look at, in their order."""
        used = {side.arm for one in self.comparisons for side in (one.arm, one.reference, one.placebo)}
        return [arm for name, arm in self.arms.items() if name in used]

    def only(self, names: Sequence[str]) -> AbPlan:
        """The comparisons of these names or groups; NotFound names the nearest."""
        known = [*GROUPS, *(one.name for one in self.comparisons)]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise NotFound(f"--only {name!r}: no such comparison, {hint}")
        kept = tuple(one for one in self.comparisons if one.name in names or one.group in names)
        if not kept:
            raise UsageError(f"--only {','.join(names)}: nothing of it can be asked of these data")
        return AbPlan(kept, self.arms)


def planned(moats: Sequence[str], book: str, controls: bool = True) -> AbPlan:
    """Everything that can be asked where these moats speak; `book` is whose returns stand for an arm.

    Without `controls` there are no simple learners to hold the swarm against.
    """
    arms = [Planned(TA, _enabled(())), Planned(ALL, _enabled(moats))]
    asked: list[Comparison] = []
    several = len(moats) > 1
    for moat in moats:
        arms += [Planned(f"ta+{moat}", _enabled((moat,))), Planned(f"ta+{moat}~", _enabled((moat,)), (moat,))]
        asked.append(_moat(moat, book))
    if several:
        arms.append(Planned(f"{ALL}~", _enabled(moats), tuple(moats)))
        says = "all moats against technical analysis alone"
        asked.append(_against(says, "all_moats", MOAT, f"{ALL}", TA, f"{ALL}~", SHUFFLED, book))
        for moat in moats:
            rest = tuple(other for other in moats if other != moat)
            arms += [Planned(f"{ALL}-{moat}", _enabled(rest)), Planned(f"{ALL}~{moat}", _enabled(moats), (moat,))]
            asked.append(_left_out(moat, book))
    asked += [*(_rivals(book) if controls else ()), *_filters()]
    for part, sets in PARTS.items():
        arms += [
            Planned(f"{ALL}-{part}", (*_enabled(moats), *sets)),
            Planned(f"{ALL}-{part}~", (*_enabled(moats), *sets), (), 1),
        ]
        asked.append(_part(part, book))
    return AbPlan(tuple(asked), {arm.name: arm for arm in arms})


def _enabled(moats: Sequence[str]) -> tuple[str, ...]:
    return (f"moats.board.enabled=[{', '.join(moats)}]",)


def _against(
    says: str, name: str, group: str, arm: str, reference: str, placebo: str, kind: str, book: str
) -> Comparison:  # fmt: skip
    return Comparison(name, group, Side(arm, book), Side(reference, book), Side(placebo, book), kind, says)


def _moat(moat: str, book: str) -> Comparison:
    says = f"{moat} moat besides technical analysis"
    return _against(says, moat, MOAT, f"ta+{moat}", TA, f"ta+{moat}~", SHUFFLED, book)


def _left_out(moat: str, book: str) -> Comparison:
    says = f"{moat} moat besides all others"
    return _against(says, f"without_{moat}", LEAVE_ONE_OUT, ALL, f"{ALL}-{moat}", f"{ALL}~{moat}", SHUFFLED, book)


def _part(part: str, book: str) -> Comparison:
    """Memory is asked when ideas collide and nowhere else: whether it is worth anything shows in that book alone."""
    book = COLLISION if part == MEMORY else book
    return _against(f"{part} on against off", part, PART, ALL, f"{ALL}-{part}", f"{ALL}-{part}~", RESEEDED, book)


def _rivals(book: str) -> list[Comparison]:
    """The swarm against others of the same run; who learns from noise is the placebo."""
    swarm, noise = Side(ALL, book), Side(ALL, NOISE)
    return [
        Comparison(name, STREAM, swarm, Side(ALL, other), noise, RANDOM, f"swarm against {shown}")
        for name, other, shown in (
            ("swarm_vs_baseline", BASELINE, "baseline"),
            ("swarm_vs_ridge", RIDGE, CONTROL_NAMES[RIDGE]),
        )
    ]


def _filters() -> list[Comparison]:
    """The collision takes some of what either side wants, so its placebo takes as many of them at random."""
    both = Side(ALL, COLLISION)
    return [
        Comparison(f"collision_vs_{name}", STREAM, both, Side(ALL, book), Side(ALL, book, COLLISION), FILTER,
                   f"collision against {name}")
        for name, book in (("baseline", BASELINE), ("swarm", SWARM))
    ]  # fmt: skip
