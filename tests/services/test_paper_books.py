"""The compiled books do what their desks do, to the last digit and in every state, whatever market and ideas come."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from src.backtesting.bench.worlds import snapshots_of
from src.backtesting.result import EDGE_TESTED
from src.core import checkpoint
from src.core.config import Settings
from src.core.errors import DataError
from src.core.history import History, HistoryFeed
from src.core.types import Idea, Intent, Order, Pair, Side, Slice, Snapshot, Stream, Trade
from src.core.wide import decimal_near, decimal_of
from src.services.paper_books import paper_rules
from src.services.paper_state import _plain
from src.services.pnl_tracker import PnLTracker
from src.wiring import _tracker
from tests.backtesting.test_sweep_kernel import made, walk
from tests.money import BTC, PAIRS, block, closed_at, flat, idea, slice_of, snapshot
from tests.worlds import settings

BOOKS = ("baseline", "mycelial", EDGE_TESTED, "control-noise")
SIZES = (Decimal(1), Decimal("0.5"), Decimal("0.25"), Decimal(0))
Told = list[tuple[Any, ...]]


class Life:
    """Sizes that change from pair to pair and from time to time; everything else is left to the desks."""

    def __init__(self) -> None:
        self.at = 0
        self.seen: dict[tuple[int, bool], object] = {}

    def multiplier(self, pair: Pair) -> Decimal:
        """One of four."""
        return SIZES[(self.at // 40 + int(pair[1:3])) % 4] if self.at % 120 > 20 else SIZES[0]

    def standings(self) -> object:
        """Other multipliers, another object."""
        return self.seen.setdefault((self.at // 40, self.at % 120 > 20), object())


class Rival:
    """Says what was written down for it."""

    name = "control-noise"

    def __init__(self, said: dict[int, list[Idea]]) -> None:
        self.said = said

    def ideas(self, seen: Snapshot) -> Sequence[Idea]:
        """Those of this slice."""
        return self.said.get(seen.at, [])

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""


class Heard:
    """Experience that writes down what it is told of the books that it learns from."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def learns_from(self, book: str) -> bool:
        """Of three of four."""
        return book != "baseline"

    def on_entries(self, book: str, orders: Sequence[Order], intents: Sequence[Intent], seen: Snapshot) -> None:
        """The intents that enter."""
        bought = [order.pair for order in orders if order.side is Side.BUY]
        own = [next(one for one in intents if one.pair == pair) for pair in bought]
        if own and self.learns_from(book):
            self.on_intents(book, own, seen)

    def on_intents(self, book: str, intents: Sequence[Intent], seen: Snapshot) -> None:
        """These intents."""
        assert self.learns_from(book)
        self.told.append((book, seen.at, *intents))

    def on_trades(self, at: int, trades: Sequence[Trade]) -> None:
        """All of the books that it learns from."""
        assert all(self.learns_from(trade.id.rpartition("-")[0]) for trade in trades)
        self.told.append((at, *trades))

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""


def tracker_of(tree: Settings, life: Life, told: Told, said: dict[int, list[Idea]], compiled: bool) -> PnLTracker:
    """The books of a run, walked by the step or by desks."""
    made: Any = _tracker(tree, 7, life, Heard(told), [Rival(said)])  # type: ignore[arg-type]
    if not compiled:
        made._paper = None
    assert compiled is (made._paper is not None)
    return made  # type: ignore[no-any-return]


def plain(tracker: PnLTracker) -> list[Any]:
    """What counts in the state of each book."""
    state = checkpoint.load(checkpoint.dump(tracker.state()))
    return [_plain(state[name]["desk"], state[name]["broker"]) for name in BOOKS]


def ideas_of(random: np.random.Generator, history: History, at: int, talk: float, stream: Stream) -> list[Idea]:
    """At random; a pair may be spoken of twice, also one that is silent."""
    said = []
    for _ in range(random.poisson(talk * len(history.pairs))):
        pair = history.pairs[random.integers(len(history.pairs))]
        edge = (None, 0.0, 0.005, 0.02, float("nan"))[random.integers(5)]
        horizon = (None, 1, 3, 12)[random.integers(4)]
        side = Side.BUY if random.random() < 0.6 else Side.SELL
        said.append(Idea(pair, side, at, 0.7, ("a",), None if stream is Stream.BASELINE else edge, horizon))
    return said


def both(
    tree: Settings, history: History, seed: int, talk: float, restart: int = 0, quiet: float = 0.0
) -> tuple[list[PnLTracker], int]:
    """Walk both ways, comparing all the way; (trackers, slices in which some book was left to its desk)."""
    random, life, left = np.random.default_rng(seed), Life(), 0
    told: tuple[Told, Told] = ([], [])
    says: dict[int, list[Idea]] = {}
    trackers = [tracker_of(tree, life, told[way], says, bool(way)) for way in range(2)]
    for row, (slice_, seen) in enumerate(zip(HistoryFeed(history), snapshots_of(history, tree), strict=True)):
        life.at = row
        if random.random() < quiet:
            slice_ = Slice(slice_.at, None)
        streams = (Stream.BASELINE, Stream.MYCELIAL)
        said = [(one, wish) for one in streams for wish in ideas_of(random, history, slice_.at, talk, one)]
        says[slice_.at] = ideas_of(random, history, slice_.at, talk, Stream.CONTROL)
        first, second = (list(tracker.on_slice(slice_, seen, said)) for tracker in trackers)
        assert repr(first) == repr(second), row
        left += not all(trackers[1]._paper.walks(place) for place in range(len(BOOKS)))  # type: ignore[union-attr]
        if row % 50 == 0:
            assert plain(trackers[0]) == plain(trackers[1]), row
        if restart and row % restart == restart - 1:
            fresh = tracker_of(tree, life, told[1], says, True)
            fresh.restore(checkpoint.load(checkpoint.dump(trackers[row // restart % 2].state())))
            fresh.trades = trackers[1].trades
            trackers[1] = fresh
    assert plain(trackers[0]) == plain(trackers[1])
    assert repr(told[0]) == repr(told[1])
    assert trackers[0].trades == trackers[1].trades
    assert (trackers[0].said, trackers[0].believed) == (trackers[1].said, trackers[1].believed)
    return trackers, left


WORLDS: list[dict[str, object]] = [
    {},
    {"risk__max_positions": 3, "account__stop_ratio": 0.01},
    {"account__entry_equity_ratio": 0.4, "account__amount_decimals": 2},
    {"account__entry_equity_ratio": 0.996, "account__amount_decimals": 12, "exchange__max_volume_ratio": 1},
    {"exchange__max_volume_ratio": 0.002, "account__entry_equity_ratio": 0.3},
    {"costs__fee_ratio": 0.00255, "account__amount_decimals": 0, "risk__max_data_age_intervals": 1},
]


@pytest.mark.parametrize("seed", range(len(WORLDS)))
def test_books_are_walked_alike(seed: int) -> None:
    """Ideas at random with horizons and edges, jumps, gaps, silent pairs, volumes that bind, sizes that change."""
    history = walk(70 + seed, 5, 500, (2, None, 4)[seed % 3], 0.1 * (seed % 3))
    trackers, left = both(settings(**WORLDS[seed]), history, seed, 0.08, quiet=0.1 * (seed % 2))
    trades = [trade for name in BOOKS for trade in trackers[1].trades[name]]
    assert {trade.exit_reason for trade in trades} == {"stop", "opposite_idea", "horizon"}
    assert len(trades) > 60
    assert left < (300 if "exchange__max_volume_ratio" in WORLDS[seed] else 30)


def test_a_restart_goes_on_whichever_way_the_books_were_walked() -> None:
    """Every fifty slices from the state of the desks, then from that of the step."""
    history = walk(80, 4, 300, 2, 0.1)
    trackers, left = both(settings(exchange__max_volume_ratio=0.01), history, 80, 0.1, restart=50)
    assert sum(len(trackers[1].trades[name]) for name in BOOKS) > 60
    assert left < 150


@pytest.mark.parametrize(("scale", "decimals"), [(1e-7, 8), (3e-3, 8), (4e6, 8), (1.0, 12)])
def test_prices_of_any_size_are_walked_alike(scale: float, decimals: int) -> None:
    """Tiny prices with all digits have no decimal that fits, and large amounts too many digits: desks walk them."""
    history = walk(90, 3, 120, None)
    columns = {name: getattr(history, name) * scale for name in ("open", "high", "low", "close")}
    history = msgspec.structs.replace(history, **columns, volume=history.volume / scale)
    trackers, left = both(settings(account__amount_decimals=decimals), history, 90, 0.2)
    assert sum(len(trackers[1].trades[name]) for name in BOOKS) > 20
    assert (left > 60) is (scale < 1e-4)


def test_round_figures_at_the_limits_are_walked_alike() -> None:
    """Whole prices, stops that are just touched, and cash that just suffices or does not."""
    random = np.random.default_rng(3)
    steps = np.cumsum(random.integers(-4, 5, (400, 4)), axis=0)
    close = np.maximum(100.0 + steps, 10.0)
    open_ = np.vstack((close[:1], close[:-1]))
    low = np.minimum(open_, close) - random.integers(0, 6, close.shape)
    high = np.maximum(open_, close) + 1.0
    volume = np.where(random.random(close.shape) < 0.2, 25.0, 1e6)
    history = made(open_, high, np.maximum(low, 5.0), close, volume, np.ones(close.shape, np.bool_))
    tree = settings(
        account__entry_equity_ratio=0.25, costs__fee_ratio=0.0, costs__slippage_ratio=0.0, account__amount_decimals=2
    )
    trackers, _ = both(tree, history, 4, 0.1)
    assert sum(len(trackers[1].trades[name]) for name in BOOKS) > 100


def test_other_pairs_go_on_from_the_desks() -> None:
    tracker = _tracker(settings(), seed=7)
    more = (*PAIRS, Pair("ZZZ/USDT"))
    assert tracker._paper is not None
    seen: list[Trade] = []
    days = ((PAIRS, Side.BUY), (PAIRS, None), (more, None), (more, Side.SELL), (PAIRS, None))
    for bar, (pairs, said) in enumerate(days):
        slice_ = Slice(closed_at(bar), block(bar, {BTC: flat(100.0 + bar)}, pairs))
        known = snapshot(slice_.at, {BTC: 100.0 + bar})
        wide = {name: np.resize(getattr(known, name), len(pairs)) for name in ("fresh", "close", "volatility")}
        known = msgspec.structs.replace(known, pairs=pairs, **wide)
        ideas = [] if said is None else [(Stream.BASELINE, idea(said, at=slice_.at))]
        seen += tracker.on_slice(slice_, known, ideas)
        assert tracker._paper.pairs == pairs
        assert all(tracker._paper.walks(place) for place in range(3))
    assert [(trade.entry_price, trade.exit_price) for trade in seen] == [(Decimal(101), Decimal(104))]


def test_a_bar_that_cannot_be_is_refused_as_the_desk_refuses_it() -> None:
    for way in (True, False):
        tracker = tracker_of(settings(), Life(), [], {}, way)
        said = [(Stream.BASELINE, idea(Side.BUY))]
        tracker.on_slice(slice_of(0, {BTC: flat(100.0)}), snapshot(closed_at(0), {BTC: 100.0}), said)
        bad = (float("nan"), 100.0, 100.0, 100.0, 1e6)
        with pytest.raises(DataError, match="open nan is no price"):
            tracker.on_slice(slice_of(1, {BTC: bad}), snapshot(closed_at(1), {BTC: 100.0}), [])


def test_settings_whose_digits_do_not_fit_are_left_to_the_desks() -> None:
    tree = settings()

    def rules(**changes: str) -> object:
        costs = tree.costs.model_copy(update={name: Decimal(value) for name, value in changes.items()})
        loose = tree.risk.model_copy(update={"max_drawdown_ratio": 1.0})
        return paper_rules(tree.account, costs, tree.exchange, loose, lambda pair: Decimal(1), object, {})

    assert rules() is not None
    assert rules(fee_ratio="0.0012345678901") is None
    strict = paper_rules(tree.account, tree.costs, tree.exchange, tree.risk, lambda pair: Decimal(1), object, {})
    assert strict is None  # a loss would stop the book


@pytest.mark.parametrize("guess", [-1, 0, 1, 2, 7, 8, 9, 15, 22, 23])
def test_a_decimal_is_the_shortest_whatever_places_are_guessed(guess: int) -> None:
    random = np.random.default_rng(3)
    prices = [*(round(price, places) for price in 10.0 ** random.uniform(-4, 9, 40) for places in range(10))]
    odd = [0.1, 0.3, 1e15, 123456789012345.0, 0.1 + 0.2, 1e-300, 5e-324, 99.99999999, 1e16, 2.5]
    for price in [*prices, *odd]:
        assert decimal_near(price, guess) == decimal_of(price), price
