"""What DuckDB says of a data folder is what stands in its files, and a question can neither read nor write others."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from src.connectors.bar_store import Quality, ask, opened, quality
from src.core.errors import DataError, NotFound, UsageError
from tests.connectors.bars import HOUR, START, bar, folder_with
from tests.recorded import RECORDED, needs_recorded


def test_gaps_outages_still_prices_and_jumps_have_their_exact_figures(tmp_path: Path) -> None:
    hours = [0, 1, 4, 5, 8]  # 2, 3 missing everywhere; 6, 7 only here
    btc = [bar(hour, 100.0 if hour < 4 else 150.0, volume=0.0 if hour == 5 else 1.0) for hour in hours]
    eth = [bar(hour) for hour in (0, 1, 4, 5, 6, 7, 8)]
    folder_with(tmp_path, BTC_USDT=btc, ETH_USDT=eth)
    with opened(duckdb, tmp_path) as bars:
        first, second = quality(duckdb, bars)
    jump = 151.0 / 101.0 - 1
    end = START + 8 * HOUR
    assert first == Quality(
        "binance", "1h", "BTC/USDT", 5, START, end, 4, 2, 2, START + 2 * HOUR, 2, 1, 3, jump, START + 4 * HOUR
    )
    assert second == Quality(
        "binance", "1h", "ETH/USDT", 7, START, end, 2, 1, 2, START + 2 * HOUR, 2, 0, 7, 0.0, START + HOUR
    )


def test_a_single_bar_has_no_gap_and_no_jump(tmp_path: Path) -> None:
    folder_with(tmp_path, BTC_USDT=[bar(0)])
    with opened(duckdb, tmp_path) as bars:
        (one,) = quality(duckdb, bars)
    assert (one.missing, one.longest_gap_at, one.longest_still) == (0, None, 1)
    assert (one.largest_jump_ratio, one.largest_jump_at) == (None, None)


def test_a_question_is_answered_from_all_files(tmp_path: Path) -> None:
    folder_with(tmp_path, BTC_USDT=[bar(0), bar(1)], ETH_USDT=[bar(0, 7.0)])
    with opened(duckdb, tmp_path) as bars:
        answer = ask(duckdb, bars, "SELECT pair, max(high) AS top FROM bars GROUP BY pair ORDER BY pair")
    assert (answer.columns, answer.rows) == (("pair", "top"), (("BTC/USDT", 102.0), ("ETH/USDT", 9.0)))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing",
        "COPY bars TO '{outside}'",
        "SELECT * FROM read_text('{secret}')",
        "SET threads = 4",
        "",
        "\ud800",
    ],
)
def test_a_question_that_is_none_or_leaves_the_folder_is_refused(tmp_path: Path, query: str) -> None:
    folder_with(tmp_path / "data", BTC_USDT=[bar(0)])
    secret, outside = tmp_path / "secret.txt", tmp_path / "out.parquet"
    secret.write_text("canary")
    with opened(duckdb, tmp_path / "data") as bars:
        told = query.replace("{outside}", str(outside)).replace("{secret}", str(secret))
        with pytest.raises(UsageError, match="the query"):
            ask(duckdb, bars, told)
    assert not outside.exists()


def test_a_folder_without_bars_or_with_a_damaged_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="import-data"), opened(duckdb, tmp_path):
        raise AssertionError("it was opened")
    folder_with(tmp_path, BTC_USDT=[bar(0)])
    (tmp_path / "ohlcv/binance/1h/ETH-USDT.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="list-data"), opened(duckdb, tmp_path) as bars:
        quality(duckdb, bars)


@needs_recorded
def test_the_recorded_hours_are_missing_in_all_pairs_alike() -> None:
    with opened(duckdb, RECORDED) as bars:
        found = [one for one in quality(duckdb, bars) if (one.venue, one.timeframe) == ("binance", "1h")]
    assert len(found) == 15
    assert sum(one.missing for one in found) == sum(one.missing_everywhere for one in found) == 316
