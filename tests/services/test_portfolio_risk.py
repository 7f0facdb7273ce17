"""Exposure, concentration, correlation, drawdown, tail losses; exits together, and the fewest orders to a target."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.backtesting.evidence.var_exceptions import value_at_risk as examined
from src.core.checkpoint import dump, load
from src.core.errors import DataError
from src.core.types import FloatArray, Pair, Side
from src.services import portfolio_risk as risk
from src.services.portfolio_risk import Move, ReturnWindow
from tests.money import ADA, BTC, ETH, PAIRS

D = Decimal
OFTEN = settings(max_examples=150, deadline=None)


def test_exposure_and_concentration() -> None:
    values = {BTC: D(600), ETH: D(-200), ADA: D(200)}
    assert risk.exposure(values, D(2000)) == D("0.5")
    assert risk.concentration(values) == D("0.44")
    assert (risk.exposure({}, D(1)), risk.concentration({})) == (0, None)
    with pytest.raises(DataError, match="equity 0"):
        risk.exposure(values, D(0))


def test_drawdown() -> None:
    assert [risk.drawdown(D(e), D(p)) for e, p in ((95, 100), (100, 100), (101, 100), (5, 0))] == [D("0.05"), 0, 0, 0]


RETURNS = np.array([-0.05, 0.02, -0.01, 0.03, -0.02, 0.01, 0.0, 0.04, -0.04, 0.05])


@pytest.mark.parametrize(
    ("tail", "var", "cvar"),
    [(0.05, 0.05, 0.05), (0.1, 0.05, 0.05), (0.11, 0.04, 0.045), (0.2, 0.04, 0.045), (0.3, 0.02, 0.11 / 3),
     (0.5, 0.0, 0.12 / 5), (0.99, -0.05, -0.003)],
)  # fmt: skip
def test_tail_losses_by_hand(tail: float, var: float, cvar: float) -> None:
    assert risk.value_at_risk(RETURNS, tail) == var
    assert risk.expected_shortfall(RETURNS, tail) == pytest.approx(cvar, abs=1e-15)
    assert examined(RETURNS, tail) == var, "one definition, there and here"


def test_tail_losses_of_nothing_and_of_what_is_not_known() -> None:
    empty = np.empty(0)
    assert (risk.value_at_risk(empty, 0.05), risk.expected_shortfall(empty, 0.05)) == (None, None)
    with pytest.raises(DataError, match="not finite"):
        risk.value_at_risk(np.array([0.1, np.nan]), 0.05)


@OFTEN
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_the_shortfall_is_never_below_the_value_at_risk(numbers: list[int], tail: float) -> None:
    returns = np.array(numbers) / 1000.0
    var, cvar = risk.value_at_risk(returns, tail), risk.expected_shortfall(returns, tail)
    assert var is not None
    assert cvar is not None
    assert cvar >= var - 1e-12
    assert np.count_nonzero(returns < -var) <= tail * len(returns)


def window(closes: FloatArray, pairs: tuple[Pair, ...] = PAIRS, kept: int = 96) -> ReturnWindow:
    found = ReturnWindow(kept)
    for at, row in enumerate(closes):
        found.push(pairs, row, at)
    return found


def prices(seed: int = 3, rows: int = 60) -> FloatArray:
    random = np.random.Generator(np.random.PCG64(seed))
    common = random.normal(scale=0.01, size=rows)
    own = random.normal(scale=0.01, size=(rows, 3))
    moves = np.stack([common, common + 0.1 * own[:, 1], own[:, 2]], axis=1)
    return 100.0 * np.exp(np.cumsum(moves, axis=0))


def test_correlations_are_those_of_numpy() -> None:
    returns = window(prices()).returns(PAIRS)
    assert returns.shape == (59, 3)
    np.testing.assert_allclose(risk.correlations(returns, 24), np.corrcoef(returns.T), atol=1e-12)


def test_rows_that_are_not_known_are_left_out_of_a_correlation() -> None:
    closes = prices()
    closes[20:30, 0] = np.nan
    returns = window(closes).returns(PAIRS)
    both = np.isfinite(returns[:, 0])
    assert both.sum() == 59 - 11
    expected = np.corrcoef(returns[both][:, :2].T)[0, 1]
    assert risk.correlations(returns, 24)[0, 1] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(risk.correlations(returns, 49)[0, 1])
    still = np.ones((30, 2))
    assert np.isnan(risk.correlations(still, 2)).all()


def test_crowds() -> None:
    seen = window(prices())
    assert risk.crowds_of(seen, list(PAIRS), 0.8, 24) == [(BTC, ETH)]
    assert risk.crowds_of(seen, list(PAIRS), 0.8, 60) == []
    assert risk.crowds_of(seen, [BTC], 0.8, 24) == []
    assert risk.crowds_of(seen, list(PAIRS), -1.0, 24) == [PAIRS]


def test_the_window_is_bounded_and_survives_a_restart() -> None:
    closes = prices()
    short = window(closes, kept=10)
    np.testing.assert_array_equal(short.returns([ETH]), closes[-10:, [1]] / closes[-11:-1, [1]] - 1.0)
    again = ReturnWindow(10)
    again.restore(load(dump(short.state())))
    for one in (short, again):
        one.push(PAIRS, closes[0], 1000)
        one.push(PAIRS, closes[1], 1000)  # the same instant
    np.testing.assert_array_equal(short.returns(PAIRS), again.returns(PAIRS))
    short.push((BTC,), closes[0, :1], 1001)
    assert short.returns([BTC]).shape == (0, 1)


def test_the_figures_of_a_portfolio() -> None:
    seen = window(prices())
    values = {BTC: D(3000), ETH: D(1000)}
    found = risk.figures(values, D(10000), D(12500), seen, 0.05, 24)
    assert (found.exposure_ratio, found.concentration, found.largest_ratio) == (D("0.4"), D("0.625"), D("0.3"))
    assert found.drawdown_ratio == D("0.2")
    mixed = seen.returns([BTC, ETH]) @ np.array([0.3, 0.1])
    assert found.value_at_risk == pytest.approx(examined(mixed, 0.05))
    assert found.expected_shortfall == pytest.approx(-np.sort(mixed)[:3].mean())
    assert found.mean_correlation == pytest.approx(np.corrcoef(seen.returns([BTC, ETH]).T)[0, 1])
    nothing = risk.figures({}, D(10000), D(10000), seen, 0.05, 24)
    assert (nothing.exposure_ratio, nothing.value_at_risk, nothing.mean_correlation) == (0, None, None)


# --- exits together ---------------------------------------------------------------------------------------------------


def test_as_few_positions_leave_as_free_enough_the_worst_of_those_that_would_do() -> None:
    values, gains = {BTC: D(500), ETH: D(300), ADA: D(200)}, {BTC: D("1.2"), ETH: D("0.9"), ADA: D("0.5")}
    assert [one.pair for one in risk.coordinated_exits(values, gains, "why", D(200))] == [ADA]
    assert [one.pair for one in risk.coordinated_exits(values, gains, "why", D(250))] == [ETH]
    assert [one.pair for one in risk.coordinated_exits(values, gains, "why", D(600))] == [ADA, BTC]
    assert [one.pair for one in risk.coordinated_exits(values, gains, "why", D(5000))] == [ADA, ETH, BTC]
    assert risk.coordinated_exits(values, gains, "why", D(0)) == []
    assert {one.reason for one in risk.coordinated_exits(values, gains, "why", D(5000))} == {"why"}


HOLDINGS = st.dictionaries(st.sampled_from([Pair(f"{n}/USD") for n in "ABCDE"]), st.integers(1, 100), min_size=1)


@OFTEN
@given(HOLDINGS, st.integers(1, 300))
def test_no_smaller_set_of_exits_would_do(worth: dict[Pair, int], excess: int) -> None:
    values = {pair: D(value) for pair, value in worth.items()}
    found = risk.coordinated_exits(values, dict.fromkeys(values, D(1)), "", D(excess))
    if sum(worth.values()) < excess:
        assert len(found) == len(worth)
        return
    assert sum(one.value for one in found) >= excess
    assert all(sum(some) < excess for some in combinations(worth.values(), len(found) - 1))


# --- to a target ------------------------------------------------------------------------------------------------------


def test_only_what_is_outside_its_band_is_traded_and_sells_come_first() -> None:
    values = {BTC: D(2000), ETH: D(1040), ADA: D(100)}
    moves = risk.rebalance(values, dict.fromkeys(PAIRS, D("0.1")), D(6860), D("0.1"))
    assert moves == [Move(BTC, Side.SELL, D(1000)), Move(ADA, Side.BUY, D(900))]
    assert risk.rebalance(values, dict.fromkeys(PAIRS, D("0.1")), D(6860), D("10")) == []


def test_what_has_no_target_goes_and_buys_are_cut_to_the_cash() -> None:
    moves = risk.rebalance({BTC: D(400)}, {ETH: D("0.6"), ADA: D("0.6")}, D(0), D("0.1"), D("0.0036"))
    assert moves[0] == Move(BTC, Side.SELL, D(400))
    spent = sum(move.value for move in moves[1:]) * D("1.0036")
    assert round(spent, 12) == round(400 * D("0.9964"), 12)
    assert moves[1].value == moves[2].value
    assert risk.rebalance({}, {ETH: D("0.6")}, D(0), D("0.1")) == []


@OFTEN
@example({Pair(n): 1 for n in "ABCD"}, {Pair(n): 1 for n in "ABCDE"}, 0, "0.5")  # nothing buys what is missing
@given(HOLDINGS, HOLDINGS, st.integers(0, 200), st.sampled_from(["0", "0.1", "0.5"]))
def test_each_share_ends_in_its_band_and_no_order_could_be_left_out(
    worth: dict[Pair, int], weights: dict[Pair, int], cash: int, width: str
) -> None:
    values, band = {pair: D(value) for pair, value in worth.items()}, D(width)
    total = D(sum(weights.values()))
    targets = {pair: D(weight) / total * D("0.9") for pair, weight in weights.items()}
    moves = risk.rebalance(values, targets, D(cash), band)
    equity = D(cash) + sum(values.values(), D(0))
    assert len({move.pair for move in moves}) == len(moves)
    after = dict(values)
    for move in moves:
        change = move.value if move.side is Side.BUY else -move.value
        after[move.pair] = after.get(move.pair, D(0)) + change
    bought = [move for move in moves if move.side is Side.BUY]
    spendable = D(cash) + sum(move.value for move in moves if move.side is Side.SELL)
    cut = spendable == 0 or any(abs(after[m.pair] - targets[m.pair] * equity) > D("1e-12") for m in bought)
    for pair in {*values, *targets}:
        target = targets.get(pair, D(0)) * equity
        assert cut or abs(after.get(pair, D(0)) - target) <= band * target + D("1e-12")
    for move in moves:  # without it, its share would stay outside
        target = targets.get(move.pair, D(0)) * equity
        assert abs(values.get(move.pair, D(0)) - target) > band * target
    assert sum(after.values()) <= equity + D("1e-12")
