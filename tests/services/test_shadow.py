"""What is written down of the policies, once, and the comparison of what was done with what would have been."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from src.core.types import Pair, Stream, Trade
from src.services.supervisor.decisions import DecisionEngine
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.portfolio_state import Fault, Seen
from src.services.supervisor.shadow import PlanLine, PolicyLine, SaidLine, ShadowLog, compared, options_of, row_of
from tests.money import BTC, ETH, NAMESPACE
from tests.money import closed_at as at
from tests.policies import context, only

D = Decimal
STATES = dict.fromkeys(POLICIES, "shadow")


def lines(log: ShadowLog, *prices: str, **states: str) -> list[list[PolicyLine]]:
    """The lines of one cycle after another, an hour apart."""
    config = only(**states).policies.model_copy(update={"profile": "balanced"})
    engine = DecisionEngine(config, NAMESPACE, 8)
    found = []
    for number, price in enumerate(prices):
        seen = context(price, at=at(10 + number))
        cycle = engine.decide(Seen(seen.at, (seen,)), config.states.model_dump())
        found.append(log.lines(cycle, (seen,)))
    return found


def test_a_shadow_is_written_down_when_it_says_something_new() -> None:
    found = lines(ShadowLog(), "101", "110", "110", "110", "115", profit_ladder="shadow")
    assert [len(one) for one in found] == [0, 1, 0, 0, 1]
    (line,) = found[1]
    assert (line.pair, line.price, line.held, line.multiple, line.plan) == (BTC, 110, 10, "2.0000", None)
    assert line.said == (SaidLine("profit_ladder", "sell_part", "shadow", "profit_ladder", D(5), D(105)),)
    assert line.would == PlanLine("sell_part", "profit_ladder", ("profit_ladder",), D(5), D(105))


def test_a_plan_is_always_written_down_with_its_orders() -> None:
    found = lines(ShadowLog(), "110", "110", partial_profit="on", trailing="shadow")
    for (line,) in found:
        assert line.plan is not None
        assert (line.plan.action, len(line.plan.orders), len(line.plan.id)) == ("sell_part", 2, 36)
        assert {one.policy: one.outcome for one in line.said} == {"partial_profit": "done", "trailing": "shadow"}
        assert line.would is not None
        assert line.would.stop == 105
        assert line.plan.stop == 95
    assert found[0][0].plan != found[1][0].plan


def test_faults_are_shown() -> None:
    seen = context()
    cycle = DecisionEngine(only().policies, NAMESPACE, 8).decide(
        Seen(seen.at, (seen,), (Fault(ETH, "", "no price"),)), only().policies.states.model_dump()
    )
    (line,) = ShadowLog().lines(cycle, (seen,))
    assert (line.pair, line.faults) == (ETH, (("", "no price"),))


def test_a_line_is_a_row_of_the_ledger_and_comes_back() -> None:
    ((line,),) = lines(ShadowLog(), "110", profit_ladder="on")
    row = row_of(line)
    assert (row.kind, row.key, row.at) == ("policy", f"policy:{line.at}:{BTC}", line.at)
    assert msgspec.json.decode(row.body, type=PolicyLine) == line
    assert b'"amount":"5' in row.body


def test_recommendations_as_options() -> None:
    config = only(profit_ladder="on", trailing="shadow").policies
    seen = context("110", fresh=False)
    cycle = DecisionEngine(config, NAMESPACE, 8).decide(Seen(seen.at, (seen,)), config.states.model_dump())
    assert [(one.name, one.hindered) for one in options_of(cycle.said)] == [
        ("profit_ladder", "stale_price"), ("trailing", ""),
    ]  # fmt: skip


def trade(exit_price: str, amount: str = "10", pair: Pair = BTC, number: int = 1) -> Trade:
    zero = D(0)
    return Trade(
        f"t-{number}", Stream.SYNTHESIZED, pair, D(amount), at(0), at(20), D(100), D(exit_price), zero, zero, zero,
        zero, "horizon",
    )  # fmt: skip


def shadow(policy: str, action: str, price: str, amount: str | None = None, hour: int = 5) -> PolicyLine:
    said = SaidLine(policy, action, "shadow", policy, None if amount is None else D(amount))
    return PolicyLine(at=at(hour), pair=BTC, price=D(price), said=(said,))


def test_a_sale_in_shadow_is_compared_with_the_exit_that_came() -> None:
    lines_ = [shadow("profit_ladder", "sell_part", "110", "5"), shadow("profit_ladder", "close", "120", hour=8)]
    lines_ += [shadow("trailing", "raise_stop", "120"), shadow("time_stop", "close", "130", hour=25)]
    found = {one.policy: one for one in compared(lines_, [trade("105")], STATES)}
    assert found["profit_ladder"].worth == 5 * 5 + 15 * 5, "no more is sold than there was"
    assert found["trailing"].worth is None, "a stop is no sale"
    assert found["time_stop"].worth is None, "after the trade was over"
    assert (found["profit_ladder"].recommended, found["profit_ladder"].shadow) == (2, 2)
    assert list(found) == list(POLICIES)


def test_what_was_done_merged_overruled_and_put_aside_is_counted() -> None:
    plan = PlanLine("close", "x", ("time_stop",), D(1), id="p")
    said = (
        SaidLine("time_stop", "close", "done", "x"),
        SaidLine("daily_loss", "close", "merged", "x"),
        SaidLine("trailing", "raise_stop", "overruled", "x"),
        SaidLine("break_even", "raise_stop", "not_favourable", "x"),
        SaidLine("opposite_idea", "close", "shadow", "x"),
        SaidLine("rebalancing", "sell_part", "shadow", "x", D(1)),
    )
    line = PolicyLine(at=at(1), pair=BTC, plan=plan, said=said, faults=(("stop_loss", "broken"),))
    found = {one.policy: one for one in compared([line, line], [], STATES)}
    assert [found[name].done for name in ("time_stop", "daily_loss")] == [2, 0]
    assert (found["daily_loss"].merged, found["trailing"].overruled) == (2, 2)
    assert found["break_even"].aside == {"not_favourable": 2}
    assert [found[name].agreed for name in ("opposite_idea", "rebalancing")] == [2, 0]
    assert found["stop_loss"].faults == 2
