"""An asset through its whole life in the whole house: trades, loses, gets less, sleeps, is found again and trades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import ClassVar

import numpy as np
import pytest

from src.agents import KINDS, Kind, World
from src.agents.pattern_learner import PatternLearner
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.history import BarColumns, History, align
from src.core.messages import BaselineIdea, ConsensusReached, Hibernation, Message, MycelialIdea
from src.core.model import MycelialAgent, MycelialModel
from src.core.ports import Foreign
from src.core.types import Decision, Pair, Side, Snapshot, Vote
from tests.walked import Walk
from tests.worlds import settings

HOUR, DAY = 3_600_000, 86_400_000
START = 1_609_459_200_000
PAIR = Pair("BTC/USDT")
BARS = 24 * 100
CALLS = (100, 200, 300, 400)
"""Bars at which both streams want to buy; each is followed by a fall through the stop."""
LATE_CALL = 24 * 98
"""After the asset was found again."""
TRADE = Decimal("0.95") * (1 - Decimal("0.0036")) / (1 + Decimal("0.0036")) - 1
"""What a stop 5 % below costs, both sides' costs included."""


class Caller(MycelialAgent):
    """Says what two analysts and three learners would say, at fixed bars."""

    kind: ClassVar[str] = "caller"
    phase: ClassVar[str] = "opine"

    def __init__(self, model: MycelialModel) -> None:
        super().__init__(model, "caller")

    def act(self, snapshot: Snapshot) -> None:
        if (snapshot.at - START) // HOUR - 1 not in (*CALLS, LATE_CALL):
            return
        times = {"source": self.name, "at": snapshot.at, "known_at": snapshot.at}
        price = float(snapshot.close[0])
        votes = (Vote("a-1", Side.BUY, 0.8), Vote("a-2", Side.BUY, 0.8))
        self.say(f"baseline-trade-ideas:{PAIR}", BaselineIdea(**times, pair=PAIR, price=price, votes=votes))
        idea = MycelialIdea(**times, pair=PAIR, price=price, side=Side.BUY, score=0.9, edge=0.05, horizon=24,
                            learners=("l-1", "l-2", "l-3"))  # fmt: skip
        self.say("mycelial-trade-ideas", idea)


def _caller(world: World) -> None:
    Caller(world.model)


@cache
def history() -> History:
    """A calm market with a slight drift that falls by 8 % within the second bar after each call."""
    level = 100.0 * (1.0 + 0.00001 * np.arange(BARS))
    for call in CALLS:
        level[call + 2 :] *= 0.92
    close = level * (1.0 + 0.004 * (np.arange(BARS) % 2))
    opening = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opening, close) * 1.0005, np.minimum(opening, close) * 0.9995
    opened = START + HOUR * np.arange(BARS, dtype=np.int64)
    return align({PAIR: BarColumns(opened, opening, high, low, close, np.full(BARS, 1e6))}, HOUR)


def walk(**changes: object) -> Walk:
    kinds = [kind for kind in KINDS if kind.name != "technical_analyst"]
    lenient = {"volume_quote": [1.0, 2.0], "volatility_ratio": [0.0001, 0.0002], "spread_ratio": 0.5,
               "trend_ratio": 0.00001, "trend_days": 0.625}  # fmt: skip
    settings = {f"prospecting__{name}": value for name, value in lenient.items()}
    return Walk(
        history(), [Kind("caller", Caller, _caller, (), ()), *kinds], learners__entry_score=1.0,
        learners__entry_score_spread=0.0, learners__standard={}, learners__team=3, risk__max_drawdown_ratio=1.0,
        **settings, **changes,
    )  # fmt: skip


@cache
def lived() -> Walk:
    return walk().all()


def lines(walked: Walk, *kinds: str) -> list[Decision]:
    return [line for report in walked.reports for line in report.decisions if line.kind in kinds]


def test_m_f20_who_loses_gets_half_then_a_quarter_and_full_size_when_found_again() -> None:
    orders = [(order, report.equity) for report in lived().reports for order in report.orders]
    sizes = [order.amount * order.reference / equity for order, equity in orders if order.side is Side.BUY]
    shares = [Decimal("0.1"), Decimal("0.05"), Decimal("0.025"), Decimal("0.025"), Decimal("0.1")]
    assert [round(size, 6) for size in sizes] == [round(share, 6) for share in shares]
    assert [trade.profit_ratio for trade in lived().house.tracker.trades["synthesized"]][:4] == pytest.approx(
        [TRADE] * 4, abs=Decimal("1e-7")
    )


def test_the_shadow_books_have_the_same_sizing() -> None:
    trades = lived().house.tracker.trades
    shares = [trade.amount * trade.entry_price for trade in trades["mycelial"]]
    own = [trade.amount * trade.entry_price for trade in trades["synthesized"]]
    assert [round(one / other, 2) for one, other in zip(shares, own, strict=True)] == [1] * len(own)
    assert len(own) >= 4


def test_the_stages_of_its_life_in_order_and_on_time() -> None:
    told = [(line.reason, line.at) for line in lines(lived(), "lifecycle")]
    falls = [START + (call + 3) * HOUR for call in CALLS]
    asleep_at = falls[0] + 90 * DAY
    assert told[:4] == [
        ("active", START + HOUR), ("probation_1", falls[0]), ("probation_2", falls[1]), ("hibernated", asleep_at),
    ]  # fmt: skip
    assert told[4][0] == "revived"
    assert told[4][1] == asleep_at + HOUR
    assert len(told) == 5
    assert lived().house.life.counts() == {"revived": 1}


def test_its_team_leaves_and_another_comes() -> None:
    told = [line.reason for line in lines(lived(), "deployment")]
    assert told[0] == "bootstrap"
    assert told[1] == "retired"
    assert "revival" in told[2:]
    figures = lived().house.world.figures
    assert (figures.deployed, figures.retired) == (2, 1)
    assert figures.attempted == figures.deployed + sum(figures.refused.values())
    assert not lived().house.model.faults


class Listening(LocalBus):
    """A bus that remembers when who spoke."""

    def __init__(self, clock: SimClock) -> None:
        super().__init__(clock, settings().bus)
        self.said: list[tuple[int, str]] = []

    def publish(self, channel: str, message: Message) -> None:
        self.said.append((message.at, message.source))
        super().publish(channel, message)


ASLEEP_AT = START + (CALLS[0] + 3) * HOUR + 90 * DAY
ASLEEP_BAR = (ASLEEP_AT - START) // HOUR - 1


def test_m_f12_after_hibernation_no_message_of_its_team_appears() -> None:
    walked = walk(make_bus=Listening, builder__cooldown_seconds=10 * 86_400)
    walked.until(ASLEEP_BAR - 1)
    team = set(walked.house.world.active[PAIR])
    assert len(team) == 3
    walked.all()
    bus = walked.bus
    assert isinstance(bus, Listening)
    assert {source for at, source in bus.said if at > ASLEEP_AT} & team == set()
    assert not team & {agent.name for agent in walked.house.model.members()}
    assert not team & {owner for _, (owner, _) in bus._subscriptions}


def learnt(walked: Walk) -> dict[str, tuple[int, int, float]]:
    """What those learners of the asset have behind them that see what moves here (volume does not), by name."""
    views = {name: walked.house.model.member(name) for name in walked.house.world.active[PAIR]}
    told = {name: agent.view() for name, agent in views.items() if isinstance(agent, PatternLearner)}
    figures = {
        name: (int(view["t"] or 0), int(view["trades"] or 0), float(view["learning_rate"] or 0.0))
        for name, view in told.items()
    }
    return {name: figure for name, figure in figures.items() if figure[0]}


def test_m_f16_the_team_of_its_revival_knows_what_the_old_one_knew() -> None:
    walked = walk()
    walked.until(ASLEEP_BAR - 1)
    before = learnt(walked)
    walked.until(ASLEEP_BAR)
    assert not walked.house.world.active
    walked.until(ASLEEP_BAR + 1)
    after = learnt(walked)
    assert after.keys() == before.keys() != set()
    for name, (outcomes, trades, rate) in before.items():
        assert outcomes > 1000, "a team that had learnt something"
        assert after[name] == (outcomes + 1, trades, rate), "one more bar, the one of its last slice"


def test_a_revival_that_fails_half_way_leaves_it_asleep_and_comes_again() -> None:
    walked = walk()
    fails = [OSError("disk full")]

    def failing(pair: Pair, names: Sequence[str]) -> None:
        if fails:
            raise fails.pop()

    walked.house.world.nursery.on_reviving(failing)
    walked.until(ASLEEP_BAR + 1)
    assert not walked.house.world.active
    assert walked.house.life.counts() == {"hibernated": 1}
    assert walked.house.world.nursery.was_retired(PAIR)
    assert walked.house.world.figures.refused["deployment_failed"] == 1
    walked.until(ASLEEP_BAR + 3)
    assert list(walked.house.world.active) == [PAIR]
    assert walked.house.life.counts() == {"revived": 1}
    (known,) = [outcomes for outcomes, _, _ in learnt(walked).values()]
    assert known > 1000, "and it still knows"


def test_a_hibernation_that_fails_half_way_keeps_the_team_and_comes_again() -> None:
    walked = walk(builder__cooldown_seconds=10 * 86_400)
    fails = [OSError("disk full")] * 5

    def failing(pair: Pair, names: Sequence[str]) -> None:
        if fails:
            raise fails.pop()

    walked.house.world.nursery.on_retiring(failing)
    walked.until(ASLEEP_BAR - 1)
    team = walked.house.world.active[PAIR]
    for bar in range(ASLEEP_BAR, ASLEEP_BAR + 5):
        walked.until(bar)
        assert walked.house.world.active[PAIR] == team
        assert walked.house.life.multiplier(PAIR) == 0, "and it trades nothing"
    walked.until(ASLEEP_BAR + 5)
    assert not walked.house.world.active
    assert not walked.house.model.faults


def test_while_it_sleeps_nothing_of_its_team_is_left() -> None:
    walked = walk(builder__cooldown_seconds=10 * 86_400)
    walked.until(ASLEEP_BAR)
    assert not walked.house.world.active
    census = Counter(agent.kind for agent in walked.house.model.members())
    assert (census["pattern_learner"], census["market_miner"]) == (0, 1)
    assert walked.house.life.multiplier(PAIR) == 0
    assert walked.house.world.nursery.was_retired(PAIR)


@pytest.mark.parametrize("days", [3, 12, 60, 94, 95])
def test_a_restart_in_any_stage_lives_the_same_rest(days: int) -> None:
    bar = 24 * days
    first, later = walk(), walk()
    first.until(bar)
    later.restore(first.saved())
    first.until(BARS - 1)
    later.until(BARS - 1, first=bar + 1)
    assert [report.decisions for report in later.reports] == [report.decisions for report in first.reports[bar + 1 :]]
    assert later.saved() == first.saved()


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("prospecting-consensus", ConsensusReached(source="x", at=0, known_at=0, team="HFT", pair=PAIR, confidence=0.9,
                                                   votes=(Vote("explorer-HFT-1", Side.BUY, 0.9),
                                                          Vote("explorer-HFT-2", Side.BUY, 0.9)))),
        ("system-hibernation", Hibernation(source="engine", at=0, known_at=0, pair=PAIR, reason="r", profit_ratio=-0.9,
                                           probation_days=99.0)),
    ],
)  # fmt: skip
def test_strangers_neither_wake_nor_put_to_sleep(channel: str, message: Message) -> None:
    walked = walk()
    walked.until(5)
    bus = walked.bus
    assert isinstance(bus, LocalBus)
    walked.house.engine.recalled.append(Foreign(channel, "a stranger", message))
    report = walked.until(6)
    assert [line.reason for line in report.decisions if line.kind == "dead_letter"] == ["not for 'a stranger' to say"]
    assert list(walked.house.world.active) == [PAIR]
