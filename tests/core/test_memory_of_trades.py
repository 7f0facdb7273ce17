"""Memory in a run: what became of trades is written down once, asked at collisions, and there again after a restart."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import numpy as np
import pytest

from src.agents import Kind, World
from src.core.market import FEATURES
from src.core.memory import MemoryRecord, Namespace, decoded
from src.core.messages import SynthesizedTrade
from src.core.model import MycelialAgent
from src.core.timeframes import DAY_MS
from src.core.types import Side, Snapshot
from src.services.experience import book_of
from tests.checks.agent_checks import history
from tests.core.test_engine import wild
from tests.golden import tape
from tests.walked import Walk

LAST = len(history().times) - 1
REFUSED = "memory_advises_against"


def remembered(walk: Walk) -> list[MemoryRecord]:
    """What the ledger holds, in order."""
    return [decoded(row.body) for row in walk.ledger.rows("memory")]


def test_every_closed_trade_of_the_swarm_is_one_row_with_its_net_outcome() -> None:
    walk = wild().all()
    books = walk.house.tracker.trades
    trades = {trade.id: trade for book in ("mycelial", "synthesized") for trade in books[book]}
    found = remembered(walk)
    assert len(found) == len({record.id for record in found}) > 20
    for record in found:
        trade = trades[str(record.meta["trade"])]
        assert (record.pair, record.outcome, record.known_at) == (trade.pair, float(trade.profit_ratio), trade.exit_at)
        assert record.seen_at < trade.entry_at <= record.known_at
        assert (record.namespace is Namespace.TRADING) == (trade.profit > 0)
    both = {(trade.pair, trade.entry_at) for trade in trades.values()}
    assert len(found) == len(both), "a moment that two books bought in counts once, and none is missing"
    assert {book_of(trades[str(record.meta["trade"])]) for record in found} == {"mycelial", "synthesized"}
    assert walk.house.memory.index.versions() == tuple(found)


def test_the_vector_is_what_the_pair_looked_like_when_it_was_decided() -> None:
    walk = wild().all()
    seen = {report.at: report.snapshot for report in walk.reports}
    clip = walk.tree.learners.feature_clip
    for record in remembered(walk):
        features = seen[record.seen_at].features[history().pairs.index(record.pair)]
        assert record.vector == tuple(np.nan_to_num(np.clip(features, -clip, clip)).tolist())


def test_memory_switched_off_is_neither_filled_nor_asked() -> None:
    walk = wild(memory__enabled=False).all()
    assert remembered(walk) == []
    assert not [line for line in walk.lines() if "advice" in line]
    assert REFUSED not in walk.house.engine.refusals
    assert wild().all().house.engine.refusals[REFUSED] > 0


def test_a_refusal_by_memory_is_counted_and_says_over_which_outcomes() -> None:
    walk = wild().all()
    refused = [line for line in walk.lines() if line.get("reason") == REFUSED]
    assert len(refused) == walk.house.engine.refusals[REFUSED]
    known = {record.id: record for record in remembered(walk)}
    for line in refused:
        assert line["advice"] == "AVOID"
        names = line["memories"]
        assert isinstance(names, list)
        losses = [known[name] for name in names if (known[name].outcome or 0.0) <= 0.0]
        assert len(losses) / len(names) > 0.6 or np.mean([known[name].outcome or 0.0 for name in names]) < -0.01
        assert f"{len(names)} similar" in str(line["advice_reason"])


@pytest.mark.parametrize("bar", [100, 180])
def test_after_a_restart_the_index_is_that_of_the_checkpoint_and_the_rest_is_the_same(bar: int) -> None:
    """Rows of the slices after the checkpoint are left to the walk through those slices."""
    first, later = wild(), wild()
    first.until(bar)
    raw, before = first.saved(), len(first.house.memory)
    first.all()
    assert 0 < before < len(first.house.memory)
    later.restore(raw, first.ledger)
    assert len(later.house.memory) == before
    later.until(LAST, first=bar + 1)
    assert later.house.memory.index.versions() == first.house.memory.index.versions()
    assert [report.decisions for report in later.reports] == [r.decisions for r in first.reports[bar + 1 :]]
    at = int(history().times[bar])
    assert later.ledger.rows("memory") == [row for row in first.ledger.rows("memory") if row.at > at]


class Archivist(MycelialAgent):
    """Remembers one moment in the slice of bar 3, and again in the next; `ahead`: known so much later than now."""

    kind: ClassVar[str] = "pattern_learner"
    phase: ClassVar[str] = "opine"

    def __init__(self, world: World, ahead: int) -> None:
        super().__init__(world.model, "archivist")
        self._memory, self._ahead = world.memory, ahead

    def act(self, snapshot: Snapshot) -> None:
        at = tape.closed_at(3)
        if snapshot.at in (at, tape.closed_at(4)):
            vector = (1.0,) * len(FEATURES)
            self._memory.remember(
                [
                    MemoryRecord(
                        "p1", Namespace.KNOWLEDGE, vector, tape.PAIR, "code", Side.BUY, 0.5, at, at + self._ahead
                    )
                ]
            )


def archive(ahead: int) -> Walk:
    kind = Kind("archivist", Archivist, lambda world: _live(world, ahead), (), ())
    walk = Walk(kinds=(*tape.kinds(), kind))
    walk.until(6)
    return walk


def _live(world: World, ahead: int) -> None:
    Archivist(world, ahead)


def test_what_agents_remember_is_a_row_of_the_slice_it_was_remembered_in_once() -> None:
    walk = archive(0)
    (row,) = walk.ledger.rows("memory")
    assert (row.at, row.key) == (tape.closed_at(3), f"memory:p1:{tape.closed_at(3)}")
    assert decoded(row.body).id == "p1"
    assert not walk.house.model.faults


def test_an_agent_that_remembers_the_future_is_at_fault_and_leaves_no_row() -> None:
    walk = archive(2 * tape.HOUR)
    assert walk.ledger.rows("memory") == []
    assert walk.house.model.faults == {"archivist": 2}
    (reason,) = {line["reason"] for line in walk.lines() if line["kind"] == "fault" and line["source"] == "archivist"
                 and str(line["reason"]).count("04:00")}  # fmt: skip
    assert reason == (
        "act: DataError: memory p1: known at 2021-01-01T06:00:00.000Z, after the slice of 2021-01-01T04:00:00.000Z"
    )


def lost(name: str, vector: tuple[float, ...], at: int) -> MemoryRecord:
    return MemoryRecord(name, Namespace.FAILED, vector, tape.PAIR, "swarm", Side.BUY, 0.9, at - tape.HOUR, at, -0.05)


@pytest.mark.parametrize("pair", ["BTC/USDT", "ETH/USDT"], ids=["its own pair", "another pair"])
def test_memory_that_advises_against_refuses_the_only_intent_of_the_tape(pair: str) -> None:
    """The moment of the collision is known by losses alone: no order, one refusal. Nobody else changes his mind."""
    plain, walk = Walk(memory__min_known_ratio=0).all(), Walk(memory__min_known_ratio=0)
    (met,) = [report for report in plain.reports if report.at == tape.closed_at(tape.SPOKEN_AT_BAR)]
    vector = tuple(np.nan_to_num(met.snapshot.features[0]).tolist())
    known = lost("l1", vector, tape.closed_at(10))
    walk.until(10)
    walk.house.memory.remember([msgspec.structs.replace(known, pair=pair)])
    heard: list[SynthesizedTrade] = []
    walk.bus.subscribe("synthesized-trade-log", heard.append, "a listener of the test")  # type: ignore[arg-type]
    walk.all()
    assert walk.house.engine.refusals == {REFUSED: 1}
    assert not [order for report in walk.reports for order in report.orders]
    (message,) = heard
    assert (message.refused, message.advice, message.memories) == (REFUSED, "AVOID", ("l1",))
    assert message.advice_reason == "1 similar, 0% won, mean -5.00%"
    assert len(walk.house.tracker.trades["mycelial"]) == 1, "the paper book goes on, so that memory can be wrong"
    assert [order.side for report in plain.reports for order in report.orders] == [Side.BUY, Side.SELL]
    intent = next(line for line in plain.lines() if line["kind"] == "intent")
    assert (intent["advice"], intent["memories"]) == ("OBSERVE", [])


def test_small_or_not_the_size_is_that_of_all_books() -> None:
    """BUY_SMALL travels with the intent and changes no size: the streams are compared at equal sizes."""
    plain = Walk(memory__min_known_ratio=0).all()
    (met,) = [report for report in plain.reports if report.at == tape.closed_at(tape.SPOKEN_AT_BAR)]
    vector = tuple(np.nan_to_num(met.snapshot.features[0]).tolist())
    walk = Walk(memory__min_known_ratio=0)
    walk.until(10)
    won = lost("w", vector, tape.closed_at(10))
    walk.house.memory.remember(
        [msgspec.structs.replace(won, id=f"w{n}", outcome=0.02, namespace=Namespace.TRADING) for n in range(3)]
    )
    walk.all()
    intent = next(line for line in walk.lines() if line["kind"] == "intent")
    assert intent["advice"] == "BUY_SMALL"
    assert [o.amount for r in walk.reports for o in r.orders] == [o.amount for r in plain.reports for o in r.orders]


def test_old_memories_go_when_a_day_begins() -> None:
    walk = Walk()
    walk.until(10)
    keep = walk.tree.memory.keep_days * DAY_MS
    midnight = tape.START + DAY_MS
    vector = (1.0,) * len(FEATURES)
    made = [lost(f"m{n}", vector, midnight - keep + n + tape.HOUR) for n in (-1, 0)]
    walk.house.memory.remember(made)
    walk.until(22)
    assert len(walk.house.memory) == 2
    walk.until(23)
    assert [record.id for record in walk.house.memory.index.versions()] == ["m0"]
