"""Paper trading over a tape comes to the trades of the backtest of that tape; where manners differ, they are named.

The manners: the trigger of a stop is rounded up to the step of prices (`TICK`), and an entry for which a bar has no
volume is cut, so that a stop can protect what was bought (the backtest goes on buying).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from src.agents import KINDS, Kind
from src.backtesting.planted import planted_history
from src.backtesting.simulated_market import SimulatedMarket
from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.config import Settings
from src.core.engine import Report
from src.core.history import HistoryFeed
from src.core.types import MONEY_STEP, Decision, Fill, Pair, Slice
from src.services.supervisor.register import replay
from src.wiring import House, Plan, build
from tests.golden import tape
from tests.worlds import settings

TICK = MONEY_STEP
EARLY: dict[str, object] = {
    "learners__team": 3,
    "learners__entry_score": 0.6,
    "learners__calibration_min_t2": 0.0,
    "costs__fee_ratio": "0.0002",
    "costs__slippage_ratio": "0.0001",
}
"""Few learners that speak early and trade cheaply."""
HOUR, START = 3_600_000, 1_609_459_200_000
Walk = tuple[House, list[Report]]


def house_of(tree: Settings, pairs: tuple[Pair, ...], interval_ms: int, mode: str, kinds: Sequence[Kind]) -> House:
    clock = SimClock()
    plan = Plan(pairs, interval_ms, 7, kinds, simulation=True, mode=mode)
    return build(tree, plan, clock, LocalBus(clock, tree.bus), MemoryLedger(tree.ledger))


def walk(
    tree: Settings, slices: Iterable[Slice], pairs: tuple[Pair, ...], interval_ms: int, mode: str,
    kinds: Sequence[Kind] = KINDS,
) -> Walk:  # fmt: skip
    house = house_of(tree, pairs, interval_ms, mode, kinds)
    return house, [house.engine.on_slice(slice_) for slice_ in slices]


def fills(walked: Walk) -> list[Fill]:
    return [fill for report in walked[1] for fill in report.fills]


def figures(fill: Fill) -> tuple[Any, ...]:
    """All of a fill but its ids."""
    return fill.pair, fill.side, fill.amount, fill.price, fill.fee, fill.slippage, fill.at, fill.reason, fill.final


def trades(walked: Walk) -> list[tuple[Any, ...]]:
    own = [trade for report in walked[1] for trade in report.trades if trade.stream == "synthesized"]
    return [
        (t.pair, t.amount, t.entry_at, t.exit_at, t.entry_price, t.exit_price, t.fees, t.slippage, t.profit,
         t.exit_reason, t.leave_at)
        for t in own
    ]  # fmt: skip


def decided(walked: Walk) -> list[Decision]:
    """What was decided; a stop that fills has the exchange's id of its order."""
    return [line for report in walked[1] for line in report.decisions if line.kind != "fill"]


def planted(bars: int = 400) -> Any:
    return planted_history(("BTC/USDT", "ETH/USDT", "SOL/USDT"), bars, 0.5, 6, 3, HOUR, START)


def both(tree: Settings, history: Any, interval_ms: int, kinds: Sequence[Kind] = KINDS) -> tuple[Walk, Walk]:
    backtest, paper = (
        walk(tree, HistoryFeed(history), history.pairs, interval_ms, mode, kinds) for mode in ("", "paper")
    )
    return backtest, paper


def test_the_scripted_tape() -> None:
    backtest, paper = both(settings(), tape.history(), tape.HOUR, tape.kinds())
    assert [figures(fill) for fill in fills(paper)] == [figures(fill) for fill in fills(backtest)]
    assert len(fills(paper)) == 2
    assert trades(paper) == trades(backtest)
    assert decided(paper) == decided(backtest)


def test_a_planted_market_to_the_last_digit() -> None:
    backtest, paper = both(settings(**EARLY), planted(), HOUR)
    assert [figures(fill) for fill in fills(paper)] == [figures(fill) for fill in fills(backtest)]
    assert len(fills(paper)) > 15
    assert trades(paper) == trades(backtest)
    assert decided(paper) == decided(backtest)
    assert [report.equity for report in paper[1]] == [report.equity for report in backtest[1]]


def test_the_simulated_market_to_the_last_digit() -> None:
    tree = settings(**EARLY, simulated__pairs=["BTC/USD", "ETH/USD"])
    found = []
    for mode in ("", "paper"):
        market = SimulatedMarket(tree.simulated, 7)
        found.append(walk(tree, islice(market, 600), market.pairs, market.interval_ms, mode))
    backtest, paper = found
    assert trades(paper) == trades(backtest)
    assert decided(paper) == decided(backtest)


@pytest.mark.parametrize("ratio", ["0.004", "0.00123456789"])
def test_stops_differ_by_less_than_a_tick_and_never_for_the_worse(ratio: str) -> None:
    backtest, paper = both(settings(**EARLY, account__stop_ratio=ratio), planted(), HOUR)
    pairs = list(zip(fills(paper), fills(backtest), strict=True))
    assert sum(one.reason == "stop" for one, _ in pairs) >= 2
    for one, other in pairs:
        if one.reason == "stop":
            assert Decimal(0) <= one.price - other.price < TICK
        else:
            assert one.price == other.price
        # What a stop brought more is in the equity, and so in the size of later entries.
        assert abs(one.amount - other.amount) <= 10 * MONEY_STEP
        assert abs(one.fee - other.fee) <= 10 * MONEY_STEP
        same = ("pair", "side", "at", "reason", "final")
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]


def test_an_entry_without_volume_is_cut_where_the_backtest_goes_on() -> None:
    backtest, paper = both(settings(**EARLY, exchange__max_volume_ratio="0.00001"), planted(), HOUR)
    first, other = fills(paper)[0], fills(backtest)[0]
    assert figures(first) == figures(other)
    assert not first.final
    entries = [fill.order_id for fill in fills(paper) if fill.reason == "entry"]
    assert len(entries) == len(set(entries)), "an entry went on after its first bar"
    assert len({f.order_id for f in fills(backtest) if f.reason == "entry"}) < sum(
        fill.reason == "entry" for fill in fills(backtest)
    )


def test_every_order_of_the_account_is_an_intent_of_the_coordinator_and_the_books_are_their_rows() -> None:
    house, reports = walk(settings(**EARLY), HistoryFeed(planted()), planted().pairs, HOUR, "paper")
    ledger, path = house.ledger, house.path
    assert isinstance(ledger, MemoryLedger)
    assert path is not None
    ids = {path.coordinator.client_id(order) for report in reports for order in report.orders}
    assert ids <= {row.key.removeprefix("intent:") for row in ledger.rows("intent")}
    assert replay(ledger.rows()).state() == path.coordinator.state()
    held = {pair: position.amount for pair, position in house.desk.portfolio.positions.items()}
    assert path.coordinator.positions() == held


@pytest.mark.parametrize("cut", [120, 250])
def test_a_restart_from_a_checkpoint_comes_to_the_same_rows(cut: int) -> None:
    """The checkpoint, then the slices after it once more, into the ledger that has some of them already."""
    tree, history = settings(**EARLY, account__stop_ratio="0.01", memory__enabled=False), planted()
    slices = list(HistoryFeed(history))
    calm, _ = walk(tree, slices, history.pairs, HOUR, "paper")
    first = house_of(tree, history.pairs, HOUR, "paper", KINDS)
    for slice_ in slices[:cut]:
        first.engine.on_slice(slice_)
    kept = checkpoint.load(checkpoint.dump(first.engine.state()))
    second = house_of(tree, history.pairs, HOUR, "paper", KINDS)
    second.engine.restore(kept)
    for slice_ in slices[cut:]:
        second.engine.on_slice(slice_)
    kinds = ("intent", "order_state", "execution", "protection", "coordinator", "fill", "order", "cancel")
    rows = [
        [(row.kind, row.key, row.body) for row in (*one.rows(), *more) if row.kind in kinds]
        for one, more in ((calm.ledger, ()), (first.ledger, second.ledger.rows()))  # type: ignore[attr-defined]
    ]
    assert rows[1] == rows[0]
    assert second.path is not None
    assert calm.path is not None
    assert second.path.state() == calm.path.state()
