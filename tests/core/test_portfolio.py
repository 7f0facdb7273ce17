"""Cash, positions and round trips, to the last digit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.config import Costs
from src.core.errors import InvariantError
from src.core.portfolio import Portfolio, floor_amount, money, net_return, side_costs
from src.core.types import MONEY_STEP, Side, Stream, Trade
from tests.money import BTC, closed_at, fill

COSTS = Costs(fee_ratio=Decimal("0.0026"), slippage_ratio=Decimal("0.0010"))


def round_trip(entry: str, exit_: str, amount: str = "1", costs: Costs = COSTS) -> Trade:
    """Buy and sell `amount` at these prices with the exact costs."""
    portfolio = Portfolio(Decimal(10_000))
    for number, (side, price) in enumerate(((Side.BUY, entry), (Side.SELL, exit_)), 1):
        fee, slippage = side_costs(Decimal(amount) * Decimal(price), costs)
        trade = portfolio.apply(fill(side, amount, price, str(fee), str(slippage), number))
    assert trade is not None
    assert portfolio.cash == portfolio.start + trade.profit
    assert not portfolio.positions
    return trade


def test_m_f37_flat_trade_costs_both_sides() -> None:
    trade = round_trip("100", "100")
    assert trade.profit == Decimal("-0.72")
    assert trade.profit_ratio == Decimal("-0.72") / Decimal("100.36")
    assert round(100 * trade.profit_ratio, 4) == Decimal("-0.7174")
    assert 2 * COSTS.per_side == Decimal("0.0072")
    assert COSTS.round_trip == 0.0072


def test_m_f37_one_per_cent_up_leaves_0_2754_per_cent() -> None:
    trade = round_trip("100", "101")
    assert trade.profit == Decimal("101") - Decimal("0.3636") - Decimal("100.36")
    assert round(100 * trade.profit_ratio, 4) == Decimal("0.2754")
    assert round(100 * net_return(0.01, 0.0036), 4) == 0.2754


def test_m_f37_profit_is_amount_times_move_minus_fees() -> None:
    trade = round_trip("100", "103", amount="2.5")
    assert trade.fees == Decimal("0.65") + Decimal("0.6695")
    assert trade.slippage == Decimal("0.25") + Decimal("0.2575")
    assert trade.profit == Decimal("2.5") * 3 - trade.fees - trade.slippage
    assert (trade.entry_price, trade.exit_price) == (Decimal(100), Decimal(103))


def test_costs_of_zero_leave_the_bare_move() -> None:
    free = Costs(fee_ratio=Decimal(0), slippage_ratio=Decimal(0))
    assert round_trip("100", "101", costs=free).profit_ratio == Decimal("0.01")


@given(st.floats(-0.5, 1.0), st.sampled_from([0.0, 0.001, 0.0036, 0.01]))
def test_exact_ledger_agrees_with_the_formula(gross: float, cost: float) -> None:
    costs = Costs(fee_ratio=money(cost), slippage_ratio=Decimal(0))
    out = money(1000 * (1 + gross))
    assert float(round_trip("1000", str(out), costs=costs).profit_ratio) == pytest.approx(
        net_return(gross, cost), abs=1e-10
    )


def test_partial_exits_are_one_trade() -> None:
    portfolio = Portfolio(Decimal(10_000), Stream.MYCELIAL, "book")
    portfolio.apply(fill(Side.BUY, "1", "100", "0.26", "0.1", 1), leave_at=closed_at(9))
    assert portfolio.apply(fill(Side.SELL, "0.25", "104", "0.0676", "0.026", 2)) is None
    held = portfolio.positions[BTC]
    assert (held.amount, held.entry, held.leave_at) == (Decimal("0.75"), Decimal(100), closed_at(9))
    trade = portfolio.apply(fill(Side.SELL, "0.75", "96", "0.1872", "0.072", 3))
    assert trade is not None
    assert trade.id == "book-1"
    assert (trade.stream, trade.amount) == (Stream.MYCELIAL, Decimal(1))
    assert trade.exit_price == Decimal("98")
    assert trade.fees == portfolio.fees == Decimal("0.5148")
    assert trade.slippage == portfolio.slippage == Decimal("0.198")
    assert trade.profit == Decimal(-2) - Decimal("0.5148") - Decimal("0.198")
    assert (trade.entry_at, trade.exit_at) == (closed_at(1), closed_at(3))


def test_cost_of_a_position_shrinks_with_partial_exits() -> None:
    portfolio = Portfolio(Decimal(10_000))
    portfolio.apply(fill(Side.BUY, "3", "100", "0.78", "0.3", 1))
    assert portfolio.positions[BTC].cost == Decimal("301.08")
    portfolio.apply(fill(Side.SELL, "1", "100", "0.26", "0.1", 2))
    assert portfolio.positions[BTC].cost == Decimal("200.72")
    other = Portfolio(Decimal(1))
    other.restore(portfolio.state())
    assert other.positions == portfolio.positions


def test_m_f24_repeated_buys_keep_both_entries() -> None:
    portfolio = Portfolio(Decimal(10_000))
    portfolio.apply(fill(Side.BUY, "1", "100", number=1), leave_at=closed_at(5))
    portfolio.apply(fill(Side.BUY, "3", "120", number=2), leave_at=closed_at(8))
    held = portfolio.positions[BTC]
    assert (held.amount, held.entry, held.opened_at, held.leave_at) == (4, 115, closed_at(1), closed_at(5))
    trade = portfolio.apply(fill(Side.SELL, "4", "115", number=3))
    assert trade is not None
    assert (trade.profit, trade.id) == (0, "synthesized-1")


@pytest.mark.parametrize("held", ["0", "0.99999999"])
def test_m_f24_selling_more_than_is_held_breaks_a_promise(held: str) -> None:
    portfolio = Portfolio(Decimal(10_000))
    if Decimal(held):
        portfolio.apply(fill(Side.BUY, held, "100"))
    before = portfolio.state()
    with pytest.raises(InvariantError, match="more than is held"):
        portfolio.apply(fill(Side.SELL, "1", "100", number=2))
    after = portfolio.state()
    assert (after["cash"], after["lots"]) == (before["cash"], before["lots"])


def test_equity_needs_a_mark_for_what_is_held() -> None:
    portfolio = Portfolio(Decimal(1000))
    assert portfolio.equity({}) == 1000
    portfolio.apply(fill(Side.BUY, "2", "100"))
    assert portfolio.equity({BTC: Decimal("110.5")}) == Decimal(1021)
    with pytest.raises(KeyError):
        portfolio.equity({})


def test_state_goes_on_with_the_same_ids_and_figures() -> None:
    first = Portfolio(Decimal(1000))
    first.apply(fill(Side.BUY, "1", "100", number=1))
    first.apply(fill(Side.SELL, "1", "100", number=2))
    first.apply(fill(Side.BUY, "1", "50", number=3), leave_at=closed_at(7))
    second = Portfolio(Decimal(5))
    second.restore(first.state())
    assert second.state() == first.state()
    out = fill(Side.SELL, "1", "60", number=4)
    trade = second.apply(out)
    assert trade == first.apply(out)
    assert trade is not None
    assert trade.id == "synthesized-2"


def test_a_crumb_worth_less_than_a_money_step_closes_without_a_ratio() -> None:
    trade = round_trip("0.3", "0.3", amount="0.00000001")
    assert (trade.profit, trade.profit_ratio) == (0, 0)


def test_amounts_are_cut_never_rounded_up() -> None:
    assert floor_amount(Decimal("1.999999999"), 8) == Decimal("1.99999999")
    assert floor_amount(Decimal("0.000000009"), 8) == 0
    assert floor_amount(Decimal("7.9"), 0) == 7
    assert floor_amount(Decimal("1e25"), 8) == Decimal("1e25")  # more digits than the default context has


def test_prices_are_taken_by_their_shortest_decimal_form() -> None:
    assert money(0.1) == Decimal("0.1")
    assert money(1e-8) == Decimal("1e-8") == MONEY_STEP
