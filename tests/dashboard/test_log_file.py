"""The log as the monitor reads it: absent, rotated, half written, damaged, large; and what is chosen of it."""

from __future__ import annotations

from pathlib import Path

import dashboard.log_file
from dashboard.log_file import MOST_LINES, MOST_SHOWN, TAIL_BYTES, LogFile, chosen, row
from src.connectors.logs import FILE, FOLDER, Logs
from src.connectors.redaction import Redaction
from tests.dashboard import seeds
from tests.worlds import settings


def events(log: LogFile) -> list[str]:
    return [str(line["event"]) for line in log.lines()]


def test_what_a_run_writes_is_what_is_read(tmp_path: Path) -> None:
    logs = Logs(settings().monitoring.logs, tmp_path, "run-1", Redaction(["canary-of-the-page"]))
    logs.logger.warning("halted by canary-of-the-page", at="2024-01-01T00:00:00.000Z")
    logs.close()
    (line,) = LogFile(tmp_path).lines()
    assert (line["event"], line["run"]) == ("halted by ***", "run-1")
    assert LogFile(tmp_path).path == tmp_path / FOLDER / FILE


def test_none_a_new_one_and_one_that_went(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    assert log.lines() == []
    path = seeds.logged(tmp_path)
    assert events(log) == ["started", "order", "fill", seeds.HOSTILE]
    path.unlink()
    assert log.lines() == []


def test_a_rotated_one_goes_on_with_what_was_set_aside(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    seeds.logged(tmp_path, ({"event": "before"},), "mycelial.jsonl.1")
    path = seeds.logged(tmp_path, ({"event": "after"},))
    assert events(log) == ["before", "after"]
    path.write_text("x" * TAIL_BYTES + '\n{"event": "large"}\n')
    assert events(log) == ["large"]  # what is cut at its beginning is no line
    path.unlink()
    path.mkdir()
    assert events(log) == ["before"]  # and a folder in its place is no file


def test_a_line_that_is_being_written_waits_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    log, path = LogFile(tmp_path), seeds.logged(tmp_path, ({"event": "whole"},))
    with path.open("a") as file:
        file.write('[1]\n\xff\n\n{"event": "ha')
    assert events(log) == ["whole", "damaged", "damaged"]
    with path.open("a") as file:
        file.write('lf"}\n')
    assert events(log) == ["whole", "damaged", "damaged", "half"]


def test_only_its_end_is_read_and_only_where_it_changed(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    seeds.logged(tmp_path, tuple({"event": str(n)} for n in range(MOST_LINES + 50)))
    assert events(log)[0] == "50"
    assert log.lines() is log.lines()
    assert [line["event"] for line in chosen(log.lines())][:: MOST_SHOWN - 1] == ["2049", "1750"]


def test_what_is_chosen() -> None:
    lines = [dict(line) for line in seeds.LOGGED]
    assert [line["event"] for line in chosen(lines, words="o1")] == ["fill", "order"]
    assert [line["event"] for line in chosen(lines, "error")] == [seeds.HOSTILE]
    assert len(chosen(lines, words="r1")) == 4
    assert chosen(lines, words="r1 ") == chosen(lines, words="r1")
    assert chosen([{"level": ["x"]}], "info")  # of no level we know
    assert chosen([{"deep": {"pair": ["BTC/USD"]}}], words="btc")
    assert row(lines[1]) == {
        "said": "2024-01-01T00:00:01.000Z", "level": "info", "event": "order", "more": "run=r1 order=o1",
    }  # fmt: skip


def test_levels_are_those_of_the_log() -> None:
    assert dashboard.log_file.LEVELS[:4] == ("debug", "info", "warning", "error")
