"""Goes on where a run was cut off: the checkpoint, then the slices after it once more, with the commands of then.

Feeds that can be repeated (history, simulated market) give the same slices again, so the engine comes to the same
decisions; rows that are in the ledger already are recognised by their keys and stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..core.engine import Engine
from ..core.types import Command, Slice

OWN_SOURCES = frozenset({"risk-guardian"})
"""Commands of the swarm's own members come again by themselves."""


def commands_by_slice(recorded: Iterable[tuple[int, Command]]) -> Mapping[int, Sequence[Command]]:
    """Commands from outside by the slice they took effect in, in their order."""
    found: defaultdict[int, list[Command]] = defaultdict(list)
    for at, command in recorded:
        if command.source not in OWN_SOURCES:
            found[at].append(command)
    return found


def catch_up(
    engine: Engine, slices: Iterable[Slice], until: int, commands: Mapping[int, Sequence[Command]]
) -> tuple[int, Slice | None]:
    """Walk through the slices up to `until`; returns how many, and the first slice after them (already taken)."""
    count = 0
    for slice_ in slices:
        if slice_.at > until:
            return count, slice_
        for command in commands.get(slice_.at, ()):
            engine.inbox.put(command)
        engine.on_slice(slice_)
        engine.stopping = False
        count += 1
    return count, None
