"""One account at work, bar by bar: money is kept to the last digit and nothing is traded twice."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from src.core import checkpoint
from src.core.errors import BrokerError, DataError
from src.core.types import Approved, CommandKind, Denied, Side, Slice
from tests.money import (
    ADA,
    BTC,
    ETH,
    HOUR,
    PAIRS,
    Walk,
    approve,
    closed_at,
    command,
    flat,
    idea,
    intent,
    order,
    snapshot,
)
from tests.worlds import settings

FLATTEN = command(CommandKind.FLATTEN)


def reasons(verdicts: Sequence[Approved | Denied]) -> list[str]:
    """Refusals by reason; an approved order says why it was wanted."""
    return [v.reason if isinstance(v, Denied) else v.order.reason for v in verdicts]


def seen(walk: Walk) -> list[tuple[str, int, Decimal]]:
    """Fills so far: reason, bar, price."""
    return [(f.reason, (f.at - closed_at(0)) // HOUR, f.price) for f in walk.fills]


def test_decided_at_a_close_filled_at_the_next_open() -> None:
    walk = Walk()
    assert reasons(walk({BTC: flat(100.0)}, [intent(horizon=2)])) == ["entry"]
    assert walk.fills == []
    walk({BTC: (101.0, 130.0, 100.0, 120.0, 1e6)})
    assert seen(walk) == [("entry", 1, Decimal("101.0"))]
    assert walk.fills[0].amount == Decimal(10)  # 1000 at the close of 100
    paid = Decimal("1010") + Decimal("2.626") + Decimal("1.01")
    assert walk.desk.portfolio.cash == 10_000 - paid
    assert walk.desk.equity == 10_000 - paid + 1200
    assert walk.desk.peak_equity == walk.desk.equity
    assert reasons(walk({BTC: flat(110.0)})) == ["horizon"]
    assert walk.desk.peak_equity - walk.desk.equity == 100
    walk({BTC: flat(105.0)})
    assert seen(walk)[-1] == ("horizon", 3, Decimal("105.0"))
    assert len(walk.trades) == 1


def test_an_opposite_idea_closes_at_the_next_open() -> None:
    walk = Walk()
    walk.hold()
    assert reasons(walk({BTC: flat(90.1)}, ideas=[idea(Side.SELL)])) == []  # the stop was faster, at the open
    assert seen(walk)[-1] == ("stop", 2, Decimal("90.1"))
    walk.hold()
    assert reasons(walk({BTC: flat(99.0)}, ideas=[idea(Side.SELL)])) == ["opposite_idea"]
    walk({BTC: flat(98.0)})
    assert seen(walk)[-1] == ("opposite_idea", 6, Decimal("98.0"))


def test_a_second_cycle_over_the_same_slice_changes_nothing() -> None:
    walk = Walk()
    walk.hold(horizon=1)
    at, closes = closed_at(walk.bar), {BTC: 100.0}
    again = walk.desk.decide([intent()], [idea(Side.SELL)], [FLATTEN], snapshot(at, closes), "", True)
    assert reasons(again) == ["position_open"]
    before = walk.desk.state()
    assert list(walk.desk.settle(Slice(at, None)).fills) == []
    assert walk.desk.state() == before


def test_m_f23_more_intents_while_an_entry_waits_are_refused() -> None:
    walk = Walk()
    assert reasons(walk({BTC: flat(100.0)}, [intent()] * 3)) == ["entry"]
    for _ in range(5):
        assert reasons(walk({ETH: flat(10.0)}, [intent()])) == ["stale_data"]
    walk({BTC: flat(100.0, 0.0)})
    assert reasons(walk({BTC: flat(100.0, 0.0)}, [intent()])) == ["order_open"]
    walk({BTC: flat(100.0)})
    assert [f.reason for f in walk.fills] == ["entry"]


def test_reserved_cash_counts_only_what_still_waits() -> None:
    walk = Walk(settings(account__entry_equity_ratio=0.6))
    walk({BTC: flat(100.0), ETH: flat(10.0)}, [intent()])
    assert reasons(walk({BTC: flat(100.0, 590.0), ETH: flat(10.0)}, [intent(ETH)])) == ["insufficient_cash"]
    (waiting, _) = walk.desk.broker.open_orders()
    assert waiting.amount == Decimal(1)  # 59 of 60 are bought and paid
    small = command(CommandKind.ORDER, ETH, Side.BUY, "380")  # 3800 of the 4078.76 left, 100 of them promised
    assert reasons(walk({ETH: flat(10.0)}, commands=[small])) == ["manual"]


def test_entries_of_one_slice_share_the_cash_and_the_places() -> None:
    walk = Walk(settings(account__entry_equity_ratio=0.5, risk__max_positions=2))
    bars = {pair: flat(10.0) for pair in PAIRS}
    assert reasons(walk(bars, [intent(BTC), intent(ETH), intent(ADA)])) == [
        "entry",
        "insufficient_cash",
        "insufficient_cash",
    ]
    walk = Walk(settings(account__entry_equity_ratio=0.1, risk__max_positions=2))
    assert reasons(walk(bars, [intent(BTC), intent(ETH), intent(ADA)])) == ["entry", "entry", "max_positions"]


def test_m_f21_a_halt_stops_entries_and_never_exits() -> None:
    walk = Walk()
    walk.hold(horizon=2)
    walk.halted = "maintenance"
    assert reasons(walk({BTC: flat(100.0), ETH: flat(10.0)}, [intent(ETH)])) == ["horizon", "halted"]
    walk({BTC: flat(100.0)})
    assert not walk.desk.portfolio.positions


def test_an_entry_that_was_sent_before_the_halt_still_fills() -> None:
    """Debatable but kept: a halt refuses new entries; flatten is the word that takes back what waits."""
    walk = Walk()
    walk({BTC: flat(100.0)}, [intent()])
    walk.halted = "maintenance"
    walk({BTC: flat(100.0)})
    assert BTC in walk.desk.portfolio.positions


def test_m_f21_the_drawdown_stops_entries_in_the_same_slice() -> None:
    walk = Walk(settings(account__entry_equity_ratio=0.98, account__stop_ratio=0.5, risk__max_drawdown_ratio=0.05))
    walk({BTC: flat(100.0)}, [intent()])
    walk({BTC: flat(99.0)})
    assert reasons(walk({BTC: flat(94.0), ETH: flat(1.0)}, [intent(ETH)])) == ["drawdown"]
    assert reasons(walk({BTC: flat(94.0)}, commands=[FLATTEN])) == ["flatten"]


def test_flatten_takes_back_entries_that_wait() -> None:
    walk = Walk()
    walk({BTC: flat(100.0), ETH: flat(10.0)}, [intent(BTC), intent(ETH)])
    walk({ETH: flat(10.0)}, commands=[FLATTEN])  # BTC had no bar: its entry would fill later
    assert [o.pair for o in walk.desk.broker.open_orders()] == [ETH, ETH]
    walk({BTC: flat(100.0), ETH: flat(10.0)})
    assert not walk.desk.portfolio.positions
    assert walk.desk.broker.open_orders() == []
    assert walk.desk.state()["deadlines"] == {}


def test_an_opposite_idea_or_the_horizon_takes_back_an_entry_that_waits() -> None:
    for later in ([idea(Side.SELL)], []):
        walk = Walk()
        walk({BTC: flat(100.0)}, [intent(horizon=3)])
        for _ in range(2):
            walk({ETH: flat(10.0)})
        assert [o.side for o in walk.desk.broker.open_orders()] == [Side.BUY]
        walk({ETH: flat(10.0)}, ideas=later)
        assert walk.desk.broker.open_orders() == []
        assert [o.state for o in walk.desk.broker.outcomes()] == ["open", "cancelled"]


def test_an_exit_takes_back_the_rest_of_an_entry() -> None:
    walk = Walk()
    walk({BTC: flat(100.0)}, [intent()])
    walk({BTC: flat(100.0, 50.0)}, ideas=[idea(Side.SELL)])
    walk({BTC: flat(100.0)})
    assert [(f.side, f.amount) for f in walk.fills] == [(Side.BUY, Decimal(5)), (Side.SELL, Decimal(5))]
    for _ in range(3):
        walk({BTC: flat(100.0)})
    assert not walk.desk.portfolio.positions
    assert walk.desk.broker.open_orders() == []


def test_flatten_closes_what_is_held_and_does_not_forbid_a_new_entry() -> None:
    """Debatable but kept: flatten is no halt. Another pair may be entered in the same slice, the same pair not."""
    walk = Walk()
    walk.hold()
    verdicts = walk({BTC: flat(100.0), ETH: flat(10.0)}, [intent(BTC), intent(ETH)], commands=[FLATTEN])
    assert [(v.order.pair, v.order.reason) for v in verdicts] == [(BTC, "flatten"), (ETH, "entry")]


def test_manual_orders_pass_the_same_gate() -> None:
    walk = Walk()
    sell = command(CommandKind.ORDER, BTC, Side.SELL, "1")
    assert reasons(walk({BTC: flat(100.0)}, commands=[sell])) == ["nothing_to_close"]
    buy = command(CommandKind.ORDER, BTC, Side.BUY, "2.5")
    assert reasons(walk({BTC: flat(100.0)}, commands=[buy])) == ["manual"]
    assert reasons(walk({BTC: flat(100.0)}, commands=[sell])) == ["manual"]
    walk({BTC: flat(100.0)})
    assert walk.desk.portfolio.positions[BTC].amount == Decimal("1.5")
    assert [o.amount for o in walk.desk.broker.open_orders()] == [Decimal("1.5")]  # the stop shrank along
    walk.halted = "why"
    assert reasons(walk({BTC: flat(100.0)}, commands=[command(CommandKind.ORDER, ETH, Side.BUY, "1")])) == [
        "bad_amount"
    ]
    huge = command(CommandKind.ORDER, BTC, Side.BUY, "9" * 18 + "." + "9" * 18)
    assert reasons(Walk()({BTC: flat(100.0)}, commands=[huge])) == ["insufficient_cash"]


def test_a_manual_amount_below_the_step_is_refused_and_blocks_nothing() -> None:
    walk = Walk()
    dust = command(CommandKind.ORDER, BTC, Side.BUY, "0.000000001")
    assert reasons(walk({BTC: flat(100.0)}, commands=[dust])) == ["bad_amount"]
    fine = command(CommandKind.ORDER, BTC, Side.BUY, "0.500000001")
    assert reasons(walk({BTC: flat(100.0)}, commands=[fine])) == ["manual"]
    walk({BTC: flat(100.0)})
    assert [o.kind for o in walk.desk.broker.open_orders()] == ["stop"]


def test_m_f38_a_pair_without_bars_keeps_its_mark_and_its_exit_waits() -> None:
    walk = Walk()
    walk.hold(horizon=3)
    before = walk.desk.equity
    for number in range(6):
        verdicts = walk({ETH: flat(10.0)})
        assert reasons(verdicts) == (["horizon"] if number == 1 else [])
        assert walk.desk.equity == before
    walk({BTC: flat(97.0)})
    assert seen(walk)[-1] == ("horizon", 8, Decimal("97.0"))
    assert walk.desk.equity == walk.desk.portfolio.cash


def test_m_f38_costs_of_both_sides_are_in_equity_when_they_are_paid() -> None:
    walk = Walk()
    walk.hold(horizon=2)
    assert walk.desk.equity == Decimal(10_000) - Decimal("3.6")
    walk({BTC: flat(100.0)})
    walk({BTC: flat(100.0)})
    assert walk.desk.equity == walk.desk.portfolio.cash == Decimal(10_000) - Decimal("7.2")


@pytest.mark.parametrize(("fee", "profit"), [(0.0026, "-7.2"), (0.0, "-2"), (0.01, "-22")])
def test_m_f19_the_fee_of_the_settings_changes_the_profit(fee: float, profit: str) -> None:
    walk = Walk(settings(costs__fee_ratio=fee))
    walk.hold(horizon=1)
    walk({BTC: flat(100.0)})
    assert [trade.profit for trade in walk.trades] == [Decimal(profit)]


def test_a_pair_that_never_had_a_price_is_refused() -> None:
    assert reasons(Walk()({BTC: flat(100.0)}, [intent(ADA)])) == ["bad_amount"]


def test_a_gap_up_beyond_the_cash_buys_what_can_be_paid() -> None:
    walk = Walk(settings(account__entry_equity_ratio=0.99))
    walk({BTC: flat(100.0)}, [intent()])
    walk({BTC: flat(300.0)})
    assert 0 <= walk.desk.portfolio.cash < Decimal("0.001")
    assert walk.fills[0].final


@pytest.mark.parametrize("close", [0.0, -3.0, float("nan"), float("inf")])
def test_a_close_that_is_no_price_marks_nothing(close: float) -> None:
    walk = Walk()
    walk.hold()
    before = walk.desk.state()
    with pytest.raises(
        DataError, match=f"bar of BTC/USDT opened at 2021-01-01T02:00:00.000Z: close {close} is no price"
    ):
        walk({BTC: (100.0, 100.0, 100.0, close, 1e6)})
    assert walk.desk.state()["equity"] == before["equity"]


def test_an_order_that_was_not_taken_leaves_no_trace() -> None:
    walk = Walk()
    tree = settings()
    wanted = approve(order(leave_at=closed_at(5)), tree)
    walk.desk.send(wanted)
    before = walk.desk.state()
    dust = approve(order(amount="0.000000001", name="dust", leave_at=closed_at(9)), tree)
    with pytest.raises(BrokerError):
        walk.desk.send(dust)
    assert walk.desk.state() == before


def test_peak_and_horizon_survive_a_restart() -> None:
    walk, fresh = Walk(), Walk()
    walk.hold()
    walk({BTC: flat(140.0), ETH: flat(10.0)}, [intent(ETH, horizon=2)])
    walk({BTC: flat(120.0)})  # ETH waits, its horizon is known to nobody but the desk
    fresh.desk.restore(checkpoint.load(checkpoint.dump(walk.desk.state())))
    fresh.desk.broker.restore(checkpoint.load(checkpoint.dump(walk.desk.broker.state())))
    fresh.bar, fresh.closes = walk.bar, walk.closes
    assert fresh.desk.peak_equity == walk.desk.peak_equity == walk.desk.equity + 200
    fresh({BTC: flat(120.0), ETH: flat(10.0)})
    assert fresh.desk.portfolio.positions[ETH].leave_at == closed_at(4)
