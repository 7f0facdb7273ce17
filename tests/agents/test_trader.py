"""The trader: when ideas meet, which of them count, and what becomes of their meeting."""

from __future__ import annotations

from typing import Any

import pytest

from src.agents import trader
from src.agents.trader import Trader, rules_of
from src.agents.world import World
from src.core.messages import BaselineIdea, Control, Message, MycelialIdea
from src.core.types import AccountView, CommandKind, Pair, Side, Stream, Vote
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, world

COST = 0.0072
HOLDING = AccountView(10_000.0, 10_000.0, 9_000.0, frozenset({BTC}))
Said = tuple[str, Message]


class Desk:
    """A world with the trader alone; others speak through `slice`."""

    def __init__(self, interval_ms: int = HOUR, pairs: tuple[Pair, ...] = (BTC,)) -> None:
        self.world: World = world(pairs, interval_ms)
        trader.populate(self.world)
        self.met: list[Any] = record(self.world, "synthesized-trade-log")
        self.at = START

    def slice(self, *said: Said, account: AccountView | None = None, after: int | None = None) -> list[Any]:
        """The next slice (`after` ms later); returns what the trader said in it."""
        self.at += self.world.model.interval_ms if after is None else after
        before = len(self.met)
        see(self.world, snapshot(self.world, self.at), account or HOLDING, said)
        return self.met[before:]

    def baseline(self, side: Side = Side.BUY, pair: Pair = BTC, **changes: Any) -> Said:
        votes = changes.pop("votes", (Vote("analyst-1", side, 0.9), Vote("analyst-2", side, 0.7)))
        at = self.at + self.world.model.interval_ms
        values = {"source": "analyst-1", "at": at, "known_at": at, "pair": pair, "price": 1.0} | changes
        return f"baseline-trade-ideas:{pair}", BaselineIdea(votes=votes, **values)

    def mycelial(self, side: Side = Side.BUY, pair: Pair = BTC, **changes: Any) -> Said:
        at = self.at + self.world.model.interval_ms
        values = {
            "source": "learner-a", "at": at, "known_at": at, "pair": pair, "price": 1.0, "side": side,
            "score": 0.85, "edge": 0.02, "horizon": 6, "learners": ("c", "a", "b"),
        } | changes  # fmt: skip
        return "mycelial-trade-ideas", MycelialIdea(**values)

    def ideas(self) -> list[Stream]:
        return [stream for stream, _ in self.world.model.outbox.drain()[0]]

    def dropped(self) -> list[tuple[str | None, str | None]]:
        return [(note.reason, note.source) for note in self.world.model.outbox.drain()[1]]


def control(desk: Desk, command: CommandKind) -> Said:
    at = desk.at + desk.world.model.interval_ms
    return "system-control", Control(source="engine", at=at, known_at=at, command=command, reason="a test")


def test_ideas_of_one_side_collide() -> None:
    desk = Desk()
    (met,) = desk.slice(desk.baseline(), desk.mycelial())
    assert (met.outcome, met.side, met.pair, met.refused) == ("collision", Side.BUY, BTC, "")
    assert (met.baseline_confidence, met.mycelial_score, met.edge, met.horizon) == (0.8, 0.85, 0.02, 6)
    assert (met.analysts, met.learners) == (("analyst-1", "analyst-2"), ("a", "b", "c"))
    assert (met.source, met.at, met.baseline_at, met.mycelial_at) == ("trader", desk.at, desk.at, desk.at)
    assert desk.ideas() == [Stream.BASELINE, Stream.MYCELIAL]


def test_opposite_ideas_are_a_conflict_and_used_up() -> None:
    desk = Desk()
    (met,) = desk.slice(desk.baseline(Side.SELL), desk.mycelial(Side.BUY))
    assert (met.outcome, met.refused) == ("conflict", "")
    assert desk.slice(desk.mycelial(Side.SELL)) == []


@pytest.mark.parametrize("first", ["baseline", "mycelial"])
@pytest.mark.parametrize(("later", "meets"), [(0, True), (1, True), (2, False)])
def test_window_of_one_interval_in_hourly_bars(first: str, later: int, meets: bool) -> None:
    """5 s are max(1, ceil(5 / 3600)) = 1 interval; inside 0 <= difference <= 1 ideas fit."""
    desk = Desk()
    second = "mycelial" if first == "baseline" else "baseline"
    if later == 0:
        assert len(desk.slice(getattr(desk, first)(), getattr(desk, second)())) == 1
        return
    assert desk.slice(getattr(desk, first)()) == []
    for _ in range(later - 1):
        assert desk.slice() == []
    assert len(desk.slice(getattr(desk, second)())) == int(meets)


def test_the_window_ends_exactly_after_its_last_millisecond() -> None:
    for difference, meets in ((HOUR, 1), (HOUR + 1, 0)):
        desk = Desk()
        desk.slice(desk.baseline())
        late = desk.mycelial(at=desk.at + difference, known_at=desk.at + difference)
        assert len(desk.slice(late, after=difference)) == meets


@pytest.mark.parametrize(
    ("interval_ms", "window_ms"), [(1000, 5000), (2000, 6000), (4999, 9998), (5000, 5000), (60_000, 60_000)]
)
def test_window_is_the_ceiling_in_intervals(interval_ms: int, window_ms: int) -> None:
    assert rules_of(world().settings, interval_ms, (BTC,)).window_ms == window_ms


def test_a_window_of_five_intervals() -> None:
    for later, meets in ((5, 1), (6, 0)):
        desk = Desk(interval_ms=1000)
        desk.slice(desk.baseline())
        for _ in range(later - 1):
            assert desk.slice() == []
        assert len(desk.slice(desk.mycelial())) == meets


def test_m_f23_each_idea_is_used_once() -> None:
    desk = Desk()
    assert len(desk.slice(desk.baseline(), desk.mycelial())) == 1
    assert desk.slice() == []
    assert desk.slice(desk.mycelial()) == []
    assert len(desk.slice(desk.baseline())) == 1
    assert desk.slice(desk.baseline()) == []


def test_m_f23_a_storm_of_ideas_is_one_collision_a_pair() -> None:
    desk = Desk(pairs=(BTC, ETH))
    storm = [say(pair=pair) for _ in range(20) for pair in (ETH, BTC) for say in (desk.baseline, desk.mycelial)]
    assert [met.pair for met in desk.slice(*storm)] == [BTC, ETH]


def test_the_newest_idea_of_a_stream_counts() -> None:
    desk = Desk()
    (met,) = desk.slice(desk.mycelial(Side.SELL), desk.mycelial(Side.BUY, score=0.9), desk.baseline(Side.BUY))
    assert (met.outcome, met.mycelial_score) == ("collision", 0.9)


def test_pairs_do_not_mix() -> None:
    desk = Desk(pairs=(BTC, ETH))
    assert desk.slice(desk.baseline(pair=BTC), desk.mycelial(pair=ETH)) == []


@pytest.mark.parametrize(
    "votes",
    [
        (Vote("one", Side.BUY, 0.9),) * 3,
        (Vote("one", Side.BUY, 0.9),),
        (Vote("one", Side.BUY, 0.9), Vote("two", Side.SELL, 0.9)),
        (),
    ],
    ids=["one voter thrice", "one voter", "a tie", "nobody"],
)
def test_m_f09_the_listener_counts_the_voters_itself(votes: tuple[Vote, ...]) -> None:
    desk = Desk()
    assert desk.slice(desk.baseline(votes=votes), desk.mycelial()) == []
    assert desk.ideas() == [Stream.MYCELIAL]


def test_two_voters_against_one_are_enough() -> None:
    desk = Desk()
    votes = (Vote("c", Side.SELL, 0.99), Vote("b", Side.BUY, 0.5), Vote("a", Side.BUY, 0.7))
    (met,) = desk.slice(desk.baseline(votes=votes), desk.mycelial())
    assert (met.outcome, met.baseline_confidence, met.analysts) == ("collision", 0.6, ("a", "b"))


@pytest.mark.parametrize("learners", [("a", "b"), ("a", "b", "b", "a"), ()])
def test_m_f09_a_forged_idea_without_three_learners_is_no_idea(learners: tuple[str, ...]) -> None:
    desk = Desk()
    assert desk.slice(desk.baseline(), desk.mycelial(learners=learners)) == []
    assert desk.ideas() == [Stream.BASELINE]


@pytest.mark.parametrize(
    ("edge", "refused"),
    [(COST, "edge_below_cost"), (0.0, "edge_below_cost"), (-1.0, "edge_below_cost"), (COST + 1e-12, "")],
)
def test_the_edge_must_exceed_the_cost(edge: float, refused: str) -> None:
    desk = Desk()
    (met,) = desk.slice(desk.baseline(), desk.mycelial(edge=edge))
    assert met.refused == refused


def test_m_f24_a_sell_closes_what_is_held_and_nothing_else() -> None:
    desk = Desk(pairs=(BTC, ETH))
    for pair, refused in ((BTC, ""), (ETH, "nothing_to_close")):
        (met,) = desk.slice(desk.baseline(Side.SELL, pair), desk.mycelial(Side.SELL, pair, edge=0.0))
        assert (met.outcome, met.refused) == ("collision", refused)


def test_m_f21_halted_until_resumed_exits_go_on() -> None:
    desk = Desk()
    (met,) = desk.slice(control(desk, CommandKind.HALT), desk.baseline(), desk.mycelial())
    assert met.refused == "halted"
    (met,) = desk.slice(desk.baseline(Side.SELL), desk.mycelial(Side.SELL))
    assert met.refused == ""
    (met,) = desk.slice(desk.baseline(), desk.mycelial())
    assert met.refused == "halted"
    (met,) = desk.slice(control(desk, CommandKind.RESUME), desk.baseline(), desk.mycelial())
    assert met.refused == ""


def test_state_keeps_waiting_ideas_and_the_halt() -> None:
    desk = Desk()
    desk.slice(desk.baseline(), control(desk, CommandKind.HALT))
    state = desk.world.model.member("trader").state()
    other = Desk()
    other.at = desk.at
    agent = other.world.model.member("trader")
    assert isinstance(agent, Trader)
    agent.restore(state)
    assert agent.state() == state
    (met,) = other.slice(other.mycelial())
    assert (met.refused, met.baseline_at, met.mycelial_at) == ("halted", desk.at, other.at)
    assert agent.state()["baseline"] == agent.state()["mycelial"] == []


@pytest.mark.parametrize(
    "forged",
    [
        {"pair": Pair("NO/SUCH")},
        {"at": -(10**18)},
        {"at": 10**18},
        {"at": START - 3 * HOUR},
        {"score": 1.5},
        {"score": -0.1},
        {"horizon": 0},
        {"horizon": 25},
        {"horizon": 2**63},
    ],
    ids=str,
)
def test_a_forged_idea_of_the_swarm_is_refused_and_counted(forged: dict[str, Any]) -> None:
    desk = Desk()
    assert desk.slice(desk.baseline(), desk.mycelial(**forged, source="somebody")) == []
    assert desk.dropped() == [("implausible_idea", "somebody")]
    assert not desk.world.model.faults


@pytest.mark.parametrize(
    "forged",
    [
        {"pair": Pair("NO/SUCH")},
        {"at": 10**18},
        {"at": START - 3 * HOUR},
        {"votes": (Vote("a", Side.BUY, 7.0), Vote("b", Side.BUY, 0.1))},
        {"votes": (Vote("a", Side.BUY, -7.0), Vote("b", Side.BUY, 7.5))},
    ],
    ids=str,
)
def test_a_forged_idea_of_the_analysts_is_refused_and_counted(forged: dict[str, Any]) -> None:
    desk = Desk()
    assert desk.slice(desk.mycelial(), desk.baseline(**forged, source="x" * 1000)) == []
    assert desk.dropped() == [("implausible_idea", "x" * 300)]
    assert desk.ideas() == []
    assert not desk.world.model.faults
