"""Bars of other programs come into the data folder whole or not at all, and the folder says what it holds."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from src.connectors.data_folder import import_data, list_data
from src.connectors.history import load_history
from src.core.errors import DataError, NotFound, UsageError
from tests.connectors.bars import HOUR, START, Row, bar, folder_with, write_rows
from tests.recorded import RECORDED, needs_recorded

ROWS = [bar(0), bar(1, 101.0), bar(2, 102.0)]
HEADER = "timestamp,open,high,low,close,volume"


def csv_of(path: Path, rows: list[Row], header: str = HEADER, delimiter: str = ",") -> Path:
    lines = [header, *(delimiter.join(str(value) for value in row) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def feather_of(path: Path, rows: list[Row], unit: str = "ns", compression: str | None = "lz4") -> Path:
    times = pa.array([int(row[0]) for row in rows], pa.timestamp("ms", "UTC")).cast(pa.timestamp(unit, "UTC"))
    names = ("open", "high", "low", "close", "volume")
    columns = {name: pa.array([row[place] for row in rows]) for place, name in enumerate(names, 1)}
    table = pa.table({"date": times, **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return path


def loaded(root: Path, venue: str = "mine", timeframe: str = "1h") -> list[Row]:
    history = load_history(root, venue, timeframe)
    columns = (history.times - history.interval_ms, *(column[:, 0] for column in history.columns()))
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_is_imported_number_for_number(tmp_path: Path, delimiter: str) -> None:
    rows = [(START, 0.1, 0.30000000000000004, 1e-7, 0.2, 12345678.9), bar(1)]
    source = csv_of(tmp_path / "in" / "BTC-USDT.csv", rows, HEADER.replace(",", delimiter), delimiter)
    report = import_data(source, tmp_path, "mine", "1h")
    assert loaded(tmp_path) == rows
    (one,) = report.imported
    assert (one.pair, one.timeframe, one.read, one.added, one.total, one.missing) == ("BTC/USDT", "1h", 2, 2, 2, 0)
    assert one.target == str(tmp_path / "ohlcv/mine/1h/BTC-USDT.parquet")


def test_a_csv_may_have_iso_dates_other_order_and_further_columns(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text(
        "\ufeffTrades;Date;Close;Volume;Open;High;Low\r\n"
        "7;2021-01-01;101.0;5;100;102;98\r\n"
        "7;2021-01-01 01:00:00+00:00;101.0;5;100;102;98\r\n"
        "7;2021-01-01T02:00:00Z;101.0;5;100;102;98\r\n"
    )
    import_data(source, tmp_path, "mine", "1h", "BTC/USDT")
    assert loaded(tmp_path) == [bar(0), bar(1), bar(2)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("compression", ["lz4", None])
def test_freqtrade_feather_says_pair_and_timeframe_by_its_name(
    tmp_path: Path, unit: str, compression: str | None
) -> None:
    source = feather_of(tmp_path / "in" / "BTC_USDT-1h.feather", ROWS, unit, compression)
    import_data(source, tmp_path, "mine")
    assert loaded(tmp_path) == ROWS


def test_a_folder_is_imported_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    feather_of(folder / "BTC_USDT-1h.feather", ROWS)
    feather_of(folder / "deep" / "ETH_USDT-1h.feather", ROWS)
    feather_of(folder / "BTC_USDT_USDT-1h-futures.feather", ROWS)
    (folder / "notes.txt").write_text("hello")
    report = import_data(folder, tmp_path, "mine")
    assert [one.pair for one in report.imported] == ["BTC/USDT", "ETH/USDT"]
    assert [Path(one.path).name for one in report.unknown] == ["BTC_USDT_USDT-1h-futures.feather", "notes.txt"]
    assert load_history(tmp_path, "mine", "1h").pairs == ("BTC/USDT", "ETH/USDT")


def test_an_import_can_be_run_again_and_continued(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "BTC-USDT.csv", ROWS)
    target = Path(import_data(source, tmp_path, "mine", "1h").imported[0].target)
    before = (target.read_bytes(), target.stat().st_mtime_ns)
    again = import_data(source, tmp_path, "mine", "1h").imported[0]
    assert (again.added, again.total) == (0, 3)
    assert (target.read_bytes(), target.stat().st_mtime_ns) == before
    csv_of(source, [ROWS[2], bar(5)])
    more = import_data(source, tmp_path, "mine", "1h").imported[0]
    assert (more.read, more.added, more.total, more.missing) == (2, 1, 4, 2)
    csv_of(source, [bar(-1)])
    import_data(source, tmp_path, "mine", "1h")
    assert loaded(tmp_path) == [bar(-1), *ROWS, bar(5)]


def test_bars_that_disagree_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "BTC-USDT.csv", ROWS)
    target = Path(import_data(source, tmp_path, "mine", "1h").imported[0].target)
    before = target.read_bytes()
    csv_of(source, [ROWS[0], bar(1, 101.0, volume=5.5), bar(9)])
    with pytest.raises(DataError, match=r"volume 5.5 at 2021-01-01T01:00:00.000Z disagrees with 5.0 in .*BTC-USDT"):
        import_data(source, tmp_path, "mine", "1h")
    assert target.read_bytes() == before


def test_a_failed_import_leaves_nothing_behind(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "BTC-USDT.csv", [bar(0), bar(0)])
    with pytest.raises(DataError, match=r"BTC-USDT.csv row 3: .*duplicate"):
        import_data(source, tmp_path, "mine", "1h")
    assert not (tmp_path / "ohlcv").exists()
    import_data(csv_of(source, ROWS), tmp_path, "mine", "1h")
    assert [path.name for path in (tmp_path / "ohlcv/mine/1h").iterdir()] == ["BTC-USDT.parquet"]


def test_imports_into_one_pair_at_once_lose_nothing(tmp_path: Path) -> None:
    sources = [csv_of(tmp_path / str(place) / "BTC-USDT.csv", [bar(place)]) for place in range(12)]
    together = Barrier(len(sources))

    def bring(source: Path) -> int:
        together.wait(10.0)
        return import_data(source, tmp_path, "mine", "1h").imported[0].added

    with ThreadPoolExecutor(len(sources)) as pool:
        assert list(pool.map(bring, sources)) == [1] * 12
    assert loaded(tmp_path) == [bar(place) for place in range(12)]
    assert [path.name for path in (tmp_path / "ohlcv/mine/1h").iterdir()] == ["BTC-USDT.parquet"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "BTC-USDT.csv", ROWS)
    for data_dir, venue, said in (
        (source / "below", "mine", "BTC-USDT.csv/below.*: Not a directory"),
        (Path("/proc/nowhere"), "mine", "/proc/nowhere"),
        (tmp_path, "m" * 300, "File name too long"),
    ):
        with pytest.raises(UsageError, match=f"{said}.*can be read and written"):
            import_data(source, data_dir, venue, "1h")
    with pytest.raises(UsageError, match="plain name"):
        import_data(source, tmp_path, "mi\nne", "1h")
    for pair in ("A\nB/USD", "A B/USD", "A/B/USD"):
        with pytest.raises(UsageError, match="write BASE/QUOTE"):
            import_data(source, tmp_path, "mine", "1h", pair)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_zip_that_cannot_be_unpacked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTC_USDT-1h.csv", "x")
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # both say that it is encrypted
        content[content.index(header) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"in.zip: not a readable zip \(.*password.*import it unpacked"):
        import_data(path, tmp_path, "mine")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("B" * 300 + "_USDT-1h.csv", "x")
    with pytest.raises(DataError, match=r"not a readable zip \(File name too long\)"):
        import_data(path, tmp_path, "mine")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("timestamp", pa.array([START * 1000 + 1], pa.timestamp("us")), r"timestamp\[ms\] .*would lose data"),
        ("timestamp", pa.array([2**63 + 1], pa.uint64()), "int64"),
        ("volume", pa.array([2**53 + 1], pa.int64()), "double"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path: Path, name: str, values: pa.Array, said: str) -> None:
    path = tmp_path / "BTC-USDT.parquet"
    write_rows(path, ROWS[:1])
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path)
    with pytest.raises(DataError, match=f"BTC-USDT.parquet: column {name} cannot be read as .*{said}.*; convert it"):
        import_data(path, tmp_path, "mine", "1h")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    names = ["date", "timestamp", "open", "high", "low", "close", "volume"]
    times = pa.array([START], pa.timestamp("ms", "UTC"))
    table = pa.table([times, times, *([1.0] for _ in range(5))], names=names)
    path = tmp_path / "BTC_USDT-1h.feather"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="column timestamp is there twice; keep the one that is meant"):
        import_data(path, tmp_path, "mine")
    pq.write_table(table.rename_columns(["timestamp", "open", *names[2:]]), tmp_path / "BTC-USDT.parquet")
    with pytest.raises(DataError, match=r"BTC-USDT\.parquet"):
        import_data(tmp_path / "BTC-USDT.parquet", tmp_path, "mine", "1h")
    with pytest.raises(DataError, match="row 1: column open is there twice"):
        import_data(csv_of(tmp_path / "BTC-USDT.csv", [], f"{HEADER},open"), tmp_path, "mine", "1h")


def test_columns_that_a_merge_would_lose_are_not_lost(tmp_path: Path) -> None:
    write_rows(tmp_path / "ohlcv/mine/1h/BTC-USDT.parquet", ROWS, trades=pa.array([1, 2, 3]))
    with pytest.raises(UsageError, match="columns trades, which a merge would lose"):
        import_data(csv_of(tmp_path / "BTC-USDT.csv", [bar(3)]), tmp_path, "mine", "1h")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,o,h,l,c,v\n1,2,3,4,5,6\n", "row 1: the header is 'time,o,h,l,c,v', not 'timestamp,open,high"),
        ("1609459200000,100,102,98,101,5\n", "row 1: the header is '1609459200000,100"),
        ("", "row 1: the header is ''"),
        (f"{HEADER}\n", "holds no bar"),
        (
            f"{HEADER}\n{START},100,102,98,101,5\n{START + HOUR},100,x,98,101,5\n",
            "row 3: .*not a time and five numbers",
        ),
        (f"{HEADER}\n{START},100,102,98\n", "row 2: .*not a time and five numbers"),
        (f"{HEADER}\n1.1.2021,100,102,98,101,5\n", "row 2: .*not a time and five numbers"),
        (f"{HEADER}\n{START // 1000},100,102,98,101,5\n", "row 2: timestamp 1609459200 .*seconds: multiply by 1000"),
        (f"{HEADER}\n{START},100,102,98,103,5\n", "row 2: close 103.0 is outside low 98.0 to high 102.0"),
    ],
)
def test_a_csv_that_cannot_be_believed_is_refused(tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "BTC-USDT.csv"
    source.write_text(text)
    with pytest.raises(DataError, match=f"BTC-USDT.csv:? {message}"):
        import_data(source, tmp_path, "mine", "1h")


def test_files_that_are_not_what_they_are_called_are_refused(tmp_path: Path) -> None:
    for name, message in (("A-B.feather", "not a readable feather"), ("A-B.parquet", "not a readable Parquet")):
        (tmp_path / name).write_bytes(b"\x00\xff\xfe nonsense")
        with pytest.raises(DataError, match=message):
            import_data(tmp_path / name, tmp_path, "mine", "1h")
    (tmp_path / "A-B.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="save it as UTF-8"):
        import_data(tmp_path / "A-B.csv", tmp_path, "mine", "1h")


def test_feather_without_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-1h.feather"
    table = pa.table({"date": pa.array([START], pa.timestamp("ms", "UTC")), "open": [1.0]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="no column high, low, close, volume; it has date, open"):
        import_data(path, tmp_path, "mine")


def test_what_the_name_does_not_say_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="says no timeframe; give --timeframe"):
        import_data(csv_of(tmp_path / "BTC-USDT.csv", ROWS), tmp_path, "mine")
    with pytest.raises(UsageError, match="says no pair; give --pair"):
        import_data(csv_of(tmp_path / "bitcoin.csv", ROWS), tmp_path, "mine", "1h")
    with pytest.raises(UsageError, match="its name says 1h, not 5m"):
        import_data(feather_of(tmp_path / "BTC_USDT-1h.feather", ROWS), tmp_path, "mine", "5m")
    with pytest.raises(UsageError, match=r"from .csv, .feather and .parquet"):
        import_data(csv_of(tmp_path / "BTC-USDT.txt", ROWS), tmp_path, "mine", "1h")
    with pytest.raises(UsageError, match="leave the pair out"):
        import_data(tmp_path, tmp_path, "mine", "1h", "BTC/USDT")
    with pytest.raises(UsageError, match="plain name"):
        import_data(tmp_path, tmp_path, "../mine", "1h")
    with pytest.raises(NotFound, match="no such file or folder"):
        import_data(tmp_path / "nowhere", tmp_path, "mine", "1h")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no file of bars"):
        import_data(tmp_path / "empty", tmp_path, "mine", "1h")


def test_the_listing_counts_gaps_and_hashes_files(tmp_path: Path) -> None:
    root = folder_with(tmp_path, BTC_USDT=[bar(0), bar(2), bar(3), bar(7)], ETH_USDT=ROWS)
    btc, eth = list_data(root).bars
    assert (btc.venue, btc.timeframe, btc.pair, btc.rows) == ("binance", "1h", "BTC/USDT", 4)
    assert (btc.first, btc.last, btc.missing, btc.longest_gap) == (START, START + 7 * HOUR, 4, 3)
    assert btc.sha256 == hashlib.sha256(Path(btc.path).read_bytes()).hexdigest()
    assert (eth.missing, eth.longest_gap, eth.problem) == (0, 0, None)


def test_one_bad_file_hides_nothing_else(tmp_path: Path) -> None:
    root = folder_with(tmp_path, BTC_USDT=[bar(1), bar(0)], ETH_USDT=ROWS)
    bad, good = list_data(root).bars
    assert bad.problem is not None
    assert "row 2" in bad.problem
    assert (bad.rows, bad.first) == (0, None)
    assert good.rows == 3


def test_unknown_files_are_reported_and_never_guessed_at(tmp_path: Path) -> None:
    root = folder_with(tmp_path, BTC_USDT=ROWS)
    source = root / "ohlcv/binance/1h/BTC-USDT.parquet"
    strange = ("ohlcv/binance/2w/BTC-USDT.parquet", "ohlcv/binance/1h/BTCUSDT.parquet", "ohlcv/notes.md", "x.parquet")
    for name in strange:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / name)
    listing = list_data(root)
    assert [Path(one.path).relative_to(root).as_posix() for one in listing.unknown] == sorted(strange)
    assert len(listing.bars) == 1


def test_what_cannot_be_read_is_listed_and_a_lock_is_no_file(tmp_path: Path) -> None:
    root = folder_with(tmp_path, BTC_USDT=ROWS)
    home = root / "ohlcv/binance/1h"
    (home / "ETH-USDT.parquet").symlink_to("/proc/self/mem")  # an input/output error, also for root
    (home / ".BTC-USDT.parquet.lock").touch()
    listing = list_data(root)
    assert [(Path(one.path).name, one.reason) for one in listing.unknown] == [
        ("ETH-USDT.parquet", "it cannot be read: Input/output error")
    ]
    assert [one.pair for one in listing.bars] == ["BTC/USDT"]


def test_a_missing_or_empty_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        list_data(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="is empty; fill it with import-data"):
        list_data(tmp_path)


@needs_recorded
def test_the_recorded_folder_is_listed_with_its_gaps() -> None:
    listing = list_data(RECORDED)
    hourly = [one for one in listing.bars if (one.venue, one.timeframe) == ("binance", "1h")]
    assert all(one.problem is None for one in listing.bars)
    assert len(listing.bars) == 38
    assert sum(one.missing for one in hourly) == 316
    assert max(one.longest_gap for one in hourly) == 4
    assert len(listing.observations) == 23


@needs_recorded
def test_recorded_bars_survive_an_import(tmp_path: Path) -> None:
    source = RECORDED / "ohlcv/kraken/1h/ETH-USD.parquet"
    import_data(source, tmp_path, "copy", "1h")
    mine = pq.read_table(tmp_path / "ohlcv/copy/1h/ETH-USD.parquet")
    assert mine.equals(pq.read_table(source).select(mine.column_names))
