"""First in, first out on a tape whose every lot can be worked out by hand, and sums that hold for any tape."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.portfolio import Portfolio
from src.core.types import Fill, OrderId, Pair, Side
from src.services.tax_lots import cash_of, disposals

BTC = Pair("BTC/USD")
ETH = Pair("ETH/USD")


def fill(
    number: int, side: Side, amount: str, price: str, fee: str = "0", slippage: str = "0", pair: Pair = BTC
) -> Fill:
    """Fill `number`, at that many seconds."""
    money = (Decimal(value) for value in (amount, price, fee, slippage))
    return Fill(f"f{number}", OrderId(f"o{number}"), pair, side, *money, at=number * 1000, reason="test")


TAPE = [
    fill(1, Side.BUY, "2", "100", "0.52", "0.20"),  # costs 200.72
    fill(2, Side.BUY, "1", "130", "0.30"),  # costs 130.30
    fill(3, Side.BUY, "5", "10", pair=ETH),
    fill(4, Side.SELL, "0.5", "120", "0.10"),  # brings 59.90
    fill(5, Side.SELL, "2", "150", "0.60", "0.40"),  # brings 299.00
    fill(6, Side.SELL, "0.5", "90"),  # brings 45.00
]


def test_a_tape_by_hand() -> None:
    found = disposals(TAPE)
    assert [(one.fill, one.lot, str(one.amount), str(one.proceeds), str(one.cost), str(one.gain)) for one in found] == [
        # A quarter of the first lot.
        ("f4", "f1", "0.5", "59.90000000", "50.18000000", "9.72000000"),
        # The other 1.5 of it and half of the second: three quarters and a quarter of what the sale brought.
        ("f5", "f1", "1.5", "224.25000000", "150.54000000", "73.71000000"),
        ("f5", "f2", "0.5", "74.75000000", "65.15000000", "9.60000000"),
        ("f6", "f2", "0.5", "45.00000000", "65.15000000", "-20.15000000"),
    ]
    assert [(one.at, one.acquired) for one in found] == [(4000, 1000), (5000, 1000), (5000, 2000), (6000, 2000)]


def test_what_was_never_bought_has_no_cost() -> None:
    first, second = disposals([fill(1, Side.BUY, "1", "10"), fill(2, Side.SELL, "3", "20", "0.3")])
    assert (first.amount, first.proceeds, first.gain) == (1, Decimal("19.90000000"), Decimal("9.90000000"))
    assert (second.amount, second.proceeds) == (2, Decimal("39.80000000"))
    assert (second.acquired, second.cost, second.gain, second.lot) == (None, None, None, None)


def test_thirds_add_up_to_the_last_digit() -> None:
    found = disposals([fill(1, Side.BUY, "3", "33.33333333"), *(fill(n, Side.SELL, "1", "0.1") for n in (2, 3, 4))])
    assert sum(one.cost for one in found if one.cost is not None) == Decimal("99.99999999")
    assert disposals([]) == []


AMOUNTS = st.decimals("0.00000001", "99", places=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), AMOUNTS, AMOUNTS, st.decimals("0", "1", places=8)), max_size=14))
def test_gains_are_what_the_account_gained(tape: list[tuple[bool, Decimal, Decimal, Decimal]]) -> None:
    """After everything is sold, the gains of all lots are the profit of the account, whatever the order of lots."""
    account, fills = Portfolio(Decimal(1_000_000)), []
    for number, (buys, amount, price, fee) in enumerate(tape):
        held = account.positions[BTC].amount if BTC in account.positions else Decimal(0)
        side = Side.BUY if buys or held == 0 else Side.SELL
        size = amount if side is Side.BUY else min(amount, held)
        fills.append(fill(number, side, str(size), str(price), str(fee)))
        account.apply(fills[-1])
    if BTC in account.positions:
        fills.append(fill(99, Side.SELL, str(account.positions[BTC].amount), "7"))
        account.apply(fills[-1])
    found = disposals(fills)
    assert sum((one.gain for one in found if one.gain is not None), Decimal(0)) == account.cash - account.start
    assert sum(map(cash_of, fills), Decimal(0)) == account.cash - account.start
    assert all(one.cost is not None for one in found)
