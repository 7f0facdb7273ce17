"""Faults of the order path that only an adversary looked for: each of these found a bug that was planted on purpose."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread

import msgspec
import numpy as np
import pytest

from src.connectors.halt_file import HaltFile
from src.connectors.kraken.budget import Budget
from src.connectors.kraken.nonce import Nonces
from src.core.standing import Level, Standing, Throw, withheld
from src.core.types import Approved, Command, CommandKind, OrderKind, Side
from src.core.venue import Answered, Ask, Ended, Executed, Lost, OrderState, Place, VenueId
from src.services.kill_switch import KillSwitch
from src.services.supervisor.actions import Question, Withdraw
from src.services.supervisor.inquiry import Purpose, Round, is_absent
from src.services.supervisor.order_states import Progress, Tracked
from src.services.supervisor.recommendation import PolicyAction
from tests.money import fill
from tests.policies import context, policy
from tests.services.supervisor.world import BTC, ETH, SETTINGS, START, World, order
from tests.services.test_account_gate import Account, buy
from tests.settings.leaves import tree


def ms(seconds: float) -> int:
    return round(1000 * seconds)


def halted(world: World) -> None:
    """Two executions of orders that are none halt everything."""
    for number, pair in enumerate((BTC, ETH)):
        name = world.coordinator.client_id(order(f"nobody {number}"))
        stranger = (f"F{number}", VenueId(f"Z{number}"), name, pair, Side.BUY)
        world.tell(Executed(*stranger, Decimal(1), Decimal(100), Decimal(0), world.now, False))
    assert None in world.coordinator.halted


def test_p01_after_a_restart_what_was_on_its_way_counts_as_unknown_at_once() -> None:
    """The gate counts unknown orders: one that a crash left must be among them before anybody asked the exchange."""
    world = World()
    client_id = world.submit(order("entry"))
    world.crash()
    world.do(world.coordinator.start(world.now))
    assert [one.id for one in world.coordinator.unknown_orders()] == ["entry"]
    assert world.progress(client_id) is Progress.UNKNOWN


def test_k01_cancelling_one_side_leaves_the_stop() -> None:
    world = World()
    world.buy(stop="0.05")
    before = len(world.trace)
    world.do(world.coordinator.cancel(BTC, Side.SELL, world.now))
    world.run()
    assert [action for action in world.trace[before:] if isinstance(action, Withdraw)] == []
    assert [stop.amount for stop in world.stops()] == [Decimal(1)]


def test_b_f09_a_stop_asked_for_too_small_leaves_with_the_size_of_what_is_held() -> None:
    world = World()
    world.buy(amount="2", stop="0.05")
    raised = world.submit(order("raised", Side.SELL, "0.5", kind=OrderKind.STOP, trigger="97"))
    world.run()
    assert next(p for p in world.sent() if p.client_id == raised).approved.order.amount == Decimal(2)
    assert [(stop.amount, stop.trigger) for stop in world.stops()] == [(Decimal(2), Decimal(97))]


def test_b_f09_a_stop_shrinks_when_an_absent_sell_turns_out_to_have_sold() -> None:
    world = World()
    world.buy(stop="0.05")
    sell = world.submit(order("sell", Side.SELL))
    world.venue.arrive()
    world.hear()
    late = next(one for one in world.venue.wire if isinstance(one, Place))
    world.venue.wire.remove(late)
    world.wait(12)
    assert (world.progress(sell), [stop.amount for stop in world.stops()]) == (Progress.ABSENT, [Decimal(1)])
    world.venue.wire.append(msgspec.structs.replace(late, deadline=2**62))
    world.venue.arrive()
    world.venue.fill(world.at(sell).venue_id, "0.4")
    world.run()
    world.wait(3)
    assert world.coordinator.positions() == {BTC: Decimal("0.6")}
    assert [stop.amount for stop in world.stops()] == [Decimal("0.6")]
    world.quiet()


@pytest.mark.parametrize("filled", ["1.00000001", "5", "-1", "NaN", "Infinity"])
def test_x09_an_end_with_more_filled_than_there_was_is_not_believed(filled: str) -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.run()
    at = world.at(client_id)
    world.tell(Ended(at.venue_id, client_id, BTC, OrderState.CANCELLED, Decimal(filled), world.now, ""))
    assert "quarantine" in world.codes()
    assert BTC in world.coordinator.halted
    assert world.progress(client_id) is Progress.ACKED


@pytest.mark.parametrize(("after", "absent"), [(-1, False), (0, False), (1, True)])
def test_x03_absent_is_only_what_was_asked_about_after_deadline_and_margin(after: int, absent: bool) -> None:
    world = World()
    client_id = world.submit(order("entry"))
    tracked = next(iter(world.coordinator._register.live(BTC)))
    assert isinstance(tracked, Tracked)
    started = tracked.deadline + 2_000 + after
    round_ = Round(Purpose.RESOLVE, started, left=deque(), about=(client_id,), since=None)
    assert is_absent(tracked, round_, 2_000) is absent


def test_x04_what_the_question_for_the_time_travelled_makes_the_margin_larger() -> None:
    """The venue's clock is known no closer than half of the way there and back."""
    world = World(begin=False)
    world.venue.skew = 300
    world.do(world.coordinator.start(world.now))
    world.now += 400
    world.venue.now = world.now - 200
    world.venue.arrive()
    world.venue.now = world.now
    world.hear()
    assert world.coordinator.clock_offset == 300
    uncertain = 300 + 200
    expected = ms(SETTINGS.absence_margin_seconds) + round(SETTINGS.absence_offset_factor * uncertain)
    assert world.coordinator._inquiry.margin == expected


def test_n02_an_answer_to_a_question_that_was_asked_again_is_too_old() -> None:
    """What it says is taken in, but the round waits for the answer to what was asked last."""
    world = World(begin=False)
    world.do(world.coordinator.start(world.now))
    world.hear()
    first = next(action for action in world.trace if isinstance(action, Question))
    world.wait(SETTINGS.answer_seconds + 0.5, travel=False)
    asked = [action for action in world.trace if isinstance(action, Question)]
    assert len(asked) >= 2
    world.tell(Answered(first.ask, first.number, START, venue_now=START))
    assert [action for action in world.trace if isinstance(action, Question)] == asked
    assert world.coordinator.clock_offset is None
    assert first.ask is Ask.TIME


def test_k01_a_halt_withdraws_even_an_order_of_which_nobody_knows() -> None:
    world = World()
    client_id = world.submit(order("entry"))
    world.tell(Lost(client_id, "timeout", world.now))
    assert world.progress(client_id) is Progress.UNKNOWN
    before = len(world.trace)
    halted(world)
    asked = [action.client_id for action in world.trace[before:] if isinstance(action, Withdraw)]
    assert asked == [client_id]


def test_k01_a_stop_may_leave_while_its_pair_is_halted_and_nothing_else_may() -> None:
    """Time passes between an intent and its send: a halt in between must not keep protection back."""
    world = World()
    world.buy(stop="0.05")
    halted(world)
    may_leave = world.coordinator.may_leave
    for kind in (OrderKind.STOP, OrderKind.STOP_LIMIT):
        assert may_leave(order("stop", Side.SELL, kind=kind, trigger="95", limit="94")) == ""
        assert may_leave(order("breakout", Side.BUY, kind=kind, trigger="105", limit="106")) == "halted"
    assert may_leave(order("sell", Side.SELL)) == "halted"
    assert may_leave(order("entry")) == "halted"


@pytest.mark.parametrize("kind", [OrderKind.STOP, OrderKind.STOP_LIMIT])
def test_k04_halted_lets_every_kind_of_stop_protect_and_none_buy(kind: OrderKind) -> None:
    throw = Throw(Level.HALTED, "drill", "test")
    assert withheld(order("stop", Side.SELL, kind=kind, trigger="95", limit="94"), throw) == ""
    assert withheld(order("breakout", Side.BUY, kind=kind, trigger="105", limit="106"), throw) == "halted: drill"


def test_k04_of_equally_strict_throws_the_newest_gives_the_reason() -> None:
    standing = Standing()
    standing.throw(Level.HALTED, "first", "somebody")
    standing.throw(Level.HALTED, "second", "somebody else")
    standing.throw(Level.REDUCE_ONLY, "milder", "a third")
    assert standing.of() == Throw(Level.HALTED, "second", "somebody else")


def test_p04_after_standing_still_for_two_minutes_nothing_leaves_in_a_burst() -> None:
    """A stopped process wakes up: what waited is too old, what was on its way is asked for before anything leaves."""
    world = World()
    flying = world.submit(order("flying"))
    waiting = world.submit(order("waiting", pair=ETH))
    world.do(world.coordinator.submit(Approved(order("behind", Side.SELL), world.now), world.now))
    sent = len(world.sent())
    world.now += 120_000
    world.venue.now = world.now
    world.do(world.coordinator.on_time(world.now))
    assert len(world.sent()) == sent
    assert {one.id for one in world.coordinator.unknown_orders()} == {"flying", "waiting"}
    assert ("rejected", "stale") in world.reasons()
    world.run()
    world.wait(20)
    assert [world.progress(one) for one in (flying, waiting)] == [Progress.ABSENT, Progress.ABSENT]
    assert len(world.sent()) == sent
    world.quiet()


@pytest.mark.parametrize("seed", range(20))
def test_l01_executions_shuffled_and_repeated_come_to_the_same(seed: int) -> None:
    """Whatever order they arrive in and however often: same position, each counted once, same rows again."""
    random = np.random.default_rng(seed)
    world = World()
    client_id = world.submit(order("entry", amount="2"))
    world.run()
    venue_id = world.at(client_id).venue_id
    parts = ["0.3", "0.00000001", "0.7", "0.5", "0.49999999"]
    told = [
        Executed(f"T{n}", venue_id, client_id, BTC, Side.BUY, Decimal(part), Decimal(100 + n), Decimal("0.1"), START)
        for n, part in enumerate(parts)
    ]
    for place in random.permutation(np.repeat(np.arange(len(told)), 3)):
        world.tell(told[int(place)])
        world.check()
    assert world.coordinator.positions() == {BTC: Decimal(2)}
    assert sorted(fill.id for fill in world.fills.values()) == [one.execution_id for one in told]
    assert world.progress(client_id) is Progress.FILLED
    assert world.codes() == []


def test_k01_what_was_decided_milder_does_not_soften_what_was_thrown_since(tmp_path: Path) -> None:
    """A slice that decides to reduce must not lift a halt that was thrown meanwhile."""
    standing, waiting = Standing(), []
    switch = KillSwitch(standing, HaltFile(tmp_path), waiting.append, waiting=lambda: waiting)
    storm = Command(CommandKind.HALT, "storm", "control", level=Level.HALTED.value)
    switch.foresee(storm)
    switch.hand_over(storm)
    standing.throw(Level.REDUCE_ONLY, "drawdown", "risk guardian")
    switch.observe(None)
    assert switch.may_send(order("sell", Side.SELL)) == "halted: storm"
    waiting.clear()
    standing.throw(Level.HALTED, "decided", "control")
    switch.observe(None)
    standing.clear()
    assert switch.may_send(order("sell", Side.SELL)) == "", "what was decided is not remembered here as well"


def test_k05_a_restart_does_not_let_the_same_order_through_again() -> None:
    before, after = Account(), Account()
    assert before.ask(buy()) == ""
    after.watch.restore(msgspec.json.decode(msgspec.json.encode(before.watch.state())))
    assert after.ask(buy()) == "duplicate"


def test_k05_executions_better_than_decided_make_up_for_worse_ones() -> None:
    """Slippage is what was paid beyond the price that was decided on: a mean, with its sign."""
    account = Account(limits__slippage_fills=4, limits__max_slippage_ratio="0.01")
    for number, price in enumerate(("98", "102", "98", "102")):
        assert account.ask(buy(f"1.{number}", id=f"o-{number}")) == ""
        account.watch.on_fills([fill(Side.BUY, f"1.{number}", price, number=number)], [])
    assert account.watch.breakers.slippage == 0
    assert dict(account.watch.breakers.tripped) == {}


def test_x12_two_threads_never_keep_a_nonce_at_the_same_time() -> None:
    """Whoever waits for the disk with a nonce holds up the next one: both would be the same."""

    class Slow:
        """Stays in `keep` until somebody else is there, too, or a moment has passed."""

        def __init__(self) -> None:
            self.inside, self.most = 0, 0
            self.second = Event()

        def last(self) -> int:
            return 0

        def keep(self, nonce: int) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside > 1:
                self.second.set()
            self.second.wait(0.2)
            self.inside -= 1

    store = Slow()
    nonces = Nonces(store, lambda: 1_000)
    taken: list[int] = []
    threads = [Thread(target=lambda: taken.append(nonces.next())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(taken), store.most) == ([1_000, 1_001, 1_002], 1)


def test_b_f04_the_ladder_does_not_sell_what_is_leaving_already() -> None:
    """The engine holds such a sale back as well; a policy that forgets it would ask for it in every cycle."""
    ladder = policy("profit_ladder")
    due = ladder.recommend(context("110"))
    assert due is not None
    assert due.action is PolicyAction.SELL_PART
    assert due.amount is not None
    rest = ladder.recommend(context("110", leaving=str(due.amount)))
    assert rest is None or rest.action is PolicyAction.RAISE_STOP


@pytest.mark.parametrize(("age_ms", "cost"), [(0, 8), (4_999, 8), (5_000, 6), (9_999, 6), (10_000, 5), (300_000, 0)])
def test_x11_a_cancellation_costs_less_from_the_very_moment_on_that_kraken_says(age_ms: int, cost: int) -> None:
    settings = tree().kraken.budget
    budget = Budget(settings)
    assert budget.cancel(BTC, age_ms, 0) == 0.0
    assert budget.used(0)[1] == pytest.approx(cost / settings.pair_most)
