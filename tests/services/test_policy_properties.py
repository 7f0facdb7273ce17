"""What holds whatever the market, the fills and the switches do: a hundred and more histories for each promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.core.types import Command, CommandKind, Idea, Order, OrderId, OrderKind, Pair, Position, Side
from src.services.supervisor.context import LadderStage
from src.services.supervisor.decisions import Plan
from src.services.supervisor.plan import FixedSupervisor
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.policy_supervisor import PolicySupervisor
from src.services.supervisor.recommendation import PolicyAction
from src.services.supervisor.risk_units import RiskUnits
from src.services.supervisor.shadow import PolicyLine
from tests.money import ADA, BTC, ETH, HOUR, NAMESPACE, PAIRS, SHIPPED, START, command, idea, intent
from tests.money import closed_at as at
from tests.policies import StrictVenue, context, held, only, policy, sell, spine, stop, supervisor, tree

OFTEN = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STEP = 20 * 1_000
"""Between two cycles, ms: shorter than the cooldown."""

COOLDOWN = 30 * 1_000
"""As it is shipped: a stop that is lost twice within it is placed anew after it."""

STATES = st.fixed_dictionaries({name: st.sampled_from(["off", "shadow", "on", "on"]) for name in POLICIES})
MOVES = st.lists(st.sampled_from([-0.06, -0.02, -0.005, 0.0, 0.01, 0.02, 0.05, 0.11]), min_size=4, max_size=14)


class Happening(msgspec.Struct, frozen=True):
    """What happens between two cycles: prices, a share of what waits that is filled, an idea, a stop that is lost."""

    moves: tuple[float, float, float]
    filled: Decimal
    opposed: Pair | None
    lost: Pair | None


HAPPENING = st.builds(
    Happening,
    st.tuples(*[st.sampled_from([-0.06, -0.02, -0.004, 0.0, 0.01, 0.03, 0.06, 0.11])] * 3),
    st.sampled_from([Decimal(0), Decimal("0.4"), Decimal(1), Decimal(1)]),
    st.sampled_from([None, None, None, BTC, ETH]),
    st.sampled_from([None, None, None, BTC, ADA]),
)
HISTORY = st.lists(HAPPENING, min_size=3, max_size=12)


class History:
    """Three positions in a strict venue; every plan is carried out step by step."""

    def __init__(self, states: dict[str, str]) -> None:
        self.supervisor = supervisor(only(**(states | {"stop_loss": "on"})))
        self.prices = dict.fromkeys(PAIRS, 100.0)
        positions = {pair: held(pair=pair, leave_at=START + 9 * STEP if pair == ADA else None) for pair in PAIRS}
        self.venue = StrictVenue(positions, [stop("95", name=f"s-{pair}", pair=pair) for pair in PAIRS])
        self.now = START
        self.lost_at: dict[Pair, int] = {}
        self.lines: list[PolicyLine] = []

    def go_on(self, one: Happening) -> Sequence[Plan]:
        """Let something happen, then a cycle."""
        self.now += STEP
        for pair, move in zip(PAIRS, one.moves, strict=True):
            self.prices[pair] = round(self.prices[pair] * (1 + move), 4)
        self._fill(one.filled)
        if one.lost is not None and self.now - self.lost_at.get(one.lost, START) > COOLDOWN:
            self.lost_at[one.lost] = self.now
            for name in [n for n, o in self.venue.orders.items() if o.pair == one.lost and o.trigger is not None]:
                del self.venue.orders[name]
        ideas = () if one.opposed is None else (idea(Side.SELL, one.opposed),)
        orders = self.plan(ideas)
        plans = self.supervisor.plans
        assert {order.id for order in orders} == {plan.order.id for plan in plans if plan.order is not None}
        for plan in plans:
            self.venue.carry_out(plan.steps)
        return plans

    def plan(self, ideas: Sequence[Idea] = ()) -> Sequence[Order]:
        """A cycle that nobody carries out."""
        orders = list(self.venue.orders.values())
        state = spine(self.now, dict(self.venue.positions), orders, self.prices)  # type: ignore[arg-type]
        found = self.supervisor.plan((), ideas, (), state)
        self.lines += [msgspec.json.decode(row.body, type=PolicyLine) for row in self.supervisor.rows()]
        return found

    def _fill(self, share: Decimal) -> None:
        for order in list(self.venue.orders.values()):
            if order.id not in self.venue.orders:
                continue
            if order.kind is OrderKind.MARKET and share:
                self.venue.fill(order.id, (order.amount * share).quantize(Decimal("0.00000001")) or order.amount)
            elif order.trigger is not None and self.prices[order.pair] <= float(order.trigger):
                self.venue.fill(order.id, order.amount)


@OFTEN
@given(STATES, HISTORY)
def test_open_sells_never_exceed_the_position_and_there_is_one_stop_that_only_rises(
    states: dict[str, str], history: list[Happening]
) -> None:
    """The strict venue looks after each step: amounts, one stop a position, monotone, no two sides live."""
    run = History(states)
    for one in history:
        run.go_on(one)


@OFTEN
@given(STATES, HISTORY)
def test_after_every_cycle_what_stays_is_protected(states: dict[str, str], history: list[Happening]) -> None:
    """Also after partial fills: the stop has the size of what is not leaving."""
    run = History(states)
    for one in history:
        plans = {plan.pair: plan for plan in run.go_on(one)}
        for pair, position in run.venue.positions.items():
            mine = [order for order in run.venue.orders.values() if order.pair == pair]
            sells = sum((order.amount for order in mine if order.side is Side.SELL), Decimal(0))
            assert sells == position.amount, (pair, plans.get(pair), mine)


@OFTEN
@given(STATES, HISTORY)
def test_one_action_a_symbol_and_nothing_the_second_time(states: dict[str, str], history: list[Happening]) -> None:
    run = History(states)
    for one in history:
        leaving = {o.pair for o in run.venue.orders.values() if o.kind is OrderKind.MARKET}
        plans = run.go_on(one)
        assert len({plan.pair for plan in plans}) == len(plans)
        for plan in plans:
            alone = plan.pair not in leaving or one.filled
            assert alone or plan.wish.action in (PolicyAction.CLOSE, PolicyAction.PROTECT, PolicyAction.KEEP_BEST)
        run.now += 1
        assert run.plan() == []
        assert run.plan() == []


@OFTEN
@given(STATES, HISTORY)
def test_every_order_can_be_traced_to_one_logged_decision(states: dict[str, str], history: list[Happening]) -> None:
    run = History(states)
    sent: set[str] = set()
    for one in history:
        for plan in run.go_on(one):
            sent |= {step.id for step in plan.steps if isinstance(step, Order)}
    logged = [name for line in run.lines if line.plan is not None for name in line.plan.orders]
    assert len(logged) == len(set(logged))
    assert set(logged) == sent
    assert all(line.plan.policies and line.plan.id for line in run.lines if line.plan is not None)


@OFTEN
@given(st.fixed_dictionaries({name: st.sampled_from(["off", "shadow"]) for name in POLICIES}), HISTORY)
def test_shadows_send_nothing(states: dict[str, str], history: list[Happening]) -> None:
    run = History(states)
    run.supervisor = supervisor(only(**states))
    before = set(run.venue.orders)
    for one in history:
        assert run.go_on(msgspec.structs.replace(one, lost=None)) == ()
        assert set(run.venue.orders) <= before


@OFTEN
@given(st.sampled_from(["trailing", "break_even", "profit_ladder"]), MOVES, st.sampled_from([0.0, 0.05]))
def test_a_stop_policy_is_monotone(name: str, moves: list[float], volatility: float) -> None:
    """By the best price so far, so that no later price gives a lower stop; but for where the distance steps up."""
    best = price = Decimal(100)
    rule, before = policy(name), None
    for move in moves:
        price = (price * (1 + Decimal(str(move)))).quantize(Decimal("0.01"))
        best = max(best, price)
        one = rule.recommend(context(str(price), best=str(best), volatility=volatility))
        stop_ = None if one is None else one.stop
        if before is not None and stop_ is not None and name != "trailing":
            assert stop_ >= before
        before = stop_ if stop_ is not None else before


@OFTEN
@given(st.lists(st.tuples(st.sampled_from(["10", "5", "2.5"]), st.integers(80, 130)), min_size=2, max_size=12))
def test_the_ladder_never_goes_back(steps: list[tuple[str, int]]) -> None:
    watching = supervisor(only(profit_ladder="shadow"))
    stages: list[LadderStage] = []
    for number, (amount, price) in enumerate(steps):
        watching.plan((), (), (), spine(at(number), {BTC: held(amount)}, [], {BTC: float(price)}))
        stages.append(watching.portfolio.context(BTC).progress.stage)
    assert stages == sorted(stages)


@OFTEN
@given(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.decimals("1", "1000", places=2),
    st.decimals("0.001", "0.2", places=3),
    st.decimals("-3", "8", places=2),
)
def test_r_there_and_back(direction: Side, entry: Decimal, ratio: Decimal, multiple: Decimal) -> None:
    sign = 1 if direction is Side.BUY else -1
    units = RiskUnits(direction, entry, entry * (1 - sign * ratio))
    price = units.price_at(multiple)
    assert units.multiple(price) == multiple
    assert units.reached(price, multiple)
    assert not units.reached(price - sign * Decimal("0.0001"), multiple)


def some_positions(draw: st.DrawFn) -> Iterator[tuple[Pair, Position]]:
    for pair in PAIRS:
        if draw(st.booleans()):
            leave_at = draw(st.sampled_from([None, at(3), at(5), at(9)]))
            yield pair, held(draw(st.sampled_from(["1", "10"])), pair=pair, leave_at=leave_at)


@st.composite
def days(draw: st.DrawFn) -> tuple[list[object], list[Idea], list[Command], object]:
    """Anything that a slice may bring, every position with its stop or with a sell on its way."""
    positions = dict(some_positions(draw))
    orders = []
    for pair, position in positions.items():
        part = draw(st.sampled_from([None, None, "1", "all"]))
        if part is not None:
            amount = position.amount if part == "all" else min(Decimal(part), position.amount)
            orders.append(sell(str(amount), f"x-{pair}", pair))
        if part != "all":
            orders.append(stop("95", str(position.amount), f"s-{pair}", pair, OrderKind.STOP))
    ideas = [idea(draw(st.sampled_from(list(Side))), pair) for pair in draw(st.sets(st.sampled_from(PAIRS)))]
    intents = [intent(pair, 6) for pair in sorted(draw(st.sets(st.sampled_from(PAIRS))))]
    wishes = [
        command(CommandKind.FLATTEN),
        command(CommandKind.FLATTEN, ETH),
        command(CommandKind.ORDER, BTC, Side.BUY, "0.5"),
        command(CommandKind.ORDER, ETH, Side.SELL, "1"),
        command(CommandKind.EMERGENCY_SHUTDOWN),
        command(CommandKind.HALT),
    ]
    commands = draw(st.lists(st.sampled_from(wishes), max_size=2))
    closes = {pair: 96.0 + 2 * place for place, pair in enumerate(PAIRS) if draw(st.booleans())}
    return intents, ideas, commands, spine(at(5), positions, orders, closes)


@OFTEN
@given(days(), st.booleans())
def test_what_is_shipped_plans_what_the_fixed_supervisor_plans(
    day: tuple[list[object], list[Idea], list[Command], object], emergency: bool
) -> None:
    fixed = FixedSupervisor(SHIPPED.account, NAMESPACE, emergency_flatten=emergency)
    mine = PolicySupervisor(SHIPPED.policies, SHIPPED.account, NAMESPACE, emergency_flatten=emergency)
    assert mine.plan(*day) == fixed.plan(*day)  # type: ignore[arg-type]
    assert mine.moot(*day[1:]) == fixed.moot(*day[1:])  # type: ignore[arg-type]
    assert mine.rows() == []


@OFTEN
@given(days(), st.booleans())
def test_so_does_the_decision_engine_with_shadows_beside(
    day: tuple[list[object], list[Idea], list[Command], object], emergency: bool
) -> None:
    """The same orders, those of higher rank first."""
    fixed = FixedSupervisor(SHIPPED.account, NAMESPACE, emergency_flatten=emergency)
    shadows = tree(trailing="shadow", profit_ladder="shadow", daily_loss="shadow", correlated_exits="shadow")
    mine = PolicySupervisor(shadows.policies, shadows.account, NAMESPACE, emergency_flatten=emergency)
    found, expected = mine.plan(*day), fixed.plan(*day)  # type: ignore[arg-type]
    assert sorted(found, key=lambda order: order.id) == sorted(expected, key=lambda order: order.id)
    assert [order.pair for order in found if order.side is Side.BUY] == [
        order.pair for order in expected if order.side is Side.BUY
    ]


def test_the_histories_reach_what_they_are_for() -> None:
    """So that the properties above cannot hold for want of anything happening."""
    run = History(dict.fromkeys(POLICIES, "on"))
    up = Happening((0.05, 0.05, -0.06), Decimal(1), None, None)
    kinds = {plan.wish.action for _ in range(6) for plan in run.go_on(up)}
    run = History(dict.fromkeys(POLICIES, "on"))
    run.now += COOLDOWN
    kinds |= {plan.wish.action for plan in run.go_on(Happening((0.0, 0.0, 0.0), Decimal(1), ETH, BTC))}
    assert {PolicyAction.RAISE_STOP, PolicyAction.SELL_PART, PolicyAction.CLOSE, PolicyAction.PROTECT} <= kinds
    assert HOUR > STEP
    assert OrderId("s-" + BTC) not in run.venue.orders
