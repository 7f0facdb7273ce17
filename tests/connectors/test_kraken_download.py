"""History from the local Kraken: bars from trades against hand-made ones, and everything that can interrupt it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from src.connectors.bar_files import read_parquet
from src.connectors.data_folder import list_data
from src.connectors.kraken.download import Downloaded, Downloader
from src.connectors.kraken.journal import Kept, Page, PageJournal
from src.connectors.kraken.rest import KrakenRest
from src.core.clock import Timer
from src.core.errors import CheckFailed, DataError, MycelialError, NotFound, Unavailable, UsageError
from src.core.timeframes import TimeRange
from tests.commands.cli import command, environment, mycelial
from tests.kraken.desk import START, Hand, kraken
from tests.kraken.exchange_state import ExchangeState
from tests.kraken.rest_server import Fault, RestServer
from tests.kraken.tape import NS, Printed, Tape
from tests.recorded import RECORDED, needs_recorded

MINUTE = 60_000
BEGIN = START - START % (24 * 60 * MINUTE)
"""A midnight."""


class Shop:
    """A server with a tape of BTC, and a downloader into a folder."""

    def __init__(self, folder: Path, trades: list[Printed], now: int) -> None:
        self.folder, self.clock = folder, Hand(now)
        self.server = RestServer(ExchangeState(self.clock.now_ms))
        self.server.public.tapes["BTC/USD"] = Tape(trades)
        self.server.public.page_rows = 7
        self.said: list[str] = []

    def get(self, *timeframes: str, window: TimeRange | None = None, **changes: Any) -> tuple[Downloaded, ...]:
        quick = {"download__backoff_first_seconds": 0.001, "download__attempts": 3}
        settings = kraken(self.server.url, **{**quick, **changes})
        rest = KrakenRest(settings.rest, Timer(), None, None)
        try:
            maker = Downloader(rest, settings, self.folder, Timer(), self.said.append)
            return maker.download(["BTC/USD"], timeframes or ("1m",), window or TimeRange())
        finally:
            rest.close()

    def pages(self) -> list[str]:
        return [one.said["since"] for one in self.server.calls("Trades")]


MakeShop = Callable[..., Shop]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeShop]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    shops: list[Shop] = []

    def build(trades: list[Printed] | None = None, minutes: int = 10) -> Shop:
        made = Shop(tmp_path / "data", tape(40) if trades is None else trades, BEGIN + minutes * MINUTE)
        shops.append(made)
        return made

    yield build
    for one in shops:
        one.server.close()


def tape(count: int, step_ms: int = 15_000) -> list[Printed]:
    """So many trades, four a minute, prices 100.5, 101.5, ... up and down."""
    return [
        Printed((BEGIN + place * step_ms) * 1_000_000 + place, Decimal(100 + (place * 7) % 11) + Decimal("0.5"),
                Decimal(place % 5 + 1) / 10)
        for place in range(count)
    ]  # fmt: skip


def naive(trades: list[Printed], interval_ms: int) -> dict[int, tuple[float, float, float, float, float]]:
    """The same bars the slow way."""
    found: dict[int, list[Printed]] = {}
    for one in trades:
        at = one.at // 1_000_000
        found.setdefault(at - at % interval_ms, []).append(one)
    return {
        opened: (
            float(inside[0].price),
            max(float(one.price) for one in inside),
            min(float(one.price) for one in inside),
            float(inside[-1].price),
            sum(float(one.amount) for one in inside),
        )
        for opened, inside in found.items()
    }


def same(path: str, wanted: dict[int, tuple[float, ...]]) -> None:
    bars = read_parquet(Path(path))
    assert bars.opened.tolist() == list(wanted)
    assert np.allclose(np.column_stack(bars.values()), np.array(list(wanted.values())), rtol=1e-12, atol=0)


def test_bars_of_every_length_are_those_of_the_trades(shop: MakeShop) -> None:
    one = shop(tape(2_000), minutes=500)
    one.server.public.page_rows = 1000
    found = one.get("1m", "5m", "2h", "30s", "1h")
    assert [done.timeframe for done in found] == ["1m", "5m", "2h", "30s", "1h"]
    for done, interval in zip(found, (MINUTE, 5 * MINUTE, 120 * MINUTE, 30_000, 60 * MINUTE), strict=True):
        whole = {o: bar for o, bar in naive(tape(2_000), interval).items() if o + interval <= BEGIN + 500 * MINUTE}
        same(done.path, whole)
        assert done.sha256 == hashlib.sha256(Path(done.path).read_bytes()).hexdigest()
        assert (done.trades, done.missing_trades, done.missing) == (2_000, 0, 0)
    assert [done.checked_timeframe for done in found] == ["1m", "5m", "1h", "1m", "1h"]
    assert found[0].checked == 500
    assert Path(found[0].path).relative_to(one.folder).as_posix() == "ohlcv/kraken/1m/BTC-USD.parquet"
    listing = list_data(one.folder)
    assert (len(listing.bars), listing.unknown) == (5, ())
    assert {bar.problem for bar in listing.bars} == {None}


def test_the_bar_that_is_not_finished_is_left_out_and_comes_with_the_next_download(shop: MakeShop) -> None:
    one = shop(tape(38), minutes=10)
    one.clock.at -= 30_000
    assert one.get()[0].bars == 9
    one.server.public.tapes["BTC/USD"].trades += tape(50)[38:]
    one.clock.at = BEGIN + 12 * MINUTE
    (done,) = one.get()
    assert done.bars == 12
    same(done.path, {o: bar for o, bar in naive(tape(50), MINUTE).items() if o + MINUTE <= one.clock.at})


def test_a_range_asks_for_no_more_than_it_needs(shop: MakeShop) -> None:
    one = shop(tape(400), minutes=100)
    window = TimeRange(BEGIN + 10 * MINUTE, BEGIN + 20 * MINUTE)
    (done,) = one.get(window=window)
    assert (done.bars, done.first, done.last) == (10, BEGIN + 10 * MINUTE, BEGIN + 19 * MINUTE)
    assert one.pages()[0] == str((BEGIN + 10 * MINUTE) * 1_000_000 - 1)
    assert len(one.pages()) == 6  # 42 trades, 7 at a time
    with pytest.raises(UsageError, match=r"remove their \.pages file to begin earlier"):
        one.get(window=TimeRange(BEGIN, BEGIN + 20 * MINUTE))


def test_minutes_without_trades_have_no_bar_and_are_counted(shop: MakeShop) -> None:
    trades = [one for one in tape(40) if not 12 <= (one.at // 1_000_000 - BEGIN) // 15_000 < 20]
    (done,) = shop(trades).get()
    assert (done.bars, done.missing, done.checked) == (8, 2, 8)


def test_numbers_that_are_missing_are_counted(shop: MakeShop) -> None:
    class Holed(Tape):
        def page(self, since: int, rows: int) -> tuple[list[list[Any]], str]:
            found, last = super().page(since, rows)
            return [[*row[:6], row[6] + (100 if row[6] > 20 else 0)] for row in found], last

    one = shop()
    one.server.public.tapes["BTC/USD"] = Holed(tape(40))
    one.server.public.page_rows = 1000
    assert one.get()[0].missing_trades == 100


def test_trades_of_one_nanosecond_across_the_end_of_a_page_are_all_there(shop: MakeShop) -> None:
    trades = tape(40)
    for place in (6, 7, 8):
        trades[place] = Printed(trades[6].at, trades[place].price, trades[place].amount)
    (done,) = shop(trades).get()
    assert (done.trades, done.missing_trades) == (40, 0)
    same(done.path, {o: bar for o, bar in naive(trades, MINUTE).items() if o < BEGIN + 10 * MINUTE})


@needs_recorded
@pytest.mark.parametrize("name", ["kraken_v2_trades_a", "kraken_v2_trades_b"])
def test_recorded_trades_make_the_bars_they_made(name: str, shop: MakeShop) -> None:
    table = pq.read_table(RECORDED / "ticks" / f"{name}.parquet")
    rows = [row for row in table.to_pylist() if row["symbol"] == "BTC/USD"]
    trades = [Printed(row["timestamp"] * 1_000_000, *(Decimal(str(row[x])) for x in ("price", "qty"))) for row in rows]
    one = shop(trades)
    one.clock.at = trades[-1].at // 1_000_000 // MINUTE * MINUTE + MINUTE
    one.server.public.page_rows = 40
    (done,) = one.get()
    assert (done.trades, done.missing_trades) == (len(rows), 0)
    same(done.path, naive(trades, MINUTE))


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["swallow", "reset", "cut", "html", "empty", "status", "refuse", "drip"])
def test_a_page_that_does_not_come_is_asked_again(manner: str, shop: MakeShop) -> None:
    one = shop()
    one.server.faults.append(Fault("Trades", manner, times=2))
    (done,) = one.get(rest__wait_seconds=0.2, rest__total_seconds=0.3)
    assert (done.trades, len(one.pages()), len(set(one.pages()))) == (40, 9, 7)


@pytest.mark.parametrize(
    ("kind", "text", "status"),
    [("refuse", "", 429), ("error", "EGeneral:Too many requests", 200), ("error", "EService:Unavailable", 200)],
)
def test_what_never_passes_ends_it_with_all_that_came_kept(kind: str, text: str, status: int, shop: MakeShop) -> None:
    one = shop()
    one.get(window=TimeRange(None, BEGIN + 3 * MINUTE))
    one.server.heard.clear()
    one.server.faults.append(Fault("Trades", kind, text, status=status, times=3))
    with pytest.raises(Unavailable, match="3 times; run it again"):
        one.get()
    (done,) = one.get()
    assert (done.trades, one.pages()[0], one.pages()[3]) == (40, one.pages()[1], one.pages()[1])


def test_an_error_that_will_not_pass_is_not_repeated(shop: MakeShop) -> None:
    one = shop()
    one.server.faults.append(Fault("Trades", "error", "EGeneral:Invalid arguments", times=9))
    with pytest.raises(MycelialError, match="Invalid arguments"):
        one.get()
    assert len(one.pages()) == 1


def test_the_public_pace_is_kept(shop: MakeShop) -> None:
    one, timer = shop(tape(40)), Timer()
    begun = timer.seconds()
    one.get(budget__public_interval_seconds=0.03)
    asked = len(one.server.heard)
    assert timer.seconds() - begun >= 0.03 * (asked - 1)
    assert asked == 10  # AssetPairs, Time, seven pages, OHLC


def test_a_second_download_asks_only_for_what_is_new(shop: MakeShop) -> None:
    one = shop()
    (first,) = one.get()
    one.server.heard.clear()
    (second,) = one.get()
    assert (second.sha256, len(one.pages())) == (first.sha256, 1)


def test_an_empty_page_that_goes_on_is_no_end(shop: MakeShop) -> None:
    one = shop()
    at = BEGIN * 1_000_000 - 5
    one.server.faults.append(Fault("Trades", "body", f'{{"error":[],"result":{{"XXBTZUSD":[],"last":"{at}"}}}}'))
    (done,) = one.get(window=TimeRange(BEGIN - MINUTE, None))
    assert (done.trades, one.pages()[1]) == (40, str(at))


def test_a_pair_without_any_trade_says_so(shop: MakeShop) -> None:
    with pytest.raises(NotFound, match="no trade makes a whole 1m bar"):
        shop([]).get()


@pytest.mark.parametrize(
    "body",
    [
        '{"error":[],"result":{"XXBTZUSD":[["1","1",1]],"last":"5"}}',
        '{"error":[],"result":{"XXBTZUSD":[["x","1",1,"b","l","",1]],"last":"5"}}',
        '{"error":[],"result":{"XXBTZUSD":[["-1","1",1,"b","l","",1]],"last":"5"}}',
        '{"error":[],"result":{"XXBTZUSD":[["1","1",1,"b","l","",1]]}}',
        '{"error":[],"result":{"XXBTZUSD":[["1","1",1,"b","l","",1]],"last":5}}',
        '{"error":[],"result":{"XXBTZUSD":{"a":1},"last":"5"}}',
    ],
)
def test_trades_that_cannot_be_believed_are_refused_and_not_kept(body: str, shop: MakeShop) -> None:
    one = shop()
    one.server.faults.append(Fault("Trades", "body", body, times=9))
    with pytest.raises(DataError, match="kraken"):
        one.get()
    one.server.faults.clear()
    assert one.get()[0].trades == 40


def test_a_page_that_leads_back_is_refused(shop: MakeShop) -> None:
    one = shop()
    one.server.faults.append(Fault("Trades", "body", '{"error":[],"result":{"XXBTZUSD":[],"last":"5"}}'))
    with pytest.raises(DataError, match="which is earlier"):
        one.get(window=TimeRange(BEGIN, None))


@pytest.mark.parametrize(("pair", "hint"), [("BTC/USX", "did you mean BTC/USD"), ("MOON/ZZZ", "written BTC/USD")])
def test_a_pair_that_is_not_listed_is_not_asked_for(pair: str, hint: str, shop: MakeShop) -> None:
    one = shop()
    settings = kraken(one.server.url)
    rest = KrakenRest(settings.rest, Timer(), None, None)
    with pytest.raises(NotFound, match=hint):
        Downloader(rest, settings, one.folder, Timer(), one.said.append).download([pair], ["1m"], TimeRange())
    rest.close()
    assert not one.folder.exists()


@pytest.mark.parametrize("word", ["open", "high", "low", "close", "volume"])
def test_candles_that_contradict_the_trades_stop_it_before_anything_is_written(word: str, shop: MakeShop) -> None:
    class Wrong(Tape):
        def candles(self, minutes: int, now: int, most: int = 721) -> list[list[Any]]:
            rows = super().candles(minutes, now, most)
            column = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 6}[word]
            rows[4][column] = str(Decimal(rows[4][column]) * Decimal("1.0001"))
            return rows

    one = shop()
    one.server.public.tapes["BTC/USD"] = Wrong(tape(40))
    with pytest.raises(CheckFailed, match=rf"{word} .* instead of .* 1m bar of .*T00:04"):
        one.get()
    assert not list(one.folder.glob("ohlcv/**/*.parquet"))


def test_a_candle_with_trades_where_we_have_none_stops_it(shop: MakeShop) -> None:
    one = shop()
    whole = Tape(tape(40))
    one.server.public.tapes["BTC/USD"].trades = [trade for place, trade in enumerate(tape(40)) if not 8 <= place < 12]
    one.server.public.endpoints["OHLC"] = lambda said: {"XXBTZUSD": whole.candles(1, one.clock.at), "last": 0}
    with pytest.raises(CheckFailed, match=r"no trade in the 1m bar of .*T00:02"):
        one.get()


def test_other_bars_that_are_there_already_are_not_overwritten(shop: MakeShop) -> None:
    one = shop()
    (done,) = one.get()
    before = Path(done.path).read_bytes()
    changed = [Printed(t.at, t.price + (1 if place == 5 else 0), t.amount) for place, t in enumerate(tape(40))]
    one.server.public.tapes["BTC/USD"].trades = changed
    (one.folder / "trades" / "kraken" / "BTC-USD.pages").unlink()
    with pytest.raises(DataError, match="disagrees"):
        one.get()
    assert Path(done.path).read_bytes() == before


# --- the journal ------------------------------------------------------------------------------------------------------


def journal(path: Path, pages: int = 3) -> list[int]:
    """A journal of so many pages, and where each begins."""
    made, places = PageJournal.open(path), []
    for number in range(pages):
        places.append(path.stat().st_size)
        made.append(Page(str(number), str(number + 1), [Kept(number, "1.5", "2", number)]))
    made.close()
    return places


def test_a_torn_end_costs_one_page_wherever_it_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.pages"
    places = journal(path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        opened = PageJournal.open(path)
        kept = sum(place < size for place in places) - (size < len(whole) and size not in places)
        assert (opened.trades, path.stat().st_size) == (kept, places[kept] if kept < 3 else len(whole))
        opened.append(Page("x", "y", []))
        opened.close()
        again = PageJournal.open(path)
        assert len(list(again.pages())) == kept + 1
        again.close()


def test_damage_before_the_end_is_named_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.pages"
    places = journal(path)
    whole = path.read_bytes()
    for at in (places[0], places[0] + 20, places[1] + 9, places[1] + 15):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 0xFF,)) + whole[at + 1 :])
        with pytest.raises(DataError, match="damaged; remove the file"):
            PageJournal.open(path)


def test_two_downloads_of_a_pair_do_not_meet(tmp_path: Path) -> None:
    first = PageJournal.open(tmp_path / "a.pages")
    with pytest.raises(UsageError, match="another download"):
        PageJournal.open(tmp_path / "a.pages")
    first.close()
    PageJournal.open(tmp_path / "a.pages").close()


# --- the command ------------------------------------------------------------------------------------------------------


def arguments(one: Shop, *more: str) -> tuple[str, ...]:
    sets = (f"kraken.rest.url={one.server.url}", "kraken.budget.public_interval_seconds=0.02")
    said = [part for text in sets for part in ("--set", text)]
    return ("download-data", "--pairs", "btc/usd", "--timeframes", "1m", "--data", str(one.folder), *said, *more)


def test_kill_9_in_the_middle_loses_at_most_a_page(shop: MakeShop, tmp_path: Path) -> None:
    one = shop(tape(400), minutes=100)
    running = subprocess.Popen(
        command(*arguments(one)), cwd=tmp_path, env=environment(NO_PROXY="127.0.0.1"), stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("BTC/USD: 70 trades"):
            break
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    asked = len(one.pages())
    done = mycelial(*arguments(one, "--json"), cwd=tmp_path, env=environment(NO_PROXY="127.0.0.1"))
    assert done.returncode == 0, done.stderr
    assert asked < 58
    assert len(one.pages()) - asked <= 58 - asked + 1
    same(str(one.folder / "ohlcv/kraken/1m/BTC-USD.parquet"), naive(tape(400), MINUTE))


def test_the_command_says_what_it_did_and_names_a_pair_it_does_not_know(shop: MakeShop, tmp_path: Path) -> None:
    one = shop()
    env = environment(NO_PROXY="127.0.0.1")
    done = mycelial(*arguments(one), cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("BTC/USD 1m: 10 bars, 2023-11-14T00:00 to 2023-11-14T00:09, 0 without a trade; 40 ")
    done = mycelial(*arguments(one)[:2], "BTC/ZZZ", *arguments(one)[3:], cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "kraken lists no pair BTC/ZZZ" in done.stderr


def test_one_nanosecond_is_kept() -> None:
    (row,), last = Tape([Printed(1_700_000_000 * NS + 1, Decimal(1), Decimal(1))]).page(0, 5)
    assert (row[6], last) == (1, "1700000000000000001")
