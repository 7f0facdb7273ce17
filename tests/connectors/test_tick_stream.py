"""The durable stream of ticks over a real server: none lost, none handed out twice, whatever the server forgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from src.core.errors import BusError
from tests.streams import STREAM, Rig, rigged, taken, ticks


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rigged() as found:
        yield found


def test_ticks_come_once_in_order_and_as_they_were(rig: Rig) -> None:
    source, sink = rig.writer(), rig.reader()
    assert source.add(ticks(0, 3))
    batch = sink.read()
    assert [tick for _, tick in batch.ticks] == ticks(0, 3)
    assert [name for name, _ in batch.ticks] == ["1-1", "1-2", "1-3"]
    assert not batch.gap
    assert sink.read().ticks == ()  # they are under way
    sink.done([name for name, _ in batch.ticks])
    source.add(ticks(3, 1))
    assert taken(sink) == ([3], False)


def test_the_stream_is_bounded(rig: Rig) -> None:
    source = rig.writer(keep=10)
    for first in range(0, 100, 7):
        source.add(ticks(first, 7))
    assert rig.client.xlen(STREAM) == 10
    assert source.lost == 0


def test_a_later_life_goes_on_behind_the_earlier_one_and_an_earlier_one_is_refused(rig: Rig) -> None:
    sink = rig.reader()
    rig.writer(epoch=1).add(ticks(0, 2))
    rig.writer(epoch=2).add(ticks(2, 2))
    assert taken(sink) == ([0, 1, 2, 3], False)
    with pytest.raises(BusError, match=r"another producer is at 2-2; begin with a higher epoch"):
        rig.writer(epoch=1).add(ticks(9, 1))


def test_nobody_there_is_said_and_ticks_wait(rig: Rig) -> None:
    source, sink = rig.writer(keep=5), rig.reader()
    source.add(ticks(0, 1))
    assert taken(sink) == ([0], False)
    rig.server.kill()
    assert not source.add(ticks(1, 3))
    assert source.trouble.startswith(f"no stream at {rig.server.url}")
    with pytest.raises(BusError, match="no stream at"):
        sink.read()
    assert not source.add(ticks(4, 4))
    assert source.lost == 2  # what is kept is bounded, and what falls out is counted
    rig.server.start()
    assert source.flush()
    assert source.trouble == ""
    assert taken(sink) == ([3, 4, 5, 6, 7], True)


def test_two_consumers_share_the_work(rig: Rig) -> None:
    source = rig.writer()
    first, second = rig.reader("one", batch=3, idle_ms=60_000), rig.reader("two", batch=3, idle_ms=60_000)
    source.add(ticks(0, 6))
    assert sorted(taken(first)[0] + taken(second)[0]) == [0, 1, 2, 3, 4, 5]
