"""Recorded streams become bars and ticks by the venue's own time; what cannot be read is counted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.connectors.symbols import split_symbol
from src.connectors.ticks import TickFeed, bars_of_trades, read_trades
from src.connectors.trade_files import floor_ms, recordings
from src.core.errors import DataError, NotFound
from src.core.history import SliceDigest
from src.core.types import Bar, Pair, Tick
from tests.recorded import RECORDED, needs_recorded

T0 = 1_723_161_300_000  # 2024-08-08T23:55:00Z, a whole minute
SECOND, MINUTE = 1_000, 60_000
BTC = Pair("BTC/USDT")


def binance(at: int, price: float, amount: float = 1.0, number: int = 0, symbol: str = "BTCUSDT") -> str:
    data = {"e": "trade", "E": at + 1, "s": symbol, "t": number, "p": str(price), "q": str(amount), "T": at}
    return f"{(at - 1300) * 1_000_000} " + json.dumps({"stream": "btcusdt@trade", "data": data})


BOOK = '1723161254036059768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","s":"BTCUSDT","b":[],"a":[]}}'
TICKER = '1723161254036059768 {"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1"}}'


def recording(path: Path, lines: Sequence[str], packed: bool = True) -> Path:
    raw = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return path


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", "BTC/USDT"),
        ("BTCFDUSD", "BTC/FDUSD"),
        ("ETHBTC", "ETH/BTC"),
        ("ETHTUSD", "ETH/TUSD"),
        ("BTC/USD", "BTC/USD"),
        ("BCHEUR", "BCH/EUR"),
        ("DOTUSD", "DOT/USD"),
        ("DOTTUSD", "DOT/TUSD"),
        ("BNBUSD", "BNB/USD"),
        ("ABCFDUSD", "ABC/FDUSD"),
        ("ABCTUSD", None),
        ("ARBUSD", None),
        ("USDTUSD", None),
        ("USDT", None),
        ("BTCXYZ", None),
        ("/USD", None),
        ("", None),
    ],
)
def test_symbols_are_split_by_the_table_of_quotes(symbol: str, pair: str | None) -> None:
    assert split_symbol(symbol) == pair


@pytest.mark.parametrize("packed", [True, False])
def test_trades_become_bars_and_ticks(tmp_path: Path, packed: bool) -> None:
    lines = [
        binance(T0, 100.0, 2.0, 1),
        BOOK,
        binance(T0 + 10, 104.0, 1.0, 2),
        TICKER,
        binance(T0 + 20, 99.0, 1.0, 3),
        binance(T0 + MINUTE - 1, 101.0, 0.5, 4),
        binance(T0 + MINUTE, 102.0, 1.0, 5),
        binance(T0 + 3 * MINUTE, 103.0, 1.0, 6),
        binance(T0 + 4 * MINUTE, 104.0, 1.0, 7),
    ]
    feed = TickFeed(read_trades([recording(tmp_path / "x.gz", lines, packed)]), MINUTE)
    slices = list(feed)
    assert feed.pairs == (BTC,)
    assert [(s.at - T0) // MINUTE for s in slices] == [1, 2, 4]
    assert [s.bars.bar(0) for s in slices if s.bars] == [
        Bar(BTC, T0, 100.0, 104.0, 99.0, 101.0, 4.5),
        Bar(BTC, T0 + MINUTE, 102.0, 102.0, 102.0, 102.0, 1.0),
        Bar(BTC, T0 + 3 * MINUTE, 103.0, 103.0, 103.0, 103.0, 1.0),
    ]
    assert [len(s.ticks) for s in slices] == [4, 1, 1]
    assert slices[0].ticks[1] == Tick(BTC, T0 + 10, 104.0, 1.0)
    assert not any(s.simulated for s in slices)


def test_bars_that_were_not_recorded_whole_are_left_out(tmp_path: Path) -> None:
    lines = [binance(T0 + 1 + step * MINUTE, 100.0 + step, 1.0, step) for step in range(4)]
    slices = list(TickFeed(read_trades([recording(tmp_path / "x.gz", lines)]), MINUTE))
    assert [(s.at - T0) // MINUTE for s in slices] == [2, 3]
    assert [tick.price for tick in slices[0].ticks] == [100.0, 101.0]


def test_a_recording_shorter_than_a_bar_is_not_found(tmp_path: Path) -> None:
    trades = read_trades([recording(tmp_path / "x.gz", [binance(T0, 1.0), binance(T0 + 5000, 1.0, 1.0, 1)])])
    with pytest.raises(NotFound, match="no whole 1m bar: it is 5 s long; choose a shorter timeframe"):
        TickFeed(trades, MINUTE)


def test_late_trades_are_put_in_their_place_and_counted(tmp_path: Path) -> None:
    lines = [
        binance(T0, 100.0, 1.0, 1),
        binance(T0 + 30, 103.0, 1.0, 4),
        binance(T0 + 20, 102.0, 1.0, 3),
        binance(T0 + 20, 101.0, 1.0, 2),
        binance(T0 + MINUTE, 90.0, 1.0, 5),
    ]
    trades = read_trades([recording(tmp_path / "x.gz", lines)])
    assert trades.price.tolist() == [100.0, 101.0, 102.0, 103.0, 90.0]
    assert trades.report.late == 2
    assert bars_of_trades(trades, MINUTE).close.tolist() == [[103.0]]


def test_trades_seen_twice_count_once(tmp_path: Path) -> None:
    lines = [binance(T0, 100.0, 1.0, 1), binance(T0 + 1, 101.0, 1.0, 2)]
    paths = [recording(tmp_path / name, lines) for name in ("a.gz", "b.gz")]
    trades = read_trades(paths)
    assert (len(trades.at), trades.report.duplicates, trades.report.trades) == (2, 2, 2)


def test_what_cannot_be_read_is_counted_with_the_first_place(tmp_path: Path) -> None:
    lines = [
        binance(T0, 100.0, 1.0, 1),
        BOOK,
        "1723161254036059768 {broken",
        '5 {"stream":"x","data":{"e":"trade","s":"BTCUSDT"}}',
        '5 {"hello":1}',
        "5 [1,2]",
        "nonsense",
        binance(T0 + 1, -5.0, 1.0, 2),
        binance(T0 + 1, float("nan"), 1.0, 2),
        binance(T0 // 1000, 5.0, 1.0, 3),
        binance(T0 + 2, 5.0, 1.0, 4, "BTCXYZ"),
        '{"result":null,"id":1}',
        binance(T0 + 3, 101.0, 1.0, 5),
    ]
    report = read_trades([recording(tmp_path / "x.gz", lines)]).report
    assert (report.frames, report.trades, report.other, report.malformed, report.unknown_symbols) == (13, 2, 2, 8, 1)
    assert report.first_malformed == f"{tmp_path / 'x.gz'} line 3"


def test_a_torn_recording_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    lines = [binance(T0 + step, 100.0, 1.0, step) for step in range(5000)]
    path = recording(tmp_path / "x.gz", lines)
    path.write_bytes(path.read_bytes()[:-2000])
    report = read_trades([path]).report
    assert report.truncated_files == 1
    assert 0 < report.trades < 5000


def test_kraken_lines_are_read(tmp_path: Path) -> None:
    entry = {"symbol": "BTC/USD", "side": "buy", "price": 29430.3, "qty": 0.5, "trade_id": 7}
    frames = [
        {"channel": "trade", "type": "update", "data": [entry | {"timestamp": "2023-07-30T15:29:58.343999Z"}]},
        {"channel": "book", "type": "update", "data": [{"symbol": "BTC/USD", "bids": []}]},
        {"channel": "heartbeat"},
    ]
    trades = read_trades([recording(tmp_path / "x.jsonl", [json.dumps(frame) for frame in frames], packed=False)])
    assert trades.pairs == ("BTC/USD",)
    assert trades.at.tolist() == [1_690_730_998_343]
    assert (trades.price.tolist(), trades.amount.tolist(), trades.report.other) == ([29430.3], [0.5], 2)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2024-11-12T06:50:16.753999Z", 1_731_394_216_753),
        ("2024-11-12T06:50:16.7Z", 1_731_394_216_700),
        ("2024-11-12T06:50:16.753547123Z", 1_731_394_216_753),
        ("2024-11-12T06:50:16Z", 1_731_394_216_000),
    ],
)
def test_times_are_floored_to_milliseconds(text: str, ms: int) -> None:
    assert floor_ms(text) == ms


def test_parquet_without_a_symbol_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "kraken_trades_BCHEUR.parquet"
    pq.write_table(pa.table({"timestamp": [T0, T0], "price": [1.0, 2.0], "amount": [1.0, 1.0]}), path)
    trades = read_trades([path])
    assert trades.pairs == ("BCH/EUR",)
    assert trades.price.tolist() == [1.0, 2.0]


def test_what_holds_no_trade_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no trade in 2 frames; was it a book stream"):
        read_trades([recording(tmp_path / "x.gz", [BOOK, TICKER])])
    pq.write_table(pa.table({"side": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no file of trades; it has the columns side"):
        read_trades([tmp_path / "x.parquet"])
    with pytest.raises(NotFound, match="no such recording"):
        read_trades([tmp_path / "nowhere.gz"])


@needs_recorded
def test_the_recorded_binance_stream_goes_across_midnight() -> None:
    trades = read_trades(sorted((RECORDED / "ticks").glob("binance_ws_*.gz")))
    report = trades.report
    assert (report.frames, report.trades, report.other, report.malformed) == (99_574, 19_904, 79_670, 0)
    feed = TickFeed(trades, MINUTE)
    slices = list(feed)
    assert [(s.at - T0) // MINUTE for s in slices] == list(range(1, 11))
    # Every trade up to the last close is said once; the first whole bar also brings what came before it.
    assert sum(len(s.ticks) for s in slices) == int(np.searchsorted(trades.at, slices[-1].at))
    for slice_ in slices[1:]:
        assert slice_.bars is not None
        prices = [tick.price for tick in slice_.ticks]
        (bar,) = [slice_.bars.bar(0)]
        assert bar is not None
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.volume == pytest.approx(sum(tick.amount for tick in slice_.ticks), rel=1e-12)


@needs_recorded
def test_a_restart_of_a_recording_repeats_nothing() -> None:
    feed = TickFeed(read_trades([RECORDED / "ticks/kraken_v2_trades_a.parquet"]), SECOND)
    slices = list(feed)
    assert feed.pairs == ("BTC/USD", "DOGE/USD", "ETH/USD", "SOL/USD")
    rest = SliceDigest(feed.pairs, feed.interval_ms)
    for slice_ in slices[5:]:
        rest.update(slice_)
    assert feed.start_after(slices[4].at).data_sha256 == rest.hexdigest()
    assert feed.data_sha256 != rest.hexdigest()


@needs_recorded
def test_recorded_books_are_no_trades() -> None:
    with pytest.raises(DataError, match="no trade in 510 frames"):
        read_trades([RECORDED / "ticks/kraken_ws_v2_book10_BTCUSD.jsonl.gz"])


def test_of_a_folder_only_recordings_are_opened(tmp_path: Path) -> None:
    mine = recording(tmp_path / "x.gz", [binance(T0, 1.0)])
    (tmp_path / "kmsg").symlink_to("/proc/kmsg")  # whoever reads it waits for ever
    (tmp_path / "below.gz").mkdir()
    assert recordings(tmp_path) == [mine]
    with pytest.raises(NotFound, match=r"no recording \(.gz, "):
        recordings(tmp_path / "below.gz")
