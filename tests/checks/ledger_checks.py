"""What every ledger promises, as checks that each implementation passes by being registered."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from src.core.config import LedgerSettings
from src.core.errors import LedgerError
from src.core.ports import Ledger, Row

SETTINGS = LedgerSettings(
    queue_rows=10_000,
    group_rows=100,
    group_seconds=0.005,
    durable_timeout_seconds=20.0,
    retry_seconds=0.01,
    busy_timeout_seconds=0.2,
    row_bytes=1000,
    checkpoint_seconds=10.0,
    anchor_folder=None,
)

Contents = Callable[[], list[Row]]
Opened = tuple[Ledger, Contents, Callable[[], tuple[int, bytes] | None]]
"""A ledger, and what a reader sees after it was closed: rows, newest checkpoint."""
OpenLedger = Callable[[], Opened]


def row(number: int, kind: str = "note", body: bytes | None = None) -> Row:
    """A row with the key `{kind}:{number}`."""
    return Row(1_000 + number, kind, f"{kind}:{number}", b'{"n":%d}' % number if body is None else body)


def check_order_and_content(open_ledger: OpenLedger) -> None:
    """Rows come back in the order they were appended, byte for byte."""
    ledger, contents, _ = open_ledger()
    lists = [[row(0), row(1)], [], [row(2, body='{"t":"Zürich \\u0000 ∞"}'.encode())], [row(3, "other")]]
    for number, rows in enumerate(lists):
        ledger.append(rows, durable=number % 2 == 0).wait(5)
    ledger.close()
    assert contents() == [one for rows in lists for one in rows]


def check_same_row_again_is_success(open_ledger: OpenLedger) -> None:
    """A restart repeats rows; those that are there already change nothing."""
    ledger, contents, _ = open_ledger()
    ledger.append([row(1), row(2)], True).wait(5)
    ledger.append([row(2), row(3), row(3)], True).wait(5)
    ledger.close()
    assert contents() == [row(1), row(2), row(3)]


BAD_ROWS = {
    "another body": (row(1, body=b'{"n":2}'), "taken by a row with another body"),
    "another kind": (Row(1, "other", "note:1", b'{"n":1}'), "taken by a row with another body"),
    "not JSON": (row(2, body=b'{"n":'), "not JSON"),
    "not UTF-8": (row(2, body=b'"\xff"'), "not JSON"),
    "empty": (row(2, body=b""), "not JSON"),
    "too large": (row(2, body=b'"' + b"x" * 999 + b'"'), "1001 bytes, at most 1000"),
    "time too large": (Row(2**63, "note", "k", b"{}"), "64-bit"),
    "time is a float": (Row(1.5, "note", "k", b"{}"), "64-bit"),  # type: ignore[arg-type]
    "body is text": (Row(1, "note", "k", "{}"), "not bytes"),  # type: ignore[arg-type]
    "key is a number": (Row(1, "note", 7, b"{}"), "must be text"),  # type: ignore[arg-type]
    "key is empty": (Row(1, "note", "", b"{}"), "must be text"),
    "key is half a character": (Row(1, "note", "a\ud800", b"{}"), "UTF-8"),
}


def check_bad_row_sinks_alone(open_ledger: OpenLedger, bad: Row, reason: str) -> None:
    """The row's neighbours are kept, the row leaves a dead letter, and the durable caller is told."""
    ledger, contents, _ = open_ledger()
    ledger.append([row(1)], True).wait(5)
    refused = ledger.append([row(10), bad, row(11)], True)
    with pytest.raises(LedgerError, match=reason):
        refused.wait(5)
    ledger.append([bad], False).wait(5)
    ledger.append([row(12)], True).wait(5)
    ledger.close()
    kept = contents()
    assert [one for one in kept if one.kind == "note"] == [row(1), row(10), row(11), row(12)]
    assert [one.kind for one in kept].count("dead_letter") == 1


def check_eight_threads(open_ledger: OpenLedger) -> None:
    """No row is lost and each thread's rows stay in order."""
    ledger, contents, _ = open_ledger()

    def work(name: int) -> None:
        for number in range(50):
            ledger.append([row(number, f"t{name}"), row(number + 1000, f"t{name}")], durable=number % 10 == 0).wait(20)

    threads = [Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    for name in range(8):
        expected = [row(n, f"t{name}") for number in range(50) for n in (number, number + 1000)]
        assert [one for one in contents() if one.kind == f"t{name}"] == expected


def check_close_keeps_what_was_queued(open_ledger: OpenLedger) -> None:
    """Nobody waited for these rows; they are there all the same."""
    ledger, contents, _ = open_ledger()
    for number in range(500):
        ledger.append([row(number)], False)
    ledger.close()
    assert contents() == [row(number) for number in range(500)]


def check_closed_is_closed(open_ledger: OpenLedger) -> None:
    """After `close`, rows and states are refused instead of forgotten."""
    ledger, contents, _ = open_ledger()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.append([row(1)], True)
    with pytest.raises(LedgerError, match="closed"):
        ledger.checkpoint(1, b"")
    assert contents() == []


def check_newest_checkpoint_stands(open_ledger: OpenLedger) -> None:
    """A state replaces the one before; rows are not touched by it."""
    ledger, contents, checkpoint = open_ledger()
    for number in range(5):
        ledger.append([row(number)], False)
        ledger.checkpoint(number, b"state %d" % number)
    ledger.close()
    assert checkpoint() == (4, b"state 4")
    assert len(contents()) == 5


CHECKS = (
    check_order_and_content,
    check_same_row_again_is_success,
    check_eight_threads,
    check_close_keeps_what_was_queued,
    check_closed_is_closed,
    check_newest_checkpoint_stands,
)
