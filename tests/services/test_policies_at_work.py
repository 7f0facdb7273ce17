"""Policies inside the whole house: what is shipped changes nothing, shadows are written down, a command lasts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from src import wiring
from src.connectors.ledger_verify import verify
from src.core.config import Account
from src.core.config_policies import Policies
from src.core.ports import Row
from src.core.records import decision_fields
from src.core.types import Command, CommandKind, OrderKind, Pair, Side, Stage
from src.services.explain import why
from src.services.supervisor import FixedSupervisor
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.shadow import PolicyLine
from src.services.symbol_history import history_of
from tests.stories import told
from tests.walked import Walk

SHADOWS: dict[str, object] = {
    f"policies__states__{name}": "shadow" for name in POLICIES if name not in ("time_stop", "opposite_idea")
}
SHADOWS["policies__daily_loss_ratio"] = 0.000001  # so that the costs of an entry are too much of a loss already
SWITCH = Command(CommandKind.POLICY, "a test asks", "control", id="c-1", policy="trailing", state="shadow")


class Bare(FixedSupervisor):
    """The fixed supervisor alone, where the house expects one with policies."""

    def __init__(
        self,
        settings: Policies,
        account: Account,
        namespace: UUID,
        multiplier: Callable[[Pair], Decimal],
        life: Callable[[Pair], Stage | None],
        flatten: bool,
    ) -> None:
        super().__init__(account, namespace, multiplier, flatten)

    def rows(self) -> list[Row]:
        return []

    def state(self) -> dict[str, object]:
        return {}


def said(walk: Walk) -> list[PolicyLine]:
    return [msgspec.json.decode(row.body, type=PolicyLine) for row in walk.ledger.rows("policy")]


@pytest.fixture(scope="module")
def shipped() -> Walk:
    return Walk().all()


@pytest.fixture(scope="module")
def shadowed() -> Walk:
    return Walk(**SHADOWS).all()


def test_what_is_shipped_decides_what_the_fixed_supervisor_decided(
    shipped: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "PolicySupervisor", Bare)
    assert Walk().all().lines() == shipped.lines()
    assert any(line["kind"] == "fill" for line in shipped.lines())
    assert said(shipped) == []


def test_shadows_change_no_decision_and_are_in_the_ledger(shipped: Walk, shadowed: Walk) -> None:
    assert shadowed.lines() == shipped.lines()
    lines = said(shadowed)
    assert lines
    assert {one.outcome for line in lines for one in line.said if one.policy not in ("time_stop", "opposite_idea")} == {
        "shadow"
    }
    done = [one.policy for line in lines for one in line.said if one.outcome == "done"]
    assert set(done) <= {"time_stop", "opposite_idea"}
    orders = {name for line in lines if line.plan is not None for name in line.plan.orders}
    sold = {str(o.id) for report in shadowed.reports for o in report.orders if o.side == "sell"}
    assert orders == sold != set()


def test_a_restart_says_what_an_unbroken_walk_says(shadowed: Walk) -> None:
    first = Walk(**SHADOWS)
    first.until(40)
    second = Walk(**SHADOWS)
    second.restore(first.saved(), first.ledger)
    second.until(len(second.history.times) - 1, first=41)
    assert second.lines() == [
        line for report in shadowed.reports[41:] for line in map(decision_fields, report.decisions)
    ]
    assert said(first) + said(second) == said(shadowed)


def test_a_command_is_written_down_takes_effect_and_outlasts_a_restart() -> None:
    walk = Walk()
    walk.until(20)
    walk.put(SWITCH)
    walk.until(30)
    assert walk.house.supervisor.states["trailing"] == "shadow"
    (row,) = [row for row in walk.ledger.rows("command") if b'"policy"' in row.body]
    assert msgspec.json.decode(row.body, type=Command) == SWITCH
    (line,) = [line for line in walk.lines() if line["kind"] == "policy"]
    assert (line["reason"], line["source"]) == ("a test asks", "control")
    again = Walk()
    again.restore(walk.saved(), walk.ledger)
    assert again.house.supervisor.states["trailing"] == "shadow"


def test_policies_that_are_on_trade_and_every_sale_can_be_traced() -> None:
    """R is so small here that the tape's waves are worth several."""
    on = ("break_even", "partial_profit", "profit_ladder", "trailing")
    walk = Walk(account__stop_ratio=0.004, **{f"policies__states__{name}": "on" for name in on}).all()
    orders = [order for report in walk.reports for order in report.orders]
    reasons = {order.reason for order in orders if order.side is Side.SELL}
    assert reasons & set(on)
    assert {order.kind for order in orders} == {OrderKind.MARKET, OrderKind.STOP_LIMIT}
    lines = said(walk)
    traced = {name: line.plan for line in lines if line.plan is not None for name in line.plan.orders}
    assert all(order.id in traced for order in orders if order.side is Side.SELL)
    fills = [fill for report in walk.reports for fill in report.fills]
    assert {fill.reason for fill in fills if fill.side is Side.SELL} & set(on)
    assert not any(line.faults for line in lines)
    held = walk.house.desk.portfolio.positions
    assert len(walk.house.desk.broker.open_orders()) >= len(held)


def test_a_position_without_a_stop_does_not_rest() -> None:
    walk = Walk()
    walk.until(30)
    bar = next(n for n in range(31, 60) if walk.until(n) and walk.house.desk.portfolio.positions)
    desk = walk.house.desk
    (pair,) = desk.portfolio.positions
    desk.broker.cancel(pair)
    assert not desk.rests((), (), walk.reports[-1].at)
    walk.until(bar + 1)
    (protective,) = [order for order in walk.reports[-1].orders if order.kind is OrderKind.STOP_LIMIT]
    assert (protective.reason, protective.amount) == ("no_stop", desk.portfolio.positions[pair].amount)
    assert [order.id for order in desk.broker.open_orders()] == [protective.id]
    assert said(walk)[-1].plan is not None


def test_the_record_of_policies_at_work_is_sound_and_explains_every_order(tmp_path: Path) -> None:
    on = ("break_even", "partial_profit", "profit_ladder", "trailing")
    walk = Walk(account__stop_ratio=0.004, **{f"policies__states__{name}": "on" for name in on}).all()
    story = told(walk, tmp_path)
    problems = verify(tmp_path / "ledger.sqlite").problems
    assert all("no `start` row" in one for one in problems), "this harness writes none"
    for order in story.orders.values():
        found = why(story, order.id)
        assert found["outcome"]["states"]
        if order.side is Side.SELL:
            assert found["exit"]["reason"] == order.reason
            assert found["exit"]["entry"] is not None
    history = history_of(story, walk.history.pairs[0], 1000, said(walk))
    assert {one["id"] for one in history["orders"]} >= set(story.orders)
    assert sum("plan" in one for one in history["policies"]) == sum(line.plan is not None for line in said(walk))
