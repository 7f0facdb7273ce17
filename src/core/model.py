"""The Mesa model: population, phases and topology of the swarm. It knows no agent kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol

import mesa
import networkx as nx
import numpy as np
from mesa.discrete_space import Network

from .canonical import encode
from .clock import Timer
from .config import Agents
from .errors import AgentFault, InvariantError, MycelialError
from .meeting import Meeting
from .messages import Message
from .ports import Bus, Failure, Handler, Stateful
from .randomness import generator_for
from .records import decision_fields
from .types import AccountView, Decision, Idea, Snapshot, Stream

PHASES = ("sense", "opine", "trade", "guard")
"""The order in which a slice passes through the population; the bus settles after each."""

REASON_CHARACTERS = 300
"""Of the format: what a record keeps of a text that it did not write itself."""


def short(text: str) -> str:
    """The beginning of a text that came from elsewhere, fit for a record."""
    return text[:REASON_CHARACTERS].encode(errors="replace").decode()


def intervals(seconds: float, interval_ms: int) -> int:
    """A duration of the society in base intervals: n = max(1, ceil(seconds / interval)).

    >>> intervals(5, 3_600_000), intervals(300, 60_000)
    (1, 5)
    """
    return max(1, math.ceil(seconds * 1000 / interval_ms))


Links = tuple[Iterable[str], Iterable[tuple[str, str]]]
"""Nodes and edges of a network, by name."""


class Actor(Protocol):
    """What a phase calls: an agent, or a collective that acts for many alike agents at once."""

    name: str
    phase: str

    def act(self, snapshot: Snapshot) -> None:
        """Do this slice's work; speak by `bus.publish`, note decisions with `model.note`."""
        ...


class NamedState(Stateful, Protocol):
    """A collective whose state survives a restart."""

    name: str


class MycelialAgent(mesa.Agent["MycelialModel"]):
    """One named member of the swarm. It meets others by messages alone."""

    kind: ClassVar[str]
    phase: ClassVar[str] = ""

    def __init__(self, model: MycelialModel, name: str) -> None:
        super().__init__(model)
        self.name = name
        self._generator: np.random.Generator | None = None
        model.enrol(self)

    @property
    def generator(self) -> np.random.Generator:
        """This agent's own random stream, keyed by its name: nobody's birth or death moves it."""
        if self._generator is None:
            self._generator = generator_for(self.model.seed, self.name)
        return self._generator

    def hear(self, pattern: str, handler: Handler) -> None:
        """Subscribe to a channel or pattern."""
        self.model.bus.subscribe(pattern, handler, self.name)

    def say(self, channel: str, message: Message) -> None:
        """Publish a message."""
        self.model.bus.publish(channel, message)

    def remove(self) -> None:
        """Leave the swarm with everything: subscriptions, place in the phases, name."""
        self.model.discharge(self)
        super().remove()

    def state(self) -> dict[str, Any]:
        """What this agent must remember over a restart."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""


class Outbox:
    """What agents leave for the spine in one slice: accepted ideas and notes for the record."""

    def __init__(self) -> None:
        self.ideas: list[tuple[Stream, Idea]] = []
        self.notes: list[Decision] = []
        self.meetings: list[Meeting] = []
        self.silences: dict[str, list[list[int]]] = {}

    def drain(self) -> tuple[list[tuple[Stream, Idea]], list[Decision]]:
        """Everything since the last call, in order."""
        ideas, notes = self.ideas, self.notes
        self.ideas, self.notes = [], []
        return ideas, notes

    def drain_traces(self) -> tuple[list[Meeting], dict[str, list[list[int]]]]:
        """What explains decisions, and what explains that there was none, since the last call."""
        meetings, silences = self.meetings, self.silences
        if meetings or silences:
            self.meetings, self.silences = [], {}
        return meetings, silences


class MycelialModel(mesa.Model):
    """The population of one run; `seed` is the root of every random stream in it."""

    def __init__(self, bus: Bus, seed: int, interval_ms: int, settings: Agents, timer: Timer | None = None) -> None:
        super().__init__(rng=seed)
        self.bus = bus
        self.seed = seed
        self.interval_ms = interval_ms
        self.account = AccountView(0.0, 0.0, 0.0, frozenset())
        self.outbox = Outbox()
        self.faults: Counter[str] = Counter()
        self.quarantined: dict[str, str] = {}
        self._topology = Network(nx.Graph(), layout=None, random=self.random)
        self._drawing: Callable[[], Links] | None = None
        self._settings = settings
        self._timer = timer
        self._slow: set[str] = set()
        self._origin: int | None = None
        self._now_ms = 0
        self._members: dict[str, MycelialAgent] = {}
        self._actors: dict[str, list[Actor]] = {phase: [] for phase in PHASES}
        self._recurring: list[tuple[int, int, Callable[[], None]]] = []
        self._kept: dict[str, Stateful] = {}
        self._default_schedule.stop()  # `_advance` ticks: an event of Mesa's for each tick costs more than the tick

    def _tick(self) -> None:
        """One base interval passed on Mesa's clock: what is called `every` so many of them, in order."""
        now = self.steps
        for count, since, call in self._recurring:
            if now > since and (now - since) % count == 0:
                call()

    def enrol(self, agent: MycelialAgent) -> None:
        """Take an agent in; InvariantError when its name is taken."""
        if agent.name in self._members:
            raise InvariantError(f"two agents are called {agent.name}")
        self._members[agent.name] = agent
        if agent.phase:
            self.add_actor(agent)

    def discharge(self, agent: MycelialAgent) -> None:
        """Forget an agent: subscriptions, place in the phases, name."""
        self.bus.unsubscribe(agent.name)
        self._members.pop(agent.name, None)
        self._actors = {phase: [a for a in actors if a is not agent] for phase, actors in self._actors.items()}
        if self._drawing is None and agent.name in self._topology.G:
            self._topology.remove_cell(self._topology[agent.name])

    def add_actor(self, actor: Actor) -> None:
        """Call `actor` in its phase, in order of arrival."""
        self._actors[actor.phase].append(actor)

    def keep(self, collective: NamedState) -> None:
        """Carry the state of a collective over a restart."""
        self._kept[collective.name] = collective

    def member(self, name: str) -> MycelialAgent:
        """The agent called `name`; KeyError when there is none."""
        return self._members[name]

    def census(self) -> dict[str, int]:
        """How many of each kind, and in total."""
        counts: Counter[str] = Counter(agent.kind for agent in self._members.values())
        return {**dict(sorted(counts.items())), "total": sum(counts.values())}

    def members(self) -> Sequence[MycelialAgent]:
        """All agents in order of birth."""
        return list(self._members.values())

    def every(self, count: int, function: Callable[[], None]) -> None:
        """Call `function` every `count` base intervals of Mesa's clock; what it raises is its owner's fault.

        A restart does not call it again for the time before.
        """
        owner = str(getattr(getattr(function, "__self__", None), "name", "schedule"))

        def guarded() -> None:
            if owner not in self.quarantined:
                self._guard(owner, "every", function)

        self._recurring.append((count, math.floor(self.time), guarded))

    def connect(self, drawing: Callable[[], Links]) -> None:
        """Lay the network on which agents meet as neighbours anew, by `drawing`, when somebody looks at it next."""
        self._drawing = drawing

    def edges(self) -> Iterable[tuple[str, str]]:
        """Who meets whom on the network; it need not be laid for that."""
        edges: Iterable[tuple[str, str]]
        edges = self._topology.G.edges if self._drawing is None else self._drawing()[1]
        return edges

    @property
    def topology(self) -> Network:
        """The network on which agents meet as neighbours."""
        if self._drawing is not None:
            graph = nx.Graph()
            nodes, edges = self._drawing()
            graph.add_nodes_from(nodes)
            graph.add_edges_from(edges)
            self._topology = Network(graph, layout=None, random=self.random)
            self._drawing = None
        return self._topology

    def note(self, decision: Decision) -> None:
        """Leave a line for the record; AgentFault when it is none that can be written down."""
        if not isinstance(decision, Decision):
            raise AgentFault(f"{type(decision).__name__} is no line for the record")
        try:
            encode(decision_fields(decision))
        except (MycelialError, ValueError, OverflowError, OSError) as error:
            raise AgentFault(f"a line that cannot be written down: {error}") from error
        self.outbox.notes.append(decision)

    def heard(self, stream: Stream, idea: Idea) -> None:
        """Leave an idea that passed its stream's rule, for the books."""
        self.outbox.ideas.append((stream, idea))

    def on_snapshot(self, snapshot: Snapshot, account: AccountView) -> bool:
        """Let one slice pass through all phases; False when the bus did not settle in one of them."""
        self.account = account
        self._advance(snapshot.at)
        bus, up, begun = self.bus, True, False
        for phase in PHASES:
            actors = self._actors[phase]  # looked up each time: a phase may discharge and hire actors of later ones
            if actors:
                self._let_act(actors, snapshot)
            elif begun:
                continue  # since the bus settled nobody has said anything
            begun = True
            if bus.quiet():
                continue
            up = bus.settle() and up
            for failure in bus.drain_failures():
                self._blame(failure)
        return up

    def _advance(self, at: int) -> None:
        """Mesa's clock goes on to `at` (UTC ms), with a tick at each whole interval on the way."""
        if self._origin is None:
            self._origin = at - self.interval_ms
        target = (at - self._origin) / self.interval_ms
        whole, steps = math.floor(target), self.steps
        while steps < whole:
            self.steps += 1
            steps += 1
            self._reach(float(steps))
            if self._recurring:
                self._tick()
        if target > steps:
            self._reach(target)

    def _reach(self, time: float) -> None:
        if not self._event_list._events:  # `is_empty` counts them one by one
            self.time = time  # what `run_until` comes to where nobody has scheduled an event of Mesa's
        else:
            self.run_until(time)
        self._now_ms = (self._origin or 0) + round(time * self.interval_ms)

    def _let_act(self, actors: Sequence[Actor], snapshot: Snapshot) -> None:
        timer, quarantined = self._timer, self.quarantined
        for actor in actors:
            if quarantined and actor.name in quarantined:
                continue
            if timer is not None:
                self._act_in_time(actor, snapshot, timer)
                continue
            try:  # what `_guard` does, without a call more for every agent of every slice
                actor.act(snapshot)
            except InvariantError:
                raise
            except Exception as error:  # noqa: BLE001 - the border of one agent, as in `_guard`
                self._blame(Failure(actor.name, "act", f"{type(error).__name__}: {error}"))

    def _act_in_time(self, actor: Actor, snapshot: Snapshot, timer: Timer) -> None:
        started = timer.seconds()
        self._guard(actor.name, "act", actor.act, snapshot)
        if timer.seconds() - started > self._settings.step_budget_seconds:
            self._blame_slow(actor.name)
        else:
            self._slow.discard(actor.name)

    def _blame_slow(self, name: str) -> None:
        """Slow twice running is a fault; once is not, because a loop may just have been compiled."""
        if name in self._slow:
            self._blame(Failure(name, "act", f"slower than {self._settings.step_budget_seconds:g} s, again"))
        self._slow.add(name)

    def _guard(self, owner: str, where: str, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except InvariantError:
            raise
        except Exception as error:  # noqa: BLE001 - the border of one agent: it is counted and shown, the others go on
            self._blame(Failure(owner, where, f"{type(error).__name__}: {error}"))

    def _blame(self, failure: Failure) -> None:
        self.faults[failure.owner] += 1
        reason = short(f"{failure.where}: {failure.error}")
        limit = self._settings.faults_before_quarantine
        self.note(Decision(self.now_ms(), "fault", source=failure.owner, reason=reason))
        if self.faults[failure.owner] >= limit and failure.owner not in self.quarantined:
            self.quarantined[failure.owner] = reason
            self.bus.unsubscribe(failure.owner)
            self.note(Decision(self.now_ms(), "quarantine", source=failure.owner, reason=reason))

    def now_ms(self) -> int:
        """The slice's time in UTC milliseconds, from Mesa's clock."""
        return self._now_ms

    def state(self) -> dict[str, Any]:
        """Time and what each agent remembers."""
        return {
            "time": self.time,
            "origin": self._origin,
            "quarantined": dict(self.quarantined),
            "faults": dict(self.faults),
            "collectives": {name: collective.state() for name, collective in self._kept.items()},
            "agents": {name: state for name, agent in self._members.items() if (state := agent.state())},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`: agents of the same names must have been born."""
        self._origin = state["origin"]
        if state["time"] > self.time:
            self.steps = math.floor(state["time"])
            self._reach(state["time"])
        self.quarantined = dict(state["quarantined"])
        for owner in self.quarantined:
            self.bus.unsubscribe(owner)
        self.faults = Counter(state["faults"])
        for name, remembered in state["agents"].items():
            self._members[name].restore(remembered)
        for name, remembered in state["collectives"].items():
            self._kept[name].restore(remembered)
