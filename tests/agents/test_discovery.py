"""From explorers' votes to a team of agents: consensus, forged and toxic voices, capacity, all or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents import KINDS, World, builder, market_explorer, market_miner, pattern_learner, technical_analyst
from src.agents.builder import Builder, bootstrap_pairs
from src.agents.consensus_board import ConsensusBoard
from src.agents.nursery import Nursery
from src.agents.technical_analyst import TechnicalAnalyst
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.consensus import rule_of_three
from src.core.errors import AgentFault, InvariantError
from src.core.messages import BuildRequest, ConsensusReached, Hibernation, Message, Points, Proposal
from src.core.model import MycelialAgent
from src.core.types import STATUSES, Decision, MoatParts, MoatView, Pair, Side, Snapshot, Status, Vote
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, world

MINUTE = 60_000
SOL = Pair("SOL/USDT")
TEAMS = ("HFT", "DayTrade", "Swing")
MEMBERS = {team: tuple(f"explorer-{team}-{one}" for one in (1, 2, 3)) for team in TEAMS}


def vote(team: str, member: int, confidence: float) -> Vote:
    return Vote(f"explorer-{team}-{member}", Side.BUY, confidence)


def proposal(votes: Sequence[Vote], at: int = START, team: str = "HFT", pair: Pair = SOL) -> Proposal:
    points = tuple(Points(one.voter, 2, 2, 1, 0, 0) for one in votes)
    return Proposal(source="x", at=at, known_at=at, team=team, pair=pair, votes=tuple(votes), points=points)


def consensus(
    votes: Sequence[Vote], at: int = START, team: str = "HFT", pair: Pair = SOL, confidence: float = 0.75
) -> ConsensusReached:
    return ConsensusReached(
        source="x", at=at, known_at=at, team=team, pair=pair, confidence=confidence, votes=tuple(votes)
    )


TWO = (vote("HFT", 1, 0.75), vote("HFT", 2, 0.75))


def notes(here: World) -> list[Decision]:
    return here.model.outbox.drain()[1]


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "shown"), [(0.05, 0.0073), (0.1, 0.028), (0.2, 0.104), (0.3, 0.216)])
def test_m_f44_chance_of_a_consensus_of_independent_voters(p: float, shown: float) -> None:
    """3 p^2 (1 - p) + p^3, counted over all ways in which three can propose."""
    rules, chance = world().settings.consensus, 0.0
    for says in product((True, False), repeat=3):
        votes = [vote("HFT", member + 1, 0.75) for member, said in enumerate(says) if said]
        if rule_of_three(votes, rules.required_votes, rules.min_confidence_ratio) is not None:
            chance += p ** sum(says) * (1 - p) ** (3 - sum(says))
    assert chance == pytest.approx(3 * p**2 * (1 - p) + p**3, abs=1e-15)
    assert round(chance, len(str(shown)) - 2) == shown


# --- the board -------------------------------------------------------------------------------------------------------


class Board:
    """A board in a world of minutes, and what it announces."""

    def __init__(self) -> None:
        self.here = world((BTC, ETH, SOL), interval_ms=MINUTE)
        self.board = ConsensusBoard(self.here, MEMBERS)
        self.said = record(self.here, "prospecting-consensus")

    def tell(self, minute: int, *messages: Proposal) -> list[ConsensusReached]:
        """One slice in which these were heard; what was announced by it."""
        before = len(self.said)
        at = START + minute * MINUTE
        see(self.here, snapshot(self.here, at), said=[(f"prospecting-proposals:{one.team}", one) for one in messages])
        return self.said[before:]


def at(minute: int) -> int:
    return START + minute * MINUTE


@pytest.mark.parametrize(
    ("confidences", "agreed"),
    [
        ((0.625, 0.625, 0.625), False),
        ((0.75,), False),
        ((0.75, 0.75), True),
        ((0.75, 0.625), False),
        ((0.75, 0.75, 0.625), True),
        ((1.0,), False),
        ((0.75, 0.75, 0.5), False),
    ],
)
def test_two_distinct_voters_with_a_mean_above_seventy_per_cent(confidences: tuple[float, ...], agreed: bool) -> None:
    votes = [vote("HFT", member + 1, value) for member, value in enumerate(confidences)]
    said = Board().tell(0, proposal(votes))
    assert len(said) == agreed
    if agreed:
        assert said[0].votes == tuple(votes)
        assert said[0].confidence == sum(confidences) / len(confidences)


def test_a_mean_of_exactly_seventy_per_cent_is_not_enough() -> None:
    assert Board().tell(0, proposal([vote("HFT", 1, 0.7), vote("HFT", 2, 0.7)])) == []


def test_m_f07_one_explorer_twice_is_one_voter() -> None:
    one = vote("HFT", 1, 1.0)
    assert Board().tell(0, proposal([one, one]), proposal([one])) == []


@pytest.mark.parametrize(("apart", "agreed"), [(0, True), (1, True), (2, False)])
def test_votes_meet_inside_the_window(apart: int, agreed: bool) -> None:
    board = Board()
    assert board.tell(0, proposal(TWO[:1], at(0))) == []
    assert len(board.tell(apart or 1, proposal(TWO[1:], at(apart or 1)))) == (agreed if apart else True)


def test_m_f08_announced_once_in_a_window_and_each_vote_used_once() -> None:
    board = Board()
    counts = [len(board.tell(minute, proposal(TWO, at(minute)))) for minute in range(6)]
    assert counts == [1, 0, 1, 0, 1, 0]
    again = Board()
    assert len(again.tell(0, proposal(TWO, at(0)))) == 1
    assert again.tell(2, proposal(TWO[:1], at(2))) == [], "the other vote was used"


def test_the_newest_vote_of_a_voter_counts() -> None:
    board = Board()
    board.tell(0, proposal([vote("HFT", 1, 1.0)], at(0)))
    assert board.tell(1, proposal([vote("HFT", 1, 0.5), vote("HFT", 2, 0.75)], at(1))) == []


def test_the_order_of_arrival_changes_nothing() -> None:
    messages = [
        proposal([vote("HFT", 1, 0.75)]), proposal([vote("HFT", 2, 0.875)]), proposal([vote("HFT", 3, 0.625)]),
        proposal([vote("HFT", 3, 1.0)]),
    ]  # fmt: skip
    said = {repr(Board().tell(0, *order)) for order in permutations(messages)}
    assert len(said) == 1
    assert "0.75" in said.pop()


@pytest.mark.parametrize("others", [(), (0.5,), (0.5, 0.5), (0.375,)])
def test_one_toxic_voter_carries_no_team(others: tuple[float, ...]) -> None:
    """It shouts in every slice; the honest ones are as unsure as an explorer can be that still proposes."""
    board = Board()
    honest = [vote("HFT", member + 2, min(value, 0.375)) for member, value in enumerate(others)]
    for minute in range(5):
        shouted = [proposal([vote("HFT", 1, 1.0)], at(minute)) for _ in range(3)]
        said = board.tell(minute, *shouted, *([proposal(honest, at(minute))] if honest else []))
        assert said == []


def test_votes_of_two_teams_do_not_add_up() -> None:
    assert Board().tell(0, proposal(TWO[:1]), proposal([vote("Swing", 1, 0.75)], team="Swing")) == []


@pytest.mark.parametrize(
    "forged",
    [
        proposal(TWO, team="Nobody"),
        proposal(TWO, pair=Pair("XXX/USD")),
        proposal([vote("Swing", 1, 0.75), vote("Swing", 2, 0.75)]),
        proposal([Vote("stranger", Side.BUY, 0.9), TWO[0]]),
        proposal([vote("HFT", 1, 1.5), TWO[1]]),
        proposal([vote("HFT", 1, -1.0), TWO[1]]),
        proposal(TWO, START - 2 * MINUTE),
        msgspec.structs.replace(proposal(TWO, START + MINUTE), known_at=START),
        proposal([]),
    ],
)
def test_proposals_that_cannot_be_meant_are_refused(forged: Proposal) -> None:
    board = Board()
    assert board.tell(0, forged) == []
    assert [(line.kind, line.reason) for line in notes(board.here)] == [("refusal", "implausible_proposal")]


def test_the_board_goes_on_from_its_state() -> None:
    first, later = Board(), Board()
    first.tell(0, proposal(TWO[:1], at(0)), proposal([vote("Swing", 1, 0.75), vote("Swing", 2, 0.75)], team="Swing"))
    later.board.restore(checkpoint.load(checkpoint.dump(first.board.state())))
    later.here.model.restore(first.here.model.state())
    swing = proposal([vote("Swing", 1, 0.75), vote("Swing", 2, 0.75)], at(1), "Swing")
    rest = [one.tell(1, proposal(TWO[1:], at(1)), swing) for one in (first, later)]
    assert rest[0] == rest[1]
    assert [one.team for one in rest[0]] == ["HFT"]
    assert later.here.figures.consensus == {"Swing": 1, "HFT": 1}


# --- the builder -----------------------------------------------------------------------------------------------------


class Yard:
    """A builder with real analysts and learners, in a world of minutes."""

    def __init__(self, pairs: tuple[Pair, ...] = (BTC, ETH, SOL), **changes: Any) -> None:
        self.here = world(pairs, interval_ms=MINUTE, learners__standard={}, **changes)
        for kind in (market_miner, technical_analyst, pattern_learner, builder):
            kind.populate(self.here)
        self.said = record(self.here, "system-deployment")
        self.minute = -1
        self.tell(0)
        notes(self.here)

    def tell(self, minute: int, *messages: Message) -> None:
        channels = {
            ConsensusReached: "prospecting-consensus", Hibernation: "system-hibernation",
            BuildRequest: "system-build-request",
        }  # fmt: skip
        said = tuple((channels[type(one)], one) for one in messages)
        see(self.here, snapshot(self.here, at(minute)), said=said)

    @property
    def active(self) -> list[Pair]:
        return list(self.here.active)

    @property
    def refused(self) -> dict[str, int]:
        return dict(self.here.figures.refused)


def hibernation(pair: Pair, minute: int) -> Hibernation:
    now = at(minute)
    return Hibernation(source="e", at=now, known_at=now, pair=pair, reason="r", profit_ratio=-0.2, probation_days=90.0)


def test_m_f13_the_first_pairs_have_their_team_at_the_start_and_it_is_announced() -> None:
    yard = Yard()
    assert yard.active == [BTC, ETH]
    assert [(one.pair, one.why, len(one.agents)) for one in yard.said] == [
        (BTC, "bootstrap", 18), (ETH, "bootstrap", 18),
    ]  # fmt: skip


def test_a_consensus_brings_a_team_of_three_analysts_and_fifteen_learners_and_no_second_miner() -> None:
    """M-F11, M-F14."""
    yard = Yard()
    yard.tell(1, consensus(TWO, at(1)))
    members = [yard.here.model.member(name) for name in yard.here.active[SOL]]
    assert Counter(one.kind for one in members) == {"technical_analyst": 3, "pattern_learner": 15}
    miners = [one for one in yard.here.model.members() if one.kind == "market_miner"]
    assert [getattr(one, "pair", None) for one in miners] == [BTC, ETH, SOL]
    assert (yard.said[-1].pair, yard.said[-1].why, yard.said[-1].team) == (SOL, "consensus", "HFT")
    assert [(line.kind, line.pair, line.reason) for line in notes(yard.here)] == [("deployment", SOL, "consensus")]


@pytest.mark.parametrize(
    "forged",
    [
        consensus(TWO[:1], at(1), confidence=1.0),
        consensus((TWO[0], TWO[0]), at(1)),
        consensus([vote("HFT", 1, 0.7), vote("HFT", 2, 0.7)], at(1), confidence=0.9),
        consensus([Vote("stranger", Side.BUY, 0.9), Vote("friend", Side.BUY, 0.9)], at(1)),
        consensus([vote("Swing", 1, 0.9), vote("Swing", 2, 0.9)], at(1)),
        consensus([vote("HFT", 1, 9.0), vote("HFT", 2, 9.0)], at(1)),
        consensus(TWO, at(-1)),
        consensus(TWO, at(1), team="Nobody"),
        consensus(TWO, at(1), pair=Pair("XXX/USD")),
        consensus((), at(1)),
    ],
)
def test_m_f09_a_forged_consensus_is_refused(forged: ConsensusReached) -> None:
    yard = Yard()
    yard.tell(1, forged)
    assert yard.active == [BTC, ETH]
    assert yard.refused == {"implausible_consensus": 1}
    (line,) = notes(yard.here)
    assert (line.kind, line.reason, line.detail["outcome"]) == ("deployment", "implausible_consensus", "refused")


def test_m_f43_what_is_refused_at_capacity_counts_as_attempted() -> None:
    pairs = tuple(Pair(f"P{index:02}/USD") for index in range(5))
    yard = Yard(pairs, builder__bootstrap_pairs=list(pairs[:2]), builder__max_active=3)
    for minute, pair in enumerate(pairs[2:], start=1):
        yard.tell(minute, consensus(TWO, at(minute), pair=pair))
    figures = yard.here.figures
    assert yard.active == list(pairs[:3])
    assert figures.deployments() == {
        "attempted": 5, "deployed": 3, "retired": 0, "refused": {"capacity": 2},
        "requests": {"asked": 0, "repeated": 0, "answered": {}},
    }  # fmt: skip
    assert figures.attempted == figures.deployed + sum(figures.refused.values())


def test_a_pair_with_a_team_gets_no_second_one() -> None:
    yard = Yard()
    yard.tell(1, consensus(TWO, at(1)), consensus([vote("Swing", 1, 0.9), vote("Swing", 2, 0.9)], at(1), "Swing"))
    assert yard.active == [BTC, ETH, SOL]
    assert yard.refused == {"already_active": 1}


@pytest.mark.parametrize(("minutes", "revived"), [(59, False), (60, True)])
def test_m_f16_hibernation_frees_the_slot_and_consensus_revives_after_the_cool_down(
    minutes: int, revived: bool
) -> None:
    yard = Yard(builder__max_active=2)
    heard: list[tuple[str, Pair, int]] = []
    yard.here.nursery.on_retiring(lambda pair, names: heard.append(("put away", pair, len(names))))
    yard.here.nursery.on_reviving(lambda pair, names: heard.append(("back", pair, len(names))))
    yard.tell(100, hibernation(BTC, 100))
    assert yard.active == [ETH]
    yard.tell(100 + minutes, consensus(TWO, at(100 + minutes), pair=BTC))
    assert yard.active == ([ETH, BTC] if revived else [ETH])
    assert heard == [("put away", BTC, 18), *([("back", BTC, 18)] if revived else [])]
    assert yard.refused == ({} if revived else {"cool_down": 1})
    assert [one.why for one in yard.said[2:]] == (["revival"] if revived else [])


def test_a_slot_that_becomes_free_serves_the_consensus_of_the_same_slice() -> None:
    yard = Yard(builder__max_active=2)
    yard.tell(1, hibernation(ETH, 1), consensus(TWO, at(1)))
    assert yard.active == [BTC, SOL]


def test_m_f12_m_f15_a_team_leaves_with_everything_and_nobody_elses_does() -> None:
    yard = Yard()
    here, model = yard.here, yard.here.model
    team = set(here.active[BTC])
    everybody = {agent.name for agent in model.members()}
    yard.tell(1, hibernation(BTC, 1))
    assert everybody - {agent.name for agent in model.members()} == team
    bus = model.bus
    assert isinstance(bus, LocalBus)
    assert not team & {owner for _, (owner, _) in bus._subscriptions}
    assert not team & set(model.topology.G)
    assert {agent.name for agent in model.agents} == {agent.name for agent in model.members()}
    (learners,) = [one for one in model._kept.values() if one.name == "pattern-learners"]  # type: ignore[attr-defined]
    rows = [name for name in learners.state()["names"] if name]
    assert sorted(rows) == sorted(agent.name for agent in model.members() if agent.kind == "pattern_learner")
    ideas, mine = record(here, "baseline-trade-ideas:*"), record(here, "mycelial-trade-ideas")
    wide = {f"bb_{edge}_{one}": 100.0 + width for one in (1, 2, 3) for edge, width in (("lower", -9), ("upper", 9))}
    see(here, snapshot(here, at(2), rsi_1=10.0, rsi_2=10.0, **wide))
    assert [idea.pair for idea in ideas] == [ETH]
    assert {vote_.voter for idea in ideas for vote_ in idea.votes} & team == set()
    assert mine == []


def test_requests_for_tools_are_answered_counted_and_not_repeated_within_a_minute() -> None:
    yard = Yard()

    def request(minute: int, tool: str = "code source") -> BuildRequest:
        return BuildRequest(source="learner-code-1", at=at(minute), known_at=at(minute), tool=tool, reason="why")

    yard.tell(1, request(1), request(1), request(1, "corporate source"))
    yard.tell(2, request(2))
    lines = notes(yard.here)
    assert [(line.kind, line.reason, line.detail["tool"], line.at) for line in lines] == [
        ("refusal", "no_such_source", "code source", at(1)),
        ("refusal", "no_such_source", "corporate source", at(1)),
        ("refusal", "no_such_source", "code source", at(2)),
    ]
    told = {"asked": 4, "repeated": 1, "answered": {"no_such_source": 3}}
    assert yard.here.figures.deployments()["requests"] == told


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (("BTC/USD", "BTC/USDT", "ETH/USD", "ETH/USDT"), ("BTC/USD", "ETH/USD")),
        (("BTC/USDT", "ETH/USDC"), ("BTC/USDT",)),
        (("ADA/USD", "BTC/EUR", "ETH/EUR"), ("BTC/EUR", "ETH/EUR")),
        (("ADA/USD", "SOL/USD"), ()),
        (("BTC/JPY",), ()),
    ],
)
def test_bootstrap_takes_the_first_quote_that_is_there(pairs: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert bootstrap_pairs(world(tuple(map(Pair, pairs)))) == expected


def test_without_the_bases_the_two_largest_get_their_teams_when_thirty_days_are_known() -> None:
    pairs = tuple(Pair(f"P{index}/USD") for index in range(4))
    here = world(pairs, learners__standard={"market": 6, "code": 2})
    for kind in (market_miner, technical_analyst, pattern_learner, builder):
        kind.populate(here)
    assert not here.active
    closes = (1.0, 50.0, 2.0, 40.0)
    for day in range(32):
        see(here, snapshot(here, START + day * 24 * HOUR, closes=closes))
        assert list(here.active) == ([pairs[1], pairs[3]] if day >= 30 else [])
    assert here.nursery.founded == (pairs[1], pairs[3])
    homes = Counter(getattr(here.model.member(f"learner-market-{one}"), "pair", None) for one in range(1, 7))
    assert homes == {pairs[1]: 3, pairs[3]: 3}
    assert [line.reason for line in notes(here) if line.kind == "deployment"] == ["bootstrap", "bootstrap"]


def test_the_builder_goes_on_from_its_state() -> None:
    first = Yard(learners__team=3)
    asks = BuildRequest(source="learner-code-1", at=at(5), known_at=at(5), tool="code source", reason="why")
    first.tell(5, consensus(TWO, at(5)), hibernation(BTC, 5), asks)
    raw = checkpoint.dump(first.here.model.state())
    later = Yard(learners__team=3)
    later.here.model.restore(checkpoint.load(raw))
    assert later.active == first.active == [ETH, SOL]
    assert later.here.nursery.was_retired(BTC)
    assert later.here.figures.deployments() == first.here.figures.deployments()
    names = [{agent.name for agent in yard.here.model.members()} for yard in (first, later)]
    assert names[0] == names[1]
    assert sorted(later.here.model.topology.G.edges) == sorted(first.here.model.topology.G.edges)
    for yard in (first, later):
        yard.tell(6, consensus(TWO, at(6), pair=BTC))
        assert yard.refused == {"cool_down": 1}
    assert checkpoint.dump(later.here.model.state()) == checkpoint.dump(first.here.model.state())


# --- all or nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(19))
def test_m_f11_all_or_nothing_at_every_agent_of_a_team(position: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair without a miner gets 19 agents; whichever of them cannot be born, none of the others stays."""
    here = world((BTC, ETH), learners__standard={}, builder__bootstrap_pairs=["ETH/USDT"])
    for kind in (market_miner, technical_analyst, pattern_learner, builder):
        kind.populate(here)
    here.model.member(f"market-miner-{BTC}").remove()
    bus, before = here.model.bus, everything(here)
    assert isinstance(bus, LocalBus)
    born = 0
    plain = MycelialAgent.__init__

    def failing(self: MycelialAgent, model: Any, name: str) -> None:
        nonlocal born
        if born == position:
            raise RuntimeError("stillborn")
        born += 1
        plain(self, model, name)

    with monkeypatch.context() as patch:
        patch.setattr(MycelialAgent, "__init__", failing)
        with pytest.raises(AgentFault, match=f"{BTC}: agent {position + 1} of its team: RuntimeError: stillborn"):
            here.nursery.deploy(BTC)
    assert everything(here) == before
    names = here.nursery.deploy(BTC)
    assert len(names) == 19


def everything(here: World) -> tuple[object, ...]:
    model = here.model
    bus = model.bus
    assert isinstance(bus, LocalBus)
    (learners,) = [one for one in model._kept.values() if one.name == "pattern-learners"]  # type: ignore[attr-defined]
    return (
        sorted(agent.name for agent in model.members()),
        sorted(agent.name for agent in model.agents),
        sorted(str(owner) for _, (owner, _) in bus._subscriptions),
        sorted(model.topology.G.nodes), sorted(model.topology.G.edges),
        sorted(name for name in learners.state()["names"] if name),
        [actor.name for actors in model._actors.values() for actor in actors],
        dict(here.active),
    )  # fmt: skip


def test_a_name_that_is_taken_undoes_the_team_and_leaves_its_owner_alone() -> None:
    here = world((BTC,), learners__standard={}, builder__bootstrap_pairs=["none"])
    for kind in (market_miner, technical_analyst, pattern_learner):
        kind.populate(here)

    class Squatter(MycelialAgent):
        kind = "squatter"

    squatter = Squatter(here.model, f"analyst-{BTC}-3")
    before = everything(here)
    with pytest.raises(AgentFault, match="agent 3 of its team: InvariantError: two agents are called"):
        here.nursery.deploy(BTC)
    assert everything(here) == before
    assert here.model.member(f"analyst-{BTC}-3") is squatter


def test_a_failed_deployment_is_a_counted_refusal_and_the_swarm_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard()

    def broken(self: TechnicalAnalyst, model: Any, pair: Pair, team_id: int, teams: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(TechnicalAnalyst, "__init__", broken)
    yard.tell(1, consensus(TWO, at(1)))
    assert yard.active == [BTC, ETH]
    assert yard.refused == {"deployment_failed": 1}
    assert not yard.here.model.faults


def test_what_cannot_be_put_away_keeps_its_team() -> None:
    yard = Yard()

    def full(pair: Pair, names: Sequence[str]) -> None:
        raise OSError("disk full")

    yard.here.nursery.on_retiring(full)
    before = everything(yard.here)
    yard.tell(1, hibernation(BTC, 1))
    for minute in range(2, 9):
        yard.tell(minute)
        assert everything(yard.here) == before
    (line,) = notes(yard.here)
    assert (line.reason, line.detail["error"]) == (
        "retirement_failed",
        "BTC/USDT: cannot be put away: OSError: disk full",
    )
    assert not yard.here.model.faults, "it is asked again, and the builder is not put away for it"
    yard.here.nursery._retiring.pop()
    yard.tell(9)
    assert yard.active == [ETH]
    assert yard.here.figures.retired == 1


def test_teams_are_deployed_and_retired_once() -> None:
    nursery = Nursery(world().model)
    nursery.deploy(BTC)
    with pytest.raises(InvariantError, match="has a team already"):
        nursery.deploy(BTC)
    nursery.retire(BTC)
    with pytest.raises(InvariantError, match="has no team"):
        nursery.retire(BTC)


def test_a_child_in_a_members_place_leaves_with_the_team() -> None:
    yard = Yard()
    name = yard.here.active[BTC][-1]
    yard.here.nursery.replaced(name, "a child")
    assert yard.here.active[BTC][-1] == "a child"
    assert "a child" not in yard.here.active[ETH]


# --- explorers -------------------------------------------------------------------------------------------------------


def market(pairs: int, days: int, seed: int = 5) -> list[tuple[np.ndarray, ...]]:
    """Varied pairs on hours: (high, low, close, volume) rows of one bar each, from calm and thin to wild and thick."""
    rng, bars = np.random.default_rng(seed), days * 24
    wildness = np.linspace(0.002, 0.012, pairs)
    regime = np.exp(0.8 * np.sin(np.arange(bars)[:, None] / 60.0 + np.arange(pairs)))
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1.0, (bars, pairs)) * wildness * regime, axis=0))
    wick = np.abs(rng.normal(0.0, 0.3, (2, bars, pairs))) * wildness
    volume = np.linspace(1_000.0, 40_000.0, pairs) * regime
    return list(zip(close * (1 + wick[0]), close * (1 - wick[1]), close, volume, strict=True))


class Scouts:
    """Nine explorers over a varied market of pairs without teams."""

    def __init__(self, **changes: Any) -> None:
        pairs = tuple(Pair(f"P{index:02}/USD") for index in range(12))
        self.here = world(pairs, **changes)
        market_explorer.populate(self.here)
        self.proposals = record(self.here, "prospecting-proposals:*")
        self.agreed = record(self.here, "prospecting-consensus")

    def walk(self, rows: list[tuple[np.ndarray, ...]], first: int = 0) -> Scouts:
        for number, (high, low, close, volume) in enumerate(rows, start=first):
            see(self.here, bar(self.here, START + number * HOUR, high, low, close, volume))
        return self


def bar(here: World, at_: int, high: Any, low: Any, close: Any, volume: Any) -> Snapshot:
    plain = snapshot(here, at_, closes=tuple(close.tolist()))
    assert plain.bars is not None
    for name, values in (("high", high), ("low", low), ("volume", volume)):
        getattr(plain.bars, name)[:] = values
    return plain


def test_m_f44_explorers_of_a_team_are_not_one_voice() -> None:
    """On a varied market two of a team disagree at times, and agree more often than not."""
    scouts = Scouts().walk(market(12, 75))
    shown = scouts.here.figures.agreement
    assert set(shown) == set(TEAMS)
    assert all(value is not None and 0.5 < value < 1.0 for value in shown.values())
    voters = Counter(len(message.votes) for message in scouts.proposals)
    assert min(voters[count] for count in (1, 2, 3)) > 10
    assert scouts.agreed


def test_m_f44_the_same_eyes_would_always_agree() -> None:
    same = Scouts(prospecting__lookback_factors=[1.0, 1.0, 1.0], prospecting__threshold_factors=[1.0, 1.0, 1.0])
    same.walk(market(12, 40))
    assert set(same.here.figures.agreement.values()) == {1.0}


def test_proposals_carry_votes_and_points_from_four_on() -> None:
    scouts = Scouts().walk(market(12, 40))
    assert scouts.proposals
    for message in scouts.proposals:
        assert message.source == message.votes[0].voter
        assert message.estimated == ("liquidity",)
        for vote_, points in zip(message.votes, message.points, strict=True):
            assert vote_.voter == points.voter
            assert vote_.voter.startswith(f"explorer-{message.team}-")
            assert 4 <= points.total <= 6
            assert vote_.confidence == points.total / 8
    assert {points.total for message in scouts.proposals for points in message.points} >= {4, 5, 6}


@pytest.mark.parametrize(("quoted", "points"), [(0.0001, 1), (0.02, 0)])
def test_a_quoted_spread_is_read_before_the_estimate_and_says_so(quoted: float, points: int) -> None:
    """Of pairs with a quote liquidity is what the quote says; of the others what bars say, marked as estimated."""
    scouts, plain = Scouts(), Scouts().walk(market(12, 40))
    spreads = np.where(np.arange(12) < 6, quoted, np.nan)
    for number, (high, low, close, volume) in enumerate(market(12, 40)):
        seen = bar(scouts.here, START + number * HOUR, high, low, close, volume)
        see(scouts.here, msgspec.structs.replace(seen, spreads=spreads))
    of_quotes = [one for one in scouts.proposals if scouts.here.pairs.index(one.pair) < 6]
    of_bars = [one for one in scouts.proposals if scouts.here.pairs.index(one.pair) >= 6]
    assert of_quotes
    assert {one.estimated for one in of_quotes} == {()}
    assert {voter.liquidity for one in of_quotes for voter in one.points} == {points}
    assert of_bars == [one for one in plain.proposals if scouts.here.pairs.index(one.pair) >= 6]
    assert {one.estimated for one in of_bars} == {("liquidity",)}


def test_scans_keep_their_cadence() -> None:
    """Every 300 s: five bars of a minute."""
    here = world((SOL,), interval_ms=MINUTE)
    market_explorer.populate(here)
    scanned = []
    for minute in range(20):
        see(here, snapshot(here, at(minute)))
        if here.figures.abstentions > 9 * len(scanned):
            scanned.append(minute)
    assert np.diff(scanned).tolist() == [5] * (len(scanned) - 1)
    assert len(scanned) == 4


def test_pairs_with_a_team_are_not_prospected() -> None:
    scouts = Scouts()
    for pair in scouts.here.pairs[6:]:
        scouts.here.nursery.deploy(pair)
    scouts.walk(market(12, 40))
    assert not {message.pair for message in scouts.proposals} & set(scouts.here.pairs[6:])


def test_an_explorer_that_left_votes_no_more() -> None:
    scouts, rows = Scouts(), market(12, 45)
    scouts.walk(rows[: 24 * 40])
    scouts.here.model.member("explorer-HFT-2").remove()
    since = len(scouts.proposals), len(scouts.agreed)
    scouts.walk(rows[24 * 40 :], first=24 * 40)
    later = [*scouts.proposals[since[0] :], *scouts.agreed[since[1] :]]
    assert later
    assert "explorer-HFT-2" not in {vote_.voter for message in later for vote_ in message.votes}


def test_explorers_go_on_from_their_state() -> None:
    rows, first = market(12, 42), Scouts()
    first.walk(rows[: 24 * 40])
    raw = checkpoint.dump(first.here.model.state())
    later = Scouts()
    later.here.model.restore(checkpoint.load(raw))
    since = len(first.proposals)
    first.walk(rows[24 * 40 :], first=24 * 40)
    later.walk(rows[24 * 40 :], first=24 * 40)
    assert later.proposals == first.proposals[since:] != []
    assert later.here.figures.agreement == first.here.figures.agreement


# --- what learners miss -----------------------------------------------------------------------------------------------


def asking() -> tuple[World, list[Any]]:
    here = world((BTC,), learners__team=0, learners__standard={"market": 1, "code": 2, "logistics": 1})
    for kind in (market_miner, pattern_learner, builder):
        kind.populate(here)
    return here, record(here, "system-build-request")


def test_learners_ask_once_for_a_moat_without_data_for_a_day() -> None:
    here, got = asking()
    for hour in range(60):
        see(here, snapshot(here, START + hour * HOUR))
        assert len(got) == (0 if hour < 24 else 2)
    assert [(one.source, one.tool, one.reason, one.at) for one in got] == [
        ("learner-code-1", "code source", "no data for 24 hours", START + 24 * HOUR),
        ("learner-logistics-1", "logistics source", "no data for 24 hours", START + 24 * HOUR),
    ]
    assert [line.reason for line in notes(here) if line.kind == "refusal"] == ["no_such_source"] * 2


def test_they_ask_again_after_the_moat_spoke_and_fell_silent() -> None:
    here, got = asking()
    speaking = moat_view(Status.OK)
    for hour in range(100):
        moats = speaking if 30 <= hour < 40 else None
        see(here, msgspec.structs.replace(snapshot(here, START + hour * HOUR), moats=moats))
    assert [(one.at - START) // HOUR for one in got] == [24, 24, 64, 64]


def moat_view(status: Status) -> MoatView:
    nothing: Any = np.empty(0)
    parts = MoatParts((), nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    states = np.full((1, 4), STATUSES.index(status))
    return MoatView(np.zeros((1, 4)), states, (status,) * 4, (None,) * 4, (False,) * 4, parts)


# --- census ----------------------------------------------------------------------------------------------------------


def test_the_census_of_the_standard_swarm() -> None:
    """140 for 18 pairs: P market miners, four moats, 100 learners by moat, 9 explorers, three researchers, three
    instigators, one trader, guardian and builder; and 3 analysts and 15 learners for each team."""
    tree = world().settings
    pairs = tuple(map(Pair, sorted(tree.simulated.pairs)))
    here = world(pairs)
    for kind in KINDS:
        kind.populate(here)
    census = here.model.census()
    assert list(here.active) == ["BTC/USD", "ETH/USD"]
    fixed = {"market_miner": 18, "market_explorer": 9, "trader": 1, "risk_guardian": 1, "builder": 1,
             "deep_researcher": 3, "mycelial_instigator": 3, "code_miner": 1, "government_miner": 1,
             "logistics_miner": 1, "corporate_miner": 1}  # fmt: skip
    assert {name: census[name] for name in fixed} == fixed
    assert census["technical_analyst"] == 2 * 3
    assert census["pattern_learner"] == 100 + 2 * 15
    moats = Counter(agent.name.split("-")[1] for agent in here.model.members() if agent.name.startswith("learner-")
                    and "/" not in agent.name)  # fmt: skip
    assert moats == {"market": 60, "code": 10, "government": 10, "logistics": 10, "corporate": 10}
    assert sum(fixed.values()) + 100 == 140
    assert census["total"] == 140 + 2 * 18
    learners = [agent for agent in here.model.members() if agent.kind == "pattern_learner"]
    spread = Counter((getattr(one, "pair", ""), getattr(one, "horizon", "")) for one in learners)
    assert len(spread) == 6
    assert max(spread.values()) - min(spread.values()) <= 1


def test_the_builder_is_there_in_a_run_without_explorers() -> None:
    here = world((BTC,))
    builder.populate(here)
    assert isinstance(here.model.member("builder"), Builder)
    assert list(here.active) == [BTC]
