"""One plan a symbol: who comes first, what is merged, what is put aside, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from uuid import uuid5

import msgspec
import pytest

from src.core.config import Settings
from src.core.errors import InvariantError
from src.core.types import Order, OrderKind, Side
from src.services.supervisor.context import SymbolContext
from src.services.supervisor.decisions import Cycle, DecisionEngine, Plan, still_holds
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.portfolio_state import Seen
from src.services.supervisor.recommendation import PolicyAction, Priority
from tests.money import BTC, ETH, NAMESPACE
from tests.policies import context, held, only, sell, stop, tree

ALL_ON = dict.fromkeys(POLICIES, "on")
SECOND = 1_000


def engine(config: Settings | None = None) -> DecisionEngine:
    config = config or tree()
    return DecisionEngine(config.policies.model_copy(update={"profile": "balanced"}), NAMESPACE, 8)


def cycle(*contexts: SymbolContext, on: Sequence[str] = (), shadow: Sequence[str] = ()) -> Cycle:
    states = only(**dict.fromkeys(on, "on"), **dict.fromkeys(shadow, "shadow")).policies.states.model_dump()
    return engine().decide(Seen(contexts[0].at, contexts), states)


def planned(seen: SymbolContext, *on: str) -> Plan:
    (plan,) = cycle(seen, on=on).plans
    return plan


def outcomes(found: Cycle) -> dict[str, str]:
    return {one.recommendation.policy: one.outcome for one in found.said}


def test_priorities_are_those_of_the_decision() -> None:
    assert [one.name for one in sorted(Priority)] == ["EMERGENCY", "EXIT", "PARTIAL", "TRAILING", "ENTRY"]


def test_a_missing_stop_is_placed_before_a_profit_is_taken() -> None:
    found = cycle(context("110", stops=()), on=["stop_loss", "partial_profit", "trailing"])
    (plan,) = found.plans
    assert (plan.wish.action, plan.wish.priority, plan.wish.amount) == (PolicyAction.PROTECT, Priority.EMERGENCY, 10)
    assert plan.wish.stop == 105, "the trailing stop is the safer one"
    assert outcomes(found) == {"stop_loss": "done", "partial_profit": "overruled", "trailing": "merged"}
    assert plan.wish.policies == ("stop_loss", "trailing")


def test_a_part_comes_before_a_stop_that_trails_and_takes_it_along() -> None:
    found = cycle(context("110"), on=["partial_profit", "trailing", "break_even"])
    (plan,) = found.plans
    assert (plan.wish.action, plan.wish.amount, plan.wish.stop) == (PolicyAction.SELL_PART, 5, 105)
    assert outcomes(found) == {"partial_profit": "done", "trailing": "merged", "break_even": "merged"}


def test_a_whole_exit_takes_the_place_of_everything() -> None:
    found = cycle(context("110", opposed=True, stops=()), on=list(POLICIES))
    (plan,) = found.plans
    assert (plan.wish.action, plan.wish.reason, plan.wish.amount) == (PolicyAction.CLOSE, "opposite_idea", 10)
    assert outcomes(found)["stop_loss"] == "overruled"
    assert plan.rest is None


def test_the_largest_part_is_sold_once() -> None:
    found = cycle(context("115"), on=["partial_profit", "profit_ladder"])
    (plan,) = found.plans
    assert (plan.wish.amount, plan.wish.stop, plan.wish.policies) == (
        Decimal("7.5"), Decimal("107.5"), ("profit_ladder", "partial_profit"),
    )  # fmt: skip


def test_the_orders_of_a_part() -> None:
    plan = planned(context("110"), "profit_ladder")
    assert plan.order == Order(
        id=str(uuid5(NAMESPACE, f"{plan.at}|{BTC}|sell")),  # type: ignore[arg-type]
        pair=BTC, side=Side.SELL, amount=Decimal(5), kind=OrderKind.MARKET, at=plan.at, reference=Decimal(110),
        reason="profit_ladder",
    )  # fmt: skip
    assert plan.rest is not None
    assert (plan.rest.kind, plan.rest.amount, plan.rest.trigger, plan.rest.limit) == (
        OrderKind.STOP_LIMIT, 5, 105, Decimal("102.9"),
    )  # fmt: skip
    assert plan.steps == ("s-1", plan.rest, plan.order)


def test_the_steps_of_a_stop_that_moves_and_of_an_exit() -> None:
    moved = planned(context("105"), "break_even")
    assert moved.steps == ("s-1", moved.order)
    left = planned(context(opposed=True), "opposite_idea")
    assert left.steps == ("s-1", left.order)
    assert left.order is not None
    assert (left.order.kind, left.order.amount, left.order.trigger) == (OrderKind.MARKET, 10, None)


def test_amounts_are_cut_to_the_step_and_a_part_of_everything_is_an_exit() -> None:
    third = planned(context("110", amount="0.00000003", original="0.00000003"), "partial_profit")
    assert third.wish.amount == Decimal("0.00000001")
    found = cycle(context("110", amount="0.00000001", original="0.00000001"), on=["partial_profit"])
    assert (found.plans, outcomes(found)) == ((), {"partial_profit": "too_small"})
    whole = planned(
        context("110", amount="5", original="10", allowed=Decimal("0.25")), "profit_ladder", "probation_exit"
    )
    assert (whole.wish.action, whole.wish.amount) == (PolicyAction.SELL_PART, Decimal("2.5"))


def test_a_stop_beyond_the_price_is_an_exit() -> None:
    plan = planned(context("106", best="112"), "trailing")
    assert (plan.wish.action, plan.wish.priority, plan.wish.reason) == (
        PolicyAction.CLOSE, Priority.TRAILING, "trailing",
    )  # fmt: skip


def test_only_favourable_moves() -> None:
    for trigger, moves in (("100", False), ("99.76", False), ("99.75", True), ("104", False)):
        found = cycle(context("105", stops=[stop(trigger)]), on=["break_even"])
        assert bool(found.plans) is moves, trigger
        assert outcomes(found) == {"break_even": "done" if moves else "not_favourable"}


def test_a_stop_never_goes_below_the_safest_there_ever_was() -> None:
    plan = planned(context("108", stops=(), tight="103"), "break_even")
    assert plan.wish.stop == 103


def test_while_something_is_leaving_nothing_else_is_begun() -> None:
    found = cycle(context("110", leaving="3"), on=["partial_profit", "trailing"])
    assert (found.plans, outcomes(found)) == ((), {"partial_profit": "leaving", "trailing": "leaving"})
    plan = planned(context("110", leaving="3", opposed=True), "opposite_idea")
    assert plan.wish.amount == 7
    gone = cycle(context("110", leaving="10", opposed=True), on=["opposite_idea"])
    assert (gone.plans, outcomes(gone)) == ((), {"opposite_idea": "leaving"})


def test_of_duplicate_stops_the_most_protective_stays() -> None:
    stops = [stop("94", name="a"), stop("96", name="b"), stop("95", name="c")]
    ranked = sorted(stops, key=lambda one: -(one.trigger or 0))
    (plan,) = cycle(context(stops=ranked), on=["stop_loss"]).plans
    assert (plan.wish.action, plan.steps) == (PolicyAction.KEEP_BEST, ("c", "a"))


def test_every_stop_in_the_way_is_withdrawn_before_another_is_placed() -> None:
    small = [stop("96", "3", "a"), stop("95", "3", "b")]
    plan = planned(context(stops=small), "stop_loss")
    assert plan.steps[:2] == ("a", "b")
    assert plan.order is not None
    assert plan.order.amount == 10


def test_shadow_is_heard_and_not_sent() -> None:
    found = cycle(context("110"), on=["stop_loss"], shadow=["profit_ladder", "trailing"])
    assert found.plans == ()
    assert outcomes(found) == {"profit_ladder": "shadow", "trailing": "shadow"}
    would = found.would[BTC]
    assert (would.action, would.amount, would.stop) == (PolicyAction.SELL_PART, 5, 105)


def test_what_is_off_is_not_asked() -> None:
    found = cycle(context("110", opposed=True, stops=()))
    assert (found.plans, found.said, found.would) == ((), (), {})


def test_a_command_to_leave_is_obeyed_whatever_is_switched_on() -> None:
    (plan,) = cycle(context(asked_out=True)).plans
    assert (plan.wish.action, plan.wish.reason, plan.wish.priority) == (
        PolicyAction.CLOSE, "flatten", Priority.EMERGENCY,
    )  # fmt: skip


def later(seen: SymbolContext, seconds: float, **changes: object) -> SymbolContext:
    return msgspec.structs.replace(seen, at=seen.at + round(seconds * SECOND), **changes)


def test_the_cooldown_holds_back_all_but_emergencies_and_exits() -> None:
    one, states = engine(), ALL_ON
    seen = context("105")
    assert len(one.decide(Seen(seen.at, (seen,)), states).plans) == 1
    risen = later(context("107.5", stops=[stop("100", name="s-2")]), 10)
    held_back = one.decide(Seen(risen.at, (risen,)), states)
    assert (held_back.plans, {said.outcome for said in held_back.said}) == ((), {"cooldown", "not_favourable"})
    bare = later(context("107.5", stops=()), 11)
    assert [plan.wish.action for plan in one.decide(Seen(bare.at, (bare,)), states).plans] == [PolicyAction.PROTECT]
    out = later(context("107.5", opposed=True), 12)
    assert [plan.wish.action for plan in one.decide(Seen(out.at, (out,)), states).plans] == [PolicyAction.CLOSE]


def test_after_the_cooldown_a_plan_that_came_to_nothing_is_tried_again() -> None:
    one, seen = engine(), context(opposed=True)
    assert len(one.decide(Seen(seen.at, (seen,)), ALL_ON).plans) == 1
    for seconds, plans in ((1, 0), (29.999, 0), (30, 1)):
        again = later(seen, seconds)
        assert len(one.decide(Seen(again.at, (again,)), ALL_ON).plans) == plans


def test_a_plan_is_valid_for_the_state_it_was_made_for() -> None:
    seen = context("110")
    plan = planned(seen, "profit_ladder")
    assert still_holds(plan, later(seen, 1, price=Decimal(111)))
    assert not still_holds(plan, msgspec.structs.replace(seen, position=held("5")))
    assert not still_holds(plan, context("110", stops=[stop("95", "10", "s-2")]))
    assert not still_holds(plan, context("110", leaving="5"))


def test_a_broken_promise_is_not_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, seen: SymbolContext) -> None:
        raise InvariantError("the books do not agree")

    monkeypatch.setattr(POLICIES["trailing"], "recommend", broken)
    with pytest.raises(InvariantError):
        cycle(context(), on=["trailing"])


def test_the_memory_of_acts_does_not_grow() -> None:
    one = engine()
    for pair in (BTC, ETH):
        seen = context(opposed=True, pair=pair)
        one.decide(Seen(seen.at, (seen,)), ALL_ON)
    assert list(one.state()) == [ETH]
    other = engine()
    other.restore(one.state())
    assert other.state() == one.state()


def test_sells_by_hand_that_rest_are_not_sold_twice() -> None:
    seen = context("110", opposed=True, leaving=str(sell("4").amount), stops=[stop("95", "6")])
    plan = planned(seen, "opposite_idea")
    assert plan.wish.amount == 6
