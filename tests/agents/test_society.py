"""The learners' society in a run: patterns from request to memory, succession, FORCE_SHARE, sleep and revival."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents import researcher
from src.agents.colony import Colony
from src.agents.colony_diversity import diversity
from src.agents.learner_society import successor_of
from src.agents.lessons import JUDGED_BY, lessons_of, study
from src.agents.pattern_learner import LearnerCollective, PatternLearner
from src.agents.research_past import ResearchPast
from src.agents.researcher import Researcher, name_of, verdict
from src.core import checkpoint
from src.core.errors import AgentFault
from src.core.market import FEATURES
from src.core.memory import Cluster, MemoryRecord, Namespace, Where
from src.core.messages import Control, PatternRequest, PatternResult
from src.core.ports import Foreign
from src.core.types import CommandKind, FloatArray, Pair, Side, Snapshot
from src.services.memory import PatternMemory
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, world
from tests.checks.agent_checks import APART, BARS, QUICK, Swarm, history
from tests.walked import Walk
from tests.worlds import settings

RULES = settings().research
P0, P1 = Pair("P0/USD"), Pair("P1/USD")
EVERYTHING = Where()


def collective(swarm: Swarm) -> LearnerCollective:
    (found,) = [one for one in swarm.model._kept.values() if isinstance(one, LearnerCollective)]
    return found


def colony_of(swarm: Swarm) -> Colony:
    return collective(swarm)._colony


def remembered(swarm: Swarm) -> dict[str, MemoryRecord]:
    """Everything that is remembered of patterns, by id."""
    memory = swarm.world.memory
    assert isinstance(memory, PatternMemory)
    return {one.id: one for one in memory.index.records(swarm.clock.now_ms(), EVERYTHING) if JUDGED_BY in one.meta}


@cache
def lived() -> Swarm:
    """A walk of the small world; not to be changed."""
    swarm = Swarm(history())
    swarm.walk()
    return swarm


def of_type[M](swarm: Swarm, kind: type[M]) -> list[M]:
    return [message for _, message in swarm.bus.said if isinstance(message, kind)]


# --- what a researcher thinks ----------------------------------------------------------------------------------------


def test_a_verdict_is_the_distance_from_the_base_rate_in_standard_errors() -> None:
    # 40 moments, mean 0.5, variance 1.25 - 0.25; all 100 moments have mean 0.1; every fourth outcome is new.
    said = verdict(40, 20.0, 50.0, 100, 10.0, 4, RULES)
    assert said.lift == pytest.approx(0.4, abs=1e-15)
    assert said.quality == pytest.approx(50.0 + 50.0 * 0.4 / math.sqrt(1.0 / 10.0) / 4.0, abs=1e-12)
    assert (said.vote, said.moments) == (0, 40)
    for horizon, vote in ((2, 1), (3, 0)):  # 50 + 22.4 and 50 + 18.3 of 100; more than 70 are asked for
        assert verdict(40, 20.0, 50.0, 100, 10.0, horizon, RULES).vote == vote
    against = verdict(40, -20.0, 50.0, 100, 10.0, 4, RULES)
    assert (against.vote, round(against.lift, 12)) == (-1, -0.6)
    assert against.quality == pytest.approx(50.0 - 50.0 * 0.6 / math.sqrt(0.1) / 4.0, abs=1e-12)


def test_too_few_moments_say_nothing_and_no_better_than_the_base_rate_is_no_vote() -> None:
    least = RULES.min_moments
    assert verdict(least - 1, 30.0, 40.0, 100, 0.0, 1, RULES) == (0, 50.0, least - 1, 0.0)
    assert verdict(least, 30.0, 40.0, 100, 0.0, 1, RULES).vote == 1
    assert verdict(40, 4.0, 50.0, 100, 10.0, 4, RULES)[:2] == (0, 50.0)


@pytest.mark.parametrize(("lift", "quality"), [(0.5, 100.0), (-0.5, 0.0), (0.0, 50.0)])
def test_moments_that_all_moved_alike_are_certain(lift: float, quality: float) -> None:
    assert verdict(40, 40 * lift, 40 * lift * lift, 40, 0.0, 4, RULES).quality == quality


def slice_of(
    here: Any, grid: int, closes: tuple[float, ...], features: FloatArray, volatility: float = 0.01
) -> Snapshot:
    seen = snapshot(here, grid * HOUR, closes)
    rows = np.zeros((len(here.pairs), len(FEATURES)))
    rows[:, : features.shape[1]] = features
    return msgspec.structs.replace(seen, features=rows, volatility=np.full(len(closes), volatility))


def alternating(depth: int = 10, until: int = 12) -> ResearchPast:
    """One pair: at even grids it looks like (1, 0) and rises by one volatility, at odd ones like (0, 1) and falls."""
    here = world((BTC,))
    past = ResearchPast(depth, len(FEATURES), 1)
    for grid in range(until + 1):
        close = 100.0 * math.exp(0.01 * (grid % 2))
        look = np.array([[1.0, 0.0], [0.0, 1.0]])[[grid % 2]]
        past.act(slice_of(here, grid, (close,), look))
    return past


def judged(past: ResearchPast, first: int, last: int, vector: list[float], side: float = 1.0, horizon: int = 1) -> Any:
    full = np.zeros((1, len(FEATURES)))
    full[0, : len(vector)] = vector
    found = past.judge(first, last, np.array([horizon]), np.array([side]), full, 0.6)
    return [round(float(column[0]), 9) for column in found]


def test_moments_count_where_they_and_their_outcome_lie_in_the_window() -> None:
    past = alternating()
    # Grids 4 to 9: moves begin at 4..8; up at 4, 6, 8, down at 5, 7.
    assert judged(past, 4, 9, [2.0]) == [3, 3.0, 3.0, 5, 1.0]
    assert judged(past, 4, 9, [0.5, 0.0001], -1.0)[:2] == [3, -3.0]
    assert judged(past, 4, 9, [0.0, 1.0])[:2] == [2, -2.0]


def test_only_the_features_of_the_pattern_are_compared_and_nan_resembles_nothing() -> None:
    here = world((BTC,))
    past = ResearchPast(20, len(FEATURES), 1)
    looks = ([1.0, 5.0], [-1.0, 0.0], [math.nan, 0.0], [1.0, math.nan], [0.8, 0.0])
    for grid, look in enumerate(looks):
        past.act(slice_of(here, grid, (100.0 * math.exp(0.01 * grid),), np.array([look])))
    assert judged(past, 0, 4, [1.0]) == [2, 2.0, 2.0, 4, 4.0]  # 0 and 3; 4 has no outcome yet
    assert judged(past, 0, 4, [1.0, 1.0])[0] == 1  # of 0 alone: cosine 6 / sqrt(52)


def test_a_gap_is_no_data_and_the_ring_forgets() -> None:
    here = world((BTC,))
    past = ResearchPast(6, len(FEATURES), 1)
    for grid in (0, 1, 2, 5, 6):
        past.act(slice_of(here, grid, (100.0 * math.exp(0.01 * grid),), np.array([[1.0]])))
    assert judged(past, 0, 6, [1.0]) == [2, 2.0, 2.0, 2, 2.0]  # 1 -> 2 and 5 -> 6; 0 is overwritten
    assert judged(past, 0, 6, [1.0], horizon=4)[0] == 2  # 1 -> 5 and 2 -> 6
    again = ResearchPast(6, len(FEATURES), 1)
    again.restore(checkpoint.load(checkpoint.dump(past.state())))
    assert judged(again, 0, 6, [1.0], horizon=4)[0] == 2
    assert judged(ResearchPast(6, len(FEATURES), 1), 0, 6, [1.0])[0] == 0


def request(number: int, grid: int, side: Side = Side.BUY, pair: Pair = BTC) -> PatternRequest:
    at = grid * HOUR
    return PatternRequest(
        source="l", at=at, known_at=at, pattern=f"p{number}", pair=pair, moat="market", horizon=3, side=side,
        score=0.9, value=80.0, seen_at=at, features={FEATURES[0]: 1.0},
    )  # fmt: skip


def test_each_researcher_judges_once_at_the_end_of_a_window_of_its_own() -> None:
    here = world((BTC,), research__window_intervals=8, research__min_moments=1, research__queue_cases=2)
    researcher.populate(here)
    said, begin = record(here, "pattern-validation-result"), START // HOUR
    for step in range(40):
        grid = begin + step
        asked = [("pattern-validation-request", request(number, grid)) for number in (range(3) if step == 4 else ())]
        seen = slice_of(here, grid, (100.0 * math.exp(0.01 * step),), np.array([[1.0]]))
        see(here, seen, said=tuple(asked))
    assert here.figures.patterns == {"overflow": 3}  # the third request, by all three
    ends = {name_of(number): begin + 4 + 8 * number + 1 for number in (1, 2, 3)}
    assert Counter((one.source, one.pattern) for one in said) == dict.fromkeys(
        [(name, pattern) for name in ends for pattern in ("p0", "p1")], 1
    )
    for one in said:
        assert one.at == ends[one.source] * HOUR
        assert (one.moments, one.mean_move, one.vote) == (5, 0.0, 0)  # 8 grid points, the last 3 without outcome


def test_a_researcher_takes_on_nothing_that_is_not_of_this_run() -> None:
    here = world((BTC,))
    researcher.populate(here)
    good = request(0, START // HOUR)
    for bad in (
        msgspec.structs.replace(good, pair=ETH), msgspec.structs.replace(good, horizon=5),
        msgspec.structs.replace(good, features={"nonsense": 1.0}), good, good,
    ):  # fmt: skip
        bus = here.model.bus
        bus._clock.reach(START)  # type: ignore[attr-defined]
        bus.publish("pattern-validation-request", bad)
        bus.settle()
    (one, *_) = [agent for agent in here.model.members() if isinstance(agent, Researcher)]
    assert [case.pattern for case in one._cases] == ["p0"]


# --- from an opinion to memory ---------------------------------------------------------------------------------------


def test_a_pattern_lives_from_request_over_votes_to_memory() -> None:
    swarm = lived()
    figures, found = swarm.world.figures.patterns, remembered(swarm)
    kinds = Counter(one.namespace for one in found.values())
    assert kinds == {Namespace.TRADING: figures["validated"], Namespace.FAILED: figures["failed"]}
    assert min(kinds.values()) > 0
    requests = {one.pattern: one for one in of_type(swarm, PatternRequest)}
    votes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for result in of_type(swarm, PatternResult):
        assert 0.0 <= result.quality <= 100.0
        votes[result.pattern].setdefault(result.source, result.vote)
    for name, one in found.items():
        asked, wanted = requests[name], 1 if one.namespace is Namespace.TRADING else -1
        agreed = [source for source, vote in votes[name].items() if vote == wanted]
        assert len(agreed) >= 2
        assert (one.pair, one.direction, one.score, one.seen_at) == (asked.pair, asked.side, asked.score, asked.seen_at)
        assert {FEATURES[place]: value for place, value in enumerate(one.vector) if value} == asked.features
        assert one.known_at > asked.at > one.seen_at
        assert one.outcome is None
        assert (one.meta["learner"], one.meta["horizon"]) == (asked.source, asked.horizon)
        assert str(one.meta["narrative"]).startswith(f"{one.pair} {one.direction.value} over {asked.horizon} intervals")
    assert figures["requested"] == len(requests)
    open_cases = len(collective(swarm)._archive._cases)
    assert figures["requested"] == figures["validated"] + figures["failed"] + figures["undecided"] + open_cases
    assert swarm.world.figures.learning()["rejected"]


def test_without_the_channel_of_results_nothing_is_remembered() -> None:
    swarm = Swarm(history())
    archive = collective(swarm)._archive
    subscriptions = swarm.bus._subscriptions
    swarm.bus._subscriptions = [row for row in subscriptions if row[0] != "pattern-validation-result"]
    swarm.walk(last=150)
    assert swarm.world.figures.patterns["requested"] > 0
    assert len(of_type(swarm, PatternResult)) > 0
    assert remembered(swarm) == {}
    assert archive is collective(swarm)._archive


def asked_and_silent() -> tuple[Swarm, PatternRequest]:
    """A swarm with an open case and without researchers."""
    swarm = Swarm(history())
    for number in (1, 2, 3):
        swarm.model.member(name_of(number)).remove()
    swarm.walk(last=100)
    return swarm, of_type(swarm, PatternRequest)[-1]


def vote(swarm: Swarm, about: PatternRequest, source: str, value: int = 1, moments: int = 50) -> None:
    at = swarm.clock.now_ms()
    said = PatternResult(
        source=source, at=at, known_at=at, pattern=about.pattern, pair=about.pair, vote=value, quality=90.0,
        moments=moments, mean_move=0.5,
    )  # fmt: skip
    swarm.bus.publish("pattern-validation-result", said)
    swarm.bus.settle()


def test_one_researcher_speaking_thrice_is_one_voter_and_strangers_are_none() -> None:
    swarm, about = asked_and_silent()
    for source in ("researcher-1", "researcher-1", "researcher-1", "researcher-4", "somebody"):
        vote(swarm, about, source)
    assert remembered(swarm) == {}
    vote(swarm, about, "researcher-3")
    (one,) = remembered(swarm).values()
    assert (one.id, one.namespace, one.meta[JUDGED_BY]) == (
        about.pattern, Namespace.TRADING, "researcher-1, researcher-3"
    )  # fmt: skip
    assert one.known_at == swarm.clock.now_ms()
    vote(swarm, about, "researcher-2", -1)
    assert swarm.world.figures.patterns["validated"] == 1


def test_a_researcher_that_speaks_twice_counts_with_its_first_vote() -> None:
    swarm, about = asked_and_silent()
    for source, value in (("researcher-1", 1), ("researcher-1", -1), ("researcher-2", 1)):
        vote(swarm, about, source, value)
    assert [one.namespace for one in remembered(swarm).values()] == [Namespace.TRADING]


def test_abstentions_and_a_split_vote_leave_a_pattern_undecided() -> None:
    swarm, about = asked_and_silent()
    for source, value in (("researcher-1", 1), ("researcher-2", 0), ("researcher-3", -1)):
        vote(swarm, about, source, value)
    assert remembered(swarm) == {}
    assert swarm.world.figures.patterns["undecided"] == 1
    vote(swarm, about, "researcher-1", 1)
    assert remembered(swarm) == {}


def test_why_a_pattern_stays_undecided_is_counted() -> None:
    swarm, _ = asked_and_silent()
    enough = swarm.world.settings.research.min_moments
    few = enough - 1
    undecided: list[tuple[tuple[tuple[int, int], ...], str]] = [
        (((1, enough), (0, enough), (-1, enough)), "split_vote"),
        (((1, enough), (0, few), (-1, enough)), "split_vote"),
        (((0, few), (0, few), (1, enough)), "too_few_matches"),
        (((0, few), (0, few), (0, few)), "too_few_matches"),
        (((0, few), (0, enough), (-1, enough)), "weak_evidence"),
        (((0, enough), (0, enough), (0, enough)), "weak_evidence"),
    ]
    counted: Counter[str] = Counter()
    for about, (votes, why) in zip(of_type(swarm, PatternRequest), undecided, strict=False):
        for number, (value, moments) in enumerate(votes, start=1):
            vote(swarm, about, name_of(number), value, moments)
        counted[why] += 1
        assert swarm.world.figures.learning()["undecided"] == counted
    assert swarm.world.figures.patterns["undecided"] == len(undecided)


def test_cases_that_no_researcher_had_room_for_are_told_apart() -> None:
    swarm, about = asked_and_silent()
    requests = of_type(swarm, PatternRequest)
    open_cases = len(collective(swarm)._archive._cases)
    assert open_cases == len(requests) > 1
    vote(swarm, about, "researcher-2", 0)
    collective(swarm)._archive._close_overdue(10**9)
    assert swarm.world.figures.learning()["undecided"] == {"judge_absent": 1, "not_judged": open_cases - 1}


def test_the_reasons_add_up() -> None:
    learning = lived().world.figures.learning()
    assert sum(learning["undecided"].values()) == learning["patterns"]["undecided"] > 0


def test_every_exchange_of_the_newest_round_is_named_with_its_gain() -> None:
    swarm = lived()
    colony, society = colony_of(swarm), collective(swarm)._society
    every = society.exchanges(10_000)
    assert len(every) > 20
    assert society.exchanges(5) == every[:5]
    gains = [one.gain for one in every if one.gain is not None]
    assert gains == sorted(gains, reverse=True)
    margin = swarm.world.settings.sharing.margin_nats
    assert -margin <= gains[-1] < 0.0 < gains[0]
    assert all(one.gain is not None for one in every[: len(gains)]), "those without a standing come last"
    (grid,) = {one.grid for one in every}
    assert colony.grid is not None
    assert 0 <= colony.grid - grid < swarm.world.settings.sharing.every_intervals
    for one in every:
        assert one.giver in swarm.model.topology.G.neighbors(one.taker)
    best: dict[str, str] = {}
    for one in every:
        if one.gain is not None and one.gain > 0.0:
            best.setdefault(one.taker, one.giver)
    assert best
    assert {taker: colony.parent_of(taker) for taker in best} == best, "the best of the better givers is the parent"


def test_the_very_same_memories_after_a_restart_in_the_middle_of_open_cases() -> None:
    swarm = Swarm(history())
    swarm.walk(last=97)
    state = swarm.model.state()
    assert len(state["collectives"]["pattern-learners"]["archive"]["cases"]) > 5
    assert state["agents"]["researcher-3"]["cases"]
    later = swarm.reborn()
    before = len(remembered(later))
    later.walk(first=97)
    assert remembered(later) == remembered(lived())
    assert len(remembered(later)) > before + 10
    assert later.world.figures.learning() == lived().world.figures.learning()
    assert np.array_equal(colony_of(later).policy_vectors(), colony_of(lived()).policy_vectors())
    assert sorted(later.model.topology.G.edges) == sorted(lived().model.topology.G.edges)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("pattern-validation-request", request(1, START // HOUR)),
        (
            "pattern-validation-result",
            PatternResult(
                source="researcher-1", at=START, known_at=START, pattern="p", pair=BTC, vote=1, quality=99.0,
                moments=99, mean_move=1.0,
            ),
        ),
    ],
)  # fmt: skip
def test_a_forged_validation_from_outside_is_refused(channel: str, message: Any) -> None:
    walk = Walk()
    walk.until(5)
    walk.house.engine.recalled = [Foreign(channel, "a stranger", message)]
    report = walk.until(6)
    assert [line.reason for line in report.decisions if line.kind == "dead_letter"] == ["not for 'a stranger' to say"]
    assert walk.bus.counts().get(channel, 0) == 0


# --- succession ------------------------------------------------------------------------------------------------------


def test_children_take_the_place_of_losers_inside_their_moat_and_team() -> None:
    swarm, fresh = lived(), Swarm(history())
    colony = colony_of(swarm)
    homes = Counter(int(colony.rows.counts[colony.row_of(name), k.MOAT]) for name in colony.names)
    team_of_three = 6
    before = Counter(
        int(colony_of(fresh).rows.counts[colony_of(fresh).row_of(n), k.MOAT]) for n in colony_of(fresh).names
    )
    before[0] += team_of_three * (len(swarm.world.active) - len(fresh.world.active))
    assert homes == before
    children = [name for name in colony.names if "~" in name]
    assert swarm.world.figures.society["replaced"] >= len(children) > 2
    members = {agent.name: agent for agent in swarm.model.members()}
    for name in children:
        agent, row = members[name], colony.row_of(name)
        assert isinstance(agent, PatternLearner)
        assert colony.rows.counts[row, k.GENERATION] >= 1
        assert swarm.world.pairs[colony.rows.counts[row, k.PAIR]] == agent.pair
        assert name in swarm.model.topology.G
    for pair, names in swarm.world.active.items():
        kinds = Counter(members[name].kind for name in names)
        assert kinds == {"technical_analyst": 3, "pattern_learner": 6}, "the roster follows"
        assert {members[name].pair for name in names} == {pair}  # type: ignore[attr-defined]
    assert set(swarm.model.topology.G) == set(colony.names)


def test_the_line_of_a_succession_says_who_came_from_whom() -> None:
    swarm = Swarm(history())
    swarm.walk(last=80)
    lines = [note for note in swarm.model.outbox.notes if note.kind == "evolution"]
    assert lines
    for line in lines:
        assert line.source == successor_of(str(line.detail["replaces"]))
        assert line.detail["generation"] >= 1  # type: ignore[operator]
        assert line.detail["parent"] != line.detail["replaces"]


def test_two_runs_have_the_same_children() -> None:
    again = Swarm(history())
    again.walk()
    assert colony_of(again).names == colony_of(lived()).names
    assert np.array_equal(colony_of(again).policy_vectors(), colony_of(lived()).policy_vectors())


# --- FORCE_SHARE -----------------------------------------------------------------------------------------------------

LONELY = QUICK | {
    "evolution__every_intervals": 10**6,
    "builder__max_active": 2,
    "sharing__every_intervals": 10**6,
    "instigators__quiet_intervals": 10**6,
    "sharing__min_outcomes": 5,
}


def told(source: str, group: str) -> tuple[Swarm, list[Any]]:
    """A swarm that does not share by itself, after somebody told a group to."""
    swarm = Swarm(history(), tree=settings(**LONELY))
    swarm.walk(last=90)
    assert swarm.world.figures.society["taken"] == 0
    swarm.model.outbox.drain()
    at = swarm.clock.now_ms()
    swarm.bus.publish(
        "system-control",
        Control(source=source, at=at, known_at=at, command=CommandKind.FORCE_SHARE, reason="try", group=group),
    )
    swarm.bus.settle()
    swarm.walk(first=90, last=91)
    return swarm, [note.reason for note in swarm.model.outbox.drain()[1] if note.kind == "refusal"]


@pytest.mark.parametrize("source", ["instigator-2", "engine"])
def test_m_f22_force_share_is_obeyed_by_its_group_alone(source: str) -> None:
    swarm, refused = told(source, "DayTrade")
    figures, colony = swarm.world.figures.society, colony_of(swarm)
    assert (figures["forced"], refused) == (1, [])
    assert figures["taken"] > 0
    shared = colony.rows.counts[:, k.SHARED_AT] == colony.grid
    horizons = colony.rows.counts[:, k.HORIZON]
    alive = colony.rows.counts[:, k.ALIVE] == 1
    assert np.array_equal(shared & alive, (horizons == 6) & alive)
    assert swarm.world.society is not None
    assert swarm.world.society.group("DayTrade").took_at == colony.grid
    assert swarm.world.society.group("HFT").took_at < 0


@pytest.mark.parametrize(
    ("source", "group", "reason"),
    [
        ("trader", "DayTrade", "not_entitled"),
        ("somebody", "HFT", "not_entitled"),
        ("instigator-1", "Y", "no_such_group"),
    ],
)
def test_m_f22_who_is_not_an_instigator_is_not_obeyed(source: str, group: str, reason: str) -> None:
    swarm, refused = told(source, group)
    assert refused == [reason]
    assert swarm.world.figures.society["forced"] == 0


def test_m_f22_instigators_ask_for_a_group_that_stopped_sharing_once_in_a_while() -> None:
    swarm = Swarm(history(), tree=settings(**LONELY | {"instigators__quiet_intervals": 30,
                                                       "instigators__max_diversity": 2.0}))  # fmt: skip
    swarm.walk()
    asked = [one for one in of_type(swarm, Control) if one.command is CommandKind.FORCE_SHARE]
    assert {(one.source, one.group) for one in asked} == {
        ("instigator-1", "HFT"), ("instigator-2", "DayTrade"), ("instigator-3", "Swing"),
    }  # fmt: skip
    for group in ("HFT", "DayTrade", "Swing"):
        times = [one.at // HOUR for one in asked if one.group == group]
        assert min(np.diff(times)) >= 30
        assert len(times) >= 5
    assert swarm.world.figures.society["forced"] == len(asked)
    assert not swarm.model.faults


@pytest.mark.parametrize(("limit", "word"), [({"max_diversity": 0.001}, "above"), ({"min_diversity": 1.9}, "below")])
def test_m_f22_diversity_beyond_its_limits_is_answered(limit: dict[str, float], word: str) -> None:
    changed = {f"instigators__{name}": value for name, value in limit.items()}
    swarm = Swarm(history(), tree=settings(**QUICK | changed))
    swarm.walk(last=120)
    asked = [one.reason for one in of_type(swarm, Control) if one.command is CommandKind.FORCE_SHARE]
    assert [reason for reason in asked if f"is {word}" in reason]


def test_groups_are_seen_as_they_are() -> None:
    swarm = lived()
    colony, society = colony_of(swarm), swarm.world.society
    assert society is not None
    for name, horizon in (("HFT", 3), ("DayTrade", 6), ("Swing", 24)):
        view = society.group(name)
        rows = [row for one in colony.names if colony.rows.counts[(row := colony.row_of(one)), k.HORIZON] == horizon]
        policies = colony.rows.weights[rows, k.UP] - colony.rows.weights[rows, k.DOWN]
        assert view.learners == len(rows)
        assert view.able == int((colony.rows.numbers[rows, k.WEIGHT] >= 5).sum())
        assert view.diversity == pytest.approx(diversity(policies), abs=1e-12)


# --- sleep and revival -----------------------------------------------------------------------------------------------

ALONE = QUICK | APART | {"patterns__lessons": 0, "evolution__every_intervals": 70}


def asleep(bars: int = 150) -> tuple[Swarm, dict[str, Any], tuple[str, ...]]:
    """A swarm whose first pair hibernates; what its team knew."""
    swarm = Swarm(history(), tree=settings(**ALONE))
    swarm.walk(last=bars)
    names = swarm.world.active[P0]
    known = rows_of(swarm, names)
    swarm.world.nursery.retire(P0)
    swarm.bus.settle()
    return swarm, known, names


def rows_of(swarm: Swarm, names: tuple[str, ...]) -> dict[str, Any]:
    """Weights, generation and newest pattern of a team's learners, in the order of horizons and places."""
    colony = colony_of(swarm)
    rows = [colony.row_of(name) for name in names if name in colony]
    rows.sort(key=lambda row: int(colony.rows.counts[row, k.HORIZON]))
    columns = [k.GENERATION, k.LEARNT, k.PATTERN_AT, k.TRADES]
    return {
        "weights": colony.rows.weights[rows].copy(),
        "mask": colony.rows.mask[rows].copy(),
        "counts": colony.rows.counts[rows][:, columns].copy(),
        "pattern": colony.rows.pattern[rows].copy(),
        "ranks": colony.rows.ranks[rows].copy(),
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_m_f15_m_f16_revival_restores_what_the_team_knew() -> None:
    swarm, known, names = asleep()
    assert known["counts"][:, 0].max() >= 1, "children too"
    assert np.abs(known["weights"]).sum() > 0.0
    assert not [name for name in names if name in colony_of(swarm)]
    swarm.world.nursery.deploy(P0)
    assert same(rows_of(swarm, swarm.world.active[P0]), known)
    assert not [name for name in swarm.world.active[P0] if "~" in name]
    swarm.walk(first=150)
    assert not swarm.model.faults


def test_what_was_under_way_when_a_team_fell_asleep_is_not_taken_up_again() -> None:
    swarm, _, _ = asleep()
    swarm.world.nursery.deploy(P0)
    colony = colony_of(swarm)
    rows = [colony.row_of(name) for name in swarm.world.active[P0] if name in colony]
    counts = colony.rows.counts[rows]
    assert (counts[:, [k.BOOK_SINCE, k.SIGHTED_AT, k.SHARED_AT]] == k.EMPTY).all()
    assert (counts[:, k.BOOK_ORDER] == k.NO_ORDER).all()


def test_m_f15_only_this_pairs_patterns_are_put_away() -> None:
    swarm = Swarm(history(), tree=settings(**ALONE))
    swarm.walk(last=150)
    team, since = set(swarm.world.active[P0]), len(swarm.bus.said)
    colony = colony_of(swarm)
    others = [colony.row_of(name) for name in colony.names if name not in team]
    archived = colony.rows.counts[others, k.ARCHIVED_AT].copy()
    swarm.world.nursery.retire(P0)
    swarm.bus.settle()
    asked = [message for _, message in swarm.bus.said[since:] if isinstance(message, PatternRequest)]
    assert asked
    assert {one.source for one in asked} <= team
    assert {one.pair for one in asked} == {P0}
    assert np.array_equal(colony.rows.counts[others, k.ARCHIVED_AT], archived)
    kept = swarm.world.memory.similar(np.ones(len(FEATURES)), 99, swarm.clock.now_ms(), Where((Namespace.KNOWLEDGE,)))
    mine = {one.record.meta["learner"] for one in kept if one.record.pair == P0}
    assert mine == {name for name in team if name.startswith("learner")}
    since = len(swarm.bus.said)
    swarm.walk(first=150)
    assert not [
        message for _, message in swarm.bus.said[since:] if message.source in team and "market" in message.source
    ]


def test_m_f12_after_hibernation_no_message_of_the_team_appears() -> None:
    swarm, _, names = asleep()
    since = len(swarm.bus.said)
    swarm.walk(first=150, last=BARS - 60)
    assert P0 not in swarm.world.active
    assert not [message for _, message in swarm.bus.said[since:] if message.source in names]


def test_what_sleeps_survives_a_restart() -> None:
    swarm, known, _ = asleep()
    later = swarm.reborn()
    assert P0 not in later.world.active
    later.world.nursery.deploy(P0)
    assert same(rows_of(later, later.world.active[P0]), known)


def test_a_revival_that_fails_half_way_finds_everything_the_next_time() -> None:
    swarm, known, _ = asleep()
    fail: list[bool] = [True]

    def break_down(pair: Pair, names: Any) -> None:
        if fail.pop() if fail else False:
            raise ValueError("no room")

    swarm.world.nursery.on_reviving(break_down)
    with pytest.raises(AgentFault, match="no room"):
        swarm.world.nursery.deploy(P0)
    assert P0 not in swarm.world.active
    assert swarm.world.nursery.was_retired(P0)
    swarm.world.nursery.deploy(P0)
    assert same(rows_of(swarm, swarm.world.active[P0]), known)


def test_a_retirement_that_fails_leaves_the_team_as_it_was() -> None:
    swarm = Swarm(history(), tree=settings(**ALONE))
    swarm.walk(last=150)
    known = rows_of(swarm, swarm.world.active[P0])

    def break_down(pair: Pair, names: Any) -> None:
        raise ValueError("disk full")

    swarm.world.nursery.on_retiring(break_down)
    with pytest.raises(AgentFault, match="disk full"):
        swarm.world.nursery.retire(P0)
    assert same(rows_of(swarm, swarm.world.active[P0]), known)


# --- clusters for sharing --------------------------------------------------------------------------------------------


def lesson(name: str, pair: Pair, known_at: int, horizon: int = 6, judged: bool = True) -> MemoryRecord:
    meta: dict[str, Any] = {"horizon": horizon} | ({JUDGED_BY: "researcher-1, researcher-2"} if judged else {})
    vector = (1.0,) * len(FEATURES)
    return MemoryRecord(name, Namespace.TRADING, vector, pair, "market", Side.BUY, 0.9, 0, known_at, meta=meta)


def test_offered_are_validated_patterns_of_the_pairs_cluster_whoevers_they_are() -> None:
    centre = np.zeros(len(FEATURES))
    one = Cluster(centre, (lesson("a", BTC, 3), lesson("b", ETH, 2), lesson("c", ETH, 1, horizon=24)), None, None)
    traded = tuple(lesson(f"t{number}", BTC, 1, judged=False) for number in range(5))
    other = Cluster(centre, (lesson("d", ETH, 1), *traded), None, None)
    assert [found.id for found in lessons_of([one, other], BTC, 6)] == ["b", "a"]
    assert [found.id for found in lessons_of([one, other], ETH, 24)] == ["c"]
    assert lessons_of([one, other], Pair("SOL/USDT"), 6) == []
    assert lessons_of([], BTC, 6) == []


def test_a_lesson_moves_the_newborn_towards_it_and_counts_as_no_outcome() -> None:
    tree = settings()
    colony = Colony(tree.learners, tree.costs, len(FEATURES), 2, 7)
    colony.born("pupil", 0, 6)
    row = colony.row_of("pupil")
    rate = float(colony.rows.numbers[row, k.RATE])
    mask = colony.rows.mask[row, : colony.rows.counts[row, k.FEATURES]]
    study(colony, "pupil", [lesson("a", BTC, 1)])
    weights = colony.rows.weights[row]
    assert weights[k.UP, mask] == pytest.approx(np.full(mask.size, rate * 2.0 / 3.0), abs=1e-15)
    assert weights[k.DOWN, mask] == pytest.approx(np.full(mask.size, -rate / 3.0), abs=1e-15)
    assert weights[k.FLAT, mask] == pytest.approx(np.full(mask.size, -rate / 3.0), abs=1e-15)
    blind = sorted(set(range(len(FEATURES))) - set(mask.tolist()))
    assert not weights[:, blind].any()
    assert colony.rows.counts[row, k.LEARNT] == 0
    study(colony, "pupil", [])


def test_newborns_are_offered_lessons_in_a_run() -> None:
    swarm = Swarm(history(), tree=settings(**QUICK | {"evolution__every_intervals": 100}))
    swarm.walk()
    assert swarm.world.figures.society["lessons"] > 0
