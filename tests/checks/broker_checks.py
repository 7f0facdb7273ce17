"""What every broker promises, as checks that each implementation passes by being registered.

`make` gives a broker that trades at known prices: after `submit`, `advance(price)` lets one more bar pass that opens,
stands and closes at `price`, and returns what became known with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Protocol

import pytest

from src.core.errors import BrokerError
from src.core.ports import Broker
from src.core.types import Approved, Fill, Side
from tests.money import BTC


class Stage(Protocol):
    """A broker and the market it stands in."""

    broker: Broker

    def send(self, side: Side, amount: str, name: str, stop: str | None = None) -> Approved:
        """Submit a market order that the gate approved, decided now."""
        ...

    def advance(self, price: float) -> Sequence[Fill]:
        """One more bar; a price of zero means that there was none."""
        ...


Make = Callable[[], Stage]


def check_nothing_asked_nothing_done(make: Make) -> None:
    """A broker trades only what was sent."""
    stage = make()
    assert list(stage.advance(100.0)) == []
    assert list(stage.broker.open_orders()) == []
    assert list(stage.broker.cancel(BTC)) == []
    assert list(stage.broker.outcomes()) == []


def check_order_becomes_known_then_filled(make: Make) -> None:
    """An order rests until the market moves on, then it is filled once, in full, and is gone."""
    stage = make()
    stage.send(Side.BUY, "1", "one")
    assert [(o.id, o.amount) for o in stage.broker.open_orders()] == [("one", Decimal(1))]
    assert [outcome.state for outcome in stage.broker.outcomes()] == ["open"]
    fills = stage.advance(101.0)
    assert [(f.order_id, f.side, f.amount, f.price, f.final) for f in fills] == [
        ("one", Side.BUY, Decimal(1), Decimal("101.0"), True)
    ]
    assert list(stage.broker.open_orders()) == []
    assert list(stage.advance(101.0)) == []


def check_fees_are_on_the_own_notional(make: Make) -> None:
    """Fee and slippage are booked in quote currency, each on the notional of its side."""
    stage = make()
    stage.send(Side.BUY, "2", "in")
    (bought,) = stage.advance(100.0)
    stage.send(Side.SELL, "2", "out")
    (sold,) = stage.advance(110.0)
    assert (bought.notional, bought.fee, bought.slippage) == (Decimal(200), Decimal("0.52"), Decimal("0.2"))
    assert (sold.notional, sold.fee, sold.slippage) == (Decimal(220), Decimal("0.572"), Decimal("0.22"))


def check_same_id_is_executed_at_most_once(make: Make) -> None:
    """A client id makes sending repeatable: the second time is refused or ignored, never filled."""
    stage = make()
    approved = stage.send(Side.BUY, "1", "same")
    with suppress(BrokerError):
        stage.broker.submit(approved)
    assert sum(f.amount for f in stage.advance(100.0)) == 1
    assert list(stage.advance(100.0)) == []


def check_dust_is_refused(make: Make) -> None:
    """An amount below the step never waits for a fill that cannot come."""
    stage = make()
    with pytest.raises(BrokerError, match="below the step"):
        stage.send(Side.BUY, "0.000000000000000001", "dust")
    assert list(stage.broker.open_orders()) == []


def check_digits_below_the_step_do_not_keep_an_order_open(make: Make) -> None:
    """What cannot be traded of an amount is cut, and the order ends with its last fill."""
    stage = make()
    stage.send(Side.BUY, "1.000000009999", "cut")
    (only,) = stage.advance(100.0)
    assert (only.amount, only.final) == (Decimal("1.00000000"), True)
    assert list(stage.broker.open_orders()) == []


def check_stop_rests_with_the_entry(make: Make) -> None:
    """The protective stop is among the open orders as soon as the entry is filled, and it sells what was bought."""
    stage = make()
    stage.send(Side.BUY, "1", "in", stop="0.05")
    stage.advance(100.0)
    (stop,) = stage.broker.open_orders()
    assert (stop.side, stop.amount, stop.kind) == (Side.SELL, Decimal(1), "stop")
    (sold,) = stage.advance(90.0)
    assert (sold.reason, sold.price, sold.amount) == ("stop", Decimal("90.0"), Decimal(1))
    assert list(stage.broker.open_orders()) == []


def check_cancel_takes_everything_of_a_pair(make: Make) -> None:
    """Cancelled orders are named once and never filled afterwards."""
    stage = make()
    stage.send(Side.BUY, "1", "in", stop="0.05")
    stage.advance(100.0)
    stage.send(Side.SELL, "1", "out")
    stage.broker.outcomes()
    assert sorted(o.reason for o in stage.broker.cancel(BTC)) == ["exit", "stop"]
    assert [outcome.state for outcome in stage.broker.outcomes()] == ["cancelled", "cancelled"]
    assert list(stage.broker.cancel(BTC)) == []
    assert list(stage.advance(50.0)) == []


def check_more_than_held_is_never_sold(make: Make) -> None:
    """Long or flat: a sell is cut to the holding."""
    stage = make()
    stage.send(Side.BUY, "1", "in")
    stage.advance(100.0)
    stage.send(Side.SELL, "5", "out")
    stage.send(Side.SELL, "5", "again")
    assert sum(f.amount for f in stage.advance(100.0)) == 1
    assert list(stage.broker.open_orders()) == []


def check_state_goes_on(make: Make) -> None:
    """A restored broker fills what the first one would have filled."""
    first, second = make(), make()
    first.send(Side.BUY, "1", "in", stop="0.05")
    first.advance(100.0)
    first.send(Side.SELL, "0.4", "out")
    second.advance(100.0)
    second.broker.restore(first.broker.state())
    assert list(second.broker.open_orders()) == list(first.broker.open_orders())
    for price in (100.0, 0.0, 94.0):
        assert list(second.advance(price)) == list(first.advance(price))
    assert second.broker.state() == first.broker.state()


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
