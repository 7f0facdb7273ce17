"""A society whose agents are views and whose phases call arrays, against Mesa's activation of every agent."""

from __future__ import annotations

from contextlib import closing

import mesa
import numpy as np

from ...core.bus import LocalBus
from ...core.clock import SimClock
from ...core.model import MycelialAgent, MycelialModel
from ...core.types import AccountView, FloatArray, Snapshot
from .measure import MICROSECONDS, Measured, Parts, Sizes, alternated, middle, step_seconds
from .worlds import SEED, planted, snapshots_of

KEPT, TAKEN, SURE = 0.9, 0.1, 0.5
"""The body of a step: an agent's opinion fades and takes up its pair's newest move; above the last it has a say."""

ACCOUNT = AccountView(0.0, 0.0, 0.0, frozenset())


class Figures:
    """What is collected of each step: the sum of opinions and how many have a say."""

    def __init__(self) -> None:
        self.opinions: list[float] = []
        self.said: list[int] = []


class _View(MycelialAgent):
    """A named member; its opinion stands in the array of all."""

    kind = "view"


class _Views:
    """Acts for all members at once and collects the step's figures."""

    name, phase = "views", "opine"

    def __init__(self, model: MycelialModel, agents: int, pairs: int) -> None:
        self.figures = Figures()
        self.opinions = np.zeros(agents)
        self._home = np.arange(agents) % pairs
        model.add_actor(self)
        self.members = [_View(model, f"view-{number}") for number in range(agents)]

    def act(self, snapshot: Snapshot) -> None:
        self.opinions *= KEPT
        self.opinions += TAKEN * moves(snapshot)[self._home]
        self.figures.opinions.append(float(self.opinions.sum()))
        self.figures.said.append(int(np.count_nonzero(self.opinions > SURE)))


class _Mover(mesa.Agent["_Movers"]):  # type: ignore[misc]  # Mesa says nothing of its types
    """An agent as Mesa's tutorials write it."""

    def __init__(self, model: _Movers, home: int) -> None:
        super().__init__(model)
        self.home = home
        self.opinion = 0.0

    def step(self) -> None:
        self.opinion = KEPT * self.opinion + TAKEN * self.model.moves[self.home]


class _Movers(mesa.Model):  # type: ignore[misc]
    """Mesa's way: every agent is called, in a new order at every step. It collects nothing: that is in its favour."""

    def __init__(self, agents: int, pairs: int) -> None:
        super().__init__(rng=SEED)
        self.moves: list[float] = []
        self.movers = [_Mover(self, number % pairs) for number in range(agents)]

    def see(self, snapshot: Snapshot) -> None:
        self.moves = moves(snapshot).tolist()
        self.agents.shuffle_do("step")


def moves(snapshot: Snapshot) -> FloatArray:
    """The newest move of each pair in ATR, 0 where none is known; (pairs,)."""
    return np.nan_to_num(snapshot.features[:, 0])


def against_shuffle_do(parts: Parts, sizes: Sizes) -> Measured:
    """Median microseconds of a step of so many agents with the same body, of ours with what is collected.

    Ours: the whole passage of a slice through the model, with its clock, its four phases and the bus settled in each.
    """
    snapshots = snapshots_of(planted(sizes.pairs, sizes.warm_slices + sizes.slices), parts.settings)

    def ours() -> float:
        clock = SimClock()
        with closing(LocalBus(clock, parts.settings.bus)) as bus:
            model = MycelialModel(bus, SEED, snapshots[0].interval_ms, parts.settings.agents)
            _Views(model, sizes.learners, sizes.pairs)
            figures = step_seconds(parts.timer, lambda seen: model.on_snapshot(seen, ACCOUNT), snapshots)
        return MICROSECONDS * middle(figures[sizes.warm_slices :])

    def theirs() -> float:
        model = _Movers(sizes.learners, sizes.pairs)
        return MICROSECONDS * middle(step_seconds(parts.timer, model.see, snapshots)[sizes.warm_slices :])

    return Measured(*alternated(sizes.runs, ours, theirs))
