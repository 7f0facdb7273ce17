"""What becomes of entries: the vector of the moment of decision, the net outcome of the trade, each moment once."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from src.core import checkpoint
from src.core.memory import Action, MemoryRecord, Namespace, Where
from src.core.types import Intent, Order, Pair, Side, Snapshot, Stream, Trade
from src.services.experience import TradeExperience
from src.services.memory import PatternMemory
from tests.money import BTC, ETH, HOUR, PAIRS, closed_at, order, snapshot
from tests.worlds import settings

DIMENSIONS = 4
TREE = settings()
NAN = float("nan")
MOMENT = (0.5, -0.25, 9.0, NAN)
"""Features of BTC/USDT: one beyond the clip of 4, one not known."""
KEPT = (0.5, -0.25, 4.0, 0.0)


def moment(bar: int, features: tuple[float, ...] = MOMENT) -> Snapshot:
    """A snapshot of all pairs, each with these features."""
    table = np.array([features for _ in PAIRS])
    return msgspec.structs.replace(snapshot(closed_at(bar), dict.fromkeys(PAIRS, 100.0)), features=table)


def entry(bar: int = 0, pair: Pair = BTC, reason: str = "entry", side: Side = Side.BUY) -> Order:
    return msgspec.structs.replace(order(side, pair=pair, at=closed_at(bar)), reason=reason)


def intent(bar: int = 0, pair: Pair = BTC, edge: float | None = 0.02, horizon: int | None = 6) -> Intent:
    return Intent(pair, Side.BUY, closed_at(bar), 0.85, edge, horizon)


def trade(ratio: str, book: str = "mycelial", number: int = 1, pair: Pair = BTC, bar: int = 9) -> Trade:
    """A round trip that came to `ratio`, net; only that, the pair and the book matter."""
    one, at = Decimal(1), closed_at(bar)
    return Trade(
        f"{book}-{number}",
        Stream.MYCELIAL,
        pair,
        one,
        at - HOUR,
        at,
        one,
        one,
        one,
        one,
        one,
        Decimal(ratio),
        "horizon",
    )


class Desk:
    """A memory and what feeds it."""

    def __init__(self, **changes: object) -> None:
        rule = TREE.memory.model_copy(update=changes)
        self.memory = PatternMemory(rule, DIMENSIONS, seed=7)
        self.experience = TradeExperience(self.memory, rule, TREE.learners.feature_clip)

    def bought(self, book: str = "mycelial", bar: int = 0, features: tuple[float, ...] = MOMENT, **of: Pair) -> None:
        self.experience.on_entries(book, [entry(bar, **of)], [intent(bar, **of)], moment(bar, features))

    def closed(self, *trades: Trade, bar: int = 9) -> list[MemoryRecord]:
        """What was remembered at the end of that bar."""
        self.memory.on_slice(closed_at(bar))
        self.experience.on_trades(closed_at(bar), trades)
        return list(self.memory.fresh())


@pytest.mark.parametrize(
    ("ratio", "namespace"),
    [("0.0123", Namespace.TRADING), ("1E-12", Namespace.TRADING), ("0", Namespace.FAILED), ("-0.05", Namespace.FAILED)],
)
def test_a_trade_becomes_a_record_of_the_moment_it_was_decided_in(ratio: str, namespace: Namespace) -> None:
    desk = Desk()
    desk.bought()
    (seen,) = desk.closed(trade(ratio))
    assert seen == MemoryRecord(
        id=f"trade:BTC/USDT:{closed_at(0)}",
        namespace=namespace,
        vector=KEPT,
        pair=BTC,
        moat="swarm",
        direction=Side.BUY,
        score=0.85,
        seen_at=closed_at(0),
        known_at=closed_at(9),
        outcome=float(ratio),
        meta={"trade": "mycelial-1", "exit_reason": "horizon", "edge": 0.02, "horizon": 6},
    )


def test_m_f36_two_outcomes_of_one_moment_differ_in_metadata_alone() -> None:
    """The vector is that of the decision, whatever came of it."""
    vectors = set()
    for ratio in ("0.5", "-0.5"):
        desk = Desk()
        desk.bought()
        vectors |= {seen.vector for seen in desk.closed(trade(ratio))}
    assert vectors == {KEPT}


def test_m_f35_what_is_not_known_is_left_out_of_the_metadata() -> None:
    desk = Desk()
    desk.experience.on_entries("mycelial", [entry()], [intent(edge=None, horizon=None)], moment(0))
    (seen,) = desk.closed(trade("0.1"))
    assert seen.meta == {"trade": "mycelial-1", "exit_reason": "horizon"}


def test_a_moment_counts_once_and_that_of_the_account_stands() -> None:
    desk = Desk()
    desk.bought("synthesized")
    desk.bought("mycelial")
    assert desk.closed(trade("-0.2", "mycelial")) == []
    (seen,) = desk.closed(trade("0.1", "synthesized"))
    assert (seen.outcome, seen.meta["trade"]) == (0.1, "synthesized-1")


def test_moments_of_two_books_apart_in_time_both_count() -> None:
    desk = Desk()
    desk.bought("mycelial", bar=0)
    desk.bought("synthesized", bar=1)
    assert [seen.seen_at for seen in desk.closed(trade("0.1", "synthesized"), trade("0.2"))] == [
        closed_at(1),
        closed_at(0),
    ]


def test_only_the_books_of_the_setting_are_learnt_from() -> None:
    desk = Desk(books=("synthesized",))
    for book in ("baseline", "mycelial", "edge_tested"):
        desk.bought(book)
        assert desk.closed(trade("0.1", book)) == []
    desk.bought("synthesized")
    assert len(desk.closed(trade("0.1", "synthesized"))) == 1


@pytest.mark.parametrize("reason", ["manual", "flatten"])
def test_what_a_hand_bought_tells_nothing_even_after_an_entry_that_never_filled(reason: str) -> None:
    desk = Desk()
    desk.bought("synthesized")
    desk.experience.on_entries("synthesized", [entry(3, reason=reason)], [intent(3)], moment(3))
    assert desk.closed(trade("0.1", "synthesized")) == []


def test_an_entry_that_never_filled_gives_way_to_the_next() -> None:
    desk = Desk()
    desk.bought(bar=0)
    desk.bought(bar=4)
    assert [seen.seen_at for seen in desk.closed(trade("0.1"))] == [closed_at(4)]
    assert desk.closed(trade("0.3", number=2)) == []


def test_sales_and_other_pairs_are_no_entries() -> None:
    desk = Desk()
    desk.bought(pair=ETH)
    desk.experience.on_entries("mycelial", [entry(side=Side.SELL)], [intent()], moment(0))
    assert desk.closed(trade("0.1", pair=BTC)) == []
    assert len(desk.closed(trade("0.1", pair=ETH))) == 1


@pytest.mark.parametrize("features", [(NAN, NAN, NAN, 1.0), (0.0, 0.0, 0.0, 0.0)], ids=["unknown", "zeros"])
def test_a_moment_of_which_too_little_is_known_is_not_remembered(features: tuple[float, ...]) -> None:
    desk = Desk()
    desk.bought(features=features)
    assert desk.closed(trade("0.1")) == []
    desk.bought(bar=1, features=(NAN, NAN, 1.0, 1.0))
    assert len(desk.closed(trade("0.1"))) == 1


def test_the_moments_of_open_trades_survive_a_restart() -> None:
    first, later = Desk(), Desk(books=("mycelial",))
    first.bought()
    first.bought("synthesized", bar=1, pair=ETH)
    raw = checkpoint.dump(first.experience.state())
    later.experience.restore(checkpoint.load(raw))
    assert later.experience.state() == {"mycelial": first.experience.state()["mycelial"]}
    assert later.closed(trade("0.1"), trade("0.1", "synthesized", pair=ETH)) == first.closed(trade("0.1"))


def test_survivorship_half_winners_are_no_reason_to_buy() -> None:
    """M-F36: wins lie among the trading patterns and losses among the failed ones; a question looks at both."""
    desk = Desk()
    for bar in range(10):
        desk.bought(bar=bar)
        desk.closed(trade("0.5" if bar % 2 else "-0.005", number=bar), bar=bar + 1)
    advice = desk.memory.recommend(np.array(KEPT), closed_at(20))
    assert (advice.action, advice.success_ratio) == (Action.OBSERVE, 0.5)
    won = desk.memory.recommend(np.array(KEPT), closed_at(20), Where(namespaces=(Namespace.TRADING,)))
    assert won.success_ratio == 1.0, "what a look at the survivors alone would say"


def test_the_filter_by_pair_is_that_of_the_run() -> None:
    """M-F36: the pair as it is written everywhere else finds its own moments, and no other word finds them."""
    desk = Desk()
    for bar in range(3):
        desk.bought(bar=bar, pair=ETH)
        desk.closed(trade("0.1", number=bar, pair=ETH), bar=bar + 1)

    def counted(*pairs: str) -> int:
        where = Where(pairs=tuple(Pair(pair) for pair in pairs))
        return len(desk.memory.recommend(np.array(KEPT), closed_at(9), where).similar)

    assert (counted(), counted("ETH/USDT"), counted("BTC/USDT"), counted("ALL"), counted("ETH")) == (3, 3, 0, 0, 0)


def test_nothing_is_known_before_its_trade_closed() -> None:
    desk = Desk()
    desk.bought()
    desk.closed(trade("-0.5"), bar=9)
    assert desk.memory.recommend(np.array(KEPT), closed_at(9) - 1).action is Action.OBSERVE
    assert desk.memory.recommend(np.array(KEPT), closed_at(9)).action is Action.AVOID
