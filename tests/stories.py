"""Records to ask: of a walk that was written down, or made by hand, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from src.agents import KINDS, Kind, World
from src.agents.builder import Builder
from src.connectors.sqlite_ledger import SqliteSink
from src.connectors.story_files import read_story
from src.core.desk import Limits
from src.core.meeting import TraderRules
from src.core.messages import MycelialIdea
from src.core.model import MycelialAgent, MycelialModel
from src.core.story import Line, Silence, Story
from src.core.traces import Rules
from src.core.types import Side, Snapshot
from tests.golden import tape
from tests.walked import Walk

RULES = Rules(
    tape.HOUR,
    TraderRules(tape.HOUR, 0.0072, 3, 2, (tape.PAIR,), 24),
    Limits(Decimal("0.05"), 15, 2 * tape.HOUR, Decimal("0.0036")),
)


def write(walk: Walk, folder: Path) -> Path:
    """The ledger of a walk as a file."""
    path = folder / "ledger.sqlite"
    sink = SqliteSink(path, walk.tree.ledger, mode="backtest", ledger_id="walk")
    sink.write(walk.ledger.written)
    sink.close()
    return path


def told(walk: Walk, folder: Path) -> Story:
    """The story of a walk, by way of a file."""
    return read_story(write(walk, folder), walk.tree.ledger)


def made(lines: Sequence[Line] = (), silences: Sequence[Silence] = (), **changes: Any) -> Story:
    """A story made by hand over the bars of the tape."""
    fields: dict[str, Any] = {
        "name": "by hand", "lines": list(lines), "rules": [(1, RULES)], "told": [], "reviews": {}, "orders": {},
        "states": [], "fills": [], "trades": [], "silences": list(silences), "members": [],
        "first": tape.closed_at(0), "last": tape.closed_at(59),
    }  # fmt: skip
    return Story(**(fields | changes))


class Voice(MycelialAgent):
    """Says for the swarm what a test wants, bar by bar."""

    kind: ClassVar[str] = "pattern_learner"
    phase: ClassVar[str] = "opine"

    def __init__(self, model: MycelialModel, said: dict[int, dict[str, Any]]) -> None:
        super().__init__(model, "voice")
        self._said = {tape.closed_at(bar): changes for bar, changes in said.items()}

    def act(self, snapshot: Snapshot) -> None:
        changes = self._said.get(snapshot.at)
        if changes is not None:
            fields = {
                "source": "learner-a", "at": snapshot.at, "known_at": snapshot.at, "pair": tape.PAIR, "price": 1.0,
                "side": Side.BUY, "score": 0.9, "edge": 0.02, "horizon": 6, "learners": tape.SPEAKERS,
            }  # fmt: skip
            self.say("mycelial-trade-ideas", MycelialIdea(**(fields | changes)))


def kinds(said: dict[int, dict[str, Any]], team: bool = True) -> tuple[Kind, ...]:
    """The real swarm with a voice in the learners' place."""

    def staff(world: World) -> None:
        for pair in world.pairs if team else ():
            world.nursery.deploy(pair)

    speaks = ("mycelial-trade-ideas",)
    replaced = {
        "pattern_learner": Kind("pattern_learner", Voice, lambda world: _born(world, said), speaks, ()),
        "builder": Kind("builder", Builder, staff, (), ()),
    }
    taken = {kind.name for kind in tape.kinds()}
    return tuple(replaced.get(kind.name, kind) for kind in KINDS if kind.name in taken)


def _born(world: World, said: dict[int, dict[str, Any]]) -> None:
    Voice(world.model, said)
