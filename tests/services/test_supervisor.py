"""The supervisor's plan: what leaves, why and when; what enters, with which size; nothing twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import uuid5

import msgspec
import pytest

from src.core.ports import SpineState
from src.core.types import CommandKind, Idea, Order, OrderKind, Pair, Position, Side
from src.services.supervisor import FixedSupervisor
from src.services.supervisor.exits import exit_reason, horizon_passed, opposed
from tests.money import ADA, BTC, ETH, HOUR, NAMESPACE, command, idea, intent, order, position, snapshot
from tests.money import closed_at as at
from tests.worlds import settings

TREE = settings()
SUPERVISOR = FixedSupervisor(TREE.account, NAMESPACE)
CLOSES = {BTC: 100.0, ETH: 33.0}


def state(
    held: Mapping[Pair, Position] | None = None, waiting: Sequence[Order] = (), equity: str = "10000", now: int = at(0)
) -> SpineState:
    """An account at the close of a bar. ADA never had a price."""
    money = Decimal(equity)
    return SpineState(snapshot(now, CLOSES), held or {}, list(waiting), money, money, money, "", True, Decimal(0))


HELD = {BTC: position(BTC, Decimal(3), leave_at=at(6))}


def test_nothing_wanted_nothing_planned() -> None:
    assert list(SUPERVISOR.plan((), (), (), state())) == []
    assert list(SUPERVISOR.plan((), [idea(Side.BUY)], (), state())) == []
    assert list(SUPERVISOR.plan((), [idea(Side.SELL)], (), state())) == []
    assert list(SUPERVISOR.plan((), (), (), state(HELD))) == []


def test_an_entry_takes_its_share_of_equity_with_stop_and_horizon() -> None:
    (entry,) = SUPERVISOR.plan([intent(ETH, horizon=6)], (), (), state(equity="9999.99"))
    assert (entry.pair, entry.side, entry.kind, entry.reason) == (ETH, Side.BUY, OrderKind.MARKET, "entry")
    assert entry.amount == Decimal("30.30300000")  # 999.999 / 33, cut to eight decimals
    assert (entry.reference, entry.stop, entry.leave_at) == (33, Decimal("0.05"), at(0) + 6 * HOUR)
    assert entry.id == str(uuid5(NAMESPACE, f"{at(0)}|{ETH}|buy"))


def test_an_intent_without_horizon_has_no_time_limit() -> None:
    (entry,) = SUPERVISOR.plan([intent()], (), (), state())
    assert entry.leave_at is None


def test_a_sell_intent_is_no_entry() -> None:
    sell = msgspec.structs.replace(intent(), side=Side.SELL)
    assert list(SUPERVISOR.plan([sell], (), (), state())) == []


def test_a_pair_without_a_price_gets_an_amount_of_zero_for_the_gate_to_refuse() -> None:
    (entry,) = SUPERVISOR.plan([intent(ADA)], (), (), state())
    assert (entry.amount, entry.reference) == (0, 0)


@pytest.mark.parametrize(("now", "leaves"), [(at(5), False), (at(6) - 1, False), (at(6), True), (at(40), True)])
def test_the_horizon_ends_a_position_and_not_before(now: int, leaves: bool) -> None:
    orders = SUPERVISOR.plan((), (), (), state(HELD, now=now))
    assert [(o.side, o.amount, o.reason, o.stop) for o in orders] == (
        [(Side.SELL, Decimal(3), "horizon", None)] if leaves else []
    )


def test_an_opposite_idea_of_any_stream_ends_a_position() -> None:
    (leave,) = SUPERVISOR.plan((), [idea(Side.SELL)], (), state(HELD))
    assert (leave.side, leave.amount, leave.reason) == (Side.SELL, Decimal(3), "opposite_idea")
    assert list(SUPERVISOR.plan((), [idea(Side.SELL, ETH)], (), state(HELD))) == []
    assert list(SUPERVISOR.plan((), [idea(Side.BUY)], (), state(HELD))) == []


def test_the_first_reason_counts() -> None:
    now, sell = at(6), [idea(Side.SELL)]
    assert exit_reason(HELD[BTC], opposed(sell), now, {BTC}) == "flatten"
    assert exit_reason(HELD[BTC], opposed(sell), now, {ETH}) == "opposite_idea"
    assert exit_reason(HELD[BTC], set(), now, set()) == "horizon"
    assert exit_reason(HELD[BTC], set(), now - 1, set()) == ""
    assert not horizon_passed(position(), 10**15)
    assert opposed([]) == set()


@pytest.mark.parametrize(
    ("pair", "left"), [(None, [BTC, ETH]), (BTC, [BTC]), (ETH, [ETH]), (ADA, [])], ids=["all", "one", "other", "none"]
)
def test_flatten_sells_what_was_named(pair: Pair | None, left: list[Pair]) -> None:
    held = {ETH: position(ETH), BTC: position(BTC)}
    orders = SUPERVISOR.plan((), (), [command(CommandKind.FLATTEN, pair)], state(held))
    assert [(o.pair, o.reason, o.amount) for o in orders] == [(name, "flatten", Decimal(1)) for name in left]


def test_a_manual_order_has_the_stop_of_an_entry_and_no_horizon() -> None:
    buy = command(CommandKind.ORDER, ETH, Side.BUY, "0.5")
    (entry,) = SUPERVISOR.plan((), (), [buy], state())
    assert (entry.amount, entry.reason, entry.stop, entry.leave_at) == (Decimal("0.5"), "manual", Decimal("0.05"), None)
    sell = command(CommandKind.ORDER, BTC, Side.SELL, "1")
    (part,) = SUPERVISOR.plan((), (), [sell], state(HELD))
    assert (part.side, part.amount, part.stop) == (Side.SELL, Decimal(1), None)


def test_a_manual_amount_is_cut_to_the_step() -> None:
    orders = SUPERVISOR.plan((), (), [command(CommandKind.ORDER, ETH, Side.BUY, "0.123456789012345678")], state())
    assert [o.amount for o in orders] == [Decimal("0.12345678")]
    orders = SUPERVISOR.plan((), (), [command(CommandKind.ORDER, ETH, Side.BUY, "0.000000001")], state())
    assert [o.amount for o in orders] == [Decimal(0)]  # the gate says bad_amount


@pytest.mark.parametrize(("pair", "side", "amount"), [(None, Side.BUY, "1"), (BTC, None, "1"), (BTC, Side.BUY, None)])
def test_an_order_command_without_its_fields_asks_for_nothing(
    pair: Pair | None, side: Side | None, amount: str | None
) -> None:
    assert list(SUPERVISOR.plan((), (), [command(CommandKind.ORDER, pair, side, amount)], state())) == []


def test_one_plan_a_symbol_exits_first() -> None:
    """A manual order for a pair that leaves in the same slice is dropped: an exit of the whole comes first."""
    commands = [command(CommandKind.ORDER, BTC, Side.SELL, "1"), command(CommandKind.ORDER, ETH, Side.BUY, "1")]
    orders = SUPERVISOR.plan([intent(ETH), intent(BTC)], [idea(Side.SELL)], commands, state(HELD))
    assert [(o.pair, o.side, o.reason) for o in orders] == [
        (BTC, Side.SELL, "opposite_idea"),
        (ETH, Side.BUY, "manual"),
    ]


def test_m_f23_a_storm_of_intents_is_one_order() -> None:
    orders = SUPERVISOR.plan([intent()] * 50, [idea(Side.BUY)] * 50, (), state())
    assert len(orders) == 1


def test_a_position_on_its_way_out_is_not_sold_twice() -> None:
    leaving = order(Side.SELL, "3")
    for commands in ((), [command(CommandKind.FLATTEN)]):
        assert list(SUPERVISOR.plan((), [idea(Side.SELL)], commands, state(HELD, [leaving], now=at(9)))) == []


def test_what_a_partial_sell_leaves_still_leaves() -> None:
    part = order(Side.SELL, "1")
    (rest,) = SUPERVISOR.plan((), [idea(Side.SELL)], (), state(HELD, [part]))
    assert rest.amount == Decimal(2)


def test_a_resting_stop_does_not_keep_a_position() -> None:
    stop = msgspec.structs.replace(order(Side.SELL, "3"), kind=OrderKind.STOP)
    (leave,) = SUPERVISOR.plan((), [idea(Side.SELL)], (), state(HELD, [stop]))
    assert leave.amount == Decimal(3)


def test_ids_are_the_same_in_every_run_and_differ_in_slice_pair_and_side() -> None:
    def ids(supervisor: FixedSupervisor, now: int) -> list[str]:
        commands = [command(CommandKind.ORDER, BTC, Side.SELL, "1")]
        return [o.id for o in supervisor.plan([intent(ETH), intent(ADA)], (), commands, state(HELD, now=now))]

    first = ids(SUPERVISOR, at(0))
    assert ids(FixedSupervisor(TREE.account, NAMESPACE), at(0)) == first
    other = FixedSupervisor(TREE.account, uuid5(NAMESPACE, "other"))
    everything = [*first, *ids(SUPERVISOR, at(1)), *ids(other, at(0))]
    assert len(everything) == len(set(everything)) == 9


ENTRY = order(leave_at=at(3))
FLATTEN = CommandKind.FLATTEN


@pytest.mark.parametrize(
    ("ideas", "commands", "now", "moot"),
    [
        ([], [], at(2), False),
        ([], [], at(3), True),
        ([idea(Side.SELL)], [], at(1), True),
        ([idea(Side.BUY), idea(Side.SELL, ETH)], [], at(1), False),
        ([], [command(FLATTEN)], at(1), True),
        ([], [command(FLATTEN, BTC)], at(1), True),
        ([], [command(FLATTEN, ETH)], at(1), False),
        ([], [command(CommandKind.HALT)], at(1), False),
    ],
)
def test_an_entry_that_waited_too_long_is_moot(ideas: list[Idea], commands: list, now: int, moot: bool) -> None:
    seen = state(waiting=[ENTRY], now=now)
    assert list(SUPERVISOR.moot(ideas, commands, seen)) == ([BTC] if moot else [])


def test_nothing_is_moot_for_a_pair_that_is_held() -> None:
    """Its exit sells what is there, and a sell withdraws what still waits to be bought."""
    assert list(SUPERVISOR.moot([idea(Side.SELL)], (), state(HELD, [ENTRY]))) == []
    assert list(SUPERVISOR.moot([idea(Side.SELL)], (), state(waiting=[order(Side.SELL)]))) == []
