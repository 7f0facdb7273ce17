"""Goes on where a run was cut off: the checkpoint, then the slices after it once more, with the commands of then.

Feeds that can be repeated (history, simulated market) give the same slices again, so the engine comes to the same
decisions; rows that are in the ledger already are recognised by their keys and stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..core.engine import Engine
from ..core.mailbox import Mailbox
from ..core.ports import Foreign
from ..core.types import Command, Slice

OWN_SOURCES = frozenset({"risk-guardian"})
"""Commands of the swarm's own members come again by themselves."""


class Recorded(msgspec.Struct, frozen=True):
    """What came from outside in an earlier life, each with the slice it came in, in order.

    `down`: the slices that had no bus. What was refused then must not be bought now. `withheld`: orders that the kill
    switch kept back, and why: they must not be sent now.
    """

    commands: Sequence[tuple[int, Command]]
    foreign: Sequence[tuple[int, Foreign]]
    down: frozenset[int] = frozenset()
    withheld: Mapping[str, str] = {}


def by_slice[T](recorded: Iterable[tuple[int, T]]) -> Mapping[int, Sequence[T]]:
    """The same by slice."""
    found: defaultdict[int, list[T]] = defaultdict(list)
    for at, one in recorded:
        found[at].append(one)
    return found


def catch_up(engine: Engine, slices: Iterable[Slice], until: int, recorded: Recorded) -> tuple[int, Slice | None]:
    """Walk through the slices up to `until`; returns how many, and the first slice after them (already taken)."""
    commands = by_slice(recorded.commands)
    foreign = by_slice(recorded.foreign)
    engine.outbound.withheld = recorded.withheld
    count = 0
    for slice_ in slices:
        if slice_.at > until:
            return count, slice_
        _ask_again(engine.inbox, commands.get(slice_.at, ()))
        engine.recalled.extend(foreign.get(slice_.at, ()))
        engine.bus_was_down = slice_.at in recorded.down
        engine.on_slice(slice_)
        engine.bus_was_down = engine.stopping = False
        engine.ends_at = None
        count += 1
    return count, None


def _ask_again(inbox: Mailbox, recorded: Sequence[Command]) -> None:
    """What was asked in this slice, in its order and once.

    Some of it waits there already: a checkpoint keeps what waited, and members of the swarm ask again by themselves.
    What waits and is not in the record stays: the record may end in the middle of a slice.
    """
    waiting = inbox.drain()
    for command in recorded:
        if command in waiting:
            waiting.remove(command)
        inbox.put(command)
    for command in waiting:
        inbox.put(command)
