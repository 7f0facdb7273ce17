"""Faults of an earlier order path, as far as policies, decisions and protection are concerned; each by its name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from decimal import Decimal

import msgspec
import pytest

import src.services.supervisor.policies as table
from src.core.types import Command, CommandKind, OrderKind, Side
from src.services.supervisor.context import SymbolContext
from src.services.supervisor.decisions import DecisionEngine, still_holds
from src.services.supervisor.plan import FixedSupervisor
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.policy_supervisor import PolicySupervisor
from src.services.supervisor.portfolio_state import Seen
from src.services.supervisor.recommendation import PolicyAction
from src.services.supervisor.shadow import PolicyLine
from tests.money import ADA, BTC, ETH, NAMESPACE, SHIPPED, Walk, idea
from tests.money import closed_at as at
from tests.policies import StrictVenue, book, context, held, only, policy, sell, spine, stop, supervisor, tree

D = Decimal
NVDA = D("189.10")
NVDA_STOP = NVDA * D("0.985")


def nvda(price: str, **changes: str) -> SymbolContext:
    fields = {"entry": str(NVDA), "initial": str(NVDA_STOP), "tight": str(NVDA_STOP)} | changes
    return context(price, stops=[stop(fields["tight"])], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("price", "multiple", "action", "to"),
    [
        ("191.93", 0, None, None),
        ("191.94", 1, PolicyAction.RAISE_STOP, "189.10"),
        ("193.50", 1, PolicyAction.RAISE_STOP, "190.51825"),  # 1.55 R, not 2.5
        ("194.78", 2, PolicyAction.SELL_PART, "191.9365"),
        ("197.61", 3, PolicyAction.SELL_PART, "193.35475"),
        ("200.45", 4, PolicyAction.CLOSE, None),
    ],
)
def test_b_f01_the_ladder_of_the_worked_example(
    price: str, multiple: int, action: PolicyAction | None, to: str | None
) -> None:
    """1 R 191.94, 2 R 194.77, 3 R 197.61, 4 R 200.45: one R at every stage, and every sale above the entry."""
    seen = nvda(price)
    assert seen.multiple is not None
    assert int(seen.multiple) == multiple
    one = policy("profit_ladder").recommend(seen)
    assert (None if one is None else one.action) == action
    assert (None if one is None else one.stop) == (None if to is None else D(to))
    assert [round(seen.units.price_at(D(r)), 2) for r in (1, 2, 3, 4)] == [
        D("191.94"), D("194.77"), D("197.61"), D("200.45"),
    ]  # fmt: skip


def test_b_f02_a_gap_fills_a_stop_at_the_open() -> None:
    walk = Walk()
    walk.hold(100.0)
    walk({BTC: (80.0, 82.0, 79.0, 81.0, 1e6)})
    (stopped,) = [fill for fill in walk.fills if fill.side is Side.SELL]
    assert (stopped.price, stopped.reason) == (80, "stop")
    assert stopped.price < 100 * (1 - SHIPPED.account.stop_ratio)


@pytest.mark.parametrize("moved", ["99.99", "100", "101", "105"])
def test_b_f03_r_is_counted_by_the_initial_stop(moved: str) -> None:
    """A stop at the entry made R infinite, one above it negative."""
    state = book()
    state.observe(spine(at(0), {BTC: held()}, [stop("95")], {BTC: 100.0}))
    state.observe(spine(at(1), {BTC: held()}, [stop(moved)], {BTC: 110.0}))
    seen = state.context(BTC)
    assert (seen.multiple, seen.units.one) == (2, 5)
    assert policy("profit_ladder").recommend(seen) is not None


def test_b_f04_a_profit_that_was_filled_meanwhile_is_not_sold_again() -> None:
    """The plan is for another state now, and the next cycle counts what was sold."""
    seen = context("110")
    engine = DecisionEngine(only(partial_profit="on").policies, NAMESPACE, 8)
    states = only(partial_profit="on").policies.states.model_dump()
    (plan,) = engine.decide(Seen(seen.at, (seen,)), states).plans
    filled = context("110", amount="5", at=seen.at + 60_000)
    assert not still_holds(plan, filled)
    assert engine.decide(Seen(filled.at, (filled,)), states).plans == ()


@pytest.mark.parametrize("on", [[name] for name in POLICIES] + [list(POLICIES)], ids=lambda on: "+".join(on)[:20])
def test_b_f05_a_second_cycle_on_an_unchanged_state_makes_no_orders(on: list[str]) -> None:
    one = supervisor(only(**dict.fromkeys(on, "on")))
    positions = {BTC: held(leave_at=at(0)), ETH: held(pair=ETH), ADA: held(pair=ADA)}
    orders = [stop("95"), stop("94", pair=ETH, name="e-1"), stop("96", pair=ETH, name="e-2")]
    state = spine(at(1), positions, orders, {BTC: 111.0, ETH: 121.0, ADA: 90.0})
    ideas = [idea(Side.SELL, ETH)]
    first = one.plan((), ideas, (), state)
    plans = one.plans
    assert len({plan.pair for plan in plans}) == len(plans)
    assert len(first) == sum(plan.order is not None for plan in plans)
    for _ in range(3):
        assert list(one.plan((), ideas, (), state)) == []
        assert one.plans == ()


@pytest.mark.parametrize("status", ["new", "accepted", "pending_new", "held", "open", "partially_filled"])
def test_b_f06_a_stop_that_is_held_new_or_pending_protects(status: str) -> None:
    state, order = book(), stop("95")
    state.observe(spine(at(0), {BTC: held()}, [order], {BTC: 100.0}), statuses={order.id: status})
    assert policy("stop_loss").recommend(state.context(BTC)) is None
    state.observe(spine(at(1), {BTC: held()}, [order], {BTC: 100.0}), statuses={order.id: "rejected"})
    missing = policy("stop_loss").recommend(state.context(BTC))
    assert missing is not None
    assert missing.reason == "no_stop"


def test_b_f07_a_decision_by_a_stale_price_is_refused() -> None:
    """Those that need no price go on."""
    on = ["profit_ladder", "trailing", "partial_profit", "rebalancing", "break_even", "correlated_exits"]
    states = only(**dict.fromkeys(on, "on")).policies.states.model_dump()
    seen = context("160", fresh=False)
    cycle = DecisionEngine(tree().policies, NAMESPACE, 8).decide(Seen(seen.at, (seen,)), states)
    assert cycle.plans == ()
    assert {one.outcome for one in cycle.said} == {"stale_price"}
    assert {one.recommendation.policy for one in cycle.said} == set(on) - {"correlated_exits"}
    out = context("160", fresh=False, opposed=True)
    states["opposite_idea"] = "on"
    (plan,) = DecisionEngine(tree().policies, NAMESPACE, 8).decide(Seen(out.at, (out,)), states).plans
    assert plan.wish.action is PolicyAction.CLOSE


def test_b_f08_what_the_settings_say_is_what_is_done_and_nothing_is_left_unawaited() -> None:
    """Rungs of the settings decide; no function of the policies is a coroutine; only what is held is ever sold."""
    ladder = [rung.at_r for rung in SHIPPED.policies.ladder if rung.sell_ratio]
    for at_r in ladder:
        below, reached = context(str(100 + 5 * at_r - D("0.01"))), context(str(100 + 5 * at_r))
        due = [policy("profit_ladder").recommend(one) for one in (below, reached)]
        assert due[0] != due[1]
        assert due[1] is not None
        assert due[1].action in (PolicyAction.SELL_PART, PolicyAction.CLOSE)
    for info in pkgutil.walk_packages(table.__path__, table.__name__ + "."):
        for one in vars(importlib.import_module(info.name)).values():
            methods = vars(one).values() if inspect.isclass(one) else [one]
            assert not any(inspect.iscoroutinefunction(method) for method in methods)
    one = supervisor(only(**dict.fromkeys(POLICIES, "on")))
    assert one.plan((), [idea(Side.SELL)], (), spine(at(0), {}, [], {BTC: 100.0})) == []


def test_b_f09_after_a_partial_fill_the_stop_has_the_size_of_what_is_left() -> None:
    one = supervisor(only(stop_loss="on", profit_ladder="on"))
    venue = StrictVenue({BTC: held()}, [stop("95")])
    now = at(0)
    for share, price in (("0", 110.0), ("0.3", 110.0), ("0.4", 109.0), ("1", 108.0), ("1", 112.0)):
        now += 60_000
        for order in list(venue.orders.values()):
            if order.kind is OrderKind.MARKET and D(share):
                venue.fill(order.id, order.amount * D(share))
        state = spine(now, dict(venue.positions), list(venue.orders.values()), {BTC: price})
        one.plan((), (), (), state)
        for plan in one.plans:
            venue.carry_out(plan.steps)
        stops = sum(order.amount for order in venue.orders.values() if order.trigger is not None)
        leaving = sum(order.amount for order in venue.orders.values() if order.trigger is None)
        assert stops + leaving == venue.positions[BTC].amount
        assert stops == 5
    assert venue.positions[BTC].amount == 5


def test_b_f10_every_policy_has_a_switch_and_a_shadow_sends_nothing() -> None:
    busy = spine(at(1), {BTC: held(leave_at=at(0))}, [], {BTC: 111.0}, "9000")
    for name in POLICIES:
        for state in ("off", "shadow"):
            one = supervisor(only(**{name: state}))
            one.plan((), (), (), spine(at(0), {BTC: held()}, [stop("95")], {BTC: 100.0}))
            one.rows()
            assert one.plan((), [idea(Side.SELL)], (), busy) == []
            said = {s.policy for row in one.rows() for s in msgspec.json.decode(row.body, type=PolicyLine).said}
            assert said <= ({name} if state == "shadow" else set())


def test_b_f10_going_back_takes_one_command_and_loses_nothing() -> None:
    """The drill: the ladder sells a part and raises the stop, is switched off, and the old rules go on from there."""
    one = supervisor(tree(profit_ladder="on"))
    venue = StrictVenue({BTC: held(leave_at=at(9))}, [stop("95")])

    def step(hour: int, price: float, *commands: Command) -> None:
        for order in list(venue.orders.values()):
            if order.kind is OrderKind.MARKET:
                venue.fill(order.id, order.amount)
        state = spine(at(hour), dict(venue.positions), list(venue.orders.values()), {BTC: price})
        orders = one.plan((), (), commands, state)
        if one.plans:
            for plan in one.plans:
                venue.carry_out(plan.steps)
        else:
            assert list(orders) == list(FixedSupervisor(SHIPPED.account, NAMESPACE).plan((), (), (), state))

    step(0, 110.0)
    step(1, 110.0, Command(CommandKind.POLICY, "it loses", "control", policy="profit_ladder", state="off"))
    assert (venue.positions[BTC].amount, one.states["profit_ladder"]) == (5, "off")
    assert [(order.amount, order.trigger) for order in venue.orders.values()] == [(5, 105)]
    step(2, 116.0)
    assert [(order.amount, order.trigger) for order in venue.orders.values()] == [(5, 105)], "the stop stays"
    again = PolicySupervisor(SHIPPED.policies, SHIPPED.account, NAMESPACE)
    again.restore(one.state())
    assert again.states == one.states
    step(9, 116.0)
    assert [order.reason for order in venue.orders.values()] == ["horizon"]


def test_b_f11_a_symbol_that_fails_stops_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = POLICIES["trailing"].recommend  # type: ignore[attr-defined]

    def failing(self: object, seen: SymbolContext) -> object:
        if seen.pair == ETH:
            raise ZeroDivisionError("a bug in one of them")
        return rule(self, seen)

    monkeypatch.setattr(POLICIES["trailing"], "recommend", failing)
    one = supervisor(only(trailing="on", opposite_idea="on", stop_loss="on"))
    positions = {BTC: held(), ETH: held(pair=ETH), ADA: held(pair=ADA)}
    orders = [stop("95"), stop("95", pair=ETH, name="e"), sell("10", pair=ADA)]
    found = one.plan((), (), (), spine(at(0), positions, orders, {BTC: 111.0, ETH: 111.0, ADA: 111.0}))
    assert [(order.pair, order.reason) for order in found] == [(BTC, "trailing")]
    told = {line.pair: line.faults for line in (msgspec.json.decode(r.body, type=PolicyLine) for r in one.rows())}
    assert told[ETH] == (("trailing", "ZeroDivisionError: a bug in one of them"),)
    (left,) = one.plan((), [idea(Side.SELL, ETH)], (), spine(at(1), positions, orders, {ETH: 111.0}))
    assert (left.pair, left.reason) == (ETH, "opposite_idea")


def test_b_f11_nothing_grows_with_symbols_that_are_gone() -> None:
    one = supervisor(only(**dict.fromkeys(POLICIES, "on")))
    for number in range(60):
        pair = (BTC, ETH, ADA)[number % 3]
        one.plan((), [idea(Side.SELL, pair)], (), spine(at(number), {pair: held(pair=pair)}, [], {pair: 100.0}))
        one.rows()
    state = one.state()
    assert {len(state["engine"]), len(state["book"]["progress"])} == {1}
    assert len(state["acts"]) == 1
    assert len(state["book"]["returns"]["rows"]) <= 97


def test_b_f11_state_is_read_anew_before_a_plan_is_carried_out() -> None:
    seen = context("105")
    states = only(break_even="on").policies.states.model_dump()
    (plan,) = DecisionEngine(tree().policies, NAMESPACE, 8).decide(Seen(seen.at, (seen,)), states).plans
    assert still_holds(plan, seen)
    assert not still_holds(plan, context("105", stops=[]))
