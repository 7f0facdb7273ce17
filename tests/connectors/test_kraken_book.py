"""The book against the exchange's checksum: recorded streams, levels in order, depth, and what makes it unusable."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from src.connectors.kraken.book import Book
from src.connectors.kraken.parse import Reader
from src.connectors.kraken.said import BookSaid
from src.core.types import Pair
from tests.kraken.listed import listed_pairs
from tests.kraken.streaming import BTC, Stage, stage
from tests.kraken.ws_books import ServerBook
from tests.recorded import RECORDED

BOOK_LINES = RECORDED / "ticks" / "kraken_ws_v2_book10_BTCUSD.jsonl.gz"
needs_ticks = pytest.mark.skipif(
    not BOOK_LINES.is_file(), reason="recorded data are absent: set MYCELIAL_DATA to their folder"
)


@pytest.fixture
def there() -> Iterator[Stage]:
    with stage() as built:
        yield built


def said(raw: bytes) -> BookSaid:
    (one,) = Reader().read(raw)
    assert isinstance(one, BookSaid)
    return one


def level(price: str, amount: str) -> tuple[Decimal, Decimal]:
    return Decimal(price), Decimal(amount)


def whole(depth: int = 10) -> tuple[Book, ServerBook]:
    """A book that has its snapshot, and the exchange's own."""
    theirs = ServerBook(listed_pairs()["BTC/USD"], Decimal("50000.0"))
    book = Book("BTC/USD", depth, 1, 8)
    assert book.apply(said(theirs.snapshot(depth)))
    return book, theirs


@needs_ticks
def test_a_recorded_stream_passes_with_every_checksum_right() -> None:
    lines = gzip.decompress(BOOK_LINES.read_bytes()).splitlines()
    book = Book("BTC/USD", 10, 1, 8)
    assert [book.apply(said(line)) for line in lines] == [True] * 510
    assert book.changes == 510
    assert len(book.bids()) == len(book.asks()) == 10


@needs_ticks
def test_a_recorded_stream_comes_through_the_sockets_byte_by_byte(there: Stage) -> None:
    lines = gzip.decompress(BOOK_LINES.read_bytes()).splitlines()
    there.server.first_lines["BTC/USD"] = lines[0]
    public = there.public()
    there.quoted(public)
    for line in lines[1:]:
        there.server.send(line, "book", "BTC/USD")
    alone = Book("BTC/USD", 10, 1, 8)
    assert all(alone.apply(said(line)) for line in lines)
    last = alone.quote(0)
    assert last is not None
    there.timer.until(
        lambda: (
            (quote := public.market.quote(BTC)) is not None
            and (quote.bid, quote.bid_amount, quote.ask, quote.ask_amount)
            == (last.bid, last.bid_amount, last.ask, last.ask_amount)
        )
    )
    assert public.market.counts().get("checksum", 0) == 0
    assert [row[1:] for row in there.server.subscriptions].count(("subscribe", "book", "BTC/USD")) == 1


@needs_ticks
@pytest.mark.parametrize("pair", ["BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"])
def test_recorded_books_of_other_pairs_are_rebuilt_from_their_changes(pair: str) -> None:
    """Ten levels at each of some hundred instants: told as changes with the server's own checksum, read back alike."""
    path = RECORDED / "ticks" / f"kraken_v2_l2_{Pair(pair).replace('/', '')}.parquet"
    listed = listed_pairs()[pair]
    theirs = ServerBook(listed, Decimal(1))
    theirs.bids, theirs.asks = {}, {}
    book = Book(pair, 10, listed.price_decimals, listed.lot_decimals)
    for number, row in enumerate(pq.read_table(path).slice(0, 400).to_pylist()):
        now = {side: levels_of(row, side[0]) for side in ("bids", "asks")}
        before = {"bids": dict(theirs.bids), "asks": dict(theirs.asks)}
        changes = [(side, price, Decimal(0)) for side in now for price in before[side].keys() - now[side].keys()]
        changes += [(side, *one) for side in now for one in now[side].items() if before[side].get(one[0]) != one[1]]
        if number:
            assert book.apply(said(theirs.update(changes, row["timestamp"])))
        else:
            theirs.bids, theirs.asks = now["bids"], now["asks"]
            assert book.apply(said(theirs.snapshot(10)))
        assert dict(book.bids()) == now["bids"]
        assert book.asks() == sorted(now["asks"].items())


def levels_of(row: dict[str, float], side: str) -> dict[Decimal, Decimal]:
    return {Decimal(str(row[f"{side}p{n}"])): Decimal(str(row[f"{side}v{n}"])) for n in range(10)}


def test_the_checksum_of_the_documentation_form_is_computed_by_hand() -> None:
    """One level a side, worked out on paper: asks first, no point, no zeros in front."""
    book = Book("X/USD", 10, 5, 8)
    bid, ask = level("0.05000", "0.00000500"), level("0.05005", "0.00000500")
    # "5005" and "500" of the ask, "5000" and "500" of the bid.
    assert zlib.crc32(b"50055005000500") == 3851508195
    assert book.apply(BookSaid("X/USD", True, (bid,), (ask,), 3851508195, None))
    assert not book.apply(BookSaid("X/USD", True, (bid,), (ask,), 3851508196, None))


def test_several_changes_of_one_level_count_in_order() -> None:
    book, theirs = whole()
    price = Decimal("50000.1")
    changes = [("asks", price, Decimal(0)), ("asks", price, Decimal(3)), ("asks", price, Decimal(2))]
    assert book.apply(said(theirs.update(changes, 0)))
    assert book.asks()[0] == (price, Decimal(2))


def test_what_falls_below_the_depth_is_forgotten() -> None:
    book, theirs = whole(10)
    assert book.apply(said(theirs.update([("bids", Decimal("49999.95"), Decimal(1))], 0))) is False
    book, theirs = whole(10)
    better = [("asks", Decimal("50000.0"), Decimal(1))]
    assert book.apply(said(theirs.update(better, 0)))
    assert len(book.asks()) == 10
    # The level that fell out is told again by the exchange when it is one of the ten best again.
    back = [("asks", Decimal("50000.0"), Decimal(0)), ("asks", Decimal("50001.0"), Decimal("1.25"))]
    assert book.apply(said(theirs.update(back, 0)))
    assert book.asks()[-1] == (Decimal("50001.0"), Decimal("1.25"))


def test_a_wrong_checksum_leaves_nothing_behind() -> None:
    book, theirs = whole()
    good = said(theirs.update([("asks", Decimal("50000.1"), Decimal(7))], 0, checksum=1))
    assert book.apply(good) is False
    assert (book.trouble, book.state(), book.quote(0), book.bids(), book.asks()) == (
        "checksum",
        "invalid",
        None,
        [],
        [],
    )
    right = said(theirs.update([("asks", Decimal("50000.1"), Decimal(8))], 0))
    assert book.apply(right) is False
    assert book.apply(said(theirs.snapshot(10)))
    quote = book.quote(5)
    assert quote is not None
    assert (quote.ask, quote.ask_amount, quote.at, quote.middle) == (Decimal("50000.1"), 8, 5, Decimal("50000.0"))
