"""Learners as agents: views of their rows, neighbours on the network, and the voice of three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents import colony_layout as k
from src.agents import market_miner, pattern_learner
from src.agents.colony import Colony, ColonyStep
from src.agents.colony_votes import SwarmIdea
from src.agents.homes import HOMES
from src.agents.pattern_learner import LearnerCollective, PatternLearner
from src.agents.track_record import track_records
from src.agents.world import World
from src.core.errors import NotFound
from src.core.market import FEATURES
from src.core.types import Pair, Side, Snapshot
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, staffed, world

PAIRS = tuple(Pair(f"P{index:02}/USD") for index in range(18))


def learners(here: World) -> list[PatternLearner]:
    pattern_learner.populate(here)
    staffed(here)
    return [agent for agent in here.model.members() if isinstance(agent, PatternLearner)]


def neighbours(one: PatternLearner) -> tuple[list[PatternLearner], list[PatternLearner]]:
    """Those inside its pair, those across pairs."""
    found: list[Any] = [one.model.member(name) for name in one.neighbours]
    return [other for other in found if other.pair == one.pair], [other for other in found if other.pair != one.pair]


@pytest.mark.parametrize(("team", "inside"), [(3, 0), (6, 1), (9, 2), (15, 2), (30, 2)])
def test_two_neighbours_inside_the_pair_and_six_across(team: int, inside: int) -> None:
    for one in learners(world(PAIRS, learners__team=team)):
        within, beyond = neighbours(one)
        assert (len(within), len(beyond)) == (inside, 6)
        assert {other.horizon for other in within + beyond} == {one.horizon}
        assert one.name not in one.neighbours


@pytest.mark.parametrize("pairs", [1, 2, 3, 4, 7])
def test_in_a_small_market_never_more_than_that(pairs: int) -> None:
    for one in learners(world(PAIRS[:pairs], learners__team=9)):
        within, beyond = neighbours(one)
        assert len(within) == 2
        assert len(beyond) <= 6 if pairs > 3 else len(beyond) <= 3 * (pairs - 1)
        assert bool(beyond) == (pairs > 1)


def test_neighbours_are_mutual_and_the_horizons_are_one_component_each() -> None:
    everybody = learners(world(PAIRS, learners__team=6))
    for one in everybody:
        assert all(one.name in other.neighbours for side in neighbours(one) for other in side)
    reached, waiting = set(), [everybody[0]]
    while waiting:
        one = waiting.pop()
        reached.add(one.name)
        waiting += [other for side in neighbours(one) for other in side if other.name not in reached]
    assert reached == {one.name for one in everybody if one.horizon == everybody[0].horizon}


def test_learners_are_spread_over_pairs_and_horizons() -> None:
    everybody = learners(world((BTC, ETH), learners__team=6))
    assert [one.name for one in everybody if one.pair == BTC] == [
        f"learner-BTC/USDT-{horizon}-{number}" for number in (1, 2) for horizon in ("HFT", "DayTrade", "Swing")
    ]
    assert [(one.view()["pair"], one.view()["horizon"]) for one in everybody[:3]] == [(0, 3), (0, 6), (0, 24)]
    assert everybody[6].view()["pair"] == 1


def test_a_view_shows_its_own_row_and_ends_with_it() -> None:
    first, second, *_ = learners(world())
    assert first.view()["t"] == 0
    assert first.view()["learning_rate"] != second.view()["learning_rate"]
    first.remove()
    with pytest.raises(NotFound):
        first.view()
    assert second.view()["horizon"] == 6
    assert first.name not in [name for one in (second,) for name in one.neighbours]


def test_no_learners_are_fine() -> None:
    here = world((BTC,), learners__team=0)
    market_miner.populate(here)
    assert learners(here) == []
    see(here, snapshot(here))


# --- what the collective does with what it hears ---------------------------------------------------------------------


class Scripted(Colony):
    """A colony whose ideas are given; it remembers what it was asked to look at."""

    def __init__(self, here: World, ideas: list[SwarmIdea]) -> None:
        super().__init__(here.settings.learners, here.settings.costs, len(FEATURES), len(here.pairs), 7)
        self.given = ideas
        self.looked: list[list[bool]] = []

    def step(self, snapshot: Snapshot) -> ColonyStep:
        self.looked.append(snapshot.fresh.tolist())
        return super().step(snapshot)

    def ideas(self, step: ColonyStep, snapshot: Snapshot) -> list[SwarmIdea]:
        return self.given


def scripted(ideas: list[SwarmIdea], miners: bool = True) -> tuple[World, Scripted, list[Any]]:
    here = world((BTC, ETH), learners__team=0)
    if miners:
        market_miner.populate(here)
    colony = Scripted(here, ideas)
    for idea in ideas:
        for name in sorted(set(idea.learners) - set(colony.names)):
            colony.born(name, idea.pair_index, 6)
    LearnerCollective(here, colony)
    staffed(here)
    return here, colony, record(here, "mycelial-trade-ideas")


def test_pairs_that_no_miner_announced_are_not_looked_at() -> None:
    here, colony, _ = scripted([], miners=False)
    see(here, snapshot(here))
    here, told, _ = scripted([])
    see(here, snapshot(here, fresh=(False, True)))
    see(here, snapshot(here, START + HOUR))
    assert colony.looked == [[False, False]]
    assert told.looked == [[False, True], [True, True]]


def test_what_was_announced_is_forgotten_with_a_slice_without_bars() -> None:
    here, colony, _ = scripted([], miners=False)
    announced = market_of(here)
    empty = msgspec.structs.replace(snapshot(here, START + 1), bars=None, fresh=np.zeros(2, np.bool_))
    see(here, empty, said=((f"market-data:{BTC}", announced),))
    see(here, snapshot(here, START + HOUR))
    assert colony.looked == [[False, False]]


def market_of(here: World) -> Any:
    other = world(here.pairs)
    got = record(other, "market-data:*")
    market_miner.populate(other)
    see(other, snapshot(other))
    return got[0]


def test_an_idea_becomes_one_message_with_the_edge_signed_like_its_side() -> None:
    voices = ("l-a", "l-b", "l-c")
    here, _, got = scripted(
        [SwarmIdea(0, Side.BUY, 0.9, 0.02, 6, voices), SwarmIdea(1, Side.SELL, 0.85, -0.03, 24, voices)]
    )
    see(here, snapshot(here, closes=(101.0, 7.0)))
    buy, sell = got
    assert (buy.pair, buy.side, buy.score, buy.edge, buy.horizon, buy.price) == (BTC, Side.BUY, 0.9, 0.02, 6, 101.0)
    assert (sell.pair, sell.side, sell.score, sell.edge, sell.horizon) == (ETH, Side.SELL, 0.85, 0.03, 24)
    assert (buy.source, buy.learners, buy.at, buy.known_at) == ("l-a", voices, START, START)


def books(colony: Colony, **trades: tuple[int, int, float, float, int, int]) -> None:
    """By learner: trades, wins, profit of the last ones, of all, generation, place of the moat."""
    for name, (number, wins, recent, total, generation, moat) in trades.items():
        row = colony.row_of(name)
        columns = [k.TRADES, k.WINS, k.GENERATION, k.MOAT]
        colony.rows.counts[row, columns] = number, wins, generation, moat
        colony.rows.numbers[row, [k.BOOK_RECENT, k.BOOK_TOTAL]] = recent, total


def test_an_idea_tells_how_its_learners_simulated_books_did() -> None:
    here, colony, got = scripted(
        [SwarmIdea(0, Side.BUY, 0.9, 0.02, 6, ("a", "b", "c")), SwarmIdea(1, Side.SELL, 0.9, -0.02, 24, ("d",))]
    )
    books(colony, a=(1, 1, 0.5, 0.25, 2, 1), b=(1, 0, -0.25, -0.5, 7, 3), c=(0, 0, 0.0, 0.0, 0, 3))
    see(here, snapshot(here))
    buy, sell = got
    assert (buy.simulated_pnl, buy.total_pnl) == (0.25 / 3, -0.25 / 3)
    assert (buy.trade_count, buy.win_rate, buy.agent_generation) == (2, 0.5, 7)
    assert (buy.product_focus, buy.strategy_type) == (HOMES[3], "DayTrade") == ("logistics", "DayTrade")
    assert (sell.trade_count, sell.win_rate, sell.total_pnl, sell.agent_generation) == (0, 0.0, 0.0, 0)
    assert (sell.product_focus, sell.strategy_type) == ("market", "Swing")


def ideas_of(*groups: Sequence[str]) -> list[SwarmIdea]:
    return [SwarmIdea(0, Side.BUY, 0.9, 0.02, 6, tuple(group)) for group in groups]


def test_of_equally_many_learners_of_two_moats_the_first_moat_is_told() -> None:
    _, colony, _ = scripted([SwarmIdea(0, Side.BUY, 0.9, 0.02, 6, ("a", "b", "c", "d"))])
    one = (1, 1, 0.1, 0.1, 0)
    books(colony, a=(*one, 4), b=(*one, 2), c=(*one, 4), d=(*one, 2))
    interest = np.zeros(colony.capacity)
    (record,) = track_records(colony, ideas_of(("a", "b", "c", "d")), interest)
    assert record.product_focus == HOMES[2]
    with pytest.raises(NotFound):
        track_records(colony, ideas_of(("a", "b"), ("a", "nobody")), interest)


def test_interest_is_summed_as_python_sums_it() -> None:
    names = [f"l-{one:02d}" for one in range(40)]
    _, colony, _ = scripted([SwarmIdea(0, Side.BUY, 0.9, 0.02, 6, tuple(names))])
    interest, rng = np.zeros(colony.capacity), np.random.default_rng(5)
    interest[colony.order] = rng.random(len(names)) * 10.0 ** rng.integers(-9, 9, len(names))
    groups = [names[:size] for size in range(1, len(names) + 1)] + [names[:1]]
    expected = [sum(interest[colony.rows_of(group)].tolist()) / len(group) for group in groups]
    assert [one.interestingness for one in track_records(colony, ideas_of(*groups), interest)] == expected
    assert expected != [float(interest[colony.rows_of(group)].cumsum()[-1]) / len(group) for group in groups]


def test_a_pair_without_a_team_is_learnt_and_not_spoken_of() -> None:
    here, colony, got = scripted(
        [SwarmIdea(0, Side.BUY, 0.9, 0.02, 6, ("l-a",)), SwarmIdea(1, Side.BUY, 0.9, 0.02, 6, ("l-b",))]
    )
    here.nursery.retire(ETH)
    see(here, snapshot(here))
    assert colony.looked == [[True, True]]
    assert [idea.pair for idea in got] == [BTC]


def test_three_distinct_learners_make_an_idea_two_do_not() -> None:
    for gone, expected in ((0, 3), (1, 0)):
        here = world(
            (BTC,), learners__team=3, learners__rank_warmup=1, learners__entry_score=0.0,
            learners__entry_score_spread=0.0, learners__horizons=[{"name": "HFT", "intervals": 1}],
        )  # fmt: skip
        market_miner.populate(here)
        everybody = learners(here)
        for one in everybody[:gone]:
            one.remove()
        got = record(here, "mycelial-trade-ideas")
        for hour in range(12):
            seen = snapshot(here, START + HOUR * hour, closes=(100.0 * 1.02**hour,))
            seen.features[:] = 1.0
            see(here, seen)
        assert {len(idea.learners) for idea in got} == ({expected} if expected else set())
