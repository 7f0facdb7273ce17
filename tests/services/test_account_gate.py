"""Every control of the account at its very boundary, and that no order can take the sum of them beyond a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from src.core.config import Settings
from src.core.ports import SpineState
from src.core.standing import Level, Standing
from src.core.types import Approved, Denied, Order, OrderId, OrderKind, Outcome, Pair, Position, Side
from src.services.account_controls import account_controls
from src.services.gate import RiskGate, every_control, limits_of
from src.services.limits import Watch, limits_of_account
from tests.money import ADA, BTC, ETH, HOUR, PAIRS, closed_at, fill, order, position, snapshot
from tests.worlds import settings

DAY = 86_400_000
MIDNIGHT = closed_at(0) // DAY * DAY + DAY
CLOSES = dict.fromkeys(PAIRS, 100.0)
WIDE = {
    "limits__max_order_quote": 10**9, "limits__max_position_quote": 10**9, "limits__max_gross_exposure_ratio": 100,
    "limits__max_asset_exposure_ratio": 100, "limits__max_correlated_exposure_ratio": 100,
    "limits__max_price_deviation_ratio": 0.1, "limits__median_closes": 3, "limits__correlation_closes": 5,
    "limits__max_manual_orders_day": 10**6, "limits__max_orders_minute": 10**6, "limits__max_orders_day": 10**6,
    "limits__max_messages_minute": 10**6, "limits__max_messages_day": 10**6, "risk__max_positions": 10**6,
}  # fmt: skip
"""So wide that only the control under test can object."""


@cache
def tree_of(changes: tuple[tuple[str, object], ...]) -> Settings:
    """Reading the file takes longer than any test here."""
    return settings(**dict(changes))


class Account:
    """A gate of an account with its watch, at slices of a test's choosing."""

    def __init__(self, start: int = MIDNIGHT, /, **changes: object) -> None:
        self.tree = tree_of(tuple((WIDE | changes).items()))
        self.standing = Standing()
        self.unknown = 0
        self.watch = Watch(self.tree.limits, self.standing, lambda: self.unknown)
        self.gate = RiskGate(self.tree.risk, self.tree.costs, self.watch)
        self.state = self.at(start)

    def at(
        self,
        at: int,
        closes: Mapping[Pair, float] | None = None,
        equity: str = "10000",
        held: Mapping[Pair, Position] | None = None,
        waiting: Sequence[Order] = (),
    ) -> SpineState:
        """The slice of `at`, which the watch sees; every pair has a bar."""
        seen = snapshot(at, CLOSES | dict(closes or {}))
        seen = msgspec.structs.replace(seen, bars=_BARS)
        figures = (Decimal(10**9), Decimal(equity), Decimal(equity), "", True, Decimal(0))
        self.watch.on_slice(seen, Decimal(equity))
        self.state = SpineState(seen, dict(held or {}), list(waiting), *figures)
        return self.state

    def ask(self, wanted: Order) -> str:
        """The reason of the refusal, empty when it passes; what passes counts."""
        verdict = self.gate.review(wanted, self.state)
        if isinstance(verdict, Denied):
            assert verdict.value, "a refusal shows what was seen"
            return verdict.reason
        return ""


_BARS: Any = object()
"""Stands for bars: the watch only asks whether there are any."""
HELD = {BTC: position(BTC)}


def buy(amount: str = "1", pair: Pair = BTC, at: int = MIDNIGHT, **changes: Any) -> Order:
    return msgspec.structs.replace(order(Side.BUY, amount, pair, at), **changes)


def sell(amount: str = "1", **changes: Any) -> Order:
    return msgspec.structs.replace(order(Side.SELL, amount), **changes)


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("max_order_quote", 100, "order_notional"),
        ("max_gross_exposure_ratio", "0.01", "gross_exposure"),
        ("max_asset_exposure_ratio", "0.01", "asset_exposure"),
        ("max_correlated_exposure_ratio", "0.01", "correlated_exposure"),
    ],
)
def test_an_order_of_exactly_the_limit_passes_and_a_hair_more_does_not(limit: str, value: object, reason: str) -> None:
    changes: dict[str, object] = {f"limits__{limit}": value}
    assert Account(**changes).ask(buy("1")) == ""
    assert Account(**changes).ask(buy("1.00000001")) == reason


def test_a_position_counts_what_waits_to_be_bought() -> None:
    account = Account(limits__max_order_quote=100, limits__max_position_quote=300)
    waiting = [buy("1", id="a"), buy("0.99999999", id="b")]
    seen = account.watch.measure(buy("1"), account.at(MIDNIGHT, waiting=waiting))
    limits = limits_of_account(account.tree.limits)
    controls = {one.name: one for one in account_controls(buy("1"), Decimal(10_000), seen, limits)}
    assert controls["position_notional"].value == Decimal("299.99999900")
    assert not controls["position_notional"].objects
    seen = account.watch.measure(buy("1.00000002"), account.state)
    controls = {one.name: one for one in account_controls(buy("1.00000002"), Decimal(10_000), seen, limits)}
    assert controls["position_notional"].objects


def test_gross_exposure_counts_all_pairs_at_their_newest_closes() -> None:
    account = Account(limits__max_gross_exposure_ratio="0.05")
    account.at(MIDNIGHT, {ETH: 200.0}, held={ETH: position(ETH)}, waiting=[buy("1", ADA, id="a")])
    assert account.ask(buy("2")) == ""
    account.at(MIDNIGHT + HOUR, {ETH: 200.01}, held={ETH: position(ETH)}, waiting=[buy("1", ADA, id="a")])
    assert account.ask(buy("2")) == "gross_exposure"


def test_an_asset_counts_in_whatever_it_is_paid() -> None:
    euros = Pair("BTC/EUR")
    account = Account(limits__max_asset_exposure_ratio="0.02")
    seen = msgspec.structs.replace(account.state.snapshot, pairs=(euros, ETH, ADA))
    held = {euros: Position(euros, Decimal(1), Decimal(100), Decimal(100), 0)}
    state = msgspec.structs.replace(account.state, snapshot=seen, positions=held)
    measured = account.watch.measure(buy("1", euros), state)
    assert measured.asset_quote == Decimal("100.0")
    assert account.watch.measure(buy("1", ETH), state).asset_quote == 0


RISING = (100.0, 101.0, 99.0, 104.0, 102.0)


@pytest.mark.parametrize(
    ("other", "counts"),
    [
        (tuple(2 * close for close in RISING), True),
        ((100.0, 99.0, 101.0, 96.0, 98.0), False),
        ((100.0,) * 5, False),
        ((float("nan"), float("nan"), float("nan"), 50.0, 51.0), True),
    ],
    ids=["with it", "against it", "a peg", "not known"],
)
def test_what_moves_together_counts_together(other: Sequence[float], counts: bool) -> None:
    account = Account(limits__max_correlated_exposure_ratio="0.02", limits__max_price_deviation_ratio=10)
    held = {ETH: position(ETH)}
    for bar, (mine, theirs) in enumerate(zip(RISING, other, strict=True)):
        account.at(MIDNIGHT + bar * HOUR, {BTC: mine, ETH: theirs}, held=held)
    assert account.ask(buy("1", reference=Decimal(100))) == (
        "correlated_exposure" if counts and other[-1] > 100 else ""
    )
    exposure = account.watch.measure(buy("1"), account.state)
    assert exposure.correlated_quote == (Decimal(str(other[-1])) if counts else 0)


# --- prices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["90", "110"])
def test_the_collar_is_exact_on_both_sides(price: str) -> None:
    outside = Decimal(price) + (Decimal("0.00000001") if price == "110" else Decimal("-0.00000001"))
    assert Account().ask(buy(reference=Decimal(price))) == ""
    assert Account().ask(buy(reference=outside)) == "price_collar"
    assert Account().ask(buy(limit=outside, kind=OrderKind.LIMIT)) == "price_collar"
    assert Account().ask(buy(trigger=outside, kind=OrderKind.STOP_LIMIT)) == "price_collar"


def test_the_collar_holds_against_the_newest_close_as_well_as_the_median() -> None:
    account = Account()
    for hour, close in enumerate((100.0, 100.0, 111.0)):
        account.at(MIDNIGHT + hour * HOUR, {BTC: close})
    assert account.ask(buy(reference=Decimal(105))) == ""
    assert account.ask(buy("2", reference=Decimal("99.8"))) == "price_collar", "too far from the newest"
    assert account.ask(buy("3", reference=Decimal(111))) == "price_collar", "too far from the median"


def test_the_median_of_an_even_number_of_closes_lies_between_the_two_in_the_middle() -> None:
    account = Account(limits__median_closes=4)
    for hour, close in enumerate((90.0, 110.0, 104.0)):  # the first slice of all had 100
        account.at(MIDNIGHT + (hour + 1) * HOUR, {BTC: close})
    assert account.watch.measure(buy(), account.state).median == Decimal("102.0")


def test_slices_without_a_bar_are_no_closes() -> None:
    account = Account()
    seen = snapshot(MIDNIGHT + HOUR, CLOSES | {BTC: 500.0}, fresh=[ETH])
    account.watch.on_slice(msgspec.structs.replace(seen, bars=_BARS), Decimal(10_000))
    account.watch.on_slice(snapshot(MIDNIGHT + HOUR, CLOSES | {BTC: 900.0}), Decimal(10_000))
    assert account.watch.measure(buy(), account.state).median == Decimal("100.0")


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "reason", "manual"),
    [
        ("max_orders_minute", "orders_per_minute", False),
        ("max_orders_day", "orders_per_day", False),
        ("max_manual_orders_day", "manual_orders_per_day", True),
        ("max_messages_minute", "messages_per_minute", False),
        ("max_messages_day", "messages_per_day", False),
    ],
)
def test_so_many_and_not_one_more(limit: str, reason: str, manual: bool) -> None:
    account = Account(**{f"limits__{name}": 3 for name in (limit, limit.replace("messages", "orders"))})
    name = "manual" if manual else "entry"
    if "messages" in limit:
        account.at(MIDNIGHT, held=HELD)
        assert [account.ask(sell(f"0.{n}")) for n in (1, 2, 3, 4)] == [""] * 4, "exits are never blocked"
        assert account.ask(buy("1", ETH)) == reason
    else:
        assert [account.ask(buy(f"1.{n}", reason=name)) for n in (1, 2, 3, 4)] == ["", "", "", reason]
        assert account.ask(sell("0.5")) == "nothing_to_close", "asked for what it is, not for how often"


def test_a_minute_is_any_sixty_seconds_and_a_day_is_a_utc_day() -> None:
    account = Account(limits__max_orders_minute=1, limits__max_orders_day=2)
    assert account.ask(buy("1.1")) == ""
    account.at(MIDNIGHT + 59_999)
    assert account.ask(buy("1.2")) == "orders_per_minute"
    account.at(MIDNIGHT + 60_000)
    assert account.ask(buy("1.3")) == ""
    account.at(MIDNIGHT + DAY - 1)
    assert account.ask(buy("1.4")) == "orders_per_day"
    account.at(MIDNIGHT + DAY)
    assert account.ask(buy("1.5")) == ""


def test_only_what_a_person_asks_for_counts_as_by_hand() -> None:
    account = Account(limits__max_manual_orders_day=1)
    assert [account.ask(buy("1.1", reason="manual")), account.ask(buy("1.2", reason="manual"))] == [
        "",
        "manual_orders_per_day",
    ]
    assert account.ask(buy("1.3")) == ""


def test_open_orders_are_those_that_rest_too() -> None:
    account = Account(limits__max_open_orders=2)
    resting = [sell(id=f"s{n}", pair=ADA, kind=OrderKind.STOP) for n in range(2)]
    account.at(MIDNIGHT, waiting=resting[:1])
    assert account.ask(buy("1.1")) == ""
    account.at(MIDNIGHT, waiting=resting)
    assert account.ask(buy("1.2")) == "open_orders"


def test_an_equal_order_within_ten_seconds_is_a_duplicate() -> None:
    account = Account()
    assert [account.ask(buy()), account.ask(buy())] == ["", "duplicate"]
    assert account.ask(buy("1.00000001")) == ""
    assert account.ask(buy("1", ETH)) == ""
    account.at(MIDNIGHT + 10_000)
    assert account.ask(buy()) == "duplicate"
    account.at(MIDNIGHT + 10_001)
    assert account.ask(buy()) == ""


def test_an_exit_is_a_duplicate_only_while_its_like_is_on_its_way() -> None:
    account = Account()
    account.at(MIDNIGHT, held=HELD)
    assert [account.ask(sell()), account.ask(sell())] == ["", ""], "nothing waits: it did not arrive"
    account.at(MIDNIGHT, held=HELD, waiting=[sell(id="first")])
    assert account.ask(sell(id="second")) == "duplicate"
    assert account.ask(sell(id="stop", kind=OrderKind.STOP)) == ""
    account.at(MIDNIGHT + 10_001, held=HELD, waiting=[sell(id="first")])
    assert account.ask(sell(id="later")) == ""


@pytest.mark.parametrize(
    ("resting", "wanted", "crosses"),
    [
        ({}, {}, True),
        ({"kind": OrderKind.STOP}, {}, False),
        ({"kind": OrderKind.STOP_LIMIT}, {}, False),
        ({"kind": OrderKind.LIMIT, "limit": Decimal(101)}, {}, True),
        ({"kind": OrderKind.LIMIT, "limit": Decimal(101)}, {"kind": OrderKind.LIMIT, "limit": Decimal(101)}, True),
        ({"kind": OrderKind.LIMIT, "limit": Decimal(101)}, {"kind": OrderKind.LIMIT, "limit": Decimal("100.9")}, False),
        ({"pair": ETH}, {}, False),
    ],
)
def test_no_order_trades_with_one_of_our_own(resting: dict[str, Any], wanted: dict[str, Any], crosses: bool) -> None:
    account = Account()
    account.at(MIDNIGHT, waiting=[sell(id="resting", **resting)])
    assert account.ask(buy(**wanted)) == ("self_cross" if crosses else "")


# --- breakers --------------------------------------------------------------------------------------------------------


def test_the_daily_loss_opens_at_its_limit_stays_open_and_ends_with_the_utc_day() -> None:
    account = Account(limits__max_daily_loss_ratio="0.03")
    account.at(MIDNIGHT + HOUR, equity="9700.00000001")
    assert account.ask(buy("1.1")) == ""
    account.at(MIDNIGHT + 2 * HOUR, equity="9700")
    assert account.ask(buy("1.2")) == "daily_loss"
    account.at(MIDNIGHT + 3 * HOUR, equity="10500", held=HELD)
    assert account.ask(buy("1.3", ETH)) == "daily_loss", "it stays open though the money came back"
    assert account.ask(sell()) == ""
    account.at(MIDNIGHT + DAY, equity="10500")
    assert account.ask(buy("1.4")) == ""
    account.at(MIDNIGHT + DAY + HOUR, equity="10185")
    assert account.ask(buy("1.5")) == "daily_loss", "of the equity at the beginning of the new day"


def test_the_day_begins_with_the_equity_of_the_last_slice_before_it() -> None:
    account = Account(limits__max_daily_loss_ratio="0.03")
    account.at(MIDNIGHT + DAY - HOUR, equity="9800")
    account.at(MIDNIGHT + DAY + HOUR, equity="9506")
    assert account.ask(buy()) == "daily_loss"


def test_a_streak_of_losses() -> None:
    account = Account(limits__max_losses_in_a_row=3)
    breakers = account.watch.breakers
    for profit in ("-1", "-1", "0", "-1", "-1"):
        breakers.on_trade(Decimal(profit))
    assert account.ask(buy("1.1")) == ""
    breakers.on_trade(Decimal("-0.00000001"))
    assert account.ask(buy("1.2")) == "loss_streak"
    breakers.on_trade(Decimal(5))
    assert account.ask(buy("1.3")) == "loss_streak", "a day is a day"
    account.at(MIDNIGHT + DAY)
    assert account.ask(buy("1.4")) == ""


def test_more_than_a_fifth_of_the_last_twenty_orders_rejected() -> None:
    account = Account()
    names = [f"o{n}" for n in range(20)]
    for name in names:
        account.watch.breakers.on_sent(name)
    for name in (*names[1:5], names[1], "unheard of"):
        outcomes = [Outcome(OrderId(name), BTC, "rejected", 0), Outcome(OrderId(names[9]), BTC, "cancelled", 0)]
        account.watch.on_outcomes(outcomes)
    assert account.ask(buy("1.1")) == ""
    account.watch.rejected(names[6])
    assert account.ask(buy("1.2")) == "reject_ratio"


def test_rejections_that_are_twenty_orders_ago_do_not_count() -> None:
    account = Account()
    breakers = account.watch.breakers
    for number in range(60):
        breakers.on_sent(f"o{number}")
        if number % 6 == 0:
            breakers.on_rejected(f"o{number}")
    assert breakers.rejected in (3, 4)
    assert account.ask(buy()) == ""


def test_more_than_one_order_of_unknown_outcome() -> None:
    account = Account()
    account.unknown = 1
    assert account.ask(buy("1.1")) == ""
    account.unknown = 2
    assert account.ask(buy("1.2")) == "unknown_orders"
    account.unknown = 0
    assert account.ask(buy("1.3")) == "", "it is closed by what becomes known, not by a new day"


def test_slippage_is_the_mean_of_the_last_executions_against_what_they_were_decided_on() -> None:
    account = Account(limits__slippage_fills=2, limits__max_slippage_ratio="0.01")
    for number, price in enumerate(("100.9", "101"), 1):
        assert account.ask(buy(f"1.{number}", id=f"o-{number}")) == ""
        account.watch.on_fills([fill(Side.BUY, "1", price, slippage="0.1", number=number)], [])
    assert account.watch.breakers.slippage == (Decimal("0.009") + Decimal("0.1") / Decimal("100.9")
                                               + Decimal("0.01") + Decimal("0.1") / 101) / 2  # fmt: skip
    assert account.ask(buy("1.3", id="o-3")) == "slippage"


def test_what_fills_better_than_it_was_decided_on_is_no_slippage_and_stops_are_not_asked() -> None:
    account = Account(limits__slippage_fills=1, limits__max_slippage_ratio="0")
    assert account.ask(buy("1", id="o-1")) == ""
    account.watch.on_fills([fill(Side.BUY, "1", "99", slippage="0.99")], [])
    account.watch.on_fills([fill(Side.SELL, "1", "50", number=9)], [])
    assert account.ask(buy("1.1")) == ""


def test_a_person_who_resumes_closes_the_breakers_and_the_loss_counts_from_there() -> None:
    account = Account(limits__max_losses_in_a_row=1)
    account.watch.breakers.on_trade(Decimal(-1))
    account.at(MIDNIGHT + HOUR, equity="9000")
    assert account.ask(buy("1.1")) == "daily_loss"
    account.watch.forgive()
    assert account.ask(buy("1.2")) == ""
    account.at(MIDNIGHT + 2 * HOUR, equity="8730")
    assert account.ask(buy("1.3")) == "daily_loss"


# --- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [None, BTC])
def test_states_and_what_they_let_through(scope: Pair | None) -> None:
    account = Account()
    account.at(MIDNIGHT, held=HELD)
    cases = [buy(), sell(), sell(kind=OrderKind.STOP), sell(reason="flatten"), sell(reason="manual")]
    asked: dict[Level, list[str]] = {}
    for level in Level:
        if level is not Level.ACTIVE:
            account.standing.throw(level, "why", "test", scope)
        state = account.at(MIDNIGHT, held=HELD)
        measured = [account.watch.measure(one, state) for one in cases]
        limits = limits_of_account(account.tree.limits)
        asked[level] = [
            next((c.name for c in account_controls(one, Decimal(10_000), seen, limits) if c.objects), "")
            for one, seen in zip(cases, measured, strict=True)
        ]
    assert asked[Level.ACTIVE] == [""] * 5
    assert asked[Level.REDUCE_ONLY] == ["not_active", "", "", "", ""]
    assert asked[Level.HALTED] == ["not_active", "not_active", "", "", ""]


def test_a_pair_that_is_halted_stops_no_other() -> None:
    account = Account()
    account.standing.throw(Level.HALTED, "delisting", "test", BTC)
    assert (account.ask(buy()), account.ask(buy(pair=ETH))) == ("not_active", "")
    account.standing.clear(BTC)
    assert account.ask(buy()) == ""


# --- together --------------------------------------------------------------------------------------------------------


def test_no_limit_of_an_entry_blocks_an_exit() -> None:
    account = Account(
        limits__max_order_quote=1, limits__max_gross_exposure_ratio="0.0001", limits__max_orders_day=1,
        limits__max_orders_minute=1, limits__max_open_orders=1, limits__max_daily_loss_ratio="0.01",
    )  # fmt: skip
    account.unknown = 99
    waiting = [buy(id="a", pair=ETH), buy(id="b", pair=ADA)]
    account.at(MIDNIGHT + HOUR, {BTC: 10_000.0}, "1", HELD, waiting)
    assert account.ask(sell()) == ""
    assert account.ask(sell(reason="stop", kind=OrderKind.STOP)) == ""


def test_a_refusal_shows_what_was_seen_and_the_limit() -> None:
    account = Account(limits__max_order_quote=100)
    verdict = account.gate.review(buy("1.5"), account.state)
    assert isinstance(verdict, Denied)
    assert (verdict.reason, verdict.value, verdict.limit) == ("order_notional", "150", "100")
    verdict = account.gate.review(buy("0"), account.state)
    assert isinstance(verdict, Denied)
    assert (verdict.reason, verdict.value, verdict.limit) == ("bad_amount", "0", "> 0")


def test_what_was_seen_is_enough_to_judge_again() -> None:
    """As `why` and `why-not` do, from what the ledger holds."""
    account = Account(limits__max_order_quote=100)
    account.gate.review(buy("1.5"), account.state)
    looked = account.gate.looked
    assert looked is not None
    again = msgspec.json.decode(msgspec.json.encode(looked), type=type(looked))
    limits = limits_of(account.tree.risk, account.tree.costs, HOUR, limits_of_account(account.tree.limits))
    assert [one.name for one in every_control(buy("1.5"), again, limits) if one.objects] == ["order_notional"]


def test_a_book_on_paper_has_the_cheap_controls_alone() -> None:
    account = Account(limits__max_order_quote=1)
    cheap = RiskGate(account.tree.risk, account.tree.costs)
    assert isinstance(cheap.review(buy(), account.state), Approved)
    assert cheap.looked is None


def test_only_what_reduces_passes_outside_of_a_slice() -> None:
    account = Account()
    stop = sell(kind=OrderKind.STOP)
    assert isinstance(account.gate.reduce(stop, 7), Approved)
    for wrong, reason in ((buy(), "not_reducing"), (sell("0"), "bad_amount"), (sell("NaN"), "bad_amount")):
        verdict = account.gate.reduce(wrong, 7)
        assert isinstance(verdict, Denied)
        assert (verdict.reason, verdict.at) == (reason, 7)
    account.standing.throw(Level.HALTED, "why", "test")
    assert isinstance(account.gate.reduce(stop, 7), Approved)
    verdict = account.gate.reduce(sell(), 7)
    assert isinstance(verdict, Denied)
    assert verdict.reason == "halted"


TIGHT: dict[str, object] = {
    "limits__max_order_quote": 500, "limits__max_position_quote": 500, "limits__max_gross_exposure_ratio": "0.1",
    "limits__max_asset_exposure_ratio": "0.06", "limits__max_orders_minute": 3, "limits__max_orders_day": 6,
    "limits__max_open_orders": 5,
}  # fmt: skip
WISH = st.tuples(
    st.sampled_from(PAIRS), st.integers(1, 60_000), st.sampled_from([0, 1, 5_000, 61_000, 40_000_000]), st.booleans()
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(wishes=st.lists(WISH, max_size=25))
def test_i16_limits_hold_in_sum_whatever_is_asked_for_and_across_restarts(
    wishes: list[tuple[Pair, int, int, bool]],
) -> None:
    account, at, times = Account(**TIGHT), MIDNIGHT, []
    waiting: list[Order] = []
    for number, (pair, hundredths, later, restart) in enumerate(wishes):
        at += later
        if restart:
            fresh = Account(**TIGHT)
            fresh.watch.restore(msgspec.json.decode(msgspec.json.encode(account.watch.state())))
            account = fresh
        account.at(at, waiting=waiting)
        wanted = buy(str(Decimal(hundredths) / 10_000), pair, at, id=f"o{number}")
        if account.ask(wanted) == "":
            waiting.append(wanted)
            times.append(at)
    spent = [wanted.amount * wanted.reference for wanted in waiting]
    assert all(notional <= 500 for notional in spent)
    assert sum(spent) <= 1000
    assert len(waiting) <= 5
    for one in times:
        assert sum(one - 60_000 < other <= one for other in times) <= 3
        assert sum(one // DAY == other // DAY for other in times) <= 6
    for pair in PAIRS:
        assert sum(w.amount * w.reference for w in waiting if w.pair == pair) <= 600


def test_breakers_survive_a_restart_to_the_last_digit() -> None:
    account = Account()
    for number in range(3):
        account.ask(buy(f"1.{number}", id=f"o-{number}"))
    account.watch.on_fills([fill(Side.BUY, "1", "101", number=1)], [])
    account.watch.rejected("o-2")
    account.watch.breakers.on_trade(Decimal(-1))
    account.at(MIDNIGHT + HOUR, equity="9000")
    state = msgspec.json.encode(account.watch.state())
    fresh = Account()
    fresh.watch.restore(msgspec.json.decode(state))
    assert msgspec.json.encode(fresh.watch.state()) == state
    assert fresh.watch.measure(buy(), fresh.state).tripped == {"daily_loss": "0.100000"}
    assert fresh.ask(buy("2")) == "daily_loss"


def test_nan_is_never_a_close() -> None:
    account = Account()
    state = account.at(MIDNIGHT, {BTC: float("nan")})
    assert np.isnan(state.snapshot.close[0])
    assert account.watch.measure(buy(), state).last is None
