"""Observations carry the time from which they could be known, and files nobody can read are reported."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.connectors.observations import load_observations
from src.core.errors import DataError, UsageError
from src.core.types import Observation
from tests.recorded import RECORDED, needs_recorded

DAY = 86_400_000
T0 = 1_609_459_200_000  # 2021-01-01


def write(root: Path, name: str, **columns: Any) -> Path:
    path = root / "observations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def commits(root: Path, name: str, shas: list[str], landed: list[int | None]) -> Path:
    count = len(shas)
    return write(
        root,
        f"code/{name}.parquet",
        timestamp=[T0] * count,
        author_ms=[T0 - DAY] * count,
        landed_ms=pa.array(landed, pa.int64()),
        sha=shas,
        author_hash=["x"] * count,
        is_bot=[False] * count,
        is_merge=[True] * count,
        files_changed=[3] * count,
        on_main=[at is not None for at in landed],
        first_parent=[True] * count,
        repo=[name] * count,
        asset=["UNI"] * count,
    )


def test_a_commit_is_known_when_it_landed_and_never_before(tmp_path: Path) -> None:
    commits(tmp_path, "one", ["a", "b"], [T0 + 5 * DAY, None])
    loaded = load_observations(tmp_path)
    values = {"files_changed": 3.0, "is_bot": 0.0, "is_merge": 1.0}
    assert loaded.items == (Observation("commits", "code", "a", "UNI", T0, T0 + 5 * DAY, values),)
    (file,) = loaded.files
    assert (file.kind, file.rows, file.known, file.dropped) == ("commits", 2, 1, {"never landed": 1})
    assert (file.first_known, file.last_known) == (T0 + 5 * DAY, T0 + 5 * DAY)


def test_a_commit_of_two_repositories_is_said_once_when_first_seen(tmp_path: Path) -> None:
    commits(tmp_path, "fork", ["a", "c"], [T0 + 9, T0 + 10])
    commits(tmp_path, "origin", ["a", "b"], [T0 + 2, T0 + 3])
    assert [(o.id, o.known_at - T0) for o in load_observations(tmp_path).items] == [("a", 2), ("b", 3), ("c", 10)]


def test_daily_series_are_known_at_known_ms(tmp_path: Path) -> None:
    write(
        tmp_path,
        "market/dxy.parquet",
        dxy=[90.5, None, 91.0],
        timestamp=[T0, T0 + DAY, T0 + 2 * DAY],
        known_ms=[T0 + DAY, T0 + 2 * DAY, T0 + 3 * DAY],
    )
    loaded = load_observations(tmp_path)
    assert [(o.source, o.moat, o.subject, o.known_at, o.values) for o in loaded.items] == [
        ("dxy", "market", "dxy", T0 + DAY, {"dxy": 90.5}),
        ("dxy", "market", "dxy", T0 + 3 * DAY, {"dxy": 91.0}),
    ]
    assert loaded.files[0].dropped == {"without a value": 1}


def test_symbols_of_a_daily_file_are_subjects(tmp_path: Path) -> None:
    columns = {"timestamp": [T0, T0], "known_ms": [T0 + 1, T0 + 1], "symbol": ["RIOT", "MARA"], "close": [1, 2]}
    write(tmp_path, "corporate/equities.parquet", **columns)
    assert [(o.subject, o.values) for o in load_observations(tmp_path).items] == [
        ("MARA", {"close": 2.0}),
        ("RIOT", {"close": 1.0}),
    ]


def test_scheduled_dates_are_known_from_the_start_and_surprises_are_not(tmp_path: Path) -> None:
    write(
        tmp_path,
        "government/calendar.parquet",
        timestamp=[T0, T0 + DAY],
        date=["2021-01-01", "2021-01-02"],
        event=["FOMC", "FOMC"],
        kind=["scheduled", "unscheduled"],
    )
    assert [(o.at, o.known_at) for o in load_observations(tmp_path).items] == [(T0, 0), (T0 + DAY, T0 + DAY)]


def test_mining_devices_are_known_from_the_end_of_their_month(tmp_path: Path) -> None:
    write(
        tmp_path,
        "logistics/asic.parquet",
        company=["B", "B"],
        device=["S1", "S2"],
        hashrate_th_s=[110.0, 95.5],
        power_w=[3250, 3000],
        j_per_th=[30, 31],
        year=[2020, 2020],
        month=[2, 12],
        timestamp=[1_580_515_200_000, 1_606_780_800_000],
    )
    items = load_observations(tmp_path).items
    assert [o.known_at for o in items] == [1_583_020_800_000, T0]  # 2020-03-01, 2021-01-01
    assert items[0].id == "B S1 110 TH/s"


def test_filings_are_known_at_acceptance_or_a_day_later(tmp_path: Path) -> None:
    write(
        tmp_path,
        "corporate/filings.parquet",
        filingDate=["2021-01-01"] * 2,
        form=["8-K", "4"],
        items=["2.02,9.01", ""],
        accessionNumber=["0001", "0002"],
        size=[10, 20],
        timestamp=[T0, T0],
        ticker=["MSTR", "MSTR"],
        cik=["1", "1"],
        time_exact=[True, False],
    )
    first, second = load_observations(tmp_path).items
    assert (first.known_at, first.values) == (T0, {"size": 10.0, "form 8-K": 1.0, "item 2.02": 1.0, "item 9.01": 1.0})
    assert (second.id, second.known_at, second.values) == ("0002", T0 + DAY, {"size": 20.0, "form 4": 1.0})


def test_release_tags_have_a_reader_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, "code/tags.parquet", repo=["a/b"], tag=["v1"], timestamp=[T0], kind=["tag"])
    (item,) = load_observations(tmp_path).items
    assert (item.id, item.subject, item.known_at, item.values) == ("a/b@v1", "a/b", T0, {"annotated": 1.0})


def test_only_the_moats_and_times_asked_for_are_loaded(tmp_path: Path) -> None:
    for moat in ("market", "logistics"):
        times = [T0 + day * DAY for day in range(3)]
        write(tmp_path, f"{moat}/x.parquet", x=[1.0, 2.0, 3.0], timestamp=times, known_ms=times)
    loaded = load_observations(tmp_path, ["market"], T0 + DAY, T0 + 2 * DAY)
    assert [(o.moat, o.values) for o in loaded.items] == [("market", {"x": 2.0})]
    with pytest.raises(UsageError, match="no moat 'weather'; there is code, government"):
        load_observations(tmp_path, ["weather"])


def test_unknown_files_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "market/strange.parquet", when=[1], what=["x"])
    write(tmp_path, "weather/rain.parquet", rain=[1.0], timestamp=[T0], known_ms=[T0])
    (tmp_path / "observations" / "notes.txt").write_text("x")
    loaded = load_observations(tmp_path)
    assert loaded.items == ()
    assert [(Path(one.path).name, one.reason) for one in loaded.unknown] == [
        ("strange.parquet", "no reader for the columns when, what under market"),
        ("notes.txt", "not observations/MOAT/NAME.parquet"),
        ("rain.parquet", "not observations/MOAT/NAME.parquet"),
    ]


def test_no_observations_at_all_are_allowed(tmp_path: Path) -> None:
    assert load_observations(tmp_path).items == ()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"timestamp": [T0], "known_ms": [T0 - 1]}, f"row 1: known_ms {T0 - 1} lies before its timestamp {T0}"),
        ({"timestamp": [T0 // 1000], "known_ms": [T0]}, "row 1: timestamp 1609459200 is no time in UTC milliseconds"),
        ({"timestamp": [T0], "known_ms": pa.array([None], pa.int64())}, "row 1: known_ms is missing; say when"),
        ({"timestamp": [T0], "known_ms": [T0], "x": [math.nan]}, "row 1: x nan is no finite number"),
    ],
)
def test_observations_that_cannot_be_believed_are_refused(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    write(tmp_path, "market/x.parquet", **{"x": [1.0], **columns})
    with pytest.raises(DataError, match=rf"x.parquet {message}"):
        load_observations(tmp_path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "market/x.parquet", x=[1.0]).write_bytes(b"no")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_observations(tmp_path)


@needs_recorded
def test_everything_recorded_is_recognised() -> None:
    loaded = load_observations(RECORDED)
    assert loaded.unknown == ()
    assert len(loaded.files) == 23
    assert all(before.known_at <= after.known_at for before, after in pairwise(loaded.items))
    assert all(o.known_at >= o.at or o.source == "calendar" for o in loaded.items)
    kinds: Counter[str] = Counter()
    for file in loaded.files:
        kinds[file.kind] += file.known
    assert kinds == {
        "commits": 30_622,
        "release tags": 1_152,
        "calendar": 175,
        "filings": 418,
        "mining devices": 86,
        "daily series": 31_925,
    }


def test_unsorted_and_doubled_rows_say_the_same(tmp_path: Path) -> None:
    order = [3, 1, 0, 2, 1, 3, 3]
    times, shas = [T0 + day * DAY for day in range(4)], ["a", "b", "c", "d"]

    def written(root: Path, rows: list[int]) -> tuple[Observation, ...]:
        commits(root, "one", [shas[row] for row in rows], [times[row] + DAY for row in rows])
        at = [times[row] for row in rows]
        known = [one + DAY for one in at]
        write(root, "market/dxy.parquet", dxy=[90.0 + row for row in rows], timestamp=at, known_ms=known)
        names = [f"S{row % 2}" for row in rows]
        columns = {"timestamp": at, "known_ms": known, "symbol": names, "close": [float(row) for row in rows]}
        write(root, "corporate/equities.parquet", **columns)
        return load_observations(root).items

    sound = written(tmp_path / "sound", [0, 1, 2, 3])
    assert len(sound) == 12
    assert written(tmp_path / "unsorted", order) == sound


@pytest.mark.parametrize("moat", ["code", "corporate"])
def test_a_file_of_a_known_kind_with_an_unknown_column_is_reported(tmp_path: Path, moat: str) -> None:
    path = commits(tmp_path, "one", ["a"], [T0 + 1])
    if moat == "corporate":
        path = write(tmp_path, "corporate/x.parquet", timestamp=[T0], known_ms=[T0], close=[1.0], mood=["good"])
    else:
        pq.write_table(pq.read_table(path).append_column("mood", pa.array(["good"])), path)
    loaded = load_observations(tmp_path, [moat])
    assert loaded.items == ()
    ((reported, reason),) = [(one.path, one.reason) for one in loaded.unknown]
    assert reported == str(path)
    assert "no reader for the columns" in reason
    assert "mood" in reason
