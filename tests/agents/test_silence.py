"""Why nobody speaks: written down when it changes, with the figures of that moment, and never in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents.colony import Colony, ColonyStep
from src.agents.silence import BaselineWatch, SwarmWatch, baseline_changes
from src.core.traces import (
    CANCELLED,
    MUTE,
    NO_BAR,
    NO_TEAM,
    NOBODY,
    PARTS,
    SILENCED,
    SPOKEN,
    TOO_FEW,
    UNHEARD,
    WARMING,
    WATCHED,
)
from tests.agents.made import world
from tests.worlds import settings


def baseline(watch: Any, model: Any, state: int, signals: tuple[int, int, int], confidence: float = 0.25) -> list[Any]:
    sides, reasons = np.sign(np.array([signals])), np.abs(np.array([signals]))
    living = np.full((1, 3), 0 if state == NO_TEAM else 1)
    heard, sure = np.array([state != NO_BAR]), np.full((1, 3), confidence)
    watch.note(baseline_changes(living, heard, sides, reasons, sure, watch.last, watch.out))
    return list(model.outbox.drain_traces()[1].get("baseline", []))


def test_the_baseline_is_noted_on_change_only() -> None:
    model = world().model
    watch = BaselineWatch(model, 1)
    assert baseline(watch, model, NO_TEAM, (0, 0, 0)) == [[0, NO_TEAM, 0, 0, 0, 0, 0, 0]]
    assert baseline(watch, model, NO_TEAM, (1, 0, 0)) == [], "nobody is there to see it"
    assert baseline(watch, model, WATCHED, (0, 0, 0)) == [[0, WATCHED, 0, 0, 0, 0, 0, 0]]
    assert baseline(watch, model, WATCHED, (1, 0, -3)) == [[0, WATCHED, 1, 0, -3, 250_000, 0, 250_000]]
    assert baseline(watch, model, WATCHED, (1, 0, -3), 0.5) == [], "the same signals, only surer"
    state = watch.state()
    assert baseline(watch, model, NO_BAR, (1, 0, -3)) == [[0, NO_BAR, 0, 0, 0, 0, 0, 0]]
    watch.restore(state)
    assert baseline(watch, model, WATCHED, (1, 0, -3)) == [], "it goes on where it was"


LEARNERS = 4


@pytest.mark.parametrize(
    ("scores", "sides", "silenced", "heard", "row"),
    [
        ([np.nan] * 4, "++++", "", True, [WARMING, 0, 0, 0, 4, 4, 0, 0]),
        ([0.1] * 4, "++++", "", True, [MUTE, 0, 0, 0, 0, 4, 100_000, 2_000]),
        ([0.99, 0.99, 0.1, np.nan], "++++", "", True, [TOO_FEW, 2, 0, 0, 1, 4, 990_000, 2_000]),
        ([0.99, 0.99, 0.99, 0.1], "++++", "0", True, [SILENCED, 2, 0, 1, 0, 4, 990_000, 2_000]),
        ([0.99, 0.99, 0.99, 0.99], "++--", "", True, [CANCELLED, 2, 2, 0, 0, 4, 990_000, 2_000]),
        ([0.99, 0.99, 0.99, 0.1], "--+-", "", True, [SPOKEN, 1, 2, 0, 0, 4, 990_000, 2_000]),
        ([0.99] * 4, "++++", "", False, [UNHEARD, 4, 0, 0, 0, 4, 990_000, 2_000]),
    ],
)
def test_the_swarm_of_a_pair(scores: list[float], sides: str, silenced: str, heard: bool, row: list[int]) -> None:
    """Two must agree where both sides have two learners, three elsewhere."""
    tree, model = settings(), world().model
    colony = Colony(tree.learners, tree.costs, 3, 2, seed=1)
    for number in range(LEARNERS):
        colony.born(f"learner-{number}", 1, 6)
        colony.rows.counts[colony.row_of(f"learner-{number}"), k.SILENCED] = str(number) in silenced and silenced != ""
    watch = SwarmWatch(model, 2, 2 if row[0] in (CANCELLED, SPOKEN) else 3)
    said = np.full(colony.capacity, np.nan)
    score, edge = said.copy(), np.zeros(colony.capacity)
    for number, (one, side) in enumerate(zip(scores, sides, strict=True)):
        place = colony.row_of(f"learner-{number}")
        said[place], score[place] = (1.0 if side == "+" else -1.0), one
        edge[place] = 0.002 if number == 0 else 0.001
    if np.isnan(scores).all():
        edge[:] = 0.0
    step = ColonyStep(1, colony.population, said, score, edge, np.isnan(score))
    watch.look(colony, step, np.array([True, heard]))
    assert model.outbox.drain_traces()[1]["swarm"] == [[0, NOBODY, 0, 0, 0, 0, 0, 0, 0], [1, *row]]
    watch.look(colony, step, np.array([True, heard]))
    assert model.outbox.drain_traces()[1] == {}
    assert PARTS == 1_000_000
