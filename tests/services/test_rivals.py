"""Books of the simple learners: the rules, sizes and costs of the swarm's edge-tested book, and no part in anything."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents.controls import Control, NoiseLearner, PooledRidge
from src.backtesting.planted import planted_history
from src.backtesting.result import CONTROLS, EDGE_TESTED
from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.history import HistoryFeed
from src.core.ports import Rival
from src.core.types import Idea, Side, Snapshot, Stream
from src.wiring import Plan, _rivals, _tracker, build
from tests.agents import worlds
from tests.money import BTC, ETH, PAIRS, START, Ohlcv, flat, idea, slice_of, snapshot
from tests.replays import replay
from tests.worlds import settings

QUICK = {"controls__min_outcomes": 100.0, "learners__rank_warmup": 30, "learners__rank_window": 60}


class Echo(Rival):
    """Says what it is given, bar by bar."""

    name = "control-ridge"

    def __init__(self, said: dict[int, list[Idea]]) -> None:
        self._said = said
        self.asked = 0

    def ideas(self, snapshot: Snapshot) -> Sequence[Idea]:
        self.asked += 1
        return self._said.get(snapshot.at, [])

    def state(self) -> dict[str, Any]:
        return {"asked": self.asked}

    def restore(self, state: dict[str, Any]) -> None:
        self.asked = state["asked"]


def test_the_same_ideas_come_to_the_same_trades_as_the_swarms() -> None:
    random = np.random.default_rng(3)
    said = {}
    for bar in range(200):
        side = Side.BUY if random.random() < 0.6 else Side.SELL
        edge, horizon = float(random.uniform(0.0, 0.015)), int(random.choice([3, 24]))
        one = msgspec.structs.replace(idea(side, (BTC, ETH)[bar % 2], edge), horizon=horizon)
        said[slice_of(bar, {}).at] = [msgspec.structs.replace(one, at=slice_of(bar, {}).at)]
    rival = Echo(said)
    tracker = _tracker(settings(), 7, rivals=[rival])
    price = 100.0
    for bar in range(200):
        price *= float(np.exp(0.03 * random.standard_normal()))
        bars: dict[Any, Ohlcv] = {BTC: flat(price), ETH: flat(price / 7.0)}
        slice_ = slice_of(bar, bars)
        closes = {pair: ohlcv[3] for pair, ohlcv in bars.items()}
        tracker.on_slice(slice_, snapshot(slice_.at, closes), [(Stream.MYCELIAL, one) for one in said[slice_.at]])
    swarm, own = tracker.trades[EDGE_TESTED], tracker.trades["control-ridge"]
    assert len(own) > 10
    assert len({trade.exit_reason for trade in own}) == 3  # stop, opposite idea, horizon
    for mine, theirs in zip(own, swarm, strict=True):
        assert mine.stream is Stream.CONTROL
        assert mine.id == theirs.id.replace(EDGE_TESTED, "control-ridge")
        assert msgspec.structs.replace(mine, id="", stream=Stream.MYCELIAL) == msgspec.structs.replace(theirs, id="")
    assert rival.asked == tracker.said["control-ridge"] == 200
    assert tracker.believed["control-ridge"] == sum((one.edge or 0.0) > 0.0072 for (one,) in said.values())


def test_a_rival_hears_and_says_nothing_to_the_streams() -> None:
    """Its ideas are in no other book, and ideas of the streams not in its own; without bars it is not asked."""
    at = slice_of(0, {}).at
    rival = Echo({at: [idea(Side.BUY, ETH, edge=0.05)]})
    tracker = _tracker(settings(), 7, rivals=[rival])
    bars = {BTC: flat(100.0), ETH: flat(10.0)}
    said = [(Stream.BASELINE, idea(Side.BUY, BTC)), (Stream.MYCELIAL, idea(Side.BUY, BTC, edge=0.05))]
    tracker.on_slice(slice_of(0, bars), snapshot(at, {BTC: 100.0, ETH: 10.0}), said)
    later = slice_of(1, bars)
    tracker.on_slice(later, snapshot(later.at, {BTC: 100.0, ETH: 10.0}), [])
    held = {name: set(tracker.desk(name).portfolio.positions) for name in tracker._shadows}
    assert held == {"baseline": {BTC}, "mycelial": {BTC}, EDGE_TESTED: {BTC}, "control-ridge": {ETH}}
    asked = rival.asked
    tracker.on_slice(msgspec.structs.replace(later, at=later.at + 5, bars=None), snapshot(later.at + 5, {}), said)
    assert rival.asked == asked == 2


def test_an_edge_below_the_cost_is_not_bought() -> None:
    cost = settings().costs.round_trip
    for edge, bought in ((cost, False), (cost * 1.0001, True), (0.0, False)):
        at = slice_of(0, {}).at
        tracker = _tracker(settings(), 7, rivals=[Echo({at: [idea(Side.BUY, edge=edge)]})])
        bars = {BTC: flat(100.0)}
        for bar in (0, 1):
            tracker.on_slice(slice_of(bar, bars), snapshot(slice_of(bar, bars).at, {BTC: 100.0}), [])
        assert bool(tracker.desk("control-ridge").portfolio.positions) is bought, edge


def test_wiring_gives_the_two_controls_or_none() -> None:
    plan = Plan(PAIRS, 3_600_000, 7)
    rivals = _rivals(settings(), plan)
    assert {rival.name for rival in rivals} == set(CONTROLS.values())
    assert _rivals(settings(controls__enabled=False), plan) == ()
    assert set(_tracker(settings(), 7).trades) == {"baseline", "mycelial", EDGE_TESTED, "synthesized"}


@pytest.mark.parametrize("kind", [PooledRidge, NoiseLearner])
def test_ideas_are_the_steps_in_the_words_of_a_book(kind: type[Control]) -> None:
    tree = settings(**QUICK)
    first, second = (kind(tree.controls, tree.learners, worlds.FEATURES, worlds.PAIRS, 5) for _ in range(2))
    count = 0
    for each in worlds.world(1, 400, strength=0.3):
        plain, told = first.step(each), second.ideas(each)
        count += len(told)
        assert [(one.pair, one.side, one.score, one.horizon) for one in told] == [
            (each.pairs[one.pair_index], one.side, one.score, one.horizon) for one in plain
        ]
        assert [one.edge for one in told] == [abs(one.edge) for one in plain]
        assert all(one.voters == (kind.name,) and one.at == each.at for one in told)
    assert count > 100


HISTORY = planted_history([f"P{place}/USD" for place in range(6)], 700, 0.5, 6, 11, 3_600_000, START)


def test_controls_change_nothing_for_the_swarm_and_have_trades_of_their_own() -> None:
    with_them = replay(HISTORY, settings(**QUICK))
    without = replay(HISTORY, settings(**QUICK, controls__enabled=False))
    assert with_them.hashes == without.hashes
    trades = with_them.house.tracker.trades
    assert set(trades) - set(without.house.tracker.trades) == set(CONTROLS.values())
    ridge = trades["control-ridge"]
    assert len(ridge) > 20
    # A true rank correlation of 0.5 pays for its costs; noise is not believed.
    assert sum((trade.profit for trade in ridge), Decimal(0)) > 0
    assert len(trades["control-noise"]) < len(ridge) / 10
    assert {trade.leave_at is not None for trade in ridge} == {True}


def test_controls_go_on_after_a_restart() -> None:
    tree = settings(**QUICK)
    slices = list(HistoryFeed(HISTORY))

    def house() -> Any:
        clock = SimClock()
        plan = Plan(HISTORY.pairs, HISTORY.interval_ms, 7)
        return build(tree, plan, clock, LocalBus(clock, tree.bus), MemoryLedger(tree.ledger), HISTORY)

    straight, resumed = house(), house()
    for slice_ in slices[:350]:
        straight.engine.on_slice(slice_)
    resumed.engine.restore(checkpoint.load(checkpoint.dump(straight.engine.state())))
    trades: list[list[Any]] = [[], []]
    for slice_ in slices[350:]:
        for place, each in enumerate((straight, resumed)):
            trades[place] += each.engine.on_slice(slice_).trades
    control = [trade for trade in trades[0] if trade.stream is Stream.CONTROL]
    assert len(control) > 10
    assert trades[0] == trades[1]
    assert checkpoint.dump(straight.tracker.state()) == checkpoint.dump(resumed.tracker.state())
