"""The one view of positions: what they have been through, what rests under them, how old everything is."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from src.core.checkpoint import dump, load
from src.core.errors import NotFound
from src.core.types import NEVER, OrderId, OrderKind, Pair
from src.services.supervisor.context import ENDED, LIVE, LadderStage, SymbolContext
from src.services.supervisor.portfolio_state import PortfolioState
from tests.money import ADA, BTC, ETH, HOUR
from tests.money import closed_at as at
from tests.policies import ONE, STOP_RATIO, book, held, sell, spine, stop, tree

WAY = {BTC: 100.0, ETH: 50.0}


def watched(
    state: PortfolioState, number: int, amount: str = "10", price: float = 100.0, stops: tuple[str, ...] = ("95",)
) -> SymbolContext:
    """BTC as it is seen after bar `number`."""
    orders = [stop(trigger, amount, f"s-{place}") for place, trigger in enumerate(stops)]
    state.observe(spine(at(number), {BTC: held(amount)}, orders, {BTC: price}))
    return state.context(BTC)


def test_a_position_is_told_with_its_orders_and_the_age_of_every_part() -> None:
    state = book()
    orders = [stop("95", "4"), sell("6")]
    seen = state.observe(spine(at(5), {BTC: held()}, orders, WAY, seen_at={BTC: at(3)}))  # type: ignore[arg-type]
    context = state.context(BTC)
    assert seen.contexts == (context,)
    assert (context.protected, context.leaving, context.staying) == (4, 6, 4)
    assert (context.price, context.stop, context.multiple) == (100, 95, 0)
    assert (context.ages.position, context.ages.orders, context.ages.price) == (6 * HOUR, 5 * HOUR, 2 * HOUR)
    assert context.fresh
    assert state.position_with_orders(BTC) == (held(), (orders[0],))
    with pytest.raises(NotFound, match="ETH/USDT is not held"):
        state.context(ETH)


@pytest.mark.parametrize(("bars", "fresh"), [(0, True), (2, True), (3, False)])
def test_a_price_is_too_old_after_the_limit(bars: int, fresh: bool) -> None:
    state = book()
    state.observe(spine(at(5), {BTC: held()}, [], WAY, seen_at={BTC: at(5 - bars)}))  # type: ignore[arg-type]
    assert state.context(BTC).fresh is fresh


def test_a_pair_that_never_had_a_price() -> None:
    state = book()
    state.observe(spine(at(5), {ADA: held(pair=ADA)}, [], WAY, seen_at={ADA: NEVER}))  # type: ignore[arg-type]
    context = state.context(ADA)
    assert (context.price, context.multiple, context.fresh, context.ages.price) == (None, None, False, None)


def test_nobody_can_change_what_is_seen() -> None:
    context = watched(book(), 0)
    with pytest.raises(AttributeError):
        context.price = Decimal(1)  # type: ignore[misc]
    for struct in (type(context), type(context.progress), type(context.account), type(context.ages)):
        assert struct.__struct_config__.frozen


def test_the_initial_stop_stays_when_the_stop_moves() -> None:
    state = book()
    assert watched(state, 0).units.one == 5
    later = watched(state, 1, price=110.0, stops=("105",))
    assert (later.units.initial_stop, later.multiple, later.progress.tight) == (95, 2, 105)


def test_r_is_that_of_the_stop_a_position_came_with() -> None:
    state = book()
    seen = [watched(state, n, price=price, stops=(trigger,)) for n, (price, trigger) in enumerate(
        [(100.0, "97"), (103.0, "97"), (106.0, "100")]
    )]  # fmt: skip
    assert [(one.units.initial_stop, one.multiple) for one in seen] == [(97, 0), (97, 1), (97, 2)]


def test_a_position_without_a_stop_gets_its_r_from_the_account() -> None:
    context = watched(book(), 0, stops=())
    assert context.units.initial_stop == 100 * (1 - STOP_RATIO)


def test_a_stop_that_came_with_the_entry_says_its_price_by_its_ratio() -> None:
    state = book()
    armed = msgspec.structs.replace(stop("95"), trigger=None, limit=None, reference=Decimal(100), kind=OrderKind.STOP)
    state.observe(spine(at(0), {BTC: held()}, [armed], WAY))
    assert (state.context(BTC).stop, state.context(BTC).units.initial_stop) == (95, 95)


def test_the_best_price_never_falls_and_the_original_amount_stays() -> None:
    state = book()
    prices = [100.0, 108.0, 103.0, 112.0, 90.0]
    seen = [watched(state, n, amount="10" if n < 3 else "5", price=price) for n, price in enumerate(prices)]
    assert [one.progress.best for one in seen] == [100, 108, 108, 112, 112]
    assert [(one.progress.original, one.progress.sold) for one in seen] == [(10, 0)] * 3 + [(10, 5)] * 2


def test_while_an_entry_fills_r_follows_its_mean_price() -> None:
    state = book()
    state.observe(spine(at(0), {BTC: held("4", "100")}, [], WAY))
    state.observe(spine(at(1), {BTC: held("10", "110")}, [], WAY))
    progress = state.context(BTC).progress
    assert (progress.entry, progress.original, progress.initial_stop) == (110, 10, Decimal("104.5"))


def test_a_new_position_of_a_pair_begins_anew() -> None:
    state = book()
    watched(state, 0, price=120.0)
    state.observe(spine(at(1), {BTC: held("3", "110", opened=at(1))}, [], {BTC: 111.0}))
    progress = state.context(BTC).progress
    assert (progress.original, progress.best, progress.stage) == (3, 111, LadderStage.INITIAL_RISK)


def test_what_is_closed_is_forgotten() -> None:
    state = book()
    watched(state, 0)
    state.observe(spine(at(1), {}, [], WAY))
    assert (state.seen.contexts, state.state()["progress"]) == ((), {})


def test_the_stages_only_go_forward() -> None:
    state = book()
    steps = [("10", 100.0), ("10", 105.0), ("10", 100.0), ("5", 110.0), ("2.5", 115.0), ("2.5", 96.0), ("4", 96.0)]
    stages = [watched(state, n, amount, price).progress.stage.value for n, (amount, price) in enumerate(steps)]
    assert stages == [0, 1, 1, 2, 3, 3, 3]


def test_of_several_stops_the_most_protective_comes_first() -> None:
    context = watched(book(), 0, stops=("94", "97", "95"))
    assert [one.order.trigger for one in context.stops] == [97, 95, 94]
    assert context.stop == 97


@pytest.mark.parametrize("status", sorted(LIVE))
def test_every_live_status_protects(status: str) -> None:
    state = book()
    order = stop("95")
    state.observe(spine(at(0), {BTC: held()}, [order], WAY), statuses={order.id: status})
    assert state.context(BTC).protected == 10


@pytest.mark.parametrize("status", sorted(ENDED))
def test_what_has_ended_protects_nobody(status: str) -> None:
    state = book()
    order = stop("95")
    state.observe(spine(at(0), {BTC: held()}, [order], WAY), statuses={order.id: status})
    assert state.context(BTC).protected == 0


def test_an_unknown_status_is_not_guessed_and_stops_only_its_symbol() -> None:
    state = book()
    orders = [stop("95"), stop("45", name="e-1", pair=ETH)]
    seen = state.observe(
        spine(at(0), {BTC: held(), ETH: held(entry="50", pair=ETH)}, orders, WAY), statuses={OrderId("s-1"): "odd"}
    )
    assert [one.pair for one in seen.contexts] == [ETH]
    (fault,) = seen.faults
    assert (fault.pair, "unknown status 'odd'" in fault.error) == (BTC, True)


def test_the_days_loss_counts_from_the_equity_that_the_day_before_ended_with() -> None:
    state = book()
    losses = []
    for hour, equity in [(20, "10000"), (23, "9900"), (24, "9900"), (25, "9603"), (47, "9801"), (48, "9801")]:
        state.observe(spine(hour * HOUR, {BTC: held()}, [], WAY, equity))
        losses.append(state.context(BTC).account.day_loss_ratio)
    # Midnight (24) still belongs to the day that ends.
    assert losses == [0, Decimal("0.01"), Decimal("0.01"), Decimal("0.03"), Decimal("0.01"), Decimal("0.01")]


def test_volatility_is_that_of_a_day_and_trend_in_points() -> None:
    state = book()
    state.observe(spine(at(0), {BTC: held()}, [], WAY, volatility=0.01, adx=30.0))
    context = state.context(BTC)
    assert (context.volatility, context.trend) == (pytest.approx(0.01 * 24**0.5), pytest.approx(30.0))
    state.observe(spine(at(1), {BTC: held()}, [], WAY, volatility=np.nan, adx=np.nan))
    assert (state.context(BTC).volatility, state.context(BTC).trend) == (None, None)


def test_a_crowd_is_found_where_alike_assets_are_too_much_of_the_account() -> None:
    state = book()
    random = np.random.Generator(np.random.PCG64(3))
    moves = np.exp(np.cumsum(random.normal(scale=0.01, size=40)))
    positions = {BTC: held("40"), ETH: held("60", "55", ETH), ADA: held("1", "1", ADA)}
    for hour, move in enumerate(moves):
        closes = {BTC: 100 * move, ETH: 50 * move, ADA: float(random.normal(1.0, 0.01))}
        state.observe(spine(at(hour), positions, [], closes), crowded=True)
    crowd = state.context(BTC).crowd
    assert crowd is not None
    assert (crowd.pairs, crowd.leaving, state.context(ADA).crowd) == ((BTC, ETH), (ETH,), None)
    assert float(crowd.ratio) == pytest.approx((40 * 100 + 60 * 50) * moves[-1] / 10000)


def test_a_restart_goes_on_where_it_was() -> None:
    one, other = book(), book()
    for n, price in enumerate([100.0, 111.0, 107.0]):
        watched(one, n, price=price, amount="10" if n < 2 else "5")
    other.restore(load(dump(one.state())))
    for state in (one, other):
        watched(state, 3, price=106.0, amount="5")
    assert one.context(BTC) == other.context(BTC)
    assert one.context(BTC).progress.best == 111


def test_moats_are_told_with_their_age() -> None:
    def life(pair: Pair) -> None:
        return None

    state = PortfolioState(tree().policies, STOP_RATIO, lambda pair: ONE, life)
    state.observe(spine(at(0), {BTC: held()}, [], WAY))
    assert state.context(BTC).ages.moats == {}
