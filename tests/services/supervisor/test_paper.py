"""The broker of paper trading keeps the contract of all brokers, and protects, restarts and reconciles bar by bar."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.clock import SimClock
from src.core.errors import LedgerError
from src.core.standing import Level, Standing
from src.core.types import Approved, Fill, OrderKind, Pair, Side, Slice
from src.core.venue import Ask
from src.services.gate import RiskGate
from src.services.limits import Watch
from src.services.supervisor.register import replay
from src.wiring import Plan, order_path
from tests.checks import broker_checks
from tests.money import BTC, ETH, HOUR, PAIRS, Ohlcv, approve, closed_at, exchange, flat, order, slice_of
from tests.worlds import settings


class Stage:
    """A paper account that is told one bar after the other, as the engine does it."""

    def __init__(self, **changes: object) -> None:
        self.tree = settings(**changes)
        self.clock = SimClock()
        self.standing = Standing()
        self.ledger = MemoryLedger(self.tree.ledger)
        gate = RiskGate(self.tree.risk, self.tree.costs, Watch(self.tree.limits, self.standing))
        plan = Plan(PAIRS, HOUR, 7)
        self.broker = order_path(self.tree, plan, self.clock, self.ledger, gate, self.standing)
        self.bar = 0
        self.clock.reach(closed_at(0))

    def send(self, side: Side, amount: str, name: str, stop: str | None = None, pair: Pair = BTC) -> Approved:
        wanted = order(side, amount, pair, at=closed_at(self.bar), name=name, stop=stop)
        approved = approve(wanted, self.tree)
        self.broker.submit(approved)
        return approved

    def advance(self, price: float) -> Sequence[Fill]:
        return self.see({BTC: flat(price)} if price else {})

    def see(self, bars: dict[Pair, Ohlcv]) -> Sequence[Fill]:
        self.bar += 1
        self.clock.reach(closed_at(self.bar))
        return self.broker.fills(slice_of(self.bar, bars))

    def stops(self) -> list[tuple[Decimal, Decimal | None]]:
        """Amount and trigger of what rests."""
        return [(o.amount, o.trigger) for o in self.broker.open_orders() if o.kind is OrderKind.STOP]

    @property
    def kraken(self) -> Any:
        """The exchange behind the broker."""
        return self.broker._market


OTHERWISE = {
    "check_cancel_takes_everything_of_a_pair": "a sell and a stop cannot both promise the same base at the exchange",
    "check_dust_is_refused": "the exchange refuses it, and an outcome says so",
    "check_digits_below_the_step_do_not_keep_an_order_open": "the supervisor cuts amounts; what is cut once stays so",
}
"""Where the manners of the exchange differ from the broker of backtests; each has a test of its own below."""


@pytest.mark.parametrize(
    "check", [one for one in broker_checks.CHECKS if one.__name__ not in OTHERWISE], ids=lambda check: check.__name__
)
def test_contract(check: object) -> None:
    check(Stage)  # type: ignore[operator]


def test_what_differs_is_in_the_contract() -> None:
    assert set(OTHERWISE) < {check.__name__ for check in broker_checks.CHECKS}


def test_a_sell_withdraws_the_stop_in_its_way_and_what_stays_is_protected_again() -> None:
    stage = Stage()
    stage.send(Side.BUY, "1", "in", stop="0.05")
    stage.advance(100.0)
    assert stage.stops() == [(Decimal(1), Decimal(95))]
    stage.send(Side.SELL, "0.4", "out")
    assert stage.stops() == [(Decimal("0.6"), Decimal(95))]
    assert [fill.amount for fill in stage.advance(100.0)] == [Decimal("0.4")]
    assert stage.stops() == [(Decimal("0.6"), Decimal(95))]


def test_an_amount_below_the_least_is_refused_by_the_exchange_and_the_record_says_so() -> None:
    stage = Stage()
    stage.send(Side.BUY, "0.000000000000000001", "dust")
    assert list(stage.broker.open_orders()) == []
    (line,) = stage.broker.notices(closed_at(0))
    assert (line.kind, line.reason, line.source, line.detail) == (
        "refusal", "order_minimum", "coordinator", {"order": "dust"},
    )  # fmt: skip
    assert [(o.order_id, o.state) for o in stage.broker.outcomes()] == [("dust", "rejected")]


def test_the_stop_of_an_entry_protects_within_the_bar_of_the_entry() -> None:
    stage, twin = Stage(), exchange(settings())
    approved = stage.send(Side.BUY, "1", "in", stop="0.05")
    twin.submit(approved)
    bar = {BTC: (100.0, 101.0, 94.0, 96.0, 1e6)}
    found, expected = stage.see(bar), twin.fills(slice_of(1, bar))
    figures = [(f.side, f.amount, f.price, f.fee, f.slippage, f.at, f.reason, f.final) for f in found]
    assert figures == [(f.side, f.amount, f.price, f.fee, f.slippage, f.at, f.reason, f.final) for f in expected]
    assert [(f.side, f.price, f.at) for f in found] == [
        (Side.BUY, Decimal(100), closed_at(1)),
        (Side.SELL, Decimal(95), closed_at(1)),
    ]


def test_an_entry_without_volume_is_cut_and_what_was_bought_is_protected_in_the_same_bar() -> None:
    """A backtest goes on buying in the next bars; at the exchange a stop has to wait for that, so the entry ends."""
    stage = Stage()
    stage.send(Side.BUY, "10", "in", stop="0.05")
    (fill,) = stage.see({BTC: (100.0, 100.0, 99.0, 99.0, 40.0)})
    assert (fill.amount, fill.final) == (Decimal(4), False)
    assert stage.stops() == [(Decimal(4), Decimal(95))]
    assert list(stage.see({BTC: flat(99.0)})) == []
    assert [(o.order_id, o.state, o.reason) for o in stage.broker.outcomes()][:2] == [
        ("in", "open", ""), ("in", "cancelled", "asked"),
    ]  # fmt: skip


def test_a_stop_without_volume_goes_on_at_the_next_open() -> None:
    stage = Stage()
    stage.send(Side.BUY, "10", "in", stop="0.05")
    stage.advance(100.0)
    assert [f.amount for f in stage.see({BTC: (100.0, 100.0, 90.0, 90.0, 40.0)})] == [Decimal(4)]
    assert [(f.amount, f.price) for f in stage.see({BTC: flat(91.0)})] == [(Decimal(6), Decimal(91))]
    assert list(stage.broker.open_orders()) == []


def test_every_order_stands_as_an_intent_before_its_execution() -> None:
    stage = Stage()
    stage.send(Side.BUY, "1", "in", stop="0.05")
    stage.advance(100.0)
    stage.send(Side.SELL, "1", "out")
    stage.advance(101.0)
    kinds = [row.kind for row in stage.ledger.rows() if row.kind in ("intent", "execution")]
    assert kinds == ["intent", "execution", "intent", "intent", "execution"]  # the stop was never executed
    assert replay(stage.ledger.rows()).state() == stage.broker.coordinator.state()


def walked(stage: Stage, bars: int, restart_after: int | None = None) -> list[Any]:
    """Trade a little; with a restart in the middle another broker goes on from the state."""
    fills: list[Any] = []
    for bar in range(1, bars):
        if bar % 5 == 1:
            stage.send(Side.BUY, "1", f"in-{bar}", stop="0.02", pair=(BTC, ETH)[bar % 2])
        elif bar % 5 == 4:
            stage.send(Side.SELL, "0.5", f"out-{bar}", pair=(BTC, ETH)[(bar - 3) % 2])
        price = 100.0 + (bar * 7) % 5
        seen = stage.see(dict.fromkeys((BTC, ETH), (price, price + 1, price - 3, price, 1000000.0)))
        fills += [(f.id, f.pair, f.side, f.amount, f.price, f.at) for f in seen]
        stage.broker.notices(closed_at(bar))
        stage.broker.outcomes()
        if bar == restart_after:
            other = Stage()
            other.ledger = stage.ledger
            other.broker._ledger = stage.ledger
            other.broker.restore(checkpoint.load(checkpoint.dump(stage.broker.state())))
            other.bar = bar
            other.clock.reach(closed_at(bar))
            assert other.broker.state() == stage.broker.state()
            stage.broker, stage.clock, stage.standing = other.broker, other.clock, other.standing
    return fills


@pytest.mark.parametrize("after", [1, 2, 4, 9, 17])
def test_a_restart_in_the_middle_comes_to_the_same_rows(after: int) -> None:
    calm, restarted = Stage(), Stage()
    assert walked(calm, 24) == walked(restarted, 24, after)
    assert [(r.kind, r.key, r.body) for r in restarted.ledger.rows()] == [
        (r.kind, r.key, r.body) for r in calm.ledger.rows()
    ]
    assert restarted.broker.state() == calm.broker.state()
    assert {"stop", "intent"} <= {"stop" if b"stop" in r.body else r.kind for r in calm.ledger.rows()}


def test_a_state_of_the_broker_of_backtests_is_refused_in_one_line() -> None:
    with pytest.raises(LedgerError, match="without the order path: begin anew in another --state"):
        Stage().broker.restore(exchange(settings()).state())


def test_what_does_not_agree_is_looked_at_again_then_halts_its_pair_until_somebody_resumes() -> None:
    stage = Stage()
    stage.send(Side.BUY, "1", "in", stop="0.05")
    stage.advance(100.0)
    stage.broker.notices(closed_at(1))
    stage.broker.reconcile("first")
    assert stage.broker.reconciled["first"] == []
    for _ in range(5):
        stage.broker.reconcile("at once")  # it has a limit for questions
    assert stage.broker.reconciled["at once"][0].startswith("not answered yet: ")
    stage.advance(100.0)
    stage.kraken.server.purse.base[BTC] = Decimal("0.25")
    stage.broker.reconcile("second")
    assert stage.broker.reconciled["second"] == ["BTC/USDT: 1.00000000 held by our executions, 0.25 BTC at the venue"]
    assert stage.standing.of(BTC) is None
    stage.advance(100.0)
    throw = stage.standing.of(BTC)
    assert throw is not None
    assert (throw.level, throw.source) == (Level.HALTED, "coordinator")
    lines = stage.broker.notices(closed_at(2))
    assert [(line.kind, line.pair) for line in lines] == [("alarm", BTC), ("halt", BTC)]
    assert stage.broker.shown["alarms"] == [str(lines[0].detail["says"])]
    assert stage.standing.of(ETH) is None
    stage.send(Side.BUY, "1", "more")
    (refusal,) = stage.broker.notices(closed_at(2))
    assert (refusal.kind, refusal.reason) == ("refusal", "halted")
    stage.kraken.server.purse.base[BTC] = Decimal(1)
    stage.standing.clear(BTC)
    stage.broker.clear(BTC, "looked into")
    assert stage.broker.coordinator.halted == {}
    stage.send(Side.SELL, "1", "out")
    assert [fill.order_id for fill in stage.advance(100.0)] == ["out"]


def test_two_pairs_of_one_asset_are_compared_by_their_sum() -> None:
    stage = Stage()
    stage.send(Side.BUY, "1", "in")
    stage.advance(100.0)
    stage.kraken.server.purse.base[Pair("BTC/EUR")] = Decimal(2)
    answer = stage.kraken.server.answer(Ask.BALANCES, (), None, closed_at(1))
    assert dict(answer.balances)["BTC"] == Decimal(3)


def test_a_slice_without_bars_lets_time_pass_and_nothing_else() -> None:
    stage = Stage()
    stage.send(Side.BUY, "1", "in")
    stage.bar += 1
    stage.clock.reach(closed_at(1))
    assert list(stage.broker.fills(Slice(closed_at(1), None))) == []
    assert len(stage.broker.open_orders()) == 1
