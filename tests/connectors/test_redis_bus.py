"""RedisBus keeps the contract over a real server, delivers what LocalBus delivers, and survives a bad server."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.redis_bus import RedisBus, tap
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.errors import BusError
from src.core.messages import Message
from src.core.ports import Foreign
from tests.checks import bus_checks
from tests.checks.bus_checks import IDEAS, MARKET, NOW, Rig, foreign_raw, idea, market, run_traffic, settings

START_SECONDS = 10.0
ROOT = Path(__file__).parents[2]
_prefixes = (f"test-{number}[*]:" for number in itertools.count())


class ShiftedTimer(Timer):
    """The real timer, which a test can move ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def seconds(self) -> float:
        return super().seconds() + self.ahead


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(0, START_SECONDS)
    yield server
    server.close()


@pytest.fixture
def server() -> Iterator[EmbeddedValkey]:
    """A server that a test may mistreat."""
    server = EmbeddedValkey(0, START_SECONDS)
    yield server
    server.kill()


@pytest.fixture
def build() -> Iterator[Callable[..., RedisBus]]:
    """Builds buses and closes them at the end."""
    built: list[RedisBus] = []

    def make(url: str, **options: Any) -> RedisBus:
        values: dict[str, Any] = {"producer": "own", "epoch": 5, "timer": Timer(), "clock": SimClock(NOW)}
        values |= {"settings": settings()} | options
        built.append(RedisBus(url, **values))
        return built[-1]

    yield make
    for bus in built:
        bus.close()


@pytest.fixture
def make(shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> Iterator[bus_checks.Make]:
    client = redis.Redis(port=shared.port)

    def rig(**changes: Any) -> Rig:
        clock, prefix = SimClock(NOW), next(_prefixes)
        bus = build(shared.url, clock=clock, settings=settings(**changes), channel_prefix=prefix)

        def feed(channel: str, raw: bytes) -> None:
            assert client.publish(prefix + channel, raw) == 1
            assert bus.ping()

        return Rig(bus, clock, feed)

    yield rig
    client.close()


@pytest.mark.parametrize("check", bus_checks.CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Any, make: bus_checks.Make) -> None:
    check(make)


# --- equality with LocalBus --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_delivers_what_local_bus_delivers(seed: int, shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    local_clock, clock = SimClock(NOW), SimClock(NOW)
    local = LocalBus(local_clock, settings())
    remote = build(shared.url, clock=clock, channel_prefix=next(_prefixes))
    expected = run_traffic(local, local_clock, seed, slices=500)
    assert run_traffic(remote, clock, seed, slices=500) == expected
    assert len(expected) > 4000
    assert remote.counts() == local.counts()
    assert remote.drain_failures() == local.drain_failures()
    assert (remote.gaps, remote.late, list(remote.drain_dead_letters())) == ({}, 0, [])


def test_second_producer_does_not_touch_the_order(shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    prefix = next(_prefixes)
    local_clock, clock = SimClock(NOW), SimClock(NOW)
    expected = run_traffic(LocalBus(local_clock, settings()), local_clock, 3, slices=100)
    first = build(shared.url, clock=clock, channel_prefix=prefix)
    second = build(shared.url, producer="second", channel_prefix=prefix)
    real_settle, sent = first.settle, []

    def disturbed() -> bool:
        sent.append(market(float(len(sent)), source="second"))
        second.publish(MARKET, sent[-1])
        assert second.settle()
        return real_settle()

    first.settle = disturbed  # type: ignore[method-assign]
    assert run_traffic(first, clock, 3, slices=100) == expected
    assert first.ping()
    came = list(first.drain_foreign())
    assert [(one.channel, one.producer, one.message) for one in came] == [(MARKET, "second", one) for one in sent]
    assert {one.epoch for one in came} == {second.epoch}
    assert [one.seq for one in came] == sorted({one.seq for one in came})
    assert (first.gaps, list(first.drain_dead_letters())) == ({}, [])
    assert second.gaps == {}
    assert {foreign.producer for foreign in second.drain_foreign()} == {"own"}


def test_prefixes_keep_runs_apart(shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    first = build(shared.url, channel_prefix="run-1:")
    second = build(shared.url, producer="second", channel_prefix="run-2:")
    second.publish(MARKET, market())
    assert second.settle()
    assert first.ping()
    assert list(first.drain_foreign()) == []


def test_foreign_messages_are_read_without_settling(shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    bus = build(shared.url, channel_prefix=(prefix := next(_prefixes)))
    with redis.Redis(port=shared.port) as client:
        for seq in range(1, 4):
            client.publish(prefix + MARKET, foreign_raw(market(float(seq)), seq))
    # The listener's last byte may still be under way: the server answers the publisher on its own terms.
    got: list[Foreign] = []
    for _ in range(100_000):
        got += bus.drain_foreign()
        if len(got) == 3:
            break
    assert [foreign.message.close for foreign in got] == [1.0, 2.0, 3.0]  # type: ignore[attr-defined]


def test_own_message_coming_twice_is_dropped(shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    bus = build(shared.url, channel_prefix=(prefix := next(_prefixes)))
    heard: list[tuple[str, bytes]] = []
    with _tapping(shared.url, "*", heard) as wait_for:
        bus.publish(MARKET, market())
        assert bus.settle()
        wait_for(2)
    (raw,) = [raw for channel, raw in heard if channel == prefix + MARKET]
    with redis.Redis(port=shared.port) as client:
        client.publish(prefix + MARKET, raw)
    got: list[Message] = []
    bus.subscribe(MARKET, got.append, "a")
    assert bus.ping()
    assert bus.settle()
    assert (got, list(bus.drain_foreign()), list(bus.drain_dead_letters()), bus.late) == ([], [], [], 1)


# --- a bad server ------------------------------------------------------------------------------------------------


def _deliver_one(bus: RedisBus, score: float) -> bool:
    """Publish one idea and settle; it must be delivered exactly once whatever the server does."""
    got: list[Message] = []
    bus.subscribe(IDEAS, got.append, "checker")
    bus.publish(IDEAS, idea(score))
    whole = bus.settle()
    bus.unsubscribe("checker")
    assert got == [idea(score)]
    return whole


def test_killed_server_is_survived_and_found_again(server: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    timer = ShiftedTimer()
    bus = build(server.url, timer=timer)
    assert _deliver_one(bus, 0.1)
    server.kill()
    assert not _deliver_one(bus, 0.2)
    assert bus.gaps == {"own": 1}
    assert bus.trouble
    timer.ahead += 1.1
    assert not _deliver_one(bus, 0.3)  # the attempt is due, nobody is there: the next one in 2 s
    assert not bus.ping()
    server.start()
    timer.ahead += 1.1
    assert not _deliver_one(bus, 0.4)
    timer.ahead += 1.1
    assert _deliver_one(bus, 0.5)
    assert bus.trouble == ""
    assert bus.ping()
    assert bus.gaps == {"own": 3}


def test_pauses_double_up_to_the_cap_and_never_end(server: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    timer = ShiftedTimer()
    bus = build(server.url, timer=timer)
    server.kill()
    assert not _deliver_one(bus, 0.1)
    for pause in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        now = timer.seconds()
        assert not bus.reconnect_due(now + pause - 0.5)
        assert bus.reconnect_due(now + pause)
        timer.ahead += pause
        assert not bus.settle()
    server.start()
    timer.ahead += 60
    assert bus.settle()
    assert _deliver_one(bus, 0.2)
    server.kill()
    assert not _deliver_one(bus, 0.3)
    assert bus.reconnect_due(timer.seconds() + 1)


def test_frozen_server_costs_a_bounded_time(server: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    timer = ShiftedTimer()
    bus = build(server.url, timer=timer, settings=settings(settle_timeout_seconds=0.2))
    other = build(server.url, producer="other")
    assert _deliver_one(bus, 0.1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        start = timer.seconds()
        bus.subscribe(MARKET, lambda message: bus.publish(IDEAS, idea(0.9)), "answering")
        bus.publish(MARKET, market())
        assert not _deliver_one_of_two(bus)
        assert timer.seconds() - start < 1.0
        assert "barrier did not come back" in bus.trouble
        bus.unsubscribe("answering")
        start = timer.seconds()
        timer.ahead += 1.1
        assert not _deliver_one(bus, 0.3)  # a reconnection to a frozen server is bounded too
        assert timer.seconds() - start < 1.1 + 1.0
    finally:
        os.kill(server.pid, signal.SIGCONT)
    timer.ahead += 2.1
    assert _deliver_one(bus, 0.4)
    assert bus.gaps == {"own": 3}
    assert other.ping()
    # What the frozen server had in its buffers came after its phase: it is dropped without being a fault.
    assert list(bus.drain_foreign()) == []
    assert list(bus.drain_dead_letters()) == []


def _deliver_one_of_two(bus: RedisBus) -> bool:
    got: list[Message] = []
    bus.subscribe(IDEAS, got.append, "checker")
    whole = bus.settle()
    bus.unsubscribe("checker")
    assert got == [idea(0.9)]
    return whole


def test_message_that_comes_after_its_phase_is_dropped(server: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    timer = ShiftedTimer()
    bus = build(server.url, timer=timer, settings=settings(settle_timeout_seconds=0.2))
    os.kill(server.pid, signal.SIGSTOP)
    assert not _deliver_one(bus, 0.2)
    os.kill(server.pid, signal.SIGCONT)
    timer.ahead += 1.1
    assert bus.settle()
    got: list[Message] = []
    bus.subscribe(IDEAS, got.append, "checker")
    before = bus.late
    with redis.Redis(port=server.port) as client:
        # Number 1 was the barrier of the first connection.
        client.publish(IDEAS, foreign_raw(idea(0.2), 2, producer="own", epoch=5))
    assert bus.ping()
    assert bus.settle()
    assert (bus.late - before, got, list(bus.drain_foreign())) == (1, [], [])
    assert list(bus.drain_dead_letters()) == []


def test_slow_handlers_do_not_use_up_the_time_for_the_server(
    shared: EmbeddedValkey, build: Callable[..., RedisBus]
) -> None:
    timer = ShiftedTimer()
    bus = build(shared.url, timer=timer, channel_prefix=next(_prefixes))

    def slow(message: Message) -> None:
        timer.ahead += 3600.0
        bus.publish(IDEAS, idea(0.7))

    bus.subscribe(MARKET, slow, "slow")
    bus.publish(MARKET, market())
    assert bus.settle()
    assert bus.gaps == {}


def test_lost_message_is_delivered_and_told(shared: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    bus = build(shared.url, channel_prefix=(prefix := next(_prefixes)))
    listener = bus._wire._listener  # type: ignore[union-attr]
    listener.send_command("PUNSUBSCRIBE", prefix.replace("[", "\\[").replace("*", "\\*").replace("]", "\\]") + IDEAS)
    listener.read_response(True, timeout=5.0, disconnect_on_error=False)
    assert not _deliver_one(bus, 0.1)
    assert bus.gaps == {"own": 1}
    bus.publish(MARKET, market())
    assert bus.settle()


def test_hung_up_listener_is_noticed(server: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    timer = ShiftedTimer()
    bus = build(server.url, timer=timer)
    with redis.Redis(port=server.port) as client:
        assert client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
        assert not _deliver_one(bus, 0.1)
        timer.ahead += 1.1
        assert _deliver_one(bus, 0.2)
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    while not bus.trouble:  # noticed without a message of our own as soon as the end of the stream is here
        bus.drain_foreign()
    assert not bus.settle()


def test_nobody_there_is_told_with_the_remedy() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(BusError, match=f"no bus at {url}: .*--bus embedded"):
            RedisBus(url, SimClock(NOW), settings(), "own", 1, Timer())


def test_unusable_address_is_told() -> None:
    with pytest.raises(BusError, match=r"http://x.*redis://HOST:PORT"):
        RedisBus("http://x", SimClock(NOW), settings(), "own", 1, Timer())


@pytest.mark.parametrize(
    "address", ["redis://:hunter2secret@{}", "redis://:hunter2/secret@{}", "redis://{}/0?password=hunter2secret"]
)
def test_a_password_is_not_repeated(address: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = address.format(f"127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(BusError, match="bus") as refused:
            RedisBus(url, SimClock(NOW), settings(), "own", 1, Timer())
        with pytest.raises(BusError, match="bus") as unheard:
            tap(url, "*", lambda channel, raw: None, threading.Event())
    assert "hunter2" not in f"{refused.value} {unheard.value}"
    assert "redis://" in str(refused.value)


def test_missing_permission_is_told(server: EmbeddedValkey) -> None:
    with redis.Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "+psubscribe", "+client", "allchannels")
    url = f"redis://reader:pw@127.0.0.1:{server.port}"
    with pytest.raises(BusError, match="publish"):
        RedisBus(url, SimClock(NOW), settings(), "own", 1, Timer())


# --- tap ---------------------------------------------------------------------------------------------------------


class _tapping:
    """A tap in a thread of its own; what it hears goes to `heard`. Entering waits until it listens."""

    def __init__(self, url: str, pattern: str, heard: list[tuple[str, bytes]]) -> None:
        self._heard, self._url, self._pattern = heard, url, pattern
        self._stop, self._news = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=tap, args=(url, pattern, self._hear, self._stop))

    def _hear(self, channel: str, raw: bytes) -> None:
        with self._news:
            self._heard.append((channel, raw))
            self._news.notify_all()

    def __enter__(self) -> Callable[[int], None]:
        self._thread.start()
        with redis.Redis.from_url(self._url) as client:
            while not client.publish("tap-is-there", b"?"):
                assert self._thread.is_alive()
        self._wait_for(1)
        with self._news:
            self._heard.clear()
        return self._wait_for

    def _wait_for(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self._heard) >= count, timeout=10)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_tap_hears_readable_json(server: EmbeddedValkey, build: Callable[..., RedisBus]) -> None:
    bus = build(server.url)
    heard: list[tuple[str, bytes]] = []
    with _tapping(server.url, "*", heard) as wait_for:
        bus.publish(MARKET, market(12.5))
        assert bus.settle()
        wait_for(2)
    channel, raw = heard[0]
    assert channel == MARKET
    assert raw.startswith(b'{"producer":"own","epoch":5,"seq":2,"body":{"type":"market_data","source":"miner"')
    assert b'"close":12.5' in raw
    assert heard[1][0] == "system-barrier"


def test_tap_without_a_server_says_so() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(BusError, match="is the run still up"):
            tap(url, "*", lambda channel, raw: None, threading.Event())


# --- the embedded server -----------------------------------------------------------------------------------------


def test_taken_port_is_refused_with_the_remedy(shared: EmbeddedValkey) -> None:
    with pytest.raises(BusError, match=f"port {shared.port} .*something listens.*bus.port=0.*--bus {shared.url}"):
        EmbeddedValkey(shared.port, START_SECONDS)
    with redis.Redis(port=shared.port) as client:
        assert client.ping()


def test_server_listens_on_the_loopback_only_and_keeps_nothing(shared: EmbeddedValkey) -> None:
    listening = [c.laddr.ip for c in psutil.Process(shared.pid).net_connections("inet") if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]
    with redis.Redis(port=shared.port, decode_responses=True) as client:
        config = client.config_get("*")
    assert (config["save"], config["appendonly"], config["maxmemory-policy"]) == ("", "no", "noeviction")
    assert config["protected-mode"] == "yes"
    assert "pubsub 268435456 134217728 60" in config["client-output-buffer-limit"]


def test_closing_ends_the_server_even_a_frozen_one() -> None:
    server = EmbeddedValkey(0, 0.5)
    process = psutil.Process(server.pid)
    os.kill(server.pid, signal.SIGSTOP)
    server.close()
    assert not process.is_running()
    server.close()
    with pytest.raises(BusError, match="does not run"):
        _ = server.pid


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_server_dies_with_a_killed_parent() -> None:
    code = (
        "import sys; from src.connectors.embedded_valkey import EmbeddedValkey\n"
        f"server = EmbeddedValkey(0, {START_SECONDS}); print(server.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        orphan = psutil.Process(int(parent.stdout.readline()))
        assert orphan.is_running()
        parent.kill()
        _, alive = psutil.wait_procs([orphan], timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
