"""Rows M1 to M6 of the fault matrix: values and times of market data that must not be believed, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.connectors.kraken.parse import Reader
from src.connectors.kraken.said import BookSaid, Broken, TradeSaid
from src.core.clock import iso
from src.core.types import Pair
from src.core.venue import VenueStatus
from tests.kraken.streaming import BTC, ETH, Stage, stage, streams

BAD = {
    "NaN": "not_finite",
    "-Infinity": "not_finite",
    "1e400": "too_large",
    "1e308": "too_large",
    "1e-30": "too_small",
    "-1.5": "negative",
    "0": "zero",
    "0.0": "zero",
    "-0.0": "negative_zero",
    "true": "bool",
    '"50000.1"': "string",
    '"0x1"': "string",
    "null": "missing",
    "[1]": "list",
    "{}": "object",
}
"""What stands in the place of a price, and the cause under which it is counted."""


@pytest.fixture
def there() -> Iterator[Stage]:
    with stage() as built:
        yield built


def trade(price: str, number: int, at: str, amount: str = "0.1") -> bytes:
    row = f'"symbol":"BTC/USD","side":"buy","price":{price},"qty":{amount},"ord_type":"market","trade_id":{number}'
    return f'{{"channel":"trade","type":"update","data":[{{{row},"timestamp":"{at}"}}]}}'.encode()


# --- M1: no number at all, or none that a price can be ---------------------------------------------------------------


def test_m1_bad_prices_are_counted_by_cause_and_go_no_further(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    for number, price in enumerate(BAD):
        there.server.send(trade(price, 5000 + number, iso(there.state.now())), "trade", "BTC/USD")
    for amount in ("0.5", "0.6", "0.7"):
        there.server.trade("BTC/USD", "50000.0", amount)
    there.timer.until(lambda: public.market.newest())
    causes: dict[str, int] = {}
    for cause in BAD.values():
        causes[cause] = causes.get(cause, 0) + 1
    assert dict(public.stream.reader.rejected) == causes
    assert [(tick.price, tick.amount) for tick in public.market.ticks(2**60)] == [
        (50000.0, 0.5),
        (50000.0, 0.6),
        (50000.0, 0.7),
    ]
    assert (public.stream.faults, public.stream.losses, public.market.quote(BTC) is None) == (0, 0, False)


@pytest.mark.parametrize("amount", ["NaN", "-1", "true", '"1"', "1e308"])
def test_m1_a_level_that_cannot_be_read_is_one_that_is_missing(there: Stage, amount: str) -> None:
    public = there.public()
    there.quoted(public)
    there.server.faults.unanswered.add("book")
    row = f'{{"symbol":"BTC/USD","bids":[{{"price":49999.9,"qty":{amount}}}],"asks":[],"checksum":1}}'
    there.server.send(f'{{"channel":"book","type":"update","data":[{row}]}}'.encode(), "book", "BTC/USD")
    there.timer.until(lambda: public.market.quote(BTC) is None)
    there.server.faults.unanswered.clear()
    there.quoted(public)
    assert public.stream.faults == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["symbol", "price", "qty", "trade_id", "timestamp", "bids", "asks", "checksum", "exec_type", "order_id"]
    ),
    JSON,
)
CHANNELS = st.sampled_from(["book", "trade", "ticker", "ohlc", "status", "executions", "instrument", "heartbeat", "x"])


@settings(max_examples=200, deadline=None)
@given(CHANNELS, st.sampled_from(["snapshot", "update", "?"]), st.lists(FIELDS, max_size=3) | JSON, JSON)
def test_m1_nothing_that_is_sent_ends_the_reader(channel: str, kind: str, data: object, sequence: object) -> None:
    reader = Reader()
    said = reader.read(
        json.dumps({"channel": channel, "type": kind, "data": data, "sequence": sequence}).encode(errors="replace")
    )
    for one in said:
        if isinstance(one, TradeSaid):
            assert one.price.is_finite()
            assert one.price > 0
        if isinstance(one, BookSaid):
            assert all(price > 0 and amount >= 0 for price, amount in one.bids + one.asks)
    assert sum(reader.rejected.values()) == sum(isinstance(one, Broken) for one in said)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_m1_no_bytes_end_the_reader(raw: bytes) -> None:
    Reader().read(raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"data":' * 100_000, b'{"a":"' + b"x" * 2**24 + b'"}'])
def test_m1_deep_and_long_messages_are_refused(raw: bytes) -> None:
    reader = Reader()
    assert [type(one) for one in reader.read(raw)] == [Broken]
    assert sum(reader.rejected.values()) == 1


# --- M2: a single print far from all others --------------------------------------------------------------------------


@pytest.mark.parametrize("spike", ["5000000.0", "500.0"])
def test_m2_a_single_print_marks_nothing(there: Stage, spike: str) -> None:
    public = there.public()
    there.quoted(public)
    for price in ("50000.0", "50000.1", "50000.2"):
        there.server.trade("BTC/USD", price)
    there.server.trade("BTC/USD", spike)
    there.server.trade("BTC/USD", "50000.3")
    there.timer.until(lambda: public.market.counts()["spikes"] == 1)
    mark = public.market.mark(BTC)
    assert mark is not None
    assert mark.price == Decimal("50000.3")
    assert [tick.price for tick in public.market.ticks(2**60)] == [50000.0, 50000.1, 50000.2, 50000.3]


def test_m2_a_level_that_several_prints_confirm_is_believed(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    for price in ("50000.0", "50000.1", "50000.2", "60000.0", "60000.1"):
        there.server.trade("BTC/USD", price)
    there.server.level("BTC/USD", ("bids", "49999.9", "9"))
    there.timer.until(lambda: (quote := public.market.quote(BTC)) is not None and quote.bid_amount == 9)
    mark = public.market.mark(BTC)
    assert mark is not None
    assert mark.price < 50001
    there.server.trade("BTC/USD", "60000.2")
    there.timer.until(lambda: (now := public.market.mark(BTC)) is not None and now.price == Decimal("60000.2"))
    assert [tick.price for tick in public.market.ticks(2**60)][3:] == [60000.0, 60000.1, 60000.2]


# --- M3: books that nobody can trade in ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["one_sided", "empty", "crossed", "locked"])
def test_m3_no_quote_of_a_book_that_is_no_market(there: Stage, state: str) -> None:
    public = there.public()
    there.quoted(public)
    there.server.trade("BTC/USD", "50000.0")
    there.server.trade("BTC/USD", "50000.0")
    there.server.trade("BTC/USD", "50000.0")
    there.timer.until(lambda: public.market.mark(BTC) is not None)
    book = there.server.books["BTC/USD"]
    gone = [("asks", str(price), "0") for price in book.asks]
    changes = {
        "one_sided": gone,
        "empty": gone + [("bids", str(price), "0") for price in book.bids],
        "crossed": [("bids", "50000.2", "1")],
        "locked": [("bids", "50000.1", "1")],
    }
    before = public.market.mark(BTC)
    there.server.level("BTC/USD", *changes[state])
    there.timer.until(lambda: public.market.quote(BTC) is None)
    assert public.troubles() == [f"BTC/USD: book {state}"]
    assert public.market.mark(BTC) == before
    assert public.market.counts()[f"book_{state}"] == 1


# --- M4: the wrong time ----------------------------------------------------------------------------------------------


def test_m4_stale_future_repeated_and_unordered_trades_are_dropped(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    now = there.state.now()
    for number in range(3):
        there.server.send(trade("50000.0", 5001 + number, iso(now + number)), "trade", "BTC/USD")
    for number, at in ((5002, now + 5), (5004, now + 600_000), (5005, now - 600_000), (5006, now - 50)):
        there.server.send(trade("50000.5", number, iso(at)), "trade", "BTC/USD")
    there.server.send(trade("50000.1", 5007, "1970-01-01T00:00:00Z"), "trade", "BTC/USD")
    there.server.send(trade("50000.1", 5008, "yesterday"), "trade", "BTC/USD")
    there.server.send(trade("50000.7", 5009, iso(now + 10)), "trade", "BTC/USD")
    there.timer.until(lambda: (mark := public.market.mark(BTC)) is not None and mark.price == Decimal("50000.7"))
    counts = public.market.counts()
    assert {name: counts[name] for name in ("repeated", "future", "out_of_order")} == {
        "repeated": 1,
        "future": 1,
        "out_of_order": 3,
    }
    assert public.stream.reader.rejected["time"] == 1
    assert [tick.price for tick in public.market.ticks(2**60)] == [50000.0] * 3 + [50000.7]


def test_m4_a_trade_that_was_long_on_its_way_is_stale(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    there.server.send(trade("50000.0", 5001, iso(there.state.now() - 11_000)), "trade", "BTC/USD")
    there.timer.until(lambda: public.market.counts().get("stale") == 1)
    assert public.market.ticks(2**60) == ()


# --- M5: far too many ticks ------------------------------------------------------------------------------------------


def test_m5_a_flood_is_conflated_by_symbol_and_the_newest_word_is_there_in_a_second(there: Stage) -> None:
    public = there.public((BTC, ETH), streams(there.server, ticks=1000))
    there.timer.until(lambda: not public.troubles())

    def flood(first: int) -> None:
        for number in range(first, first + 250):
            there.server.trade("BTC/USD", f"{50000 + number % 7}.0", f"{number + 1}")
            there.server.trade("ETH/USD", f"{3000 + number % 7}.0", f"{number + 1}")

    newest: dict[Pair, float] = {}
    sent_s: list[float] = []

    def last() -> bool:
        newest.update({pair: tick.amount for pair, tick in public.market.newest().items()})
        return newest == {BTC: 2_500.0, ETH: 2_500.0}

    for first in range(0, 2_500, 250):
        there.server.run(partial(flood, first))
    # Behind what the last of them sends.
    there.server.run(lambda: there.server.run(lambda: sent_s.append(there.timer.seconds())))
    there.timer.until(last, 30.0)
    assert there.timer.seconds() - sent_s[0] <= 1.0
    assert public.market.counts()["dropped_ticks"] == 5_000 - 1_000
    amounts = [tick.amount for tick in public.market.ticks(2**60)]
    assert len(amounts) == 1_000
    assert all(later >= sooner for sooner, later in pairwise(amounts))
    assert (public.stream.faults, public.stream.losses) == (0, 0)


# --- M6: a pair is renamed, or is no more ----------------------------------------------------------------------------


def test_m6_a_renamed_pair_is_the_same_pair(there: Stage) -> None:
    there.server.faults.foreign_symbol = "XBT/USD"
    public = there.public()
    for price in ("50000.0", "50000.1", "50000.2"):
        there.server.wait(lambda: there.server.subscribed("trade", "BTC/USD"))
        there.server.trade("BTC/USD", price)
    there.timer.until(lambda: public.market.newest())
    assert [tick.pair for tick in public.market.ticks(2**60)] == [BTC] * 3
    assert public.market.counts().get("unknown_symbol", 0) == 0


def test_m6_a_pair_that_is_closed_or_gone_cannot_be_traded(there: Stage) -> None:
    public = there.public((BTC, ETH))
    there.timer.until(lambda: not public.troubles())
    there.timer.until(lambda: (BTC, VenueStatus.ONLINE) in public.statuses())
    there.state.pairs["ETH/USD"].status = "delisted"
    there.state.pairs["BTC/USD"].status = "cancel_only"
    there.server.instruments()
    there.timer.until(lambda: len(public.troubles()) == 2)
    assert public.troubles() == ["BTC/USD: status cancel_only", "ETH/USD: not listed there"]
    assert public.statuses() == [(BTC, VenueStatus.CANCEL_ONLY), (ETH, VenueStatus.MAINTENANCE)]
    del there.state.pairs["ETH/USD"]
    there.state.pairs["BTC/USD"].status = "online"
    there.server.instruments()
    there.timer.until(lambda: public.troubles() == ["ETH/USD: not listed there"])


def test_m6_a_pair_that_the_exchange_never_had_is_never_ready(there: Stage) -> None:
    public = there.public((BTC, Pair("NOBODY/USD")))
    there.timer.until(lambda: public.market.quote(BTC) is not None and there.alerts)
    assert any("refused: Currency pair not supported NOBODY/USD" in alert for alert in there.alerts)
    assert "NOBODY/USD: not listed there" in public.troubles()


def test_overnight_changes_of_the_precision_make_a_new_book(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    there.state.pairs["BTC/USD"].price_decimals = 2
    there.server.instruments()
    there.timer.until(lambda: public.market.counts().get("precision") == 1 and public.market.quote(BTC) is not None)
    assert public.market.counts().get("checksum", 0) == 0


def test_numbers_keep_every_digit_that_was_sent() -> None:
    said = Reader().read(trade("12345678.123456789012", 1, "2024-01-01T00:00:00.123999Z", "1234567890.12345678"))
    assert said == [
        TradeSaid("BTC/USD", 1, 1704067200123, Decimal("12345678.123456789012"), Decimal("1234567890.12345678"), False)
    ]
