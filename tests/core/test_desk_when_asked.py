"""A desk that is seldom asked says the same as one that is asked after every bar; a desk at rest wants nothing."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from src.core.desk import Desk
from src.core.types import Approved, OrderKind, Pair, Side
from tests.money import BTC, ETH, PAIRS, Ohlcv, Walk, approve, closed_at, desk, flat, idea, intent, slice_of, snapshot
from tests.worlds import settings

BARS: list[dict[Pair, Ohlcv]] = [
    {BTC: flat(100.0), ETH: flat(10.0)},
    {BTC: flat(101.0), ETH: flat(11.0)},
    {BTC: flat(103.0), ETH: flat(12.0)},
    {ETH: flat(13.0)},
    {BTC: flat(99.0)},
    {},
    {BTC: flat(98.0), ETH: flat(12.5)},
]


def begun() -> Desk:
    """A desk that wants both pairs at the close of the first bar."""
    here = desk()
    here.settle(slice_of(0, BARS[0]))
    seen = snapshot(closed_at(0), {BTC: 100.0, ETH: 10.0})
    for verdict in here.decide([intent(BTC), intent(ETH)], (), (), seen, "", True):
        assert isinstance(verdict, Approved)
        here.send(verdict)
    return here


def test_marks_and_equity_are_the_same_however_seldom_somebody_asks() -> None:
    for last in range(1, len(BARS)):
        always, seldom = begun(), begun()
        for bar in range(1, last + 1):
            always.settle(slice_of(bar, BARS[bar]))
            seldom.settle(slice_of(bar, BARS[bar]))
            assert always.equity > 0
        assert seldom.equity == always.equity
        assert dict(seldom.marked_at) == dict(always.marked_at)
        assert [seldom.mark_of(pair) for pair in (BTC, ETH)] == [always.mark_of(pair) for pair in (BTC, ETH)]


def test_a_pair_without_a_bar_keeps_the_mark_that_nobody_asked_for() -> None:
    here = begun()
    for bar in (1, 2, 3):
        here.settle(slice_of(bar, BARS[bar]))
    assert (here.mark_of(BTC), here.mark_of(ETH)) == (Decimal("103.0"), Decimal("13.0"))
    assert here.marked_at == {BTC: closed_at(2), ETH: closed_at(3)}


def test_the_peak_is_that_of_the_slices_in_which_somebody_asked() -> None:
    here, asked = begun(), begun()
    for bar in (1, 2):
        here.settle(slice_of(bar, BARS[bar]))
        asked.settle(slice_of(bar, BARS[bar]))
        assert asked.peak_equity
    lower = {BTC: flat(97.0), ETH: flat(9.8)}
    for one in (here, asked):
        one.settle(slice_of(3, lower))
    assert asked.peak_equity > here.peak_equity == Decimal(10_000)


def test_a_checkpoint_asks_first() -> None:
    here, again = begun(), desk()
    for bar in (1, 2):
        here.settle(slice_of(bar, BARS[bar]))
    again.restore(here.state())
    assert (again.equity, again.mark_of(BTC)) == (here.equity, Decimal("103.0"))


def test_rests_is_true_exactly_where_nothing_would_be_decided() -> None:
    walk = Walk()
    at = closed_at(0)
    assert walk.desk.rests([], [idea(Side.SELL)], at)
    assert not walk.desk.rests([intent()], [], at)
    walk({BTC: flat(100.0)}, [intent(horizon=3)])
    assert not walk.desk.rests([], [], at)  # the entry waits
    walk({BTC: flat(100.0)})
    assert walk.desk.rests([], [], closed_at(1))  # a stop that rests is no reason
    assert walk.desk.rests([], [idea(Side.SELL, ETH), idea(Side.BUY, BTC)], closed_at(1))
    assert not walk.desk.rests([], [idea(Side.SELL, BTC)], closed_at(1))
    assert (walk.desk.rests([], [], closed_at(2)), walk.desk.rests([], [], closed_at(3))) == (True, False)


def test_pairs_with_a_bar_are_counted() -> None:
    blocks = [slice_of(0, bars).bars for bars in ({}, BARS[0], {pair: flat(1.0) for pair in PAIRS})]
    assert [block.count() for block in blocks if block is not None] == [0, 2, len(PAIRS)]


def test_a_desk_is_idle_until_an_entry_waits_and_again_once_nothing_is_held() -> None:
    walk = Walk()
    assert walk.desk.idle
    walk({BTC: flat(100.0)}, [intent(horizon=1)])
    assert not walk.desk.idle  # the entry waits
    walk({BTC: flat(100.0)})
    assert not walk.desk.idle  # held, with a stop
    walk({BTC: flat(100.0)})
    assert walk.desk.idle


def test_what_the_gate_looked_at_is_of_one_slice() -> None:
    walk = Walk()
    walk.desk.reviews = []
    walk({BTC: flat(100.0)}, [intent()])
    assert [review.verdict.order.pair for review in walk.desk.reviews] == [BTC]
    walk.desk.settle(slice_of(1, {BTC: flat(100.0)}))
    assert walk.desk.reviews == []


def test_a_position_is_covered_while_orders_to_sell_make_up_all_of_it() -> None:
    walk = Walk()
    assert walk.desk.covered()  # nothing is held
    walk({BTC: flat(100.0)}, [intent(horizon=9)])
    walk({BTC: flat(100.0)})
    assert walk.desk.covered()
    assert walk.desk.covered()  # and again, from memory
    (stop,) = walk.desk.broker.open_orders()
    walk.desk.broker.cancel(BTC)
    assert not walk.desk.covered()
    less = msgspec.structs.replace(stop, kind=OrderKind.STOP, amount=stop.amount / 2, trigger=Decimal(90))
    walk.desk.broker.submit(approve(less, settings()))
    assert not walk.desk.covered()
    whole = msgspec.structs.replace(less, amount=stop.amount)
    walk.desk.broker.submit(approve(whole, settings()))
    assert walk.desk.covered()


def test_a_held_pair_falls_silent_once_until_a_bar_comes_again() -> None:
    here = begun()
    here.settle(slice_of(1, BARS[1]))
    hour = closed_at(1) - closed_at(0)
    for bar, said in ((2, []), (3, [BTC]), (4, []), (5, [])):
        here.settle(slice_of(bar, {ETH: flat(10.0)}))
        assert list(here.fallen_silent(closed_at(bar), hour)) == said, bar
    here.settle(slice_of(6, BARS[6]))
    assert not here.fallen_silent(closed_at(6), hour)
    here.settle(slice_of(8, {ETH: flat(10.0)}))
    assert list(here.fallen_silent(closed_at(8), hour)) == [BTC]
