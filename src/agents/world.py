"""What a kind of agent needs to know to populate a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ..core.config import Settings
from ..core.model import MycelialAgent, MycelialModel
from ..core.types import Pair


class World(msgspec.Struct, frozen=True):
    """One run as the agents see it before they are born: the model, its settings, the pairs in their order."""

    model: MycelialModel
    settings: Settings
    pairs: tuple[Pair, ...]


class Kind(msgspec.Struct, frozen=True):
    """One row of KINDS: the class, how it is born into a world, and the channels it speaks and hears."""

    name: str
    agent: type[MycelialAgent]
    populate: Callable[[World], None]
    publishes: Sequence[str]
    subscribes: Sequence[str]
