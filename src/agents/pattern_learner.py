"""Pattern learners: named views of the rows of the colony, and the collective that lets them act together."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import msgspec
import numpy as np

from ..core.market import FEATURES
from ..core.messages import MycelialIdea
from ..core.model import MycelialAgent, MycelialModel
from ..core.types import Pair, Scalar, Side, Snapshot
from .colony import Colony, ColonyState, SwarmIdea
from .heard import Heard
from .world import World

_INSIDE, _ACROSS = 2, 6
"""Neighbours of a learner in its own pair and in other pairs, all of its horizon."""


class PatternLearner(MycelialAgent):
    """One learner; what it knows lives in its row of the colony."""

    kind: ClassVar[str] = "pattern_learner"

    def __init__(self, model: MycelialModel, name: str, pair: Pair, horizon: str, colony: Colony) -> None:
        super().__init__(model, name)
        self.pair = pair
        self.horizon = horizon
        self._colony = colony

    def view(self) -> dict[str, Scalar | None]:
        """Its numbers, to be read by people."""
        return self._colony.view(self._colony.row_of(self.name))

    @property
    def neighbours(self) -> list[str]:
        """The learners it meets on the network, by name."""
        return sorted(self.model.topology.G.neighbors(self.name))

    def remove(self) -> None:
        """Leave the swarm and free the row."""
        self._colony.died(self.name)
        super().remove()


class LearnerCollective:
    """Lets all learners predict, learn and speak: a few array operations and one message a pair."""

    phase = "opine"
    name = "pattern-learners"

    def __init__(self, world: World, colony: Colony) -> None:
        self._model = world.model
        self._pairs = world.pairs
        self._colony = colony
        self._heard = Heard(world.pairs)
        world.model.bus.subscribe("market-data:*", self._heard.on_market_data, self.name)
        world.model.add_actor(self)
        world.model.keep(self)

    def act(self, snapshot: Snapshot) -> None:
        """One step of the colony over the announced pairs; publish each pair's idea where there is one."""
        heard = self._heard.take(snapshot)
        if snapshot.bars is None:
            return
        if not np.array_equal(heard, snapshot.fresh):
            snapshot = msgspec.structs.replace(snapshot, fresh=heard)
        step = self._colony.step(snapshot)
        for idea in self._colony.ideas(step, snapshot):
            self._publish(idea, snapshot)

    def _publish(self, idea: SwarmIdea, snapshot: Snapshot) -> None:
        message = MycelialIdea(
            source=idea.learners[0],
            at=snapshot.at,
            known_at=snapshot.at,
            pair=self._pairs[idea.pair_index],
            price=float(snapshot.close[idea.pair_index]),
            side=idea.side,
            score=idea.score,
            edge=idea.edge if idea.side is Side.BUY else -idea.edge,
            horizon=idea.horizon,
            learners=idea.learners,
        )
        self._model.bus.publish("mycelial-trade-ideas", message)

    def state(self) -> dict[str, Any]:
        """The colony."""
        state = self._colony.state()
        return {name: getattr(state, name) for name in state.__struct_fields__}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        names, parents = tuple(state["names"]), tuple(state["parents"])
        self._colony.restore(ColonyState(names, parents, state["grid"], state["population"], state["arrays"]))


def populate(world: World) -> None:
    """`learners.per_pair` learners for each pair, spread over the horizons, on their network."""
    settings = world.settings.learners
    colony = Colony(settings, world.settings.costs, len(FEATURES), len(world.pairs), world.model.seed)
    born: list[PatternLearner] = []
    for index, pair in enumerate(world.pairs):
        for number in range(settings.per_pair):
            horizon = settings.horizons[number % len(settings.horizons)]
            name = f"learner-{pair}-{horizon.name}-{number // len(settings.horizons) + 1}"
            colony.born(name, index, horizon.intervals)
            born.append(PatternLearner(world.model, name, pair, horizon.name, colony))
    world.model.connect([learner.name for learner in born], _edges(born))
    LearnerCollective(world, colony)


def _edges(learners: list[PatternLearner]) -> list[tuple[str, str]]:
    """Each learner to the next ones of its horizon in a ring: half of its neighbours; it is the other half's next.

    Around the ring the pairs take turns, so that the next ones are of other pairs.
    """
    turn: Counter[tuple[str, Pair]] = Counter()
    turns: dict[str, int] = {}
    for learner in learners:
        turns[learner.name] = turn[learner.horizon, learner.pair]
        turn[learner.horizon, learner.pair] += 1
    edges: list[tuple[str, str]] = []
    for horizon in sorted({learner.horizon for learner in learners}):
        same = sorted((one for one in learners if one.horizon == horizon), key=lambda one: turns[one.name])
        for place, learner in enumerate(same):
            ring = same[place + 1 :] + same[:place]
            inside = [other for other in ring if other.pair == learner.pair][: _INSIDE // 2]
            across = [other for other in ring if other.pair != learner.pair][: _ACROSS // 2]
            edges += [(learner.name, other.name) for other in inside + across]
    return edges
