"""The log: JSON lines that belong together, a total cap, nobody waits for it, and no secret in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.connectors.logs import Logs
from src.connectors.redaction import Redaction
from src.core.config_monitoring import LogSettings
from tests.worlds import settings

CANARY = "canary-of-the-log"


def wanted(**changes: object) -> LogSettings:
    return settings().monitoring.logs.model_copy(update=changes)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    opened = Logs(wanted(level="debug"), tmp_path, "run-1", Redaction([CANARY]))
    yield opened
    opened.close()


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "logs" / "mycelial.jsonl").read_text(encoding="ascii")
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in text.splitlines()]


def test_a_line_says_which_run_slice_and_order_it_belongs_to(logs: Logs, tmp_path: Path) -> None:
    logs.logger.info("fill", at="2021-01-01T00:00:00.000Z", order="abc", price="1.5", pair="BTC/USD")
    logs.close()
    (line,) = lines(tmp_path)
    said = line.pop("said")
    assert said.endswith("Z")
    assert line == {
        "event": "fill",
        "level": "info",
        "run": "run-1",
        "at": "2021-01-01T00:00:00.000Z",
        "order": "abc",
        "price": "1.5",
        "pair": "BTC/USD",
    }


def test_lines_of_libraries_come_along_and_those_that_tell_too_much_only_with_warnings(
    logs: Logs, tmp_path: Path
) -> None:
    for name in ("kraken.spot", "urllib3.connectionpool", "httpx2", "aiohttp.access", "websockets.client"):
        logging.getLogger(name).info("POST %s", CANARY)
        logging.getLogger(name).warning("slow %s", CANARY)
    logging.getLogger("some.library").info("answered %d", 7)
    logging.getLogger("some.library").debug("not even looked at")
    logs.close()
    assert [(line["logger"], line["event"]) for line in lines(tmp_path)] == [
        *[(name, "slow ***") for name in ("kraken.spot", "urllib3.connectionpool", "httpx2")],
        *[("aiohttp.access", "slow ***"), ("websockets.client", "slow ***"), ("some.library", "answered 7")],
    ]


def test_a_library_that_took_the_lines_of_another_gets_them_back_only_afterwards(tmp_path: Path) -> None:
    taken = logging.getLogger("websockets")
    taken.propagate = False
    try:
        opened = Logs(wanted(), tmp_path, "run-1", Redaction([]))
        logging.getLogger("websockets.client").warning("slow")
        opened.close()
        assert [line["event"] for line in lines(tmp_path)] == ["slow"]
        assert not taken.propagate
    finally:
        taken.propagate = True


def test_no_secret_in_fields_names_and_tracebacks_and_no_local_variables(logs: Logs, tmp_path: Path) -> None:
    hidden = "a local " + "variable"
    try:
        raise ValueError(f"refused {CANARY} {len(hidden)}")
    except ValueError:
        logs.logger.exception(f"failed {CANARY}", key={CANARY: [CANARY]}, url=f"https://x:{CANARY}@h/")
    logs.close()
    raw = (tmp_path / "logs" / "mycelial.jsonl").read_bytes()
    assert CANARY.encode() not in raw
    assert hidden.encode() not in raw
    (line,) = lines(tmp_path)
    assert line["exception"].startswith("Traceback (most recent call last):\\n")
    assert line["exception"].endswith("ValueError: refused *** 16")


def test_what_a_library_caught_comes_along_without_secrets(logs: Logs, tmp_path: Path) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("some.library").exception("failed")
    logs.close()
    (line,) = lines(tmp_path)
    assert line["exception"].endswith("ValueError: ***")


def test_hostile_text_cannot_forge_a_line_or_steer_a_terminal(logs: Logs, tmp_path: Path) -> None:
    logs.logger.info('x\n{"event": "forged"}\r\x1b[2J\x9b31m\u2028', pair="\x00\x7f")
    logs.close()
    (line,) = lines(tmp_path)
    assert line["event"] == 'x\\n{"event": "forged"}\\r\\x1b[2J\\x9b31m\\u2028'
    assert line["pair"] == "\\x00\\x7f"


def test_files_are_private_and_take_so_much_and_no_more(tmp_path: Path) -> None:
    logs = Logs(wanted(file_bytes=10_000, files=3), tmp_path, "run-1", Redaction())
    for number in range(1000):
        logs.logger.info("a line", number=number, text="x" * 100)
    logs.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["mycelial.jsonl", "mycelial.jsonl.1", "mycelial.jsonl.2"]
    assert sum(file.stat().st_size for file in files) <= 30_000
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert lines(tmp_path)[-1]["number"] == 999
    assert logs.dropped == 0


def test_a_full_queue_drops_lines_and_counts_them(tmp_path: Path) -> None:
    logs = Logs(wanted(queue_lines=5), tmp_path, "run-1", Redaction())
    entered, release = threading.Event(), threading.Event()

    class Stuck(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            entered.set()
            return release.wait(20)

    assert logs._file is not None
    stuck = Stuck()
    logs._file.addFilter(stuck)
    logs.logger.info("held")
    assert entered.wait(20)
    for number in range(8):
        logs.logger.info("queued", number=number)
    assert logs.dropped == 3
    release.set()
    logs.close()
    assert [line.get("number") for line in lines(tmp_path)] == [None, 0, 1, 2, 3, 4]


def test_a_disk_that_refuses_costs_lines_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("in the way")
    logs = Logs(wanted(), tmp_path, "run-1", Redaction())
    logs.logger.info("nowhere")
    logs.close()
    assert capfd.readouterr() == ("", "")


def test_the_level_counts_and_lines_can_go_to_stderr_as_well(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs(wanted(level="warning", stderr=True), tmp_path, "run-1", Redaction([CANARY]))
    logs.logger.info("not wanted")
    logs.logger.warning(f"wanted {CANARY}")
    logging.getLogger("some.library").info("not wanted either")
    logs.close()
    (line,) = capfd.readouterr().err.splitlines()
    assert msgspec.json.decode(line, type=dict[str, Any])["event"] == "wanted ***"
    assert len(lines(tmp_path)) == 1


def test_a_thread_that_ends_by_an_error_is_a_line_of_the_log(
    logs: Logs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fall() -> None:
        raise RuntimeError(CANARY)

    thread = threading.Thread(target=fall, name="falling")
    thread.start()
    thread.join()
    logs.close()
    (line,) = lines(tmp_path)
    assert (line["level"], line["thread"]) == ("critical", "falling")
    assert line["exception"].endswith("RuntimeError: ***")
    assert CANARY not in capfd.readouterr().err


def test_everything_is_put_back(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, threading.excepthook, logging.getLogger("kraken").level)
    logs = Logs(wanted(), tmp_path, "run-1", Redaction())
    assert len(root.handlers) == len(before[0]) + 1
    logs.close()
    logs.close()
    assert (list(root.handlers), root.level, threading.excepthook, logging.getLogger("kraken").level) == before
