"""Who has a team of agents: teams are born whole or not at all, and leave with everything they had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mesa

from ..core.errors import AgentFault, InvariantError
from ..core.model import MycelialAgent, MycelialModel
from ..core.types import Pair

Deploy = Callable[[Pair], Iterator[MycelialAgent]]
"""Bears a kind's share of a pair's team, one agent after the other."""


class Nursery:
    """The roster of a run. Kinds say how their share of a team is born; whoever decides calls `deploy` and `retire`.

    `active` maps each pair with a team to the names of its members; nobody else is ever retired with it.
    """

    name = "nursery"

    def __init__(self, model: MycelialModel) -> None:
        self._model = model
        self._deploys: list[Deploy] = []
        self._founders: list[Callable[[Sequence[Pair]], None]] = []
        self._changed: list[Callable[[], None]] = []
        self._retiring: list[Callable[[Pair, Sequence[str]], None]] = []
        self._reviving: list[Callable[[Pair, Sequence[str]], None]] = []
        self._active: dict[Pair, tuple[str, ...]] = {}
        self._retired: dict[Pair, None] = {}
        self._founded: tuple[Pair, ...] = ()
        model.keep(self)

    # What kinds tell it before a run begins

    def teach(self, deploy: Deploy) -> None:
        """A kind's share of every team, in the order of birth."""
        self._deploys.append(deploy)

    def on_founded(self, bear: Callable[[Sequence[Pair]], None]) -> None:
        """Call with the first active pairs: the standard swarm is spread over them."""
        self._founders.append(bear)

    def on_change(self, call: Callable[[], None]) -> None:
        """Call after every birth or death of a team."""
        self._changed.append(call)

    def on_retiring(self, call: Callable[[Pair, Sequence[str]], None]) -> None:
        """Call with a pair and its team's names before it leaves: what it knew can still be put away."""
        self._retiring.append(call)

    def on_reviving(self, call: Callable[[Pair, Sequence[str]], None]) -> None:
        """Call with a pair and its new team's names when a retired pair comes back: what was put away may return."""
        self._reviving.append(call)

    # The roster

    @property
    def active(self) -> Mapping[Pair, tuple[str, ...]]:
        """The pairs with a team, in order of birth, and the names of its members."""
        return self._active

    @property
    def founded(self) -> tuple[Pair, ...]:
        """The pairs over which the standard swarm was spread; empty before."""
        return self._founded

    def was_retired(self, pair: Pair) -> bool:
        """Whether the pair had a team and hibernates now."""
        return pair in self._retired

    def found(self, pairs: Sequence[Pair]) -> None:
        """Bear the standard swarm; once in a run."""
        self._founded = tuple(pairs)
        for bear in self._founders:
            bear(pairs)
        self.tell()

    def deploy(self, pair: Pair) -> tuple[str, ...]:
        """Bear a pair's team and return its names; AgentFault when one could not be born, and then nobody was."""
        if pair in self._active:
            raise InvariantError(f"{pair} has a team already")
        before = set(self._model.agents)
        born: list[str] = []
        try:
            for deploy in self._deploys:
                born.extend(agent.name for agent in deploy(pair))
            self._active[pair] = tuple(born)
            self.tell()
            if pair in self._retired:
                for call in self._reviving:
                    call(pair, born)
        except Exception as error:  # all or nothing, whatever a kind did wrong; it is reported as a fault
            self._undo(pair, before)
            raise AgentFault(f"{pair}: agent {len(born) + 1} of its team: {type(error).__name__}: {error}") from error
        self._retired.pop(pair, None)
        return self._active[pair]

    def retire(self, pair: Pair) -> tuple[str, ...]:
        """Let a pair's team leave with everything and return its names.

        What it knew is put away first: a failure there leaves the team as it was (AgentFault). InvariantError for a
        pair without a team.
        """
        if pair not in self._active:
            raise InvariantError(f"{pair} has no team")
        names = self._active[pair]
        agents = [self._model.member(name) for name in names]
        self.put_away(pair)
        for agent in agents:
            agent.remove()
        del self._active[pair]
        self._retired[pair] = None
        self.tell()
        return names

    def put_away(self, pair: Pair) -> None:
        """Put away what a pair's team knows, while nobody leaves; AgentFault when that cannot be done."""
        for call in self._retiring:
            try:
                call(pair, self._active[pair])
            except Exception as error:  # whatever a kind did wrong; it is reported as a fault
                raise AgentFault(f"{pair}: cannot be put away: {type(error).__name__}: {error}") from error

    def replaced(self, old: str, new: str) -> None:
        """A member of a team gave its place to another, which leaves with the team from now on."""
        for pair, names in self._active.items():
            if old in names:
                self._active[pair] = tuple(new if name == old else name for name in names)

    def _undo(self, pair: Pair, before: set[mesa.Agent[Any]]) -> None:
        self._active.pop(pair, None)
        for agent in [agent for agent in self._model.agents if agent not in before]:
            if isinstance(agent, MycelialAgent) and agent in self._model.members():
                agent.remove()
            else:  # it was refused at the door: its name belongs to somebody else
                mesa.Agent.remove(agent)
        self.tell()

    def tell(self) -> None:
        """Somebody was born or died: all who follow that are told."""
        for call in self._changed:
            call()

    # Restart

    def state(self) -> dict[str, Any]:
        """Who has a team, who had one, and over whom the standard swarm was spread."""
        active = [[pair, list(names)] for pair, names in self._active.items()]
        return {"founded": list(self._founded), "active": active, "retired": list(self._retired)}

    def restore(self, state: dict[str, Any]) -> None:
        """Bear and remove teams until the roster is that of `state`; what they know is restored by their kinds."""
        wanted = {Pair(pair): tuple(names) for pair, names in state["active"]}
        for pair in [pair for pair in self._active if pair not in wanted]:
            for name in self._active.pop(pair):
                self._model.member(name).remove()
        if tuple(state["founded"]) != self._founded:
            self.found(tuple(map(Pair, state["founded"])))
        self._retired = {}
        for pair in wanted:
            if pair not in self._active:
                self.deploy(pair)
        self._active = wanted
        self._retired = dict.fromkeys(map(Pair, state["retired"]))
        self.tell()
