"""Pattern learners: named views of the rows of the colony, and the collective that lets them act together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from ..core.config import Sharing
from ..core.errors import InvariantError
from ..core.lines import ENGINE
from ..core.market import FEATURE_INDEX, FEATURES
from ..core.messages import Control, Message, MycelialIdea
from ..core.moats import MOATS
from ..core.model import Links, MycelialAgent, MycelialModel, short
from ..core.types import CommandKind, Decision, Pair, Scalar, Side, Snapshot
from . import colony_layout as k
from .colony import Colony, ColonyState, SwarmIdea
from .colony_evolution import bear
from .haven import Watch
from .heard import MOAT_PATTERNS, Heard, HeardMoats
from .homes import HOMES
from .learner_society import Society, successor_of
from .pattern_archive import PatternArchive
from .silence import SwarmWatch
from .team_archive import TeamArchive
from .track_record import TrackRecord, track_records
from .wants import Wants
from .world import World

INSTIGATOR = "mycelial_instigator"
"""The kind whose members may tell learners to share."""


class PatternLearner(MycelialAgent):
    """One learner; what it knows lives in its row of the colony."""

    kind: ClassVar[str] = "pattern_learner"

    def __init__(
        self, model: MycelialModel, name: str, pair: Pair, horizon: str, colony: Colony, interest: Mapping[str, float]
    ) -> None:
        super().__init__(model, name)
        self.pair = pair
        self.horizon = horizon
        self._colony = colony
        self._interest = interest

    def view(self) -> dict[str, Scalar | None]:
        """Its numbers, to be read by people; `interestingness` in [0, 100] as of the last archive."""
        return self._colony.view(self._colony.row_of(self.name)) | {
            "interestingness": self._interest.get(self.name),
            "parent": self._colony.parent_of(self.name),
        }

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
        self._world = world
        self._pairs = world.pairs
        self._colony = colony
        self._strategies = {one.intervals: one.name for one in world.settings.learners.horizons}
        self._wants = Wants(world, lambda moat: first_of(colony, moat))
        self._heard = Heard(world.pairs)
        self._moats = HeardMoats()
        world.model.bus.subscribe("market-data:*", self._heard.on_market_data, self.name)
        for pattern in MOAT_PATTERNS:
            world.model.bus.subscribe(pattern, self._moats.on_moat_data, self.name)
        self._archive = PatternArchive(world, colony)
        self._teams = TeamArchive(world, colony, self._archive)
        self._society = Society(world, colony, world.model.edges, self._succeed)
        world.society = self._society
        world.model.bus.subscribe("pattern-narrative", self._archive.on_narrative, self.name)
        world.model.bus.subscribe("pattern-validation-result", self._archive.on_result, self.name)
        world.model.bus.subscribe("system-control", self._on_control, self.name)
        world.model.add_actor(self)
        world.model.keep(self)
        self._watch = SwarmWatch(world.model, len(world.pairs), world.settings.learners.min_learners)
        world.nursery.on_founded(self.found)
        world.nursery.teach(self.deploy)
        world.nursery.on_change(self.lay_network)
        world.nursery.on_retiring(self._teams.put_away)
        world.nursery.on_reviving(self._teams.bring_back)

    def found(self, pairs: Sequence[Pair]) -> None:
        """The learners of the standard swarm, moat by moat, spread over these pairs and the horizons in turn."""
        horizons = self._world.settings.learners.horizons
        standard: dict[str, int] = dict(self._world.settings.learners.standard.items())
        homes = [(moat, one) for moat in HOMES for one in range(standard.get(moat, 0))]
        for turn, (moat, number) in enumerate(homes if pairs else ()):
            horizon = horizons[turn // len(pairs) % len(horizons)]
            self._bear(f"learner-{moat}-{number + 1}", pairs[turn % len(pairs)], horizon.name, moat)

    def deploy(self, pair: Pair) -> Iterator[MycelialAgent]:
        """The learners of a pair's team, spread over the horizons."""
        settings = self._world.settings.learners
        for number in range(settings.team):
            horizon = settings.horizons[number % len(settings.horizons)]
            name = f"learner-{pair}-{horizon.name}-{number // len(settings.horizons) + 1}"
            yield self._bear(name, pair, horizon.name, HOMES[0])

    def lay_network(self) -> None:
        """Lay the network anew when it is looked at next; it depends on who lives, not on the order of births."""
        self._model.connect(self._draw)
        self._society.network_changed()

    def _draw(self) -> Links:
        learners = sorted(self._learners(), key=lambda one: one.name)
        return [one.name for one in learners], _edges(learners, self._world.settings.sharing)

    def _learners(self) -> list[PatternLearner]:
        return [agent for agent in self._model.members() if isinstance(agent, PatternLearner)]

    def _bear(self, name: str, pair: Pair, horizon: str, moat: str) -> PatternLearner:
        """A row and its view, or neither."""
        intervals = {one.name: one.intervals for one in self._world.settings.learners.horizons}[horizon]
        self._colony.born(name, self._pairs.index(pair), intervals, _always_in(moat), moat=HOMES.index(moat))
        return self._seen(name, pair, horizon)

    def _succeed(self, loser: str, parent: str) -> str:
        """A child of `parent` takes the loser's place: its pair, its horizon and its seat in the team."""
        old, name = self._model.member(loser), successor_of(loser)
        if not isinstance(old, PatternLearner):
            raise InvariantError(f"{loser} is a learner of the colony and none of the swarm")
        moat = HOMES[int(self._colony.rows.counts[self._colony.row_of(parent), k.MOAT])]
        horizon = int(self._colony.rows.counts[self._colony.row_of(loser), k.HORIZON])
        old.remove()
        place = self._pairs.index(old.pair)
        bear(self._colony, name, place, horizon, parent, self._world.settings.evolution, _always_in(moat))
        self._seen(name, old.pair, old.horizon)
        self._world.nursery.replaced(loser, name)
        return name

    def _seen(self, name: str, pair: Pair, horizon: str) -> PatternLearner:
        """The view of a row; without it the row is given up."""
        try:
            return PatternLearner(self._model, name, pair, horizon, self._colony, self._archive.interest)
        except BaseException:
            self._colony.died(name)
            raise

    def act(self, snapshot: Snapshot) -> None:
        """One step of the colony over the announced pairs; publish the idea of each pair with a team."""
        heard = self._heard.take(snapshot)
        if snapshot.bars is None:
            return
        if heard is not snapshot.fresh and not np.array_equal(heard, snapshot.fresh):
            snapshot = msgspec.structs.replace(snapshot, fresh=heard)
        snapshot = self._moats.without_missing(snapshot)
        step = self._colony.step(snapshot)
        self._watch.look(self._colony, step, heard)
        pairs, active = self._pairs, self._world.active
        ideas = [idea for idea in self._colony.ideas(step, snapshot) if pairs[idea.pair_index] in active]
        if ideas:
            records = track_records(self._colony, ideas, self._archive.interest_by_row())
            for idea, record in zip(ideas, records, strict=True):
                self._publish(idea, record, snapshot)
        self._wants.look(snapshot)
        if np.count_nonzero(heard):
            self._live_together(snapshot)

    def _live_together(self, snapshot: Snapshot) -> None:
        """After everybody spoke: learners share, archive, and make room for children, each when it is time."""
        self._society.share()
        self._archive.look_when_due(snapshot.at, snapshot.grid)
        if self._society.evolve(snapshot.at):
            self._world.nursery.tell()

    def _on_control(self, message: Message) -> None:
        """Only the spine and the instigators may tell learners to share."""
        if not isinstance(message, Control) or message.command is not CommandKind.FORCE_SHARE:
            return
        speakers = {agent.name for agent in self._model.members() if agent.kind == INSTIGATOR}
        entitled = message.source == ENGINE or message.source in speakers
        if not entitled or not self._society.force(message.group):
            reason = "no_such_group" if entitled else "not_entitled"
            self._model.note(Decision(self._model.now_ms(), "refusal", reason=reason, source=short(message.source)))

    def _publish(self, idea: SwarmIdea, record: TrackRecord, snapshot: Snapshot) -> None:
        place, side, at = idea.pair_index, idea.side, snapshot.at
        interestingness, simulated_pnl, total_pnl, win_rate, trade_count, generation, focus = record
        message = MycelialIdea(
            source=idea.learners[0],
            at=at,
            known_at=at,
            pair=self._pairs[place],
            price=snapshot.close.item(place),
            side=side,
            score=idea.score,
            edge=idea.edge if side is Side.BUY else -idea.edge,
            horizon=idea.horizon,
            learners=idea.learners,
            interestingness=interestingness,
            strategy_type=self._strategies[idea.horizon],
            simulated_pnl=simulated_pnl,
            total_pnl=total_pnl,
            win_rate=win_rate,
            trade_count=trade_count,
            agent_generation=generation,
            product_focus=focus,
        )
        self._model.bus.publish("mycelial-trade-ideas", message)

    def state(self) -> dict[str, Any]:
        """The colony, and which moats were heard."""
        state = self._colony.state()
        moats = {"heard": dict(self._moats.last), "receptions": dict(self._moats.count)}
        return (
            {name: getattr(state, name) for name in state.__struct_fields__}
            | moats
            | {
                "wants": self._wants.state(),
                "archive": self._archive.state(),
                "teams": self._teams.state(),
                "society": self._society.state(),
            }
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._moats.last, self._moats.count = dict(state["heard"]), dict(state["receptions"])
        names, parents = tuple(state["names"]), tuple(state["parents"])
        self._colony.restore(ColonyState(names, parents, state["grid"], state["population"], state["arrays"]))
        self._wants.restore(state["wants"])
        self._archive.restore(state["archive"])
        self._teams.restore(state["teams"])
        self._society.restore(state["society"])
        self._meet_rows()

    def _meet_rows(self) -> None:
        """Let the views be those of the rows that came back: learners may have given their place to children."""
        horizons = {one.intervals: one.name for one in self._world.settings.learners.horizons}
        views = {one.name: one for one in self._learners()}
        for name in views.keys() - set(self._colony.names):
            MycelialAgent.remove(views[name])  # its row is gone already
        for name in self._colony.names:
            if name not in views:
                counts = self._colony.rows.counts[self._colony.row_of(name)]
                pair, horizon = self._pairs[int(counts[k.PAIR])], horizons[int(counts[k.HORIZON])]
                PatternLearner(self._model, name, pair, horizon, self._colony, self._archive.interest)
        self.lay_network()


def first_of(colony: Colony, moat: str) -> str | None:
    """The first learner of a moat by name, None where nobody lives there."""
    home, counts = HOMES.index(moat), colony.rows.counts
    return next((name for name in colony.names if counts[colony.row_of(name), k.MOAT] == home), None)


def populate(world: World) -> None:
    """The collective; learners are born when the standard swarm is founded and when a pair gets its team."""
    settings, pairs = world.settings, len(world.pairs)
    colony = Colony(settings.learners, settings.costs, len(FEATURES), pairs, world.model.seed)
    LearnerCollective(world, colony)
    world.watch = Watch(world.settings.haven, world.nursery, colony)


def _always_in(moat: str) -> list[int]:
    """The features that a learner of a moat never loses sight of."""
    return [FEATURE_INDEX[moat]] if moat in MOATS else []


def _edges(learners: list[PatternLearner], settings: Sharing) -> list[tuple[str, str]]:
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
            inside = [other for other in ring if other.pair == learner.pair][: settings.inside_neighbours // 2]
            across = [other for other in ring if other.pair != learner.pair][: settings.across_neighbours // 2]
            edges += [(learner.name, other.name) for other in inside + across]
    return edges
