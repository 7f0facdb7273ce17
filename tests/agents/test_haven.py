"""HAVEN's eye on the learners: contagion at its boundary, no data, and the poisoned of an experiment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from src.agents import World, builder, pattern_learner, risk_guardian, trader
from src.agents import colony_layout as k
from src.agents.colony import Colony
from src.agents.pattern_learner import LearnerCollective
from src.agents.population import society
from src.core import checkpoint
from src.core.messages import ConsensusReached, Control, Message
from src.core.types import CommandKind, Decision, Pair
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, world
from tests.agents.test_discovery import TWO, Yard, at, consensus, hibernation

TEN = {"market": 10}


def swarm(standard: dict[str, int], **changes: object) -> World:
    """A standard swarm of learners over one pair, watched in every slice; nobody has a team."""
    here = world(
        learners__standard=standard, haven__contagion_every_intervals=1, learners__feature_mask_ratio=1.0, **changes
    )
    pattern_learner.populate(here)
    risk_guardian.populate(here)
    here.nursery.found((BTC,))
    return here


def colony_of(here: World) -> Colony:
    (learners,) = [actor for actors in here.model._actors.values() for actor in actors
                   if isinstance(actor, LearnerCollective)]  # fmt: skip
    return learners._colony


def think(here: World, *directions: int) -> None:
    """Let the learners want what these features say, one after the other; -1 has learnt nothing."""
    colony = colony_of(here)
    for name, feature in zip(colony.names, directions, strict=True):
        weights = colony.rows.weights[colony.row_of(name)]
        weights[:] = 0.0
        if feature >= 0:
            weights[k.UP, feature] = 0.5


def asked(here: World, *minds: tuple[int, ...]) -> list[tuple[int, str]]:
    """In which slices a halt is asked for, and why, while the learners think so and so."""
    got: list[Any] = record(here, "system-control")
    for number, directions in enumerate(minds):
        think(here, *directions)
        see(here, snapshot(here, START + HOUR * number))
    assert all(message.command is CommandKind.HALT and message.source == "risk-guardian" for message in got)
    return [((message.at - START) // HOUR, message.reason) for message in got]


SEVEN = (0, 0, 0, 0, 0, 0, 0, 1, 2, 3)
EIGHT = (0, 0, 0, 0, 0, 0, 0, 0, 1, 2)
TOO_FEW = (0, 0, 0, 0, 0, 0, 0, 0, 0, -1)


def test_m_f22_exactly_eighty_per_cent_of_one_mind_ask_for_a_halt_and_say_so() -> None:
    said = "contagion: 80.00% of the learners are of one mind, the limit is 80.00%"
    assert asked(swarm(TEN), SEVEN, EIGHT, EIGHT) == [(1, said)]
    assert asked(swarm(TEN), SEVEN, SEVEN) == []


def test_asks_again_only_after_it_had_fallen_below() -> None:
    slices = [number for number, _ in asked(swarm(TEN), EIGHT, TOO_FEW, EIGHT, SEVEN, EIGHT)]
    assert slices == [0, 4], "not known is not below"


def test_the_limit_is_a_setting() -> None:
    assert len(asked(swarm(TEN, haven__contagion_ratio=0.7), SEVEN)) == 1
    assert asked(swarm(TEN, haven__contagion_ratio=0.9), EIGHT) == []


def test_too_few_learners_are_no_data_and_never_zero() -> None:
    here = swarm(TEN)
    assert asked(here, TOO_FEW) == []
    assert here.figures.haven["contagion_ratio"] is None
    assert here.figures.haven["contagion_highest_ratio"] is None
    here = swarm({"market": 9})
    assert asked(here, (0,) * 9) == []
    assert here.figures.haven["contagion_ratio"] is None


def test_a_swarm_without_learners_is_no_data() -> None:
    here = world(haven__contagion_every_intervals=1)
    risk_guardian.populate(here)
    see(here, snapshot(here))
    assert here.figures.haven == {"toxic": 0, "contagion_ratio": None, "contagion_highest_ratio": None}


def test_looks_only_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    here = world(learners__standard=TEN, haven__contagion_every_intervals=5)
    pattern_learner.populate(here)
    risk_guardian.populate(here)
    here.nursery.found((BTC,))
    looks = 0
    plain = Colony.policy_vectors

    def counting(self: Colony) -> Any:
        nonlocal looks
        looks += 1
        return plain(self)

    monkeypatch.setattr(Colony, "policy_vectors", counting)
    for number in range(20):
        see(here, snapshot(here, START + HOUR * number))
    assert looks == 4


def test_the_guardian_goes_on_from_its_state() -> None:
    first = swarm(TEN)
    asked(first, EIGHT)
    state = checkpoint.load(checkpoint.dump(first.model.state()))
    later = swarm(TEN)
    later.model.restore(state)
    assert later.figures.haven == first.figures.haven
    got: list[Any] = record(later, "system-control")
    for number, mind in enumerate((EIGHT, SEVEN, EIGHT), start=1):
        think(later, *mind)
        see(later, snapshot(later, START + HOUR * number))
    assert [(message.at - START) // HOUR for message in got] == [3], "it had asked before the restart"


# --- the poisoned -----------------------------------------------------------------------------------------------------


def poisoned(ratio: float, pairs: tuple[Pair, ...] = (BTC,)) -> World:
    here = world(pairs, learners__standard={"market": 100}, haven__toxic_ratio=ratio)
    pattern_learner.populate(here)
    risk_guardian.populate(here)
    here.nursery.found(pairs[:1])
    return here


def experiments(here: World) -> list[Decision]:
    return [line for line in here.model.outbox.notes if line.kind == "experiment"]


def test_without_an_experiment_nobody_is_poisoned_and_nothing_is_said() -> None:
    here = poisoned(0.0)
    here.nursery.deploy(BTC)
    see(here, snapshot(here))
    assert here.watch is not None
    assert here.watch.toxic() == ()
    assert experiments(here) == []


def test_the_share_is_marked_at_the_founding_and_with_every_team_and_announced() -> None:
    here = poisoned(0.1)
    assert here.watch is not None
    founders = here.watch.toxic()
    assert 5 <= len(founders) <= 17
    see(here, snapshot(here))
    team = here.nursery.deploy(BTC)
    more = here.watch.toxic()
    assert set(more) == set(founders) | (set(more) & set(team)), "a birth moves nobody else's mark"
    assert here.watch.toxic_count() == len(more)
    see(here, snapshot(here, START + HOUR))
    assert [line.detail for line in experiments(here)] == [
        {"toxic": len(found), "learners": learners}
        for found, learners in ((founders, 100), (more, 115))
        if found is founders or len(more) != len(founders)
    ]
    assert here.figures.haven["toxic"] == len(more)
    views = [agent for agent in here.model.members() if agent.kind == "pattern_learner"]
    assert sorted(view.name for view in views if view.view()["toxic"]) == sorted(more)  # type: ignore[attr-defined]


def test_the_poisoned_are_named_each_since_it_was_first_seen() -> None:
    here = poisoned(0.1)
    assert here.watch is not None
    founders = here.watch.toxic()
    see(here, snapshot(here))
    assert here.figures.toxic_since == dict.fromkeys(founders, START)
    here.nursery.deploy(BTC)
    see(here, snapshot(here, START + HOUR))
    more = set(here.watch.toxic()) - set(founders)
    assert here.figures.toxic_since == dict.fromkeys(founders, START) | dict.fromkeys(more, START + HOUR)
    later = poisoned(0.1)
    later.model.restore(checkpoint.load(checkpoint.dump(here.model.state())))
    see(later, snapshot(later, START + 2 * HOUR))
    assert later.figures.toxic_since == here.figures.toxic_since
    assert set(society(later)["toxic"]) == set(here.watch.toxic())
    assert set(later.figures.watched()["toxic_since"].values()) <= {
        "2021-01-01T00:00:00.000Z",
        "2021-01-01T01:00:00.000Z",
    }
    later.nursery.retire(BTC)
    see(later, snapshot(later, START + 3 * HOUR))
    assert later.figures.toxic_since == dict.fromkeys(founders, START)


def test_before_the_first_slice_they_are_named_without_a_time() -> None:
    here = poisoned(1.0)
    assert here.watch is not None
    assert society(here)["toxic"] == dict.fromkeys(here.watch.toxic())
    assert len(here.watch.toxic()) == 100


def test_all_of_them_when_the_share_is_one() -> None:
    here = poisoned(1.0)
    here.nursery.deploy(BTC)
    assert here.watch is not None
    assert here.watch.toxic_count() == here.watch.learners() == 115


def test_the_same_learners_in_another_run_and_after_a_restart() -> None:
    first, second = poisoned(0.1), poisoned(0.1)
    assert first.watch is not None
    assert second.watch is not None
    for here in (first, second):
        here.nursery.deploy(BTC)
        see(here, snapshot(here))
    assert first.watch.toxic() == second.watch.toxic() != ()
    later = poisoned(0.1)
    later.model.restore(checkpoint.load(checkpoint.dump(first.model.state())))
    assert later.watch is not None
    assert later.watch.toxic() == first.watch.toxic()
    see(later, snapshot(later, START + HOUR))
    assert experiments(later) == [], "said once, not again after a restart"
    assert later.figures.haven["toxic"] == len(first.watch.toxic())


def test_a_team_that_leaves_takes_its_poisoned_along() -> None:
    here = poisoned(1.0)
    here.nursery.deploy(BTC)
    here.nursery.retire(BTC)
    assert here.watch is not None
    assert here.watch.toxic_count() == 100


# --- emergency --------------------------------------------------------------------------------------------------------


def emergency(at: int) -> tuple[str, Control]:
    kind = CommandKind.EMERGENCY_SHUTDOWN
    return "system-control", Control(source="engine", at=at, known_at=at, command=kind, reason="fire")


def test_an_emergency_puts_away_what_every_team_knows_once_and_lets_nobody_leave() -> None:
    here = world(learners__standard={}, builder__bootstrap_pairs=["BTC/USDT"])
    heard: list[tuple[Pair, int]] = []
    here.nursery.on_retiring(lambda pair, names: heard.append((pair, len(names))))
    pattern_learner.populate(here)
    builder.populate(here)
    see(here, snapshot(here), said=(emergency(START),))
    see(here, snapshot(here, START + HOUR), said=(emergency(START + HOUR),))
    assert heard == [(BTC, 15)]
    assert list(here.active) == [BTC]
    assert not here.model.faults


def test_a_failure_to_put_away_is_told_and_stops_nothing() -> None:
    here = world(learners__standard={}, builder__bootstrap_pairs=["BTC/USDT"])

    def full(pair: Pair, names: Any) -> None:
        raise OSError("disk full")

    here.nursery.on_retiring(full)
    pattern_learner.populate(here)
    builder.populate(here)
    see(here, snapshot(here), said=(emergency(START),))
    see(here, snapshot(here, START + HOUR))
    told = [
        (line.pair, line.reason, line.detail["error"])
        for line in here.model.outbox.notes
        if line.reason == "archive_failed"
    ]
    assert told == [(BTC, "archive_failed", "BTC/USDT: cannot be put away: OSError: disk full")]
    assert not here.model.faults
    assert list(here.active) == [BTC]
    assert np.all([name in colony_of(here) for name in here.active[BTC]])


# --- halted -----------------------------------------------------------------------------------------------------------


def command(kind: CommandKind, minute: int, source: str = "engine") -> tuple[str, Control]:
    return "system-control", Control(
        source=source, at=at(minute), known_at=at(minute), command=kind, reason="maintenance"
    )


def agreed(minute: int) -> tuple[str, ConsensusReached]:
    return "prospecting-consensus", consensus(TWO, at(minute))


def tell(yard: Yard, minute: int, *said: tuple[str, Message]) -> None:
    see(yard.here, snapshot(yard.here, at(minute)), said=said)


@pytest.mark.parametrize("kind", [CommandKind.HALT, CommandKind.EMERGENCY_SHUTDOWN])
def test_m_f21_halted_means_no_new_teams_and_only_the_spine_lifts_it(kind: CommandKind) -> None:
    yard = Yard()
    tell(yard, 1, command(kind, 1), agreed(1))
    tell(yard, 2, command(CommandKind.RESUME, 2, "learner-x"), agreed(2))
    assert yard.active == [BTC, ETH]
    assert yard.refused == {"halted": 2}
    assert yard.here.figures.attempted == 4
    tell(yard, 3, command(CommandKind.RESUME, 3), agreed(3))
    assert len(yard.active) == 3


def test_halted_survives_a_restart_of_the_builder() -> None:
    first, later = Yard(), Yard()
    tell(first, 1, command(CommandKind.HALT, 1))
    later.here.model.restore(checkpoint.load(checkpoint.dump(first.here.model.state())))
    tell(later, 2, agreed(2))
    assert later.refused == {"halted": 1}


def test_retirement_goes_on_while_halted() -> None:
    yard = Yard()
    tell(yard, 1, command(CommandKind.HALT, 1), ("system-hibernation", hibernation(BTC, 1)))
    assert yard.active == [ETH]


def test_the_trader_is_resumed_by_nobody_but_the_spine() -> None:
    here = world()
    trader.populate(here)
    for number, (kind, source) in enumerate([
        (CommandKind.HALT, "risk-guardian"), (CommandKind.RESUME, "learner-x"), (CommandKind.RESUME, "engine"),
    ]):  # fmt: skip
        see(here, snapshot(here, at(number)), said=(command(kind, number, source),))
        halted = here.model.member("trader").state()["halted"]
        assert halted == ("" if source == "engine" else "maintenance")
