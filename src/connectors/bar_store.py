"""The bars of a data folder as one table for questions: DuckDB reads the Parquet files where they lie, and writes none.

The table is `bars(venue, timeframe, pair, timestamp, open, high, low, close, volume)`; `timestamp` is the open of the
bar in UTC milliseconds, money in quote currency, volume in base units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import msgspec

from ..core.errors import DataError, NotFound, UsageError
from ..core.timeframes import timeframe_ms
from ..core.types import Pair


class Connection(Protocol):
    """What is needed of a DuckDB connection."""

    def execute(self, query: str, parameters: Sequence[object] = ...) -> Any:
        """Run one statement."""
        ...

    def close(self) -> None:
        """Give back the memory."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """What a question gave: names of columns, and rows of plain values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Quality(msgspec.Struct, frozen=True):
    """What one file of bars is worth. Times are opens in UTC ms; None where there is nothing to say.

    `missing`: bars absent between first and last; `holes`: runs of them; `longest_gap` of them, which begins at
    `longest_gap_at`; `missing_everywhere`: of these, bars that every other file of the venue and timeframe that covers
    the time lacks, too (an outage). `without_volume`: bars in which nothing was traded; `longest_still`: the longest
    run of bars in a row with one unchanged close. `largest_jump_ratio`: |close / close before - 1| at its largest.
    """

    venue: str
    timeframe: str
    pair: Pair
    bars: int
    first: int
    last: int
    missing: int
    holes: int
    longest_gap: int
    longest_gap_at: int | None
    missing_everywhere: int
    without_volume: int
    longest_still: int
    largest_jump_ratio: float | None
    largest_jump_at: int | None


@contextmanager
def opened(duckdb: ModuleType, data_dir: Path) -> Iterator[Connection]:
    """A connection that has the table `bars`; NotFound for a folder without bars, DataError for an unreadable file."""
    root = data_dir / "ohlcv"
    if not any(root.glob("*/*/*.parquet")):
        raise NotFound(f"{data_dir}: holds no ohlcv/VENUE/TIMEFRAME/BASE-QUOTE.parquet; fill it with import-data")
    connection = duckdb.connect(config={"threads": 1})
    try:
        with _translated(duckdb, data_dir):
            connection.execute(_TABLE.format(glob=_quoted(f"{root}/*/*/*.parquet")))
            connection.execute(f"SET allowed_directories = [{_quoted(f'{root}/')}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def ask(duckdb: ModuleType, connection: Connection, query: str) -> Answer:
    """The answer to a question in SQL; UsageError says what is wrong with it."""
    try:
        done = connection.execute(query)
        if done is None:
            raise UsageError("the query is empty: write one, for instance SELECT DISTINCT pair FROM bars")
        return Answer(tuple(column[0] for column in done.description or ()), tuple(done.fetchall()))
    except (duckdb.Error, UnicodeError) as error:
        raise UsageError(f"the query: {_first_line(error)}; the table is bars({', '.join(COLUMNS)})") from None


def quality(duckdb: ModuleType, connection: Connection) -> tuple[Quality, ...]:
    """What every file is worth, in order of venue, timeframe and pair."""
    with _translated(duckdb, "ohlcv"):
        frames = connection.execute("SELECT DISTINCT timeframe FROM bars").fetchall()
        lengths = [(name, timeframe_ms(name)) for (name,) in frames]
        connection.execute("CREATE OR REPLACE TEMP TABLE lengths(timeframe VARCHAR, interval_ms BIGINT)")
        for name, length in lengths:
            connection.execute("INSERT INTO lengths VALUES (?, ?)", (name, length))
        found = connection.execute(_QUALITY).fetchall()
    return tuple(Quality(*row) for row in found)


COLUMNS = ("venue", "timeframe", "pair", "timestamp", "open", "high", "low", "close", "volume")

_TABLE = """
CREATE VIEW bars AS
SELECT parse_path(filename)[-3] AS venue, parse_path(filename)[-2] AS timeframe,
       replace(parse_filename(filename, true), '-', '/') AS pair,
       CAST(timestamp AS BIGINT) AS timestamp, CAST(open AS DOUBLE) AS open, CAST(high AS DOUBLE) AS high,
       CAST(low AS DOUBLE) AS low, CAST(close AS DOUBLE) AS close, CAST(volume AS DOUBLE) AS volume
FROM read_parquet({glob}, filename = true, union_by_name = true)
"""

_QUALITY = """
WITH steps AS (
    SELECT b.*, l.interval_ms,
           lag(timestamp) OVER file AS before, lag(close) OVER file AS close_before
    FROM bars b JOIN lengths l USING (timeframe)
    WINDOW file AS (PARTITION BY venue, timeframe, pair ORDER BY timestamp)
), marked AS (
    SELECT *, (timestamp - before) // interval_ms - 1 AS hole, abs(close / close_before - 1) AS jump,
           sum(CASE WHEN close = close_before THEN 0 ELSE 1 END) OVER (
               PARTITION BY venue, timeframe, pair ORDER BY timestamp) AS still
    FROM steps
), runs AS (
    SELECT venue, timeframe, pair, max(run) AS longest_still FROM (
        SELECT venue, timeframe, pair, still, count(*) AS run FROM marked GROUP BY ALL) GROUP BY ALL
), absent AS (
    SELECT venue, timeframe, pair, unnest(range(before + interval_ms, timestamp, interval_ms)) AS at
    FROM marked WHERE hole > 0
), spans AS (
    SELECT venue, timeframe, pair, min(timestamp) AS first, max(timestamp) AS last, FROM bars GROUP BY ALL
), alone AS (
    SELECT a.venue, a.timeframe, a.at, count(*) AS lacking FROM absent a GROUP BY ALL
), outages AS (
    SELECT o.venue, o.timeframe, o.at FROM alone o JOIN spans s
      ON s.venue = o.venue AND s.timeframe = o.timeframe AND o.at BETWEEN s.first AND s.last
    GROUP BY o.venue, o.timeframe, o.at, o.lacking HAVING count(*) = o.lacking AND count(*) > 1
), everywhere AS (
    SELECT a.venue, a.timeframe, a.pair, count(*) AS outage FROM absent a
    JOIN outages o ON o.venue = a.venue AND o.timeframe = a.timeframe AND o.at = a.at GROUP BY ALL
)
SELECT m.venue, m.timeframe, m.pair, count(*), min(m.timestamp), max(m.timestamp),
       coalesce(sum(hole), 0)::BIGINT, count(*) FILTER (hole > 0), coalesce(max(hole), 0)::BIGINT,
       CASE WHEN max(hole) > 0 THEN arg_max(before + interval_ms, hole) END,
       coalesce(any_value(e.outage), 0)::BIGINT,
       count(*) FILTER (volume = 0), any_value(r.longest_still), max(jump), arg_max(m.timestamp, jump)
FROM marked m JOIN runs r USING (venue, timeframe, pair) LEFT JOIN everywhere e USING (venue, timeframe, pair)
GROUP BY m.venue, m.timeframe, m.pair ORDER BY ALL
"""


@contextmanager
def _translated(duckdb: ModuleType, where: object) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise DataError(f"{where}: {_first_line(error)}; `mycelial list-data` names the file") from None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
