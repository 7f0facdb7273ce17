"""Real files: the contract on both ledgers, opening, crashing, filling up, rebuilding, reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from src.connectors import ledger_schema
from src.connectors.ledger_file import MIGRATIONS
from src.connectors.ledger_projections import PROJECTIONS
from src.connectors.ledger_verify import verify
from src.connectors.memory_ledger import MemoryLedger
from src.connectors.sqlite_ledger import LedgerReader, SqliteSink, rebuild
from src.core import canonical
from src.core.errors import LedgerError, NotFound
from src.core.ports import Row
from src.core.types import Command, CommandKind, Fill, Order, OrderId, OrderKind, Pair, Side, Stream, Trade
from src.services.writer import Writer
from tests.checks.ledger_checks import BAD_ROWS, CHECKS, SETTINGS, Opened, OpenLedger, check_bad_row_sinks_alone, row

PAIR = Pair("BTC/USDT")


def sink_of(path: Path, mode: str = "paper") -> SqliteSink:
    return SqliteSink(path, SETTINGS, mode=mode, ledger_id="test")


def write(path: Path, rows: list[Row]) -> dict[int, str]:
    sink = sink_of(path)
    try:
        return sink.write(rows)
    finally:
        sink.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody with an SQLite shell sees it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def open_sqlite(path: Path) -> Opened:
    def contents() -> list[Row]:
        assert verify(path).problems == []
        return [Row(one.at, one.kind, one.key, one.body) for one in LedgerReader(path, SETTINGS).rows()]

    return Writer(sink_of(path), SETTINGS), contents, lambda: LedgerReader(path, SETTINGS).checkpoint()


def open_memory(_: Path) -> Opened:
    ledger = MemoryLedger(SETTINGS)
    return ledger, ledger.rows, lambda: ledger.state


LEDGERS = {"sqlite": open_sqlite, "memory": open_memory}


@pytest.fixture(params=LEDGERS)
def open_ledger(request: pytest.FixtureRequest, path: Path) -> OpenLedger:
    opener: Callable[[Path], Opened] = LEDGERS[request.param]
    return lambda: opener(path)


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: Callable[[OpenLedger], None], open_ledger: OpenLedger) -> None:
    check(open_ledger)


@pytest.mark.parametrize("name", BAD_ROWS)
def test_contract_bad_row(name: str, open_ledger: OpenLedger) -> None:
    check_bad_row_sinks_alone(open_ledger, *BAD_ROWS[name])


# Projections.


def order(number: int, **changes: str) -> Row:
    body = {"id": f"o{number}", "pair": PAIR, "side": "buy", "amount": "1.50", "kind": "market", "at": number}
    body |= {"reference": "100", "reason": "entry", "state": "intent"}
    return Row(number, "order", f"order:{number}:{changes}", canonical.encode(body | changes))


def test_core_types_project_as_they_stand(path: Path) -> None:
    money = Decimal
    placed = Order(
        OrderId("o1"), PAIR, Side.BUY, money("0.5"), OrderKind.MARKET, 7, money("1E+2"), "entry", money("0.05")
    )
    fill = Fill(
        "f1", OrderId("o1"), PAIR, Side.BUY, money("0.5"), money("100.10"), money("0.13"), money("1E-8"), 8, "entry"
    )
    trade = Trade(
        "synthesized-1", Stream.SYNTHESIZED, PAIR, money("2"), 1_000, 61_000, money("100"), money("101"), money("1"),
        money("0.804"), money("0.196"), money("0.00098"), "sell idea", 0.7,
    )  # fmt: skip
    halt = Command(CommandKind.HALT, "drill", "cli")
    bodies = {"order": placed, "fill": fill, "trade": trade, "command": halt}
    assert write(path, [Row(9, kind, kind, canonical.encode(body)) for kind, body in bodies.items()]) == {}
    reader = LedgerReader(path, SETTINGS)
    assert reader.table("orders") == [
        {"id": "o1", "pair": PAIR, "side": "buy", "amount": "0.5", "kind": "market", "at": 7, "reference": "100",
         "reason": "entry", "stop": "0.05", "state": None, "seq": 1}
    ]  # fmt: skip
    assert reader.table("fills") == [
        {"id": "f1", "order_id": "o1", "pair": PAIR, "side": "buy", "amount": "0.5", "price": "100.10", "fee": "0.13",
         "slippage": "0.00000001", "at": 8, "reason": "entry", "stream": "synthesized", "seq": 2}
    ]  # fmt: skip
    (closed,) = reader.table("trades")
    assert {name: value for name, value in closed.items() if value is not None} == {
        "trade_id": "synthesized-1", "stream": "synthesized", "pair": PAIR, "entry_timestamp": 1_000,
        "exit_timestamp": 61_000, "hold_duration_seconds": 60.0, "entry_price": "100", "exit_price": "101",
        "price_change_pct": "1", "pnl_pct": "0.09800", "pnl_absolute": "0.196", "trade_result": "WIN",
        "prediction_score": 0.7, "position_size": "2", "fees_paid": "1", "slippage_pct": "0.200",
        "exit_reason": "sell idea", "seq": 3, "created_at": 9,
    }  # fmt: skip
    assert reader.table("commands") == [
        {"seq": 4, "at": 9, "kind": "halt", "reason": "drill", "source": "cli", "pair": None, "side": None,
         "amount": None}
    ]  # fmt: skip
    assert verify(path).ok


TRADE = {
    "trade_id": "t1", "stream": "baseline", "pair": PAIR, "strategy_type": "SWING", "agent_id": 12, "pattern_id": 3,
    "entry_timestamp": 1, "exit_timestamp": 2, "hold_duration_seconds": 0.001, "entry_price": "1", "exit_price": "2",
    "price_change_pct": "100", "pnl_pct": "99", "pnl_absolute": "0.99", "trade_result": "WIN", "rsi_at_entry": 30.5,
    "macd_at_entry": -0.1, "bb_position_at_entry": 0.2, "volume_at_entry": 1000.0, "atr_at_entry": 2.5,
    "signal_source": "collision", "prediction_score": 0.6, "cross_moat_score": 0.1, "collision_detected": True,
    "position_size": "1", "fees_paid": "0.01", "slippage_pct": "0.1", "exit_reason": "stop",
}  # fmt: skip
PATTERN = {
    "id": "p1", "agent_id": 4, "timestamp": 1, "pattern_value": 0.5, "raw_features": {"rsi": 1.5, "a": 2},
    "age_minutes": 0.0, "decay_factor": 1.0, "moat": "code", "product": "rust", "signal_type": "surge",
}  # fmt: skip


def test_trades_and_patterns_by_column(path: Path) -> None:
    rows = [Row(5, "trade", "t1", canonical.encode(TRADE)), Row(6, "pattern", "p1", canonical.encode(PATTERN))]
    assert write(path, rows) == {}
    reader = LedgerReader(path, SETTINGS)
    ids = {"agent_id": "12", "pattern_id": "3"}
    assert reader.table("trades") == [TRADE | ids | {"collision_detected": 1, "seq": 1, "created_at": 5}]
    changed = {"agent_id": "4", "raw_features": '{"a":2,"rsi":1.5}'}
    assert reader.table("patterns") == [PATTERN | changed | {"seq": 2, "created_at": 6}]


def test_m_f03_every_trade_of_a_run_is_in_the_table(path: Path) -> None:
    ledger = Writer(sink_of(path), SETTINGS)
    for number in range(250):
        body = canonical.encode(TRADE | {"trade_id": f"t{number}"})
        ledger.append([row(number), Row(number, "trade", f"trade:{number}", body)], False)
    ledger.close()
    assert [trade["trade_id"] for trade in LedgerReader(path, SETTINGS).table("trades")] == [
        f"t{number}" for number in range(250)
    ]


def test_a_later_row_of_an_order_changes_what_it_names(path: Path) -> None:
    write(path, [order(1), Row(2, "order", "sent", b'{"id":"o1","state":"sent"}')])
    (placed,) = LedgerReader(path, SETTINGS).table("orders")
    assert (placed["state"], placed["amount"], placed["seq"]) == ("sent", "1.50", 2)


FILL = {"id": "f1", "order_id": "o1", "pair": PAIR, "side": "buy", "amount": "1", "price": "1", "fee": "0"}
FILL |= {"slippage": "0", "at": 1}


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("fill", {}, "missing required field `id`"),
        ("fill", FILL | {"side": "hold"}, "Invalid enum value 'hold'"),
        ("fill", FILL | {"amount": "NaN"}, "not an amount"),
        ("fill", FILL | {"amount": "1e999999999"}, "not an amount"),
        ("fill", FILL | {"amount": "one"}, "Invalid decimal string"),
        ("fill", FILL | {"at": 2**70}, "does not fit"),
        ("fill", FILL | {"id": "f0"}, "UNIQUE constraint failed: fills.id"),
        ("trade", TRADE | {"pnl_pct": None}, "pnl_pct"),
        ("trade", {"id": "x"}, "missing required field"),
        ("order", {"pair": PAIR}, "missing required field `id`"),
    ],
)
def test_a_body_that_does_not_fit_its_table_is_a_dead_letter(
    path: Path, kind: str, body: dict[str, object], reason: str
) -> None:
    first = Row(0, "fill", "f0", canonical.encode(FILL | {"id": "f0"}))
    reasons = write(path, [first, Row(1, kind, "bad", canonical.encode(body)), row(3)])
    assert list(reasons) == [1]
    assert reason in reasons[1]
    reader = LedgerReader(path, SETTINGS)
    assert [one.kind for one in reader.rows()] == ["fill", "dead_letter", "note"]
    (letter,) = reader.table("dead_letters")
    assert (letter["kind"], letter["key"], letter["reason"]) == (kind, "bad", reasons[1])
    assert verify(path).ok


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with raw(path) as connection:
        return {
            projection.table: connection.execute(f"SELECT * FROM {projection.table} ORDER BY seq").fetchall()
            for projection in PROJECTIONS.values()
        }


def fill_tables(path: Path) -> None:
    rows = [order(number) for number in range(150)]
    rows += [Row(9, "order", f"sent:{number}", b'{"id":"o%d","state":"sent"}' % number) for number in range(0, 150, 2)]
    rows += [Row(9, "fill", f"f{n}", canonical.encode(FILL | {"id": f"f{n}"})) for n in range(150)]
    rows += [Row(9, "trade", "t1", canonical.encode(TRADE)), Row(9, "pattern", "p1", canonical.encode(PATTERN))]
    rows += [Row(9, "command", "c1", b'{"kind":"halt","reason":"r","source":"s"}'), row(1), row(1, body=b"[1]")]
    write(path, rows)


def test_rebuilt_tables_are_identical(path: Path) -> None:
    fill_tables(path)
    before = tables(path)
    assert all(before.values())
    with raw(path) as connection:
        for table in before:
            connection.execute(f"DELETE FROM {table} WHERE seq % 3 = 0")
        connection.execute("UPDATE fills SET amount = '9'")
    assert rebuild(path, SETTINGS) == 380
    assert tables(path) == before


def test_schema_of_the_code_is_what_migrations_make(path: Path) -> None:
    sink_of(path).close()
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), ledger_schema.METADATA) == []
        inspector = sa.inspect(connection)
        for projection in PROJECTIONS.values():
            columns = {column["name"] for column in inspector.get_columns(projection.table)}
            assert columns == set(projection.columns)
    versions = sorted(file.name for file in (MIGRATIONS / "versions").glob("v*.py"))
    assert len(versions) == ledger_schema.SCHEMA


@pytest.mark.parametrize("table", ["journal", "meta"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}"])
def test_journal_and_header_are_append_only(path: Path, table: str, change: str) -> None:
    write(path, [row(1)])
    column = {"journal": "at", "meta": "value"}[table]
    with raw(path) as connection, pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        connection.execute(change.format(table, column))


# Checkpoints and readers.


def test_a_damaged_checkpoint_falls_back_to_the_one_before(path: Path) -> None:
    sink = sink_of(path)
    assert LedgerReader(path, SETTINGS).checkpoint() is None
    for at in (1, 2, 3):
        sink.checkpoint(at, b"state %d" % at)
    sink.close()
    reader = LedgerReader(path, SETTINGS)
    assert reader.checkpoint() == (3, b"state 3")
    with raw(path) as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (2,)
        connection.execute("UPDATE checkpoints SET state = x'00' WHERE at = 3")
    assert reader.checkpoint() == (2, b"state 2")
    sink = sink_of(path)
    sink.checkpoint(4, b"state 4")
    sink.close()
    assert reader.checkpoint() == (4, b"state 4")
    with raw(path) as connection:
        connection.execute("UPDATE checkpoints SET at = at + 1")
    assert reader.checkpoint() is None


def test_a_reader_pages_filters_and_sees_a_running_ledger(path: Path) -> None:
    ledger = Writer(sink_of(path), SETTINGS)
    ledger.append([row(number, "even" if number % 2 == 0 else "odd") for number in range(450)], True).wait(5)
    reader = LedgerReader(path, SETTINGS)
    assert [one.key for one in reader.rows("even")] == [f"even:{number}" for number in range(0, 450, 2)]
    assert [one.seq for one in reader.rows(since=1_400)] == list(range(401, 451))
    assert [one.seq for one in reader.tail(3)] == [448, 449, 450]
    assert reader.head() == (450, reader.tail(1)[0].hash)
    ledger.append([row(450, "odd")], True).wait(5)
    assert reader.head()[0] == 451
    ledger.close()


def test_a_reader_cannot_write_and_names_what_is_missing(path: Path) -> None:
    with pytest.raises(NotFound, match="no such ledger"):
        LedgerReader(path, SETTINGS)
    write(path, [row(1)])
    reader = LedgerReader(path, SETTINGS)
    with pytest.raises(NotFound, match="no table 'journals'"):
        reader.table("journals")
    with pytest.raises(sa.exc.OperationalError, match="readonly"), reader._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE head SET seq = 0")


def test_a_path_with_special_characters(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20#?&ü.sqlite"
    write(odd, [row(1)])
    assert verify(odd).rows == 1
    assert [one.key for one in LedgerReader(odd, SETTINGS).rows()] == ["note:1"]


def test_rows_written_with_one_statement_are_those_written_one_by_one(tmp_path: Path) -> None:
    rows = [row(number) if number % 3 else order(number % 40, state=f"state {number}") for number in range(1, 1200)]
    heads = []
    for name, step in (("together", len(rows)), ("hundreds", 300), ("singly", 1)):
        path = tmp_path / f"{name}.sqlite"
        sink = sink_of(path)
        with closing(sink):
            for start in range(0, len(rows), step):
                assert sink.write(rows[start : start + step]) == {}
        assert verify(path).problems == []
        heads.append((LedgerReader(path, SETTINGS).head(), tables(path)))
    assert heads[0] == heads[1] == heads[2]


def test_a_bad_row_among_many_sinks_alone(path: Path) -> None:
    rows = [row(number) for number in range(600)]
    rows[300] = Row(0, "order", "order:bad", b'{"amount":"much"}')
    assert list(write(path, rows)) == [300]
    assert verify(path).problems == []


def test_a_ledger_whose_file_is_gone_or_another_takes_nothing_until_it_is_back(path: Path, tmp_path: Path) -> None:
    sink = sink_of(path)
    sink.write([row(1)])
    path.rename(tmp_path / "away")
    for call in (lambda: sink.write([row(2)]), lambda: sink.checkpoint(1, b"state")):
        with pytest.raises(LedgerError, match="deleted or exchanged while it was written; put it back"):
            call()
        path.touch()
    (tmp_path / "away").replace(path)
    assert sink.write([row(2)]) == {}
    path.unlink()
    with pytest.raises(LedgerError, match="deleted or exchanged"):
        sink.close()
