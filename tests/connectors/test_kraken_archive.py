"""Kraken's archives, of bars and of trades, come in as they were traded, whatever the size of a block."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.connectors.data_folder import import_data
from src.connectors.history import load_history
from src.connectors.trade_bars import TradeBars
from src.core.errors import DataError, NotFound, UsageError
from tests.connectors.bars import HOUR, START

SECOND = START // 1000
BARS = (
    f"{SECOND},100.0,102.0,98.0,101.0,5.00000000,7\n"
    f"{SECOND + 3600},101.0,103.5,100.5,102.25,0.10000000,1\n"
    f"{SECOND + 3 * 3600},102.25,102.25,102.25,102.25,1.00000000,1\n"
)
TRADES = (
    f"{SECOND},100.5,1.0\n{SECOND + 10},99.5,0.5\n{SECOND + 3599},101.0,0.25\n"
    f"{SECOND + 7200},102.0,2.0\n{SECOND + 7200},101.5,1.0\n"
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def rows(root: Path, timeframe: str = "1h") -> list[tuple[float, ...]]:
    history = load_history(root, "kraken", timeframe)
    present = history.columns()[0][:, 0] == history.columns()[0][:, 0]
    columns = (history.times - history.interval_ms, *(column[:, 0] for column in history.columns()))
    return [tuple(column[i].item() for column in columns) for i in np.flatnonzero(present)]


def test_an_archive_of_bars_is_imported_number_for_number(tmp_path: Path) -> None:
    (one,) = import_data(written(tmp_path / "in" / "XBTUSD_60.csv", BARS), tmp_path, "kraken").imported
    assert (one.pair, one.timeframe, one.read, one.missing) == ("BTC/USD", "1h", 3, 1)
    assert rows(tmp_path) == [
        (START, 100.0, 102.0, 98.0, 101.0, 5.0),
        (START + HOUR, 101.0, 103.5, 100.5, 102.25, 0.1),
        (START + 3 * HOUR, 102.25, 102.25, 102.25, 102.25, 1.0),
    ]


def test_an_archive_of_trades_becomes_bars_of_the_timeframe_asked_for(tmp_path: Path) -> None:
    source = written(tmp_path / "in" / "XBTUSD.csv", TRADES)
    (one,) = import_data(source, tmp_path, "kraken", "1h").imported
    assert (one.pair, one.read, one.missing) == ("BTC/USD", 2, 1)
    assert rows(tmp_path) == [
        (START, 100.5, 101.0, 99.5, 101.0, 1.75),
        (START + 2 * HOUR, 102.0, 102.0, 101.5, 101.5, 3.0),
    ]


def test_trades_need_to_be_told_the_timeframe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="says no timeframe"):
        import_data(written(tmp_path / "XBTUSD.csv", TRADES), tmp_path, "kraken")


def test_a_zip_gives_every_archive_in_it_and_names_what_it_does_not_know(tmp_path: Path) -> None:
    source = tmp_path / "Kraken_OHLCVT.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("all/XBTUSD_60.csv", BARS)
        archive.writestr("all/XDGUSD_60.csv", BARS)
        archive.writestr("all/readme.txt", "hello")
    report = import_data(source, tmp_path, "kraken")
    assert [one.pair for one in report.imported] == ["BTC/USD", "DOGE/USD"]
    assert [Path(one.path).name for one in report.unknown] == ["readme.txt"]
    assert import_data(source, tmp_path, "kraken").imported[0].added == 0


def test_a_name_that_climbs_out_of_a_zip_stays_in_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "in" / "x.zip"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("../../XBTUSD_60.csv", BARS)
    assert import_data(source, tmp_path, "kraken").imported[0].read == 3
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("XBTUSD_60.csv", BARS + "1,2\n", "not an archive of time, open"),
        ("XBTUSD_60.csv", BARS + f"{SECOND + 4 * 3600},x,1,1,1,1,1\n", "not an archive of time, open"),
        ("XBTUSD_60.csv", BARS + f"{SECOND + 4 * 3600},nan,1,1,1,1,1\n", "row 4: open nan is no price"),
        ("XBTUSD_60.csv", BARS + f"{SECOND + 1},1,1,1,1,1,1\n", "row 4: timestamp .* is off the 1h grid"),
        ("XBTUSD.csv", TRADES + f"{SECOND},100.0,1.0\n", "not in order of time"),
        ("XBTUSD.csv", TRADES + f"{SECOND + 9000},-1.0,1.0\n", "is no price"),
    ],
)
def test_what_cannot_be_believed_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        import_data(written(tmp_path / "in" / name, text), tmp_path, "kraken", "1h")
    assert not (tmp_path / "ohlcv").exists()


def test_a_damaged_zip_is_an_error_that_names_it(tmp_path: Path) -> None:
    source = written(tmp_path / "x.zip", "no zip at all")
    with pytest.raises(DataError, match=r"x\.zip: not a readable zip"):
        import_data(source, tmp_path, "kraken")
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("note.txt", "")
    with pytest.raises(NotFound, match="no file of bars"):
        import_data(source, tmp_path, "kraken")


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50), st.integers(1, 9)), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_bars_of_trades_do_not_depend_on_the_blocks_they_came_in(
    steps: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    times = np.cumsum([step for step, _, _ in steps]).astype(np.int64)
    prices = np.array([price for _, price, _ in steps], float)
    volumes = np.array([volume for _, _, volume in steps], float)
    made = TradeBars(4)
    edges = sorted({0, len(steps), *(min(cut, len(steps)) for cut in cuts)})
    for start, end in pairwise(edges):
        made.add(times[start:end], prices[start:end].copy(), volumes[start:end])
    bars = made.bars()
    for place, opened in enumerate(bars.opened):
        inside = times - times % 4 == opened
        expected = (prices[inside][0], prices[inside].max(), prices[inside].min(), prices[inside][-1])
        assert tuple(column[place] for column in bars.values()) == (*expected, volumes[inside].sum())
    assert bars.opened.tolist() == sorted(set((times - times % 4).tolist()))
