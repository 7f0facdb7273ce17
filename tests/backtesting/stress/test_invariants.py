"""Promises hold in every scenario, and each of them finds the defect that it is there for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from src.backtesting.exchange import SimulatedExchange
from src.backtesting.stress.invariants import INVARIANTS
from src.backtesting.stress.overlays import OVERLAYS, Scenario, World
from src.backtesting.stress.recorded import RECORDED, RecordedDays
from src.commands import stressed as module
from src.commands.stress import simulated
from src.commands.stressed import AT_THE_END, Stressed, Walk, stressed
from src.connectors.history import load_history
from src.core.config import Settings
from src.core.engine import Report
from src.core.indicators import BatchSource
from src.core.messages import Message
from src.core.ports import Row, SpineState
from src.core.types import Approved, Denied, Fill, Order, Slice, Snapshot
from src.services.gate import RiskGate
from src.wiring import House
from tests.recorded import RECORDED as DATA
from tests.recorded import needs_recorded
from tests.worlds import settings

SMALL: dict[str, object] = {
    "learners__team": 3,
    "learners__standard": {"market": 6, "code": 3, "government": 3, "logistics": 3, "corporate": 3},
    "learners__entry_score": 0.6,
    "learners__calibration_min_t2": 0.0,
    "simulated__timeframe": "1h",
    "simulated__pairs": ["BTC/USD", "ETH/USD", "SOL/USD", "ADA/USD"],
    "stress__days": 8,
    "stress__hand_pairs": 2,
}
SEED = 7


def tree(**changes: object) -> Settings:
    return settings(**SMALL, **changes)


def laid(name: str, **changes: object) -> Walk:
    world = simulated(tree(**changes), SEED)
    one = next(one for one in OVERLAYS if one.name == name)
    return Walk(one.name, one.says, one.lay(world, world.settings.stress, SEED))


def broken(found: Stressed) -> set[str]:
    return {one.invariant for one in found.violations}


@pytest.fixture(scope="module")
def world() -> World:
    return simulated(tree(), SEED)


@pytest.mark.parametrize("one", OVERLAYS, ids=lambda one: one.name)
def test_every_promise_holds_in_every_scenario(one: Scenario, world: World) -> None:
    found = stressed(Walk(one.name, one.says, one.lay(world, world.settings.stress, SEED)), SEED)
    assert found.violations == []
    assert found.ok
    assert found.invariants == len(INVARIANTS) + len(AT_THE_END) == 16
    assert found.slices >= 8 * 24 - 8
    assert sum(found.refusals.values()) > 0, "nobody asked for anything"


def test_the_scenarios_bite() -> None:
    """What they are there for happens: stops, a halt at the limit, refusals for want of fresh data."""
    gap, stale, dry = (stressed(laid(name), SEED) for name in ("gap_through_stop", "stale_feed", "dry_up"))
    assert gap.stops >= 2
    assert gap.halts == 1
    assert gap.max_drawdown_ratio >= tree().risk.max_drawdown_ratio
    assert gap.refusals["halted"] > 0
    assert stale.refusals["stale_data"] > 0
    assert stale.halts == 0
    assert dry.slices == stale.slices


@needs_recorded
@pytest.mark.parametrize("days", RECORDED, ids=lambda days: days.name)
def test_every_promise_holds_on_days_that_really_went_wrong(days: RecordedDays) -> None:
    names = [f"{name}/USDT" for name in ("AAVE", "BTC", "ETH", "SOL", "UNI")]
    history = load_history(DATA, "binance", "1h", names, days.timerange)
    found = stressed(Walk(days.name, days.says, World(history, (), tree())), SEED)
    assert found.violations == []
    assert found.stops > 0


# --- planted defects ------------------------------------------------------------------------------------------------


class AtTheStop(SimulatedExchange):
    """The defect of many backtests: a stop fills at its price, though the market opened far below."""

    def _fill_stop(self, stop, price, room, fills):  # type: ignore[no-untyped-def]
        super()._fill_stop(stop, stop.trigger, room, fills)


class NoStops(SimulatedExchange):
    def _fill_stop(self, stop, price, room, fills):  # type: ignore[no-untyped-def]
        return


class Generous(SimulatedExchange):
    """Fills without a look at the volume, and fees that nobody pays."""

    def __init__(self, tree: Settings) -> None:
        super().__init__(tree.costs, tree.account, tree.exchange)
        self._max_volume_ratio = Decimal(10**9)


def exchange(kind: type[SimulatedExchange]) -> Callable[[House], None]:
    def alter(house: House) -> None:
        tree = house.settings
        house.desk.broker = kind(tree.costs, tree.account, tree.exchange)

    return alter


def test_a_stop_that_fills_at_its_price_in_a_gap_is_found_at_the_slice_of_the_gap() -> None:
    walk = laid("gap_through_stop")
    found = stressed(walk, SEED, exchange(AtTheStop))
    assert broken(found) == {"stop_leaves_at_its_price", "fills_inside_the_bar"}
    first = found.violations[0]
    at = int(walk.world.history.times[walk.world.first])
    assert first.at == module.records.stamp(at)
    assert "instead of" in first.says
    assert found.return_ratio > stressed(walk, SEED).return_ratio, "which is why people like it"


def test_in_a_market_without_gaps_it_is_not_blamed() -> None:
    """Bars of the calm market open where the last one closed: the same exchange is right there."""
    assert broken(stressed(laid("calm"), SEED, exchange(AtTheStop))) == set()


def test_a_stop_that_does_not_leave_is_found() -> None:
    assert "stop_is_honoured" in broken(stressed(laid("gap_through_stop"), SEED, exchange(NoStops)))


def test_fills_beyond_the_volume_are_found() -> None:
    def alter(house: House) -> None:
        house.desk.broker = Generous(house.settings)

    found = stressed(laid("dry_up", stress__dry_volume_ratio=0.00001), SEED, alter)
    assert broken(found) == {"volume_share_kept"}


class Lenient:
    """A gate that looks away: it is shown a state in which nothing is wrong."""

    looked = None

    def __init__(self, tree: Settings, **shown: object) -> None:
        self._inner, self._shown = RiskGate(tree.risk, tree.costs), shown

    def review(self, order: Order, state: SpineState) -> Approved | Denied:
        return self._inner.review(order, msgspec.structs.replace(state, **self._shown))


def lenient(**shown: object) -> Callable[[House], None]:
    def alter(house: House) -> None:
        house.desk._gate = Lenient(house.settings, **shown)

    return alter


def test_entries_while_halted_are_found() -> None:
    found = stressed(laid("gap_through_stop"), SEED, lenient(halted="", peak_equity=Decimal(1)))
    assert "no_entry_while_halted" in broken(found)


def test_a_second_position_of_a_pair_is_found() -> None:
    found = stressed(laid("calm"), SEED, lenient(positions={}, open_orders=[]))
    assert "one_position_a_pair" in broken(found)


class Stale(RiskGate):
    def review(self, order: Order, state: SpineState) -> Approved | Denied:
        always = np.full(len(state.snapshot.pairs), state.snapshot.at)
        snapshot = msgspec.structs.replace(state.snapshot, seen_at=always)
        return super().review(order, msgspec.structs.replace(state, snapshot=snapshot, open_orders=[]))


def test_entries_on_old_data_are_found() -> None:
    def alter(house: House) -> None:
        house.desk._gate = Stale(house.settings.risk, house.settings.costs)

    assert "no_entry_on_stale_data" in broken(stressed(laid("stale_feed"), SEED, alter))


def test_a_guardian_that_sleeps_is_found() -> None:
    def alter(house: House) -> None:
        house.model.quarantined["risk-guardian"] = "planted"

    assert broken(stressed(laid("gap_through_stop"), SEED, alter)) == {"drawdown_halts"}


def test_money_from_nowhere_is_found() -> None:
    def alter(house: House) -> None:
        house.desk.portfolio.cash += Decimal("0.00000001")

    found = stressed(laid("calm"), SEED, alter)
    assert {"cash_is_the_sum_of_fills", "equity_is_cash_and_positions", "the_ledger_verifies"} <= broken(found)


def test_cash_below_zero_is_found() -> None:
    def alter(house: House) -> None:
        house.desk.portfolio.cash = Decimal(-1)

    assert "cash_not_negative" in broken(stressed(laid("calm"), SEED, alter))


def test_an_order_that_was_not_written_down_first_is_found() -> None:
    def alter(house: House) -> None:
        house.engine.outbound._ledger = Forgetful(house.ledger)

    assert "approved_and_written_first" in broken(stressed(laid("gap_through_stop"), SEED, alter))


class Forgetful:
    """Loses the rows of orders."""

    def __init__(self, ledger):  # type: ignore[no-untyped-def]
        self._ledger = ledger

    def append(self, rows: Sequence[Row], durable: bool):  # type: ignore[no-untyped-def]
        return self._ledger.append([row for row in rows if row.kind != "order"], durable)


def test_figures_that_are_not_finite_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = BatchSource.advance

    def infinite(self, block):  # type: ignore[no-untyped-def]
        row = advance(self, block)
        volatility = row.volatility.copy()
        volatility[0] = np.inf
        return row._replace(volatility=volatility)

    monkeypatch.setattr(BatchSource, "advance", infinite)
    assert "figures_are_finite" in broken(stressed(laid("calm"), SEED))


def test_an_agent_that_raises_is_found() -> None:
    def alter(house: House) -> None:
        def fail(message: Message) -> None:
            raise ValueError("planted")

        house.bus.subscribe("market-data:*", fail, "somebody")

    found = stressed(laid("calm"), SEED, alter)
    assert broken(found) == {"nobody_fails"}
    assert "somebody: " in found.violations[0].says


def test_memory_that_grows_is_found() -> None:
    assert broken(stressed(laid("calm", stress__max_growth_mb=0.000001), SEED)) <= {"memory_is_bounded"}
    held: list[bytes] = []

    def alter(house: House) -> None:
        on_slice = house.engine.on_slice

        def leaking(slice_: Slice) -> Report:
            held.append(bytes(np.ones(1_000_000, np.uint8)))
            return on_slice(slice_)

        house.engine.on_slice = leaking  # type: ignore[method-assign]

    found = stressed(laid("calm", stress__max_growth_mb=50.0), SEED, alter)
    assert broken(found) == {"memory_is_bounded"}
    assert held


def test_no_scenario_needs_luck() -> None:
    """The same seed comes to the same; another one to something else."""
    first, again = (stressed(laid("flash_crash"), SEED) for _ in range(2))
    assert first == again


UNUSED = (Fill, Snapshot)
