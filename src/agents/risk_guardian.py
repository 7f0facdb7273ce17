"""HAVEN, the risk guardian: watches the drawdown of marked equity and contagion among learners, and asks for a halt."""

from __future__ import annotations

from typing import Any, ClassVar

from ..core.messages import Control, Message, TradeConfirmation
from ..core.model import MycelialAgent
from ..core.types import CommandKind, Decision, Snapshot
from .haven import Watch
from .world import World

NAME = "risk-guardian"


class RiskGuardian(MycelialAgent):
    """Asks for HALT once when a limit is reached (exactly at it, too); takes effect with the next slice.

    The drawdown is looked at in every slice; within the same slice the gate refuses entries by the same limit, so
    that nothing slips through between. Contagion, the share of learners whose policies point one way, is looked at
    every `contagion_every_intervals`; where too few have learnt anything it is not known, and that is no reason for
    or against anything. Each of the two asks again only after it has been below its limit.
    """

    kind: ClassVar[str] = "risk_guardian"
    phase: ClassVar[str] = "guard"

    def __init__(self, world: World) -> None:
        super().__init__(world.model, NAME)
        self._limit = world.settings.risk.max_drawdown_ratio
        self._contagious = world.settings.haven.contagion_ratio
        self._world, self._figures = world, world.figures.haven
        self._asked = self._asked_contagion = False
        self._due = False
        self._population: int | None = None
        self.confirmed = 0
        self.hear("trade-confirmations", self._on_confirmation)
        world.model.every(world.settings.haven.contagion_every_intervals, self._look_is_due)

    def act(self, snapshot: Snapshot) -> None:
        """Compare drawdown and, when it is time, contagion with their limits; say who is poisoned on purpose."""
        drawdown = self.model.account.drawdown_ratio
        over = drawdown >= self._limit
        if over and not self._asked:
            self._ask(f"drawdown {drawdown:.2%} reached the limit of {self._limit:.2%}", snapshot.at)
        self._asked = over
        self._count_toxic(snapshot.at)
        if self._due:
            self._due = False
            self._look_at_learners(snapshot.at)

    def _look_is_due(self) -> None:
        self._due = True

    def _look_at_learners(self, at: int) -> None:
        share = None if self._world.watch is None else self._world.watch.likeness().contagion
        self._figures["contagion_ratio"] = share
        if share is None:
            return
        self._figures["contagion_highest_ratio"] = max(share, self._figures["contagion_highest_ratio"] or 0.0)
        over = share >= self._contagious
        if over and not self._asked_contagion:
            self._ask(
                f"contagion: {share:.2%} of the learners are of one mind, the limit is {self._contagious:.2%}", at
            )
        self._asked_contagion = over

    def _count_toxic(self, at: int) -> None:
        """An experiment with poisoned learners says so in the record, whenever their number changes."""
        if self._world.watch is None or self._world.settings.haven.toxic_ratio == 0.0:
            return
        self._name_toxic(self._world.watch, at)
        toxic = self._world.watch.toxic_count()
        if toxic != self._figures["toxic"]:
            self._figures["toxic"] = toxic
            detail = {"toxic": toxic, "learners": self._world.watch.learners()}
            self.model.note(Decision(at, "experiment", reason="toxic_learners", source=self.name, detail={**detail}))

    def _name_toxic(self, watch: Watch, at: int) -> None:
        """Who they are, each since the slice in which it was first seen poisoned."""
        if watch.population != self._population:
            self._population, known = watch.population, self._world.figures.toxic_since
            self._world.figures.toxic_since = {name: known.get(name, at) for name in watch.toxic()}

    def _ask(self, reason: str, at: int) -> None:
        message = Control(source=self.name, at=at, known_at=at, command=CommandKind.HALT, reason=reason)
        self.say("system-control", message)

    def _on_confirmation(self, message: Message) -> None:
        if isinstance(message, TradeConfirmation):
            self.confirmed += 1

    def state(self) -> dict[str, Any]:
        """What was asked for, how many fills were seen, what the learners looked like."""
        return {
            "asked": self._asked,
            "asked_contagion": self._asked_contagion,
            "due": self._due,
            "confirmed": self.confirmed,
            "figures": dict(self._figures),
            "toxic_since": dict(self._world.figures.toxic_since),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._asked, self._asked_contagion = state["asked"], state["asked_contagion"]
        self._due, self.confirmed = state["due"], state["confirmed"]
        self._figures.update(state["figures"])
        self._world.figures.toxic_since, self._population = dict(state.get("toxic_since", {})), None


def populate(world: World) -> None:
    """The one guardian."""
    RiskGuardian(world)
