"""Any sequence of orders and bars: the books agree with their fills, and a restart changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from src.core import checkpoint
from src.core.config import Settings
from src.core.portfolio import money
from src.core.types import MONEY_STEP, Approved, CommandKind, Denied, Pair, Side
from tests.money import (
    HOUR,
    PAIRS,
    Ohlcv,
    Walk,
    closed_at,
    command,
    idea,
    intent,
)
from tests.worlds import settings

FLATTEN = command(CommandKind.FLATTEN)

price = st.one_of(st.floats(60.0, 160.0), st.sampled_from([100.0, 95.0, 1e-8, 3e-5, 1e8]))
volume = st.sampled_from([0.0, 1e-9, 0.7, 25.0, 60.0, 1e6, 1e14])


@st.composite
def bar(draw: st.DrawFn) -> Ohlcv:
    """Open and close anywhere, low and high around them."""
    opening, closing = draw(price), draw(price)
    low, high = min(opening, closing), max(opening, closing)
    return (
        opening,
        high * draw(st.sampled_from([1.0, 1.1])),
        low * draw(st.sampled_from([1.0, 0.9])),
        closing,
        draw(volume),
    )


manual = st.builds(
    command,
    st.just(CommandKind.ORDER),
    st.sampled_from(PAIRS),
    st.sampled_from(list(Side)),
    st.sampled_from(["0.3", "1", "7.123456789", "40", "0.000000001"]),
)
step = st.fixed_dictionaries(
    {
        "bars": st.dictionaries(st.sampled_from(PAIRS), bar(), min_size=0, max_size=3),
        "intents": st.lists(st.builds(intent, st.sampled_from(PAIRS), st.sampled_from([None, 1, 3])), max_size=3),
        "ideas": st.lists(st.builds(idea, st.sampled_from(list(Side)), st.sampled_from(PAIRS)), max_size=1),
        "commands": st.lists(st.one_of(manual, st.just(FLATTEN)), max_size=1),
    }
)
steps = st.lists(step, min_size=1, max_size=25)
TREES = [
    settings(),
    settings(account__entry_equity_ratio=0.9),
    settings(account__stop_ratio=0.0, exchange__max_volume_ratio=1.0),
    settings(account__start_quote="0.00000777", costs__fee_ratio=0.1),
]


class Books:
    """Checks a walk against sums that are made from its fills alone."""

    def __init__(self, walk: Walk, start: Decimal) -> None:
        self.walk, self.start, self.taken = walk, start, 0
        self.cash, self.held, self.marks = start, dict.fromkeys(PAIRS, Decimal(0)), dict.fromkeys(PAIRS, Decimal(0))
        self.sent: dict[str, int] = {}

    def check(self, verdicts: Sequence[Approved | Denied], bars: Mapping[Pair, Ohlcv]) -> None:
        self._take(bars)
        portfolio = self.walk.desk.portfolio
        assert portfolio.cash == self.cash
        assert portfolio.cash >= 0
        assert {pair: p.amount for pair, p in portfolio.positions.items()} == {p: a for p, a in self.held.items() if a}
        worth = sum(((self.held[p] * self.marks[p]).quantize(MONEY_STEP) for p in PAIRS), Decimal(0))
        assert self.walk.desk.equity == self.cash + worth
        self._check_orders(verdicts)

    def _take(self, bars: Mapping[Pair, Ohlcv]) -> None:
        opened = closed_at(self.walk.bar) - HOUR
        sold = dict.fromkeys(PAIRS, Decimal(0))
        for fill in self.walk.fills[self.taken :]:
            low, high = money(bars[fill.pair][2]), money(bars[fill.pair][1])
            assert low <= fill.price <= high
            assert fill.amount > 0
            sold[fill.pair] += fill.amount
            if fill.order_id in self.sent:
                assert self.sent[fill.order_id] <= opened
            else:
                assert fill.reason == "stop"
            sign = 1 if fill.side is Side.BUY else -1
            self.cash -= sign * fill.notional + fill.fee + fill.slippage
            self.held[fill.pair] += sign * fill.amount
            assert self.held[fill.pair] >= 0
        for pair, ohlcv in bars.items():
            assert sold[pair] <= money(ohlcv[4])
            self.marks[pair] = money(ohlcv[3])
        self.taken = len(self.walk.fills)

    def _check_orders(self, verdicts: Sequence[Approved | Denied]) -> None:
        pairs = [v.order.pair for v in verdicts]
        assert len(pairs) == len(set(pairs))
        for verdict in verdicts:
            assert verdict.order.id not in self.sent
            if isinstance(verdict, Approved):
                self.sent[verdict.order.id] = verdict.order.at
        waiting = self.walk.desk.broker.open_orders()
        assert all(o.amount > 0 for o in waiting)
        assert all(self.held[o.pair] for o in waiting if o.kind == "stop")


@pytest.mark.parametrize("tree", TREES, ids=["shipped", "nearly all in", "stop at entry", "crumbs"])
@effort(max_examples=60, deadline=None)
@given(script=steps)
def test_cash_and_positions_are_what_the_fills_say(tree: Settings, script: list[dict[str, Any]]) -> None:
    walk = Walk(tree)
    books = Books(walk, tree.account.start_quote)
    for one in script:
        books.check(walk(**one), one["bars"])
    ids = [f.id for f in walk.fills]
    assert len(ids) == len(set(ids))
    profits = sum((trade.profit for trade in walk.trades), Decimal(0))
    if not walk.desk.portfolio.positions:
        assert walk.desk.portfolio.cash == tree.account.start_quote + profits


@effort(max_examples=60, deadline=None)
@given(script=steps, cut=st.integers(0, 25))
def test_a_restored_desk_goes_on_identically(script: list[dict[str, Any]], cut: int) -> None:
    straight, broken = Walk(), Walk()
    for number, one in enumerate(script):
        if number == cut:
            fresh = Walk()
            fresh.desk.restore(_through_bytes(broken.desk.state()))
            fresh.desk.broker.restore(_through_bytes(broken.desk.broker.state()))
            fresh.bar, fresh.closes = broken.bar, broken.closes
            fresh.fills, fresh.trades = broken.fills, broken.trades
            broken = fresh
        assert broken(**one) == straight(**one)
        assert broken.desk.equity == straight.desk.equity
    assert broken.fills == straight.fills
    assert broken.trades == straight.trades
    assert broken.desk.state() == straight.desk.state()
    assert broken.desk.broker.state() == straight.desk.broker.state()


def _through_bytes(state: dict[str, Any]) -> dict[str, Any]:
    return checkpoint.load(checkpoint.dump(state))
