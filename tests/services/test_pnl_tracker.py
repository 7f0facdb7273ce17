"""The shadow books: every idea of their stream, the same sizes and costs as the account, nothing shared."""

from __future__ import annotations

from decimal import Decimal

from src.core import checkpoint
from src.core.desk import Desk
from src.core.types import Idea, Pair, Side, Slice, Stream, Trade
from src.services.pnl_tracker import PnLTracker
from src.wiring import EDGE_TESTED, _tracker
from tests.money import BTC, ETH, SHIPPED, Ohlcv, closed_at, flat, idea, slice_of, snapshot
from tests.worlds import settings

COST = SHIPPED.costs.round_trip
BASELINE, MYCELIAL = Stream.BASELINE, Stream.MYCELIAL
Said = list[tuple[Stream, Idea]]


def shadow(tracker: PnLTracker, name: str) -> dict[Pair, Decimal]:
    """What a book holds."""
    return {pair: held.amount for pair, held in tracker.desk(name).portfolio.positions.items()}


def desks(tracker: PnLTracker) -> list[Desk]:
    """All books as their desks."""
    return [tracker.desk(name) for name in ("baseline", "mycelial", EDGE_TESTED)]


def see(tracker: PnLTracker, bar: int, bars: dict[Pair, Ohlcv], said: Said) -> list[Trade]:
    """One bar."""
    slice_ = slice_of(bar, bars)
    closes = {pair: ohlcv[3] for pair, ohlcv in bars.items()}
    return list(tracker.on_slice(slice_, snapshot(slice_.at, closes), said))


def test_each_book_takes_every_idea_of_its_own_stream() -> None:
    tracker = _tracker(settings(), seed=7)
    bars = {BTC: flat(100.0), ETH: flat(10.0)}
    see(tracker, 0, bars, [(BASELINE, idea(Side.BUY, BTC)), (MYCELIAL, idea(Side.BUY, ETH, edge=0.0001))])
    see(tracker, 1, bars, [])
    assert shadow(tracker, "baseline") == {BTC: Decimal(10)}
    assert shadow(tracker, "mycelial") == {ETH: Decimal(100)}
    assert shadow(tracker, EDGE_TESTED) == {}


def test_the_edge_tested_book_takes_only_edges_above_the_cost() -> None:
    edges = {COST: False, COST * 1.0001: True, None: False, -0.5: False, 0.5: True}
    for edge, taken in edges.items():
        tracker = _tracker(settings(), seed=7)
        see(tracker, 0, {BTC: flat(100.0)}, [(MYCELIAL, idea(Side.BUY, edge=edge))])
        see(tracker, 1, {BTC: flat(100.0)}, [])
        assert bool(shadow(tracker, EDGE_TESTED)) is taken, edge
        assert shadow(tracker, "mycelial")


def test_only_an_opposite_idea_of_the_own_stream_closes_a_book() -> None:
    tracker = _tracker(settings(), seed=7)
    bars = {BTC: flat(100.0)}
    see(tracker, 0, bars, [(BASELINE, idea(Side.BUY)), (MYCELIAL, idea(Side.BUY, edge=0.1))])
    see(tracker, 1, bars, [(BASELINE, idea(Side.SELL))])
    (trade,) = see(tracker, 2, bars, [])
    assert (trade.stream, trade.exit_reason, trade.id) == (BASELINE, "opposite_idea", "baseline-1")
    assert shadow(tracker, "mycelial")
    assert shadow(tracker, EDGE_TESTED)


def test_m_f20_losses_are_booked_with_the_exact_costs() -> None:
    tracker = _tracker(settings(), seed=7)
    bars = {BTC: flat(100.0)}
    see(tracker, 0, bars, [(BASELINE, idea(Side.BUY))])
    see(tracker, 1, bars, [(BASELINE, idea(Side.SELL))])
    see(tracker, 2, bars, [])
    (trade,) = tracker.trades["baseline"]
    assert trade.profit == Decimal("-7.2")
    assert trade.profit_ratio == Decimal("-0.72") / Decimal("100.36")


def test_a_drawdown_that_halts_the_account_does_not_stop_the_books() -> None:
    tracker = _tracker(settings(account__entry_equity_ratio=0.9, account__stop_ratio=0.5), seed=7)
    see(tracker, 0, {BTC: flat(100.0)}, [(BASELINE, idea(Side.BUY))])
    see(tracker, 1, {BTC: flat(100.0)}, [])
    see(tracker, 2, {BTC: flat(20.0), ETH: flat(10.0)}, [])
    bars = {ETH: flat(0.5)}
    see(tracker, 3, bars, [(BASELINE, idea(Side.BUY, ETH))])
    see(tracker, 4, bars, [])
    assert set(shadow(tracker, "baseline")) == {ETH}


def test_trades_of_the_account_are_the_synthesized_stream() -> None:
    tracker = _tracker(settings(), seed=7)
    assert set(tracker.trades) == {"baseline", "mycelial", EDGE_TESTED, "synthesized"}
    one = Decimal(1)
    trade = Trade("t", Stream.SYNTHESIZED, BTC, one, 0, 1, one, one, one, one, one, one, "stop")
    tracker.account_trade(trade)
    assert tracker.trades["synthesized"] == [trade]
    assert not any(tracker.trades[name] for name in ("baseline", "mycelial", EDGE_TESTED))


def test_trades_of_an_earlier_life_go_back_into_their_books() -> None:
    one = Decimal(1)
    tracker = _tracker(settings(), seed=7)
    names = ("baseline", "mycelial", EDGE_TESTED, "synthesized")
    old = [Trade(f"{n}-12", MYCELIAL, BTC, one, 0, 1, one, one, one, one, one, one, "stop") for n in names]
    tracker.recall(old)
    assert tracker.trades == {name: [trade] for name, trade in zip(names, old, strict=True)}


def test_ids_of_books_never_meet() -> None:
    tracker = _tracker(settings(), seed=7)
    bars = {BTC: flat(100.0)}
    both = [(BASELINE, idea(Side.BUY)), (MYCELIAL, idea(Side.BUY, edge=0.1))]
    see(tracker, 0, bars, both)
    orders = [o.id for desk in desks(tracker) for o in desk.broker.open_orders()]
    assert len(set(orders)) == 3
    see(tracker, 1, bars, [(BASELINE, idea(Side.SELL)), (MYCELIAL, idea(Side.SELL))])
    trades = see(tracker, 2, bars, [])
    assert {trade.id for trade in trades} == {"baseline-1", "mycelial-1", "mycelial_edge_tested-1"}
    again = _tracker(settings(), seed=7)
    see(again, 0, bars, both)
    assert [o.id for desk in desks(again) for o in desk.broker.open_orders()] == orders
    other = _tracker(settings(), seed=8)
    see(other, 0, bars, both)
    assert not {o.id for desk in desks(other) for o in desk.broker.open_orders()} & set(orders)


def test_books_go_on_where_they_were() -> None:
    first, second = _tracker(settings(), seed=7), _tracker(settings(), seed=7)
    bars = {BTC: flat(100.0, 50.0)}
    see(first, 0, bars, [(BASELINE, idea(Side.BUY)), (MYCELIAL, idea(Side.BUY, edge=0.1))])
    see(first, 1, bars, [])  # half filled
    second.restore(checkpoint.load(checkpoint.dump(first.state())))
    for bar, said in ((2, []), (3, [(BASELINE, idea(Side.SELL))]), (4, []), (5, [])):
        bars = {BTC: flat(100.0 - 2 * bar)}
        assert see(second, bar, bars, said) == see(first, bar, bars, said)
    assert second.state() == first.state()
    assert len(first.trades["baseline"]) == 1


def test_what_became_of_paper_orders_does_not_pile_up() -> None:
    tracker = _tracker(settings(), seed=7)
    see(tracker, 0, {BTC: flat(100.0)}, [(BASELINE, idea(Side.BUY))])
    see(tracker, 1, {BTC: flat(100.0)}, [])
    assert all(list(desk.broker.outcomes()) == [] for desk in desks(tracker))


def test_slices_between_bars_are_quiet() -> None:
    tracker = _tracker(settings(), seed=7)
    before = tracker.state()
    at = closed_at(0) + 5
    assert list(tracker.on_slice(Slice(at, None), snapshot(at, {}), [])) == []
    assert tracker.state() == before
