"""Quoted spreads: from the book, else the ticker, never later than the slice, and kept with it for whoever replays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from threading import Event

import msgspec
import numpy as np
import pytest

from src.connectors.kraken.feed import KrakenFeed, PublicStream
from src.connectors.kraken.market import Market
from src.connectors.kraken.said import InstrumentSaid, InstrumentsSaid, TickerSaid
from src.connectors.kraken.subscriptions import Subscriptions
from src.connectors.recorded_slices import recorded_slices, slice_row
from src.connectors.sqlite_ledger import SqliteSink
from src.core.clock import SimClock, Timer
from src.core.inputs import SeenQuotes
from src.core.inputs import slice_row as input_row
from src.core.types import BarBlock, Slice
from tests.checks.ledger_checks import SETTINGS
from tests.connectors.test_kraken_book import said
from tests.connectors.test_kraken_feed import History
from tests.kraken.listed import listed_pairs
from tests.kraken.streaming import BTC, ETH, MINUTE, SOL, Stage, stage
from tests.kraken.streaming import streams as towards
from tests.kraken.ws_books import ServerBook
from tests.settings.leaves import tree

NOW = 1_700_000_000_000
STREAMS = tree().kraken.streams
OLD_MS = round(1000 * STREAMS.belief.quote_age_seconds)
PAIRS = (BTC, ETH, SOL)
TOP = ("49999.9", "50000.1")
BETTER = "50000.0"
"""Best bid and ask of a book of the local exchange around 50,000, and a better ask."""


def spread_of(bid: str, ask: str) -> float:
    """(ask - bid) / middle."""
    return float((Decimal(ask) - Decimal(bid)) / ((Decimal(ask) + Decimal(bid)) / 2))


class Desk:
    """A market of two pairs whose clock a test moves, and the exchange's own book of the first."""

    def __init__(self) -> None:
        self.clock = SimClock(NOW)
        self.market = Market((BTC, ETH), MINUTE, STREAMS, self.clock, Subscriptions(STREAMS.connection))
        one = listed_pairs()["BTC/USD"]
        self.book = ServerBook(one, Decimal("50000.0"))
        steps = Decimal("0.1"), Decimal("0.00000001"), Decimal("0.0001"), Decimal("0.5")
        self.market.take(InstrumentsSaid(True, (InstrumentSaid("BTC/USD", "BTC", "USD", "online", 1, 8, *steps),)))

    def whole(self) -> Desk:
        """The book has come."""
        self.market.take(said(self.book.snapshot(STREAMS.book_depth)))
        return self

    def ticker(self, bid: str, ask: str, symbol: str = "BTC/USD") -> None:
        """The ticker speaks."""
        self.market.take(TickerSaid(symbol, Decimal(bid), Decimal(ask), Decimal(bid)))

    def spreads(self) -> list[float | None]:
        return [None if math.isnan(one) else one for one in self.market.spreads().tolist()]


def test_the_spread_of_a_book_is_over_its_middle() -> None:
    desk = Desk().whole()
    assert desk.spreads() == [spread_of(*TOP), None]
    desk.market.take(said(desk.book.update([("asks", Decimal(BETTER), Decimal(1))], NOW)))
    assert desk.spreads() == [spread_of(TOP[0], BETTER), None]
    with pytest.raises(ValueError, match="read-only"):
        desk.market.spreads()[0] = 1.0


def test_the_book_goes_before_the_ticker_and_the_ticker_before_nothing() -> None:
    desk = Desk()
    assert desk.spreads() == [None, None]
    desk.ticker("49990.0", "50010.0")
    desk.ticker("2990.00", "3010.00", "ETH/USD")
    tickers = [spread_of("49990.0", "50010.0"), spread_of("2990.00", "3010.00")]
    assert desk.spreads() == tickers
    desk.whole()
    assert desk.spreads() == [spread_of(*TOP), tickers[1]]
    desk.market.take(said(desk.book.update([("asks", Decimal("50000.3"), Decimal(7))], NOW, checksum=1)))
    assert desk.spreads() == tickers, "a book that does not agree with its checksum is no quote"


def test_what_was_quoted_too_long_ago_is_no_quote() -> None:
    desk = Desk().whole()
    desk.ticker("2990.00", "3010.00", "ETH/USD")
    desk.clock.reach(NOW + OLD_MS)
    assert None not in desk.spreads()
    desk.clock.reach(NOW + OLD_MS + 1)
    assert desk.spreads() == [None, None]


@pytest.mark.parametrize("ask", ["2990.00", "2989.99"])
def test_a_locked_or_crossed_ticker_is_no_quote(ask: str) -> None:
    desk = Desk()
    desk.ticker("2990.00", "3010.00", "ETH/USD")
    desk.ticker("2990.00", ask, "ETH/USD")
    assert desk.spreads() == [None, None]
    assert desk.market.counts()["ticker_crossed"] == 1


def test_a_cut_connection_quotes_nothing() -> None:
    desk = Desk().whole()
    desk.ticker("2990.00", "3010.00", "ETH/USD")
    desk.market.cut()
    assert desk.spreads() == [None, None]


# --- the feed ----------------------------------------------------------------------------------------------------


@pytest.fixture
def there() -> Iterator[Stage]:
    with stage() as built:
        built.clock.moved_ms = 30_000 - built.clock.now_ms() % MINUTE
        yield built


Passing = Callable[[Market, int], float | None]


class Steps(Timer):
    """Whoever waits moves the clock; `passing` is told the time before each wait and may say how long it is."""

    def __init__(self, there: Stage, market: Market, passing: Passing) -> None:
        self._there, self._market, self._passing = there, market, passing

    def wait(self, event: Event, seconds: float) -> bool:
        chosen = self._passing(self._market, self._there.clock.now_ms())
        self._there.clock.moved_ms += math.ceil(1000 * (seconds if chosen is None else chosen))
        return event.is_set()


def next_slice(there: Stage, passing: Passing) -> tuple[Market, Slice]:
    """The first slice after the warm-up, its interval walked by steps."""
    settings = towards(there.server)
    public = PublicStream((BTC, ETH), MINUTE, settings, there.clock, there.ports(settings))
    timer, history = Steps(there, public.market, passing), History(1, {BTC: 50000.0, ETH: 3000.0})
    built = KrakenFeed(public, settings, history, there.clock, timer, MINUTE)
    there.stack.callback(built.close)
    slices = iter(built)
    assert next(slices).spreads is None, "history has no quotes"
    there.timer.until(lambda: not np.isnan(public.market.spreads()).any())
    return public.market, next(slices)


def test_a_slice_carries_what_was_quoted_last_before_its_time(there: Stage) -> None:
    """The book changes between the end of the bar and its slice: that was not known at the slice's time."""
    ends = there.clock.now_ms() // MINUTE * MINUTE + MINUTE
    changed: list[int] = []

    def passing(market: Market, now: int) -> None:
        if now > ends and not changed:
            there.server.level("BTC/USD", ("asks", BETTER, "1"))
            there.timer.until(lambda: market.spreads()[0] == spread_of(TOP[0], BETTER))
            changed.append(now)

    market, slice_ = next_slice(there, passing)
    assert len(changed) == 1
    assert (slice_.at, market.spreads()[0]) == (ends, spread_of(TOP[0], BETTER))
    assert slice_.spreads is not None
    assert slice_.spreads[0] == spread_of(*TOP)
    assert not slice_.spreads.flags.writeable


def test_quotes_that_are_old_when_the_interval_ends_are_left_out(there: Stage) -> None:
    """Nobody looked for so long: the estimate from bars is honester than a quote of then."""
    there.clock.moved_ms -= 29_000  # the interval has just begun
    _, slice_ = next_slice(there, lambda market, now: 65.0)
    assert slice_.spreads is None


# --- the record --------------------------------------------------------------------------------------------------


def one(spreads: list[float] | None) -> Slice:
    """A slice of three pairs."""
    columns = [np.array([1.0, 2.0, 3.0]) for _ in range(5)]
    bars = BarBlock(PAIRS, NOW - MINUTE, *columns, np.ones(3, np.bool_))
    return Slice(NOW, bars, spreads=None if spreads is None else np.array(spreads))


def test_quotes_come_back_from_the_ledger_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    sink = SqliteSink(path, SETTINGS, mode="paper", ledger_id="test")
    quoted = one([0.0001 / 3, math.nan, 2e-5])
    later = msgspec.structs.replace(one(None), at=NOW + MINUTE)
    assert not sink.write([slice_row(quoted), slice_row(later)])
    sink.close()
    first, second = recorded_slices(path, SETTINGS, PAIRS, None)
    assert first.spreads is not None
    assert quoted.spreads is not None
    assert first.spreads.tobytes() == quoted.spreads.tobytes()
    assert not first.spreads.flags.writeable
    assert second.spreads is None


def test_rows_of_slices_without_quotes_are_what_they_were() -> None:
    bare, empty = slice_row(one(None)), slice_row(one([math.nan] * 3))
    assert bare == empty
    assert b"spreads" not in bare.body
    assert b"quoted" not in input_row(NOW, None, ()).body


def test_the_fingerprint_of_an_input_names_its_quotes() -> None:
    marks = set()
    for spreads in ([1e-4, math.nan, 2e-5], [1e-4, 2e-5, math.nan], [1e-4, math.nan, np.nextafter(2e-5, 1)]):
        slice_ = one(spreads)
        row = input_row(slice_.at, slice_.bars, (), slice_.spreads)
        marks.add(msgspec.json.decode(row.body, type=SeenQuotes).quoted[str(NOW)])
    assert len(marks) == 3
