"""The account's rows are canonical JSON to the byte, though only what changed of them is encoded."""

from __future__ import annotations

import msgspec

from src.core import records
from src.core.canonical import encode
from tests.walked import Walk


def test_marks_are_canonical_and_say_how_the_account_stands() -> None:
    walked = Walk().all()
    marks = [row for row in walked.ledger.rows() if row.kind == "mark"]
    assert len(marks) > 5
    reports = {report.at: report for report in walked.reports}
    for row in marks:
        fields = msgspec.json.decode(row.body)
        assert encode(fields) == row.body
        assert sorted(fields) == ["at", "cash", "equity", "positions"]
        assert (fields["at"], row.key) == (row.at, f"mark:{row.at}")
        assert fields["equity"] == records.plain(reports[row.at].equity)
        assert fields["cash"] == records.plain(reports[row.at].cash)
    assert {len(msgspec.json.decode(row.body)["positions"]) for row in marks} == {0, 1}
