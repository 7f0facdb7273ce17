"""A desk that is seldom asked says the same as one that is asked after every bar; a desk at rest wants nothing."""

from __future__ import annotations

from decimal import Decimal

from src.core.desk import Desk
from src.core.types import Approved, Pair, Side
from tests.money import BTC, ETH, PAIRS, Ohlcv, Walk, closed_at, desk, flat, idea, intent, slice_of, snapshot

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
