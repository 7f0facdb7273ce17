"""Recorded bars are replayed in order of time, exactly as they are, or refused with file, row, value and remedy."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from src.connectors.history import HistoryFeed, bar_path, load_history, only_venue
from src.core.errors import DataError, NotFound, UsageError
from src.core.history import SliceDigest
from src.core.timeframes import TimeRange, parse_timerange
from src.core.types import Bar, Observation, Pair, Slice
from tests.connectors.bars import HOUR, START, Row, bar, folder_with, write_rows
from tests.recorded import RECORDED, needs_recorded

CLOSE = START + HOUR


def seen(known_at: int, id_: str = "a") -> Observation:
    return Observation("commits", "code", id_, "BTC", known_at - 1, known_at, {"files_changed": 2.0})


def feed_of(root: Path, **kwargs: object) -> HistoryFeed:
    return HistoryFeed(load_history(root, "binance", "1h"), **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def two_pairs(tmp_path: Path) -> Path:
    """BTC has hours 0, 1, 2, 5; ETH 1, 2, 6: hours 3 and 4 are missing in both."""
    return folder_with(
        tmp_path,
        ETH_USDT=[bar(1, 10.0), bar(2, 11.0), bar(6, 12.0)],
        BTC_USDT=[bar(0, 100.0), bar(1, 101.0), bar(2, 102.0), bar(5, 103.0)],
    )


def test_every_instant_at_which_a_bar_closed_has_one_slice(two_pairs: Path) -> None:
    feed = feed_of(two_pairs)
    slices = list(feed)
    assert feed.pairs == ("BTC/USDT", "ETH/USDT")
    assert feed.interval_ms == HOUR
    assert feed.simulated is False
    assert [(s.at - START) // HOUR for s in slices] == [1, 2, 3, 6, 7]


def test_bars_are_known_at_their_close_and_missing_ones_are_marked(two_pairs: Path) -> None:
    first, second, *_, last = feed_of(two_pairs)
    assert first.bars is not None
    assert second.bars is not None
    assert last.bars is not None
    assert first.bars.opened == START
    assert first.bars.bar(0) == Bar(Pair("BTC/USDT"), START, 100.0, 102.0, 98.0, 101.0, 5.0)
    assert first.bars.bar(1) is None
    assert math.isnan(first.bars.close[1])
    assert first.bars.volume[1] == 0.0
    assert second.bars.present.tolist() == [True, True]
    assert last.bars.present.tolist() == [False, True]
    assert last.bars.bar(1) == Bar(Pair("ETH/USDT"), START + 6 * HOUR, 12.0, 14.0, 10.0, 13.0, 5.0)


def test_what_is_handed_out_is_read_only(two_pairs: Path) -> None:
    first = next(iter(feed_of(two_pairs)))
    assert first.bars is not None
    with pytest.raises(ValueError, match="read-only"):
        first.bars.close[0] = 1.0


def test_observations_have_slices_of_their_own_or_join_the_bars(two_pairs: Path) -> None:
    between, exact, in_the_gap = seen(CLOSE + 5, "b"), seen(CLOSE + HOUR, "c"), seen(START + 4 * HOUR + 1, "d")
    early, late = seen(START - 9 * HOUR, "e"), seen(START + 8 * HOUR, "f")
    slices = list(feed_of(two_pairs, observations=[late, in_the_gap, exact, between, early]))
    said = [((s.at - START) / HOUR, s.bars is not None, [o.id for o in s.observations]) for s in slices]
    minute = 5 / HOUR
    assert said == [
        (1, True, ["e"]),
        (1 + minute, False, ["b"]),
        (2, True, ["c"]),
        (3, True, []),
        (4 + 1 / HOUR, False, ["d"]),
        (6, True, []),
        (7, True, []),
    ]


def test_time_rises_strictly_with_observations_of_one_instant(two_pairs: Path) -> None:
    many = [seen(CLOSE + 7, str(n)) for n in range(3)] + [seen(CLOSE, "x"), seen(CLOSE - 1, "y")]
    slices = list(feed_of(two_pairs, observations=many))
    assert all(earlier.at < later.at for earlier, later in pairwise(slices))
    assert [o.id for o in slices[0].observations] == ["y", "x"]
    assert [o.id for o in slices[1].observations] == ["0", "1", "2"]


def test_a_restart_goes_on_after_a_time_and_repeats_nothing(two_pairs: Path) -> None:
    observations = [seen(CLOSE - 1, "a"), seen(CLOSE + 5, "b"), seen(CLOSE + HOUR, "c"), seen(CLOSE + HOUR + 1, "d")]
    whole = feed_of(two_pairs, observations=observations)
    slices = list(whole)
    assert digest(whole, list(whole.start_after(START - HOUR))) == digest(whole, slices)
    for done in range(len(slices)):
        rest = list(whole.start_after(slices[done].at))
        assert digest(whole, rest) == digest(whole, slices[done + 1 :])
    assert list(whole.start_after(slices[-1].at)) == []


def digest(feed: HistoryFeed, slices: list[Slice]) -> str:
    hashed = SliceDigest(feed.pairs, feed.interval_ms)
    for slice_ in slices:
        hashed.update(slice_)
    return hashed.hexdigest()


@pytest.mark.parametrize("since", [None, CLOSE, CLOSE + 5])
def test_the_hash_is_that_of_what_is_yielded(two_pairs: Path, since: int | None) -> None:
    feed = feed_of(two_pairs, observations=[seen(CLOSE + 5), seen(START), seen(START + 3 * HOUR, "z")], since=since)
    assert feed.data_sha256 == digest(feed, list(feed))


def test_the_hash_changes_with_every_part_of_the_data(tmp_path: Path) -> None:
    rows = [bar(0), bar(1), bar(2)]
    same = [feed_of(folder_with(tmp_path / name, BTC_USDT=rows)).data_sha256 for name in ("one", "two")]
    assert same[0] == same[1]
    others = [
        feed_of(folder_with(tmp_path / "pair", ETH_USDT=rows)),
        feed_of(folder_with(tmp_path / "time", BTC_USDT=[bar(1), bar(2), bar(3)])),
        feed_of(folder_with(tmp_path / "volume", BTC_USDT=[bar(0), bar(1), bar(2, volume=6.0)])),
        feed_of(folder_with(tmp_path / "fewer", BTC_USDT=rows[:2])),
        feed_of(tmp_path / "one", observations=[seen(CLOSE + 1)]),
        feed_of(tmp_path / "one", observations=[seen(CLOSE + 2)]),
    ]
    assert len({same[0], *(feed.data_sha256 for feed in others)}) == 7


def test_cutting_at_a_time_leaves_what_was_known_then(two_pairs: Path) -> None:
    history = load_history(two_pairs, "binance", "1h")
    assert history.cut(CLOSE + HOUR).times.tolist() == [CLOSE, CLOSE + HOUR]
    assert history.cut(CLOSE + HOUR - 1).times.tolist() == [CLOSE]
    assert len(history.cut(CLOSE - 1).times) == 0
    np.testing.assert_array_equal(history.cut(CLOSE).close, history.close[:1])


def test_a_window_goes_by_opens(two_pairs: Path) -> None:
    history = load_history(two_pairs, "binance", "1h")
    assert history.window(TimeRange(START + HOUR, START + 5 * HOUR)).times.tolist() == [CLOSE + HOUR, CLOSE + 2 * HOUR]
    assert history.window(TimeRange()).bars == history.bars == 7
    assert history.timerange == TimeRange(START, START + 7 * HOUR)


def test_a_timerange_is_applied_to_opens(two_pairs: Path) -> None:
    window = TimeRange(START + HOUR, START + 2 * HOUR)
    history = load_history(two_pairs, "binance", "1h", None, window)
    assert history.times.tolist() == [START + 2 * HOUR]
    assert history.bars == 2


def test_pairs_without_bars_in_the_range_are_left_out_unless_named(two_pairs: Path) -> None:
    first_hour = TimeRange(None, START + HOUR)
    history = load_history(two_pairs, "binance", "1h", None, first_hour)
    assert history.pairs == ("BTC/USDT",)
    assert history.left_out == ("ETH/USDT",)
    with pytest.raises(NotFound, match=r"no bar of ETH/USDT in .* the first opens at 2021-01-01T01:00"):
        load_history(two_pairs, "binance", "1h", ["BTC/USDT", "ETH/USDT"], first_hour)


def test_named_pairs_are_sorted_and_taken_once(two_pairs: Path) -> None:
    history = load_history(two_pairs, "binance", "1h", ["ETH/USDT", "BTC/USDT", "ETH/USDT"])
    assert history.pairs == ("BTC/USDT", "ETH/USDT")


def test_a_range_without_data_is_not_found(two_pairs: Path) -> None:
    with pytest.raises(NotFound, match=r"in 2022-01-01T00:00:00.000Z to the end; the first opens at 2021-01-01"):
        load_history(two_pairs, "binance", "1h", None, parse_timerange("20220101-"))


def test_what_is_absent_is_named_with_what_is_there(two_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no data folder"):
        load_history(tmp_path / "nowhere", "binance", "1h")
    with pytest.raises(NotFound, match=r"no venue 'binanc'; there is binance, did you mean 'binance'\?"):
        load_history(two_pairs, "binanc", "1h")
    with pytest.raises(NotFound, match=r"no timeframe '2h'; there is 1h$"):
        load_history(two_pairs, "binance", "2h")
    with pytest.raises(NotFound, match=r"no pair 'BTC/USD'; there is BTC/USDT, ETH/USDT, did you mean 'BTC/USDT'\?"):
        load_history(two_pairs, "binance", "1h", ["BTC/USD"])
    with pytest.raises(NotFound, match=r"no pair 'btc/usdt'.*did you mean 'BTC/USDT'"):
        load_history(two_pairs, "binance", "1h", ["btc/usdt"])
    with pytest.raises(UsageError, match="no pair was named"):
        load_history(two_pairs, "binance", "1h", [])


def test_empty_folders_say_how_to_fill_them(tmp_path: Path) -> None:
    (tmp_path / "ohlcv").mkdir()
    with pytest.raises(NotFound, match="import-data"):
        load_history(tmp_path, "binance", "1h")
    (tmp_path / "ohlcv" / "binance" / "1h").mkdir(parents=True)
    with pytest.raises(NotFound, match=r"holds no BASE-QUOTE.parquet; fill it with import-data"):
        load_history(tmp_path, "binance", "1h")


def test_the_only_venue_need_not_be_said(two_pairs: Path) -> None:
    assert only_venue(two_pairs) == "binance"
    (two_pairs / "ohlcv" / "kraken").mkdir()
    with pytest.raises(UsageError, match="binance, kraken: say which"):
        only_venue(two_pairs)
    with pytest.raises(NotFound, match="import-data"):
        only_venue(two_pairs / "nowhere")


@pytest.mark.parametrize("pair", ["BTCUSDT", "/USDT", "BTC/", "../x/y", "BTC-A/USDT", ".x/USDT"])
def test_a_pair_is_base_and_quote(pair: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="write BASE/QUOTE"):
        bar_path(tmp_path, "binance", "1h", pair)


GOOD = [bar(hour) for hour in range(4)]


def spoiled(row: int, **values: float) -> list[Row]:
    names = ("timestamp", "open", "high", "low", "close", "volume")
    rows = [list(one) for one in GOOD]
    for name, value in values.items():
        rows[row][names.index(name)] = value
    return [tuple(one) for one in rows]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (spoiled(2, timestamp=START + HOUR), r"row 3: timestamp \d+ \(2021-01-01T01:00:00.000Z\) is a duplicate"),
        (spoiled(3, timestamp=START - HOUR), r"row 4: timestamp .* is earlier than the row before; sort"),
        (spoiled(1, timestamp=START + HOUR // 2), r"row 2: timestamp .* is off the 1h grid; bars may not overlap"),
        (spoiled(0, timestamp=START // 1000), "row 1: timestamp 1609459200 is not in milliseconds .*multiply by 1000"),
        (spoiled(1, timestamp=START * 1000), "row 2: .*micro- or nanoseconds: divide"),
        (spoiled(1, open=math.nan), "row 2: open nan is no price"),
        (spoiled(1, high=math.inf), "row 2: high inf is no price"),
        (spoiled(3, low=0.0), "row 4: low 0.0 is no price"),
        (spoiled(2, close=-1.0), "row 3: close -1.0 is no price"),
        (spoiled(2, high=97.0), "row 3: high 97.0 is below low 98.0"),
        (spoiled(2, open=103.0), "row 3: open 103.0 is outside low 98.0 to high 102.0"),
        (spoiled(0, close=97.5), "row 1: close 97.5 is outside low 98.0 to high 102.0"),
        (spoiled(1, volume=-0.1), "row 2: volume -0.1 is negative or not finite"),
        (spoiled(1, volume=math.nan), "row 2: volume nan is negative or not finite"),
        ([], "holds no bar; remove the file or import"),
    ],
)
def test_bars_that_cannot_be_believed_are_refused(tmp_path: Path, rows: list[Row], message: str) -> None:
    root = folder_with(tmp_path, BTC_USDT=rows)
    with pytest.raises(DataError, match=rf"BTC-USDT.parquet:? {message}"):
        load_history(root, "binance", "1h")


def test_a_bar_without_volume_is_believed(tmp_path: Path) -> None:
    assert load_history(folder_with(tmp_path, BTC_USDT=spoiled(1, volume=0.0)), "binance", "1h").bars == 4


def test_bars_of_another_timeframe_are_refused(tmp_path: Path) -> None:
    root = folder_with(tmp_path, BTC_USDT=[bar(hour) for hour in range(0, 44, 4)])
    with pytest.raises(DataError, match="its bars are 4h apart, not 1h; it belongs under another timeframe"):
        load_history(root, "binance", "1h")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"volume": None}, "no column volume; it has timestamp, open, high, low, close"),
        ({"close": pa.array([1.0, None, 1.0, 1.0])}, "row 2: close is missing"),
        ({"timestamp": pa.array([START, START + HOUR, None, START + 3 * HOUR])}, "row 3: timestamp is missing"),
        ({"open": pa.array(["1", "2", "3", "4"])}, "column open holds string, not numbers"),
        ({"timestamp": pa.array([1.5, 2.5, 3.5, 4.5])}, "column timestamp holds double, not whole UTC milliseconds"),
    ],
)
def test_columns_that_are_not_what_they_should_be_are_refused(
    tmp_path: Path, column: dict[str, pa.Array], message: str
) -> None:
    write_rows(tmp_path / "ohlcv/binance/1h/BTC-USDT.parquet", GOOD, **column)
    with pytest.raises(DataError, match=message):
        load_history(tmp_path, "binance", "1h")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = folder_with(tmp_path, BTC_USDT=GOOD) / "ohlcv/binance/1h/BTC-USDT.parquet"
    path.write_bytes(b"timestamp,open\n1,2\n")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_history(tmp_path, "binance", "1h")


def test_timestamps_may_be_of_the_type_timestamp(tmp_path: Path) -> None:
    times = pa.array([int(row[0]) * 1_000_000 for row in GOOD], pa.timestamp("ns", "UTC"))
    write_rows(tmp_path / "ohlcv/binance/1h/BTC-USDT.parquet", GOOD, timestamp=times)
    assert load_history(tmp_path, "binance", "1h").times.tolist() == [CLOSE + n * HOUR for n in range(4)]


def test_the_recorded_perpetual_is_turned_into_base_units(tmp_path: Path) -> None:
    write_rows(tmp_path / "ohlcv/perp/1h/BTC-USDT.parquet", [bar(0, 100.0, volume=1010.0)])
    assert load_history(tmp_path, "perp", "1h").volume.tolist() == [[10.0]]


@needs_recorded
@pytest.mark.parametrize(
    ("venue", "timeframe", "shape", "bars"),
    [
        ("binance", "1h", (27_481, 15), 385_897),
        ("binance", "5m", (16_992, 15), 254_880),
        ("binance-perp", "1h", (23_536, 5), 117_680),
        ("kraken", "1h", (72_343, 2), 133_819),
        ("perp", "1m", (45_031, 1), 45_031),
    ],
)
def test_everything_recorded_can_be_loaded(venue: str, timeframe: str, shape: tuple[int, int], bars: int) -> None:
    history = load_history(RECORDED, venue, timeframe)
    assert history.close.shape == shape
    assert history.bars == bars
    assert np.array_equal(np.isnan(history.close), ~history.present)
    assert (np.diff(history.times) > 0).all()


@needs_recorded
def test_the_crash_of_may_2021_is_where_it_was() -> None:
    history = load_history(RECORDED, "binance", "1h", ["BTC/USDT"], parse_timerange("20210519-20210520"))
    assert len(history.times) == 24
    assert history.low.min() == 30_000.0
    lowest = int(np.argmin(history.low[:, 0]))
    assert (history.times[lowest] - HOUR) % 86_400_000 // HOUR == 13
    assert history.close[-1, 0] == 36_690.09


@needs_recorded
def test_the_recorded_hash_is_that_of_the_slices() -> None:
    feed = HistoryFeed(load_history(RECORDED, "binance", "1h", None, parse_timerange("20210101-20210201")))
    assert feed.data_sha256 == digest(feed, list(feed))


def test_a_feed_without_a_bar_is_refused(two_pairs: Path) -> None:
    with pytest.raises(NotFound, match="holds no bar"):
        HistoryFeed(load_history(two_pairs, "binance", "1h").cut(0))


def test_loading_does_not_import_pandas(two_pairs: Path) -> None:
    """It would take longer than a year of bars does."""
    script = (
        "import sys; from pathlib import Path; from src.connectors.history import load_history;"
        f"load_history(Path({str(two_pairs)!r}), 'binance', '1h'); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
