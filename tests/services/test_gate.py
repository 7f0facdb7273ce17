"""Every reason of the risk gate, on both sides of its boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.ports import SpineState
from src.core.types import NEVER, Approved, Denied, Order, Pair, Position, Side
from src.services.gate import RiskGate
from tests.money import ADA, BTC, ETH, HOUR, PAIRS, closed_at, order, position, snapshot
from tests.worlds import settings

TREE = settings(risk__max_positions=2)
ALL_CLOSES = dict.fromkeys(PAIRS, 100.0)
RICH = Decimal(10_000)


def state(
    held: Mapping[Pair, Position] | None = None,
    waiting: Sequence[Order] = (),
    cash: str = "10000",
    equity: str = "10000",
    peak: str = "10000",
    halted: str = "",
    bus_up: bool = True,
    reserved: str = "0",
    fresh: Sequence[Pair] = PAIRS,
) -> SpineState:
    """A quiet account, with single things changed."""
    figures = (Decimal(cash), Decimal(equity), Decimal(peak), halted, bus_up, Decimal(reserved))
    return SpineState(snapshot(closed_at(0), ALL_CLOSES, fresh), held or {}, list(waiting), *figures)


def reason(wanted: Order, seen: SpineState) -> str:
    """Why the gate refuses, or an empty string."""
    verdict = RiskGate(TREE.risk, TREE.costs).review(wanted, seen)
    assert verdict.order is wanted
    assert verdict.at == closed_at(0)
    return verdict.reason if isinstance(verdict, Denied) else ""


HELD = {BTC: position(BTC)}
TWO = {BTC: position(BTC), ETH: position(ETH)}


@pytest.mark.parametrize(
    ("passes", "fails", "name"),
    [
        (state(), state(halted="why"), "halted"),
        (state(), state(bus_up=False), "bus_down"),
        (state(equity="9500.00000001"), state(equity="9500"), "drawdown"),
        (state(equity="10001", peak="10000"), state(equity="1", peak="10000"), "drawdown"),
        (state(fresh=[BTC]), state(fresh=[ETH, ADA]), "stale_data"),
        (state({ETH: position(ETH)}), state(HELD), "position_open"),
        (state(waiting=[order(Side.SELL)]), state(waiting=[order(Side.BUY)]), "order_open"),
        (state({ETH: position(ETH)}), state({ETH: position(ETH), ADA: position(ADA)}), "max_positions"),
        (state(), state({ETH: position(ETH)}, [order(pair=ADA)]), "max_positions"),
        (state(), state(waiting=[order(pair=ETH), order(pair=ADA)]), "max_positions"),
        (state(cash="100.36"), state(cash="100.35999999"), "insufficient_cash"),
        (state(cash="200.72", reserved="100"), state(cash="200.71999999", reserved="100"), "insufficient_cash"),
    ],
)
def test_each_reason_of_an_entry_at_its_boundary(passes: SpineState, fails: SpineState, name: str) -> None:
    assert reason(order(), passes) == ""
    assert reason(order(), fails) == name


@pytest.mark.parametrize(("age_ms", "objection"), [(0, ""), (2 * HOUR, ""), (2 * HOUR + 1, "stale_data")])
def test_data_are_stale_after_as_many_intervals_as_the_settings_say(age_ms: int, objection: str) -> None:
    """Also in a slice without bars, which other news have of their own."""
    seen = state(fresh=[])
    seen_at = np.array([closed_at(0) - age_ms if pair == BTC else NEVER for pair in PAIRS])
    seen.snapshot = msgspec.structs.replace(seen.snapshot, seen_at=seen_at)
    assert TREE.risk.max_data_age_intervals == 2
    assert reason(order(), seen) == objection
    assert reason(order(pair=ETH), seen) == "stale_data"


def test_a_waiting_entry_and_its_own_position_count_once() -> None:
    seen = state(HELD, [order(pair=BTC)])
    assert reason(order(pair=ETH), seen) == ""


def test_the_drawdown_is_measured_from_the_highest_equity() -> None:
    assert reason(order(), state(equity="19000", peak="20000")) == "drawdown"
    assert reason(order(), state(equity="0", peak="0")) == ""


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "sNaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("side", list(Side))
def test_amounts_that_are_no_amounts(amount: str, side: Side) -> None:
    assert reason(order(side, amount), state(HELD)) == "bad_amount"


@pytest.mark.parametrize("side", list(Side))
def test_a_pair_without_a_known_price_is_not_traded(side: Side) -> None:
    assert reason(order(side, reference="0"), state(HELD)) == "bad_amount"


def test_m_f24_a_sell_without_a_position_has_nothing_to_close() -> None:
    assert reason(order(Side.SELL), state()) == "nothing_to_close"
    assert reason(order(Side.SELL, "1.00000001"), state(HELD)) == "nothing_to_close"
    assert reason(order(Side.SELL, "1"), state(HELD)) == ""


HOSTILE = state(
    TWO, [order(), order(Side.SELL)], cash="-5", equity="1", halted="all", bus_up=False, reserved="99999", fresh=[]
)


@pytest.mark.parametrize("name", ["stop", "horizon", "opposite_idea", "flatten", "manual"])
def test_m_f21_reducing_risk_is_never_blocked(name: str) -> None:
    leave = msgspec.structs.replace(order(Side.SELL), reason=name)
    assert reason(leave, HOSTILE) == ""
    assert reason(order(Side.BUY, pair=ADA), HOSTILE) == "halted"


def test_the_first_objection_names_the_reason() -> None:
    seen = msgspec.structs.replace(HOSTILE, halted="", positions={BTC: position(BTC)})
    order_of_controls = ["bus_down", "drawdown", "stale_data", "position_open", "order_open", "insufficient_cash"]
    mend = [
        {"bus_up": True},
        {"equity": RICH},
        {"snapshot": snapshot(closed_at(0), ALL_CLOSES)},
        {"positions": {}},
        {"open_orders": []},
        {"cash": Decimal(10**9)},
    ]
    for name, change in zip(order_of_controls, mend, strict=True):
        assert reason(order(), seen) == name
        seen = msgspec.structs.replace(seen, **change)
    assert reason(order(), seen) == ""


@given(
    side=st.sampled_from(list(Side)),
    held=st.decimals(min_value=0, max_value=10, places=8),
    amount=st.decimals(min_value=-1, max_value=20, places=8),
    cash=st.decimals(min_value=-100, max_value=3000, places=2),
    equity=st.decimals(min_value=0, max_value=10_000, places=2),
    halted=st.sampled_from(["", "why"]),
    bus_up=st.booleans(),
)
def test_what_passes_is_always_covered(
    side: Side, held: Decimal, amount: Decimal, cash: Decimal, equity: Decimal, halted: str, bus_up: bool
) -> None:
    seen = state({BTC: position(BTC, held)} if held else {}, cash=str(cash), equity=str(equity), halted=halted)
    seen.bus_up = bus_up
    verdict = RiskGate(TREE.risk, TREE.costs).review(order(side, str(amount)), seen)
    if side is Side.SELL:
        assert isinstance(verdict, Approved) == (0 < amount <= held)
    elif isinstance(verdict, Approved):
        assert bus_up
        assert halted == ""
        assert held == 0
        assert 0 < amount * 100 * Decimal("1.0036") <= cash
        assert equity > 9500


def test_m_f19_costs_of_the_settings_decide_what_can_be_paid() -> None:
    dear = settings(costs__fee_ratio=0.5)
    assert isinstance(RiskGate(dear.risk, dear.costs).review(order(), state(cash="150.09")), Denied)
    assert isinstance(RiskGate(TREE.risk, TREE.costs).review(order(), state(cash="150.09")), Approved)


def test_an_unknown_pair_is_a_programming_error_not_an_approval() -> None:
    assert np.isnan(snapshot(closed_at(0), {}).close).all()
    with pytest.raises(ValueError):
        RiskGate(TREE.risk, TREE.costs).review(order(pair=Pair("XXX/USDT")), state())
