"""Each way a ledger can lie, told by the verifier."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from src.connectors.ledger_chain import genesis, row_hash
from src.connectors.ledger_verify import verify
from src.connectors.sqlite_ledger import SqliteSink
from src.core import canonical
from src.core.errors import NotFound
from src.core.portfolio import Portfolio
from src.core.ports import Row
from src.core.types import Fill, OrderId, Pair, Side
from tests.checks.ledger_checks import SETTINGS, row

BTC, ETH = Pair("BTC/USDT"), Pair("ETH/USDT")


def fill(number: int, pair: Pair, side: Side, amount: str, price: str, fee: str = "0.01", slip: str = "0.003") -> Fill:
    figures = (Decimal(amount), Decimal(price), Decimal(fee), Decimal(slip))
    return Fill(f"f{number}", OrderId(f"o{number}"), pair, side, *figures, number, "test")


FILLS = [
    fill(1, BTC, Side.BUY, "0.12345678", "67234.123456789012"),
    fill(2, ETH, Side.BUY, "2", "10.10"),
    fill(3, BTC, Side.SELL, "0.02345678", "67000.987654321098"),
    fill(4, ETH, Side.SELL, "2", "11"),
    fill(5, BTC, Side.BUY, "0.1", "66000"),
]


def history() -> list[Row]:
    """A start, five fills booked by the real portfolio, and a mark after each."""
    portfolio = Portfolio(Decimal("100000"))
    rows = [Row(0, "start", "start", b'{"cash":"100000"}')]
    for one in FILLS:
        portfolio.apply(one)
        held = {pair: position.amount for pair, position in portfolio.positions.items()}
        mark = {"cash": portfolio.cash, "equity": portfolio.cash, "positions": held}
        rows.append(Row(one.at, "fill", one.id, canonical.encode(one)))
        rows.append(Row(one.at, "mark", f"mark:{one.at}", canonical.encode(mark)))
    virtual = fill(6, BTC, Side.BUY, "5", "5")
    body = canonical.encode({**{n: getattr(virtual, n) for n in virtual.__struct_fields__}, "stream": "baseline"})
    return [*rows, Row(6, "fill", "f6", body), Row(6, "mark", "mark:6", rows[-1].body)]


def write(path: Path, rows: list[Row]) -> None:
    sink = SqliteSink(path, SETTINGS, mode="paper", ledger_id="test")
    assert sink.write(rows) == {}
    sink.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    write(path, history())
    return path


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for trigger in ("journal_no_update", "journal_no_delete", "meta_no_update", "meta_no_delete"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


def test_a_sound_ledger(path: Path) -> None:
    report = verify(path)
    assert report.problems == []
    assert report.ok
    assert report.rows == 13
    with closing(sqlite3.connect(path)) as connection:
        assert bytes.fromhex(report.head) == connection.execute("SELECT hash FROM journal WHERE seq = 13").fetchone()[0]


def test_the_chain_is_what_the_documentation_says(path: Path) -> None:
    """Recomputed by hand, from the header to the head."""
    with closing(sqlite3.connect(path)) as connection:
        (text,) = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
        assert text == '{"format":"mycelial-ledger","ledger_id":"test","mode":"paper","schema":1}'
        prev = hashlib.sha256(text.encode()).digest()
        assert prev == genesis(text.encode())
        for seq, at, kind, key, body, before, own in connection.execute("SELECT * FROM journal ORDER BY seq"):
            assert before == prev
            prev = hashlib.sha256(prev + f'[{seq},{at},"{kind}","{key}",{body}]'.encode()).digest()
            assert own == prev


def test_no_two_rows_share_an_encoding() -> None:
    variants = [
        (1, 2, "a", "b", b"{}"), (1, 2, "ab", "", b"{}"), (1, 2, "", "ab", b"{}"), (12, 2, "a", "b", b"{}"),
        (1, 22, "a", "b", b"{}"), (1, 2, 'a","b', "", b"{}"), (1, 2, "a", 'b",{}', b"{}"), (1, 2, "a", "b", b"[]"),
    ]  # fmt: skip
    assert len({row_hash(b"\0" * 32, *variant) for variant in variants}) == len(variants)


LIES = {
    "flipped byte in a body": (("UPDATE journal SET body = replace(body, '67234', '67235')",), "row 2 .* was changed"),
    "changed time": (("UPDATE journal SET at = 7 WHERE seq = 4",), "row 4 .* was changed"),
    "changed key": (("UPDATE journal SET key = 'x' WHERE seq = 4",), r"row 4 \(fill x\) was changed"),
    "body of another type": (("UPDATE journal SET body = CAST(body AS BLOB) WHERE seq = 4",), "row 4 .* was changed"),
    "deleted row": (("DELETE FROM journal WHERE seq = 5",), "rows 5 to 5 are missing"),
    "deleted and renumbered": (
        ("DELETE FROM journal WHERE seq = 5", "UPDATE journal SET seq = seq - 1 WHERE seq > 5"),
        "row 5 does not follow row 4",
    ),
    "inserted row": (
        ("INSERT INTO journal SELECT 14, at, kind, 'again', body, hash, hash FROM journal WHERE seq = 13",),
        "row 14 .* was changed",
    ),
    "reordered rows": (
        (
            "UPDATE journal SET seq = 100 WHERE seq = 4",
            "UPDATE journal SET seq = 4 WHERE seq = 6",
            "UPDATE journal SET seq = 6 WHERE seq = 100",
        ),
        "row 4 does not follow row 3",
    ),
    "cut tail": (("DELETE FROM journal WHERE seq > 10",), "the last row is 10, the recorded head 13"),
    "head removed": (("DELETE FROM head",), "recorded head is missing"),
    "another header": (("UPDATE meta SET value = replace(value, 'paper', 'live')",), "row 1 does not follow row 0"),
    "header removed": (("DELETE FROM meta",), "header is missing"),
    "changed table": (("UPDATE fills SET price = '1' WHERE id = 'f2'",), "table fills differs from the journal"),
    "row missing in a table": (("DELETE FROM fills WHERE id = 'f5'",), "table fills differs from the journal"),
    "row too many in a table": (
        ("INSERT INTO orders (id, seq) VALUES ('ghost', 1)",),
        "table orders differs from the journal: .*ghost.* instead of None",
    ),
    "table gone": (("DROP TABLE trades",), "cannot be read as a ledger: no such table: trades"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_told(path: Path, name: str) -> None:
    statements, problem = LIES[name]
    tamper(path, *statements)
    report = verify(path)
    assert not report.ok
    assert any(re.search(problem, line) for line in report.problems), report.problems


def test_a_byte_flipped_in_the_file(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b'"price":"10.10"') + 9] ^= 1
    path.write_bytes(content)
    assert any("row 4 (fill f2) was changed" in line for line in verify(path).problems)


def test_a_tail_cut_together_with_the_head_is_seen_by_the_noted_head(path: Path) -> None:
    noted = verify(path).head
    write(path, [row(50), row(51)])
    assert verify(path, noted).ok
    assert verify(path, noted.upper()).ok
    with closing(sqlite3.connect(path)) as connection:
        seq, own = connection.execute("SELECT seq, hash FROM journal WHERE seq = 12").fetchone()
    tamper(path, "DELETE FROM journal WHERE seq > 12", f"UPDATE head SET seq = {seq}, hash = x'{own.hex()}'")
    assert verify(path).ok
    assert verify(path, noted).problems == [
        f"the head {noted} noted before is not in this ledger: its tail was cut off"
    ]


def test_the_head_of_an_empty_ledger_may_be_noted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    SqliteSink(path, SETTINGS, mode="live", ledger_id="x").close()
    report = verify(path)
    assert (report.ok, report.rows) == (True, 0)
    write_live = SqliteSink(path, SETTINGS, mode="live", ledger_id="x")
    write_live.write([row(1)])
    write_live.close()
    assert verify(path, report.head).ok


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"ETH/USDT":"2"', b'"ETH/USDT":"3"', "fills of ETH/USDT add up to 2, held 3"),
        (b'"cash":"9', b'"cash":"8', "give cash 9.*the mark says 8"),
        (b'"positions":{"BTC/USDT":"0.12345678"', b'"positions":{"BTC/EUR":"0.12345678"', "fills of BTC/USDT add up"),
        (b'"positions":', b'"held":', "missing required field `positions`"),
        (b'"cash":"100000"', b'"money":"100000"', "missing required field `cash`"),
    ],
)
def test_money_that_does_not_add_up(tmp_path: Path, old: bytes, new: bytes, problem: str) -> None:
    path = tmp_path / "ledger.sqlite"
    rows = history()
    changed = [Row(one.at, one.kind, one.key, one.body.replace(old, new)) for one in rows]
    assert changed != rows
    write(path, changed)
    assert any(re.search(problem, line) for line in verify(path).problems), verify(path).problems


def test_a_mark_without_a_start_cannot_be_proved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    write(path, history()[1:])
    assert "no `start` row before this mark" in verify(path).problems[0]


def test_one_cent_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rows = history()
    last = rows[-3]
    cash = Portfolio(Decimal("100000"))
    for one in FILLS:
        cash.apply(one)
    wrong = str(cash.cash + Decimal("0.00000001")).encode()
    rows[-3] = Row(last.at, last.kind, last.key, last.body.replace(str(cash.cash).encode(), wrong))
    write(path, rows)
    assert len(verify(path).problems) == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0" + b"x" * 9000])
def test_what_is_no_ledger_is_told_not_thrown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    report = verify(path)
    assert not report.ok
    assert "cannot be read as a ledger" in report.problems[-1]
    assert path.read_bytes() == content


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such ledger"):
        verify(tmp_path / "ledger.sqlite")


def test_it_stands_alone() -> None:
    code = (
        "import sys, src.connectors.ledger_verify;"
        "print([m for m in ('sqlalchemy', 'alembic', 'src.connectors.sqlite_ledger') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
