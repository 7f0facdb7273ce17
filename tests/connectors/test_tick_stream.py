"""The durable stream of ticks over a real server: none lost, none handed out twice, whatever the server forgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from src.connectors.tick_sender import TickSender
from src.core.clock import Timer
from src.core.errors import BusError
from tests.kraken.streaming import BTC, stage
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


def test_a_later_life_goes_on_behind_the_earlier_one_which_is_refused_from_then_on(rig: Rig) -> None:
    sink = rig.reader()
    earlier, later = rig.writer(epoch=1), rig.writer(epoch=2)
    earlier.add(ticks(0, 2))
    later.add(ticks(2, 2))
    assert taken(sink) == ([0, 1, 2, 3], False)
    assert not earlier.add(ticks(9, 1))
    assert earlier.trouble == f"{STREAM}: another producer is at 2-2"
    assert taken(sink) == ([], False)


@pytest.mark.parametrize("epoch", [1, 1_000])
def test_a_life_by_a_clock_that_was_set_back_goes_on_behind_the_one_before(rig: Rig, epoch: int) -> None:
    sink = rig.reader()
    rig.writer(epoch=1_000).add(ticks(0, 2))
    after = rig.writer(epoch=epoch)
    assert after.add(ticks(2, 2))
    assert taken(sink) == ([0, 1, 2, 3], False)
    assert (after.trouble, after.lost, rig.client.xinfo_stream(STREAM)["last-generated-id"]) == ("", 0, b"1001-2")


def test_so_does_one_that_began_while_nobody_was_there(rig: Rig) -> None:
    rig.server.kill()
    after = rig.writer(epoch=1)
    assert not after.add(ticks(2, 3))
    rig.server.start()
    rig.writer(epoch=1_000).add(ticks(0, 2))
    assert after.add(ticks(5, 1))
    assert taken(rig.reader()) == ([0, 1, 2, 3, 4, 5], True)  # what the life before left was not known
    assert rig.client.xinfo_stream(STREAM)["last-generated-id"] == b"1001-4"


def test_a_password_is_not_repeated(rig: Rig) -> None:
    url = rig.server.url
    rig.server.kill()
    source = rig.writer(url=url.replace("//", "//:hunter2secret@"))
    assert not source.add(ticks(0, 1))
    assert source.trouble.startswith(f"no stream at {url}: ")
    assert "hunter2" not in source.trouble


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


def test_no_trade_that_an_exchange_told_is_lost_over_a_restart_of_the_server(rig: Rig) -> None:
    """From the exchange's socket to a reader of the stream, the server killed between the trades."""
    said: list[str] = []
    seen: list[float] = []
    sink = rig.reader()
    with stage() as there:
        public = there.public()
        sender = TickSender(rig.writer(epoch=5, keep=1_000), 1_000, 0.01, there.timer, said.append)
        public.market.tap = sender.take
        there.quoted(public)
        for number in range(60):
            there.server.trade("BTC/USD", f"50000.{number % 10}", f"0.{number + 1:03d}")
            if number == 20:
                there.timer.until(lambda: public.market.trades[BTC] == 21)
                rig.server.kill()
            if number == 40:
                there.timer.until(lambda: said)
                rig.server.start()
        there.timer.until(lambda: public.market.trades[BTC] == 60)
        sender.close()
    while (batch := sink.read()).ticks:
        assert not batch.gap
        seen += [tick.amount for _, tick in batch.ticks]
        sink.done([name for name, _ in batch.ticks])
    assert seen == [float(f"0.{number + 1:03d}") for number in range(60)]
    assert sender.lost == 0
    assert ["wait" in said[0], *(one == "ticks go to their stream again" for one in said[1:])] == [True, True]


def test_what_waits_is_bounded_and_what_goes_is_counted(rig: Rig) -> None:
    said: list[str] = []
    rig.server.kill()
    sender = TickSender(rig.writer(keep=5), 8, 60.0, Timer(), said.append)
    for tick in ticks(0, 10):
        sender.take(tick)
    sender.close()
    assert sender.lost == 2 + 3
    assert said[-1] == "ticks: 5 are not in the durable stream"
