"""The sign of life: a file and a call each minute while slices are walked, and silence when they are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from src.connectors.heartbeat import Heartbeat, ping_address
from src.connectors.private_file import Secret
from src.core.clock import Timer
from src.core.errors import ConfigError
from tests.monitoring.webhook import Reply, Webhook
from tests.worlds import settings

RULES = settings().monitoring.heartbeat


@pytest.fixture
def hook() -> Iterator[Webhook]:
    served = Webhook()
    yield served
    served.close()


class Counting(Timer):
    """Lets the thread go on at once, so many times."""

    def __init__(self, rounds: int) -> None:
        self.left, self.waits, self.done = rounds, list[float](), Event()

    def wait(self, event: Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.left -= 1
        if self.left > 0:
            return event.is_set()
        self.done.set()
        return event.wait(20)


def test_it_beats_while_there_is_life_and_not_without(tmp_path: Path, hook: Webhook) -> None:
    why, now = [""], [60_000]
    file = tmp_path / "heartbeat"
    one = Heartbeat(file, Secret(f"{hook.url}/ping/abc"), RULES, lambda: why[0], Timer(), lambda: now[0])
    assert one.beat()
    assert file.read_text() == "1970-01-01T00:01:00.000Z\n"
    assert [(posted.method, posted.path) for posted in hook.posted] == [("GET", "/ping/abc")]
    why[0], now[0] = "no slice for 99 s", 120_000
    assert not one.beat()
    assert (one.beat_ms, one.failure, len(hook.posted)) == (60_000, "no slice for 99 s", 1)
    assert file.read_text() == "1970-01-01T00:01:00.000Z\n"
    one.close()


@pytest.mark.parametrize(
    ("reply", "said"), [(Reply(500), "answers 500"), (Reply(302, b"", {"Location": "/elsewhere"}), "answers 302")]
)
def test_an_address_that_fails_is_a_failure_and_no_more(reply: Reply, said: str, tmp_path: Path, hook: Webhook) -> None:
    hook.replies = [reply]
    one = Heartbeat(tmp_path / "heartbeat", Secret(f"{hook.url}/ping"), RULES, str, Timer())
    assert one.beat()
    assert said in one.failure
    assert len(hook.posted) == 1
    one.close()


def test_an_address_that_is_not_there_is_named_without_its_text(tmp_path: Path) -> None:
    one = Heartbeat(tmp_path / "heartbeat", Secret("http://127.0.0.1:1/canary"), RULES, str, Timer())
    assert one.beat()
    assert one.failure == "the address of the heartbeat cannot be reached (ConnectError)"
    one.close()


def test_a_file_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    one = Heartbeat(tmp_path / "nowhere" / "heartbeat", None, RULES, str, Timer())
    assert one.beat()
    assert "heartbeat cannot be written" in one.failure
    one.close()


def test_the_thread_beats_again_and_again(tmp_path: Path, hook: Webhook) -> None:
    timer = Counting(3)
    one = Heartbeat(tmp_path / "heartbeat", Secret(f"{hook.url}/ping"), RULES, str, timer)
    one.start()
    assert timer.done.wait(20)
    one.close()
    assert (len(hook.posted), timer.waits) == (3, [60.0] * 3)


@pytest.mark.parametrize(
    "address", ["http://example.org/ping", "ftp://example.org/", "nonsense", "https://", "http://[::"]
)
def test_other_addresses_are_refused_without_repeating_them(address: str) -> None:
    with pytest.raises(ConfigError, match="no address that begins with https") as refused:
        ping_address(Secret(address))
    assert address not in str(refused.value) or address == "https://"


def test_https_and_this_machine_are_fine() -> None:
    for address in ("https://example.org/ping/1", "http://127.0.0.1:9/x", "http://localhost/x"):
        assert ping_address(Secret(address)).text == address
