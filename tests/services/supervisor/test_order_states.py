"""Which steps an order may take: every other one stops the run."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest

from src.core.errors import InvariantError
from src.core.types import Approved
from src.core.venue import ClientId
from src.services.supervisor.order_records import Accepted, Intended, Moved
from src.services.supervisor.order_states import DONE, GONE, IN_FLIGHT, LEGAL, WORKING, Progress, Tracked, check_step
from src.services.supervisor.register import Register
from tests.services.supervisor.world import START, order

STEPS = {
    "new": "intent rejected",
    "intent": "sent unknown acked rejected partial filled cancelled expired",
    "sent": "unknown acked rejected partial filled cancelled expired",
    "unknown": "acked rejected absent partial filled cancelled expired",
    "acked": "partial filled cancelled expired",
    "partial": "filled cancelled expired",
    "filled": "",
    "cancelled": "filled",
    "expired": "filled",
    "rejected": "acked",
    "absent": "acked",
}


def tracked(progress: Progress) -> Tracked:
    return Tracked(ClientId("c"), Approved(order("o"), START), Decimal(1), START, START, progress)


@pytest.mark.parametrize(("before", "after"), list(product(Progress, Progress)))
def test_a_step_is_legal_or_stops_the_run(before: Progress, after: Progress) -> None:
    if after in STEPS[before].split():
        check_step(tracked(before), before, after)
    else:
        with pytest.raises(InvariantError, match=f"order o stands at {before}: no step leads from {before} to {after}"):
            check_step(tracked(before), before, after)


def test_the_groups_are_all_states_once() -> None:
    groups = [*IN_FLIGHT, *WORKING, *DONE, *GONE, Progress.NEW]
    assert sorted(groups) == sorted(Progress) == sorted(LEGAL)


def test_a_step_from_where_an_order_does_not_stand_stops_the_run() -> None:
    with pytest.raises(InvariantError, match="stands at sent"):
        check_step(tracked(Progress.SENT), Progress.ACKED, Progress.FILLED)


def register() -> Register:
    one = Register()
    one.apply(Accepted(START, ClientId("c"), Approved(order("o"), START)))
    return one


def test_an_order_is_accepted_and_intended_once_with_a_rising_fence() -> None:
    one = register()
    with pytest.raises(InvariantError, match="accepted already"):
        one.apply(Accepted(START, ClientId("c"), Approved(order("o"), START)))
    one.apply(Intended(START, ClientId("c"), 1, Decimal(1), START + 1))
    with pytest.raises(InvariantError, match="the fence 1 is behind"):
        one.apply(Intended(START, ClientId("c"), 1, Decimal(1), START + 1))
    with pytest.raises(InvariantError, match="no step leads from new to intent"):
        one.apply(Intended(START, ClientId("c"), 2, Decimal(1), START + 1))


def test_records_about_orders_that_do_not_exist_stop_the_run() -> None:
    with pytest.raises(InvariantError, match="there is no order d"):
        register().apply(Moved(START, ClientId("d"), Progress.NEW, Progress.REJECTED))
