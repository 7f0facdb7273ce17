"""The supervisor with policies: commands, restarts, shadows, symbols that fail, orders by hand."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from src.core.checkpoint import dump, load
from src.core.types import Command, CommandKind, OrderKind, Side, Stage
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.policy_supervisor import PolicySupervisor
from src.services.supervisor.recommendation import PolicyAction
from src.services.supervisor.shadow import PolicyLine
from tests.money import BTC, ETH, NAMESPACE, command, idea, intent
from tests.money import closed_at as at
from tests.policies import held, only, spine, stop, supervisor, tree


def switch(policy: str, state: str) -> Command:
    return Command(CommandKind.POLICY, "a test asks", "test", policy=policy, state=state)


def rising(number: int, price: float, trigger: str = "95") -> object:
    return spine(at(number), {BTC: held()}, [stop(trigger)], {BTC: price, ETH: 50.0})


def test_a_command_switches_a_policy_with_its_slice_and_back() -> None:
    one = supervisor(only(stop_loss="on"))
    assert one.plan((), (), (), rising(0, 110.0)) == []
    (raised,) = one.plan((), (), [switch("break_even", "on")], rising(1, 110.0))
    assert (raised.kind, raised.trigger, raised.reason) == (OrderKind.STOP_LIMIT, 100, "break_even")
    assert one.plan((), (), [switch("break_even", "off")], rising(2, 110.0)) == []
    assert one.states["break_even"] == "off"


@pytest.mark.parametrize(("name", "state"), [("nobody", "on"), ("trailing", "maybe"), ("", "")])
def test_a_command_that_names_nothing_changes_nothing(name: str, state: str) -> None:
    one = supervisor(tree())
    one.plan((), (), [switch(name, state)], rising(0, 100.0))  # type: ignore[arg-type]
    assert one.states == supervisor(tree()).states


def test_states_and_pasts_outlast_a_restart() -> None:
    one, other = supervisor(tree()), supervisor(tree())
    one.plan((), (), [switch("profit_ladder", "on"), switch("time_stop", "shadow")], rising(0, 104.0))
    one.plan((), (), (), rising(1, 113.0, "95"))
    other.restore(load(dump(one.state())))
    assert other.states == one.states
    assert other.states["profit_ladder"] == "on"
    later = rising(2, 116.0, "105")
    assert one.plan((), (), (), later) == other.plan((), (), (), later) != []
    assert other.portfolio.context(BTC).progress.best == 116


def test_a_state_of_a_policy_that_is_no_more_is_forgotten() -> None:
    one = supervisor(tree())
    one.restore(one.state() | {"overrides": {"nobody": "on", "trailing": "shadow"}})
    assert list(one.states) == list(POLICIES)
    assert one.states["trailing"] == "shadow"


def test_a_position_that_lost_its_stop_gets_one_with_what_is_shipped() -> None:
    one = supervisor(tree())
    bare = spine(at(0), {BTC: held(), ETH: held(pair=ETH)}, [stop("95")], {BTC: 100.0, ETH: 100.0})
    (order,) = one.plan((), (), (), bare)
    assert (order.pair, order.side, order.kind, order.amount) == (ETH, Side.SELL, OrderKind.STOP_LIMIT, 10)
    assert (order.trigger, order.limit, order.reason) == (95, Decimal("93.10"), "no_stop")
    (row,) = one.rows()
    line = msgspec.json.decode(row.body, type=PolicyLine)
    assert line.plan is not None
    assert line.plan.orders == (order.id,)
    assert line.market is not None
    assert one.rows() == []
    assert one.leaves((), {ETH: held(pair=ETH)}, at(0)), "it is watched from now on"
    leapt = spine(at(1), {ETH: held(pair=ETH)}, [order], {BTC: 100.0, ETH: 90.0})
    (left,) = one.plan((), (), (), leapt)
    assert (left.kind, left.reason, left.amount) == (OrderKind.MARKET, "stop_jumped", 10)


def test_nothing_is_watched_until_somebody_asks() -> None:
    one = supervisor(tree())
    assert not one.leaves((), {BTC: held()}, at(0))
    assert one.leaves((), {BTC: held(leave_at=at(0))}, at(0))
    one.plan((), (), [switch("trailing", "shadow")], rising(0, 100.0))
    assert one.leaves((), {BTC: held()}, at(0))
    one.plan((), (), [switch("trailing", "off")], rising(1, 100.0))
    assert one.leaves((), {}, at(0)), "what was begun to be watched is watched on"


def test_shadows_change_no_order_and_are_heard() -> None:
    one = supervisor(tree(trailing="shadow", profit_ladder="shadow"))
    assert one.plan((), (), (), rising(0, 113.0)) == []
    (row,) = one.rows()
    line = msgspec.json.decode(row.body, type=PolicyLine)
    assert {said.policy: said.outcome for said in line.said} == {"trailing": "shadow", "profit_ladder": "shadow"}
    assert line.thought is not None
    assert line.thought.options[0].name == "profit_ladder"


def test_an_order_by_hand_comes_before_a_stop_that_trails_but_not_before_an_exit() -> None:
    hand = [command(CommandKind.ORDER, BTC, Side.SELL, "1")]
    one = supervisor(only(break_even="on"))
    (order,) = one.plan((), (), hand, rising(0, 110.0))
    assert (order.reason, order.amount) == ("manual", 1)
    one = supervisor(only(opposite_idea="on", break_even="on"))
    (order,) = one.plan((), [idea(Side.SELL)], hand, rising(0, 110.0))
    assert order.reason == "opposite_idea"


def test_an_entry_comes_last_and_never_beside_a_plan() -> None:
    one = supervisor(only(break_even="on"))
    orders = one.plan([intent(BTC), intent(ETH)], (), (), rising(0, 110.0))
    assert [(order.pair, order.side) for order in orders] == [(BTC, Side.SELL), (ETH, Side.BUY)]


def test_a_symbol_that_cannot_be_read_is_left_by_the_fixed_rules_and_told_of() -> None:
    one = supervisor(tree(trailing="shadow"))
    odd = held(entry="0")
    state = spine(at(5), {BTC: odd, ETH: held(pair=ETH)}, [stop("95", pair=ETH)], {BTC: 100.0, ETH: 100.0})
    assert one.plan((), (), (), state) == []
    (order,) = one.plan((), [idea(Side.SELL)], (), state)
    assert (order.pair, order.reason, order.amount) == (BTC, "opposite_idea", 10)
    faults = [msgspec.json.decode(row.body, type=PolicyLine).faults for row in one.rows()]
    assert len(faults) == 1
    assert "R is undefined" in faults[0][0][1]


def test_what_became_of_actions_is_remembered() -> None:
    one = supervisor(only(break_even="on"))
    one.plan((), (), (), rising(0, 110.0))
    one.plan((), (), (), rising(1, 107.5, "100"))
    one.plan((), (), (), spine(at(2), {}, [], {BTC: 107.5}))
    assert one.state()["memory"] == [[BTC, PolicyAction.RAISE_STOP, 1, 1, 1.5]]


def test_hibernation_and_size_come_from_the_life_of_the_asset() -> None:
    config = only(hibernation_exit="on", probation_exit="on")
    stages = {BTC: Stage.HIBERNATED, ETH: Stage.PROBATION}
    sizes = {BTC: Decimal(1), ETH: Decimal(1)}
    one = PolicySupervisor(config.policies, config.account, NAMESPACE, lambda pair: sizes[pair], stages.get)
    positions = {BTC: held(), ETH: held(pair=ETH)}
    state = spine(at(0), positions, [stop("95"), stop("95", name="e", pair=ETH)], {BTC: 100.0, ETH: 100.0})
    (left,) = one.plan((), (), (), state)
    assert (left.pair, left.reason) == (BTC, "hibernated")
    sizes[ETH] = Decimal("0.5")
    state.snapshot = msgspec.structs.replace(state.snapshot, at=at(1))
    cut = {order.pair: order for order in one.plan((), (), (), state)}[ETH]
    assert (cut.amount, cut.reason) == (5, "probation")


def test_the_daily_loss_leaves_everything() -> None:
    one = supervisor(only(daily_loss="on"))
    one.plan((), (), (), spine(at(1), {BTC: held()}, [stop("95")], {BTC: 100.0}, "10000"))
    (order,) = one.plan((), (), (), spine(at(2), {BTC: held()}, [stop("95")], {BTC: 97.0}, "9700"))
    assert (order.reason, order.amount) == ("daily_loss", 10)
